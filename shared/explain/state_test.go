package explain_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/app"
	"stovasync/shared/explain"
	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
	"stovasync/shared/stova/stovatest"
)

func newcomer(id string) func(*stovatest.Event) {
	return func(e *stovatest.Event) {
		p := *e.Person(user)
		p.ID = id
		e.People = append(e.People, &p)
		e.Touch(id)
	}
}

// stateCases are what may become of a row beside what the numbered rules say.
func stateCases() map[string]seeded {
	return map[string]seeded{
		"an id that no run has listed": {
			of: run.Users, id: "900000001", rule: "listed", result: "stop", decided: "listed", says: []string{"Not stored: no run has listed it", "listed 14 attendees", "(listed)"},
		},
		"an id one slip away suggests the right one": {
			of: run.Users, id: "80000001", rule: "listed", result: "stop", decided: "listed", says: []string{"near it: 800000001"},
		},
		"a session's id without its key suggests those with one": {
			of: run.Sessions, id: "60001", rule: "listed", result: "stop", decided: "listed", says: []string{"near it: 60001_1"},
		},
		"a session asked as a user is an id of sessions": {
			of: run.Users, id: session, rule: "listed", result: "stop info", decided: "listed", says: []string{"it is an id of sessions"},
		},
		"nothing was read yet": {
			steps: func(*world) {}, of: run.Users, id: user, rule: "listed", result: "stop", decided: "listed", says: []string{"no run has read users of this connection yet"},
		},
		"who registered after the newest run is read by the next": {
			steps: func(w *world) { w.sync(run.Full); w.twin.Edit(newcomer("800000099")) },
			of:    run.Users, id: "800000099", rule: "listed", result: "stop", decided: "listed", says: []string{"the vendor has it now, but run ", "the next run reads it"},
		},
		"who was listed before and is gone": {
			yaml: "filters: {users: company == \"\"}\n", steps: then(run.Full, func(e *stovatest.Event) { e.Remove(user) }),
			of: run.Users, id: user, rule: "listed", result: "stop", decided: "listed", says: []string{"the vendor has it no longer"},
		},
		"a page that failed names its cause and the redrive": {
			steps: func(w *world) {
				w.twin.Fault(stovatest.Fault{Kind: stovatest.ServerError, Endpoint: "getAttendee"})
				w.sync(run.Full, run.Users)
			},
			of: run.Users, id: user, rule: "page", result: "stop", decided: "page", says: []string{"page 1 of run ", "failed: STOVA_SERVER", "stovasync redrive summit --run "},
		},
		"a page that failed leaves an older record": {
			steps: func(w *world) {
				w.sync(run.Full)
				w.twin.Fault(stovatest.Fault{Kind: stovatest.ServerError, Endpoint: "getAttendee"})
				w.sync(run.Full, run.Users)
			},
			of: run.Users, id: user, rule: "R17", result: "info", decided: "page", stored: true, state: "active", says: []string{", and left as it was: page 1 of run "},
		},
		"a page that is not done yet": {
			steps: planOnly, of: run.Users, id: user, rule: "page", result: "stop", decided: "page", says: []string{"page 1 of run ", "is not done yet (page)"},
		},
		"a page that is to read a record again": {
			steps: func(w *world) { w.sync(run.Full); planOnly(w) },
			of:    run.Users, id: user, rule: "page", result: "info", decided: "stored", stored: true, state: "active",
		},
		"a run that has not listed yet is told": {
			steps: func(w *world) { w.sync(run.Full); w.start() },
			of:    run.Users, id: user, rule: "listed", result: "info", decided: "stored", stored: true, state: "active",
		},
		"a list that failed leaves nothing to read": {
			steps: func(w *world) {
				w.twin.Fault(stovatest.Fault{Kind: stovatest.Error, Endpoint: "listAttendees", Key: "accountid"})
				w.sync(run.Full, run.Users)
			},
			of: run.Users, id: user, rule: "listed", result: "stop", decided: "listed", says: []string{"has not listed them: it is failed: STOVA_"},
		},
		"a filter keeps a row out": {
			yaml: "filters: {users: fname == \"Nobody\"}\n",
			of:   run.Users, id: user, rule: "filter", result: "stop", decided: "filter", says: []string{`fname == "Nobody" is false of it`, "(filter)"},
		},
		"a filter that does not fit rejects": {
			yaml: "filters: {users: int(fname) > 3}\n",
			of:   run.Users, id: user, rule: "filter", result: "stop", decided: "filter", says: []string{"neither true nor false"},
		},
		"a type that is switched off is not read": {
			yaml: "dataTypes: [users]\n", of: run.Sessions, id: session, rule: "type", result: "stop", decided: "type", says: []string{"sessions is not among the connection's data types"},
		},
		"a type that was switched off keeps its records": {
			steps: func(w *world) { w.sync(run.Full); w.put("dataTypes: [users]\n") },
			of:    run.Sessions, id: session, rule: "type", result: "stop", decided: "type", stored: true, state: "active", says: []string{"Stored as active", "(type)"},
		},
		"a filter that came later is told from the row that was read before": {
			steps: func(w *world) { w.sync(run.Full); w.put("filters: {users: fname == \"Nobody\"}\n") },
			of:    run.Users, id: user, rule: "mapping", result: "info", decided: "filter", stored: true, state: "active", says: []string{"(filter)"},
		},
		"a schedule row waits for a session that is not stored": {
			edit: person(user, func(p *stovatest.Person) { p.Picks = []stovatest.Pick{{SessionID: "69999", Key: "1"}} }),
			of:   run.Schedule, id: user + "_69999_1", rule: "pending", result: "stop", decided: "pending", says: []string{"it waits for sessions 69999_1, which is not stored"},
		},
		"a schedule row waits for its user as well": {
			edit:  person(user, func(p *stovatest.Person) { p.Picks = []stovatest.Pick{{SessionID: "60001", Key: "1"}} }),
			steps: func(w *world) { w.sync(run.Full, run.Schedule) },
			of:    run.Schedule, id: user + "_" + session, rule: "pending", result: "stop", decided: "pending", says: []string{"it waits for users " + user + " and sessions " + session},
		},
		"a schedule row of a pick": {
			edit: person(user, func(p *stovatest.Person) { p.Picks = []stovatest.Pick{{SessionID: "60001", Key: "1"}} }),
			of:   run.Schedule, id: user + "_" + session, rule: "pick", result: "pass", decided: "stored", stored: true, state: "active",
		},
		"a session that was not picked": {
			edit: person(user, func(p *stovatest.Person) { p.Picks = nil }),
			of:   run.Schedule, id: user + "_" + session, rule: "pick", result: "stop", decided: "pick", says: []string{"has not picked this session; the picks are none"},
		},
		"a pick that is gone is unregistered": {
			edit:  person(user, func(p *stovatest.Person) { p.Picks = []stovatest.Pick{{SessionID: "60001", Key: "1"}} }),
			steps: then(run.Full, person(user, func(p *stovatest.Person) { p.Picks = nil })),
			of:    run.Schedule, id: user + "_" + session, rule: "pick", result: "info", decided: "pick", stored: true, state: "cancelled", says: []string{"so the row is unregistered (pick)"},
		},
		"the row of an inactive attendee is unregistered": {
			edit: person(user, func(p *stovatest.Person) {
				p.Status, p.Picks = "Cancelled", []stovatest.Pick{{SessionID: "60001", Key: "1"}}
			}),
			of: run.Schedule, id: user + "_" + session, rule: "R1", result: "info", decided: "R1", stored: true, state: "cancelled", says: []string{"so it is unregistered (R1)"},
		},
		"an attendee asked for in the schedule gives the rows": {
			edit: person(user, func(p *stovatest.Person) {
				p.Picks = []stovatest.Pick{{SessionID: "60001", Key: "1"}, {SessionID: "60003", Key: "1"}}
			}),
			of: run.Schedule, id: user, rule: "id", result: "info", decided: "id", says: []string{user + " is the id of an attendee, of whom these schedule rows are stored: " + user + "_" + session + ", " + user + "_60003_1"},
		},
		"an attendee who is left out has the rows that are stored": {
			edit: person(user, func(p *stovatest.Person) {
				p.Status, p.Picks = "Confirmed", []stovatest.Pick{{SessionID: "60001", Key: "1"}}
			}),
			yaml: "inactivePolicy: skip\n", steps: then(run.Full, person(user, func(p *stovatest.Person) { p.Status = "Cancelled" })),
			of: run.Schedule, id: user, decided: "R2", rule: "id", result: "stop", why: user + " is the id of an attendee; a schedule row's is attendee_session",
		},
		"an attendee without schedule rows": {
			edit: person(user, func(p *stovatest.Person) { p.Picks = nil }),
			of:   run.Schedule, id: user, rule: "id", result: "stop", decided: "id", says: []string{"Not stored: ", "who has no schedule rows"},
		},
		"who is left out now and was stored before": {
			yaml: "inactivePolicy: skip\n", steps: then(run.Full, person(user, func(p *stovatest.Person) { p.Status = "Cancelled" })),
			of: run.Users, id: user, rule: "R2", result: "stop", decided: "R2", stored: true, state: "cancelled", says: []string{"Stored as cancelled by run ", "(R1), and inactivePolicy is skip"},
		},
		"a hidden session": {
			edit: talk(session, func(s *stovatest.Session) { s.Hidden = true }),
			of:   run.Sessions, id: session, rule: "status", result: "info", decided: "status", stored: true, state: "hidden", says: []string{" is 0 (status)"},
		},
		"a deleted presenter": {
			edit: func(e *stovatest.Event) { e.Speaker("9001").Deleted = true },
			of:   run.Presenters, id: "9001", rule: "status", result: "info", decided: "status", stored: true, state: "hidden", says: []string{"deleted is 1 (status)"},
		},
		"a picture that the vendor does not have": {
			edit: func(e *stovatest.Event) { e.BreakPicture(e.Person(user).Photo, "404") },
			of:   run.UserPhotos, id: user, rule: "photo", result: "stop", decided: "photo", stored: true, state: "active", says: []string{"The picture is missing since run ", ", page 1: the host answered 404 (photo); "},
		},
		"a picture that is none": {
			edit: func(e *stovatest.Event) { e.BreakPicture(e.Person(user).Photo, "html") },
			of:   run.UserPhotos, id: user, rule: "photo", result: "stop", decided: "photo", stored: true, state: "active", says: []string{"The picture is rejected"},
		},
		"only active owners have pictures": {
			edit: person(user, func(p *stovatest.Person) { p.Status = "Cancelled" }),
			of:   run.UserPhotos, id: user, rule: "owner", result: "stop", decided: "owner", says: []string{"the record of users is cancelled"},
		},
		"a picture of nobody": {
			of: run.UserPhotos, id: "80000001", rule: "owner", result: "stop", decided: "owner", says: []string{"users holds no record 80000001", "near it: 800000001"},
		},
		"a presenter's picture": {
			of: run.PresenterPhotos, id: "9001", rule: "photo", result: "pass", decided: "R14", stored: true, state: "active", says: []string{"The picture is stored since run ", ", page 1; its host 127.0.0.1 is not one"},
		},
		"a level is made of the first sponsor that has it": {
			of: run.SponsorLevels, id: "platinum", rule: "R4", result: "pass", decided: "R4", stored: true, state: "active", says: []string{"that of " + sponsor + " came first"},
		},
		"a level that no sponsor has suggests the others": {
			of: run.SponsorLevels, id: "platinun", rule: "R4", result: "stop", decided: "R4", says: []string{"no sponsor that was read has this level", "near it: platinum"},
		},
		"the one level of sponsors without any": {
			edit: func(e *stovatest.Event) {
				for _, p := range e.People {
					p.Subcategory = ""
				}
			},
			of: run.SponsorLevels, id: "sponsor", rule: "R4", result: "info", decided: "R4", stored: true, state: "active", says: []string{"no sponsor had a level value"},
		},
		"an id that is no master's": {
			of: run.Sessions, id: "slot_7", rule: "R10", result: "stop", decided: "R10", says: []string{"slot_900100001_ and its start"},
		},
	}
}

