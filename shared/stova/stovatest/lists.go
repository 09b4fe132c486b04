package stovatest

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// page writes the rows of a list that limit and offset ask for. Past the end,
// and for an empty list, the answer is the error object "No … found."
// (stova-api.md §4, §5), or [] with the variant Empty: list.
func (c *call) page(what string, n int, row func(i int)) {
	limit, offset := c.limit(), max(0, atoi(c.q.Get("offset")))
	at, n := c.moved(n, limit, offset)
	if offset >= n {
		if c.out.v.Empty == "list" {
			c.out.raw("[]")
			return
		}
		c.fail("data", "No "+what+" found.")
		return
	}
	c.out.open('[')
	for i := offset; i < min(n, offset+limit); i++ {
		row(at(i))
	}
	c.out.close(']')
}

// limit is what was asked for, silently clamped; nothing or nonsense is the cap.
func (c *call) limit() int {
	if n := atoi(c.q.Get("limit")); n > 0 {
		return min(n, c.s.opt.ListCap)
	}
	return c.s.opt.ListCap
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}

// listAttendees serves stova-api.md §7.5: thin rows, without status.
func (s *Server) listAttendees(c *call) {
	people, ok := s.modified(c)
	if !ok {
		return
	}
	c.page("attendees", len(people), func(i int) {
		p := people[i]
		bare := p.Wire.Numbers || c.out.v.Numbers == "all"
		c.out.open('{')
		c.out.number("attendeeid", p.ID, bare)
		c.out.pair("name", p.Wire.text(p.fullName()))
		c.out.pair("email", p.Email)
		c.out.number("parentid", p.ParentID, bare)
		c.out.close('}')
	})
}

func (p *Person) fullName() string { return strings.TrimSpace(p.FirstName + " " + p.LastName) }

// modified returns the people between modifiedfrom and modifiedto, both
// included, in the zone of the stamps. Bounds and zone are guesses (Q9).
func (s *Server) modified(c *call) ([]*Person, bool) {
	from, ok := s.bound(c, "modifiedfrom", time.Time{})
	if !ok {
		return nil, false
	}
	to, ok := s.bound(c, "modifiedto", time.Time{})
	if !ok {
		return nil, false
	}
	if from.IsZero() && to.IsZero() {
		return s.event.People, true
	}
	var people []*Person
	for _, p := range s.event.People {
		at := p.Modified.Truncate(time.Second)
		if !at.Before(from) && (to.IsZero() || !at.After(to)) {
			people = append(people, p)
		}
	}
	return people, true
}

// bound reads a point in time, or a date, which is its first second.
func (s *Server) bound(c *call, key string, none time.Time) (time.Time, bool) {
	text := c.q.Get(key)
	if text == "" {
		return none, true
	}
	for _, layout := range []string{stampLayout, time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, s.opt.StampZone); err == nil {
			return t, true
		}
	}
	c.fail(key, "Invalid date.")
	return none, false
}

// searchAttendees serves stova-api.md §7.6; the filters createdfrom, status
// and email are the ones it knows.
func (s *Server) searchAttendees(c *call) {
	people, ok := s.modified(c)
	if !ok {
		return
	}
	created, ok := s.bound(c, "createdfrom", time.Time{})
	if !ok {
		return
	}
	status, email := c.q.Get("status"), c.q.Get("email")
	var found []*Person
	for _, p := range people {
		if !p.Created.Before(created) && (status == "" || p.Status == status) && (email == "" || p.Email == email) {
			found = append(found, p)
		}
	}
	c.page("attendees", len(found), func(i int) {
		c.out.open('{')
		c.out.pairs("attendeeid", found[i].ID, "name", found[i].fullName(), "email", found[i].Email, "status", found[i].Status)
		c.out.close('}')
	})
}

// listSessions serves stova-api.md §7.11.
func (s *Server) listSessions(c *call) {
	shown := s.shownSessions(c)
	fields := listOf(c, "fields")
	c.page("sessions", len(shown), func(i int) { c.sessionRow(shown[i], fields) })
}

func (s *Server) shownSessions(c *call) []*Session {
	if !s.opt.HiddenNeedsFlag || c.q.Get("showhidden") == "1" {
		return s.event.Sessions
	}
	var shown []*Session
	for _, x := range s.event.Sessions {
		if !x.Hidden {
			shown = append(shown, x)
		}
	}
	return shown
}

