package stova

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Text is a scalar of any kind as text: the vendor sends ids, flags and money
// as strings or numbers (stova-api.md §6). Numbers keep every digit; null, and
// an object or array where a scalar was expected, are "".
type Text string

// UnmarshalJSON reads any JSON value; it fails only on what is not JSON.
func (t *Text) UnmarshalJSON(b []byte) error {
	*t = ""
	switch b = bytes.TrimSpace(b); {
	case len(b) == 0 || b[0] == '{' || b[0] == '[' || string(b) == "null":
		return nil
	case b[0] == '"':
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*t = Text(s)
	default:
		*t = Text(b)
	}
	return nil
}

// Trim returns the text without white space around it.
func (t Text) Trim() string { return strings.TrimSpace(string(t)) }

// Bool reads a flag: "1", "true" and "yes" are true, whatever their case.
func (t Text) Bool() bool {
	switch strings.ToLower(t.Trim()) {
	case "1", "true", "yes":
		return true
	default:
		return false
	}
}

// List is a list in any of the vendor's shapes: an array; an object with
// number strings for keys, taken in the order of the numbers; null, "", false,
// [] or {} when empty (stova-api.md §6).
type List[T any] []T

// UnmarshalJSON reads any of the shapes. An object with other keys, or a
// scalar that is not empty, is an error.
func (l *List[T]) UnmarshalJSON(b []byte) error {
	*l = nil
	b = bytes.TrimSpace(b)
	if isNothing(b) {
		return nil
	}
	if b[0] != '{' {
		return json.Unmarshal(b, (*[]T)(l))
	}
	var numbered map[string]T
	if err := json.Unmarshal(b, &numbered); err != nil {
		return err
	}
	keys, err := numericKeys(numbered)
	if err != nil {
		return err
	}
	for _, k := range keys {
		*l = append(*l, numbered[k])
	}
	return nil
}

// numericKeys returns the keys of m in the order of their numbers. Keys that
// are the same number ("1", "01") keep an order too, by their text.
func numericKeys[T any](m map[string]T) ([]string, error) {
	numbers := make(map[string]int, len(m))
	for k := range m {
		n, err := strconv.Atoi(k)
		if err != nil {
			return nil, &json.UnmarshalTypeError{Value: "object"}
		}
		numbers[k] = n
	}
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(numbers[a], numbers[b]), strings.Compare(a, b))
	}), nil
}

// isNothing reports whether b is one of the ways in which PHP writes nothing.
func isNothing(b []byte) bool {
	switch string(b) {
	case "", "null", `""`, "false":
		return true
	}
	if len(b) < 2 {
		return false
	}
	inner := len(bytes.TrimSpace(b[1:len(b)-1])) == 0
	return inner && (b[0] == '[' || b[0] == '{')
}

// Object is an object, or nothing: null, "", [], {} and whatever else stands
// where an object should (stova-api.md §6) are an empty Object.
type Object map[string]json.RawMessage

// UnmarshalJSON reads any JSON value; it fails only on what is not JSON.
func (o *Object) UnmarshalJSON(b []byte) error {
	*o = nil
	if b = bytes.TrimSpace(b); len(b) == 0 || b[0] != '{' {
		return nil
	}
	return json.Unmarshal(b, (*map[string]json.RawMessage)(o))
}

// Date is a day, "2006-01-02", or "" when absent: a zero date, or no date.
type Date string

// UnmarshalJSON reads a date or the date of a stamp. It fails only on what is not JSON.
func (d *Date) UnmarshalJSON(b []byte) error {
	s, err := momentOf(b, time.DateOnly)
	*d = Date(s)
	return err
}

// Clock is a time of day, "15:04:05", or "" when absent. 00:00:00 is midnight,
// not absence.
type Clock string

// UnmarshalJSON reads a time of day, with or without seconds. It fails only on
// what is not JSON.
func (c *Clock) UnmarshalJSON(b []byte) error {
	s, err := momentOf(b, time.TimeOnly)
	*c = Clock(s)
	return err
}

// Stamp is a day and time without a zone, "2006-01-02 15:04:05", or "" when absent.
type Stamp string

// UnmarshalJSON reads a stamp. It fails only on what is not JSON.
func (s *Stamp) UnmarshalJSON(b []byte) error {
	m, err := momentOf(b, time.DateTime)
	*s = Stamp(m)
	return err
}

// momentOf reads a date or time in the given layout, "" when it is zero or none.
func momentOf(b []byte, layout string) (string, error) {
	var t Text
	if err := t.UnmarshalJSON(b); err != nil {
		return "", err
	}
	s := t.Trim()
	if layout == time.DateOnly && len(s) > len(layout) {
		s = s[:len(layout)]
	}
	if layout == time.TimeOnly && len(s) == len("15:04") {
		s += ":00"
	}
	at, err := time.Parse(layout, s)
	if err != nil || (layout != time.TimeOnly && at.Year() <= 1) {
		return "", nil
	}
	return at.Format(layout), nil
}
