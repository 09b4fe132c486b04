package stova

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// Secrets that must never show; both hold characters that need escaping.
const (
	testKey   = "INVENTEDkey+/="
	testToken = "INVENTEDtoken+/="
)

// answer is one scripted answer; err breaks the connection instead.
type answer struct {
	status int // 0: 200
	body   string
	header map[string]string
	err    error
}

// seenCall is one request as the vendor saw it.
type seenCall struct {
	endpoint string
	query    url.Values
	at       time.Time
}

// vendor plays the API by a script. It is both a handler for real servers and
// a RoundTripper for tests in which time is synthetic. Logins are answered with
// a token unless the script does.
type vendor struct {
	t *testing.T
	// script answers call n (from 1) of an endpoint.
	script func(endpoint string, n int, q url.Values) answer
	logins func(n int) answer

	mu    sync.Mutex
	count map[string]int
	seen  []seenCall
}

func (v *vendor) next(r *http.Request) answer {
	endpoint := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/api/v2/"), ".json")
	q := r.URL.Query()
	if endpoint == "global/authorize" {
		if r.Body != nil {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				v.t.Errorf("read the login's body: %v", err)
			}
			if q, err = url.ParseQuery(string(b)); err != nil {
				v.t.Errorf("parse the login's body: %v", err)
			}
		}
		if r.URL.RawQuery != "" || r.Method != http.MethodPost {
			v.t.Errorf("login by %s with a query of %d bytes, want POST without one", r.Method, len(r.URL.RawQuery))
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.count == nil {
		v.count = map[string]int{}
	}
	v.count[endpoint]++
	n := v.count[endpoint]
	v.seen = append(v.seen, seenCall{endpoint, q, time.Now()})
	if endpoint == "global/authorize" {
		if v.logins != nil {
			return v.logins(n)
		}
		return answer{body: fmt.Sprintf(`{"accesstoken":" %s%d\n"}`, testToken, n)}
	}
	return v.script(endpoint, n, q)
}

func (v *vendor) write(w http.ResponseWriter, a answer) {
	for k, val := range a.header {
		w.Header().Set(k, val)
	}
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	_, _ = io.WriteString(w, a.body) // a client that hangs up is part of some tests
}

func (v *vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) { v.write(w, v.next(r)) }

func (v *vendor) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	a := v.next(r)
	if a.err != nil {
		return nil, a.err
	}
	rec := httptest.NewRecorder()
	v.write(rec, a)
	return rec.Result(), nil
}

// calls returns how often an endpoint was asked.
func (v *vendor) calls(endpoint string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.count[endpoint]
}

// asked returns the requests of an endpoint in order.
func (v *vendor) asked(endpoint string) []seenCall {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []seenCall
	for _, s := range v.seen {
		if s.endpoint == endpoint {
			out = append(out, s)
		}
	}
	return out
}

// fake returns a client whose requests v answers in this process, with the
// longest possible jitter. It fits into a synctest bubble.
func fake(t *testing.T, v *vendor, change func(*Config)) *Client {
	t.Helper()
	v.t = t
	cfg := Config{
		EndPoint: "https://api.example.test/api/v2/", AccountID: "7700", Key: testKey, EventID: "900100001",
		Transport: v, Rand: func() float64 { return 1 },
	}
	if change != nil {
		change(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// served returns a client of a server on loopback that v answers.
func served(t *testing.T, v http.Handler, change func(*Config)) *Client {
	t.Helper()
	if s, ok := v.(*vendor); ok {
		s.t = t
	}
	srv := httptest.NewServer(v)
	t.Cleanup(srv.Close)
	cfg := Config{
		EndPoint: srv.URL + "/api/v2", AccountID: "7700", Key: testKey, EventID: "900100001",
		AllowPrivate: true, RetryBase: time.Millisecond,
	}
	if change != nil {
		change(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if tr, ok := c.cfg.Transport.(*http.Transport); ok {
			tr.CloseIdleConnections()
		}
	})
	return c
}

// always answers every data call alike.
func always(a answer) *vendor {
	return &vendor{script: func(string, int, url.Values) answer { return a }}
}

// then answers data calls in turn, the last answer for ever.
func then(answers ...answer) *vendor {
	return &vendor{script: func(_ string, n int, _ url.Values) answer { return answers[min(n, len(answers))-1] }}
}

const attendeeRow = `{"attendeeid":"800000001","registrationstatus":"Confirmed"}`

// tellsSecret reports whether any error in err's tree prints a secret or the
// query of an address.
func tellsSecret(err error) string {
	if err == nil {
		return ""
	}
	for _, form := range []string{"%v", "%+v", "%#v", "%s"} {
		s := fmt.Sprintf(form, err)
		for _, bad := range []string{"INVENTEDkey", "INVENTEDtoken", "?", "accesstoken="} {
			if strings.Contains(s, bad) {
				return fmt.Sprintf("an error printed with %s holds %q", form, bad)
			}
		}
	}
	switch u := err.(type) {
	case interface{ Unwrap() error }:
		return tellsSecret(u.Unwrap())
	case interface{ Unwrap() []error }:
		for _, e := range u.Unwrap() {
			if s := tellsSecret(e); s != "" {
				return s
			}
		}
	}
	return ""
}
