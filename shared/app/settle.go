//go:build !lambda.norpc

package app

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/queue"
	"stovasync/shared/run"
)

// settling waits until failures that were sent again have come to an end.
type settling struct {
	s     *Stack
	all   int
	open  []pipeline.Redriven
	left  []pipeline.Redriven // not waited for any more
	conns map[string]*settlingConn
	seen  map[typeKey]look
}

// settlingConn is one connection with open failures.
type settlingConn struct {
	watcher
	moved    time.Time // when a failure of it ended last, or anything of their types moved
	patience time.Duration
}

type typeKey struct {
	run string
	t   run.DataType
}

// look is what a look at a type run saw: while it stays the same, so do its pages.
type look struct {
	state                 run.State
	planned, done, failed int
	activity, ended       time.Time
}

// wait looks at all connections in turn, and gives up one in which nothing has
// moved for its patience.
func (w *settling) wait(ctx context.Context) error {
	w.conns = map[string]*settlingConn{}
	for _, name := range connectionsOf(w.open) {
		patience, err := w.s.patience(ctx, name)
		if err != nil {
			return err
		}
		w.conns[name] = &settlingConn{watcher: watcher{s: w.s, connection: name}, moved: w.s.Steps.Now(), patience: patience}
	}
	err := w.s.until(ctx, func(ctx context.Context) (bool, error) {
		if err := w.look(ctx); err != nil {
			return false, err
		}
		waiting := w.open[:0:0]
		for _, r := range w.open {
			if c := w.conns[r.Connection]; w.s.Steps.Now().After(c.moved.Add(c.patience)) {
				w.left = append(w.left, r)
			} else {
				waiting = append(waiting, r)
			}
		}
		w.open = waiting
		return len(w.open) == 0, w.repair(ctx)
	})
	if err != nil || len(w.left) == 0 {
		return err
	}
	return notAwaited(w.left, w.all)
}

// notAwaited says of failures that they go on without being waited for.
func notAwaited(left []pipeline.Redriven, all int) error {
	names := connectionsOf(left)
	next := make([]string, len(names))
	for i, name := range names {
		next[i] = "runs " + name + " and failed " + name
	}
	return fault.New(fault.RunActive, fmt.Sprintf("%d of %d failures were sent again and go on, but nothing has moved for so long that they are not waited for", len(left), all),
		"look again later: "+strings.Join(next, ", "))
}

// patience is how long nothing need move in what a redrive has sent while all
// is well: all back-offs of one task and all its tries, which take less than a
// visibility period, after it has waited in its queue for another.
func (s *Stack) patience(ctx context.Context, connection string) (time.Duration, error) {
	conn, err := s.Steps.Ledger.Connection(ctx, connection)
	if err != nil && fault.CodeOf(err) != fault.ConfigInvalid { // its settings may be gone
		return 0, err
	}
	return 2*s.d.Visibility + queue.Backoffs(retryBase(conn), s.maxReceives), nil
}

// repair repairs the active runs of connections in which nothing moves: neither
// what was sent again, nor anything else of the run.
func (w *settling) repair(ctx context.Context) error {
	for _, name := range connectionsOf(w.open) {
		c := w.conns[name]
		if !c.due(c.moved) {
			continue
		}
		_, last, _, err := w.s.Steps.Underway(ctx, name)
		if err != nil {
			return err
		}
		if err := c.watcher.repair(ctx, later(c.moved, last)); err != nil {
			return err
		}
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// look takes those that have ended from the open failures.
func (w *settling) look(ctx context.Context) error {
	before := len(w.open)
	moved, err := w.moved(ctx)
	if err != nil {
		return err
	}
	ended, err := w.ended(ctx, moved)
	if err != nil {
		return err
	}
	w.open = slices.DeleteFunc(w.open, func(r pipeline.Redriven) bool { return ended[r.Failure] })
	for x := range ended {
		w.conns[x.Connection].moved = w.s.Steps.Now()
	}
	if len(w.open) < before {
		w.s.tell(w.all-len(w.open)-len(w.left), w.all)
	}
	return nil
}

// moved reads the type runs of the open failures, each once, and returns those
// that are not as they were: of the others no page needs a look.
func (w *settling) moved(ctx context.Context) (map[typeKey]bool, error) {
	moved := map[typeKey]bool{}
	for _, r := range w.open {
		k := typeKey{r.Run, r.Type}
		if _, ok := moved[k]; ok {
			continue
		}
		tr, _, err := w.s.Steps.Ledger.TypeRun(ctx, r.Run, r.Type)
		if err != nil {
			return nil, err
		}
		now := look{tr.State, tr.Planned, tr.Done, tr.Failed, tr.Activity, tr.Ended}
		was, known := w.seen[k]
		moved[k], w.seen[k] = !known || was != now, now
		c := w.conns[r.Connection]
		c.moved = later(c.moved, tr.Activity)
	}
	return moved, nil
}

// ended returns the failures whose re-run has ended, and what follows from it:
// rests and the finish of the type; of a type, the end of its run.
func (w *settling) ended(ctx context.Context, moved map[typeKey]bool) (map[pipeline.Failure]bool, error) {
	ended, done := map[pipeline.Failure]bool{}, map[typeKey][]pipeline.Failure{}
	for _, r := range w.open {
		switch k := (typeKey{r.Run, r.Type}); {
		case r.Page == "":
			ofRun, _, err := w.s.Steps.Ledger.Run(ctx, r.Run)
			if err != nil {
				return nil, err
			}
			if !ofRun.Ended.IsZero() {
				ended[r.Failure] = true
			}
		case moved[k]:
			p, _, err := w.s.Steps.Ledger.Page(ctx, r.Run, r.Type, r.Page)
			if err != nil {
				return nil, err
			}
			if p.State == run.PageDone {
				done[k] = append(done[k], r.Failure)
			} else if p.Settled.After(r.At) { // failed anew
				ended[r.Failure] = true
			}
		}
	}
	for k, failures := range done {
		// Read after its pages: what they have left to do is in it.
		tr, _, err := w.s.Steps.Ledger.TypeRun(ctx, k.run, k.t)
		if err != nil {
			return nil, err
		}
		mending := tr.State == run.Partial && tr.Failed == 0
		rests := tr.State != run.Stalled && tr.Done+tr.Failed < tr.Planned
		for _, x := range failures {
			if tr.State.Ended() && !mending && !rests {
				ended[x] = true
			}
		}
	}
	return ended, nil
}

func (s *Stack) tell(done, all int) {
	if s.settled != nil {
		s.settled(done, all)
	}
}
