package erase_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"stovasync/shared/erase"
	"stovasync/shared/mapping"
	"stovasync/shared/photo"
	"stovasync/shared/pipeline"
	"stovasync/shared/pipeline/pipelinetest"
	"stovasync/shared/run"
	"stovasync/shared/stova"
)

// erased is who goes in these tests, and stays is who does not.
const (
	erased = "700000001"
	stays  = "700000002"
)

// site is a deployment in memory, whose vendor has two people: a queue, steps
// that say when they are at work, and a place at which a task can be held.
type site struct {
	t     *testing.T
	mem   *pipelinetest.Memory
	steps *pipeline.Steps
	conn  run.Connection

	mu     sync.Mutex
	queue  []run.Task
	hold   string          // where a task stops
	resume chan struct{}   // until this is closed
	once   map[string]bool // the places where one has stopped
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, mem: pipelinetest.NewMemory(), resume: make(chan struct{}), once: map[string]bool{}}
	s.conn = run.Connection{
		Name: "expo", EndPoint: "https://api.example.test/api/v2", AccountID: "7700", EventID: "900100001",
		ActiveStatuses: []string{"Confirmed"}, OnlyModified: true, PageSize: 10, DataTypes: []run.DataType{run.Users, run.UserPhotos},
		PersonPhotoEndpoint: "https://pictures.example.test/files/", InactivePolicy: "cancel", Timezone: "UTC",
		RemovalLimit: run.RemovalLimit{Records: 10, Percent: 10}, RawRetentionDays: 14, RequestsPerMinute: 360, RetryBaseSeconds: 2,
		AllowedPhotoHosts: []string{"example.test"},
		Mapping:           map[run.DataType]map[string]*string{run.Users: {"photo": new("responses.photo")}},
	}
	s.steps = &pipeline.Steps{
		Ledger: pipeline.Ledger{Items: s.mem.Items()}, Records: s.mem.Records(), Objects: s.mem.Objects(), Tasks: s, Dead: s,
		Connector: s, Secrets: s.mem.Secrets(), Announce: true, Fetches: 1, Log: slog.New(slog.DiscardHandler),
	}
	if err := s.steps.Ledger.PutConnection(t.Context(), s.conn, time.Now()); err != nil {
		t.Fatal(err)
	}
	return s
}

// store is where people are erased from the site; quiet waits for its tasks.
func (s *site) store(limit time.Duration) erase.Store {
	q := erase.Quiet{Items: s.mem.Items(), Limit: limit, Poll: time.Second, Now: time.Now}
	turn := erase.Turn{Items: s.mem.Items(), Poll: 10 * time.Millisecond, Now: time.Now, Random: rand.Read}
	return erase.Store{
		Items: s.mem.Items(), Records: s.mem.Records().(erase.Records), Objects: s.mem.Objects(), Secrets: s.mem.Secrets().(erase.Secrets),
		Now: time.Now, Random: func(b []byte) (int, error) { return copy(b, strings.Repeat("k", len(b))), nil },
		Still: func(ctx context.Context, name string) (context.Context, func(), error) {
			if err := q.Wait(ctx, name); err != nil {
				return nil, nil, err
			}
			return turn.Take(ctx, name)
		},
	}
}

// at stops the first task that comes to the place that is held.
func (s *site) at(place string) {
	s.mu.Lock()
	stop := place == s.hold && !s.once[place]
	s.once[place] = s.once[place] || stop
	s.mu.Unlock()
	if stop {
		<-s.resume
	}
}

func (s *site) Send(_ context.Context, tasks ...run.Task) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, tasks...)
	return nil
}

func (s *site) Bury(context.Context, run.Task) error              { return nil }
func (s *site) Delete(context.Context, pipeline.DeadLetter) error { return nil }
func (s *site) Dead(context.Context) iter.Seq2[pipeline.DeadLetter, error] {
	return func(func(pipeline.DeadLetter, error) bool) {}
}

