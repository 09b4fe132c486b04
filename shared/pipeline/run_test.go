package pipeline_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/pipeline/pipelinetest"
	"stovasync/shared/run"
)

// synced returns a world whose event was synced once.
func synced(t *testing.T, seed uint64) (*world, pipeline.RunView) {
	t.Helper()
	w := newWorld(t, seed)
	w.expo()
	w.save()
	return w, w.sync(pipeline.Start{})
}

// only limits a connection to some types.
func (w *world) only(types ...run.DataType) *world {
	w.conn.DataTypes = types
	return w
}

func TestAnIncrementalRunWithNothingChangedEndsAndWritesNothing(t *testing.T) {
	t.Parallel()
	w, _ := synced(t, 3)
	// The first run leaves a pending pick to try again, and pictures to ask for again.
	w.vendor.people["1003"].Picks = nil
	w.vendor.people["1003"].Modified = w.clock.now()
	w.clock.advance(30 * time.Hour)
	w.sync(pipeline.Start{})
	w.clock.advance(30 * time.Hour)
	w.sync(pipeline.Start{})

	writes, calls := w.writes.count(), w.vendor.calls()
	v := w.sync(pipeline.Start{})
	if v.State != run.Complete || v.Mode != run.Incremental {
		t.Errorf("the run is %s and %s, want complete and incremental", v.State, v.Mode)
	}
	same(t, "record writes", 0, w.writes.count()-writes)
	same(t, "detail calls: the sessions and speakers, which have no filter", len(w.vendor.sessions)+len(w.vendor.speakers), w.vendor.calls()-calls)
	same(t, "repairs", 0, w.repairs)
	// Alone, nobody else's task heals what a planner of no page leaves undone.
	same(t, "state of users alone", run.Complete, w.sync(pipeline.Start{Types: []run.DataType{run.Users}}).State)
	same(t, "repairs of users alone", 0, w.repairs)
	for _, typ := range []run.DataType{run.Users, run.Sponsors, run.SponsorLevels, run.Schedule, run.UserPhotos, run.PresenterPhotos} {
		x := v.Types[typ]
		if x.State != run.Complete || x.Pages.Planned != 0 {
			t.Errorf("%s is %s with %d pages, want complete with none", typ, x.State, x.Pages.Planned)
		}
	}
}

func TestANewMappingReachesUnmodifiedRows(t *testing.T) {
	t.Parallel()
	tests := map[string]func(c *run.Connection){
		"a mapped field":     func(c *run.Connection) { c.Mapping[run.Users]["biography"] = new(`"written by the mapping"`) },
		"a filter":           func(c *run.Connection) { c.Filters = map[run.DataType]string{run.Users: `fname != "Ada1006"`} },
		"the active states":  func(c *run.Connection) { c.ActiveStatuses = []string{"Cancelled"} },
		"the inactive rule":  func(c *run.Connection) { c.InactivePolicy = "hide" },
		"the event's zone":   func(c *run.Connection) { c.Timezone = "Europe/Paris" },
		"the account":        func(c *run.Connection) { c.AccountID = "7701" },
		"the photo endpoint": func(c *run.Connection) { c.PersonPhotoEndpoint += "more/" },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := synced(t, 1)
			w.clock.advance(30 * time.Hour)
			w.sync(pipeline.Start{})
			change(&w.conn)
			w.save()
			v := w.sync(pipeline.Start{})
			want := run.Full
			if name == "the event's zone" {
				want = run.Incremental // the event tells its zone, so the setting decides nothing
			}
			same(t, "mode of users", want, v.Types[run.Users].Mode)
			if want == run.Full {
				same(t, "users read", 8, v.Types[run.Users].Read)
			}
			again := w.sync(pipeline.Start{})
			same(t, "mode of the run after it", run.Incremental, again.Types[run.Users].Mode)
		})
	}
	w, _ := synced(t, 1)
	w.conn.Mapping[run.Users]["biography"] = new(`"written by the mapping"`)
	w.save()
	w.sync(pipeline.Start{})
	for id, r := range w.records(run.Users) {
		same(t, "biography of "+id, any("written by the mapping"), r.Fields["biography"])
	}
}

