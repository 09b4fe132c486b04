package stovatest

import (
	"slices"
	"strings"
	"time"
)

func (s *Server) getEvent(c *call) {
	custom := c.q.Get("customfields")
	c.out.eventBody(custom == "1" || custom == "true")
}

func (s *Server) getAttendee(c *call) {
	p := s.index.people[c.q.Get("attendeeid")]
	if p == nil {
		c.fail("attendeeid", "Invalid attendee id.")
		return
	}
	// Both spellings are accepted, since nobody knows the right one (Q12).
	if c.q.Get("responseArray") == "1" || c.q.Get("responseArrray") == "1" {
		c.out.v.Responses = "array"
	}
	c.out.attendee(p)
}

// getSession needs id and key (stova-api.md §7.12).
func (s *Server) getSession(c *call) {
	id := c.q.Get("sessionid")
	x := s.index.sessions[Pick{id, c.q.Get("sessionkey")}]
	switch {
	case x == nil && s.index.hasSession(s.event, id):
		c.fail("sessionkey", "Invalid session key.")
	case x == nil, x.Hidden && s.opt.HiddenNeedsFlag && c.q.Get("showhidden") != "1":
		c.fail("sessionid", "Invalid session id.")
	default:
		c.out.session(x)
	}
}

func (s *Server) getSpeaker(c *call) {
	x := s.index.speakers[c.q.Get("speakerid")]
	if x == nil {
		c.fail("speakerid", "Invalid speaker id.")
		return
	}
	c.out.speaker(x)
}

func (s *Server) getCategory(c *call) {
	i := slices.IndexFunc(s.event.Categories, func(x Category) bool { return x.ID == c.q.Get("categoryid") })
	if i < 0 {
		c.fail("categoryid", "Invalid category id.")
		return
	}
	c.categoryRow(s.event.Categories[i])
}

func (s *Server) getQuestion(c *call) {
	i := slices.IndexFunc(s.event.Questions, func(q Question) bool { return q.ID == c.q.Get("questionid") })
	if i < 0 {
		c.fail("questionid", "Invalid question id.")
		return
	}
	c.questionRow(s.event.Questions[i], true)
}

// listEvents serves global/listEvents and global/searchEvents: the account
// holds this one event (stova-api.md §7.2, §7.3).
func (s *Server) listEvents(c *call) {
	n := 1
	if !s.eventMatches(c) {
		n = 0
	}
	fields := listOf(c, "fields")
	if len(fields) == 0 {
		fields = []string{"eventid", "name"}
	}
	c.page("events", n, func(int) {
		c.out.open('{')
		for _, f := range fields {
			c.eventField(f)
		}
		c.out.close('}')
	})
}

func (s *Server) eventMatches(c *call) bool {
	e := s.event
	if from := c.q.Get("startdate"); from != "" && e.Start < from {
		return false
	}
	if to := c.q.Get("enddate"); to != "" && e.End > to {
		return false
	}
	values := map[string]string{
		"eventid": e.ID, "code": e.Code, "name": e.Name, "status": "Live",
		"lastmodified": e.Modified.In(s.opt.StampZone).Format(time.DateOnly),
	}
	for cond := range strings.SplitSeq(c.q.Get("search"), ",") {
		if key, least, ok := strings.Cut(cond, ">="); ok {
			if values[key] < least {
				return false
			}
		} else if key, want, ok := strings.Cut(cond, "="); ok && values[key] != want {
			return false
		}
	}
	return true
}

// eventField writes one asked-for column; an unknown one is left out (a guess, Q18).
func (c *call) eventField(f string) {
	e := c.s.event
	zoneID, _ := zoneText(e.Zone)
	values := map[string]string{
		"eventid": e.ID, "name": e.Name, "startdate": e.Start, "enddate": e.End, "starttime": e.StartTime,
		"endtime": e.EndTime, "timezoneid": zoneID, "status": "Live", "url": "inventedsummit", "code": e.Code,
		"description": e.Description, "division": "", "event_image": "",
	}
	if f == "location" {
		c.out.eventPlace("location")
		return
	}
	if v, ok := values[f]; ok {
		c.out.pair(f, v)
	}
}

// listFunctions serves stova-api.md §7.1; the shape of a row is a guess.
func (s *Server) listFunctions(c *call) {
	var names []string
	for path := range s.routes {
		names = append(names, strings.TrimSuffix(strings.TrimPrefix(path, "/api/v2/"), ".json"))
	}
	slices.Sort(names)
	c.page("functions", len(names), func(i int) {
		module, function, _ := strings.Cut(names[i], "/")
		c.out.open('{')
		c.out.pairs("module", module, "function", function, "method", "GET")
		c.out.close('}')
	})
}
