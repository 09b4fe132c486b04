package local

import (
	"context"
	"database/sql"
	"iter"
	"time"

	"stovasync/shared/pipeline"
)

// chunk is how many rows one read takes. A longer read would keep the
// write-ahead log from being emptied while its consumer is slow.
const chunk = 500

// Items is the ledger (pipeline.Items).
type Items struct{ db *database }

var _ pipeline.Items = (*Items)(nil)

// Get reads one item.
func (s *Items) Get(ctx context.Context, k pipeline.Key) (pipeline.Item, error) {
	it := pipeline.Item{Key: k}
	err := s.db.view(ctx, "read "+k.PK+" "+k.SK, func() {}, func(r *sql.Rows) error {
		return r.Scan(&it.Version, (*[]byte)(&it.Doc))
	}, "SELECT version, doc FROM items WHERE pk = ? AND sk = ?", k.PK, k.SK)
	return it, err
}

// Query reads the items of a partition.
func (s *Items) Query(ctx context.Context, q pipeline.Query) iter.Seq2[pipeline.Item, error] {
	query := "SELECT pk, sk, version, doc FROM items WHERE pk = ? AND sk >= ? AND sk < ? ORDER BY sk LIMIT ?"
	if q.Reverse {
		query = "SELECT pk, sk, version, doc FROM items WHERE pk = ? AND sk >= ? AND sk < ? ORDER BY sk DESC LIMIT ?"
	}
	return func(yield func(pipeline.Item, error) bool) {
		from, to, left := q.Prefix, after(q.Prefix), q.Limit
		for {
			n := chunk
			if q.Limit > 0 {
				n = min(n, left)
			}
			items, err := s.read(ctx, "query "+q.PK, query, q.PK, from, to, n)
			if err != nil {
				yield(pipeline.Item{}, err)
				return
			}
			for _, it := range items {
				if !yield(it, nil) {
					return
				}
			}
			left -= len(items)
			if len(items) < n || q.Limit > 0 && left == 0 {
				return
			}
			last := items[len(items)-1].SK
			if q.Reverse {
				to = last
			} else {
				from = last + "\x00" // the next possible key
			}
		}
	}
}

// after returns a bound above every string with the prefix. UTF-8 has no byte
// 0xff, so the last byte of a prefix can always be raised.
func after(prefix string) string {
	if prefix == "" {
		return "\xff"
	}
	n := len(prefix) - 1
	return prefix[:n] + string([]byte{prefix[n] + 1})
}

func (s *Items) read(ctx context.Context, op, query string, args ...any) ([]pipeline.Item, error) {
	var items []pipeline.Item
	err := s.db.view(ctx, op, func() { items = nil }, func(r *sql.Rows) error {
		var it pipeline.Item
		err := r.Scan(&it.PK, &it.SK, &it.Version, (*[]byte)(&it.Doc))
		items = append(items, it)
		return err
	}, query, args...)
	return items, err
}

// Failed reads the sparse index. It does not lag here.
func (s *Items) Failed(ctx context.Context, connection string) iter.Seq2[pipeline.Item, error] {
	return func(yield func(pipeline.Item, error) bool) {
		var pk, sk string
		for {
			items, err := s.read(ctx, "read failed pages",
				`SELECT pk, sk, version, doc FROM items WHERE failed <> '' AND (?1 = '' OR failed = ?1)
				AND (pk, sk) > (?2, ?3) ORDER BY pk, sk LIMIT ?4`, connection, pk, sk, chunk)
			if err != nil {
				yield(pipeline.Item{}, err)
				return
			}
			for _, it := range items {
				if !yield(it, nil) {
					return
				}
				pk, sk = it.PK, it.SK
			}
			if len(items) < chunk {
				return
			}
		}
	}
}

// Write does all writes or none.
func (s *Items) Write(ctx context.Context, writes ...pipeline.Write) error {
	if len(writes) == 0 {
		return ctx.Err()
	}
	if len(writes) > 100 {
		return refuse("write %d items: at most 100 in one transaction", len(writes))
	}
	seen := make(map[pipeline.Key]bool, len(writes))
	for _, w := range writes {
		if seen[w.Key] {
			return refuse("write %s %s: twice in one transaction", w.PK, w.SK)
		}
		seen[w.Key] = true
	}
	return s.db.update(ctx, "write the ledger", func(t tx) error {
		for _, w := range writes {
			ok, err := write(t, w)
			if err != nil {
				return err
			}
			if !ok {
				return refuse("%s %s: %w", w.PK, w.SK, pipeline.ErrVersion)
			}
		}
		return nil
	})
}

// write does one write and reports whether the item was at its version.
func write(t tx, w pipeline.Write) (bool, error) {
	var n int64
	var err error
	switch doc := []byte(w.Doc); {
	case w.Version == pipeline.AnyVersion && w.Delete:
		_, err = t.exec("DELETE FROM items WHERE pk = ? AND sk = ?", w.PK, w.SK)
		return true, err
	case w.Version == pipeline.AnyVersion && w.Doc == nil:
		return true, nil
	case w.Version == pipeline.AnyVersion:
		n, err = t.exec(`INSERT INTO items VALUES (?, ?, 1, ?, ?, ?) ON CONFLICT DO UPDATE SET
			version = version + 1, doc = excluded.doc, failed = excluded.failed, expires = excluded.expires`,
			w.PK, w.SK, doc, w.Failed, nanos(w.Expires))
	case w.Version == 0 && (w.Delete || w.Doc == nil):
		found := false
		err = t.query(func(*sql.Rows) error { found = true; return nil },
			"SELECT 1 FROM items WHERE pk = ? AND sk = ?", w.PK, w.SK)
		return !found, err
	case w.Version == 0:
		n, err = t.exec("INSERT INTO items VALUES (?, ?, 1, ?, ?, ?) ON CONFLICT DO NOTHING",
			w.PK, w.SK, doc, w.Failed, nanos(w.Expires))
	case w.Delete:
		n, err = t.exec("DELETE FROM items WHERE pk = ? AND sk = ? AND version = ?", w.PK, w.SK, w.Version)
	case w.Doc == nil:
		found := false
		err = t.query(func(*sql.Rows) error { found = true; return nil },
			"SELECT 1 FROM items WHERE pk = ? AND sk = ? AND version = ?", w.PK, w.SK, w.Version)
		return found, err
	default:
		n, err = t.exec(`UPDATE items SET version = version + 1, doc = ?, failed = ?, expires = ?
			WHERE pk = ? AND sk = ? AND version = ?`, doc, w.Failed, nanos(w.Expires), w.PK, w.SK, w.Version)
	}
	return n == 1, err
}

func (s *Items) prune(ctx context.Context, now time.Time) (int, error) {
	var n int64
	err := s.db.update(ctx, "drop expired items", func(t tx) (err error) {
		n, err = t.exec("DELETE FROM items WHERE expires > 0 AND expires <= ?", nanos(now))
		return err
	})
	return int(n), err
}

// nanos is how times are kept: Unix nanoseconds, 0 for the zero time.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
