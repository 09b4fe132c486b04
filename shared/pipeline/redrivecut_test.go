package pipeline_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// broken is a connection with failures of every kind that a redrive can mend: a
// page that a later run has covered, pages of the newest run, and a type of it
// that could not be listed. The vendor is well again.
func broken(t *testing.T) (w *world, newest string) {
	t.Helper()
	w = newWorld(t, 0).only(run.Users, run.Sessions)
	w.expo()
	w.save()
	w.failPage("1900")
	w.sync(pipeline.Start{})
	w.vendor.rowFault = map[string]error{}
	w.clock.advance(40 * time.Hour)
	w.sync(pipeline.Start{Mode: run.Full})
	w.failPage("1006")
	w.vendor.listFault[run.SessionStream] = fault.Permanent(fault.New(fault.StovaEvent, "unknown", ""))
	v := w.sync(pipeline.Start{Mode: run.Full})
	clear(w.vendor.rowFault)
	clear(w.vendor.listFault)
	same(t, "dead letters", 3, len(w.queue.dead()))
	return w, v.Run
}

// removed is a connection that was removed while it had failures.
func removed(t *testing.T) (w *world, newest string) {
	t.Helper()
	w, newest = broken(t)
	w.must(w.ledger().RemoveConnection(t.Context(), w.conn.Name))
	return w, newest
}

// nothingLeft checks that no failure is left, nor a dead letter of one.
func (w *world) nothingLeft(t *testing.T) {
	t.Helper()
	left, err := w.onlooker().Failed(t.Context(), pipeline.Filter{})
	w.must(err)
	same(t, "failures in the end", 0, len(left))
	same(t, "dead letters in the end", 0, len(w.queue.dead()))
}

// ended is what a redrive has made of a world.
func (w *world) ended(t *testing.T, newest string) content {
	t.Helper()
	v, err := w.onlooker().View(t.Context(), newest)
	w.must(err)
	return w.content(v)
}

// ending is how a call is cut: before it happens or after, and whether its process
// lives on. To die before a call is to die after the one before it; halves of
// batches are cut by another test.
type ending struct {
	how   manner
	lives bool
}

func endings() []ending { return []ending{{after, false}, {after, true}} }

// Every call of every port that a redrive makes, its visit of the dead letters
// included, is cut: its process dies after the call, or lives and sees
// an error. The redrive that follows brings all of it
// to the end that one redrive would have brought.
func TestARedriveOfEveryKindOfFailureThatIsCutAnywhereLosesNothing(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(*testing.T) (*world, string){"failures": broken, "a removed connection": removed} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calls, want := uncut(t, make)
			for k := 1; k <= calls; k++ {
				for _, cut := range endings() {
					w, newest := make(t)
					w.reaper.calls, w.reaper.at, w.reaper.how, w.reaper.lives, w.reaper.struck = 0, k, cut.how, cut.lives, false
					var err error
					w.reaper.deliver(t.Context(), func(ctx context.Context) { _, err = w.steps.Redrive(ctx, pipeline.Filter{}, false) })
					about := fmt.Sprintf("call %d of %d, %+v", k, calls, cut)
					if !w.reaper.struck || err == nil {
						t.Fatalf("%s: struck is %v, the redrive says %v", about, w.reaper.struck, err)
					}
					w.drain()
					w.redrive(pipeline.Filter{}) // by the operator who saw the error
					if diff := want.diff(w.ended(t, newest)); diff != "" {
						t.Fatalf("%s (-want +got):\n%s", about, diff)
					}
					w.nothingLeft(t)
					if t.Failed() {
						t.Fatal(about)
					}
				}
			}
		})
	}
}

// uncut redrives a world of which nothing fails: the calls that takes, and
// what comes of it.
func uncut(t *testing.T, make func(*testing.T) (*world, string)) (int, content) {
	t.Helper()
	w, newest := make(t)
	w.reaper.calls = 0
	_, err := w.steps.Redrive(t.Context(), pipeline.Filter{}, false)
	w.must(err)
	calls := w.reaper.calls
	w.drain()
	w.nothingLeft(t)
	return calls, w.ended(t, newest)
}

// Another process redrives the same failures, from beginning to end, at every
// point of a redrive; and a third does after both.
func TestTwoRedrivesAtOnceDoWhatOneDoes(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(*testing.T) (*world, string){"failures": broken, "a removed connection": removed} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calls, want := uncut(t, make)
			for k := 1; k <= calls; k++ {
				w, newest := make(t)
				other := *w.onlooker()
				other.Tasks, other.Dead, other.Connector, other.Visibility, other.Pause = w.queue, w.queue, w.steps.Connector, visibility, w.steps.Pause
				w.reaper.calls, w.reaper.at, w.reaper.struck = 0, k, false
				var first, second error
				w.reaper.instead = func() { _, second = other.Redrive(t.Context(), pipeline.Filter{}, false) }
				_, first = w.steps.Redrive(t.Context(), pipeline.Filter{}, false)
				if !w.reaper.struck || first != nil || second != nil {
					t.Fatalf("at call %d of %d: %v, %v", k, calls, first, second)
				}
				w.drain()
				if diff := want.diff(w.ended(t, newest)); diff != "" {
					t.Fatalf("at call %d of %d (-want +got):\n%s", k, calls, diff)
				}
				same(t, "what a third finds", 0, len(w.redrive(pipeline.Filter{})))
				w.nothingLeft(t)
				if t.Failed() {
					t.Fatalf("at call %d of %d", k, calls)
				}
			}
		})
	}
}

// What a dry redrive shows is what the redrive then does.
func TestADryRedriveShowsWhatTheRedriveDoes(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(*testing.T) (*world, string){"failures": broken, "a removed connection": removed} {
		_, newest := make(t)
		for _, f := range []pipeline.Filter{
			{}, {Type: run.Users}, {Cause: string(fault.StovaEvent)}, {Cause: string(fault.StovaRate), Type: run.Users},
			{Run: newest}, {Run: newest, Type: run.Users, Page: "2"}, {Connection: "other"},
		} {
			t.Run(fmt.Sprintf("%s, %+v", name, f), func(t *testing.T) {
				t.Parallel()
				w, _ := make(t)
				dry, err := w.steps.Redrive(t.Context(), f, true)
				w.must(err)
				before := w.queue.seq
				done, err := w.steps.Redrive(t.Context(), f, false)
				w.must(err)
				same(t, "verdicts", dry, done)
				var sent, said []run.Task
				sent = append(sent, w.queue.sent[before:]...)
				for _, r := range dry {
					if r.WasSent() {
						said = append(said, r.Task())
					}
				}
				same(t, "tasks", said, sent)
			})
		}
	}
}
