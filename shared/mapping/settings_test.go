package mapping_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/fault"
	"stovasync/shared/mapping"
	"stovasync/shared/run"
)

func settings(t run.DataType, field string, text *string) mapping.Settings {
	return mapping.Settings{
		ActiveStatuses: []string{"Confirmed"},
		Mapping:        map[run.DataType]map[string]*string{t: {field: text}},
	}
}

// The fields of spotme-model.md §5 and their default sources, as the tables have them.
func TestDefaultMappingIsTheTables(t *testing.T) {
	t.Parallel()
	set, err := mapping.Compile(mapping.Settings{ActiveStatuses: []string{"Confirmed"}})
	if err != nil {
		t.Fatal(err)
	}
	content := "first(descriptions.LANG, additional_details.descLANG, choices_expanded.descLANG, description.LANG, desc)"
	phone := "first(phone(mphone), phone(wphone))"
	want := map[run.DataType]map[string]string{
		run.Users: {"fname": "fname", "lname": "lname", "email": "email", "title": "prefix", "position": "title",
			"company": "company", "country": "country", "phone": phone,
			"registrationtype": "first(category_shortname, category.name)", "fp_locale": "lang2(language)"},
		run.Sessions: {"name": "first(reportname, name)", "start": "at(sessiondate, starttime)", "end": "at(sessiondate, endtime)",
			"location": "first(location_name, location, location.name)", "content": content,
			"tag": "first(session_tracks.track_name, session_tracks.track_id, session_tracks)", "presenters": "first(speakers.speakerid, speakers)"},
		run.Presenters: {"fname": "fname", "lname": "lname", "title": "prefix", "position": "title", "company": "company",
			"country": "country", "biography": "bio", "email": "email", "photo": "image"},
		run.Sponsors: {"name": `first(company, join([fname, lname], " "))`, "level": "sponsor-levels.name", "website": "website",
			"email": "email", "phone": phone, "country": "country", "city": "city"},
		run.SponsorLevels:   {"name": "first(subcategory_shortname, subcategory.name)"},
		run.Schedule:        {},
		run.PresenterPhotos: {},
		run.UserPhotos:      {},
	}
	got := map[run.DataType]map[string]string{}
	for _, dt := range run.AllTypes() {
		got[dt] = map[string]string{}
		for _, f := range set.Fields(dt) {
			if !f.Default {
				t.Errorf("%s: %s is not called a default", dt, f.Name)
			}
			got[dt][f.Name] = f.Expression
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("default mapping (-want +got):\n%s", diff)
	}
}

// R11: whoever maps or unmaps a locked field is told its type and name.
func TestLockedFieldsAreRefused(t *testing.T) {
	t.Parallel()
	all := []string{"fp_ext_id", "fp_status", "fp_type", "fp_owner", "fp_protect", "fp_last_changes", "source_lastmodified", "content_hash"}
	photo := []string{"owner_type", "owner_ext_id", "source_url", "object_key", "content_type", "bytes", "width", "height", "etag", "fetched_at", "state"}
	own := map[run.DataType][]string{run.Sessions: {"is_master"}, run.Schedule: {"parent_doc_id", "status"},
		run.UserPhotos: photo, run.PresenterPhotos: photo}
	for _, dt := range run.AllTypes() {
		for _, field := range append(own[dt], all...) {
			for _, text := range []*string{new("attendeeid"), nil} {
				_, err := mapping.Compile(settings(dt, field, text))
				if fault.CodeOf(err) != fault.MappingLocked {
					t.Errorf("%s: %s: error = %v, want %s", dt, field, err, fault.MappingLocked)
				} else if want := string(dt) + ": " + field + " is locked"; !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
		}
	}
}

func TestMistakesAreToldWithPlaceAndCure(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text, at, what, right string
	}{
		"an unknown function":              {`first(fname, frist(lname))`, "column 14", "frist is no function", "did you mean first?"},
		"a function that is not offered":   {`now()`, "column 1", "now is no function", ""},
		"a function far from any":          {`zzzzzzzzzz(fname)`, "column 1", "zzzzzzzzzz is no function", "the functions are at, first"},
		"too few arguments":                {`lower()`, "column 1", "lower does not take 0 arguments", "write lower(email)"},
		"too many arguments":               {`upper(fname, lname)`, "column 1", "upper does not take 2 arguments", "write upper(country)"},
		"a single equals sign":             {`fname = "Ada"`, "column 7", "unexpected token", "compare with =="},
		"a text cut short":                 {`first(fname`, "column 11", "unexpected token EOF", "close what is open"},
		"an open quote":                    {`fname + "Ada`, "column 13", "literal not terminated", "close the quotes"},
		"a name that begins with a digit":  {`responses.2nd`, "column 12", "bad number syntax", `responses["7060"]`},
		"a question id after a dot":        {`responses.7060`, "column 10", "unexpected token", `in brackets: responses["7060"]`},
		"a column with a hyphen":           {`preload-recordid`, "column 1", "read as a subtraction", `write row["preload-recordid"]`},
		"nil, which no column ever is":     {`fname == nil`, "column 10", "nil is never in a row", `compare with ""`},
		"?? which never takes its right":   {`photo ?? image`, "column 7", "never takes its right side", "write first(a, b)"},
		"a method":                         {`fname.upper()`, "column 7", "a column cannot be called", "call a function"},
		"a map":                            {`{"a": fname}`, "column 1", "no field holds a map", "give a text"},
		"nothing":                          {"  ", "column 1", "the expression is empty", "write null to leave the field out"},
		"a wrong operation":                {`"a" - 1`, "column 5", "invalid operation", "write int(column)"},
		"letters outside ASCII count once": {`"é" + frist(fname)`, "column 7", "frist is no function", "did you mean first?"},
		"a text without end":               {strings.Repeat("(", 5000), "column 1", "longer than 4000 bytes", "shorten it"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := mapping.Compile(settings(run.Users, "company", &tt.text))
			if fault.CodeOf(err) != fault.MappingInvalid {
				t.Fatalf("Compile(%q) error = %v, want %s", tt.text, err, fault.MappingInvalid)
			}
			for _, part := range []string{"users: company: expression ", tt.at + ":", tt.what, tt.right} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("Compile(%q) error = %v\nwant it to say %q", tt.text, err, part)
				}
			}
		})
	}
}

