package pipelinetest

import (
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// Records checks a store of records.
func Records(t *testing.T, open func(*testing.T) pipeline.Records) {
	for name, check := range map[string]func(*testing.T, pipeline.Records){
		"records that are not stored are absent from the map":                         recordAbsent,
		"a new record has its content, its run as created run, and now as updated":    recordNew,
		"every type of field comes back as it was":                                    recordFields,
		"set and unset leave the other fields alone":                                  recordSetUnset,
		"an unset field that is not there is no error":                                recordUnsetAbsent,
		"content replaces the envelope and keeps the created run and other fields":    recordReplaced,
		"content never writes fields or protection by its record":                     recordContentFields,
		"content read earlier than the stored one is refused":                         recordOlder,
		"content read at the same time as the stored one is accepted":                 recordSame,
		"fetch times are compared exactly":                                            recordExactTimes,
		"an update without content needs a record":                                    recordFieldsOnlyAbsent,
		"an update without content changes fields and updated only":                   recordFieldsOnly,
		"each update succeeds or is refused on its own":                               recordMixed,
		"an update of nothing is no error":                                            recordNothing,
		"connections and types are apart":                                             recordApart,
		"ids may hold any characters and be 128 long":                                 recordIDs,
		"a thousand records are updated in one call and read in one, absent ones too": recordThousand,
		"a read sees every update that returned before it":                            recordConsistent,
		"concurrent updates of different records all happen":                          recordConcurrent,
		"concurrent updates of different fields of one record all happen":             recordOneRecord,
		"of concurrent contents the one read last stays":                              recordLatest,
		"a removed record keeps its envelope and no field":                            recordRemoved,
		"a tombstone is not removed again and takes no fields":                        recordRemovedTwice,
		"what is not there is not removed":                                            recordRemovedAbsent,
		"content lifts a tombstone, as made by its run, unless it was read earlier":   recordLifted,
		"a scan gives tombstones only when asked for them":                            scanRemoved,
		"a caller may change what it got":                                             recordAliases,
		"a scan of nothing gives nothing":                                             scanEmpty,
		"a scan gives whole records in the byte order of their ids":                   scanOrder,
		"a scan gives only ids with the prefix":                                       scanPrefix,
		"a scan goes on after an id":                                                  scanAfter,
		"a scan since a time gives records updated then or later":                     scanSince,
		"a scan gives more records than fit one read, and may be left and written to": scanLarge,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, open(t))
		})
	}
}

const conn = "gala"

// at is a time so many seconds into the suite's story.
func at(seconds int) time.Time {
	return time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC).Add(time.Duration(seconds) * time.Second)
}

// content returns an envelope read at a time by a run.
func content(seconds int, runID string) *pipeline.Record {
	return &pipeline.Record{
		Type: "person", Status: "active", Owner: "global", Hash: fmt.Sprintf("hash-%d", seconds),
		LastModified: "2026-03-01 08:00:00", Run: runID, FetchedAt: at(seconds),
	}
}

func mustUpdate(t *testing.T, s pipeline.Records, now time.Time, updates ...pipeline.RecordUpdate) {
	t.Helper()
	for i, ok := range update(t, s, now, updates...) {
		if !ok {
			t.Fatalf("update %d of %d was not applied", i, len(updates))
		}
	}
}

func wantRefused(t *testing.T, s pipeline.Records, now time.Time, u pipeline.RecordUpdate) {
	t.Helper()
	if update(t, s, now, u)[0] {
		t.Fatalf("update was applied, want it refused")
	}
}

func update(t *testing.T, s pipeline.Records, now time.Time, updates ...pipeline.RecordUpdate) []bool {
	t.Helper()
	applied, err := s.Update(t.Context(), conn, run.Users, now, updates)
	if err != nil {
		t.Fatalf("Update of %d: %v", len(updates), err)
	}
	if len(applied) != len(updates) {
		t.Fatalf("Update of %d: %d results", len(updates), len(applied))
	}
	return applied
}