// sync starts a run and does its tasks to the end.
func (s *site) sync() {
	s.start()
	s.drain()
}

func (s *site) start() {
	if _, err := s.steps.FanOut(context.Background(), pipeline.Start{Connection: s.conn.Name, Time: time.Now().UTC(), Mode: run.Full}); err != nil {
		s.t.Error(err)
	}
}

func (s *site) drain() { s.do(1 << 20) }

// do does so many tasks, or as many as there are.
func (s *site) do(n int) {
	for range n {
		s.mu.Lock()
		if len(s.queue) == 0 {
			s.mu.Unlock()
			return
		}
		task := s.queue[0]
		s.queue = s.queue[1:]
		s.mu.Unlock()
		if err := s.steps.Do(context.Background(), task); err != nil {
			s.t.Errorf("%s: %v", task, err)
		}
	}
}

func (s *site) Source(context.Context, run.Connection) (pipeline.Source, error) { return s, nil }
func (s *site) Downloader(run.Connection) pipeline.Downloader                   { return s }
func (s *site) Mapping(c run.Connection) (*mapping.Set, error) {
	return mapping.Compile(mapping.Settings{Mapping: c.Mapping, ActiveStatuses: c.ActiveStatuses, InactivePolicy: c.InactivePolicy})
}

func (s *site) Event(context.Context) (stova.Event, error) {
	return stova.Event{ID: s.conn.EventID, Name: "Expo", Zone: "UTC"}, nil
}
func (s *site) Questions(context.Context) ([]stova.Question, error) {
	return []stova.Question{{ID: "1", FieldName: "photo", Name: "Photo"}}, nil
}
func (s *site) Tracks(context.Context) ([]stova.Track, error) { return nil, nil }

func (s *site) List(context.Context, run.Stream, stova.ListOptions) (stova.Listing, error) {
	s.at("list")
	return stova.Listing{IDs: []string{erased, stays}, Limit: 2000}, nil
}

func (s *site) Row(_ context.Context, _ run.Stream, id string) (json.RawMessage, error) {
	if id == erased {
		s.at("row")
	}
	return json.RawMessage(fmt.Sprintf(`{"attendeeid":%q,"fname":"Ada %s","lname":"L","email":"a@example.test","registrationstatus":"Confirmed",
		"category":{"name":"Delegate"},"responses":{"1":{"questionid":"1","fieldname":"photo","name":"Photo","response":"%s.png"}}}`, id, id, id)), nil
}

func (s *site) Fetch(_ context.Context, r photo.Request) (photo.Picture, error) {
	if strings.Contains(r.URL, erased) {
		s.at("picture")
	}
	body := "picture of " + r.URL
	return photo.Picture{State: photo.Stored, Hash: fmt.Sprintf("%064x", len(r.URL)), ContentType: "image/png", Ext: ".png", Bytes: int64(len(body)), Body: strings.NewReader(body)}, nil
}