func TestSettingsThatAreRefused(t *testing.T) {
	t.Parallel()
	status := []string{"Confirmed"}
	tests := map[string]struct {
		settings mapping.Settings
		code     fault.Code
		says     string
	}{
		"no active status (R3)":      {mapping.Settings{}, fault.ConfigInvalid, "activeStatuses is empty"},
		"blank active statuses (R3)": {mapping.Settings{ActiveStatuses: []string{" ", "-"}}, fault.ConfigInvalid, "activeStatuses is empty"},
		"an unknown policy":          {mapping.Settings{ActiveStatuses: status, InactivePolicy: "drop"}, fault.ConfigInvalid, "cancel, hide or skip"},
		"an unknown data type": {mapping.Settings{ActiveStatuses: status, Filters: map[run.DataType]string{"people": "true"}},
			fault.MappingInvalid, `unknown data type "people"`},
		"a filter that is a column": {mapping.Settings{ActiveStatuses: status, Filters: map[run.DataType]string{run.Users: "fname"}},
			fault.MappingInvalid, "a filter must be true or false"},
		"a filter that is a text": {mapping.Settings{ActiveStatuses: status, Filters: map[run.DataType]string{run.Users: `"a" + "b"`}},
			fault.MappingInvalid, "users: filter: expression"},
		"a filter of photos": {mapping.Settings{ActiveStatuses: status, Filters: map[run.DataType]string{run.UserPhotos: "true"}},
			fault.MappingInvalid, "filter users"},
		"a filter by in_slot": {mapping.Settings{ActiveStatuses: status, Filters: map[run.DataType]string{run.Sessions: `in_slot != ""`}},
			fault.MappingInvalid, "filled after the rows are stored"},
		"a mapping of photos":              {settings(run.UserPhotos, "photo", new("image")), fault.MappingInvalid, "map photo of users"},
		"in_slot from another column":      {settings(run.Sessions, "in_slot", new("sessiontype")), fault.MappingInvalid, "write in_slot: in_slot"},
		"the column in_slot elsewhere":     {settings(run.Sessions, "tag_color", new("in_slot")), fault.MappingInvalid, "goes into the field in_slot only"},
		"a sponsor's level of its own":     {settings(run.Sponsors, "level", new("company")), fault.MappingInvalid, "map name of sponsor-levels"},
		"a field with blanks at its ends":  {settings(run.Users, " x ", new("company")), fault.MappingInvalid, "cannot be a field's name"},
		"a field named like a store's key": {settings(run.Users, "connection#type", new("company")), fault.MappingInvalid, "no # among them"},
		"a field that begins with _":       {settings(run.Users, "_id", new("company")), fault.MappingInvalid, "no _ at the beginning"},
		"a field without a name":           {settings(run.Users, "", new("company")), fault.MappingInvalid, "cannot be a field's name"},
		"the zone's name, which is locked": {settings(run.Sessions, "timezone", new("company")), fault.MappingLocked, "timezone is locked"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := mapping.Compile(tt.settings)
			if fault.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Compile error = %v, want %s saying %q", err, tt.code, tt.says)
			}
		})
	}
}