// planOnly starts a run of users and plans it; its pages wait.
func planOnly(w *world) {
	id := w.start()
	if err := w.app.Steps.Do(w.t.Context(), run.Task{Kind: run.SyncTask, Connection: "summit", Run: id, Type: run.Users}); err != nil {
		w.t.Fatal(err)
	}
}

func TestEveryStateIsExplained(t *testing.T) {
	t.Parallel()
	for name, c := range stateCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.yaml, c.edit)
			if c.steps == nil {
				w.sync(run.Full)
			} else {
				c.steps(w)
			}
			check(t, c, w.explain(c.of, c.id))
		})
	}
}

func TestAnErasedPersonIsToldNothingOf(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", person(user, func(p *stovatest.Person) { p.Picks = []stovatest.Pick{{SessionID: "60001", Key: "1"}} }))
	w.sync(run.Full)
	w.erased = user
	for of, id := range map[run.DataType]string{run.Users: user, run.Sponsors: user, run.UserPhotos: user, run.Schedule: user + "_" + session} {
		want := explain.Explanation{Connection: "summit", Type: of, ID: id, Verdict: "Kept out by an erase.", DecidedBy: "erased", Source: "none",
			Rules: []explain.Rule{{Rule: "erased", Name: "erased", Result: "stop", Why: "kept out by an erase"}}}
		if diff := cmp.Diff(want, w.explain(of, id)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", of, diff)
		}
	}
	if x := w.explain(run.Users, other); !x.Stored {
		t.Errorf("somebody else is %q", x.Verdict)
	}
}