func TestOneActiveRun(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*testing.T, *world){
		"a second start is refused while a run is under way, and the reason kept": refuseSecond,
		"a skipped full run makes the next run full":                              skipFull,
		"an event older than the newest run is dropped":                           dropOld,
		"a repeated event changes nothing and sends only what is not planned":     repeatEvent,
		"a run whose lease is over is stalled, and its tasks do nothing":          stallOld,
		"a run whose process is gone is taken up under its id by the same start":  takeUp,
	}
	for what, change := range map[string]func(w *world, st *pipeline.Start){
		"types":    func(_ *world, st *pipeline.Start) { st.Types = []run.DataType{run.Users} },
		"mode":     func(_ *world, st *pipeline.Start) { st.Mode = run.Full },
		"settings": func(w *world, _ *pipeline.Start) { w.conn.PageSize = 2; w.save() },
	} {
		tests["a run whose process is gone is stalled by a start with other "+what] = func(t *testing.T, w *world) {
			old := w.start(pipeline.Start{})
			w.queue.letters = nil
			st := pipeline.Start{OwnerGone: true}
			change(w, &st)
			fresh := w.start(st)
			if fresh.Resumed || fresh.Run.ID == old.Run.ID {
				t.Fatalf("the start gave %+v, want a new run", fresh)
			}
			same(t, "state of the old run's users", run.Stalled, w.typeRun(old.Run.ID, run.Users).State)
			same(t, "state of the new run", run.Complete, w.settle(fresh.Run.ID).State)
		}
	}
	for name, check := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 5)
			w.expo()
			w.save()
			check(t, w)
		})
	}
}

func refuseSecond(t *testing.T, w *world) {
	first := w.start(pipeline.Start{})
	err := w.refused(pipeline.Start{Nonce: "other"})
	same(t, "code", fault.RunActive, fault.CodeOf(err))
	active, aerr := w.ledger().Active(t.Context(), w.conn.Name)
	w.must(aerr)
	same(t, "active run", first.Run.ID, active.Run)
	if active.Skipped == nil || !strings.Contains(active.Skipped.Reason, first.Run.ID) {
		t.Errorf("skip = %+v, want the run that was under way as the reason", active.Skipped)
	}
	same(t, "runs", 1, len(w.runs()))
}

func skipFull(t *testing.T, w *world) {
	w.sync(pipeline.Start{})
	second := w.start(pipeline.Start{})
	same(t, "mode of the run under way", run.Incremental, second.Run.Mode)
	if err := w.refused(pipeline.Start{Mode: run.Full}); fault.CodeOf(err) != fault.RunActive {
		t.Fatalf("the full start gave %v, want RUN_ACTIVE", err)
	}
	w.settle(second.Run.ID)
	third := w.sync(pipeline.Start{})
	same(t, "mode of the next run", run.Full, third.Mode)
	same(t, "mode of the run after it", run.Incremental, w.sync(pipeline.Start{}).Mode)
}

func dropOld(t *testing.T, w *world) {
	early := w.clock.now()
	w.sync(pipeline.Start{})
	late := w.start(pipeline.Start{Time: early})
	if late.Skipped == "" || late.Run.ID != "" {
		t.Errorf("the old event gave %+v, want it skipped", late)
	}
	same(t, "runs", 1, len(w.runs()))
}

func repeatEvent(t *testing.T, w *world) {
	at := w.clock.now()
	st := pipeline.Start{Time: at}
	first := w.start(st)
	for range 40 { // far enough for some types to be planned
		w.deliver()
	}
	before := w.queue.seq
	again := w.start(st)
	if !again.Repeated || again.Run.ID != first.Run.ID {
		t.Errorf("the repeated event gave %+v, want the run repeated", again)
	}
	var sent []run.DataType
	for _, task := range w.queue.sent[before:] {
		if task.Kind == run.SyncTask {
			sent = append(sent, task.Type)
		}
	}
	slices.Sort(sent)
	for _, typ := range slices.Compact(sent) {
		if tr := w.typeRun(first.Run.ID, typ); tr.Planning {
			t.Errorf("%s was sent again although it is planned", typ)
		}
	}
	w.settle(first.Run.ID)
	seq, writes := w.queue.seq, w.writes.count()
	w.start(st)
	same(t, "tasks sent by an event of a run that has ended", 0, w.queue.seq-seq)
	same(t, "record writes", 0, w.writes.count()-writes)
	same(t, "runs", 1, len(w.runs()))
}

