package stovatest

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const zeroStamp = "0000-00-00 00:00:00"

func (s *Server) dsStamp(t time.Time) string { return t.In(s.opt.StampZone).Format(stampLayout) }

// dsAttendees serves attendeelist, ordered by lastmodified: about 50 of the
// vendor's 353 columns and one for each custom question.
func (s *Server) dsAttendees(c *call) {
	people := slices.Clone(s.event.People)
	slices.SortStableFunc(people, func(a, b *Person) int {
		return cmp.Or(a.Modified.Compare(b.Modified), cmp.Compare(a.ID, b.ID))
	})
	columns := s.dsColumns()
	rows := make([]dsRow, len(people))
	for i, p := range people {
		rows[i] = s.dsAttendee(p, columns)
	}
	c.dsPage(rows)
}

func (s *Server) dsAttendee(p *Person, columns map[string]string) dsRow {
	var r dsRow
	r.add("attendeeid", p.ID, "parentid", p.ParentID, "guestof", "", "registrationstatus", p.Status, "testreg", bit(p.Test))
	r.add("fname", p.Wire.text(p.FirstName), "mname", p.MiddleName, "lname", p.Wire.text(p.LastName), "prefix", p.Prefix)
	r.add("suffix", "", "title", p.Wire.text(p.JobTitle))
	if p.Company != "" || !p.Wire.OmitEmpty {
		r.add("company", p.Wire.text(p.Company))
	}
	r.add("email", p.Email, "ccemail", "", "verifyemail", p.Email, "wphone", p.WorkPhone, "mphone", p.MobilePhone, "fax", "",
		"ext", "", "address1", "", "address2", "", "address3", "", "city", p.Wire.text(p.City), "state", "", "nonusstate", "",
		"zip", "", "country", p.Wire.text(p.Country), "website", p.Website, "created", s.dsStamp(p.Created),
		"createdby", "attendee", "lastmodified", s.dsStamp(p.Modified), "modifiedby", "attendee",
		"lastactivity", s.dsStamp(p.Modified), "cancellationdate", zeroStamp, "deleted", "0", "language", p.Language)
	s.dsCategory(&r, "", p.Category, false)
	s.dsCategory(&r, "sub", p.Subcategory, true)
	r.add("approval_status", "", "totalcost", "0.00", "balance_due", "0.00", "stagereached", "5", "upload", "0",
		"virtual_event_attendance", yesNo(p.Virtual), "last_lobby_login", zeroStamp)
	r.addRaw("hotel_name", "null")
	r.addRaw("travel_arrival", "null")
	for _, q := range s.event.Questions {
		if column, ok := columns[q.ID]; ok {
			r.orNull(column, dsAnswer(p, q))
		}
	}
	return r
}

func bit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

func (s *Server) dsCategory(r *dsRow, prefix, name string, sub bool) {
	if name == "" {
		r.addRaw(prefix+"categoryid", "null")
		r.addRaw(prefix+"category_shortname", "null")
		return
	}
	r.add(prefix+"categoryid", s.index.categoryID(name, sub), prefix+"category_shortname", name,
		prefix+"category_names", name, prefix+"category_reference", "")
}

// dsAnswer is the choice number for choices (several joined by commas, a
// guess), the text for texts and the file's name for uploads (a guess).
func dsAnswer(p *Person, q Question) string {
	switch q.ID {
	case QuestionPhoto:
		return p.Photo
	case QuestionLogo:
		return p.Logo
	}
	var keys []string
	for _, a := range p.Answers {
		if a.QuestionID == q.ID {
			keys = append(keys, a.Key)
		}
	}
	return strings.Join(keys, ",")
}

// dsRegSessions serves regsessionlist: one row for each attendee and session.
func (s *Server) dsRegSessions(c *call) {
	var rows []dsRow
	for _, p := range s.event.People {
		for _, pick := range p.Picks {
			place := ""
			if x := s.index.sessions[pick]; x != nil {
				place = x.Location
			}
			var r dsRow
			r.add("attendeeid", p.ID, "sessionid", pick.SessionID, "choicekey", pick.Key, "track", pick.Key,
				"registration_status", p.Status, "lastmodified", s.dsStamp(p.Modified), "deleted", "0", "sessiontype", "",
				"locationid", s.index.locationID(place), "locationname", place, "fname", p.Wire.text(p.FirstName),
				"lname", p.Wire.text(p.LastName), "email", p.Email)
			rows = append(rows, r)
		}
	}
	c.dsPage(rows)
}

// dsSessions serves sessionlist: one row for each session id, its keys as
// options. The row's own times are those of the first option.
func (s *Server) dsSessions(c *call) {
	var rows []dsRow
	at := map[string]int{}
	for _, x := range s.event.Sessions {
		i, ok := at[x.ID]
		if !ok {
			i = len(rows)
			at[x.ID] = i
			rows = append(rows, s.dsSession(x, i))
		}
		n := "track_" + x.Key + "_"
		rows[i].add(n+"name", x.Wire.text(x.Name), n+"desc", x.Description, n+"max", strconv.Itoa(x.Capacity),
			n+"locationid", s.index.locationID(x.Location), n+"location_name", x.Location, n+"credits", "", n+"reference", "",
			n+"session_tracks", strings.Join(x.Tracks, ","), n+"enable_waitlist", "0", n+"showremaining", "0")
	}
	c.dsPage(rows)
}

