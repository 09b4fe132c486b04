package pipeline_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"sync"
	"time"

	"stovasync/shared/photo"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
	"stovasync/shared/stova"
)

// manner says what becomes of the call that fails.
type manner int

const (
	before manner = iota // the call does not happen
	half                 // half of a batch happens
	after                // the call happens, but its caller never learns it
)

// reaper counts the calls of every port and makes one of them fail. After a
// death every further call of the same delivery fails too; a mere failure
// leaves its process alive.
type reaper struct {
	mu     sync.Mutex
	calls  int
	at     int // the call that fails, counted from 1; 0: none
	how    manner
	lives  bool // the process lives on
	dead   bool
	struck bool   // the failure has happened
	kill   func() // ends the context of the delivery under way
	// instead, when set, is done at that call in place of a failure; the call
	// follows it.
	instead func()
}

var errReaped = errors.New("the call was cut")

// begin counts a call and says what becomes of it.
func (r *reaper) begin() (happens, fails bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dead {
		return false, true
	}
	r.calls++
	if r.calls != r.at {
		return true, false
	}
	r.struck = true
	if do := r.instead; do != nil {
		r.instead = nil
		r.mu.Unlock()
		do()
		r.mu.Lock()
		return true, false
	}
	if !r.lives {
		r.dead = true
		r.kill()
	}
	return r.how == after, true
}

// deliver arms the reaper for a delivery and reports afterwards whether it died.
func (r *reaper) deliver(ctx context.Context, do func(ctx context.Context)) (died bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.mu.Lock()
	r.dead, r.kill = false, cancel
	r.mu.Unlock()
	do(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	died, r.dead = r.dead, false
	return died
}

// call makes one call of a port. What happens although its caller dies happens
// whole, so it gets a context of its own.
func call[T any](ctx context.Context, r *reaper, do func(context.Context) (T, error)) (T, error) {
	happens, fails := r.begin()
	var out T
	var err error
	if happens {
		if fails {
			ctx = context.WithoutCancel(ctx)
		}
		out, err = do(ctx)
	}
	if fails {
		var zero T
		return zero, errReaped
	}
	return out, err
}

func callErr(ctx context.Context, r *reaper, do func(context.Context) error) error {
	_, err := call(ctx, r, func(ctx context.Context) (struct{}, error) { return struct{}{}, do(ctx) })
	return err
}

func sequence[T any](r *reaper, seq iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		if _, fails := r.begin(); fails {
			var zero T
			yield(zero, errReaped)
			return
		}
		seq(yield)
	}
}

// halved reports whether the next call of a batch is the one that half happens.
func (r *reaper) halved() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.dead && r.calls+1 == r.at && r.how == half
}

type mortalItems struct {
	pipeline.Items
	r *reaper
}

func (m mortalItems) Get(ctx context.Context, k pipeline.Key) (pipeline.Item, error) {
	return call(ctx, m.r, func(ctx context.Context) (pipeline.Item, error) { return m.Items.Get(ctx, k) })
}

func (m mortalItems) Query(ctx context.Context, q pipeline.Query) iter.Seq2[pipeline.Item, error] {
	return sequence(m.r, m.Items.Query(ctx, q))
}

func (m mortalItems) Write(ctx context.Context, writes ...pipeline.Write) error {
	return callErr(ctx, m.r, func(ctx context.Context) error { return m.Items.Write(ctx, writes...) })
}

func (m mortalItems) Failed(ctx context.Context, connection string) iter.Seq2[pipeline.Item, error] {
	return sequence(m.r, m.Items.Failed(ctx, connection))
}

type mortalRecords struct {
	pipeline.Records
	r *reaper
	w *writes
}

// writes counts the updates of records that were applied.
type writes struct {
	mu sync.Mutex
	n  int
}

func (w *writes) add(applied []bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, yes := range applied {
		if yes {
			w.n++
		}
	}
}

func (w *writes) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n
}

func (m mortalRecords) Get(ctx context.Context, c string, t run.DataType, ids []string) (map[string]pipeline.Record, error) {
	return call(ctx, m.r, func(ctx context.Context) (map[string]pipeline.Record, error) { return m.Records.Get(ctx, c, t, ids) })
}

