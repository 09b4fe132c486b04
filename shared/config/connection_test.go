package config_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/config"
	"stovasync/shared/fault"
	"stovasync/shared/run"
)

const minimal = `name: summit
endPoint: https://api-emea.eventscloud.com/api/v2
accountid: "7700"
eventid: "900100001"
`

func minimalConnection() run.Connection {
	return run.Connection{
		Name: "summit", EndPoint: "https://api-emea.eventscloud.com/api/v2", AccountID: "7700", EventID: "900100001",
		ActiveStatuses: []string{"Confirmed", "Attended"}, OnlyModified: true,
		PresenterPhotoEndpoint: "https://eu.eventscloud.com/image.php?acc={accountid}&id={id}",
		PersonPhotoEndpoint:    "https://eu.eventscloud.com/ereg/uploadfiles/",
		PageSize:               300, DataTypes: run.AllTypes(), InactivePolicy: "cancel",
		RemovalLimit: run.RemovalLimit{Records: 10, Percent: 10}, RawRetentionDays: 14, RequestsPerMinute: 360,
		RetryBaseSeconds: 2, AllowedPhotoHosts: []string{"eventscloud.com"},
	}
}

// with returns the minimal file with lines added or, by their name, replaced.
func with(lines ...string) string {
	out := minimal
	for _, l := range lines {
		name, _, _ := strings.Cut(l, ":")
		var kept []string
		for old := range strings.Lines(out) {
			if !strings.HasPrefix(old, name+":") {
				kept = append(kept, old)
			}
		}
		out = strings.Join(kept, "") + l + "\n"
	}
	return out
}

