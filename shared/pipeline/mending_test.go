package pipeline_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
	"stovasync/shared/stova"
)

func TestALateMendedRunLeavesTheLevelsOfANewerRun(t *testing.T) {
	t.Parallel()
	w := alone(t, run.SponsorLevels, 0)
	w.conn.PageSize = 1
	w.save()
	sponsor := func(id, level string) {
		w.vendor.people[id] = &person{ID: id, Company: "Invented " + id, Status: "Confirmed", Category: "Sponsor", Level: level, Modified: w.clock.now()}
	}
	sponsor("2050", "Silver")
	sponsor("2060", "Bronze")
	w.failPage("2060")
	old := w.sync(pipeline.Start{})
	same(t, "state of the old run", run.Partial, old.State)
	delete(w.vendor.rowFault, "2060")
	sponsor("1001", "Gold")
	w.sync(pipeline.Start{Mode: run.Full})
	newer := w.records(run.SponsorLevels)
	same(t, "levels of the newer run", []string{"bronze", "gold", "silver"}, ids(newer))
	same(t, "place of silver", any(int64(2)), newer["silver"].Fields["order"])
	w.clock.advance(time.Hour)
	w.redrive(pipeline.Filter{Run: old.Run})
	same(t, "state of the mended run", run.Complete, w.typeRun(old.Run, run.SponsorLevels).State)
	same(t, "levels", newer, w.records(run.SponsorLevels))
}

func TestAFilterThatDoesNotFitRejectsThePickAndLeavesItsRow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.expo()
	w.conn.Filters = map[run.DataType]string{run.Schedule: `split(fname, "-")[1] != ""`}
	for _, p := range w.vendor.people {
		p.First = "Ada-" + p.ID
	}
	w.save()
	w.sync(pipeline.Start{})
	before := w.records(run.Schedule)["1001_6001_1"]
	same(t, "status", any("registered"), before.Fields["status"])
	w.clock.advance(48 * time.Hour)
	w.edit("1001", func(p *person) { p.First = "Ada" })
	v := w.sync(pipeline.Start{})
	var rejected []string
	for _, r := range v.Rejects {
		if r.Type == run.Schedule {
			rejected = append(rejected, r.ID+" "+r.Code)
		}
	}
	same(t, "rejects", []string{"1001_6001_1 MAPPING_INVALID", "1001_6002_1 MAPPING_INVALID"}, sortedStrings(rejected))
	same(t, "the stored row", before, w.records(run.Schedule)["1001_6001_1"])
}

func TestAListThatFailsForOnceIsThatOfTheLastRun(t *testing.T) {
	t.Parallel()
	warned := func(v pipeline.RunView, list string) bool {
		return slices.ContainsFunc(v.Warnings, func(x run.Warning) bool {
			return x.Code == string(fault.StovaServer) && strings.Contains(x.Message, list)
		})
	}
	w := newWorld(t, 1)
	w.expo()
	w.vendor.tracks = []stova.Track{{ID: "41", Name: "Invented Track"}}
	w.vendor.trackOf = map[string]string{"6001_1": "41"}
	w.conn.Mapping[run.Users]["biography"] = new(`responses["Photo"]`) // found by the question's name
	w.save()
	w.sync(pipeline.Start{})
	w.clock.advance(48 * time.Hour)
	w.sync(pipeline.Start{})
	users, sessions := w.records(run.Users), w.records(run.Sessions)
	same(t, "tag", any([]string{"Invented Track"}), sessions["6001_1"].Fields["tag"])
	same(t, "biography", any("a.png"), users["1001"].Fields["biography"])
	w.vendor.questionFault, w.vendor.trackFault = poison(), poison()
	for range 2 { // the second finds them in the plan of the first
		w.clock.advance(48 * time.Hour)
		w.vendor.people["1001"].Modified = w.clock.now()
		v := w.sync(pipeline.Start{})
		same(t, "state", run.Complete, v.State)
		same(t, "mode of users", run.Incremental, v.Types[run.Users].Mode)
		same(t, "warned of the questions", true, warned(v, "questions"))
		same(t, "warned of the tracks", true, warned(v, "tracks"))
		same(t, "biography without questions", any("a.png"), w.records(run.Users)["1001"].Fields["biography"])
		same(t, "tag without tracks", any([]string{"Invented Track"}), w.records(run.Sessions)["6001_1"].Fields["tag"])
	}
	w.vendor.questionFault, w.vendor.trackFault = nil, nil
	v := w.sync(pipeline.Start{})
	same(t, "mode of users with questions", run.Incremental, v.Types[run.Users].Mode)
	same(t, "warned of the questions in the end", false, warned(v, "questions"))
}

