package stovatest_test

import (
	"bytes"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stovasync/shared/stova/stovatest"
)

// clock is a settable time.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ns.Store(time.Date(2031, 3, 1, 9, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) Now() time.Time          { return time.Unix(0, c.ns.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

func decode(t testing.TB, res *http.Response, err error) map[string]any {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var v map[string]any
	if err := json.NewDecoder(res.Body).Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAuthorizeTakesThreeForms(t *testing.T) {
	t.Parallel()
	e := stovatest.Generate(stovatest.Options{})
	r := stovatest.NewServer(e, stovatest.ServerOptions{}).Start(t)
	address := r.EndPoint() + "/global/authorize.json"
	form := url.Values{"accountid": {e.AccountID}, "key": {e.Key}}
	var parts bytes.Buffer
	m := multipart.NewWriter(&parts)
	for k, v := range form {
		if err := m.WriteField(k, v[0]); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	calls := map[string]func() (*http.Response, error){
		"query":      func() (*http.Response, error) { return http.Get(address + "?" + form.Encode()) },
		"urlencoded": func() (*http.Response, error) { return http.PostForm(address, form) },
		"multipart":  func() (*http.Response, error) { return http.Post(address, m.FormDataContentType(), &parts) },
	}
	for name, do := range calls {
		res, err := do()
		got := decode(t, res, err)
		if token, _ := got["accesstoken"].(string); len(got) != 1 || len(token) < 70 {
			t.Errorf("%s: got %d keys and a token of %d characters, want one key and 70 or more", name, len(got), len(token))
		}
	}
	res, err := http.PostForm(address, url.Values{"accountid": {e.AccountID}, "key": {"wrong"}})
	if got := errorOf(any(decode(t, res, err))); got["credentials"] == nil || res.StatusCode != http.StatusOK {
		t.Errorf("a wrong key gave %d %v, want 200 and error.credentials", res.StatusCode, got)
	}
}

func TestTheTokenMayTravelInThreeWays(t *testing.T) {
	t.Parallel()
	r := stovatest.NewServer(stovatest.Generate(stovatest.Options{}), stovatest.ServerOptions{}).Start(t)
	c := login(t, r)
	address := r.EndPoint() + "/ereg/getAttendee.json"
	row := url.Values{"eventid": {"900100001"}, "attendeeid": {"800000001"}}
	with := url.Values{"eventid": {"900100001"}, "attendeeid": {"800000001"}, "accesstoken": {c.token}}
	header, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+"?"+row.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	header.Header.Set("accesstoken", c.token)
	calls := map[string]func() (*http.Response, error){
		"query":  func() (*http.Response, error) { return http.Get(address + "?" + with.Encode()) },
		"form":   func() (*http.Response, error) { return http.PostForm(address, with) },
		"header": func() (*http.Response, error) { return http.DefaultClient.Do(header) },
	}
	for name, do := range calls {
		res, err := do()
		if got := decode(t, res, err); got["attendeeid"] != "800000001" {
			t.Errorf("%s: got no attendee but %v", name, errorOf(got))
		}
	}
	res, err := http.Get(address + "?" + row.Encode())
	if got := errorOf(decode(t, res, err)); got["accesstoken"] == nil {
		t.Errorf("without a token: %v, want error.accesstoken", got)
	}
}

func TestTokensEndAfterTheirLife(t *testing.T) {
	t.Parallel()
	now := newClock()
	r := stovatest.NewServer(stovatest.Generate(stovatest.Options{}), stovatest.ServerOptions{Now: now.Now}).Start(t)
	c := login(t, r)
	now.advance(10*time.Minute - time.Second)
	if got := errorOf(c.any("ereg/getEvent")); got != nil {
		t.Errorf("a second before its end the token is refused: %v", got)
	}
	now.advance(time.Second)
	if got := errorOf(c.any("ereg/getEvent")); got["accesstoken"] == nil {
		t.Errorf("at its end the token gave %v, want error.accesstoken", got)
	}
	c = login(t, r)
	r.ExpireTokens()
	if got := errorOf(c.any("ereg/getEvent")); got["accesstoken"] == nil {
		t.Errorf("an ended token gave %v, want error.accesstoken", got)
	}
}

func TestExpiryHasManyFaces(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		expired string
		status  int
		text    string
	}{
		"the default key":        {"", 200, `{"error":{"accesstoken":"`},
		"another key":            {"authorization", 200, `{"error":{"authorization":"`},
		"a status":               {"401", 401, "<html>"},
		"forbidden":              {"403", 403, "<html>"},
		"the text of the lists":  {"ds", 200, `{"status":"error","msg":"Not authorized to access account 7700"}`},
		"the key of credentials": {"credentials", 200, `{"error":{"credentials":"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := stovatest.NewServer(stovatest.Generate(stovatest.Options{}), stovatest.ServerOptions{Expired: tt.expired}).Start(t)
			c := &client{t: t, base: r.EndPoint(), token: "old"}
			res := c.get("ereg/getEvent")
			body, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != tt.status || !strings.Contains(string(body), tt.text) {
				t.Errorf("got %d %s (%v), want %d %s", res.StatusCode, body, err, tt.status, tt.text)
			}
		})
	}
}

func TestOldTokensNeedEscapingAndTrimming(t *testing.T) {
	t.Parallel()
	e := stovatest.Generate(stovatest.Options{})
	r := stovatest.NewServer(e, stovatest.ServerOptions{LegacyTokens: true, TokenNewline: true}).Start(t)
	res, err := http.PostForm(r.EndPoint()+"/global/authorize.json", url.Values{"accountid": {e.AccountID}, "key": {e.Key}})
	token, _ := decode(t, res, err)["accesstoken"].(string)
	for _, part := range []string{"+", "/", "=", "\n"} {
		if !strings.Contains(token, part) {
			t.Errorf("the token has no %q", part)
		}
	}
	if got := errorOf(login(t, r).any("ereg/getEvent")); got != nil {
		t.Errorf("trimmed and escaped, the token is refused: %v", got)
	}
	raw, err := http.Get(r.EndPoint() + "/ereg/getEvent.json?eventid=" + e.ID + "&accesstoken=" + strings.TrimSpace(token))
	if got := errorOf(decode(t, raw, err)); got == nil {
		t.Error("unescaped, the token is taken; want it refused, since + means a blank")
	}
}
