package stova

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"stovasync/shared/fault"
)

// ledger keeps one account's rate in memory, as many processes see it.
type ledger struct {
	delay time.Duration  // of every call
	lost  func(int) bool // whether save n, from 1, happens and is reported as failed

	mu      sync.Mutex
	rate    Rate
	version int64
	loads   int
	saves   int // that happened
	broken  error
	until   time.Time // of the last save
}

func (l *ledger) Load(ctx context.Context) (Rate, int64, error) {
	if err := pause(ctx, l.delay); err != nil {
		return Rate{}, 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loads++
	return l.rate, l.version, l.broken
}

func (l *ledger) Save(ctx context.Context, r Rate, version int64, until time.Time) error {
	if err := pause(ctx, l.delay); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.broken != nil:
		return l.broken
	case version != l.version:
		return ErrStale
	}
	l.rate, l.until = r, until
	l.version++
	l.saves++
	if l.lost != nil && l.lost(l.saves) {
		return errLost
	}
	return nil
}

// errLost is what the ledger tells of a write whose answer was lost.
var errLost = fault.New(fault.StoreUnavailable, "ledger: write repeated after no answer", "")

// calls are the moments at which calls were let through.
type calls struct {
	mu sync.Mutex
	at []time.Time
}

// want takes calls from a budget until its context ends, by n workers that
// rest a while after each.
func (c *calls) want(ctx context.Context, wg *sync.WaitGroup, b Budget, n int, rest time.Duration) {
	for range n {
		wg.Go(func() {
			for b.Take(ctx) == nil {
				c.add()
				time.Sleep(rest)
			}
		})
	}
}

func (c *calls) add() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = append(c.at, time.Now())
}

// most returns how many of the calls the fullest span of that length holds.
func (c *calls) most(span time.Duration) int {
	slices.SortFunc(c.at, time.Time.Compare)
	most := 0
	for i := range c.at {
		n := 0
		for j := i; j < len(c.at) && c.at[j].Sub(c.at[i]) < span; j++ {
			n++
		}
		most = max(most, n)
	}
	return most
}

// fullest returns how many calls the fullest window of a true clock holds.
func (c *calls) fullest(length time.Duration) int {
	n := map[time.Time]int{}
	most := 0
	for _, at := range c.at {
		w := WindowStart(at, length)
		n[w]++
		most = max(most, n[w])
	}
	return most
}

// process is one budget of its own over the shared ledger.
func process(l *ledger, perMinute int, ahead time.Duration) *LeasedBudget {
	return NewLeasedBudget(LeaseConfig{Rates: l, PerMinute: perMinute, Now: func() time.Time { return time.Now().Add(ahead) }})
}

func take(t *testing.T, b Budget) {
	t.Helper()
	if err := b.Take(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Eight processes of four workers each want far more than there is: every
// window gives all it has and no more.
func TestManyProcessesShareTheWindowsOfAnAccount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, c := &ledger{delay: 4 * time.Millisecond}, &calls{}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		for range 8 {
			c.want(ctx, &wg, process(l, 400, 0), 4, 20*time.Millisecond)
		}
		wg.Wait()
		if n := c.fullest(WindowLength); n > 33 {
			t.Errorf("a window holds %d calls, want at most 33", n)
		}
		if n := c.most(time.Minute); n > 13*33 {
			t.Errorf("a minute holds %d calls, want at most %d", n, 13*33)
		}
		if n := len(c.at); n < 23*33 {
			t.Errorf("%d calls in 24 windows: they are not used up", n)
		}
		if l.saves > len(c.at)/4 { // 7 leases for 33 calls
			t.Errorf("%d writes for %d calls", l.saves, len(c.at))
		}
		if len(l.rate.Windows) != 1 {
			t.Errorf("the account keeps %d windows, want the current one", len(l.rate.Windows))
		}
		if got := time.Until(l.until); got <= 0 || got > 2*time.Hour {
			t.Errorf("the item is kept for %v more", got)
		}
	})
}

// A process on its own pays one write for five calls, and reads only until it
// knows that it is alone.
func TestAProcessAloneWritesOncePerLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		b := process(l, 360, 0)
		for range 300 {
			take(t, b)
		}
		if l.saves != 60 || l.loads > 2 {
			t.Errorf("%d writes and %d reads for 300 calls, want 60 and at most 2", l.saves, l.loads)
		}
		other := process(l, 360, 0)
		for range 300 {
			take(t, b)
			take(t, other)
		}
		if l.saves > 60+2*60 {
			t.Errorf("%d writes for 600 calls of two", l.saves-60)
		}
	})
}

func TestA429SeenByOneProcessStopsAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		first, second, late := process(l, 360, 0), process(l, 360, 0), process(l, 360, 0)
		take(t, first) // each holds a lease
		take(t, second)
		start := time.Now()
		until := start.Add(30 * time.Second)
		if err := first.Block(t.Context(), until); err != nil {
			t.Fatal(err)
		}
		saves := l.saves
		for range 10 { // calls under way get theirs a moment later
			if err := first.Block(t.Context(), until.Add(100*time.Millisecond)); err != nil {
				t.Fatal(err)
			}
		}
		if l.saves != saves {
			t.Errorf("%d more writes for one block", l.saves-saves)
		}
		// The other may use up its lease, and no more.
		c := &calls{}
		for range 5 {
			take(t, second)
			c.add()
		}
		if n := c.most(time.Second); n != 4 {
			t.Errorf("a process made %d calls after the block, want the 4 of its lease", n)
		}
		if got := c.at[4].Sub(start); got < 30*time.Second {
			t.Errorf("the call after the lease was made after %v, want 30s", got)
		}
		for name, b := range map[string]*LeasedBudget{"who saw it": first, "one that starts now": late} {
			take(t, b)
			if got := time.Since(start); got < 30*time.Second {
				t.Errorf("%s was let through after %v, want 30s", name, got)
			}
		}
	})
}

func TestALaterBlockStandsAndAnEarlierOneChangesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		a, b := process(l, 360, 0), process(l, 360, 0)
		start := time.Now()
		for _, d := range []time.Duration{20 * time.Second, time.Minute, 5 * time.Second} {
			if err := a.Block(t.Context(), start.Add(d)); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Block(t.Context(), start.Add(10*time.Second)); err != nil {
			t.Fatal(err)
		}
		take(t, b)
		if got := time.Since(start); got != time.Minute {
			t.Errorf("waited %v, want 1m", got)
		}
	})
}

func TestTheLeaseOfADeadProcessIsLostForItsWindowOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		time.Sleep(time.Second) // into a window
		for range 6 {           // six leases of 5 use up the 30, and nobody calls
			take(t, process(l, 360, 0))
		}
		start := time.Now()
		take(t, process(l, 360, 0))
		if got := time.Since(start); got < 4*time.Second || got > 4*time.Second+wakeSpread {
			t.Errorf("waited %v, want the rest of the window", got)
		}
	})
}

func TestALeaseLapsesWithItsWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		b := process(l, 360, 0)
		for range 3 {
			take(t, b)
			time.Sleep(WindowLength)
		}
		if l.saves != 3 {
			t.Errorf("%d leases for calls in 3 windows", l.saves)
		}
	})
}

// Whatever the clocks say, windows are handed out at their pace: a clock that
// is ahead or behind neither multiplies nor stops the calls.
func TestClocksNeedNotAgree(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string][]time.Duration{
		"two seconds apart":      {0, 2 * time.Second},
		"four seconds apart":     {-2 * time.Second, 0, 2 * time.Second},
		"an hour ahead":          {0, 0, time.Hour},
		"an hour behind":         {0, 0, -time.Hour},
		"all of them all over":   {-time.Minute, 0, 7 * time.Second, 3 * time.Minute},
		"alone and a day behind": {-24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l, c := &ledger{delay: time.Millisecond}, &calls{}
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				var wg sync.WaitGroup
				for _, d := range ahead {
					c.want(ctx, &wg, process(l, 360, d), 4, 10*time.Millisecond)
				}
				wg.Wait()
				// 13 windows, and one for what the clocks differ in.
				if n := c.most(time.Minute); n > 14*30 {
					t.Errorf("a minute holds %d calls, want at most %d", n, 14*30)
				}
				if n := len(c.at); n < 55*30 {
					t.Errorf("%d calls in 60 windows, want nearly %d", n, 60*30)
				}
			})
		})
	}
}

// The process with the fast clock is gone: the others go on at the pace of
// their own time, not when their clocks reach its windows.
func TestWindowsThatAFastClockOpenedEndForTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		fast, b := process(l, 12, time.Hour), process(l, 12, 0)
		take(t, fast)
		start := time.Now()
		for range 3 {
			take(t, b)
		}
		if got := time.Since(start); got < 2*WindowLength || got > 4*WindowLength {
			t.Errorf("three windows took %v", got)
		}
	})
}

