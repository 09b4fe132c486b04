package mapping

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/valyala/fastjson"

	"stovasync/shared/fault"
	"stovasync/shared/run"
)

// Row is one vendor row, presented as columns. It holds its own copy of the
// row's bytes. A Row serves one goroutine at a time; whatever it returned stays
// valid for ever. Call Release when the row is done with, to lend its memory to
// the next one; a released Row and its copies must not be used again.
type Row struct {
	m      *Mapper
	stream run.Stream
	d      *doc
}

// doc is the parsed row and what was found in it.
type doc struct {
	parser fastjson.Parser
	obj    *fastjson.Object
	found  []answer // the entries of responses, in order
	read   bool     // found is filled
	size   int
	pick   *Pick // of a schedule row under way
}

// keepBytes is the size of the largest row whose memory is kept for others.
const keepBytes = 256 << 10

// Row reads one vendor row: a JSON object of stream (attendees, sessions or
// speakers). The error has code STOVA_BODY and no part of the row in it.
func (m *Mapper) Row(stream run.Stream, raw json.RawMessage) (Row, error) {
	d, _ := m.docs.Get().(*doc)
	if d == nil {
		d = &doc{}
	}
	d.size = len(raw)
	v, err := d.parser.ParseBytes(raw)
	if err != nil || v.Type() != fastjson.TypeObject {
		Row{m: m, d: d}.Release()
		return Row{}, fault.New(fault.StovaBody, "a row of "+string(stream)+" is not a JSON object", "")
	}
	d.obj, _ = v.Object()
	return Row{m: m, stream: stream, d: d}, nil
}

// Release gives the row's memory back.
func (r Row) Release() {
	if r.d == nil || r.d.size > keepBytes {
		return
	}
	r.d.obj, r.d.found, r.d.read, r.d.pick = nil, r.d.found[:0], false, nil
	r.m.docs.Put(r.d)
}

// ID returns the row's id as its records have it: the attendee's, the
// speaker's, or the session's with its key; "" when the row has none. "0" is
// the vendor's way to write no id.
func (r Row) ID() string {
	switch r.stream {
	case run.SessionStream:
		id := r.own("sessionid")
		if key := r.own("sessionkey"); id != "" && key != "" {
			return id + "_" + key
		}
		return id
	case run.Speakers:
		return r.own("speakerid")
	default:
		return r.own("attendeeid")
	}
}

// own reads an id from the row's own key, never from an answer.
func (r Row) own(key string) string {
	j := r.d.obj.Get(key)
	if j == nil {
		return ""
	}
	id := strings.TrimSpace(scalar(j))
	if id == "0" && key != "sessionkey" {
		return ""
	}
	return id
}

// LastModified returns the vendor's own stamp, "YYYY-MM-DD HH:MM:SS" in a zone
// nobody knows (stova-api.md §6), or "".
func (r Row) LastModified() string {
	j := r.d.obj.Get("lastmodified")
	if j == nil {
		return ""
	}
	return strings.TrimSpace(scalar(j))
}

// Column returns the value of a column expression such as fname,
// category.name or responses["7060"]: a string, a bool, or a []string of
// several; nil when it is absent or the expression names no column.
func (r Row) Column(expression string) any {
	c, ok := parseColumn(viewOf(r.stream), expression)
	if !ok {
		return nil
	}
	return r.at(c)
}

func (r Row) at(c column) any {
	b := r.m.bind(c)
	return b.get(r.m, r.d).result()
}

// Column is one column of a row as people see it.
type Column struct {
	Expression string // what goes into a mapping as it is
	Label      string // the question's text, or the key
	Page       string // the page of the form that asks, for questions
	InputType  string // the vendor's number of the question's kind; "" where the event lists none
	Agenda     bool   // it picks a session
	Value      any    // string, bool or []string; nil where the row has none
}

// Columns returns the columns that the row fills, in the row's order: its own
// keys, those of nested objects, then its answers. Standard answers (fname,
// email, …) stand under their field name, others under responses. Sessions
// have the connector's own column in_slot besides.
func (r Row) Columns() []Column {
	var out []Column
	r.d.obj.Visit(func(k []byte, v *fastjson.Value) {
		if key := string(k); key != "responses" && key != slotColumn {
			out = r.nested(out, []string{string(k)}, v)
		}
	})
	seen := map[string]bool{}
	for i := range r.d.answers() {
		a := &r.d.found[i]
		if len(a.id) == 0 && !a.standard() {
			continue
		}
		c := newColumn(viewOf(r.stream), r.m.partsOf(string(a.id), string(a.field), a.text(), r.m.onAgenda(a)))
		expression := c.text
		if seen[expression] {
			continue
		}
		seen[expression] = true
		v := r.at(c)
		if !a.standard() || r.d.obj.Get(string(a.field)) == nil {
			out = append(out, Column{
				Expression: expression, Label: a.text(), Page: string(a.page), Agenda: r.m.onAgenda(a), Value: v,
				InputType: r.m.questions.byID[string(a.id)].InputType,
			})
		}
	}
	if r.stream == run.SessionStream {
		out = append(out, Column{Expression: slotColumn, Label: slotColumn})
	}
	return out
}

// nested appends the columns of v, which stands at path.
func (r Row) nested(out []Column, path []string, v *fastjson.Value) []Column {
	got := leaf(v)
	if obj := inner(v); obj != nil && got.empty() && len(path) < 4 {
		obj.Visit(func(k []byte, e *fastjson.Value) {
			out = r.nested(out, append(slices.Clone(path), string(k)), e)
		})
		return out
	}
	c := newColumn(viewOf(r.stream), ownParts(path))
	return append(out, Column{Expression: c.text, Label: strings.Join(path, "."), Value: r.at(c)})
}

// inner returns the object whose keys are columns below v's: v itself, or the
// first element of a list of objects, whose other elements are read alike.
func inner(v *fastjson.Value) *fastjson.Object {
	if list := elements(v); len(list) > 0 {
		v = list[0]
	}
	if v.Type() != fastjson.TypeObject { // which Object would tell at length
		return nil
	}
	obj, _ := v.Object()
	return obj
}
