package app_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/app"
	"stovasync/shared/explain"
	"stovasync/shared/pipeline"
	"stovasync/shared/preview"
	"stovasync/shared/run"
	"stovasync/shared/stova/stovatest"
)

// protectedID is the attendee whose record the tests below protect.
const protectedID = "800000001"

// confirmed is a world of few people who are all confirmed.
func confirmed(t *testing.T, more string) *world {
	t.Helper()
	w := newWorld(t, stovatest.Options{Attendees: 12, Sessions: 2, Speakers: 1, Sponsors: 2}, stovatest.ServerOptions{}, more)
	w.twin.Edit(func(e *stovatest.Event) {
		for _, p := range e.People {
			p.Status = "Confirmed"
		}
	})
	return w
}

// edit changes a person as the vendor does, with a new stamp.
func (w *world) edit(id string, change func(*stovatest.Person)) {
	w.twin.Edit(func(e *stovatest.Event) { change(e.Person(id)); e.Touch(id) })
}

func (w *world) explain(t run.DataType, id string) explain.Explanation {
	w.t.Helper()
	s := w.app.Steps
	x, err := explain.Explain(w.t.Context(), explain.Env{Ledger: s.Ledger, Records: s.Records, Objects: s.Objects, Connector: s.Connector},
		explain.Request{Connection: w.name, Type: t, ID: id})
	if err != nil {
		w.t.Fatal(err)
	}
	return x
}

func (w *world) preview(t run.DataType) preview.Report {
	w.t.Helper()
	r, err := w.app.Preview(w.t.Context(), app.PreviewEvent{Connection: w.name, Type: t, Sample: 20})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) user(id string) pipeline.Record {
	w.t.Helper()
	got, err := w.app.Steps.Records.Get(w.t.Context(), w.name, run.Users, []string{id})
	if err != nil {
		w.t.Fatal(err)
	}
	return got[id]
}

func said(x explain.Explanation, rule string) (result, why string) {
	for _, r := range x.Rules {
		if r.Rule == rule {
			result, why = r.Result, why+r.Why+"; "
		}
	}
	return result, why
}

func TestAProtectedFieldSurvivesEverySync(t *testing.T) {
	t.Parallel()
	w := confirmed(t, "protect:\n  users: {\""+protectedID+"\": [company]}\n")
	w.edit(protectedID, func(p *stovatest.Person) { p.Company, p.City = "First Ltd", "Testham" })
	w.sync(run.Full)
	if got := w.user(protectedID).Fields["company"]; got != "First Ltd" {
		t.Fatalf("a protected field is not written when its record is made: %v", got != nil)
	}
	w.edit(protectedID, func(p *stovatest.Person) { p.Company, p.JobTitle = "Second Ltd", "Director" })
	w.sync(run.Incremental)
	r := w.user(protectedID)
	if r.Fields["company"] != "First Ltd" || r.Fields["position"] != "Director" {
		t.Errorf("after the vendor's edit: company kept %v, position changed %v", r.Fields["company"] == "First Ltd", r.Fields["position"] == "Director")
	}

	report := w.preview(run.Users)
	i := slices.IndexFunc(report.Protected, func(p preview.Protected) bool { return p.ID == protectedID })
	if i < 0 || !slices.Equal(report.Protected[i].Fields, []string{"company"}) {
		t.Errorf("preview tells of the protected records %+v", report.Protected)
	}
	x := w.explain(run.Users, protectedID)
	if result, why := said(x, "R19"); result != explain.Info || !strings.Contains(why, "company") || x.DecidedBy != "R19" {
		t.Errorf("explain: decided by %s; R19 is %s: %s", x.DecidedBy, result, why)
	}
	for _, f := range x.Fields {
		want := explain.Field{Field: "company", Expression: "company", Default: true, Columns: []explain.Column{{Expression: "company", Value: "S…d"}},
			Value: "S…d", Stored: "F…d", Protected: true, Note: "protected: the sync leaves what is stored"}
		if diff := cmp.Diff(want, f); f.Field == "company" && diff != "" {
			t.Errorf("company (-want +got):\n%s", diff)
		}
	}

	// A full run leaves it alone too; without the protection the next run, which
	// is full by itself since the settings have changed, takes the vendor's value.
	w.sync(run.Full)
	if r = w.user(protectedID); r.Fields["company"] != "First Ltd" {
		t.Error("a full run has changed the protected field")
	}
	w.connect("")
	w.sync(run.Incremental)
	if r = w.user(protectedID); r.Fields["company"] != "Second Ltd" {
		t.Error("without the protection the vendor's value does not come")
	}
	if result, _ := said(w.explain(run.Users, protectedID), "R19"); result != explain.Pass {
		t.Errorf("R19 is %s without any protection", result)
	}
}

