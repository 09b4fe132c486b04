package pipeline_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// until delivers until done holds, and fails when the queues are empty before.
func (w *world) until(done func() bool) {
	w.t.Helper()
	for !done() {
		if !w.deliver() {
			w.t.Fatal("nothing left to deliver")
		}
	}
}

// do hands a task to the steps outside of the queues.
func (w *world) do(t run.Task) error { return w.steps.Do(w.t.Context(), t) }

func (w *world) task(kind run.Kind, id string, typ run.DataType, page string) run.Task {
	return run.Task{Kind: kind, Connection: w.conn.Name, Run: id, Type: typ, Page: page}
}

func TestAPlannerThatDiesWhileRegisteringEndsInTheSameStore(t *testing.T) {
	t.Parallel()
	// 60 pages: two batches are registered.
	crowd := func(t *testing.T) *world {
		w := newWorld(t, 0).only(run.Users)
		w.conn.PageSize = 1
		w.save()
		for i := range 60 {
			id := strconv.Itoa(2001 + i)
			w.vendor.people[id] = &person{ID: id, First: "Ada", Status: "Confirmed", Modified: w.clock.now()}
		}
		return w
	}
	plain := crowd(t)
	st := plain.start(pipeline.Start{})
	plain.reaper.calls = 0
	plain.deliver() // the planner
	calls := plain.reaper.calls
	want := plain.content(plain.settle(st.Run.ID))
	same(t, "pages", 60, want.Types[run.Users].Pages.Done)
	for k := 1; k <= calls; k++ {
		t.Run(fmt.Sprintf("at call %d of %d", k, calls), func(t *testing.T) {
			t.Parallel()
			w := crowd(t)
			st := w.start(pipeline.Start{})
			w.reaper.calls, w.reaper.at, w.reaper.how = 0, k, manner(k%3)
			w.deliver()
			if !w.reaper.struck {
				t.Fatal("the planner lived")
			}
			if diff := want.diff(w.content(w.settle(st.Run.ID))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// opening is a ledger in which the gate of a type opens at the moment at which
// that type writes that it waits.
type opening struct {
	pipeline.Items
	open func()
}

func (o *opening) Write(ctx context.Context, writes ...pipeline.Write) error {
	for _, w := range writes {
		if open := o.open; open != nil && strings.Contains(string(w.Doc), `"state":"waiting"`) {
			o.open = nil
			open()
		}
	}
	return o.Items.Write(ctx, writes...)
}

func TestAGateThatOpensWhileItsTypeWritesWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0).only(run.Presenters, run.PresenterPhotos)
	w.expo()
	w.save()
	st := w.start(pipeline.Start{})
	waits := w.task(run.SyncTask, st.Run.ID, run.PresenterPhotos, "")
	opened := false
	items := &opening{Items: w.mem.Items(), open: func() {
		// Everything that presenters do happens now, the waking of whom they find
		// waiting included; nobody is yet.
		for range 20 {
			for _, l := range w.queue.letters {
				if strings.Contains(l.body, `"presenter-photos"`) {
					l.dead = true // its own tasks are lost: only its second look can help
				}
			}
			w.deliver()
		}
		opened = w.typeRun(st.Run.ID, run.Presenters).State == run.Complete
	}}
	w.steps.Ledger.Items = items
	w.must(w.do(waits))
	if !opened {
		t.Fatal("the gate did not open while the type wrote that it waits")
	}
	if tr := w.typeRun(st.Run.ID, run.PresenterPhotos); !tr.Planning {
		t.Fatalf("the type is %s and not planned although its gate is open", tr.State)
	}
	same(t, "state", run.Complete, w.settle(st.Run.ID).State)
}

func TestADeathBetweenAnyTwoCallsOfFinish(t *testing.T) {
	t.Parallel()
	// Each with somebody who waits for it.
	for typ, waits := range map[run.DataType][]run.DataType{
		run.Users: {run.UserPhotos, run.Sponsors}, run.Sessions: {run.Schedule}, run.SponsorLevels: {run.Sponsors},
	} {
		t.Run(string(typ), func(t *testing.T) {
			t.Parallel()
			// The finish task of the type has just been sent.
			ready := func(t *testing.T) (*world, string) {
				w := newWorld(t, 0).only(append([]run.DataType{typ}, waits...)...)
				w.expo()
				w.save()
				st := w.start(pipeline.Start{})
				w.until(func() bool {
					tr := w.typeRun(st.Run.ID, typ)
					return tr.Planning && tr.Done == tr.Planned
				})
				return w, st.Run.ID
			}
			w, id := ready(t)
			finish := w.task(run.FinishTask, id, typ, "")
			w.reaper.calls = 0
			w.must(w.do(finish))
			calls := w.reaper.calls
			same(t, "state", run.Complete, w.typeRun(id, typ).State)
			want := w.content(w.settle(id))
			for k := 1; k <= calls; k++ {
				for _, how := range []manner{before, half} { // after one is before the next
					t.Run(fmt.Sprintf("call %d of %d, manner %d", k, calls, how), func(t *testing.T) {
						t.Parallel()
						w, id := ready(t)
						w.reaper.calls, w.reaper.at, w.reaper.how = 0, k, how
						died := w.reaper.deliver(t.Context(), func(ctx context.Context) {
							if err := w.steps.Do(ctx, w.task(run.FinishTask, id, typ, "")); err == nil {
								t.Error("the finish did not notice its end")
							}
						})
						if !died {
							t.Fatal("the finish lived")
						}
						if diff := want.diff(w.content(w.settle(id))); diff != "" {
							t.Errorf("(-want +got):\n%s", diff)
						}
						same(t, "repairs", 0, w.repairs)
					})
				}
			}
		})
	}
}

func TestADeathOnTheLastReceive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0).only(run.Users)
	w.expo()
	w.save()
	// Whoever fetches this row dies, without a word, as often as it is delivered.
	w.vendor.onRow = func(_ context.Context, id string) {
		if id == "1006" {
			w.reaper.mu.Lock()
			defer w.reaper.mu.Unlock()
			w.reaper.dead = true
			w.reaper.kill()
		}
	}
	st := w.start(pipeline.Start{})
	w.drain()
	dead := w.queue.dead()
	same(t, "dead letters", 1, len(dead))
	same(t, "receives", maxReceives, dead[0].receives)
	stuck, err := run.DecodeTask([]byte(dead[0].body))
	w.must(err)
	page := func() pipeline.Page {
		p, _, err := w.ledger().Page(t.Context(), st.Run.ID, run.Users, stuck.Page)
		w.must(err)
		return p
	}
	same(t, "page after the last receive", run.PageQueued, page().State)

	// Five receives took more than two visibility periods in which no page was
	// settled: the first repair sends the page once more, and only once.
	repair := func() { w.must(w.steps.Repair(t.Context(), w.conn.Name)) }
	seq := w.queue.seq
	repair()
	repair()
	same(t, "sync tasks sent again", []run.Task{w.task(run.SyncTask, st.Run.ID, run.Users, "")}, w.queue.sent[seq:])
	w.deliver() // it sends the page's task
	same(t, "tasks sent by it", stuck, w.queue.sent[len(w.queue.sent)-1])
	w.queue.letters = nil // which is lost as well

	w.clock.advance(2*visibility - time.Minute)
	repair()
	same(t, "page before two more periods", run.PageQueued, page().State)
	w.clock.advance(2 * time.Minute)
	repair()
	same(t, "page after two more periods", run.PageFailed, page().State)
	same(t, "its code", string(fault.TaskLost), page().Code)
	v := w.settle(st.Run.ID)
	same(t, "state", run.Partial, v.State)
	same(t, "pages", pipeline.PagesView{Planned: 4, Done: 3, Failed: 1}, v.Types[run.Users].Pages)

	w.vendor.onRow = nil
	_, err = w.steps.Redrive(t.Context(), pipeline.Filter{Cause: string(fault.TaskLost)}, false)
	w.must(err)
	v = w.settle(st.Run.ID)
	same(t, "state after the redrive", run.Complete, v.State)
	same(t, "new users", 7, v.Types[run.Users].New)
}

// The longest back-off grows with retryBaseSeconds: a page that honestly waits
// for its next try is not lost.
func TestALongBackOffIsNoLostTask(t *testing.T) {
	w := newWorld(t, 0).only(run.Users)
	w.expo()
	w.conn.RetryBaseSeconds = 8 // back-offs of up to two hours
	w.save()
	st := w.start(pipeline.Start{})
	w.deliver()           // the plan
	w.queue.letters = nil // its pages wait for ever
	state := func() run.PageState {
		pages, err := w.ledger().Pages(t.Context(), st.Run.ID, run.Users)
		w.must(err)
		return pages[0].State
	}
	repair := func(after time.Duration) {
		w.clock.advance(after)
		w.must(w.steps.Repair(t.Context(), w.conn.Name))
	}
	repair(8*visibility - time.Minute)
	same(t, "tasks sent again before four times as long", 0, resent(w, st.Run.ID))
	repair(2 * time.Minute)
	same(t, "tasks sent again after it", 1, resent(w, st.Run.ID))
	repair(8*visibility - time.Minute)
	same(t, "page before as long again", run.PageQueued, state())
	_, _, leased, err := w.steps.Underway(t.Context(), w.conn.Name)
	w.must(err)
	same(t, "whether its lease holds until then", true, leased)
	repair(2 * time.Minute)
	same(t, "page after it", run.PageFailed, state())
}

// resent counts the type runs of a run whose tasks were sent again.
func resent(w *world, id string) (n int) {
	all, err := w.ledger().TypeRuns(w.t.Context(), id)
	w.must(err)
	for _, tr := range all {
		if !tr.Resent.IsZero() {
			n++
		}
	}
	return n
}

// slow makes a world in a bubble of moved time whose detail calls take a
// minute each and whose deliveries end after limit.
func slow(t *testing.T, rows int, limit time.Duration) *world {
	w := newWorld(t, 0).only(run.Users, run.Sponsors)
	w.clock.real = true
	w.conn.PageSize = rows
	w.save()
	for i := range rows {
		id := strconv.Itoa(2001 + i)
		w.vendor.people[id] = &person{ID: id, First: "Ada", Status: "Confirmed", Category: "Delegate", Modified: w.clock.now()}
	}
	w.vendor.people["2002"].Category = "Sponsor"
	w.vendor.onRow = func(ctx context.Context, _ string) {
		select {
		case <-ctx.Done():
		case <-time.After(time.Minute):
		}
	}
	w.limit = limit
	return w
}

func TestAWorkerNearItsLimitHandsTheRestOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := slow(t, 8, 3*time.Minute+40*time.Second) // three rows a delivery
		v := w.sync(pipeline.Start{})
		same(t, "state", run.Complete, v.State)
		same(t, "pages of users", pipeline.PagesView{Planned: 3, Done: 3}, v.Types[run.Users].Pages)
		same(t, "new users", 7, v.Types[run.Users].New)
		same(t, "pages of sponsors, which read the raw pages of the rests", pipeline.PagesView{Planned: 1, Done: 1}, v.Types[run.Sponsors].Pages)
		same(t, "new sponsors", 1, v.Types[run.Sponsors].New)
		for id, n := range w.vendor.rows {
			same(t, "detail calls for "+id, 1, n)
		}
	})
}

