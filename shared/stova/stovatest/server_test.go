package stovatest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"stovasync/shared/stova/stovatest"
)

// client is a plain reader of the twin, written without the product's client.
type client struct {
	t     testing.TB
	base  string
	token string
}

// login authorises against a running twin.
func login(t testing.TB, r *stovatest.Running) *client {
	t.Helper()
	c := &client{t: t, base: r.EndPoint()}
	var account, key string
	r.View(func(e *stovatest.Event) { account, key = e.AccountID, e.Key })
	res, err := http.PostForm(c.base+"/global/authorize.json", url.Values{"accountid": {account}, "key": {key}})
	if err != nil {
		t.Fatal(err)
	}
	var answer struct{ AccessToken string }
	c.decode(res, &answer)
	if answer.AccessToken == "" {
		t.Fatal("authorize gave no token")
	}
	c.token = strings.TrimSpace(answer.AccessToken)
	return c
}

func (c *client) decode(res *http.Response, to any) {
	c.t.Helper()
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := json.Unmarshal(body, to); err != nil {
		c.t.Fatalf("body is no JSON (%v): %.300s", err, body)
	}
}

// get calls a function of API v2 with the token and pairs of parameters.
func (c *client) get(function string, kv ...string) *http.Response {
	c.t.Helper()
	q := url.Values{"accesstoken": {c.token}, "eventid": {"900100001"}}
	for i := 0; i+1 < len(kv); i += 2 {
		q.Set(kv[i], kv[i+1])
	}
	res, err := http.Get(c.base + "/" + function + ".json?" + q.Encode())
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// any decodes an answer into maps, lists and scalars.
func (c *client) any(function string, kv ...string) any {
	c.t.Helper()
	res := c.get(function, kv...)
	if res.StatusCode != http.StatusOK {
		c.t.Fatalf("%s: status %d", function, res.StatusCode)
	}
	var v any
	c.decode(res, &v)
	return v
}

func TestEveryFunctionAnswersItsShape(t *testing.T) {
	t.Parallel()
	r := stovatest.NewServer(stovatest.Generate(stovatest.Options{Oddities: true}), stovatest.ServerOptions{}).Start(t)
	c := login(t, r)
	tests := map[string]struct {
		function string
		kv       []string
		rows     int // 0: one object
	}{
		"functions are listed":      {"global/listAvailableFunctions", nil, 21},
		"the account has one event": {"global/listEvents", nil, 1},
		"events can be searched":    {"global/searchEvents", nil, 1},
		"tracks":                    {"global/listTracks", nil, 4},
		"the event":                 {"ereg/getEvent", nil, 0},
		"attendees":                 {"ereg/listAttendees", nil, 500},
		"an attendee":               {"ereg/getAttendee", []string{"attendeeid", "800000001"}, 0},
		"attendees with status":     {"ereg/searchAttendees", nil, 500},
		"categories":                {"ereg/listCategories", nil, 10},
		"a category":                {"ereg/getCategory", []string{"categoryid", "3001"}, 0},
		"questions, sessions too":   {"ereg/listQuestions", nil, 58},
		"a question":                {"ereg/getQuestion", []string{"questionid", "7050"}, 0},
		"pages":                     {"ereg/listPages", nil, 3},
		"sessions":                  {"ereg/listSessions", nil, 40},
		"a session":                 {"ereg/getSession", []string{"sessionid", "60001", "sessionkey", "2"}, 0},
		"speakers":                  {"ereg/listSpeakers", nil, 30},
		"a speaker":                 {"ereg/getSpeaker", []string{"speakerid", "9001"}, 0},
		"locations":                 {"ereg/listLocations", nil, 6},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			switch v := c.any(tt.function, tt.kv...).(type) {
			case []any:
				if len(v) != tt.rows {
					t.Errorf("got %d rows, want %d", len(v), tt.rows)
				}
			case map[string]any:
				if tt.rows > 0 || v["error"] != nil {
					t.Errorf("got %v, want %d rows", v, tt.rows)
				}
			default:
				t.Errorf("got %T", v)
			}
		})
	}
}