func TestTheRowIsAskedForOnlyWhereNoRawPageHoldsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", nil)
	w.sync(run.Full)
	calls := w.twin.Total()
	x := w.explain(run.Users, user)
	if x.Source != "raw page" || w.twin.Total() != calls {
		t.Errorf("with the raw page: source %q, %d calls", x.Source, w.twin.Total()-calls)
	}

	gone := newWorld(t, "rawRetentionDays: 0\n", nil)
	gone.sync(run.Full)
	gone.twin.Edit(func(e *stovatest.Event) { e.Person(user).Company = "Elsewhere" })
	fetched := len(gone.twin.Fetched("getAttendee"))
	x = gone.ask(explain.Request{Type: run.Users, ID: user, NoFetch: true})
	if x.Source != "none" || !x.Stored || len(gone.twin.Fetched("getAttendee")) != fetched || !strings.Contains(whyOf(x, "row"), "--no-fetch forbids") {
		t.Errorf("without a raw page and without asking: source %q, stored %v, %q", x.Source, x.Stored, whyOf(x, "row"))
	}
	if f, ok := field(x, "company"); !ok || f.Stored == nil || f.Value != nil {
		t.Errorf("the stored company is not told: %+v", f)
	}
	x = gone.explain(run.Users, user)
	if n := len(gone.twin.Fetched("getAttendee")) - fetched; x.Source != "vendor" || n != 1 {
		t.Errorf("without a raw page: source %q, %d calls for the row", x.Source, n)
	}
	if results(x, "R4") != "pass" || !strings.Contains(x.Verdict, "the vendor's row has changed since (R18)") {
		t.Errorf("the live row is not followed: %s", x.Verdict)
	}
	if f, _ := field(x, "company"); f.Value != "E…e" || f.Stored == nil || f.Note != "the record holds another value" {
		t.Errorf("company: %+v", f)
	}
}

