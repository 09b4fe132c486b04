package stova

import (
	"compress/gzip"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/fault"
	"stovasync/shared/run"
)

// A whole event over real HTTP.
func TestAnEventIsReadOverHTTP(t *testing.T) {
	t.Parallel()
	rows, ids := attendeeRows(30)
	p := pager{rows: rows, cap: 20}
	v := &vendor{script: func(e string, n int, q url.Values) answer {
		if e == "ereg/getAttendee" {
			return answer{body: `{"attendeeid":"` + q.Get("attendeeid") + `"}`}
		}
		return p.script(e, n, q)
	}}
	var connections atomic.Int64
	srv := httptest.NewUnstartedServer(v)
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	v.t = t
	c, err := New(Config{EndPoint: srv.URL + "/api/v2", AccountID: "7700", Key: testKey, EventID: "900100001", AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	var meter, inner Meter
	ctx := WithMeter(t.Context(), &meter)
	l, err := c.List(ctx, run.Attendees, ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ids, l.IDs); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
	for _, id := range l.IDs {
		row, err := c.Row(WithMeter(ctx, &inner), run.Attendees, id)
		if err != nil {
			t.Fatal(err)
		}
		if string(row) != `{"attendeeid":"`+id+`"}` {
			t.Errorf("row of %s is another's", id)
		}
	}
	want := map[string]int64{"global/authorize": 1, "ereg/listAttendees": 3, "ereg/getAttendee": 30}
	if diff := cmp.Diff(want, meter.ByEndpoint()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if meter.Calls() != 34 || inner.Calls() != 30 || meter.Throttled() != 0 {
		t.Errorf("meters count %d and %d, want 34 and 30", meter.Calls(), inner.Calls())
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections for calls one after another, want 1", n)
	}
}

// Useless bodies are read, so that even trouble keeps its connection.
func TestConnectionsSurviveTrouble(t *testing.T) {
	t.Parallel()
	var connections atomic.Int64
	v := then(
		answer{status: 502, body: strings.Repeat("<html>", 1000)},
		answer{status: 429, body: strings.Repeat("slow ", 1000), header: map[string]string{"Retry-After": "0"}},
		answer{body: "<html>" + strings.Repeat("busy ", 1000)},
		answer{body: attendeeRow})
	srv := httptest.NewUnstartedServer(v)
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	v.t = t
	c, err := New(Config{EndPoint: srv.URL + "/api/v2", AccountID: "7700", Key: testKey, EventID: "900100001", AllowPrivate: true, RetryBase: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	var m Meter
	if _, err := c.Row(WithMeter(t.Context(), &m), run.Attendees, "1"); err != nil {
		t.Fatal(err)
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
	if m.Calls() != 5 || m.Throttled() != 1 {
		t.Errorf("meter counts %d calls, %d throttled, want 5 and 1", m.Calls(), m.Throttled())
	}
}

func TestBodiesAreReadWhateverTheirDress(t *testing.T) {
	t.Parallel()
	login := func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/authorize.json") {
			return false
		}
		_, _ = io.WriteString(w, `{"accesstoken":"x"}`)
		return true
	}
	tests := map[string]struct {
		serve func(w http.ResponseWriter, r *http.Request)
		want  string
		code  fault.Code
	}{
		"gzip": {
			serve: func(w http.ResponseWriter, r *http.Request) {
				if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
					http.Error(w, "no gzip asked", http.StatusBadRequest)
					return
				}
				w.Header().Set("Content-Encoding", "gzip")
				z := gzip.NewWriter(w)
				_, _ = io.WriteString(z, attendeeRow)
				_ = z.Close()
			},
			want: attendeeRow,
		},
		"Windows-1252": {
			serve: func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "{\"company\":\"Caf\xe9 \x93Zo\xeb\x94 \x80\"}")
			},
			want: `{"company":"Café “Zoë” €"}`,
		},
		"gzip that would unpack to more than 10 MB": {
			serve: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				z := gzip.NewWriter(w)
				_, _ = io.WriteString(z, `{"a":"`+strings.Repeat("x", bodyLimit)+`"}`)
				_ = z.Close()
			},
			code: fault.StovaTooLarge,
		},
		"a length of more than 10 MB, unread": {
			serve: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", fmt.Sprint(bodyLimit+1))
				w.WriteHeader(http.StatusOK)
			},
			code: fault.StovaTooLarge,
		},
		"a body shorter than its length": {
			serve: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "1000")
				_, _ = io.WriteString(w, attendeeRow)
			},
			code: fault.StovaBody,
		},
		"a connection that breaks before the answer": {
			serve: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			code:  fault.StovaServer,
		},
		"a body that comes too slowly": {
			serve: func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, `{"a":`)
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			},
			code: fault.StovaTimeout,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !login(w, r) {
					tt.serve(w, r)
				}
			})
			c := served(t, h, func(cfg *Config) {
				if tt.code == fault.StovaTimeout {
					cfg.CallTimeout = 300 * time.Millisecond
				}
			})
			row, err := c.Row(t.Context(), run.Attendees, "1")
			if fault.CodeOf(err) != tt.code || tellsSecret(err) != "" {
				t.Fatalf("error = %v, want code %q", err, tt.code)
			}
			if diff := cmp.Diff(tt.want, string(row)); diff != "" {
				t.Errorf("row (-want +got):\n%s", diff)
			}
		})
	}
}

