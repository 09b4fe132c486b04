package app_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"stovasync/shared/run"
	"stovasync/shared/stova/stovatest"
)

// This file says what a sync must store, from the generated event alone and
// from spotme-model.md: §5 for fields, §6 for rules, §10 for master sessions,
// §0 for settled points. It knows nothing of the mapping engine, so that a
// mistake there cannot hide in here.

// record is one stored record, as far as the model says what is in it.
type record struct {
	Status, Owner, Type string
	Fields              map[string]any
}

// store is all records of a connection, by type and fp_ext_id.
type store map[run.DataType]map[string]record

// wish is what must be stored, and how many rows each type must count as what
// in a full run into an empty store.
type wish struct {
	store
	counts map[run.DataType]run.Counts
}

// settings are those of the connection that change what is stored. Photo and
// in_slot are mapped as the seeds ask operators to.
type settings struct {
	title string // ConcurrentSessionsTitle
	zone  string // of the event, as the vendor tells it or the settings do
}

// expect is what a full run of an event must store.
func expect(tb testing.TB, e *stovatest.Event, s settings) wish {
	tb.Helper()
	zone, err := time.LoadLocation(s.zone)
	if err != nil {
		tb.Fatal(err)
	}
	x := &expectation{e: e, title: s.title, zone: zone, wish: wish{store: store{}, counts: map[run.DataType]run.Counts{}}}
	for _, t := range run.AllTypes() {
		x.store[t] = map[string]record{}
	}
	x.sessions()
	x.masters()
	for _, sp := range e.Speakers {
		x.presenter(sp)
	}
	for _, p := range e.People {
		if isSponsor(p) {
			x.sponsor(p)
		} else {
			x.user(p)
		}
	}
	x.levels()
	for _, p := range e.People {
		x.schedule(p)
	}
	return x.wish
}

type expectation struct {
	wish
	e      *stovatest.Event
	title  string
	zone   *time.Location
	spans  map[string]span // of stored sessions
	active map[string]bool // sessions that may have a master
}

type span struct{ from, to time.Time }

func (x *expectation) put(t run.DataType, id string, r record) {
	maps.DeleteFunc(r.Fields, func(_ string, v any) bool { return v == "" })
	r.Type = map[run.DataType]string{
		run.Users: "person", run.Sessions: "session", run.Presenters: "presenter", run.Sponsors: "sponsor",
		run.SponsorLevels: "sponsor_level", run.Schedule: "session_registration",
		run.PresenterPhotos: "presenter_photo", run.UserPhotos: "person_photo",
	}[t]
	r.Owner = cmp.Or(r.Owner, "global")
	x.store[t][id] = r
	x.count(t, func(c *run.Counts) { c.Read++; c.New++ })
}

func (x *expectation) count(t run.DataType, change func(*run.Counts)) {
	c := x.counts[t]
	change(&c)
	x.counts[t] = c
}

// R4, R5: trimmed, without case, the whole name.
func isSponsor(p *stovatest.Person) bool {
	return strings.EqualFold(strings.TrimSpace(p.Category), "Sponsor")
}

// R1, P6: Confirmed or Attended, whatever the case, blanks or hyphens.
func isActive(p *stovatest.Person) bool {
	s := strings.ToLower(strings.NewReplacer(" ", "", "-", "").Replace(p.Status))
	return s == "confirmed" || s == "attended"
}

// R2.
func personStatus(p *stovatest.Person) string {
	if isActive(p) {
		return "active"
	}
	return "cancelled"
}

// §5.2 and P9: the mobile number, else the one at work; parts joined by a blank.
func phone(p *stovatest.Person) string {
	parts := strings.FieldsFunc(cmp.Or(p.MobilePhone, p.WorkPhone), func(r rune) bool { return r == '|' })
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return strings.Join(parts, " ")
}

// locales are the languages that the generator uses, in both codes.
var locales = map[string]string{"eng": "en", "fra": "fr", "deu": "de", "spa": "es"}

// §5.2, and P11 for the picture.
func (x *expectation) user(p *stovatest.Person) {
	u := record{Status: personStatus(p), Fields: map[string]any{
		"fname": p.FirstName, "lname": p.LastName, "email": p.Email, "title": p.Prefix, "position": p.JobTitle,
		"company": p.Company, "country": p.Country, "phone": phone(p), "photo": p.Photo,
		"registrationtype": strings.TrimSpace(p.Category), "fp_locale": locales[p.Language],
	}}
	x.put(run.Users, p.ID, u)
	if p.Photo != "" && isActive(p) {
		x.photo(run.UserPhotos, p.ID, p.Photo)
	}
}

