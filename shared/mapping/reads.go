package mapping

import (
	"strings"

	"stovasync/shared/run"
)

// Read is one column that a field of a mapping, or its filter, reads.
type Read struct {
	Field   string // the target field, or filter
	Default bool   // by the default mapping
	Named   string // the column as the expression names it
	// Columns are the columns of rows that may answer it, as Row.Columns and
	// Mapper.Questions spell them. Several where LANG stands for languages.
	Columns []string
}

// Reads returns the columns that the fields and the filter of a type read in
// m's event. The level of a sponsor reads what the levels are named by.
func Reads(m *Mapper, t run.DataType) []Read {
	var out []Read
	for i := range m.set.types[t].fields {
		f := &m.set.types[t].fields[i]
		p, standard := f.program, f.Default
		switch f.kind {
		case kindSlot:
			out = append(out, Read{Field: f.Name, Named: slotColumn, Columns: []string{slotColumn}})
		case kindLevel:
			if name := m.set.types[run.SponsorLevels].field("name"); name != nil {
				p, standard = name.program, name.Default
			}
		}
		out = append(out, readsOf(m, f.Name, standard, p)...)
	}
	return append(out, readsOf(m, "filter", false, m.set.types[t].filter)...)
}

func readsOf(m *Mapper, field string, standard bool, p *program) []Read {
	if p == nil {
		return nil
	}
	var out []Read
	for _, i := range p.columns {
		b := &m.columns[i]
		out = append(out, Read{Field: field, Default: standard, Named: b.text, Columns: spellings(m, b)})
	}
	return out
}

// spellings returns a column as rows and questions spell it.
func spellings(m *Mapper, b *bound) []string {
	switch {
	case b.root == rootPick:
		return []string{spell(append([]string{"pick"}, b.path...))}
	case b.root == rootSlot:
		return []string{slotColumn}
	case b.root == rootResponses && len(b.path) == 0:
		return []string{"responses"}
	case b.root == rootResponses && len(b.ids) == 0:
		return []string{spell([]string{"responses", b.slug})}
	case b.root == rootResponses:
		var out []string
		for _, id := range b.ids {
			text := spell([]string{"responses", id})
			if q, listed := m.questions.byID[id]; listed {
				text = m.expressionOf(q.ID, q.FieldName, q.Name, q.agenda())
			}
			out = append(out, text)
		}
		return out
	}
	var out []string
	for _, language := range m.languages {
		path := make([]string, len(b.path))
		localized := false
		for i, part := range b.path {
			path[i] = part
			if prefix, ok := strings.CutSuffix(part, langMark); ok {
				path[i], localized = prefix+language, true
			}
		}
		out = append(out, spellOwn(path))
		if !localized {
			break
		}
	}
	return out
}
