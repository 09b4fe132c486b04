package photo_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"stovasync/shared/fault"
	"stovasync/shared/photo"
)

func pngOf(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 3, 2))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func jpegOf(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 3, 2)), nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gifOf(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := gif.Encode(&b, image.NewGray(image.Rect(0, 0, 3, 2)), nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// webpOf is the header of a lossless WebP of 3 by 2 pixels, which is all that is read.
func webpOf() []byte {
	return []byte("RIFF\x12\x00\x00\x00WEBPVP8L\x05\x00\x00\x00\x2f\x02\x40\x00\x00\x00")
}

// padded is a picture with n bytes after its end.
func padded(p []byte, n int) []byte { return append(bytes.Clone(p), make([]byte, n)...) }

func hashOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// private is how most tests fetch: from the loopback, without waiting.
func private(t testing.TB) photo.Config {
	return photo.Config{
		AllowedHosts: []string{"127.0.0.1"}, AllowPrivate: true,
		RetryBase: time.Nanosecond, TempDir: t.TempDir(), Concurrency: 2,
	}
}

func serve(t testing.TB, h http.HandlerFunc) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func send(b []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(b) }
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "Ada Invented", code) }
}

// fetch returns the outcome without its body, and the body.
func fetch(t testing.TB, c photo.Config, r photo.Request) (photo.Picture, []byte) {
	t.Helper()
	f := photo.New(c)
	t.Cleanup(f.Close)
	p, err := f.Fetch(t.Context(), r)
	if err != nil {
		t.Fatalf("Fetch: %v", err)
	}
	var body []byte
	if p.Body != nil {
		if body, err = io.ReadAll(p.Body); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(p.Close(), p.Close()); err != nil {
		t.Errorf("Close, twice: %v", err)
	}
	left, err := os.ReadDir(c.TempDir)
	if err != nil || len(left) > 0 {
		t.Errorf("temporary files left: %v, %v", left, err)
	}
	return p, body
}

func same(t testing.TB, want, got photo.Picture) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(photo.Picture{}, "Body"), cmpopts.IgnoreUnexported(photo.Picture{})); diff != "" {
		t.Errorf("picture (-want +got):\n%s", diff)
	}
}

func TestPicturesAreStored(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		body      []byte
		kind, ext string
	}{
		"a PNG is stored":                          {pngOf(t), "image/png", ".png"},
		"a JPEG is stored":                         {jpegOf(t), "image/jpeg", ".jpg"},
		"a GIF is stored":                          {gifOf(t), "image/gif", ".gif"},
		"a WebP is stored":                         {webpOf(), "image/webp", ".webp"},
		"a picture that fills the memory exactly":  {padded(pngOf(t), 256<<10-len(pngOf(t))), "image/png", ".png"},
		"a picture one byte over goes to a file":   {padded(pngOf(t), 256<<10-len(pngOf(t))+1), "image/png", ".png"},
		"a large picture goes to a file":           {padded(jpegOf(t), 3<<20), "image/jpeg", ".jpg"},
		"a picture of exactly the limit is stored": {padded(pngOf(t), 10<<20-len(pngOf(t))), "image/png", ".png"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// The type is told by the bytes, whatever the header says.
			base := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				w.Header().Set("ETag", `"v1"`)
				w.Header().Set("Last-Modified", "Wed, 01 Jan 2031 00:00:00 GMT")
				_, _ = w.Write(tt.body)
			})
			p, body := fetch(t, private(t), photo.Request{URL: base + "/a"})
			same(t, photo.Picture{
				State: photo.Stored, Hash: hashOf(tt.body), ContentType: tt.kind, Ext: tt.ext, Bytes: int64(len(tt.body)), Width: 3, Height: 2,
				ETag: `"v1"`, LastModified: "Wed, 01 Jan 2031 00:00:00 GMT",
			}, p)
			if !bytes.Equal(body, tt.body) {
				t.Errorf("body has %d bytes, want the %d sent", len(body), len(tt.body))
			}
		})
	}
}

