package stovatest_test

import (
	"bytes"
	"image"
	_ "image/gif"
	_ "image/jpeg"
	_ "image/png"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	_ "golang.org/x/image/webp"

	"stovasync/shared/stova/stovatest"
)

// fetch gets a picture's address, with headers in pairs.
func fetch(t testing.TB, address string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, body
}

func TestUploadsAreRealPictures(t *testing.T) {
	t.Parallel()
	e := stovatest.Generate(stovatest.Options{Attendees: 60, Oddities: true})
	r := stovatest.NewServer(e, stovatest.ServerOptions{}).Start(t)
	formats, bodies := map[string]int{}, map[string]string{}
	for _, p := range e.People {
		if p.Photo == "" || e.Pictures[p.Photo].Fault != "" {
			continue
		}
		res, body := fetch(t, r.PersonPhotos()+url.PathEscape(p.Photo))
		img, format, err := image.Decode(bytes.NewReader(body))
		if err != nil || img.Bounds().Dx() != 48 || img.Bounds().Dy() != 48 {
			t.Errorf("picture of %s: %v", p.ID, err)
		}
		if got := res.Header.Get("Content-Type"); got != "image/"+format {
			t.Errorf("picture of %s: type %s for a %s", p.ID, got, format)
		}
		if res.ContentLength != int64(len(body)) {
			t.Errorf("picture of %s: Content-Length %d for %d bytes", p.ID, res.ContentLength, len(body))
		}
		if other := bodies[string(body)]; other != "" {
			t.Errorf("pictures of %s and %s are the same", p.ID, other)
		}
		formats[format]++
		bodies[string(body)] = p.ID
	}
	for _, format := range []string{"jpeg", "png", "gif", "webp"} {
		if formats[format] == 0 {
			t.Errorf("no picture is a %s", format)
		}
	}
	if got := r.Downloads()["uploadfiles"]; got != len(bodies) || r.Total() != 0 {
		t.Errorf("%d downloads and %d API calls counted, want %d and none", got, r.Total(), len(bodies))
	}
}

func TestSpeakerImagesComeByRedirect(t *testing.T) {
	t.Parallel()
	r := stovatest.NewServer(stovatest.Generate(stovatest.Options{}), stovatest.ServerOptions{}).Start(t)
	res, body := fetch(t, r.URL()+"/image.php?acc=7700&id=555001")
	if _, format, err := image.Decode(bytes.NewReader(body)); err != nil || format != "jpeg" {
		t.Errorf("got a %q (%v), want a jpeg", format, err)
	}
	if p := res.Request.URL.Path; !strings.HasPrefix(p, "/file_uploads/") || !strings.HasSuffix(p, "_speaker555001.jpg") {
		t.Errorf("the picture is at %s", p)
	}
	if got := r.Downloads(); got["image.php"] != 1 || got["file_uploads"] != 1 {
		t.Errorf("downloads are %v, want one of each", got)
	}
}

func TestPicturesAreSentOnlyWhenTheyChanged(t *testing.T) {
	t.Parallel()
	e := stovatest.Generate(stovatest.Options{})
	photo := find(t, e, func(p *stovatest.Person) bool { return p.Photo != "" }).Photo
	r := stovatest.NewServer(e, stovatest.ServerOptions{}).Start(t)
	first, before := fetch(t, r.PersonPhotos()+photo)
	etag, at := first.Header.Get("ETag"), first.Header.Get("Last-Modified")
	for name, header := range map[string][]string{"by tag": {"If-None-Match", etag}, "by date": {"If-Modified-Since", at}} {
		if res, body := fetch(t, r.PersonPhotos()+photo, header...); res.StatusCode != http.StatusNotModified || len(body) > 0 {
			t.Errorf("%s: status %d with %d bytes, want 304 with none", name, res.StatusCode, len(body))
		}
	}
	r.Edit(func(e *stovatest.Event) { e.NewPicture(photo) })
	for name, header := range map[string][]string{"by tag": {"If-None-Match", etag}, "by date": {"If-Modified-Since", at}} {
		res, after := fetch(t, r.PersonPhotos()+photo, header...)
		if res.StatusCode != http.StatusOK || bytes.Equal(before, after) || res.Header.Get("ETag") == etag {
			t.Errorf("changed, %s: status %d, same bytes: %v", name, res.StatusCode, bytes.Equal(before, after))
		}
	}
}

