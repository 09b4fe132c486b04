package pipeline

import (
	"context"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"stovasync/shared/run"
	"stovasync/shared/stova"
)

// Spent is what reading from the vendor took. What failed attempts used counts
// too: the numbers may be too high, never too low.
type Spent struct {
	APICalls   int   `json:"api_calls"`             // requests of the API, logins and retries included
	Throttles  int   `json:"throttles,omitempty"`   // those answered with 429
	PhotoBytes int64 `json:"photo_bytes,omitempty"` // of the pictures that were downloaded
}

func spentOn(m *stova.Meter) Spent {
	return Spent{APICalls: int(m.Calls()), Throttles: int(m.Throttled())}
}

func (s Spent) plus(o Spent) Spent {
	return Spent{s.APICalls + o.APICalls, s.Throttles + o.Throttles, s.PhotoBytes + o.PhotoBytes}
}

// Progress is how far a data type got: the difference that writes to the
// ledger made.
type Progress struct {
	PagesDone   int
	PagesFailed int // pages that failed; one that is mended later is not taken off
	Rows        run.Counts
	Spent       Spent
}

// Tally gathers what one task moved in the ledger. What it says of all tasks
// together is what the ledger says, but for tasks that died between a write
// and the end of their Tally, and writes that happened without an answer. It
// is safe for concurrent use. See WithTally.
type Tally struct {
	task run.Task
	old  time.Duration
	// receives is how often the task was delivered since it was sent; 0: not known.
	receives int

	mu    sync.Mutex
	types map[run.DataType]Progress
	runs  []run.State
	found bool
}

// NewTally returns the Tally of a task that was sent so long ago. The zero Task
// does for steps that are no task's.
func NewTally(t run.Task, age time.Duration) *Tally {
	return &Tally{task: t, old: age, types: map[run.DataType]Progress{}}
}

// Received notes which delivery of its task this is, counted from 1, before the
// task is begun.
func (t *Tally) Received(n int) { t.receives = n }

// Types returns the progress of every data type that moved: of the task's own,
// and of others that a repair touched.
func (t *Tally) Types() map[run.DataType]Progress {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.types)
}

// Ended returns the states in which runs ended, each run once for each time it
// did: one that was re-opened ends again.
func (t *Tally) Ended() []run.State {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.runs)
}

// FoundRun notes that the ledger holds the task's run.
func (t *Tally) FoundRun() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.found = true
}

// Found reports whether the ledger was seen to hold the task's run.
func (t *Tally) Found() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.found
}

type tallyKey struct{}

// WithTally returns a context under which t gathers what is done.
func WithTally(ctx context.Context, t *Tally) context.Context {
	return context.WithValue(ctx, tallyKey{}, t)
}

// tallyOf returns the tally of a context, or nil; a nil *Tally takes everything
// and keeps nothing.
func tallyOf(ctx context.Context) *Tally {
	t, _ := ctx.Value(tallyKey{}).(*Tally)
	return t
}

// moved adds what a write made of a type run.
func (t *Tally) moved(before, after TypeRun) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.types[after.Type]
	p.PagesDone += after.Done - before.Done
	p.PagesFailed += max(0, after.Failed-before.Failed)
	p.Rows = p.Rows.Plus(after.Counts().Minus(before.Counts()))
	p.Spent.APICalls += after.APICalls - before.APICalls
	p.Spent.Throttles += after.Throttles - before.Throttles
	p.Spent.PhotoBytes += after.PhotoBytes - before.PhotoBytes
	if p != (Progress{}) {
		t.types[after.Type] = p
	}
}

// ended adds the end of a run.
func (t *Tally) ended(s run.State) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.runs = append(t.runs, s)
}

// tried keeps in a page that is about to be settled how many deliveries of its
// task that took: what one task needed after another, where it was re-run.
func (t *Tally) tried(p *Page) {
	if t != nil && p.Task() == t.task {
		p.Tries += t.receives
	}
}

// age keeps in a type run that is about to be written how old its task was.
func (t *Tally) age(tr *TypeRun, write bool) {
	if t == nil || !write || tr.Type != t.task.Type || tr.Run != t.task.Run {
		return
	}
	tr.TaskAge = max(tr.TaskAge, math.Round(t.old.Seconds()*1000)/1000)
}