func TestOutcomesThatAreNoPicture(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		serve http.HandlerFunc
		state photo.State
		code  fault.Code
	}{
		"HTML with 200 is rejected": {send([]byte("<html><body>Ada Invented</body></html>")), photo.Rejected, fault.PhotoType},
		"HTML that says it is a picture is rejected": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "image/png")
			send([]byte("<!DOCTYPE html>"))(w, nil)
		}, photo.Rejected, fault.PhotoType},
		"an empty body is rejected":                 {send(nil), photo.Rejected, fault.PhotoType},
		"no content is rejected":                    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, photo.Rejected, fault.PhotoType},
		"a picture of another type is rejected":     {send(append([]byte("BM"), make([]byte, 200)...)), photo.Rejected, fault.PhotoType},
		"a drawing in XML is rejected":              {send([]byte(`<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>`)), photo.Rejected, fault.PhotoType},
		"a header that does not decode is rejected": {send([]byte("\x89PNG\r\n\x1a\nAda Invented")), photo.Rejected, fault.PhotoType},
		"half a header is rejected":                 {send(jpegOf(t)[:20]), photo.Rejected, fault.PhotoType},
		"an endless page of zeros is rejected":      {endless(nil), photo.Rejected, fault.PhotoType},
		"an endless picture is rejected":            {endless(pngOf(t)), photo.Rejected, fault.PhotoTooLarge},
		"one byte over the limit is rejected":       {send(padded(pngOf(t), 10<<20+1-len(pngOf(t)))), photo.Rejected, fault.PhotoTooLarge},
		"an announced size over the limit is rejected": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99999999999")
			_, _ = w.Write(pngOf(t))
		}, photo.Rejected, fault.PhotoTooLarge},
		"401 is missing":                             {status(401), photo.Missing, ""},
		"403 is missing":                             {status(403), photo.Missing, ""},
		"404 is missing":                             {status(404), photo.Missing, ""},
		"410 is missing":                             {status(410), photo.Missing, ""},
		"another refusal is rejected":                {status(400), photo.Rejected, fault.PhotoType},
		"304 that nobody asked for is rejected":      {status(304), photo.Rejected, fault.PhotoType},
		"a redirect to nowhere is rejected":          {status(302), photo.Rejected, fault.PhotoHost},
		"a redirect that cannot be read is rejected": {redirect("http://[::1"), photo.Rejected, fault.PhotoHost},
		"a redirect to another host is rejected":     {redirect("https://elsewhere.example.test/ada"), photo.Rejected, fault.PhotoHost},
		"a redirect to another scheme is rejected":   {redirect("file:///etc/passwd"), photo.Rejected, fault.PhotoHost},
		"a redirect with a password is rejected":     {redirect("http://u:p@127.0.0.1/"), photo.Rejected, fault.PhotoHost},
		"redirects without end are rejected":         {redirect("/again"), photo.Rejected, fault.PhotoHost},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			base := serve(t, func(w http.ResponseWriter, r *http.Request) { asked.Add(1); tt.serve(w, r) })
			p, body := fetch(t, private(t), photo.Request{URL: base + "/ada-invented.jpg"})
			if p.State != tt.state || p.Reason.Code != tt.code || p.Reason.Text == "" || body != nil {
				t.Errorf("picture = %+v, want %s %s with a reason and no body", p, tt.state, tt.code)
			}
			if strings.Contains(strings.ToLower(p.Reason.Text), "ada") {
				t.Errorf("reason %q shows a name", p.Reason.Text)
			}
			if n := asked.Load(); n > 4 {
				t.Errorf("asked %d times, want no retries", n)
			}
		})
	}
}

// endless sends start and then zeros until the reader goes away.
func endless(start []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		_, err := w.Write(start)
		for zeros := make([]byte, 64<<10); err == nil; {
			_, err = w.Write(zeros)
		}
	}
}

func redirect(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusFound)
	}
}

func TestThreeRedirectsAreFollowed(t *testing.T) {
	t.Parallel()
	for hops, want := range map[int]photo.State{1: photo.Stored, 3: photo.Stored, 4: photo.Rejected} {
		base := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Referer")+r.Header.Get("Cookie") != "" {
				t.Errorf("a redirect carries headers of the page before: %v", r.Header)
			}
			var n int
			if _, err := fmt.Sscanf(r.URL.Path, "/%d", &n); err == nil && n < hops {
				http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
				redirect(fmt.Sprintf("/%d", n+1))(w, r)
				return
			}
			_, _ = w.Write(pngOf(t))
		})
		if p, _ := fetch(t, private(t), photo.Request{URL: base + "/0"}); p.State != want {
			t.Errorf("after %d redirects: %+v, want %s", hops, p, want)
		}
	}
}