func (s *Server) dsSession(x *Session, sort int) dsRow {
	var r dsRow
	r.add("sessionid", x.ID, "questionid", x.ID, "name", x.Wire.text(x.Name), "desc", x.Description, "sessiondate", x.Date)
	r.orNull("starttime", startOf(x))
	r.orNull("endtime", x.End)
	r.addRaw("sessiontype", "null")
	r.addRaw("subsessiontype", "null")
	r.add("inputtype", "31", "visible", bit(!x.Hidden), "publicagenda", bit(!x.Hidden), "required", "0", "deleted", bit(x.Deleted),
		"sort", strconv.Itoa(sort), "reference", "", "badgename", "", "notes", "")
	r.addRaw("hasfees", "0")
	r.addRaw("openflag", "1")
	r.add("locationid", s.index.locationID(x.Location), "location_name", x.Location)
	for _, key := range []string{"requiredcategories", "visiblecategories", "visiblecategoryids"} {
		r.addRaw(key, "[]")
	}
	return r
}

func startOf(x *Session) string {
	if x.NoStart {
		return ""
	}
	return x.Start
}

// dsSpeakers serves speakerlist; of its columns only speaker_fname was seen.
func (s *Server) dsSpeakers(c *call) {
	var rows []dsRow
	for _, x := range s.event.Speakers {
		var r dsRow
		r.add("speakerid", x.ID, "speaker_prefix", x.Prefix, "speaker_fname", x.Wire.text(x.FirstName), "speaker_mname", x.MiddleName,
			"speaker_lname", x.Wire.text(x.LastName), "speaker_email", x.Email, "speaker_title", x.Wire.text(x.JobTitle),
			"speaker_company", x.Wire.text(x.Company), "speaker_country", x.Country, "speaker_bio", x.Bio,
			"speaker_image", x.Image, "lastmodified", s.dsStamp(x.Modified), "deleted", bit(x.Deleted))
		rows = append(rows, r)
	}
	c.dsPage(rows)
}

// dsEvents serves eventlist: about 50 of 241 columns, the secret token among them.
func (s *Server) dsEvents(c *call) {
	e := s.event
	newest := e.Modified
	for _, p := range e.People {
		if p.Modified.After(newest) {
			newest = p.Modified
		}
	}
	zoneID, _ := zoneText(e.Zone)
	var r dsRow
	r.add("eventid", e.ID, "eventname", e.Name, "eventstatus", "Pre-Event", "event_deleted", bit(e.Deleted), "deleted", bit(e.Deleted),
		"event_created", s.dsStamp(e.Created), "event_lastmodified", s.dsStamp(e.Modified), "lastmodified", s.dsStamp(e.Modified),
		"attendees_lastmodified", s.dsStamp(newest), "attendees_modified", s.dsStamp(newest),
		"startdate", e.Start, "starttime", e.StartTime, "enddate", e.End, "endtime", e.EndTime,
		"closedate", "0000-00-00", "closetime", "00:00:00", "live_date", "0000-00-00", "timezone_name", e.Zone,
		"timezoneid", zoneID, "event_description", e.Description, "event_city", e.City, "event_state", "", "event_country", "",
		"event_loc_name", e.Place, "event_loc_city", e.City, "locationname", e.Place, "code", e.Code, "folderid", "11",
		"folderpath", "A/B", "include_calendar", "0", "defaultlanguage", e.Language, "standardcurrency", "GBP",
		"price_type", "net", "max_reg", "0", "createdby", "1", "modifiedby", "1", "token", "invented-secret-never-store")
	r.addRaw("url", "null")
	r.addRaw("logo", "null")
	for _, status := range []string{"confirmed", "attended", "incomplete", "cancelled", "activated", "noshow", "waitlist", "declined", "inactive", "open"} {
		r.add("registrationtotal_"+status, strconv.Itoa(countStatus(e.People, status)))
	}
	c.dsPage([]dsRow{r})
}

// countStatus compares as the counters are named: lower case, letters only.
func countStatus(people []*Person, status string) int {
	n := 0
	for _, p := range people {
		if strings.NewReplacer(" ", "", "-", "").Replace(strings.ToLower(p.Status)) == status {
			n++
		}
	}
	return n
}

// dsMetadata serves attendeemetadata; the shape of its rows is a guess.
func (s *Server) dsMetadata(c *call) {
	texts := map[string]string{}
	columns := s.dsColumns()
	for _, q := range s.event.Questions {
		texts[cmp.Or(columns[q.ID], q.FieldName)] = q.Name
	}
	var rows []dsRow
	for _, f := range s.dsAttendee(&Person{}, columns) {
		var r dsRow
		r.add("fieldname", f.key, "name", cmp.Or(texts[f.key], f.key), "type", "string")
		rows = append(rows, r)
	}
	c.dsPage(rows)
}

// dsQuestions serves the event's questions: an object, not an array, with
// integers for ids (stova-api.md §8.3).
func (s *Server) dsQuestions(c *call) {
	columns := s.dsColumns()
	c.out.open('{')
	c.out.key("ResultSet")
	c.out.open('{')
	n := 0
	for _, q := range s.event.Questions {
		column, ok := columns[q.ID]
		if !ok {
			continue
		}
		n++
		c.out.key(strconv.Itoa(n))
		c.out.open('{')
		c.out.pairRaw("questionid", q.ID)
		c.out.pair("ds_fieldname", column)
		if len(q.Choices) > 0 {
			c.out.key("choices")
			c.out.open('{')
			for _, ch := range q.Choices {
				c.out.pair(ch.Key, ch.Label)
			}
			c.out.close('}')
		}
		c.out.close('}')
	}
	c.out.close('}')
	c.out.close('}')
}