func TestAllFaultsComeTogether(t *testing.T) {
	t.Parallel()
	_, err := mapping.Compile(mapping.Settings{
		InactivePolicy: "drop",
		Mapping: map[run.DataType]map[string]*string{
			run.Users:    {"fp_status": new("x"), "company": new("lowr(x)")},
			run.Sessions: {"name": new("(")},
		},
		Filters: map[run.DataType]string{run.Presenters: "1 +"},
	})
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("Compile error = %v, want joined errors", err)
	}
	var got []fault.Code
	for _, e := range joined.Unwrap() {
		f, ok := errors.AsType[*fault.Error](e)
		if !ok {
			t.Fatalf("%v is no fault", e)
		}
		got = append(got, f.Code)
	}
	want := []fault.Code{fault.ConfigInvalid, fault.ConfigInvalid, fault.MappingLocked, fault.MappingInvalid, fault.MappingInvalid, fault.MappingInvalid}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("codes (-want +got):\n%s\n%v", diff, err)
	}
}

func TestMapsSaysWhatIsMapped(t *testing.T) {
	t.Parallel()
	plain, err := mapping.Compile(mapping.Settings{ActiveStatuses: []string{"Confirmed"}})
	if err != nil {
		t.Fatal(err)
	}
	own, err := mapping.Compile(mapping.Settings{ActiveStatuses: []string{"Confirmed"}, Mapping: map[run.DataType]map[string]*string{
		run.Sessions: {"in_slot": new(" in_slot ")}, run.Users: {"photo": new("responses.photo")}, run.Presenters: {"photo": nil}}})
	if err != nil {
		t.Fatal(err)
	}
	got := []bool{plain.Maps(run.Sessions, "in_slot"), plain.Maps(run.Users, "photo"), plain.Maps(run.Presenters, "photo"),
		own.Maps(run.Sessions, "in_slot"), own.Maps(run.Users, "photo"), own.Maps(run.Presenters, "photo")}
	if diff := cmp.Diff([]bool{false, false, true, true, true, false}, got); diff != "" {
		t.Errorf("Maps (-want +got):\n%s", diff)
	}
}

