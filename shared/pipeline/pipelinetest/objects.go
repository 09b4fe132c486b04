package pipelinetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/pipeline"
)

// Objects checks a store of objects.
func Objects(t *testing.T, open func(*testing.T) pipeline.Objects) {
	for name, check := range map[string]func(*testing.T, pipeline.Objects){
		"a key that holds nothing is ErrNoObject":                         objectAbsent,
		"an object comes back as it was":                                  objectBytes,
		"a put replaces what the key held":                                objectReplaced,
		"a put if absent keeps what the key held and says so":             objectIfAbsent,
		"of concurrent puts if absent exactly one happens, and stays":     objectOneMaker,
		"a reader never sees parts of two objects":                        objectWhole,
		"a deleted object is gone and may be put again":                   objectDeleted,
		"deleting many keys, also absent and repeated ones, is no error":  objectDeleteMany,
		"a list gives the keys with the prefix in byte order":             listOrder,
		"a list of nothing gives nothing":                                 listEmpty,
		"a list gives more than a thousand keys and may be left early":    listLarge,
		"keys may hold the characters that events, ids and file names do": objectKeys,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, open(t))
		})
	}
}

func putObject(t *testing.T, s pipeline.Objects, key string, body []byte, ifAbsent bool) bool {
	t.Helper()
	made, err := s.Put(t.Context(), key, bytes.NewReader(body), pipeline.ObjectInfo{ContentType: "application/octet-stream", IfAbsent: ifAbsent})
	if err != nil {
		t.Fatalf("Put %s: %v", key, err)
	}
	return made
}

func readObject(t *testing.T, s pipeline.Objects, key string) ([]byte, error) {
	t.Helper()
	r, err := s.Get(t.Context(), key)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}

func wantObject(t *testing.T, s pipeline.Objects, key string, want []byte) {
	t.Helper()
	got, err := readObject(t, s, key)
	if err != nil {
		t.Fatalf("Get %s: %v", key, err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("Get %s: %d bytes that differ from the %d stored", key, len(got), len(want))
	}
}

func wantNoObject(t *testing.T, s pipeline.Objects, key string) {
	t.Helper()
	if _, err := readObject(t, s, key); !errors.Is(err, pipeline.ErrNoObject) {
		t.Errorf("Get %s: error %v, want ErrNoObject", key, err)
	}
}

func objectAbsent(t *testing.T, s pipeline.Objects) {
	wantNoObject(t, s, "raw/run-1/attendees/1.json.gz")
	putObject(t, s, "raw/run-1/attendees/1.json.gz", []byte("x"), false)
	wantNoObject(t, s, "raw/run-1/attendees")
	wantNoObject(t, s, "raw/run-1/attendees/1.json.gz/more")
}

func objectBytes(t *testing.T, s pipeline.Objects) {
	large := bytes.Repeat([]byte("0123456789ab"), 1<<20)
	for key, body := range map[string][]byte{
		"o/empty": {}, "o/zero": {0}, "o/binary": {0, 1, 0xff, '\r', '\n', 0xfe}, "o/text": []byte("Zoë"), "o/large": large,
	} {
		if !putObject(t, s, key, body, false) {
			t.Errorf("Put %s: false, want true", key)
		}
		wantObject(t, s, key, body)
	}
}

func objectReplaced(t *testing.T, s pipeline.Objects) {
	putObject(t, s, "o/1", []byte("a longer body than the next"), false)
	if !putObject(t, s, "o/1", []byte("second"), false) {
		t.Error("second Put: false, want true")
	}
	wantObject(t, s, "o/1", []byte("second"))
}

func objectIfAbsent(t *testing.T, s pipeline.Objects) {
	if !putObject(t, s, "plan/1", []byte("first"), true) {
		t.Error("first Put: false, want true")
	}
	if putObject(t, s, "plan/1", []byte("second"), true) {
		t.Error("second Put: true, want false")
	}
	wantObject(t, s, "plan/1", []byte("first"))
	putObject(t, s, "plan/2", nil, false)
	if putObject(t, s, "plan/2", []byte("second"), true) {
		t.Error("Put over an empty object: true, want false")
	}
	wantObject(t, s, "plan/2", nil)
}

func objectOneMaker(t *testing.T, s pipeline.Objects) {
	var winners atomic.Int32
	var winner atomic.Int32
	together(t, 8, func(i int) error {
		body := bytes.Repeat([]byte{byte('a' + i)}, 50_000)
		made, err := s.Put(t.Context(), "plan/run-1/attendees", bytes.NewReader(body), pipeline.ObjectInfo{IfAbsent: true})
		if made {
			winners.Add(1)
			winner.Store(int32(i))
		}
		return err
	})
	if n := winners.Load(); n != 1 {
		t.Fatalf("%d puts made the object, want 1", n)
	}
	wantObject(t, s, "plan/run-1/attendees", bytes.Repeat([]byte{byte('a' + winner.Load())}, 50_000))
}

func objectWhole(t *testing.T, s pipeline.Objects) {
	body := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, 100_000+i) }
	putObject(t, s, "o/1", body(0), false)
	var writing atomic.Int32
	writing.Store(3)
	together(t, 6, func(i int) error {
		if i < 3 {
			defer writing.Add(-1)
			for range 5 {
				if _, err := s.Put(t.Context(), "o/1", bytes.NewReader(body(i)), pipeline.ObjectInfo{}); err != nil {
					return err
				}
			}
			return nil
		}
		for writing.Load() > 0 {
			got, err := readObject(t, s, "o/1")
			if err != nil {
				return err
			}
			if len(got) == 0 || !bytes.Equal(got, body(int(got[0]-'a'))) {
				return fmt.Errorf("%d bytes that were never stored together", len(got))
			}
		}
		return nil
	})
}

