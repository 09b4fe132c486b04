package mapping

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"stovasync/shared/fault"
	"stovasync/shared/run"
)

// vendor returns the vendor's known columns by stream, each with what the
// default mapping does with it.
func vendor() (map[run.Stream]map[string]string, error) {
	return table[run.Stream]("columns of the vendor", vendorColumns)
}

// dashed returns the columns whose name holds a hyphen, which an expression
// takes for a subtraction.
func dashed(vendor map[run.Stream]map[string]string) map[string]bool {
	out := map[string]bool{}
	for _, columns := range vendor {
		for name := range columns {
			if strings.Contains(name, "-") {
				out[name] = true
			}
		}
	}
	return out
}

// Warnings returns what the connection's own mapping says that does not fit the
// event: columns and questions nobody knows, and questions that share a slug.
// Such a field stays empty; it breaks nothing.
func (m *Mapper) Warnings() []run.Warning {
	var out []run.Warning
	for _, t := range run.AllTypes() {
		for _, ref := range m.set.References(t) {
			if msg := m.doubt(t, m.columns[ref.column]); msg != "" {
				out = append(out, run.Warning{Code: string(fault.MappingInvalid), Message: fmt.Sprintf("%s: %s: %s", t, ref.Field, msg)})
			}
		}
	}
	return out
}

// Reference is one column that a connection's own mapping names.
type Reference struct {
	Field  string // the target field, or filter
	Column string // as an expression
	column int
}

// References returns the columns that the connection's own mapping and filter
// of a type name. One that no row has is worth a warning (design.md §8): see
// Row.Column.
func (s *Set) References(t run.DataType) []Reference {
	var out []Reference
	add := func(field string, p *program) {
		for _, i := range p.columns {
			out = append(out, Reference{Field: field, Column: s.columns[i].text, column: i})
		}
	}
	for _, f := range s.types[t].fields {
		if f.program != nil && !f.Default {
			add(f.Name, f.program)
		}
	}
	if f := s.types[t].filter; f != nil {
		add("filter", f)
	}
	return out
}

// doubt says what is odd about a column in this event, or "".
func (m *Mapper) doubt(t run.DataType, b bound) string {
	switch b.root {
	case rootResponses:
		return m.doubtAnswer(b)
	case rootRow:
		known := m.set.vendor[t.Stream()]
		if _, ok := known[b.path[0]]; ok || m.questions.fields[b.path[0]] != "" {
			return ""
		}
		names := slices.Sorted(maps.Keys(known))
		if near := nearest(b.path[0], names); near != "" {
			return fmt.Sprintf("no known column is called %s; did you mean %s?", b.text, instead(near, b.path))
		}
		if near := slug(m, b.path[0]); near != "" {
			return fmt.Sprintf("no known column is called %s; did you mean %s?", b.text, near)
		}
		return fmt.Sprintf("no known column is called %s; check its spelling against the vendor's form", b.text)
	default:
		return ""
	}
}

// slug returns the expression of the question whose slug is s, or "".
func slug(m *Mapper, s string) string {
	if len(m.questions.slugs[s]) == 1 {
		return spell([]string{"responses", s})
	}
	return ""
}

func (m *Mapper) doubtAnswer(b bound) string {
	if len(m.event.Questions) == 0 || len(b.path) == 0 {
		return ""
	}
	if ids := m.questions.slugs[Slug(b.path[0])]; len(ids) > 1 {
		var all []string
		for _, id := range ids {
			all = append(all, spell([]string{"responses", id}))
		}
		return fmt.Sprintf("%s means several questions; write one of %s", b.text, strings.Join(all, ", "))
	}
	if len(b.ids) == 1 {
		if _, ok := m.questions.byID[b.ids[0]]; ok {
			return ""
		}
		return fmt.Sprintf("the event has no question %s", b.ids[0])
	}
	if near := nearest(b.slug, slices.Sorted(maps.Keys(m.questions.slugs))); near != "" {
		return fmt.Sprintf("the event has no question for %s; did you mean %s?", b.text, spell([]string{"responses", near}))
	}
	return fmt.Sprintf("the event has no question for %s; check its spelling against the vendor's form", b.text)
}