func TestParseConnectionSettings(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		in   string
		want func(*run.Connection)
	}{
		"a file with the required settings takes every default": {minimal, func(*run.Connection) {}},
		"ids without quotes keep every digit": {with("accountid: 007700", "eventid: 99999999999999999999999999"), func(c *run.Connection) {
			c.AccountID, c.EventID = "007700", "99999999999999999999999999"
		}},
		"leading zeros in quotes are kept": {with(`eventid: "0009"`), func(c *run.Connection) { c.EventID = "0009" }},
		"statuses are comma-separated text": {with("activeStatuses: ' Confirmed , , On-Site,confirmed'"), func(c *run.Connection) {
			c.ActiveStatuses = []string{"Confirmed", "On-Site"}
		}},
		"statuses may be a list": {with("activeStatuses: [Confirmed, Waiting list]"), func(c *run.Connection) {
			c.ActiveStatuses = []string{"Confirmed", "Waiting list"}
		}},
		"data types come in one order, by any of their names, once": {with("dataTypes: [Session registrations, speakers, People, users]"), func(c *run.Connection) {
			c.DataTypes = []run.DataType{run.Users, run.Presenters, run.Schedule}
		}},
		"a slash after the end point is taken off": {with("endPoint: https://API-NA.eventscloud.com/api/v2/"), func(c *run.Connection) {
			c.EndPoint = "https://api-na.eventscloud.com/api/v2"
			c.PersonPhotoEndpoint = "https://na.eventscloud.com/ereg/uploadfiles/"
			c.PresenterPhotoEndpoint = "https://na.eventscloud.com/image.php?acc={accountid}&id={id}"
		}},
		"the photo hosts of apac are called au": {with("endPoint: https://api-apac.eventscloud.com/api/v2"), func(c *run.Connection) {
			c.EndPoint = "https://api-apac.eventscloud.com/api/v2"
			c.PersonPhotoEndpoint = "https://au.eventscloud.com/ereg/uploadfiles/"
			c.PresenterPhotoEndpoint = "https://au.eventscloud.com/image.php?acc={accountid}&id={id}"
		}},
		"{host} stands for the region's photo host": {with(`presenterPhotoEndpoint: "https://{host}/p/{eventid}/{name}"`), func(c *run.Connection) {
			c.PresenterPhotoEndpoint = "https://eu.eventscloud.com/p/{eventid}/{name}"
		}},
		"a template needs no quotes": {with("presenterPhotoEndpoint: https://eu.eventscloud.com/{accountid}/{id}   # for presenters"), func(c *run.Connection) {
			c.PresenterPhotoEndpoint = "https://eu.eventscloud.com/{accountid}/{id}"
		}},
		"null and blank settings take their defaults": {with("pageSize:", "activeStatuses: null", "timezone: ~", "mapping:", "personPhotoEndpoint: ''", "ConcurrentSessionsTitle: '  '"), func(*run.Connection) {}},
		"numbers and flags are read": {with("pageSize: 2000", "rawRetentionDays: 0", "requestsPerMinute: 400", "retryBaseSeconds: 0.05", "only_data_modified_up_to_a_day_since_last_sync: false", "removalLimit: {records: 0, percent: 100}"), func(c *run.Connection) {
			c.PageSize, c.RawRetentionDays, c.RequestsPerMinute, c.RetryBaseSeconds, c.OnlyModified = 2000, 0, 400, 0.05, false
			c.RemovalLimit = run.RemovalLimit{Records: 0, Percent: 100}
		}},
		"half a removal limit keeps the other default": {with("removalLimit: {percent: 25}"), func(c *run.Connection) { c.RemovalLimit.Percent = 25 }},
		"a title may be a number and any script": {with("ConcurrentSessionsTitle: 2031 séances 並行"), func(c *run.Connection) {
			c.ConcurrentSessionsTitle = "2031 séances 並行"
		}},
		"tables per data type accept the other names of types": {with("removeOutdated: {participants: true, sessions: false}", `filters: {people: 'registrationstatus != "Incomplete"'}`), func(c *run.Connection) {
			c.RemoveOutdated = map[run.DataType]bool{run.Users: true, run.Sessions: false}
			c.Filters = map[run.DataType]string{run.Users: `registrationstatus != "Incomplete"`}
		}},
		"a mapping holds expressions, and null to unmap": {with("mapping: {users: {photo: responses.photo, company: null}, sessions: {in_slot: in_slot}}"), func(c *run.Connection) {
			c.Mapping = map[run.DataType]map[string]*string{
				run.Users:    {"photo": new("responses.photo"), "company": nil},
				run.Sessions: {"in_slot": new("in_slot")},
			}
		}},
		"protect lists fields by record id, quoted or not": {with(`protect: {users: {"800000001": [company, company], 800000002: "title, phone"}}`), func(c *run.Connection) {
			c.Protect = map[run.DataType]map[string][]string{run.Users: {"800000001": {"company"}, "800000002": {"title", "phone"}}}
		}},
		"hosts are kept in lower case and ASCII": {with("allowedPhotoHosts: ['*.Eventscloud.com.', bücher.example.test]"), func(c *run.Connection) {
			c.AllowedPhotoHosts = []string{"eventscloud.com", "xn--bcher-kva.example.test"}
		}},
		"the hosts of the photo endpoints are allowed too": {with("personPhotoEndpoint: https://cdn.example.test:8443/a", "allowedPhotoHosts: [img.example.test]"), func(c *run.Connection) {
			c.PersonPhotoEndpoint = "https://cdn.example.test:8443/a"
			c.AllowedPhotoHosts = []string{"img.example.test", "cdn.example.test", "eu.eventscloud.com"}
		}},
		"private hosts and http are for allowPrivateHosts": {with("endPoint: http://127.0.0.1:8080/api/v2", "personPhotoEndpoint: http://[::1]:8080/ereg/", "presenterPhotoEndpoint: http://localhost:8080/i/", "allowPrivateHosts: true"), func(c *run.Connection) {
			c.EndPoint, c.AllowPrivateHosts = "http://127.0.0.1:8080/api/v2", true
			c.PersonPhotoEndpoint, c.PresenterPhotoEndpoint = "http://[::1]:8080/ereg/", "http://localhost:8080/i/"
			c.AllowedPhotoHosts = []string{"eventscloud.com", "::1", "localhost"}
		}},
		"a byte order mark and CRLF are read over":    {"\xef\xbb\xbf" + strings.ReplaceAll(minimal, "\n", "\r\n"), func(*run.Connection) {}},
		"comments and a document start are read over": {"# of 2031\n---\n" + minimal, func(*run.Connection) {}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := minimalConnection()
			tt.want(&want)
			got, err := config.ParseConnection([]byte(tt.in))
			if err != nil {
				t.Fatalf("ParseConnection:\n%v", err)
			}
			if diff := cmp.Diff(want, got.Connection); diff != "" {
				t.Errorf("connection (-want +got):\n%s", diff)
			}
			again, err := config.ParseConnection(config.Render(got.Connection))
			if err != nil {
				t.Fatalf("what Render wrote does not parse: %v", err)
			}
			if diff := cmp.Diff(got.Connection, again.Connection); diff != "" {
				t.Errorf("after Render (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseConnectionProblems(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		in   string
		want []string // each in one problem of its own, in this order
	}{
		"an unknown name tells the nearest": {with("pagesize: 3"), []string{`line 5, column 1: unknown setting "pagesize"; the nearest known name is pageSize`}},
		"another spelling finds its setting": {with("inactive_policy: hide", "Active statuses: x"), []string{
			"the nearest known name is inactivePolicy", "the nearest known name is activeStatuses"}},
		"unknown names inside tables tell the nearest": {with("mapping: {user-photo: {a: b}, usrs: {a: b}}", "filters: {sesions: a}", "removeOutdated: {sponsr: true}", "removalLimit: {record: 1}", "protect: {shedule: {'1': [a]}}"), []string{
			"data type \"usrs\"; the nearest known name is users", "nearest known name is sessions", "nearest known name is sponsors", "nearest known name is records", "nearest known name is schedule"}},
		"every missing setting is told at once": {"pageSize: 1\n", []string{"name is missing", "endPoint is missing", "accountid is missing", "eventid is missing"}},
		"problems of many settings come together": {with("name: Summit!", "accountid: 1e3", "pageSize: 0", "inactivePolicy: keep", "dataTypes: [userz]"), []string{
			`name is "Summit!"`, "accountid is not made of digits", "pageSize is not a number in its range", "inactivePolicy is \"keep\"; write cancel, hide or skip", "unknown data type \"userz\""}},
		"a setting written twice is refused, with both lines": {minimal + "name: other\n", []string{`line 5, column 1: "name" is written twice, first on line 1`}},
		"a type named twice is refused":                       {with("removeOutdated: {users: true, people: true}"), []string{"removeOutdated names users twice"}},
		"empty statuses are refused":                          {with("activeStatuses: ' , '"), []string{"activeStatuses is empty"}},
		"an empty list of statuses is refused":                {with("activeStatuses: []"), []string{"activeStatuses is empty"}},
		"an empty list of data types is refused":              {with("dataTypes: []"), []string{"dataTypes is empty"}},
		"numbers out of range are refused": {with("pageSize: 2001", "rawRetentionDays: -1", "requestsPerMinute: 0", "retryBaseSeconds: 0", "removalLimit: {percent: 101}"), []string{
			"whole number from 1 to 2000", "rawRetentionDays", "requestsPerMinute", "seconds above 0", "removalLimit percent"}},
		"numbers that are none are refused":        {with("pageSize: 1_000", "retryBaseSeconds: .nan", "rawRetentionDays: 1.5", "requestsPerMinute: [1]"), []string{"pageSize", "retryBaseSeconds", "rawRetentionDays", "requestsPerMinute"}},
		"a flag is true or false":                  {with("allowPrivateHosts: yes"), []string{"allowPrivateHosts is neither true nor false"}},
		"an unknown zone is refused":               {with("timezone: Europe/Atlantis"), []string{`timezone "Europe/Atlantis" is unknown`}},
		"the machine's own zone is no zone":        {with("timezone: Local"), []string{"timezone"}},
		"an empty key is refused":                  {with("key: ''"), []string{"line 5, column 6: key is empty"}},
		"a key with a blank inside is refused":     {with("key: 'INVENTED KEY'"), []string{"line 5, column 6: key has a blank inside; copy it again"}},
		"a key of several lines is refused":        {with("key: \"INVENTED\\nKEY\""), []string{"key is not one line"}},
		"a key with a hidden character is refused": {with("key: \"INVENTED\\u200bKEY\""), []string{"key has a character that cannot be seen inside"}},
		"a key without value is refused":           {with("key:"), []string{"line 5, column 1: key is empty"}},
		"an expression is text": {with("mapping: {users: {photo: 5, company: true, title: [a], phone: ''}}", "filters: {users: true}"), []string{
			`mapping of users, field "photo" is a number; write the expression as text in quotes, or null to unmap the field`, "is true or false", "is a list", "is blank", "filter of users"}},
		"the id cannot be protected": {with("protect: {users: {'1': [fp_ext_id]}}"), []string{"fp_ext_id; leave it out"}},
		"tables must be tables":      {with("mapping: users", "protect: [a]", "removalLimit: 10"), []string{"mapping is text", "protect is a list", "removalLimit is a number"}},
		"a photo host is a host name": {with("allowedPhotoHosts: ['https://a.example.test', '127.1', 'a.example.test:80', 'a/b']"), []string{
			"https://a.example.test", "127.1", "a.example.test:80", "a/b"}},
		"anchors and aliases are refused": {with("timezone: &a Europe/London", "ConcurrentSessionsTitle: *a"), []string{"line 5, column 11: anchors", "line 6, column 26: anchors"}},
		"tags are refused":                {with("accountid: !!str 5"), []string{"anchors, aliases and tags"}},
		"an empty file is refused":        {"", []string{"the file is empty"}},
		"a file of comments is refused":   {"# nothing\n", []string{"the file is empty"}},
		"a list is no connection":         {"- a\n", []string{"line 1, column 1: the file holds a list"}},
		"text is no connection":           {"name summit\n", []string{"line 1, column 1: the file holds text"}},
		"tabs are refused":                {"name: a\nmapping:\n\tusers: 1\n", []string{"line 3, column 1: a tab at the start of the line; indent with blanks"}},
		"a second document is refused":    {minimal + "---\nname: b\n", []string{"line 6, column 5: a second document"}},
		"UTF-16 is refused":               {"\xff\xfen\x00a\x00", []string{"the file is UTF-16"}},
		"other encodings are refused":     {minimal + "ConcurrentSessionsTitle: s\xe9ances\n", []string{"line 5: bytes that are not UTF-8"}},
		"control characters are refused":  {minimal + "timezone: a\x00b\n", []string{"line 5, column 12: a control character"}},
		"a very large file is refused":    {minimal + "#" + strings.Repeat("x", 1<<20), []string{"at most 1 MiB"}},
		"endless lines are refused":       {strings.Repeat("a: 1\n", 50_000), []string{"the file has 50000 lines"}},
		"endless nesting is refused":      {strings.Repeat("[", 1<<19), []string{"nested too deeply"}},
		"deep tables are refused":         {minimal + "mapping:\n" + deep(60), []string{"unknown data type \"a\"", "nested too deeply"}},
		"broken YAML tells its line":      {"name: a\nendPoint: \"x\n", []string{"line 2, column 11: not YAML"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := config.ParseConnection([]byte(tt.in))
			checkProblems(t, err, tt.want)
			if diff := cmp.Diff(config.Parsed{}, got); diff != "" {
				t.Errorf("parsed beside an error (-want +got):\n%s", diff)
			}
		})
	}
}

func deep(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i+1) + "a:\n")
	}
	return b.String()
}

