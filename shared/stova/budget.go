package stova

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Budget is the account's rate budget, shared by every client of the account
// (design.md §7). Both methods may be called at once from many goroutines.
type Budget interface {
	// Take waits until one call may be made, and counts it. It returns an
	// error that is context.Canceled or context.DeadlineExceeded when ctx ends
	// first; it may return the latter at once when the wait would not fit.
	Take(ctx context.Context) error
	// Block says that a 429 was seen: nobody calls before until. An earlier
	// time than one already set changes nothing.
	Block(ctx context.Context, until time.Time) error
}

// WindowLength is the length of one window of a rate budget of 12 calls a
// minute or more. Windows start at multiples of their length since year 1, so
// that processes agree on them.
const WindowLength = 5 * time.Second

// Window returns the windows of a budget of perMinute calls a minute: how many
// calls one holds, and its length. That is a twelfth in 5 seconds, rounded
// down: 60 seconds touch at most 13 windows, so they never hold more than 13
// twelfths. A smaller budget has longer windows of one call.
func Window(perMinute int) (size int, length time.Duration) {
	size = perMinute / int(time.Minute/WindowLength)
	if size > 0 {
		return size, WindowLength
	}
	return 1, time.Minute / time.Duration(max(1, perMinute))
}

// WindowStart returns the start of the window of that length that t is in.
func WindowStart(t time.Time, length time.Duration) time.Time { return t.Truncate(length) }

// WindowBudget is a Budget of one process. See NewBudget.
type WindowBudget struct {
	size   int           // calls in a window; 0: no limit
	length time.Duration // of a window
	now    func() time.Time

	mu      sync.Mutex
	start   time.Time // of the current window
	used    int       // calls taken in it
	blocked time.Time // nobody calls before
}

// NewBudget returns a budget of perMinute calls a minute, in windows of 5
// seconds; below 12 a minute, in longer ones of one call. With perMinute 0 or less only Block ever makes anybody wait. A nil
// now is time.Now.
func NewBudget(perMinute int, now func() time.Time) *WindowBudget {
	b := &WindowBudget{now: now}
	if perMinute > 0 {
		b.size, b.length = Window(perMinute)
	}
	if now == nil {
		b.now = time.Now
	}
	return b
}

// Take waits until one call may be made; see Budget. A wait that would end
// after ctx's deadline fails at once.
func (b *WindowBudget) Take(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		wait := b.take()
		if wait <= 0 {
			return nil
		}
		if err := pause(ctx, wait); err != nil {
			return fmt.Errorf("rate budget: %w", err)
		}
	}
}

// take counts a call and returns 0, or returns how long to wait before asking again.
func (b *WindowBudget) take() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if wait := b.blocked.Sub(now); wait > 0 {
		return wait
	}
	if b.size == 0 {
		return 0
	}
	if start := WindowStart(now, b.length); start.After(b.start) {
		b.start, b.used = start, 0
	}
	if b.used < b.size {
		b.used++
		return 0
	}
	// At least a moment, so that a clock that stepped back cannot spin.
	return max(b.start.Add(b.length).Sub(now), time.Millisecond)
}

// Block makes every Take wait until the given time. It never fails.
func (b *WindowBudget) Block(_ context.Context, until time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if until.After(b.blocked) {
		b.blocked = until
	}
	return nil
}

// pause waits for d. It returns context.DeadlineExceeded at once when d would
// end after ctx's deadline, and ctx's error when ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	// The context's own clock is the runtime's, whatever clock was injected.
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return context.DeadlineExceeded
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