func getRecords(t *testing.T, s pipeline.Records, ids ...string) map[string]pipeline.Record {
	t.Helper()
	got, err := s.Get(t.Context(), conn, run.Users, ids)
	if err != nil {
		t.Fatalf("Get of %d: %v", len(ids), err)
	}
	return got
}

func diffRecord(want, got pipeline.Record) string { return cmp.Diff(want, got, cmpopts.EquateEmpty()) }

func wantRecord(t *testing.T, s pipeline.Records, want pipeline.Record) {
	t.Helper()
	got, ok := getRecords(t, s, want.ID)[want.ID]
	if !ok {
		t.Fatalf("record %q is not stored", want.ID)
	}
	if diff := diffRecord(want, got); diff != "" {
		t.Errorf("record %q (-want +got):\n%s", want.ID, diff)
	}
}

// stored is the record that content makes.
func stored(id string, c *pipeline.Record, created string, updated time.Time, fields map[string]any) pipeline.Record {
	r := *c
	r.ID, r.CreatedRun, r.UpdatedAt, r.Fields = id, created, updated, fields
	return r
}

func recordAbsent(t *testing.T, s pipeline.Records) {
	if got := getRecords(t, s, "1", "2"); len(got) != 0 {
		t.Errorf("Get: %d records, want none", len(got))
	}
	if got := getRecords(t, s); len(got) != 0 {
		t.Errorf("Get of no id: %d records, want none", len(got))
	}
}

func recordNew(t *testing.T, s pipeline.Records) {
	fields := map[string]any{"fname": "Ada"}
	mustUpdate(t, s, at(5), pipeline.RecordUpdate{ID: "1", Set: fields, Content: content(1, "run-1")})
	wantRecord(t, s, stored("1", content(1, "run-1"), "run-1", at(5), fields))
	bare := content(1, "run-1")
	bare.LastModified = ""
	mustUpdate(t, s, at(5), pipeline.RecordUpdate{ID: "2", Content: bare})
	wantRecord(t, s, stored("2", bare, "run-1", at(5), nil))
}

func recordFields(t *testing.T, s pipeline.Records) {
	fields := map[string]any{
		"text": "Zoë 東京 🙂 \"quoted\" \\ <b>&amp;</b>\n\ttab \u0001", "digits": "007", "true_text": "true", "long": strings.Repeat("ab", 20_000),
		"yes": true, "no": false,
		"zero": int64(0), "one": int64(1), "minus": int64(-1), "big": int64(9007199254740993),
		"max": int64(math.MaxInt64), "min": int64(math.MinInt64),
		"half": 0.5, "third": 1.0 / 3, "minus_half": -0.5, "small": 1.5e-9, "large": 2.5e20,
		"list": []string{"b", "a", "b"}, "single": []string{"only"}, "with_blank": []string{"", "x,y", "é"},
		"Field with blanks": "x", "field.with.dots": "x", "responses[7060]": "x", "名": "x", "status": "a reserved word", "id": "x",
	}
	mustUpdate(t, s, at(5), pipeline.RecordUpdate{ID: "1", Set: fields, Content: content(1, "run-1")})
	want := stored("1", content(1, "run-1"), "run-1", at(5), fields)
	wantRecord(t, s, want)
	for _, got := range collectRecords(t, s, pipeline.Scan{}) {
		if diff := diffRecord(want, got); diff != "" {
			t.Errorf("scan (-want +got):\n%s", diff)
		}
	}
	// And through a second write of the record.
	mustUpdate(t, s, at(6), pipeline.RecordUpdate{ID: "1", Set: map[string]any{"yes": false}})
	want.UpdatedAt, want.Fields["yes"] = at(6), false
	wantRecord(t, s, want)
}

