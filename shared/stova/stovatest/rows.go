package stovatest

import (
	"strconv"
	"strings"
	"time"
)

// Variants are the shapes in which one and the same thing has been sent over
// the years. The zero value is the newest or commonest one.
type Variants struct {
	Responses    string // of an attendee: "object" with numbered keys, or "array"
	Empty        string // of a list: "error" object, or "list" []
	Category     string // "row" sends a missing category as each row's Wire says; else an Absent… for all
	Languages    string // of an event, contactinfo too: "object", "serialized" (PHP, 2019), "null" (2013)
	Descriptions string // of a session: "row" as each row says; else a Desc… for all
	Speakers     string // of a session: "list" or numbered "object"
	Location     string // of a session and of the event: "text" (event: object), "object", "id" (event: null)
	Numbers      string // "row" as each row's Wire says; "all" sends every id and flag as a number
}

// render holds what a row needs besides itself.
type render struct {
	*writer
	event *Event
	index *index
	v     Variants
	zone  *time.Location // of created and lastmodified
}

// money are the fields of an attendee's bill; nothing here reads them.
const money = `"individualcost":"0.00","cost":"0.00","totalcost":"0.00","received":"0.00","tax":"0.00","statetax":"0.00",` +
	`"categorycost":"0.00","subcategorycost":"0.00","agendacost":"0.00","optioncost":"0.00","hotelcost":"0.00",` +
	`"guestcost":"0.00","adjustments":"0.00","balancedue":"0.00","discountcode":"","groupcount":"0",` +
	`"checkindate":"0000-00-00 00:00:00","invoicelink":"","billinginfo":""`

// attendee is the body of getAttendee (stova-api.md §7.7).
func (w render) attendee(p *Person) {
	bare := p.Wire.Numbers || w.v.Numbers == "all"
	w.open('{')
	w.number("attendeeid", p.ID, bare)
	w.number("parentid", p.ParentID, bare)
	w.raw(`"recordid":"","preload-recordid":"","imiscontactid":""`)
	w.pair("registrationstatus", p.Status)
	w.flag("testregistration", p.Test, bare)
	w.pair("approvalstatus", "")
	w.category("category", p.Category, false, p.Wire)
	w.category("subcategory", p.Subcategory, true, p.Wire)
	w.raw(money)
	w.stamp("created", p.Created, w.zone)
	w.pair("createdby", "attendee")
	w.stamp("lastmodified", p.Modified, w.zone)
	w.pair("modifiedby", "attendee")
	w.pair("last_lobby_login", "0000-00-00 00:00:00")
	w.pair("language", p.Language)
	w.pair("virtual_event_attendance", yesNo(p.Virtual))
	w.responses(p, bare)
	w.close('}')
}

func yesNo(b bool) string {
	if b {
		return "Yes"
	}
	return "No"
}

func (w render) category(key, name string, sub bool, wire Wire) {
	if name == "" {
		shape := wire.NoCategory
		if w.v.Category != "" && w.v.Category != "row" {
			shape = w.v.Category
		}
		switch shape {
		case AbsentKey:
		case AbsentNull:
			w.pairRaw(key, "null")
		case AbsentText:
			w.pair(key, "")
		default:
			w.pairRaw(key, "[]")
		}
		return
	}
	w.key(key)
	w.open('{')
	w.pair("categoryid", w.index.categoryID(name, sub))
	w.pair("name", name)
	w.close('}')
}

// responses are all answers of a person: standard ones, custom ones, agenda.
func (w render) responses(p *Person, bare bool) {
	w.key("responses")
	array := w.v.Responses == "array"
	open, end := byte('{'), byte('}')
	if array {
		open, end = '[', ']'
	}
	w.open(open)
	n := 0
	entry := func(q *Question, key, text string) {
		if text == "" && p.Wire.OmitEmpty {
			return
		}
		n++
		if !array {
			w.key(strconv.Itoa(n))
		}
		w.open('{')
		w.number("questionid", q.ID, bare)
		w.pairs("fieldname", q.FieldName, "name", q.Name, "pageid", q.PageID, "page", w.index.page(q.PageID))
		w.number("choicekey", key, bare)
		w.pair("response", text)
		w.close('}')
	}
	for i := range w.event.Questions {
		q := &w.event.Questions[i]
		w.answersTo(p, q, entry)
	}
	for _, pick := range p.Picks {
		name := w.index.sessionName(pick)
		entry(&Question{ID: pick.SessionID, FieldName: pick.SessionID, Name: name, PageID: "3"}, pick.Key, name)
	}
	w.close(end)
}