func TestPicturesFailInEveryWay(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		status int
		ok     func(res *http.Response, body []byte) bool
	}{
		"html":  {200, func(_ *http.Response, body []byte) bool { return bytes.HasPrefix(body, []byte("<!DOCTYPE")) }},
		"404":   {404, nil},
		"401":   {401, nil},
		"403":   {403, nil},
		"500":   {500, nil},
		"empty": {200, func(_ *http.Response, body []byte) bool { return len(body) == 0 }},
		"large": {200, func(_ *http.Response, body []byte) bool { return len(body) == 11<<20 }},
		"text":  {200, func(res *http.Response, _ []byte) bool { return res.Header.Get("Content-Type") == "image/jpeg" }},
		"pixel": {200, func(_ *http.Response, body []byte) bool {
			c, _, err := image.DecodeConfig(bytes.NewReader(body))
			return err == nil && c.Width == 1
		}},
	}
	for mode, tt := range tests {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			e := stovatest.Generate(stovatest.Options{})
			photo := find(t, e, func(p *stovatest.Person) bool { return p.Photo != "" }).Photo
			s := stovatest.NewServer(e, stovatest.ServerOptions{})
			r := s.Start(t)
			check := func(how string) {
				res, body := fetch(t, r.PersonPhotos()+photo)
				if res.StatusCode != tt.status || (tt.ok != nil && !tt.ok(res, body)) {
					t.Errorf("%s: status %d with %d bytes", how, res.StatusCode, len(body))
				}
			}
			remove := s.Fault(parse(t, "picture:mode="+mode+",id="+photo))
			check("by fault")
			remove()
			s.Edit(func(e *stovatest.Event) { e.BreakPicture(photo, mode) })
			check("by edit")
			s.Edit(func(e *stovatest.Event) { e.BreakPicture(photo, "") })
			if res, _ := fetch(t, r.PersonPhotos()+photo); res.StatusCode != http.StatusOK {
				t.Errorf("mended: status %d", res.StatusCode)
			}
		})
	}
}

func TestEndlessPicturesOutgrowEveryLimit(t *testing.T) {
	t.Parallel()
	e := stovatest.Generate(stovatest.Options{})
	photo := find(t, e, func(p *stovatest.Person) bool { return p.Photo != "" }).Photo
	s := stovatest.NewServer(e, stovatest.ServerOptions{Faults: []stovatest.Fault{parse(t, "picture:mode=endless")}})
	res, err := http.Get(s.Start(t).PersonPhotos() + photo)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if n, err := io.CopyN(io.Discard, res.Body, 20<<20); err != nil || res.ContentLength >= 0 {
		t.Errorf("read %d bytes (%v) of a length told as %d, want 20 MB and no length", n, err, res.ContentLength)
	}
}

func TestPicturesMayLeadToAnotherHost(t *testing.T) {
	t.Parallel()
	s := stovatest.NewServer(stovatest.Generate(stovatest.Options{}), stovatest.ServerOptions{})
	s.Fault(parse(t, "picture:mode=redirect,to=http://elsewhere.example.test/x.jpg,endpoint=image.php"))
	stay := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := stay.Get(s.Start(t).URL() + "/image.php?acc=7700&id=555001")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got := res.Header.Get("Location"); res.StatusCode != http.StatusFound || got != "http://elsewhere.example.test/x.jpg" {
		t.Errorf("got %d to %s", res.StatusCode, got)
	}
}

func TestUnknownPictures(t *testing.T) {
	t.Parallel()
	for unknown, want := range map[string]int{"": 404, "html": 200, "pixel": 200} {
		r := stovatest.NewServer(stovatest.Generate(stovatest.Options{}), stovatest.ServerOptions{UnknownImage: unknown}).Start(t)
		if res, _ := fetch(t, r.URL()+"/image.php?acc=7700&id=1"); res.StatusCode != want {
			t.Errorf("image id with %q: status %d, want %d", unknown, res.StatusCode, want)
		}
		if res, _ := fetch(t, r.PersonPhotos()+"nobody.jpg"); res.StatusCode != http.StatusNotFound {
			t.Errorf("file with %q: status %d, want 404", unknown, res.StatusCode)
		}
	}
}