func recordSetUnset(t *testing.T, s pipeline.Records) {
	mustUpdate(t, s, at(5), pipeline.RecordUpdate{
		ID: "1", Content: content(1, "run-1"),
		Set: map[string]any{"fname": "Ada", "lname": "Invented", "city": "Nowhere", "photo_object": "42/person/1/aa.jpg"},
	})
	mustUpdate(t, s, at(6), pipeline.RecordUpdate{
		ID: "1", Content: content(2, "run-2"),
		Set: map[string]any{"fname": "Eve", "country": "CH"}, Unset: []string{"city"},
	})
	wantRecord(t, s, stored("1", content(2, "run-2"), "run-1", at(6), map[string]any{
		"fname": "Eve", "lname": "Invented", "country": "CH", "photo_object": "42/person/1/aa.jpg",
	}))
	mustUpdate(t, s, at(7), pipeline.RecordUpdate{ID: "1", Unset: []string{"photo_object", "lname"}})
	wantRecord(t, s, stored("1", content(2, "run-2"), "run-1", at(7), map[string]any{"fname": "Eve", "country": "CH"}))
}

func recordUnsetAbsent(t *testing.T, s pipeline.Records) {
	mustUpdate(t, s, at(5), pipeline.RecordUpdate{ID: "1", Unset: []string{"city"}, Content: content(1, "run-1")})
	mustUpdate(t, s, at(6), pipeline.RecordUpdate{ID: "1", Unset: []string{"city", "zip"}, Set: map[string]any{"fname": "Ada"}})
	wantRecord(t, s, stored("1", content(1, "run-1"), "run-1", at(6), map[string]any{"fname": "Ada"}))
}

func recordReplaced(t *testing.T, s pipeline.Records) {
	mustUpdate(t, s, at(5), pipeline.RecordUpdate{ID: "1", Set: map[string]any{"fname": "Ada"}, Content: content(1, "run-1")})
	c := &pipeline.Record{Type: "sponsor", Status: "cancelled", Owner: "1", Hash: "other", LastModified: "", Run: "run-2", FetchedAt: at(3)}
	mustUpdate(t, s, at(6), pipeline.RecordUpdate{ID: "1", Content: c})
	wantRecord(t, s, stored("1", c, "run-1", at(6), map[string]any{"fname": "Ada"}))
}

func recordContentFields(t *testing.T, s pipeline.Records) {
	c := content(1, "run-1")
	c.ID, c.CreatedRun, c.Protect, c.UpdatedAt = "9", "run-9", []string{"fname"}, at(9)
	c.Fields = map[string]any{"city": "Nowhere"}
	mustUpdate(t, s, at(5), pipeline.RecordUpdate{ID: "1", Set: map[string]any{"fname": "Ada"}, Content: c})
	wantRecord(t, s, stored("1", content(1, "run-1"), "run-1", at(5), map[string]any{"fname": "Ada"}))
	if got := getRecords(t, s, "9"); len(got) != 0 {
		t.Error("a record was stored under the content's id")
	}
}

func recordOlder(t *testing.T, s pipeline.Records) {
	mustUpdate(t, s, at(5), pipeline.RecordUpdate{ID: "1", Set: map[string]any{"fname": "Ada"}, Content: content(3, "run-2")})
	wantRefused(t, s, at(6), pipeline.RecordUpdate{
		ID: "1", Set: map[string]any{"fname": "Eve"}, Unset: []string{"fname"}, Content: content(2, "run-1"),
	})
	wantRecord(t, s, stored("1", content(3, "run-2"), "run-2", at(5), map[string]any{"fname": "Ada"}))
}

func recordSame(t *testing.T, s pipeline.Records) {
	mustUpdate(t, s, at(5), pipeline.RecordUpdate{ID: "1", Set: map[string]any{"fname": "Ada"}, Content: content(3, "run-1")})
	again := content(3, "run-1")
	again.Status = "cancelled"
	mustUpdate(t, s, at(6), pipeline.RecordUpdate{ID: "1", Set: map[string]any{"fname": "Eve"}, Content: again})
	wantRecord(t, s, stored("1", again, "run-1", at(6), map[string]any{"fname": "Eve"}))
}

func recordExactTimes(t *testing.T, s pipeline.Records) {
	// In a text without padding, a whole second would sort after its parts.
	steps := []time.Duration{0, time.Millisecond, 20 * time.Millisecond, 300 * time.Millisecond, time.Second}
	var last *pipeline.Record
	for i, d := range steps {
		c := content(1, fmt.Sprintf("run-%d", i))
		c.FetchedAt = at(1).Add(d)
		mustUpdate(t, s, at(5).Add(d), pipeline.RecordUpdate{ID: "1", Content: c})
		if last != nil {
			wantRefused(t, s, at(9), pipeline.RecordUpdate{ID: "1", Content: last})
		}
		wantRecord(t, s, stored("1", c, "run-0", at(5).Add(d), nil))
		last = c
	}
}

