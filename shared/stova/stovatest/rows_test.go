package stovatest_test

import (
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/stova/stovatest"
)

// find returns the first person, in list order, that is so.
func find(t testing.TB, e *stovatest.Event, is func(*stovatest.Person) bool) *stovatest.Person {
	t.Helper()
	i := slices.IndexFunc(e.People, is)
	if i < 0 {
		t.Fatal("no such person in the event")
	}
	return e.People[i]
}

// answers collects the answers of an attendee's body by field name, in order.
func answers(t testing.TB, body map[string]any) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	add := func(v any) {
		m := v.(map[string]any)
		name := m["fieldname"].(string)
		all[name] = append(all[name], m["response"].(string))
	}
	switch r := body["responses"].(type) {
	case map[string]any:
		for i := range len(r) {
			add(r[strconv.Itoa(i+1)])
		}
	case []any:
		for _, v := range r {
			add(v)
		}
	default:
		t.Fatalf("responses are %T", r)
	}
	return all
}

func TestAnAttendeeIsSentAsItIs(t *testing.T) {
	t.Parallel()
	e := stovatest.Generate(stovatest.Options{})
	p := find(t, e, func(p *stovatest.Person) bool { return len(p.Picks) == 2 && p.Photo != "" && p.MobilePhone != "" })
	c := login(t, stovatest.NewServer(e, stovatest.ServerOptions{}).Start(t))
	for name, kv := range map[string][]string{
		"responses are a numbered object": {"attendeeid", p.ID},
		"or an array when asked":          {"attendeeid", p.ID, "responseArray", "1"},
	} {
		body := c.any("ereg/getAttendee", kv...).(map[string]any)
		if _, array := body["responses"].([]any); array != (len(kv) > 2) {
			t.Errorf("%s: responses are %T", name, body["responses"])
		}
		if len(body) < 35 {
			t.Errorf("%s: %d keys, want at least 35", name, len(body))
		}
		category := body["category"].(map[string]any)["name"]
		got := []any{body["attendeeid"], body["registrationstatus"], category, body["lastmodified"], body["testregistration"]}
		want := []any{p.ID, p.Status, p.Category, p.Modified.Format("2006-01-02 15:04:05"), "0"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: top level (-want +got):\n%s", name, diff)
		}
		a := answers(t, body)
		gotAnswers := []string{a["fname"][0], a["lname"][0], a["email"][0], a["title"][0], a["mphone"][0], a["7060"][0]}
		if diff := cmp.Diff([]string{p.FirstName, p.LastName, p.Email, p.JobTitle, p.MobilePhone, p.Photo}, gotAnswers); diff != "" {
			t.Errorf("%s: answers (-want +got):\n%s", name, diff)
		}
		for _, pick := range p.Picks {
			if want := e.Session(pick.SessionID, pick.Key).Name; !slices.Equal(a[pick.SessionID], []string{want}) {
				t.Errorf("%s: pick of %s is %v, want %q", name, pick.SessionID, a[pick.SessionID], want)
			}
		}
	}
}

func TestOddRowsAreSentOddly(t *testing.T) {
	t.Parallel()
	e := stovatest.Generate(stovatest.Options{Oddities: true})
	c := login(t, stovatest.NewServer(e, stovatest.ServerOptions{}).Start(t))
	body := func(is func(*stovatest.Person) bool) map[string]any {
		return c.any("ereg/getAttendee", "attendeeid", find(t, e, is).ID).(map[string]any)
	}
	shapes := map[string]any{stovatest.AbsentList: []any{}, stovatest.AbsentNull: nil, stovatest.AbsentText: "", stovatest.AbsentKey: nil}
	for shape, want := range shapes {
		b := body(func(p *stovatest.Person) bool { return p.Category == "" && p.Wire.NoCategory == shape })
		got, there := b["category"]
		if diff := cmp.Diff(want, got); diff != "" || there == (shape == stovatest.AbsentKey) {
			t.Errorf("category as %s is %#v (there: %v)", shape, got, there)
		}
	}
	entities := body(func(p *stovatest.Person) bool { return p.Wire.Entities })
	if got := answers(t, entities)["company"][0]; got != "Sample &amp; Sons &lt;&#220;ber&gt;" {
		t.Errorf("company with entities is %q", got)
	}
	numbers := body(func(p *stovatest.Person) bool { return p.Wire.Numbers })
	if _, ok := numbers["attendeeid"].(float64); !ok {
		t.Errorf("attendeeid is %T, want a number", numbers["attendeeid"])
	}
	sparse := body(func(p *stovatest.Person) bool { return p.Wire.OmitEmpty })
	if _, ok := answers(t, sparse)["company"]; ok {
		t.Error("an empty company is there, want it left out")
	}
	padded := body(func(p *stovatest.Person) bool { return p.Wire.Padded })
	if got := answers(t, padded)["email"][0]; got == "" || got[0] != ' ' {
		t.Errorf("a padded value begins with %.1q, want a blank", got)
	}
}

