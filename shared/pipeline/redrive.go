package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/run"
)

// Filter picks failures. Empty fields match everything.
type Filter struct {
	Connection string       `json:"connection,omitempty"`
	Type       run.DataType `json:"type,omitempty"`
	Cause      string       `json:"cause,omitempty"` // an error code
	Run        string       `json:"run,omitempty"`
	Page       string       `json:"page,omitempty"` // the name of a page
}

// Match reports whether a failure is among those the filter picks.
func (f Filter) Match(x Failure) bool {
	return (f.Connection == "" || f.Connection == x.Connection) && (f.Type == "" || f.Type == x.Type) &&
		(f.Cause == "" || f.Cause == x.Code) && (f.Run == "" || f.Run == x.Run) && (f.Page == "" || f.Page == x.Page)
}

// The verdicts of a redrive on one failure.
const (
	Sent       = "sent"       // its task is queued
	Covered    = "covered"    // a later run has done its work; the task settles it
	Superseded = "superseded" // a type run of an old run: only a new sync can mend it
	Removed    = "removed"    // its connection is gone: it is history, and listed no more
)

// Verdicts returns all verdicts.
func Verdicts() []string { return []string{Sent, Covered, Superseded, Removed} }

// Redriven is one failure and what a redrive does about it.
type Redriven struct {
	Failure
	Verdict string `json:"verdict"`
}

// WasSent reports whether the verdict is one with which a task was sent, so
// that there is something to wait for.
func (r Redriven) WasSent() bool { return r.Verdict == Sent || r.Verdict == Covered }

// Failed returns the failures a filter picks, ordered by cause, connection,
// type, run and page.
func (s *Steps) Failed(ctx context.Context, f Filter) ([]Failure, error) {
	var all []Failure
	for x, err := range s.Ledger.Failures(ctx, f.Connection) {
		if err != nil {
			return nil, err
		}
		if !f.Match(x) {
			continue
		}
		over, err := s.overtaken(ctx, x)
		if err != nil {
			return nil, err
		}
		if !over {
			all = append(all, x)
		}
	}
	slices.SortFunc(all, inOrderOfCause)
	return all, nil
}

func inOrderOfCause(a, b Failure) int {
	return cmp.Or(cmp.Compare(a.Code, b.Code), cmp.Compare(a.Connection, b.Connection), cmp.Compare(a.Type, b.Type),
		cmp.Compare(a.Run, b.Run), cmp.Compare(sortable(a.Page), sortable(b.Page)))
}

// idle reports whether a dead letter has nothing left to tell: its page or its
// type run has not failed, or was sent again and has not failed since, or is
// history. The ledger knows every failure, so nothing is lost with a letter. A
// redrive that was cut before it could delete the letter left it, or that met
// it while another redrive's visit hid it, or a later run has done the work.
func (s *Steps) idle(ctx context.Context, t run.Task) (bool, error) {
	if t.Kind == run.PageTask {
		p, ok, err := s.Ledger.Page(ctx, t.Run, t.Type, t.Page)
		return ok && (p.State == run.PageDone || !p.Redriven.IsZero() || !p.Dropped.IsZero()), err
	}
	tr, ok, err := s.Ledger.TypeRun(ctx, t.Run, t.Type)
	if err != nil || !ok {
		return false, err
	}
	if tr.State.Ended() && tr.State != run.Failed || !tr.Redriven.IsZero() || !tr.Dropped.IsZero() {
		return true, nil
	}
	return s.overtaken(ctx, Failure{Connection: t.Connection, Run: t.Run, Type: t.Type})
}

// overtaken reports whether a failed type run is of no more concern, because a
// later run of its type has succeeded. Its item stays as history.
func (s *Steps) overtaken(ctx context.Context, x Failure) (bool, error) {
	if x.Page != "" {
		return false, nil
	}
	r, ok, err := s.Ledger.Run(ctx, x.Run)
	if err != nil || !ok {
		return !ok, err
	}
	cur, err := s.Ledger.Cursor(ctx, x.Connection, x.Type)
	return cur.Succeeded.After(r.Started), err
}

// reopened returns the type runs that a redrive has opened again and of which
// nothing has come yet. If it was cut before it sent their tasks, nobody else
// would soon; a task that is sent twice does no harm.
func (s *Steps) reopened(ctx context.Context, f Filter) ([]Failure, error) {
	var all []Failure
	for it, err := range s.Ledger.Items.Failed(ctx, f.Connection) {
		if err != nil {
			return nil, storeError(err)
		}
		if !strings.HasPrefix(it.SK, typePrefix) {
			continue
		}
		var tr TypeRun
		if _, err := load(ctx, s.Ledger.Items, it.Key, &tr); err != nil {
			return nil, storeError(err)
		}
		lost := fault.New(fault.TaskLost, "opened by a redrive, and not begun yet", "redrive it again if it stays so")
		x := Failure{Connection: tr.Connection, Run: tr.Run, Type: tr.Type, Code: string(lost.Code), Error: lost.Error(), At: tr.Redriven, Opened: true}
		if tr.reopened() && f.Match(x) {
			all = append(all, x)
		}
	}
	slices.SortFunc(all, inOrderOfCause)
	return all, nil
}

