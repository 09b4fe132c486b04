package mapping

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"stovasync/shared/fault"
	"stovasync/shared/run"
)

// Settings is what a connection says about mapping.
type Settings struct {
	// Mapping overrides the default mapping: data type, field, expression. A
	// nil expression unmaps the field.
	Mapping map[run.DataType]map[string]*string
	// Filters keep the rows for which an expression is true, per data type.
	Filters map[run.DataType]string
	// ActiveStatuses are the registration statuses of active people (R1);
	// they are compared without case, blanks and hyphens (P6). None is an error (R3).
	ActiveStatuses []string
	// InactivePolicy is cancel (also when empty), hide or skip (R2, P7).
	InactivePolicy string
	// SponsorCategory is the category of sponsors; empty means Sponsor (R4).
	SponsorCategory string
}

// engine counts the changes of this package that give other records from the
// same settings and rows; it goes into Set.Hash, so that the next plan is full.
const engine = 1

// Set is a compiled mapping. It never changes and may be shared.
type Set struct {
	types    map[run.DataType]*typeMapping
	columns  []column // every column that some program names
	active   map[string]bool
	policy   string
	category string
	warnings []run.Warning
	doubts   []*Place // of the warnings
	vendor   map[run.Stream]map[string]string
	hash     string
}

// typeMapping is the mapping of one data type.
type typeMapping struct {
	fields []compiledField // by name
	filter *program
}

type compiledField struct {
	Field
	kind    kind
	program *program // nil for fields that only say whether they are wanted
}

func (t *typeMapping) field(name string) *compiledField {
	i, ok := slices.BinarySearchFunc(t.fields, name, func(f compiledField, n string) int { return cmp.Compare(f.Name, n) })
	if !ok {
		return nil
	}
	return &t.fields[i]
}

// levelExpression stands for the level of a sponsor in reports.
const levelExpression = "sponsor-levels.name"

// Compile reads a connection's settings on top of the default mapping. All
// faults come together, joined, each a *fault.Error: MAPPING_LOCKED with type
// and field (R11); MAPPING_INVALID with type, field, expression, the column of
// the text counted from 1, what is wrong and what would be right;
// CONFIG_INVALID for statuses and policy.
func Compile(s Settings) (*Set, error) {
	c := &setCompiler{
		set:     &Set{types: map[run.DataType]*typeMapping{}, active: map[string]bool{}},
		columns: newCompiler(),
	}
	c.people(s)
	standard, err := standardMapping()
	if err != nil {
		return nil, err
	}
	if c.set.vendor, err = vendor(); err != nil {
		return nil, err
	}
	c.columns.dashed = dashed(c.set.vendor)
	c.unknownTypes(s)
	for _, t := range run.AllTypes() {
		c.compileType(t, standard[t], s.Mapping[t], s.Filters)
	}
	if len(c.faults) > 0 {
		return nil, errors.Join(c.faults...)
	}
	c.set.columns = c.columns.columns
	c.set.hash = c.set.sum()
	return c.set, nil
}

func standardMapping() (map[run.DataType]map[string]string, error) {
	m, err := table[run.DataType]("default mapping", defaultMapping)
	if err != nil {
		return nil, err
	}
	m[run.Sponsors]["level"] = levelExpression
	return m, nil
}

type setCompiler struct {
	set     *Set
	columns *compiler
	faults  []error
}

func (c *setCompiler) fail(code fault.Code, msg, next string) {
	c.faults = append(c.faults, fault.New(code, msg, next))
}

// failName is fail for what is wrong with the name of a field, or with its
// being there: what follows the type and the name in the message.
func (c *setCompiler) failName(code fault.Code, t run.DataType, name, what, next string) {
	text := fmt.Sprintf("%s: %s%s", t, name, what)
	c.faults = append(c.faults, fault.Wrap(code, &Place{Type: t, Field: name, what: text}, text, next))
}

// people reads who is active, what happens to others, and who is a sponsor.
func (c *setCompiler) people(s Settings) {
	for _, status := range s.ActiveStatuses {
		if f := foldStatus(status); f != "" {
			c.set.active[f] = true
		}
	}
	if len(c.set.active) == 0 {
		c.fail(fault.ConfigInvalid, "activeStatuses is empty", "write for instance Confirmed,Attended")
	}
	c.set.policy = cmp.Or(s.InactivePolicy, "cancel")
	if !slices.Contains([]string{"cancel", "hide", "skip"}, c.set.policy) {
		c.fail(fault.ConfigInvalid, fmt.Sprintf("inactivePolicy %q is unknown", s.InactivePolicy), "write cancel, hide or skip")
	}
	c.set.category = cmp.Or(strings.TrimSpace(s.SponsorCategory), "Sponsor")
}