func TestMissedRows(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		mode   run.Mode
		stamp  time.Duration // from the start of the last run
		counts run.Counts
	}{
		"a row of a full run whose stamp is more than a day older than the cursor was missed": {run.Full, -25 * time.Hour, run.Counts{Read: 3, Changed: 1, Unchanged: 2, Missed: 1}},
		"one whose stamp is a day older at most was not":                                      {run.Full, -23 * time.Hour, run.Counts{Read: 3, Changed: 1, Unchanged: 2}},
		"one that was modified after the cursor was not":                                      {run.Full, time.Hour, run.Counts{Read: 3, Changed: 1, Unchanged: 2}},
		"an incremental run misses none":                                                      {"", -25 * time.Hour, run.Counts{Read: 1, Changed: 1}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := alone(t, run.Users, 3)
			first := w.sync(pipeline.Start{})
			same(t, "missed by a first run", 0, first.Types[run.Users].Missed)
			w.vendor.rowFault["2002"] = poison() // on the retry list: an incremental run reads it too
			w.clock.advance(48 * time.Hour)
			w.vendor.people["2002"].Modified = w.clock.now()
			last := w.sync(pipeline.Start{})
			same(t, "mode of the last run", run.Incremental, last.Types[run.Users].Mode)
			delete(w.vendor.rowFault, "2002")
			w.clock.advance(48 * time.Hour)
			p := w.vendor.people["2002"]
			p.First, p.Modified = "Silent", last.Started.Add(tt.stamp)
			v := w.sync(pipeline.Start{Mode: tt.mode})
			same(t, "mode", cmp.Or(tt.mode, run.Incremental), v.Types[run.Users].Mode)
			same(t, "counts", tt.counts, v.Types[run.Users].Counts)
		})
	}
}

func TestAnAttendeeWhomOnlyTheListOfTheModifiedHoldsIsInThePlan(t *testing.T) {
	t.Parallel()
	w := alone(t, run.Users, 3)
	w.sync(pipeline.Start{})
	w.clock.advance(48 * time.Hour)
	w.vendor.people["2050"] = &person{ID: "2050", First: "Late", Status: "Confirmed", Modified: w.clock.now()}
	w.vendor.late = map[string]bool{"2050": true}
	v := w.sync(pipeline.Start{})
	same(t, "new users", 1, v.Types[run.Users].New)
	var plan pipeline.Plan
	w.read(w.cursor(run.Users).Plan, &plan)
	same(t, "the plan's run", v.Run, plan.Run)
	same(t, "all", []string{"2001", "2002", "2003", "2050"}, plan.All)
}

func TestAStoredPictureWhoseCheckFailedIsAskedForAgain(t *testing.T) {
	t.Parallel()
	w := album(t, map[string]string{"1": "good.png", "2": "other.png"})
	good := picture{body: "good"}
	w.vendor.pictures[files+"good.png"], w.vendor.pictures[files+"other.png"] = good, picture{body: "other"}
	w.sync(pipeline.Start{})
	w.vendor.pictures[files+"good.png"] = picture{err: poison()}
	w.sync(pipeline.Start{Mode: run.Full})
	same(t, "retry list", []string{"1"}, w.retry(run.UserPhotos))
	w.vendor.pictures[files+"good.png"] = good
	asked := w.vendor.downloads()
	v := w.sync(pipeline.Start{})
	same(t, "mode", run.Incremental, v.Types[run.UserPhotos].Mode)
	same(t, "downloads", 1, w.vendor.downloads()-asked)
	same(t, "counts", run.Counts{Read: 1, Unchanged: 1}, v.Types[run.UserPhotos].Counts)
	same(t, "retry list in the end", nil, w.retry(run.UserPhotos))
}

func TestAnIncrementalRunWhosePicturesAreAllMissingSuspectsNoEndpoint(t *testing.T) {
	t.Parallel()
	w := album(t, map[string]string{"1": "good.png", "2": "other.png"})
	w.vendor.pictures[files+"good.png"], w.vendor.pictures[files+"other.png"] = picture{body: "good"}, picture{body: "other"}
	w.sync(pipeline.Start{})
	w.edit("1", func(p *person) { p.Photo = "nowhere.png" })
	v := w.sync(pipeline.Start{})
	same(t, "mode", run.Incremental, v.Types[run.UserPhotos].Mode)
	same(t, "counts", run.Counts{Read: 1, Missing: 1}, v.Types[run.UserPhotos].Counts)
	same(t, "warnings", nil, v.Warnings)
}