// The token must not travel to where a redirect points.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var reached atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	t.Cleanup(elsewhere.Close)
	v := always(answer{status: 307, header: map[string]string{"Location": elsewhere.URL + "/?x=" + testToken}})
	v.logins = func(n int) answer {
		if n == 1 {
			return answer{status: 308, header: map[string]string{"Location": elsewhere.URL}}
		}
		return answer{body: `{"accesstoken":"x"}`}
	}
	c := served(t, v, nil)
	for range 2 { // first the login is sent away, then the row
		_, err := c.Row(t.Context(), run.Attendees, "1")
		if fault.CodeOf(err) != fault.StovaBody || tellsSecret(err) != "" {
			t.Errorf("error = %v, want %s", err, fault.StovaBody)
		}
	}
	if reached.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

func TestPrivateAddressesAreRefusedAtDialTime(t *testing.T) {
	t.Parallel()
	srv := httptest.NewTLSServer(always(answer{}))
	t.Cleanup(srv.Close)
	c, err := New(Config{EndPoint: srv.URL, AccountID: "7700", Key: testKey, EventID: "9"})
	if err != nil {
		t.Fatal(err)
	}
	err = c.Authorise(t.Context())
	if fault.CodeOf(err) != fault.ConfigInvalid || !fault.IsPermanent(err) || !strings.Contains(err.Error(), "allowPrivateHosts") {
		t.Errorf("error = %v, want a permanent %s that names the setting", err, fault.ConfigInvalid)
	}
}