func stallOld(t *testing.T, w *world) {
	old := w.start(pipeline.Start{})
	for range 10 {
		w.deliver()
	}
	w.clock.advance(6*visibility + time.Minute)
	fresh := w.start(pipeline.Start{})
	if fresh.Run.ID == old.Run.ID || fresh.Skipped != "" {
		t.Fatalf("the start gave %+v, want a new run", fresh)
	}
	before := map[run.DataType]pipeline.TypeRun{}
	for _, typ := range run.AllTypes() {
		before[typ] = w.typeRun(old.Run.ID, typ)
		if !before[typ].State.Ended() {
			t.Errorf("%s of the old run is %s, want it ended", typ, before[typ].State)
		}
	}
	w.settle(fresh.Run.ID)
	w.drain()
	for _, typ := range run.AllTypes() {
		same(t, "old type run of "+string(typ), before[typ], w.typeRun(old.Run.ID, typ))
	}
}

func takeUp(t *testing.T, w *world) {
	old := w.start(pipeline.Start{})
	for range 10 {
		w.deliver()
	}
	w.queue.letters = nil // what was queued went with the process
	again := w.start(pipeline.Start{OwnerGone: true})
	if !again.Resumed || again.Run.ID != old.Run.ID {
		t.Fatalf("the start gave %+v, want the old run resumed", again)
	}
	v := w.settle(old.Run.ID)
	same(t, "state", run.Complete, v.State)
	same(t, "new users", 7, v.Types[run.Users].New)
}

func (w *world) runs() []pipeline.Run {
	w.t.Helper()
	runs, err := w.ledger().Runs(w.t.Context(), w.conn.Name, 0)
	w.must(err)
	return runs
}

func TestFollowersUseTheRawPagesOfTheirLeader(t *testing.T) {
	t.Parallel()
	w, v := synced(t, 7)
	for id, n := range w.vendor.rows {
		if n != 1 {
			t.Errorf("row %s was fetched %d times, want once for all types", id, n)
		}
	}
	for _, typ := range []run.DataType{run.Users, run.Sponsors, run.SponsorLevels, run.Schedule} {
		same(t, "pages of "+string(typ), v.Types[run.Users].Pages, v.Types[typ].Pages)
	}
	same(t, "lists of attendees", 1, len(w.vendor.lists))
}

func TestAnIDThatARawPageLacksIsFetched(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	w.expo()
	w.save()
	st := w.start(pipeline.Start{})
	// The raw pages of users expire before the types that follow read them.
	gone := false
	for w.deliver() {
		if !gone && w.typeRun(st.Run.ID, run.Users).State.Ended() {
			gone = true
			w.must(w.mem.Objects().Delete(t.Context(), w.keys("raw/")...))
		}
	}
	v := w.settle(st.Run.ID)
	same(t, "state", run.Complete, v.State)
	same(t, "sponsors", 3, v.Types[run.Sponsors].New)
	same(t, "sponsor levels", 2, v.Types[run.SponsorLevels].New)
	same(t, "schedule rows", 4, v.Types[run.Schedule].New)
}

