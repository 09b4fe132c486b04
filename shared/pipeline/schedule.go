package pipeline

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"stovasync/shared/mapping"
	"stovasync/shared/run"
)

// The two values of a schedule row's status, and the field that holds it.
const (
	regField     = "status"
	unregistered = "unregistered"
)

// attendance is what the schedule needs of one attendee.
type attendance struct {
	id    string
	user  bool // Users would make a user of the row
	picks []pick
}

// pick is a session that an attendee picked, with the schedule row it gives
// for each session that it may mean. The rows are made while the attendee's
// own is open, so that a page holds one of them at a time.
type pick struct {
	candidates []string
	rows       []mapping.Result
}

// storeSchedule stores the picks of a page's attendees, and marks stored rows
// whose pick is gone as unregistered (P2).
func (s *Steps) storeSchedule(ctx context.Context, j job, set rowSet, w *work) error {
	people := attendances(set, w)
	old, err := s.scheduleRows(ctx, j, set)
	if err != nil {
		return err
	}
	users, sessions, err := s.parents(ctx, j, people)
	if err != nil {
		return err
	}
	b := s.batch(j, set.raw.FetchedAt, old.byID)
	b.zone = set.zone
	for _, p := range people {
		b.schedulePerson(p, users, sessions, old.byOwner[p.id], w)
	}
	return b.write(ctx, s)
}

// attendances reads the picks of the rows.
func attendances(set rowSet, w *work) []attendance {
	var people []attendance
	set.eachRow(run.Schedule, w, func(id string, row mapping.Row) {
		people = append(people, attend(set.mapper, id, row))
	})
	return people
}

func attend(m *mapping.Mapper, id string, row mapping.Row) attendance {
	p := attendance{id: id}
	for _, picked := range m.Picks(row) {
		one := pick{candidates: picked.Candidates}
		for _, c := range picked.Candidates {
			one.rows = append(one.rows, m.Schedule(row, c, picked))
		}
		p.picks = append(p.picks, one)
	}
	p.user = len(p.picks) > 0 && m.IsUser(row)
	return p
}

// stored is the stored schedule rows of a page's attendees.
type stored struct {
	byID    map[string]Record
	byOwner map[string][]Record
}

func (st *stored) add(r Record) {
	st.byID[r.ID] = r
	st.byOwner[r.Owner] = append(st.byOwner[r.Owner], r)
}

// scheduleRows reads the stored rows of the attendees of a page. A full plan's
// page is one range of ids, read in one go; else each attendee is asked for.
func (s *Steps) scheduleRows(ctx context.Context, j job, set rowSet) (stored, error) {
	st := stored{byID: map[string]Record{}, byOwner: map[string][]Record{}}
	if len(set.ids) == 0 {
		return st, nil
	}
	if set.plan.Mode == run.Full {
		return st, s.scheduleRange(ctx, j, set, &st)
	}
	var mu sync.Mutex
	var failure error
	each(s.prefixes(), set.ids, func(id string) bool {
		for r, err := range s.Records.Scan(ctx, j.Connection, run.Schedule, Scan{Prefix: id + "_"}) {
			mu.Lock()
			if err != nil {
				failure = err
			} else {
				st.add(r)
			}
			mu.Unlock()
		}
		mu.Lock()
		defer mu.Unlock()
		return failure == nil
	}, func(string) {})
	return st, storeError(failure)
}

func (s *Steps) scheduleRange(ctx context.Context, j job, set rowSet, st *stored) error {
	mine := setOf(set.ids)
	first := slices.MinFunc(set.ids, func(a, b string) int { return strings.Compare(a+"_", b+"_") }) + "_"
	last := slices.MaxFunc(set.ids, func(a, b string) int { return strings.Compare(a+"_", b+"_") }) + "_"
	for r, err := range s.Records.Scan(ctx, j.Connection, run.Schedule, Scan{After: first}) {
		if err != nil {
			return storeError(err)
		}
		if r.ID > last && !strings.HasPrefix(r.ID, last) {
			break
		}
		if mine[r.Owner] {
			st.add(r)
		}
	}
	return nil
}

func (s *Steps) prefixes() int {
	if s.Prefixes == 0 {
		return 8
	}
	return s.Prefixes
}

// parents reads which of the people and of the sessions they picked are stored.
func (s *Steps) parents(ctx context.Context, j job, people []attendance) (users, sessions map[string]bool, err error) {
	var ids []string
	candidates := map[string]bool{}
	for _, p := range people {
		if len(p.picks) == 0 {
			continue
		}
		ids = append(ids, p.id)
		for _, pick := range p.picks {
			for _, c := range pick.candidates {
				candidates[c] = true
			}
		}
	}
	if users, err = s.present(ctx, j, run.Users, ids); err != nil {
		return nil, nil, err
	}
	sessions, err = s.present(ctx, j, run.Sessions, slices.Collect(maps.Keys(candidates)))
	return users, sessions, err
}

func (s *Steps) present(ctx context.Context, j job, t run.DataType, ids []string) (map[string]bool, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	got, err := s.Records.Get(ctx, j.Connection, t, ids)
	if err != nil {
		return nil, storeError(fmt.Errorf("read %d %s: %w", len(ids), t, err))
	}
	there := make(map[string]bool, len(got))
	for id, r := range got {
		there[id] = r.RemovedAt.IsZero()
	}
	return there, nil
}

// schedulePerson files the schedule rows of one attendee.
func (b *batch) schedulePerson(p attendance, users, sessions map[string]bool, old []Record, w *work) {
	picked := map[string]bool{}
	pending := false
	for _, pick := range p.picks {
		i := slices.IndexFunc(pick.candidates, func(c string) bool { return sessions[c] })
		switch {
		case !p.user: // a sponsor, or a person whom a rule keeps out
			w.counts.Read++
			w.counts.Filtered++
		case i < 0 || !users[p.id]:
			w.counts.Read++
			w.counts.Pending++
			pending = true
			for _, c := range pick.candidates {
				picked[p.id+"_"+c] = true // not gone, only waiting
			}
		default:
			picked[p.id+"_"+pick.candidates[i]] = true // also where it is rejected
			b.add(pick.rows[i], w)
		}
	}
	if pending {
		w.retry(p.id)
	}
	for _, r := range old {
		if !picked[r.ID] {
			b.unregister(r, w)
		}
	}
}

// unregister ends a stored row whose pick is gone. It counts once, as read and
// changed (P22).
func (b *batch) unregister(old Record, w *work) {
	protected := b.protected(old.ID, old)
	if protected[regField] {
		return
	}
	was := old.Fields[regField] == unregistered
	if was && old.Run != b.j.Task.Run {
		return
	}
	w.counts.Read++
	w.counts.Changed++
	if was {
		return
	}
	fields := maps.Clone(old.Fields)
	fields[regField] = unregistered
	status := cancelled
	if protected[statusField] {
		status = old.Status
	}
	b.updates = append(b.updates, b.altered(old, status, fields))
}
