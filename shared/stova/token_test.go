package stova

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/fault"
	"stovasync/shared/run"
)

func TestATokenIsRenewedAtFiveMinutes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		v := always(answer{body: attendeeRow})
		c := fake(t, v, nil)
		row := func() {
			t.Helper()
			if _, err := c.Row(t.Context(), run.Attendees, "1"); err != nil {
				t.Fatal(err)
			}
		}
		row()
		time.Sleep(5*time.Minute - time.Second)
		row()
		if n := v.calls("global/authorize"); n != 1 {
			t.Fatalf("%d logins before five minutes, want 1", n)
		}
		time.Sleep(time.Second)
		row()
		if n := v.calls("global/authorize"); n != 2 {
			t.Fatalf("%d logins at five minutes, want 2", n)
		}
		var sent []string
		for _, s := range v.asked("ereg/getAttendee") {
			sent = append(sent, s.query.Get("accesstoken"))
		}
		want := []string{testToken + "1", testToken + "1", testToken + "2"} // trimmed, and + / = survive
		if diff := cmp.Diff(want, sent); diff != "" {
			t.Errorf("tokens sent (-want +got):\n%s", diff)
		}
	})
}

func TestTheLoginSendsAccountAndKeyInTheBody(t *testing.T) {
	t.Parallel()
	v := always(answer{})
	c := fake(t, v, nil)
	if err := c.Authorise(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := url.Values{"accountid": {"7700"}, "key": {testKey}}
	if diff := cmp.Diff(want, v.asked("global/authorize")[0].query); diff != "" {
		t.Errorf("login form (-want +got):\n%s", diff)
	}
}

func TestAuthoriseAlwaysAsks(t *testing.T) {
	t.Parallel()
	v := always(answer{})
	c := fake(t, v, nil)
	for range 2 {
		if err := c.Authorise(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := v.calls("global/authorize"); n != 2 {
		t.Errorf("%d logins, want 2: a check must not be content with an old token", n)
	}
}

// Many calls whose token expired at once share one new login.
func TestAnExpiredTokenIsRenewedOnceForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		v := &vendor{script: func(_ string, _ int, q url.Values) answer {
			if q.Get("accesstoken") == testToken+"1" {
				return answer{body: `{"error":{"accesstoken":"expired"}}`}
			}
			return answer{body: attendeeRow}
		}}
		gate := &crowd{inner: v}
		c := fake(t, v, func(cfg *Config) { cfg.Transport, cfg.Concurrency = gate, 8 })
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if _, err := c.Row(t.Context(), run.Attendees, "1"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		got := []int{v.calls("global/authorize"), v.calls("ereg/getAttendee")}
		if diff := cmp.Diff([]int{2, 16}, got); diff != "" {
			t.Errorf("logins and calls (-want +got):\n%s", diff)
		}
	})
}

func TestARefusedKeyIsToldToAllWhoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		v := always(answer{})
		v.logins = func(int) answer { return answer{body: `{"error":{"credentials":"x"}}`} }
		gate := &crowd{inner: v}
		c := fake(t, v, func(cfg *Config) { cfg.Transport = gate })
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				if _, err := c.Row(t.Context(), run.Attendees, "1"); fault.CodeOf(err) != fault.StovaAuth {
					t.Errorf("error = %v, want %s", err, fault.StovaAuth)
				}
			})
		}
		wg.Wait()
		if n := v.calls("global/authorize"); n != 1 {
			t.Errorf("%d logins with a refused key, want 1", n)
		}
	})
}

// A caller that gives up while it logs in does not take the others with it.
func TestAnAbandonedLoginIsTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		v := always(answer{body: attendeeRow})
		v.logins = func(n int) answer {
			if n == 1 {
				return answer{status: 502}
			}
			return answer{body: `{"accesstoken":"` + testToken + `"}`}
		}
		c := fake(t, v, nil)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := c.Row(ctx, run.Attendees, "1"); !errors.Is(err, context.Canceled) {
				t.Errorf("error = %v, want a cancellation", err)
			}
		})
		synctest.Wait() // the first caller now waits to try its login again
		wg.Go(func() {
			if _, err := c.Row(t.Context(), run.Attendees, "2"); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		cancel()
		wg.Wait()
	})
}

