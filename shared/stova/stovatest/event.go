package stovatest

import (
	"slices"
	"time"
)

// Ids of the questions every generated event asks.
const (
	QuestionDiet    = "7050" // choice
	QuestionShirt   = "7051" // free text; its slug collides with QuestionShirt2
	QuestionShirt2  = "7052" // free text; only with Oddities
	QuestionTopics  = "7053" // check boxes: several answers under one field name
	QuestionPhoto   = "7060" // upload: the file name in Person.Photo
	QuestionConsent = "7061" // choice: may the picture be shown
	QuestionLogo    = "7062" // upload: the file name in Person.Logo
)

// How an absent category is sent (stova-api.md §13 Q20: nobody knows which).
const (
	AbsentList = "[]"      // an empty PHP array
	AbsentNull = "null"    // JSON null
	AbsentText = "text"    // the empty string
	AbsentKey  = "missing" // no such key
)

// How a session's description is sent (stova-api.md §7.12, in reading order).
const (
	DescDescriptions = "descriptions"       // {"eng": html}
	DescAdditional   = "additional_details" // {"desceng": html}
	DescExpanded     = "choices_expanded"   // {"desceng": html}; also in list rows with customfields=1
	DescOld          = "description"        // {"eng": html}
)

// Event is one synthetic event with everything in it. All texts are plain:
// entities and padding are put on when a row is sent, where its Wire says so.
// While a [Server] serves it, change it only inside [Server.Edit].
type Event struct {
	ID, AccountID string
	Key           string // the API key that opens it: 40 hex characters, invented
	Name, Code    string
	Description   string // HTML
	Zone          string // IANA name
	Start, End    string // YYYY-MM-DD
	StartTime     string // HH:MM:SS
	EndTime       string
	Language      string // three letters, such as eng
	Place, City   string
	Created       time.Time
	Modified      time.Time
	Deleted       bool

	Categories []Category
	Pages      []Page
	Questions  []Question
	Tracks     []Track
	Locations  []Location
	People     []*Person // attendees, sponsors included, in list order
	Sessions   []*Session
	Speakers   []*Speaker
	Pictures   map[string]Picture // by file name or image id; absent means version 0

	now func() time.Time
}

// Category is a registration category or, with Sub, a subcategory.
type Category struct {
	ID, Name string
	Sub      bool
}

// Page is a page of the registration form.
type Page struct{ ID, Name string }

// Question is a question of the registration form. FieldName is a standard
// name (fname, email, …) or the question's id.
type Question struct {
	ID, FieldName, Name, InputType, PageID string
	Choices                                []Choice
}

// Choice is one answer that a choice question offers.
type Choice struct{ Key, Label string }

// Track is a session track of the account.
type Track struct{ ID, Name string }

// Location is a room.
type Location struct{ ID, Name string }

// Person is an attendee. A sponsor is a person whose Category, trimmed and
// without case, is Sponsor (spotme-model.md R4, R5).
type Person struct {
	ID, ParentID                    string
	FirstName, MiddleName, LastName string
	Email, Prefix, JobTitle         string
	Company, Country, City, Website string
	MobilePhone, WorkPhone          string // parts with vertical bars, such as +44|7700|900123
	Status                          string // as sent: Confirmed, No Show, …
	Category, Subcategory           string // names; "" is none
	Language                        string // three letters
	Photo, Logo                     string // names of uploaded files; "" is none
	Virtual                         bool
	Test                            bool // a test registration
	Picks                           []Pick
	Answers                         []Answer // custom questions but the two uploads
	Created, Modified               time.Time
	Wire                            Wire
}

// Pick is a session on a person's agenda.
type Pick struct{ SessionID, Key string }

// Answer is the answer to a custom question. For free text Key and Text are
// the same; for choices Key is the choice's number.
type Answer struct{ QuestionID, Key, Text string }

// Wire says how a row is sent; its meaning is the same with and without.
type Wire struct {
	Entities   bool   // plain texts carry HTML entities, such as &amp; and &#233;
	Padded     bool   // plain texts carry blanks at both ends
	Numbers    bool   // ids and flags are JSON numbers where strings are usual
	OmitEmpty  bool   // empty answers are left out instead of sent as ""
	NoCategory string // Absent… : how a missing category is sent; "" is AbsentList
}

