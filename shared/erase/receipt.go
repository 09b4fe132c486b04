package erase

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"stovasync/shared/pipeline"
)

// Action is what a receipt is of.
type Action string

// The actions.
const (
	Erased Action = "erased"
	Lifted Action = "lifted" // an entry was taken away: erase --undo
	// Unfinished is of no receipt but of an entry whose erasure was cut, or is
	// under way: the person is kept out, and not everything is removed.
	Unfinished Action = "unfinished"
)

// Receipt says what an erasure did, and nothing of whom it was about: neither
// an id nor personal data.
type Receipt struct {
	Receipt    string    `json:"receipt,omitempty"` // its id; "" of what is unfinished
	Connection string    `json:"connection"`
	Action     Action    `json:"action"`
	At         time.Time `json:"at"`
	Seconds    float64   `json:"seconds"`
	// Entry is the beginning of the person's one-way entry: who knows the id finds
	// the receipt by erasing once more. "" where all entries were lifted.
	Entry string `json:"entry,omitempty"`
	// Found is false when there was nothing of the person: they are kept out all the same.
	Found bool `json:"found"`
	// Removed are numbers by what was removed: see Kinds.
	Removed map[string]int `json:"removed"`
	// Entries is how many entries were lifted.
	Entries int `json:"entries,omitempty"`
}

// What an erasure counts, beside records by their types and what pipeline.Stored counts.
const (
	Pictures    = "pictures"
	OldVersions = "old_versions" // of objects, in a bucket that keeps them
)

// Kind is one kind of things that a receipt counts.
type Kind struct{ Name, Means string }

// Kinds returns what a receipt counts, in the order in which people read it.
func Kinds() []Kind {
	return []Kind{
		{"users", "records of users"},
		{"sponsors", "records of sponsors"},
		{"schedule", "schedule rows"},
		{"user-photos", "photo records"},
		{Pictures, "pictures"},
		{pipeline.ErasedRawRows, "rows of raw pages"},
		{pipeline.ErasedPlanIDs, "ids in plans"},
		{pipeline.ErasedRetryIDs, "ids on retry lists"},
		{pipeline.ErasedReportRows, "rows of reports"},
		{pipeline.ErasedTexts, "messages that named the id"},
		{pipeline.ErasedProtected, "protected fields in the settings"},
		{OldVersions, "old versions of objects"},
		{pipeline.ErasedDamaged, "damaged objects, which may hold anything"},
	}
}

const (
	receiptPrefix = "RECEIPT#"
	receiptTime   = "20060102T150405.000Z"
	entryShown    = 16 // digits of an entry that a receipt tells
)

// receiptKey is where a receipt is kept: beside the connection's runs, in the
// order of time.
func receiptKey(r Receipt) pipeline.Key {
	return pipeline.Key{PK: pipeline.ConnectionPK(r.Connection), SK: receiptPrefix + r.Receipt}
}

// receipt begins the receipt of an action that began at a time.
func (s Store) receipt(connection string, a Action, hash string, began time.Time) Receipt {
	now := s.Now().UTC()
	r := Receipt{Connection: connection, Action: a, At: now, Seconds: max(0, now.Sub(began).Round(10*time.Millisecond).Seconds()), Removed: map[string]int{}}
	if hash != "" {
		r.Entry = hash[:entryShown]
	}
	r.Receipt = now.Format(receiptTime) + "-" + string(a)
	if hash != "" {
		r.Receipt += "-" + r.Entry
	}
	return r
}

// Receipts returns the receipts of a connection, the oldest first, then the
// entries whose erasure has not come to its end. It needs no key.
func Receipts(ctx context.Context, items pipeline.Items, connection string) ([]Receipt, error) {
	all := []Receipt{}
	pk := pipeline.ConnectionPK(connection)
	for it, err := range items.Query(ctx, pipeline.Query{PK: pk, Prefix: receiptPrefix}) {
		if err != nil {
			return nil, unavailable("read the receipts of "+connection, err)
		}
		var r Receipt
		if err := json.Unmarshal(it.Doc, &r); err != nil {
			return nil, fmt.Errorf("decode a receipt of %s: %w", connection, err)
		}
		all = append(all, r)
	}
	for it, err := range items.Query(ctx, pipeline.Query{PK: pk, Prefix: pipeline.ErasedPrefix}) {
		if err != nil {
			return nil, unavailable("read the erasures of "+connection, err)
		}
		var e pipeline.Erasure
		if err := json.Unmarshal(it.Doc, &e); err != nil {
			return nil, fmt.Errorf("decode an erasure of %s: %w", connection, err)
		}
		if e.Done.IsZero() {
			hash := it.SK[len(pipeline.ErasedPrefix):]
			all = append(all, Receipt{Connection: connection, Action: Unfinished, At: e.At, Entry: hash[:min(entryShown, len(hash))], Removed: map[string]int{}})
		}
	}
	return all, nil
}
