package app_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/pipeline"
	"stovasync/shared/run"
	"stovasync/shared/stova/stovatest"
)

// stamps are the times at which records were last written.
func (w *world) stamps() map[string]time.Time {
	all := map[string]time.Time{}
	for t, records := range w.stored() {
		for id, r := range records {
			all[string(t)+" "+id] = r.UpdatedAt
		}
	}
	return all
}

// unchanged fails when a run writes any record.
func (w *world) unchanged(mode run.Mode) pipeline.RunView {
	w.t.Helper()
	before := w.stamps()
	v := w.sync(mode)
	if diff := cmp.Diff(before, w.stamps()); diff != "" {
		w.t.Errorf("a run (%q) with nothing new wrote records:\n%s", mode, diff)
	}
	return v
}

func TestASecondRunWritesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stovatest.Options{Seed: 20, Attendees: 60, Sessions: 16, Speakers: 10}, stovatest.ServerOptions{}, "pageSize: 20\n")
	first := w.sync(run.Full)
	want := w.expect()

	w.twin.Reset()
	again := w.unchanged(run.Incremental)
	if again.Mode != run.Incremental {
		t.Errorf("the second run is %s", again.Mode)
	}
	lists := 0
	for name, n := range w.twin.Calls() {
		if strings.HasPrefix(name, "list") {
			lists += n
		}
	}
	if limit := 10 + len(w.event.Sessions) + len(w.event.Speakers) + lists; w.twin.Total() > limit {
		t.Errorf("%d API calls with nothing changed, want at most %d: %v", w.twin.Total(), limit, w.twin.Calls())
	}
	if again.APICalls != w.twin.Total() {
		t.Errorf("the run says it made %d API calls, the vendor counted %d", again.APICalls, w.twin.Total())
	}

	full := w.unchanged(run.Full)
	for dt, c := range want.counts {
		c.Unchanged, c.New = c.New, 0
		if got := full.Types[dt].Counts; got != c {
			t.Errorf("%s of the second full run: %+v, want %+v (first %+v)", dt, got, c, first.Types[dt].Counts)
		}
	}
	w.check(want.store)
}

// someone is the first attendee that fits.
func someone(e *stovatest.Event, fits func(*stovatest.Person) bool) *stovatest.Person {
	i := slices.IndexFunc(e.People, fits)
	if i < 0 {
		panic("the generated event has no such attendee; take another seed")
	}
	return e.People[i]
}

func goer(p *stovatest.Person) bool {
	return !isSponsor(p) && isActive(p) && p.Photo != "" && len(p.Picks) > 1
}

// lonely is a session that starts alone and is on somebody's agenda.
func lonely(e *stovatest.Event) *stovatest.Session {
	i := slices.IndexFunc(e.Sessions, func(s *stovatest.Session) bool {
		for _, o := range e.Sessions {
			if o != s && o.Date == s.Date && o.Start == s.Start {
				return false
			}
		}
		return slices.ContainsFunc(e.People, func(p *stovatest.Person) bool {
			return !isSponsor(p) && isActive(p) && slices.Contains(p.Picks, stovatest.Pick{SessionID: s.ID, Key: s.Key})
		})
	})
	return e.Sessions[i]
}

// edit changes what the vendor has, or the settings, between two runs.
type edit struct {
	change   func(w *world, e *stovatest.Event)
	settings string   // of the connection file, when they change
	mode     run.Mode // of the second run; default incremental
	// amend changes the expectation where the past counts.
	amend func(e *stovatest.Event, before, want store)
}

// touched is an edit of an attendee.
func touched(fits func(*stovatest.Person) bool, change func(*stovatest.Event, *stovatest.Person)) edit {
	return edit{change: func(_ *world, e *stovatest.Event) {
		p := someone(e, fits)
		change(e, p)
		e.Touch(p.ID)
	}}
}

// keepRows keeps the schedule rows of sessions that are stored but that the
// vendor no longer has: their parent is known still (P21).
func keepRows(e *stovatest.Event, before, want store) {
	for id, r := range before[run.Schedule] {
		session := r.Fields["parent_doc_id"].(string)
		if i := slices.IndexFunc(e.Sessions, func(s *stovatest.Session) bool { return sessionID(s.ID, s.Key) == session && s.Date > "0002" }); i < 0 {
			want[run.Schedule][id] = r
		}
	}
}