func (c *setCompiler) unknownTypes(s Settings) {
	seen := map[run.DataType]bool{}
	for t := range s.Mapping {
		seen[t] = true
	}
	for t := range s.Filters {
		seen[t] = true
	}
	var names []string
	for _, t := range run.AllTypes() {
		names = append(names, string(t))
	}
	for _, t := range slices.Sorted(maps.Keys(seen)) {
		if t.RecordType() == "" {
			c.fail(fault.MappingInvalid, fmt.Sprintf("mapping names the unknown data type %q", string(t)),
				"the types are "+strings.Join(names, ", "))
		}
	}
}

func (c *setCompiler) compileType(t run.DataType, standard map[string]string, over map[string]*string, filters map[run.DataType]string) {
	out := &typeMapping{}
	c.set.types[t] = out
	wanted := map[string]Field{}
	for name, text := range standard {
		wanted[name] = Field{Name: name, Expression: text, Default: true}
	}
	for _, name := range slices.Sorted(maps.Keys(over)) {
		if !c.allowed(t, name, over[name]) {
			continue
		}
		if over[name] == nil {
			delete(wanted, name)
			continue
		}
		wanted[name] = Field{Name: name, Expression: *over[name]}
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if f, ok := c.field(t, wanted[name]); ok {
			out.fields = append(out.fields, f)
		}
	}
	if text, ok := filters[t]; ok {
		out.filter = c.filter(t, text)
	}
}

// allowed checks the name of a field that a connection maps or unmaps.
func (c *setCompiler) allowed(t run.DataType, name string, text *string) bool {
	_, ok := known(t)[name]
	switch {
	case locked(t, name):
		c.failName(fault.MappingLocked, t, name, " is locked", "take it out of the mapping; it is computed")
	case t.IsPhotos():
		c.failName(fault.MappingInvalid, t, name, ": photo types take no mapping", fmt.Sprintf("map photo of %s", t.Owner()))
	case !ok && !fieldName(name):
		c.failName(fault.MappingInvalid, t, name, " cannot be a field's name",
			"use 1 to 128 characters, no # among them, no blank at the ends, no _ at the beginning")
	case !ok && text == nil:
		c.warn(t, name, "is unmapped already; the default mapping does not hold it")
		return false
	case !ok && t != run.Users:
		c.warn(t, name, "is no known field of this type; it is stored as it is")
		return true
	default:
		return true
	}
	return false
}

// fieldName reports whether a connection may call a field of its own so. Names
// with # or beginning with _ are left to the store for its keys.
func fieldName(name string) bool {
	return name != "" && len(name) <= 128 && strings.TrimSpace(name) == name && !strings.HasPrefix(name, "_") &&
		!strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == '#' || r == utf8.RuneError })
}

func didYouMean(t run.DataType, name string) string {
	if near := nearest(name, slices.Sorted(maps.Keys(known(t)))); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}

func (c *setCompiler) warn(t run.DataType, name, what string) {
	msg := fmt.Sprintf("%s: %s %s%s", t, name, what, didYouMean(t, name))
	c.set.warnings = append(c.set.warnings, run.Warning{Code: string(fault.MappingInvalid), Message: msg})
	c.set.doubts = append(c.set.doubts, &Place{Type: t, Field: name, what: msg})
}

// field compiles one field of a type.
func (c *setCompiler) field(t run.DataType, f Field) (compiledField, bool) {
	out := compiledField{Field: f, kind: known(t)[f.Name]}
	if _, ok := known(t)[f.Name]; !ok && t != run.Users {
		out.kind = kindCustom
	}
	switch {
	case out.kind == kindSlot:
		if strings.TrimSpace(f.Expression) != slotColumn {
			c.wrong(t, f.Name, f.Expression, &mistake{1, "in_slot takes the column in_slot only, which the connector fills", "write in_slot: in_slot"})
			return out, false
		}
		return out, true
	case out.kind == kindLevel && strings.TrimSpace(f.Expression) == levelExpression:
		return out, true
	case out.kind == kindLevel:
		c.wrong(t, f.Name, f.Expression, &mistake{1, "a sponsor's level follows the levels", "map name of sponsor-levels, or write null"})
		return out, false
	}
	p, err := c.columns.compile(viewOfType(t), f.Expression, false)
	if err != nil {
		c.wrong(t, f.Name, f.Expression, err)
		return out, false
	}
	if c.usesSlot(p) {
		c.wrong(t, f.Name, f.Expression, &mistake{1, "the column in_slot goes into the field in_slot only", "write in_slot: in_slot"})
		return out, false
	}
	out.program = p
	return out, true
}

