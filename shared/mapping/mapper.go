package mapping

import (
	"encoding/json"
	"fmt"
	"html"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/run"
)

// Event is what mapping must know of one event.
type Event struct {
	ID string
	// Zone is where the event's wall times hold. Without it sessions are
	// rejected: a wall time is never stored as if it were UTC.
	Zone *time.Location
	// Language is the event's default language, three letters; empty means eng.
	Language  string
	Questions []Question
	Tracks    map[string]string // id → name
}

// Mapper turns the rows of one event into records. It never changes and may be
// used from many goroutines at once.
type Mapper struct {
	set       *Set
	event     Event
	zone      string
	languages []string
	questions questions
	columns   []bound // like Set.columns
	sponsor   []bound // where the category is; the first that is filled decides
	status    bound
	docs      *sync.Pool
}

// For makes the mapper of one event.
func (s *Set) For(e Event) *Mapper {
	m := &Mapper{set: s, event: e, questions: newQuestions(e.Questions), docs: &sync.Pool{}}
	if e.Zone != nil {
		m.zone = e.Zone.String()
	}
	if e.Language != "" && e.Language != "eng" {
		m.languages = append(m.languages, e.Language)
	}
	m.languages = append(m.languages, "eng")
	for _, c := range s.columns {
		m.columns = append(m.columns, m.bind(c))
	}
	rule := func(parts ...string) bound { return m.bind(newColumn(view{}, parts)) }
	m.sponsor = []bound{rule("category", "name"), rule("category_shortname")}
	m.status = rule("registrationstatus")
	return m
}

// Hash identifies everything that decides what a row becomes: the settings,
// the zone, the language, the tracks and the questions that the mapping reads.
func (m *Mapper) Hash() string {
	var reads [][]string
	for _, b := range m.columns {
		reads = append(reads, append([]string{b.text}, b.ids...))
	}
	b, err := json.Marshal([]any{m.set.hash, m.zone, m.languages, m.event.Tracks, reads})
	if err != nil {
		panic(err) // texts only
	}
	return digest(b)
}

// Outcome says what became of a row.
type Outcome int

// The outcomes of a row.
const (
	Mapped   Outcome = iota // it is a record
	NotOwn                  // it is of another type: a sponsor for users, anybody else for sponsors
	Filtered                // a rule or the connection's filter keeps it out; Rule says which
	Rejected                // it cannot be stored; Reject says why
)

// String names the outcome.
func (o Outcome) String() string {
	return [...]string{"mapped", "not own", "filtered", "rejected"}[o]
}

// Result is what one row becomes.
type Result struct {
	Outcome Outcome
	Rule    string      // the rule that filtered it: R2, R4 or filter
	Reject  *run.Reject // of a rejected row
	ID      string      // fp_ext_id; of a rejected row, what is known of it
	Status  string      // fp_status of a mapped row: active, hidden or cancelled
	Owner   string      // fp_owner of a mapped row
	// Fields are the mapped fields by name: string, bool, int64, float64 or
	// []string. Empty ones are left out.
	Fields map[string]any
	// LastModified is the vendor's stamp, as it came; "" when there is none.
	LastModified string
	Warnings     []run.Warning
}

// The statuses and owner of records (spotme-model.md §5.1).
const (
	statusActive    = "active"
	statusHidden    = "hidden"
	statusCancelled = "cancelled"
	ownerGlobal     = "global"
)

// Users maps an attendee to a user. Sponsors are not own (R4); an attendee
// outside the active statuses is cancelled, hidden or filtered (R1, R2).
func (m *Mapper) Users(r Row) Result {
	if m.IsSponsor(r) {
		return Result{Outcome: NotOwn, Rule: "R4", ID: r.ID()}
	}
	res := m.person(r, run.Users)
	if res.Outcome == Mapped {
		m.expect(&res, run.Users, "USER_NO_NAME", "has neither first nor last name", "fname", "lname")
		m.expect(&res, run.Users, "USER_NO_EMAIL", "has no email", "email")
	}
	return res
}

