package stovatest

import (
	"maps"
	"sync"
	"time"
)

// Call is one answered request.
type Call struct {
	Endpoint string // listAttendees, getAttendee, ds/attendeelist, image.php, …
	ID       string // what the call was about: attendee, speaker, file name; sessionid_sessionkey; "" for lists
	At       time.Time
}

// keepCalls bounds the log of a twin that runs for days; the older half goes.
const keepCalls = 1 << 20

// counter counts calls. API calls and downloads of pictures are kept apart,
// since the product's figures (and the vendor's limit) are about API calls.
type counter struct {
	mu       sync.Mutex
	calls    map[string]int
	pictures map[string]int
	log      []Call
	inFlight int
	maxFlow  int
}

func (c *counter) start(call Call, picture bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls == nil {
		c.calls, c.pictures = map[string]int{}, map[string]int{}
	}
	if picture {
		c.pictures[call.Endpoint]++
	} else {
		c.calls[call.Endpoint]++
	}
	if len(c.log) >= keepCalls {
		c.log = append(c.log[:0], c.log[len(c.log)/2:]...)
	}
	c.log = append(c.log, call)
	c.inFlight++
	c.maxFlow = max(c.maxFlow, c.inFlight)
}

func (c *counter) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inFlight--
}

// Calls returns the number of API calls by endpoint, authorize included and
// downloads of pictures left out. Refused and faulty calls count too.
func (s *Server) Calls() map[string]int {
	s.count.mu.Lock()
	defer s.count.mu.Unlock()
	if s.count.calls == nil {
		return map[string]int{}
	}
	return maps.Clone(s.count.calls)
}

// Downloads returns the number of picture requests by path: image.php,
// file_uploads, uploadfiles.
func (s *Server) Downloads() map[string]int {
	s.count.mu.Lock()
	defer s.count.mu.Unlock()
	if s.count.pictures == nil {
		return map[string]int{}
	}
	return maps.Clone(s.count.pictures)
}

// Total is the number of API calls.
func (s *Server) Total() int {
	total := 0
	for _, n := range s.Calls() {
		total += n
	}
	return total
}

// Log returns the calls since the start or the last Reset, oldest first,
// pictures included. Of more than a million calls only the newest are kept.
func (s *Server) Log() []Call {
	s.count.mu.Lock()
	defer s.count.mu.Unlock()
	return append([]Call(nil), s.count.log...)
}

// Fetched returns, in order, the ids that an endpoint was asked for. An id
// asked for twice is there twice.
func (s *Server) Fetched(endpoint string) []string {
	var ids []string
	for _, c := range s.Log() {
		if c.Endpoint == endpoint {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// MaxInFlight is the largest number of requests that were open at once.
func (s *Server) MaxInFlight() int {
	s.count.mu.Lock()
	defer s.count.mu.Unlock()
	return s.count.maxFlow
}

// Busiest is the largest number of API calls that any window of this length
// held, by the server's clock: Busiest(time.Minute) must stay within the
// vendor's 400 (stova-api.md §5).
func (s *Server) Busiest(window time.Duration) int {
	log := s.Log()
	best, from := 0, 0
	var at []time.Time
	for _, c := range log {
		if isPicture(c.Endpoint) {
			continue
		}
		at = append(at, c.At)
		for c.At.Sub(at[from]) >= window {
			from++
		}
		best = max(best, len(at)-from)
	}
	return best
}

// Reset sets all counters and the log to zero. Open requests stay counted.
func (s *Server) Reset() {
	s.count.mu.Lock()
	defer s.count.mu.Unlock()
	s.count.calls, s.count.pictures, s.count.log = map[string]int{}, map[string]int{}, nil
	s.count.maxFlow = s.count.inFlight
}
