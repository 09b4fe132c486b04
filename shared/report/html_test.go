package report_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/preview"
	"stovasync/shared/report"
	"stovasync/shared/run"
)

// written is what a renderer writes.
func written(t *testing.T, render func(io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := render(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// parsed reads a page as browsers do.
func parsed(t *testing.T, page string) *html.Node {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// all are the elements below a node that match, in their order.
func all(n *html.Node, match func(*html.Node) bool) []*html.Node {
	var out []*html.Node
	for d := range n.Descendants() {
		if d.Type == html.ElementNode && match(d) {
			out = append(out, d)
		}
	}
	return out
}

func tag(a atom.Atom) func(*html.Node) bool {
	return func(n *html.Node) bool { return n.DataAtom == a }
}

// section finds a section by its id.
func section(t *testing.T, doc *html.Node, id string) *html.Node {
	t.Helper()
	found := all(doc, func(n *html.Node) bool { return n.DataAtom == atom.Section && attr(n, "id") == id })
	if len(found) != 1 {
		t.Fatalf("%d sections %s, want 1", len(found), id)
	}
	return found[0]
}

// text is what a reader sees of a node, with single blanks.
func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode && d.Parent.DataAtom != atom.Style && d.Parent.DataAtom != atom.Script {
			b.WriteString(d.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// outline is a page's sections with their headings and tables: how many
// columns and rows the tables have.
func outline(doc *html.Node) []string {
	var out []string
	for _, n := range all(doc, func(n *html.Node) bool {
		return slices.Contains([]atom.Atom{atom.H1, atom.H2, atom.H3, atom.Table, atom.Section}, n.DataAtom) || attr(n, "class") == "empty" || attr(n, "role") == "img"
	}) {
		switch {
		case n.DataAtom == atom.Section:
			out = append(out, "section #"+attr(n, "id"))
		case n.DataAtom == atom.Table:
			var heads []string
			for _, th := range all(n, func(n *html.Node) bool { return n.DataAtom == atom.Th && attr(n, "scope") == "col" }) {
				heads = append(heads, text(th))
			}
			rows := all(n, func(n *html.Node) bool { return n.DataAtom == atom.Tr && n.Parent.DataAtom == atom.Tbody })
			out = append(out, "table of "+strings.Join(heads, ", ")+": "+things(len(rows)))
		case attr(n, "role") == "img" && n.DataAtom == atom.Div:
			out = append(out, "cells: "+attr(n, "aria-label"))
		case attr(n, "role") == "img":
			out = append(out, "chart: "+text(all(n, func(n *html.Node) bool { return n.Data == "title" })[0]))
		case attr(n, "class") == "empty":
			out = append(out, "empty: "+text(n))
		default:
			out = append(out, n.Data+" "+text(n))
		}
	}
	return out
}

func things(rows int) string {
	if rows == 1 {
		return "1 row"
	}
	return strconv.Itoa(rows) + " rows"
}

func TestPagesHaveTheirSections(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		render func(io.Writer) error
		want   string
	}{
		"a preview of users": {
			render: func(w io.Writer) error { return report.PreviewHTML(w, userPreview()) },
			want: `h1 users
section #summary
h2 Summary
section #synced
h2 Synced data
h3 Target fields
table of Field, Expression, From, Filled: 15 rows
h3 Records
table of fp_ext_id, fp_status, fname, lname, email, title, position, company, country, phone, photo, external_qr_value, biography, registrationtype, fp_locale: 15 rows
section #columns
h2 Source columns
table of Expression, Question or key, Kind, Filled, Mapped to, Samples, masked: 17 rows
section #filtered
h2 Filtered out
table of Id, Rule, Why: 3 rows
section #rejected
h2 Rejected
table of Id, Code, Reason: 2 rows
section #warnings
h2 Warnings
table of Code, What it says: 3 rows`,
		},
		"a preview of nothing says so everywhere": {
			render: func(w io.Writer) error { return report.PreviewHTML(w, preview.Report{Type: run.Schedule}) },
			want: `h1 schedule
section #summary
h2 Summary
section #synced
h2 Synced data
h3 Target fields
empty: The type has no target fields.
h3 Records
empty: No row of the sample would be synced.
section #columns
h2 Source columns
empty: The type has no source columns of its own.
section #filtered
h2 Filtered out
empty: No row was filtered out.
section #rejected
h2 Rejected
empty: No row was rejected.
section #warnings
h2 Warnings
empty: There are no warnings.`,
		},
		"a run under way": {
			render: func(w io.Writer) error { return report.RunHTML(w, runningRun()) },
			want: `h1 20310304T093000Z-77aa0b1c
section #summary
h2 Summary
section #pages
h2 Pages
h3 users
cells: users, 6 pages: 2 changed, 4 queued
table of Page, State, Rows, New, Changed, Unchanged, Filtered, Rejected, Tries, Error: 6 rows
h3 user-photos
section #counts
h2 Counts
table of Type, State, Pages done, read, new, changed, unchanged, filtered, rejected, removed, API calls: 2 rows
section #failures
h2 Failures
empty: Nothing has failed.
section #rejected
h2 Rejected
empty: No row was rejected.
section #warnings
h2 Warnings
empty: There are no warnings.
section #history
h2 History
chart: Duration of the last 4 runs, in seconds, at most 34
chart: Changed of the last 4 runs, in records new, changed or removed, at most 38
chart: Failed of the last 4 runs, in pages, and types as a whole: nothing failed
table of Run, Started, State, Mode, Took, New, Changed, Removed, Failed, API calls, Cost: 4 rows`,
		},
		"a run of which nothing is known": {
			render: func(w io.Writer) error { return report.RunHTML(w, report.RunDetail{}) },
			want: `h1
section #summary
h2 Summary
section #pages
h2 Pages
empty: No page has been planned.
section #counts
h2 Counts
empty: The run has no data types.
section #failures
h2 Failures
empty: Nothing has failed.
section #rejected
h2 Rejected
empty: No row was rejected.
section #warnings
h2 Warnings
empty: There are no warnings.
section #history
h2 History
chart: Duration of the last 1 run, in seconds: no run has taken any time
chart: Changed of the last 1 run, in records new, changed or removed: no run changed a record
chart: Failed of the last 1 run, in pages, and types as a whole: nothing failed
table of Run, Started, State, Mode, Took, New, Changed, Removed, Failed, API calls, Cost: 1 row`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, line := range outline(parsed(t, written(t, tt.render))) {
				got = append(got, strings.TrimSpace(line))
			}
			if diff := cmp.Diff(strings.Split(tt.want, "\n"), got); diff != "" {
				t.Errorf("outline (-want +got):\n%s", diff)
			}
		})
	}
}

func TestATroubledRunTellsAllOfIt(t *testing.T) {
	t.Parallel()
	d := troubledRun()
	doc := parsed(t, written(t, func(w io.Writer) error { return report.RunHTML(w, d) }))

	cells := all(section(t, doc, "pages"), func(n *html.Node) bool {
		return n.DataAtom == atom.Span && strings.HasPrefix(attr(n, "class"), "cell ") && attr(n, "title") != ""
	})
	var want []string
	letters := map[pipeline.CellState]string{"unchanged": ".", "changed": "+", "done": "o", "retried": "R", "split": "S", "failed": "F"}
	for _, g := range d.Grid {
		for _, c := range g.Cells {
			want = append(want, letters[c.State]+" "+c.Page)
		}
	}
	var got []string
	for _, c := range cells {
		page, _, _ := strings.Cut(strings.TrimPrefix(attr(c, "title"), "page "), ":")
		got = append(got, text(c)+" "+page)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("cells (-want +got):\n%s", diff)
	}

	for id, parts := range map[string][]string{
		"summary":  {"failed", "full", "37m18s", "62,526, 18 throttled", "$0.4182", "dynamodb write units 21,480", "81.4 MB"},
		"pages":    {"600 rows are of 12 failed pages", "400 pages: 335 unchanged, 30 changed, 7 done, 8 retried, 8 split, 12 failed"},
		"counts":   {"388 of 400, 12 failed", "All types"},
		"failures": {"STOVA_SERVER", "status 503", "Next step wait, then redrive", "STOVA_TIMEOUT", "STOVA_BODY", "sponsor-levels: the whole type", "redrive summit --run " + d.Run.Run},
		"rejected": {"800000019", "0303", "no id", "the bytes are those of no picture"},
		"warnings": {"--approve-removals 412", "USER_NO_EMAIL"},
		"history":  {"The last 50 runs", d.Run.Run + " (this run)", "on a logarithmic scale"},
	} {
		seen := text(section(t, doc, id))
		for _, part := range parts {
			if !strings.Contains(seen, part) {
				t.Errorf("section %s does not say %q", id, part)
			}
		}
	}
	bars := all(section(t, doc, "history"), func(n *html.Node) bool { return n.Data == "g" })
	if len(bars) != 3*50 {
		t.Errorf("%d bars in the charts, want 150", len(bars))
	}
}

// The causes are those of the failed pages, whichever type and page they are of.
func TestFailuresOfOneCauseStandTogether(t *testing.T) {
	t.Parallel()
	failed := func(pages ...string) []pipeline.Cell {
		var out []pipeline.Cell
		for _, p := range pages {
			out = append(out, pipeline.Cell{Page: p, State: pipeline.CellFailed, Code: "STOVA_SERVER", Error: "STOVA_SERVER: attendee 80000" + p + ": status 503; wait"})
		}
		return out
	}
	d := report.RunDetail{Run: pipeline.RunView{Run: "r", Connection: "summit"}, Grid: []pipeline.TypeGrid{
		{Type: run.Users, Cells: failed("1", "2")}, {Type: run.Sessions, Cells: failed("7")},
		{Type: run.Presenters, Cells: []pipeline.Cell{{Page: "1", State: pipeline.CellFailed}, {Page: "2", State: pipeline.CellUnchanged}}},
		{Type: run.Sponsors, Cells: []pipeline.Cell{{Page: "4", State: pipeline.CellFailed, Error: "STOVA_SERVER: attendee 800001: status 502; wait"}}},
	}}
	doc := parsed(t, written(t, func(w io.Writer) error { return report.RunHTML(w, d) }))
	var got []string
	for _, cause := range all(section(t, doc, "failures"), tag(atom.Article)) {
		got = append(got, text(cause))
	}
	want := []string{
		"STOVA_SERVER attendee …: status 503 Where users: pages 1, 2 sessions: page 7 Next step wait " +
			"In general Wait until Stova answers again; check tells. If the same type fails every time, lower pageSize. Then redrive the run's failures.",
		"STOVA_SERVER attendee 800001: status 502 Where sponsors: page 4 Next step wait " +
			"In general Wait until Stova answers again; check tells. If the same type fails every time, lower pageSize. Then redrive the run's failures.",
		"Without a code the cause was not kept Where presenters: page 1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("causes (-want +got):\n%s", diff)
	}
}

// Each error code that a page can show has its way out.
func TestEveryCodeIsMended(t *testing.T) {
	t.Parallel()
	var cells []pipeline.Cell
	for _, code := range fault.Codes() {
		cells = append(cells, pipeline.Cell{Page: "1", State: pipeline.CellFailed, Error: string(code) + ": it happened"})
	}
	d := report.RunDetail{Grid: []pipeline.TypeGrid{{Type: run.Users, Cells: cells}}}
	doc := parsed(t, written(t, func(w io.Writer) error { return report.RunHTML(w, d) }))
	causes := all(section(t, doc, "failures"), tag(atom.Article))
	if len(causes) != len(fault.Codes()) {
		t.Fatalf("%d causes, want %d", len(causes), len(fault.Codes()))
	}
	for _, cause := range causes {
		if !regexp.MustCompile(`In general \S+`).MatchString(text(cause)) {
			t.Errorf("nothing says what mends this: %s", text(cause))
		}
	}
}

// A page may load nothing, run only the script and wear only the style that
// it holds, and be sent nowhere.
func TestPagesStandAlone(t *testing.T) {
	t.Parallel()
	for name, render := range pages() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			page := written(t, render)
			doc := parsed(t, page)
			hashed := func(a atom.Atom) string {
				found := all(doc, tag(a))
				if len(found) != 1 {
					t.Fatalf("%d elements %s, want 1", len(found), a)
				}
				sum := sha256.Sum256([]byte(found[0].FirstChild.Data))
				return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
			}
			want := "default-src 'none'; style-src " + hashed(atom.Style) + "; script-src " + hashed(atom.Script) + "; base-uri 'none'; form-action 'none'"
			var policies []string
			for _, meta := range all(doc, tag(atom.Meta)) {
				if attr(meta, "http-equiv") == "Content-Security-Policy" {
					policies = append(policies, attr(meta, "content"))
				}
			}
			if diff := cmp.Diff([]string{want}, policies); diff != "" {
				t.Errorf("content policy (-want +got):\n%s", diff)
			}
			for _, n := range all(doc, func(*html.Node) bool { return true }) {
				for _, a := range n.Attr {
					link := slices.Contains([]string{"src", "href", "srcset", "action", "formaction", "data", "poster", "background", "ping"}, a.Key)
					if link && (n.DataAtom != atom.A || !strings.HasPrefix(a.Val, "#")) || strings.HasPrefix(a.Key, "on") || a.Key == "style" {
						t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
					}
				}
			}
			for _, outside := range []string{"url(", "@import", "http://", "https://"} {
				if strings.Contains(page, outside) {
					t.Errorf("the page holds %s", outside)
				}
			}
		})
	}
}

// nests checks the tags of a page as they are written: a browser would mend
// silently what is not closed.
func nests(t *testing.T, page string) {
	t.Helper()
	void := []string{"meta", "rect", "line", "path"}
	var open []string
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		switch z.Next() {
		case html.ErrorToken:
			if len(open) > 0 {
				t.Errorf("not closed: %v", open)
			}
			return
		case html.StartTagToken:
			if name, _ := z.TagName(); !slices.Contains(void, string(name)) {
				open = append(open, string(name))
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			if len(open) == 0 || open[len(open)-1] != string(name) {
				t.Fatalf("</%s> closes %v", name, open)
			}
			open = open[:len(open)-1]
		default:
		}
	}
}

func TestPagesNestAsTheyShould(t *testing.T) {
	t.Parallel()
	for name, render := range pages() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			page := written(t, render)
			nests(t, page)
			// What a browser would put elsewhere, or into the page on its own, is
			// gone from or new in what it reads.
			var b bytes.Buffer
			if err := html.Render(&b, parsed(t, page)); err != nil {
				t.Fatal(err)
			}
			count := func(s string) map[string]int {
				n := map[string]int{}
				for _, tag := range regexp.MustCompile(`<[a-z0-9]+`).FindAllString(s, -1) {
					n[tag]++
				}
				return n
			}
			if diff := cmp.Diff(count(page), count(b.String())); diff != "" {
				t.Errorf("elements as written and as read (-written +read):\n%s", diff)
			}
		})
	}
}

