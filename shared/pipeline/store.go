package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/mapping"
	"stovasync/shared/run"
)

// The fields of a record that pages neither write nor hash.
const (
	photoField = "photo_object"
	slotField  = "in_slot"
)

var notOfPages = []string{photoField, slotField}

// statusField may be protected like any other field (spotme-model.md §3.4).
const statusField = "fp_status"

// cancelled is the fp_status of a record whose person is no longer what it says.
const cancelled = "cancelled"

// rowSet is the rows of one page with what is needed to read them.
type rowSet struct {
	plan   Plan
	mapper *mapping.Mapper
	zone   *time.Location
	raw    RawPage
	ids    []string
}

// store maps the rows of a page and stores what changed.
func (s *Steps) store(ctx context.Context, j job, set rowSet) (work, error) {
	var w work
	s.quarantined(j, set, &w)
	var err error
	switch j.Type {
	case run.Schedule:
		err = s.storeSchedule(ctx, j, set, &w)
	case run.SponsorLevels:
		err = s.keepLevels(set, &w)
	default:
		err = s.storeRows(ctx, j, set, &w)
	}
	return w, err
}

// quarantined files the rows whose detail calls kept failing. Every type of
// the stream tries them again in the next run; the leader counts them.
func (s *Steps) quarantined(j job, set rowSet, w *work) {
	leads := run.Leader(j.Run.Types, j.Type.Stream()) == j.Type
	for _, id := range set.ids {
		code, poison := set.raw.Poison[id]
		if !poison {
			continue
		}
		w.retry(id)
		if leads {
			w.reject(run.Reject{Type: j.Type, ID: id, Code: string(fault.RowPoison), Reason: "its detail call keeps failing: " + code})
		}
	}
}

// eachRow calls do for every row of the set, in the order of the ids. A body
// that cannot be read as a row is a reject.
func (set rowSet) eachRow(t run.DataType, w *work, do func(id string, row mapping.Row)) {
	for _, id := range set.ids {
		body, ok := set.raw.Rows[id]
		if !ok {
			continue
		}
		set.one(t, id, body, w, do)
	}
}

func (set rowSet) one(t run.DataType, id string, body json.RawMessage, w *work, do func(string, mapping.Row)) {
	row, err := set.mapper.Row(t.Stream(), body)
	if err != nil {
		w.reject(run.Reject{Type: t, ID: id, Code: string(fault.StovaBody), Reason: "the row is not a JSON object"})
		return
	}
	defer row.Release()
	do(id, row)
}

// storeRows stores users, sponsors, sessions or presenters.
func (s *Steps) storeRows(ctx context.Context, j job, set rowSet, w *work) error {
	read := map[run.DataType]func(mapping.Row) mapping.Result{
		run.Users: set.mapper.Users, run.Sponsors: set.mapper.Sponsors,
		run.Sessions: set.mapper.Sessions, run.Presenters: set.mapper.Presenters,
	}[j.Type]
	var results []mapping.Result
	set.eachRow(j.Type, w, func(id string, row mapping.Row) {
		r := read(row)
		if r.ID == "" {
			r.ID = id
		}
		results = append(results, r)
	})
	ids := make([]string, len(results))
	for i, r := range results {
		ids[i] = r.ID
	}
	old, err := s.Records.Get(ctx, j.Connection, j.Type, ids)
	if err != nil {
		return storeError(fmt.Errorf("read %d records: %w", len(ids), err))
	}
	b := s.batch(j, set.raw.FetchedAt, old)
	b.zone = set.zone
	if b.seenUntil, err = s.seenUntil(ctx, j, set.plan); err != nil {
		return err
	}
	for _, r := range results {
		b.add(r, w)
	}
	return b.write(ctx, s)
}

