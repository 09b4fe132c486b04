package pipeline_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// verdicts lists what a redrive said of each page, in its order.
func verdicts(all []pipeline.Redriven) []string {
	var out []string
	for _, r := range all {
		out = append(out, fmt.Sprintf("%s %s: %s", r.Type, r.Page, r.Verdict))
	}
	return out
}

// redrive sends failures again and lets what it sent be done.
func (w *world) redrive(f pipeline.Filter) []pipeline.Redriven {
	w.t.Helper()
	out, err := w.steps.Redrive(w.t.Context(), f, false)
	w.must(err)
	w.drain()
	return out
}

// partial syncs users of whom two pages fail, and mends the vendor.
func partial(t *testing.T, seed uint64) (*world, pipeline.RunView) {
	t.Helper()
	w := newWorld(t, seed).only(run.Users)
	w.expo()
	w.save()
	w.failPage("1006")
	w.failPage("1900")
	v := w.sync(pipeline.Start{})
	same(t, "state", run.Partial, v.State)
	same(t, "pages", pipeline.PagesView{Planned: 4, Done: 2, Failed: 2}, v.Types[run.Users].Pages)
	clear(w.vendor.rowFault)
	return w, v
}

func TestARedriveMendsAPartialRun(t *testing.T) {
	t.Parallel()
	w, v := partial(t, 1)
	same(t, "dead letters", 2, len(w.queue.dead()))
	failures, err := w.steps.Failed(t.Context(), pipeline.Filter{})
	w.must(err)
	same(t, "failures", 2, len(failures))
	same(t, "cause", string(fault.StovaRate), failures[0].Code)

	// One page alone leaves it partial.
	first := pipeline.Filter{Connection: w.conn.Name, Type: run.Users, Run: v.Run, Cause: string(fault.StovaRate)}
	w.vendor.rowFault["1900"] = fault.New(fault.StovaRate, "too many calls", "")
	w.redrive(first)
	tr := w.typeRun(v.Run, run.Users)
	same(t, "state after one page", run.Partial, tr.State)
	same(t, "pages after one page", [3]int{4, 3, 1}, [3]int{tr.Planned, tr.Done, tr.Failed})
	same(t, "dead letters after one page", 1, len(w.queue.dead()))
	same(t, "the cursor", "", w.cursor(run.Users).Run)

	clear(w.vendor.rowFault)
	w.redrive(pipeline.Filter{})
	after, err := w.onlooker().View(t.Context(), v.Run)
	w.must(err)
	same(t, "users", pipeline.TypeView{State: run.Complete, Mode: run.Full, Pages: pipeline.PagesView{Planned: 4, Done: 4},
		Counts: run.Counts{Read: 8, New: 7, Rejected: 1}}, after.Types[run.Users])
	same(t, "dead letters in the end", 0, len(w.queue.dead()))
	same(t, "the cursor in the end", v.Run, w.cursor(run.Users).Run)

	// Twice is harmless.
	writes := w.writes.count()
	same(t, "a redrive of nothing", 0, len(w.redrive(pipeline.Filter{})))
	for _, task := range w.queue.sent {
		if task.Kind == run.PageTask {
			w.must(w.do(task))
		}
	}
	w.drain()
	same(t, "writes of tasks done again", 0, w.writes.count()-writes)
	again, err := w.onlooker().View(t.Context(), v.Run)
	w.must(err)
	same(t, "users after tasks done again", after.Types[run.Users], again.Types[run.Users])
}

func TestADryRedriveSendsAndDeletesNothing(t *testing.T) {
	t.Parallel()
	w, _ := partial(t, 1)
	seq, dead := w.queue.seq, len(w.queue.dead())
	out, err := w.steps.Redrive(t.Context(), pipeline.Filter{}, true)
	w.must(err)
	same(t, "verdicts", 2, len(slices.DeleteFunc(out, func(r pipeline.Redriven) bool { return r.Verdict != pipeline.Sent })))
	same(t, "tasks sent", 0, w.queue.seq-seq)
	same(t, "dead letters", dead, len(w.queue.dead()))
	for name, f := range map[string]pipeline.Filter{
		"another connection": {Connection: "other"}, "another type": {Type: run.Sessions},
		"another cause": {Cause: string(fault.TaskLost)}, "another run": {Run: "20300101T000000Z-abcd"},
	} {
		out, err := w.steps.Redrive(t.Context(), f, true)
		w.must(err)
		same(t, "failures of "+name, 0, len(out))
	}
}

