package mapping

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"stovasync/shared/fault"
	"stovasync/shared/run"
)

// seeds are the rows and expressions of the cases.
func seeds(f *testing.F, name string) []string {
	f.Helper()
	files, err := filepath.Glob("testdata/cases/*.txtar")
	if err != nil || len(files) == 0 {
		f.Fatalf("cases: %d, error %v", len(files), err)
	}
	var out []string
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, part := range txtar.Parse(b).Files {
			if part.Name == name {
				out = append(out, string(part.Data))
			}
		}
	}
	return out
}

func fuzzMapper(f *testing.F) *Mapper {
	f.Helper()
	zone, err := time.LoadLocation("Europe/London")
	if err != nil {
		f.Fatal(err)
	}
	set, err := Compile(Settings{
		ActiveStatuses: []string{"Confirmed"},
		Mapping: map[run.DataType]map[string]*string{
			run.Users:    {"photo": new("responses.photo"), "biography": new("text(responses.bio)"), "x": new(`fname + " " + lname`)},
			run.Sessions: {"capacity": new("capacity")},
			run.Schedule: {"choice": new("pick.response")},
		},
		Filters: map[run.DataType]string{run.Sponsors: `company != "No"`},
	})
	if err != nil {
		f.Fatal(err)
	}
	return set.For(Event{ID: "1", Zone: zone, Questions: []Question{{ID: "7060", Name: "Photo"}, {ID: "7061", Name: "Diet"}},
		Tracks: map[string]string{"41": "North"}})
}

// Any row, however broken, becomes something sound: the same twice over, in
// valid text, without empty values; and every column it shows can be mapped.
func FuzzRow(f *testing.F) {
	for _, s := range seeds(f, "row.json") {
		f.Add(s)
	}
	m := fuzzMapper(f)
	f.Fuzz(func(t *testing.T, raw string) {
		for _, stream := range []run.Stream{run.Attendees, run.SessionStream, run.Speakers} {
			first, ok := mapAll(m, stream, raw)
			if !ok {
				continue
			}
			again, _ := mapAll(m, stream, raw)
			if diff := cmp.Diff(first, again); diff != "" {
				t.Fatalf("the same row twice (-first +second):\n%s", diff)
			}
			for _, r := range first {
				sound(t, r)
			}
			columnsAreRead(t, m, stream, raw)
		}
	})
}

func mapAll(m *Mapper, stream run.Stream, raw string) ([]Result, bool) {
	row, err := m.Row(stream, []byte(raw))
	if err != nil {
		return nil, false
	}
	defer row.Release()
	switch stream {
	case run.SessionStream:
		return []Result{m.Sessions(row)}, true
	case run.Speakers:
		return []Result{m.Presenters(row)}, true
	}
	out := []Result{m.Users(row), m.Sponsors(row)}
	for _, p := range m.Picks(row) {
		out = append(out, m.Schedule(row, p.Candidates[0], p))
	}
	return out, true
}

func sound(t *testing.T, r Result) {
	t.Helper()
	if (r.Outcome == Rejected) != (r.Reject != nil) {
		t.Fatalf("%s with reject %v", r.Outcome, r.Reject)
	}
	if r.Outcome != Mapped {
		return
	}
	if r.ID == "" || utf8.RuneCountInString(r.ID) > maxID || strings.TrimSpace(r.ID) != r.ID || r.Status == "" || r.Owner == "" {
		t.Fatalf("record %q has status %q and owner %q", r.ID, r.Status, r.Owner)
	}
	for name, v := range r.Fields {
		switch v := v.(type) {
		case string:
			if v == "" || !utf8.ValidString(v) {
				t.Fatalf("field %s holds %q", name, v)
			}
		case []string:
			if len(v) == 0 {
				t.Fatalf("field %s holds an empty list", name)
			}
			for _, s := range v {
				if s == "" || !utf8.ValidString(s) {
					t.Fatalf("field %s holds a list with %q", name, s)
				}
			}
		case bool, int64, float64:
		default:
			t.Fatalf("field %s holds a %T", name, v)
		}
	}
}

