package report_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/report"
	"stovasync/shared/report/browsertest"
)

// pages are the pages that tests read and browsers look at.
func pages() map[string]func(io.Writer) error {
	return map[string]func(io.Writer) error{
		"preview-users":    func(w io.Writer) error { return report.PreviewHTML(w, userPreview()) },
		"preview-sessions": func(w io.Writer) error { return report.PreviewHTML(w, sessionPreview()) },
		"run-small":        func(w io.Writer) error { return report.RunHTML(w, smallRun()) },
		"run-troubled":     func(w io.Writer) error { return report.RunHTML(w, troubledRun()) },
		"run-running":      func(w io.Writer) error { return report.RunHTML(w, runningRun()) },
	}
}

// shown is how many rows of tables each section of a page shows.
func shown() map[string]map[string]int {
	return map[string]map[string]int{
		"preview-users":    {"summary": 0, "synced": 30, "columns": 17, "filtered": 3, "rejected": 2, "warnings": 3},
		"preview-sessions": {"summary": 0, "synced": 6, "columns": 1, "filtered": 0, "rejected": 1, "warnings": 0},
		"run-small":        {"summary": 0, "pages": 0, "counts": 2, "failures": 0, "rejected": 0, "warnings": 0, "history": 0},
		"run-troubled":     {"summary": 4, "pages": 0, "counts": 8, "failures": 0, "rejected": 4, "warnings": 2, "history": 0},
		"run-running":      {"summary": 0, "pages": 0, "counts": 2, "failures": 0, "rejected": 0, "warnings": 0, "history": 0},
	}
}

const rowsShown = `Object.fromEntries([...document.querySelectorAll("main > section")].map((s) =>
	[s.id, [...s.querySelectorAll("tbody tr")].filter((r) => r.checkVisibility()).length]))`

// page writes one of the pages to a file.
func page(t *testing.T, name string, render func(io.Writer) error) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name+".html")
	if err := report.WriteFile(file, render); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestBrowserFindsNothingWrongWithThePages(t *testing.T) {
	t.Parallel()
	b := browsertest.Start(t)
	for name, render := range pages() {
		file := page(t, name, render)
		for _, v := range browsertest.Views() {
			t.Run(name+" at "+v.String(), func(t *testing.T) {
				t.Parallel()
				p := b.Open(t, file, v)
				p.Screenshot(t, name)
				if v == browsertest.Views()[0] {
					p.PDF(t, name)
				}
				if diff := cmp.Diff(shown()[name], browsertest.Eval[map[string]int](t, p, rowsShown)); diff != "" {
					t.Errorf("rows in the sections (-want +got):\n%s", diff)
				}
				for _, problem := range p.Problems(t) {
					t.Error(problem)
				}
			})
		}
	}
}

func TestBrowserFindsNothingWrongWithHostileValues(t *testing.T) {
	t.Parallel()
	b := browsertest.Start(t)
	// A browser takes half a minute to lay out all the places of the longest value.
	var v string
	for _, x := range hostile() {
		v += x[:min(len(x), 1000)] + " "
	}
	for name, render := range map[string]func(io.Writer) error{
		"hostile-preview": func(w io.Writer) error { return report.PreviewHTML(w, hostilePreview(v)) },
		"hostile-run":     func(w io.Writer) error { return report.RunHTML(w, hostileRun(v)) },
	} {
		file := page(t, name, render)
		view := browsertest.View{Width: 390, Height: 844, Dark: true}
		t.Run(name+" at "+view.String(), func(t *testing.T) {
			t.Parallel()
			p := b.Open(t, file, view)
			p.Screenshot(t, name)
			for _, problem := range p.Problems(t) {
				t.Error(problem)
			}
		})
	}
}

