package preview_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/preview"
	"stovasync/shared/run"
	"stovasync/shared/stova/stovatest"
)

// odd is an event with one of every odd row.
func odd() stovatest.Options { return stovatest.Options{Attendees: 80, Oddities: true} }

func TestAPreviewReadsAsFewRowsAsItNeeds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stovatest.Options{Attendees: 300})
	r := w.preview(run.Users)
	if r.Sampled != 20 || r.Asked != 20 || len(r.Synced) != 20 {
		t.Errorf("%d of %d rows, %d synced; want 20 of 20", r.Sampled, r.Asked, len(r.Synced))
	}
	calls := w.twin.Calls()
	if got, want := calls["getAttendee"], r.Sampled+r.PassedOver; got != want {
		t.Errorf("getAttendee was called %d times, want %d", got, want)
	}
	for endpoint, most := range map[string]int{"authorize": 1, "getEvent": 1, "listQuestions": 1, "listAttendees": 2} {
		if calls[endpoint] == 0 || calls[endpoint] > most {
			t.Errorf("%s was called %d times, want 1 to %d", endpoint, calls[endpoint], most)
		}
	}
	if total := w.twin.Total(); r.APICalls != total {
		t.Errorf("api_calls is %d, the twin counted %d", r.APICalls, total)
	}
	if r.CallSeconds <= 0 || r.CallSeconds > r.Seconds {
		t.Errorf("calls took %g s of %g s", r.CallSeconds, r.Seconds)
	}
	if r.Event != "Invented Summit" || r.Zone != "Europe/London" {
		t.Errorf("event %q in %q", r.Event, r.Zone)
	}
}

func TestASampleIsRowsOfTheType(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stovatest.Options{Attendees: 300})
	for dataType, want := range map[run.DataType]int{
		run.Users: 7, run.Sponsors: 7, run.SponsorLevels: 7, run.Schedule: 7, run.Sessions: 7, run.Presenters: 7,
	} {
		if r := w.preview(dataType, sample(7)); r.Sampled != want || len(warned(r, "SAMPLE_SHORT")) > 0 {
			t.Errorf("%s: %d rows, want %d; %v", dataType, r.Sampled, want, r.Warnings)
		}
	}
}

func TestASearchForRareRowsEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stovatest.Options{Attendees: 400})
	r := w.preview(run.Sponsors, sample(15)) // there are 12, and they come first
	if r.Sampled != 12 || r.PassedOver != 88 {
		t.Errorf("%d sponsors and %d others were read, want 12 among 100", r.Sampled, r.PassedOver)
	}
	if got := warned(r, "SAMPLE_SHORT"); len(got) != 1 || !strings.Contains(got[0], "12 of 15 rows were found among the first 100") {
		t.Errorf("warnings %q", got)
	}
	w = newWorld(t, stovatest.Options{Attendees: 40, Sponsors: 2})
	if r := w.preview(run.Sponsors); r.Sampled != 2 || len(warned(r, "SAMPLE_SHORT")) > 0 {
		t.Errorf("of an event with 2 sponsors: %d, %v; want both and no warning", r.Sampled, r.Warnings)
	}
}

func TestStoredSponsorsAreReadFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stovatest.Options{Attendees: 400})
	w.twin.Edit(func(e *stovatest.Event) { slices.Reverse(e.People) }) // sponsors last
	if r := w.preview(run.Sponsors, sample(10)); r.Sampled != 0 || r.PassedOver != 100 {
		t.Fatalf("%d sponsors among %d others; want none, which the list begins with", r.Sampled, r.PassedOver)
	}
	var known []pipeline.Record
	for _, p := range w.event.People {
		if p.Category == "Sponsor" {
			known = append(known, pipeline.Record{ID: p.ID, Status: "active"})
		}
	}
	w.keep(run.Sponsors, known...)
	w.twin.Reset()
	r := w.preview(run.Sponsors, sample(8))
	if n := len(w.twin.Fetched("getAttendee")); r.Sampled != 8 || n != 8 {
		t.Errorf("%d sponsors with %d rows read, want 8 with 8", r.Sampled, n)
	}
	// What is stored may be of yesterday: one is gone, one is no sponsor any more.
	w.twin.Edit(func(e *stovatest.Event) {
		e.Remove("800000003")
		e.Person("800000006").Category = "Press"
	})
	r = w.preview(run.Sponsors, sample(8))
	for _, row := range r.Synced {
		if id := row["fp_ext_id"]; id == "800000003" || id == "800000006" {
			t.Errorf("%s is shown as a sponsor", id)
		}
	}
	if r.Sampled != 6 {
		t.Errorf("%d sponsors are left of 8 stored ones, want 6", r.Sampled)
	}
}

