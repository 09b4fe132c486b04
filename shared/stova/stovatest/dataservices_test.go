package stovatest_test

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/stova/stovatest"
)

// ds is a plain reader of Data Services.
type ds struct {
	t     testing.TB
	base  string
	token string
}

func dsLogin(t testing.TB, r *stovatest.Running) *ds {
	t.Helper()
	var account, key string
	r.View(func(e *stovatest.Event) { account, key = e.AccountID, e.Key })
	base := r.URL() + "/api/ds/v1/"
	res, err := http.Get(base + "authenticate?" + url.Values{"accountid": {account}, "key": {key}}.Encode())
	answer := decode(t, res, err)
	if answer["status"] != "success" {
		t.Fatalf("authenticate gave %v", answer["msg"])
	}
	return &ds{t: t, base: base, token: answer["accesstoken"].(string)}
}

func (d *ds) get(path string, kv ...string) map[string]any {
	d.t.Helper()
	q := url.Values{"accesstoken": {d.token}}
	for i := 0; i+1 < len(kv); i += 2 {
		q.Set(kv[i], kv[i+1])
	}
	res, err := http.Get(d.base + path + "?" + q.Encode())
	return decode(d.t, res, err)
}

func (d *ds) rows(path string, kv ...string) []map[string]any {
	d.t.Helper()
	list, ok := d.get(path, kv...)["ResultSet"].([]any)
	if !ok {
		d.t.Fatalf("%s has no list under ResultSet", path)
	}
	var rows []map[string]any
	for _, r := range list {
		rows = append(rows, r.(map[string]any))
	}
	return rows
}

func TestDataServicesListsTheWholeEvent(t *testing.T) {
	t.Parallel()
	e := stovatest.Generate(stovatest.Options{Oddities: true})
	d := dsLogin(t, stovatest.NewServer(e, stovatest.ServerOptions{}).Start(t))
	picks, keys := 0, map[string]bool{}
	for _, p := range e.People {
		picks += len(p.Picks)
	}
	for _, s := range e.Sessions {
		keys[s.ID] = true
	}
	want := map[string]int{
		"eventlist/7700": 1, "attendeelist/7700/900100001": 500, "attendeelist.json/7700/900100001": 500,
		"regsessionlist/7700/900100001": picks, "sessionlist/7700/900100001": len(keys), "speakerlist/7700/900100001": 30,
	}
	for path, n := range want {
		if got := len(d.rows(path)); got != n {
			t.Errorf("%s has %d rows, want %d", path, got, n)
		}
	}
	if got := len(d.rows("attendeemetadata/7700/900100001")); got < 50 {
		t.Errorf("%d columns are described, want at least 50", got)
	}
	p := find(t, e, func(p *stovatest.Person) bool { return p.Photo != "" && p.Wire == stovatest.Wire{} })
	row := d.rows("attendeelist/7700/900100001", "attendeeid", p.ID)[0]
	got := []any{row["fname"], row["registrationstatus"], row["category_shortname"], row["photo"], row["diet"]}
	if diff := cmp.Diff([]any{p.FirstName, p.Status, p.Category, p.Photo, p.Answers[0].Key}, got); diff != "" {
		t.Errorf("an attendee (-want +got):\n%s", diff)
	}
}

func TestDataServicesPagesAndFilters(t *testing.T) {
	t.Parallel()
	e := stovatest.Generate(stovatest.Options{Attendees: 2500})
	d := dsLogin(t, stovatest.NewServer(e, stovatest.ServerOptions{}).Start(t))
	const list = "attendeelist/7700/900100001"
	all := map[any]bool{}
	for page, want := range []int{1024, 1024, 452, 0} {
		rows := d.rows(list, "pageNumber", strconv.Itoa(page+1))
		if len(rows) != want {
			t.Errorf("page %d has %d rows, want %d", page+1, len(rows), want)
		}
		for _, r := range rows {
			all[r["attendeeid"]] = true
		}
		if !slices.IsSortedFunc(rows, func(a, b map[string]any) int {
			return cmpStrings(a["lastmodified"].(string), b["lastmodified"].(string))
		}) {
			t.Errorf("page %d is not ordered by lastmodified", page+1)
		}
	}
	if len(all) != 2500 {
		t.Errorf("the pages hold %d attendees, want 2500", len(all))
	}
	at := e.People[0].Modified.Format("2006-01-02 15:04:05")
	want := 0
	for _, p := range e.People {
		if !p.Modified.Before(e.People[0].Modified) {
			want++
		}
	}
	if got := len(d.rows(list, "lastmodified-gt", at, "pageSize", "5000")); got != want {
		t.Errorf("-gt gave %d rows, want %d: the boundary is included", got, want)
	}
	if got := len(d.rows(list, "lastmodified-gt", "'2030-01-01'")); got != 0 {
		t.Errorf("a quoted date in the future gave %d rows, want none", got)
	}
	sponsors := d.rows(list, "category_shortname", "Sponsor", "registrationstatus", e.People[2].Status)
	for _, r := range sponsors {
		if r["category_shortname"] != "Sponsor" || r["registrationstatus"] != e.People[2].Status {
			t.Errorf("filtered rows hold attendee %v", r["attendeeid"])
		}
	}
	if len(sponsors) == 0 {
		t.Error("the filter found no sponsor")
	}
}

func cmpStrings(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func TestDataServicesQuestionsAreAnObject(t *testing.T) {
	t.Parallel()
	d := dsLogin(t, stovatest.NewServer(stovatest.Generate(stovatest.Options{Oddities: true}), stovatest.ServerOptions{}).Start(t))
	set, ok := d.get("questions/7700/900100001")["ResultSet"].(map[string]any)
	if !ok {
		t.Fatal("ResultSet is no object")
	}
	columns := map[string]any{}
	for _, v := range set {
		q := v.(map[string]any)
		columns[q["ds_fieldname"].(string)] = q["questionid"]
	}
	want := map[string]any{"diet": 7050.0, "t_shirt_size": 7051.0, "t_shirt_size_7052": 7052.0, "topics_of_interest": 7053.0,
		"photo": 7060.0, "photo_consent": 7061.0, "logo": 7062.0}
	if diff := cmp.Diff(want, columns); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
}

func TestDataServicesRefusesInItsOwnWords(t *testing.T) {
	t.Parallel()
	r := stovatest.NewServer(stovatest.Generate(stovatest.Options{}), stovatest.ServerOptions{}).Start(t)
	d := dsLogin(t, r)
	v2 := login(t, r)
	tests := map[string]struct{ token, path string }{
		"no token":          {"", "eventlist/7700"},
		"a token of API v2": {v2.token, "eventlist/7700"},
		"another account":   {d.token, "eventlist/7701"},
		"another event":     {d.token, "attendeelist/7700/1"},
		"another account's": {d.token, "speakerlist/7701/900100001"},
	}
	for name, tt := range tests {
		other := &ds{t: t, base: d.base, token: tt.token}
		if got := other.get(tt.path); got["status"] != "error" || got["msg"] == "" || got["ResultSet"] != nil {
			t.Errorf("%s: got %v", name, got)
		}
	}
	res, err := http.Get(d.base + "authenticate?accountid=7700&key=wrong")
	if got := decode(t, res, err); got["status"] != "error" || got["accesstoken"] != nil {
		t.Errorf("a wrong key gave %v", got)
	}
}
