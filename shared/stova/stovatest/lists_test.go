package stovatest_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/stova/stovatest"
)

// column reads one key of all rows of a list answer.
func column(t testing.TB, answer any, key string) []string {
	t.Helper()
	rows, ok := answer.([]any)
	if !ok {
		t.Fatalf("answer is %v, want a list", answer)
	}
	var all []string
	for _, r := range rows {
		all = append(all, fmt.Sprint(r.(map[string]any)[key]))
	}
	return all
}

// errorOf returns the error object of an answer.
func errorOf(answer any) map[string]any {
	m, _ := answer.(map[string]any)
	e, _ := m["error"].(map[string]any)
	return e
}

func ids(from, n int) []string {
	var all []string
	for i := range n {
		all = append(all, strconv.Itoa(from+i))
	}
	return all
}

func TestListsArePaged(t *testing.T) {
	t.Parallel()
	r := stovatest.NewServer(stovatest.Generate(stovatest.Options{Attendees: 2300}), stovatest.ServerOptions{}).Start(t)
	c := login(t, r)
	tests := map[string]struct {
		kv   []string
		want []string
	}{
		"without limit 2,000 rows come":       {nil, ids(800000001, 2000)},
		"a larger limit is clamped silently":  {[]string{"limit", "5000"}, ids(800000001, 2000)},
		"limit and offset cut a page":         {[]string{"limit", "3", "offset", "7"}, ids(800000008, 3)},
		"the last page is short":              {[]string{"limit", "2000", "offset", "2000"}, ids(800002001, 300)},
		"a limit of nonsense is the default":  {[]string{"limit", "many"}, ids(800000001, 2000)},
		"offsets below zero start at the top": {[]string{"limit", "1", "offset", "-3"}, ids(800000001, 1)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := column(t, c.any("ereg/listAttendees", tt.kv...), "attendeeid")
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPastTheEndIsAnErrorObjectAndNotAList(t *testing.T) {
	t.Parallel()
	s := stovatest.NewServer(stovatest.Generate(stovatest.Options{}), stovatest.ServerOptions{})
	c := login(t, s.Start(t))
	want := map[string]string{
		"ereg/listAttendees": "No attendees found.", "ereg/listSessions": "No sessions found.", "ereg/listSpeakers": "No speakers found.",
	}
	for function, message := range want {
		got := errorOf(c.any(function, "offset", "100000"))
		if diff := cmp.Diff(map[string]any{"data": message}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", function, diff)
		}
	}
	s.SetVariants(stovatest.Variants{Empty: "list"})
	if got := column(t, c.any("ereg/listSessions", "offset", "100000"), "sessionid"); len(got) != 0 {
		t.Errorf("with the variant: got %v, want an empty list", got)
	}
}

func TestModifiedBoundsAreIncludedAndInUTC(t *testing.T) {
	t.Parallel()
	at := time.Date(2031, 2, 1, 10, 0, 0, 0, time.UTC)
	e := stovatest.Generate(stovatest.Options{Attendees: 4, Sponsors: -1})
	for i, p := range e.People {
		p.Modified = at.Add(time.Duration(i) * time.Second)
	}
	c := login(t, stovatest.NewServer(e, stovatest.ServerOptions{}).Start(t))
	tests := map[string]struct {
		kv   []string
		want []string
	}{
		"from includes its second": {[]string{"modifiedfrom", "2031-02-01 10:00:02"}, ids(800000003, 2)},
		"to includes its second":   {[]string{"modifiedto", "2031-02-01 10:00:01"}, ids(800000001, 2)},
		"both":                     {[]string{"modifiedfrom", "2031-02-01 10:00:01", "modifiedto", "2031-02-01 10:00:01"}, ids(800000002, 1)},
		"a date is its midnight":   {[]string{"modifiedfrom", "2031-02-01"}, ids(800000001, 4)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := column(t, c.any("ereg/listAttendees", tt.kv...), "attendeeid")
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
		})
	}
	if got := errorOf(c.any("ereg/listAttendees", "modifiedfrom", "yesterday")); got["modifiedfrom"] == nil {
		t.Errorf("a date of nonsense gave %v, want an error", got)
	}
}

func TestOnlyTouchedRowsAreModifiedSinceYesterday(t *testing.T) {
	t.Parallel()
	s := stovatest.NewServer(stovatest.Generate(stovatest.Options{}), stovatest.ServerOptions{})
	c := login(t, s.Start(t))
	yesterday := time.Now().UTC().AddDate(0, 0, -1).Format("2006-01-02 15:04:05")
	if got := errorOf(c.any("ereg/listAttendees", "modifiedfrom", yesterday)); got["data"] != "No attendees found." {
		t.Errorf("before a change: %v, want none found", got)
	}
	s.Edit(func(e *stovatest.Event) {
		e.Person("800000005").Company = "Fictive & Daughters"
		e.Touch("800000005")
	})
	if got := column(t, c.any("ereg/listAttendees", "modifiedfrom", yesterday), "attendeeid"); !slices.Equal(got, []string{"800000005"}) {
		t.Errorf("after a change: %v, want the one row", got)
	}
}

func TestRemovedRowsAreListedNoMore(t *testing.T) {
	t.Parallel()
	s := stovatest.NewServer(stovatest.Generate(stovatest.Options{}), stovatest.ServerOptions{})
	c := login(t, s.Start(t))
	s.Edit(func(e *stovatest.Event) { e.Remove("800000002"); e.Remove("60003"); e.Remove("9004") })
	for key, list := range map[string][2]string{"attendeeid": {"listAttendees", "800000002"}, "sessionid": {"listSessions", "60003"}, "speakerid": {"listSpeakers", "9004"}} {
		if slices.Contains(column(t, c.any("ereg/"+list[0]), key), list[1]) {
			t.Errorf("%s still lists %s", list[0], list[1])
		}
	}
	if got := errorOf(c.any("ereg/getAttendee", "attendeeid", "800000002")); got["attendeeid"] == nil {
		t.Errorf("getAttendee of a removed row gave %v, want error.attendeeid", got)
	}
}

func TestSessionRowsHaveTheColumnsAskedFor(t *testing.T) {
	t.Parallel()
	c := login(t, stovatest.NewServer(stovatest.Generate(stovatest.Options{Oddities: true}), stovatest.ServerOptions{}).Start(t))
	keys := func(row any) []string {
		var all []string
		for k := range row.(map[string]any) {
			all = append(all, k)
		}
		slices.Sort(all)
		return all
	}
	tests := map[string]struct {
		kv   []string
		want []string
	}{
		"plain":             {nil, []string{"endtime", "name", "sessiondate", "sessionid", "sessionkey", "starttime"}},
		"a comma list":      {[]string{"fields", "name,starttime"}, []string{"name", "sessionid", "sessionkey", "starttime"}},
		"a PHP array":       {[]string{"fields[0]", "sessiondate"}, []string{"sessiondate", "sessionid", "sessionkey"}},
		"with customfields": {[]string{"customfields", "1"}, []string{"choices_expanded", "endtime", "eventid", "name", "sessiondate", "sessionid", "sessionkey", "starttime"}},
	}
	for name, tt := range tests {
		rows := c.any("ereg/listSessions", tt.kv...).([]any)
		if diff := cmp.Diff(tt.want, keys(rows[14])); diff != "" { // row 14 keeps its text in choices_expanded
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if row := c.any("ereg/listSessions").([]any)[3].(map[string]any); row["starttime"] != nil {
		t.Errorf("the odd row has starttime %v, want none", row["starttime"])
	}
}

func TestUnknownPathsAreNotFound(t *testing.T) {
	t.Parallel()
	r := stovatest.NewServer(stovatest.Generate(stovatest.Options{}), stovatest.ServerOptions{}).Start(t)
	for _, path := range []string{"/", "/api/v2/ereg/listAttendees.xml", "/api/v2/ereg/listattendees.json", "/api/v2/global/getAttendee.json", "/api/ds/v1/nolist/7700/1"} {
		res, err := http.Get(r.URL() + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: status %d, want 404", path, res.StatusCode)
		}
	}
	if r.Total() != 0 {
		t.Errorf("%d calls counted, want none", r.Total())
	}
}
