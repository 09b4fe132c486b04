package emulator_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"stovasync/shared/emulator"
	"stovasync/shared/run"
	"stovasync/shared/stova/stovatest"
)

// faults switches on the twin's faults by their texts.
func (w *world) faults(texts ...string) {
	w.t.Helper()
	for _, text := range texts {
		f, err := stovatest.ParseFault(text)
		if err != nil {
			w.t.Fatal(err)
		}
		w.twin.Fault(f)
	}
}

// worker is a change of the worker function alone.
func worker(change func(*emulator.FunctionConfig)) func(string, *emulator.FunctionConfig) {
	return func(id string, c *emulator.FunctionConfig) {
		if id == "WorkerFunction" {
			change(c)
		}
	}
}

// tasks are the deliveries of the tasks queue whose message names what.
func (w *world) tasks(what string) []emulator.Delivery {
	return slices.DeleteFunc(w.Mapping("WorkerTasks").Deliveries(), func(d emulator.Delivery) bool { return !strings.Contains(d.Body, what) })
}

const pageTask, syncTask = `"kind":"page"`, `"kind":"sync"`

// counts holds how many rows a type run has read: one that is counted twice, or
// not at all, shows here.
func (w *world) counts(id string, t run.DataType, read int) {
	w.t.Helper()
	c := w.view(id).Types[t].Counts
	if c.Read != read || c.New != read {
		w.t.Errorf("%s: %d read and %d new, want %d", t, c.Read, c.New, read)
	}
}

func TestAWSAWorkerKilledInTheMiddleOfAPageLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, users(11, 20))
	w.faults("hang:endpoint=getAttendee,after=6,times=4")
	id := w.start()
	w.await("a page that is half done", func() bool { return w.twin.Calls()["getAttendee"] >= 7 })
	if n := w.Function("WorkerFunction").Kill(); n != 1 {
		t.Errorf("%d processes killed, want the one with the page", n)
	}
	w.complete(id)
	w.counts(id, run.Users, 20)
	w.sameAsEmbedded()
	pages := w.tasks(pageTask)
	if len(pages) != 2 || !pages[0].Failed || pages[0].Done || !pages[1].Done || pages[1].Receives != 2 {
		t.Errorf("deliveries of the page: %+v, want one that failed and one that was done", pages)
	}
	// A killed task comes back half a minute after its function's time limit,
	// not after the queue's half hour.
	if h := pages[0].Hidden; h < 320*time.Second || h > 331*time.Second {
		t.Errorf("the killed task was hidden for %s, want the rest of 300 s and 30 s", h)
	}
}

func TestAWSAWorkerThatSeesItsTimeLimitHandsTheRestOfItsPageOn(t *testing.T) {
	t.Parallel()
	s := users(12, 36)
	// 5 s are kept for the answer and 20 s for storing: four are left for rows,
	// of which four are fetched at once.
	s.stack.Change = worker(func(c *emulator.FunctionConfig) { c.Timeout = 29 * time.Second })
	w := newWorld(t, s)
	w.faults("slow:endpoint=getAttendee,delay=700ms")
	id := w.start()
	v := w.complete(id)
	w.counts(id, run.Users, 36)
	w.sameAsEmbedded()
	if pages := v.Types[run.Users].Pages; pages.Planned < 2 || pages.Done != pages.Planned {
		t.Errorf("pages %+v, want rests of the first, all done", pages)
	}
	// On a busy machine a try may get no row at all and come back later; none is
	// cut short by its limit.
	if rests := w.tasks(`"page":"1.1"`); len(rests) == 0 || !rests[len(rests)-1].Done {
		t.Errorf("deliveries: %+v, want page 1.1, done in the end", w.tasks(pageTask))
	}
	for _, d := range w.tasks("") {
		if d.Failed {
			t.Errorf("a delivery was cut short: %+v", d)
		}
	}
}

func TestAWSAWorkerThatIsStoppedAtItsTimeLimitLosesNothing(t *testing.T) {
	t.Parallel()
	s := users(13, 12)
	s.stack.Change = worker(func(c *emulator.FunctionConfig) { c.Kill = 8 * time.Second })
	w := newWorld(t, s)
	w.faults("hang:endpoint=getAttendee,after=4,times=4")
	id := w.start()
	w.complete(id)
	w.counts(id, run.Users, 12)
	w.sameAsEmbedded()
	// A busy machine may stop it more than once.
	if pages := w.tasks(pageTask); len(pages) < 2 || !pages[0].Failed || !pages[len(pages)-1].Done {
		t.Errorf("deliveries of the page: %+v, want one that was stopped first and one that was done last", pages)
	}
}

// Each delivery sends the tasks that follow it, so one queue at a time is
// doubled: with both, every link of the chain would double the last.
func TestAWSATaskThatIsDeliveredTwiceAtOnceCountsOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mapping, types string
	}{
		"tasks of rows":     {"WorkerTasks", "users"},
		"pages of pictures": {"PhotoTasks", "users, user-photos"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setting{
				event: stovatest.Options{Seed: 14, Attendees: 8, Sessions: -1, Speakers: -1, Sponsors: -1, PhotoShare: 0.5},
				more:  "dataTypes: [" + c.types + "]\n",
			}
			s.stack.Twice = []string{c.mapping}
			w := newWorld(t, s)
			id := w.start()
			v := w.complete(id)
			w.idle()
			w.counts(id, run.Users, 8)
			if p := v.Types[run.UserPhotos]; p.Read != p.New+p.Missing {
				t.Errorf("pictures are counted more than once: %+v", p)
			}
			w.sameAsEmbedded()
		})
	}
}

func TestAWSTheSameScheduleEventTwiceMakesOneRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, users(15, 10))
	id := w.start()
	if again := w.start(); again != id {
		t.Errorf("the event again, at once, made run %s", again)
	}
	w.complete(id)
	stored := records(t, w.steps.Records)
	if again := w.start(); again != id {
		t.Errorf("the event again, after the end, made run %s", again)
	}
	w.idle()
	runs, err := w.steps.Ledger.Runs(t.Context(), "summit", 5)
	if err != nil || len(runs) != 1 {
		t.Errorf("%d runs (%v), want one", len(runs), err)
	}
	w.counts(id, run.Users, 10)
	w.sameAsEmbedded()
	if diff := difference(stored, records(t, w.steps.Records)); diff != "" {
		t.Errorf("the event again changed records:\n%s", diff)
	}
}

func TestAWSEveryTaskMayStartItsOwnProcess(t *testing.T) {
	t.Parallel()
	s := setting{
		event: stovatest.Options{Seed: 16, Attendees: 10, Sessions: -1, Speakers: -1, Sponsors: -1, PhotoShare: 0.5},
		more:  "dataTypes: [users, user-photos]\n",
	}
	s.stack.Change = func(_ string, c *emulator.FunctionConfig) { c.Cold = true }
	w := newWorld(t, s)
	id := w.start()
	w.complete(id)
	w.idle()
	for function, mapping := range map[string]string{"WorkerFunction": "WorkerTasks", "PhotoFunction": "PhotoTasks"} {
		starts, tasks := len(w.Function(function).Starts()), len(w.Mapping(mapping).Deliveries())
		if starts != tasks || tasks == 0 {
			t.Errorf("%s: %d processes for %d tasks", function, starts, tasks)
		}
	}
	w.sameAsEmbedded()
}