// IsUser reports whether Users would make a user of the row. It costs less.
func (m *Mapper) IsUser(r Row) bool {
	if m.IsSponsor(r) {
		return false
	}
	res := r.begin(run.Users, r.ID())
	return res.Outcome != Rejected && (m.set.policy != "skip" || m.active(r)) && m.keep(r, run.Users, &res)
}

// Sponsors maps an attendee whose category is that of sponsors (R4, R5). A
// sponsor without a level value has no level: the default level of an event
// that knows none is the business of who finishes the type.
func (m *Mapper) Sponsors(r Row) Result {
	if !m.IsSponsor(r) {
		return Result{Outcome: NotOwn, Rule: "R4", ID: r.ID()}
	}
	res := m.person(r, run.Sponsors)
	if res.Outcome != Mapped {
		return res
	}
	if m.set.types[run.Sponsors].field("level") != nil {
		if level, _, ok := m.Level(r); ok && level != "" {
			res.Fields["level"] = level
		}
	}
	m.expect(&res, run.Sponsors, "SPONSOR_NO_NAME", "has no name", "name")
	return res
}

// person is what users and sponsors share: id, status, filter, fields.
func (m *Mapper) person(r Row, t run.DataType) Result {
	res := r.begin(t, r.ID())
	if res.Outcome == Rejected {
		return res
	}
	if !m.active(r) {
		switch m.set.policy {
		case "skip":
			return Result{Outcome: Filtered, Rule: "R2", ID: res.ID, LastModified: res.LastModified}
		case "hide":
			res.Status = statusHidden
		default:
			res.Status = statusCancelled
		}
	}
	if m.keep(r, t, &res) {
		m.fill(r, t, &res)
	}
	return res
}

// active reports whether the attendee's status is one of the active ones (R1).
func (m *Mapper) active(r Row) bool {
	return m.set.active[foldStatus(strings.TrimSpace(m.status.get(m, r.d).str()))]
}

// IsSponsor reports whether the attendee's category is that of sponsors:
// trimmed, without case, the whole name (R4, R5).
func (m *Mapper) IsSponsor(r Row) bool {
	for i := range m.sponsor {
		names := m.sponsor[i].get(m, r.d).texts()
		if len(names) > 0 {
			return slices.ContainsFunc(names, func(name string) bool {
				return strings.EqualFold(clean(name), m.set.category)
			})
		}
	}
	return false
}

// Level returns the level that a sponsor's row names: the fp_ext_id (a slug of
// at most 128 characters) and the name. The mapping of sponsor-levels.name is
// its source. id is "" when the row has no value; ok is false when it is no
// sponsor's, or the filter of sponsor-levels leaves it out.
func (m *Mapper) Level(r Row) (id, name string, ok bool) {
	if !m.IsSponsor(r) {
		return "", "", false
	}
	var res Result
	if !m.keep(r, run.SponsorLevels, &res) {
		return "", "", false
	}
	if f := m.set.types[run.SponsorLevels].field("name"); f != nil {
		if v, err := f.program.run(m, r.d); err == nil {
			name = clean(v.str())
		}
	}
	return levelID(name), name, true
}

// LevelOrder returns the order that a connection's mapping of
// sponsor-levels.order gives; ok is false when it is not mapped or no number.
func (m *Mapper) LevelOrder(r Row) (order int64, ok bool) {
	f := m.set.types[run.SponsorLevels].field("order")
	if f == nil || !m.IsSponsor(r) {
		return 0, false
	}
	v, err := f.program.run(m, r.d)
	if err != nil {
		return 0, false
	}
	return whole(v)
}

// levelID is the slug of a level's name. A name without a letter or digit has
// none; its hash keeps such levels apart.
func levelID(name string) string {
	id := Slug(name)
	if id == "" && name != "" {
		return "level_" + digest([]byte(name))[:8]
	}
	if r := []rune(id); len(r) > maxID {
		id = strings.TrimRight(string(r[:maxID]), "_")
	}
	return id
}

const maxID = 128 // characters of an fp_ext_id (spotme-model.md §5.1)