// hostile are values that a vendor's form may hold.
func hostile() []string {
	return []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `</title></style></script><h1>owned</h1>`, `' onmouseover='alert(1)`,
		`{{.R}} ${1+1} <!-- -->`, "\u202egnp.exe", "مرحبا بالعالم", "👩‍🚀 ｆｕｌｌ ｗｉｄｔｈ", "a\x00b\x1b[31mc", "line\nbreak\ttab", "&amp;&lt;",
		strings.Repeat("x", 10_000), `=HYPERLINK("http://evil.example.test")`, "javascript:alert(1)", "]]>", "_x0041_", "00042", "+41", "-1", "@SUM(A1)",
	}
}

// hostilePreview holds one hostile value wherever a vendor's or an operator's may be.
func hostilePreview(v string) preview.Report {
	return preview.Report{
		Connection: v, Type: run.Users, Event: v, EventID: v, Zone: v, Taken: taken(), Sampled: 1, Asked: 2, InactivePolicy: v, Statuses: map[string]int{v: 1},
		Fields:    []preview.Field{{Name: v, Expression: v, Filled: 1}, {Name: "list", Expression: v, Filled: 1}},
		Columns:   []preview.Column{{Expression: v, Label: v, Page: v, Filled: 1, Samples: []string{v, v, v}, Kind: v, PhotoCandidate: true, MappedTo: []string{v}}},
		Synced:    []map[string]any{{"fp_ext_id": v, "fp_status": v, v: v, "list": []any{v, v}}},
		Protected: []preview.Protected{{ID: v, Fields: []string{v}}},
		Filtered:  []preview.Filtered{{ID: v, Rule: v, Why: v}}, Rejected: []preview.Rejected{{ID: v, Code: v, Reason: v}}, Warnings: []run.Warning{{Code: v, Message: v}},
	}
}