func recordFieldsOnlyAbsent(t *testing.T, s pipeline.Records) {
	wantRefused(t, s, at(5), pipeline.RecordUpdate{ID: "1", Set: map[string]any{"photo_object": "x"}})
	if got := getRecords(t, s, "1"); len(got) != 0 {
		t.Error("a record was made")
	}
}

func recordFieldsOnly(t *testing.T, s pipeline.Records) {
	mustUpdate(t, s, at(5), pipeline.RecordUpdate{ID: "1", Set: map[string]any{"fname": "Ada"}, Content: content(1, "run-1")})
	mustUpdate(t, s, at(6), pipeline.RecordUpdate{ID: "1", Set: map[string]any{"in_slot": true}})
	wantRecord(t, s, stored("1", content(1, "run-1"), "run-1", at(6), map[string]any{"fname": "Ada", "in_slot": true}))
}

// remove stores record 1 and removes it; the tombstone is what must be left.
func remove(t *testing.T, s pipeline.Records) (tombstone pipeline.Record) {
	t.Helper()
	mustUpdate(t, s, at(2), pipeline.RecordUpdate{ID: "1", Set: map[string]any{"fname": "Ada", "photo_object": "x"}, Content: content(1, "run-1")})
	mustUpdate(t, s, at(5), pipeline.RecordUpdate{ID: "1", Remove: true})
	tombstone = stored("1", content(1, "run-1"), "run-1", at(5), nil)
	tombstone.RemovedAt = at(5)
	return tombstone
}

func recordRemoved(t *testing.T, s pipeline.Records) { wantRecord(t, s, remove(t, s)) }

func recordRemovedTwice(t *testing.T, s pipeline.Records) {
	tombstone := remove(t, s)
	wantRefused(t, s, at(6), pipeline.RecordUpdate{ID: "1", Remove: true})
	wantRefused(t, s, at(6), pipeline.RecordUpdate{ID: "1", Set: map[string]any{"fname": "Eve"}})
	wantRecord(t, s, tombstone)
}

func recordRemovedAbsent(t *testing.T, s pipeline.Records) {
	wantRefused(t, s, at(5), pipeline.RecordUpdate{ID: "1", Remove: true})
	if got := getRecords(t, s, "1"); len(got) != 0 {
		t.Error("a removal made a record")
	}
}

func recordLifted(t *testing.T, s pipeline.Records) {
	tombstone := remove(t, s)
	wantRefused(t, s, at(6), pipeline.RecordUpdate{ID: "1", Content: content(0, "run-0")})
	wantRecord(t, s, tombstone)
	mustUpdate(t, s, at(7), pipeline.RecordUpdate{ID: "1", Set: map[string]any{"fname": "Eve"}, Content: content(6, "run-2")})
	wantRecord(t, s, stored("1", content(6, "run-2"), "run-2", at(7), map[string]any{"fname": "Eve"}))
}

func scanRemoved(t *testing.T, s pipeline.Records) {
	remove(t, s)
	storeIDs(t, s, at(6), "2")
	wantScan(t, s, pipeline.Scan{}, "2")
	wantScan(t, s, pipeline.Scan{Removed: true}, "1", "2")
}

