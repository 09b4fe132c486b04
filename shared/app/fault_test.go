package app_test

import (
	"encoding/json"
	"strings"
	"testing"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
	"stovasync/shared/stova/stovatest"
)

func small(seed uint64) stovatest.Options {
	return stovatest.Options{Seed: seed, Attendees: 30, Sessions: 14, Speakers: 6, Sponsors: 4}
}

// faults switches on faults by their texts.
func (w *world) faults(texts ...string) {
	w.t.Helper()
	for _, text := range texts {
		f, err := stovatest.ParseFault(text)
		if err != nil {
			w.t.Fatal(err)
		}
		w.twin.Fault(f)
	}
}

// cleanView looks for secrets and people in what a run tells.
func (w *world) cleanView(v pipeline.RunView) {
	w.t.Helper()
	doc, err := json.Marshal(v)
	if err != nil {
		w.t.Fatal(err)
	}
	clean(w.t, "the run", string(doc), w.event)
}

func TestTroubleThatPassesLeavesNoTrace(t *testing.T) {
	t.Parallel()
	for name, faults := range map[string][]string{
		"too many calls, with Retry-After":         {"429:after=20,times=3,retry-after=1"},
		"too many calls, without":                  {"429:every=6,times=8"},
		"lists that are too large step down":       {"toobig:limit=7"},
		"lists that fail at first":                 {"502:endpoint=list*,times=4", "504:endpoint=listSpeakers,times=2"},
		"every detail fails twice":                 {"500:endpoint=get*,times=2,per-id=true"},
		"cut JSON":                                 {"truncate:endpoint=getAttendee,times=3"},
		"HTML for a list":                          {"html:endpoint=listSessions,times=1"},
		"connections that are closed":              {"cut:endpoint=get*,every=9,times=4", "cut:mode=body,endpoint=getAttendee,times=2"},
		"tokens that end after a few calls":        {"token:after=9"},
		"a token that ends inside a list":          {"token:after=3,times=3", "toobig:limit=5"},
		"slow answers":                             {"slow:endpoint=getAttendee,delay=200ms,every=5"},
		"a busy vendor":                            {"503:every=5,times=6,retry-after=0"},
		"a server of pictures that fails at first": {"picture:mode=500,times=3"},
		"the other shapes of everything": {
			"variant:responses=array,category=null,languages=serialized,descriptions=additional_details,speakers=object,location=object,numbers=all"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, small(70), stovatest.ServerOptions{}, "pageSize: 10\n")
			w.faults(faults...)
			v := w.sync(run.Full)
			w.cleanView(v)
			w.twin.ClearFaults()
			w.twin.SetVariants(stovatest.Variants{})
			want := w.expect()
			w.check(want.store)
			w.checkCounts(v, want.counts)
		})
	}
}

func TestLatin1BodiesAreRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, small(75), stovatest.ServerOptions{}, "")
	latin := func(s string) string {
		return strings.Map(func(r rune) rune {
			if r > 0xFF {
				return 'ø' // Latin-1 has no such letter
			}
			return r
		}, s)
	}
	w.twin.Edit(func(e *stovatest.Event) {
		for _, p := range e.People {
			for _, s := range []*string{&p.FirstName, &p.LastName, &p.Prefix, &p.JobTitle, &p.Company, &p.Country, &p.City} {
				*s = latin(*s)
			}
		}
		for _, sp := range e.Speakers {
			for _, s := range []*string{&sp.FirstName, &sp.LastName, &sp.Prefix, &sp.JobTitle, &sp.Company, &sp.Country} {
				*s = latin(*s)
			}
		}
	})
	w.faults("latin1:endpoint=getSession+getSpeaker+getAttendee")
	w.sync(run.Full)
	w.check(w.expect().store)
}

func TestOddPicturesAreToldApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, small(71), stovatest.ServerOptions{}, "")
	w.twin.Edit(func(e *stovatest.Event) {
		modes := []string{"html", "404", "401", "403", "empty", "large", "text"}
		for _, p := range e.People {
			if plain(p) && len(modes) > 0 {
				p.Photo = p.ID + "_odd.jpg"
				e.BreakPicture(p.Photo, modes[0])
				modes = modes[1:]
			}
		}
		e.BreakPicture(e.Speakers[0].Image, "html")
	})
	v := w.sync(run.Full)
	want := w.expect()
	w.check(want.store)
	w.checkCounts(v, want.counts)
	w.cleanView(v)
}

func TestAPoisonRowIsKeptApartAndReadAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, small(72), stovatest.ServerOptions{}, "")
	bad := someone(w.event, goer)
	w.faults("poison:id=" + bad.ID)
	v := w.sync(run.Full)
	w.cleanView(v)
	if i := len(v.Rejects); i != 1 || v.Rejects[0].ID != bad.ID || v.Rejects[0].Code != string(fault.RowPoison) {
		t.Errorf("rejects are %+v, want %s of attendee %s", v.Rejects, fault.RowPoison, bad.ID)
	}
	want := w.expect().store
	for _, records := range want {
		for id, r := range records {
			if id == bad.ID || r.Owner == bad.ID {
				delete(records, id)
			}
		}
	}
	w.check(want)

	w.twin.ClearFaults() // nothing touches the attendee: it is read again because it was missing
	w.sync(run.Incremental)
	w.check(w.expect().store)
}