func TestANameOrAnAddressIsNoID(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", nil)
	for _, of := range run.AllTypes() {
		for _, id := range []string{"mia.invented@example.test", "Mia Invented"} {
			if of == run.SponsorLevels && !strings.Contains(id, "@") {
				continue
			}
			_, err := explain.Explain(t.Context(), explain.Env{Ledger: w.app.Steps.Ledger}, explain.Request{Connection: "summit", Type: of, ID: id})
			if fault.CodeOf(err) != fault.ConfigInvalid || strings.Contains(err.Error(), "nvented") {
				t.Errorf("%s: %v, want CONFIG_INVALID without the text", of, err)
			}
		}
	}
}

func TestAKeyOfASessionMayHoldABlank(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", nil)
	x := w.explain(run.Sessions, "60001_Track A")
	if x.Stored || x.ID != "60001_Track A" {
		t.Errorf("%+v", x)
	}
}

func TestAVendorThatDoesNotAnswerIsNoError(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "rawRetentionDays: 0\n", nil)
	w.sync(run.Full)
	if err := w.twin.Close(); err != nil {
		t.Fatal(err)
	}
	x := w.explain(run.Users, user)
	if !x.Stored || x.Source != "none" || !strings.Contains(whyOf(x, "row"), "STOVA_") {
		t.Errorf("source %q, stored %v, row: %q", x.Source, x.Stored, whyOf(x, "row"))
	}
}

