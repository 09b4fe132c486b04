package stova

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"time"
)

// Rate is what an account has used of its budget, as everybody who calls for
// it shares it (design.md §7).
type Rate struct {
	// Windows are the current windows by their length, such as "5s": budgets
	// below 12 calls a minute have longer ones, and are counted apart.
	Windows map[string]RateWindow `json:"windows,omitempty"`
	// BlockedUntil is when the account may be called again after a 429.
	BlockedUntil time.Time `json:"blocked_until,omitzero"`
	// BlockedSeconds is how long that was when it was written: nobody waits
	// longer, whatever the writer's clock said.
	BlockedSeconds float64 `json:"blocked_seconds,omitempty"`
}

// RateWindow is one window of an account's budget.
type RateWindow struct {
	Start time.Time `json:"start"`
	Used  int       `json:"used"` // calls leased in it
	// By is who leased them, by how many calls the window holds at the rate
	// that their connections state.
	By map[int]int `json:"by,omitempty"`
}

// room returns how many calls may still be leased by those whose windows hold
// size. Connections of one account may state other rates: each rate gets no
// more than its own calls, and all together no more than the highest of those
// that lease in this window. Were a rate to count the others' calls as its own,
// it would get none beside a higher one.
func (w RateWindow) room(size int) int {
	most := size
	for other := range w.By {
		most = max(most, other)
	}
	return min(size-w.By[size], most-w.Used)
}

// with returns the window with n more calls leased.
func (w RateWindow) with(size, n int) RateWindow {
	by := maps.Clone(w.By) // others may read the old one
	if by == nil {
		by = map[int]int{}
	}
	by[size] += n
	return RateWindow{Start: w.Start, Used: w.Used + n, By: by}
}

// ErrStale is returned by Rates.Save when somebody else saved meanwhile.
var ErrStale = errors.New("the account's rate has changed")

// Rates keeps one account's Rate for every process that calls for it.
type Rates interface {
	// Load returns the rate and its version: 0 when nothing is kept yet.
	Load(ctx context.Context) (Rate, int64, error)
	// Save replaces the rate at the version it was loaded at, and raises the
	// version by one. It returns ErrStale when the rate is at another version.
	// until is when what it says is of no use to anybody any more.
	Save(ctx context.Context, r Rate, version int64, until time.Time) error
}

// LeaseConfig is what a LeasedBudget works with.
type LeaseConfig struct {
	Rates     Rates
	PerMinute int              // calls a minute of the account; 1 or more
	Now       func() time.Time // nil: time.Now
	Rand      func() float64   // in [0, 1); nil: math/rand/v2
}

// LeasedBudget is a Budget that many processes share. It takes calls from the
// shared windows in leases, which lapse with their window: those of a process
// that dies are lost for no longer than that.
//
// Clocks need not agree. A window is the latest that anybody has opened, and a
// process ends it when its own clock says so, or when it has seen it for a
// window's length: so one clock that is ahead speeds nobody up, and one that is
// behind slows nobody down. No window ever holds more than its calls, which are
// those of the highest rate that is used in it; where clocks are d apart, a
// minute may hold the windows of d more, since each leaves a window by its own
// clock.
type LeasedBudget struct {
	cfg    LeaseConfig
	size   int
	length time.Duration
	name   string // of the windows in Rate.Windows

	turn chan struct{} // held by who looks at the budget or takes a lease

	// Guarded by turn.
	start   time.Time // of the window that was seen last
	seen    time.Time // when it was seen first
	left    int       // calls of the lease
	full    bool      // the window has none left
	rate    Rate      // as of version
	version int64
	fresh   bool // nobody else has saved between the last two leases

	mu      sync.Mutex // Block must not wait for a lease under way
	blocked time.Time  // by our clock
	shared  time.Time  // what of it the ledger holds, by our clock
	heeded  block      // what the ledger holds, as it was written
}

// block is a block as a ledger holds it, by its writer's clock.
type block struct {
	until   time.Time
	seconds float64
}

// How long leases and their bookkeeping are.
const (
	// leaseCalls is how many calls a lease holds at most (design.md §7).
	leaseCalls = 5
	// leaseShare makes leases longer where a window has many more calls than
	// the vendor allows anybody: a sixty-fourth of it.
	leaseShare = 64
	// rateLife is how long a rate is kept after it was last of use.
	rateLife = time.Hour
	// lostWrites is how many writes whose outcome is unknown one caller bears.
	lostWrites = 2
	// wakeSpread keeps processes that wait for one window from coming at once.
	wakeSpread = 50 * time.Millisecond
)