func TestAProtectedStatusIsKeptAndTold(t *testing.T) {
	t.Parallel()
	w := confirmed(t, "protect:\n  users: {\""+protectedID+"\": [fp_status]}\n")
	w.sync(run.Full)
	w.edit(protectedID, func(p *stovatest.Person) { p.Status = "Cancelled" })
	w.sync(run.Incremental)
	if r := w.user(protectedID); r.Status != "active" {
		t.Errorf("the protected status has become %s", r.Status)
	}
	x := w.explain(run.Users, protectedID)
	if x.DecidedBy != "R19" || !strings.Contains(x.Verdict, "fp_status is protected, so it stays active (R19)") || x.State != "active" {
		t.Errorf("explain: %s", x.Verdict)
	}
	told := false
	for _, warning := range w.preview(run.Users).Warnings {
		told = told || strings.Contains(warning.Message, "fp_status") && strings.Contains(warning.Message, protectedID)
	}
	if !told {
		t.Error("preview does not tell of the protected status")
	}

	// Who becomes a sponsor leaves a user behind that stays active.
	w.edit(protectedID, func(p *stovatest.Person) { p.Status, p.Category = "Confirmed", "Sponsor" })
	w.sync(run.Incremental)
	if r := w.user(protectedID); r.Status != "active" {
		t.Errorf("the protected status of the former user has become %s", r.Status)
	}
	if x = w.explain(run.Users, protectedID); x.DecidedBy != "R4" || !strings.Contains(x.Verdict, "stays active (R19)") {
		t.Errorf("explain: %s", x.Verdict)
	}
}

// outcome is what becomes of an inactive person.
type outcome struct {
	Stored bool
	State  string // of the record
	Rule   string // that preview filters it by
	R2     string // result of the rule in explain
}

func (w *world) outcome() outcome {
	w.t.Helper()
	r := w.user(protectedID)
	o := outcome{Stored: r.ID != "", State: r.Status}
	report := w.preview(run.Users)
	for _, f := range report.Filtered {
		if f.ID == protectedID {
			o.Rule = f.Rule
		}
	}
	for _, synced := range report.Synced {
		if synced["fp_ext_id"] == protectedID && synced["fp_status"] != r.Status {
			w.t.Errorf("preview gives the status %v, the store has %s", synced["fp_status"], r.Status)
		}
	}
	x := w.explain(run.Users, protectedID)
	o.R2, _ = said(x, "R2")
	if x.Stored != o.Stored || x.State != o.State || !strings.Contains(x.Verdict, "(R2)") {
		w.t.Errorf("explain: stored %v as %q: %s", x.Stored, x.State, x.Verdict)
	}
	return o
}

func TestTheInactivePolicyDecidesWhatBecomesOfAPerson(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		policies []string // one run each
		want     []outcome
	}{
		"cancel, then hide, then cancel again": {
			[]string{"cancel", "hide", "cancel"},
			[]outcome{{true, "cancelled", "", "info"}, {true, "hidden", "", "info"}, {true, "cancelled", "", "info"}},
		},
		"skip leaves out who was never stored, hide brings them, and skip ends what is stored": {
			[]string{"skip", "hide", "skip"},
			[]outcome{{false, "", "R2", "stop"}, {true, "hidden", "", "info"}, {true, "cancelled", "R2", "stop"}},
		},
		"cancel, then skip: the record stays cancelled": {
			[]string{"cancel", "skip"},
			[]outcome{{true, "cancelled", "", "info"}, {true, "cancelled", "R2", "stop"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := confirmed(t, "")
			w.edit(protectedID, func(p *stovatest.Person) { p.Status = "Incomplete" })
			var got []outcome
			for _, policy := range tt.policies {
				w.connect("inactivePolicy: " + policy + "\n")
				w.sync(run.Incremental)
				got = append(got, w.outcome())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("outcomes (-want +got):\n%s", diff)
			}
			// A change of mind shows.
			w.edit(protectedID, func(p *stovatest.Person) { p.Status = "Confirmed" })
			w.sync(run.Incremental)
			if x := w.explain(run.Users, protectedID); x.State != "active" || x.DecidedBy != "stored" {
				t.Errorf("after the change of mind: %s", x.Verdict)
			}
		})
	}
}
