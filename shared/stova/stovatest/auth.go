package stovatest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// tokens knows the tokens that were given out. Several may be valid at once,
// and a new login does not end the older ones (a guess: stova-api.md Q6).
type tokens struct {
	salt  string // tokens of other events and of the other API family differ
	mu    sync.Mutex
	given int
	live  map[string]*token
}

type token struct {
	until time.Time // fixed, not sliding
	calls int
}

// issue makes a token that is valid for life from now.
func (t *tokens) issue(now time.Time, o *ServerOptions) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.live == nil {
		t.live = map[string]*token{}
	}
	for text, old := range t.live {
		if !now.Before(old.until) {
			delete(t.live, text)
		}
	}
	t.given++
	text := tokenText(t.salt, t.given, o.LegacyTokens)
	t.live[text] = &token{until: now.Add(o.TokenLife)}
	return text
}

// tokenText invents a token: 96 letters and digits, or the old base64 form,
// which always holds the three characters that break an unescaped query.
func tokenText(salt string, n int, legacy bool) string {
	a := sha256.Sum256(fmt.Appendf(nil, "invented token %s %d", salt, n))
	b := sha256.Sum256(a[:])
	if legacy {
		return "a+b/" + base64.StdEncoding.EncodeToString(a[:]) // 32 bytes end in one =
	}
	return hex.EncodeToString(a[:]) + hex.EncodeToString(b[:16])
}

// valid says whether a token is good now, and how many calls it has had,
// this one included.
func (t *tokens) valid(text string, now time.Time) (bool, int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tok := t.live[text]
	if tok == nil || !now.Before(tok.until) {
		return false, 0
	}
	tok.calls++
	return true, tok.calls
}

func (t *tokens) revoke(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.live, text)
}

func (t *tokens) revokeAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.live)
}

// ExpireTokens makes every token given out so far invalid.
func (s *Server) ExpireTokens() {
	s.tokens.revokeAll()
	s.dsTokens.revokeAll()
}

// authorize serves global/authorize (stova-api.md §3).
func (s *Server) authorize(c *call) {
	if !s.credentialsOK(c) {
		c.fail("credentials", "Invalid account id or key.")
		return
	}
	text := s.tokens.issue(s.opt.Now(), &s.opt)
	if s.opt.TokenNewline {
		text += "\n"
	}
	c.out.open('{')
	c.out.pair("accesstoken", text)
	c.out.close('}')
}

func (s *Server) credentialsOK(c *call) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return c.q.Get("accountid") == s.event.AccountID && c.q.Get("key") == s.event.Key
}

// admit checks the token, which may come by query, form body or header. If it
// is not good, the refusal is written and admit says false.
func (s *Server) admit(c *call) bool {
	text := c.q.Get("accesstoken")
	if text == "" {
		text = c.r.Header.Get("accesstoken")
	}
	text = strings.TrimSpace(text)
	live := &s.tokens
	if strings.HasPrefix(c.name, "ds/") {
		live = &s.dsTokens
	}
	ok, calls := live.valid(text, s.opt.Now())
	if ok && c.tokenEnds(calls) {
		live.revoke(text)
		ok = false
	}
	if !ok {
		s.refuse(c)
	}
	return ok
}

// refuse answers a call whose token is missing, unknown or expired. What the
// vendor answers is unknown (Q5), hence the choice.
func (s *Server) refuse(c *call) {
	how := s.opt.Expired
	if strings.HasPrefix(c.name, "ds/") && how == "accesstoken" {
		how = "ds"
	}
	switch how {
	case "401":
		c.status = http.StatusUnauthorized
		c.html("401 Unauthorized")
	case "403":
		c.status = http.StatusForbidden
		c.html("403 Forbidden")
	case "ds":
		c.dsFail("Not authorized to access account " + s.opt.account)
	default:
		c.fail(how, "Invalid or expired access token.")
	}
}
