package stovatest

import (
	"cmp"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// Options say what [Generate] makes. The zero value is the event of the demo:
// 500 attendees (12 of them sponsors in 4 levels), 40 sessions, 30 speakers.
type Options struct {
	Attendees int // all attendees, sponsors included; 0 is 500, negative is none
	Sessions  int // 0 is 40, negative is none
	Speakers  int // 0 is 30, negative is none
	Sponsors  int // of the attendees; 0 is 12, negative is none; never more than Attendees
	Levels    int // sponsor levels in use; 0 is 4, negative means sponsors without a level
	Seed      uint64
	Zone      string    // IANA name; "" is Europe/London
	Start     string    // first day, YYYY-MM-DD, or Generate panics; "" is 2031-03-04
	EventID   string    // "" is 900100001
	AccountID string    // "" is 7700
	Modified  time.Time // of every row; zero is 2026-01-10 09:00 UTC, or 30 days before Now if that is earlier
	Now       func() time.Time

	// PhotoShare is the share of attendees (sponsors aside) with an uploaded
	// picture; 0 is 0.4, negative is none. PicksMax bounds the sessions on one
	// agenda, 0 to PicksMax each, all equally likely: 0 is 3 (1.5 on average),
	// negative is none.
	PhotoShare float64
	PicksMax   int

	// Oddities puts in at least one of every odd row that the fact sheet names;
	// README.md lists them. They take the place of plain rows, so that all
	// counts stay. They need 36 attendees beside the sponsors, 21 sessions and 6 speakers to
	// fit in; below that the last ones are left out.
	Oddities bool

	// DST moves the event to the day before the zone's next change of clocks
	// after Start and three sessions into the small hours of the change:
	// half an hour before, at, and half an hour after the hour that is skipped
	// or comes twice. A zone without changes gives an event as without DST.
	DST bool
}

func (o Options) withDefaults() Options {
	o.Attendees = count(o.Attendees, 500)
	o.Sessions = count(o.Sessions, 40)
	o.Speakers = count(o.Speakers, 30)
	o.Sponsors = min(count(o.Sponsors, 12), o.Attendees)
	o.Levels = min(count(o.Levels, 4), len(levels()))
	o.PicksMax = count(o.PicksMax, 3)
	o.Zone = cmp.Or(o.Zone, "Europe/London")
	o.Start = cmp.Or(o.Start, "2031-03-04")
	o.EventID = cmp.Or(o.EventID, "900100001")
	o.AccountID = cmp.Or(o.AccountID, "7700")
	if o.PhotoShare == 0 {
		o.PhotoShare = 0.4
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Modified.IsZero() {
		// Fixed, so that a seed gives the same rows on every day; earlier only
		// for clocks that tests have set back.
		o.Modified = time.Date(2026, 1, 10, 9, 0, 0, 0, time.UTC)
		if late := o.Now().AddDate(0, 0, -30); late.Before(o.Modified) {
			o.Modified = late
		}
	}
	o.Modified = o.Modified.UTC().Truncate(time.Second)
	return o
}

func count(n, def int) int {
	if n == 0 {
		return def
	}
	return max(n, 0)
}

// Generate makes an event. The same options give the same event on every
// machine and day. Every row draws from its own source, so a larger event
// starts with the rows of a smaller one, picks and links aside.
func Generate(o Options) *Event {
	o = o.withDefaults()
	g := &generator{Options: o, words: words()}
	e := &Event{
		ID: o.EventID, AccountID: o.AccountID, Key: keyOf(o.Seed),
		Name: "Invented Summit", Code: "INV31", Zone: o.Zone, Language: "eng",
		Description: "<p>Hello &amp; welcome</p>", Place: "Hall Z", City: "Testham",
		StartTime: "09:00:00", EndTime: "17:30:00",
		Created: o.Modified.AddDate(0, -2, 0), Modified: o.Modified,
		Pictures: map[string]Picture{}, now: o.Now,
	}
	g.event = e
	g.form()
	g.days()
	for i := range o.Speakers {
		e.Speakers = append(e.Speakers, g.speaker(i))
	}
	for i := range o.Sessions {
		e.Sessions = append(e.Sessions, g.session(i))
	}
	for i := range o.Attendees {
		e.People = append(e.People, g.person(i))
	}
	if o.DST {
		g.smallHours()
	}
	if o.Oddities {
		g.oddSessions()
		g.oddPeople()
	}
	g.linkSpeakers()
	if o.Oddities {
		g.oddSpeakers()
	}
	return e
}

// keyOf invents an API key of the vendor's form.
func keyOf(seed uint64) string {
	sum := sha1.Sum([]byte("invented key " + strconv.FormatUint(seed, 10)))
	return hex.EncodeToString(sum[:])
}

type generator struct {
	Options
	words lists
	event *Event
	first time.Time // midnight of the first day, UTC: only its date counts
}

// rand is the source of row i of a kind.
func (g *generator) rand(kind string, i int) *rand.Rand {
	var h uint64
	for _, c := range []byte(kind) {
		h = h*131 + uint64(c)
	}
	return rand.New(rand.NewPCG(g.Seed^h, uint64(i)))
}

func one[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// form makes what people are asked, and the tables that rows point into.
func (g *generator) form() {
	e := g.event
	e.Pages = []Page{{"1", "Welcome"}, {"2", "Details"}, {"3", "Agenda"}}
	for _, name := range []string{"Delegate", "Member", "Press", "Sponsor"} {
		e.Categories = append(e.Categories, Category{ID: strconv.Itoa(3001 + len(e.Categories)), Name: name})
	}
	for i, name := range levels()[:g.Levels] {
		e.Categories = append(e.Categories, Category{ID: strconv.Itoa(3101 + i), Name: name, Sub: true})
	}
	for i, q := range standardQuestions() {
		e.Questions = append(e.Questions, Question{ID: strconv.Itoa(7001 + i), FieldName: q[0], Name: q[1], InputType: "1", PageID: "1"})
	}
	e.Questions = append(e.Questions,
		Question{ID: QuestionDiet, Name: "Diet", InputType: "16", Choices: []Choice{{"1", "None"}, {"2", "Vegan"}, {"3", "No nuts"}}},
		Question{ID: QuestionShirt, Name: "T-shirt size", InputType: "1"},
		Question{ID: QuestionTopics, Name: "Topics of interest", InputType: "3", Choices: []Choice{{"1", "Data"}, {"2", "People"}, {"3", "Cost & care"}}},
		Question{ID: QuestionPhoto, Name: "Photo", InputType: "99"},
		Question{ID: QuestionConsent, Name: "Photo consent", InputType: "17", Choices: []Choice{{"1", "Yes"}, {"2", "No"}}},
		Question{ID: QuestionLogo, Name: "Logo", InputType: "99"},
	)
	if g.Oddities {
		e.Questions = append(e.Questions, Question{ID: QuestionShirt2, Name: "T shirt size?", InputType: "1"})
	}
	for i := range e.Questions {
		if q := &e.Questions[i]; q.PageID == "" {
			q.PageID, q.FieldName = "2", q.ID
		}
	}
	for i, name := range []string{"Main track", "Data", "People & teams", "Workshops"} {
		e.Tracks = append(e.Tracks, Track{strconv.Itoa(41 + i), name})
	}
	for i, name := range g.words.rooms {
		e.Locations = append(e.Locations, Location{strconv.Itoa(501 + i), name})
	}
}

// standardQuestions are field name and text of the questions on the first
// page, in the order they are asked.
func standardQuestions() [][2]string {
	return [][2]string{
		{"fname", "First Name"}, {"mname", "Middle Name"}, {"lname", "Last Name"}, {"email", "Email"}, {"prefix", "Prefix"},
		{"title", "Job Title"}, {"company", "Company"}, {"country", "Country"}, {"city", "City"},
		{"website", "Website"}, {"mphone", "Mobile Phone"}, {"wphone", "Work Phone"},
	}
}

// days sets the dates: fourteen sessions fit into one day.
func (g *generator) days() {
	start, err := time.Parse(time.DateOnly, g.Start)
	if err != nil {
		panic(fmt.Sprintf("stovatest: Options.Start %q is no date", g.Start))
	}
	if g.DST {
		if change, ok := nextChange(g.Zone, start); ok {
			start = change.AddDate(0, 0, -1)
		}
	}
	g.first = start
	days := max(3, (g.Sessions+slotsADay-1)/slotsADay)
	g.event.Start = start.Format(time.DateOnly)
	g.event.End = start.AddDate(0, 0, days-1).Format(time.DateOnly)
}

// nextChange finds the date, after from, on which the zone's offset changes.
func nextChange(zone string, from time.Time) (time.Time, bool) {
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return time.Time{}, false
	}
	for d := 1; d <= 370; d++ {
		day := from.AddDate(0, 0, d)
		_, before := time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, 0, loc).Zone()
		_, after := time.Date(day.Year(), day.Month(), day.Day()+1, 0, 0, 0, 0, loc).Zone()
		if before != after {
			return day, true
		}
	}
	return time.Time{}, false
}