func TestAHandOnThatIsCutAtAnyOfItsSteps(t *testing.T) {
	t.Parallel()
	const limit = 3*time.Minute + 40*time.Second
	var calls int
	synctest.Test(t, func(t *testing.T) {
		w := slow(t, 8, limit)
		w.start(pipeline.Start{})
		w.deliver() // the planner
		w.deliver() // sponsors wait
		w.reaper.calls = 0
		w.deliver() // the page
		calls = w.reaper.calls
	})
	if calls < 8 {
		t.Fatalf("the page made %d calls", calls)
	}
	for k := 1; k <= calls; k++ {
		for _, how := range []manner{before, after} {
			t.Run(fmt.Sprintf("call %d of %d, manner %d", k, calls, how), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := slow(t, 8, limit)
					st := w.start(pipeline.Start{})
					w.deliver()
					w.deliver()
					w.reaper.calls, w.reaper.at, w.reaper.how = 0, k, how
					w.deliver()
					if !w.reaper.struck {
						t.Fatal("the hand-on lived")
					}
					v := w.settle(st.Run.ID)
					same(t, "state", run.Complete, v.State)
					same(t, "new users", 7, v.Types[run.Users].New)
					same(t, "users read", 7, v.Types[run.Users].Read)
					same(t, "new sponsors", 1, v.Types[run.Sponsors].New)
				})
			})
		}
	}
}

