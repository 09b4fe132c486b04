package stovatest_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/stova/stovatest"
)

func TestCallsAreCountedByEndpoint(t *testing.T) {
	t.Parallel()
	now := newClock()
	s := stovatest.NewServer(stovatest.Generate(stovatest.Options{}), stovatest.ServerOptions{Now: now.Now})
	r := s.Start(t)
	c := login(t, r)
	c.any("ereg/listAttendees")
	c.any("ereg/getAttendee", "attendeeid", b)
	now.advance(40 * time.Second)
	c.any("ereg/getAttendee", "attendeeid", a)
	c.any("ereg/getSession", "sessionid", "60001", "sessionkey", "1")
	now.advance(30 * time.Second)
	c.any("ereg/getSpeaker", "speakerid", "9001")
	fetch(t, r.URL()+"/image.php?acc=7700&id=555001")
	want := map[string]int{"authorize": 1, "listAttendees": 1, "getAttendee": 2, "getSession": 1, "getSpeaker": 1}
	if diff := cmp.Diff(want, s.Calls()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if got := s.Total(); got != 6 {
		t.Errorf("total is %d, want 6: pictures are no API calls", got)
	}
	if got := s.Fetched("getAttendee"); !slices.Equal(got, []string{b, a}) {
		t.Errorf("attendees fetched: %v", got)
	}
	if got := s.Fetched("getSession"); !slices.Equal(got, []string{"60001_1"}) {
		t.Errorf("sessions fetched: %v", got)
	}
	for window, want := range map[time.Duration]int{time.Minute: 5, 30 * time.Second: 3, 2 * time.Minute: 6} {
		if got := s.Busiest(window); got != want {
			t.Errorf("the busiest %v hold %d calls, want %d", window, got, want)
		}
	}
	s.Reset()
	if s.Total() != 0 || len(s.Log()) != 0 || len(s.Downloads()) != 0 || s.MaxInFlight() != 0 {
		t.Error("after Reset something is left")
	}
}

func TestTheMostRequestsAtOnceAreCounted(t *testing.T) {
	t.Parallel()
	s := stovatest.NewServer(stovatest.Generate(stovatest.Options{}), stovatest.ServerOptions{})
	c := login(t, s.Start(t))
	s.Fault(parse(t, "hang:endpoint=getEvent"))
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/ereg/getEvent.json?accesstoken="+c.token, nil)
			if err == nil {
				if res, err := http.DefaultClient.Do(req); err == nil {
					_ = res.Body.Close()
				}
			}
		})
	}
	// The third request is counted when it arrives; a deadline, not a guess.
	for deadline := time.Now().Add(10 * time.Second); s.MaxInFlight() < 3 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	cancel()
	wg.Wait()
	if got := s.MaxInFlight(); got != 3 {
		t.Errorf("at most %d at once, want 3", got)
	}
}

func TestEditsAndCallsGoTogether(t *testing.T) {
	t.Parallel()
	s := stovatest.NewServer(stovatest.Generate(stovatest.Options{Attendees: 50}), stovatest.ServerOptions{})
	r := s.Start(t)
	c, d := login(t, r), dsLogin(t, r)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 50 {
			s.Edit(func(e *stovatest.Event) {
				e.People[i%50].Company = "Fictive " + strconv.Itoa(i)
				e.Touch(e.People[i%50].ID)
				e.NewPicture("555001")
			})
			s.SetVariants(stovatest.Variants{Responses: []string{"object", "array"}[i%2]})
			s.Fault(parse(t, "slow:delay=1ms"))()
		}
	})
	for range 3 {
		wg.Go(func() {
			for i := range 30 {
				c.any("ereg/getAttendee", "attendeeid", strconv.Itoa(800000001+i))
				c.any("ereg/listAttendees")
				d.rows("attendeelist/7700/900100001")
				fetch(t, r.URL()+"/image.php?acc=7700&id=555001")
			}
		})
	}
	wg.Wait()
	if got := s.Calls()["getAttendee"]; got != 90 {
		t.Errorf("%d calls counted, want 90", got)
	}
}

func TestTheTwinEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := stovatest.NewServer(stovatest.Generate(stovatest.Options{}), stovatest.ServerOptions{}).Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	login(t, r)
	cancel()
	<-r.Done()
	if err := r.Close(); err != nil {
		t.Errorf("closed once more: %v", err)
	}
	if _, err := http.Get(r.URL()); err == nil {
		t.Error("it still answers")
	}
	if _, err := r.Listen(t.Context(), "no address"); err == nil {
		t.Error("an address of nonsense gave no error")
	}
}

func TestAnswersMayBeCompressed(t *testing.T) {
	t.Parallel()
	s := stovatest.NewServer(stovatest.Generate(stovatest.Options{}), stovatest.ServerOptions{Gzip: true})
	c := login(t, s.Start(t))
	res, body := fetch(t, c.base+"/ereg/listAttendees.json?eventid=900100001&accesstoken="+c.token, "Accept-Encoding", "gzip")
	if res.Header.Get("Content-Encoding") != "gzip" {
		t.Fatal("the answer is not compressed")
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil || !json.Valid(plain) || len(plain) < 3*len(body) {
		t.Errorf("%d bytes became %d (%v)", len(body), len(plain), err)
	}
}

// BenchmarkGetAttendee measures the twin and a bare reader together, over
// loopback, on as many processors as -cpu gives: it is the yardstick of the
// product's figures and must stay far above them.
func BenchmarkGetAttendee(b *testing.B) {
	s := stovatest.NewServer(stovatest.Generate(stovatest.Options{Attendees: 6000}), stovatest.ServerOptions{})
	c := login(b, s.Start(b))
	hc := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	address := c.base + "/ereg/getAttendee.json?eventid=900100001&accesstoken=" + c.token + "&attendeeid="
	var size int64
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		res, err := hc.Get(address + strconv.Itoa(800000001+i%6000))
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if err != nil || n < 1000 {
			b.Fatalf("%d bytes, %v", n, err)
		}
		size += n
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	b.ReportMetric(float64(size)/float64(b.N), "bytes/call")
}

// nowhere takes an answer and forgets it.
type nowhere struct{ h http.Header }

func (n nowhere) Header() http.Header         { return n.h }
func (n nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n nowhere) WriteHeader(int)             {}

// BenchmarkHandler is the part of it that is the twin's own.
func BenchmarkHandler(b *testing.B) {
	s := stovatest.NewServer(stovatest.Generate(stovatest.Options{Attendees: 6000}), stovatest.ServerOptions{})
	c := login(b, s.Start(b))
	req, err := http.NewRequest(http.MethodGet, c.base+"/ereg/getAttendee.json?eventid=900100001&attendeeid=800000001&accesstoken="+c.token, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.ServeHTTP(nowhere{http.Header{}}, req)
	}
}
