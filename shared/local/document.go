package local

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"stovasync/shared/pipeline"
)

// A record is kept as one JSON document. Writing and reading it is most of
// what a record costs beside SQLite itself, and the types of the fields must
// come back as they were, so both are done here by hand: several times faster
// than by reflection into a map (see the benchmarks).

// appendRecord writes a record's document: everything but the id and the times
// that queries need as columns.
func appendRecord(b []byte, r *pipeline.Record) ([]byte, error) {
	for _, f := range [...]struct{ name, value string }{
		{`{"type":`, r.Type}, {`,"status":`, r.Status}, {`,"owner":`, r.Owner}, {`,"hash":`, r.Hash},
		{`,"last_modified":`, r.LastModified}, {`,"run":`, r.Run}, {`,"created_run":`, r.CreatedRun},
	} {
		b = appendString(append(b, f.name...), f.value)
	}
	b = strconv.AppendInt(append(b, `,"fetched_at":`...), nanos(r.FetchedAt), 10)
	if len(r.Protect) > 0 {
		b = appendList(append(b, `,"protect":`...), r.Protect)
	}
	b = append(b, `,"fields":{`...)
	// In the order in which they are exported, which need not be made then.
	for i, name := range slices.Sorted(maps.Keys(r.Fields)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, name), ':')
		var err error
		if b, err = appendValue(b, r.Fields[name]); err != nil {
			return nil, refuse("record %s: field %s: %w", r.ID, name, err)
		}
	}
	return append(b, "}}"...), nil
}

func appendValue(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case string:
		return appendString(b, v), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	case float64:
		return appendFloat(b, v)
	case []string:
		return appendList(b, v), nil
	default:
		return nil, refuse("a %T is not kept; string, bool, int64, float64 and []string are", v)
	}
}

// appendFloat always writes a point or an exponent, which tells a float64 from
// an int64.
func appendFloat(b []byte, f float64) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, refuse("not a finite number")
	}
	n := len(b)
	b = strconv.AppendFloat(b, f, 'g', -1, 64)
	if !bytes.ContainsAny(b[n:], ".e") {
		b = append(b, '.', '0')
	}
	return b, nil
}

func appendList(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, s)
	}
	return append(b, ']')
}

// appendString quotes s as JSON. Text that is not UTF-8 is made so.
func appendString(b []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	b = append(b, '"')
	start := 0
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[start:i]...)
		start = i + 1
		if c >= 0x20 {
			b = append(b, '\\', c)
		} else {
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(append(b, s[start:]...), '"')
}

var errDocument = errors.New("a record's document is not as it was written")

// reader reads what appendRecord wrote, and nothing looser: there are no
// blanks in it. The first fault sticks and ends everything.
type reader struct {
	s   string // what is left
	err error
}

// readRecord fills r from its document. Strings share the document's memory.
func readRecord(doc string, r *pipeline.Record) error {
	d := reader{s: doc}
	d.record(r, func() {
		r.Fields = make(map[string]any, 16)
		d.object(func(name string) { r.Fields[name] = d.value() })
	})
	return d.err
}

// record reads the whole document, its fields by a function that knows what to
// make of them.
func (d *reader) record(r *pipeline.Record, fields func()) {
	d.object(func(name string) {
		switch name {
		case "type":
			r.Type = d.string()
		case "status":
			r.Status = d.string()
		case "owner":
			r.Owner = d.string()
		case "hash":
			r.Hash = d.string()
		case "last_modified":
			r.LastModified = d.string()
		case "run":
			r.Run = d.string()
		case "created_run":
			r.CreatedRun = d.string()
		case "fetched_at":
			n, _ := d.number().(int64)
			r.FetchedAt = fromNanos(n)
		case "protect":
			r.Protect = d.list()
		case "fields":
			fields()
		default:
			d.fail()
		}
	})
	if d.s != "" {
		d.fail()
	}
}

func (d *reader) fail() { d.s, d.err = "", errDocument }

// is takes c when it is next.
func (d *reader) is(c byte) bool {
	if d.s == "" || d.s[0] != c {
		return false
	}
	d.s = d.s[1:]
	return true
}

func (d *reader) want(c byte) {
	if !d.is(c) {
		d.fail()
	}
}

func (d *reader) object(member func(name string)) {
	d.want('{')
	if d.is('}') {
		return
	}
	for d.err == nil {
		name := d.string()
		d.want(':')
		member(name)
		if !d.is(',') {
			break
		}
	}
	d.want('}')
}

func (d *reader) list() []string {
	list := []string{}
	d.want('[')
	if d.is(']') {
		return list
	}
	for d.err == nil {
		list = append(list, d.string())
		if !d.is(',') {
			break
		}
	}
	d.want(']')
	return list
}

func (d *reader) value() any {
	switch {
	case d.s == "":
		d.fail()
		return nil
	case d.s[0] == '"':
		return d.string()
	case d.s[0] == '[':
		return d.list()
	case strings.HasPrefix(d.s, "true"):
		d.s = d.s[len("true"):]
		return true
	case strings.HasPrefix(d.s, "false"):
		d.s = d.s[len("false"):]
		return false
	default:
		return d.number()
	}
}

func (d *reader) string() string {
	d.want('"')
	end := strings.IndexByte(d.s, '"')
	if end < 0 {
		d.fail()
		return ""
	}
	if s := d.s[:end]; strings.IndexByte(s, '\\') < 0 {
		d.s = d.s[end+1:]
		return s
	}
	return d.escaped()
}

// escaped reads the rest of a string that has escapes, which few have.
func (d *reader) escaped() string {
	end := 0
	for end < len(d.s) && d.s[end] != '"' {
		if d.s[end] == '\\' {
			end++
		}
		end++
	}
	var s string
	if end >= len(d.s) || json.Unmarshal([]byte(`"`+d.s[:end+1]), &s) != nil {
		d.fail()
		return ""
	}
	d.s = d.s[end+1:]
	return s
}

func (d *reader) number() any {
	end := strings.IndexAny(d.s, ",}]")
	if end < 0 {
		d.fail()
		return nil
	}
	var v any
	var err error
	if num := d.s[:end]; strings.ContainsAny(num, ".e") {
		v, err = strconv.ParseFloat(num, 64)
	} else {
		v, err = strconv.ParseInt(num, 10, 64)
	}
	d.s = d.s[end:]
	if err != nil {
		d.fail()
		return nil
	}
	return v
}
