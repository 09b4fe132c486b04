package pipeline_test

import (
	"flag"
	"fmt"
	"sync"
	"testing"

	"stovasync/shared/pipeline"
)

// stride is how many calls the sweeps leave out between two cuts. 1 cuts every
// call of every port, which takes minutes.
var stride = flag.Int("stride", 97, "cut every n-th call of the ports in the sweeps")

// cut is one way in which a call fails.
type cut struct {
	how   manner
	lives bool
}

var cuts = []cut{{before, false}, {half, false}, {after, false}, {before, true}, {half, true}, {after, true}}

// disturb runs an event twice, the second time after changes, with the k-th
// call of the run'th run cut, and returns what is stored in the end.
func disturb(t *testing.T, seed uint64, in, k int, c cut) (got content, calls int, struck bool) {
	w := newWorld(t, seed)
	w.expo()
	w.save()
	aim := func(n int) {
		w.reaper.calls = 0
		if n == in {
			w.reaper.at, w.reaper.how, w.reaper.lives = k, c.how, c.lives
		}
	}
	aim(1)
	v := w.sync(pipeline.Start{})
	if in == 2 {
		w.change()
		aim(2)
		v = w.sync(pipeline.Start{})
	}
	if w.repairs > 0 {
		t.Errorf("cut at call %d: the deliveries alone did not end the run", k)
	}
	return w.content(v), w.reaper.calls, w.reaper.struck
}

func TestEveryOrderAndEveryCutEndInTheSameStore(t *testing.T) {
	t.Parallel()
	for in, name := range map[int]string{1: "a first run", 2: "a run after changes"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, _, _ := disturb(t, 0, in, 0, cut{})
			for i, c := range cuts {
				seed := uint64(i)
				t.Run(fmt.Sprintf("manner %d, process lives %t, order %d", c.how, c.lives, seed), func(t *testing.T) {
					t.Parallel()
					got, calls, _ := disturb(t, seed, in, 0, cut{})
					if diff := want.diff(got); diff != "" {
						t.Fatalf("undisturbed, in another order (-want +got):\n%s", diff)
					}
					// Each sweep starts elsewhere, so that together they cut more places.
					for k := 1 + i*(*stride)/len(cuts); k <= calls; k += *stride {
						got, _, struck := disturb(t, seed, in, k, c)
						if !struck {
							t.Fatalf("call %d was never made", k)
						}
						if diff := want.diff(got); diff != "" {
							t.Fatalf("cut at call %d (-want +got):\n%s", k, diff)
						}
					}
				})
			}
		})
	}
}

func TestFourWorkersAtOnceEndInTheSameStore(t *testing.T) {
	t.Parallel()
	for in, name := range map[int]string{1: "a first run", 2: "a run after changes"} {
		want, _, _ := disturb(t, 0, in, 0, cut{})
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("%s, order %d", name, seed+1), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, seed+1)
				w.queue.duplicates = 0.5 // the same task at once, too
				w.steps.Fetches, w.steps.Prefixes = 4, 4
				w.expo()
				w.save()
				st := w.start(pipeline.Start{})
				w.together(4)
				v := w.settle(st.Run.ID)
				if in == 2 {
					w.change()
					st = w.start(pipeline.Start{})
					w.together(4)
					v = w.settle(st.Run.ID)
				}
				if diff := want.diff(w.content(v)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
	}
}

// together delivers what is queued by several workers at once.
func (w *world) together(workers int) {
	w.t.Helper()
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for w.deliver() {
			}
		})
	}
	wg.Wait()
}