func recordMixed(t *testing.T, s pipeline.Records) {
	mustUpdate(t, s, at(5),
		pipeline.RecordUpdate{ID: "1", Content: content(1, "run-1")}, pipeline.RecordUpdate{ID: "2", Content: content(3, "run-1")})
	got := update(t, s, at(6),
		pipeline.RecordUpdate{ID: "3", Set: map[string]any{"fname": "Eve"}},
		pipeline.RecordUpdate{ID: "1", Content: content(2, "run-2")},
		pipeline.RecordUpdate{ID: "4", Content: content(2, "run-2")},
		pipeline.RecordUpdate{ID: "2", Content: content(2, "run-2")},
	)
	if diff := cmp.Diff([]bool{false, true, true, false}, got); diff != "" {
		t.Errorf("applied (-want +got):\n%s", diff)
	}
	wantRecord(t, s, stored("1", content(2, "run-2"), "run-1", at(6), nil))
	wantRecord(t, s, stored("2", content(3, "run-1"), "run-1", at(5), nil))
	wantRecord(t, s, stored("4", content(2, "run-2"), "run-2", at(6), nil))
	if got := getRecords(t, s, "3"); len(got) != 0 {
		t.Error("a refused update made a record")
	}
}

func recordNothing(t *testing.T, s pipeline.Records) { mustUpdate(t, s, at(5)) }

func recordApart(t *testing.T, s pipeline.Records) {
	mustUpdate(t, s, at(5), pipeline.RecordUpdate{ID: "1", Content: content(1, "run-1")})
	for _, other := range []struct {
		connection string
		t          run.DataType
	}{{conn, run.Sponsors}, {conn, run.UserPhotos}, {"gal", run.Users}, {"gala-2", run.Users}} {
		got, err := s.Get(t.Context(), other.connection, other.t, []string{"1"})
		if err != nil || len(got) != 0 {
			t.Errorf("Get from %v: %d records, error %v", other, len(got), err)
		}
		for range seq(t, s.Scan(t.Context(), other.connection, other.t, pipeline.Scan{Removed: true})) {
			t.Errorf("Scan of %v gives a record", other)
		}
	}
}

func recordIDs(t *testing.T, s pipeline.Records) {
	ids := []string{
		"1", "01", "-1", "a b", "a/b", "a#b", "a%2Fb", "a'b\"c", "a,b", "a\\b", "*?_%", "../x", ".", "ß", "Zoë", "東京", "🙂", "a:b:c",
		strings.Repeat("x", 128), strings.Repeat("é", 128),
	}
	var updates []pipeline.RecordUpdate
	for _, id := range ids {
		updates = append(updates, pipeline.RecordUpdate{ID: id, Set: map[string]any{"name": id}, Content: content(1, "run-1")})
	}
	mustUpdate(t, s, at(5), updates...)
	got := getRecords(t, s, ids...)
	for _, id := range ids {
		if diff := diffRecord(stored(id, content(1, "run-1"), "run-1", at(5), map[string]any{"name": id}), got[id]); diff != "" {
			t.Errorf("record %q (-want +got):\n%s", id, diff)
		}
	}
	slices.Sort(ids)
	wantScan(t, s, pipeline.Scan{}, ids...)
}

func recordThousand(t *testing.T, s pipeline.Records) {
	var updates []pipeline.RecordUpdate
	var ids []string
	for i := range 1000 {
		id := fmt.Sprintf("id-%04d", i)
		ids = append(ids, id)
		if i%3 == 0 {
			continue
		}
		updates = append(updates, pipeline.RecordUpdate{ID: id, Set: map[string]any{"order": int64(i)}, Content: content(1, "run-1")})
	}
	mustUpdate(t, s, at(5), updates...)
	got := getRecords(t, s, ids...)
	if len(got) != len(updates) {
		t.Errorf("Get: %d records, want %d", len(got), len(updates))
	}
	for _, u := range updates {
		if r := got[u.ID]; r.ID != u.ID || r.Fields["order"] != u.Set["order"] {
			t.Errorf("record %s: id %q, order %v", u.ID, r.ID, r.Fields["order"])
		}
	}
}

func recordConsistent(t *testing.T, s pipeline.Records) {
	mustUpdate(t, s, at(0), pipeline.RecordUpdate{ID: "1", Content: content(0, "run-0")})
	for n := 1; n <= 20; n++ {
		mustUpdate(t, s, at(n), pipeline.RecordUpdate{ID: "1", Content: content(n, fmt.Sprintf("run-%d", n))})
		wantRecord(t, s, stored("1", content(n, fmt.Sprintf("run-%d", n)), "run-0", at(n), nil))
	}
}