func hostileRun(v string) report.RunDetail {
	d := report.RunDetail{Run: pipeline.RunView{
		Run: v, Connection: v, State: run.State(v), Mode: run.Mode(v), Started: taken(), Ended: taken().Add(time.Second), Usage: map[string]float64{v: 1},
		Types:   map[run.DataType]pipeline.TypeView{run.DataType(v): {State: run.State(v), Mode: "other" + run.Mode(v), Code: v, Error: v}},
		Rejects: []run.Reject{{Type: run.DataType(v), ID: v, Code: v, Reason: v}}, Warnings: []run.Warning{{Code: v, Message: v}},
	}, Grid: []pipeline.TypeGrid{{
		Type: run.DataType(v), Difference: v, LeftOut: v, Listed: 1,
		Cells: []pipeline.Cell{{Page: v, State: pipeline.CellFailed, Code: v, Error: v}, {Page: v, State: pipeline.CellState(v), Code: v}},
	}}}
	d.History = []pipeline.RunView{d.Run, d.Run}
	return d
}

// tags are the elements of a page with the names of their attributes, and
// without the values: nothing that a value holds may change them.
func tags(doc *html.Node) []string {
	var out []string
	for _, n := range all(doc, func(*html.Node) bool { return true }) {
		s := n.Data
		for _, a := range n.Attr {
			s += " " + a.Key
		}
		out = append(out, s)
	}
	return out
}

