package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/run"
)

// ErrNoConnection is what Ledger.Connection wraps when there is none of the name.
var ErrNoConnection = errors.New("no such connection")

// noConnection is the coded error of a name without a connection.
func noConnection(name string) error {
	return fault.Permanent(fault.Wrap(fault.ConfigInvalid, ErrNoConnection, fmt.Sprintf("no connection %q", name), "see connections list"))
}

// abandon ends what a task of a removed connection was for. It is acknowledged:
// no retry can mend it, and no dead letter is to stay of what somebody removed. A
// page or type run that had failed keeps its cause; one that was under way gets
// this one, so that its run ends.
func (s *Steps) abandon(ctx context.Context, t run.Task) error {
	cause := fault.New(fault.ConfigInvalid, fmt.Sprintf("connection %s was removed before this was done", t.Connection), "put the connection again and sync it")
	s.log().WarnContext(ctx, "task of a removed connection", "run", t.Run, "connection", t.Connection, "type", t.Type, "kind", t.Kind, "page", t.Page)
	x := Failure{Connection: t.Connection, Run: t.Run, Type: t.Type}
	if t.Kind == run.PageTask {
		p, ok, err := s.Ledger.Page(ctx, t.Run, t.Type, t.Page)
		if err != nil || !ok || p.State == run.PageDone {
			return err
		}
		if p.State == run.PageQueued {
			if err := s.failPage(ctx, t, cause); err != nil {
				return err
			}
		}
		x.Page = t.Page
		return s.drop(ctx, x)
	}
	if err := s.failType(ctx, t, cause); err != nil {
		return err
	}
	return s.drop(ctx, x)
}

// drop makes a failure history, because its connection is gone: it keeps its
// cause, and is listed no more. Should the connection come again, its first
// run reads everything.
func (s *Steps) drop(ctx context.Context, x Failure) error {
	now := s.now()
	if x.Page == "" {
		_, err := s.Ledger.modifyTypeRun(ctx, x.Run, x.Type, func(tr *TypeRun) bool {
			return tr.State == run.Failed && stamp(&tr.Dropped, now)
		})
		return err
	}
	_, err := modify(ctx, s.Ledger.Items, pageKey(x.Run, x.Type, x.Page), func(p *Page, _ bool) bool {
		return p.State == run.PageFailed && stamp(&p.Dropped, now)
	})
	return storeError(err)
}

// redriven notes that a failure was sent again. A failure that has come anew
// meanwhile is another one.
func (l Ledger) redriven(ctx context.Context, x Failure, now time.Time) error {
	if x.Page == "" {
		return nil // re-opening it said so
	}
	_, err := modify(ctx, l.Items, pageKey(x.Run, x.Type, x.Page), func(p *Page, _ bool) bool {
		if p.State != run.PageFailed || !p.Settled.Equal(x.At) {
			return false
		}
		p.Redriven = now
		return true
	})
	return storeError(err)
}

// stamp sets a time that is not set and reports whether it did.
func stamp(at *time.Time, now time.Time) bool {
	if !at.IsZero() {
		return false
	}
	*at = now
	return true
}
