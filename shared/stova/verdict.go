package stova

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/valyala/fastjson"

	"stovasync/shared/fault"
)

// ErrGone says that the vendor has no row of this id.
var ErrGone = errors.New("no such row at the vendor")

// kind is what went wrong with one request.
type kind int

const (
	noKind      kind = iota
	ended            // the caller's context ended
	noRoom           // the rate budget has no call left before the deadline
	private          // the end point's address is not public
	unreachable      // no connection, or it broke before the answer
	timedOut         // no answer within the call's time
	throttled        // 429
	server           // 5xx
	redirected       // 3xx
	otherStatus      // any other status that is no success
	tooLarge         // over bodyLimit
	cutOff           // an answer that ends too early
	notJSON          // a gateway's page
	refused          // 401 or 403 without an error object
	vendorError      // an error object
	badShape         // JSON, but not of the shape that was asked for
	passed           // an error that already is what the caller should see
)

// rule says what a kind means: to the caller, to the loop of tries, to lists.
type rule struct {
	code      fault.Code
	what      string // printed after the function's name
	next      string
	transient bool // worth another try
	size      bool // may come from too large an answer: lists step down
	permanent bool
}

var rules = map[kind]rule{
	noRoom:      {code: fault.StovaRate, what: "no call left in the rate budget before the deadline", next: "it goes on by itself; see requestsPerMinute"},
	private:     {code: fault.ConfigInvalid, what: "endPoint leads to an address that is not public", next: "set allowPrivateHosts if that is meant", permanent: true},
	unreachable: {code: fault.StovaServer, next: "check endPoint and the network", transient: true},
	timedOut:    {code: fault.StovaTimeout, what: "no answer in time", next: "try again later", transient: true, size: true},
	throttled:   {code: fault.StovaRate, what: "too many calls", next: "try again later, or lower requestsPerMinute"},
	server:      {code: fault.StovaServer, next: "try again later", transient: true},
	redirected:  {code: fault.StovaBody, next: "check endPoint; redirects are not followed with a token"},
	otherStatus: {code: fault.StovaBody, next: "check endPoint"},
	tooLarge:    {code: fault.StovaTooLarge, what: "the answer is over 10 MB", next: "ask the vendor about this row", size: true},
	cutOff:      {code: fault.StovaBody, what: "the answer was cut off", next: "try again later", transient: true, size: true},
	notJSON:     {code: fault.StovaBody, what: "the answer is not JSON", next: "try again later; check endPoint", transient: true},
	refused:     {code: fault.StovaAuth, next: "check accountid and key, and whether the vendor suspended access"},
	vendorError: {code: fault.StovaBody, next: "see what the vendor says of this error key"},
	badShape:    {code: fault.StovaBody, what: "the answer has another shape than the API says", next: "check endPoint"},
}

// authKeys are error keys that speak of the login. Only credentials is seen;
// the others are guesses.
var authKeys = []string{"credentials", "accountid", "key", "accesstoken", "token"}

// failure is one request that brought no data.
type failure struct {
	kind   kind
	status int
	after  time.Duration // from Retry-After; 0: none
	what   string        // instead of the rule's
	vendor complaint     // for vendorError
	late   bool          // the wait before another try would pass the deadline
	cause  error         // a context's error or one of our own, never one of the network's
}

// again reports whether another try may help; 429 has its own rule.
func (f *failure) again() bool { return rules[f.kind].transient }

// sized reports whether fewer rows may help: of the 5xx only those that the
// vendor's gateway sends for answers over 10 MB (stova-api.md §4).
func (f *failure) sized() bool {
	if f.kind == server {
		return f.status == 500 || f.status == 502 || f.status == 504
	}
	return rules[f.kind].size
}

// unexplained reports whether a new login may help: any vendor error that is
// neither "No … found" nor about the row that was asked for. An expired token's
// answer is unknown (Q5), so the key credentials is tried too: if it is meant,
// the login itself says so.
func (f *failure) unexplained(spec streamSpec) bool {
	switch f.kind {
	case refused:
		return true
	case vendorError:
		return !f.vendor.empty && !f.gone(spec)
	default:
		return false
	}
}