// holds looks for an id in everything that is stored, keys included.
func (s *site) holds(id string) (where []string) {
	s.t.Helper()
	ctx := context.Background()
	look := func(place string, text []byte) {
		if bytes.Contains(text, []byte(id)) {
			where = append(where, place)
		}
	}
	for key, err := range s.mem.Objects().List(ctx, "") {
		if err != nil {
			s.t.Fatal(err)
		}
		look("the key "+key, []byte(key))
		r, err := s.mem.Objects().Get(ctx, key)
		if err != nil {
			s.t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			s.t.Fatal(err)
		}
		if z, err := gzip.NewReader(bytes.NewReader(text)); err == nil {
			if text, err = io.ReadAll(z); err != nil {
				s.t.Fatal(err)
			}
		}
		look(key, text)
	}
	for _, t := range run.AllTypes() {
		for r, err := range s.mem.Records().Scan(ctx, s.conn.Name, t, pipeline.Scan{Removed: true}) {
			doc, bad := json.Marshal(r)
			if err := errors.Join(err, bad); err != nil {
				s.t.Fatal(err)
			}
			look("records of "+string(t), doc)
		}
	}
	parts := []string{pipeline.ConnectionPK(s.conn.Name)}
	runs, err := s.steps.Ledger.Runs(ctx, s.conn.Name, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, r := range runs {
		parts = append(parts, "RUN#"+r.ID)
	}
	for _, pk := range parts {
		for it, err := range s.mem.Items().Query(ctx, pipeline.Query{PK: pk}) {
			if err != nil {
				s.t.Fatal(err)
			}
			look("item "+it.SK, append([]byte(it.SK), it.Doc...))
		}
	}
	return where
}

// atWork counts the tasks that say to be at work.
func (s *site) atWork() (n int) {
	for _, err := range s.mem.Items().Query(context.Background(), pipeline.Query{PK: pipeline.ConnectionPK(s.conn.Name), Prefix: pipeline.BusyPrefix}) {
		if err != nil {
			s.t.Fatal(err)
		}
		n++
	}
	return n
}

func TestNothingSlipsThroughFromATaskThatBeganBeforeTheErasure(t *testing.T) {
	t.Parallel()
	for place, what := range map[string]string{
		"list": "a plan that is listing", "row": "a page that has fetched", "picture": "a picture on its way",
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				s.hold = place
				worked, done := make(chan struct{}), make(chan error, 1)
				go func() { defer close(worked); s.sync() }()
				synctest.Wait()
				if s.atWork() != 1 {
					t.Fatalf("%d tasks say to be at work while one is held", s.atWork())
				}
				var r erase.Receipt
				go func() {
					var err error
					r, err = erase.Person(t.Context(), s.store(5*time.Minute), s.conn, erased)
					done <- err
				}()
				time.Sleep(2 * time.Minute)
				select {
				case err := <-done:
					t.Fatalf("the erasure did not wait: %v", err)
				default:
				}
				close(s.resume) // the task writes what it has
				<-worked
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				if where := s.holds(erased); len(where) > 0 {
					t.Errorf("still in %q; removed %v", where, r.Removed)
				}
				if len(s.holds(stays)) == 0 {
					t.Error("the other person is gone too")
				}
				time.Sleep(time.Second)
				s.sync()
				if where := s.holds(erased); len(where) > 0 || s.atWork() != 0 {
					t.Errorf("after another run in %q; %d at work", where, s.atWork())
				}
			})
		})
	}
}

func TestATaskThatBeginsAfterTheEntryLeavesThePersonOutThoughItsPlanNamesThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.start()
		s.do(1) // the plan, and the pages' tasks
		if len(s.holds(erased)) != 1 {
			t.Fatalf("before the pages the id is in %q, want the plan alone", s.holds(erased))
		}
		store, entered := s.store(time.Minute), make(chan struct{})
		store.Still = func(ctx context.Context, _ string) (context.Context, func(), error) {
			<-entered
			return ctx, func() {}, nil
		}
		done := make(chan error, 1)
		go func() { _, err := erase.Person(t.Context(), store, s.conn, erased); done <- err }()
		synctest.Wait()
		s.drain()
		if where := s.holds(erased); len(where) != 1 {
			t.Errorf("after the pages the id is in %q, want the older plan alone", where)
		}
		close(entered)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if where := s.holds(erased); len(where) > 0 {
			t.Errorf("still in %q", where)
		}
		if len(s.holds(stays)) == 0 {
			t.Error("the other person is gone too")
		}
	})
}

