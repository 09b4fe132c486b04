package mapping

import (
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/parser/utils"
	"github.com/valyala/fastjson"
)

// root says where a column starts.
type root int

const (
	rootRow       root = iota // the row's own keys, then standard answers
	rootResponses             // answers
	rootPick                  // the agenda pick of a schedule row
	rootSlot                  // in_slot of sessions, which the connector adds
)

// column is a place in a row: the parsed form of fname, category.name or
// responses["7060"].
type column struct {
	root root
	path []string // keys below the root
	text string   // canonical spelling, for people
}

// langMark in a key stands for the event's language: descriptions.LANG.
const langMark = "LANG"

// newColumn makes a column from the parts of its path. The first part may name
// a root: responses, pick, in_slot, or row for keys that are no identifiers.
func newColumn(t view, parts []string) column {
	c := column{path: parts, text: spell(parts)}
	switch {
	case parts[0] == "row" && len(parts) > 1:
		c.path = parts[1:]
	case parts[0] == "responses":
		c.root, c.path = rootResponses, parts[1:]
	case parts[0] == "pick" && t.picks:
		c.root, c.path = rootPick, parts[1:]
	case parts[0] == slotColumn && len(parts) == 1 && t.slots:
		c.root, c.path = rootSlot, nil
	}
	return c
}

// spell writes a path as an expression.
func spell(parts []string) string {
	var b strings.Builder
	for i, p := range parts {
		plain := utils.IsValidIdentifier(p) && !slices.Contains(reserved, p)
		switch {
		case i == 0 && plain:
			b.WriteString(p)
		case i == 0:
			b.WriteString("row[" + strconv.Quote(p) + "]")
		case plain:
			b.WriteString("." + p)
		default:
			b.WriteString("[" + strconv.Quote(p) + "]")
		}
	}
	return b.String()
}

// reserved are words of the expression language that no column can be spelled
// with; row["in"] reaches such a column.
var reserved = []string{"in", "not", "and", "or", "let", "if", "else", "true", "false", "nil", "matches",
	"contains", "startsWith", "endsWith"}

// roots are the first names that do not mean the row's own key.
var roots = []string{"row", "responses", "pick"}

// spellOwn writes the path of one of the row's own keys.
func spellOwn(path []string) string { return spell(ownParts(path)) }

// ownParts is the path of one of the row's own keys with its root, where its
// first name would mean another.
func ownParts(path []string) []string {
	if slices.Contains(roots, path[0]) {
		return append([]string{"row"}, path...)
	}
	return path
}

// bound is a column made ready for one event: an answer's slug has become the
// ids of its question.
type bound struct {
	column
	ids  []string // questions asked for by responses.…
	slug string   // where no listed question has it: look at the row's own texts
	own  bool     // never an answer: what a person types must not decide a rule
}

// ruled are the columns that rules read (R1, R4, §5.9).
var ruled = []string{"attendeeid", "registrationstatus", "registration_status", "category", "category_shortname",
	"subcategory", "subcategory_shortname", "deleted", "lastmodified"}

// bind resolves c for the questions of m's event.
func (m *Mapper) bind(c column) bound {
	b := bound{column: c, own: c.root == rootRow && slices.Contains(ruled, c.path[0])}
	if c.root != rootResponses || len(c.path) == 0 {
		return b
	}
	key := c.path[0]
	if number(key) {
		b.ids = []string{key}
		return b
	}
	slug := Slug(key)
	switch ids := m.questions.slugs[slug]; {
	case len(ids) == 1:
		b.ids = ids
	case len(ids) > 1: // they collide: by id only (P18)
	case m.questions.fields[key] != "":
		b.ids = []string{m.questions.fields[key]}
	default:
		b.slug = slug
	}
	return b
}

// get reads the column from a row.
func (b *bound) get(m *Mapper, d *doc) value {
	switch b.root {
	case rootResponses:
		return b.answer(m, d)
	case rootPick:
		if d.pick == nil || len(b.path) != 1 {
			return value{}
		}
		return d.pick.column(b.path[0])
	case rootSlot:
		return value{}
	default:
		v := m.walk(d.obj.Get(b.path[0]), b.path[1:])
		if v.empty() && len(b.path) == 1 && !b.own {
			return d.standard(b.path[0])
		}
		return v
	}
}

// walk follows a path below j.
func (m *Mapper) walk(j *fastjson.Value, path []string) value {
	if j == nil {
		return value{}
	}
	if len(path) == 0 {
		return leaf(j)
	}
	key := path[0]
	switch j.Type() {
	case fastjson.TypeObject:
		obj, _ := j.Object()
		if strings.HasSuffix(key, langMark) {
			return m.localized(obj, strings.TrimSuffix(key, langMark), path[1:])
		}
		if e := obj.Get(key); e != nil {
			return m.walk(e, path[1:])
		}
		return m.each(j, path)
	case fastjson.TypeArray:
		if n, ok := index([]byte(key)); ok {
			if list, _ := j.Array(); n < len(list) {
				return m.walk(list[n], path[1:])
			}
			return value{}
		}
		return m.each(j, path)
	case fastjson.TypeString, fastjson.TypeNumber:
		// The vendor writes the name in place of the object at times, and 0
		// where there is none (stova-api.md §6).
		if v := leaf(j); len(path) == 1 && (key == "name" || key == langMark) && v.text != "0" {
			return v
		}
	}
	return value{}
}

// each follows path in every element of a list and collects what is there.
func (m *Mapper) each(j *fastjson.Value, path []string) value {
	var out []string
	for _, e := range elements(j) {
		if e.Type() == fastjson.TypeObject {
			out = append(out, m.walk(e, path).texts()...)
		}
	}
	return listValue(out)
}

// localized reads prefix + language: the event's, else eng, else the first key
// that has a text (stova-api.md Q22).
func (m *Mapper) localized(obj *fastjson.Object, prefix string, path []string) value {
	for _, lang := range m.languages {
		if v := m.walk(obj.Get(prefix+lang), path); !v.blank() {
			return v
		}
	}
	var found value
	obj.Visit(func(k []byte, e *fastjson.Value) {
		if found.blank() && strings.HasPrefix(string(k), prefix) {
			found = m.walk(e, path)
		}
	})
	return found
}

// answer reads an answer: of the question with one of b's ids, or of the one
// question whose text has b's slug.
func (b *bound) answer(m *Mapper, d *doc) value {
	if len(b.path) == 0 || len(b.ids) == 0 && b.slug == "" {
		return value{}
	}
	ids := b.ids
	if b.slug != "" {
		ids = d.idsOfSlug(m, b.slug)
	}
	part, nth := "", -1
	for _, key := range b.path[1:] {
		if n, ok := index([]byte(key)); ok {
			nth = n
		} else {
			part = key
		}
	}
	var out value
	for i := range d.answers() {
		a := &d.found[i]
		if slices.Contains(ids, string(a.id)) {
			out = gather(out, a.part(part))
		}
	}
	if nth >= 0 {
		return nthText(out, nth)
	}
	return out
}

func nthText(v value, n int) value {
	if list := v.texts(); n < len(list) {
		return textValue(list[n])
	}
	return value{}
}

// gather adds v to what was collected, in order.
func gather(out, v value) value {
	switch {
	case v.empty():
		return out
	case out.empty():
		return v
	default:
		return listValue(append(slices.Clip(out.texts()), v.texts()...))
	}
}

// number reports whether s is made of digits only, as the vendor's ids are.
func number(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