// seenUntil is up to when incremental runs with the same settings have read
// every change of the plan's stream. Only full plans of attendees can tell what
// they had missed: the others have no earlier window.
func (s *Steps) seenUntil(ctx context.Context, j job, plan Plan) (time.Time, error) {
	if plan.Mode != run.Full || plan.Stream != run.Attendees {
		return time.Time{}, nil
	}
	cur, err := s.Ledger.Cursor(ctx, j.Connection, j.Type)
	if err != nil || cur.Hash != plan.Hash || !cur.Started.Before(j.Run.Started) {
		return time.Time{}, err
	}
	return cur.Started, nil
}

// batch gathers the updates of a page.
type batch struct {
	j         job
	fetchedAt time.Time
	old       map[string]Record
	// seenUntil is up to when earlier incremental runs have read every change;
	// zero where that cannot be said.
	seenUntil time.Time
	zone      *time.Location // of the event; nil leaves stamps as they come
	updates   []RecordUpdate
	seen      map[string]bool
}

func (s *Steps) batch(j job, fetchedAt time.Time, old map[string]Record) *batch {
	return &batch{j: j, fetchedAt: fetchedAt, old: old, seen: map[string]bool{}}
}

// add files one mapped row. A second row with the same id is left out: the
// vendor's lists may repeat a row.
func (b *batch) add(r mapping.Result, w *work) {
	if b.seen[r.ID] {
		return
	}
	b.seen[r.ID] = true
	for _, warning := range r.Warnings {
		w.report.warn(warning)
	}
	switch r.Outcome {
	case mapping.Rejected:
		w.reject(*r.Reject)
	case mapping.NotOwn:
		b.cancel(r.ID, w)
	case mapping.Filtered:
		// A person that the policy skips must not stay active in the store.
		if r.Rule != "R2" || !b.cancel(r.ID, w) {
			w.counts.Read++
			w.counts.Filtered++
		}
	case mapping.Mapped:
		w.counts.Read++
		b.upsert(r, w)
	}
}

// upsert files an update for a row whose content differs from what is stored,
// and counts the row. A record that this run wrote before counts as that write
// again: the page did not settle then.
func (b *batch) upsert(r mapping.Result, w *work) {
	old, known := b.old[r.ID]
	known = known && old.RemovedAt.IsZero()
	protected := b.protected(r.ID, old)
	if known && protected[statusField] {
		r.Status = old.Status
	}
	hash := mapping.Hash(free(r.Fields, protected), r.Status)
	mine := known && old.Run == b.j.Task.Run
	switch {
	case !known, mine && old.CreatedRun == old.Run:
		w.counts.New++
	case mine, old.Hash != hash:
		w.counts.Changed++
	default:
		w.counts.Unchanged++
	}
	if known && old.Hash == hash {
		if mine {
			b.missed(r, w)
		}
		return
	}
	b.missed(r, w)
	u := RecordUpdate{ID: r.ID, Set: r.Fields, Content: &Record{
		ID: r.ID, Type: b.j.Type.RecordType(), Status: r.Status, Owner: r.Owner, Hash: hash,
		LastModified: b.stamp(r.LastModified), Run: b.j.Task.Run, FetchedAt: b.fetchedAt,
	}}
	if known {
		u.Set = free(r.Fields, protected)
		for name := range old.Fields {
			if _, kept := r.Fields[name]; !kept && !protected[name] && !slices.Contains(notOfPages, name) {
				u.Unset = append(u.Unset, name)
			}
		}
	}
	b.updates = append(b.updates, u)
}

// vendorStamp is how the vendor writes a moment.
const vendorStamp = "2006-01-02 15:04:05"

// stamp gives a vendor's stamp the offset of the event's zone. That its stamps
// are event-local is the better of two guesses (stova-api.md §6). What is no
// stamp stays as it is.
func (b *batch) stamp(s string) string {
	if b.zone == nil {
		return s
	}
	at, err := time.ParseInLocation(vendorStamp, s, b.zone)
	if err != nil {
		return s
	}
	return at.Format(time.RFC3339)
}