// NewLeasedBudget returns a budget over shared rates.
func NewLeasedBudget(cfg LeaseConfig) *LeasedBudget {
	b := &LeasedBudget{cfg: cfg, turn: make(chan struct{}, 1)}
	if b.cfg.Now == nil {
		b.cfg.Now = time.Now
	}
	if b.cfg.Rand == nil {
		b.cfg.Rand = rand.Float64
	}
	b.size, b.length = Window(cfg.PerMinute)
	b.name = b.length.String()
	return b
}

// Take waits until one call may be made; see Budget. Without the shared rates
// it fails with their error: an account must not be overrun because the ledger
// is away. A wait that would end after ctx's deadline fails at once.
func (b *LeasedBudget) Take(ctx context.Context) error {
	for {
		wait, err := b.try(ctx)
		if err != nil {
			return err
		}
		if wait <= 0 {
			return nil
		}
		if err := pause(ctx, wait); err != nil {
			return fmt.Errorf("rate budget: %w", err)
		}
	}
}

// try counts a call and returns 0, or returns how long to wait before asking again.
func (b *LeasedBudget) try(ctx context.Context) (time.Duration, error) {
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	now := b.cfg.Now()
	if wait := b.blockedFor(now); wait > 0 {
		return wait, nil
	}
	if rest := b.end().Sub(now); rest > 0 {
		if b.left > 0 {
			b.left--
			return 0, nil
		}
		if b.full {
			return b.late(rest), nil
		}
	}
	return b.lease(ctx)
}

// end is when the window that was seen last is over for us: by our clock, or
// a window's length after we saw it first, if its start is ahead of our clock.
func (b *LeasedBudget) end() time.Time {
	if b.seen.Before(b.start) {
		return b.seen.Add(b.length)
	}
	return b.start.Add(b.length)
}

// late adds a little to the wait for a window. In longer windows it may be more.
func (b *LeasedBudget) late(rest time.Duration) time.Duration {
	return max(rest, time.Millisecond) + time.Duration(b.cfg.Rand()*float64(wakeSpread))
}

// lease takes calls from the shared window, one of them for the caller, or
// returns how long to wait.
func (b *LeasedBudget) lease(ctx context.Context) (time.Duration, error) {
	for attempt, lost := 0, 0; ; attempt++ {
		// Alone, we need not read: the write says whether that is still so. An
		// item that may have expired meanwhile is read.
		known := b.fresh && attempt == 0 && b.cfg.Now().Sub(b.seen) < rateLife/2
		if !known {
			if err := b.load(ctx); err != nil {
				return 0, err
			}
		}
		now := b.cfg.Now()
		if wait := b.blockedFor(now); wait > 0 {
			return wait, nil
		}
		w := b.window(now)
		n := min(max(leaseCalls, b.size/leaseShare), w.room(b.size))
		if n <= 0 {
			// What we know may be old, but a window does not get emptier.
			b.left, b.full = 0, true
			return b.late(b.end().Sub(now)), nil
		}
		err := b.save(ctx, w.with(b.size, n), now)
		switch {
		case err == nil && b.cfg.Now().Before(b.end()):
			b.left, b.full = n-1, false
			return 0, nil
		case err == nil: // the ledger took so long that the lease has lapsed
		case !errors.Is(err, ErrStale):
			if lost++; !b.outlives(ctx, err, lost) {
				return 0, err
			}
		}
		if err := pause(ctx, b.stale(attempt)); err != nil {
			return 0, fmt.Errorf("rate budget: %w", err)
		}
	}
}

// load reads the shared rate, with the block that is in it.
func (b *LeasedBudget) load(ctx context.Context) error {
	rate, version, err := b.cfg.Rates.Load(ctx)
	if err != nil {
		b.fresh = false
		return err
	}
	b.fresh = version != 0 && version == b.version
	b.rate, b.version = rate, version
	b.heed(rate, b.cfg.Now())
	return nil
}

// outlives reports whether to read the rate again after a write that failed
// for another reason than ErrStale. Where only its answer was lost, the ledger
// is there, and at worst a lease lapses; a caller that gave up would throw away
// all that it has fetched. Where the ledger is away, the read says so.
func (b *LeasedBudget) outlives(ctx context.Context, err error, lost int) bool {
	return lost <= lostWrites && ctx.Err() == nil && !errors.Is(err, context.Canceled)
}