func whyOf(x explain.Explanation, rule string) string {
	for _, r := range x.Rules {
		if r.Rule == rule {
			return r.Why
		}
	}
	return ""
}

func TestTheRunAndPageOfARecordAreNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "pageSize: 5\n", nil)
	first := w.sync(run.Full)
	w.twin.Edit(func(e *stovatest.Event) { e.Person(user).Company = "Elsewhere"; e.Touch(user) })
	second := w.sync(run.Incremental)
	x := w.explain(run.Users, lastUser)
	if x.Run != first.Run || x.Page != "3" || x.Fetched == nil || x.Fetched.Run != first.Run || x.Fetched.Page != "3" || x.Listed == nil || x.Listed.Run != second.Run {
		t.Errorf("%s: run %s page %s, fetched %+v, listed %+v", lastUser, x.Run, x.Page, x.Fetched, x.Listed)
	}
	if x = w.explain(run.Users, user); x.Run != second.Run || x.Page != "1" || x.Fetched.Run != second.Run {
		t.Errorf("%s: run %s page %s, fetched %+v", user, x.Run, x.Page, x.Fetched)
	}
	// Seven more runs that do not read it, and the old full run is still found.
	for range 7 {
		w.sync(run.Incremental)
	}
	if x = w.explain(run.Users, lastUser); x.Run != first.Run || x.Page != "3" || x.Source != "raw page" {
		t.Errorf("after many runs: run %s page %s from %s", x.Run, x.Page, x.Source)
	}
	// A full run that finds it unchanged is the last that read it, however many come after.
	third := w.sync(run.Full)
	for range 5 {
		w.sync(run.Incremental)
	}
	if x = w.explain(run.Users, lastUser); x.Run != first.Run || x.Fetched.Run != third.Run || !strings.Contains(x.Verdict, "run "+third.Run+" read it again") {
		t.Errorf("after a full run and many others: run %s, fetched %+v: %s", x.Run, x.Fetched, x.Verdict)
	}
}

// reads counts what is read of the ledger and of the objects.
type reads struct {
	pipeline.Items
	pipeline.Objects
	n atomic.Int64
}

