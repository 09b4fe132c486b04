package local

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"stovasync/shared/fault"
	"stovasync/shared/run"
)

// Erase deletes records wholly, tombstones included, and says how many there
// were. Ids that are not stored are no error.
func (s *Records) Erase(ctx context.Context, connection string, t run.DataType, ids []string) (int, error) {
	part, n := partition(connection, t), int64(0)
	err := s.db.update(ctx, "erase records of "+part, func(t tx) error {
		n = 0
		for _, id := range ids {
			gone, err := t.exec("DELETE FROM records WHERE part = ? AND id = ?", part, id)
			if err != nil {
				return err
			}
			n += gone
		}
		return nil
	})
	return int(n), err
}

// Create keeps a key under a name that has none, and reports whether it did:
// of several at once, one does.
func (s *Secrets) Create(ctx context.Context, name, key string) (bool, error) {
	if err := checkName(ctx, name); err != nil {
		return false, err
	}
	temp, err := writeTemp(s.dir, ".new-*", strings.NewReader(key), true)
	if err == nil {
		err = os.Link(temp, filepath.Join(s.dir, name))
	}
	held := errors.Is(err, os.ErrExist)
	if held {
		err = nil
	}
	if err := errors.Join(err, discard(temp)); err != nil {
		return false, unavailable("keep the key "+name, err)
	}
	return !held, nil
}

// scrubTime is how long Scrub waits for other processes to let go of the log.
const scrubTime = time.Minute

// Scrub makes what was deleted unreadable in the folder's own files: it builds
// the database anew, empties its log, and removes unfinished objects.
//
// secure_delete overwrites what is deleted, but a page that was split before
// may hold a copy of a row in a gap that nothing accounts for. Only building
// the file anew takes such copies away.
//
// The caller holds the lock of connection.
func (s *Store) Scrub(ctx context.Context, connection string) error {
	limited, cancel := context.WithTimeout(ctx, scrubTime)
	defer cancel()
	late := func(err error, busy string) error {
		if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			return fault.Wrap(fault.StoreUnavailable, err, "another process keeps "+busy, "run it again when that process has ended")
		}
		return err
	}
	if err := s.scrubTemp(limited, connection); err != nil {
		return late(err, "unfinished objects open, which may hold anything")
	}
	return late(s.db.rebuild(limited), "the database busy, so that its log cannot be emptied")
}

// rebuild builds the database anew and empties its log into it.
func (d *database) rebuild(ctx context.Context) error {
	const op = "build the database anew"
	select {
	case <-ctx.Done():
		return ctx.Err()
	case d.turn <- struct{}{}:
	}
	defer func() { <-d.turn }()
	// Prepared statements would keep the file busy.
	for query, s := range d.stmts {
		if err := s.Close(); err != nil {
			return d.fail(op, err)
		}
		delete(d.stmts, query)
	}
	if err := d.persist(ctx, func() (bool, error) {
		_, err := d.conn.ExecContext(context.Background(), "VACUUM")
		return err == nil, err
	}); err != nil {
		return cmp.Or(ctx.Err(), d.fail(op, err))
	}
	err := d.persist(ctx, func() (bool, error) {
		var busy, log, moved int
		err := d.conn.QueryRowContext(context.Background(), "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &log, &moved)
		return err == nil && busy == 0, err
	})
	if err == nil || ctx.Err() != nil {
		return err
	}
	return d.fail(op, err)
}

// persist repeats what other processes may keep from happening until ctx ends.
// Each try waits for them a little by itself (busy_timeout).
func (d *database) persist(ctx context.Context, try func() (bool, error)) error {
	for {
		done, err := try()
		if done || err != nil && !isBusy(err) {
			return err
		}
		timer := time.NewTimer(50 * time.Millisecond)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// tempQuiet is after how long without a write an unfinished object is nobody's,
// as long as somebody is at work. A Put that loses its file fails, and is done
// again.
const tempQuiet = 10 * time.Second

// scrubTemp removes unfinished objects: what a killed process leaves there may
// be anybody's. Those of live processes are waited for, but for what they begin
// later: whoever is at work on other connections does not run out of them.
func (s *Store) scrubTemp(ctx context.Context, connection string) error {
	dir := filepath.Join(s.objects.dir, tempFolder)
	awaited, err := os.ReadDir(dir)
	if err != nil {
		return unavailable("look for unfinished objects", err)
	}
	for {
		before := s.now().Add(-tempQuiet)
		if alone, err := s.alone(connection); err != nil {
			return err
		} else if alone {
			before = s.now().Add(time.Hour)
		}
		if err := s.objects.sweep(before); err != nil {
			return unavailable("remove unfinished objects", err)
		}
		awaited = slices.DeleteFunc(awaited, func(e os.DirEntry) bool {
			_, err := os.Lstat(filepath.Join(dir, e.Name()))
			return errors.Is(err, os.ErrNotExist)
		})
		if len(awaited) == 0 {
			return nil
		}
		timer := time.NewTimer(100 * time.Millisecond)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// alone reports whether no process drives any other connection.
func (s *Store) alone(connection string) (bool, error) {
	names, err := filepath.Glob(filepath.Join(s.dir, "locks", "*.lock"))
	if err != nil {
		return false, unavailable("look at the locks", err)
	}
	for _, name := range names {
		if filepath.Base(name) == connection+".lock" {
			continue
		}
		l := flock.New(name, flock.SetPermissions(0o600))
		free, err := l.TryLock()
		if err != nil {
			return false, unavailable("look at the locks", err)
		}
		if !free {
			return false, nil
		}
		_ = l.Close() // closing cannot leave it locked
	}
	return true, nil
}