// byRecord names protected fields by the records themselves: type and id to fields.
type byRecord struct {
	pipeline.Records
	fields map[run.DataType]map[string][]string
}

func (b byRecord) Get(ctx context.Context, c string, t run.DataType, ids []string) (map[string]pipeline.Record, error) {
	got, err := b.Records.Get(ctx, c, t, ids)
	for id, r := range got {
		r.Protect = b.fields[t][id]
		got[id] = r
	}
	return got, err
}

func (b byRecord) Scan(ctx context.Context, c string, t run.DataType, s pipeline.Scan) iter.Seq2[pipeline.Record, error] {
	return func(yield func(pipeline.Record, error) bool) {
		for r, err := range b.Records.Scan(ctx, c, t, s) {
			r.Protect = b.fields[t][r.ID]
			if !yield(r, err) {
				return
			}
		}
	}
}

func TestFieldsThatNoPageWritesCanBeProtectedToo(t *testing.T) {
	t.Parallel()
	fields := map[run.DataType]map[string][]string{
		run.Users:    {"1001": {"photo_object"}, "1003": {"photo_object"}},
		run.Sessions: {"6002_1": {"in_slot"}},
		run.Schedule: {"1001_6001_1": {"status"}, "1001_6002_1": {"fp_status"}},
	}
	for name, protect := range map[string]func(w *world){
		"named by the settings": func(w *world) { w.conn.Protect = fields },
		"named by the records":  func(w *world) { w.steps.Records = byRecord{w.steps.Records, fields} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.expo()
			protect(w)
			w.save()
			w.vendor.people["1005"].Photo = "a.png"
			w.sync(pipeline.Start{})
			if name == "named by the settings" { // a record that is not stored names nothing
				same(t, "link of 1001", "", w.linked("1001"))
				same(t, "in_slot of 6002_1", nil, w.records(run.Sessions)["6002_1"].Fields["in_slot"])
			}
			if w.linked("1005") == "" || w.records(run.Sessions)["6003_1"].Fields["in_slot"] != slot {
				t.Error("a free link or in_slot is not set")
			}
			// A person edits what is protected by hand.
			for typ, set := range map[run.DataType]pipeline.RecordUpdate{
				run.Users:    {ID: "1001", Set: map[string]any{"photo_object": "by/hand.png"}},
				run.Sessions: {ID: "6002_1", Set: map[string]any{"in_slot": "by hand"}},
			} {
				_, err := w.mem.Records().Update(t.Context(), w.conn.Name, typ, w.clock.now(), []pipeline.RecordUpdate{set})
				w.must(err)
			}
			w.clock.advance(48 * time.Hour)
			w.sync(pipeline.Start{Mode: run.Full})
			same(t, "link by hand", "by/hand.png", w.linked("1001"))
			w.edit("1001", func(p *person) { p.Photo, p.Picks = "", nil })
			w.sync(pipeline.Start{})
			same(t, "link by hand of an emptied photo", "by/hand.png", w.linked("1001"))
			same(t, "in_slot by hand", any("by hand"), w.records(run.Sessions)["6002_1"].Fields["in_slot"])
			rows := w.records(run.Schedule)
			same(t, "protected status of a row whose pick is gone", any("registered"), rows["1001_6001_1"].Fields["status"])
			same(t, "fp_status of that row", "active", rows["1001_6001_1"].Status)
			same(t, "free status of a row whose pick is gone", any("unregistered"), rows["1001_6002_1"].Fields["status"])
			same(t, "protected fp_status of that row", "active", rows["1001_6002_1"].Status)
		})
	}
}

// metered is a vendor each of whose answers costs requests that meters count:
// those of a real client, against a host that is down.
type metered struct {
	pipeline.Connector
	client *stova.Client
	trips  atomic.Int64
	onList func()
}

// RoundTrip answers every request with the same fault.
func (m *metered) RoundTrip(r *http.Request) (*http.Response, error) {
	m.trips.Add(1)
	body := io.NopCloser(bytes.NewReader([]byte(`{"error":{"code":"1","message":"no"}}`)))
	return &http.Response{StatusCode: http.StatusForbidden, Header: http.Header{}, Body: body, Request: r}, nil
}

func (m *metered) Source(ctx context.Context, c run.Connection) (pipeline.Source, error) {
	src, err := m.Connector.Source(ctx, c)
	return meteredSource{src, m}, err
}

