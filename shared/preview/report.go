// Package preview reads a sample of a connection's rows and says what a sync
// would make of them: which records, from which columns, and which rows it
// would leave out. It stores no record, and everything it reports of a row
// but its id is masked.
package preview

import (
	"time"

	"stovasync/shared/run"
)

// Report is what a preview found: the JSON of `preview --json` (interface.md),
// and what its HTML and XLSX show. Values are masked (P19); ids are not.
type Report struct {
	Connection string       `json:"connection"`
	Type       run.DataType `json:"type"`
	Event      string       `json:"event,omitempty"` // the event's name
	EventID    string       `json:"eventid"`
	Zone       string       `json:"timezone,omitempty"` // IANA name
	Taken      time.Time    `json:"taken"`
	// Trial says that the mapping came with the request and is not kept.
	Trial bool `json:"trial,omitempty"`
	// Sampled is how many rows of the type were looked at, Asked how many were
	// asked for: fewer are there, or other types' rows stood in the way.
	Sampled int `json:"sampled"`
	Asked   int `json:"asked"`
	// PassedOver is how many rows were read on the way that are none of the
	// type: attendees in other categories, or without sessions.
	PassedOver int `json:"passed_over,omitempty"`
	// KeptOut is how many of the listed attendees were erased: their rows are not read.
	KeptOut  int     `json:"kept_out,omitempty"`
	APICalls int     `json:"api_calls"`
	Seconds  float64 `json:"seconds"`
	// CallSeconds is the part of Seconds in which calls to the vendor were under way.
	CallSeconds float64 `json:"call_seconds"`
	// InactivePolicy is what becomes of people outside the active statuses (R2):
	// cancel, hide or skip. Only of users and sponsors.
	InactivePolicy string `json:"inactive_policy,omitempty"`
	// Statuses counts Synced by fp_status.
	Statuses map[string]int `json:"statuses,omitempty"`

	Fields  []Field  `json:"fields"`  // the target fields, in the order of the tables
	Columns []Column `json:"columns"` // the source columns, in the order of the rows
	// Synced are the records that a sync would store, by target field: fp_ext_id
	// and fp_status besides. Values are masked texts, numbers, flags or lists.
	Synced []map[string]any `json:"synced"`
	// Protected are the records of Synced some of whose fields a sync leaves alone (R19).
	Protected []Protected   `json:"protected,omitempty"`
	Filtered  []Filtered    `json:"filtered"`
	Rejected  []Rejected    `json:"rejected"`
	Warnings  []run.Warning `json:"warnings"`
}

// Field is one target field of the type's mapping.
type Field struct {
	Name       string `json:"name"`
	Expression string `json:"expression,omitempty"` // "" of a computed field
	Default    bool   `json:"default,omitempty"`    // from the default mapping
	Locked     bool   `json:"locked,omitempty"`     // computed: no mapping may name it (R11)
	Filled     int    `json:"filled"`               // of the records in Synced
}

// Column is one source column of the sampled rows.
type Column struct {
	Expression string   `json:"expression"` // what goes into a mapping as it is
	Label      string   `json:"label"`      // the question's text, or the key
	Page       string   `json:"page,omitempty"`
	Filled     int      `json:"filled"`
	Samples    []string `json:"samples"` // masked, three at most, none twice
	Kind       string   `json:"kind"`    // text, number, date, time, email, url, file or flag
	// PhotoCandidate marks a column that seems to hold an uploaded picture (R12).
	PhotoCandidate bool `json:"photo_candidate"`
	// MappedTo are the target fields that read the column.
	MappedTo []string `json:"mapped_to,omitempty"`
}

// Protected is a record whose fields a sync leaves alone.
type Protected struct {
	ID     string   `json:"id"`
	Fields []string `json:"fields"`
	// Stored says that the record is there: Synced shows what it keeps. One that
	// is not is stored once with all its fields, and left alone from then on.
	Stored bool `json:"stored"`
}

// Filtered is a row that a rule keeps out.
type Filtered struct {
	ID   string `json:"id"`
	Rule string `json:"rule"` // R2, R4 or filter; P11 of a picture whose owner is not active
	Why  string `json:"why"`
}

// Rejected is a row that cannot be stored.
type Rejected struct {
	ID     string `json:"id"`
	Code   string `json:"code"`
	Reason string `json:"reason"`
}
