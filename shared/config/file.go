package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"stovasync/shared/fault"
	"stovasync/shared/run"
)

// Check looks at what could be read of a file, and tells what is wrong with
// it. Readers of files ask it also when they have found mistakes of their own,
// so that a person gets to know all of them at once; settings that are wrong
// have their defaults then.
type Check func(run.Connection) error

// MappingFile is a mapping to try: a file of its own, or the mapping of a
// connection file.
type MappingFile struct {
	// Name is the connection's in a connection file, else "".
	Name string
	// Mapping, Filters and Protect are as run.Connection has them. Each is nil
	// when the file does not speak of it, and empty when it says that there is none.
	Mapping  map[run.DataType]map[string]*string
	Filters  map[run.DataType]string
	Protect  map[run.DataType]map[string][]string
	Warnings []run.Warning

	Places *Places // of the expressions of Mapping and Filters
}

// sections are the parts of a connection file that make a mapping.
var sections = []string{"mapping", "filters", "protect"}

// ParseMappingFile reads a mapping in one of three forms: a bare table of data
// type, field and expression, as `mapping` of a connection file holds it; a
// file with mapping, filters and protect, or some of them; or a whole connection file, of which the other
// settings are left alone. The error joins every mistake, as ParseConnection's
// does.
func ParseMappingFile(text string, checks ...Check) (MappingFile, error) {
	top, src, problems := document([]byte(text))
	r := &reader{c: defaults(), problems: problems, places: &Places{src: src}}
	f := MappingFile{}
	switch {
	case errors.Is(errors.Join(problems...), errEmpty):
		r.problems = []error{wrong(Position{}, "the file is empty", "write data type, field and expression, as in {users: {photo: responses.photo}}")}
	case top.kind == table:
		r.mappingFile(top, &f)
		r.check(checks)
	}
	if len(r.problems) > 0 {
		src.show(r.problems)
		return MappingFile{}, errors.Join(r.problems...)
	}
	f.Mapping, f.Filters, f.Protect = r.c.Mapping, r.c.Filters, r.c.Protect
	f.Warnings, f.Places = r.warnings, r.places
	for _, p := range top.pairs {
		f.spokenOf(p.key)
	}
	return f, nil
}

// spokenOf makes an empty table of a section that the file has without entries.
func (f *MappingFile) spokenOf(section string) {
	switch {
	case section == "mapping" && f.Mapping == nil:
		f.Mapping = map[run.DataType]map[string]*string{}
	case section == "filters" && f.Filters == nil:
		f.Filters = map[run.DataType]string{}
	case section == "protect" && f.Protect == nil:
		f.Protect = map[run.DataType]map[string][]string{}
	}
}

// mappingFile reads the sections of a file, or the file as one.
func (r *reader) mappingFile(top node, f *MappingFile) {
	known := settings()
	isSetting := func(p pair) bool {
		return slices.ContainsFunc(known, func(s setting) bool { return s.name == p.key })
	}
	if !slices.ContainsFunc(top.pairs, isSetting) {
		r.bare = true
		r.mapping(top)
		return
	}
	whole := slices.ContainsFunc(top.pairs, func(p pair) bool { return isSetting(p) && !slices.Contains(sections, p.key) })
	for _, p := range top.pairs {
		switch {
		case !isSetting(p) && whole:
			r.unknown(p, "setting", names(known))
		case !isSetting(p) && isType(p.key):
			r.problem(p.at, fmt.Sprintf("%s stands beside %s", shown(p.key), strings.Join(sections, ", ")), "put "+p.key+" under mapping:")
		case !isSetting(p):
			r.unknown(p, "part of a mapping file", sections)
		case p.key == "name" && p.value.kind != null && p.value.kind != refused:
			r.name(p.value)
			f.Name = r.c.Name
		case slices.Contains(sections, p.key) && p.value.kind != refused:
			i := slices.IndexFunc(known, func(s setting) bool { return s.name == p.key })
			known[i].read(r, p.value)
		}
	}
}

// isType reports whether a name is that of a data type, in people's own words too.
func isType(name string) bool {
	_, err := run.ParseType(name)
	return err == nil
}

// check asks the checks about what was read, and places what they find.
func (r *reader) check(checks []Check) {
	c := r.c
	if len(c.ActiveStatuses) == 0 {
		c.ActiveStatuses = defaults().ActiveStatuses // told already
	}
	if !slices.Contains(policies, c.InactivePolicy) {
		c.InactivePolicy = defaults().InactivePolicy
	}
	for _, check := range checks {
		if err := check(c); err != nil {
			r.problems = append(r.problems, parts(r.places.Put(err))...)
		}
	}
}

// parts takes a joined error apart.
func parts(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// spot is one expression of a file: where its name stands, and its text.
type spot struct {
	name  Position
	value node
}

// spotKey names an expression: a field of a type, or its filter.
type spotKey struct {
	t      run.DataType
	field  string
	filter bool
}

// Places knows where the expressions of a file stand. Nil knows none.
type Places struct {
	src   *source
	spots map[spotKey]spot
}

func (p *Places) note(k spotKey, s spot) { put(&p.spots, k, s) }

// expression is what an error of a mapping tells of itself; shared/mapping has it.
type expression interface {
	error
	// Expression names the data type and the field, filter instead of a field,
	// and the character of the expression counted from 1; 0 means the name.
	Expression() (t run.DataType, field string, filter bool, column int)
	// Mistake is what is wrong, without the place.
	Mistake() string
}

// Put gives the errors of a mapping, joined or not, their lines and columns in
// the file: each becomes a *fault.Error whose cause is a *Mistake. What is not
// about an expression of the file stays as it is.
func (p *Places) Put(err error) error {
	if err == nil || p == nil || p.src == nil {
		return err
	}
	all := slices.Clone(parts(err))
	for i, e := range all {
		all[i] = p.put(e)
	}
	p.src.show(all)
	return errors.Join(all...)
}

func (p *Places) put(err error) error {
	f, coded := errors.AsType[*fault.Error](err)
	x, about := errors.AsType[expression](err)
	if !coded || !about {
		return err
	}
	t, field, filter, column := x.Expression()
	s, ok := p.spots[spotKey{t, field, filter}]
	if !ok {
		return err
	}
	at := s.name
	if column > 0 && s.value.kind != null {
		at = p.src.within(s.value, column)
	}
	return mistaken(f.Code, at, x.Mistake(), f.Next)
}

// uncut returns the entries of a mapping without those that are pieces of one
// expression, as in {company: first(a, b)}: inside { } a comma ends a value.
func (r *reader) uncut(v node) []pair {
	var out []pair
	for i := 0; i < len(v.pairs); i++ {
		p := v.pairs[i]
		end := i + 1
		if p.value.style == plain && open(p.value.text) > 0 {
			for end < len(v.pairs) && v.pairs[end].value.kind == null && open(v.pairs[end].key) == 0 {
				end++
			}
			if end < len(v.pairs) && v.pairs[end].value.kind == null && open(v.pairs[end].key) < 0 {
				r.problem(v.pairs[i+1].at, fmt.Sprintf("the comma ends the expression of %s, since it stands in { }", shown(p.key)), "write the expression in quotes")
				i = end
				continue
			}
		}
		out = append(out, p)
	}
	return out
}

// open is how many parentheses a text leaves open.
func open(text string) int { return strings.Count(text, "(") - strings.Count(text, ")") }

// allTypes names the data types for messages.
func allTypes() []string {
	var known []string
	for _, t := range run.AllTypes() {
		known = append(known, string(t))
	}
	return known
}