// missed counts a row that is stored only now although it was modified before
// what the incremental runs have read. The zone of the vendor's stamps is
// unknown, so only what is older by more than a day counts.
func (b *batch) missed(r mapping.Result, w *work) {
	at, err := time.Parse(vendorStamp, r.LastModified)
	if err == nil && at.Before(b.seenUntil.Add(-lookBack)) {
		w.counts.Missed++
	}
}

// cancel ends the stored record of a person who is no longer of this type (R6)
// or whom the policy skips. It reports whether there was one; it counts once,
// as read and changed, for the type that held it (P22).
func (b *batch) cancel(id string, w *work) bool {
	old, known := b.old[id]
	if !known || !old.RemovedAt.IsZero() || b.protected(id, old)[statusField] {
		return false
	}
	mine := old.Run == b.j.Task.Run
	if old.Status == cancelled && !mine {
		return false
	}
	w.counts.Read++
	w.counts.Changed++
	if old.Status != cancelled {
		b.updates = append(b.updates, b.altered(old, cancelled, old.Fields))
	}
	return true
}

// altered is an update that gives a stored record a status and fields computed
// from its own, not from a row.
func (b *batch) altered(old Record, status string, fields map[string]any) RecordUpdate {
	own := maps.Clone(fields)
	for _, name := range notOfPages {
		delete(own, name)
	}
	protected := b.protected(old.ID, old)
	return RecordUpdate{ID: old.ID, Set: free(own, protected), Content: &Record{
		ID: old.ID, Type: old.Type, Status: status, Owner: old.Owner, Hash: mapping.Hash(free(own, protected), status),
		LastModified: old.LastModified, Run: b.j.Task.Run, FetchedAt: b.fetchedAt,
	}}
}

// protected returns the fields of a record that the sync leaves alone (R19):
// those of the settings and those the record itself names.
func (b *batch) protected(id string, old Record) map[string]bool {
	names := b.j.Conn.Protect[b.j.Type][id]
	if len(names) == 0 && len(old.Protect) == 0 {
		return nil
	}
	return setOf(slices.Concat(names, old.Protect))
}

// free returns the fields that are not protected.
func free(fields map[string]any, protected map[string]bool) map[string]any {
	if len(protected) == 0 {
		return fields
	}
	out := maps.Clone(fields)
	maps.DeleteFunc(out, func(name string, _ any) bool { return protected[name] })
	return out
}

// write applies the updates.
func (b *batch) write(ctx context.Context, s *Steps) error {
	if len(b.updates) == 0 {
		return nil
	}
	// An update that was not applied met a newer fetch: the store is as new as
	// it can be, and the row counts as what it was against the older state.
	if _, err := s.Records.Update(ctx, b.j.Connection, b.j.Type, s.now(), b.updates); err != nil {
		return storeError(fmt.Errorf("store %d records: %w", len(b.updates), err))
	}
	return nil
}

// keepLevels keeps the distinct levels of a page's sponsors; finish writes them.
func (s *Steps) keepLevels(set rowSet, w *work) error {
	set.eachRow(run.SponsorLevels, w, func(id string, row mapping.Row) {
		slug, name, sponsor := set.mapper.Level(row)
		if !sponsor {
			return
		}
		w.report.Sponsors++
		if slug == "" {
			return
		}
		if w.report.Levels == nil {
			w.report.Levels = map[string]Level{}
		}
		if have, ok := w.report.Levels[slug]; !ok || lowerID(id, have.First) {
			l := Level{Name: name, First: id}
			if order, ok := set.mapper.LevelOrder(row); ok {
				l.Order = order
			}
			w.report.Levels[slug] = l
		}
	})
	return nil
}

// lowerID orders ids of digits by their numbers, others by their text.
func lowerID(a, b string) bool {
	if len(a) != len(b) {
		return len(a) < len(b)
	}
	return a < b
}
