package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"stovasync/shared/mapping"
	"stovasync/shared/run"
)

// What follows reads what a run has left, for those who ask why a record is as
// it is. Functions of their own: no step calls them, so no function carries them.

// PlanEntry is what a plan says of one id. A plan holds tens of thousands of
// ids, and only those that are asked for are read.
type PlanEntry struct {
	// Plan is the plan without its ids: All and Pages are nil.
	Plan
	Listed bool   // All holds the id
	Page   string // that was planned to read the id; "" when none was
	Size   int    // how many ids All holds
	all    json.RawMessage
}

// IDs reads all listed ids.
func (e PlanEntry) IDs() (ids []string, err error) {
	if e.all != nil {
		err = json.Unmarshal(e.all, &ids)
	}
	return ids, err
}

// LookUp looks an id up in the plan of a type run; ok is false when it has made
// none, or its object is gone.
func LookUp(ctx context.Context, o Objects, tr TypeRun, id string) (e PlanEntry, ok bool, err error) {
	if tr.Plan == "" {
		return e, false, nil
	}
	var raw struct {
		Plan
		All   json.RawMessage `json:"all"`
		Pages json.RawMessage `json:"pages"`
	}
	if ok, err = getJSON(ctx, o, tr.Plan, &raw); err != nil || !ok {
		return e, false, err
	}
	name, err := json.Marshal(id)
	if err != nil {
		return e, false, err
	}
	e = PlanEntry{Plan: raw.Plan, Listed: bytes.Contains(raw.All, name), all: raw.All}
	if bytes.IndexByte(raw.All, '"') >= 0 {
		e.Size = bytes.Count(raw.All, []byte(`","`)) + 1
	}
	if !bytes.Contains(raw.Pages, name) {
		return e, true, nil
	}
	var pages [][]string
	if err := json.Unmarshal(raw.Pages, &pages); err != nil {
		return e, false, damaged(tr.Plan, err)
	}
	if i := slices.IndexFunc(pages, func(ids []string) bool { return slices.Contains(ids, id) }); i >= 0 {
		e.Page = strconv.Itoa(i + 1)
	}
	return e, true, nil
}

// SettledPage returns the page of a type run that had an id in the end: the
// planned one of that name, or the rest that it was handed on with. ok is
// false when the page is not in the ledger.
func SettledPage(ctx context.Context, l Ledger, o Objects, tr TypeRun, name, id string) (p Page, ok bool, err error) {
	if p, ok, err = l.Page(ctx, tr.Run, tr.Type, name); err != nil || !ok {
		return p, ok, err
	}
	for range maxHops {
		if p.Next == "" {
			return p, true, nil
		}
		next, found, err := l.Page(ctx, tr.Run, tr.Type, p.Next)
		if err != nil || !found {
			return p, true, err
		}
		var ids []string
		if _, err := getJSON(ctx, o, next.IDs, &ids); err != nil {
			return p, true, err
		}
		if !slices.Contains(ids, id) {
			return p, true, nil
		}
		p = next
	}
	return p, true, nil
}

// RawRow is what a run's raw pages say of one id.
type RawRow struct {
	Body      json.RawMessage // nil of one that is gone or poisoned
	FetchedAt time.Time       // when its page was begun to be read
	Gone      bool            // the vendor did not know the id
	Poison    string          // the error code of a row whose call kept failing
}

// RawRowOf looks for an id in the raw page that was planned to read it and,
// where a rest was handed on, in those of its rests. ok is false when none of them says anything of it.
func RawRowOf(ctx context.Context, o Objects, p PlanEntry, id string) (r RawRow, ok bool, err error) {
	page := p.Page
	for range maxHops + 1 {
		raw, there, err := getRaw(ctx, o, rawObject(p.Connection, p.Run, p.Stream, page))
		if err != nil || !there {
			return RawRow{}, false, err
		}
		r = RawRow{Body: raw.Rows[id], FetchedAt: raw.FetchedAt, Gone: slices.Contains(raw.Gone, id), Poison: raw.Poison[id]}
		if r.Body != nil || r.Gone || r.Poison != "" {
			return r, true, nil
		}
		if raw.Next == "" {
			break
		}
		page = raw.Next
	}
	return RawRow{}, false, nil
}

// ReportOf reads what a page had to tell; a page without a report had nothing.
func ReportOf(ctx context.Context, o Objects, p Page) (r PageReport, err error) {
	if p.Report != "" {
		_, err = getJSON(ctx, o, p.Report, &r)
	}
	return r, err
}

// RunsStarted returns the runs of a connection that are due at a moment: one,
// or a few that were started within the same second.
func RunsStarted(ctx context.Context, l Ledger, connection string, at time.Time) ([]Run, error) {
	runs, err := queryAll[Run](ctx, l.Items, Query{PK: connPK(connection), Prefix: "RUN#" + at.UTC().Format(runStamp)})
	return runs, storeError(err)
}

// runStamp is how a run's id begins (see runID).
const runStamp = "20060102T150405Z"

// MapperFor binds a mapping to the event as a plan describes it.
func MapperFor(set *mapping.Set, e EventInfo) (*mapping.Mapper, error) {
	return job{Set: set}.mapper(e)
}

// SameSettings reports whether a plan of the vendor's rows was made with the
// settings, the mapping and the form that a connection has now.
func SameSettings(c run.Connection, m *mapping.Mapper, p Plan) bool {
	return p.Hash == contentHash(c, m.Hash())
}

// RetryList reads the ids that the next run of a type tries again: rows that
// wait for a parent, and quarantined ones.
func RetryList(ctx context.Context, o Objects, c Cursor) (ids []string, err error) {
	if c.Retry != "" {
		_, err = getJSON(ctx, o, c.Retry, &ids)
	}
	return ids, err
}

// PictureField is the field of an owner's record that names its picture.
func PictureField(owner run.DataType) string {
	if owner == run.Sponsors {
		return "logo"
	}
	return "photo"
}

// PictureURL is the address that an owner's picture is asked from. The error is
// PHOTO_HOST, and holds neither value nor address.
func PictureURL(c run.Connection, t, of run.DataType, r Record) (string, error) {
	return sourceURL(job{Task: run.Task{Type: t}, Conn: c}, owner{ownerKind{of: of, field: PictureField(of)}, r})
}