func plain(p *stovatest.Person) bool { return !isSponsor(p) && isActive(p) }

func TestAnEditedEventEndsAsItIsNow(t *testing.T) {
	t.Parallel()
	edits := peopleEdits()
	for name, e := range agendaEdits() {
		edits[name] = e
	}
	for name, e := range settingsEdits() {
		edits[name] = e
	}
	for name, ed := range edits {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, stovatest.Options{Seed: 30, Attendees: 24, Sessions: 10, Speakers: 5, Sponsors: 3}, stovatest.ServerOptions{}, "pageSize: 20\n")
			w.sync(run.Full)
			before := w.expect().store
			w.check(before)

			w.twin.Edit(func(e *stovatest.Event) { ed.change(w, e) })
			w.connect("pageSize: 20\n" + ed.settings)
			w.sync(ed.mode)
			var want store
			after := w.expect()
			w.twin.View(func(e *stovatest.Event) {
				want = carry(before, after, e)
				if ed.amend != nil {
					ed.amend(e, before, want)
				}
			})
			w.check(want)
			w.unchanged(run.Incremental)
		})
	}
}

func peopleEdits() map[string]edit {
	return map[string]edit{
		"a changed name": touched(plain, func(_ *stovatest.Event, p *stovatest.Person) { p.FirstName = "Changed" }),
		"a cancellation": touched(goer, func(_ *stovatest.Event, p *stovatest.Person) { p.Status = "Cancelled" }),
		"a change of mind": touched(func(p *stovatest.Person) bool { return !isActive(p) && !isSponsor(p) && len(p.Picks) > 0 }, func(_ *stovatest.Event, p *stovatest.Person) {
			p.Status = "Confirmed"
		}),
		"somebody becomes a sponsor": touched(goer, func(_ *stovatest.Event, p *stovatest.Person) { p.Category = "Sponsor" }),
		"a sponsor becomes a delegate": {change: func(_ *world, e *stovatest.Event) {
			// The last one: the order of the other levels stays.
			for _, p := range slices.Backward(e.People) {
				if isSponsor(p) {
					p.Category, p.Subcategory = "Delegate", ""
					e.Touch(p.ID)
					return
				}
			}
		}},
		"a pick removed": touched(goer, func(_ *stovatest.Event, p *stovatest.Person) { p.Picks = p.Picks[1:] }),
		"a pick added": touched(func(p *stovatest.Person) bool { return plain(p) && len(p.Picks) == 0 }, func(e *stovatest.Event, p *stovatest.Person) {
			p.Picks = []stovatest.Pick{{SessionID: e.Sessions[3].ID, Key: e.Sessions[3].Key}}
		}),
		"a picture under another name": touched(goer, func(_ *stovatest.Event, p *stovatest.Person) { p.Photo = p.ID + "_other.png" }),
		"a picture taken away":         touched(goer, func(_ *stovatest.Event, p *stovatest.Person) { p.Photo = "" }),
		"a first picture":              touched(func(p *stovatest.Person) bool { return plain(p) && p.Photo == "" }, func(_ *stovatest.Event, p *stovatest.Person) { p.Photo = p.ID + "_first.gif" }),
		"other bytes under the same name, seen by a full run": {mode: run.Full, change: func(_ *world, e *stovatest.Event) {
			e.NewPicture(someone(e, goer).Photo)
		}},
		"a picture that is gone, seen by a full run: what is stored stays": {mode: run.Full, change: func(_ *world, e *stovatest.Event) {
			e.BreakPicture(someone(e, goer).Photo, "404")
		}},
		"a new attendee": {change: func(_ *world, e *stovatest.Event) {
			p := *someone(e, goer)
			p.ID, p.Photo = "800000900", "800000900_new.png"
			e.People = append(e.People, &p)
			e.Touch(p.ID)
		}},
		"a new attendee whose modification is old": {change: func(_ *world, e *stovatest.Event) {
			p := *someone(e, goer)
			p.ID, p.Photo = "800000901", ""
			e.People = append(e.People, &p)
		}},
		"a removed attendee is kept": {change: func(_ *world, e *stovatest.Event) { e.Remove(someone(e, goer).ID) }},
	}
}

