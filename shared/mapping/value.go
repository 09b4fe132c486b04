package mapping

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/valyala/fastjson"
)

// value is what a column or an expression gives: nothing (the zero value), a
// text, several texts, or a bool, int64 or float64 that an expression made.
// At most one of the parts is set; a list holds two texts or more.
type value struct {
	text  string
	list  []string
	other any
}

func textValue(s string) value { return value{text: s} }

// listValue makes a value of texts: none is nothing, one is a plain text.
func listValue(list []string) value {
	switch len(list) {
	case 0:
		return value{}
	case 1:
		return value{text: list[0]}
	default:
		return value{list: list}
	}
}

func (v value) empty() bool { return v.text == "" && v.list == nil && v.other == nil }

// blank reports whether v holds nothing a person would see.
func (v value) blank() bool {
	return v.list == nil && v.other == nil && strings.TrimSpace(v.text) == ""
}

// str returns v as one text; several texts are joined by a comma and a blank.
func (v value) str() string {
	switch {
	case v.list != nil:
		return strings.Join(v.list, ", ")
	case v.other != nil:
		return fmt.Sprint(v.other)
	default:
		return v.text
	}
}

// texts returns v as a list, nil when there is nothing.
func (v value) texts() []string {
	switch {
	case v.list != nil:
		return v.list
	case v.empty():
		return nil
	default:
		return []string{v.str()}
	}
}

// seen returns v as expressions see it: nothing is the empty text.
func (v value) seen() any {
	switch {
	case v.list != nil:
		return v.list
	case v.other != nil:
		return v.other
	default:
		return v.text
	}
}

// result returns v as callers of the package see it: nothing is nil.
func (v value) result() any {
	if v.empty() {
		return nil
	}
	return v.seen()
}

// valueOf takes a value back from an expression. ok is false for what no field
// can hold, such as a map.
func valueOf(a any) (v value, ok bool) {
	switch a := a.(type) {
	case nil:
		return value{}, true
	case string:
		return value{text: a}, true
	case []string:
		return listValue(a), true
	case []any:
		var list []string
		for _, e := range a {
			ev, ok := valueOf(e)
			if !ok {
				return value{}, false
			}
			list = append(list, ev.texts()...)
		}
		return listValue(list), true
	case bool, int64, float64:
		return value{other: a}, true
	case int:
		return value{other: int64(a)}, true
	default:
		return value{}, false
	}
}

// on reports whether a vendor flag is set, off whether it is there and not set.
func (v value) on() bool  { return v.text == "1" || v.other == true || v.text == "true" }
func (v value) off() bool { return v.text == "0" || v.other == false || v.text == "false" }

// leaf reads a JSON value as a column. An object is nothing, unless it is a
// list in PHP's clothes (numeric keys); lists give their plain elements.
func leaf(j *fastjson.Value) value {
	switch j.Type() {
	case fastjson.TypeString:
		return textValue(scalar(j))
	case fastjson.TypeNumber:
		return textValue(scalar(j))
	case fastjson.TypeTrue:
		return value{other: true}
	case fastjson.TypeFalse:
		return value{other: false}
	case fastjson.TypeArray, fastjson.TypeObject:
		var list []string
		for _, e := range elements(j) {
			if s := scalar(e); s != "" {
				list = append(list, s)
			}
		}
		return listValue(list)
	default:
		return value{}
	}
}

// scalar reads a string or number as text, digits as they came (ids pass
// through no float). Zero dates count as absent (R8); bytes that are no UTF-8
// are marked rather than passed on to a store that would refuse the record.
func scalar(j *fastjson.Value) string {
	switch j.Type() {
	case fastjson.TypeString:
		b, _ := j.StringBytes()
		if zeroDate(b) {
			return ""
		}
		if !utf8.Valid(b) {
			return strings.ToValidUTF8(string(b), "\uFFFD")
		}
		return string(b)
	case fastjson.TypeNumber:
		return string(j.MarshalTo(nil))
	default:
		return ""
	}
}

// zeroDate reports whether b is one of the vendor's ways to write no date (R8,
// stova-api.md §6).
func zeroDate(b []byte) bool {
	if len(b) < 10 || b[0] != '0' || b[1] != '0' || b[4] != '-' {
		return false
	}
	if day := string(b[:10]); day != "0000-00-00" && day != "0001-01-01" {
		return false
	}
	rest := strings.TrimLeft(string(b[10:]), " T")
	return strings.Trim(rest, "0:.Z") == ""
}

// elements returns the members of a JSON list, or of an object whose keys are
// all numbers, in the order of the numbers; nil for anything else.
func elements(j *fastjson.Value) []*fastjson.Value {
	if j.Type() == fastjson.TypeArray {
		list, _ := j.Array()
		return list
	}
	if j.Type() != fastjson.TypeObject {
		return nil
	}
	obj, _ := j.Object()
	out := make([]*fastjson.Value, 0, obj.Len())
	last, ordered, numbered := -1, true, true
	obj.Visit(func(k []byte, e *fastjson.Value) {
		n, ok := index(k)
		numbered = numbered && ok
		ordered = ordered && n > last
		last = n
		out = append(out, e)
	})
	if !numbered {
		return nil
	}
	if !ordered {
		return sortedElements(obj)
	}
	return out
}

// index reads the key of a numbered object.
func index(k []byte) (int, bool) {
	if len(k) == 0 || len(k) > 9 {
		return 0, false
	}
	n, err := strconv.Atoi(string(k))
	return n, err == nil && n >= 0 && k[0] != '+'
}