func (r *reads) items() pipeline.Items     { return countedItems{r.Items, &r.n} }
func (r *reads) objects() pipeline.Objects { return countedObjects{r.Objects, &r.n} }

type countedItems struct {
	pipeline.Items
	n *atomic.Int64
}

func (c countedItems) Get(ctx context.Context, k pipeline.Key) (pipeline.Item, error) {
	c.n.Add(1)
	return c.Items.Get(ctx, k)
}

func (c countedItems) Query(ctx context.Context, q pipeline.Query) iter.Seq2[pipeline.Item, error] {
	return func(yield func(pipeline.Item, error) bool) {
		for it, err := range c.Items.Query(ctx, q) {
			c.n.Add(1)
			if !yield(it, err) {
				return
			}
		}
	}
}

type countedObjects struct {
	pipeline.Objects
	n *atomic.Int64
}

func (c countedObjects) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	c.n.Add(1)
	return c.Objects.Get(ctx, key)
}

func TestWhatIsReadDoesNotGrowWithTheRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", nil)
	w.spread = true
	s := w.app.Steps
	count := func() int64 {
		r := reads{Items: s.Ledger.Items, Objects: s.Objects}
		env := explain.Env{Ledger: pipeline.Ledger{Items: r.items()}, Records: s.Records, Objects: r.objects(), Connector: s.Connector}
		if _, err := explain.Explain(t.Context(), env, explain.Request{Connection: "summit", Type: run.Users, ID: user}); err != nil {
			t.Fatal(err)
		}
		return r.n.Load()
	}
	w.sync(run.Full, run.Users)
	for range 12 {
		w.sync(run.Incremental, run.Users)
	}
	before := count()
	for range 6 {
		w.sync(run.Incremental, run.Users)
	}
	if after := count(); after > before || after > 40 {
		t.Errorf("%d items and objects are read after 13 runs, %d after 19", before, after)
	}
}

