package local

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

func openInternal(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestAStoreOfANewerProgramIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openInternal(t, dir)
	err := s.db.update(t.Context(), "raise", func(t tx) error {
		_, err := t.exec(fmt.Sprintf("PRAGMA user_version = %d", len(steps())+1))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), dir, Options{})
	if fault.CodeOf(err) != fault.StoreUnavailable || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("error %v, want STORE_UNAVAILABLE for a newer version", err)
	}
}

func TestAFullDiskLosesNothingAndPasses(t *testing.T) {
	t.Parallel()
	s := openInternal(t, t.TempDir())
	limit := func(pages int) {
		if _, err := s.db.conn.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
			t.Fatal(err)
		}
	}
	update := func(id string) error {
		u := pipeline.RecordUpdate{ID: id, Set: map[string]any{"text": strings.Repeat("x", 100_000)}, Content: &pipeline.Record{}}
		applied, err := s.records.Update(t.Context(), "gala", run.Users, time.Unix(1, 0), []pipeline.RecordUpdate{u})
		if err != nil && applied[0] {
			t.Error("an update that failed is reported as applied")
		}
		return err
	}
	if err := update("before"); err != nil {
		t.Fatal(err)
	}
	limit(1) // SQLite takes the present size
	err := update("during")
	if fault.CodeOf(err) != fault.StoreUnavailable || !strings.Contains(err.Error(), "disk is full") {
		t.Errorf("error %v, want STORE_UNAVAILABLE for a full disk", err)
	}
	limit(math.MaxInt32)
	if err := update("after"); err != nil {
		t.Error(err)
	}
	got, err := s.records.Get(t.Context(), "gala", run.Users, []string{"before", "during", "after"})
	if _, during := got["during"]; err != nil || len(got) != 2 || during {
		t.Errorf("%d records, error %v; want those before and after", len(got), err)
	}
}