// answersTo calls entry for each answer that p gave to q.
func (w render) answersTo(p *Person, q *Question, entry func(q *Question, key, text string)) {
	if v, ok := p.standard(q.FieldName); ok {
		v = p.Wire.text(v)
		entry(q, v, v)
		return
	}
	switch q.ID {
	case QuestionPhoto:
		entry(q, p.Photo, p.Photo)
		return
	case QuestionLogo:
		entry(q, p.Logo, p.Logo)
		return
	}
	for _, a := range p.Answers {
		if a.QuestionID == q.ID {
			entry(q, a.Key, p.Wire.text(a.Text))
		}
	}
}

// standard is the answer to a standard question.
func (p *Person) standard(field string) (string, bool) {
	switch field {
	case "fname":
		return p.FirstName, true
	case "mname":
		return p.MiddleName, true
	case "lname":
		return p.LastName, true
	case "email":
		return p.Email, true
	case "prefix":
		return p.Prefix, true
	case "title":
		return p.JobTitle, true
	case "company":
		return p.Company, true
	case "country":
		return p.Country, true
	case "city":
		return p.City, true
	case "website":
		return p.Website, true
	case "mphone":
		return p.MobilePhone, true
	case "wphone":
		return p.WorkPhone, true
	default:
		return "", false
	}
}

// sessionTimes are the keys that list rows and details share.
func (w render) sessionTimes(s *Session) {
	w.pair("sessiondate", s.Date)
	if !s.NoStart {
		w.pair("starttime", s.Start)
	}
	w.pair("endtime", s.End)
}

// session is the body of getSession (stova-api.md §7.12). The flags visible,
// publicagenda and deleted, the capacity and lastmodified are guesses: they
// were seen in Data Services only.
func (w render) session(s *Session) {
	bare := s.Wire.Numbers || w.v.Numbers == "all"
	w.open('{')
	w.number("sessionid", s.ID, bare)
	w.number("sessionkey", s.Key, bare)
	w.pair("reportname", s.Wire.text(s.Name))
	w.sessionTimes(s)
	w.pair("sessiontype", "")
	w.sessionPlace(s)
	w.description(s)
	w.key("session_tracks")
	w.open('[')
	for _, t := range s.Tracks {
		w.str(t)
	}
	w.close(']')
	w.sessionSpeakers(s)
	w.flag("visible", !s.Hidden, bare)
	w.flag("publicagenda", !s.Hidden, bare)
	w.flag("deleted", s.Deleted, bare)
	w.number("capacity", strconv.Itoa(s.Capacity), bare)
	w.stamp("lastmodified", s.Modified, w.zone)
	w.close('}')
}

func (w render) sessionPlace(s *Session) {
	id := w.index.locationID(s.Location)
	switch w.v.Location {
	case "object":
		w.key("location")
		w.open('{')
		w.pairs("locationid", id, "name", s.Wire.text(s.Location))
		w.close('}')
	case "id":
		w.pair("location", id)
		w.pair("location_name", s.Wire.text(s.Location))
	default:
		w.pair("location", s.Wire.text(s.Location))
	}
}

func (w render) descriptionIn(s *Session) string {
	shape := s.DescriptionIn
	if w.v.Descriptions != "" && w.v.Descriptions != "row" {
		shape = w.v.Descriptions
	}
	if shape == "" {
		return DescDescriptions
	}
	return shape
}

func (w render) description(s *Session) {
	if s.Description == "" {
		return // descriptions is missing when there is none
	}
	shape := w.descriptionIn(s)
	w.key(shape)
	w.open('{')
	if shape == DescDescriptions || shape == DescOld {
		w.pair(w.event.Language, s.Description)
	} else {
		w.pair("desc"+w.event.Language, s.Description)
	}
	w.close('}')
}

func (w render) sessionSpeakers(s *Session) {
	w.key("speakers")
	object := w.v.Speakers == "object" && len(s.Speakers) > 0
	open, end := byte('['), byte(']')
	if object {
		open, end = '{', '}'
	}
	w.open(open)
	for i, id := range s.Speakers {
		if object {
			w.key(strconv.Itoa(i + 1))
		}
		w.open('{')
		w.pair("speakerid", id)
		w.close('}')
	}
	w.close(end)
}

