package mapping

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"stovasync/shared/fault"
	"stovasync/shared/run"
)

// Doubts are what a mapping could have meant otherwise, as far as that can be
// told without the event: what Set.Warnings tells, fields of users that are
// nearly a known one, and columns that nearly are a known column of the vendor.
// Each is a *fault.Error whose cause is a *Place. None of them is a mistake:
// events have columns of their own.
func Doubts(s *Set) []error {
	var all []error
	for _, d := range s.doubts {
		all = append(all, fault.Wrap(fault.MappingInvalid, d, d.what, ""))
	}
	for _, f := range s.types[run.Users].fields {
		if near := slipOf(f.Name, slices.Sorted(maps.Keys(known(run.Users)))); near != "" && !f.Default {
			what := fmt.Sprintf("users: %s becomes a field of its own", f.Name)
			all = append(all, fault.Wrap(fault.MappingInvalid, &Place{Type: run.Users, Field: f.Name, what: what}, what, "did you mean "+near+"?"))
		}
	}
	for _, t := range run.AllTypes() {
		all = append(all, s.doubtfulColumns(t)...)
	}
	return all
}

// slipOf returns the name that is one slip of the hand away from another one,
// or "" for a name that is known, or not so near.
func slipOf(name string, names []string) string {
	if slices.Contains(names, name) {
		return ""
	}
	near := nearest(name, names)
	if near == "" || edits(strings.ToLower(name), strings.ToLower(near)) > 1 {
		return ""
	}
	return near
}

func (s *Set) doubtfulColumns(t run.DataType) []error {
	names := slices.Sorted(maps.Keys(s.vendor[t.Stream()]))
	var all []error
	for _, ref := range s.References(t) {
		c := s.columns[ref.column]
		if c.root != rootRow || slices.Contains(names, c.path[0]) {
			continue
		}
		near := nearest(c.path[0], names)
		if near == "" {
			continue
		}
		place := &Place{Type: t, Field: ref.Field, what: fmt.Sprintf("%s: %s: no known column is called %s", t, ref.Field, c.text)}
		text := ""
		if f := s.types[t].field(ref.Field); f != nil && !f.Default {
			text = f.Expression
		} else {
			place.Field, place.Filter, text = "", true, s.Filter(t)
		}
		place.Column = placeOfName(text, c.path[0])
		all = append(all, fault.Wrap(fault.MappingInvalid, place, place.what, "did you mean "+instead(near, c.path)+"?"))
	}
	return all
}

// instead spells a path with another first name.
func instead(first string, path []string) string {
	return spell(append([]string{first}, path[1:]...))
}

// placeOfName is the character, counted from 1, at which a name stands in an
// expression as a word of its own; 1 where it does not.
func placeOfName(text, name string) int {
	inName := func(r rune) bool { return r == '_' || r == '.' || unicode.IsLetter(r) || unicode.IsDigit(r) }
	for from := 0; ; {
		at := strings.Index(text[from:], name)
		if at < 0 {
			return 1
		}
		at += from
		before, _ := utf8.DecodeLastRuneInString(text[:at])
		after, _ := utf8.DecodeRuneInString(text[at+len(name):])
		if !inName(before) && (!inName(after) || after == '.') {
			return utf8.RuneCountInString(text[:at]) + 1
		}
		from = at + len(name)
	}
}
