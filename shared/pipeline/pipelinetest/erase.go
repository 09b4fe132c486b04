package pipelinetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// ErasedRecords are records that can be deleted wholly (erase.Records).
type ErasedRecords interface {
	pipeline.Records
	Erase(ctx context.Context, connection string, t run.DataType, ids []string) (int, error)
}

// Erase checks that records can be deleted wholly.
func Erase(t *testing.T, open func(*testing.T) ErasedRecords) {
	t.Parallel()
	s, now := open(t), time.Date(2031, 3, 4, 9, 0, 0, 0, time.UTC)
	content := func(id string) pipeline.RecordUpdate {
		return pipeline.RecordUpdate{ID: id, Set: map[string]any{"fname": "Ada"}, Content: &pipeline.Record{ID: id, Type: "person", Status: "active", Owner: "global", Hash: "h", Run: "r", FetchedAt: now}}
	}
	updates := make([]pipeline.RecordUpdate, 40)
	for i := range updates {
		updates[i] = content(fmt.Sprintf("7%02d", i))
	}
	for _, typ := range []run.DataType{run.Users, run.Sponsors} {
		if _, err := s.Update(t.Context(), "gala", typ, now, updates); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Update(t.Context(), "gala", run.Users, now, []pipeline.RecordUpdate{{ID: "701", Remove: true}}); err != nil {
		t.Fatal(err)
	}
	// A record, a tombstone, one that is not there.
	for i, want := range []int{2, 0} {
		n, err := s.Erase(t.Context(), "gala", run.Users, []string{"700", "701", "800"})
		if err != nil || n != want {
			t.Errorf("Erase, call %d: %d records, %v; want %d", i+1, n, err, want)
		}
	}
	count := func(typ run.DataType) (n int) {
		for r, err := range s.Scan(t.Context(), "gala", typ, pipeline.Scan{Removed: true}) {
			if err != nil || typ == run.Users && (r.ID == "700" || r.ID == "701") {
				t.Errorf("after Erase: record %s, %v", r.ID, err)
			}
			n++
		}
		return n
	}
	if users, sponsors := count(run.Users), count(run.Sponsors); users != 38 || sponsors != 40 {
		t.Errorf("after Erase there are %d users and %d sponsors, want 38 and 40", users, sponsors)
	}
	if n, err := s.Erase(t.Context(), "gala", run.Users, nil); n != 0 || err != nil {
		t.Errorf("Erase of nothing: %d, %v", n, err)
	}
	// A new record of an erased id is a new one.
	if _, err := s.Update(t.Context(), "gala", run.Users, now, []pipeline.RecordUpdate{content("701")}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(t.Context(), "gala", run.Users, []string{"701"}); err != nil || got["701"].CreatedRun != "r" || !got["701"].RemovedAt.IsZero() {
		t.Errorf("after a new write: %+v, %v", got["701"], err)
	}
}

// CreatedSecrets are secrets of which one can be made once (erase.Secrets).
type CreatedSecrets interface {
	pipeline.Secrets
	Create(ctx context.Context, name, key string) (bool, error)
}

// Create checks that of several that make a secret at once one does, and that
// a name which no connection can have is taken.
func Create(t *testing.T, open func(*testing.T) CreatedSecrets) {
	t.Parallel()
	s := open(t)
	keys := []string{"first", "second", "third", "fourth"}
	var wg sync.WaitGroup
	made := make([]bool, len(keys))
	for i, key := range keys {
		wg.Go(func() {
			var err error
			if made[i], err = s.Create(t.Context(), pipeline.EraseSecret, key); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, err := s.Get(t.Context(), pipeline.EraseSecret)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for i, key := range keys {
		if made[i] {
			if n++; got != key {
				t.Error("the key is not that of who made it")
			}
		}
	}
	if n != 1 {
		t.Errorf("%d of %d made the key", n, len(keys))
	}
	if err := s.Delete(t.Context(), pipeline.EraseSecret); err != nil {
		t.Fatal(err)
	}
	if again, err := s.Create(t.Context(), pipeline.EraseSecret, "again"); err != nil || !again {
		t.Errorf("after a Delete: %v, %v", again, err)
	}
}
