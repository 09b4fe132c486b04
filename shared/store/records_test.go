package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"stovasync/shared/awscall/awstest"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
	"stovasync/shared/store"
)

func records(s *awstest.Script, change ...func(*store.RecordsConfig)) *store.Records {
	c := store.RecordsConfig{Client: dynamodb.NewFromConfig(s.Config()), Table: "records", WritesPerSecond: -1}
	for _, f := range change {
		f(&c)
	}
	return store.NewRecords(c)
}

// asked decodes what a BatchGetItem asks for.
func asked(t *testing.T, r awstest.Request) (ids []string, consistent bool) {
	t.Helper()
	var body struct {
		RequestItems map[string]struct {
			ConsistentRead bool
			Keys           []map[string]struct{ S string }
		}
	}
	if err := json.Unmarshal(r.Body, &body); err != nil {
		t.Fatal(err)
	}
	for _, k := range body.RequestItems["records"].Keys {
		ids = append(ids, k["fp_ext_id"].S)
	}
	return ids, body.RequestItems["records"].ConsistentRead
}

func TestRecordsGetAsksAgainForWhatWasLeftOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const one = `{"pk":{"S":"summit#users"},"fp_ext_id":{"S":"%s"}}`
		left := func(ids ...string) string {
			var keys []string
			for _, id := range ids {
				keys = append(keys, fmt.Sprintf(one, id))
			}
			return `"UnprocessedKeys":{"records":{"Keys":[` + strings.Join(keys, ",") + `]}}`
		}
		s := awstest.InTurn(
			awstest.Answer{Status: 200, Body: `{"Responses":{"records":[` + fmt.Sprintf(one, "1") + `]},` + left("2", "3") + `}`},
			awstest.Answer{Status: 200, Body: `{"Responses":{},` + left("2", "3") + `}`},
			awstest.Answer{Status: 200, Body: `{"Responses":{"records":[` + fmt.Sprintf(one, "3") + `]}}`},
		)
		got, err := records(s).Get(t.Context(), "summit", run.Users, []string{"3", "1", "", "2", "1"})
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 2 || got["1"].ID != "1" || got["3"].ID != "3" {
			t.Errorf("got %v, want records 1 and 3", got)
		}
		var calls [][]string
		for _, r := range s.Asked() {
			ids, consistent := asked(t, r)
			if !consistent {
				t.Error("a read is not consistent")
			}
			calls = append(calls, ids)
		}
		if diff := cmp.Diff([][]string{{"1", "2", "3"}, {"2", "3"}, {"2", "3"}}, calls); diff != "" {
			t.Errorf("ids asked for (-want +got):\n%s", diff)
		}
	})
}

func TestRecordsRefuseFieldsThatTheyCouldNotKeep(t *testing.T) {
	t.Parallel()
	for name, u := range map[string]pipeline.RecordUpdate{
		"a field named as the envelope":         {ID: "1", Set: map[string]any{"fp_protect": "x"}},
		"a field named as the partition key":    {ID: "1", Set: map[string]any{"pk": "x"}},
		"dropping a field of the envelope":      {ID: "1", Unset: []string{"content_hash"}},
		"a field without a name":                {ID: "1", Set: map[string]any{"": "x"}},
		"a number that is none":                 {ID: "1", Set: map[string]any{"n": math.NaN()}},
		"an endless number":                     {ID: "1", Set: map[string]any{"n": math.Inf(-1)}},
		"a number beyond the range of DynamoDB": {ID: "1", Set: map[string]any{"n": 1e200}},
		"a value of another type":               {ID: "1", Set: map[string]any{"n": map[string]any{}}},
		"a record without an id":                {Content: &pipeline.Record{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := awstest.InTurn(fine)
			if _, err := records(s).Update(t.Context(), "summit", run.Users, time.Now(), []pipeline.RecordUpdate{u}); err == nil {
				t.Error("no error")
			}
			if n := len(s.Asked()); n != 0 {
				t.Errorf("%d requests, want none", n)
			}
		})
	}
}

func TestRecordsNameOfTheFetchTimeLeavesFetchedAtToPhotos(t *testing.T) {
	t.Parallel()
	s := awstest.InTurn(fine)
	got, err := records(s).Update(t.Context(), "summit", run.UserPhotos, time.Now(), []pipeline.RecordUpdate{{
		ID: "1", Set: map[string]any{"fetched_at": "2031-03-04T09:00:00Z"}, Content: &pipeline.Record{Type: "person_photo"},
	}})
	if err != nil || !got[0] {
		t.Errorf("Update = %v, %v, want it applied", got, err)
	}
}

