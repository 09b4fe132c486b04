package stova_test

import (
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/fault"
	"stovasync/shared/run"
	"stovasync/shared/stova"
	"stovasync/shared/stova/stovatest"
)

// twinOf serves a small event and returns a client of it.
func twinOf(t *testing.T, o stovatest.ServerOptions, faults ...string) (*stovatest.Event, *stova.Client) {
	t.Helper()
	event := stovatest.Generate(stovatest.Options{Attendees: 130, Sessions: 40, Speakers: 20, Seed: 7, Oddities: true})
	for _, spec := range faults {
		f, err := stovatest.ParseFault(spec)
		if err != nil {
			t.Fatal(err)
		}
		o.Faults = append(o.Faults, f)
	}
	twin := stovatest.NewServer(event, o).Start(t)
	c, err := stova.New(stova.Config{
		EndPoint: twin.EndPoint(), AccountID: event.AccountID, Key: event.Key, EventID: event.ID,
		AllowPrivate: true, RetryBase: 2 * time.Millisecond, CallTimeout: 5 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	return event, c
}

// read lists stream s and fetches every row, four at a time, and returns the
// ids of the list in order. Each row must be a JSON object.
func read(t *testing.T, c *stova.Client, s run.Stream) []string {
	t.Helper()
	l, err := c.List(t.Context(), s, stova.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ids := make(chan string)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for id := range ids {
				row, err := c.Row(t.Context(), s, id)
				var object map[string]json.RawMessage
				if err != nil || json.Unmarshal(row, &object) != nil || len(object) == 0 {
					t.Errorf("row %s of %s: %d bytes, %v", id, s, len(row), err)
				}
			}
		})
	}
	for _, id := range l.IDs {
		ids <- id
	}
	close(ids)
	wg.Wait()
	return l.IDs
}

// The twin was written from the same facts by another hand: whatever it does
// on demand, the same ids and rows come out.
func TestTheTwinsEventIsReadWholeWhateverGoesWrong(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		options stovatest.ServerOptions
		faults  []string
	}{
		"nothing goes wrong":          {},
		"old tokens and a line break": {options: stovatest.ServerOptions{LegacyTokens: true, TokenNewline: true}},
		"tokens that end":             {faults: []string{"token:after=20,times=5"}},
		"tokens that end with credentials": {
			options: stovatest.ServerOptions{Expired: "credentials"}, faults: []string{"token:after=20,times=5"},
		},
		"tokens that end with 401":                      {options: stovatest.ServerOptions{Expired: "401"}, faults: []string{"token:after=20,times=5"}},
		"tokens that end in the words of the other API": {options: stovatest.ServerOptions{Expired: "ds"}, faults: []string{"token:after=20,times=5"}},
		"lists of 30 at most":                           {options: stovatest.ServerOptions{ListCap: 30}},
		"lists that fail above 25 rows":                 {faults: []string{"toobig:limit=25"}},
		"rows that repeat between pages":                {options: stovatest.ServerOptions{ListCap: 30}, faults: []string{"move:mode=repeat"}},
		"gzip":                                          {options: stovatest.ServerOptions{Gzip: true}},
		"a 502 or two for every row":                    {faults: []string{"502:endpoint=get*,times=2,per-id=true", "502:endpoint=list*,times=1"}},
		"some calls a 503, with Retry-After":            {faults: []string{"503:times=1,retry-after=1"}},
		"some calls a 429":                              {faults: []string{"429:every=40"}},
		"every row truncated, cut twice and HTML before it comes": {faults: []string{
			"truncate:endpoint=get*,times=1,per-id=true", "cut:endpoint=get*,mode=body,times=1,per-id=true",
			"cut:endpoint=get*,times=1,per-id=true", "html:endpoint=get*,times=1,per-id=true",
		}},
		"Latin-1 bodies":   {faults: []string{"latin1:endpoint=*"}},
		"the older shapes": {faults: []string{"variant:responses=array,empty=list,languages=serialized,speakers=object,location=object,numbers=all"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			event, c := twinOf(t, tt.options, tt.faults...)
			got := map[run.Stream][]string{}
			for _, s := range []run.Stream{run.Attendees, run.SessionStream, run.Speakers} {
				got[s] = read(t, c, s)
			}
			if diff := cmp.Diff(idsOf(event), got); diff != "" {
				t.Errorf("ids by stream (-want +got):\n%s", diff)
			}
			e, err := c.Event(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if e.ID != event.ID || e.Name != event.Name || string(e.StartDate) != event.Start || e.Zone != event.Zone || e.Language != event.Language {
				t.Errorf("event %s in %q speaks %q, want %s in %q and %q", e.ID, e.Zone, e.Language, event.ID, event.Zone, event.Language)
			}
			q, err := c.Questions(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range event.Questions { // beside them are the agenda's
				if !slices.ContainsFunc(q, func(q stova.Question) bool { return q.ID == want.ID }) {
					t.Errorf("question %s is missing", want.ID)
				}
			}
			tr, err := c.Tracks(t.Context())
			if err != nil || len(tr) != len(event.Tracks) {
				t.Errorf("%d tracks, %v, want %d", len(tr), err, len(event.Tracks))
			}
		})
	}
}

// idsOf are the ids that the event's lists must give.
func idsOf(e *stovatest.Event) map[run.Stream][]string {
	out := map[run.Stream][]string{}
	for _, p := range e.People {
		out[run.Attendees] = append(out[run.Attendees], p.ID)
	}
	for _, s := range e.Sessions {
		id := s.ID
		if s.Key != "" {
			id += "_" + s.Key
		}
		out[run.SessionStream] = append(out[run.SessionStream], id)
	}
	for _, s := range e.Speakers {
		out[run.Speakers] = append(out[run.Speakers], s.ID)
	}
	return out
}

func TestTheTwinsRefusalsAreTold(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		fault     string
		code      fault.Code
		permanent bool
	}{
		"a restricted key":        {"restricted:endpoint=*", fault.StovaEvent, true},
		"a row that stays poison": {"500:endpoint=getAttendee", fault.StovaServer, false},
		"access suspended":        {"403:endpoint=getAttendee", fault.StovaAuth, false},
		"too many calls for ever": {"429:endpoint=getAttendee", fault.StovaRate, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			event, c := twinOf(t, stovatest.ServerOptions{}, tt.fault)
			_, err := c.Row(t.Context(), run.Attendees, event.People[0].ID)
			if fault.CodeOf(err) != tt.code || fault.IsPermanent(err) != tt.permanent {
				t.Errorf("error = %v, want %s, permanent %v", err, tt.code, tt.permanent)
			}
		})
	}
}