func TestAnEventWithoutRowsIsAnEmptyReport(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stovatest.Options{Attendees: -1, Sessions: -1, Speakers: -1})
	for _, dataType := range run.AllTypes() {
		r := w.preview(dataType)
		doc, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if r.Sampled != 0 || strings.Contains(string(doc), ":null") {
			t.Errorf("%s: %s", dataType, doc)
		}
	}
	if writes := w.items.take(); len(writes) > 0 {
		t.Errorf("previews of nothing wrote %v", writes)
	}
}

func TestNothingOfAPersonCanBeReadInAReport(t *testing.T) {
	t.Parallel()
	w := newWorld(t, odd())
	var personal []string
	for _, p := range w.event.People {
		personal = append(personal, p.FirstName, p.MiddleName, p.LastName, p.Email, p.JobTitle, p.Company, p.City, p.Country, p.Website,
			p.MobilePhone, p.WorkPhone, p.Photo, p.Logo)
		for _, a := range p.Answers {
			personal = append(personal, a.Text)
		}
	}
	for _, s := range w.event.Speakers {
		personal = append(personal, s.FirstName, s.LastName, s.Email, s.JobTitle, s.Company, s.Country, s.Bio)
	}
	for _, s := range w.event.Sessions {
		personal = append(personal, s.Description, s.Location)
	}
	personal = slices.DeleteFunc(personal, func(s string) bool { return utf8.RuneCountInString(s) < 4 })
	all := func(r *preview.Request) {
		sample(preview.MaxSample)(r)
		trial(run.SponsorLevels, "name", "email")(r)
		trial(run.Users, "custom", `join([fname, lname, email], "; ")`)(r)
		trial(run.Sessions, "presenters", `[name, location]`)(r)
	}
	for _, dataType := range run.AllTypes() {
		r := w.preview(dataType, all)
		// What the event and its questions are called, and the settings, are no values.
		r.Event = ""
		for i := range r.Columns {
			r.Columns[i].Label, r.Columns[i].Expression = "", ""
		}
		for i := range r.Fields {
			r.Fields[i].Expression = ""
		}
		for _, text := range texts(t, r) {
			for _, value := range personal {
				if strings.Contains(text, value) {
					t.Errorf("%s: a text of %d characters in the report holds a value of a row", dataType, len(text))
				}
			}
			if strings.Contains(text, "example.test") || strings.Contains(text, "example_test") {
				t.Errorf("%s: the report holds an address", dataType)
			}
		}
	}
}

func TestRowsThatRulesKeepOutAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, odd())
	status := map[string]bool{}
	sponsor := map[string]bool{}
	for _, p := range w.event.People {
		status[p.ID] = strings.EqualFold(p.Status, "confirmed") || p.Status == "Attended"
		sponsor[p.ID] = strings.EqualFold(strings.TrimSpace(p.Category), "sponsor")
	}
	w.conn.InactivePolicy, w.conn.Filters = "skip", map[run.DataType]string{run.Users: `virtual_event_attendance != "Yes"`}
	w.put()
	r := w.preview(run.Users, sample(60))
	rules := map[string]int{}
	for _, f := range r.Filtered {
		rules[f.Rule]++
		if f.Why == "" || f.ID == "" {
			t.Errorf("%+v does not say whom or why", f)
		}
		switch f.Rule {
		case "R4":
			if !sponsor[f.ID] {
				t.Errorf("%s is filtered by R4 and no sponsor", f.ID)
			}
		case "R2":
			if status[f.ID] {
				t.Errorf("%s is filtered by R2 and active", f.ID)
			}
		case "filter":
			if !w.event.Person(f.ID).Virtual {
				t.Errorf("%s is filtered and not virtual", f.ID)
			}
		}
	}
	if rules["R2"] == 0 || rules["R4"] == 0 || rules["filter"] == 0 || len(rules) != 3 {
		t.Errorf("rules %v, want R2, R4 and filter", rules)
	}
	if got := len(r.Synced) + rules["R2"] + rules["filter"] + len(r.Rejected); got != r.Sampled {
		t.Errorf("%d rows are accounted for, %d were sampled", got, r.Sampled)
	}
	if r.InactivePolicy != "skip" || r.Statuses["cancelled"] > 0 || r.Statuses["active"] != len(r.Synced) {
		t.Errorf("policy %q, statuses %v of %d", r.InactivePolicy, r.Statuses, len(r.Synced))
	}
}

func TestTheStatusFollowsThePolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, odd())
	for policy, want := range map[string]string{"cancel": "cancelled", "hide": "hidden"} {
		w.conn.InactivePolicy = policy
		w.put()
		r := w.preview(run.Users, sample(60))
		counted := 0
		for _, row := range r.Synced {
			id, _ := row["fp_ext_id"].(string)
			status := w.event.Person(id).Status
			active := strings.EqualFold(status, "confirmed") || status == "Attended"
			if active != (row["fp_status"] == "active") || !active && row["fp_status"] != want {
				t.Errorf("%s: %s has fp_status %v", policy, status, row["fp_status"])
			}
			if !active {
				counted++
			}
		}
		if counted == 0 || r.Statuses[want] != counted {
			t.Errorf("%s: statuses %v, want %d %s", policy, r.Statuses, counted, want)
		}
	}
}

func TestSessionsWithoutTimesAreRejectedAndTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, odd())
	r := w.preview(run.Sessions)
	want := map[string]string{}
	for _, s := range w.event.Sessions[:20] {
		if s.NoStart || s.Start == "" || strings.HasPrefix(s.Date, "00") {
			want[s.ID+"_"+s.Key] = string(fault.RowNoTimes)
		}
	}
	got := map[string]string{}
	for _, x := range r.Rejected {
		got[x.ID] = x.Code
	}
	if diff := cmp.Diff(want, got); diff != "" || len(want) == 0 {
		t.Errorf("rejected (-want +got):\n%s", diff)
	}
	if text := warned(r, string(fault.RowNoTimes)); len(text) != 1 || !strings.Contains(text[0], fmt.Sprintf("%d of 20 sampled sessions", len(want))) {
		t.Errorf("warnings %q", text)
	}
	for _, row := range r.Synced {
		if row["timezone"] != "Europe/London" || row["is_master"] != false || row["start"] == nil {
			t.Errorf("session %v lacks its times", row["fp_ext_id"])
		}
	}
}

func TestSponsorsWithoutALevelAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, odd())
	for _, dataType := range []run.DataType{run.Sponsors, run.SponsorLevels} {
		r := w.preview(dataType)
		if text := warned(r, "SPONSOR_NO_LEVEL"); len(text) != 1 || !strings.Contains(text[0], "1 of 13 sampled sponsors have no level: 8") {
			t.Errorf("%s: warnings %q", dataType, text)
		}
	}
	r := w.preview(run.SponsorLevels)
	var ids []string
	for _, row := range r.Synced {
		ids = append(ids, fmt.Sprint(row["fp_ext_id"]))
	}
	if diff := cmp.Diff([]string{"bronze", "gold", "platinum", "silver"}, ids); diff != "" {
		t.Errorf("levels (-want +got):\n%s", diff)
	}
	none := newWorld(t, stovatest.Options{Attendees: 40, Levels: -1})
	r = none.preview(run.SponsorLevels)
	if len(r.Synced) != 1 || r.Synced[0]["fp_ext_id"] != "sponsor" {
		t.Errorf("without any level: %v, want the one named Sponsor", r.Synced)
	}
}