// A page whose time is up hands its rest on; the row is then in a page of
// another name, and so is its raw page.
func TestARowThatWasHandedOnIsFoundInItsRest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", nil)
	if err := w.app.Close(); err != nil {
		t.Fatal(err)
	}
	// A quarter of the limit is the handler's own margin: 1.2 seconds are left
	// for rows that take 2.1 seconds.
	slow := stovatest.Fault{Kind: stovatest.Slow, Endpoint: "getAttendee", Delay: 150 * time.Millisecond}
	l, err := app.OpenLocal(t.Context(), t.TempDir(), app.LocalOptions{Concurrency: 1, TaskLimit: 4 * time.Second, Margin: 1800 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	w.app = l
	t.Cleanup(func() { _ = l.Close() }) // a second Close, where the first has failed the test
	if err := l.Secrets.Put(t.Context(), "summit", w.event.Key); err != nil {
		t.Fatal(err)
	}
	w.keep(w.conn)
	w.twin.Fault(slow)
	v := w.sync(run.Full, run.Users)
	w.twin.ClearFaults()
	pages, err := l.Steps.Ledger.Pages(t.Context(), v.Run, run.Users)
	if err != nil || len(pages) < 2 {
		t.Fatalf("%d pages, %v: nothing was handed on", len(pages), err)
	}
	calls, last, there := w.twin.Total(), pages[len(pages)-1].Name, 0
	for _, p := range w.event.People {
		// Which rows were left for the last rest is a matter of speed.
		if x := w.explain(run.Users, p.ID); x.Page == last {
			there++
			if x.Fetched.Page != last || x.Source != "raw page" {
				t.Errorf("row %s: fetched %+v from %s; the last rest is %s", p.ID, x.Fetched, x.Source, last)
			}
		}
	}
	if there == 0 || w.twin.Total() != calls {
		t.Errorf("%d rows are found in the last rest %s, with %d calls", there, last, w.twin.Total()-calls)
	}
	if x := w.explain(run.Users, user); x.Page != "1" || x.Source != "raw page" {
		t.Errorf("the first row: page %q from %s", x.Page, x.Source)
	}
}

func TestPlansAndPagesAreLookedUpById(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", nil)
	v := w.sync(run.Full, run.Users)
	l, o := w.app.Steps.Ledger, w.app.Steps.Objects
	tr, _, err := l.TypeRun(t.Context(), v.Run, run.Users)
	if err != nil {
		t.Fatal(err)
	}
	plan, ok, err := pipeline.LookUp(t.Context(), o, tr, user)
	if err != nil || !ok || plan.Page != "1" || !plan.Listed || plan.Size != 14 {
		t.Fatalf("the plan: %v %v, page %q, listed %v of %d", ok, err, plan.Page, plan.Listed, plan.Size)
	}
	if ids, err := plan.IDs(); err != nil || len(ids) != 14 {
		t.Errorf("%d ids, %v", len(ids), err)
	}
	if part, _, err := pipeline.LookUp(t.Context(), o, tr, user[1:]); err != nil || part.Listed || part.Page != "" {
		t.Errorf("the end of an id is found: %v %q, %v", part.Listed, part.Page, err)
	}
	p, ok, err := pipeline.SettledPage(t.Context(), l, o, tr, "1", user)
	if err != nil || !ok || p.Name != "1" || p.State != run.PageDone {
		t.Errorf("page %q, %v %v", p.Name, ok, err)
	}
	if _, ok, err := pipeline.SettledPage(t.Context(), l, o, tr, "9", user); err != nil || ok {
		t.Errorf("a page that is not there: %v %v", ok, err)
	}
}

// The names and values of people are in no answer; ids are.
func TestNothingOfAPersonIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "filters: {users: company != \"Elsewhere\"}\n", nil)
	w.sync(run.Full)
	for _, p := range w.event.People {
		for _, of := range []run.DataType{run.Users, run.Sponsors, run.UserPhotos, run.Schedule} {
			doc, err := json.Marshal(w.explain(of, p.ID))
			if err != nil {
				t.Fatal(err)
			}
			for _, secret := range []string{p.FirstName + " ", p.LastName, p.Email, p.Company, p.JobTitle, p.MobilePhone, p.Photo, w.event.Key} {
				if secret != "" && len(secret) > 3 && strings.Contains(string(doc), secret) {
					t.Errorf("%s %s: a value of the person is told", of, p.ID)
				}
			}
		}
	}
}

// hostile maps every field that a mapping may name, and those that elsewhere
// hold nothing of a person, to columns that do.
func hostile() string {
	const whole = `join([email, lname, mphone], " ")`
	names := "fname lname title position company country phone biography photo external_qr_value registrationtype fp_locale attendance_type " +
		"in_slot level presenters is_master timezone start end order object_key photo_hash state owner_type owner_ext_id content_type bytes " +
		"width height reason status parent_doc_id"
	var b strings.Builder
	b.WriteString("mapping:\n  users:\n    years: int(email)\n    moment: at(lname, email)\n    email: lname\n")
	for name := range strings.FieldsSeq(names) {
		fmt.Fprintf(&b, "    %s: '%s'\n", name, whole)
	}
	b.WriteString("  sponsors:\n")
	for name := range strings.FieldsSeq("name description website email phone logo country city reason state status order start") {
		fmt.Fprintf(&b, "    %s: '%s'\n", name, whole)
	}
	b.WriteString("  sponsor-levels: {name: lname}\n  schedule: {reason: email, level: lname, order: mphone}\n")
	b.WriteString("  presenters:\n")
	for name := range strings.FieldsSeq("fname title position company country biography photo reason state level order") {
		fmt.Fprintf(&b, "    %s: '%s'\n", name, `join([email, lname], " ")`)
	}
	return b.String()
}

