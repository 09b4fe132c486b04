package stovatest_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"stovasync/shared/stova/stovatest"
)

var ignoreClock = cmpopts.IgnoreUnexported(stovatest.Event{})

func TestASeedAlwaysGivesTheSameEvent(t *testing.T) {
	t.Parallel()
	o := stovatest.Options{Seed: 7, Oddities: true}
	a := stovatest.Generate(o)
	o.Now = func() time.Time { return time.Date(2040, 5, 6, 7, 8, 9, 0, time.UTC) }
	b := stovatest.Generate(o)
	if diff := cmp.Diff(a, b, ignoreClock); diff != "" {
		t.Errorf("two events of one seed differ (-first +later):\n%s", diff)
	}
	// Kept, so that a change of the generator is noticed: others hold
	// expectations about its rows.
	body, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(body)
	const want = "a0bfc9bd159a"
	if got := hex.EncodeToString(sum[:6]); got != want {
		t.Errorf("the event of seed 7 has hash %s, want %s", got, want)
	}
}

func TestALargerEventStartsWithTheSmallerOne(t *testing.T) {
	t.Parallel()
	small := stovatest.Generate(stovatest.Options{Attendees: 60, Oddities: true})
	large := stovatest.Generate(stovatest.Options{Attendees: 900, Oddities: true})
	if diff := cmp.Diff(small.People, large.People[:60]); diff != "" {
		t.Errorf("people differ (-small +large):\n%s", diff)
	}
}

func TestTheDefaultEventIsTheOneOfTheDemo(t *testing.T) {
	t.Parallel()
	for name, oddities := range map[string]bool{"plain": false, "with oddities": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := stovatest.Generate(stovatest.Options{Oddities: oddities})
			var sponsors, photos, picks int
			levels := map[string]bool{}
			for _, p := range e.People {
				picks += len(p.Picks)
				if p.Photo != "" {
					photos++
				}
				if p.Category == "Sponsor" {
					sponsors++
					levels[p.Subcategory] = true
				}
			}
			got := []int{len(e.People), len(e.Sessions), len(e.Speakers), sponsors, len(levels)}
			if diff := cmp.Diff([]int{500, 40, 30, 12, 4}, got); diff != "" {
				t.Errorf("attendees, sessions, speakers, sponsors, levels (-want +got):\n%s", diff)
			}
			if photos < 160 || photos > 240 {
				t.Errorf("%d attendees have pictures, want about 200", photos)
			}
			if picks < 650 || picks > 850 {
				t.Errorf("%d picks, want about 750", picks)
			}
		})
	}
}

