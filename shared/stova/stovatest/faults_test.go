package stovatest_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/fault"
	"stovasync/shared/stova/stovatest"
)

// parse reads a fault that must be right.
func parse(t testing.TB, spec string) stovatest.Fault {
	t.Helper()
	f, err := stovatest.ParseFault(spec)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// statuses calls getAttendee for each id and returns the statuses; 0 is a
// connection that ended without an answer.
func statuses(c *client, ids ...string) []int {
	var all []int
	for _, id := range ids {
		res, err := http.Get(c.base + "/ereg/getAttendee.json?eventid=900100001&attendeeid=" + id + "&accesstoken=" + c.token)
		if err != nil {
			all = append(all, 0)
			continue
		}
		_ = res.Body.Close()
		all = append(all, res.StatusCode)
	}
	return all
}

const a, b = "800000001", "800000002"

func TestFaultsHitAsOftenAsTheySay(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		spec string
		ids  []string
		want []int
	}{
		"always":                      {"500", []string{a, b, a}, []int{500, 500, 500}},
		"the first two":               {"502:times=2", []string{a, b, a}, []int{502, 502, 200}},
		"one after two":               {"429:after=2,times=1", []string{a, b, a, b}, []int{200, 200, 429, 200}},
		"every second":                {"504:every=2", []string{a, b, a, b}, []int{200, 504, 200, 504}},
		"the first of each row":       {"503:first=1,per-id=true", []string{a, a, b, b}, []int{503, 200, 503, 200}},
		"one row only":                {"500:id=" + b, []string{a, b, a}, []int{200, 500, 200}},
		"a poison row":                {"poison:id=" + a, []string{a, b, a}, []int{500, 200, 500}},
		"another endpoint":            {"500:endpoint=list*+getEvent", []string{a, b}, []int{200, 200}},
		"this endpoint among several": {"500:endpoint=list*+getAtt*", []string{a}, []int{500}},
		"above a rate":                {"429:per-minute=2", []string{a, b, a, b}, []int{200, 200, 429, 429}},
		"refused whatever the token":  {"401:times=1", []string{a, b}, []int{401, 200}},
		"a cut connection":            {"cut:after=1", []string{a, b}, []int{200, 0}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := stovatest.NewServer(stovatest.Generate(stovatest.Options{Attendees: 40}), stovatest.ServerOptions{})
			c := login(t, s.Start(t))
			remove := s.Fault(parse(t, tt.spec))
			if diff := cmp.Diff(tt.want, statuses(c, tt.ids...)); diff != "" {
				t.Errorf("statuses (-want +got):\n%s", diff)
			}
			remove()
			if got := statuses(c, tt.ids[0]); got[0] != 200 {
				t.Errorf("removed, it still answers %d", got[0])
			}
		})
	}
}

func TestTheRateIsThatOfTheLastMinute(t *testing.T) {
	t.Parallel()
	now := newClock()
	s := stovatest.NewServer(stovatest.Generate(stovatest.Options{Attendees: 40}), stovatest.ServerOptions{Now: now.Now})
	c := login(t, s.Start(t))
	s.Fault(parse(t, "429:per-minute=2,retry-after=90s"))
	if got := statuses(c, a, b, a); !slices.Equal(got, []int{200, 200, 429}) {
		t.Errorf("within a minute: %v, want the third refused", got)
	}
	if got := c.get("ereg/getEvent").Header.Get("Retry-After"); got != "90" {
		t.Errorf("Retry-After is %q, want 90", got)
	}
	now.advance(time.Minute)
	if got := statuses(c, a, b, a); !slices.Equal(got, []int{200, 200, 429}) {
		t.Errorf("a minute later: %v, want the third refused", got)
	}
	s.ClearFaults()
	if got := statuses(c, a); got[0] != 200 {
		t.Errorf("cleared, it still answers %d", got[0])
	}
}

