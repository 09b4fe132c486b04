package mapping_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"stovasync/shared/mapping"
	"stovasync/shared/run"
	"stovasync/shared/stova"
	"stovasync/shared/stova/stovatest"
)

// twinRows are all rows of a twin with every odd row there is, by stream, and
// what mapping must know of its event.
func twinRows(t *testing.T) (map[run.Stream][]json.RawMessage, mapping.Event) {
	t.Helper()
	e := stovatest.Generate(stovatest.Options{Attendees: 80, Sessions: 30, Speakers: 12, Oddities: true})
	twin := stovatest.NewServer(e, stovatest.ServerOptions{}).Start(t)
	client, err := stova.New(stova.Config{EndPoint: twin.EndPoint(), AccountID: e.AccountID, EventID: e.ID, Key: e.Key, AllowPrivate: true,
		RetryBase: time.Millisecond, Budget: stova.NewBudget(1_000_000, time.Now)})
	if err != nil {
		t.Fatal(err)
	}
	rows := map[run.Stream][]json.RawMessage{}
	for _, s := range []run.Stream{run.Attendees, run.SessionStream, run.Speakers} {
		listed, err := client.List(t.Context(), s, stova.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range listed.IDs {
			row, err := client.Row(t.Context(), s, id)
			if err != nil {
				t.Fatal(err)
			}
			rows[s] = append(rows[s], row)
		}
	}
	zone, err := time.LoadLocation(e.Zone)
	if err != nil {
		t.Fatal(err)
	}
	event := mapping.Event{ID: e.ID, Zone: zone, Language: e.Language, Tracks: map[string]string{}}
	for _, tr := range e.Tracks {
		event.Tracks[tr.ID] = tr.Name
	}
	questions, err := client.Questions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range questions {
		event.Questions = append(event.Questions, mapping.Question{ID: q.ID, FieldName: q.FieldName, Name: q.Name, Page: q.Page, InputType: q.InputType})
	}
	return rows, event
}

// fieldsOf are the traced fields that the row fills, as a record has them.
func fieldsOf(tr mapping.TraceResult) map[string]any {
	out := map[string]any{}
	for _, f := range tr.Fields {
		if f.Value != nil {
			out[f.Name] = f.Value
		}
	}
	return out
}

// computedFields are those that no expression gives.
var computedFields = []string{"timezone", "is_master", "parent_doc_id", "status"}

func mapped(fields map[string]any) map[string]any {
	out := map[string]any{}
	for name, v := range fields {
		out[name] = v
	}
	for _, name := range computedFields {
		delete(out, name)
	}
	return out
}

func TestATraceSaysWhatTheMapperDoes(t *testing.T) {
	t.Parallel()
	rows, event := twinRows(t)
	for name, settings := range map[string]mapping.Settings{
		"with the default mapping": {ActiveStatuses: []string{"Confirmed", "Attended"}},
		"with skip, a filter that fits no row, and expressions that fit few": {
			ActiveStatuses: []string{"Confirmed"}, InactivePolicy: "skip",
			Filters: map[run.DataType]string{run.Users: `int(fname) > 3`, run.Sessions: `name != ""`, run.Sponsors: `has(category.name, "Sponsor")`},
			Mapping: map[run.DataType]map[string]*string{
				run.Users:    {"photo": new("responses.photo"), "years": new("int(company)")},
				run.Sessions: {"capacity": new("int(name)"), "in_slot": new("in_slot")},
				run.Schedule: {"option": new("pick.choicekey")}, run.SponsorLevels: {"order": new("int(attendeeid)")},
			},
		},
		"with a filter of some and hidden people": {
			ActiveStatuses: []string{"Confirmed"}, InactivePolicy: "hide",
			Filters: map[run.DataType]string{run.Users: `country != "FR"`, run.SponsorLevels: `company != ""`, run.Schedule: `pick.choicekey == "1"`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set, err := mapping.Compile(settings)
			if err != nil {
				t.Fatal(err)
			}
			m := set.For(event)
			seen := map[mapping.Outcome]int{}
			for _, v := range []struct {
				t    run.DataType
				read func(mapping.Row) mapping.Result
			}{{run.Users, m.Users}, {run.Sponsors, m.Sponsors}, {run.Sessions, m.Sessions}, {run.Presenters, m.Presenters}} {
				for _, raw := range rows[v.t.Stream()] {
					row := open(t, m, v.t, raw)
					want, got := v.read(row), mapping.Trace(m, v.t, row)
					compare(t, v.t, want, got)
					seen[want.Outcome]++
					row.Release()
				}
			}
			if seen[mapping.Mapped] == 0 && settings.Filters == nil || seen[mapping.NotOwn] == 0 || seen[mapping.Rejected] == 0 {
				t.Errorf("the rows do not hold every outcome: %v", seen)
			}
			levelsAndPicks(t, m, rows[run.Attendees])
		})
	}
}

func open(t *testing.T, m *mapping.Mapper, of run.DataType, raw json.RawMessage) mapping.Row {
	t.Helper()
	row, err := m.Row(of.Stream(), raw)
	if err != nil {
		t.Fatal(err)
	}
	return row
}

func compare(t *testing.T, of run.DataType, want mapping.Result, got mapping.TraceResult) {
	t.Helper()
	if diff := cmp.Diff(want, got.Result); diff != "" {
		t.Errorf("%s %s (-mapper +trace):\n%s", of, want.ID, diff)
	}
	if want.Outcome != mapping.Mapped {
		return
	}
	if diff := cmp.Diff(mapped(want.Fields), fieldsOf(got), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s %s: fields (-mapper +trace):\n%s", of, want.ID, diff)
	}
	mistakes := 0
	for _, f := range got.Fields {
		if f.Mistake != "" {
			mistakes++
		}
	}
	invalid := 0
	for _, w := range want.Warnings {
		if w.Code == "MAPPING_INVALID" {
			invalid++
		}
	}
	if mistakes != invalid {
		t.Errorf("%s %s: %d mistakes are traced, the mapper warns of %d", of, want.ID, mistakes, invalid)
	}
}

func levelsAndPicks(t *testing.T, m *mapping.Mapper, attendees []json.RawMessage) {
	t.Helper()
	levels, picks := 0, 0
	for _, raw := range attendees {
		row := open(t, m, run.Users, raw)
		id, name, ok := m.Level(row)
		got := mapping.Trace(m, run.SponsorLevels, row)
		if ok != (got.Result.Outcome == mapping.Mapped) || ok && (got.Result.ID != id || got.Result.Fields["name"] != nil && got.Result.Fields["name"] != name) {
			t.Errorf("attendee %s: the level is %q %v, traced as %+v", row.ID(), id, ok, got.Result)
		}
		if ok && id != "" {
			levels++
		}
		for _, p := range m.Picks(row) {
			for _, parent := range p.Candidates {
				compare(t, run.Schedule, m.Schedule(row, parent, p), mapping.TracePick(m, row, parent, p))
				picks++
			}
		}
		row.Release()
	}
	if levels == 0 || picks == 0 {
		t.Errorf("%d levels and %d picks in the rows", levels, picks)
	}
}

func TestATraceTellsWhatTheRulesLookedAt(t *testing.T) {
	t.Parallel()
	set, err := mapping.Compile(mapping.Settings{ActiveStatuses: []string{"Confirmed"}, InactivePolicy: "hide",
		Filters: map[run.DataType]string{run.Users: `fname != "Bob"`}})
	if err != nil {
		t.Fatal(err)
	}
	m := set.For(mapping.Event{ID: "1", Zone: time.UTC})
	row := open(t, m, run.Users, json.RawMessage(`{"attendeeid":"7","registrationstatus":"Waiting list","fname":"Ann",
		"category":{"name":" Sponsor guest "},"deleted":"1","mphone":"1|2","language":"eng"}`))
	got := mapping.Trace(m, run.Users, row)
	fields := map[string]mapping.TracedField{}
	for _, f := range got.Fields {
		fields[f.Name] = f
	}
	want := mapping.TraceResult{Result: got.Result, Fields: got.Fields, Category: "Sponsor guest", CategoryColumn: "category.name", SponsorCategory: "Sponsor",
		Registration: "Waiting list", Policy: "hide", Flags: []string{"deleted"},
		Filter: &mapping.TracedFilter{Expression: `fname != "Bob"`, Columns: []mapping.TracedColumn{{Expression: "fname", Value: "Ann"}}, Keeps: true}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Trace (-want +got):\n%s", diff)
	}
	phone := mapping.TracedField{Field: mapping.Field{Name: "phone", Expression: "first(phone(mphone), phone(wphone))", Default: true},
		Columns: []mapping.TracedColumn{{Expression: "mphone", Value: "1|2"}, {Expression: "wphone"}}, Value: "1 2"}
	if diff := cmp.Diff(phone, fields["phone"]); diff != "" {
		t.Errorf("phone (-want +got):\n%s", diff)
	}
	session := open(t, m, run.Sessions, json.RawMessage(`{"sessionid":"1","sessiondate":"0000-00-00","starttime":"09:00:00"}`))
	for _, f := range mapping.Trace(m, run.Sessions, session).Fields {
		if f.Name == "start" && !f.Columns[0].Zero {
			t.Errorf("start: the zero date is not told: %+v", f)
		}
	}
}