func TestATypeGoesByItsSynonyms(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stovatest.Options{Attendees: 5})
	if r := w.preview("Speakers"); r.Type != run.Presenters {
		t.Errorf("Speakers are %s, want presenters", r.Type)
	}
}

func TestTheScheduleIsPicks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, odd())
	picks := 0
	for _, p := range w.event.People {
		picks += len(p.Picks)
	}
	r := w.preview(run.Schedule, sample(preview.MaxSample))
	if got := len(r.Synced) + len(r.Filtered) + len(r.Rejected); got != r.Sampled || r.Sampled != min(picks, preview.MaxSample) {
		t.Errorf("%d rows are told, %d sampled, of %d picks", got, r.Sampled, picks)
	}
	for _, f := range r.Filtered {
		if f.Rule != "R4" {
			t.Errorf("%+v, want sponsors alone", f)
		}
	}
	if text := warned(r, "ROWS_PENDING"); len(text) != 1 {
		t.Errorf("nothing is stored, but the warnings are %v", r.Warnings)
	}
	var people, sessions []pipeline.Record
	for _, p := range w.event.People {
		people = append(people, pipeline.Record{ID: p.ID, Status: "active"})
	}
	for _, s := range w.event.Sessions {
		sessions = append(sessions, pipeline.Record{ID: s.ID + "_" + s.Key, Status: "active"})
	}
	w.keep(run.Users, people...)
	w.keep(run.Sessions, sessions...)
	r = w.preview(run.Schedule, sample(preview.MaxSample))
	if text := warned(r, "ROWS_PENDING"); len(text) != 1 || !strings.Contains(text[0], "schedule: 1 of ") {
		t.Errorf("all but the pick of a session that is not there are stored: %q", text)
	}
	for _, row := range r.Synced {
		id, _ := row["fp_ext_id"].(string)
		if parent, _ := row["parent_doc_id"].(string); parent == "" || !strings.HasSuffix(id, "_"+parent) {
			t.Errorf("row %s has the parent %v", id, row["parent_doc_id"])
		}
	}
	if c, ok := column(r, "pick.sessionid"); !ok || c.Filled != r.Sampled {
		t.Errorf("the picks' own columns: %+v", c)
	}
}

func TestProtectedFieldsKeepWhatIsStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stovatest.Options{Attendees: 40})
	mine, fresh := w.event.People[0].ID, w.event.People[1].ID
	w.conn.Protect = map[run.DataType]map[string][]string{run.Users: {
		mine: {"company", "fp_status", "biography", "fp_owner"}, fresh: {"company"},
	}}
	w.put()
	w.keep(run.Users, pipeline.Record{ID: mine, Status: "hidden", Fields: map[string]any{"company": "Qq kept Zz"}})
	r := w.preview(run.Users)
	want := []preview.Protected{
		{ID: mine, Fields: []string{"biography", "company", "fp_owner", "fp_status"}, Stored: true},
		{ID: fresh, Fields: []string{"company"}},
	}
	if diff := cmp.Diff(want, r.Protected); diff != "" {
		t.Errorf("protected (-want +got):\n%s", diff)
	}
	if row := r.Synced[0]; row["company"] != "Q…z" || row["fp_status"] != "hidden" || row["fname"] == nil {
		t.Errorf("the stored record shows %v", row)
	}
	if r.Synced[1]["company"] == nil {
		t.Errorf("a record that is not stored yet is filled once, but shows %v", r.Synced[1])
	}
	text := warned(r, "FIELD_LOCKED")
	if len(text) != 2 || !strings.Contains(text[0], "fp_status is protected, so it stays as it is whatever the vendor says: "+mine) ||
		!strings.Contains(text[1], "fp_owner is computed, so protecting it has no effect: "+mine) {
		t.Errorf("warnings %q", text)
	}
}

func TestATrialReplacesWhatItNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t, odd())
	own := "responses.diet"
	w.conn.Mapping = map[run.DataType]map[string]*string{run.Users: {"diet": &own}}
	w.conn.Filters = map[run.DataType]string{run.Users: `registrationstatus != "Incomplete"`}
	w.put()
	tests := map[string]struct {
		change       func(*preview.Request)
		diet, filter bool
	}{
		"without a trial the connection's own holds": {func(*preview.Request) {}, true, true},
		"what a trial does not name stays":           {func(r *preview.Request) { r.Trial = true }, true, true},
		"an empty mapping is none": {func(r *preview.Request) {
			r.Trial, r.Mapping = true, map[run.DataType]map[string]*string{}
		}, false, true},
		"empty filters are none": {func(r *preview.Request) {
			r.Trial, r.Filters = true, map[run.DataType]string{}
		}, true, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := w.preview(run.Users, sample(60), tt.change)
			if _, got := field(r, "diet"); got != tt.diet {
				t.Errorf("diet is mapped: %v, want %v", got, tt.diet)
			}
			got := slices.ContainsFunc(r.Filtered, func(f preview.Filtered) bool { return f.Rule == "filter" })
			if got != tt.filter {
				t.Errorf("rows are filtered: %v, want %v", got, tt.filter)
			}
		})
	}
}

func TestAMappingThatCannotBeIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stovatest.Options{Attendees: 5})
	tests := map[string]struct {
		change func(*preview.Request)
		code   fault.Code
	}{
		"a locked field":                 {trial(run.Users, "fp_status", "registrationstatus"), fault.MappingLocked},
		"a locked field of another type": {trial(run.Sessions, "fp_ext_id", "sessionid"), fault.MappingLocked},
		"an expression with a mistake":   {trial(run.Users, "photo", "responses."), fault.MappingInvalid},
		"too small a sample":             {sample(-1), fault.ConfigInvalid},
		"too large a sample":             {sample(preview.MaxSample + 1), fault.ConfigInvalid},
		"a connection nobody knows":      {func(r *preview.Request) { r.Connection = "sumit" }, fault.ConfigInvalid},
		"a type nobody knows":            {func(r *preview.Request) { r.Type = "badges" }, fault.ConfigInvalid},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := w.try(run.Users, tt.change); fault.CodeOf(err) != tt.code {
				t.Errorf("error %v, want %s", err, tt.code)
			}
		})
	}
	if n := w.twin.Total(); n > 0 {
		t.Errorf("%d calls were made for nothing", n)
	}
}

func TestColumnsThatAMappingNamesInVainAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, odd())
	r := w.preview(run.Users, trial(run.Users, "badge", "registration_status"), trial(run.Users, "photo", "responses.foto"), trial(run.Users, "city", "city"))
	absent := warned(r, "COLUMN_ABSENT")
	if len(absent) != 1 || !strings.HasPrefix(absent[0], "users: badge: no sampled row has the column registration_status") {
		t.Errorf("COLUMN_ABSENT: %q, want that of registration_status, which the vendor knows and no row has", absent)
	}
	if doubts := warned(r, string(fault.MappingInvalid)); len(doubts) != 1 || !strings.Contains(doubts[0], "responses.foto") {
		t.Errorf("MAPPING_INVALID: %q, want that of responses.foto", doubts)
	}
}