func TestBodiesAreSpoilt(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		spec string
		ok   func(res *http.Response, body string) bool
	}{
		"half of the JSON": {"truncate", func(_ *http.Response, body string) bool {
			return strings.HasPrefix(body, `{"attendeeid"`) && !json.Valid([]byte(body))
		}},
		"a page of HTML with 200": {"html", func(res *http.Response, body string) bool {
			return strings.HasPrefix(body, "<!DOCTYPE html>") && strings.HasPrefix(res.Header.Get("Content-Type"), "text/html")
		}},
		"Latin-1": {"latin1", func(_ *http.Response, body string) bool {
			return !utf8.ValidString(body) && strings.Contains(body, "Zo\xeb")
		}},
		"an error object": {"error:key=whatever", func(_ *http.Response, body string) bool {
			return strings.HasPrefix(body, `{"error":{"whatever":`)
		}},
		"another shape": {"variant:responses=array", func(_ *http.Response, body string) bool {
			return strings.Contains(body, `"responses":[{`) && json.Valid([]byte(body))
		}},
		"a forbidden event": {"restricted", func(_ *http.Response, body string) bool {
			return strings.HasPrefix(body, `{"error":{"eventid":`)
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := stovatest.Generate(stovatest.Options{Attendees: 40})
			e.Person(a).FirstName = "Zoë"
			s := stovatest.NewServer(e, stovatest.ServerOptions{Faults: []stovatest.Fault{parse(t, tt.spec)}})
			res := login(t, s.Start(t)).get("ereg/getAttendee", "attendeeid", a)
			body, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != http.StatusOK || !tt.ok(res, string(body)) {
				t.Errorf("got %d (%v): %.200s", res.StatusCode, err, body)
			}
		})
	}
}

func TestLargePagesFailAtTheGateway(t *testing.T) {
	t.Parallel()
	e := stovatest.Generate(stovatest.Options{Attendees: 400})
	s := stovatest.NewServer(e, stovatest.ServerOptions{MaxBody: 20_000, Faults: []stovatest.Fault{parse(t, "toobig:limit=100,endpoint=listSpeakers")}})
	c := login(t, s.Start(t))
	tests := map[string]struct {
		function, limit string
		want            int
	}{
		"a body over the limit":  {"ereg/listAttendees", "400", 502},
		"a body below it":        {"ereg/listAttendees", "100", 200},
		"a page over the fault":  {"ereg/listSpeakers", "101", 502},
		"a page at its limit":    {"ereg/listSpeakers", "100", 200},
		"no limit asks for most": {"ereg/listSpeakers", "", 502},
	}
	for name, tt := range tests {
		if got := c.get(tt.function, "limit", tt.limit).StatusCode; got != tt.want {
			t.Errorf("%s: status %d, want %d", name, got, tt.want)
		}
	}
}

func TestSlowAndHangingAnswersOutlastTheClient(t *testing.T) {
	t.Parallel()
	for name, spec := range map[string]string{"slow": "slow:endpoint=getEvent,delay=1h", "hang": "hang:endpoint=getEvent"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := stovatest.NewServer(stovatest.Generate(stovatest.Options{Attendees: 40}), stovatest.ServerOptions{})
			r := s.Start(t)
			c := login(t, r)
			s.Fault(parse(t, spec))
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/ereg/getEvent.json?eventid=900100001&accesstoken="+c.token, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := http.DefaultClient.Do(req); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want the client's time-out", err)
			}
		})
	}
}

func TestAShortDelayOnlyDelays(t *testing.T) {
	t.Parallel()
	s := stovatest.NewServer(stovatest.Generate(stovatest.Options{Attendees: 40}), stovatest.ServerOptions{Delay: 5 * time.Millisecond})
	c := login(t, s.Start(t))
	s.Fault(parse(t, "slow:delay=15ms"))
	start := time.Now()
	if got := statuses(c, a); got[0] != 200 {
		t.Errorf("status %d, want 200", got[0])
	}
	if took := time.Since(start); took < 20*time.Millisecond {
		t.Errorf("took %v, want at least both delays", took)
	}
}

func TestACutBodyEndsTooEarly(t *testing.T) {
	t.Parallel()
	s := stovatest.NewServer(stovatest.Generate(stovatest.Options{Attendees: 40}), stovatest.ServerOptions{})
	c := login(t, s.Start(t))
	s.Fault(parse(t, "cut:mode=body"))
	res := c.get("ereg/getAttendee", "attendeeid", a)
	if _, err := io.ReadAll(res.Body); res.StatusCode != http.StatusOK || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %d and %v, want 200 and a body that ends too early", res.StatusCode, err)
	}
}