func TestARunThatCannotReadSaysWhy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault string
		spoil func(*world)
		typ   run.DataType
		code  fault.Code
	}{
		"a key that may not see the event": {fault: "restricted", typ: run.Users, code: fault.StovaEvent},
		"a key that is wrong": {typ: run.Users, code: fault.StovaAuth, spoil: func(w *world) {
			if err := w.app.Secrets.Put(w.t.Context(), w.name, "0000000000000000000000000000000000000000"); err != nil {
				w.t.Fatal(err)
			}
		}},
		"a list of speakers that always fails": {fault: "500:endpoint=listSpeakers", typ: run.Presenters, code: fault.StovaServer},
		"a list that is always cut":            {fault: "truncate:endpoint=listSessions", typ: run.Sessions, code: fault.StovaBody},
		"nobody at the address": {typ: run.Users, code: fault.StovaServer, spoil: func(w *world) {
			if err := w.twin.Close(); err != nil {
				w.t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, small(73), stovatest.ServerOptions{}, "")
			if c.fault != "" {
				w.faults(c.fault)
			}
			if c.spoil != nil {
				c.spoil(w)
			}
			v, err := w.run(run.Full)
			if err != nil {
				t.Fatal(err)
			}
			w.cleanView(v)
			if tv := v.Types[c.typ]; v.State != run.Failed || tv.State != run.Failed || tv.Code != string(c.code) || tv.Error == "" {
				t.Errorf("the run is %s, %s %s with %s (%s), want failed with %s", v.State, c.typ, tv.State, tv.Code, tv.Error, c.code)
			}
			if c.fault == "" {
				return
			}
			w.twin.ClearFaults()
			w.sync("")
			w.check(w.expect().store)
		})
	}
}

func TestFailedPagesAreRedriven(t *testing.T) {
	t.Parallel()
	w := newWorld(t, small(74), stovatest.ServerOptions{}, "pageSize: 10\n")
	w.faults("500:endpoint=getAttendee")
	v, err := w.run(run.Full)
	if err != nil {
		t.Fatal(err)
	}
	w.cleanView(v)
	if tv := v.Types[run.Users]; v.State != run.Partial || tv.Pages.Failed != tv.Pages.Planned || tv.Pages.Failed == 0 {
		t.Fatalf("the run is %s, users %+v; want partial, with every page of users failed", v.State, tv)
	}
	w.twin.ClearFaults()
	done, err := w.app.Redrive(t.Context(), pipeline.Filter{Connection: w.name}, false)
	if err != nil || len(done) == 0 {
		t.Fatalf("redrive: %d re-run, %v", len(done), err)
	}
	v, err = w.app.Steps.View(t.Context(), v.Run)
	if err != nil {
		t.Fatal(err)
	}
	if v.State != run.Complete {
		t.Errorf("after the redrive the run is %s: %+v", v.State, v.Types)
	}
	// The pictures of users that came late are the next run's.
	w.sync(run.Incremental)
	w.check(w.expect().store)
}

func TestATotalOutageIsNotHammered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stovatest.Options{Seed: 76, Attendees: 120, Sessions: -1, Speakers: -1}, stovatest.ServerOptions{}, "pageSize: 25\n")
	w.faults("503:endpoint=getAttendee")
	v, err := w.run(run.Full)
	if err != nil {
		t.Fatal(err)
	}
	if v.State != run.Partial {
		t.Fatalf("the run is %s, want partial", v.State)
	}
	// Five pages of each of four types, five receives of each, five tries of a row.
	if v.APICalls > 850 {
		t.Errorf("%d calls of the API while no attendee can be had, want at most 850", v.APICalls)
	}
}

func TestFailuresOfARemovedConnectionAreClearedByARedrive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stovatest.Options{Seed: 77, Attendees: 12, Sessions: -1, Speakers: -1}, stovatest.ServerOptions{}, "pageSize: 6\n")
	w.faults("500:endpoint=getAttendee")
	if _, err := w.run(run.Full); err != nil {
		t.Fatal(err)
	}
	if err := w.app.Steps.Ledger.RemoveConnection(t.Context(), w.name); err != nil {
		t.Fatal(err)
	}
	out, err := w.app.Redrive(t.Context(), pipeline.Filter{}, false)
	if err != nil || len(out) == 0 {
		t.Fatalf("redrive: %d failures, %v", len(out), err)
	}
	for _, r := range out {
		if r.Verdict != pipeline.Removed || r.Code != string(fault.StovaServer) {
			t.Errorf("%s %s: %s, cause %s", r.Type, r.Page, r.Verdict, r.Code)
		}
	}
	left, err := w.app.Steps.Failed(t.Context(), pipeline.Filter{})
	if err != nil || len(left) > 0 {
		t.Errorf("%d failures are still listed, %v", len(left), err)
	}
	for d, err := range w.app.Steps.Dead.Dead(t.Context()) {
		t.Errorf("dead letter of %s left, %v", d.Task, err)
	}
}
