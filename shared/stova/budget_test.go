package stova

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/run"
)

func TestWindowsHoldATwelfth(t *testing.T) {
	t.Parallel()
	for perMinute, want := range map[int]int{360: 30, 400: 33, 12: 1, 11: 1, 1: 1, 0: 1, 1_000_000: 83333} {
		if got, _ := Window(perMinute); got != want {
			t.Errorf("Window(%d) holds %d, want %d", perMinute, got, want)
		}
	}
}

func TestWindowsStartAtMultiplesOfFiveSeconds(t *testing.T) {
	t.Parallel()
	for in, want := range map[int64]int64{0: 0, 4999: 0, 5000: 5000, 1_900_000_007_123: 1_900_000_005_000} {
		if got := WindowStart(time.UnixMilli(in), WindowLength).UnixMilli(); got != want {
			t.Errorf("WindowStart(%d ms, WindowLength) = %d ms, want %d ms", in, got, want)
		}
	}
}

// Whatever the callers do, no 60 seconds hold more than 13 windows' calls, and
// nobody waits longer than the budget demands.
func TestABudgetKeepsToItsWindows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(120, nil) // 10 a window
		time.Sleep(3 * time.Second)
		var mu sync.Mutex
		var at []time.Time
		var wg sync.WaitGroup
		start := WindowStart(time.Now(), WindowLength)
		for range 7 {
			wg.Go(func() {
				for range 40 {
					if err := b.Take(t.Context()); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					at = append(at, time.Now())
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		windows := map[time.Duration]int{}
		for _, x := range at {
			windows[x.Sub(start)/WindowLength]++
		}
		if len(at) != 280 || len(windows) != 28 {
			t.Errorf("%d calls in %d windows, want 280 in 28", len(at), len(windows))
		}
		for w, n := range windows {
			if n != 10 {
				t.Errorf("window %d holds %d calls, want 10", w, n)
			}
		}
		for i := range at {
			n := 0
			for j := i; j < len(at) && at[j].Sub(at[i]) < time.Minute; j++ {
				n++
			}
			if n > 130 {
				t.Fatalf("%d calls within a minute, want at most 130", n)
			}
		}
	})
}

func TestABlockedBudgetLetsNobodyThrough(t *testing.T) {
	t.Parallel()
	for name, perMinute := range map[string]int{"limited": 360, "unlimited": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := NewBudget(perMinute, nil)
				start := time.Now()
				for _, s := range []time.Duration{20 * time.Second, 5 * time.Second} { // the later time stands
					if err := b.Block(t.Context(), start.Add(s)); err != nil {
						t.Fatal(err)
					}
				}
				if err := b.Take(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := time.Since(start); got != 20*time.Second {
					t.Errorf("waited %v, want 20s", got)
				}
			})
		})
	}
}

func TestABudgetHonoursItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(12, nil)
		if err := b.Take(t.Context()); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.Take(short); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 0 {
			t.Errorf("error = %v after %v, want the deadline's at once", err, time.Since(start))
		}
		cancelled, stop := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, stop)
		if err := b.Take(cancelled); !errors.Is(err, context.Canceled) || time.Since(start) != time.Second {
			t.Errorf("error = %v after %v, want a cancellation after 1s", err, time.Since(start))
		}
		if err := b.Take(cancelled); !errors.Is(err, context.Canceled) {
			t.Errorf("error = %v, want none to be taken by who has gone", err)
		}
	})
}

func TestAClientKeepsToItsBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		v := always(answer{body: attendeeRow})
		c := fake(t, v, func(cfg *Config) { cfg.Budget = NewBudget(24, nil) }) // 2 a window
		start := WindowStart(time.Now(), WindowLength)
		for range 9 { // and one login: 10 calls, 5 windows
			if _, err := c.Row(t.Context(), run.Attendees, "1"); err != nil {
				t.Fatal(err)
			}
		}
		if got := time.Since(start); got != 20*time.Second {
			t.Errorf("took %v, want 20s", got)
		}
	})
}

func TestNoBudgetBeforeTheDeadlineIsARateError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(0, nil)
		if err := b.Block(t.Context(), time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		v := always(answer{body: attendeeRow})
		c := fake(t, v, func(cfg *Config) { cfg.Budget = b })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		_, err := c.Row(ctx, run.Attendees, "1")
		if fault.CodeOf(err) != fault.StovaRate || time.Since(start) != 0 || v.calls("global/authorize") != 0 {
			t.Errorf("error = %v after %v, want %s at once", err, time.Since(start), fault.StovaRate)
		}
	})
}

// brokenBudget is a budget whose store is away.
type brokenBudget struct{ take, block error }

func (b brokenBudget) Take(context.Context) error             { return b.take }
func (b brokenBudget) Block(context.Context, time.Time) error { return b.block }

func TestTheBudgetsOwnErrorsKeepTheirCode(t *testing.T) {
	t.Parallel()
	away := fault.New(fault.StoreUnavailable, "ledger: throttled", "")
	late := fault.Wrap(fault.StoreUnavailable, context.DeadlineExceeded, "ledger: no time left", "")
	for name, b := range map[string]brokenBudget{
		"taking a call": {take: away}, "blocking the account": {block: away},
		"a ledger that runs out of time is no rate that is used up": {take: late},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := &vendor{script: func(string, int, url.Values) answer { return answer{status: 429} }}
			c := fake(t, v, func(cfg *Config) { cfg.Budget = b })
			_, err := c.Row(t.Context(), run.Attendees, "1")
			if fault.CodeOf(err) != fault.StoreUnavailable || fault.IsOutOfTime(err) {
				t.Errorf("error = %v, want %s", err, fault.StoreUnavailable)
			}
		})
	}
}

func TestASmallBudgetIsKept(t *testing.T) {
	t.Parallel()
	for _, perMinute := range []int{1, 3, 7, 11} {
		synctest.Test(t, func(t *testing.T) {
			b := NewBudget(perMinute, nil)
			var at []time.Time
			for range 4 * perMinute {
				if err := b.Take(t.Context()); err != nil {
					t.Fatal(err)
				}
				at = append(at, time.Now())
			}
			// 60 seconds touch one window more than they hold.
			for i := perMinute + 1; i < len(at); i++ {
				if span := at[i].Sub(at[i-perMinute-1]); span < time.Minute-time.Second {
					t.Errorf("%d a minute: %d calls within %v", perMinute, perMinute+2, span)
				}
			}
		})
	}
}
