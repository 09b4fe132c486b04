package mapping

import (
	"slices"
	"strings"
)

// Question is one question of the event's form, as ereg/listQuestions gives it
// (stova-api.md §7.10).
type Question struct {
	ID, FieldName, Name, Page, InputType string
}

const (
	agendaPage    = "agenda" // the page of session picks (stova-api.md §7.7)
	agendaInput   = "31"     // the input type of a session pick (§7.10)
	freeTextInput = "1"      // the input type of a line of text (§7.10)
)

func (q Question) agenda() bool {
	return q.InputType == agendaInput || strings.EqualFold(strings.TrimSpace(q.Page), agendaPage)
}

// questions is what columns need to know of an event's form.
type questions struct {
	byID   map[string]Question
	slugs  map[string][]string // slug of the text → ids; two ids collide (P18)
	fields map[string]string   // standard field name → id
}

// newQuestions indexes an event's questions. Session picks have no slug: they
// are named after sessions, and a session called Photo must not take
// responses.photo away from the question.
func newQuestions(list []Question) questions {
	qs := questions{byID: map[string]Question{}, slugs: map[string][]string{}, fields: map[string]string{}}
	for _, q := range list {
		qs.byID[q.ID] = q
		if q.agenda() {
			continue
		}
		if slug := Slug(q.Name); slug != "" && !slices.Contains(qs.slugs[slug], q.ID) {
			qs.slugs[slug] = append(qs.slugs[slug], q.ID)
		}
		if q.FieldName != "" && !number(q.FieldName) {
			qs.fields[q.FieldName] = q.ID
		}
	}
	return qs
}

// expressionOf returns the shortest expression that reaches a question: its
// field name, its slug where no other question has it, else its id.
func (m *Mapper) expressionOf(id, field, name string, agenda bool) string {
	return spell(m.partsOf(id, field, name, agenda))
}

// partsOf is the path that expressionOf spells.
func (m *Mapper) partsOf(id, field, name string, agenda bool) []string {
	if field != "" && !number(field) {
		return ownParts([]string{field})
	}
	slug := Slug(name)
	if slug == "" || number(slug) || agenda || len(m.questions.slugs[slug]) != 1 || m.questions.slugs[slug][0] != id {
		return []string{"responses", id}
	}
	return []string{"responses", slug}
}

// Questions returns the columns of the event's form, answered or not, as
// Row.Columns names them, without values. Session picks are left out.
func (m *Mapper) Questions() []Column {
	var out []Column
	for _, q := range m.event.Questions {
		if !q.agenda() {
			out = append(out, Column{Expression: m.expressionOf(q.ID, q.FieldName, q.Name, false), Label: q.Name, Page: q.Page, InputType: q.InputType})
		}
	}
	return out
}