func TestALeaderThatCannotListFailsEveryTypeOfItsStream(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"for good":  fault.Permanent(fault.New(fault.StovaAuth, "the account or key was refused", "")),
		"for hours": fault.New(fault.StovaServer, "the vendor answers 503", ""),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 2)
			w.expo()
			w.save()
			w.vendor.listFault[run.Attendees] = err
			v := w.sync(pipeline.Start{})
			for _, typ := range []run.DataType{run.Users, run.Sponsors, run.SponsorLevels, run.Schedule} {
				same(t, "state of "+string(typ), run.Failed, v.Types[typ].State)
				same(t, "code of "+string(typ), string(fault.CodeOf(err)), v.Types[typ].Code)
			}
			same(t, "state of sessions", run.Complete, v.Types[run.Sessions].State)
			same(t, "code of user photos", string(fault.GateUsersFirst), v.Types[run.UserPhotos].Code)

			// Mended and sent again, every type of it completes.
			delete(w.vendor.listFault, run.Attendees)
			_, rerr := w.steps.Redrive(t.Context(), pipeline.Filter{}, false)
			w.must(rerr)
			v = w.settle(v.Run)
			same(t, "state after the redrive", run.Complete, v.State)
			same(t, "schedule rows", 4, v.Types[run.Schedule].New)
			same(t, "dead letters", 0, len(w.queue.dead()))
		})
	}
}

func TestUserPhotosNeedUsersFirst(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		types []run.DataType
		prior func(w *world)
		want  run.State
		code  fault.Code
	}{
		"alone, before any users run":         {[]run.DataType{run.UserPhotos}, func(*world) {}, run.Failed, fault.GateUsersFirst},
		"alone, after a users run":            {[]run.DataType{run.UserPhotos}, func(w *world) { w.sync(pipeline.Start{Types: []run.DataType{run.Users}}) }, run.Complete, ""},
		"with users":                          {[]run.DataType{run.Users, run.UserPhotos}, func(*world) {}, run.Complete, ""},
		"with users that fail and never were": {[]run.DataType{run.Users, run.UserPhotos}, failLists, run.Failed, fault.GateUsersFirst},
		"with users that fail but were": {[]run.DataType{run.Users, run.UserPhotos}, func(w *world) {
			w.sync(pipeline.Start{})
			failLists(w)
		}, run.Complete, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.expo()
			w.save()
			tt.prior(w)
			x := w.sync(pipeline.Start{Types: tt.types}).Types[run.UserPhotos]
			same(t, "state", tt.want, x.State)
			same(t, "code", string(tt.code), x.Code)
		})
	}
}

func TestUserPhotosOutliveAnyPassingFailureOfTheStore(t *testing.T) {
	t.Parallel()
	for k := 1; ; k++ {
		w := newWorld(t, 0)
		w.expo()
		w.save()
		w.sync(pipeline.Start{Types: []run.DataType{run.Users}})
		st := w.start(pipeline.Start{Types: []run.DataType{run.UserPhotos}})
		w.reaper.calls, w.reaper.at, w.reaper.lives = 0, k, true
		w.deliver() // the sync task
		if !w.reaper.struck {
			if k < 10 {
				t.Fatalf("the sync task made only %d calls", k-1)
			}
			return
		}
		if x := w.settle(st.Run.ID).Types[run.UserPhotos]; x.State != run.Complete {
			t.Errorf("user photos are %s with %s after a failure of call %d", x.State, x.Code, k)
		}
	}
}

func failLists(w *world) {
	w.vendor.listFault[run.Attendees] = fault.Permanent(fault.New(fault.StovaAuth, "refused", ""))
}

