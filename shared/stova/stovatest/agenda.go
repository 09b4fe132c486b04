package stovatest

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// slotsADay is how many sessions of 30 minutes, 40 minutes apart, fill a day
// from nine o'clock.
const slotsADay = 14

// session makes session i. Every fifth one runs beside the session before it
// and ends later.
func (g *generator) session(i int) *Session {
	r := g.rand("session", i)
	e := g.event
	minutes := 9*60 + (i%slotsADay)*40
	length := 30
	if i%5 == 4 && i%slotsADay > 0 {
		minutes, length = minutes-40, 60
	}
	s := &Session{
		ID: strconv.Itoa(60001 + i), Key: "1",
		Name: fmt.Sprintf("%s %d", g.words.topics[i%len(g.words.topics)], i+1),
		Date: g.date(i / slotsADay), Start: clock(minutes), End: clock(minutes + length),
		Location:    one(r, e.Locations).Name,
		Description: fmt.Sprintf("<p>About number %d &amp; <b>more</b></p>", i+1),
		Tracks:      []string{e.Tracks[i%len(e.Tracks)].ID}, Capacity: 50 + 10*r.IntN(20),
		Modified: g.Modified.Add(-time.Duration(r.IntN(3600)) * time.Second),
	}
	for range min(1+r.IntN(2), len(e.Speakers)) {
		if id := one(r, e.Speakers).ID; !slices.Contains(s.Speakers, id) {
			s.Speakers = append(s.Speakers, id)
		}
	}
	return s
}

// date is the day n days after the first.
func (g *generator) date(n int) string { return g.first.AddDate(0, 0, n).Format(time.DateOnly) }

func clock(minutes int) string { return fmt.Sprintf("%02d:%02d:00", minutes/60%24, minutes%60) }

// smallHours moves the last three sessions around the change of clocks, which
// is on the second day. It happens between one and three o'clock in most zones.
func (g *generator) smallHours() {
	all := g.event.Sessions
	starts := []string{"00:30:00", "01:30:00", "02:30:00"}
	for i, s := range all[max(0, len(all)-len(starts)):] {
		s.Date, s.Start, s.End = g.date(1), starts[i], "04:00:00"
	}
}

// oddSessions turns ordinary sessions into odd ones, in this order until none
// is left.
func (g *generator) oddSessions() {
	all := g.event.Sessions
	for i, odd := range g.oddSessionKinds() {
		if i == len(all) {
			return
		}
		odd(all[i])
	}
}

func (g *generator) oddSessionKinds() []func(*Session) {
	slot := func(start, end string) func(*Session) {
		return func(s *Session) { s.Date, s.Start, s.End = g.date(2), start, end }
	}
	return []func(*Session){
		func(*Session) {}, // its id is repeated by the next
		func(s *Session) {
			was := s.ID
			s.ID, s.Key = g.event.Sessions[0].ID, "2"
			g.repoint(was, s)
		},
		func(s *Session) { s.Date, s.Start, s.End = "0000-00-00", "", "" },
		func(s *Session) { s.NoStart = true },
		func(s *Session) { s.Date, s.Start, s.End = "0001-01-01", "00:00:00", "" },
		func(s *Session) { s.Start, s.End = "22:00:00", "02:00:00" },
		slot("19:00:00", "19:30:00"), slot("19:00:00", "20:00:00"), slot("19:00:00", "19:45:00"),
		slot("20:30:00", "21:00:00"), slot("20:30:00", "21:30:00"),
		func(s *Session) { s.Hidden = true; slot("19:00:00", "19:30:00")(s) },
		func(s *Session) { s.Deleted = true },
		func(s *Session) { s.DescriptionIn = DescAdditional },
		func(s *Session) { s.DescriptionIn = DescExpanded },
		func(s *Session) { s.DescriptionIn = DescOld },
		func(s *Session) { s.Description, s.Location, s.Tracks, s.Speakers = "", "", nil, nil },
		func(s *Session) { s.Name, s.Wire.Entities = "Café & <Questions>", true },
		func(s *Session) { s.Wire.Numbers = true },
		func(s *Session) { s.Tracks = []string{"41", "A track by name"} },
		func(s *Session) { s.Start, s.End = "00:00:00", "00:45:00" },
	}
}

// repoint moves the picks of a session that changed its identity.
func (g *generator) repoint(was string, to *Session) {
	for _, p := range g.event.People {
		for i, pick := range p.Picks {
			if pick.SessionID == was {
				p.Picks[i] = Pick{to.ID, to.Key}
			}
		}
	}
}

// speaker makes speaker i. Four in five have a picture.
func (g *generator) speaker(i int) *Speaker {
	r := g.rand("speaker", i)
	id := strconv.Itoa(9001 + i)
	s := &Speaker{
		ID: id, Prefix: one(r, g.words.prefixes), FirstName: one(r, g.words.first), LastName: one(r, g.words.last),
		Email: fmt.Sprintf("speaker.%s@example.test", id), JobTitle: one(r, g.words.jobs),
		Company: one(r, g.words.companies), Country: one(r, countries()),
		Bio:      fmt.Sprintf("<p>Speaker %s, <i>invented</i> &amp; proud</p>", id),
		Modified: g.Modified.Add(-time.Duration(r.IntN(3600)) * time.Second),
	}
	if i%5 != 4 {
		s.Image = strconv.Itoa(555001 + i)
	}
	return s
}

// linkSpeakers writes the way back from speakers to their sessions.
func (g *generator) linkSpeakers() {
	byID := map[string]*Speaker{}
	for _, s := range g.event.Speakers {
		byID[s.ID] = s
	}
	for _, s := range g.event.Sessions {
		for _, id := range s.Speakers {
			if sp := byID[id]; sp != nil {
				sp.Sessions = append(sp.Sessions, Pick{s.ID, s.Key})
			}
		}
	}
}

// oddSpeakers turns ordinary speakers into odd ones.
func (g *generator) oddSpeakers() {
	kinds := []func(*Speaker){
		func(s *Speaker) { s.NullSession = true },
		func(s *Speaker) { s.Image = "0" },
		func(s *Speaker) { s.FirstName, s.Email = "", "" },
		func(s *Speaker) { s.Hidden = true },
		func(s *Speaker) { s.Deleted = true },
		func(s *Speaker) { s.Wire.Entities, s.Company = true, "Sample & Sons" },
	}
	for i, odd := range kinds {
		if i == len(g.event.Speakers) {
			return
		}
		odd(g.event.Speakers[i])
	}
}