// Sessions maps a session. One without start or end is rejected (R7). A deleted
// session is cancelled, also when it is hidden besides.
func (m *Mapper) Sessions(r Row) Result {
	res := r.begin(run.Sessions, r.ID())
	switch {
	case res.Outcome == Rejected:
		return res
	case r.flag("deleted").on():
		res.Status = statusCancelled
	case r.flag("visible").off() || r.flag("publicagenda").off():
		res.Status = statusHidden
	}
	if !m.keep(r, run.Sessions, &res) {
		return res
	}
	m.fill(r, run.Sessions, &res)
	if reason := m.times(r, &res); reason != "" {
		return reject(run.Sessions, res.ID, fault.RowNoTimes, reason)
	}
	m.expect(&res, run.Sessions, "SESSION_NO_NAME", "has no name", "name")
	return res
}

// times puts start, end and the zone's name into the fields; reason says why it
// cannot.
func (m *Mapper) times(r Row, res *Result) (reason string) {
	var at [2]stamp
	for i, name := range []string{"start", "end"} {
		f := m.set.types[run.Sessions].field(name)
		if f == nil {
			return name + " is not mapped"
		}
		v, err := f.program.run(m, r.d)
		if err != nil || v.blank() {
			return "the session has no " + name
		}
		s, ok := readStamp(v.str())
		if !ok {
			return "the session's " + name + " is not a date and time"
		}
		at[i] = s
	}
	if m.event.Zone == nil {
		return "the event's time zone is unknown; set timezone in the connection"
	}
	from, to, ok := span(at[0], at[1], m.event.Zone)
	if !ok {
		return "the session's end is before its start"
	}
	res.Fields["start"] = from.Format(time.RFC3339)
	res.Fields["end"] = to.Format(time.RFC3339)
	res.Fields["timezone"] = m.zone
	res.Fields["is_master"] = false // required (spotme-model.md §5.3); Masters makes the others
	return ""
}

// flag reads one of the row's own flags; an absent one is neither on nor off.
func (r Row) flag(key string) value {
	if j := r.d.obj.Get(key); j != nil {
		return leaf(j)
	}
	return value{}
}

// Presenters maps a speaker.
func (m *Mapper) Presenters(r Row) Result {
	res := r.begin(run.Presenters, r.ID())
	if res.Outcome == Rejected {
		return res
	}
	if r.flag("deleted").on() {
		res.Status = statusHidden
	}
	if !m.keep(r, run.Presenters, &res) {
		return res
	}
	m.fill(r, run.Presenters, &res)
	m.expect(&res, run.Presenters, "PRESENTER_NO_NAME", "has neither first nor last name", "fname", "lname")
	return res
}

// keep applies the connection's filter of a type. A filter that does not fit
// the row's values rejects the row: nobody knows whether it was wanted.
func (m *Mapper) keep(r Row, t run.DataType, res *Result) bool {
	p := m.set.types[t].filter
	if p == nil {
		return true
	}
	v, err := p.run(m, r.d)
	if err == nil && v.other == true {
		return true
	}
	if err == nil && v.other == false {
		*res = Result{Outcome: Filtered, Rule: "filter", ID: res.ID, LastModified: res.LastModified}
		return false
	}
	*res = reject(t, res.ID, fault.MappingInvalid, "the filter gives neither true nor false for this row")
	return false
}

// begin starts the result of a row, or rejects a row whose id is none or longer
// than a record's may be.
func (r Row) begin(t run.DataType, id string) Result {
	if id == "" {
		return reject(t, "", fault.RowNoID, "the row has no id")
	}
	if chars := []rune(id); len(chars) > maxID {
		return reject(t, string(chars[:maxID]), fault.RowNoID, fmt.Sprintf("the id has %d characters, more than %d", len(chars), maxID))
	}
	return Result{ID: id, Status: statusActive, Owner: ownerGlobal, LastModified: r.LastModified()}
}

func reject(t run.DataType, id string, code fault.Code, reason string) Result {
	return Result{Outcome: Rejected, ID: id, Reject: &run.Reject{Type: t, ID: id, Code: string(code), Reason: reason}}
}