func TestTokensEndInTheMiddleOfAList(t *testing.T) {
	t.Parallel()
	s := stovatest.NewServer(stovatest.Generate(stovatest.Options{}), stovatest.ServerOptions{})
	r := s.Start(t)
	s.Fault(parse(t, "token:after=2,times=1"))
	c := login(t, r)
	for i, refused := range []bool{false, false, true, true} {
		if got := errorOf(c.any("ereg/getEvent")); (got["accesstoken"] != nil) != refused {
			t.Errorf("call %d: %v, want refused: %v", i+1, got, refused)
		}
	}
	c = login(t, r)
	for i := range 4 {
		if got := errorOf(c.any("ereg/getEvent")); got != nil {
			t.Errorf("call %d with the second token: %v", i+1, got)
		}
	}
}

func TestRowsMoveBetweenPages(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		spec string
		want []string
	}{
		"a row comes in and one is read twice": {"move:mode=repeat", []string{"1", "2", "3", "3", "4", "5", "6"}},
		"a row goes and another is missed":     {"move:mode=skip", []string{"1", "2", "3", "5", "6"}},
		"the first row goes to the end":        {"move:mode=both", []string{"1", "2", "3", "5", "6", "1"}},
		"only the first listing":               {"move:mode=skip,after=1", []string{"1", "2", "3", "4", "5", "6"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := stovatest.Generate(stovatest.Options{Attendees: 6, Sponsors: -1})
			s := stovatest.NewServer(e, stovatest.ServerOptions{Faults: []stovatest.Fault{parse(t, tt.spec)}})
			c := login(t, s.Start(t))
			var got []string
			for _, offset := range []string{"0", "3", "6", "9"} {
				answer := c.any("ereg/listAttendees", "limit", "3", "offset", offset)
				if errorOf(answer) != nil {
					break
				}
				for _, id := range column(t, answer, "attendeeid") {
					got = append(got, strings.TrimLeft(strings.TrimPrefix(id, "8"), "0"))
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFaultSpecs(t *testing.T) {
	t.Parallel()
	right := map[string]stovatest.Fault{
		"429:after=50,retry-after=2":            {Kind: stovatest.RateLimit, After: 50, RetryAfter: 2 * time.Second},
		"500:endpoint=getAttendee,id=1+2":       {Kind: stovatest.ServerError, Endpoint: "getAttendee", IDs: []string{"1", "2"}},
		"slow:delay=100ms, times=3":             {Kind: stovatest.Slow, Delay: 100 * time.Millisecond, Times: 3},
		"picture:mode=redirect,to=http://x/y":   {Kind: stovatest.PictureFault, Mode: "redirect", To: "http://x/y"},
		"variant:responses=array,empty=list":    {Kind: stovatest.Variant, Variants: stovatest.Variants{Responses: "array", Empty: "list"}},
		"cut:mode=body,every=3,per-id=true":     {Kind: stovatest.Cut, Mode: "body", Every: 3, PerID: true},
		"toobig:limit=300":                      {Kind: stovatest.TooBig, Limit: 300},
		"429:per-minute=400,retry-after=1500ms": {Kind: stovatest.RateLimit, PerMinute: 400, RetryAfter: 1500 * time.Millisecond},
	}
	for spec, want := range right {
		got, err := stovatest.ParseFault(spec)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", spec, err, diff)
		}
	}
	for _, spec := range []string{
		"", "teapot", "429:often=1", "429:after", "429:after=-1", "429:after=x", "slow", "slow:delay=soon", "poison", "toobig",
		"token", "error", "picture", "picture:mode=blurred", "picture:mode=redirect", "move:mode=up", "variant", "500:per-id=maybe",
		"variant:responses=list", "cut:mode=half", "500:endpoint=[",
	} {
		if _, err := stovatest.ParseFault(spec); fault.CodeOf(err) != fault.ConfigInvalid {
			t.Errorf("%q gave %v, want %s", spec, err, fault.ConfigInvalid)
		}
	}
}

func TestTheHelpsExamplesAreRight(t *testing.T) {
	t.Parallel()
	n := 0
	for line := range strings.Lines(stovatest.FaultHelp()) {
		if example, ok := strings.CutPrefix(strings.TrimSpace(line), "e.g. "); ok {
			n++
			if _, err := stovatest.ParseFault(example); err != nil {
				t.Errorf("%s: %v", example, err)
			}
		}
	}
	if n < 20 {
		t.Errorf("%d examples, want one for each kind", n)
	}
}
