package pipeline_test

import (
	"context"
	"errors"
	"iter"
	"sync"
	"testing"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// hiding are dead letters as SQS has them: while a visit holds one, no other
// visit meets it. meanwhile is called when a visit has met its last letter.
type hiding struct {
	*simQueue
	held      map[string]bool
	meanwhile func()
	visits    int
}

func (h *hiding) Dead(ctx context.Context) iter.Seq2[pipeline.DeadLetter, error] {
	return func(yield func(pipeline.DeadLetter, error) bool) {
		h.visits++
		var mine []string
		defer func() {
			for _, receipt := range mine {
				delete(h.held, receipt)
			}
		}()
		for d, err := range h.simQueue.Dead(ctx) {
			if h.held[d.Receipt] {
				continue
			}
			h.held[d.Receipt] = true
			mine = append(mine, d.Receipt)
			if !yield(d, err) {
				return
			}
		}
		if next := h.meanwhile; next != nil {
			h.meanwhile = nil
			next()
		}
	}
}

func TestARedriveWhoseLettersAnotherOneHidesLeavesNoneBehind(t *testing.T) {
	t.Parallel()
	w, v := partial(t, 0)
	h := &hiding{simQueue: w.queue, held: map[string]bool{}}
	w.steps.Dead = h
	h.meanwhile = func() {
		// The first has met every letter and let them be: none was of its failures.
		done := make(chan error, 1)
		paused := make(chan struct{})
		s := *w.onlooker()
		s.Tasks, s.Dead, s.Connector, s.Visibility = w.queue, h, w.steps.Connector, visibility
		s.Pause = func(context.Context, time.Duration) error {
			close(paused)
			return errors.New("the second waits for the first")
		}
		go func() {
			_, err := s.Redrive(t.Context(), pipeline.Filter{Run: v.Run}, false)
			done <- err
		}()
		select {
		case <-paused:
		case <-done:
		}
	}
	out, err := w.steps.Redrive(t.Context(), pipeline.Filter{Cause: "NONE_SUCH"}, false)
	w.must(err)
	same(t, "failures of the first", 0, len(out))
	w.drain()
	same(t, "state", run.Complete, w.typeRun(v.Run, run.Users).State)
	same(t, "dead letters with nothing failed", 0, len(w.queue.dead()))
}

func TestWhatAVisitThatWasCutLeavesIsSweptByTheNext(t *testing.T) {
	t.Parallel()
	w, _ := partial(t, 0)
	// A visit begins and its process dies: its lease stands, and nobody ends it.
	dead := *w.onlooker()
	dead.Tasks, dead.Connector = w.queue, w.steps.Connector
	dead.Dead = &hiding{simQueue: w.queue, held: map[string]bool{}, meanwhile: func() { panic("the process dies") }}
	func() {
		defer func() { _ = recover() }()
		_, _ = dead.Redrive(t.Context(), pipeline.Filter{Cause: "NONE_SUCH"}, false)
	}()
	before := w.clock.now()
	w.redrive(pipeline.Filter{})
	same(t, "dead letters", 0, len(w.queue.dead()))
	if waited := w.clock.now().Sub(before); waited < time.Minute {
		t.Errorf("the lease of a visit that may be under way was waited for %s only", waited)
	}
}

func TestALetterOfAFailureThatCameAnewStays(t *testing.T) {
	t.Parallel()
	w, _ := partial(t, 0)
	w.vendor.rowFault["1900"] = fault.New(fault.StovaRate, "too many calls", "")
	w.redrive(pipeline.Filter{})
	same(t, "dead letters after a page failed anew", 1, len(w.queue.dead()))
	w.redrive(pipeline.Filter{Cause: "NONE_SUCH"})
	same(t, "dead letters after another's sweep", 1, len(w.queue.dead()))
}

// away are dead letters whose first visit ends in an error, after meanwhile.
type away struct {
	*hiding
	err error
}

func (a away) Dead(ctx context.Context) iter.Seq2[pipeline.DeadLetter, error] {
	return func(yield func(pipeline.DeadLetter, error) bool) {
		a.hiding.Dead(ctx)(yield)
		yield(pipeline.DeadLetter{}, a.err)
	}
}

func TestWhoWaitsForAVisitThatFailsVisitsThen(t *testing.T) {
	t.Parallel()
	w, v := partial(t, 0)
	h := &hiding{simQueue: w.queue, held: map[string]bool{}}
	second := *w.onlooker()
	second.Tasks, second.Dead, second.Connector, second.Visibility = w.queue, h, w.steps.Connector, visibility
	waits, failed, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	var once sync.Once
	second.Pause = func(context.Context, time.Duration) error {
		once.Do(func() { close(waits) })
		<-failed
		return nil
	}
	h.meanwhile = func() {
		go func() {
			_, err := second.Redrive(t.Context(), pipeline.Filter{Run: v.Run}, false)
			done <- err
		}()
		<-waits
	}
	w.steps.Dead = away{h, errors.New("the queue is away")}
	if _, err := w.steps.Redrive(t.Context(), pipeline.Filter{Cause: "NONE_SUCH"}, false); err == nil {
		t.Error("the first visit did not fail")
	}
	close(failed)
	w.must(<-done)
	same(t, "dead letters", 0, len(w.queue.dead()))
}