// Redrive sends a task for each failure a filter picks, then deletes its dead
// letters, and those of others that have nothing left to tell. What an earlier
// redrive has opened and not begun counts among the failures (TASK_LOST). Sending comes
// first: cut anywhere, nothing is lost, and a task that is sent twice finds its
// page settled. dry only says what would go.
func (s *Steps) Redrive(ctx context.Context, f Filter, dry bool) ([]Redriven, error) {
	failures, err := s.Failed(ctx, f)
	if err != nil {
		return nil, err
	}
	unsent, err := s.reopened(ctx, f)
	if err != nil {
		return nil, err
	}
	failures = append(failures, unsent...)
	out := make([]Redriven, 0, len(failures))
	known := map[Failure]string{}
	for _, x := range failures {
		verdict, err := s.verdictOnce(ctx, x, known)
		if err != nil {
			return out, err
		}
		out = append(out, Redriven{Failure: x, Verdict: verdict})
	}
	if dry {
		return out, nil
	}
	// All are opened before the first is sent: a type that finds the one it
	// waits for still failed would fail again.
	for _, r := range out {
		switch {
		case r.WasSent():
			err = s.reopen(ctx, r.Failure)
		case r.Verdict == Removed:
			err = s.drop(ctx, r.Failure)
		}
		if err != nil {
			return out, err
		}
	}
	for _, r := range out {
		if !r.WasSent() {
			continue
		}
		if err := s.Tasks.Send(ctx, r.Task()); err != nil {
			return out, storeError(fmt.Errorf("send %s: %w", r.Task(), err))
		}
		if err := s.Ledger.redriven(ctx, r.Failure, s.now()); err != nil {
			return out, err
		}
	}
	return out, s.sweep(ctx)
}

// verdictOnce is verdict, which is the same for all pages of a type run.
func (s *Steps) verdictOnce(ctx context.Context, x Failure, known map[Failure]string) (string, error) {
	alike := Failure{Connection: x.Connection, Run: x.Run, Type: x.Type}
	if x.Page != "" {
		alike.Page = "any"
	}
	if verdict, ok := known[alike]; ok {
		return verdict, nil
	}
	verdict, err := s.verdict(ctx, x)
	if err == nil {
		known[alike] = verdict
	}
	return verdict, err
}

// verdict says what a redrive can do about a failure.
func (s *Steps) verdict(ctx context.Context, x Failure) (string, error) {
	if _, err := s.Ledger.Connection(ctx, x.Connection); errors.Is(err, ErrNoConnection) {
		return Removed, nil
	} else if err != nil {
		return "", err
	}
	if x.Page == "" {
		active, err := s.Ledger.Active(ctx, x.Connection)
		if err != nil || active.Run == x.Run {
			return Sent, err
		}
		return Superseded, nil
	}
	var r Run
	if _, err := load(ctx, s.Ledger.Items, runKey(x.Connection, x.Run), &r); err != nil {
		return "", storeError(err)
	}
	tr, _, err := s.Ledger.TypeRun(ctx, x.Run, x.Type)
	if err != nil {
		return "", err
	}
	covered, err := s.covered(ctx, job{Task: x.Task(), Run: r}, tr)
	if covered {
		return Covered, err
	}
	return Sent, err
}

// reopen lets a failed type run be planned or finished once more.
func (s *Steps) reopen(ctx context.Context, x Failure) error {
	if x.Page != "" {
		return nil
	}
	now := s.now()
	if _, err := s.Ledger.modifyTypeRun(ctx, x.Run, x.Type, func(tr *TypeRun) bool {
		if tr.State != run.Failed {
			return false
		}
		tr.State, tr.Code, tr.Error = run.Queued, "", ""
		if tr.Planning {
			tr.State = run.Running
		}
		tr.Ended, tr.Activity, tr.Redriven = time.Time{}, now, now
		return true
	}); err != nil {
		return err
	}
	return s.reopenRun(ctx, x.Connection, x.Run)
}

// reopenRun takes back the end of a run of which a type goes on.
func (s *Steps) reopenRun(ctx context.Context, conn, id string) error {
	_, err := modify(ctx, s.Ledger.Items, runKey(conn, id), func(r *Run, exists bool) bool {
		if !exists || r.Ended.IsZero() {
			return false
		}
		r.Ended = time.Time{}
		return true
	})
	return storeError(err)
}

// Progress reads a run and its type runs, for whoever follows it.
func (l Ledger) Progress(ctx context.Context, id string) (Run, []TypeRun, error) {
	r, ok, err := l.Run(ctx, id)
	if err != nil || !ok {
		return Run{}, nil, err
	}
	all, err := l.TypeRuns(ctx, id)
	return r, all, err
}

// Reports reads what the pages of a run had to tell, type by type in order.
func (s *Steps) Reports(ctx context.Context, all []TypeRun) iter.Seq2[PageReport, error] {
	return func(yield func(PageReport, error) bool) {
		for _, tr := range all {
			reports, err := s.reports(ctx, tr)
			if err != nil {
				yield(PageReport{}, err)
				return
			}
			for _, r := range reports {
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}