// checkProblems asserts one CONFIG_INVALID problem per wanted text, in order.
func checkProblems(t *testing.T, err error, want []string) {
	t.Helper()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("error = %v, want joined problems", err)
	}
	problems := joined.Unwrap()
	for i, p := range problems {
		if fault.CodeOf(p) != fault.ConfigInvalid {
			t.Errorf("problem %v has code %q, want %q", p, fault.CodeOf(p), fault.ConfigInvalid)
		}
		if i < len(want) && !strings.Contains(p.Error(), want[i]) {
			t.Errorf("problem %d = %q, want %q in it", i, p, want[i])
		}
	}
	if len(problems) != len(want) {
		t.Errorf("%d problems, want %d:\n%v", len(problems), len(want), err)
	}
}

func TestEndPointForms(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ in, want string }{
		"another path is refused":           {"https://api-na.eventscloud.com/api/v1", "does not end in /api/v2"},
		"no path is refused":                {"https://api-na.eventscloud.com", "does not end in /api/v2"},
		"a path around it is refused":       {"https://api-na.eventscloud.com/x/api/v2", "does not end in /api/v2"},
		"a query is refused":                {"https://api-na.eventscloud.com/api/v2?key=INVENTED", "does not end in /api/v2"},
		"http is refused":                   {"http://api-na.eventscloud.com/api/v2", "is http"},
		"another scheme is refused":         {"ftp://api-na.eventscloud.com/api/v2", "is not an https address"},
		"a user name is refused":            {"https://INVENTED@api-na.eventscloud.com/api/v2", "user name or password"},
		"a bare host is refused":            {"api-na.eventscloud.com/api/v2", "is not an address"},
		"a loopback address is refused":     {"https://127.0.0.1/api/v2", "loopback or private"},
		"a mapped loopback is refused":      {"https://[::ffff:127.0.0.1]/api/v2", "loopback or private"},
		"localhost is refused":              {"https://localhost/api/v2", "loopback or private"},
		"a private address is refused":      {"https://10.1.2.3/api/v2", "loopback or private"},
		"an address in disguise is refused": {"https://2130706433/api/v2", "not a host name"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := config.ParseConnection([]byte(with("endPoint: " + tt.in)))
			checkProblems(t, err, []string{"line 4, column 11: endPoint "})
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want %q in it", err, tt.want)
			}
			if strings.Contains(err.Error(), "INVENTED") {
				t.Errorf("error shows what may be a secret: %v", err)
			}
		})
	}
}

