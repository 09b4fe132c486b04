package local

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"stovasync/shared/fault"
)

// readers is how many reads may go on at once.
const readers = 4

// database is one SQLite file in write-ahead mode: one connection that writes,
// and a few that read beside it.
//
// Statements run without the caller's cancellation: each is short, and an
// interrupted connection would be thrown away with its prepared statements.
// The context is heeded between transactions and while waiting for a lock.
type database struct {
	pool  *sql.DB // holds the writing connection
	read  *sql.DB
	turn  chan struct{} // whose turn it is to write
	conn  *sql.Conn
	stmts map[string]*sql.Stmt // of conn; guarded by turn
	reads sync.Map             // query → *sql.Stmt of read
}

func openDatabase(ctx context.Context, path string) (*database, error) {
	// SQLite gives its log and index the mode of the file.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	d := &database{turn: make(chan struct{}, 1), stmts: map[string]*sql.Stmt{}}
	// synchronous=normal: commits are safe against a killed process and
	// ordered against a loss of power (doc.go). secure_delete: P20. The log is
	// emptied into the file at 32 MB: sooner would copy busy pages again and again.
	if d.pool, err = connect(path, 1, "busy_timeout(100)", "page_size(8192)", "journal_mode(wal)",
		"synchronous(normal)", "secure_delete(on)", "cache_size(-8000)", "wal_autocheckpoint(4000)", "journal_size_limit(33554432)"); err != nil {
		return nil, err
	}
	if d.conn, err = d.pool.Conn(ctx); err != nil {
		return d, err
	}
	if err := d.migrate(ctx, steps()); err != nil {
		return d, err
	}
	d.read, err = connect(path, readers, "busy_timeout(2000)", "query_only(on)")
	return d, err
}

// connect opens a pool of n connections that stay open.
func connect(path string, n int, pragmas ...string) (*sql.DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	name := strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(filepath.ToSlash(abs))
	if runtime.GOOS == "windows" {
		name = "/" + name
	}
	db, err := sql.Open("sqlite", "file:"+name+"?_error_rc=1&_dqs=0&_pragma="+strings.Join(pragmas, "&_pragma="))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db, nil
}

func (d *database) close() error {
	var errs []error
	if d.read != nil {
		errs = append(errs, d.read.Close())
	}
	if d.conn != nil {
		errs = append(errs, d.conn.Close())
	}
	if d.pool != nil {
		errs = append(errs, d.pool.Close())
	}
	return errors.Join(errs...)
}

// tx is a write transaction under way.
type tx struct{ d *database }

// update runs f in a write transaction. It waits for other writers, of this
// and of other processes, until ctx ends. When f fails nothing is written. op
// names the work in errors.
func (d *database) update(ctx context.Context, op string, f func(tx) error) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", op, ctx.Err())
	case d.turn <- struct{}{}:
	}
	defer func() { <-d.turn }()
	if err := d.begin(ctx); err != nil {
		return d.fail(op, err)
	}
	done := false
	defer func() {
		if !done {
			// SQLite has rolled back by itself after some errors; that this
			// then fails is no news.
			_, _ = tx{d}.exec("ROLLBACK")
		}
	}()
	if err := f(tx{d}); err != nil {
		return d.fail(op, err)
	}
	if _, err := (tx{d}).exec("COMMIT"); err != nil {
		return d.fail(op, err)
	}
	done = true
	return nil
}

// begin takes the write lock of the file. Waiting in short steps heeds ctx.
func (d *database) begin(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		_, err := tx{d}.exec("BEGIN IMMEDIATE")
		if err == nil || !isBusy(err) {
			return err
		}
	}
}

// fail gives an error of the database its code, and leaves others as they are.
func (d *database) fail(op string, err error) error {
	if fault.CodeOf(err) != "" || isOurs(err) {
		return fmt.Errorf("%s: %w", op, err)
	}
	return unavailable(op, err)
}

// refusal is an error of the caller's making: the store is well.
type refusal struct{ error }

// Unwrap returns the cause.
func (r refusal) Unwrap() error { return r.error }

func refuse(format string, args ...any) error { return refusal{fmt.Errorf(format, args...)} }

func isOurs(err error) bool {
	_, ok := errors.AsType[refusal](err)
	return ok
}

func (t tx) stmt(query string) (*sql.Stmt, error) {
	if s, ok := t.d.stmts[query]; ok {
		return s, nil
	}
	s, err := t.d.conn.PrepareContext(context.Background(), query)
	if err == nil {
		t.d.stmts[query] = s
	}
	return s, err
}

func (t tx) exec(query string, args ...any) (int64, error) {
	s, err := t.stmt(query)
	if err != nil {
		return 0, err
	}
	res, err := s.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (t tx) query(each func(*sql.Rows) error, query string, args ...any) error {
	s, err := t.stmt(query)
	if err != nil {
		return err
	}
	return visit(s, each, args)
}

// view runs a query outside of transactions and hands each row to each. reset
// is called before every try: a try that found the file locked is repeated.
func (d *database) view(ctx context.Context, op string, reset func(), each func(*sql.Rows) error, query string, args ...any) error {
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
		reset()
		s, err := d.readStmt(query)
		if err == nil {
			err = visit(s, each, args)
		}
		if err == nil {
			return nil
		}
		if !isBusy(err) {
			return d.fail(op, err)
		}
	}
}

func (d *database) readStmt(query string) (*sql.Stmt, error) {
	if s, ok := d.reads.Load(query); ok {
		return s.(*sql.Stmt), nil
	}
	s, err := d.read.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	if old, loaded := d.reads.LoadOrStore(query, s); loaded {
		return old.(*sql.Stmt), s.Close()
	}
	return s, nil
}

func visit(s *sql.Stmt, each func(*sql.Rows) error, args []any) (err error) {
	rows, err := s.QueryContext(context.Background(), args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