func TestAWaiterForALoginGivesUpWithItsOwnContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		v := always(answer{body: attendeeRow})
		v.logins = func(n int) answer {
			if n == 1 {
				return answer{status: 503, header: map[string]string{"Retry-After": "600"}}
			}
			return answer{body: `{"accesstoken":"` + testToken + `"}`}
		}
		c := fake(t, v, nil)
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := c.Row(t.Context(), run.Attendees, "1"); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		_, err := c.Row(ctx, run.Attendees, "2")
		if fault.CodeOf(err) != fault.StovaTimeout || time.Since(start) != time.Minute {
			t.Errorf("error = %v after %v, want %s after a minute", err, time.Since(start), fault.StovaTimeout)
		}
		wg.Wait()
	})
}

// A call may wait long for its turn, while others use its token up: that says
// nothing against the login. What does not get better is asked with one more
// token, and no more.
func TestACallIsServedWithTheTokenThatIsGoodWhenItIsMade(t *testing.T) {
	t.Parallel()
	const expired = `{"error":{"accesstoken":"expired"}}`
	tests := map[string]struct {
		refusal  answer // of the slow call with the first tokens
		refused  int    // how many of its tokens
		others   bool   // another call is served with each of them before
		code     fault.Code
		attempts int
		logins   int
	}{
		"a token that ended after it had served others is renewed again":   {answer{body: expired}, 3, true, "", 4, 4},
		"401 to a token that had served others is no word on the login":    {answer{status: 401}, 3, true, "", 4, 4},
		"a new token that never served is refused for good":                {answer{body: expired}, 9, false, fault.StovaAuth, 2, 2},
		"tokens that end for ever are given up":                            {answer{body: expired}, 9, true, fault.StovaAuth, 5, 5},
		"403 may be a suspended account, which is left alone":              {answer{status: 403}, 9, true, fault.StovaAuth, 2, 2},
		"an error of a row alone is asked with one more token, not with 5": {answer{body: `{"error":{"oddity":"x"}}`}, 9, true, fault.StovaBody, 2, 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var c *Client
			v := always(answer{body: attendeeRow})
			attempts := 0
			gate := transport(func(r *http.Request) (*http.Response, error) {
				if r.URL.Query().Get("attendeeid") != "1" {
					return v.RoundTrip(r)
				}
				if attempts++; tt.others {
					if _, err := c.Row(t.Context(), run.Attendees, "2"); err != nil {
						t.Error(err)
					}
				}
				if attempts > tt.refused {
					return v.RoundTrip(r)
				}
				rec := httptest.NewRecorder()
				v.write(rec, tt.refusal)
				return rec.Result(), nil
			})
			c = fake(t, v, func(cfg *Config) { cfg.Transport = gate })
			_, err := c.Row(t.Context(), run.Attendees, "1")
			if fault.CodeOf(err) != tt.code {
				t.Errorf("error = %v, want code %q", err, tt.code)
			}
			if diff := cmp.Diff([]int{tt.attempts, tt.logins}, []int{attempts, v.calls("global/authorize")}); diff != "" {
				t.Errorf("attempts and logins (-want +got):\n%s", diff)
			}
		})
	}
}

// A token that another call has replaced is no renewal of this one's.
func TestATokenThatWasReplacedMeanwhileIsNotHeldAgainstTheLogin(t *testing.T) {
	t.Parallel()
	var c *Client
	v := always(answer{body: attendeeRow})
	attempts := 0
	gate := transport(func(r *http.Request) (*http.Response, error) {
		if r.URL.Query().Get("attendeeid") == "" {
			return v.RoundTrip(r)
		}
		if attempts++; attempts > 3 {
			return v.RoundTrip(r)
		}
		if err := c.Authorise(t.Context()); err != nil { // somebody logs in anew
			t.Error(err)
		}
		rec := httptest.NewRecorder()
		v.write(rec, answer{status: 403})
		return rec.Result(), nil
	})
	c = fake(t, v, func(cfg *Config) { cfg.Transport = gate })
	if _, err := c.Row(t.Context(), run.Attendees, "1"); err != nil || attempts != 4 {
		t.Errorf("%d attempts, %v; want 4 and the row", attempts, err)
	}
	if n := v.calls("global/authorize"); n != 4 {
		t.Errorf("%d logins, want 4: the first, and three of others", n)
	}
}

// transport is a function as the way to the vendor.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
