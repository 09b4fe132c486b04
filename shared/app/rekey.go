package app

import (
	"context"
	"sync"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/queue"
	"stovasync/shared/run"
)

// forgetter is what a store of keys may offer that remembers them for a while.
type forgetter interface{ Forget(connection string) }

// rekeyed does a task once more when the vendor refused a key that somebody
// has replaced meanwhile: a process lives for hours, a task for minutes, and a
// refused key ends a task for good.
type rekeyed struct {
	queue.Worker
	secrets pipeline.Secrets
}

var _ queue.Worker = rekeyed{}

// Do implements queue.Worker.
func (w rekeyed) Do(ctx context.Context, t run.Task) error {
	own, used := withKeysUsed(ctx)
	err := w.Worker.Do(own, t)
	if fault.CodeOf(err) != fault.StovaAuth || !w.replaced(ctx, t.Connection, used) {
		return err
	}
	return w.Worker.Do(ctx, t)
}

// replaced forgets a connection's key and reports whether the one that is
// stored now is another one than a client of the task was made with. What is
// remembered at the refusal says nothing: it may be newer than the client.
func (w rekeyed) replaced(ctx context.Context, connection string, used *keysUsed) bool {
	if used.none() {
		return false
	}
	if f, ok := w.secrets.(forgetter); ok {
		f.Forget(connection)
	}
	stored, err := w.secrets.Get(ctx, connection)
	return err == nil && used.otherThan(stored)
}

// keysUsed are the keys that a task's clients were made with. They never leave
// the process's memory.
type keysUsed struct {
	mu   sync.Mutex
	keys []string
}

type keysUsedKey struct{}

// withKeysUsed returns a context in which the connector notes keys.
func withKeysUsed(ctx context.Context) (context.Context, *keysUsed) {
	used := &keysUsed{}
	return context.WithValue(ctx, keysUsedKey{}, used), used
}

// noteKey notes that a client was made with a key, if a task wants to know.
func noteKey(ctx context.Context, key string) {
	if used, ok := ctx.Value(keysUsedKey{}).(*keysUsed); ok {
		used.mu.Lock()
		defer used.mu.Unlock()
		used.keys = append(used.keys, key)
	}
}

func (u *keysUsed) none() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.keys) == 0
}

func (u *keysUsed) otherThan(stored string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, key := range u.keys {
		if key != stored {
			return true
		}
	}
	return false
}