// The next plan is full exactly when something that changes records has changed.
func TestHashesFollowWhatChangesRecords(t *testing.T) {
	t.Parallel()
	base := func() mapping.Settings { return mapping.Settings{ActiveStatuses: []string{"Confirmed", "No Show"}} }
	hash := func(change func(*mapping.Settings)) string {
		s := base()
		change(&s)
		set, err := mapping.Compile(s)
		if err != nil {
			t.Fatal(err)
		}
		return set.Hash()
	}
	same := hash(func(*mapping.Settings) {})
	for name, h := range map[string]string{
		"the order and spelling of statuses": hash(func(s *mapping.Settings) { s.ActiveStatuses = []string{"no-show", "CONFIRMED"} }),
		"defaults written out":               hash(func(s *mapping.Settings) { s.InactivePolicy, s.SponsorCategory = "cancel", "sponsor" }),
		"a default expression written out":   hash(func(s *mapping.Settings) { s.Mapping = settings(run.Users, "email", new("email")).Mapping }),
	} {
		if h != same {
			t.Errorf("%s changes the hash", name)
		}
	}
	seen := map[string]string{same: "nothing"}
	for name, h := range map[string]string{
		"statuses": hash(func(s *mapping.Settings) { s.ActiveStatuses = []string{"Confirmed"} }),
		"policy":   hash(func(s *mapping.Settings) { s.InactivePolicy = "hide" }),
		"category": hash(func(s *mapping.Settings) { s.SponsorCategory = "Exhibitor" }),
		"mapping":  hash(func(s *mapping.Settings) { s.Mapping = settings(run.Users, "x", new("company")).Mapping }),
		"unmapped": hash(func(s *mapping.Settings) { s.Mapping = settings(run.Users, "email", nil).Mapping }),
		"filter":   hash(func(s *mapping.Settings) { s.Filters = map[run.DataType]string{run.Users: "true"} }),
	} {
		if other, ok := seen[h]; ok {
			t.Errorf("%s has the hash of %s", name, other)
		}
		seen[h] = name
	}
}

func TestMapperHashFollowsTheEvent(t *testing.T) {
	t.Parallel()
	set, err := mapping.Compile(settings(run.Users, "photo", new("responses.photo")))
	if err != nil {
		t.Fatal(err)
	}
	photo := mapping.Question{ID: "7060", Name: "Photo"}
	hash := func(e mapping.Event) string { return set.For(e).Hash() }
	base := mapping.Event{ID: "1", Zone: time.UTC, Questions: []mapping.Question{photo}}
	if hash(base) != hash(mapping.Event{ID: "1", Zone: time.UTC, Language: "eng", Questions: []mapping.Question{{ID: "1", Name: "Other"}, photo}}) {
		t.Error("a question that nothing reads changes the hash")
	}
	for name, e := range map[string]mapping.Event{
		"zone":      {ID: "1", Zone: time.FixedZone("X", 3600), Questions: base.Questions},
		"language":  {ID: "1", Zone: time.UTC, Language: "por", Questions: base.Questions},
		"tracks":    {ID: "1", Zone: time.UTC, Tracks: map[string]string{"41": "North"}, Questions: base.Questions},
		"collision": {ID: "1", Zone: time.UTC, Questions: []mapping.Question{photo, {ID: "7061", Name: "photo?"}}},
	} {
		if hash(e) == hash(base) {
			t.Errorf("a change of %s leaves the hash", name)
		}
	}
}

func TestReferencesAreWhatTheConnectionNames(t *testing.T) {
	t.Parallel()
	s := settings(run.Users, "x", new(`first(responses["7050"], company) + "-" + category["name"]`))
	s.Filters = map[run.DataType]string{run.Users: `len(filter(responses.diet, # == fname)) == 0 and (let y = lname; y != "")`}
	set, err := mapping.Compile(s)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, ref := range set.References(run.Users) {
		got = append(got, ref.Field+" "+ref.Column)
	}
	want := []string{`x responses["7050"]`, "x company", "x category.name", "filter responses.diet", "filter fname", "filter lname"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("References (-want +got):\n%s", diff)
	}
}