func TestConditionalRequests(t *testing.T) {
	t.Parallel()
	body := pngOf(t)
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("If-None-Match") == `"v1"`:
			w.Header().Set("ETag", `"v2"`)
			w.WriteHeader(http.StatusNotModified)
		case r.Header.Get("If-Modified-Since") != "":
			w.WriteHeader(http.StatusNotModified)
		default:
			w.Header().Set("ETag", `"v3"`)
			_, _ = w.Write(body)
		}
	})
	stored := photo.Picture{State: photo.Stored, Hash: hashOf(body), ContentType: "image/png", Ext: ".png", Bytes: int64(len(body)), Width: 3, Height: 2, ETag: `"v3"`}
	again := stored
	again.State = photo.Unchanged
	tests := map[string]struct {
		known photo.Request
		want  photo.Picture
	}{
		"304 to an ETag is unchanged, with the new validator":        {photo.Request{ETag: `"v1"`, Hash: "abc"}, photo.Picture{State: photo.Unchanged, Hash: "abc", ETag: `"v2"`}},
		"304 to a date is unchanged":                                 {photo.Request{LastModified: "Wed, 01 Jan 2031 00:00:00 GMT", Hash: "abc"}, photo.Picture{State: photo.Unchanged, Hash: "abc", LastModified: "Wed, 01 Jan 2031 00:00:00 GMT"}},
		"200 with the known hash is unchanged, with a new validator": {photo.Request{ETag: `"old"`, Hash: hashOf(body)}, again},
		"200 with another hash is stored":                            {photo.Request{ETag: `"old"`, Hash: "abc"}, stored},
		"a validator that cannot be a header is not sent":            {photo.Request{ETag: "a\r\nX: y", Hash: "abc"}, stored},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.known.URL = base + "/a"
			p, _ := fetch(t, private(t), tt.known)
			same(t, tt.want, p)
		})
	}
}

func TestFailuresThatMayPassAreTriedAgain(t *testing.T) {
	t.Parallel()
	cut := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "5000")
		_, _ = w.Write(padded(pngOf(t), 1000))
	}
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	slow := func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(padded(pngOf(t), 1000))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	drop := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	tests := map[string]struct {
		serve http.HandlerFunc
		code  fault.Code
	}{
		"500":                    {status(500), fault.StovaServer},
		"502":                    {status(502), fault.StovaServer},
		"a dropped connection":   {drop, fault.StovaServer},
		"429":                    {status(429), fault.StovaRate},
		"408":                    {status(408), fault.StovaTimeout},
		"no answer":              {hang, fault.StovaTimeout},
		"a body that stops":      {slow, fault.StovaTimeout},
		"a body that is cut off": {cut, fault.StovaBody},
		"a large body cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5000000")
			_, _ = w.Write(padded(pngOf(t), 1<<20))
		}, fault.StovaBody},
		"a body cut off at once": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "9") }, fault.StovaBody},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			mended := make(chan struct{})
			base := serve(t, func(w http.ResponseWriter, r *http.Request) {
				select {
				case <-mended:
					send(pngOf(t))(w, r)
				default:
					tt.serve(w, r)
				}
			})
			c := private(t)
			if tt.code == fault.StovaTimeout {
				c.Timeout = 300 * time.Millisecond
			}
			network := &http.Transport{}
			defer network.CloseIdleConnections()
			c.Transport = transport(func(r *http.Request) (*http.Response, error) { asked.Add(1); return network.RoundTrip(r) })
			f := photo.New(c)
			defer f.Close()
			_, err := f.Fetch(t.Context(), photo.Request{URL: base + "/ada-invented.jpg?t=INVENTED"})
			if fault.CodeOf(err) != tt.code || asked.Load() != 5 {
				t.Errorf("error = %v after %d tries, want %s after 5", err, asked.Load(), tt.code)
			}
			if s := fmt.Sprintf("%v %+v", err, err); strings.Contains(strings.ToLower(s), "invented") {
				t.Errorf("error shows the address: %s", s)
			}
			close(mended)
			p, err := f.Fetch(t.Context(), photo.Request{URL: base})
			if err != nil || p.State != photo.Stored {
				t.Errorf("when mended: %+v, %v; want it stored", p, err)
			}
			_ = p.Close()
			if left, _ := os.ReadDir(c.TempDir); len(left) > 0 {
				t.Errorf("temporary files left: %v", left)
			}
		})
	}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answers plays one answer after the other, the last for ever.
func answers(list ...*http.Response) transport {
	n := 0
	return func(*http.Request) (*http.Response, error) {
		r := *list[min(n, len(list)-1)]
		n++
		r.Body = http.NoBody
		return &r, nil
	}
}