// §5.7: the company's name, else the person's.
func (x *expectation) sponsor(p *stovatest.Person) {
	x.put(run.Sponsors, p.ID, record{Status: personStatus(p), Fields: map[string]any{
		"name":  cmp.Or(p.Company, strings.TrimSpace(p.FirstName+" "+p.LastName)),
		"level": slug(p.Subcategory), "website": p.Website, "email": p.Email, "phone": phone(p),
		"country": p.Country, "city": p.City,
	}})
}

// P18, for the letters the generator uses.
func slug(name string) string {
	var words []string
	for w := range strings.FieldsFuncSeq(strings.ToLower(name), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }) {
		words = append(words, w)
	}
	return strings.Join(words, "_")
}

// §5.8 and design.md §6: in the order of the lowest attendee id, from 1.
func (x *expectation) levels() {
	var sponsors []*stovatest.Person
	for _, p := range x.e.People {
		if isSponsor(p) {
			sponsors = append(sponsors, p)
		}
	}
	slices.SortFunc(sponsors, func(a, b *stovatest.Person) int { return cmp.Compare(a.ID, b.ID) })
	order := int64(0)
	level := func(id, name string) {
		if _, ok := x.store[run.SponsorLevels][id]; !ok {
			order++
			x.put(run.SponsorLevels, id, record{Status: "active", Fields: map[string]any{"name": name, "order": order}})
		}
	}
	for _, p := range sponsors {
		if p.Subcategory != "" {
			level(slug(p.Subcategory), p.Subcategory)
		}
	}
	if order == 0 && len(sponsors) > 0 {
		level("sponsor", "Sponsor")
	}
}

func sessionID(id, key string) string { return id + "_" + key }

// §5.3, R7, R8.
func (x *expectation) sessions() {
	x.spans, x.active = map[string]span{}, map[string]bool{}
	for _, s := range x.e.Sessions {
		id := sessionID(s.ID, s.Key)
		sp, ok := x.span(s)
		if !ok {
			x.count(run.Sessions, func(c *run.Counts) { c.Read++; c.Rejected++ })
			continue
		}
		status := "active"
		switch {
		case s.Deleted:
			status = "cancelled"
		case s.Hidden:
			status = "hidden"
		}
		x.spans[id], x.active[id] = sp, status == "active"
		x.put(run.Sessions, id, record{Status: status, Fields: x.sessionFields(s, sp)})
	}
}

func (x *expectation) sessionFields(s *stovatest.Session, sp span) map[string]any {
	f := map[string]any{
		"name": s.Name, "location": s.Location, "content": s.Description, "is_master": false,
		"start": sp.from.Format(time.RFC3339), "end": sp.to.Format(time.RFC3339), "timezone": x.zone.String(),
	}
	if len(s.Speakers) > 0 {
		f["presenters"] = s.Speakers
	}
	var tags []string
	for _, id := range s.Tracks {
		i := slices.IndexFunc(x.e.Tracks, func(t stovatest.Track) bool { return t.ID == id })
		if i < 0 {
			tags = append(tags, id) // P8: a track that no id names
			continue
		}
		tags = append(tags, x.e.Tracks[i].Name)
	}
	if len(tags) > 0 {
		f["tag"] = tags
	}
	return f
}

// span is when a session is, or false when it has no start or no end.
func (x *expectation) span(s *stovatest.Session) (span, bool) {
	if s.NoStart || s.Start == "" || s.End == "" || s.Date == "" || s.Date < "0002" {
		return span{}, false
	}
	from, err := time.Parse(time.DateTime, s.Date+" "+s.Start)
	if err != nil {
		return span{}, false
	}
	to, err := time.Parse(time.DateTime, s.Date+" "+s.End)
	if err != nil {
		return span{}, false
	}
	if to.Before(from) {
		to = to.AddDate(0, 0, 1) // over midnight
	}
	return span{wall(from, x.zone), wall(to, x.zone)}, true
}

// wall is the instant of a wall time: the first of two, and in a gap the one
// that shows as much later as the clock was put forward.
func wall(t time.Time, zone *time.Location) time.Time {
	// No change of clocks is near enough to be in both of these.
	_, before := t.Add(-18 * time.Hour).In(zone).Zone()
	_, after := t.Add(18 * time.Hour).In(zone).Zone()
	first := t.Add(-time.Duration(before) * time.Second).In(zone)
	if second := t.Add(-time.Duration(after) * time.Second).In(zone); shows(second, t) && !shows(first, t) {
		return second
	}
	return first
}

func shows(at, wall time.Time) bool { return at.Format(time.DateTime) == wall.Format(time.DateTime) }