// sessionRow writes a thin row. Where fields are asked for, the ids come with
// them and the rest is left out.
func (c *call) sessionRow(x *Session, fields []string) {
	bare := x.Wire.Numbers || c.out.v.Numbers == "all"
	c.out.open('{')
	c.out.number("sessionid", x.ID, bare)
	c.out.number("sessionkey", x.Key, bare)
	if len(fields) == 0 {
		c.out.pair("name", x.Wire.text(x.Name))
		c.out.sessionTimes(x)
	}
	for _, f := range fields {
		switch f {
		case "name":
			c.out.pair(f, x.Wire.text(x.Name))
		case "sessiondate":
			c.out.pair(f, x.Date)
		case "starttime":
			if !x.NoStart {
				c.out.pair(f, x.Start)
			}
		case "endtime":
			c.out.pair(f, x.End)
		}
	}
	if c.q.Get("customfields") == "1" {
		c.out.pair("eventid", c.s.event.ID)
		if c.out.descriptionIn(x) == DescExpanded {
			c.out.description(x)
		}
	}
	c.out.close('}')
}

// listOf reads a comma list or a PHP array (key[0]=…&key[1]=…).
func listOf(c *call, key string) []string {
	if v := c.q.Get(key); v != "" {
		return strings.Split(v, ",")
	}
	var all []string
	for i := 0; ; i++ {
		v := c.q.Get(key + "[" + strconv.Itoa(i) + "]")
		if v == "" {
			return all
		}
		all = append(all, v)
	}
}

// listSpeakers serves stova-api.md §7.13; row columns beyond the id are a guess.
func (s *Server) listSpeakers(c *call) {
	all := s.event.Speakers
	c.page("speakers", len(all), func(i int) {
		c.out.open('{')
		c.out.number("speakerid", all[i].ID, all[i].Wire.Numbers || c.out.v.Numbers == "all")
		c.out.pairs("fname", all[i].Wire.text(all[i].FirstName), "lname", all[i].Wire.text(all[i].LastName))
		c.out.close('}')
	})
}

func (s *Server) listCategories(c *call) {
	all := s.event.Categories
	c.page("categories", len(all), func(i int) { c.categoryRow(all[i]) })
}

func (c *call) categoryRow(x Category) {
	c.out.open('{')
	c.out.pairs("categoryid", x.ID, "name", x.Name)
	c.out.close('}')
}

// listQuestions serves stova-api.md §7.10: all questions, or those of a page.
// Sessions are questions of the page Agenda (input type 31).
func (s *Server) listQuestions(c *call) {
	all := slices.Clone(s.event.Questions)
	seen := map[string]bool{}
	for _, x := range s.event.Sessions {
		if !seen[x.ID] {
			seen[x.ID] = true
			all = append(all, Question{ID: x.ID, FieldName: x.ID, Name: x.Name, InputType: "31", PageID: "3"})
		}
	}
	if page := c.q.Get("pageid"); page != "" {
		all = slices.DeleteFunc(all, func(q Question) bool { return q.PageID != page })
	}
	c.page("questions", len(all), func(i int) { c.questionRow(all[i], false) })
}

func (c *call) questionRow(q Question, choices bool) {
	c.out.open('{')
	c.out.pairs("questionid", q.ID, "fieldname", q.FieldName, "name", q.Name, "inputtype", q.InputType,
		"page", c.out.index.page(q.PageID), "pageid", q.PageID)
	if choices && len(q.Choices) > 0 {
		c.out.key("choices")
		c.out.open('{')
		for _, ch := range q.Choices {
			c.out.pair(ch.Key, ch.Label)
		}
		c.out.close('}')
	}
	c.out.close('}')
}

func (s *Server) listPages(c *call) {
	all := s.event.Pages
	c.page("pages", len(all), func(i int) {
		c.out.open('{')
		c.out.pairs("pageid", all[i].ID, "page", all[i].Name)
		c.out.close('}')
	})
}

// listTracks serves stova-api.md §7.15: account-wide.
func (s *Server) listTracks(c *call) {
	all := s.event.Tracks
	c.page("tracks", len(all), func(i int) {
		c.out.open('{')
		c.out.pairs("track_id", all[i].ID, "track_name", all[i].Name)
		c.out.close('}')
	})
}

// listLocations serves stova-api.md §7.16; the row's shape is a guess.
func (s *Server) listLocations(c *call) {
	all := s.event.Locations
	c.page("locations", len(all), func(i int) {
		c.out.open('{')
		c.out.pairs("locationid", all[i].ID, "location_name", all[i].Name)
		c.out.close('}')
	})
}
