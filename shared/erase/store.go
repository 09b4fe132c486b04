package erase

import (
	"context"
	"io"
	"iter"
	"time"

	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// Records are the records of a store, as far as an erasure needs them. All of it
// may be called twice.
type Records interface {
	// Get is that of pipeline.Records: tombstones too.
	Get(ctx context.Context, connection string, t run.DataType, ids []string) (map[string]pipeline.Record, error)
	// Scan is that of pipeline.Records.
	Scan(ctx context.Context, connection string, t run.DataType, s pipeline.Scan) iter.Seq2[pipeline.Record, error]
	// Erase deletes records wholly, tombstones included, and says how many there
	// were. Ids that are not stored are no error.
	Erase(ctx context.Context, connection string, t run.DataType, ids []string) (int, error)
}

// Secrets keep the key of the entries.
type Secrets interface {
	pipeline.Secrets
	// Create keeps a key under a name that has none, and reports whether it did:
	// of several at once, one does.
	Create(ctx context.Context, name, key string) (bool, error)
}

// Versions are the versions of a bucket's objects.
type Versions interface {
	// List reads the versions of the objects with a prefix, markers included.
	List(ctx context.Context, prefix string) iter.Seq2[pipeline.ObjectVersion, error]
	// Get opens one; pipeline.ErrNoObject when it is gone.
	Get(ctx context.Context, v pipeline.ObjectVersion) (io.ReadCloser, error)
	// Delete deletes versions for good; one that is gone is no error.
	Delete(ctx context.Context, versions ...pipeline.ObjectVersion) error
}

// Store is where people are erased: a target's adapters, and what each family
// does in its own way.
type Store struct {
	Items   pipeline.Items
	Records Records
	Objects pipeline.Objects
	Secrets Secrets
	// Versions are those of the objects; nil where there is only one of each.
	Versions Versions
	// Still returns when no task at a connection's people that began before the
	// call is at work any more, and no other erasure is. Until release is called
	// no other erasure begins; held ends when that cannot be said any more.
	Still func(ctx context.Context, connection string) (held context.Context, release func(), err error)
	// Scrub makes what was deleted unreadable where the store keeps it by itself;
	// nil: it does not. It is called before release.
	Scrub func(ctx context.Context, connection string) error
	Now   func() time.Time
	// Random fills b; crypto/rand.Read does.
	Random func(b []byte) (int, error)
}

func (s Store) ledger() pipeline.Ledger { return pipeline.Ledger{Items: s.Items} }