// masters are those of §10: active sessions that start together.
func (x *expectation) masters() {
	if x.title == "" { // R9
		return
	}
	groups := map[time.Time][]string{}
	for id, sp := range x.spans {
		if x.active[id] {
			groups[sp.from.UTC()] = append(groups[sp.from.UTC()], id)
		}
	}
	for at, members := range groups {
		if len(members) < 2 {
			continue
		}
		master := "slot_" + x.e.ID + "_" + at.Format("20060102T1504Z")
		var end time.Time
		for _, id := range members {
			x.store[run.Sessions][id].Fields["in_slot"] = master
			if to := x.spans[id].to; to.After(end) {
				end = to
			}
		}
		x.store[run.Sessions][master] = record{Status: "active", Owner: "global", Type: "session", Fields: map[string]any{
			"name": x.title, "is_master": true, "timezone": x.zone.String(),
			"start": at.In(x.zone).Format(time.RFC3339), "end": end.In(x.zone).Format(time.RFC3339),
		}}
		x.count(run.Sessions, func(c *run.Counts) { c.Computed++ }) // P4
	}
}

// §5.4.
func (x *expectation) presenter(s *stovatest.Speaker) {
	status, image := "active", s.Image
	if s.Deleted {
		status = "hidden"
	}
	if image == "0" { // stova-api.md §7.13: none
		image = ""
	}
	x.put(run.Presenters, s.ID, record{Status: status, Fields: map[string]any{
		"fname": s.FirstName, "lname": s.LastName, "title": s.Prefix, "position": s.JobTitle, "company": s.Company,
		"country": s.Country, "biography": s.Bio, "email": s.Email, "photo": image,
	}})
	if image != "" && status == "active" {
		x.photo(run.PresenterPhotos, s.ID, image)
	}
}

// photo is §5.5, §5.6 and P11. What depends on the bytes is compared with the
// twin's own pictures (checkPictures); the owner's photo_object too.
func (x *expectation) photo(t run.DataType, owner, name string) {
	state := "stored"
	switch x.e.Pictures[name].Fault {
	case "404", "401", "403":
		state = "missing"
	case "html", "empty", "text", "large", "endless", "redirect":
		state = "rejected"
	}
	kind := "person"
	if t == run.PresenterPhotos {
		kind = "presenter"
	}
	x.put(t, owner, record{Status: "active", Fields: map[string]any{"owner_type": kind, "owner_ext_id": owner, "state": state}})
	x.count(t, func(c *run.Counts) {
		switch state {
		case "missing":
			c.New, c.Missing = c.New-1, c.Missing+1
		case "rejected":
			c.New, c.Rejected = c.New-1, c.Rejected+1
		}
	})
}

// §5.9, P2, P3.
func (x *expectation) schedule(p *stovatest.Person) {
	for _, pick := range p.Picks {
		session := sessionID(pick.SessionID, pick.Key)
		switch _, known := x.spans[session]; {
		case isSponsor(p):
			x.count(run.Schedule, func(c *run.Counts) { c.Read++; c.Filtered++ })
		case !known:
			x.count(run.Schedule, func(c *run.Counts) { c.Read++; c.Pending++ })
		default:
			r := record{Status: "active", Owner: p.ID, Fields: map[string]any{"parent_doc_id": session, "status": "registered"}}
			if !isActive(p) {
				r.Status, r.Fields["status"] = "cancelled", "unregistered"
			}
			x.put(run.Schedule, p.ID+"_"+session, r)
		}
	}
}

// carry is what must be stored after an event has changed from one to another:
// what is gone from the vendor stays as it was (removal is a switch of its
// own), a person who moved leaves a cancelled record (R6), a pick that is gone
// is unregistered (P2), and masters go at once (P4).
func carry(before store, after wish, e *stovatest.Event) store {
	out := after.store
	for t, records := range before {
		for id, old := range records {
			if _, there := out[t][id]; there || t == run.Sessions && old.Fields["is_master"] == true {
				continue
			}
			r := record{Status: old.Status, Owner: old.Owner, Type: old.Type, Fields: maps.Clone(old.Fields)}
			switch t {
			case run.Users, run.Sponsors:
				if e.Person(id) != nil {
					r.Status = "cancelled"
				}
			case run.Schedule:
				if e.Person(old.Owner) != nil {
					r.Status, r.Fields["status"] = "cancelled", "unregistered"
				}
			case run.Sessions:
				delete(r.Fields, "in_slot")
			}
			out[t][id] = r
		}
	}
	return out
}

// pictureOf is the file whose bytes a photo record must name.
func pictureOf(e *stovatest.Event, t run.DataType, owner string) (string, error) {
	if t == run.PresenterPhotos {
		if s := e.Speaker(owner); s != nil {
			return s.Image, nil
		}
	} else if p := e.Person(owner); p != nil {
		return p.Photo, nil
	}
	return "", fmt.Errorf("%s %s has no owner", t, owner)
}
