package stova

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/fault"
	"stovasync/shared/run"
)

// What a row call makes of each kind of answer, how often it asks, and how
// long it waits in all (base 2 s, longest jitter).
func TestRowJudgesAnswers(t *testing.T) {
	t.Parallel()
	refusedDial := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	noHost := &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "api.example.test", IsNotFound: true}}
	tests := map[string]struct {
		answers []answer
		logins  func(n int) answer

		code      fault.Code // "": the row comes
		gone      bool
		permanent bool
		rows      int // data calls
		tokens    int // logins
		waited    time.Duration
		tells     string // part of the error's text
	}{
		"a row comes as it is": {answers: []answer{{body: attendeeRow}}, rows: 1, tokens: 1},
		"a 502 is tried five times with doubling waits": {
			answers: []answer{{status: 502, body: "<html>INVENTEDtoken</html>"}},
			code:    fault.StovaServer, rows: 5, tokens: 1, waited: (2 + 4 + 8 + 16) * time.Second, tells: "server error (502), 5 tries",
		},
		"a 503 that passes brings the row": {answers: []answer{{status: 503}, {status: 503}, {body: attendeeRow}}, rows: 3, tokens: 1, waited: 6 * time.Second},
		"Retry-After of a 503 is a lower bound": {
			answers: []answer{{status: 503, header: map[string]string{"Retry-After": "40"}}, {body: attendeeRow}}, rows: 2, tokens: 1, waited: 40 * time.Second,
		},
		"a gateway page with status 200 is tried again": {
			answers: []answer{{body: "<html>busy?</html>"}, {body: attendeeRow}}, rows: 2, tokens: 1, waited: 2 * time.Second,
		},
		"a gateway page that stays is STOVA_BODY": {
			answers: []answer{{body: "<html>busy?</html>"}}, code: fault.StovaBody, rows: 5, tokens: 1, waited: 30 * time.Second, tells: "not JSON",
		},
		"an empty body is tried again": {answers: []answer{{}, {body: attendeeRow}}, rows: 2, tokens: 1, waited: 2 * time.Second},
		"truncated JSON is tried again": {
			answers: []answer{{body: attendeeRow[:20]}, {body: attendeeRow}}, rows: 2, tokens: 1, waited: 2 * time.Second,
		},
		"truncated JSON that stays is STOVA_BODY": {
			answers: []answer{{body: attendeeRow[:20]}}, code: fault.StovaBody, rows: 5, tokens: 1, waited: 30 * time.Second, tells: "cut off",
		},
		"a refused connection is STOVA_SERVER": {
			answers: []answer{{err: refusedDial}}, code: fault.StovaServer, rows: 5, tokens: 1, waited: 30 * time.Second, tells: "connection refused",
		},
		"an unknown host is STOVA_SERVER": {
			answers: []answer{{err: noHost}}, code: fault.StovaServer, rows: 5, tokens: 1, waited: 30 * time.Second, tells: "host not found",
		},
		"a network error is told without its address": {
			answers: []answer{{err: &url.Error{Op: "Get", URL: "https://x/?accesstoken=" + testToken, Err: errors.New("bad?")}}},
			code:    fault.StovaServer, rows: 5, tokens: 1, waited: 30 * time.Second, tells: "connection failed",
		},
		"a connection that times out is STOVA_TIMEOUT": {
			answers: []answer{{err: os.ErrDeadlineExceeded}}, code: fault.StovaTimeout, rows: 5, tokens: 1, waited: 30 * time.Second,
		},
		"429 with Retry-After in seconds waits as long": {
			answers: []answer{{status: 429, header: map[string]string{"Retry-After": "7"}}, {body: attendeeRow}}, rows: 2, tokens: 1, waited: 7 * time.Second,
		},
		"429 without Retry-After waits 15 times the base": {
			answers: []answer{{status: 429, body: "slow down?"}, {body: attendeeRow}}, rows: 2, tokens: 1, waited: 30 * time.Second,
		},
		"429 with Retry-After 0 waits the base": {
			answers: []answer{{status: 429, header: map[string]string{"Retry-After": "0"}}, {body: attendeeRow}}, rows: 2, tokens: 1, waited: 2 * time.Second,
		},
		"429 that never ends is STOVA_RATE": {answers: []answer{{status: 429}}, code: fault.StovaRate, rows: 10, tokens: 1, waited: 270 * time.Second},
		"a redirect is not followed": {
			answers: []answer{{status: 302, header: map[string]string{"Location": "https://elsewhere.example.test/?a=b"}}},
			code:    fault.StovaBody, rows: 1, tokens: 1, tells: "redirect (302)",
		},
		"a bare 404 is neither gone nor tried again": {answers: []answer{{status: 404, body: "<html>"}}, code: fault.StovaBody, rows: 1, tokens: 1, tells: "(404)"},
		"the key attendeeid means gone":              {answers: []answer{{body: `{"error":{"attendeeid":"Ada Invented?"}}`}}, gone: true, rows: 1, tokens: 1},
		"the key attendeeid with 404 means gone too": {answers: []answer{{status: 404, body: `{"error":{"attendeeid":"x"}}`}}, gone: true, rows: 1, tokens: 1},
		"no row found means gone":                    {answers: []answer{{body: `{"error":{"data":"No attendee found."}}`}}, gone: true, rows: 1, tokens: 1},
		"an unexplained error leads to one new login": {
			answers: []answer{{body: `{"error":{"accesstoken":"expired?"}}`}, {body: attendeeRow}}, rows: 2, tokens: 2,
		},
		"an unexplained error that stays is STOVA_BODY": {
			answers: []answer{{body: `{"error":{"oddity":"Ada Invented?"}}`}}, code: fault.StovaBody, rows: 2, tokens: 2, tells: `error key "oddity"`,
		},
		"an error key that looks like none is not shown": {
			answers: []answer{{body: `{"error":{"Ada Invented?":"x"}}`}}, code: fault.StovaBody, rows: 2, tokens: 2, tells: "error without a key",
		},
		"an error that is bare text is an error": {answers: []answer{{body: `{"error":"Ada Invented?"}`}}, code: fault.StovaBody, rows: 2, tokens: 2},
		"an error that says nothing but is all there is": {
			answers: []answer{{body: `{"error":[]}`}}, code: fault.StovaBody, rows: 2, tokens: 2,
		},
		"an empty error beside data is no error": {answers: []answer{{body: `{"error":null,"attendeeid":"1"}`}}, rows: 1, tokens: 1},
		"the word error in a value is no error":  {answers: []answer{{body: `{"attendeeid":"1","note":"error"}`}}, rows: 1, tokens: 1},
		"a token refused after a new login is STOVA_AUTH": {
			answers: []answer{{body: `{"error":{"accesstoken":"no?"}}`}}, code: fault.StovaAuth, rows: 2, tokens: 2,
		},
		"Data Services' text of an expired token leads to a new login": {
			answers: []answer{{body: `{"status":"error","msg":"Not authorized to access account 7700"}`}, {body: attendeeRow}}, rows: 2, tokens: 2,
		},
		"401 leads to one new login":                   {answers: []answer{{status: 401}, {body: attendeeRow}}, rows: 2, tokens: 2},
		"403 that stays is STOVA_AUTH, and may mend":   {answers: []answer{{status: 403, body: "<html>"}}, code: fault.StovaAuth, rows: 2, tokens: 2, tells: "(403)"},
		"credentials on a row is settled by the login": {answers: []answer{{body: `{"error":{"credentials":"x"}}`}, {body: attendeeRow}}, rows: 2, tokens: 2},
		"eventid that stays is STOVA_EVENT for good": {
			answers: []answer{{body: `{"error":{"eventid":"Ada Invented?"}}`}}, code: fault.StovaEvent, permanent: true, rows: 2, tokens: 2,
		},
		"a refused key is STOVA_AUTH for good, and asked once": {
			logins: func(int) answer { return answer{body: `{"error":{"credentials":"INVENTEDkey?"}}`} },
			code:   fault.StovaAuth, permanent: true, tokens: 1, tells: "global/authorize: the account or key was refused",
		},
		"a login behind a 502 is tried again": {
			logins: func(n int) answer {
				if n < 3 {
					return answer{status: 502}
				}
				return answer{body: `{"accesstoken":"` + testToken + `"}`}
			},
			answers: []answer{{body: attendeeRow}}, rows: 1, tokens: 3, waited: 6 * time.Second,
		},
		"a login without a token is STOVA_BODY":       {logins: func(int) answer { return answer{body: `{"accesstoken":" "}`} }, code: fault.StovaBody, tokens: 1},
		"an array is not a row":                       {answers: []answer{{body: `[1,2]`}}, code: fault.StovaBody, rows: 1, tokens: 1},
		"an empty object is not a row":                {answers: []answer{{body: `{}`}}, code: fault.StovaBody, rows: 1, tokens: 1},
		"a row alone in a list is the row":            {answers: []answer{{body: `[` + attendeeRow + `]`}}, rows: 1, tokens: 1},
		"white space and a byte order mark are cut":   {answers: []answer{{body: "\ufeff\r\n" + attendeeRow + "\n"}}, rows: 1, tokens: 1},
		"an answer of over 10 MB is not tried again":  {answers: []answer{{body: `{"a":"` + strings.Repeat("x", bodyLimit) + `"}`}}, code: fault.StovaTooLarge, rows: 1, tokens: 1},
		"a 408 counts as no answer in time":           {answers: []answer{{status: 408}, {body: attendeeRow}}, rows: 2, tokens: 1, waited: 2 * time.Second},
		"a 500 with an error object is still a 500":   {answers: []answer{{status: 500, body: `{"error":{"attendeeid":"x"}}`}, {body: attendeeRow}}, rows: 2, tokens: 1, waited: 2 * time.Second},
		"both eventid and attendeeid is not yet gone": {answers: []answer{{body: `{"error":{"attendeeid":"x","eventid":"x"}}`}}, code: fault.StovaEvent, permanent: true, rows: 2, tokens: 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				v := then(tt.answers...)
				v.logins = tt.logins
				c := fake(t, v, nil)
				start := time.Now()
				row, err := c.Row(t.Context(), run.Attendees, "800000001")
				waited := time.Since(start)
				if leak := tellsSecret(err); leak != "" {
					t.Error(leak)
				}
				if err != nil && strings.Contains(err.Error(), "Ada") {
					t.Error("the error repeats what the vendor wrote")
				}
				if got := fault.CodeOf(err); got != tt.code || errors.Is(err, ErrGone) != tt.gone {
					t.Fatalf("error = %v, want code %q, gone %v", err, tt.code, tt.gone)
				}
				if fault.IsPermanent(err) != tt.permanent {
					t.Errorf("permanent = %v, want %v", !tt.permanent, tt.permanent)
				}
				if err != nil && !strings.Contains(err.Error(), tt.tells) {
					t.Errorf("error = %q, want %q in it", err, tt.tells)
				}
				if err == nil && (len(row) == 0 || row[0] != '{' || row[len(row)-1] != '}') {
					t.Errorf("row of %d bytes is not an object", len(row))
				}
				got := []any{v.calls("ereg/getAttendee"), v.calls("global/authorize"), waited}
				if diff := cmp.Diff([]any{tt.rows, tt.tokens, tt.waited}, got); diff != "" {
					t.Errorf("data calls, logins, time waited (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestRetryAfterReadsDates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		at := time.Now().Add(11 * time.Second).UTC().Format(http.TimeFormat)
		c := fake(t, then(answer{status: 429, header: map[string]string{"Retry-After": at}}, answer{body: attendeeRow}), nil)
		start := time.Now()
		if _, err := c.Row(t.Context(), run.Attendees, "1"); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(start); got != 11*time.Second {
			t.Errorf("waited %v, want 11s", got)
		}
	})
}

func TestRetryAfterIsBounded(t *testing.T) {
	t.Parallel()
	c := fake(t, always(answer{}), nil)
	tests := map[string]struct {
		header string
		want   time.Duration
	}{
		"days are cut to an hour":   {"864000", time.Hour},
		"no number or date is none": {"soon", 0},
		"a date long ago is a base": {"Mon, 02 Jan 2006 15:04:05 GMT", 2 * time.Second},
		"a negative is a base":      {"-5", 2 * time.Second},
		"a huge number is an hour":  {"99999999999999", time.Hour},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := c.retryAfter(http.Header{"Retry-After": {tt.header}}); got != tt.want {
				t.Errorf("retryAfter(%q) = %v, want %v", tt.header, got, tt.want)
			}
		})
	}
}

