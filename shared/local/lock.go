package local

import (
	"context"
	"path/filepath"

	"github.com/gofrs/flock"
)

// Lock says who drives a connection: it returns held = true, and a function
// that lets go, unless a live process or another part of this one holds the
// lock already. It does not wait. The lock of a process that has been killed
// is free, so a run whose connection can be locked has nobody who drives it
// (P15).
func (s *Store) Lock(ctx context.Context, connection string) (unlock func(), held bool, err error) {
	if err := checkName(ctx, connection); err != nil {
		return nil, false, err
	}
	// The name's end keeps clear of the lock that Open takes.
	l := flock.New(filepath.Join(s.dir, "locks", connection+".lock"), flock.SetPermissions(0o600))
	held, err = l.TryLock()
	if err != nil {
		return nil, false, unavailable("lock connection "+connection, err)
	}
	if !held {
		return nil, false, nil
	}
	// Closing a file that is locked cannot leave it locked.
	return func() { _ = l.Close() }, true, nil
}
