package stova

import (
	"context"
	"encoding/json"
	"sync"
	"time"
)

// tokenAge is when a token is renewed: half of the ten minutes that others
// have seen (stova-api.md §3, Q6).
const tokenAge = 5 * time.Minute

// token is what the login gave. Its numbers tell a renewed token from the one
// it replaces, also when the vendor hands out the same text again.
type token struct {
	value  string
	number int // counts from 1
	stale  int // tokens up to this number were refused to this caller
}

// session holds the process's one token and its renewal in progress.
type session struct {
	mu      sync.Mutex
	value   string
	number  int
	born    time.Time
	served  int // the newest token that has brought data
	renewal *renewal
}

// took notes that a token has brought data.
func (s *session) took(tok token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.served = max(s.served, tok.number)
}

// past reports whether there is a newer token than tok, and whether tok has
// brought data.
func (s *session) past(tok token) (replaced, served bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.number > tok.number, s.served >= tok.number
}

// renewal is one login that any number of callers wait for.
type renewal struct {
	done  chan struct{}
	err   error
	alone bool // it failed because its caller's context ended: others go on
}

// token returns a token younger than tokenAge whose number is above stale,
// logging in if there is none. Callers share one login.
func (c *Client) token(ctx context.Context, stale int) (token, error) {
	s := &c.login
	for {
		s.mu.Lock()
		if s.number > stale && c.cfg.Now().Sub(s.born) < tokenAge {
			tok := token{value: s.value, number: s.number, stale: stale}
			s.mu.Unlock()
			return tok, nil
		}
		flight := s.renewal
		mine := flight == nil
		if mine {
			flight = &renewal{done: make(chan struct{})}
			s.renewal = flight
		}
		s.mu.Unlock()
		if mine {
			c.renew(ctx, flight)
		}
		select {
		case <-flight.done:
		case <-ctx.Done():
			return token{}, (&failure{kind: ended, cause: ctx.Err()}).err(authorize.String(), 0)
		}
		if flight.err != nil && (mine || !flight.alone) {
			return token{}, flight.err
		}
	}
}

// renew logs in and ends the flight.
func (c *Client) renew(ctx context.Context, flight *renewal) {
	value, err := c.askToken(ctx)
	s := &c.login
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.value, s.born = value, c.cfg.Now()
		s.number++
	}
	flight.err, flight.alone = err, ctx.Err() != nil
	s.renewal = nil
	close(flight.done)
}

// askToken logs in by POST, so that the key is in no address (stova-api.md §3).
func (c *Client) askToken(ctx context.Context) (string, error) {
	r := request{endpoint: authorize, form: query("accountid", c.cfg.AccountID, "key", c.cfg.Key)}
	buf, f, n := c.call(ctx, r)
	if f != nil {
		return "", f.err(r.subject(), n)
	}
	defer c.release(buf)
	var answer struct {
		Token Text `json:"accesstoken"`
	}
	if json.Unmarshal(buf.Bytes(), &answer) != nil || answer.Token.Trim() == "" {
		return "", (&failure{kind: badShape, what: "the answer holds no token"}).err(r.subject(), n)
	}
	return answer.Token.Trim(), nil
}

// Authorise logs in anew, whether or not there is a token: the first step of
// the connection test. A refused account or key is STOVA_AUTH and permanent.
func (c *Client) Authorise(ctx context.Context) error {
	c.login.mu.Lock()
	current := c.login.number
	c.login.mu.Unlock()
	_, err := c.token(ctx, current)
	return err
}
