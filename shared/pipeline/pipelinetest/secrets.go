package pipelinetest

import (
	"errors"
	"testing"

	"stovasync/shared/pipeline"
)

// Secrets checks a store of vendor keys.
func Secrets(t *testing.T, open func(*testing.T) pipeline.Secrets) {
	for name, check := range map[string]func(*testing.T, pipeline.Secrets){
		"a connection without a key is ErrNoSecret":              secretAbsent,
		"a key comes back as it was":                             secretKept,
		"a key replaces an older one":                            secretReplaced,
		"a deleted key is gone, and deleting it again no error":  secretDeleted,
		"connections with similar names have keys of their own":  secretApart,
		"concurrent puts leave one of the keys, and it is whole": secretTogether,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, open(t))
		})
	}
}

func putSecret(t *testing.T, s pipeline.Secrets, connection, key string) {
	t.Helper()
	if err := s.Put(t.Context(), connection, key); err != nil {
		t.Fatalf("Put %s: %v", connection, err)
	}
}

// wantSecret compares without printing what it got, as real keys are treated.
func wantSecret(t *testing.T, s pipeline.Secrets, connection, want string) {
	t.Helper()
	got, err := s.Get(t.Context(), connection)
	if err != nil {
		t.Fatalf("Get %s: %v", connection, err)
	}
	if got != want {
		t.Errorf("Get %s: not the key that was put", connection)
	}
}

func wantNoSecret(t *testing.T, s pipeline.Secrets, connection string) {
	t.Helper()
	if _, err := s.Get(t.Context(), connection); !errors.Is(err, pipeline.ErrNoSecret) {
		t.Errorf("Get %s: error %v, want ErrNoSecret", connection, err)
	}
}

func secretAbsent(t *testing.T, s pipeline.Secrets) { wantNoSecret(t, s, "gala") }

func secretKept(t *testing.T, s pipeline.Secrets) {
	putSecret(t, s, "gala", "invented+key/ with = odd \"characters\" é")
	wantSecret(t, s, "gala", "invented+key/ with = odd \"characters\" é")
}

func secretReplaced(t *testing.T, s pipeline.Secrets) {
	putSecret(t, s, "gala", "a longer invented key")
	putSecret(t, s, "gala", "shorter")
	wantSecret(t, s, "gala", "shorter")
}

func secretDeleted(t *testing.T, s pipeline.Secrets) {
	putSecret(t, s, "gala", "invented")
	for range 2 {
		if err := s.Delete(t.Context(), "gala"); err != nil {
			t.Fatalf("Delete: %v", err)
		}
		wantNoSecret(t, s, "gala")
	}
	putSecret(t, s, "gala", "again")
	wantSecret(t, s, "gala", "again")
}

func secretApart(t *testing.T, s pipeline.Secrets) {
	names := []string{"gala", "gala-2", "gal", "0", "a-connection-whose-name-has-40-charactersx"[:40]}
	for _, name := range names {
		putSecret(t, s, name, "key of "+name)
	}
	for _, name := range names {
		wantSecret(t, s, name, "key of "+name)
	}
}

func secretTogether(t *testing.T, s pipeline.Secrets) {
	keys := []string{"first-invented-key", "second", "third-of-the-invented-keys", "4"}
	together(t, len(keys), func(i int) error { return s.Put(t.Context(), "gala", keys[i]) })
	got, err := s.Get(t.Context(), "gala")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if got == k {
			return
		}
	}
	t.Error("Get: a key that nobody put")
}
