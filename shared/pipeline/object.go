package pipeline

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/gzip"

	"stovasync/shared/fault"
	"stovasync/shared/run"
)

// Plan is what a run reads of one stream: written once, put only if absent, so
// that planners, pages, finishes, explain and re-runs all see the same pages.
type Plan struct {
	Run        string     `json:"run"`
	Connection string     `json:"connection"`
	Stream     run.Stream `json:"stream"`
	Mode       run.Mode   `json:"mode"`
	ListedAt   time.Time  `json:"listed_at"`
	// ModifiedFrom is the start of the window of an incremental plan.
	ModifiedFrom time.Time `json:"modified_from,omitzero"`
	// Hash stands for settings, mapping and event zone; it goes with the cursor.
	Hash string `json:"hash"`
	// All are the ids listed; they prove removals. Pages are those to fetch.
	All   []string   `json:"all"`
	Pages [][]string `json:"pages"`
	// NoID counts listed rows without an id.
	NoID int `json:"no_id,omitempty"`
	// KeptOut counts listed ids of people who were erased, also since the plan
	// was made; they are in neither All nor Pages.
	KeptOut  int           `json:"kept_out,omitempty"`
	Event    EventInfo     `json:"event"`
	Warnings []run.Warning `json:"warnings,omitempty"`
	Spent
}

// EventInfo is what pages must know of the event, so that they need not ask.
type EventInfo struct {
	ID        string            `json:"id"`
	Name      string            `json:"name,omitempty"`
	Zone      string            `json:"zone"` // IANA name
	Language  string            `json:"language,omitempty"`
	Questions []Question        `json:"questions,omitempty"`
	Tracks    map[string]string `json:"tracks,omitempty"`
}

// Question is one question of the registration form.
type Question struct {
	ID        string `json:"id"`
	FieldName string `json:"fieldname"`
	Name      string `json:"name"`
	Page      string `json:"page,omitempty"`
	InputType string `json:"inputtype,omitempty"`
}

// PageReport is what a page has to tell beyond its counts.
type PageReport struct {
	Rejects []run.Reject `json:"rejects,omitempty"`
	// Warned are the warnings about rows, by code: a page of many like rows
	// tells one of them and how many there are.
	Warned map[string]Warned `json:"warned,omitempty"`
	// Retry are the ids to try again in the next run: pending and quarantined.
	Retry []string `json:"retry,omitempty"`
	// Levels are the distinct sponsor levels of the page, Sponsors the number
	// of its sponsors.
	Levels   map[string]Level `json:"levels,omitempty"`
	Sponsors int              `json:"sponsors,omitempty"`
}

// empty reports whether there is nothing to keep.
func (r PageReport) empty() bool {
	return len(r.Rejects) == 0 && len(r.Warned) == 0 && len(r.Retry) == 0 && len(r.Levels) == 0 && r.Sponsors == 0
}

// Warned is one kind of warning on a page.
type Warned struct {
	First run.Warning `json:"first"`
	Rows  int         `json:"rows"`
}

// warn files a warning about a row.
func (r *PageReport) warn(w run.Warning) {
	if r.Warned == nil {
		r.Warned = map[string]Warned{}
	}
	have, ok := r.Warned[w.Code]
	if !ok {
		have.First = w
	}
	have.Rows++
	r.Warned[w.Code] = have
}

// Level is a sponsor level as a page saw it.
type Level struct {
	Name  string `json:"name"`
	First string `json:"first"` // the lowest attendee id that has it
	// Order is the place that a mapped order gives the level; 0: none does.
	Order int64 `json:"order,omitempty"`
}

// The keys of objects. Raw pages have a prefix of their own, since they expire.
func planObject(conn, id string, s run.Stream) string {
	return fmt.Sprintf("plans/%s/%s/%s.json.gz", conn, id, s)
}
func eventObject(conn, id string) string { return fmt.Sprintf("plans/%s/%s/event.json.gz", conn, id) }
func rawObject(conn, id string, s run.Stream, page string) string {
	return fmt.Sprintf("%s%s/%s.json.gz", rawPrefix(conn, id), s, page)
}
func rawPrefix(conn, id string) string { return fmt.Sprintf("raw/%s/%s/", conn, id) }
func restObject(conn, id string, t run.DataType, page string, ids []string) string {
	return fmt.Sprintf("plans/%s/%s/rest/%s/%s-%s.json.gz", conn, id, t, page, digest(ids))
}
func reportObject(conn, id string, t run.DataType, page string) string {
	return fmt.Sprintf("reports/%s/%s/%s/%s.json.gz", conn, id, t, page)
}
func retryObject(conn, id string, t run.DataType) string {
	return fmt.Sprintf("plans/%s/%s/retry/%s.json.gz", conn, id, t)
}

// digest stands for the content of plain data.
func digest(v any) string {
	doc, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain data always encodes
	}
	sum := sha256.Sum256(doc)
	return hex.EncodeToString(sum[:8])
}

// putJSON stores v as gzip JSON and reports whether this call stored it.
func putJSON(ctx context.Context, o Objects, key string, v any, ifAbsent bool) (bool, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		return false, err
	}
	if err := json.NewEncoder(z).Encode(v); err != nil {
		return false, fmt.Errorf("encode %s: %w", key, err)
	}
	if err := z.Close(); err != nil {
		return false, fmt.Errorf("compress %s: %w", key, err)
	}
	stored, err := o.Put(ctx, key, bytes.NewReader(b.Bytes()), ObjectInfo{ContentType: "application/gzip", IfAbsent: ifAbsent})
	if err != nil {
		return false, storeError(fmt.Errorf("put %s: %w", key, err))
	}
	return stored, nil
}

// getJSON reads what putJSON stored; ok is false when the key holds nothing.
func getJSON(ctx context.Context, o Objects, key string, v any) (ok bool, err error) {
	text, ok, err := getGzip(ctx, o, key)
	if err != nil || !ok {
		return false, err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return false, damaged(key, err)
	}
	return true, nil
}

// damaged is the failure of an object that is there and cannot be read: trying
// again will not mend it, a new run makes a new one.
func damaged(key string, err error) error {
	return fault.Permanent(fault.Wrap(fault.StoreUnavailable, err, "the object "+key+" is damaged", "run sync again: a new run writes a new one"))
}

// getGzip reads a compressed object; ok is false when the key holds nothing.
func getGzip(ctx context.Context, o Objects, key string) (text []byte, ok bool, err error) {
	r, err := o.Get(ctx, key)
	if errors.Is(err, ErrNoObject) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, storeError(fmt.Errorf("get %s: %w", key, err))
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	z, err := gzip.NewReader(r)
	if torn(err) {
		return nil, false, damaged(key, err)
	}
	if err != nil {
		return nil, false, storeError(fmt.Errorf("open %s: %w", key, err))
	}
	text, err = io.ReadAll(z)
	if torn(err) {
		return nil, false, damaged(key, err)
	}
	if err != nil {
		return nil, false, storeError(fmt.Errorf("read %s: %w", key, err))
	}
	return text, true, nil
}