func TestTheCursor(t *testing.T) {
	t.Parallel()
	t.Run("an incremental plan looks back one day before the last success", func(t *testing.T) {
		t.Parallel()
		w, v := synced(t, 1)
		w.clock.advance(50 * time.Hour)
		w.sync(pipeline.Start{})
		last := w.vendor.lists[len(w.vendor.lists)-1]
		same(t, "modified from", v.Started.Add(-24*time.Hour), last.ModifiedFrom)
	})
	t.Run("a partial run leaves it and keeps the retry list; the next complete run moves it", func(t *testing.T) {
		t.Parallel()
		w, first := synced(t, 1)
		same(t, "retry list of the schedule", []string{"1003"}, w.retry(run.Schedule))
		w.clock.advance(30 * time.Hour)
		w.failPage("1006")
		second := w.sync(pipeline.Start{Mode: run.Full})
		same(t, "state of users", run.Partial, second.Types[run.Users].State)
		same(t, "state of the run", run.Partial, second.State)
		same(t, "run of the cursor", first.Run, w.cursor(run.Users).Run)
		same(t, "retry list of the schedule", []string{"1003"}, w.retry(run.Schedule))
		delete(w.vendor.rowFault, "1006")
		third := w.sync(pipeline.Start{})
		same(t, "run of the cursor", third.Run, w.cursor(run.Users).Run)
		same(t, "modified from", first.Started.Add(-24*time.Hour), w.vendor.lists[len(w.vendor.lists)-1].ModifiedFrom)
	})
	t.Run("the late end of an older run does not move it back", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, 0).only(run.Users)
		w.expo()
		w.save()
		w.failPage("1006")
		old := w.sync(pipeline.Start{})
		delete(w.vendor.rowFault, "1006")
		newer := w.sync(pipeline.Start{})
		before := w.cursor(run.Users)
		_, err := w.steps.Redrive(t.Context(), pipeline.Filter{Run: old.Run}, false)
		w.must(err)
		w.drain()
		same(t, "state of the old run", run.Complete, w.typeRun(old.Run, run.Users).State)
		same(t, "run of the cursor", newer.Run, before.Run)
		same(t, "cursor", before, w.cursor(run.Users))
	})
}

func TestTheLateEndOfAnOlderRunKeepsTheRetryListOfANewerOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0).only(run.Users)
	w.expo()
	w.save()
	w.failPage("1006")
	old := w.sync(pipeline.Start{})
	w.vendor.rowFault["1001"] = poison()
	newer := w.sync(pipeline.Start{})
	same(t, "state of the newer run", run.Partial, newer.State)
	same(t, "retry list of the newer run", []string{"1001"}, w.retry(run.Users))
	delete(w.vendor.rowFault, "1006")
	w.redrive(pipeline.Filter{Run: old.Run})
	same(t, "run of the cursor", old.Run, w.cursor(run.Users).Run)
	same(t, "retry list", []string{"1001"}, w.retry(run.Users))
}

// failPage makes the page that holds a row fail: not for the row's own sake.
func (w *world) failPage(id string) {
	w.vendor.rowFault[id] = fault.New(fault.StovaRate, "too many calls", "")
}

var errPlain = errors.New("a failure without a code")

func TestAFailureThatMayPassIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4)
	w.expo()
	w.save()
	tries := 0
	w.vendor.onRow = func(_ context.Context, id string) {
		if id != "1006" {
			return
		}
		tries++
		w.vendor.rowFault[id] = errPlain
		if tries == maxReceives {
			delete(w.vendor.rowFault, id)
		}
	}
	v := w.sync(pipeline.Start{})
	same(t, "state", run.Complete, v.State)
	same(t, "new users", 7, v.Types[run.Users].New)
}

func TestRunsOfOneSecondAreListedByTheirStart(t *testing.T) {
	t.Parallel()
	ledger := pipeline.Ledger{Items: pipelinetest.NewMemory().Items()}
	second := time.Date(2031, 3, 4, 9, 0, 0, 0, time.UTC)
	for i, id := range []string{"20310304T090000Z-ffffffff", "20310304T090000Z-00000000", "20310304T090000Z-88888888"} {
		doc, err := json.Marshal(pipeline.Run{ID: id, Connection: "gala", Started: second.Add(time.Duration(i) * time.Millisecond)})
		if err != nil {
			t.Fatal(err)
		}
		if err := ledger.Items.Write(t.Context(), pipeline.Write{Key: pipeline.Key{PK: "CONN#gala", SK: "RUN#" + id}, Doc: doc}); err != nil {
			t.Fatal(err)
		}
	}
	runs, err := ledger.Runs(t.Context(), "gala", 2)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range runs {
		got = append(got, r.ID)
	}
	if diff := cmp.Diff([]string{"20310304T090000Z-88888888", "20310304T090000Z-00000000"}, got); diff != "" {
		t.Errorf("Runs (-want +got):\n%s", diff)
	}
}
