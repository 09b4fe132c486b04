package pipeline

import (
	"context"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/run"
)

// Repair heals what nobody foresaw in the active run of a connection. It
// repeats the check of every type run and wakes those whose gates have opened.
// When nothing has been settled for two visibility periods it sends the
// unsettled tasks once more; after two more it fails them with TASK_LOST. It
// may be called at any time, by anybody.
func (s *Steps) Repair(ctx context.Context, connection string) error {
	return s.repair(ctx, connection, 0)
}

// repairQuiet is how long nothing must have moved before a sync task repairs
// its run. Sync tasks come in bursts, when a gate opens: if each of them woke
// what the others are about to plan, tasks would breed tasks, and every page
// would be worked many times.
const repairQuiet = 15 * time.Second

// forever is longer than any run stands still.
const forever time.Duration = 1 << 62

// repair is Repair for runs in which nothing has moved for a while.
func (s *Steps) repair(ctx context.Context, connection string, quiet time.Duration) error {
	active, err := s.Ledger.Active(ctx, connection)
	if err != nil || active.Run == "" {
		return err
	}
	r, ok, err := s.Ledger.Run(ctx, active.Run)
	if err != nil || !ok {
		return err
	}
	all, err := s.Ledger.TypeRuns(ctx, r.ID)
	if err != nil {
		return err
	}
	switch ended := !r.Ended.IsZero(); {
	case runState(all) != run.Running && ended:
		return s.mend(ctx, all)
	case runState(all) != run.Running:
		return s.closeRun(ctx, connection, r.ID, all)
	case ended: // a redrive was cut, or met the end of the run
		if err := s.reopenRun(ctx, connection, r.ID); err != nil {
			return err
		}
	}
	if quiet > 0 && s.now().Before(lastActivity(r, all).Add(quiet)) {
		return nil
	}
	for _, tr := range all {
		if err := s.recheck(ctx, tr, all); err != nil {
			return err
		}
	}
	return s.lost(ctx, r, all)
}

// mend finishes type runs that ended as partial and have no failed page left.
func (s *Steps) mend(ctx context.Context, all []TypeRun) error {
	for _, tr := range all {
		if tr.mended() {
			if err := s.recheck(ctx, tr, all); err != nil {
				return err
			}
		}
	}
	return nil
}

// recheck repeats what the end of a step may have left undone.
func (s *Steps) recheck(ctx context.Context, tr TypeRun, all []TypeRun) error {
	woken := tr.State == run.Waiting && gateOpen(tr.Type, all)
	if !woken && !tr.finishable() {
		return nil
	}
	if mine, err := s.recheckDue(ctx, tr); err != nil || !mine {
		return err
	}
	if woken {
		return storeError(s.Tasks.Send(ctx, syncTask(tr)))
	}
	return s.check(ctx, tr)
}

// recheckDue reports whether a task of a type run is to be sent once more, and
// writes that it is. Everybody who follows a run repairs it once a minute: a
// task that waits in its queue, or a finish that takes long, must not be sent
// by each of them each time. A task that was sent by nobody is sent at once; a
// finish that has begun, and what was sent once more, has a visibility period.
func (s *Steps) recheckDue(ctx context.Context, tr TypeRun) (bool, error) {
	now, due := s.now(), false
	_, err := s.Ledger.modifyTypeRun(ctx, tr.Run, tr.Type, func(tr *TypeRun) bool {
		var last time.Time
		switch {
		case tr.Rechecked.After(tr.Activity):
			last = tr.Rechecked
		case tr.State == run.Finishing:
			last = tr.Activity
		}
		if due = last.IsZero() || !now.Before(last.Add(s.visibility())); due {
			tr.Rechecked = now
		}
		return due
	})
	return due, err
}

// patience is how long nothing may move in a run before its tasks are taken
// for lost: two visibility periods, and as much longer as the connection's
// retryBaseSeconds makes the back-off, which at 2 is one period at the most.
func (s *Steps) patience(ctx context.Context, connection string) (time.Duration, error) {
	conn, err := s.Ledger.Connection(ctx, connection)
	if err != nil && fault.CodeOf(err) != fault.ConfigInvalid { // a connection that was removed has no say
		return 0, err
	}
	const usual = 2 // seconds
	return time.Duration(float64(2*s.visibility()) * max(1, conn.RetryBaseSeconds/usual)), nil
}

// lost deals with a run in which nothing moves.
func (s *Steps) lost(ctx context.Context, r Run, all []TypeRun) error {
	now, last := s.now(), lastActivity(r, all)
	if now.Before(last.Add(2 * s.visibility())) {
		return nil
	}
	quiet, err := s.patience(ctx, r.Connection)
	if err != nil || now.Before(last.Add(quiet)) {
		return err
	}
	var resent time.Time
	for _, tr := range all {
		if tr.Resent.After(last) && tr.Resent.After(resent) {
			resent = tr.Resent
		}
	}
	if resent.IsZero() {
		return s.Resend(ctx, all)
	}
	if now.Before(resent.Add(quiet)) {
		return nil
	}
	for _, tr := range all {
		if !tr.Planning && !gateOpen(tr.Type, all) {
			continue // the end of what it waits for will wake it
		}
		if err := s.giveUp(ctx, tr); err != nil {
			return err
		}
	}
	return nil
}

// Resend marks the type runs that have not ended and sends their sync tasks: a
// sync task of a planned type run sends the tasks of its unsettled pages.
func (s *Steps) Resend(ctx context.Context, all []TypeRun) error {
	now := s.now()
	var tasks []run.Task
	for _, tr := range all {
		if tr.State.Ended() {
			continue
		}
		if _, err := s.Ledger.modifyTypeRun(ctx, tr.Run, tr.Type, func(tr *TypeRun) bool {
			tr.Resent = now
			return true
		}); err != nil {
			return err
		}
		tasks = append(tasks, syncTask(tr))
	}
	return storeError(s.Tasks.Send(ctx, tasks...))
}

// giveUp fails what is left of a type run: its queued pages, or itself when it
// was never planned or its finish is lost.
func (s *Steps) giveUp(ctx context.Context, tr TypeRun) error {
	if tr.State.Ended() {
		return nil
	}
	cause := fault.New(fault.TaskLost, "no step of the run got anywhere for four visibility periods", "redrive it; look at the functions' errors and throttles")
	if !tr.Planning || tr.settled() {
		return s.failType(ctx, syncTask(tr), cause)
	}
	pages, err := s.Ledger.Pages(ctx, tr.Run, tr.Type)
	if err != nil {
		return err
	}
	for _, p := range pages {
		if p.State != run.PageQueued {
			continue
		}
		if err := s.failPage(ctx, p.Task(), cause); err != nil {
			return err
		}
	}
	return nil
}

// gateOpen reports whether every type that t waits for has ended.
func gateOpen(t run.DataType, all []TypeRun) bool {
	for _, g := range run.Gates(t, typesOf(all)) {
		for _, tr := range all {
			if tr.Type == g && !tr.State.Ended() {
				return false
			}
		}
	}
	return true
}