func answer(code int, header ...string) *http.Response {
	r := &http.Response{StatusCode: code, Header: http.Header{}}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func TestWaits(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answers  []*http.Response
		deadline time.Duration
		waited   time.Duration
		after    time.Duration // what RetryAfter tells
		code     fault.Code    // "" when it succeeds at last
	}{
		"5xx waits double":                           {[]*http.Response{answer(500)}, 0, 15 * time.Second, 0, fault.StovaServer},
		"429 waits 15 times the base":                {[]*http.Response{answer(429), answer(404)}, 0, 30 * time.Second, 0, ""},
		"Retry-After in seconds is kept":             {[]*http.Response{answer(429, "Retry-After", "7"), answer(404)}, 0, 7 * time.Second, 0, ""},
		"Retry-After of a 503 is kept":               {[]*http.Response{answer(503, "Retry-After", "9"), answer(404)}, 0, 9 * time.Second, 0, ""},
		"Retry-After as a date is kept":              {[]*http.Response{answer(429, "Retry-After", "Sat, 01 Jan 2000 00:00:30 GMT"), answer(404)}, 0, 30 * time.Second, 0, ""},
		"a wait beyond the deadline is not begun":    {[]*http.Response{answer(429, "Retry-After", "60")}, 20 * time.Second, 0, 60 * time.Second, fault.StovaRate},
		"a very long wait is left to the caller":     {[]*http.Response{answer(429, "Retry-After", "3600")}, 0, 0, time.Hour, fault.StovaRate},
		"a first failure that passes costs one wait": {[]*http.Response{answer(500), answer(404)}, 0, time.Second, 0, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := photo.New(photo.Config{
					AllowedHosts: []string{"example.test"}, Transport: answers(tt.answers...), RetryBase: 2 * time.Second,
					Rand: func() float64 { return 0.5 },
				})
				ctx := t.Context()
				if tt.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.deadline)
					defer cancel()
				}
				start := time.Now()
				_, err := f.Fetch(ctx, photo.Request{URL: "https://example.test/a"})
				if got := time.Since(start); got != tt.waited {
					t.Errorf("waited %v, want %v", got, tt.waited)
				}
				if fault.CodeOf(err) != tt.code || photo.RetryAfter(err) != tt.after {
					t.Errorf("error = %v, after %v; want %q, after %v", err, photo.RetryAfter(err), tt.code, tt.after)
				}
			})
		})
	}
}

func TestCancelledFetchEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	base := serve(t, func(_ http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() })
	_, err := photo.New(private(t)).Fetch(ctx, photo.Request{URL: base})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want it cancelled", err)
	}
}

func TestPrivateAddressesAreRefused(t *testing.T) {
	t.Parallel()
	asked := false
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer server.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "https://"), ":")
	for _, host := range []string{
		"127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255",
		"[::1]", "[::]", "[fe80::1]", "[fd00::1]", "[ff02::1]", "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]",
		"2130706433", "0x7f000001", "127.1", "017700000001", "１２７.0.0.1", "127.0.0.1.", "localhost", "[fe80::1%25eth0]",
	} {
		allowed := []string{strings.Trim(host, "[]"), "localhost", "2130706433", "127.0.0.1"}
		p, _ := fetch(t, photo.Config{AllowedHosts: allowed, TempDir: t.TempDir(), RetryBase: time.Nanosecond}, photo.Request{URL: "https://" + host + ":" + port + "/"})
		if p.State != photo.Rejected || p.Reason.Code != fault.PhotoHost {
			t.Errorf("%s: %+v, want rejected as PHOTO_HOST", host, p)
		}
	}
	if asked {
		t.Error("a private address was asked")
	}
}

func TestRedirectsToPrivateAddressesAreRefused(t *testing.T) {
	t.Parallel()
	for _, to := range []string{"https://127.0.0.1/", "https://169.254.169.254/latest/", "https://[::1]/", "https://10.0.0.1/", "https://2130706433/", "https://0.0.0.0/", "http://eu.example.test/", "//127.0.0.1/"} {
		asked := 0
		c := photo.Config{
			// Even where the list names them.
			AllowedHosts: []string{"example.test", "127.0.0.1", "169.254.169.254", "::1", "10.0.0.1", "0.0.0.0"}, TempDir: t.TempDir(),
			Transport: transport(func(r *http.Request) (*http.Response, error) {
				asked++
				res := answer(302, "Location", to)
				res.Body = http.NoBody
				return res, nil
			}),
		}
		p, _ := fetch(t, c, photo.Request{URL: "https://eu.example.test/a"})
		if p.State != photo.Rejected || p.Reason.Code != fault.PhotoHost || asked != 1 {
			t.Errorf("redirect to %s: %+v after %d requests, want PHOTO_HOST after 1", to, p, asked)
		}
	}
}