// No wait is begun that the deadline would cut short: the error comes at once.
func TestWaitsThatDoNotFitEndTheCall(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer answer
		code   fault.Code
		waited time.Duration
	}{
		"429":     {answer{status: 429}, fault.StovaRate, 0},
		"502":     {answer{status: 502}, fault.StovaServer, 6 * time.Second}, // 2 and 4 fit, 8 does not
		"timeout": {answer{err: os.ErrDeadlineExceeded}, fault.StovaTimeout, 6 * time.Second},
		"cut":     {answer{body: `{"a":`}, fault.StovaBody, 6 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := fake(t, always(tt.answer), nil)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				start := time.Now()
				_, err := c.Row(ctx, run.Attendees, "1")
				if fault.CodeOf(err) != tt.code || tellsSecret(err) != "" {
					t.Errorf("error = %v, want %s", err, tt.code)
				}
				if got := time.Since(start); got != tt.waited {
					t.Errorf("waited %v, want %v", got, tt.waited)
				}
			})
		})
	}
}

func TestAListWhoseWaitDoesNotFitEndsToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		v := always(answer{status: 502})
		c := fake(t, v, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.List(ctx, run.Attendees, ListOptions{})
		if fault.CodeOf(err) != fault.StovaServer {
			t.Errorf("error = %v, want %s", err, fault.StovaServer)
		}
		if n := v.calls("ereg/listAttendees"); n != 1 {
			t.Errorf("%d list calls, want 1", n)
		}
	})
}

