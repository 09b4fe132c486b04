package pipeline_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// noTime is what a call ends with that would have to wait past its deadline:
// for the rate budget, or for its next try.
func noTime() error {
	return fault.OutOfTime(fault.New(fault.StovaRate, "the next call must wait past the deadline", ""))
}

func TestARowThatMustWaitPastTheDeadlineIsHandedOn(t *testing.T) {
	t.Parallel()
	t.Run("the page keeps its rows and hands the rest on; nothing is quarantined", func(t *testing.T) {
		t.Parallel()
		w := alone(t, run.Users, 6)
		w.vendor.rowFault["2003"] = noTime()
		st := w.start(pipeline.Start{})
		w.until(func() bool { return w.typeRun(st.Run.ID, run.Users).Done == 1 })
		same(t, "users stored before the rest", []string{"2001", "2002"}, ids(w.records(run.Users)))
		delete(w.vendor.rowFault, "2003")
		v := w.settle(st.Run.ID)
		same(t, "users", pipeline.TypeView{State: run.Complete, Mode: run.Full, Pages: pipeline.PagesView{Planned: 2, Done: 2},
			Counts: run.Counts{Read: 6, New: 6}}, v.Types[run.Users])
		same(t, "rejects", nil, v.Rejects)
		same(t, "retry list", nil, w.retry(run.Users))
		for _, id := range []string{"2001", "2002"} {
			same(t, "detail calls for "+id, 1, w.vendor.rows[id])
		}
		same(t, "dead letters", 0, len(w.queue.dead()))
	})
	t.Run("with no row fetched the task fails and is tried again", func(t *testing.T) {
		t.Parallel()
		w := alone(t, run.Users, 6)
		w.vendor.onRow = func(context.Context, string) {
			w.vendor.rowFault["2001"] = noTime()
			if w.vendor.rows["2001"] == 2 {
				delete(w.vendor.rowFault, "2001")
			}
		}
		v := w.sync(pipeline.Start{})
		same(t, "users", pipeline.TypeView{State: run.Complete, Mode: run.Full, Pages: pipeline.PagesView{Planned: 1, Done: 1},
			Counts: run.Counts{Read: 6, New: 6}}, v.Types[run.Users])
		same(t, "detail calls for the first", 3, w.vendor.rows["2001"])
		same(t, "retry list", nil, w.retry(run.Users))
	})
	t.Run("with no row fetched in any try the page fails with that code", func(t *testing.T) {
		t.Parallel()
		w := alone(t, run.Users, 6)
		w.vendor.rowFault["2001"] = noTime()
		v := w.sync(pipeline.Start{})
		same(t, "pages", pipeline.PagesView{Planned: 1, Failed: 1}, v.Types[run.Users].Pages)
		same(t, "rejects", nil, v.Rejects)
		same(t, "tries", maxReceives, w.vendor.rows["2001"])
		failures, err := w.onlooker().Failed(t.Context(), pipeline.Filter{})
		w.must(err)
		same(t, "code", string(fault.StovaRate), failures[0].Code)
	})
	t.Run("a server's trouble that a wait would have mended quarantines no row", func(t *testing.T) {
		t.Parallel()
		w := alone(t, run.Users, 4)
		w.vendor.rowFault["2004"] = fault.OutOfTime(poison())
		st := w.start(pipeline.Start{})
		w.until(func() bool { return w.typeRun(st.Run.ID, run.Users).Done == 1 })
		delete(w.vendor.rowFault, "2004")
		v := w.settle(st.Run.ID)
		same(t, "counts", run.Counts{Read: 4, New: 4}, v.Types[run.Users].Counts)
		same(t, "rejects", nil, v.Rejects)
	})
}