func TestNoMappingMakesAnExplanationTellOfAPerson(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hostile(), func(e *stovatest.Event) {
		for i, p := range e.People {
			p.LastName, p.Email, p.MobilePhone = fmt.Sprintf("Quillfeather%d", i), fmt.Sprintf("quill.%d@example.test", i), fmt.Sprintf("00|1|55501%02d77", i)
		}
	})
	w.sync(run.Full)
	look := func() {
		asked := map[run.DataType][]string{run.SponsorLevels: {"nobodys"}}
		for _, p := range w.event.People {
			for _, of := range []run.DataType{run.Users, run.Sponsors, run.UserPhotos, run.Schedule} {
				asked[of] = append(asked[of], p.ID)
			}
		}
		for r, err := range w.app.Steps.Records.Scan(t.Context(), "summit", run.Schedule, pipeline.Scan{}) {
			if err != nil {
				t.Fatal(err)
			}
			asked[run.Schedule] = append(asked[run.Schedule], r.ID)
		}
		for of, ids := range asked {
			for _, id := range ids {
				doc, err := json.Marshal(w.explain(of, id))
				if err != nil {
					t.Fatal(err)
				}
				for _, secret := range []string{"uillfeathe", "quill.", "55501"} {
					if strings.Contains(strings.ToLower(string(doc)), secret) {
						t.Errorf("%s %s: a value of the person is told", of, id)
					}
				}
			}
		}
	}
	look()
	w.put("") // what is stored is still what the mapping of before made
	look()
}

func TestFieldsNameTheirColumns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "mapping:\n  users:\n    photo: responses.photo\n    shirt: responses[\"7051\"]\n    years: int(company)\n", nil)
	w.sync(run.Full)
	x := w.explain(run.Users, user)
	shirt, _ := field(x, "shirt")
	want := explain.Field{Field: "shirt", Expression: `responses["7051"]`, Columns: []explain.Column{{Expression: `responses["7051"]`, Value: shirt.Value}}, Value: shirt.Value}
	if diff := cmp.Diff(want, shirt); diff != "" || shirt.Value == nil {
		t.Errorf("shirt (-want +got):\n%s", diff)
	}
	if years, _ := field(x, "years"); years.Value != nil || !strings.Contains(years.Note, "does not fit") || results(x, "mapping") != "info" {
		t.Errorf("years: %+v, mapping %q", years, results(x, "mapping"))
	}
	if fname, ok := field(x, "fname"); !ok || !fname.Default || len(fname.Columns) != 1 {
		t.Errorf("fname: %+v", fname)
	}
	if object, ok := field(x, "photo_object"); !ok || object.Expression != "" || object.Value == nil {
		t.Errorf("photo_object: %+v", object)
	}
}

func TestUnknownThingsAreErrorsOnlyWhereNothingCouldBeSaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", nil)
	s := w.app.Steps
	env := explain.Env{Ledger: s.Ledger, Records: s.Records, Objects: s.Objects, Connector: s.Connector, Now: time.Now, Self: "./sync"}
	if _, err := explain.Explain(t.Context(), env, explain.Request{Connection: "sumit", Type: run.Users, ID: user}); err == nil || !strings.Contains(err.Error(), "CONFIG_INVALID") {
		t.Errorf("an unknown connection: %v", err)
	}
	if _, err := explain.Explain(t.Context(), env, explain.Request{Connection: "summit", Type: "people", ID: user}); err == nil {
		t.Error("an unknown type is no error")
	}
	x, err := explain.Explain(t.Context(), env, explain.Request{Connection: "summit", Type: run.Users, ID: " " + user + " "})
	if err != nil || x.ID != user || x.Next != "./sync sync summit --type users" {
		t.Errorf("an unknown id: %v, %+v", err, x)
	}
	if !slices.ContainsFunc(x.Rules, func(r explain.Rule) bool { return r.Rule == "R11" }) {
		t.Error("the settings are not told")
	}
}