type meteredSource struct {
	pipeline.Source
	m *metered
}

func (s meteredSource) List(ctx context.Context, stream run.Stream, o stova.ListOptions) (stova.Listing, error) {
	_, _ = s.m.client.Event(ctx)
	if s.m.onList != nil {
		s.m.onList()
	}
	return s.Source.List(ctx, stream, o)
}

func (s meteredSource) Row(ctx context.Context, stream run.Stream, id string) (json.RawMessage, error) {
	_, _ = s.m.client.Event(ctx)
	return s.Source.Row(ctx, stream, id)
}

func TestEveryCallCounts(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*testing.T, *world) pipeline.RunView{
		"those of a run without trouble":                     func(_ *testing.T, w *world) pipeline.RunView { return w.sync(pipeline.Start{}) },
		"those of two planners at once":                      planTwice,
		"those of two deliveries that both hand a rest on":   handOnTwice,
		"those of a page that could not be settled at first": settleLate,
		"those of failed attempts":                           failAttempts,
		"those of a page that failed in the end":             failPages,
		"those of failed plans":                              failPlans,
		"those of a second delivery":                         deliverTwice,
	}
	for name, check := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := alone(t, run.Users, 6)
			w.queue.duplicates = 0
			m := &metered{Connector: w.steps.Connector}
			var err error
			m.client, err = stova.New(stova.Config{
				EndPoint: "https://api.example.test/api/v2", AccountID: "7700", Key: "invented", EventID: eventID, Transport: m,
			})
			w.must(err)
			w.steps.Connector = m
			v := check(t, w)
			if m.trips.Load() < 6 {
				t.Fatalf("%d requests for six rows", m.trips.Load())
			}
			same(t, "api_calls", int(m.trips.Load()), v.APICalls)
		})
	}
}

func planTwice(_ *testing.T, w *world) pipeline.RunView {
	m, entered := w.steps.Connector.(*metered), false
	st := w.start(pipeline.Start{})
	m.onList = func() {
		if !entered {
			entered = true
			w.must(w.do(w.task(run.SyncTask, st.Run.ID, run.Users, "")))
		}
	}
	return w.settle(st.Run.ID)
}

func handOnTwice(t *testing.T, w *world) pipeline.RunView {
	st := w.start(pipeline.Start{})
	w.until(func() bool { return w.typeRun(st.Run.ID, run.Users).Planning })
	page, entered := w.task(run.PageTask, st.Run.ID, run.Users, "1"), false
	w.vendor.rowFault["2004"] = noTime()
	w.vendor.onRow = func(context.Context, string) {
		if !entered {
			entered = true
			w.must(w.do(page))
		}
	}
	w.must(w.do(page))
	delete(w.vendor.rowFault, "2004")
	v := w.settle(st.Run.ID)
	same(t, "pages", pipeline.PagesView{Planned: 2, Done: 2}, v.Types[run.Users].Pages)
	same(t, "tries of a row", 2, w.vendor.rows["2002"])
	return v
}

func settleLate(t *testing.T, w *world) pipeline.RunView {
	w.steps.Ledger.Items = &unsettled{Items: w.steps.Ledger.Items}
	v := w.sync(pipeline.Start{})
	same(t, "state", run.Complete, v.State)
	return v
}

func failAttempts(t *testing.T, w *world) pipeline.RunView {
	w.vendor.onRow = func(_ context.Context, id string) {
		if w.vendor.rowFault[id] = errPlain; id != "2004" || w.vendor.rows[id] == 2 {
			delete(w.vendor.rowFault, id)
		}
	}
	v := w.sync(pipeline.Start{})
	same(t, "state", run.Complete, v.State)
	same(t, "tries of a row", 3, w.vendor.rows["2004"])
	return v
}

func failPages(t *testing.T, w *world) pipeline.RunView {
	w.failPage("2004")
	v := w.sync(pipeline.Start{})
	same(t, "state", run.Partial, v.State)
	return v
}

func failPlans(t *testing.T, w *world) pipeline.RunView {
	w.vendor.listFault[run.Attendees] = errPlain
	st := w.start(pipeline.Start{})
	for range 2 {
		w.drainOnce()
	}
	delete(w.vendor.listFault, run.Attendees)
	v := w.settle(st.Run.ID)
	same(t, "state", run.Complete, v.State)
	return v
}

