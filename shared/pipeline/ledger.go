package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/run"
)

// Run is one execution for one connection, as the ledger keeps it.
type Run struct {
	ID         string   `json:"id"`
	Connection string   `json:"connection"`
	Mode       run.Mode `json:"mode"`
	// AskedFull tells a full run that was asked for from one that had to be full.
	AskedFull bool           `json:"asked_full,omitempty"`
	Types     []run.DataType `json:"types"`    // in the order of run.AllTypes
	Settings  string         `json:"settings"` // hash of the settings it started with
	Started   time.Time      `json:"started"`  // the scheduled time, by which runs are ordered
	// Began is when the run was made, by the clock of who made it; zero of runs
	// made before this was kept.
	Began time.Time `json:"began,omitzero"`
	Ended time.Time `json:"ended,omitzero"`
	// ApprovedRemovals is how many removals per type an operator approved.
	ApprovedRemovals int `json:"approved_removals,omitempty"`
}

// began is when the run was made; of one that does not tell, when it was due.
func (r Run) began() time.Time {
	if r.Began.IsZero() {
		return r.Started
	}
	return r.Began
}

// TypeRun is the part of a run that handles one data type.
type TypeRun struct {
	Connection string       `json:"connection"`
	Run        string       `json:"run"`
	Type       run.DataType `json:"type"`
	State      run.State    `json:"state"`
	// Planned, Done and Failed count pages. Planned is final once Planning is
	// set, but for rests of pages that are handed on.
	Planned  int  `json:"planned"`
	Done     int  `json:"done"`
	Failed   int  `json:"failed"`
	Planning bool `json:"planning_finished"`
	// Plan is the key of the plan object; "" until there is one.
	Plan string   `json:"plan,omitempty"`
	Mode run.Mode `json:"mode,omitempty"` // of the plan
	// Pages sums the counts of settled pages; Finish holds those of the finish
	// step, replaced as a whole each time it runs.
	Pages  run.Counts `json:"pages"`
	Finish run.Counts `json:"finish"`
	NoID   int        `json:"no_id,omitempty"` // listed rows without an id
	Spent
	// TaskAge is how old the oldest of its tasks was when it was begun, in
	// seconds since it was sent.
	TaskAge  float64       `json:"task_age_seconds,omitempty"`
	Warnings []run.Warning `json:"warnings,omitempty"`
	Code     string        `json:"code,omitempty"`  // of the failure
	Error    string        `json:"error,omitempty"` // its text: ids and counts only
	Started  time.Time     `json:"started,omitzero"`
	Ended    time.Time     `json:"ended,omitzero"`
	// Activity is the last time a step of this type got anywhere; the lease
	// of the run and repair go by it.
	Activity time.Time `json:"activity"`
	// Resent is when repair sent the type's tasks once more.
	Resent time.Time `json:"resent,omitzero"`
	// Rechecked is when repair last sent the one task the type waits for.
	Rechecked time.Time `json:"rechecked,omitzero"`
	// Redriven is when a failure was sent again that has not come anew since:
	// the dead letters there are of it have nothing left to tell.
	Redriven time.Time `json:"redriven,omitzero"`
	// Dropped is when a failure became history, because its connection is gone.
	Dropped time.Time `json:"dropped,omitzero"`
}

// Counts returns the type run's numbers: those of its pages and of its finish.
func (t TypeRun) Counts() run.Counts { return t.Pages.Plus(t.Finish) }

// settled reports whether planning has finished and no page is outstanding.
func (t TypeRun) settled() bool { return t.Planning && t.Done+t.Failed == t.Planned }

// finishable reports whether a finish has anything to do.
func (t TypeRun) finishable() bool { return t.settled() && (!t.State.Ended() || t.mended()) }

// mended reports whether a partial type run has no failed page left.
func (t TypeRun) mended() bool { return t.State == run.Partial && t.Failed == 0 }

// reopened reports whether a redrive has opened a failed type run again and
// nothing has come of it yet: its task may wait, or a redrive that was cut has
// never sent it.
func (t TypeRun) reopened() bool {
	return !t.Redriven.IsZero() && t.Activity.Equal(t.Redriven) && (t.State == run.Queued || t.State == run.Running && t.Planning)
}

