package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"stovasync/shared/run"
)

// work is what the rows of a page came to, before it is settled.
type work struct {
	counts run.Counts
	report PageReport
	used   Spent
	rest   []string // ids for which there was no time
	left   int      // ids of a re-run that are listed no more
	erased int      // ids of people who were erased since they were planned
}

func (w *work) reject(r run.Reject) {
	w.counts.Read++
	w.counts.Rejected++
	w.report.Rejects = append(w.report.Rejects, r)
}

func (w *work) retry(id string) { w.report.Retry = append(w.report.Retry, id) }

// page handles a page task: fetch, map, store what changed, settle. Settling
// is the last write: it promises all the others.
func (s *Steps) page(ctx context.Context, j job) error {
	p, ok, err := s.Ledger.Page(ctx, j.Task.Run, j.Type, j.Page)
	if err != nil {
		return err
	}
	if !ok {
		s.log().WarnContext(ctx, "task of a page that is not in the ledger", "run", j.Task.Run, "type", j.Type, "page", j.Page)
		return nil
	}
	tr, _, err := s.Ledger.TypeRun(ctx, j.Task.Run, j.Type)
	if err != nil {
		return err
	}
	switch {
	case p.State == run.PageDone:
		return s.pageAgain(ctx, p, tr)
	case p.State == run.PageQueued && !j.Current && !lateRest(p, tr):
		return nil
	}
	ids, covered, err := s.idsOf(ctx, j, p, tr)
	if err != nil {
		return err
	}
	if covered {
		_, err := s.settlePage(ctx, j, p, work{}, true)
		return err
	}
	left := p.Rows - len(ids)
	ids, erased := j.Erased.keep(ids)
	w, err := s.workOn(ctx, j, p, tr, ids)
	if err != nil {
		if lost := s.spent(ctx, j, w.used); lost != nil {
			return errors.Join(err, lost)
		}
		return err
	}
	w.left, w.erased = left, erased
	counted, err := s.settlePage(ctx, j, p, w, false)
	if counted {
		return err
	}
	// Nothing was settled, or by another delivery: these calls were made all the same.
	return errors.Join(err, s.spent(ctx, j, w.used))
}

// putReport keeps what a page has to tell, under a key that names its content:
// of two deliveries at once, only the one that settles says which counts.
func (s *Steps) putReport(ctx context.Context, j job, r PageReport) (key string, err error) {
	if r.empty() {
		return "", nil
	}
	key = reportObject(j.Connection, j.Task.Run, j.Type, j.Page+"-"+digest(r))
	_, err = putJSON(ctx, s.Objects, key, r, false)
	return key, err
}

// spent counts what a step that failed has used: the vendor counts it too.
func (s *Steps) spent(ctx context.Context, j job, used Spent) error {
	if used == (Spent{}) {
		return nil
	}
	// The step may have failed because its time was up.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), spentTimeout)
	defer cancel()
	_, err := s.Ledger.modifyTypeRun(ctx, j.Task.Run, j.Type, func(tr *TypeRun) bool {
		tr.Spent = tr.Spent.plus(used)
		return true
	})
	return err
}

// spentTimeout bounds the one write that follows a failure.
const spentTimeout = 3 * time.Second

// lateRest reports whether a queued page is the rest of a re-run page of a
// type run that ended as partial: the only pages that are queued that late.
func lateRest(p Page, tr TypeRun) bool { return p.Hops > 0 && tr.State == run.Partial }

// pageAgain handles a page that was settled before: the task of its rest, if
// that is still queued, and the check may not have been sent.
func (s *Steps) pageAgain(ctx context.Context, p Page, tr TypeRun) error {
	if p.Next != "" {
		next, ok, err := s.Ledger.Page(ctx, p.Run, p.Type, p.Next)
		if err != nil {
			return err
		}
		if ok && next.State == run.PageQueued {
			if err := s.Tasks.Send(ctx, next.Task()); err != nil {
				return storeError(err)
			}
		}
	}
	return s.check(ctx, tr)
}

// idsOf returns the ids of a page. For a re-run of a failed page it says
// whether a later run has done the work, and leaves out what is listed no more.
func (s *Steps) idsOf(ctx context.Context, j job, p Page, tr TypeRun) (ids []string, covered bool, err error) {
	if p.State == run.PageFailed {
		if covered, err = s.covered(ctx, j, tr); err != nil || covered {
			return nil, covered, err
		}
	}
	if p.IDs != "" {
		ok, err := getJSON(ctx, s.Objects, p.IDs, &ids)
		if err == nil && !ok {
			err = storeError(fmt.Errorf("ids of page %s are gone", p.Name))
		}
		if err != nil {
			return nil, false, err
		}
	} else if ids, err = s.planIDs(ctx, tr, p); err != nil {
		return nil, false, err
	}
	// Owners of pictures are looked up in the store, which knows who is gone.
	if p.State == run.PageFailed && !j.Type.IsPhotos() {
		ids, err = s.stillListed(ctx, j, ids)
	}
	return ids, false, err
}