func updates(n int) []pipeline.RecordUpdate {
	out := make([]pipeline.RecordUpdate, n)
	for i := range out {
		out[i] = pipeline.RecordUpdate{ID: fmt.Sprint(i + 1), Set: map[string]any{"fname": "Ada"}}
	}
	return out
}

func TestRecordsWritesKeepTheirRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var last atomic.Int64
		s := awstest.Play(func(int, awstest.Request) awstest.Answer {
			last.Store(int64(time.Since(start)))
			return fine
		})
		store := records(s, func(c *store.RecordsConfig) { c.WritesPerSecond = 0 })
		// Two pages at once share the limit of the process.
		errs := make(chan error)
		for range 2 {
			go func() {
				_, err := store.Update(t.Context(), "summit", run.Users, time.Now(), updates(300))
				errs <- err
			}()
		}
		if err := errors.Join(<-errs, <-errs); err != nil {
			t.Fatal(err)
		}
		took := time.Duration(last.Load())
		if took < 3990*time.Millisecond || took > 4100*time.Millisecond {
			t.Errorf("600 writes took %s, want 4 s at 150 a second", took)
		}
	})
}

func TestRecordsWritesAreBoundedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var inside, most atomic.Int64
		s := awstest.Play(func(int, awstest.Request) awstest.Answer {
			if n := inside.Add(1); n > most.Load() {
				most.Store(n)
			}
			<-time.After(time.Second)
			inside.Add(-1)
			return fine
		})
		if _, err := records(s).Update(t.Context(), "summit", run.Users, time.Now(), updates(40)); err != nil {
			t.Fatal(err)
		}
		if most.Load() != 8 {
			t.Errorf("%d writes at once, want 8", most.Load())
		}
	})
}

func TestRecordsThrottledWritesAreRepeated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := awstest.Play(func(n int, _ awstest.Request) awstest.Answer {
			if n%3 != 0 {
				return throttled
			}
			return fine
		})
		got, err := records(s, func(c *store.RecordsConfig) { c.Parallel = 1 }).Update(t.Context(), "summit", run.Users, time.Now(), updates(5))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]bool{true, true, true, true, true}, got); diff != "" {
			t.Errorf("applied (-want +got):\n%s", diff)
		}
		if n := len(s.Asked()); n != 15 {
			t.Errorf("%d attempts, want 15", n)
		}
	})
}

func TestRecordsOneFailureStopsTheRest(t *testing.T) {
	t.Parallel()
	s := awstest.InTurn(awstest.Fail(400, "ValidationException"))
	_, err := records(s, func(c *store.RecordsConfig) { c.Parallel = 1 }).Update(t.Context(), "summit", run.Users, time.Now(), updates(50))
	if err == nil || !strings.Contains(err.Error(), "update 50 records of summit#users") || !strings.Contains(err.Error(), "ValidationException") {
		t.Errorf("error = %v, want the operation and its code", err)
	}
	if n := len(s.Asked()); n > 2 {
		t.Errorf("%d requests after a refusal for good", n)
	}
}

func at(seconds int) time.Time {
	return time.Date(2031, 3, 4, 9, 0, seconds, 0, time.UTC)
}

// content is an envelope read by a run.
func content(seconds int, id string) *pipeline.Record {
	return &pipeline.Record{Type: "person", Status: "active", Owner: "global", Hash: "hash", Run: id, FetchedAt: at(seconds)}
}