// columnsAreRead checks that the expression of each column reads its value.
// Names that are no valid text, or end in the language mark, read otherwise.
func columnsAreRead(t *testing.T, m *Mapper, stream run.Stream, raw string) {
	row, err := m.Row(stream, []byte(raw))
	if err != nil {
		return
	}
	defer row.Release()
	for _, c := range row.Columns() {
		if !utf8.ValidString(c.Expression) || len(c.Expression) > maxExpression || strings.Contains(c.Expression, langMark) {
			continue
		}
		if diff := cmp.Diff(c.Value, row.Column(c.Expression)); diff != "" {
			t.Fatalf("column %s (-shown +read):\n%s", c.Expression, diff)
		}
		_, err := newCompiler().compile(viewOf(stream), c.Expression, false)
		if err != nil {
			t.Fatalf("column %s cannot be mapped: %v", c.Expression, err)
		}
	}
}

// Any text is an expression or a mistake with a place in it; an expression that
// is evaluated directly gives what the library's machine gives.
func FuzzCompile(f *testing.F) {
	for _, part := range seeds(f, "settings.yaml") {
		for text := range strings.SplitSeq(part, `"`) {
			f.Add(strings.ReplaceAll(text, `\`, ""))
		}
	}
	for _, text := range []string{"first(fname, lname)", `join([fname, "x"], "-")`, `has(responses.diet, "Vegan")`, "responses.diet[0]",
		"lang2(language) | upper()", `[fname, 1, true]`, "1.5", "category?.name", `at(sessiondate, "10:00")`, "let x = fname; x", "x.y.z[1]", "((("} {
		f.Add(text)
	}
	m := fuzzMapper(f)
	raw := `{"attendeeid":"1","language":"eng","flag":true,"n":12,"sessiondate":"2031-01-01","category":{"name":"Delegate"},"list":["a","b"],
		"responses":[{"fieldname":"fname","response":" Ada "},{"questionid":"7061","response":"Vegan"},{"questionid":"7061","response":"No nuts"}]}`
	f.Fuzz(func(t *testing.T, text string) {
		c := newCompiler()
		p, wrong := c.compile(view{}, text, false)
		if wrong != nil {
			_, err := Compile(Settings{ActiveStatuses: []string{"x"}, Mapping: map[run.DataType]map[string]*string{run.Users: {"x": &text}}})
			mistake := wrong.(*mistake)
			if fault.CodeOf(err) != fault.MappingInvalid || mistake.column < 1 || mistake.column > len([]rune(text))+1 || mistake.right == "" {
				t.Fatalf("%q: mistake %+v, error %v", text, mistake, err)
			}
			return
		}
		row, err := m.Row(run.Attendees, []byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		defer row.Release()
		direct := evaluate(t, m, c, p, row)
		if p.native == nil {
			return
		}
		tree, _ := parseText(c.options, text)
		slow := &program{text: text}
		if err := c.machine(view{}, slow, c.inspect(tree.Node), false); err != nil {
			t.Fatalf("%q does not compile for the machine: %v", text, err)
		}
		if diff := cmp.Diff(direct, evaluate(t, m, c, slow, row)); diff != "" {
			t.Fatalf("%q (-direct +machine):\n%s", text, diff)
		}
	})
}

// evaluate runs a program and finishes its value as a custom field.
func evaluate(t *testing.T, m *Mapper, c *compiler, p *program, row Row) any {
	t.Helper()
	with := *m
	with.columns = nil
	for _, col := range c.columns {
		with.columns = append(with.columns, m.bind(col))
	}
	v, err := p.run(&with, row.d)
	if err != nil {
		return nil
	}
	out, err := with.finish(kindCustom, v)
	if err != nil {
		return nil
	}
	return out
}
