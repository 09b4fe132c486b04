package report_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stovasync/shared/report"
	"stovasync/shared/report/browsertest"
)

// pages are the pages that browsers look at, with how many rows of the tables
// in each section a browser must show.
func pages() map[string]func(io.Writer) error {
	return map[string]func(io.Writer) error{
		"preview-users":    func(w io.Writer) error { return report.PreviewHTML(w, userPreview()) },
		"preview-sessions": func(w io.Writer) error { return report.PreviewHTML(w, sessionPreview()) },
		"run-small":        func(w io.Writer) error { return report.RunHTML(w, smallRun()) },
		"run-troubled":     func(w io.Writer) error { return report.RunHTML(w, troubledRun()) },
		"run-running":      func(w io.Writer) error { return report.RunHTML(w, runningRun()) },
	}
}

func TestBrowserFindsNothingWrongWithThePages(t *testing.T) {
	t.Parallel()
	b := browsertest.Start(t)
	for name, render := range pages() {
		file := filepath.Join(t.TempDir(), name+".html")
		if err := report.WriteFile(file, render); err != nil {
			t.Fatal(err)
		}
		for _, v := range browsertest.Views() {
			t.Run(name+" at "+v.String(), func(t *testing.T) {
				p := b.Open(t, file, v)
				p.Screenshot(t, name)
				if v == browsertest.Views()[0] {
					p.PDF(t, name)
				}
				for _, problem := range p.Problems(t) {
					t.Error(problem)
				}
			})
		}
	}
}

// A check that finds nothing anywhere would pass every page.
func TestBrowserTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	b := browsertest.Start(t)
	file := filepath.Join(t.TempDir(), "bad.html")
	const bad = `<!doctype html><html lang="en"><head><title>Bad</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'">
</head><body><h1 id="a">Bad</h1><h3 id="a">Skips</h3>
<p style="color: #eee">inline</p><font color="#dddddd">pale</font><img alt="" src="https://pictures.example.test/a.png"><a href="#nowhere">x</a>
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
		"skips a level", "#nowhere leads nowhere", "no caption", "no scope", "wide at 390", "a contrast of 1.",
	} {
		if !strings.Contains(found, want) {
			t.Errorf("nothing tells of %q", want)
		}
	}
	if t.Failed() {
		t.Log(found)
	}
}
