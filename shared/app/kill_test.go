package app_test

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
	"stovasync/shared/stova/stovatest"
)

// requests is how much a twin was asked, pictures included.
func (w *world) requests() int { return len(w.twin.Log()) }

// wholeRun measures a run that nobody disturbs, on a store of its own.
func wholeRun(t *testing.T, o stovatest.Options) int {
	t.Helper()
	w := newWorld(t, o, stovatest.ServerOptions{}, "pageSize: 20\n")
	w.sync(run.Full)
	return w.requests()
}

// A process that is killed at any moment, again and again, leaves a store from
// which the next one goes on: under the same run, to the same records, counts
// and pictures as without kills.
func TestAKilledProcessIsTakenUp(t *testing.T) {
	t.Parallel()
	for name, seed := range map[string]uint64{"one event": 40, "another event": 41} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := stovatest.Options{Seed: seed, Attendees: 60, Sessions: 24, Speakers: 10, Oddities: true}
			all := wholeRun(t, o)
			w := newWorld(t, o, stovatest.ServerOptions{Delay: 3 * time.Millisecond}, "pageSize: 20\n")
			if err := w.app.Close(); err != nil {
				t.Fatal(err)
			}
			r := rand.New(rand.NewPCG(seed, 0))
			kills := 0
			for ; kills < 9; kills++ {
				// A tenth of the run at most, so that later kills hit later parts.
				if !w.killAfter(1+r.IntN(all/10), time.Duration(r.IntN(20))*time.Millisecond) {
					break
				}
			}
			if kills < 8 {
				t.Errorf("the run ended after %d kills, want at least 8", kills)
			}
			last, _ := finishChild[synced](t, order{Sync: w.order()})
			w.open()
			w.checkOneRun(last.View)
		})
	}
}

// checkOneRun holds that there was a single run, and that it ended as an
// undisturbed one.
func (w *world) checkOneRun(v pipeline.RunView) {
	w.t.Helper()
	runs, err := w.app.Steps.Ledger.Runs(w.t.Context(), w.name, 10)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(runs) != 1 || v.State != run.Complete {
		w.t.Errorf("%d runs, the last is %s; want one that is complete", len(runs), v.State)
	}
	want := w.expect()
	w.check(want.store)
	w.checkCounts(v, want.counts)
}

func (w *world) order() *syncOrder {
	w.runs++
	return &syncOrder{Dir: w.dir, Connection: w.name, Nonce: "child", Full: true, Concurrency: 4}
}

// killAfter starts a process that syncs and kills it when it has asked for n
// things and some time more; false when it ended before.
func (w *world) killAfter(n int, more time.Duration) bool {
	w.t.Helper()
	before := w.requests()
	cmd, out := child(w.t, order{Sync: w.order()})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var v synced
		_ = json.NewDecoder(out).Decode(&v) // ends when the process does
	}()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for w.requests() < before+n {
		select {
		case <-ended:
			return false
		case <-deadline:
			w.t.Fatal("the process does not get on")
		case <-tick.C:
		}
	}
	select {
	case <-ended:
		return false
	case <-time.After(more): // the moment of the kill
	}
	if err := cmd.Process.Kill(); err != nil {
		w.t.Fatal(err)
	}
	<-ended
	_ = cmd.Wait() // killed
	return true
}

func TestASecondSyncOfTheSameConnectionIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stovatest.Options{Seed: 50, Attendees: 20, Sessions: 4, Speakers: 2}, stovatest.ServerOptions{}, "")
	// Nothing ends while the test looks: the list of attendees waits.
	w.twin.Fault(stovatest.Fault{Kind: stovatest.Slow, Endpoint: "listAttendees", Delay: 2 * time.Second, Times: 1})
	started := make(chan struct{})
	var first error
	var wg sync.WaitGroup
	wg.Go(func() {
		first = w.app.Sync(t.Context(), pipeline.Start{Connection: w.name, Time: time.Now(), Nonce: "first"}, func(pipeline.Started) { close(started) })
	})
	<-started
	for name, l := range map[string]func() error{
		"in this process": func() error {
			return w.app.Sync(t.Context(), pipeline.Start{Connection: w.name, Time: time.Now(), Nonce: "second"}, func(pipeline.Started) {})
		},
		"in another": func() error {
			cmd, _ := child(t, order{Sync: w.order()})
			return cmd.Wait()
		},
	} {
		err := l()
		if err == nil || name == "in this process" && fault.CodeOf(err) != fault.RunActive {
			t.Errorf("a second sync %s gives %v, want RUN_ACTIVE", name, err)
		}
	}
	wg.Wait()
	if first != nil {
		t.Fatal(first)
	}
	w.check(w.expect().store)
}

func TestTwoProcessesSyncTwoConnectionsOfOneStore(t *testing.T) {
	t.Parallel()
	a := newWorld(t, stovatest.Options{Seed: 51, Attendees: 60, Sessions: 20, Speakers: 6}, stovatest.ServerOptions{}, "pageSize: 10\n")
	b := newWorld(t, stovatest.Options{Seed: 52, Attendees: 60, Sessions: 20, Speakers: 6, EventID: "900100002", Oddities: true}, stovatest.ServerOptions{}, "pageSize: 10\n")
	b.name, b.dir, b.app = "other", a.dir, a.app
	b.connect("pageSize: 10\n")
	views := make([]synced, 2)
	var wg sync.WaitGroup
	for i, w := range []*world{a, b} {
		cmd, out := child(t, order{Sync: w.order()})
		wg.Go(func() {
			if err := json.NewDecoder(out).Decode(&views[i]); err != nil {
				t.Errorf("process %d: %v", i, err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("process %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	for i, w := range []*world{a, b} {
		want := w.expect()
		w.check(want.store)
		w.checkCounts(views[i].View, want.counts)
		if strings.Contains(views[i].View.Run, " ") {
			t.Errorf("run id %q", views[i].View.Run)
		}
	}
}