// Page is one page of a type run.
type Page struct {
	Connection string        `json:"connection"`
	Run        string        `json:"run"`
	Type       run.DataType  `json:"type"`
	Name       string        `json:"name"` // "3", or "3.1" for its first rest
	State      run.PageState `json:"state"`
	Rows       int           `json:"rows"` // ids it was given
	// IDs is the key of the object that holds the ids of a rest; pages of the
	// plan take theirs from the plan.
	IDs  string `json:"ids,omitempty"`
	Next string `json:"next,omitempty"` // the page its rest was handed to
	Hops int    `json:"hops,omitempty"`
	// Tries is how many deliveries it took until the page was settled, those of
	// its re-runs added; 0: not known.
	Tries int `json:"tries,omitempty"`
	// Left is how many of its ids a re-run left out, since the newest plan lists
	// them no more.
	Left int `json:"left,omitempty"`
	// Erased is how many ids erasures have taken out of the page and its rest;
	// Rows are without them. Unread is how many of them were out, or were left
	// out, when the page was settled: Counts are without those alone.
	Erased int        `json:"erased,omitempty"`
	Unread int        `json:"unread,omitempty"`
	Fresh  bool       `json:"fresh,omitempty"` // the rest of a re-run page: never from a raw page
	Counts run.Counts `json:"counts"`
	Spent
	Covered bool      `json:"covered,omitempty"` // a later run did its work
	Report  string    `json:"report,omitempty"`  // key of its report object
	Code    string    `json:"code,omitempty"`
	Error   string    `json:"error,omitempty"`
	Settled time.Time `json:"settled,omitzero"`
	// Redriven is when a failure was sent again that has not come anew since:
	// the dead letters there are of it have nothing left to tell.
	Redriven time.Time `json:"redriven,omitzero"`
	// Dropped is when a failure became history, because its connection is gone.
	Dropped time.Time `json:"dropped,omitzero"`
}

// Task returns the task that handles the page.
func (p Page) Task() run.Task {
	return run.Task{Kind: run.PageTask, Connection: p.Connection, Run: p.Run, Type: p.Type, Page: p.Name}
}

// Active names the newest run of a connection: the one that may write.
type Active struct {
	Run     string    `json:"run"`
	Started time.Time `json:"started"`
	FullDue bool      `json:"full_due,omitempty"`
	Skipped *Skip     `json:"skipped,omitempty"`
}

