package stova

import (
	"fmt"
	"net/url"
	"strings"

	"stovasync/shared/run"
)

// endpoint is one function of the API; stova-api.md §7 names its parameters.
type endpoint int

const (
	authorize endpoint = iota
	getEvent
	listQuestions
	listTracks
	listAttendees
	getAttendee
	listSessions
	getSession
	listSpeakers
	getSpeaker
	endpointCount
)

var endpointNames = [endpointCount]string{
	authorize:     "global/authorize",
	getEvent:      "ereg/getEvent",
	listQuestions: "ereg/listQuestions",
	listTracks:    "global/listTracks",
	listAttendees: "ereg/listAttendees",
	getAttendee:   "ereg/getAttendee",
	listSessions:  "ereg/listSessions",
	getSession:    "ereg/getSession",
	listSpeakers:  "ereg/listSpeakers",
	getSpeaker:    "ereg/getSpeaker",
}

// String is the function's name as the vendor writes it; it is safe to print.
func (e endpoint) String() string { return endpointNames[e] }

// streamSpec says how a stream is listed and how one of its rows is fetched.
type streamSpec struct {
	list, get endpoint
	modified  bool // the list takes modifiedfrom (only attendees, stova-api.md §10)
	idParam   string
	keyParam  string   // the second half of the id, for sessions
	extra     []string // further parameters of get
	goneKeys  []string // error keys that say the id is unknown
}

var streams = map[run.Stream]streamSpec{
	run.Attendees: {
		list: listAttendees, get: getAttendee, modified: true,
		idParam: "attendeeid", goneKeys: []string{"attendeeid"},
	},
	run.SessionStream: {
		list: listSessions, get: getSession, extra: []string{"showhidden", "1"},
		idParam: "sessionid", keyParam: "sessionkey", goneKeys: []string{"sessionid", "sessionkey"},
	},
	run.Speakers: {
		list: listSpeakers, get: getSpeaker,
		idParam: "speakerid", goneKeys: []string{"speakerid"},
	},
}

func specOf(s run.Stream) (streamSpec, error) {
	spec, ok := streams[s]
	if !ok {
		return streamSpec{}, fmt.Errorf("stream %q is not the vendor's", s)
	}
	return spec, nil
}

// query writes name and value pairs as a query string, in the given order.
func query(pairs ...string) string {
	var b strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(pairs[i])
		b.WriteByte('=')
		b.WriteString(url.QueryEscape(pairs[i+1]))
	}
	return b.String()
}

// rowQuery is the query that fetches the row of id. A session's id is the pair
// sessionid_sessionkey (stova-api.md §7.14), or sessionid alone.
func (s streamSpec) rowQuery(eventID, id string) string {
	pairs := []string{"eventid", eventID}
	if head, key, ok := strings.Cut(id, "_"); ok && s.keyParam != "" {
		pairs = append(pairs, s.idParam, head, s.keyParam, key)
	} else {
		pairs = append(pairs, s.idParam, id)
	}
	return query(append(pairs, s.extra...)...)
}
