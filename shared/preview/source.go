package preview

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"stovasync/shared/pipeline"
	"stovasync/shared/run"
	"stovasync/shared/stova"
)

// stopwatch measures how long at least one call was under way.
type stopwatch struct {
	now func() time.Time

	mu    sync.Mutex
	open  int
	since time.Time
	total time.Duration
}

// start counts a call until the function it returns is called.
func (w *stopwatch) start() (stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open == 0 {
		w.since = w.now()
	}
	w.open++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.open--; w.open == 0 {
			w.total += w.now().Sub(w.since)
		}
	}
}

func (w *stopwatch) seconds() float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.total.Seconds()
}

// timed is a source whose calls a stopwatch measures, their waits for the
// account's rate included.
type timed struct {
	src   pipeline.Source
	watch *stopwatch
}

func (t timed) event(ctx context.Context) (stova.Event, error) {
	defer t.watch.start()()
	return t.src.Event(ctx)
}

func (t timed) questions(ctx context.Context) ([]stova.Question, error) {
	defer t.watch.start()()
	return t.src.Questions(ctx)
}

func (t timed) tracks(ctx context.Context) ([]stova.Track, error) {
	defer t.watch.start()()
	return t.src.Tracks(ctx)
}

func (t timed) list(ctx context.Context, s run.Stream, most int) (stova.Listing, error) {
	defer t.watch.start()()
	return t.src.List(ctx, s, stova.ListOptions{Max: most})
}

func (t timed) row(ctx context.Context, s run.Stream, id string) (json.RawMessage, error) {
	defer t.watch.start()()
	return t.src.Row(ctx, s, id)
}
