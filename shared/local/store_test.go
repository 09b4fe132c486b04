package local_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/local"
	"stovasync/shared/pipeline"
)

func open(t testing.TB, o local.Options) *local.Store {
	t.Helper()
	return openDir(t, t.TempDir(), o)
}

func openDir(t testing.TB, dir string, o local.Options) *local.Store {
	t.Helper()
	s, err := local.Open(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func writeItem(t *testing.T, s *local.Store, k pipeline.Key, doc string, expires time.Time) {
	t.Helper()
	err := s.Items().Write(t.Context(), pipeline.Write{Key: k, Version: pipeline.AnyVersion, Doc: []byte(doc), Expires: expires})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOpenErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		prepare func(t *testing.T, dir string)
		want    string
	}{
		"a file stands where the folder should be": {func(t *testing.T, dir string) { writeFile(t, dir, "x") }, "needs a folder"},
		"the database is no database": {func(t *testing.T, dir string) {
			writeFile(t, filepath.Join(dir, "stovasync.db"), strings.Repeat("not a database\n", 1000))
		}, "is damaged"},
		"the database is a folder": {func(t *testing.T, dir string) {
			if err := os.MkdirAll(filepath.Join(dir, "stovasync.db"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, "the store"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "store")
			tt.prepare(t, dir)
			s, err := local.Open(t.Context(), dir, local.Options{})
			if err == nil {
				t.Fatal("opened", s.Close())
			}
			e, ok := errors.AsType[*fault.Error](err)
			if !ok || e.Code != fault.StoreUnavailable || e.Next == "" {
				t.Fatalf("error %v, want one with code STORE_UNAVAILABLE and a next step", err)
			}
			if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), dir) {
				t.Errorf("error %q, want it to say %q and not the path", err, tt.want)
			}
		})
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOpenHeedsItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := local.Open(ctx, t.TempDir(), local.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

func TestOnlyItsOwnerCanReadTheStore(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "store")
	s := openDir(t, dir, local.Options{})
	writeItem(t, s, pipeline.Key{PK: "RUN#1", SK: "TYPE#users"}, `{}`, time.Time{})
	if err := s.Secrets().Put(t.Context(), "gala", "invented"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Objects().Put(t.Context(), "a/b", strings.NewReader("x"), pipeline.ObjectInfo{}); err != nil {
		t.Fatal(err)
	}
	if unlock, held, err := s.Lock(t.Context(), "gala"); err != nil || !held {
		t.Fatal(held, err)
	} else {
		defer unlock()
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", strings.TrimPrefix(path, dir), info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestManyOpenANewStoreAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			s, err := local.Open(t.Context(), dir, local.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			k := pipeline.Key{PK: "RUN#1", SK: "TYPE#users"}
			if err := s.Items().Write(t.Context(), pipeline.Write{Key: k, Version: pipeline.AnyVersion, Doc: []byte(`{}`)}); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	it, err := openDir(t, dir, local.Options{}).Items().Get(t.Context(), pipeline.Key{PK: "RUN#1", SK: "TYPE#users"})
	if err != nil || it.Version != 6 {
		t.Errorf("version %d, error %v; want 6 writes", it.Version, err)
	}
}

func TestPruneDropsWhatHasExpired(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	s := open(t, local.Options{Now: func() time.Time { return now }})
	kept, old := pipeline.Key{PK: "A", SK: "kept"}, pipeline.Key{PK: "A", SK: "old"}
	writeItem(t, s, pipeline.Key{PK: "A", SK: "for ever"}, `{}`, time.Time{})
	writeItem(t, s, kept, `{}`, now.Add(1))
	writeItem(t, s, old, `{}`, now)
	if n, err := s.Prune(t.Context()); n != 1 || err != nil {
		t.Errorf("Prune: %d, %v; want 1", n, err)
	}
	for k, want := range map[pipeline.Key]int64{kept: 1, old: 0} {
		if it, err := s.Items().Get(t.Context(), k); err != nil || it.Version != want {
			t.Errorf("%v: version %d, error %v; want %d", k, it.Version, err, want)
		}
	}
}

func TestObjectsLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	temp := filepath.Join(dir, "objects", ".tmp")
	writeFile(t, filepath.Join(temp, "stale"), "x")
	writeFile(t, filepath.Join(temp, "fresh"), "x")
	old := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(filepath.Join(temp, "stale"), old, old); err != nil {
		t.Fatal(err)
	}
	s := openDir(t, dir, local.Options{})
	for range 2 {
		if _, err := s.Objects().Put(t.Context(), "42/person/7/aa.jpg", strings.NewReader("x"), pipeline.ObjectInfo{IfAbsent: true}); err != nil {
			t.Fatal(err)
		}
	}
	wantFiles(t, filepath.Join(dir, "objects"), ".tmp/fresh", "42/person/7/aa.jpg")
	if err := s.Objects().Delete(t.Context(), "42/person/7/aa.jpg"); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, filepath.Join(dir, "objects"), ".tmp/fresh")
	if _, err := os.Stat(filepath.Join(dir, "objects", "42")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a folder named by a person's id is left")
	}
}

func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	var got []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			got = append(got, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil || strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("files %q, error %v; want %q", got, err, want)
	}
}

func TestObjectKeysThatAreNone(t *testing.T) {
	t.Parallel()
	s := open(t, local.Options{})
	for _, key := range []string{"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", strings.Repeat("a/", 600) + "a", strings.Repeat("x", 256)} {
		if _, err := s.Objects().Put(t.Context(), key, strings.NewReader("x"), pipeline.ObjectInfo{}); err == nil {
			t.Errorf("Put of key %q: no error", key)
		}
		if _, err := s.Objects().Get(t.Context(), key); err == nil || errors.Is(err, pipeline.ErrNoObject) {
			t.Errorf("Get of key %q: error %v, want a refusal", key, err)
		}
	}
}

func TestNamesThatAreNoConnections(t *testing.T) {
	t.Parallel()
	s := open(t, local.Options{})
	for _, name := range []string{"", "..", "../gala", "a/b", "Gala", ".new-1", strings.Repeat("x", 41)} {
		if err := s.Secrets().Put(t.Context(), name, "invented"); err == nil {
			t.Errorf("Put for %q: no error", name)
		}
		if _, _, err := s.Lock(t.Context(), name); err == nil {
			t.Errorf("Lock of %q: no error", name)
		}
	}
}

func TestLockIsHeldByOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	one, two := openDir(t, dir, local.Options{}), openDir(t, dir, local.Options{})
	unlock, held, err := one.Lock(t.Context(), "gala")
	if err != nil || !held {
		t.Fatalf("first Lock: %t, %v", held, err)
	}
	for _, s := range []*local.Store{one, two} {
		if _, held, err := s.Lock(t.Context(), "gala"); err != nil || held {
			t.Errorf("Lock of what is locked: %t, %v", held, err)
		}
	}
	other, held, err := two.Lock(t.Context(), "fair")
	if err != nil || !held {
		t.Fatalf("Lock of another connection: %t, %v", held, err)
	}
	other()
	unlock()
	unlock, held, err = two.Lock(t.Context(), "gala")
	if err != nil || !held {
		t.Fatalf("Lock of what was let go: %t, %v", held, err)
	}
	unlock()
}
