package mapping

import (
	"slices"

	"github.com/valyala/fastjson"

	"stovasync/shared/run"
)

// TraceResult is what a row becomes, with what the rules and the mapping have
// looked at on the way. Values are the vendor's own: whoever shows them masks them.
type TraceResult struct {
	// Result is what the mapper itself says of the row.
	Result Result
	// Category is the row's category as the rules read it (R4, R5), and
	// CategoryColumn where it was found; both "" when the row has none.
	Category       string
	CategoryColumn string
	Sponsor        bool
	// SponsorCategory is the category that makes an attendee a sponsor.
	SponsorCategory string
	// Registration is the row's registrationstatus, Active whether it is one of
	// the active ones (R1), and Policy what becomes of others (R2): cancel, hide or skip.
	Registration string
	Active       bool
	Policy       string
	// Flags are the row's own flags that decide a status and are set so that they do:
	// deleted, visible or publicagenda.
	Flags []string
	// Filter is the connection's filter of the type; nil when it has none.
	Filter *TracedFilter
	// Fields are the mapped fields in the order of their names.
	Fields []TracedField
}

// TracedFilter is a filter and what it says of a row.
type TracedFilter struct {
	Expression string
	Columns    []TracedColumn
	Keeps      bool
	// Mistake says why it gives neither true nor false; else "".
	Mistake string
}

// TracedField is one field of a type's mapping and what became of it.
type TracedField struct {
	Field
	Columns []TracedColumn
	// Value is what the mapping gives: string, bool, int64, float64 or
	// []string; nil when it is empty. Times are as the record has them where the row is
	// mapped, else as the expression gives them.
	Value any
	// Mistake says why the expression does not fit the row; else "".
	Mistake string
}

// TracedColumn is one source column that an expression reads.
type TracedColumn struct {
	Expression string // what goes into a mapping as it is
	Value      any    // string, bool or []string; nil where the row has none
	// Zero says that the column holds a zero date, which counts as absent (R8).
	Zero bool
}

// Trace tells, for a row and a data type, what the mapper makes of it and which
// values it looked at. A schedule row is traced by TracePick, since one
// attendee has several; for the photo types, which have no rows, the result is empty.
func Trace(m *Mapper, t run.DataType, r Row) TraceResult {
	out := facts(m, t, r)
	switch t {
	case run.Users:
		out.Result = m.Users(r)
	case run.Sponsors:
		out.Result = m.Sponsors(r)
	case run.Sessions:
		out.Result = m.Sessions(r)
	case run.Presenters:
		out.Result = m.Presenters(r)
	case run.SponsorLevels:
		out.Result = traceLevel(m, r, &out)
	default:
		return out
	}
	out.Fields = traceFields(m, t, r, out.Result)
	return out
}

// TracePick is Trace for the schedule row of one pick; parent is the fp_ext_id
// of the session it was matched with.
func TracePick(m *Mapper, r Row, parent string, p Pick) TraceResult {
	r.d.pick = &p
	out := facts(m, run.Schedule, r)
	out.Result = m.Schedule(r, parent, p) // which takes the pick away
	r.d.pick = &p
	out.Fields = traceFields(m, run.Schedule, r, out.Result)
	r.d.pick = nil
	return out
}

// facts gathers what the rules of a type's stream look at.
func facts(m *Mapper, t run.DataType, r Row) TraceResult {
	out := TraceResult{SponsorCategory: m.set.category, Policy: m.set.policy, Filter: traceFilter(m, t, r)}
	for _, flag := range []string{"visible", "publicagenda"} {
		if t == run.Sessions && r.flag(flag).off() {
			out.Flags = append(out.Flags, flag)
		}
	}
	if r.flag("deleted").on() {
		out.Flags = append(out.Flags, "deleted")
	}
	if r.stream != run.Attendees {
		return out
	}
	for i := range m.sponsor {
		if names := m.sponsor[i].get(m, r.d).texts(); len(names) > 0 {
			out.Category, out.CategoryColumn = clean(names[0]), m.sponsor[i].text
			break
		}
	}
	out.Sponsor = m.IsSponsor(r)
	out.Registration, out.Active = clean(m.status.get(m, r.d).str()), m.active(r)
	return out
}

func traceFilter(m *Mapper, t run.DataType, r Row) *TracedFilter {
	p := m.set.types[t].filter
	if p == nil {
		return nil
	}
	f := &TracedFilter{Expression: p.text, Columns: traceColumns(m, p, r)}
	var res Result
	f.Keeps = m.keep(r, t, &res)
	if res.Outcome == Rejected {
		f.Mistake = res.Reject.Reason
	}
	return f
}

// traceLevel is the level that a sponsor's row names, as the finish of the type
// stores it but for its order.
func traceLevel(m *Mapper, r Row, facts *TraceResult) Result {
	id, name, ok := m.Level(r)
	switch {
	case !facts.Sponsor:
		return Result{Outcome: NotOwn, Rule: "R4", ID: r.ID()}
	case !ok:
		return Result{Outcome: Filtered, Rule: "filter", ID: r.ID()}
	}
	res := Result{Outcome: Mapped, ID: id, Status: statusActive, Owner: ownerGlobal, Fields: map[string]any{}}
	if name != "" {
		res.Fields["name"] = name
	}
	if order, ok := m.LevelOrder(r); ok {
		res.Fields["order"] = order
	}
	return res
}

func traceFields(m *Mapper, t run.DataType, r Row, res Result) []TracedField {
	var out []TracedField
	for i := range m.set.types[t].fields {
		f := &m.set.types[t].fields[i]
		traced := TracedField{Field: f.Field}
		switch {
		case f.kind == kindLevel:
			if name := m.set.types[run.SponsorLevels].field("name"); name != nil {
				traced.Columns = traceColumns(m, name.program, r)
			}
			if level, _, ok := m.Level(r); ok && level != "" {
				traced.Value = level
			}
		case f.program == nil:
		case f.kind == kindTime:
			traced.Columns = traceColumns(m, f.program, r)
			if v, err := f.program.run(m, r.d); err != nil {
				traced.Mistake = err.Error()
			} else {
				traced.Value = v.result()
			}
			if placed, ok := res.Fields[f.Name]; ok {
				traced.Value = placed
			}
		default:
			traced.Columns = traceColumns(m, f.program, r)
			got, err := m.evaluate(f, r.d)
			if err != nil {
				traced.Mistake = err.Error()
			}
			traced.Value = got
		}
		out = append(out, traced)
	}
	return out
}

func traceColumns(m *Mapper, p *program, r Row) []TracedColumn {
	var out []TracedColumn
	for _, i := range p.columns {
		b := &m.columns[i]
		c := TracedColumn{Expression: b.text, Value: b.get(m, r.d).result(), Zero: holdsZero(b, r)}
		if !slices.ContainsFunc(out, func(have TracedColumn) bool { return have.Expression == c.Expression }) {
			out = append(out, c)
		}
	}
	return out
}

// holdsZero reports whether a column of the row's own keys holds a zero date,
// which reading the column no longer tells from nothing.
func holdsZero(b *bound, r Row) bool {
	if b.root != rootRow {
		return false
	}
	j := r.d.obj.Get(b.path[0])
	for _, key := range b.path[1:] {
		if j == nil {
			return false
		}
		j = j.Get(key)
	}
	if j == nil || j.Type() != fastjson.TypeString {
		return false
	}
	text, _ := j.StringBytes()
	return zeroDate(text)
}