func objectDeleted(t *testing.T, s pipeline.Objects) {
	putObject(t, s, "o/a/1", []byte("x"), false)
	putObject(t, s, "o/a/2", []byte("y"), false)
	if err := s.Delete(t.Context(), "o/a/1"); err != nil {
		t.Fatal(err)
	}
	wantNoObject(t, s, "o/a/1")
	wantObject(t, s, "o/a/2", []byte("y"))
	wantList(t, s, "o/", "o/a/2")
	if !putObject(t, s, "o/a/1", []byte("again"), true) {
		t.Error("Put after Delete: false, want true")
	}
	wantObject(t, s, "o/a/1", []byte("again"))
}

func objectDeleteMany(t *testing.T, s pipeline.Objects) {
	if err := s.Delete(t.Context()); err != nil {
		t.Errorf("Delete of nothing: %v", err)
	}
	if err := s.Delete(t.Context(), "o/none", "none/at/all"); err != nil {
		t.Errorf("Delete of absent keys: %v", err)
	}
	putObject(t, s, "o/kept", nil, false)
	var keys []string
	for i := range 3 {
		keys = append(keys, fmt.Sprintf("o/%d", i))
		putObject(t, s, keys[i], nil, false)
	}
	for i := range 1200 {
		keys = append(keys, fmt.Sprintf("o/absent-%d", i))
	}
	if err := s.Delete(t.Context(), append(keys, keys[0])...); err != nil {
		t.Errorf("Delete of %d: %v", len(keys), err)
	}
	wantList(t, s, "", "o/kept")
}

func wantList(t *testing.T, s pipeline.Objects, prefix string, want ...string) {
	t.Helper()
	got := slices.Collect(seq(t, s.List(t.Context(), prefix)))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("List %q (-want +got):\n%s", prefix, diff)
	}
}

func listOrder(t *testing.T, s pipeline.Objects) {
	// '-' and '.' sort before '/', so folders are not simply walked by name.
	want := []string{"a-b/1", "a.b", "a/1", "a/10", "a/2", "a/b/c/d", "a0", "b", "ba/1"}
	for _, key := range slices.Backward(want) {
		putObject(t, s, key, nil, false)
	}
	wantList(t, s, "", want...)
	wantList(t, s, "a", want[:7]...)
	wantList(t, s, "a/", "a/1", "a/10", "a/2", "a/b/c/d")
	wantList(t, s, "a/1", "a/1", "a/10")
	wantList(t, s, "a/b/", "a/b/c/d")
	wantList(t, s, "a/b/c/d", "a/b/c/d")
	wantList(t, s, "b", "b", "ba/1")
}

func listEmpty(t *testing.T, s pipeline.Objects) {
	wantList(t, s, "")
	putObject(t, s, "a/1", nil, false)
	wantList(t, s, "b/")
	wantList(t, s, "a/1/")
	wantList(t, s, "a/12")
}

func listLarge(t *testing.T, s pipeline.Objects) {
	const n = 1050
	want := make([]string, n)
	for i := range want {
		want[i] = fmt.Sprintf("raw/%04d.json.gz", i)
	}
	together(t, 4, func(worker int) error {
		for i := worker; i < n; i += 4 {
			if _, err := s.Put(t.Context(), want[i], bytes.NewReader(nil), pipeline.ObjectInfo{}); err != nil {
				return err
			}
		}
		return nil
	})
	wantList(t, s, "raw/", want...)
	for key := range seq(t, s.List(t.Context(), "raw/")) {
		// Its consumer may delete while it reads.
		if err := s.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		if key == want[2] {
			break
		}
	}
	wantList(t, s, "raw/", want[3:]...)
}

func objectKeys(t *testing.T, s pipeline.Objects) {
	keys := []string{
		"42/person/1234567/9f86d081.jpg", "k/.hidden", "k/...", "k/UPPER.Case", "k/a b", "k/a%2Fb", "k/a:b", "k/a\\b", "k/a'b\"c", "k/a+b=c&d?e#f",
		"k/con", "k/trailing.", "k/~", "k/ß", "k/東京.png", "k/*",
	}
	for _, key := range keys {
		putObject(t, s, key, []byte(key), false)
	}
	for _, key := range keys {
		wantObject(t, s, key, []byte(key))
	}
	slices.Sort(keys)
	wantList(t, s, "", keys...)
}