func TestAPictureThatMustWaitPastTheDeadlineIsHandedOn(t *testing.T) {
	t.Parallel()
	t.Run("the page keeps its pictures and hands the rest on", func(t *testing.T) {
		t.Parallel()
		w := many(t, 5, 0)
		w.vendor.pictures[files+"2.png"] = picture{err: fault.OutOfTime(poison())}
		st := w.start(pipeline.Start{})
		w.until(func() bool { return w.typeRun(st.Run.ID, run.UserPhotos).Done == 1 })
		same(t, "pictures stored before the rest", []string{"1001", "1002"}, ids(w.records(run.UserPhotos)))
		w.vendor.pictures[files+"2.png"] = picture{body: "picture 2"}
		v := w.settle(st.Run.ID)
		same(t, "photos", pipeline.TypeView{State: run.Complete, Mode: run.Full, Pages: pipeline.PagesView{Planned: 2, Done: 2},
			Counts: run.Counts{Read: 5, New: 5}, Spent: pipeline.Spent{PhotoBytes: 45}}, v.Types[run.UserPhotos])
		same(t, "rejects", nil, v.Rejects)
		same(t, "retry list", nil, w.retry(run.UserPhotos))
		same(t, "downloads", 6, w.vendor.downloads())
	})
	t.Run("with no picture fetched in any try the page fails with that code", func(t *testing.T) {
		t.Parallel()
		w := many(t, 5, 0)
		w.vendor.pictures[files+"0.png"] = picture{err: noTime()}
		v := w.sync(pipeline.Start{})
		same(t, "pages", pipeline.PagesView{Planned: 1, Failed: 1}, v.Types[run.UserPhotos].Pages)
		same(t, "rejects", nil, v.Rejects)
		same(t, "tries", maxReceives, w.vendor.downloads())
		failures, err := w.onlooker().Failed(t.Context(), pipeline.Filter{})
		w.must(err)
		same(t, "code", string(fault.StovaRate), failures[0].Code)
	})
}

func TestTheRestOfAReRunPageIsFetchedAfresh(t *testing.T) {
	t.Parallel()
	for typ, what := range map[run.DataType]string{run.Users: "of the leader", run.Sponsors: "of a follower, whose leader's raw page is stored"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := slow(t, 8, 0)
				for i, p := range w.vendor.people {
					if p.Category = "Delegate"; typ == run.Sponsors {
						p.Category, p.Company = "Sponsor", "Stale "+i
					}
				}
				st := w.start(pipeline.Start{})
				w.failOnce(st.Run.ID, typ)
				w.drain()
				same(t, "state", run.Partial, w.typeRun(st.Run.ID, typ).State)
				for _, p := range w.vendor.people {
					p.First, p.Company = "Fresh", "Fresh"
				}
				w.limit = 3*time.Minute + 40*time.Second // three rows a delivery
				w.redrive(pipeline.Filter{})
				tr := w.typeRun(st.Run.ID, typ)
				same(t, "state after the re-run", run.Complete, tr.State)
				same(t, "pages", [3]int{3, 3, 0}, [3]int{tr.Planned, tr.Done, tr.Failed})
				for id, r := range w.records(typ) {
					field := map[run.DataType]string{run.Users: "fname", run.Sponsors: "name"}[typ]
					same(t, "the row of "+id, any("Fresh"), r.Fields[field])
				}
			})
		})
	}
}

// failOnce lets the first page of a type fail after its rows were fetched.
func (w *world) failOnce(id string, typ run.DataType) {
	w.t.Helper()
	broken := &brokenRecords{Records: w.steps.Records, typ: typ}
	w.steps.Records = broken
	w.drainUntilFailed(id, typ)
	w.steps.Records = broken.Records
}

func (w *world) drainUntilFailed(id string, typ run.DataType) {
	w.t.Helper()
	for range 1000 {
		if w.typeRun(id, typ).Failed > 0 {
			return
		}
		if !w.deliver() {
			_, wait, _ := w.queue.receive()
			w.clock.advance(max(wait, time.Millisecond))
		}
	}
	w.t.Fatalf("no page of %s fails", typ)
}

// brokenRecords takes no update of one type.
type brokenRecords struct {
	pipeline.Records
	typ run.DataType
}

func (b *brokenRecords) Update(ctx context.Context, c string, t run.DataType, now time.Time, u []pipeline.RecordUpdate) ([]bool, error) {
	if t == b.typ {
		return nil, fault.Permanent(fault.New(fault.StoreUnavailable, "the records take nothing", ""))
	}
	return b.Records.Update(ctx, c, t, now, slices.Clone(u))
}
