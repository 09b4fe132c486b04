//go:build !lambda.norpc

package app

import (
	"context"
	"time"
)

// Idle is RUN_ACTIVE while a process syncs the connection.
func (l *Local) Idle(ctx context.Context, connection string) error {
	unlock, err := l.lock(ctx, connection)
	if err != nil {
		return err
	}
	unlock()
	return nil
}

// Wake reports false: nothing here loses a task but the end of its process,
// and the next Sync takes that up.
func (l *Local) Wake(context.Context, string) (bool, error) { return false, nil }

// Poll is how often it is of use to look how a run goes.
func (l *Local) Poll() time.Duration { return 200 * time.Millisecond }
