package stovatest

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// person makes attendee i. Sponsors sit among the first attendees, every
// third one, so that lists mix both and a larger event keeps its sponsors.
func (g *generator) person(i int) *Person {
	r := g.rand("person", i)
	id := strconv.Itoa(800000001 + i)
	created := g.Modified.Add(-time.Duration(1+r.IntN(72)) * time.Hour)
	p := &Person{
		ID: id, ParentID: "0", FirstName: one(r, g.words.first), LastName: one(r, g.words.last),
		Email: fmt.Sprintf("person.%s@example.test", id), Prefix: one(r, g.words.prefixes),
		JobTitle: one(r, g.words.jobs), Company: one(r, g.words.companies), Country: one(r, countries()),
		City: one(r, g.words.cities), MobilePhone: fmt.Sprintf("+44|7700|900%03d", r.IntN(1000)),
		Status: g.status(r), Category: one(r, []string{"Delegate", "Delegate", "Member", "Press"}),
		Language: one(r, []string{"eng", "eng", "eng", "fra", "deu", "spa"}), Virtual: r.IntN(5) == 0,
		Created: created, Modified: g.Modified.Add(-time.Duration(r.IntN(3600)) * time.Second),
	}
	if r.IntN(3) == 0 {
		p.MobilePhone, p.WorkPhone = "", fmt.Sprintf("1|555|01%02d|%d", r.IntN(100), r.IntN(90)+10)
	}
	if r.Float64() < g.PhotoShare {
		p.Photo = id + one(r, []string{"_portrait.jpg", "_portrait.jpg", "_me.JPG", "_photo.png", "_pic.gif", "_web.webp"})
	}
	g.answers(r, p)
	p.Picks = g.picks(r)
	if n, ok := g.sponsorNumber(i); ok {
		g.makeSponsor(p, n)
	}
	return p
}

// sponsorNumber says whether attendee i is a sponsor, and which, from 0.
func (g *generator) sponsorNumber(i int) (int, bool) {
	if g.Sponsors == 0 {
		return 0, false
	}
	step := max(1, min(3, g.Attendees/g.Sponsors))
	n := i / step
	return n, i%step == step-1 && n < g.Sponsors
}

func (g *generator) makeSponsor(p *Person, n int) {
	p.Category, p.Photo = "Sponsor", ""
	p.Company = fmt.Sprintf("%s %d", g.words.companies[n%len(g.words.companies)], n+1)
	p.Website = fmt.Sprintf("https://sponsor%d.example.test/", n+1)
	if g.Levels > 0 {
		p.Subcategory = levels()[n%g.Levels]
	}
	if n%2 == 0 {
		p.Logo = p.ID + "_logo.png"
	}
}

// status is one of the ordinary four, mostly Confirmed.
func (g *generator) status(r *rand.Rand) string {
	switch n := r.IntN(100); {
	case n < 75:
		return "Confirmed"
	case n < 87:
		return "Attended"
	case n < 92:
		return "Incomplete"
	default:
		return "Cancelled"
	}
}

func (g *generator) answers(r *rand.Rand, p *Person) {
	diet := r.IntN(3)
	p.Answers = append(p.Answers, Answer{QuestionDiet, strconv.Itoa(diet + 1), []string{"None", "Vegan", "No nuts"}[diet]})
	size := one(r, []string{"S", "M", "L", "XL"})
	p.Answers = append(p.Answers, Answer{QuestionShirt, size, size})
	if p.Photo != "" {
		p.Answers = append(p.Answers, Answer{QuestionConsent, "1", "Yes"})
	}
	for i, label := range []string{"Data", "People", "Cost & care"} {
		if r.IntN(3) == 0 {
			p.Answers = append(p.Answers, Answer{QuestionTopics, strconv.Itoa(i + 1), label})
		}
	}
}

