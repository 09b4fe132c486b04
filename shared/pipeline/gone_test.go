package pipeline_test

import (
	"testing"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

func TestAConnectionThatIsRemoved(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*testing.T){
		"its failed pages are cleared by a redrive, which sends nothing and keeps their cause": clearGone,
		"the task of a failed page of it is acknowledged and keeps the cause":                  lateGone,
		"the tasks of a run under way end the run, and leave nothing to be cleared":            endGone,
		"put again, its first run covers what had failed":                                      putAgain,
		"its failed types are cleared by a redrive too":                                        clearGoneType,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// drops removes the connection of a world.
func (w *world) drops() {
	w.t.Helper()
	w.must(w.ledger().RemoveConnection(w.t.Context(), w.conn.Name))
}

// failures are what is listed.
func (w *world) failures() []pipeline.Failure {
	w.t.Helper()
	all, err := w.steps.Failed(w.t.Context(), pipeline.Filter{})
	w.must(err)
	return all
}

func (w *world) page(id string, t run.DataType, name string) pipeline.Page {
	w.t.Helper()
	p, ok, err := w.ledger().Page(w.t.Context(), id, t, name)
	w.must(err)
	if !ok {
		w.t.Fatalf("no page %s", name)
	}
	return p
}

func clearGone(t *testing.T) {
	w, v := partial(t, 1)
	w.drops()
	sent := w.queue.seq
	dry, err := w.steps.Redrive(t.Context(), pipeline.Filter{}, true)
	w.must(err)
	same(t, "listed after a dry redrive", 2, len(w.failures()))
	out := w.redrive(pipeline.Filter{})
	same(t, "verdicts", []string{"users 2: removed", "users 3: removed"}, sortedStrings(verdicts(out)))
	same(t, "verdicts of the dry redrive", verdicts(out), verdicts(dry))
	same(t, "tasks sent", 0, w.queue.seq-sent)
	same(t, "listed", 0, len(w.failures()))
	same(t, "dead letters", 0, len(w.queue.dead()))
	p := w.page(v.Run, run.Users, "2")
	same(t, "the page", [2]string{string(run.PageFailed), string(fault.StovaRate)}, [2]string{string(p.State), p.Code})
	same(t, "a second redrive", 0, len(w.redrive(pipeline.Filter{})))
}

func lateGone(t *testing.T) {
	w, v := partial(t, 0)
	w.drops()
	p := w.page(v.Run, run.Users, "2")
	dead := len(w.queue.dead())
	w.must(w.queue.Send(t.Context(), p.Task()))
	w.drain()
	after := w.page(v.Run, run.Users, "2")
	same(t, "cause", [2]string{p.Code, p.Error}, [2]string{after.Code, after.Error})
	same(t, "further dead letters", 0, len(w.queue.dead())-dead)
	same(t, "listed", 1, len(w.failures()))
}

func endGone(t *testing.T) {
	w := newWorld(t, 0)
	w.expo()
	w.save()
	id := w.start(pipeline.Start{}).Run.ID
	for w.typeRun(id, run.Users).Done == 0 {
		w.deliver()
	}
	w.drops()
	v := w.settle(id)
	same(t, "state", run.Failed, v.State)
	same(t, "listed", 0, len(w.failures()))
	same(t, "dead letters", 0, len(w.queue.dead()))
}

func putAgain(t *testing.T) {
	w, v := partial(t, 0)
	w.drops()
	w.save()
	w.clock.advance(time.Hour)
	next := w.sync(pipeline.Start{})
	same(t, "mode of the next run", run.Full, next.Mode)
	out := w.redrive(pipeline.Filter{Run: v.Run})
	same(t, "verdicts", []string{"users 2: covered", "users 3: covered"}, sortedStrings(verdicts(out)))
	same(t, "listed", 0, len(w.failures()))
}

func clearGoneType(t *testing.T) {
	w := newWorld(t, 0).only(run.Users)
	w.expo()
	w.save()
	failLists(w)
	v := w.sync(pipeline.Start{})
	same(t, "state", run.Failed, v.State)
	cause := w.typeRun(v.Run, run.Users).Code
	w.drops()
	out := w.redrive(pipeline.Filter{})
	same(t, "verdicts", []string{"users : removed"}, verdicts(out))
	same(t, "listed", 0, len(w.failures()))
	same(t, "dead letters", 0, len(w.queue.dead()))
	same(t, "cause", cause, w.typeRun(v.Run, run.Users).Code)
}
