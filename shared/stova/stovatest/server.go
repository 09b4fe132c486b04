package stovatest

import (
	"cmp"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ServerOptions say how the twin behaves. The zero value is the default
// behaviour of stova-api.md §12.
type ServerOptions struct {
	TokenLife    time.Duration // 0 is ten minutes
	LegacyTokens bool          // tokens hold +, / and =
	TokenNewline bool          // a line break follows the token inside its string

	// Expired is the answer to a token that is missing, unknown or expired:
	// "401" and "403" are statuses with an HTML body, "ds" the text of Data
	// Services; anything else is the key of an error object with status 200.
	// "" is accesstoken for API v2 and "ds" for Data Services.
	Expired string

	ListCap         int            // most rows of a list page, also without limit; 0 is 2,000
	MaxBody         int            // larger answers become 502; 0 is 10 MB, negative is no limit
	Delay           time.Duration  // before every answer, pictures included
	Gzip            bool           // compress answers for clients that accept it
	UnknownImage    string         // what unknown image ids get: "404" (also ""), "html", "pixel"
	StampZone       *time.Location // of created, lastmodified, modifiedfrom and modifiedto; nil is UTC, a guess (Q9)
	HiddenNeedsFlag bool           // hidden sessions are shown only with showhidden=1
	Variants        Variants
	Faults          []Fault          // active from the start
	Now             func() time.Time // of tokens, windows and Touch; nil is time.Now

	account string
}

func (o ServerOptions) withDefaults(e *Event) ServerOptions {
	o.TokenLife = cmp.Or(o.TokenLife, 10*time.Minute)
	o.Expired = cmp.Or(o.Expired, "accesstoken")
	o.ListCap = cmp.Or(o.ListCap, 2000)
	o.MaxBody = cmp.Or(o.MaxBody, 10_000_000)
	o.UnknownImage = cmp.Or(o.UnknownImage, "404")
	if o.StampZone == nil {
		o.StampZone = time.UTC
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.account = e.AccountID
	return o
}

// Server plays the API of one event. It is safe for concurrent use.
type Server struct {
	opt      ServerOptions
	routes   map[string]route
	tokens   tokens // of API v2
	dsTokens tokens
	count    counter
	faults   atomic.Pointer[[]*activeFault]
	faultMu  sync.Mutex // writers of faults
	pool     writers
	art      *artist

	mu    sync.RWMutex // guards event, index and variants
	event *Event
	index *index
	v     Variants
}

// NewServer returns a server of e, which it owns from now on: change e only
// inside Edit.
func NewServer(e *Event, o ServerOptions) *Server {
	o = o.withDefaults(e)
	e.now = o.Now
	s := &Server{opt: o, event: e, index: newIndex(e), v: o.Variants, art: newArtist()}
	s.tokens.salt, s.dsTokens.salt = "v2 "+e.Key, "ds "+e.Key
	s.routes = s.routeTable()
	s.faults.Store(new([]*activeFault))
	for _, f := range o.Faults {
		s.Fault(f)
	}
	return s
}

// Edit changes the event while no answer is being written; the next answer
// shows the change.
func (s *Server) Edit(change func(*Event)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.event)
	s.index = newIndex(s.event)
}

// View reads the event while nobody edits it. read must change nothing.
func (s *Server) View(read func(*Event)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	read(s.event)
}

// SetVariants changes the shapes of answers from now on.
func (s *Server) SetVariants(v Variants) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.v = v
}

// route is one function of the API.
type route struct {
	name  string // as counters and faults know it
	open  bool   // needs no token
	event bool   // needs the event's id
	id    string // the parameter that names the row, for the log
	serve func(*call)

	params map[string]string // what the path says, for Data Services
}

func (s *Server) routeTable() map[string]route {
	t := map[string]route{
		"/api/v2/global/authorize.json":              {name: "authorize", open: true, serve: s.authorize},
		"/api/v2/global/listAvailableFunctions.json": {name: "listAvailableFunctions", open: true, serve: s.listFunctions},
		"/api/v2/global/listEvents.json":             {name: "listEvents", serve: s.listEvents},
		"/api/v2/global/searchEvents.json":           {name: "searchEvents", serve: s.listEvents},
		"/api/v2/global/listTracks.json":             {name: "listTracks", serve: s.listTracks},
		"/api/v2/global/listSpeakers.json":           {name: "global/listSpeakers", serve: s.listSpeakers},
		"/api/v2/global/getSpeaker.json":             {name: "global/getSpeaker", id: "speakerid", serve: s.getSpeaker},
	}
	for _, r := range []route{
		{name: "getEvent", serve: s.getEvent},
		{name: "listAttendees", serve: s.listAttendees},
		{name: "searchAttendees", serve: s.searchAttendees},
		{name: "getAttendee", id: "attendeeid", serve: s.getAttendee},
		{name: "listCategories", serve: s.listCategories},
		{name: "getCategory", id: "categoryid", serve: s.getCategory},
		{name: "listQuestions", serve: s.listQuestions},
		{name: "getQuestion", id: "questionid", serve: s.getQuestion},
		{name: "listPages", serve: s.listPages},
		{name: "listSessions", serve: s.listSessions},
		{name: "getSession", id: "sessionid", serve: s.getSession},
		{name: "listSpeakers", serve: s.listSpeakers},
		{name: "getSpeaker", id: "speakerid", serve: s.getSpeaker},
		{name: "listLocations", serve: s.listLocations},
	} {
		r.event = true
		t["/api/v2/ereg/"+r.name+".json"] = r
	}
	return t
}

// ServeHTTP answers API calls and downloads; every other path is a 404.
func (s *Server) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if s.servePicture(rw, r) {
		return
	}
	rt, ok := s.routes[r.URL.Path]
	if !ok {
		rt, ok = s.dataServices(r.URL.Path)
	}
	if !ok {
		http.NotFound(rw, r)
		return
	}
	c := s.newCall(rw, r, rt)
	defer s.pool.put(c.out.writer)
	s.count.start(Call{c.name, c.id, s.opt.Now()}, false)
	defer s.count.end()
	c.arm()
	if !wait(r.Context(), s.opt.Delay) || c.disturbed() {
		return
	}
	if rt.open || s.admit(c) {
		if !rt.event || s.eventOK(c) {
			s.render(c, rt)
		}
	}
	c.send()
}

// render runs the endpoint while nobody edits the event. authorize takes the
// lock for itself.
func (s *Server) render(c *call, rt route) {
	if rt.name == "authorize" || rt.name == "ds/authenticate" {
		rt.serve(c)
		return
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	c.out.event, c.out.index = s.event, s.index
	rt.serve(c)
}

// eventOK refuses unknown and forbidden events (stova-api.md §4: the key
// eventid was seen, the occasion is inferred).
func (s *Server) eventOK(c *call) bool {
	s.mu.RLock()
	id := s.event.ID
	s.mu.RUnlock()
	if c.q.Get("eventid") == id && c.fault(Restrict) == nil {
		return true
	}
	if strings.HasPrefix(c.name, "ds/") {
		c.dsFail("Not authorized to access event " + c.q.Get("eventid"))
		return false
	}
	c.fail("eventid", "Invalid event id or no access to this event.")
	return false
}