func TestAServerNobodyTrustsIsToldAsSuch(t *testing.T) {
	t.Parallel()
	srv := httptest.NewUnstartedServer(always(answer{}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // the refused handshake is meant
	srv.StartTLS()
	t.Cleanup(srv.Close)
	c, err := New(Config{EndPoint: srv.URL, AccountID: "7700", Key: testKey, EventID: "9", AllowPrivate: true, RetryBase: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	err = c.Authorise(t.Context())
	if fault.CodeOf(err) != fault.StovaServer || !strings.Contains(err.Error(), "no trusted TLS connection") {
		t.Errorf("error = %v, want %s about TLS", err, fault.StovaServer)
	}
}

func TestAServerThatIsGoneIsRefused(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(nil)
	srv.Close()
	c, err := New(Config{EndPoint: srv.URL, AccountID: "7700", Key: testKey, EventID: "9", AllowPrivate: true, RetryBase: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	err = c.Authorise(t.Context())
	if fault.CodeOf(err) != fault.StovaServer || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("error = %v, want %s", err, fault.StovaServer)
	}
}

func TestPublicAddresses(t *testing.T) {
	t.Parallel()
	tests := map[string]bool{
		"93.184.215.14": true, "2606:2800:21f:cb07:6820:80da:af6b:8b2c": true, "172.32.0.1": true,
		"127.0.0.1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false,
		"0.0.0.0": false, "0.1.2.3": false, "100.64.0.1": false, "198.18.0.1": false, "224.0.0.1": false, "255.255.255.255": false,
		"::1": false, "::": false, "fe80::1%eth0": false, "fc00::1": false, "fd00:ec2::254": false, "ff02::1": false,
		"::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "64:ff9b::a00:1": false, "2002:7f00:1::": false, "2001::1": false,
	}
	for addr, want := range tests {
		t.Run(addr, func(t *testing.T) {
			t.Parallel()
			if got := public(netip.MustParseAddr(addr)); got != want {
				t.Errorf("public(%s) = %v, want %v", addr, got, want)
			}
		})
	}
}

func TestNewNamesEverythingThatIsWrong(t *testing.T) {
	t.Parallel()
	good := Config{EndPoint: "https://api.example.test/api/v2", AccountID: "7700", Key: testKey, EventID: "9"}
	tests := map[string]struct {
		change func(*Config)
		want   []string // parts of the error; none: it is fine
	}{
		"as it should be":                  {func(*Config) {}, nil},
		"a slash at the end":               {func(c *Config) { c.EndPoint += "/" }, nil},
		"http where private is allowed":    {func(c *Config) { c.EndPoint, c.AllowPrivate = "http://127.0.0.1:1", true }, nil},
		"http where it is not":             {func(c *Config) { c.EndPoint = "http://api.example.test" }, []string{"must be https"}},
		"no address":                       {func(c *Config) { c.EndPoint = "api.example.test" }, []string{"not an address"}},
		"another scheme":                   {func(c *Config) { c.EndPoint = "ftp://api.example.test" }, []string{"not an address"}},
		"a query, which may hold a token":  {func(c *Config) { c.EndPoint += "?accesstoken=" + testToken }, []string{"more than host and path"}},
		"a user and password":              {func(c *Config) { c.EndPoint = "https://INVENTEDkey:x@api.example.test" }, []string{"more than host and path"}},
		"nothing at all names all of them": {func(c *Config) { *c = Config{} }, []string{"endPoint is missing", "accountid is missing", "key is missing", "eventid is missing"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := good
			tt.change(&cfg)
			_, err := New(cfg)
			if (err != nil) != (tt.want != nil) || tellsSecret(err) != "" {
				t.Fatalf("New = %v", err)
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) || fault.CodeOf(err) != fault.ConfigInvalid {
					t.Errorf("New = %v, want %q in it", err, w)
				}
			}
		})
	}
}

func BenchmarkRow(b *testing.B) {
	body := `{"attendeeid":"800000001","responses":{` + strings.Repeat(`"1":{"questionid":"7001","fieldname":"fname","response":"Ada"},`, 60) + `"2":{}}}`
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/authorize.json") {
			_, _ = io.WriteString(w, `{"accesstoken":"x"}`)
			return
		}
		_, _ = io.WriteString(w, body)
	}))
	b.Cleanup(srv.Close)
	c, err := New(Config{EndPoint: srv.URL, AccountID: "7700", Key: testKey, EventID: "9", AllowPrivate: true, Budget: NewBudget(1e9, nil)})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("client", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Row(b.Context(), run.Attendees, "800000001"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("bare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			resp, err := http.Get(srv.URL + "/ereg/getAttendee.json?eventid=9&attendeeid=800000001&accesstoken=x")
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
	})
}