func TestABlockOfAFastClockLastsNoLongerThanItSays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		fast, b := process(l, 360, time.Hour), process(l, 360, 0)
		if err := fast.Block(t.Context(), time.Now().Add(time.Hour+30*time.Second)); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		take(t, b)
		if got := time.Since(start); got != 30*time.Second {
			t.Errorf("waited %v, want 30s", got)
		}
	})
}

func TestABlockOfAFastClockDoesNotHideLaterOnes(t *testing.T) {
	t.Parallel()
	for name, by := range map[string]time.Duration{"of a true clock": 0, "of one that is less ahead": 10 * time.Minute, "of one that is behind": -10 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := &ledger{}
				fast, writer, reader := process(l, 360, time.Hour), process(l, 360, by), process(l, 360, 0)
				if err := fast.Block(t.Context(), time.Now().Add(time.Hour+30*time.Second)); err != nil {
					t.Fatal(err)
				}
				take(t, writer) // both have seen it
				take(t, reader)
				start := time.Now()
				if err := writer.Block(t.Context(), start.Add(by+time.Minute)); err != nil {
					t.Fatal(err)
				}
				for range 5 { // its lease, and the call after it
					take(t, reader)
				}
				want := time.Minute + min(by, 0) // a clock that is behind tells an earlier time
				if got := time.Since(start); got < want || got > want+WindowLength {
					t.Errorf("waited %v, want %v", got, want)
				}
			})
		})
	}
}

// A clock that is ahead has a block behind it before the others have.
func TestAFastClockDoesNotLiftABlock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		a, fast, late := process(l, 360, 0), process(l, 360, time.Minute), process(l, 360, 0)
		start := time.Now()
		if err := a.Block(t.Context(), start.Add(30*time.Second)); err != nil {
			t.Fatal(err)
		}
		take(t, fast)
		take(t, late)
		if got := time.Since(start); got != 30*time.Second {
			t.Errorf("waited %v, want 30s", got)
		}
	})
}

// A ledger that answers slowly must not carry calls into the next window.
func TestACallIsMadeInTheWindowThatPaidForIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, c := &ledger{delay: 700 * time.Millisecond}, &calls{}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		for range 3 {
			c.want(ctx, &wg, process(l, 120, 0), 2, 0)
		}
		wg.Wait()
		if n := c.fullest(WindowLength); n > 10 {
			t.Errorf("a window holds %d calls, want at most 10", n)
		}
		if n := len(c.at); n < 60 {
			t.Errorf("%d calls in a minute of 120", n)
		}
	})
}

func TestASmallSharedBudgetHasLongerWindowsOfOneCall(t *testing.T) {
	t.Parallel()
	for _, perMinute := range []int{1, 3, 7, 11} {
		synctest.Test(t, func(t *testing.T) {
			l, c := &ledger{}, &calls{}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			var wg sync.WaitGroup
			for range 3 {
				c.want(ctx, &wg, process(l, perMinute, 0), 1, 0)
			}
			wg.Wait()
			_, length := Window(perMinute)
			if n := c.fullest(length); n > 1 {
				t.Errorf("%d a minute: a window holds %d calls", perMinute, n)
			}
			if n := len(c.at); n < 9*perMinute {
				t.Errorf("%d a minute: %d calls in 10 minutes", perMinute, n)
			}
		})
	}
}

func TestNoWindowEverHoldsMoreThanItsCalls(t *testing.T) {
	t.Parallel()
	type rate struct{ processes, perMinute, least, most int } // least and most of calls in a minute
	for name, tt := range map[string]struct {
		lost  func(int) bool
		rates []rate
	}{
		"of two connections, and the lower rate gets its share": {rates: []rate{{4, 360, 240, 360}, {1, 100, 48, 96}}},
		"of three connections, none above its own rate":         {rates: []rate{{1, 360, 90, 360}, {1, 240, 60, 240}, {1, 60, 36, 60}}},
		"of two of one rate, together above it no more":         {rates: []rate{{2, 100, 90, 96}}},
		"where every third write happens and is told as failed": {
			lost: func(n int) bool { return n%3 == 0 }, rates: []rate{{4, 360, 180, 360}}},
		"of two connections with lost writes": {
			lost: func(n int) bool { return n%4 == 0 }, rates: []rate{{2, 360, 180, 360}, {2, 100, 24, 96}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l, all := &ledger{delay: time.Millisecond, lost: tt.lost}, &calls{}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				var wg sync.WaitGroup
				each := make([]*calls, len(tt.rates))
				for i, r := range tt.rates {
					each[i] = &calls{}
					for range r.processes {
						b := process(l, r.perMinute, 0)
						for range 4 {
							wg.Go(func() {
								err := b.Take(ctx)
								for ; err == nil; err = b.Take(ctx) {
									all.add()
									each[i].add()
									time.Sleep(150 * time.Millisecond)
								}
								if !errors.Is(err, context.DeadlineExceeded) {
									t.Errorf("a call at %d a minute failed: %v", r.perMinute, err)
								}
							})
						}
					}
				}
				wg.Wait()
				highest := 0
				for i, r := range tt.rates {
					size, _ := Window(r.perMinute)
					highest = max(highest, size)
					if n := each[i].fullest(WindowLength); n > size {
						t.Errorf("a window holds %d calls at %d a minute, want at most %d", n, r.perMinute, size)
					}
					if n := len(each[i].at); n < r.least || n > r.most {
						t.Errorf("%d calls at %d a minute, want %d to %d", n, r.perMinute, r.least, r.most)
					}
				}
				if n := all.fullest(WindowLength); n > highest {
					t.Errorf("a window holds %d calls, want at most %d", n, highest)
				}
			})
		})
	}
}