func TestATaskThatDiedIsWaitedForNoLongerThanATaskMayTake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.sync()
		word := pipeline.Write{
			Key: pipeline.Key{PK: pipeline.ConnectionPK(s.conn.Name), SK: pipeline.BusyPrefix + "dead"}, Version: pipeline.AnyVersion,
			Doc: json.RawMessage(fmt.Sprintf(`{"since":%q}`, time.Now().Format(time.RFC3339))),
		}
		if err := s.mem.Items().Write(t.Context(), word); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := erase.Person(t.Context(), s.store(5*time.Minute), s.conn, erased); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 5*time.Minute || took > 6*time.Minute {
			t.Errorf("the first erasure took %s", took)
		}
		time.Sleep(10 * time.Minute)
		began = time.Now()
		if _, err := erase.Person(t.Context(), s.store(5*time.Minute), s.conn, stays); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("a word that long ago lapsed was waited for, %s", took)
		}
		if where := append(s.holds(erased), s.holds(stays)...); len(where) > 0 {
			t.Errorf("still in %q", where)
		}
	})
}

func TestTwoErasuresAtOnceEndWithOneKey(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.sync()
	var wg sync.WaitGroup
	for i, id := range []string{erased, stays, "700000003", "700000004"} {
		wg.Go(func() {
			store := s.store(time.Minute)
			store.Random = func(b []byte) (int, error) { return copy(b, bytes.Repeat([]byte{byte(i)}, len(b))), nil }
			if _, err := erase.Person(t.Context(), store, s.conn, id); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, id := range []string{erased, stays, "700000003", "700000004"} {
		if out, err := erase.Suppressed(t.Context(), s.mem.Items(), s.mem.Secrets(), s.conn, id); err != nil || !out {
			t.Errorf("one of them is not kept out: %v", err)
		}
		if where := s.holds(id); len(where) > 0 {
			t.Errorf("one of them is still in %q", where)
		}
	}
}

// A lift writes retry lists whole: one that reads them while somebody else is
// being erased would bring that id back.
func TestALiftWaitsForAnErasureOfSomebodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.sync()
		store := s.store(time.Minute)
		if _, err := erase.Person(t.Context(), store, s.conn, stays); err != nil {
			t.Fatal(err)
		}
		_, release, err := store.Still(t.Context(), s.conn.Name)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { _, err := erase.Lift(t.Context(), store, s.conn, stays); done <- err }()
		time.Sleep(time.Second)
		select {
		case err := <-done:
			t.Errorf("it did not wait: %v", err)
		default:
		}
		if where := s.holds(stays); len(where) > 0 {
			t.Errorf("while it waits the id is in %q", where)
		}
		release()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if where := s.holds(stays); len(where) == 0 {
			t.Error("lifted, the person is on no retry list")
		}
	})
}

// full is a store of objects that takes no more.
type full struct{ pipeline.Objects }

func (full) Put(context.Context, string, io.ReadSeeker, pipeline.ObjectInfo) (bool, error) {
	return false, errors.New("full")
}

func TestALiftThatWasCutIsListedAsUnfinishedUntilItIsEnded(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.sync()
	store := s.store(time.Minute)
	if _, err := erase.Person(t.Context(), store, s.conn, erased); err != nil {
		t.Fatal(err)
	}
	last := func() erase.Action {
		all, err := erase.Receipts(t.Context(), store.Items, s.conn.Name)
		if err != nil {
			t.Fatal(err)
		}
		return all[len(all)-1].Action
	}
	cut := store
	cut.Objects = full{store.Objects}
	if r, err := erase.Lift(t.Context(), cut, s.conn, erased); err == nil || last() != erase.Unfinished {
		t.Errorf("cut: %+v, %v, last %s", r, err, last())
	}
	if r, err := erase.Lift(t.Context(), store, s.conn, erased); err != nil || r.Entries != 1 || last() != erase.Lifted {
		t.Errorf("again: %+v, %v, last %s", r, err, last())
	}
}

func TestWhatIsNoAttendeeIDIsRefusedAndNotRepeated(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"", "someone@example.test", "7000 1", "-1", "70000a", strings.Repeat("1", 21), "７"} {
		err := erase.CheckID(id)
		if err == nil || id != "" && strings.Contains(err.Error(), id) {
			t.Errorf("CheckID: %v", err)
		}
	}
}
