package local

import (
	"context"
	"database/sql"
	"iter"
	"maps"
	"strings"
	"time"

	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// Records is the store of records (pipeline.Records).
type Records struct{ db *database }

var _ pipeline.Records = (*Records)(nil)

const columns = "part, id, updated_at, removed_at, doc"

const columnCount = 5

func partition(connection string, t run.DataType) string { return connection + "#" + string(t) }

// groups are the numbers of rows that one statement names, so that a few
// prepared statements serve every number. The driver binds in quadratic time:
// larger groups are slower.
var groups = [...]int{16, 4, 1}

// grouped calls f with consecutive parts of list whose lengths are of groups.
func grouped[T any](list []T, f func([]T) error) error {
	for _, n := range groups {
		for len(list) >= n {
			if err := f(list[:n]); err != nil {
				return err
			}
			list = list[n:]
		}
	}
	return nil
}

func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?,", n), ",") }

func selectIDs(n int) string {
	return "SELECT id, updated_at, removed_at, doc FROM records WHERE part = ? AND id IN (" + marks(n) + ")"
}

func idArgs(part string, ids []string) []any {
	args := make([]any, 0, len(ids)+1)
	args = append(args, part)
	for _, id := range ids {
		args = append(args, id)
	}
	return args
}

// Get reads records by id.
func (s *Records) Get(ctx context.Context, connection string, t run.DataType, ids []string) (map[string]pipeline.Record, error) {
	out := make(map[string]pipeline.Record, len(ids))
	part := partition(connection, t)
	err := grouped(ids, func(ids []string) error {
		return s.db.view(ctx, "read records of "+part, func() {}, into(out), selectIDs(len(ids)), idArgs(part, ids)...)
	})
	return out, err
}

func into(out map[string]pipeline.Record) func(*sql.Rows) error {
	return func(rows *sql.Rows) error {
		r, err := scanRecord(rows)
		out[r.ID] = r
		return err
	}
}

func scanRecord(rows *sql.Rows) (pipeline.Record, error) {
	var r pipeline.Record
	var updated, removed int64
	var doc string
	if err := rows.Scan(&r.ID, &updated, &removed, &doc); err != nil {
		return r, err
	}
	r.UpdatedAt, r.RemovedAt = fromNanos(updated), fromNanos(removed)
	return r, readRecord(doc, &r)
}

// Update applies each update on its own, a few hundred to a transaction.
func (s *Records) Update(ctx context.Context, connection string, t run.DataType, now time.Time, updates []pipeline.RecordUpdate) ([]bool, error) {
	applied := make([]bool, len(updates))
	part := partition(connection, t)
	for from := 0; from < len(updates); from += chunk {
		to := min(from+chunk, len(updates))
		err := s.db.update(ctx, "write records of "+part, func(t tx) error {
			return updateSome(t, part, now, updates[from:to], applied[from:to])
		})
		if err != nil {
			clear(applied[from:])
			return applied, err
		}
	}
	return applied, ctx.Err()
}

// updateSome reads the records that updates name and writes those that change.
// The transaction holds the write lock from its start, so nothing comes between.
func updateSome(t tx, part string, now time.Time, updates []pipeline.RecordUpdate, applied []bool) error {
	ids := make([]string, len(updates))
	for i, u := range updates {
		ids[i] = u.ID
	}
	old := make(map[string]pipeline.Record)
	err := grouped(ids, func(ids []string) error {
		return t.query(into(old), selectIDs(len(ids)), idArgs(part, ids)...)
	})
	if err != nil {
		return err
	}
	next := make([]pipeline.Record, 0, len(updates))
	for i, u := range updates {
		before, ok := old[u.ID]
		r, yes := apply(before, ok, u, now)
		if applied[i] = yes; yes {
			next = append(next, r)
		}
	}
	return grouped(next, func(some []pipeline.Record) error { return putRecords(t, part, some) })
}

// apply returns what u makes of a record, and whether its condition holds.
func apply(r pipeline.Record, ok bool, u pipeline.RecordUpdate, now time.Time) (pipeline.Record, bool) {
	live := ok && r.RemovedAt.IsZero()
	if u.Remove {
		r.Fields, r.RemovedAt, r.UpdatedAt = nil, now, now
		return r, live
	}
	if c := u.Content; c != nil {
		if ok && r.FetchedAt.After(c.FetchedAt) {
			return r, false
		}
		if !live {
			r.CreatedRun = c.Run
		}
		r.Type, r.Status, r.Owner = c.Type, c.Status, c.Owner
		r.Hash, r.LastModified, r.Run, r.FetchedAt = c.Hash, c.LastModified, c.Run, c.FetchedAt
		r.RemovedAt = time.Time{}
	} else if !live {
		return r, false
	}
	r.ID, r.UpdatedAt = u.ID, now
	if r.Fields == nil {
		r.Fields = u.Set // only read from here on
		return r, true
	}
	for _, name := range u.Unset {
		delete(r.Fields, name)
	}
	maps.Copy(r.Fields, u.Set)
	return r, true
}

// putRecords writes whole rows, in the place of older ones.
func putRecords(t tx, part string, records []pipeline.Record) error {
	args := make([]any, 0, len(records)*columnCount)
	var doc []byte
	for _, r := range records {
		var err error
		if doc, err = appendRecord(doc[:0], &r); err != nil {
			return err
		}
		args = append(args, part, r.ID, nanos(r.UpdatedAt), nanos(r.RemovedAt), string(doc))
	}
	row := "(" + marks(columnCount) + "),"
	_, err := t.exec("REPLACE INTO records ("+columns+") VALUES "+
		strings.TrimSuffix(strings.Repeat(row, len(records)), ","), args...)
	return err
}

// Scan reads records in the byte order of their ids, a chunk at a time.
func (s *Records) Scan(ctx context.Context, connection string, t run.DataType, sc pipeline.Scan) iter.Seq2[pipeline.Record, error] {
	part := partition(connection, t)
	return func(yield func(pipeline.Record, error) bool) {
		for rows, err := range s.chunks(ctx, part, sc) {
			for i := range rows {
				r := pipeline.Record{ID: rows[i].id, UpdatedAt: fromNanos(rows[i].updated), RemovedAt: fromNanos(rows[i].removed)}
				if err = readRecord(rows[i].doc, &r); err != nil {
					err = s.db.fail("scan records of "+part, err)
					break
				}
				if !yield(r, nil) {
					return
				}
			}
			if err != nil {
				yield(pipeline.Record{}, err)
				return
			}
		}
	}
}