func agendaEdits() map[string]edit {
	return map[string]edit{
		"a session moved into another's slot": {change: func(_ *world, e *stovatest.Event) {
			s := lonely(e)
			s.Date, s.Start, s.End = e.Sessions[1].Date, e.Sessions[1].Start, "23:30:00"
			if s == e.Sessions[1] {
				s.Start = e.Sessions[0].Start
			}
		}},
		"a session moved away, so that its neighbour is alone": {change: func(_ *world, e *stovatest.Event) {
			e.Sessions[4].Date = "2031-03-05"
			e.Sessions[4].Start, e.Sessions[4].End = "20:00:00", "21:00:00"
		}},
		"a session hidden":  {change: func(_ *world, e *stovatest.Event) { e.Sessions[4].Hidden = true }},
		"a session deleted": {change: func(_ *world, e *stovatest.Event) { e.Sessions[4].Deleted = true }},
		"a session renamed": {change: func(_ *world, e *stovatest.Event) { e.Sessions[4].Name = "Another name" }},
		"a session that loses its times is kept": {amend: keepRows, change: func(_ *world, e *stovatest.Event) {
			lonely(e).Date = "0000-00-00"
		}},
		"a session that is gone is kept": {amend: keepRows, change: func(_ *world, e *stovatest.Event) { e.Remove(lonely(e).ID) }},
		"a changed speaker":              {change: func(_ *world, e *stovatest.Event) { e.Speakers[1].Company = "Other & Sons" }},
		"a speaker's other image":        {change: func(_ *world, e *stovatest.Event) { e.Speakers[1].Image = "555999" }},
		"a speaker deleted":              {change: func(_ *world, e *stovatest.Event) { e.Speakers[1].Deleted = true }},
		"a speaker that is gone is kept": {change: func(_ *world, e *stovatest.Event) { e.Remove(e.Speakers[1].ID) }},
		"the event moves to another zone": {change: func(w *world, e *stovatest.Event) {
			e.Zone, w.set.zone = "America/New_York", "America/New_York"
		}},
	}
}

func settingsEdits() map[string]edit {
	return map[string]edit{
		"the title of masters changed": {change: func(w *world, _ *stovatest.Event) { w.set.title = "Gleichzeitig – Ω" }},
		"the title of masters blanked": {change: func(w *world, _ *stovatest.Event) { w.set.title = "" }},
		"a new mapping reaches unmodified rows": {
			change:   func(*world, *stovatest.Event) {},
			settings: "mapping:\n  users: {photo: responses.photo, company: null, external_qr_value: attendeeid}\n  sessions: {in_slot: in_slot}\n",
			amend: func(_ *stovatest.Event, _, want store) {
				for id, r := range want[run.Users] {
					delete(r.Fields, "company")
					r.Fields["external_qr_value"] = id
				}
			},
		},
		"in_slot is no longer mapped": {
			change:   func(w *world, _ *stovatest.Event) { w.set.title = "" },
			settings: "mapping:\n  users: {photo: responses.photo}\n",
		},
	}
}

func TestARowThatWaitsIsStoredWhenItsSessionAppears(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stovatest.Options{Seed: 31, Attendees: 20, Sessions: 8, Speakers: 4}, stovatest.ServerOptions{}, "")
	w.twin.Edit(func(e *stovatest.Event) {
		someone(e, plain).Picks = []stovatest.Pick{{SessionID: "61000", Key: "2"}}
	})
	v := w.sync(run.Full)
	want := w.expect()
	if want.counts[run.Schedule].Pending != 1 {
		t.Fatalf("the event has %d waiting rows, want 1", want.counts[run.Schedule].Pending)
	}
	w.check(want.store)
	w.checkCounts(v, want.counts)

	w.twin.Edit(func(e *stovatest.Event) {
		s := *e.Sessions[0]
		s.ID, s.Key, s.Date = "61000", "2", "2031-03-07"
		e.Sessions = append(e.Sessions, &s)
	})
	w.sync(run.Incremental)
	w.check(w.expect().store)
	w.unchanged(run.Incremental)
}