// picks are distinct sessions, in the order of the agenda.
func (g *generator) picks(r *rand.Rand) []Pick {
	all := g.event.Sessions
	if len(all) == 0 || g.PicksMax == 0 {
		return nil
	}
	n := min(r.IntN(g.PicksMax+1), len(all))
	var picks []Pick
	for at := r.IntN(len(all)); len(picks) < n; at = (at + 1 + r.IntN(2)) % len(all) {
		pick := Pick{all[at].ID, all[at].Key}
		if !has(picks, pick) {
			picks = append(picks, pick)
		}
	}
	return picks
}

func has(picks []Pick, p Pick) bool {
	for _, q := range picks {
		if q == p {
			return true
		}
	}
	return false
}

// oddPeople turns ordinary attendees, sponsors aside, into the odd ones that
// the fact sheet names, in this order until no attendee is left.
func (g *generator) oddPeople() {
	e := g.event
	e.Categories = append(e.Categories, Category{ID: "3050", Name: "Sponsor guest"}, Category{ID: "3051", Name: " sPoNsOr "})
	var plain []*Person
	for _, p := range e.People {
		if p.Category != "Sponsor" {
			plain = append(plain, p)
		}
	}
	for i, odd := range g.oddPersonKinds() {
		if i == len(plain) {
			return
		}
		odd(plain[i])
	}
}

func (g *generator) oddPersonKinds() []func(*Person) {
	kinds := []func(*Person){
		func(p *Person) { p.Email = "" },
		func(p *Person) { p.Category, p.Wire.NoCategory = "", AbsentList },
		func(p *Person) { p.Category, p.Wire.NoCategory = "", AbsentNull },
		func(p *Person) { p.Category, p.Wire.NoCategory = "", AbsentText },
		func(p *Person) { p.Category, p.Wire.NoCategory = "", AbsentKey },
		func(p *Person) { p.Category = "Sponsor guest" },
		g.oddSponsor,
		func(p *Person) { p.Test = true },
		func(p *Person) { p.Company, p.Wire.Entities = "Sample & Sons <Über>", true },
		func(p *Person) { p.Wire.Padded = true },
		func(p *Person) { p.Wire.Numbers = true },
		func(p *Person) { p.Wire.OmitEmpty, p.Company, p.MobilePhone, p.WorkPhone = true, "", "", "" },
		func(p *Person) { p.FirstName, p.LastName = "", "" },
		func(p *Person) { p.Picks = []Pick{{"69999", "1"}} },
		func(p *Person) { p.Photo = p.ID + " Zoë’s photo (1)+2%.png" },
		func(p *Person) { p.Photo = p.ID + "_gone.jpg"; g.event.BreakPicture(p.Photo, "404") },
		func(p *Person) { p.Photo = p.ID + "_html.jpg"; g.event.BreakPicture(p.Photo, "html") },
		func(p *Person) { p.Answers = append(p.Answers, Answer{QuestionShirt2, "M", "M"}) },
		func(p *Person) { p.ParentID = "800000001" },
		func(p *Person) { p.MobilePhone = "+44||7700 900123|" },
		func(p *Person) { p.JobTitle = "Line\nbreak \"quoted\" \\ back" },
		func(p *Person) { p.Picks = g.allKeysOf(g.event.Sessions) },
	}
	for _, status := range statuses() {
		kinds = append(kinds, func(p *Person) { p.Status = status })
	}
	return kinds
}

// oddSponsor is one more sponsor, in another case and with blanks.
func (g *generator) oddSponsor(p *Person) {
	g.makeSponsor(p, g.Sponsors)
	p.Category, p.Subcategory = " sPoNsOr ", ""
}

// allKeysOf picks every key of the session id that has several.
func (g *generator) allKeysOf(all []*Session) []Pick {
	var picks []Pick
	for _, s := range all {
		if len(all) > 1 && s.ID == all[0].ID {
			picks = append(picks, Pick{s.ID, s.Key})
		}
	}
	return picks
}
