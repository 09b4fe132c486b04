package explain_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"stovasync/shared/explain"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
	"stovasync/shared/stova/stovatest"
)

// seeded is one event, what happens to it, one question, and what the answer
// must name.
type seeded struct {
	yaml  string
	edit  func(*stovatest.Event) // before the first run
	steps func(*world)           // nil: one full run
	of    run.DataType
	id    string

	rule, result string // that must be among the rules
	why          string // part of what the rule must say
	decided      string // decided_by
	stored       bool
	state        string
	says         []string // parts of the verdict
}

func person(id string, change func(*stovatest.Person)) func(*stovatest.Event) {
	return func(e *stovatest.Event) { change(e.Person(id)) }
}

func talk(id string, change func(*stovatest.Session)) func(*stovatest.Event) {
	return func(e *stovatest.Event) {
		number, key, _ := strings.Cut(id, "_")
		change(e.Session(number, key))
	}
}

// then syncs, changes the event, and syncs again in a mode.
func then(mode run.Mode, change func(*stovatest.Event)) func(*world) {
	return func(w *world) {
		w.sync(run.Full)
		w.twin.Edit(change)
		w.sync(mode)
	}
}

func seededCases() map[string]seeded {
	return map[string]seeded{
		"R1: who is confirmed is active": {
			of: run.Users, id: user, rule: "R1", result: "pass", decided: "stored", stored: true, state: "active", says: []string{"Stored as active by run "},
		},
		"R1: who is outside the active statuses is not active": {
			edit: person(user, func(p *stovatest.Person) { p.Status = "Incomplete" }),
			of:   run.Users, id: user, rule: "R1", result: "info", decided: "R1", stored: true, state: "cancelled",
			says: []string{"registrationstatus is “Incomplete”, not one of Confirmed, Attended (R1)", "inactivePolicy is cancel (R2)"},
		},
		"R2: the policy hide stores them as hidden": {
			yaml: "inactivePolicy: hide\n", edit: person(user, func(p *stovatest.Person) { p.Status = "Cancelled" }),
			of: run.Users, id: user, rule: "R2", result: "info", decided: "R1", stored: true, state: "hidden", says: []string{"inactivePolicy is hide (R2)"},
		},
		"R2: the policy skip leaves them out": {
			yaml: "inactivePolicy: skip\n", edit: person(user, func(p *stovatest.Person) { p.Status = "Cancelled" }),
			of: run.Users, id: user, rule: "R2", result: "stop", decided: "R2", says: []string{"Not stored: ", "inactivePolicy is skip", "(R2)"},
		},
		"R3: without active statuses every run refuses": {
			steps: func(w *world) { c := w.conn; c.ActiveStatuses = nil; w.keep(c); w.sync(run.Full) },
			of:    run.Users, id: user, rule: "R3", result: "stop", decided: "R3", says: []string{"activeStatuses is empty", "(R3)"},
		},
		"R4: a sponsor is never a user": {
			of: run.Users, id: sponsor, rule: "R4", result: "stop", decided: "R4", says: []string{"category.name is “Sponsor”", "(R4)"},
		},
		"R4: a user is no sponsor": {
			of: run.Sponsors, id: user, rule: "R4", result: "stop", decided: "R4", says: []string{"Not stored: ", "no sponsor (R4)"},
		},
		"R4: a sponsor has no schedule rows": {
			edit: person(sponsor, func(p *stovatest.Person) { p.Picks = []stovatest.Pick{{SessionID: "60001", Key: "1"}} }),
			of:   run.Schedule, id: sponsor + "_" + session, rule: "R4", result: "stop", decided: "R4", says: []string{"sponsors have no schedule rows (R4)"},
		},
		"R5: a category that only contains the word is no sponsor's": {
			edit: person(user, func(p *stovatest.Person) { p.Category = "Sponsor guest" }),
			of:   run.Users, id: user, rule: "R5", result: "info", decided: "R5", stored: true, state: "active", says: []string{"“Sponsor guest” only contains “Sponsor”", "(R5)"},
		},
		"R5: case and blanks do not make another category": {
			edit: person(user, func(p *stovatest.Person) { p.Category = " sPoNsOr " }),
			of:   run.Sponsors, id: user, rule: "R5", result: "info", decided: "stored", stored: true, state: "active",
		},
		"R6: who becomes a sponsor leaves a cancelled user behind": {
			steps: then(run.Incremental, func(e *stovatest.Event) { e.Person(user).Category = "Sponsor"; e.Touch(user) }),
			of:    run.Users, id: user, rule: "R6", result: "info", decided: "R4", stored: true, state: "cancelled",
			says: []string{"Stored as cancelled", "(R4)", "when the category changed (R6)"},
		},
		"R6: the new sponsor was a user before": {
			steps: then(run.Incremental, func(e *stovatest.Event) { e.Person(user).Category = "Sponsor"; e.Touch(user) }),
			of:    run.Sponsors, id: user, rule: "R6", result: "info", decided: "R6", stored: true, state: "active", says: []string{"it was one of the users before", "(R6)"},
		},
		"R7: a session without an end is rejected": {
			edit: talk(session, func(s *stovatest.Session) { s.End = "" }),
			of:   run.Sessions, id: session, rule: "R7", result: "stop", decided: "R7", says: []string{"the session has no end", "ROW_NO_TIMES: ", "(R7)"},
		},
		"R7: a session that loses its times keeps its record": {
			steps: then(run.Full, talk(session, func(s *stovatest.Session) { s.NoStart = true })),
			of:    run.Sessions, id: session, rule: "R7", result: "stop", decided: "R7", stored: true, state: "active", says: []string{"Stored as active", ", and left as it was: ROW_NO_TIMES: the session has no start (R7)"},
		},
		"R8: a zero date counts as absent": {
			edit: talk(session, func(s *stovatest.Session) { s.Date = "0000-00-00" }),
			of:   run.Sessions, id: session, rule: "R8", result: "info", decided: "R7", says: []string{"sessiondate holds a zero date, see R8 (R7)"},
		},
		"R9: without a title there are no master sessions": {
			yaml: "mapping:\n  sessions: {in_slot: in_slot}\n", edit: twoAtOnce,
			of: run.Sessions, id: "slot_900100001_20310304T0900Z", rule: "R9", result: "stop", decided: "R9", says: []string{"ConcurrentSessionsTitle is absent or blank", "(R9)"},
		},
		"R9: without the mapping there are no master sessions": {
			yaml: "mapping:\n  users: {photo: responses.photo}\nConcurrentSessionsTitle: Parallel\n", edit: twoAtOnce,
			of: run.Sessions, id: session, rule: "R9", result: "info", decided: "stored", stored: true, state: "active",
		},
		"R10: two sessions at one start get a master": {
			edit: twoAtOnce,
			of:   run.Sessions, id: "slot_900100001_20310304T0900Z", rule: "R10", result: "info", decided: "R10", stored: true, state: "active", says: []string{"it stands for 2 active sessions", "(R10)"},
		},
		"R10: a member names its master": {
			edit: twoAtOnce,
			of:   run.Sessions, id: session, rule: "R10", result: "info", decided: "R10", stored: true, state: "active", says: []string{"slot_900100001_20310304T0900Z (R10)"},
		},
		"R10: one session alone has no master": {
			of: run.Sessions, id: "slot_900100001_20310304T0900Z", rule: "R10", result: "stop", decided: "R10", says: []string{"one active session starts at 2031-03-04 09:00:00 UTC, and a master needs two (R10)"},
		},
		"R11: a locked field makes every run refuse": {
			steps: func(w *world) {
				c := w.conn
				c.Mapping = map[run.DataType]map[string]*string{run.Users: {"fp_ext_id": new("email")}}
				w.keep(c)
				w.sync(run.Full)
			},
			of: run.Users, id: user, rule: "R11", result: "stop", decided: "R11", says: []string{"MAPPING_LOCKED: users: fp_ext_id is locked", "(R11)"},
		},
		"R12: without a mapping of photo there are no pictures": {
			yaml: "mapping:\n  sessions: {in_slot: in_slot}\n",
			of:   run.UserPhotos, id: user, rule: "R12", result: "stop", decided: "R12", says: []string{"photo of users is not mapped", "(R12)"},
		},
		"R12: who has uploaded nothing has no picture": {
			edit: person(user, func(p *stovatest.Person) { p.Photo = "" }),
			of:   run.UserPhotos, id: user, rule: "R12", result: "stop", decided: "R12", says: []string{"photo of users is empty; it is mapped to responses.photo (R12)"},
		},
		"R13: pictures wait for a users run that has succeeded": {
			steps: func(w *world) { w.sync(run.Full, run.UserPhotos) },
			of:    run.UserPhotos, id: user, rule: "R13", result: "stop", decided: "R13", says: []string{"GATE_USERS_FIRST", "(R13)"},
		},
		"R14: a picture elsewhere is refused": {
			edit: person(user, func(p *stovatest.Person) { p.Photo = "https://elsewhere.example.test/a.jpg" }),
			of:   run.UserPhotos, id: user, rule: "R14", result: "stop", decided: "R14", stored: true, state: "active", says: []string{"PHOTO_HOST", "(R14)", "The picture is rejected"},
		},
		"R14: a host that is not regional is told": {
			of: run.UserPhotos, id: user, rule: "R14", result: "info", decided: "R14", stored: true, state: "active", says: []string{"The picture is stored", "(R14)"},
		},
		"R15: badges carry the vendor's id": {
			yaml: "mapping:\n  users: {external_qr_value: attendeeid}\n",
			of:   run.Users, id: user, rule: "R15", result: "pass", decided: "stored", stored: true, state: "active",
		},
		"R15: a badge without a mapping is told": {
			of: run.Users, id: user, rule: "R15", result: "info", decided: "stored", stored: true, state: "active",
		},
		"R16: an edit that the vendor does not date is not read": {
			steps: then(run.Incremental, func(e *stovatest.Event) { e.Person(user).Company = "Elsewhere" }),
			of:    run.Users, id: user, rule: "R16", result: "info", decided: "R16", stored: true, state: "active", says: []string{"modified since ", "(R16)"},
		},
		"R16: an edit that the vendor dates is read": {
			steps: then(run.Incremental, func(e *stovatest.Event) { e.Person(user).Company = "Elsewhere"; e.Touch(user) }),
			of:    run.Users, id: user, rule: "R16", result: "pass", decided: "stored", stored: true, state: "active",
		},
		"R17: a row whose call keeps failing is left out alone": {
			steps: func(w *world) {
				w.twin.Fault(stovatest.Fault{Kind: stovatest.Poison, IDs: []string{user}})
				w.sync(run.Full)
			},
			of: run.Users, id: user, rule: "R17", result: "stop", decided: "R17", says: []string{"ROW_POISON", "every next run tries it again", "(R17)"},
		},
		"R17: a page that failed while it was small is not told to be smaller": {
			steps: func(w *world) {
				w.twin.Fault(stovatest.Fault{Kind: stovatest.ServerError, Endpoint: "getAttendee"})
				w.sync(run.Full, run.Users)
			},
			of: run.Users, id: user, rule: "R17", result: "info", why: "few enough, so its size is hardly the cause", decided: "page",
		},
		"R18: what is read again unchanged is not written": {
			steps: func(w *world) { w.sync(run.Full); w.sync(run.Full) },
			of:    run.Users, id: user, rule: "R18", result: "pass", decided: "R18", stored: true, state: "active", says: []string{"read it again and found it unchanged (R18)"},
		},
		"R19: a protected field stays": {
			yaml: "protect:\n  users: {\"" + user + "\": [company]}\n",
			steps: func(w *world) {
				w.sync(run.Full)
				w.twin.Edit(func(e *stovatest.Event) { e.Person(user).Company = "Elsewhere"; e.Touch(user) })
				w.sync(run.Incremental)
			},
			of: run.Users, id: user, rule: "R19", result: "info", decided: "R19", stored: true, state: "active", says: []string{"company (R19)", "(R18)"},
		},
		"R20: a tombstone says when it was removed": {
			steps: func(w *world) {
				w.sync(run.Full)
				if _, err := w.app.Steps.Records.Update(w.t.Context(), "summit", run.Users, time.Now(), []pipeline.RecordUpdate{{ID: user, Remove: true}}); err != nil {
					w.t.Fatal(err)
				}
			},
			of: run.Users, id: user, rule: "R20", result: "info", decided: "R20", state: "removed", says: []string{"Removed at ", "(R20)"},
		},
		"R20: a master that lost its group leaves a tombstone": {
			edit: twoAtOnce, steps: then(run.Full, talk("60002_1", func(s *stovatest.Session) { s.Start = "11:00:00"; s.End = "12:00:00" })),
			of: run.Sessions, id: "slot_900100001_20310304T0900Z", rule: "R20", result: "info", decided: "R20", state: "removed", says: []string{"Removed at "},
		},
		"R20: who is listed no more stays where removal is off": {
			steps: then(run.Full, func(e *stovatest.Event) { e.Remove(user) }),
			of:    run.Users, id: user, rule: "R20", result: "info", decided: "R20", stored: true, state: "active", says: []string{"removeOutdated is off for users (R20)"},
		},
	}
}