// endsToken reports whether the answer is one that an ended token may get. 403
// is not: an account whose access is suspended must not log in again and again.
func (f *failure) endsToken() bool {
	return f.kind == refused && f.status == http.StatusUnauthorized || f.kind == vendorError && f.vendor.has(authKeys...)
}

// gone reports whether the vendor says that the row asked for does not exist.
func (f *failure) gone(spec streamSpec) bool {
	return f.kind == vendorError && !f.vendor.has("eventid") && f.vendor.has(spec.goneKeys...)
}

// err is the failure as the caller sees it; subject names the function and the row.
func (f *failure) err(subject string, tries int) error {
	switch {
	case f.kind == passed:
		return f.cause
	case f.kind == ended && !errors.Is(f.cause, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", subject, f.cause)
	case f.kind == ended:
		return fault.Wrap(fault.StovaTimeout, f.cause, subject+": the deadline passed", "it goes on by itself")
	}
	r := f.rule(subject)
	what := r.what
	if f.what != "" {
		what = f.what
	}
	if f.status != 0 {
		what = strings.TrimSpace(what + " (" + strconv.Itoa(f.status) + ")")
	}
	if tries > 1 {
		what += fmt.Sprintf(", %d tries", tries)
	}
	e := fault.Wrap(r.code, f.cause, subject+": "+what, r.next)
	switch {
	case r.permanent:
		return fault.Permanent(e)
	case f.late || f.kind == noRoom:
		return fault.OutOfTime(e)
	default:
		return e
	}
}

// rule is the kind's rule, but for vendor errors that name login or event.
func (f *failure) rule(subject string) rule {
	r := rules[f.kind]
	switch login := subject == authorize.String(); {
	case f.kind == refused && f.status == http.StatusUnauthorized && login,
		f.kind == vendorError && f.vendor.has("credentials"):
		return rule{code: fault.StovaAuth, what: "the account or key was refused", next: "check accountid and key", permanent: true}
	case f.kind == vendorError && f.vendor.has("eventid"):
		return rule{code: fault.StovaEvent, what: "the event is unknown, or the key may not read it", next: "check eventid and the key's events", permanent: true}
	case f.kind == vendorError && (login || f.vendor.has(authKeys...)):
		r.code = fault.StovaAuth
		r.next = "check accountid and key"
	}
	if f.kind == vendorError {
		r.what = "error " + f.vendor.name()
	}
	return r
}

// complaint is what we keep of a vendor's error: key names, never texts.
type complaint struct {
	keys  []string
	empty bool // "No … found."
}

var emptyPattern = regexp.MustCompile(`(?i)^\s*no .+ found`)
var printableKey = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,31}$`)

func (c complaint) has(keys ...string) bool {
	return slices.ContainsFunc(keys, func(k string) bool { return slices.Contains(c.keys, k) })
}

// name is safe to print: a key that looks like none is not shown.
func (c complaint) name() string {
	var shown []string
	for _, k := range c.keys[:min(3, len(c.keys))] {
		if printableKey.MatchString(k) {
			shown = append(shown, strconv.Quote(k))
		}
	}
	if len(shown) == 0 {
		return "without a key"
	}
	return "key " + strings.Join(shown, ", ")
}

// complaintIn finds an error in a body that is valid JSON: a top-level error
// that says something, an error that is all there is, or Data Services'
// status "error" with its msg (stova-api.md §4).
func complaintIn(body []byte) (complaint, bool) {
	// Almost every body ends here. The word in quotes is rare in rows, and a
	// key is never written with escapes.
	if body[0] != '{' || !bytes.Contains(body, []byte(`"error"`)) {
		return complaint{}, false
	}
	var top Object
	if err := json.Unmarshal(body, &top); err != nil {
		return complaint{}, false
	}
	if raw, ok := top["error"]; ok && (len(top) == 1 || !isNothing(raw)) {
		return readComplaint(raw), true
	}
	if msg, ok := top["msg"]; ok && string(top["status"]) == `"error"` {
		return complaint{keys: []string{dataServicesKey(msg)}, empty: saysEmpty(msg)}, true
	}
	return complaint{}, false
}

// dataServicesKey gives Data Services' one known text, that of an expired
// token, a key of its own (stova-api.md §3).
func dataServicesKey(msg json.RawMessage) string {
	var t Text
	if t.UnmarshalJSON(msg) == nil && strings.HasPrefix(t.Trim(), "Not authorized to access") {
		return "accesstoken"
	}
	return "status"
}

func readComplaint(raw json.RawMessage) complaint {
	var byKey Object
	if err := json.Unmarshal(raw, &byKey); err != nil || byKey == nil {
		return complaint{empty: saysEmpty(raw)}
	}
	var c complaint
	for _, k := range slices.Sorted(maps.Keys(byKey)) {
		c.keys = append(c.keys, strings.ToLower(k))
		c.empty = c.empty || saysEmpty(byKey[k])
	}
	return c
}

func saysEmpty(raw json.RawMessage) bool {
	var t Text
	return t.UnmarshalJSON(raw) == nil && emptyPattern.MatchString(string(t))
}

// judge looks at an answer whose body was read whole and is UTF-8; nil is data.
// 429 and 5xx never come here: their bodies say nothing.
func judge(status int, body []byte) *failure {
	isJSON := len(body) > 0 && (body[0] == '{' || body[0] == '[' || body[0] == '"' || body[0] == 'n') && valid(body)
	if isJSON {
		if c, bad := complaintIn(body); bad {
			return &failure{kind: vendorError, vendor: c}
		}
	}
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return &failure{kind: refused, status: status, what: "access was refused"}
	case status == http.StatusRequestTimeout:
		return &failure{kind: timedOut, status: status}
	case status < 200 || status > 299:
		return &failure{kind: otherStatus, status: status, what: "unexpected answer"}
	case isJSON:
		return nil
	case len(body) > 0 && (body[0] == '{' || body[0] == '['):
		return &failure{kind: cutOff}
	default:
		return &failure{kind: notJSON}
	}
}

// valid is json.Valid, several times as fast for a row as PHP writes it. The
// fast check goes deeper without end and misses raw control characters before
// an escape, so bodies with many brackets or any control character go the slow
// way.
func valid(body []byte) bool {
	const manyBrackets = 1000
	if bytes.Count(body, []byte("{"))+bytes.Count(body, []byte("[")) > manyBrackets {
		return json.Valid(body)
	}
	for _, b := range body {
		if b < ' ' {
			return json.Valid(body)
		}
	}
	return fastjson.ValidateBytes(body) == nil
}

// judgeStatus looks at a status before the body is read; nil means read it.
func judgeStatus(status int, retryAfter time.Duration) *failure {
	switch {
	case status == http.StatusTooManyRequests:
		return &failure{kind: throttled, status: status, after: retryAfter}
	case status >= 500:
		return &failure{kind: server, status: status, after: retryAfter, what: "server error"}
	case status >= 300 && status <= 399:
		return &failure{kind: redirected, status: status, what: "answered with a redirect"}
	default:
		return nil
	}
}

// judgeNetwork looks at an error of the transport or of reading the body.
// caller is the caller's context, own the one with the call's time limit.
func judgeNetwork(caller, own context.Context, err error, reading bool) *failure {
	if cause := caller.Err(); cause != nil {
		return &failure{kind: ended, cause: cause}
	}
	timeout := false
	if e, ok := errors.AsType[net.Error](err); ok {
		timeout = e.Timeout()
	}
	switch {
	case errors.Is(err, errPrivate):
		return &failure{kind: private, cause: errPrivate}
	case own.Err() != nil || timeout:
		return &failure{kind: timedOut}
	case reading:
		return &failure{kind: cutOff}
	default:
		return &failure{kind: unreachable, what: reach(err)}
	}
}

// reach says why no connection came about, without the address.
func reach(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return "host not found"
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case strings.Contains(err.Error(), "tls: ") || strings.Contains(err.Error(), "x509: "):
		return "no trusted TLS connection"
	default:
		return "connection failed"
	}
}