// The page is as much use without its script: the sections are there and can
// be gone to, the expressions can be selected, and no button is there that does nothing.
func TestBrowserNeedsNoScript(t *testing.T) {
	t.Parallel()
	b := browsertest.Start(t)
	p := b.Open(t, page(t, "preview-users", pages()["preview-users"]), browsertest.View{Width: 390, Height: 844, NoScript: true})
	p.Click(t, `nav a[href="#filtered"]`)
	p.Await(t, `Math.abs(document.getElementById("filtered").getBoundingClientRect().top) < 120`)
	for what, want := range map[string]bool{
		`[...document.querySelectorAll("button")].some((b) => b.checkVisibility())`:            false,
		`getComputedStyle(document.querySelector(".paste code")).userSelect === "all"`:         true,
		`[...document.querySelectorAll("main > section")].every((s) => s.checkVisibility())`:   true,
		`document.querySelectorAll("nav a").length === document.querySelectorAll("h2").length`: true,
	} {
		if got := browsertest.Eval[bool](t, p, what); got != want {
			t.Errorf("%s is %v", what, got)
		}
	}
	for _, problem := range p.Problems(t) {
		t.Error(problem)
	}
}

// The script copies an expression or, where it may not, selects it.
func TestBrowserCopiesAnExpression(t *testing.T) {
	t.Parallel()
	b := browsertest.Start(t)
	p := b.Open(t, page(t, "preview-users", pages()["preview-users"]), browsertest.View{Width: 1280, Height: 900})
	const button = `button[data-copy="expression-10"]`
	p.Click(t, button)
	p.Await(t, `["Copied", "Selected"].includes(document.querySelector('`+button+`').textContent)`)
	said := browsertest.Eval[string](t, p, `document.getElementById("said").textContent`)
	selected := browsertest.Eval[string](t, p, `getSelection().toString()`)
	if said == "Selected" && selected != "responses.please_upload_your_portrait" || said == "" {
		t.Errorf("the page says %q and has selected %q", said, selected)
	}
	p.Click(t, `nav a[href="#warnings"]`)
	p.Await(t, `document.querySelector('nav a[aria-current]').hash === "#warnings"`)
	for _, problem := range p.Problems(t) {
		t.Error(problem)
	}
}

// Headings stay in sight and the id does too while a wide table scrolls in its box.
func TestBrowserKeepsHeadingsInSight(t *testing.T) {
	t.Parallel()
	b := browsertest.Start(t)
	p := b.Open(t, page(t, "preview-users", pages()["preview-users"]), browsertest.View{Width: 390, Height: 500})
	const still = `(() => {
		const box = document.querySelector("#synced .pinned").parentElement;
		box.scrollIntoView();
		const head = box.querySelector("thead th"), first = box.querySelector("tbody th");
		const at = () => [head.getBoundingClientRect().top, first.getBoundingClientRect().left].map(Math.round);
		const before = at();
		box.scrollTo(200, 150);
		return box.scrollLeft > 100 && box.scrollTop > 100 && String(at()) === String(before);
	})()`
	if !browsertest.Eval[bool](t, p, still) {
		t.Error("the headings scroll away with their table, or the table has no box of its own")
	}
}

// A check that finds nothing anywhere would pass every page.
func TestBrowserTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	b := browsertest.Start(t)
	file := filepath.Join(t.TempDir(), "bad.html")
	const bad = `<!doctype html><html lang="en"><head><title>Bad</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; img-src http:">
</head><body><h1 id="a">Bad</h1><h3 id="a">Skips</h3>
<p style="color: #eee">inline</p><font color="#dddddd">pale</font><img alt="" src="http://pictures.example.test/a.png"><a href="#nowhere">x</a>
<table><tr><th>no scope</th></tr></table><pre>` + "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789" + `</pre>
<script>console.warn("warned"); setTimeout(() => { throw new Error("thrown"); });</script>
</body></html>`
	if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	p := b.Open(t, file, browsertest.View{Width: 390, Height: 844})
	p.Await(t, "document.readyState === 'complete'")
	found := strings.Join(p.Problems(t), "\n")
	for _, want := range []string{
		"warned", "thrown", "violates the following Content Security Policy directive", "ContentSecurityPolicyIssue", "occurs twice",
		"skips a level", "#nowhere leads nowhere", "no caption", "no scope", "wide at 390", "a contrast of 1.", "asked for http://pictures.example.test/a.png",
	} {
		if !strings.Contains(found, want) {
			t.Errorf("nothing tells of %q", want)
		}
	}
	if t.Failed() {
		t.Log(found)
	}
}