func deliverTwice(t *testing.T, w *world) pipeline.RunView {
	st := w.start(pipeline.Start{})
	w.until(func() bool { return w.typeRun(st.Run.ID, run.Users).Planning })
	page, entered := w.task(run.PageTask, st.Run.ID, run.Users, "1"), false
	w.vendor.onRow = func(context.Context, string) {
		if !entered {
			entered = true
			w.must(w.do(page))
		}
	}
	w.must(w.do(page))
	same(t, "tries of a row", 2, w.vendor.rows["2004"])
	return w.settle(st.Run.ID)
}

// unsettled is a ledger in which the first page cannot be settled at once.
type unsettled struct {
	pipeline.Items
	failed bool
}

func (u *unsettled) Write(ctx context.Context, writes ...pipeline.Write) error {
	settles := len(writes) == 2 && strings.HasPrefix(writes[0].Key.SK, "PAGE#")
	if settles && !u.failed {
		u.failed = true
		return errPlain
	}
	return u.Items.Write(ctx, writes...)
}

// drainOnce delivers the next message, waiting for it.
func (w *world) drainOnce() {
	w.t.Helper()
	if !w.deliver() {
		_, wait, _ := w.queue.receive()
		w.clock.advance(max(wait, time.Millisecond))
		w.deliver()
	}
}

func TestARedriveDeletesDeadLettersWithNothingLeftToDo(t *testing.T) {
	t.Parallel()
	t.Run("of pages that are done", func(t *testing.T) {
		t.Parallel()
		w, v := partial(t, 0)
		for _, page := range []string{"2", "3"} {
			w.must(w.do(w.task(run.PageTask, v.Run, run.Users, page)))
		}
		w.drain()
		same(t, "dead letters of a redrive that was cut", 2, len(w.queue.dead()))
		same(t, "what another redrive finds", 0, len(w.redrive(pipeline.Filter{})))
		same(t, "dead letters", 0, len(w.queue.dead()))
	})
	t.Run("of a type run that a later run has overtaken, which is no failure any more", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, 0).only(run.Sessions)
		w.expo()
		w.save()
		w.vendor.listFault[run.SessionStream] = fault.Permanent(fault.New(fault.StovaEvent, "unknown", ""))
		w.sync(pipeline.Start{})
		failed := func() int {
			all, err := w.steps.Failed(t.Context(), pipeline.Filter{})
			w.must(err)
			return len(all)
		}
		same(t, "failures", 1, failed())
		same(t, "dead letters", 1, len(w.queue.dead()))
		clear(w.vendor.listFault)
		w.sync(pipeline.Start{})
		same(t, "failures after a success", 0, failed())
		w.redrive(pipeline.Filter{})
		same(t, "dead letters after a success", 0, len(w.queue.dead()))
	})
	t.Run("but none of a page that is failed and not picked", func(t *testing.T) {
		t.Parallel()
		w, _ := partial(t, 0)
		w.redrive(pipeline.Filter{Cause: string(fault.TaskLost)})
		same(t, "dead letters", 2, len(w.queue.dead()))
	})
}

func TestRawPagesGoWhenTheyAreOlderThanTheSettingsKeepThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1).only(run.Users)
	w.expo()
	w.conn.RawRetentionDays = 7
	w.save()
	old := w.sync(pipeline.Start{})
	prefix := "raw/" + w.conn.Name + "/"
	kept := w.keys(prefix + old.Run + "/")
	if len(kept) == 0 {
		t.Fatal("there are no raw pages")
	}
	neighbour := "raw/" + w.conn.Name + "2/" + old.Run + "/attendees/1.json.gz"
	_, err := w.mem.Objects().Put(t.Context(), neighbour, strings.NewReader("x"), pipeline.ObjectInfo{})
	w.must(err)
	w.clock.advance(7*24*time.Hour - time.Hour)
	w.must(w.steps.DropRaw(t.Context(), w.conn))
	same(t, "raw pages that are not old yet", kept, w.keys(prefix+old.Run+"/"))
	newer := w.sync(pipeline.Start{Mode: run.Full})
	w.clock.advance(2 * time.Hour)
	none := w.conn
	none.RawRetentionDays = 0
	w.must(w.steps.DropRaw(t.Context(), none))
	same(t, "raw pages that go with their run", kept, w.keys(prefix+old.Run+"/"))
	w.must(w.steps.DropRaw(t.Context(), w.conn))
	same(t, "old raw pages", nil, w.keys(prefix+old.Run+"/"))
	same(t, "raw pages of the newer run", len(kept), len(w.keys(prefix+newer.Run+"/")))
	same(t, "raw pages of another connection", []string{neighbour}, w.keys("raw/"+w.conn.Name+"2/"))
}
