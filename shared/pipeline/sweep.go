package pipeline

import (
	"context"
	"fmt"
	"time"

	"stovasync/shared/run"
)

// visitLease says who visits the dead letters. A visit hides letters from any
// other, so a second one would miss them: it leaves word instead, and the first
// looks once more.
type visitLease struct {
	Until time.Time `json:"until,omitzero"` // zero: nobody visits; the holder's renewals move it
	Again bool      `json:"again,omitempty"`
}

// A visit's lease is as long as the letters stay hidden that a visit was cut
// over. Who waits for one looks at it every visitPoll.
const (
	visitTime = 2 * time.Minute
	visitPoll = time.Second
)

func visitKey() Key { return Key{"DEAD", "VISIT"} }

// sweep deletes the dead letters that have nothing left to tell. While another
// visit is under way it leaves word and waits until that was heard, or the
// visit's lease has lapsed: what the ledger says of this redrive's failures was
// written before, so the other's next look sees it.
func (s *Steps) sweep(ctx context.Context) error {
	for {
		mine := false
		lease, err := modify(ctx, s.Ledger.Items, visitKey(), func(v *visitLease, _ bool) bool {
			if mine = !s.now().Before(v.Until); mine {
				*v = visitLease{Until: s.now().Add(visitTime)}
				return true
			}
			said := v.Again
			v.Again = true
			return !said
		})
		if err != nil {
			return storeError(err)
		}
		if mine {
			return s.visits(ctx, lease.Until)
		}
		if heard, err := s.heard(ctx); err != nil || heard {
			return err
		}
	}
}

// heard waits until the word that was left for a visit was heard, or, with
// false, the visit's lease has lapsed.
func (s *Steps) heard(ctx context.Context) (bool, error) {
	for {
		var v visitLease
		if _, err := load(ctx, s.Ledger.Items, visitKey(), &v); err != nil {
			return false, storeError(err)
		}
		if !v.Again || !s.now().Before(v.Until) {
			return !v.Again, nil
		}
		if err := s.pause(ctx, visitPoll); err != nil {
			return false, err
		}
	}
}

// visits visits the dead letters, again as long as word is left meanwhile.
func (s *Steps) visits(ctx context.Context, until time.Time) error {
	for {
		var err error
		if until, err = s.visit(ctx, until); err != nil {
			// The letters stay; whoever comes next is not to wait for this visit.
			brief, cancel := context.WithTimeout(context.WithoutCancel(ctx), spentTimeout)
			defer cancel()
			_, _ = s.lease(brief, until, func(v *visitLease) { v.Until = time.Time{} }) // it lapses by itself; whoever left word visits
			return err
		}
		again := false
		mine, err := s.lease(ctx, until, func(v *visitLease) {
			if again = v.Again; again {
				v.Again = false
			} else {
				*v = visitLease{}
			}
		})
		if err != nil || !mine || !again {
			return err
		}
	}
}

// lease changes the lease of the visit that ends so, if it still holds.
func (s *Steps) lease(ctx context.Context, until time.Time, change func(*visitLease)) (mine bool, err error) {
	_, err = modify(ctx, s.Ledger.Items, visitKey(), func(v *visitLease, _ bool) bool {
		if mine = v.Until.Equal(until); mine {
			change(v)
		}
		return mine
	})
	return mine, storeError(err)
}

// renew makes a lease longer when half of it is over.
func (s *Steps) renew(ctx context.Context, until time.Time) (time.Time, error) {
	now := s.now()
	if now.Add(visitTime / 2).Before(until) {
		return until, nil
	}
	longer := now.Add(visitTime)
	mine, err := s.lease(ctx, until, func(v *visitLease) { v.Until = longer })
	if err != nil || !mine {
		return until, err
	}
	return longer, nil
}

// visit visits the dead letters once, and returns until when its lease holds
// then. The sync and finish tasks of a type run are alike here.
func (s *Steps) visit(ctx context.Context, until time.Time) (time.Time, error) {
	for d, err := range s.Dead.Dead(ctx) {
		if err != nil {
			return until, storeError(fmt.Errorf("visit dead letters: %w", err))
		}
		t := d.Task
		if t.Kind == run.FinishTask {
			t.Kind = run.SyncTask
		}
		idle, err := s.idle(ctx, t)
		if err == nil && idle {
			if err = s.Dead.Delete(ctx, d); err != nil {
				err = storeError(fmt.Errorf("delete a dead letter: %w", err))
			}
		}
		if err == nil {
			until, err = s.renew(ctx, until)
		}
		if err != nil {
			return until, err
		}
	}
	return until, nil
}

// pause waits, or returns the error of ctx.
func (s *Steps) pause(ctx context.Context, d time.Duration) error {
	if s.Pause != nil {
		return s.Pause(ctx, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