// twoAtOnce lets the first two sessions start at nine o'clock.
func twoAtOnce(e *stovatest.Event) {
	e.Session("60001", "1").Start, e.Session("60002", "1").Start = "09:00:00", "09:00:00"
	e.Session("60002", "1").Date = e.Session("60001", "1").Date
}

func TestEveryRuleIsNamed(t *testing.T) {
	t.Parallel()
	for name, c := range seededCases() {
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

func check(t *testing.T, c seeded, x explain.Explanation) {
	t.Helper()
	if got := results(x, c.rule); c.rule != "" && !strings.Contains(got, c.result) {
		t.Errorf("%s says %q, want %q", c.rule, got, c.result)
	}
	if why := whyOf(x, c.rule); !strings.Contains(why, c.why) {
		t.Errorf("%s says %q, want %q", c.rule, why, c.why)
	}
	if x.DecidedBy != c.decided || x.Stored != c.stored || x.State != c.state {
		t.Errorf("decided by %q, stored %v, state %q; want %q, %v, %q", x.DecidedBy, x.Stored, x.State, c.decided, c.stored, c.state)
	}
	for _, part := range c.says {
		if !strings.Contains(x.Verdict, part) {
			t.Errorf("the verdict lacks %q", part)
		}
	}
	for _, r := range x.Rules {
		if strings.Count(x.Verdict, "("+r.Rule+")") > 1 {
			t.Errorf("the verdict names %s more than once", r.Rule)
		}
	}
	if x.Type != c.of || x.ID != c.id || x.Verdict == "" || len(x.Rules) == 0 {
		t.Errorf("the answer is about %s %s, with %d rules", x.Type, x.ID, len(x.Rules))
	}
	for _, r := range x.Rules {
		if r.Name == "" || r.Why == "" || r.Result != explain.Pass && r.Result != explain.Stop && r.Result != explain.Info {
			t.Errorf("rule %q has no name, reason or result: %q", r.Rule, r.Result)
		}
	}
	if t.Failed() {
		t.Logf("verdict: %s\n%+v", x.Verdict, x.Rules)
	}
}

// Each rule of spotme-model.md §6 must have a case of its own.
func TestNoRuleLacksACase(t *testing.T) {
	t.Parallel()
	have := map[string]bool{}
	for name, c := range seededCases() {
		rule, _, _ := strings.Cut(name, ":")
		if rule != c.rule {
			t.Errorf("%q is a case of %s", name, c.rule)
		}
		have[rule] = true
	}
	for n := range 20 {
		if rule := fmt.Sprint("R", n+1); !have[rule] {
			t.Errorf("no case of %s", rule)
		}
	}
}
