package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"stovasync/shared/mapping"
	"stovasync/shared/run"
)

// masterPrefix begins the ids of master sessions (spotme-model.md §10).
const masterPrefix = "slot_"

// masterField marks a computed master session.
const masterField = "is_master"

// rounds bounds how often computed sessions are grouped again. Two finishes at
// once may group different states of the store; each goes on until it finds
// nothing to change, so the last writer has seen what is stored.
const rounds = 5

// masters groups the stored sessions by their start and keeps one master
// session per group, and each member's in_slot (R9, R10). It reads the store,
// not the run's rows, so it may run at any time and twice.
func (s *Steps) masters(ctx context.Context, j job) (sum, error) {
	title := j.Conn.ConcurrentSessionsTitle
	if !j.Set.Maps(run.Sessions, slotField) {
		title = "" // R9: both conditions; without a title there are no masters
	}
	for range rounds {
		members, stored, protect, zone, err := s.members(ctx, j)
		if err != nil {
			return sum{}, err
		}
		wanted, slots := mapping.Masters(j.Conn.EventID, title, zone, members)
		updates := s.masterUpdates(j, wanted, stored)
		for id, slot := range slots { // those that change
			if s.slotProtected(j, id, protect[id]) {
				continue
			}
			u := RecordUpdate{ID: id, Set: map[string]any{slotField: slot}}
			if slot == "" {
				u.Set, u.Unset = nil, []string{slotField}
			}
			updates = append(updates, u)
		}
		if len(updates) == 0 {
			return sum{counts: run.Counts{Computed: len(wanted)}}, nil
		}
		if _, err := s.Records.Update(ctx, j.Connection, run.Sessions, s.now(), updates); err != nil {
			return sum{}, storeError(fmt.Errorf("store %d computed sessions: %w", len(updates), err))
		}
	}
	return sum{}, storeError(fmt.Errorf("sessions changed %d times while they were grouped", rounds))
}

// members reads the stored sessions: those that may share a slot, and the
// masters there are.
func (s *Steps) members(ctx context.Context, j job) (members []mapping.Member, stored map[string]Record, protect map[string][]string, zone *time.Location, err error) {
	stored, protect, zone = map[string]Record{}, map[string][]string{}, time.UTC
	for r, err := range s.Records.Scan(ctx, j.Connection, run.Sessions, Scan{}) {
		if err != nil {
			return nil, nil, nil, nil, storeError(err)
		}
		if r.Fields[masterField] == true && strings.HasPrefix(r.ID, masterPrefix) {
			stored[r.ID] = r
			continue
		}
		if name := text(r.Fields, "timezone"); name != "" {
			if z, err := time.LoadLocation(name); err == nil {
				zone = z
			}
		}
		protect[r.ID] = r.Protect
		members = append(members, mapping.Member{
			ID: r.ID, Status: r.Status, Start: text(r.Fields, "start"), End: text(r.Fields, "end"), InSlot: text(r.Fields, slotField),
		})
	}
	return members, stored, protect, zone, nil
}

// slotProtected reports whether a session's in_slot is left alone (R19).
func (s *Steps) slotProtected(j job, id string, own []string) bool {
	return slices.Contains(own, slotField) || slices.Contains(j.Conn.Protect[run.Sessions][id], slotField)
}

// masterUpdates makes the stored masters be the wanted ones. A master whose
// group or setting is gone is removed at once (P4).
func (s *Steps) masterUpdates(j job, wanted []mapping.Result, stored map[string]Record) []RecordUpdate {
	var updates []RecordUpdate
	keep := map[string]bool{}
	now := s.now()
	for _, m := range wanted {
		keep[m.ID] = true
		hash := mapping.Hash(m.Fields, m.Status)
		old, known := stored[m.ID]
		if known && old.Hash == hash {
			continue
		}
		updates = append(updates, RecordUpdate{ID: m.ID, Set: m.Fields, Content: &Record{
			ID: m.ID, Type: run.Sessions.RecordType(), Status: m.Status, Owner: m.Owner, Hash: hash, Run: j.Task.Run, FetchedAt: now,
		}})
	}
	for id := range stored {
		if !keep[id] {
			updates = append(updates, RecordUpdate{ID: id, Remove: true})
		}
	}
	return updates
}

func text(fields map[string]any, name string) string {
	t, _ := fields[name].(string)
	return t
}

// The default level of an event whose sponsors have no level value.
const (
	defaultLevel     = "sponsor"
	defaultLevelName = "Sponsor"
)

// ordered is a level with its place.
type ordered struct {
	id, name, first string
	order           int64 // 0: not placed yet
}

// levels writes the sponsor levels that the pages saw. A full run without a
// failed page knows all of them: it sets their order, and makes the default
// level. Others only add what is new, at the end.
func (s *Steps) levels(ctx context.Context, j job, tr TypeRun, reports []PageReport) (sum, error) {
	seen, sponsors := seenLevels(reports)
	old := map[string]Record{}
	for r, err := range s.Records.Scan(ctx, j.Connection, run.SponsorLevels, Scan{}) {
		if err != nil {
			return sum{}, storeError(err)
		}
		old[r.ID] = r
	}
	cur, err := s.Ledger.Cursor(ctx, j.Connection, j.Type)
	if err != nil {
		return sum{}, err
	}
	// An old run that was mended late knows less than the newer one.
	whole := tr.Mode == run.Full && tr.Failed == 0 && !cur.Succeeded.After(j.Run.Started)
	if whole && len(seen) == 0 && sponsors > 0 {
		seen = []ordered{{id: defaultLevel, name: defaultLevelName}}
	}
	place(seen, old, whole)
	var w work
	b := s.batch(j, s.now(), old)
	for _, l := range seen {
		b.add(mapping.Result{
			Outcome: mapping.Mapped, ID: l.id, Status: "active", Owner: "global",
			Fields: map[string]any{"name": l.name, "order": l.order},
		}, &w)
	}
	return sum{counts: w.counts}, b.write(ctx, s)
}

// seenLevels joins the pages' levels, in the order of the lowest attendee id
// that has each.
func seenLevels(reports []PageReport) (levels []ordered, sponsors int) {
	by := map[string]Level{}
	for _, r := range reports {
		sponsors += r.Sponsors
		for slug, l := range r.Levels {
			if have, ok := by[slug]; !ok || lowerID(l.First, have.First) {
				by[slug] = l
			}
		}
	}
	for slug, l := range by {
		levels = append(levels, ordered{id: slug, name: l.Name, first: l.First, order: l.Order})
	}
	slices.SortFunc(levels, func(a, b ordered) int {
		return cmp.Or(cmp.Compare(len(a.first), len(b.first)), cmp.Compare(a.first, b.first), cmp.Compare(a.id, b.id))
	})
	return levels, sponsors
}

// place gives each level its order: counted from 1 by a run that knows all of
// them; else what is stored stays and new ones follow.
func place(levels []ordered, old map[string]Record, whole bool) {
	var last int64
	if !whole {
		for _, r := range old {
			n, _ := r.Fields["order"].(int64)
			last = max(last, n)
		}
	}
	for i := range levels {
		if levels[i].order != 0 { // a mapped order wins
			continue
		}
		have, known := old[levels[i].id]
		if n, ok := have.Fields["order"].(int64); !whole && known && ok {
			levels[i].order, levels[i].name = n, text(have.Fields, "name")
			continue
		}
		last++
		levels[i].order = last
	}
}