// Session is one choice of an agenda question; its identity is the pair of ID
// and Key (stova-api.md §7.14). Date and times are sent as they stand here, so
// absent ones are "0000-00-00", "0001-01-01" or "".
type Session struct {
	ID, Key         string
	Name            string
	Date            string // YYYY-MM-DD
	Start, End      string // HH:MM:SS, local time of the event
	NoStart         bool   // the key starttime is left out
	Location        string // a name from Event.Locations, or ""
	Description     string // HTML
	DescriptionIn   string // Desc…; "" is DescDescriptions
	Tracks          []string
	Speakers        []string // ids
	Hidden, Deleted bool
	Capacity        int
	Modified        time.Time
	Wire            Wire
}

// Speaker is a presenter of the event.
type Speaker struct {
	ID                                 string
	Prefix, FirstName, MiddleName      string
	LastName, Email, JobTitle, Company string
	Country                            string
	Bio                                string // HTML
	Image                              string // image id, not a URL; "" is none
	Sessions                           []Pick
	NullSession                        bool // one more entry of sessions, with a null sessionid
	Hidden, Deleted                    bool
	Modified                           time.Time
	Wire                               Wire
}

// Picture is what is stored under a file name or image id.
type Picture struct {
	Version int    // another version has other bytes, another ETag and a later date
	Fault   string // a mode of the fault kind picture, or "" for none
}

// Person returns the attendee with this id, or nil.
func (e *Event) Person(id string) *Person {
	i := slices.IndexFunc(e.People, func(p *Person) bool { return p.ID == id })
	if i < 0 {
		return nil
	}
	return e.People[i]
}

// Session returns the session with this id and key, or nil.
func (e *Event) Session(id, key string) *Session {
	i := slices.IndexFunc(e.Sessions, func(s *Session) bool { return s.ID == id && s.Key == key })
	if i < 0 {
		return nil
	}
	return e.Sessions[i]
}

// Speaker returns the speaker with this id, or nil.
func (e *Event) Speaker(id string) *Speaker {
	i := slices.IndexFunc(e.Speakers, func(s *Speaker) bool { return s.ID == id })
	if i < 0 {
		return nil
	}
	return e.Speakers[i]
}

// Touch moves Modified of the attendee, session (every key of it) or speaker
// with this id to now, in whole seconds, and says whether there is one. The
// vendor's own idea of what touches lastmodified is unknown (Q9), so tests say
// it row by row.
func (e *Event) Touch(id string) bool {
	at := e.clock().UTC().Truncate(time.Second)
	found := false
	for _, p := range e.People {
		if p.ID == id {
			p.Modified, found = at, true
		}
	}
	for _, s := range e.Sessions {
		if s.ID == id {
			s.Modified, found = at, true
		}
	}
	for _, s := range e.Speakers {
		if s.ID == id {
			s.Modified, found = at, true
		}
	}
	return found
}

// Remove deletes the attendee, session (every key of it) or speaker with this
// id, as the vendor does: it is simply listed no more. It says whether there
// was one. Picks and links to it stay.
func (e *Event) Remove(id string) bool {
	before := len(e.People) + len(e.Sessions) + len(e.Speakers)
	e.People = slices.DeleteFunc(e.People, func(p *Person) bool { return p.ID == id })
	e.Sessions = slices.DeleteFunc(e.Sessions, func(s *Session) bool { return s.ID == id })
	e.Speakers = slices.DeleteFunc(e.Speakers, func(s *Speaker) bool { return s.ID == id })
	return len(e.People)+len(e.Sessions)+len(e.Speakers) < before
}

// NewPicture puts other bytes under a file name or image id.
func (e *Event) NewPicture(name string) {
	p := e.Pictures[name]
	p.Version++
	e.setPicture(name, p)
}

// BreakPicture makes the downloads of a file name or image id fail in one of
// the modes of the fault kind picture; "" mends it.
func (e *Event) BreakPicture(name, mode string) {
	p := e.Pictures[name]
	p.Fault = mode
	e.setPicture(name, p)
}

func (e *Event) setPicture(name string, p Picture) {
	if e.Pictures == nil {
		e.Pictures = map[string]Picture{}
	}
	e.Pictures[name] = p
}

func (e *Event) clock() time.Time {
	if e.now == nil {
		return time.Now()
	}
	return e.now()
}
