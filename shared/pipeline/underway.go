package pipeline

import (
	"context"
	"time"

	"stovasync/shared/run"
)

// Underway returns the active run of a connection while it is running and its
// lease has not ended, and the time of its last activity; ok is false when no
// run would be refused.
func (s *Steps) Underway(ctx context.Context, connection string) (r Run, last time.Time, ok bool, err error) {
	active, err := s.Ledger.Active(ctx, connection)
	if err != nil || active.Run == "" {
		return Run{}, time.Time{}, false, err
	}
	r, all, err := s.Ledger.Progress(ctx, active.Run)
	if err != nil || r.ID == "" || runState(all) != run.Running {
		return Run{}, time.Time{}, false, err
	}
	last = lastActivity(r, all)
	leased, err := s.leased(ctx, r, all)
	return r, last, leased, err
}

// leased reports whether the lease of a run holds.
func (s *Steps) leased(ctx context.Context, r Run, all []TypeRun) (bool, error) {
	patience, err := s.patience(ctx, r.Connection)
	return s.now().Before(lastActivity(r, all).Add(leasePatiences * patience)), err
}
