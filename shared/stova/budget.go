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

// WindowLength is the length of one window of a rate budget. Windows start at
// multiples of it since the Unix epoch, so that processes agree on them.
const WindowLength = 5 * time.Second

// WindowSize returns how many calls one window holds at perMinute calls a
// minute: a twelfth, rounded down, at least 1. 60 seconds touch at most 13
// windows, so they never hold more than 13 twelfths.
func WindowSize(perMinute int) int { return max(1, perMinute/int(time.Minute/WindowLength)) }

// WindowStart returns the start of the window that t is in.
func WindowStart(t time.Time) time.Time {
	return t.Truncate(WindowLength) // counts from year 1, which is whole windows before the epoch
}

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
	b := &WindowBudget{now: now, length: WindowLength}
	if perMinute > 0 {
		b.size = WindowSize(perMinute)
		// A small budget has less than one call in 5 seconds.
		b.length = max(WindowLength, time.Minute/time.Duration(perMinute))
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
	if start := now.Truncate(b.length); start.After(b.start) {
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
