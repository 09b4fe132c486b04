package pipeline_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// active reads the connection's newest run.
func (w *world) active() pipeline.Active {
	w.t.Helper()
	a, err := w.ledger().Active(w.t.Context(), w.conn.Name)
	w.must(err)
	return a
}

func TestAFullRunStaysDue(t *testing.T) {
	t.Parallel()
	tests := map[string]func(t *testing.T, w *world){
		"after a full event that is older than the newest run": func(t *testing.T, w *world) {
			early := w.clock.now()
			w.sync(pipeline.Start{})
			if st := w.start(pipeline.Start{Time: early, Mode: run.Full}); st.Skipped == "" {
				t.Fatalf("the old event gave %+v, want it skipped", st)
			}
			same(t, "full run due", true, w.active().FullDue)
			same(t, "mode of the next run", run.Full, w.sync(pipeline.Start{}).Mode)
			same(t, "full run due after it", false, w.active().FullDue)
			same(t, "mode of the run after it", run.Incremental, w.sync(pipeline.Start{}).Mode)
		},
		"after a full event that finds a run under way": func(t *testing.T, w *world) {
			w.sync(pipeline.Start{})
			second := w.start(pipeline.Start{})
			same(t, "code", fault.RunActive, fault.CodeOf(w.refused(pipeline.Start{Mode: run.Full})))
			same(t, "full run due", true, w.active().FullDue)
			w.settle(second.Run.ID)
			same(t, "mode of the next run", run.Full, w.sync(pipeline.Start{}).Mode)
			same(t, "full run due after it", false, w.active().FullDue)
		},
		"but not after a regular event that finds a run under way which had to be full": func(t *testing.T, w *world) {
			first := w.start(pipeline.Start{})
			same(t, "mode of the first run", run.Full, first.Run.Mode)
			same(t, "code", fault.RunActive, fault.CodeOf(w.refused(pipeline.Start{Nonce: "other"})))
			same(t, "full run due", false, w.active().FullDue)
			w.settle(first.Run.ID)
			same(t, "mode of the next run", run.Incremental, w.sync(pipeline.Start{}).Mode)
		},
		"after a full run of some types": func(t *testing.T, w *world) {
			w.sync(pipeline.Start{})
			second := w.start(pipeline.Start{})
			same(t, "code", fault.RunActive, fault.CodeOf(w.refused(pipeline.Start{Mode: run.Full})))
			w.settle(second.Run.ID)
			same(t, "mode of a run of users", run.Full, w.sync(pipeline.Start{Types: []run.DataType{run.Users}}).Mode)
			same(t, "full run due", true, w.active().FullDue)
			same(t, "mode of the next run", run.Full, w.sync(pipeline.Start{}).Mode)
			same(t, "full run due after it", false, w.active().FullDue)
		},
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

// overtaken lets something happen just before a run is written.
type overtaken struct {
	pipeline.Items
	meanwhile func()
}

func (o *overtaken) Write(ctx context.Context, writes ...pipeline.Write) error {
	makesRun := slices.ContainsFunc(writes, func(w pipeline.Write) bool { return w.Key.SK == "RUN" })
	if makesRun && o.meanwhile != nil {
		meanwhile := o.meanwhile
		o.meanwhile = nil
		meanwhile()
	}
	return o.Items.Write(ctx, writes...)
}

func TestOfTwoStartsAtOnceTheSlowerEndsWithAReason(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		other func(pipeline.Start) pipeline.Start // the faster one
		check func(t *testing.T, w *world, winner string, s pipeline.Started, err error)
	}{
		"another event of the same time is under way": {
			func(st pipeline.Start) pipeline.Start { st.Nonce = "other"; return st },
			func(t *testing.T, w *world, winner string, _ pipeline.Started, err error) {
				same(t, "code", fault.RunActive, fault.CodeOf(err))
				kept(t, w, winner)
			}},
		"a later event makes it outdated": {
			func(st pipeline.Start) pipeline.Start { st.Time = st.Time.Add(time.Minute); return st },
			func(t *testing.T, w *world, winner string, s pipeline.Started, err error) {
				w.must(err)
				if s.Run.ID != "" || !strings.Contains(s.Skipped, winner) {
					t.Errorf("the slower start gave %+v, want it skipped for %s", s, winner)
				}
				kept(t, w, winner)
			}},
		"the same event is repeated": {
			func(st pipeline.Start) pipeline.Start { return st },
			func(t *testing.T, w *world, winner string, s pipeline.Started, err error) {
				w.must(err)
				same(t, "repeated", true, s.Repeated)
				same(t, "run", winner, s.Run.ID)
			}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 0)
			w.expo()
			w.save()
			st := pipeline.Start{Connection: w.conn.Name, Time: w.clock.now()}
			var winner pipeline.Started
			items := &overtaken{Items: w.steps.Ledger.Items}
			items.meanwhile = func() {
				var err error
				winner, err = w.steps.FanOut(t.Context(), tt.other(st))
				w.must(err)
			}
			w.steps.Ledger.Items = items
			s, err := w.steps.FanOut(t.Context(), st)
			tt.check(t, w, winner.Run.ID, s, err)
			same(t, "runs", 1, len(w.runs()))
			same(t, "newest run", winner.Run.ID, w.active().Run)
			same(t, "state", run.Complete, w.settle(winner.Run.ID).State)
		})
	}
}

