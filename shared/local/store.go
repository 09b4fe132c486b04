package local

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"stovasync/shared/fault"
)

// Options change what Open would choose. The zero value is good.
type Options struct {
	// MaxReceives is how often a message is delivered before it is given up;
	// 0: 5, as design.md §3 says.
	MaxReceives int
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Store is an open folder. All of it may be used at once.
type Store struct {
	dir     string
	now     func() time.Time
	db      *database
	items   *Items
	records *Records
	objects *Objects
	secrets *Secrets
	queue   *Queue
}

// Open opens the store in dir, making it where there is none. Its errors have
// the code STORE_UNAVAILABLE.
func Open(ctx context.Context, dir string, o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxReceives <= 0 {
		o.MaxReceives = 5
	}
	for _, d := range []string{dir, filepath.Join(dir, "objects", tempFolder), filepath.Join(dir, "secrets"), filepath.Join(dir, "locks")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, unavailable("make the store's folder", err)
		}
	}
	// One process at a time makes or migrates the database: switching a new
	// file to the write-ahead log does not wait for others.
	lock := flock.New(filepath.Join(dir, "locks", ".open"), flock.SetPermissions(0o600))
	if ok, err := lock.TryLockContext(ctx, 5*time.Millisecond); err != nil || !ok {
		return nil, unavailable("open the store", err)
	}
	db, err := openDatabase(ctx, filepath.Join(dir, "stovasync.db"))
	if err := errors.Join(err, lock.Close()); err != nil {
		if db != nil {
			err = errors.Join(err, db.close())
		}
		if fault.CodeOf(err) == "" {
			err = unavailable("open the store", err)
		}
		return nil, err
	}
	s := &Store{
		dir: dir, now: o.Now, db: db,
		items:   &Items{db},
		records: &Records{db},
		objects: &Objects{dir: filepath.Join(dir, "objects")},
		secrets: &Secrets{dir: filepath.Join(dir, "secrets")},
		queue:   &Queue{db: db, now: o.Now, maxReceives: o.MaxReceives, changed: make(chan struct{})},
	}
	if err := s.objects.sweep(o.Now().Add(-time.Hour)); err != nil {
		return nil, errors.Join(unavailable("remove unfinished objects", err), db.close())
	}
	return s, nil
}

// Items returns the ledger.
func (s *Store) Items() *Items { return s.items }

// Records returns the records.
func (s *Store) Records() *Records { return s.records }

// Objects returns the folder of objects.
func (s *Store) Objects() *Objects { return s.objects }

// Secrets returns the vendor keys.
func (s *Store) Secrets() *Secrets { return s.secrets }

// Queue returns the two queues with their dead letters.
func (s *Store) Queue() *Queue { return s.queue }

// Close closes the store. Adapters must not be used after it.
func (s *Store) Close() error {
	if err := s.db.close(); err != nil {
		return unavailable("close the store", err)
	}
	return nil
}

// Prune drops the ledger's items that have expired and says how many. Nothing
// depends on it; it keeps the file small.
func (s *Store) Prune(ctx context.Context) (int, error) { return s.items.prune(ctx, s.now()) }