func (c *setCompiler) filter(t run.DataType, text string) *program {
	if t.IsPhotos() {
		what := fmt.Sprintf("%s: filter: photo types have no rows of the vendor", t)
		c.faults = append(c.faults, fault.Wrap(fault.MappingInvalid, &Place{Type: t, Filter: true, what: what}, what, fmt.Sprintf("filter %s", t.Owner())))
		return nil
	}
	p, err := c.columns.compile(viewOfType(t), text, true)
	if err != nil {
		c.wrong(t, filterName, text, err)
		return nil
	}
	if c.usesSlot(p) {
		c.wrong(t, filterName, text, &mistake{1, "the column in_slot is filled after the rows are stored", "filter by another column"})
		return nil
	}
	return p
}

func (c *setCompiler) usesSlot(p *program) bool {
	return slices.ContainsFunc(p.columns, func(i int) bool { return c.columns.columns[i].root == rootSlot })
}

// wrong reports a mistake with all that its reader needs.
func (c *setCompiler) wrong(t run.DataType, field, text string, err error) {
	m, ok := errors.AsType[*mistake](err)
	if !ok {
		m = &mistake{1, err.Error(), ""}
	}
	place := &Place{Type: t, Field: field, Column: m.column, what: fmt.Sprintf("%s: %s: %s", t, field, m.what)}
	if field == filterName {
		place.Field, place.Filter, place.what = "", true, fmt.Sprintf("filter of %s: %s", t, m.what)
		field = "filter"
	}
	c.faults = append(c.faults, fault.Wrap(fault.MappingInvalid, place,
		fmt.Sprintf("%s: %s: expression %q, column %d: %s", t, field, shorten(text), m.column, m.what), m.right))
}

// filterName stands for the filter where fields are named; no field can be
// called so.
const filterName = "#filter"

func shorten(text string) string {
	if r := []rune(text); len(r) > 200 {
		return string(r[:200]) + "…"
	}
	return text
}

// Warnings returns what Compile let pass but an operator should know.
func (s *Set) Warnings() []run.Warning { return slices.Clone(s.warnings) }

// Maps reports whether a field of a type is mapped. It answers for in_slot (R9)
// and photo (R13) too.
func (s *Set) Maps(t run.DataType, field string) bool { return s.types[t].field(field) != nil }

// Fields returns the mapping of a type by name, as it is after the overrides.
func (s *Set) Fields(t run.DataType) []Field {
	var out []Field
	for _, f := range s.types[t].fields {
		out = append(out, f.Field)
	}
	return out
}

// Filter returns the filter expression of a type, or "".
func (s *Set) Filter(t run.DataType) string {
	if f := s.types[t].filter; f != nil {
		return f.text
	}
	return ""
}

// Hash identifies everything of the settings, and of this package's rules,
// that decides what a row becomes. What an event adds is in Mapper.Hash.
func (s *Set) Hash() string { return s.hash }

func (s *Set) sum() string {
	type part struct {
		Fields map[string]string
		Filter string
	}
	parts := map[run.DataType]part{}
	for t := range s.types {
		parts[t] = part{map[string]string{}, s.Filter(t)}
		for _, f := range s.Fields(t) {
			parts[t].Fields[f.Name] = f.Expression
		}
	}
	b, err := json.Marshal([]any{engine, parts, slices.Sorted(maps.Keys(s.active)), s.policy, strings.ToLower(s.category)})
	if err != nil {
		panic(err) // texts and numbers only
	}
	return digest(b)
}

// foldStatus writes a status as it is compared: without case, blanks and
// hyphens (P6, stova-api.md §7.8).
func foldStatus(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' || r == '\t' || r == '\u00a0' {
			return -1
		}
		return r
	}, strings.ToLower(s))
}