func TestEveryDeliveryOfAHandedOnPageSendsItsRestWhileThatIsQueued(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := slow(t, 8, 3*time.Minute+40*time.Second)
		st := w.start(pipeline.Start{})
		w.deliver()
		w.deliver()
		w.deliver() // hands on
		rest := w.task(run.PageTask, st.Run.ID, run.Users, "1.1")
		sentAgain := func() []run.Task {
			seq := w.queue.seq
			w.must(w.do(w.task(run.PageTask, st.Run.ID, run.Users, "1")))
			return w.queue.sent[seq:]
		}
		same(t, "sent while the rest is queued", []run.Task{rest}, sentAgain())
		w.limit = 0
		w.must(w.do(rest))
		for _, task := range sentAgain() {
			if task.Kind == run.PageTask {
				t.Errorf("page %s was sent although it is settled", task.Page)
			}
		}
		same(t, "state", run.Complete, w.settle(st.Run.ID).State)
	})
}

func TestTwoDeliveriesOfAPageThatHandOnDifferentRestsLoseNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := slow(t, 8, 0)
		st := w.start(pipeline.Start{})
		w.deliver()
		w.deliver()
		page := w.task(run.PageTask, st.Run.ID, run.Users, "1")
		one := func(limit time.Duration) (done chan error) {
			done = make(chan error, 1)
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				done <- w.steps.Do(ctx, page)
			}()
			return done
		}
		// The first has five rows left; the second gets further, ends later and
		// leaves another rest under the same name.
		first, second := one(3*time.Minute+40*time.Second), one(5*time.Minute+40*time.Second)
		w.must(<-first)
		w.must(<-second)
		v := w.settle(st.Run.ID)
		same(t, "state", run.Complete, v.State)
		same(t, "users read", 7, v.Types[run.Users].Read)
		same(t, "users stored", 7, len(w.records(run.Users)))
	})
}

func TestAPageIsHandedOnFiftyTimesAtMost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := slow(t, 60, time.Minute+40*time.Second) // one row a delivery
		v := w.sync(pipeline.Start{})
		same(t, "state of users", run.Partial, v.Types[run.Users].State)
		same(t, "pages", pipeline.PagesView{Planned: 51, Done: 50, Failed: 1}, v.Types[run.Users].Pages)
		failures, err := w.onlooker().Failed(t.Context(), pipeline.Filter{})
		w.must(err)
		same(t, "failed page", "1.50", failures[0].Page)
		same(t, "its code", string(fault.StovaTimeout), failures[0].Code)
		same(t, "dead letters", 1, len(w.queue.dead()))
	})
}

func TestAPageOfWhichNothingFitsIntoTheTimeFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := slow(t, 8, 50*time.Second)
		v := w.sync(pipeline.Start{})
		same(t, "pages", pipeline.PagesView{Planned: 1, Failed: 1}, v.Types[run.Users].Pages)
		failures, err := w.onlooker().Failed(t.Context(), pipeline.Filter{Type: run.Users})
		w.must(err)
		same(t, "its code", string(fault.StovaTimeout), failures[0].Code)
	})
}
