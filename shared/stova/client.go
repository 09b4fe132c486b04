package stova

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"stovasync/shared/fault"
)

// Config is what a client of one account and event needs.
type Config struct {
	// EndPoint is the API's base, such as https://api-emea.eventscloud.com/api/v2.
	EndPoint  string
	AccountID string
	Key       string
	EventID   string
	// RetryBase scales every wait (P14: retryBaseSeconds); 0 is 2 seconds.
	RetryBase time.Duration
	// Concurrency is how many calls may be in flight; 0 is 4 (stova-api.md §11).
	Concurrency int
	// Budget is the account's rate budget; nil sets no limit, but a 429 still
	// makes every call of this client wait.
	Budget Budget
	// Transport is nil but in tests. The guard of AllowPrivate against private
	// addresses is part of our own transport.
	Transport http.RoundTripper
	// AllowPrivate lets the end point use http and lead to loopback and private
	// addresses, and lets the environment name a proxy.
	AllowPrivate bool
	// CallTimeout is for one request, its body included; 0 is 120 seconds
	// (stova-api.md §5).
	CallTimeout time.Duration
	// Now and Rand (a number in [0, 1)) are nil but in tests and simulations.
	Now  func() time.Time
	Rand func() float64
}

// Client reads one event of one account. It is safe for concurrent use and
// lives as long as the process: it keeps connections and one token.
type Client struct {
	cfg     Config
	urls    [endpointCount]string // without query
	flights chan struct{}         // one slot per call in flight
	login   session
	buffers sync.Pool // of *bytes.Buffer
}

// New returns a client, or CONFIG_INVALID with everything that is wrong with
// cfg. It makes no request.
func New(cfg Config) (*Client, error) {
	base, problems := checkEndPoint(cfg.EndPoint, cfg.AllowPrivate)
	for _, f := range []struct{ name, value string }{
		{"accountid", cfg.AccountID}, {"key", cfg.Key}, {"eventid", cfg.EventID},
	} {
		if strings.TrimSpace(f.value) == "" {
			problems = append(problems, f.name+" is missing")
		}
	}
	if len(problems) > 0 {
		return nil, fault.New(fault.ConfigInvalid, strings.Join(problems, ", "), "correct the connection's settings")
	}
	cfg.RetryBase = cmp.Or(max(cfg.RetryBase, 0), 2*time.Second)
	cfg.Concurrency = cmp.Or(max(cfg.Concurrency, 0), 4)
	cfg.CallTimeout = cmp.Or(max(cfg.CallTimeout, 0), 120*time.Second)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Float64
	}
	if cfg.Budget == nil {
		cfg.Budget = NewBudget(0, cfg.Now)
	}
	if cfg.Transport == nil {
		cfg.Transport = newTransport(cfg.Concurrency, cfg.CallTimeout, cfg.AllowPrivate)
	}
	c := &Client{cfg: cfg, flights: make(chan struct{}, cfg.Concurrency)}
	c.buffers.New = func() any { return new(bytes.Buffer) }
	for e := range endpointCount {
		c.urls[e] = base + "/" + e.String() + ".json"
	}
	return c, nil
}

// checkEndPoint returns the base without a slash at its end, and what is wrong
// with it. The value itself is not repeated: a user may have pasted a token.
func checkEndPoint(endPoint string, allowPrivate bool) (base string, problems []string) {
	base = strings.TrimRight(strings.TrimSpace(endPoint), "/")
	u, err := url.Parse(base)
	switch {
	case base == "":
		return "", []string{"endPoint is missing"}
	case err != nil || u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http"):
		return "", []string{"endPoint is not an address such as https://api-emea.eventscloud.com/api/v2"}
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return "", []string{"endPoint has more than host and path"}
	case u.Scheme == "http" && !allowPrivate:
		return "", []string{"endPoint must be https unless allowPrivateHosts is set"}
	}
	return base, nil
}

// request is one call, to be tried until it brings data.
type request struct {
	endpoint endpoint
	query    string     // without the token
	form     string     // a POST's body; "" is a GET
	id       string     // the row asked for, for errors
	spec     streamSpec // whose goneKeys end the tries
	smaller  bool       // a list that can ask for fewer rows instead of trying on
}

// subject names the request for people: the function, and the row when its id
// is one that can be printed.
func (r request) subject() string {
	if printableID(r.id) {
		return r.endpoint.String() + " " + r.id
	}
	return r.endpoint.String()
}

func printableID(id string) bool {
	return id != "" && len(id) <= 64 && strings.Trim(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-") == ""
}

// How often a call is tried (P14: at least 5 times).
const (
	maxTries     = 5
	maxThrottled = 10 // a 429 is a wait for everybody rather than trouble with this call
	smallerTries = 2  // a too large answer keeps failing; stova-api.md §5 says ask for less
)

// tries is what a call has been through.
type tries struct {
	all, trouble, throttled int
	refused                 int // tokens that were refused
}

// call tries r until it brings data. The caller gives the buffer back to
// c.buffers when it has taken what it needs.
func (c *Client) call(ctx context.Context, r request) (*bytes.Buffer, *failure, int) {
	var t tries
	var tok token
	for {
		if r.endpoint != authorize {
			var err error
			if tok, err = c.token(ctx, tok.stale); err != nil {
				return nil, &failure{kind: passed, cause: err}, t.all
			}
		}
		t.all++
		buf, f := c.attempt(ctx, r, tok)
		if f == nil {
			c.login.took(tok)
			return buf, nil, t.all
		}
		if r.endpoint != authorize && f.unexplained(r.spec) && c.mayRenew(tok, f, &t) {
			tok.stale = tok.number
			continue
		}
		if last := c.wait(ctx, r, f, &t); last != nil {
			return nil, last, t.all
		}
	}
}

// mayRenew reports whether another token may help a call whose token was
// refused. Every call may try one more. After that only a token that has done
// its work tells nothing against the login: one that was replaced while the
// call waited for its turn, or that others were served with before it ended.
func (c *Client) mayRenew(tok token, f *failure, t *tries) bool {
	t.refused++
	if t.refused == 1 {
		return true
	}
	replaced, served := c.login.past(tok)
	return t.refused < maxTries && (replaced || served && f.endsToken())
}

// wait waits before the next try and returns nil, or returns the failure that
// ends the tries: f, or the end of the caller's context.
func (c *Client) wait(ctx context.Context, r request, f *failure, t *tries) *failure {
	var d time.Duration
	switch {
	case f.kind == throttled:
		t.throttled++
		d = cmp.Or(f.after, 15*c.cfg.RetryBase)
		if err := c.cfg.Budget.Block(ctx, c.cfg.Now().Add(d)); err != nil {
			return &failure{kind: passed, cause: fmt.Errorf("%s: rate budget: %w", r.subject(), err)}
		}
		if t.throttled >= maxThrottled {
			return f
		}
	case f.again():
		t.trouble++
		if t.trouble >= maxTries || (r.smaller && f.sized() && t.trouble >= smallerTries) {
			return f
		}
		d = max(c.backoff(t.trouble-1), f.after)
	default:
		return f
	}
	if err := pause(ctx, d); errors.Is(err, context.Canceled) {
		return &failure{kind: ended, cause: err}
	} else if err != nil {
		f.late = true
		return f // what the vendor did says more than that the time is up
	}
	return nil
}

// backoff is a full jitter that doubles from the base up to 30 × base (P14).
func (c *Client) backoff(n int) time.Duration {
	ceiling := min(c.cfg.RetryBase<<min(n, 5), 30*c.cfg.RetryBase)
	return time.Duration(c.cfg.Rand() * float64(ceiling))
}