func (m mortalRecords) Update(ctx context.Context, c string, t run.DataType, now time.Time, updates []pipeline.RecordUpdate) ([]bool, error) {
	if m.r.halved() {
		if _, err := m.Records.Update(ctx, c, t, now, updates[:len(updates)/2]); err != nil {
			return nil, err
		}
	}
	return call(ctx, m.r, func(ctx context.Context) ([]bool, error) {
		applied, err := m.Records.Update(ctx, c, t, now, updates)
		m.w.add(applied)
		return applied, err
	})
}

func (m mortalRecords) Scan(ctx context.Context, c string, t run.DataType, s pipeline.Scan) iter.Seq2[pipeline.Record, error] {
	return sequence(m.r, m.Records.Scan(ctx, c, t, s))
}

type mortalObjects struct {
	pipeline.Objects
	r *reaper
}

func (m mortalObjects) Put(ctx context.Context, key string, body io.ReadSeeker, info pipeline.ObjectInfo) (bool, error) {
	return call(ctx, m.r, func(ctx context.Context) (bool, error) { return m.Objects.Put(ctx, key, body, info) })
}

func (m mortalObjects) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	return call(ctx, m.r, func(ctx context.Context) (io.ReadCloser, error) { return m.Objects.Get(ctx, key) })
}

func (m mortalObjects) Delete(ctx context.Context, keys ...string) error {
	if m.r.halved() {
		if err := m.Objects.Delete(ctx, keys[:len(keys)/2]...); err != nil {
			return err
		}
	}
	return callErr(ctx, m.r, func(ctx context.Context) error { return m.Objects.Delete(ctx, keys...) })
}

func (m mortalObjects) List(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return sequence(m.r, m.Objects.List(ctx, prefix))
}

type mortalQueue struct {
	*simQueue
	r *reaper
}

func (m mortalQueue) Send(ctx context.Context, tasks ...run.Task) error {
	if m.r.halved() {
		if err := m.simQueue.Send(ctx, tasks[:len(tasks)/2]...); err != nil {
			return err
		}
	}
	return callErr(ctx, m.r, func(ctx context.Context) error { return m.simQueue.Send(ctx, tasks...) })
}

func (m mortalQueue) Bury(ctx context.Context, t run.Task) error {
	return callErr(ctx, m.r, func(ctx context.Context) error { return m.simQueue.Bury(ctx, t) })
}

func (m mortalQueue) Dead(ctx context.Context) iter.Seq2[pipeline.DeadLetter, error] {
	return sequence(m.r, m.simQueue.Dead(ctx))
}

func (m mortalQueue) Delete(ctx context.Context, d pipeline.DeadLetter) error {
	return callErr(ctx, m.r, func(ctx context.Context) error { return m.simQueue.Delete(ctx, d) })
}

func (m mortalQueue) ChangeVisibility(ctx context.Context, q run.Queue, receipt string, d time.Duration) error {
	return callErr(ctx, m.r, func(ctx context.Context) error { return m.simQueue.ChangeVisibility(ctx, q, receipt, d) })
}

type mortalSource struct {
	*vendor
	r *reaper
}

func (m mortalSource) Event(ctx context.Context) (stova.Event, error) {
	return call(ctx, m.r, m.vendor.Event)
}

func (m mortalSource) List(ctx context.Context, s run.Stream, o stova.ListOptions) (stova.Listing, error) {
	return call(ctx, m.r, func(ctx context.Context) (stova.Listing, error) { return m.vendor.List(ctx, s, o) })
}

func (m mortalSource) Row(ctx context.Context, s run.Stream, id string) (json.RawMessage, error) {
	return call(ctx, m.r, func(ctx context.Context) (json.RawMessage, error) { return m.vendor.Row(ctx, s, id) })
}

type mortalDownloader struct {
	*vendor
	r *reaper
}

func (m mortalDownloader) Fetch(ctx context.Context, q photo.Request) (photo.Picture, error) {
	return call(ctx, m.r, func(ctx context.Context) (photo.Picture, error) { return m.vendor.Fetch(ctx, q) })
}