func TestAWriteWhoseAnswerWasLostCostsALeaseAndNotTheCall(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		lost  int // writes in a row
		saves int
		err   error
	}{
		"one":                          {lost: 1, saves: 2},
		"two in a row":                 {lost: 2, saves: 3},
		"three in a row are no chance": {lost: 3, saves: 3, err: errLost},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := &ledger{lost: func(n int) bool { return n <= tt.lost }}
				if err := process(l, 360, 0).Take(t.Context()); !errors.Is(err, tt.err) {
					t.Errorf("error = %v, want %v", err, tt.err)
				}
				if l.saves != tt.saves || l.rate.Windows["5s"].Used != 5*tt.saves {
					t.Errorf("%d writes, %+v; want %d leases", l.saves, l.rate, tt.saves)
				}
				// A block that was written needs no second write.
				l = &ledger{lost: func(n int) bool { return n == 1 }}
				until := time.Now().Add(30 * time.Second)
				if err := process(l, 360, 0).Block(t.Context(), until); err != nil || l.saves != 1 || !l.rate.BlockedUntil.Equal(until) {
					t.Errorf("Block: %v after %d writes, until %v", err, l.saves, l.rate.BlockedUntil)
				}
			})
		})
	}
}

// Connections of an account may state other rates: each keeps to its own. Budgets
// below 12 a minute have windows of their own length, counted apart.
func TestRatesOfOneAccountMayDiffer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		large, small := &calls{}, &calls{}
		var wg sync.WaitGroup
		large.want(ctx, &wg, process(l, 360, 0), 1, 50*time.Millisecond)
		large.want(ctx, &wg, process(l, 120, 0), 1, 50*time.Millisecond)
		small.want(ctx, &wg, process(l, 6, 0), 1, 50*time.Millisecond)
		wg.Wait()
		if n := large.fullest(WindowLength); n > 30 {
			t.Errorf("a window holds %d calls of the two that share it, want at most 30", n)
		}
		if n := len(small.at); n < 5 || n > 7 {
			t.Errorf("%d calls of the small budget in a minute, want 6", n)
		}
		if len(l.rate.Windows) != 2 {
			t.Errorf("%d windows are kept, want one for each length", len(l.rate.Windows))
		}
	})
}

func TestWithoutTheLedgerNobodyCalls(t *testing.T) {
	t.Parallel()
	away := fault.New(fault.StoreUnavailable, "ledger: no answer", "")
	l := &ledger{broken: away}
	b := process(l, 360, 0)
	if err := b.Take(t.Context()); !errors.Is(err, away) {
		t.Errorf("error = %v, want the ledger's", err)
	}
	if err := b.Block(t.Context(), time.Now().Add(time.Hour)); !errors.Is(err, away) {
		t.Errorf("error of Block = %v, want the ledger's", err)
	}
	l.broken = nil
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := b.Take(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error = %v: the block that could not be written does not hold here either", err)
	}
}

func TestASharedBudgetHonoursItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		b := process(l, 12, 0)
		take(t, b)
		start := time.Now()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.Take(short); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 0 {
			t.Errorf("error = %v after %v, want the deadline's at once", err, time.Since(start))
		}
		time.Sleep(WindowLength)
		l.delay = time.Hour
		go func() { _ = b.Take(t.Context()) }() // holds the turn while the ledger thinks
		synctest.Wait()
		cancelled, stop := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, stop)
		if err := b.Take(cancelled); !errors.Is(err, context.Canceled) {
			t.Errorf("error = %v, want a cancellation", err)
		}
	})
}
