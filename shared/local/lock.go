package local

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

const lockPatience = 100 * time.Millisecond

// Lock says who drives a connection: it returns held = true, and a function
// that lets go, unless a live process or another part of this one holds the
// lock already. Who only looks at the locks, as an erase does, holds each for an
// instant, so it waits a tenth of a second before it says so. The lock of a process that has been killed
// is free, so a run whose connection can be locked has nobody who drives it
// (P15).
func (s *Store) Lock(ctx context.Context, connection string) (unlock func(), held bool, err error) {
	if err := checkName(ctx, connection); err != nil {
		return nil, false, err
	}
	// The name's end keeps clear of the lock that Open takes.
	l := flock.New(filepath.Join(s.dir, "locks", connection+".lock"), flock.SetPermissions(0o600))
	wait, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	switch held, err = l.TryLockContext(wait, lockPatience/10); {
	case ctx.Err() != nil:
		_ = l.Close()
		return nil, false, ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		return nil, false, nil
	case err != nil:
		return nil, false, unavailable("lock connection "+connection, err)
	}
	// Closing a file that is locked cannot leave it locked.
	return func() { _ = l.Close() }, true, nil
}