func TestAWSTombstones(t *testing.T) {
	t.Parallel()
	client := awstest.DynamoDB(t)
	open := func(t *testing.T) (func(now time.Time, u pipeline.RecordUpdate) bool, func() pipeline.Record) {
		table := awstest.Records(t, client)
		s := store.NewRecords(store.RecordsConfig{Client: client, Table: table})
		update := func(now time.Time, u pipeline.RecordUpdate) bool {
			u.ID = "1"
			got, err := s.Update(t.Context(), "summit", run.Users, now, []pipeline.RecordUpdate{u})
			if err != nil {
				t.Fatal(err)
			}
			return got[0]
		}
		get := func() pipeline.Record {
			got, err := s.Get(t.Context(), "summit", run.Users, []string{"1"})
			if err != nil {
				t.Fatal(err)
			}
			return got["1"]
		}
		return update, get
	}
	fields := map[string]any{"fname": "Ada", "photo_object": "9/person/1/aa.jpg"}
	dead := *content(1, "run-1")
	dead.ID, dead.CreatedRun, dead.UpdatedAt, dead.RemovedAt = "1", "run-1", at(5), at(5)

	t.Run("a removed record keeps its envelope and no field", func(t *testing.T) {
		t.Parallel()
		update, get := open(t)
		update(at(2), pipeline.RecordUpdate{Set: fields, Content: content(1, "run-1")})
		if !update(at(5), pipeline.RecordUpdate{Remove: true}) {
			t.Fatal("the removal was not applied")
		}
		if diff := cmp.Diff(dead, get(), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("tombstone (-want +got):\n%s", diff)
		}
	})
	t.Run("a tombstone is not removed again, and takes no fields", func(t *testing.T) {
		t.Parallel()
		update, get := open(t)
		update(at(2), pipeline.RecordUpdate{Set: fields, Content: content(1, "run-1")})
		update(at(5), pipeline.RecordUpdate{Remove: true})
		if update(at(6), pipeline.RecordUpdate{Remove: true}) || update(at(6), pipeline.RecordUpdate{Set: fields}) {
			t.Error("an update of a tombstone was applied")
		}
		if diff := cmp.Diff(dead, get(), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("tombstone (-want +got):\n%s", diff)
		}
	})
	t.Run("what is not there is not removed", func(t *testing.T) {
		t.Parallel()
		update, get := open(t)
		if update(at(5), pipeline.RecordUpdate{Remove: true}) || get().ID != "" {
			t.Error("a removal made a record")
		}
	})
	t.Run("content lifts a tombstone, as made by its run", func(t *testing.T) {
		t.Parallel()
		update, get := open(t)
		update(at(2), pipeline.RecordUpdate{Set: fields, Content: content(1, "run-1")})
		update(at(5), pipeline.RecordUpdate{Remove: true})
		if !update(at(7), pipeline.RecordUpdate{Set: map[string]any{"fname": "Eve"}, Content: content(6, "run-2")}) {
			t.Fatal("the content was not applied")
		}
		want := *content(6, "run-2")
		want.ID, want.CreatedRun, want.UpdatedAt, want.Fields = "1", "run-2", at(7), map[string]any{"fname": "Eve"}
		if diff := cmp.Diff(want, get()); diff != "" {
			t.Errorf("record (-want +got):\n%s", diff)
		}
	})
	t.Run("content read before the removed record was does not lift it", func(t *testing.T) {
		t.Parallel()
		update, get := open(t)
		update(at(2), pipeline.RecordUpdate{Set: fields, Content: content(1, "run-1")})
		update(at(5), pipeline.RecordUpdate{Remove: true})
		if update(at(7), pipeline.RecordUpdate{Content: content(0, "run-0")}) {
			t.Error("older content was applied")
		}
		if diff := cmp.Diff(dead, get(), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("tombstone (-want +got):\n%s", diff)
		}
	})
}

func TestRecordsRemovalReadsAgainWhatOthersChanged(t *testing.T) {
	t.Parallel()
	s := awstest.Play(func(n int, r awstest.Request) awstest.Answer {
		if r.Op == "BatchGetItem" {
			return awstest.Answer{Status: 200, Body: `{"Responses":{"records":[{"pk":{"S":"summit#users"},"fp_ext_id":{"S":"1"},
				"updated_at":{"S":"2031-03-04T09:00:0` + fmt.Sprint(n) + `.000000000Z"}}]}}`}
		}
		if n == 2 {
			return refused
		}
		if !strings.Contains(string(r.Body), "09:00:03.000000000Z") {
			t.Errorf("the removal's condition is not about what was read last")
		}
		return fine
	})
	got, err := records(s).Update(t.Context(), "summit", run.Users, at(9), []pipeline.RecordUpdate{{ID: "1", Remove: true}})
	if err != nil || !got[0] || len(s.Asked()) != 4 {
		t.Errorf("Update = %v, %v after %d requests, want it applied after 4", got, err, len(s.Asked()))
	}
}