// Skip is a start that was refused, and why.
type Skip struct {
	Run    string    `json:"run"`
	Mode   run.Mode  `json:"mode"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// Cursor is what a connection knows of one type from its earlier runs.
type Cursor struct {
	// Started is the start of the last run in which every page succeeded.
	Started time.Time `json:"started,omitzero"`
	Run     string    `json:"run,omitempty"`
	Plan    string    `json:"plan,omitempty"` // of that run
	Hash    string    `json:"hash,omitempty"` // of settings, mapping and event zone
	// FullStarted is the start of the last such run that read everything.
	FullStarted time.Time `json:"full_started,omitzero"`
	Retry       string    `json:"retry,omitempty"` // key of the retry list
	// Succeeded is the start of the last run that was complete or partial.
	Succeeded time.Time `json:"succeeded,omitzero"`
}

// StreamMemory is what a connection learned of one stream.
type StreamMemory struct {
	Limit int `json:"limit,omitempty"` // the list limit that worked
	// Down is when a page found its server down last; zero once it answered.
	Down time.Time `json:"down,omitzero"`
}

// The keys of design.md §5.
func connPK(name string) string             { return "CONN#" + name }
func runPK(id string) string                { return "RUN#" + id }
func settingsKey(name string) Key           { return Key{connPK(name), "SETTINGS"} }
func activeKey(name string) Key             { return Key{connPK(name), "ACTIVE"} }
func runKey(name, id string) Key            { return Key{connPK(name), "RUN#" + id} }
func runPointer(id string) Key              { return Key{runPK(id), "RUN"} }
func connPointer(name string) Key           { return Key{"CONNECTIONS", name} }
func removedPointer(name string) Key        { return Key{"REMOVED", name} }
func typeKey(id string, t run.DataType) Key { return Key{runPK(id), typePrefix + string(t)} }
func cursorKey(name string, t run.DataType) Key {
	return Key{connPK(name), "TYPE#" + string(t)}
}
func streamKey(name string, s run.Stream) Key { return Key{connPK(name), "STREAM#" + string(s)} }

// PreviewKey is where the last preview of a type has left the names of the
// columns that it saw: all that a preview ever writes.
func PreviewKey(name string, t run.DataType) Key { return Key{connPK(name), "PREVIEW#" + string(t)} }

func pageKey(id string, t run.DataType, page string) Key {
	return Key{runPK(id), pagePrefix(t) + sortable(page)}
}
func pagePrefix(t run.DataType) string { return "PAGE#" + string(t) + "#" }

// sortable pads a page's name so that names sort as their numbers do.
func sortable(page string) string {
	n, rest, _ := strings.Cut(page, ".")
	if rest == "" {
		return fmt.Sprintf("%06s", n)
	}
	return fmt.Sprintf("%06s.%03s", n, rest)
}

// load reads one item into out and returns its version; 0 when it is absent.
func load(ctx context.Context, items Items, k Key, out any) (int64, error) {
	it, err := items.Get(ctx, k)
	if err != nil {
		return 0, fmt.Errorf("read %s %s: %w", k.PK, k.SK, err)
	}
	if it.Version == 0 {
		return 0, nil
	}
	if err := json.Unmarshal(it.Doc, out); err != nil {
		return 0, fmt.Errorf("decode %s %s: %v", k.PK, k.SK, err)
	}
	return it.Version, nil
}

// put is a Write of v at a version.
func put(k Key, version int64, v any) (Write, error) {
	doc, err := json.Marshal(v)
	if err != nil {
		return Write{}, fmt.Errorf("encode %s %s: %w", k.PK, k.SK, err)
	}
	return Write{Key: k, Version: version, Doc: doc, Failed: indexed(v)}, nil
}

// modify reads an item into a new T, lets change alter it and writes it back
// at the version it had, again when somebody else was faster. change gets a
// zero T and exists = false for an absent item, and returns false to leave the
// item alone.
func modify[T any](ctx context.Context, items Items, k Key, change func(v *T, exists bool) bool) (T, error) {
	for {
		var v T
		version, err := load(ctx, items, k, &v)
		if err != nil {
			return v, err
		}
		if !change(&v, version > 0) {
			return v, nil
		}
		w, err := put(k, version, v)
		if err != nil {
			return v, err
		}
		switch err := items.Write(ctx, w); {
		case err == nil:
			return v, nil
		case !errors.Is(err, ErrVersion):
			return v, fmt.Errorf("write %s %s: %w", k.PK, k.SK, err)
		}
		if err := ctx.Err(); err != nil {
			return v, err
		}
	}
}

// indexed returns the connection under which a document belongs into the index
// of failed pages, or "". A type run that a redrive has opened stays in it until
// something comes of that, so that the next redrive finds it.
func indexed(v any) string {
	switch v := v.(type) {
	case Page:
		if v.State == run.PageFailed && v.Dropped.IsZero() {
			return v.Connection
		}
	case TypeRun:
		if (v.State == run.Failed || v.reopened()) && v.Dropped.IsZero() {
			return v.Connection
		}
	}
	return ""
}

// queryAll reads the items of a query into values of T.
func queryAll[T any](ctx context.Context, items Items, q Query) ([]T, error) {
	var all []T
	for it, err := range items.Query(ctx, q) {
		if err != nil {
			return nil, fmt.Errorf("read %s %s*: %w", q.PK, q.Prefix, err)
		}
		var v T
		if err := json.Unmarshal(it.Doc, &v); err != nil {
			return nil, fmt.Errorf("decode %s %s: %v", it.PK, it.SK, err)
		}
		all = append(all, v)
	}
	return all, nil
}

// storeError gives an adapter's failure its code, unless it has one.
func storeError(err error) error {
	if err == nil || fault.CodeOf(err) != "" || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fault.Wrap(fault.StoreUnavailable, err, err.Error(), "check that the store can be reached and written, then run it again")
}
