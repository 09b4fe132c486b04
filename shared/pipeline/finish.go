package pipeline

import (
	"context"
	"maps"
	"slices"
	"strings"

	"stovasync/shared/fault"
	"stovasync/shared/run"
)

// finish handles a finish task: computed records, cursor, state, then the
// types that waited. Each step may run twice; a death between any two of them
// is mended by the task's next delivery.
func (s *Steps) finish(ctx context.Context, j job) error {
	tr, ok, err := s.Ledger.TypeRun(ctx, j.Task.Run, j.Type)
	if err != nil || !ok {
		return err
	}
	switch {
	case !j.Current && !tr.mended():
		return nil
	case tr.State.Ended() && !tr.mended():
		return s.ended(ctx, tr)
	case !tr.settled():
		return nil // sent early, or by a check that a hand-on overtook
	}
	if tr, err = s.Ledger.modifyTypeRun(ctx, j.Task.Run, j.Type, func(tr *TypeRun) bool {
		if tr.State != run.Running {
			return false
		}
		tr.State, tr.Activity = run.Finishing, s.now()
		return true
	}); err != nil {
		return err
	}
	if !tr.settled() {
		return nil // a rest was handed on meanwhile; its settling checks again
	}
	reports, err := s.reports(ctx, tr)
	if err != nil {
		return err
	}
	sum, err := s.compute(ctx, j, tr, reports)
	if err != nil {
		return err
	}
	if err := s.moveCursor(ctx, j, tr, reports); err != nil {
		return err
	}
	now, failed := s.now(), tr.Failed
	if tr, err = s.Ledger.modifyTypeRun(ctx, j.Task.Run, j.Type, func(tr *TypeRun) bool {
		// A re-run that mended a page meanwhile has sent another finish, which
		// moves the cursor too.
		if tr.State.Ended() && !tr.mended() || !tr.settled() || tr.Failed != failed {
			return false
		}
		tr.State, tr.Ended, tr.Activity = run.Complete, now, now
		if tr.Failed > 0 {
			tr.State = run.Partial
		}
		tr.Finish = sum.counts
		tr.Warnings = mergeWarnings(tr.Warnings, sum.warnings)
		return true
	}); err != nil {
		return err
	}
	return s.ended(ctx, tr)
}

// sum is what a finish adds to a type run.
type sum struct {
	counts   run.Counts
	warnings []run.Warning
}

// compute writes the records that belong to no single row.
func (s *Steps) compute(ctx context.Context, j job, tr TypeRun, reports []PageReport) (sum, error) {
	switch j.Type {
	case run.Sessions:
		return s.masters(ctx, j)
	case run.SponsorLevels:
		return s.levels(ctx, j, tr, reports)
	case run.UserPhotos, run.PresenterPhotos:
		return photoSum(tr), nil
	default:
		return sum{}, nil
	}
}

// photoSum suspects the region when every picture of a run is missing
// (spotme-model.md §7).
func photoSum(tr TypeRun) sum {
	if tr.Mode != run.Full || tr.Pages.Missing == 0 || tr.Pages.Missing < tr.Pages.Read {
		return sum{}
	}
	return sum{warnings: []run.Warning{{
		Code:    string(fault.PhotoHost),
		Message: "every picture of this run is missing; check that the photo endpoint is that of the region where the files are stored",
	}}}
}

// reports reads what the pages of a type run had to tell.
func (s *Steps) reports(ctx context.Context, tr TypeRun) ([]PageReport, error) {
	pages, err := s.Ledger.Pages(ctx, tr.Run, tr.Type)
	if err != nil {
		return nil, err
	}
	var all []PageReport
	for _, p := range pages {
		if p.State != run.PageDone {
			continue
		}
		r, ok, err := s.report(ctx, p)
		if err != nil {
			return nil, err
		}
		if ok {
			all = append(all, r)
		}
	}
	return all, nil
}

// report reads what a page had to tell. An erasure gives a report another key
// and then deletes the old one: the page is asked again.
func (s *Steps) report(ctx context.Context, p Page) (r PageReport, ok bool, err error) {
	for p.Report != "" {
		if ok, err = getJSON(ctx, s.Objects, p.Report, &r); ok || err != nil {
			return r, ok, err
		}
		now, _, err := s.Ledger.Page(ctx, p.Run, p.Type, p.Name)
		if err != nil || now.Report == p.Report {
			return r, false, err // it has expired
		}
		p = now
	}
	return r, false, nil
}

// moveCursor moves the type's cursor, forward only, if no page failed, and
// keeps the retry list. After a partial run the old list holds too: a failed
// page may have been the one that would have tried its ids.
func (s *Steps) moveCursor(ctx context.Context, j job, tr TypeRun, reports []PageReport) error {
	plan, _, err := s.readPlan(ctx, tr.Plan)
	if err != nil {
		return err
	}
	retry := setOf(nil)
	for _, r := range reports {
		for _, id := range r.Retry {
			retry[id] = true
		}
	}
	cur, err := s.Ledger.Cursor(ctx, j.Connection, j.Type)
	if err != nil {
		return err
	}
	// So may it after the late re-run of an older run's page.
	if (tr.Failed > 0 || cur.Succeeded.After(j.Run.Started)) && cur.Retry != "" {
		var old []string
		if _, err := getJSON(ctx, s.Objects, cur.Retry, &old); err != nil {
			return err
		}
		for _, id := range old {
			retry[id] = true
		}
	}
	maps.DeleteFunc(retry, func(id string, _ bool) bool { return j.Erased.Has(id) })
	key := ""
	if len(retry) > 0 {
		key = retryObject(j.Connection, j.Task.Run, j.Type)
		if _, err := putJSON(ctx, s.Objects, key, sortedIDs(retry), false); err != nil {
			return err
		}
	}
	_, err = modify(ctx, s.Ledger.Items, cursorKey(j.Connection, j.Type), func(c *Cursor, _ bool) bool {
		return c.advance(j.Run, tr, plan.Hash, key)
	})
	return storeError(err)
}

// advance applies a run that has ended to the cursor. A run older than the one
// that moved the cursor last changes nothing.
func (c *Cursor) advance(r Run, tr TypeRun, hash, retry string) bool {
	if c.Started.After(r.Started) {
		return false
	}
	if r.Started.After(c.Succeeded) {
		c.Succeeded = r.Started
	}
	c.Retry = retry
	if tr.Failed > 0 {
		return true
	}
	c.Started, c.Run, c.Plan, c.Hash = r.Started, r.ID, tr.Plan, hash
	if tr.Mode == run.Full {
		c.FullStarted = r.Started
	}
	return true
}

func sortedIDs(set map[string]bool) []string {
	ids := make([]string, 0, len(set))
	for id := range set {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, strings.Compare)
	return ids
}

// mergeWarnings adds the warnings that are not there yet: finish may run twice.
func mergeWarnings(have, more []run.Warning) []run.Warning {
	for _, w := range more {
		if !slices.Contains(have, w) {
			have = append(have, w)
		}
	}
	return have
}