func TestEveryRowIsValidJSONInEveryVariant(t *testing.T) {
	t.Parallel()
	variants := map[string]stovatest.Variants{
		"default": {},
		"old":     {Responses: "array", Languages: "serialized", Descriptions: stovatest.DescOld, Speakers: "object", Location: "object", Category: stovatest.AbsentNull},
		"oldest":  {Languages: "null", Descriptions: stovatest.DescAdditional, Location: "id", Numbers: "all", Category: stovatest.AbsentKey},
	}
	for name, v := range variants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := stovatest.Generate(stovatest.Options{Attendees: 80, Oddities: true})
			c := login(t, stovatest.NewServer(e, stovatest.ServerOptions{Variants: v}).Start(t))
			check := func(function string, kv ...string) {
				body, err := io.ReadAll(c.get(function, kv...).Body)
				if err != nil || !json.Valid(body) {
					t.Errorf("%s %v is no JSON (%v)", function, kv, err)
				}
			}
			check("ereg/getEvent", "customfields", "1")
			for _, p := range e.People {
				check("ereg/getAttendee", "attendeeid", p.ID)
			}
			for _, s := range e.Sessions {
				check("ereg/getSession", "sessionid", s.ID, "sessionkey", s.Key)
			}
			for _, s := range e.Speakers {
				check("ereg/getSpeaker", "speakerid", s.ID)
			}
		})
	}
}

func TestVariantsChangeTheShapes(t *testing.T) {
	t.Parallel()
	e := stovatest.Generate(stovatest.Options{})
	i := slices.IndexFunc(e.Sessions, func(s *stovatest.Session) bool { return len(s.Speakers) > 0 && s.Location != "" })
	x := e.Sessions[i]
	session := []string{"sessionid", x.ID, "sessionkey", x.Key}
	loc := slices.IndexFunc(e.Locations, func(l stovatest.Location) bool { return l.Name == x.Location })
	tests := map[string]struct {
		v        stovatest.Variants
		function string
		key      string
		want     any
	}{
		"languages as an object":       {stovatest.Variants{}, "ereg/getEvent", "languages", map[string]any{"eng": "English"}},
		"languages as PHP writes":      {stovatest.Variants{Languages: "serialized"}, "ereg/getEvent", "languages", `a:1:{s:3:"eng";s:7:"English";}`},
		"contactinfo as null":          {stovatest.Variants{Languages: "null"}, "ereg/getEvent", "contactinfo", nil},
		"descriptions":                 {stovatest.Variants{}, "ereg/getSession", "descriptions", map[string]any{"eng": x.Description}},
		"description":                  {stovatest.Variants{Descriptions: stovatest.DescOld}, "ereg/getSession", "description", map[string]any{"eng": x.Description}},
		"additional_details":           {stovatest.Variants{Descriptions: stovatest.DescAdditional}, "ereg/getSession", "additional_details", map[string]any{"desceng": x.Description}},
		"location as text":             {stovatest.Variants{}, "ereg/getSession", "location", x.Location},
		"location as an object":        {stovatest.Variants{Location: "object"}, "ereg/getSession", "location", map[string]any{"locationid": e.Locations[loc].ID, "name": x.Location}},
		"location as an id":            {stovatest.Variants{Location: "id"}, "ereg/getSession", "location", e.Locations[loc].ID},
		"the id of the session, bare":  {stovatest.Variants{Numbers: "all"}, "ereg/getSession", "sessionid", float64(60001 + i)},
		"the place of the event, null": {stovatest.Variants{Location: "id"}, "ereg/getEvent", "location", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := login(t, stovatest.NewServer(stovatest.Generate(stovatest.Options{}), stovatest.ServerOptions{Variants: tt.v}).Start(t))
			body := c.any(tt.function, session...).(map[string]any)
			got, there := body[tt.key]
			if diff := cmp.Diff(tt.want, got); diff != "" || !there {
				t.Errorf("%s (there: %v) (-want +got):\n%s", tt.key, there, diff)
			}
		})
	}
}

func TestUnknownIdsAreErrorsUnderTheirOwnKey(t *testing.T) {
	t.Parallel()
	s := stovatest.NewServer(stovatest.Generate(stovatest.Options{}), stovatest.ServerOptions{})
	c := login(t, s.Start(t))
	tests := map[string]struct {
		function string
		kv       []string
		key      string
	}{
		"another event":           {"ereg/listAttendees", []string{"eventid", "1"}, "eventid"},
		"no event":                {"ereg/getEvent", []string{"eventid", ""}, "eventid"},
		"an unknown attendee":     {"ereg/getAttendee", []string{"attendeeid", "5"}, "attendeeid"},
		"an unknown session":      {"ereg/getSession", []string{"sessionid", "5", "sessionkey", "1"}, "sessionid"},
		"an unknown session key":  {"ereg/getSession", []string{"sessionid", "60001", "sessionkey", "9"}, "sessionkey"},
		"an unknown speaker":      {"ereg/getSpeaker", []string{"speakerid", "5"}, "speakerid"},
		"an unknown category":     {"ereg/getCategory", []string{"categoryid", "5"}, "categoryid"},
		"an unknown question":     {"ereg/getQuestion", []string{"questionid", "5"}, "questionid"},
		"nothing found in events": {"global/listEvents", []string{"search", "code=OTHER"}, "data"},
	}
	for name, tt := range tests {
		if got := errorOf(c.any(tt.function, tt.kv...)); got[tt.key] == nil {
			t.Errorf("%s: got %v, want error.%s", name, got, tt.key)
		}
	}
}

func TestHiddenSessionsMayNeedTheFlag(t *testing.T) {
	t.Parallel()
	e := stovatest.Generate(stovatest.Options{})
	e.Sessions[2].Hidden = true
	c := login(t, stovatest.NewServer(e, stovatest.ServerOptions{HiddenNeedsFlag: true}).Start(t))
	if got := len(c.any("ereg/listSessions").([]any)); got != 39 {
		t.Errorf("without the flag %d sessions, want 39", got)
	}
	if got := len(c.any("ereg/listSessions", "showhidden", "1").([]any)); got != 40 {
		t.Errorf("with the flag %d sessions, want 40", got)
	}
}
