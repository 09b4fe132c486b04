package mapping_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/valyala/fastjson"

	"stovasync/shared/mapping"
	"stovasync/shared/run"
)

// documented are the keys that stova-api.md §7.7, §7.12 and §7.13 list for
// getAttendee, getSession and getSpeaker, standard answers included. A field
// added there is added here, and then needs a decision in vendor.yaml.
func documented() map[run.Stream][]string {
	return map[run.Stream][]string{
		run.Attendees: strings.Fields(`attendeeid parentid recordid preload-recordid imiscontactid registrationstatus
			testregistration approvalstatus category subcategory individualcost cost totalcost received tax statetax
			categorycost subcategorycost agendacost optioncost hotelcost guestcost adjustments balancedue discountcode
			groupcount checkindate invoicelink billinginfo created lastmodified last_lobby_login createdby modifiedby
			language virtual_event_attendance responses
			fname mname lname email prefix title company country city website mphone wphone`),
		run.SessionStream: strings.Fields(`sessionid sessionkey reportname sessiondate starttime endtime sessiontype
			location descriptions description additional_details choices_expanded session_tracks speakers`),
		run.Speakers: strings.Fields(`speakerid fname mname lname email title company bio image sessions`),
	}
}

func decisions(t *testing.T) map[run.Stream]map[string]string {
	t.Helper()
	b, err := os.ReadFile("vendor.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var m map[run.Stream]map[string]string
	if err := yaml.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// Every field the vendor documents is mapped, offered or ignored on purpose.
func TestEveryVendorFieldIsDecided(t *testing.T) {
	t.Parallel()
	decided := decisions(t)
	for stream, names := range documented() {
		for _, name := range names {
			switch decided[stream][name] {
			case "mapped", "offered", "ignored":
			case "services":
				t.Errorf("%s: %s is documented for API v2 but marked as known from elsewhere only", stream, name)
			default:
				t.Errorf("%s: %s has no decision in vendor.yaml", stream, name)
			}
		}
		for name, what := range decided[stream] {
			if !slices.Contains([]string{"mapped", "offered", "ignored", "services"}, what) {
				t.Errorf("%s: %s: decision %q is unknown", stream, name, what)
			}
			if what != "services" && what != "offered" && name != "visible" && !slices.Contains(names, name) {
				t.Errorf("%s: %s is decided as a documented field, but is none", stream, name)
			}
		}
	}
}

// fullRows are rows with every known column, each with a value of its own.
func fullRows() map[run.Stream]string {
	return map[run.Stream]string{
		run.Attendees: `{"attendeeid":"800000001","registrationstatus":"Confirmed","category":{"name":"Sponsor"},
			"subcategory":{"name":"Gold"},"language":"eng","lastmodified":"2031-01-11 14:05:00","deleted":"0",
			"registration_status":"","responses":{"1":{"questionid":"60001","fieldname":"60001","page":"Agenda","choicekey":"1","response":"A"}}}`,
		run.SessionStream: `{"sessionid":"60001","sessionkey":"1","sessiondate":"2031-03-04","starttime":"10:00:00","endtime":"11:00:00"}`,
		run.Speakers:      `{"speakerid":"9001","deleted":"0"}`,
	}
}

// A column that vendor.yaml calls mapped changes some record when it changes;
// one that it calls ignored or offered changes none.
func TestVendorDecisionsAreWhatTheMappingDoes(t *testing.T) {
	t.Parallel()
	m := defaultMapper(t)
	for stream, columns := range decisions(t) {
		for _, name := range slices.Sorted(maps.Keys(columns)) {
			reads := changes(t, m, stream, name)
			want := columns[name] == "mapped" || columns[name] == "services"
			if reads != want {
				t.Errorf("%s: %s is %s in vendor.yaml, but a change of it changes records: %v", stream, name, columns[name], reads)
			}
		}
	}
}

// changes reports whether any of a few values for a column, alone or with the
// columns that rank before it left out, changes what the rows become.
func changes(t *testing.T, m *mapping.Mapper, stream run.Stream, name string) bool {
	t.Helper()
	for _, base := range []string{fullRows()[stream], strings.NewReplacer("Sponsor", "Delegate").Replace(fullRows()[stream])} {
		before := becomes(t, m, stream, base)
		for _, v := range []string{`"7"`, `"1"`, `"0"`, `"2031-05-06"`, `"09:09:09"`, `"13:13:13"`, `"fre"`, `"Cancelled"`, `"Sponsor"`,
			`{"name":"New"}`, `{"eng":"new","desceng":"new"}`, `[{"speakerid":"5"}]`, `[]`} {
			row := fastjson.MustParse(base)
			row.Set(name, fastjson.MustParse(v))
			if cmp.Diff(before, becomes(t, m, stream, row.String())) != "" {
				return true
			}
		}
	}
	return false
}

func becomes(t *testing.T, m *mapping.Mapper, stream run.Stream, raw string) []any {
	t.Helper()
	row, err := m.Row(stream, []byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	defer row.Release()
	switch stream {
	case run.SessionStream:
		return []any{m.Sessions(row)}
	case run.Speakers:
		return []any{m.Presenters(row)}
	}
	id, name, ok := m.Level(row)
	out := []any{m.Users(row), m.Sponsors(row), id, name, ok}
	for _, p := range m.Picks(row) {
		out = append(out, m.Schedule(row, p.Candidates[0], p))
	}
	return out
}

func defaultMapper(t testing.TB) *mapping.Mapper {
	t.Helper()
	set, err := mapping.Compile(mapping.Settings{ActiveStatuses: []string{"Confirmed", "Attended"}})
	if err != nil {
		t.Fatal(err)
	}
	zone, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	return set.For(mapping.Event{ID: "900100001", Zone: zone})
}