// speaker is the body of getSpeaker (stova-api.md §7.13). The keys prefix,
// country, deleted, visible and lastmodified are guesses.
func (w render) speaker(s *Speaker) {
	bare := s.Wire.Numbers || w.v.Numbers == "all"
	w.open('{')
	w.number("speakerid", s.ID, bare)
	w.pairs("prefix", s.Prefix, "fname", s.Wire.text(s.FirstName), "mname", s.MiddleName, "lname", s.Wire.text(s.LastName),
		"email", s.Email, "title", s.Wire.text(s.JobTitle), "company", s.Wire.text(s.Company),
		"country", s.Country, "bio", s.Bio)
	w.number("image", s.Image, bare)
	w.key("sessions")
	w.open('[')
	for _, p := range s.Sessions {
		w.open('{')
		w.pairs("sessionid", p.SessionID, "sessionkey", p.Key)
		w.close('}')
	}
	if s.NullSession {
		w.raw(`{"sessionid":null}`)
	}
	w.close(']')
	w.flag("visible", !s.Hidden, bare)
	w.flag("deleted", s.Deleted, bare)
	w.stamp("lastmodified", s.Modified, w.zone)
	w.close('}')
}

// zoneText is how getEvent tells the zone: a text and a vendor's number, no
// IANA name. The four seen ones are told as seen, others by an invented text.
func zoneText(iana string) (id, text string) {
	switch iana {
	case "Europe/London":
		return "27", "[GMT] Greenwich Mean Time: Dublin, Edinburgh, Lisbon, London"
	case "America/New_York":
		return "14", "[GMT-05:00] Eastern Time (US & Canada)"
	case "America/Phoenix":
		return "6", "[GMT-07:00] Arizona"
	case "Europe/Belgrade":
		return "29", "[GMT+01:00] Belgrade, Bratislava, Budapest, Ljubljana, Prague"
	default:
		return "0", "[Invented] " + strings.ReplaceAll(iana, "_", " ")
	}
}

// eventBody is the body of getEvent (stova-api.md §7.4), about half of its keys.
func (w render) eventBody(custom bool) {
	e := w.event
	zoneID, zone := zoneText(e.Zone)
	w.open('{')
	w.pairs("eventid", e.ID, "accountid", e.AccountID, "name", e.Name, "code", e.Code, "folderid", "11", "foldername", "Invented",
		"division", "", "department", "", "businessunit", "", "clonedfrom", "0", "ipreoid", "", "status", "Live")
	w.flag("deleted", e.Deleted, false)
	w.pairs("approval_status", "", "approval_required", "0", "eventtype", "event", "statusmessage", "", "eventclosemessage", "",
		"max_reg", "0", "startdate", e.Start, "enddate", e.End, "starttime", e.StartTime, "endtime", e.EndTime,
		"closedate", "0000-00-00")
	w.raw(`"closetime":null`)
	w.pairs("live_date", "0000-00-00", "timezone", zone, "timezoneid", zoneID, "timezonedescription", zone,
		"dateformat", "l, j F Y", "timeformat", "g:i a", "createdby", "1", "modifiedby", "1")
	w.stamp("createddatetime", e.Created, w.zone)
	w.stamp("modifieddatetime", e.Modified, w.zone)
	w.pairs("locationname", e.Place, "city", e.City, "state", "", "country", "GB", "calendar_country", "", "calendar_city", "")
	w.eventPlace("location")
	w.pairs("description", e.Description, "clientcontact", "", "programmanager", "", "homepage", "", "lodgingnotes", "",
		"url", "https://eu.eventscloud.com/"+e.ID, "include_calendar", "0", "include_internal_calendar", "0", "eventlogo", "",
		"enable_virtual_event", "0", "defaultlanguage", e.Language, "standardcurrency", "Sterling", "price_type", "net",
		"line_item_tax", "0", "eReg", "1", "eMobile", "0", "eSocial", "0", "eHome", "1", "eBooth", "0",
		"login1", "email", "login2", "attendeeid")
	w.languages()
	if custom {
		w.raw(`"customfields":[{"fieldid":"501","fieldname":"Programme","value":"North"},{"fieldid":"502","fieldname":"","value":""}]`)
	}
	w.close('}')
}

func (w render) eventPlace(key string) {
	if w.v.Location == "id" {
		w.pairRaw(key, "null")
		return
	}
	w.key(key)
	w.open('{')
	w.pairs("name", w.event.Place, "address1", "1 Nowhere Rd", "address2", "", "address3", "", "city", w.event.City,
		"state", "", "postcode", "", "country", "", "phone", "", "email", "", "map", "")
	w.close('}')
}

// languages sends languages and contactinfo in one of three historical shapes.
func (w render) languages() {
	lang := w.event.Language
	switch w.v.Languages {
	case "null":
		w.raw(`"languages":null,"contactinfo":null`)
	case "serialized":
		w.pair("languages", `a:1:{s:3:"`+lang+`";s:7:"English";}`)
		w.pair("contactinfo", `a:1:{s:3:"`+lang+`";s:0:"";}`)
	default:
		w.raw(`"languages":{"` + lang + `":"English"},"contactinfo":{"` + lang + `":""}`)
	}
}