func TestWritersWaitForTheLockWhileTheirContextLasts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	holder, waiter := openInternal(t, dir), openInternal(t, dir)
	write := func(ctx context.Context) error {
		return waiter.items.Write(ctx, pipeline.Write{Key: pipeline.Key{PK: "A", SK: "B"}, Doc: []byte(`{}`)})
	}
	err := holder.db.update(t.Context(), "hold", func(tx) error {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := write(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want context.DeadlineExceeded", err)
		}
		// Reading goes on beside a writer.
		_, err := waiter.items.Get(t.Context(), pipeline.Key{PK: "A", SK: "B"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := write(t.Context()); err != nil {
		t.Errorf("after the lock is free: %v", err)
	}
}

func TestAPanicInATransactionLeavesTheStoreUsable(t *testing.T) {
	t.Parallel()
	s := openInternal(t, t.TempDir())
	func() {
		defer func() { _ = recover() }()
		_ = s.db.update(t.Context(), "panic", func(tx) error { panic("on purpose") })
	}()
	if err := s.items.Write(t.Context(), pipeline.Write{Key: pipeline.Key{PK: "A", SK: "B"}, Doc: []byte(`{}`)}); err != nil {
		t.Error(err)
	}
}

func TestFieldsThatAreNotKept(t *testing.T) {
	t.Parallel()
	s := openInternal(t, t.TempDir())
	for name, v := range map[string]any{
		"an int": 1, "a nil": nil, "a list of anything": []any{"a"}, "not a number": math.NaN(), "infinity": math.Inf(1),
	} {
		updates := []pipeline.RecordUpdate{{ID: "1", Set: map[string]any{"field": v}, Content: &pipeline.Record{}}}
		_, err := s.records.Update(t.Context(), "gala", run.Users, time.Unix(1, 0), updates)
		if err == nil || fault.CodeOf(err) != "" || !strings.Contains(err.Error(), "field field") {
			t.Errorf("%s: error %v, want a refusal that names the field", name, err)
		}
	}
	if got, err := s.records.Get(t.Context(), "gala", run.Users, []string{"1"}); err != nil || len(got) != 0 {
		t.Errorf("%d records, error %v; want none", len(got), err)
	}
}

func FuzzDocument(f *testing.F) {
	f.Add("", "", int64(0), 0.0, true, "")
	f.Add("name", "Zoë \"quoted\" \\ \n\x00", int64(math.MinInt64), 1.5e300, false, "a,b]}")
	f.Add("\xff\xfe", "\\u0000", int64(7), math.Copysign(0, -1), true, "1")
	f.Fuzz(func(t *testing.T, name, text string, n int64, x float64, yes bool, item string) {
		want := pipeline.Record{
			Type: text, Owner: item, Protect: []string{item, name}, FetchedAt: fromNanos(n),
			Fields: map[string]any{"n": n, "x": x, "yes": yes, "list": []string{item, ""}, name: text},
		}
		doc, err := appendRecord(nil, &want)
		if err != nil {
			return // not a finite number
		}
		var got pipeline.Record
		if err := readRecord(string(doc), &got); err != nil {
			t.Fatalf("read %s: %v", doc, err)
		}
		valid := func(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
		want.Type, want.Owner, want.Protect = valid(text), valid(item), []string{valid(item), valid(name)}
		delete(want.Fields, name)
		fields := map[string]any{"n": n, "x": x, "yes": yes, "list": []string{valid(item), ""}}
		if _, taken := fields[valid(name)]; taken {
			return // two fields of one name
		}
		fields[valid(name)] = valid(text)
		want.Fields = fields
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("document %s (-want +got):\n%s", doc, diff)
		}
	})
}

func FuzzReadRecord(f *testing.F) {
	doc, err := appendRecord(nil, &pipeline.Record{Protect: []string{"a"}, Fields: map[string]any{"a": "b\n", "c": []string{"d"}, "e": 1.5}})
	if err != nil {
		f.Fatal(err)
	}
	for end := range len(doc) {
		f.Add(string(doc[:end]))
	}
	f.Add(string(doc))
	f.Fuzz(func(t *testing.T, doc string) {
		var r pipeline.Record
		if err := readRecord(doc, &r); err != nil {
			return
		}
		if _, err := appendRecord(nil, &r); err != nil {
			t.Errorf("what was read cannot be written: %v", err)
		}
	})
}

func FuzzKeyName(f *testing.F) {
	for _, key := range []string{"a/b.jpg", ".tmp/x", "a%2Fb/%", "a:b\\c", "東京", "\xff", "CON", "a."} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		name, err := keyName(key)
		if err != nil {
			return
		}
		var back []string
		for seg := range strings.SplitSeq(name, "/") {
			if strings.HasPrefix(seg, ".") || strings.ContainsAny(seg, "\\:*?\"<>| \x00") {
				t.Errorf("key %q has the file name %q", key, name)
			}
			s, ok := segmentOf(seg)
			if !ok {
				t.Errorf("key %q: segment %q cannot be read back", key, seg)
			}
			back = append(back, s)
		}
		if strings.Join(back, "/") != key {
			t.Errorf("key %q comes back as %q", key, back)
		}
	})
}

func TestGroupedTakesAllInOrder(t *testing.T) {
	t.Parallel()
	for n := range 80 {
		want := make([]int, n)
		for i := range want {
			want[i] = i
		}
		var got []int
		err := grouped(want, func(part []int) error {
			if !slices.Contains(groups[:], len(part)) {
				t.Errorf("a part of %d", len(part))
			}
			got = append(got, part...)
			return nil
		})
		if err != nil || !slices.Equal(want, got) {
			t.Errorf("%d: %v, error %v", n, got, err)
		}
	}
}

func TestWhoOnlyLooksAtTheLocksIsInNobodysWay(t *testing.T) {
	t.Parallel()
	s := openInternal(t, t.TempDir())
	unlock, held, err := s.Lock(t.Context(), "gala") // so that there is a lock to look at
	if err != nil || !held {
		t.Fatal(held, err)
	}
	unlock()
	looked := make(chan error, 1)
	go func() {
		var err error
		for range 3000 {
			_, bad := s.alone("summit")
			err = errors.Join(err, bad)
		}
		looked <- err
	}()
	for {
		select {
		case err := <-looked:
			if err != nil {
				t.Fatal(err)
			}
			return
		default:
		}
		unlock, held, err := s.Lock(t.Context(), "gala")
		if err != nil || !held {
			t.Errorf("the lock is held %v, %v beside somebody who looks", held, err)
			<-looked
			return
		}
		unlock()
	}
}