// fill evaluates the mapped fields of a type.
func (m *Mapper) fill(r Row, t run.DataType, res *Result) {
	fields := m.set.types[t].fields
	res.Fields = make(map[string]any, len(fields)+2)
	for i := range fields {
		f := &fields[i]
		if f.program == nil || f.kind == kindTime {
			continue
		}
		got, err := m.evaluate(f, r.d)
		if got != nil {
			res.Fields[f.Name] = got
		}
		if err != nil {
			res.Warnings = append(res.Warnings, run.Warning{Code: string(fault.MappingInvalid),
				Message: fmt.Sprintf("%s %s: %s is left out: %s", t, res.ID, f.Name, err)})
		}
	}
}

// evaluate gives what a field's expression and its kind make of a row; nil is
// empty. The trace of a row reads fields through it too.
func (m *Mapper) evaluate(f *compiledField, d *doc) (any, error) {
	v, err := f.program.run(m, d)
	if err != nil {
		return nil, err
	}
	return m.finish(f.kind, v)
}

// expect warns when none of the names is filled, though one of them is mapped.
func (m *Mapper) expect(res *Result, t run.DataType, code, what string, names ...string) {
	if res.Outcome != Mapped {
		return
	}
	mapped := false
	for _, n := range names {
		if _, ok := res.Fields[n]; ok {
			return
		}
		mapped = mapped || m.set.Maps(t, n)
	}
	if mapped {
		res.Warnings = append(res.Warnings, run.Warning{Code: code, Message: fmt.Sprintf("%s %s %s", t, res.ID, what)})
	}
}

// finish makes a field's value of what its expression gave; nil is empty.
func (m *Mapper) finish(k kind, v value) (any, error) {
	switch k {
	case kindCustom:
		if v.other != nil {
			if f, ok := v.other.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
				return nil, &mistake{what: "the number is not finite"}
			}
			return v.other, nil
		}
		return filled(cleanAll(v)), nil
	case kindHTML:
		return filled(strings.TrimSpace(v.str())), nil
	case kindPhone:
		return filled(phone(cleanAll(v))), nil
	case kindLang:
		return filled(lang2(v.str())), nil
	case kindFile:
		if s := clean(v.str()); s != "0" {
			return filled(s), nil
		}
		return nil, nil
	case kindList, kindTags:
		return m.list(k, v), nil
	case kindInt:
		n, ok := whole(v)
		if !ok {
			if v.blank() {
				return nil, nil
			}
			return nil, &mistake{what: "the value is not a whole number"}
		}
		return n, nil
	default:
		return filled(cleanAll(v)), nil
	}
}

func filled(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// list finishes a field of several texts: each clean, none empty, none twice.
func (m *Mapper) list(k kind, v value) any {
	var out []string
	for _, s := range v.texts() {
		s = clean(s)
		if name, ok := m.event.Tracks[s]; ok && k == kindTags && clean(name) != "" {
			s = clean(name)
		}
		if s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	if out == nil {
		return nil
	}
	return out
}

// whole reads a whole number.
func whole(v value) (int64, bool) {
	switch n := v.other.(type) {
	case int64:
		return n, true
	case float64:
		return int64(n), n == math.Trunc(n) && math.Abs(n) < 1<<53
	}
	n, err := strconv.ParseInt(strings.TrimSpace(v.str()), 10, 64)
	return n, err == nil
}

// clean finishes a plain text: entities decoded, ends trimmed (P9).
func clean(s string) string {
	if strings.Contains(s, "&") {
		s = html.UnescapeString(s)
	}
	return strings.TrimSpace(s)
}

// cleanAll finishes one text or several, joined by a comma and a blank.
func cleanAll(v value) string {
	if v.list == nil {
		return clean(v.str())
	}
	out := make([]string, 0, len(v.list))
	for _, s := range v.list {
		if s = clean(s); s != "" {
			out = append(out, s)
		}
	}
	return strings.Join(out, ", ")
}

// viewOfType returns what the rows of a type offer beside their own keys.
func viewOfType(t run.DataType) view { return view{picks: t == run.Schedule, slots: t == run.Sessions} }

func viewOf(s run.Stream) view { return view{slots: s == run.SessionStream} }