// heed takes over a block that somebody else has written: once, since what it
// says is reckoned from when it was seen first. A later look must not prolong
// it, and a writer whose clock is ahead must not hide the blocks after its own.
func (b *LeasedBudget) heed(rate Rate, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if rate.BlockedUntil.Equal(b.heeded.until) && rate.BlockedSeconds == b.heeded.seconds {
		return
	}
	b.heeded = block{rate.BlockedUntil, rate.BlockedSeconds}
	longest := now.Add(time.Duration(rate.BlockedSeconds * float64(time.Second)))
	b.shared = earlier(rate.BlockedUntil, longest)
	if b.shared.After(b.blocked) {
		b.blocked = b.shared
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// window returns the window to take calls from: the one that was opened last,
// or the next one when that is over for us.
func (b *LeasedBudget) window(now time.Time) RateWindow {
	w := b.rate.Windows[b.name]
	if !w.Start.Equal(b.start) {
		b.start, b.seen, b.left, b.full = w.Start, now, 0, false
	}
	if now.Before(b.end()) {
		return w
	}
	next := w.Start.Add(b.length)
	if own := WindowStart(now, b.length); own.After(next) {
		next = own
	}
	return RateWindow{Start: next.UTC()}
}

// save writes the window with what was leased of it.
func (b *LeasedBudget) save(ctx context.Context, w RateWindow, now time.Time) error {
	next := Rate{Windows: map[string]RateWindow{b.name: w}}
	for name, other := range b.rate.Windows {
		if name != b.name && now.Sub(other.Start) < rateLife {
			next.Windows[name] = other
		}
	}
	if now.Sub(b.rate.BlockedUntil) < rateLife {
		next.BlockedUntil, next.BlockedSeconds = b.rate.BlockedUntil, b.rate.BlockedSeconds
	}
	if err := b.put(ctx, next, now); err != nil {
		return err
	}
	if !w.Start.Equal(b.start) {
		b.start, b.seen = w.Start, now
	}
	return nil
}

// put saves a rate at the version that was loaded.
func (b *LeasedBudget) put(ctx context.Context, next Rate, now time.Time) error {
	until := now
	if next.BlockedUntil.After(until) {
		until = next.BlockedUntil
	}
	alone := b.fresh
	if err := b.cfg.Rates.Save(ctx, next, b.version, until.Add(rateLife)); err != nil {
		b.fresh = false // it may have happened, or somebody else was faster
		return err
	}
	b.rate, b.version = next, b.version+1
	b.fresh = alone || b.version == 1
	return nil
}

// stale is the wait after somebody else was faster: more the more often.
func (b *LeasedBudget) stale(attempt int) time.Duration {
	ceiling := 10 * time.Millisecond << min(attempt, 5)
	return time.Duration(b.cfg.Rand()*float64(ceiling)) + time.Millisecond
}

func (b *LeasedBudget) blockedFor(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.blocked.Sub(now)
}

// Block makes every Take of every process wait until the given time: ours at
// once, the others' with their next lease. It fails when the block cannot be
// written; ours stands all the same.
func (b *LeasedBudget) Block(ctx context.Context, until time.Time) error {
	b.mu.Lock()
	if until.After(b.blocked) {
		b.blocked = until
	}
	b.mu.Unlock()
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for attempt, lost := 0, 0; ; attempt++ {
		now := b.cfg.Now()
		if b.known(until, now) {
			return nil
		}
		if err := b.load(ctx); err != nil {
			return err
		}
		if b.known(until, now) {
			return nil
		}
		next := b.rate
		next.BlockedUntil, next.BlockedSeconds = until.UTC(), until.Sub(now).Seconds()
		err := b.put(ctx, next, now)
		switch {
		case err == nil:
			b.mu.Lock()
			b.shared, b.heeded = until, block{next.BlockedUntil, next.BlockedSeconds}
			b.mu.Unlock()
			return nil
		case !errors.Is(err, ErrStale):
			if lost++; !b.outlives(ctx, err, lost) {
				return err
			}
		}
		if err := pause(ctx, b.stale(attempt)); err != nil {
			return fmt.Errorf("rate budget: %w", err)
		}
	}
}

// known reports whether the ledger holds a block as good as this one. Calls
// that were under way together get their 429 together: one of them is written.
func (b *LeasedBudget) known(until, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return until.Sub(b.shared) <= until.Sub(now)/10
}