func TestPhotoEndpointForms(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ in, want string }{
		"an unknown placeholder tells the nearest": {"https://eu.eventscloud.com/{nam}", "unknown placeholder in personPhotoEndpoint \"{nam}\"; the nearest known name is {name}"},
		"a placeholder in the host is refused":     {"https://{name}.eventscloud.com/", "placeholder in its host"},
		"an unpaired brace is refused":             {"https://eu.eventscloud.com/{id", "unpaired"},
		"a path upwards is refused":                {"https://eu.eventscloud.com/a/../b/", "holds .."},
		"http is refused":                          {"http://eu.eventscloud.com/", "is http"},
		"a link-local address is refused":          {"https://169.254.169.254/", "loopback or private"},
		"a fragment is refused":                    {"https://eu.eventscloud.com/#{id}", "holds a #"},
		"a file name is refused":                   {"photos/", "is not an address"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := config.ParseConnection([]byte(with(fmt.Sprintf("personPhotoEndpoint: %q", tt.in))))
			checkProblems(t, err, []string{tt.want})
		})
	}
	t.Run("{host} needs a region that is known", func(t *testing.T) {
		t.Parallel()
		_, err := config.ParseConnection([]byte(with("endPoint: https://stova.example.test/api/v2", "personPhotoEndpoint: 'https://{host}/'")))
		checkProblems(t, err, []string{"region is not known"})
	})
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		in   string
		want []string
	}{
		"a usual file has none":                        {minimal, nil},
		"a rate above the vendor's limit":              {with("requestsPerMinute: 401"), []string{"requestsPerMinute is 401"}},
		"a user base that is not regional":             {with("personPhotoEndpoint: https://eu.eventscloud.com/other/"), []string{"none of the three regional bases"}},
		"a photo host that is not the vendor's":        {with("presenterPhotoEndpoint: https://evil-eventscloud.com/"), []string{"evil-eventscloud.com, which is not eventscloud.com"}},
		"a regional base of another region is usual":   {with("personPhotoEndpoint: https://au.eventscloud.com/ereg/uploadfiles"), nil},
		"a status that is protected":                   {with("protect: {users: {'1': [fp_status]}}"), []string{"protect names fp_status"}},
		"an unknown end point host, without its bases": {with("endPoint: https://stova.example.test/api/v2"), []string{"endPoint host stova.example.test", "personPhotoEndpoint is absent", "presenterPhotoEndpoint is absent"}},
		"an unknown host where no picture is wanted":   {with("endPoint: https://stova.example.test/api/v2", "dataTypes: [users]"), []string{"endPoint host stova.example.test"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := config.ParseConnection([]byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Warnings) != len(tt.want) {
				t.Fatalf("warnings = %v, want %d", got.Warnings, len(tt.want))
			}
			for i, w := range got.Warnings {
				if w.Code != config.WarnSetting || !strings.Contains(w.Message, tt.want[i]) {
					t.Errorf("warning = %+v, want code %s and %q", w, config.WarnSetting, tt.want[i])
				}
			}
		})
	}
}