func TestOddEventsHoldEveryOddity(t *testing.T) {
	t.Parallel()
	e := stovatest.Generate(stovatest.Options{Attendees: 80, Sessions: 30, Oddities: true})
	person := func(is func(*stovatest.Person) bool) bool { return slices.ContainsFunc(e.People, is) }
	session := func(is func(*stovatest.Session) bool) bool { return slices.ContainsFunc(e.Sessions, is) }
	speaker := func(is func(*stovatest.Speaker) bool) bool { return slices.ContainsFunc(e.Speakers, is) }
	absent := func(shape string) bool {
		return person(func(p *stovatest.Person) bool { return p.Category == "" && p.Wire.NoCategory == shape })
	}
	starts, keys := map[string]int{}, map[string]int{}
	for _, s := range e.Sessions {
		keys[s.ID]++
		if !s.Hidden && !s.Deleted {
			starts[s.Date+s.Start]++
		}
	}
	tests := map[string]bool{
		"names outside ASCII":       person(func(p *stovatest.Person) bool { return strings.ContainsAny(p.FirstName, "ëŁéÅИ美") }),
		"no e-mail":                 person(func(p *stovatest.Person) bool { return p.Email == "" }),
		"no category, as a list":    absent(stovatest.AbsentList),
		"no category, as null":      absent(stovatest.AbsentNull),
		"no category, as text":      absent(stovatest.AbsentText),
		"no category at all":        absent(stovatest.AbsentKey),
		"a sponsor's guest":         person(func(p *stovatest.Person) bool { return p.Category == "Sponsor guest" }),
		"a sponsor in another case": person(func(p *stovatest.Person) bool { return p.Category == " sPoNsOr " }),
		"a test registration":       person(func(p *stovatest.Person) bool { return p.Test }),
		"entities":                  person(func(p *stovatest.Person) bool { return p.Wire.Entities }),
		"numbers for strings":       person(func(p *stovatest.Person) bool { return p.Wire.Numbers }),
		"a status nobody knows":     person(func(p *stovatest.Person) bool { return p.Status == "Moved To Mars" }),
		"a waiting list":            person(func(p *stovatest.Person) bool { return p.Status == "Waitlist" }),
		"a pick of nothing": person(func(p *stovatest.Person) bool {
			return slices.Contains(p.Picks, stovatest.Pick{SessionID: "69999", Key: "1"})
		}),
		"two questions with one slug": person(func(p *stovatest.Person) bool { return slices.ContainsFunc(p.Answers, isShirt2) }),
		"a session without times":     session(func(s *stovatest.Session) bool { return s.Date == "0000-00-00" }),
		"a session without start key": session(func(s *stovatest.Session) bool { return s.NoStart }),
		"a session over midnight":     session(func(s *stovatest.Session) bool { return s.Start > s.End && s.End != "" }),
		"a hidden session":            session(func(s *stovatest.Session) bool { return s.Hidden }),
		"a deleted session":           session(func(s *stovatest.Session) bool { return s.Deleted }),
		"three sessions at one start": starts[e.Sessions[6].Date+"19:00:00"] == 3,
		"two sessions at one start":   starts[e.Sessions[9].Date+"20:30:00"] == 2,
		"one id with two keys":        keys["60001"] == 2,
		"old descriptions":            session(func(s *stovatest.Session) bool { return s.DescriptionIn == stovatest.DescOld }),
		"expanded descriptions":       session(func(s *stovatest.Session) bool { return s.DescriptionIn == stovatest.DescExpanded }),
		"a null session":              speaker(func(s *stovatest.Speaker) bool { return s.NullSession && len(s.Sessions) > 0 }),
		"a speaker without picture":   speaker(func(s *stovatest.Speaker) bool { return s.Image == "" }),
	}
	for name, there := range tests {
		if !there {
			t.Errorf("%s: not there", name)
		}
	}
}

func isShirt2(a stovatest.Answer) bool { return a.QuestionID == stovatest.QuestionShirt2 }

func TestSmallEventsAreMadeToo(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]int{"empty": -1, "one of each": 1, "two of each": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := stovatest.Generate(stovatest.Options{Attendees: n, Sessions: n, Speakers: n, Sponsors: n, Oddities: true, DST: true})
			want := max(n, 0)
			if len(e.People) != want || len(e.Sessions) != want || len(e.Speakers) != want {
				t.Errorf("got %d people, %d sessions, %d speakers, want %d each", len(e.People), len(e.Sessions), len(e.Speakers), want)
			}
		})
	}
}

func TestTheChangeOfClocksIsOnTheSecondDay(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ zone, start, want string }{
		"forward in London":            {"Europe/London", "2031-03-04", "2031-03-30"},
		"back in London":               {"Europe/London", "2031-06-01", "2031-10-26"},
		"forward in New York":          {"America/New_York", "2031-01-01", "2031-03-09"},
		"a zone without changes stays": {"America/Phoenix", "2031-03-04", "2031-03-05"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := stovatest.Generate(stovatest.Options{DST: true, Zone: tt.zone, Start: tt.start})
			var starts []string
			for _, s := range e.Sessions {
				if s.Date == tt.want && s.Start < "03:00:00" {
					starts = append(starts, s.Start)
				}
			}
			if diff := cmp.Diff([]string{"00:30:00", "01:30:00", "02:30:00"}, starts); diff != "" {
				t.Errorf("starts on %s (-want +got):\n%s", tt.want, diff)
			}
		})
	}
}