func TestARedriveThatIsCutAnywhereLosesNothing(t *testing.T) {
	t.Parallel()
	plain, v := partial(t, 0)
	plain.reaper.calls = 0
	_, err := plain.steps.Redrive(t.Context(), pipeline.Filter{}, false)
	plain.must(err)
	calls := plain.reaper.calls
	plain.drain()
	view := func(w *world) content {
		v, err := w.onlooker().View(t.Context(), v.Run)
		w.must(err)
		return w.content(v)
	}
	want := view(plain)
	for k := 1; k <= calls; k++ {
		for _, how := range []manner{before, half, after} {
			t.Run(fmt.Sprintf("call %d of %d, manner %d", k, calls, how), func(t *testing.T) {
				t.Parallel()
				w, _ := partial(t, 0)
				w.reaper.calls, w.reaper.at, w.reaper.how = 0, k, how
				w.reaper.deliver(t.Context(), func(ctx context.Context) {
					if _, err := w.steps.Redrive(ctx, pipeline.Filter{}, false); err == nil {
						t.Error("the redrive did not notice its end")
					}
				})
				if !w.reaper.struck {
					t.Fatal("the redrive lived")
				}
				w.drain()
				w.redrive(pipeline.Filter{}) // by the operator who saw the error
				if diff := want.diff(view(w)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestAReRunThatALaterRunHasCoveredSettlesWithoutFetchingOrWriting(t *testing.T) {
	t.Parallel()
	w, v := partial(t, 1)
	w.clock.advance(40 * time.Hour)
	later := w.sync(pipeline.Start{})
	same(t, "mode of the later run", run.Full, later.Mode)
	same(t, "state of the later run", run.Complete, later.State)
	calls, writes := w.vendor.calls(), w.writes.count()
	w.vendor.people["1006"].First = "Not to be read"
	out := w.redrive(pipeline.Filter{Run: v.Run})
	same(t, "verdicts", []string{"users 2: covered", "users 3: covered"}, sortedStrings(verdicts(out)))
	same(t, "detail calls", 0, w.vendor.calls()-calls)
	same(t, "record writes", 0, w.writes.count()-writes)
	same(t, "state of the old run", run.Complete, w.typeRun(v.Run, run.Users).State)
	same(t, "dead letters", 0, len(w.queue.dead()))
	same(t, "the cursor", later.Run, w.cursor(run.Users).Run)
}

func sortedStrings(s []string) []string { return slices.Sorted(slices.Values(s)) }

func TestAReRunOfASupersededRunFetchesAfreshAndLeavesOutWhatIsListedNoMore(t *testing.T) {
	t.Parallel()
	w, v := partial(t, 1)
	w.clock.advance(40 * time.Hour)
	// The later run does not complete either, so nothing is covered.
	delete(w.vendor.people, "1005")
	w.failPage("1001")
	later := w.sync(pipeline.Start{})
	same(t, "state of the later run", run.Partial, later.State)
	clear(w.vendor.rowFault)
	w.vendor.people["1005"] = &person{ID: "1005", First: "Gone", Status: "Confirmed"} // the detail call still knows it
	w.vendor.people["1006"].First = "Fresh"
	out := w.redrive(pipeline.Filter{Run: v.Run})
	same(t, "failures", 2, len(out))
	old := w.typeRun(v.Run, run.Users)
	same(t, "state of the old run", run.Complete, old.State)
	same(t, "failed pages of the old run", 0, old.Failed)
	users := w.records(run.Users)
	same(t, "a row as it is now", any("Fresh"), users["1006"].Fields["fname"])
	if _, ok := users["1005"]; ok {
		t.Error("the re-run brought back a row that the newest plan does not list")
	}
	same(t, "state of the later run", run.Partial, w.typeRun(later.Run, run.Users).State)
}

func TestAReRunOfASupersededRunMayHandOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := slow(t, 8, 0).only(run.Users)
		w.save()
		w.failPage("2005")
		old := w.sync(pipeline.Start{})
		same(t, "state of the old run", run.Partial, old.State)
		later := w.sync(pipeline.Start{})
		same(t, "state of the later run", run.Partial, later.State)
		clear(w.vendor.rowFault)
		w.limit = 3*time.Minute + 40*time.Second // three rows a delivery
		w.redrive(pipeline.Filter{Run: old.Run})
		tr := w.typeRun(old.Run, run.Users)
		same(t, "state after the re-run", run.Complete, tr.State)
		same(t, "pages", [3]int{3, 3, 0}, [3]int{tr.Planned, tr.Done, tr.Failed})
		same(t, "counts", run.Counts{Read: 7, New: 7}, tr.Pages)
	})
}

func TestAFailedTypeRunIsOpenedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.expo()
	w.save()
	w.vendor.listFault[run.SessionStream] = fault.Permanent(fault.New(fault.StovaEvent, "unknown", ""))
	v := w.sync(pipeline.Start{})
	same(t, "state", run.Failed, v.State)
	same(t, "code of sessions", string(fault.StovaEvent), v.Types[run.Sessions].Code)
	same(t, "state of schedule, which waited for it", run.Complete, v.Types[run.Schedule].State)
	same(t, "pending picks", 5, v.Types[run.Schedule].Pending)
	same(t, "dead letters", 1, len(w.queue.dead()))
	clear(w.vendor.listFault)
	out := w.redrive(pipeline.Filter{})
	same(t, "verdicts", []string{"sessions : sent"}, verdicts(out))
	after, err := w.onlooker().View(t.Context(), v.Run)
	w.must(err)
	same(t, "state after the redrive", run.Complete, after.State)
	same(t, "code after the redrive", "", after.Types[run.Sessions].Code)
	same(t, "new sessions", 3, after.Types[run.Sessions].New)
	if after.Ended.IsZero() {
		t.Error("the run has no end")
	}
	same(t, "dead letters after the redrive", 0, len(w.queue.dead()))

	// The type run of a superseded run only a new sync can mend.
	w.vendor.listFault[run.SessionStream] = fault.Permanent(fault.New(fault.StovaEvent, "unknown", ""))
	old := w.sync(pipeline.Start{})
	clear(w.vendor.listFault)
	w.sync(pipeline.Start{Types: []run.DataType{run.Users}})
	seq := w.queue.seq
	out = w.redrive(pipeline.Filter{Run: old.Run})
	same(t, "verdicts", []string{"sessions : superseded"}, verdicts(out))
	same(t, "tasks sent", 0, w.queue.seq-seq)
}

func TestRepairFindsATypeThatWasOpenedAgainInARunThatEnded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0).only(run.Sessions)
	w.expo()
	w.save()
	w.vendor.listFault[run.SessionStream] = fault.Permanent(fault.New(fault.StovaEvent, "unknown", ""))
	v := w.sync(pipeline.Start{})
	clear(w.vendor.listFault)
	// The redrive dies between opening the type and taking back the end of the run.
	items := &dyingItems{Items: w.steps.Ledger.Items, r: w.reaper}
	w.steps.Ledger.Items = items
	w.reaper.deliver(t.Context(), func(ctx context.Context) {
		if _, err := w.steps.Redrive(ctx, pipeline.Filter{}, false); err == nil {
			t.Error("the redrive did not notice its end")
		}
	})
	w.steps.Ledger.Items = items.Items
	same(t, "state of the type", run.Queued, w.typeRun(v.Run, run.Sessions).State)
	w.must(w.steps.Repair(t.Context(), w.conn.Name))
	if end := w.runs()[0].Ended; !end.IsZero() {
		t.Errorf("the run that goes on still ended at %s", end)
	}
	w.clock.advance(2*visibility + time.Minute)
	w.must(w.steps.Repair(t.Context(), w.conn.Name))
	same(t, "state", run.Complete, w.settle(v.Run).State)
}