func TestKeyStaysApart(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"key: INVENTED-key": "INVENTED-key", "key: ' 0123 '": "0123", "key: 00123": "00123", "key: 1e9": "1e9", "key: true": "true",
	} {
		got, err := config.ParseConnection([]byte(with(in)))
		if err != nil {
			t.Fatal(err)
		}
		if got.Key != want {
			t.Errorf("%s: key = %q, want %q", in, got.Key, want)
		}
		asJSON, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		printed := fmt.Sprintf("%v %+v %#v %s", got, got, &got, got)
		if strings.Contains(printed+string(asJSON)+string(config.Render(got.Connection)), want) && len(want) > 4 {
			t.Errorf("the key is shown: %s", printed)
		}
	}
	for _, in := range []string{"key: [INVENTED]", "key: {INVENTED: x}", "key:INVENTED", `key: "INVENTED`, "key: INVENTED: x", "key: &INVENTED x", "key: !INVENTED", "key: !!INVENTED", "key: !<INVENTED> {", "%YAML INVENTED", "key: *INVENTED", "key: [INVENTED", "key: {INVENTED", "? INVENTED", "key: |INVENTED", "key: x\n  INVENTED: y", "key: x\nINVENTED",
		"key: 'INVENTED' x"} {
		_, err := config.ParseConnection([]byte(minimal + in + "\n"))
		if err == nil || strings.Contains(err.Error(), "INVENTED") {
			t.Errorf("%s: error = %v, want one without the key", in, err)
		}
	}
}