func TestAFullStartThatAlwaysComesTooLateStaysDue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	w.expo()
	w.save()
	early := w.clock.now()
	first := w.sync(pipeline.Start{})
	items := &overtaken{Items: w.steps.Ledger.Items}
	w.steps.Ledger.Items = items
	old := func() { // an outdated event moves the connection's newest run each time
		_, err := w.steps.FanOut(t.Context(), pipeline.Start{Connection: w.conn.Name, Time: early})
		w.must(err)
	}
	var again func()
	again = func() { old(); items.meanwhile = again }
	items.meanwhile = again
	w.clock.advance(time.Hour)
	same(t, "code", fault.RunActive, fault.CodeOf(w.refused(pipeline.Start{Mode: run.Full})))
	items.meanwhile = nil
	same(t, "runs", 1, len(w.runs()))
	same(t, "newest run", first.Run, w.active().Run)
	same(t, "full run due", true, w.active().FullDue)
	if skip := w.active().Skipped; skip == nil || skip.Mode != run.Full {
		t.Errorf("skip = %+v, want that of the full start", skip)
	}
	same(t, "mode of the next run", run.Full, w.sync(pipeline.Start{}).Mode)
}

// kept checks that the connection keeps why a start was skipped.
func kept(t *testing.T, w *world, winner string) {
	t.Helper()
	skip := w.active().Skipped
	if skip == nil || skip.Run == winner || !strings.Contains(skip.Reason, winner) {
		t.Errorf("skip = %+v, want one for run %s", skip, winner)
	}
}

func TestARunIsTakenUpHoursAfterItsTasksWereResent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	w.expo()
	w.save()
	old := w.start(pipeline.Start{})
	for range 10 {
		w.deliver()
	}
	w.queue.letters = nil
	w.clock.advance(2*visibility + time.Minute)
	w.must(w.steps.Repair(t.Context(), w.conn.Name))
	if len(w.queue.letters) == 0 {
		t.Fatal("the repair resent nothing")
	}
	w.queue.letters = nil // the process is gone, with what it was sent
	w.clock.advance(10 * time.Hour)
	again := w.start(pipeline.Start{OwnerGone: true})
	same(t, "resumed", true, again.Resumed)
	same(t, "run", old.Run.ID, again.Run.ID)
	v := w.settle(old.Run.ID)
	same(t, "state", run.Complete, v.State)
	for typ, x := range v.Types {
		same(t, "code of "+string(typ), "", x.Code)
		same(t, "failed pages of "+string(typ), 0, x.Pages.Failed)
	}
	same(t, "dead letters", 0, len(w.queue.dead()))
}

func TestAMendedRunWhoseFinishWasLostIsFinishedByRepair(t *testing.T) {
	t.Parallel()
	w, v := partial(t, 0)
	_, err := w.steps.Redrive(t.Context(), pipeline.Filter{}, false)
	w.must(err)
	w.until(func() bool { return w.typeRun(v.Run, run.Users).Failed == 0 })
	w.queue.letters = nil // the finish task with them
	same(t, "state", run.Partial, w.typeRun(v.Run, run.Users).State)
	same(t, "the cursor", "", w.cursor(run.Users).Run)
	w.must(w.steps.Repair(t.Context(), w.conn.Name))
	w.drain()
	same(t, "state after the repair", run.Complete, w.typeRun(v.Run, run.Users).State)
	same(t, "the cursor after the repair", v.Run, w.cursor(run.Users).Run)
}

func TestTheReportOfTheDeliveryThatSettledCounts(t *testing.T) {
	t.Parallel()
	w := alone(t, run.Users, 6)
	st := w.start(pipeline.Start{})
	w.until(func() bool { return w.typeRun(st.Run.ID, run.Users).Planning })
	page := w.task(run.PageTask, st.Run.ID, run.Users, "1")
	entered := false
	w.vendor.onRow = func(context.Context, string) {
		if entered {
			return
		}
		entered = true // a second delivery overtakes the first at its first row
		w.vendor.rowFault["2002"] = poison()
		w.must(w.do(page))
		clear(w.vendor.rowFault)
		w.vendor.rowFault["2005"] = poison()
	}
	w.must(w.do(page))
	v := w.settle(st.Run.ID)
	var rejected []string
	for _, r := range v.Rejects {
		rejected = append(rejected, r.ID)
	}
	same(t, "rejects", []string{"2002"}, rejected)
	same(t, "counts", run.Counts{Read: 6, New: 5, Rejected: 1}, v.Types[run.Users].Counts)
	same(t, "retry list", []string{"2002"}, w.retry(run.Users))
}

// A changed mapping has all types read in full, but that is known of a type only
// when it is planned.
func TestARunIsCalledFullWhenAllItsTypesAre(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	w.expo()
	w.save()
	w.sync(pipeline.Start{})
	w.conn.Mapping[run.Sessions]["description"] = new(`"written by the mapping"`)
	w.save()
	id := w.start(pipeline.Start{}).Run.ID
	looked := 0
	for w.deliver() {
		v, err := w.steps.View(t.Context(), id)
		w.must(err)
		for _, tv := range v.Types {
			if tv.Mode == "" {
				looked++
				same(t, "mode while a type is not planned", run.Incremental, v.Mode)
				break
			}
		}
	}
	if looked == 0 {
		t.Error("all types were planned at once")
	}
	same(t, "mode in the end", run.Full, w.settle(id).Mode)
}