// dyingItems is a ledger whose caller dies after its first write.
type dyingItems struct {
	pipeline.Items
	r *reaper
}

func (d *dyingItems) Write(ctx context.Context, writes ...pipeline.Write) error {
	err := d.Items.Write(ctx, writes...)
	d.r.mu.Lock()
	defer d.r.mu.Unlock()
	d.r.dead = true
	d.r.kill()
	return err
}

func TestRawPagesThatAreKeptForNoDayGoWithTheirRun(t *testing.T) {
	t.Parallel()
	w, _ := partial(t, 1)
	if len(w.keys("raw/")) == 0 {
		t.Fatal("raw pages are gone although they are to be kept")
	}
	w.conn.RawRetentionDays = 0
	w.save()
	w.failPage("1900")
	w.failPage("1006")
	v := w.sync(pipeline.Start{})
	same(t, "state", run.Partial, v.State)
	same(t, "raw pages of the run", nil, w.keys("raw/"+w.conn.Name+"/"+v.Run+"/"))
	delete(w.vendor.rowFault, "1006")
	w.redrive(pipeline.Filter{Run: v.Run})
	same(t, "failed pages after a re-run", 1, w.typeRun(v.Run, run.Users).Failed)
	same(t, "raw pages after a re-run", nil, w.keys("raw/"+w.conn.Name+"/"+v.Run+"/"))
}