func TestRowsThatCannotBeReadArePartOfTheReport(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stovatest.Options{Attendees: 40, Sponsors: -1})
	bad := w.event.People[3].ID
	w.fault("500:endpoint=getAttendee,id=" + bad)
	r := w.preview(run.Users)
	if len(r.Rejected) != 1 || r.Rejected[0].ID != bad || r.Rejected[0].Code != string(fault.RowPoison) || len(r.Synced) != 19 {
		t.Errorf("%d synced, rejected %+v; want 19 and %s", len(r.Synced), r.Rejected, bad)
	}
	w.twin.ClearFaults()
	w.fault("500:endpoint=getAttendee")
	if _, err := w.try(run.Users); fault.CodeOf(err) != fault.StovaServer {
		t.Errorf("when every row fails: %v, want STOVA_SERVER", err)
	}
}

func TestAFormThatCannotBeReadIsAWarning(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stovatest.Options{Attendees: 40})
	w.preview(run.Users)
	w.items.take()
	w.fault("500:endpoint=listQuestions")
	r := w.preview(run.Users)
	if len(warned(r, string(fault.StovaServer))) != 1 || len(r.Synced) != 20 || len(warned(r, "COLUMN_VANISHED")) > 0 {
		t.Errorf("%d synced, warnings %v", len(r.Synced), r.Warnings)
	}
	if writes := w.items.take(); len(writes) > 0 {
		t.Error("a preview that has not seen the form remembers its columns")
	}
	w.twin.ClearFaults()
	w.fault("restricted:endpoint=getEvent")
	if _, err := w.try(run.Users); fault.CodeOf(err) != fault.StovaEvent {
		t.Errorf("an event that is refused: %v, want STOVA_EVENT", err)
	}
}

func TestErasedPeopleAreNotRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stovatest.Options{Attendees: 40})
	key := strings.Repeat("ab", pipeline.EraseKeySize)
	if err := w.store.Secrets().Put(t.Context(), pipeline.EraseSecret, key); err != nil {
		t.Fatal(err)
	}
	raw, err := pipeline.EraseKey(t.Context(), w.store.Secrets())
	if err != nil {
		t.Fatal(err)
	}
	gone := w.event.People[0].ID
	doc, err := json.Marshal(pipeline.Erasure{Key: pipeline.EraseKeyMark(raw), At: time.Now(), Done: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	entry := pipeline.Write{Key: pipeline.ErasureKey(w.conn.Name, pipeline.ErasureHash(raw, w.conn, gone)), Version: pipeline.AnyVersion, Doc: doc}
	if err := w.store.Items().Write(t.Context(), entry); err != nil {
		t.Fatal(err)
	}
	r := w.preview(run.Users, sample(40))
	if slices.Contains(texts(t, r), gone) || slices.Contains(w.twin.Fetched("getAttendee"), gone) || r.KeptOut != 1 {
		t.Errorf("an erased person was read; %d kept out, want 1", r.KeptOut)
	}
	if err := w.store.Secrets().Delete(t.Context(), pipeline.EraseSecret); err != nil {
		t.Fatal(err)
	}
	if _, err := w.try(run.Users); fault.CodeOf(err) != fault.EraseKey {
		t.Errorf("without the key: %v, want ERASE_KEY", err)
	}
}

func TestWhatWasReadInTimeIsReported(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stovatest.Options{Attendees: 60, Sponsors: -1})
	w.slow = 5
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	r, err := preview.Run(ctx, w.env(), preview.Request{Connection: "summit", Type: run.Users})
	if err != nil {
		t.Fatal(err)
	}
	if text := warned(r, "SAMPLE_SHORT"); r.Sampled != 5 || len(text) != 1 || !strings.Contains(text[0], "5 of 20 rows were read before the time was up") {
		t.Errorf("%d rows, warnings %v; want the 5 that came", r.Sampled, r.Warnings)
	}
}

func TestACancelledPreviewEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stovatest.Options{Attendees: 40})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := preview.Run(ctx, w.env(), preview.Request{Connection: "summit", Type: run.Users})
	if !errors.Is(err, ctx.Err()) {
		t.Errorf("error %v, want %v", err, ctx.Err())
	}
}