func recordConcurrent(t *testing.T, s pipeline.Records) {
	const workers, each = 6, 40
	together(t, workers, func(i int) error {
		var updates []pipeline.RecordUpdate
		for n := range each {
			updates = append(updates, pipeline.RecordUpdate{ID: fmt.Sprintf("%d-%d", i, n), Content: content(1, "run-1")})
		}
		applied, err := s.Update(t.Context(), conn, run.Users, at(5), updates)
		if err == nil && slices.Contains(applied, false) {
			err = fmt.Errorf("an update was not applied")
		}
		return err
	})
	if n := len(collectRecords(t, s, pipeline.Scan{})); n != workers*each {
		t.Errorf("%d records, want %d", n, workers*each)
	}
}

func recordOneRecord(t *testing.T, s pipeline.Records) {
	mustUpdate(t, s, at(1), pipeline.RecordUpdate{ID: "1", Content: content(1, "run-1")})
	want := map[string]any{}
	for i := range 8 {
		want[fmt.Sprintf("field_%d", i)] = int64(i)
	}
	together(t, 8, func(i int) error {
		_, err := s.Update(t.Context(), conn, run.Users, at(5), []pipeline.RecordUpdate{
			{ID: "1", Set: map[string]any{fmt.Sprintf("field_%d", i): int64(i)}},
		})
		return err
	})
	wantRecord(t, s, stored("1", content(1, "run-1"), "run-1", at(5), want))
}

