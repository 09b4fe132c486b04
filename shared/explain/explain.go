// Package explain says why a record is in the store as it is, or why it is not
// there: the path of one row through every rule that concerns its type, from
// the run that listed it to the record. It reads what runs have left behind,
// and asks the vendor once where nothing of the row is left.
//
// Values are masked; ids, statuses and categories are not. It is for operators
// only: no function links it.
package explain

import (
	"context"
	"fmt"
	"strings"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/mapping"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// Env is what Explain reads from.
type Env struct {
	Ledger    pipeline.Ledger
	Records   pipeline.Records
	Objects   pipeline.Objects
	Connector pipeline.Connector
	// Suppressed reports whether an erase keeps a person out; nil: nobody is.
	Suppressed func(ctx context.Context, c run.Connection, attendee string) (bool, error)
	// Self is how commands to copy begin; "" means stovasync.
	Self string
	Now  func() time.Time // nil: time.Now
}

// Request asks for one record.
type Request struct {
	Connection string
	Type       run.DataType
	ID         string
	// NoFetch forbids the one call to the vendor that is made where no raw page
	// holds the row.
	NoFetch bool
}

// The results of a rule.
const (
	Pass = "pass" // it lets the row through
	Stop = "stop" // it keeps the row out, or what is stored of it from changing
	Info = "info" // it does neither, and its effect is worth knowing
)

// Rule is what one rule said of the row. Rule is its number in
// spotme-model.md §6, or a word for a step that has none: type, listed, page,
// row, filter, mapping, erased, pending, pick, owner, photo, status.
type Rule struct {
	Rule   string `json:"rule"`
	Name   string `json:"name"`
	Result string `json:"result"` // pass, stop or info
	Why    string `json:"why"`
}

// Column is a source column that a field reads.
type Column struct {
	Expression string `json:"expression"`
	Value      any    `json:"value"` // masked; null where the row has none
}

// Field is a field of the record: what the mapping makes of the row.
type Field struct {
	Field      string   `json:"field"`
	Expression string   `json:"expression"` // "" of a computed field
	Default    bool     `json:"default"`    // from the default mapping
	Columns    []Column `json:"columns,omitempty"`
	// Value is what the row gives now, masked; null where it gives nothing.
	Value any `json:"value"`
	// Stored is what the record holds, masked, where that is something else.
	Stored    any    `json:"stored,omitempty"`
	Protected bool   `json:"protected,omitempty"` // R19
	Note      string `json:"note,omitempty"`
}

// Read is a run and page in which something happened to the row.
type Read struct {
	Run  string    `json:"run"`
	Page string    `json:"page,omitempty"`
	At   time.Time `json:"at,omitzero"`
}

// Photo is what is stored of a picture.
type Photo struct {
	State  string `json:"state"` // stored, missing or rejected
	Reason string `json:"reason,omitempty"`
	Host   string `json:"host,omitempty"` // of the source
	Object string `json:"object_key,omitempty"`
}

// Explanation is the answer: the JSON of `explain --json` (interface.md).
type Explanation struct {
	Connection string       `json:"connection"`
	Type       run.DataType `json:"type"`
	ID         string       `json:"id"`
	// Stored says that the store holds a record that was not removed.
	Stored bool   `json:"stored"`
	State  string `json:"state,omitempty"` // fp_status, or removed
	// Verdict is one sentence or two that name the rule that decided; DecidedBy
	// is that rule, or stored.
	Verdict   string  `json:"verdict"`
	DecidedBy string  `json:"decided_by"`
	Rules     []Rule  `json:"rules"`
	Fields    []Field `json:"fields,omitempty"`
	// Run and Page wrote what is stored, or else read the row last.
	Run  string `json:"run"`
	Page string `json:"page"`
	// Listed is the newest run that listed the stream, whether it had the id or
	// not; Fetched the newest that read the row.
	Listed  *Read `json:"listed,omitempty"`
	Fetched *Read `json:"fetched,omitempty"`
	// Source says where the row came from: raw page, vendor, or none.
	Source string `json:"source"`
	Photo  *Photo `json:"photo,omitempty"`
	// Waits names the records that a pending row waits for, as type and id.
	Waits     []string  `json:"waits,omitempty"`
	RemovedAt time.Time `json:"removed_at,omitzero"`
	// Nearest are ids that may have been meant; Related those that belong to it,
	// such as a person's schedule rows.
	Nearest []string `json:"nearest,omitempty"`
	Related []string `json:"related,omitempty"`
	// Next is a command that would help; "" when there is none.
	Next string `json:"next,omitempty"`
}

// The places that a row comes from.
const (
	fromRaw    = "raw page"
	fromVendor = "vendor"
	fromNone   = "none"
)

// removedState is the State of a tombstone.
const removedState = "removed"

// Explain tells the path of one row. That the record is not there is no error;
// an unknown connection is, and so is a name or an address in place of an id. It makes no call to the vendor when a raw page
// holds the row.
func Explain(ctx context.Context, env Env, req Request) (Explanation, error) {
	conn, err := env.Ledger.Connection(ctx, req.Connection)
	if err != nil {
		return Explanation{}, err
	}
	if req.Type.RecordType() == "" {
		return Explanation{}, fmt.Errorf("explain %s: data type %q is unknown", req.Connection, req.Type)
	}
	if err := checkID(req.Type, req.ID); err != nil {
		return Explanation{}, err
	}
	w := &walk{env: env, req: req, conn: conn}
	w.out = Explanation{Connection: conn.Name, Type: req.Type, ID: strings.TrimSpace(req.ID), Rules: []Rule{}, Source: fromNone}
	if err := w.begin(ctx); err != nil {
		return Explanation{}, err
	}
	follow := map[run.DataType]func(context.Context) error{
		run.UserPhotos: w.picture, run.PresenterPhotos: w.picture, run.Schedule: w.schedule, run.SponsorLevels: w.level,
	}[req.Type]
	switch {
	case w.hidden:
	case follow != nil:
		err = follow(ctx)
	case req.Type == run.Sessions && strings.HasPrefix(w.out.ID, masterPrefix):
		err = w.master(ctx)
	default:
		err = w.row(ctx)
	}
	if err != nil {
		return Explanation{}, err
	}
	w.conclude()
	return w.out, nil
}

// checkID refuses a name or an address, which no id is. It does not repeat it.
func checkID(t run.DataType, id string) error {
	signs := "@ \t"
	if t == run.SponsorLevels { // named by a word of the organiser's
		signs = "@"
	}
	// What follows a number is a key of the organiser's, as of a session: 12_Track A.
	if number, _, composed := strings.Cut(id, "_"); composed && strings.Trim(number, "0123456789") == "" {
		signs = "@"
	}
	if !strings.ContainsAny(strings.TrimSpace(id), signs) {
		return nil
	}
	return fault.New(fault.ConfigInvalid, "that is no id of "+string(t), "look the id up at the vendor, or with export NAME "+string(t)+": fp_ext_id is the id")
}

// walk is an explanation under way.
type walk struct {
	env  Env
	req  Request
	conn run.Connection
	set  *mapping.Set // nil when the settings do not compile
	out  Explanation

	record pipeline.Record // zero when there is none; tombstones too
	past   past
	trace  *mapping.TraceResult
	// other is the type that an unknown id is one of; "" when there is none.
	other  run.DataType
	hidden bool // an erase keeps the person out: nothing more is told

	reason  string // of the rule that stopped the row
	answer  string // the verdict on what is no row's id but leads to some
	clauses []clause
}

// clause is a part of the verdict on a stored record, and the rule it names.
type clause struct{ rule, text string }

func (w *walk) say(rule, result, format string, args ...any) {
	w.out.Rules = append(w.out.Rules, Rule{Rule: rule, Name: nameOf(rule), Result: result, Why: fmt.Sprintf(format, args...)})
}

func (w *walk) pass(rule, format string, args ...any) { w.say(rule, Pass, format, args...) }
func (w *walk) info(rule, format string, args ...any) { w.say(rule, Info, format, args...) }

// stop says that a rule keeps the row out. The first that does decides.
func (w *walk) stop(rule, format string, args ...any) {
	w.say(rule, Stop, format, args...)
	if w.out.DecidedBy == "" {
		w.out.DecidedBy, w.reason = rule, fmt.Sprintf(format, args...)
	}
}

// tell adds to the verdict on a stored record.
func (w *walk) tell(rule, format string, args ...any) {
	w.clauses = append(w.clauses, clause{rule, fmt.Sprintf(format, args...)})
}

// command is a command to copy.
func (w *walk) command(words ...string) string {
	self := w.env.Self
	if self == "" {
		self = "stovasync"
	}
	return self + " " + strings.Join(words, " ")
}

func (w *walk) now() time.Time {
	if w.env.Now == nil {
		return time.Now().UTC()
	}
	return w.env.Now().UTC()
}

// there reports whether the store holds a record that was not removed.
func (w *walk) there() bool { return w.record.ID != "" && w.record.RemovedAt.IsZero() }