func TestHostsThatAreNotAllowed(t *testing.T) {
	t.Parallel()
	const list = "Eventscloud.com:443"
	tests := map[string]bool{
		"https://eventscloud.com/a":             true,
		"https://EU.EventsCloud.COM/a":          true,
		"https://eu.eventscloud.com./a":         true,
		"https://eu.eventscloud.com:8443/a":     true,
		"https://a.b.eventscloud.com/a":         true,
		"https://evil-eventscloud.com/a":        false,
		"https://eventscloud.com.evil.test/a":   false,
		"https://eventscloud.co/a":              false,
		"https://u@eventscloud.com/a":           false,
		"https://u:p@eventscloud.com/a":         false,
		"https://eventscloud.com@evil.test/a":   false,
		"https://eventscloud.com%2eevil.test/a": false,
		"https://evil.test#.eventscloud.com/a":  false,
		"https://evil.test?.eventscloud.com/a":  false,
		"https://evil.test\\.eventscloud.com/a": false,
		"http://eventscloud.com/a":              false,
		"ftp://eventscloud.com/a":               false,
		"https:eventscloud.com/a":               false,
		"https:///a":                            false,
		"//eventscloud.com/a":                   false,
		"":                                      false,
		"https://еventscloud.com/a":             false, // a Cyrillic letter
		"https://eventscloud。com/a":             true,  // the ideographic dot is a dot in host names
		"https://[eventscloud.com]/a":           false,
	}
	for in, want := range tests {
		asked := false
		c := photo.Config{AllowedHosts: []string{list}, TempDir: t.TempDir(), Transport: transport(func(*http.Request) (*http.Response, error) {
			asked = true
			res := answer(404)
			res.Body = http.NoBody
			return res, nil
		})}
		p, _ := fetch(t, c, photo.Request{URL: in})
		if asked != want || !want && p.Reason.Code != fault.PhotoHost {
			t.Errorf("%q: asked %v, want %v; %+v", in, asked, want, p)
		}
	}
}

func TestMemoryAndFilesOfManyPicturesInHand(t *testing.T) {
	t.Parallel()
	body := pngOf(t)
	base := serve(t, send(body))
	c := private(t)
	f := photo.New(c)
	defer f.Close()
	var held []photo.Picture
	for range 10 {
		p, err := f.Fetch(t.Context(), photo.Request{URL: base})
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, p)
	}
	files, err := os.ReadDir(c.TempDir)
	if err != nil || len(files) != 10-c.Concurrency {
		t.Errorf("%d files, %v; want all but the %d pictures in memory", len(files), err, c.Concurrency)
	}
	for _, p := range held {
		got, err := io.ReadAll(p.Body)
		if err != nil || !bytes.Equal(got, body) {
			t.Errorf("body = %d bytes, %v; want the picture", len(got), err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	if files, _ := os.ReadDir(c.TempDir); len(files) != 0 {
		t.Errorf("%d files left after Close", len(files))
	}
}

func TestConcurrencyIsLimited(t *testing.T) {
	t.Parallel()
	var now, most atomic.Int32
	full := make(chan struct{})
	var once sync.Once
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if n == 2 {
			once.Do(func() { close(full) })
		}
		<-full // the first waits for the second, so that both are under way at once
		send(pngOf(t))(w, r)
	})
	f := photo.New(private(t))
	defer f.Close()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			p, err := f.Fetch(t.Context(), photo.Request{URL: base})
			if err != nil || p.State != photo.Stored {
				t.Errorf("picture = %+v, %v", p, err)
			}
			_ = p.Close()
		})
	}
	wg.Wait()
	if got := most.Load(); got != 2 {
		t.Errorf("%d downloads at once, want 2", got)
	}
}

func TestATemporaryFolderThatIsGoneIsTold(t *testing.T) {
	t.Parallel()
	base := serve(t, send(padded(pngOf(t), 1<<20)))
	c := private(t)
	c.TempDir += "/gone"
	_, err := photo.New(c).Fetch(t.Context(), photo.Request{URL: base})
	if fault.CodeOf(err) != fault.StoreUnavailable {
		t.Errorf("error = %v, want STORE_UNAVAILABLE", err)
	}
}

func BenchmarkFetchSmall(b *testing.B) {
	u, err := url.Parse(serve(b, send(padded(pngOf(b), 4096))))
	if err != nil {
		b.Fatal(err)
	}
	f := photo.New(private(b))
	defer f.Close()
	b.ReportAllocs()
	for b.Loop() {
		p, err := f.Fetch(b.Context(), photo.Request{URL: u.String()})
		if err != nil {
			b.Fatal(err)
		}
		_ = p.Close()
	}
}