// A 429 stops every call of the client until its time, not only the one that saw it.
func TestAThrottledCallHoldsAllOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		v := then(answer{status: 429, header: map[string]string{"Retry-After": "60"}}, answer{body: attendeeRow})
		c := fake(t, v, nil)
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := c.Row(t.Context(), run.Attendees, "1"); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		if _, err := c.Row(t.Context(), run.Attendees, "2"); err != nil {
			t.Error(err)
		}
		wg.Wait()
		for _, s := range v.asked("ereg/getAttendee")[1:] {
			if at := s.at.Sub(start); at < 60*time.Second {
				t.Errorf("a call was made %v after the 429, want 60s", at)
			}
		}
	})
}

func TestACancelledCallEndsAtOnceWithoutACode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := fake(t, always(answer{status: 502}), nil)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		_, err := c.Row(ctx, run.Attendees, "1")
		if !errors.Is(err, context.Canceled) || fault.CodeOf(err) != "" || time.Since(start) != time.Second {
			t.Errorf("error = %v after %v, want a cancellation after 1s", err, time.Since(start))
		}
	})
}

// silent never answers.
type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestACallEndsAtItsOwnTimeLimitOrTheCallers(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		deadline time.Duration
		want     time.Duration
		callers  bool
	}{
		"five times the limit, and the waits between": {time.Hour, 5*20*time.Second + 30*time.Second, false},
		"the caller's deadline is earlier":            {5 * time.Second, 5 * time.Second, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := fake(t, always(answer{}), func(cfg *Config) {
					cfg.Transport = silent{}
					cfg.CallTimeout = 20 * time.Second
				})
				ctx, cancel := context.WithTimeout(t.Context(), tt.deadline)
				defer cancel()
				start := time.Now()
				err := c.Authorise(ctx)
				if fault.CodeOf(err) != fault.StovaTimeout || errors.Is(err, context.DeadlineExceeded) != tt.callers {
					t.Errorf("error = %v, want %s", err, fault.StovaTimeout)
				}
				if got := time.Since(start); got != tt.want {
					t.Errorf("took %v, want %v", got, tt.want)
				}
			})
		})
	}
}