func recordLatest(t *testing.T, s pipeline.Records) {
	together(t, 8, func(i int) error {
		_, err := s.Update(t.Context(), conn, run.Users, at(50), []pipeline.RecordUpdate{
			{ID: "1", Set: map[string]any{"n": int64(i)}, Content: content(i, fmt.Sprintf("run-%d", i))},
		})
		return err
	})
	got := getRecords(t, s, "1")["1"]
	want := stored("1", content(7, "run-7"), got.CreatedRun, at(50), map[string]any{"n": int64(7)})
	if diff := diffRecord(want, got); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

func recordAliases(t *testing.T, s pipeline.Records) {
	set := map[string]any{"fname": "Ada", "tags": []string{"one", "two"}}
	mustUpdate(t, s, at(5), pipeline.RecordUpdate{ID: "1", Set: set, Content: content(1, "run-1")})
	set["fname"] = "Eve"
	set["tags"].([]string)[0] = "changed"
	got := getRecords(t, s, "1")["1"]
	got.Fields["tags"].([]string)[1] = "changed"
	delete(got.Fields, "fname")
	wantRecord(t, s, stored("1", content(1, "run-1"), "run-1", at(5), map[string]any{"fname": "Ada", "tags": []string{"one", "two"}}))
}

// seq drops the error of a sequence after failing the test with it.
func seq[T any](t *testing.T, s iter.Seq2[T, error]) iter.Seq[T] {
	t.Helper()
	return func(yield func(T) bool) {
		for v, err := range s {
			if err != nil {
				t.Fatalf("sequence: %v", err)
			}
			if !yield(v) {
				return
			}
		}
	}
}

func collectRecords(t *testing.T, s pipeline.Records, sc pipeline.Scan) []pipeline.Record {
	t.Helper()
	return slices.Collect(seq(t, s.Scan(t.Context(), conn, run.Users, sc)))
}

func wantScan(t *testing.T, s pipeline.Records, sc pipeline.Scan, want ...string) {
	t.Helper()
	var got []string
	for _, r := range collectRecords(t, s, sc) {
		got = append(got, r.ID)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Scan %+v (-want +got):\n%s", sc, diff)
	}
}

// storeIDs makes a record for each id, updated at now.
func storeIDs(t *testing.T, s pipeline.Records, now time.Time, ids ...string) {
	t.Helper()
	var updates []pipeline.RecordUpdate
	for _, id := range ids {
		updates = append(updates, pipeline.RecordUpdate{ID: id, Content: content(1, "run-1")})
	}
	mustUpdate(t, s, now, updates...)
}

func scanEmpty(t *testing.T, s pipeline.Records) {
	wantScan(t, s, pipeline.Scan{})
	wantScan(t, s, pipeline.Scan{Prefix: "a", After: "b", Since: at(1), Removed: true})
}

func scanOrder(t *testing.T, s pipeline.Records) {
	storeIDs(t, s, at(5), "é", "a", "10", "2", "1", "B", "a-b", "a/b", "🙂")
	wantScan(t, s, pipeline.Scan{}, "1", "10", "2", "B", "a", "a-b", "a/b", "é", "🙂")
	for _, r := range collectRecords(t, s, pipeline.Scan{Removed: true}) {
		if diff := diffRecord(stored(r.ID, content(1, "run-1"), "run-1", at(5), nil), r); diff != "" {
			t.Errorf("record %q (-want +got):\n%s", r.ID, diff)
		}
	}
}

func scanPrefix(t *testing.T, s pipeline.Records) {
	storeIDs(t, s, at(5), "41-9", "42", "42-1", "42-2", "420-1", "43-1", "é1", "é2")
	wantScan(t, s, pipeline.Scan{Prefix: "42-"}, "42-1", "42-2")
	wantScan(t, s, pipeline.Scan{Prefix: "42"}, "42", "42-1", "42-2", "420-1")
	wantScan(t, s, pipeline.Scan{Prefix: "é"}, "é1", "é2")
	wantScan(t, s, pipeline.Scan{Prefix: "44"})
}

func scanAfter(t *testing.T, s pipeline.Records) {
	storeIDs(t, s, at(5), "1", "2", "2-1", "2-2", "3")
	wantScan(t, s, pipeline.Scan{After: "2"}, "2-1", "2-2", "3")
	wantScan(t, s, pipeline.Scan{After: "15"}, "2", "2-1", "2-2", "3")
	wantScan(t, s, pipeline.Scan{After: "3"})
	wantScan(t, s, pipeline.Scan{After: "2-1", Prefix: "2"}, "2-2")
	wantScan(t, s, pipeline.Scan{After: "1", Prefix: "2-"}, "2-1", "2-2")
	wantScan(t, s, pipeline.Scan{After: "3", Prefix: "2-"})
}

func scanSince(t *testing.T, s pipeline.Records) {
	storeIDs(t, s, at(5), "1", "2")
	storeIDs(t, s, at(6), "3")
	storeIDs(t, s, at(6).Add(time.Millisecond), "0")
	mustUpdate(t, s, at(7), pipeline.RecordUpdate{ID: "2", Set: map[string]any{"in_slot": true}})
	wantScan(t, s, pipeline.Scan{Since: at(5)}, "0", "1", "2", "3")
	wantScan(t, s, pipeline.Scan{Since: at(6)}, "0", "2", "3")
	wantScan(t, s, pipeline.Scan{Since: at(6).Add(time.Millisecond)}, "0", "2")
	wantScan(t, s, pipeline.Scan{Since: at(7), After: "1"}, "2")
	wantScan(t, s, pipeline.Scan{Since: at(8)})
}

func scanLarge(t *testing.T, s pipeline.Records) {
	const n = 1200
	text := strings.Repeat("x", 1000)
	var updates []pipeline.RecordUpdate
	var ids []string
	for i := range n {
		ids = append(ids, fmt.Sprintf("id-%04d", i))
		updates = append(updates, pipeline.RecordUpdate{ID: ids[i], Set: map[string]any{"text": text}, Content: content(1, "run-1")})
	}
	mustUpdate(t, s, at(5), updates...)
	wantScan(t, s, pipeline.Scan{}, ids...)
	wantScan(t, s, pipeline.Scan{After: ids[100]}, ids[101:]...)
	seen := 0
	for r := range seq(t, s.Scan(t.Context(), conn, run.Users, pipeline.Scan{})) {
		if seen++; seen == 700 {
			break
		}
		if seen%100 == 0 {
			mustUpdate(t, s, at(6), pipeline.RecordUpdate{ID: r.ID, Set: map[string]any{"text": "y"}})
		}
	}
	if seen != 700 {
		t.Errorf("a scan that was left gave %d records", seen)
	}
}