func TestNoValueChangesWhatAPageIsMadeOf(t *testing.T) {
	t.Parallel()
	preview := func(v string) func(io.Writer) error {
		return func(w io.Writer) error { return report.PreviewHTML(w, hostilePreview(v)) }
	}
	detail := func(v string) func(io.Writer) error {
		return func(w io.Writer) error { return report.RunHTML(w, hostileRun(v)) }
	}
	for kind, of := range map[string]func(string) func(io.Writer) error{"preview": preview, "run": detail} {
		harmless := tags(parsed(t, written(t, of("harmless"))))
		for i, v := range hostile() {
			page := written(t, of(v))
			nests(t, page)
			doc := parsed(t, page)
			if diff := cmp.Diff(harmless, tags(doc)); diff != "" {
				t.Errorf("%s, value %d changes the page (-harmless +hostile):\n%s", kind, i, diff)
			}
			if kind == "preview" { // the label of a question, as it was typed
				seen := all(section(t, doc, "columns"), func(n *html.Node) bool { return attr(n, "class") == "value" })
				if want := strings.NewReplacer("\x00", "\ufffd").Replace(v); len(seen) != 1 || seen[0].FirstChild.Data != want {
					t.Errorf("value %d is not shown as it is", i)
				}
			}
		}
	}
}

// A page tells what it is given and nothing of the machine it is made on.
func TestPagesAreTheSameEachTime(t *testing.T) {
	t.Parallel()
	for name, render := range pages() {
		first, second := written(t, render), written(t, render)
		if first != second {
			t.Errorf("%s differs from one time to the next", name)
		}
	}
}

func TestBothShapesOfACopyButtonAreThere(t *testing.T) {
	t.Parallel()
	doc := parsed(t, written(t, func(w io.Writer) error { return report.PreviewHTML(w, userPreview()) }))
	buttons := all(doc, tag(atom.Button))
	if len(buttons) != 17 {
		t.Errorf("%d buttons, want one for each column", len(buttons))
	}
	for _, b := range buttons {
		code := all(doc, func(n *html.Node) bool { return attr(n, "id") == attr(b, "data-copy") })
		if len(code) != 1 || text(code[0]) != strings.TrimPrefix(attr(b, "aria-label"), "Copy ") {
			t.Errorf("the button %q copies something else", attr(b, "aria-label"))
		}
		if !slices.ContainsFunc(b.Attr, func(a html.Attribute) bool { return a.Key == "hidden" }) {
			t.Errorf("the button %q shows without the script that it needs", attr(b, "aria-label"))
		}
	}
}
