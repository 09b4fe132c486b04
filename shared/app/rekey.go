package app

import (
	"context"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/queue"
	"stovasync/shared/run"
)

// forgetter is what a store of keys may offer that remembers them for a while.
type forgetter interface{ Forget(connection string) }

// rekeyed does a task once more when the vendor refused a key that was
// remembered and that somebody has replaced meanwhile: a process lives for
// hours, and a refused key ends a task for good.
type rekeyed struct {
	*pipeline.Steps
	secrets pipeline.Secrets
}

var _ queue.Worker = rekeyed{}

// Do implements queue.Worker.
func (w rekeyed) Do(ctx context.Context, t run.Task) error {
	err := w.Steps.Do(ctx, t)
	if fault.CodeOf(err) != fault.StovaAuth || !w.replaced(ctx, t.Connection) {
		return err
	}
	return w.Steps.Do(ctx, t)
}

// replaced forgets a connection's key and reports whether the one that is
// stored now is another one.
func (w rekeyed) replaced(ctx context.Context, connection string) bool {
	f, ok := w.secrets.(forgetter)
	if !ok {
		return false
	}
	used, err := w.secrets.Get(ctx, connection)
	if err != nil {
		return false
	}
	f.Forget(connection)
	stored, err := w.secrets.Get(ctx, connection)
	return err == nil && stored != used
}