func (s *Steps) planIDs(ctx context.Context, tr TypeRun, p Page) ([]string, error) {
	plan, ok, err := s.readPlan(ctx, tr.Plan)
	if err == nil && !ok {
		err = storeError(fmt.Errorf("plan %s is gone", tr.Plan))
	}
	if err != nil {
		return nil, err
	}
	i, err := planPage(p.Name)
	if err != nil || i >= len(plan.Pages) {
		return nil, fmt.Errorf("page %q is not in plan %s", p.Name, tr.Plan)
	}
	return plan.Pages[i], nil
}

// covered reports whether a later run of the type, as wide or wider, is
// complete. After a run with a failed page the cursor stands still, so the
// first complete incremental run after it reads the window of that run too; a
// full plan is covered by a full one only.
func (s *Steps) covered(ctx context.Context, j job, tr TypeRun) (bool, error) {
	cur, err := s.Ledger.Cursor(ctx, j.Connection, j.Type)
	if err != nil {
		return false, err
	}
	if cur.FullStarted.After(j.Run.Started) {
		return true, nil
	}
	return tr.Mode == run.Incremental && cur.Started.After(j.Run.Started), nil
}

// stillListed leaves out ids that the newest plan of the stream no longer
// lists: a re-run must not bring back what has gone since.
func (s *Steps) stillListed(ctx context.Context, j job, ids []string) ([]string, error) {
	active, err := s.Ledger.Active(ctx, j.Connection)
	if err != nil {
		return nil, err
	}
	cur, err := s.Ledger.Cursor(ctx, j.Connection, j.Type)
	if err != nil {
		return nil, err
	}
	keys := []string{planObject(j.Connection, active.Run, j.Type.Stream())}
	if cur.Started.After(j.Run.Started) {
		keys = append(keys, cur.Plan)
	}
	for _, key := range keys {
		newest, ok, err := s.readPlan(ctx, key)
		if err != nil {
			return nil, err
		}
		if ok {
			listed := setOf(newest.All)
			return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !listed[id] }), nil
		}
	}
	return ids, nil
}

// workOn does the rows of a page.
func (s *Steps) workOn(ctx context.Context, j job, p Page, tr TypeRun, ids []string) (work, error) {
	if j.Type.IsPhotos() {
		return s.photoPage(ctx, j, ids)
	}
	plan, ok, err := s.readPlan(ctx, tr.Plan)
	if err == nil && !ok {
		err = storeError(fmt.Errorf("plan %s is gone", tr.Plan))
	}
	if err != nil {
		return work{}, err
	}
	zone, err := plan.Event.zone()
	if err != nil {
		return work{}, err
	}
	m, err := j.mapper(plan.Event)
	if err != nil {
		return work{}, err
	}
	raw, rest, used, err := s.rows(ctx, j, p, ids)
	if err != nil {
		return work{used: used}, err
	}
	w, err := s.store(ctx, j, rowSet{plan: plan, mapper: m, zone: zone, raw: raw, ids: without(ids, rest)})
	w.rest, w.used = rest, used
	return w, err
}

// settlePage keeps the report, then settles the page or hands its rest on, and
// checks whether the type run is through. counted says that its counts went in.
func (s *Steps) settlePage(ctx context.Context, j job, p Page, w work, covered bool) (counted bool, err error) {
	report, err := s.putReport(ctx, j, w.report)
	if err != nil {
		return false, err
	}
	o := Outcome{Counts: w.counts, Spent: w.used, Report: report, Covered: covered, Left: w.left, Erased: w.erased}
	if len(w.rest) > 0 {
		return s.passOn(ctx, j, p, w.rest, o)
	}
	tr, wrote, err := s.Ledger.settle(ctx, j.Task, o, s.now())
	if err != nil {
		return false, err
	}
	return wrote, s.check(ctx, tr)
}

// passOn hands the rest of a page on: its ids, then one transaction, then its task.
func (s *Steps) passOn(ctx context.Context, j job, p Page, rest []string, o Outcome) (counted bool, err error) {
	// Two deliveries at once may leave different rests: each keeps its own, and
	// the transaction of the faster one says which counts.
	key := restObject(j.Connection, j.Task.Run, j.Type, nextName(p.Name), rest)
	if _, err := putJSON(ctx, s.Objects, key, rest, false); err != nil {
		return false, err
	}
	done, tr, wrote, err := s.Ledger.handOn(ctx, j.Task, o, key, len(rest), s.now())
	if err != nil {
		return false, err
	}
	return wrote, s.pageAgain(ctx, done, tr)
}

// without returns the ids that are not in drop, in their order.
func without(ids, drop []string) []string {
	if len(drop) == 0 {
		return ids
	}
	gone := setOf(drop)
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return gone[id] })
}
