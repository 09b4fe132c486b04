package mapping

import (
	"slices"
	"sort"
	"strings"

	"github.com/valyala/fastjson"
)

// answer is one entry of responses (stova-api.md §7.7). Its bytes belong to the
// row's parser: whoever keeps one copies it.
type answer struct {
	id, field, name, page []byte
	key, response         *fastjson.Value
}

// part returns the answer's value, or one of its keys by name. A response that
// is empty falls back to the choice (stova-api.md Q1).
func (a *answer) part(name string) value {
	switch name {
	case "":
		if v := leafOf(a.response); !v.empty() {
			return v
		}
		return leafOf(a.key)
	case "response":
		return leafOf(a.response)
	case "choicekey":
		return leafOf(a.key)
	case "name":
		return textValue(string(a.name))
	case "page":
		return textValue(string(a.page))
	default:
		return value{}
	}
}

func leafOf(j *fastjson.Value) value {
	if j == nil {
		return value{}
	}
	return leaf(j)
}

// standard reports whether the answer is to one of the vendor's own questions,
// which have a name (email) and not a number for fieldname.
func (a *answer) standard() bool { return len(a.field) > 0 && !number(string(a.field)) }

func (a *answer) text() string { return string(a.name) }

// answers reads responses, which is a numbered object, a list or empty. The
// keys of the object are small numbers without meaning (stova-api.md §7.7).
func (d *doc) answers() []answer {
	if d.read {
		return d.found
	}
	d.read = true
	j := d.obj.Get("responses")
	if j == nil {
		return nil
	}
	if obj, _ := j.Object(); obj != nil {
		obj.Visit(func(_ []byte, e *fastjson.Value) { d.add(e) })
		return d.ordered(obj)
	}
	list, _ := j.Array()
	for _, e := range list {
		d.add(e)
	}
	return d.found
}

// ordered brings the answers of an object into the order of its numbers.
func (d *doc) ordered(obj *fastjson.Object) []answer {
	last, sorted := -1, true
	obj.Visit(func(k []byte, _ *fastjson.Value) {
		n, _ := index(k)
		sorted = sorted && n >= last
		last = n
	})
	if !sorted {
		d.found = d.found[:0]
		for _, e := range sortedElements(obj) {
			d.add(e)
		}
	}
	return d.found
}

// sortedElements returns the members of a numbered object by number; keys that
// are no numbers come first, in their order.
func sortedElements(obj *fastjson.Object) []*fastjson.Value {
	type member struct {
		n int
		v *fastjson.Value
	}
	all := make([]member, 0, obj.Len())
	obj.Visit(func(k []byte, v *fastjson.Value) {
		n, ok := index(k)
		if !ok {
			n = -1
		}
		all = append(all, member{n, v})
	})
	sort.SliceStable(all, func(i, j int) bool { return all[i].n < all[j].n })
	out := make([]*fastjson.Value, len(all))
	for i := range all {
		out[i] = all[i].v
	}
	return out
}

// add reads one entry; what is no object is no answer.
func (d *doc) add(e *fastjson.Value) {
	obj, err := e.Object()
	if err != nil {
		return
	}
	var a answer
	obj.Visit(func(k []byte, v *fastjson.Value) {
		switch string(k) {
		case "questionid":
			a.id = scalarBytes(v)
		case "fieldname":
			a.field = scalarBytes(v)
		case "name":
			a.name = scalarBytes(v)
		case "page":
			a.page = scalarBytes(v)
		case "choicekey":
			a.key = v
		case "response":
			a.response = v
		}
	})
	if len(a.id) == 0 && number(string(a.field)) {
		a.id = a.field
	}
	d.found = append(d.found, a)
}

func scalarBytes(v *fastjson.Value) []byte {
	if v.Type() == fastjson.TypeString {
		b, _ := v.StringBytes()
		return b
	}
	return []byte(scalar(v))
}

// standard reads the answers to a standard question by its field name.
func (d *doc) standard(field string) value {
	var out value
	if number(field) {
		return out
	}
	for i := range d.answers() {
		if a := &d.found[i]; string(a.field) == field {
			out = gather(out, a.part(""))
		}
	}
	return out
}

// idsOfSlug finds the question of the row that has the slug, among those the
// event did not list. Two of them collide: then there is none (P18).
func (d *doc) idsOfSlug(m *Mapper, slug string) []string {
	var ids []string
	for i := range d.answers() {
		a := &d.found[i]
		if _, listed := m.questions.byID[string(a.id)]; listed || len(a.id) == 0 || m.onAgenda(a) {
			continue
		}
		if Slug(string(a.name)) == slug && !slices.Contains(ids, string(a.id)) {
			ids = append(ids, string(a.id))
		}
	}
	if len(ids) > 1 {
		return nil
	}
	return ids
}

// onAgenda reports whether the answer picks a session: it is on the Agenda
// page, or its question is of the type that Data Services gives such picks.
func (m *Mapper) onAgenda(a *answer) bool {
	if strings.EqualFold(strings.TrimSpace(string(a.page)), agendaPage) {
		return true
	}
	q, ok := m.questions.byID[string(a.id)]
	return ok && q.agenda()
}