// crowd counts how many requests are under way at once.
type crowd struct {
	inner       http.RoundTripper
	now, atMost atomic.Int64
}

func (c *crowd) RoundTrip(r *http.Request) (*http.Response, error) {
	n := c.now.Add(1)
	defer c.now.Add(-1)
	for old := c.atMost.Load(); n > old && !c.atMost.CompareAndSwap(old, n); old = c.atMost.Load() {
	}
	time.Sleep(time.Second) // synthetic: the vendor takes its time
	return c.inner.RoundTrip(r)
}

func TestNoMoreCallsInFlightThanAllowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		v := always(answer{body: attendeeRow})
		gate := &crowd{inner: v}
		c := fake(t, v, func(cfg *Config) { cfg.Transport, cfg.Concurrency = gate, 3 })
		start := time.Now()
		var wg sync.WaitGroup
		for range 30 {
			wg.Go(func() {
				if _, err := c.Row(t.Context(), run.Attendees, "1"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := gate.atMost.Load(); got != 3 {
			t.Errorf("%d calls at once, want 3", got)
		}
		if got := time.Since(start); got != 11*time.Second { // the login, then ten threes
			t.Errorf("took %v, want 11s", got)
		}
		if n := v.calls("global/authorize"); n != 1 {
			t.Errorf("%d logins, want one that all share", n)
		}
	})
}

func TestTheJitterDoublesUpToThirtyTimesTheBase(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		rand float64
		n    int
		want time.Duration
	}{
		"none at all":               {0, 3, 0},
		"half of the base":          {0.5, 0, time.Second},
		"half of twice the base":    {0.5, 1, 2 * time.Second},
		"all of 16 times the base":  {1, 4, 32 * time.Second},
		"never over 30 times":       {1, 5, 60 * time.Second},
		"nor after very many tries": {1, 500, 60 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := fake(t, always(answer{}), func(cfg *Config) { cfg.Rand = func() float64 { return tt.rand } })
			if got := c.backoff(tt.n); got != tt.want {
				t.Errorf("backoff(%d) = %v, want %v", tt.n, got, tt.want)
			}
		})
	}
}
