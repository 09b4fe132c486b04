package photo

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"stovasync/shared/fault"
)

// The waits of P14, in units of Config.RetryBase.
const (
	tries        = 5
	maxWaits     = 30 // of 5xx, time-outs and cut bodies
	rateWaits    = 15 // of a 429 that does not say how long
	longestAfter = 5 * time.Minute
)

// retryable is a failure that a later try may mend. wait is how long the
// server asked for; 0 if it did not.
type retryable struct {
	code fault.Code
	text string
	wait time.Duration
	err  error
}

func (r *retryable) Error() string { return r.text }
func (r *retryable) Unwrap() error { return r.err }

// RetryAfter returns how long the server that gave err asked to wait; 0 if it
// did not say.
func RetryAfter(err error) time.Duration {
	if r, ok := errors.AsType[*retryable](err); ok {
		return r.wait
	}
	return 0
}

// retry calls try until it succeeds, fails for good, or has failed 5 times. It
// does not start a wait that ends after ctx's deadline.
func (f *Fetcher) retry(ctx context.Context, host string, try func() (Picture, error)) (Picture, error) {
	for n := 1; ; n++ {
		p, err := try()
		r, again := errors.AsType[*retryable](err)
		if err == nil || !again {
			return p, err
		}
		if ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return Picture{}, fmt.Errorf("fetch picture from %s: %w", host, ctx.Err())
		}
		wait := f.wait(n, r)
		deadline, limited := ctx.Deadline()
		late := limited && time.Until(deadline) <= wait
		if n == tries || r.wait > longestAfter || late {
			e := fault.Wrap(r.code, r, fmt.Sprintf("fetch picture from %s: %s, tried %d times", host, r.text, n), "run the page again later")
			if late && n < tries {
				return Picture{}, fault.OutOfTime(e)
			}
			return Picture{}, e
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return Picture{}, fmt.Errorf("fetch picture from %s: %w", host, ctx.Err())
		}
	}
}

// wait is how long to wait after failure n: what the server asked for, else
// full jitter that doubles up to its limit.
func (f *Fetcher) wait(n int, r *retryable) time.Duration {
	switch {
	case r.wait > 0:
		return r.wait
	case r.code == fault.StovaRate:
		return rateWaits * f.cfg.RetryBase
	default:
		return time.Duration(f.cfg.Rand() * min(maxWaits, math.Exp2(float64(n-1))) * float64(f.cfg.RetryBase))
	}
}

// retryAfter reads the header, which holds seconds or a date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if s, err := strconv.Atoi(v); err == nil && s >= 0 {
		return time.Duration(min(s, 86400)) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, t.Sub(now))
	}
	return 0
}
