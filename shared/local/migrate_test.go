package local

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// storeOf makes a store in dir as the program of an older version made it: by
// the first so many steps. It holds one of everything, written by statements of
// that time: documents had their fields in any order then.
func storeOf(t *testing.T, dir string, version int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := connect(filepath.Join(dir, "stovasync.db"), 1, "page_size(8192)", "journal_mode(wal)")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, step := range steps()[:version] {
		all = append(all, step...)
	}
	all = append(all, fmt.Sprintf("PRAGMA user_version = %d", version),
		`INSERT INTO items (pk, sk, version, doc, failed, expires) VALUES ('CONN#gala', 'SETTINGS', 3, '{"n":1}', '', 0)`,
		`INSERT INTO records (part, id, updated_at, removed_at, doc) VALUES ('gala#users', '1', 5000000000, 0,
			'{"type":"person","status":"active","owner":"global","hash":"h","last_modified":"","run":"r","created_run":"r","fetched_at":4000000000,"fields":{"zeta":"last","alpha":"first","note":"a\u000Ab","score":2.0}}')`,
		`INSERT INTO messages (queue, grp, body, sent_at, visible_at, receives, deliveries, first_received, held, dead) VALUES ('tasks', 'gala', 'body', 1, 1, 0, 0, 0, 0, 0)`)
	for _, s := range all {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// holds checks that a store has what storeOf wrote, in this version.
func holds(t *testing.T, dir string) {
	t.Helper()
	s, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	item, err := s.Items().Get(t.Context(), pipeline.Key{PK: "CONN#gala", SK: "SETTINGS"})
	if err != nil || string(item.Doc) != `{"n":1}` || item.Version != 3 {
		t.Errorf("item = %s, version %d, %v", item.Doc, item.Version, err)
	}
	fields := map[string]any{"zeta": "last", "alpha": "first", "note": "a\nb", "score": 2.0}
	want := pipeline.Record{ID: "1", Type: "person", Status: "active", Owner: "global", Hash: "h", Run: "r", CreatedRun: "r", Fields: fields,
		FetchedAt: time.Unix(4, 0), UpdatedAt: time.Unix(5, 0)}
	got, err := s.Records().Get(t.Context(), "gala", run.Users, []string{"1"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got["1"], cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	for e, err := range s.Records().ScanEncoded(t.Context(), "gala", run.Users, pipeline.Scan{}) {
		values := []pipeline.EncodedField{{Name: "alpha", JSON: `"first"`}, {Name: "note", JSON: `"a\nb"`}, {Name: "score", JSON: "2"}, {Name: "zeta", JSON: `"last"`}}
		if diff := cmp.Diff(values, e.Values); err != nil || diff != "" {
			t.Errorf("encoded, error %v (-want +got):\n%s", err, diff)
		}
	}
	if n := number(t, s.db, "PRAGMA user_version"); n != len(steps()) {
		t.Errorf("version %d, want %d", n, len(steps()))
	}
	if n := number(t, s.db, "PRAGMA application_id"); n != applicationID {
		t.Errorf("application %x, want %x", n, applicationID)
	}
	if n := number(t, s.db, "SELECT count(*) FROM messages"); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

func number(t *testing.T, d *database, query string) int {
	t.Helper()
	var n int
	if err := d.view(t.Context(), "count", func() {}, func(r *sql.Rows) error { return r.Scan(&n) }, query); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestStoresOfEveryOlderVersionAreMigrated(t *testing.T) {
	t.Parallel()
	for version := 1; version <= len(steps()); version++ {
		t.Run(fmt.Sprint("version ", version), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			storeOf(t, dir, version)
			holds(t, dir)
			holds(t, dir) // and again, with nothing left to do
		})
	}
}

// migrateEnv names the folder in which this test, in a process of its own, dies
// in the middle of a migration.
const migrateEnv = "LOCAL_TEST_MIGRATE"

func TestDieInAMigration(t *testing.T) {
	dir := os.Getenv(migrateEnv)
	if dir == "" {
		t.Skip("runs in the process that another test starts")
	}
	d := &database{turn: make(chan struct{}, 1), stmts: map[string]*sql.Stmt{}}
	var err error
	if d.pool, err = connect(filepath.Join(dir, "stovasync.db"), 1, "journal_mode(wal)", "cache_spill(1)"); err != nil {
		t.Fatal(err)
	}
	if d.conn, err = d.pool.Conn(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The steps of today, then one that has done half of its work when the
	// process is killed.
	last := []string{"ALTER TABLE records ADD COLUMN more TEXT NOT NULL DEFAULT 'x'", "UPDATE records SET more = 'y', doc = 'z'", "DELETE FROM items"}
	err = d.update(t.Context(), "migrate half", func(tx) error {
		for _, step := range append(steps()[1:], last) {
			for _, s := range step {
				if _, err := d.conn.ExecContext(t.Context(), s); err != nil {
					return err
				}
			}
		}
		fmt.Println("half done")
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Kill()
		}
		<-t.Context().Done() // the signal takes a moment
		return err
	})
	t.Fatalf("still alive: %v", err)
}

func TestAMigrationThatIsKilledLeavesTheStoreAsItWas(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	storeOf(t, dir, 1)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDieInAMigration$", "-test.v")
	cmd.Env = append(os.Environ(), migrateEnv+"="+dir)
	out, err := cmd.CombinedOutput()
	if !strings.Contains(string(out), "half done") || err == nil || strings.Contains(string(out), "still alive") {
		t.Fatalf("the process was not killed half way: %v\n%s", err, out)
	}
	holds(t, dir)
}

// A statement of a step that fails takes the whole migration back with it.
func TestAMigrationThatFailsLeavesTheStoreAsItWas(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	storeOf(t, dir, 1)
	s := openInternal(t, dir)
	err := s.db.migrate(t.Context(), append(steps(), []string{"UPDATE records SET doc = 'z'", "CREATE TABLE items (x)"}))
	if fault.CodeOf(err) != fault.StoreUnavailable {
		t.Errorf("error = %v", err)
	}
	holds(t, dir)
}

func TestDatabasesOfOthersAreLeftAlone(t *testing.T) {
	t.Parallel()
	for name, statements := range map[string][]string{
		"tables without a version": {"CREATE TABLE theirs (x)", "INSERT INTO theirs VALUES (1)"},
		"another application":      {"CREATE TABLE theirs (x)", "PRAGMA user_version = 1", "PRAGMA application_id = 42"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "stovasync.db")
			db, err := connect(path, 1, "busy_timeout(1000)")
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range statements {
				if _, err := db.ExecContext(t.Context(), s); err != nil {
					t.Fatal(err)
				}
			}
			_, err = Open(t.Context(), dir, Options{})
			if fault.CodeOf(err) != fault.StoreUnavailable || !strings.Contains(err.Error(), "another program") {
				t.Errorf("error = %v", err)
			}
			var tables int
			if err := db.QueryRowContext(context.WithoutCancel(t.Context()), "SELECT count(*) FROM sqlite_master").Scan(&tables); err != nil || tables != 1 {
				t.Errorf("%d tables, %v, want theirs alone", tables, err)
			}
			_ = db.Close()
		})
	}
}

func TestAFolderThatCannotBeUsedSaysWhy(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		make func(dir string) error
		sub  string
		says string
	}{
		"a file in its place":      {func(dir string) error { return os.WriteFile(filepath.Join(dir, "s"), nil, 0o600) }, "s", "a file stands where the store needs a folder"},
		"a file above it":          {func(dir string) error { return os.WriteFile(filepath.Join(dir, "s"), nil, 0o600) }, "s/t", "a file stands where the store needs a folder"},
		"a folder as its database": {func(dir string) error { return os.MkdirAll(filepath.Join(dir, "stovasync.db"), 0o700) }, "", "a folder stands where the store needs a file"},
		"no database at all": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "stovasync.db"), []byte(strings.Repeat("no database ", 1000)), 0o600)
		}, "", "the store's database is damaged"},
		"a folder of others": {func(dir string) error { return os.Mkdir(filepath.Join(dir, "s"), 0o500) }, "s/t", "the store's folder cannot be written"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "a folder of others" && os.Getuid() == 0 {
				t.Skip("nothing is forbidden to root")
			}
			dir := t.TempDir()
			if err := tt.make(dir); err != nil {
				t.Fatal(err)
			}
			_, err := Open(t.Context(), filepath.Join(dir, tt.sub), Options{})
			if fault.CodeOf(err) != fault.StoreUnavailable || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), dir) {
				t.Errorf("error = %v, want %q", err, tt.says)
			}
		})
	}
}

func TestCausesOfTheSystemAreNamed(t *testing.T) {
	t.Parallel()
	for errno, want := range map[syscall.Errno]string{
		syscall.EROFS: "read-only", syscall.EACCES: "cannot be written", syscall.EPERM: "cannot be written", syscall.ENOSPC: "the disk is full",
		syscall.EDQUOT: "the disk is full", syscall.EIO: "the disk failed", syscall.ENOTDIR: "a file stands", syscall.EISDIR: "a folder stands",
	} {
		if err := unavailable("open", &os.PathError{Op: "open", Path: "/invented", Err: errno}); !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "/invented") {
			t.Errorf("%v: %v, want %q", errno, err, want)
		}
	}
}
