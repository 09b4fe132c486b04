package stovatest

import (
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Kind names a fault. The texts are what fault specs begin with.
type Kind string

// The kinds of faults; FaultHelp says what each does.
const (
	RateLimit      Kind = "429"
	ServerError    Kind = "500"
	BadGateway     Kind = "502"
	Unavailable    Kind = "503"
	GatewayTimeout Kind = "504"
	Unauthorized   Kind = "401"
	Forbidden      Kind = "403"
	Truncate       Kind = "truncate"
	HTML           Kind = "html"
	Error          Kind = "error"
	Slow           Kind = "slow"
	Hang           Kind = "hang"
	Cut            Kind = "cut"
	TooBig         Kind = "toobig"
	Poison         Kind = "poison"
	TokenEnd       Kind = "token"
	Move           Kind = "move"
	Restrict       Kind = "restricted"
	Latin1         Kind = "latin1"
	PictureFault   Kind = "picture"
	Variant        Kind = "variant"
)

// Fault is something that goes wrong on demand. Kind, Endpoint and IDs say
// where; After, Times, Every and PerID say how often; the rest belongs to
// single kinds (see FaultHelp). Zero values mean everywhere, and always.
type Fault struct {
	Kind     Kind
	Endpoint string   // patterns (path.Match) of endpoint names joined by +; "" is the kind's own default
	IDs      []string // rows: attendee or speaker id, sessionid_sessionkey, or file name
	After    int      // leave the first After matching calls alone
	Times    int      // then hit at most Times calls; 0 is no end
	Every    int      // hit only each Every-th of them
	PerID    bool     // count After, Times and Every for each row apart

	PerMinute  int           // 429: hit every call above this many in the last 60 seconds
	RetryAfter time.Duration // 429 and 503: send Retry-After, in whole seconds
	Limit      int           // toobig: largest limit (or pageSize) that still works
	Delay      time.Duration // slow: wait this long before the answer
	Mode       string        // cut: "" or body; move: repeat, skip, both; picture: see FaultHelp
	To         string        // picture: address of the redirect
	Key        string        // error: key of the error object
	Variants   Variants      // variant: the shapes to change
}

// activeFault is a fault and its counts.
type activeFault struct {
	Fault
	mu       sync.Mutex
	seen     map[string]int // by row with PerID, else under ""
	hits     map[string]int
	window   []time.Time
	listings int
}

// Fault switches a fault on and returns what switches it off. Faults of one
// call add up in the order they were switched on; of those that end it the
// first wins.
func (s *Server) Fault(f Fault) (remove func()) {
	a := &activeFault{Fault: f.withDefaults(), seen: map[string]int{}, hits: map[string]int{}}
	s.faultMu.Lock()
	defer s.faultMu.Unlock()
	all := append(slices.Clone(*s.faults.Load()), a)
	s.faults.Store(&all)
	return func() {
		s.faultMu.Lock()
		defer s.faultMu.Unlock()
		left := slices.DeleteFunc(slices.Clone(*s.faults.Load()), func(b *activeFault) bool { return a == b })
		s.faults.Store(&left)
	}
}

// ClearFaults switches all faults off.
func (s *Server) ClearFaults() {
	s.faultMu.Lock()
	defer s.faultMu.Unlock()
	s.faults.Store(new([]*activeFault))
}

// withDefaults fills in what a kind means without further words.
func (f Fault) withDefaults() Fault {
	if f.Endpoint != "" {
		return f
	}
	switch f.Kind {
	case Poison:
		f.Endpoint = "get*"
	case TooBig:
		f.Endpoint = "listAttendees+listSessions+listSpeakers+ds/*list"
	case Move:
		f.Endpoint = "listAttendees"
	case Truncate, HTML, Latin1, Error:
		f.Endpoint = "get*+list*+search*+ds/*list"
	}
	return f
}

// covers says whether a call is one of those the fault is about.
func (f *Fault) covers(name, id string) bool {
	if len(f.IDs) > 0 && !slices.Contains(f.IDs, id) {
		return false
	}
	if f.Endpoint == "" {
		return isPicture(name) == (f.Kind == PictureFault)
	}
	for pattern := range strings.SplitSeq(f.Endpoint, "+") {
		if ok, err := path.Match(pattern, name); err == nil && ok {
			return true
		}
	}
	return false
}

// strikes counts a matching call and says whether it is hit.
func (a *activeFault) strikes(id string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.PerMinute > 0 && !a.overRate(now) {
		return false
	}
	if !a.PerID {
		id = ""
	}
	a.seen[id]++
	n := a.seen[id] - a.After
	if n <= 0 || (a.Every > 1 && n%a.Every != 0) || (a.Times > 0 && a.hits[id] >= a.Times) {
		return false
	}
	a.hits[id]++
	return true
}

// overRate notes a call and says whether the last minute holds too many.
// Refused calls count as well: whoever keeps knocking stays out.
func (a *activeFault) overRate(now time.Time) bool {
	a.window = slices.DeleteFunc(a.window, func(t time.Time) bool { return now.Sub(t) >= time.Minute })
	a.window = append(a.window, now)
	return len(a.window) > a.PerMinute
}

// arm finds the faults that hit this call.
func (c *call) arm() {
	active := *c.s.faults.Load()
	if len(active) == 0 {
		return
	}
	now := c.s.opt.Now()
	for _, a := range active {
		if !a.covers(c.name, c.id) || a.Kind == TokenEnd || a.Kind == Move || (a.Kind == TooBig && c.asked() <= a.Limit) {
			continue
		}
		if a.strikes(c.id, now) {
			c.faults = append(c.faults, &a.Fault)
			if a.Kind == Variant {
				c.out.v = c.out.v.with(a.Variants)
			}
		}
	}
}

// asked is the size of the page that the call wants.
func (c *call) asked() int {
	if strings.HasPrefix(c.name, "ds/") {
		return c.pageSize()
	}
	return c.limit()
}

// fault returns the first fault of a kind that hit this call.
func (c *call) fault(k Kind) *Fault {
	for _, f := range c.faults {
		if f.Kind == k {
			return f
		}
	}
	return nil
}

// disturbed carries out the faults that come instead of an answer, and says
// whether one did.
func (c *call) disturbed() bool {
	for _, f := range c.faults {
		switch f.Kind {
		case Slow:
			if !wait(c.r.Context(), f.Delay) {
				return true
			}
		case Hang:
			<-c.r.Context().Done()
			return true
		case Cut:
			if f.Mode != "body" {
				panic(http.ErrAbortHandler) // closes the connection without an answer
			}
		case RateLimit, ServerError, BadGateway, Unavailable, GatewayTimeout, Unauthorized, Forbidden, TooBig, Poison:
			c.page5xx(f)
			return true
		case HTML:
			c.html("Scheduled maintenance")
			c.send()
			return true
		case Error:
			c.fail(f.Key, "Something went wrong.")
			c.send()
			return true
		}
	}
	return false
}

// page5xx answers with a status and a gateway's HTML page.
func (c *call) page5xx(f *Fault) {
	switch f.Kind {
	case TooBig:
		c.status = http.StatusBadGateway
	case Poison:
		c.status = http.StatusInternalServerError
	default:
		c.status = atoi(string(f.Kind))
	}
	if f.RetryAfter > 0 {
		seconds := int((f.RetryAfter + time.Second - 1) / time.Second)
		c.w.Header().Set("Retry-After", strconv.Itoa(seconds))
	}
	c.html(strconv.Itoa(c.status) + " " + http.StatusText(c.status))
	c.send()
}

// tokenEnds says whether a fault ends the token at its calls-th call.
func (c *call) tokenEnds(calls int) bool {
	for _, a := range *c.s.faults.Load() {
		if a.Kind != TokenEnd || !a.covers(c.name, c.id) || calls <= a.After {
			continue
		}
		a.mu.Lock()
		ends := a.Times == 0 || a.hits[""] < a.Times
		if ends {
			a.hits[""]++
		}
		a.mu.Unlock()
		if ends {
			return true
		}
	}
	return false
}

// moved is the view that a page past the first one has of a list of n rows
// when a row came or went between the two calls. A listing is counted when
// its first page is asked for.
func (c *call) moved(n, limit, offset int) (at func(int) int, length int) {
	same := func(i int) int { return i }
	for _, a := range *c.s.faults.Load() {
		if a.Kind != Move || !a.covers(c.name, c.id) || n == 0 {
			continue
		}
		if !a.listing(offset) {
			continue
		}
		switch a.Mode {
		case "repeat": // a row came in at the front
			return func(i int) int { return max(0, i-1) }, n + 1
		case "both": // the first row went to the end
			return func(i int) int { return (i + 1) % n }, n
		default: // skip: the first row is listed no more
			return func(i int) int { return i + 1 }, n - 1
		}
	}
	return same, n
}

// listing notes a first page, and says whether a later page is to be moved.
func (a *activeFault) listing(offset int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if offset == 0 {
		a.listings++
		return false
	}
	n := a.listings - a.After
	return n > 0 && (a.Times == 0 || n <= a.Times)
}
