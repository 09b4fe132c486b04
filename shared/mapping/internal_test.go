package mapping

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSlug(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Photo": "photo", " Profile  Photo! ": "profile_photo", "2nd choice?": "2nd_choice", "E-mail": "e_mail",
		"Фото (файл)": "фото_файл", "写真": "写真", "Cafe\u0301": "café", "Caf\u00e9": "café", "फ़ोटो": "फ़ोटो",
		"ÉTOILE": "étoile", "a__b": "a_b", "_a_": "a", "!!!": "", "": "", "GOLD & Silver": "gold_silver", "x\xffy": "x_y",
	} {
		if got := Slug(in); got != Slug(want) || ascii(want) && got != want {
			t.Errorf("Slug(%q) = %q, want %q", in, got, want)
		}
		if got := Slug(Slug(in)); got != Slug(in) {
			t.Errorf("Slug of the slug of %q = %q, want %q", in, got, Slug(in))
		}
	}
}

func TestLevelIDsAreShortAndApart(t *testing.T) {
	t.Parallel()
	long := levelID(strings.Repeat("é", 127) + " " + strings.Repeat("x", 50))
	if n := len([]rune(long)); n != 127 {
		t.Errorf("a long level's id has %d characters, want 127: the blank at the cut goes", n)
	}
	if a, b := levelID("★"), levelID("★★"); a == b || a == "" {
		t.Errorf("levels of signs have ids %q and %q", a, b)
	}
	if levelID("") != "" {
		t.Error("no level has an id")
	}
}

func TestHash(t *testing.T) {
	t.Parallel()
	same := [][2]map[string]any{
		{{"a": "x", "b": "y"}, {"b": "y", "a": "x"}},
		{{"n": int64(5)}, {"n": 5.0}},
		{{"n": int64(5)}, {"n": 5}},
		{{"l": []string{"a", "b"}}, {"l": []any{"a", "b"}}},
		{nil, {}},
	}
	for _, pair := range same {
		if Hash(pair[0], "active") != Hash(pair[1], "active") {
			t.Errorf("%v and %v have different hashes", pair[0], pair[1])
		}
	}
	seen := map[string]any{}
	for _, f := range []map[string]any{nil, {"a": "x"}, {"a": "y"}, {"b": "x"}, {"a": "x", "b": ""}, {"a": []string{"x"}}, {"a": []string{"x", "y"}},
		{"a": []string{"xy"}}, {"a": []string{}}, {"a": true}, {"a": false}, {"a": "true"}, {"a": int64(1)}, {"a": "1"}, {"a": 1.5}, {"a": int64(15)},
		{"a": "x1:f"}, {"ax": ""}, {"a": "bf1:ct1:d"}, {"a": "b", "c": "d"}} {
		for _, status := range []string{"active", "hidden"} {
			h := Hash(f, status)
			if len(h) != 32 || strings.Trim(h, "0123456789abcdef") != "" {
				t.Errorf("Hash = %q, want 32 hexadecimal digits", h)
			}
			if other, ok := seen[h]; ok {
				t.Errorf("%v %s has the hash of %v", f, status, other)
			}
			seen[h] = []any{f, status}
		}
	}
	// A changed hash rewrites every stored record: this one must never move
	// without that being meant.
	if got, want := Hash(map[string]any{"fname": "Ada", "n": int64(3), "tag": []string{"a"}, "ok": true}, "active"), "e63c1b0aa4957cdbe3ded6ca8ae4eb8d"; got != want {
		t.Errorf("Hash = %s, want %s", got, want)
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	names := []string{"fname", "lname", "company", "country", "email", "registrationstatus", "mphone", "wphone", "lastmodified"}
	for in, want := range map[string]string{"fnmae": "fname", "compnay": "company", "e-mail": "email", "zzzz": "", "Country": "country", "email": "",
		// By another name, by a part of it, and not by one of several.
		"first_name": "fname", "Surname": "lname", "organisation": "company", "registration": "registrationstatus", "status": "registrationstatus",
		"mobile": "mphone", "phone": "mphone", "e mail": "email", "photo_url": "", "category.short": "", "lastmodifed": "lastmodified", "LastModified": "lastmodified"} {
		if got := nearest(in, names); got != want {
			t.Errorf("nearest(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestWallTimes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ zone, wall, want string }{
		"an ordinary winter day":                      {"Europe/London", "2031-01-15 10:00:00", "2031-01-15T10:00:00Z"},
		"an ordinary summer day":                      {"America/New_York", "2031-07-15 10:00", "2031-07-15T10:00:00-04:00"},
		"just before clocks go forward":               {"America/New_York", "2031-03-09 01:59:59", "2031-03-09T01:59:59-05:00"},
		"a time that clocks skip moves by the gap":    {"America/New_York", "2031-03-09 02:30:00", "2031-03-09T03:30:00-04:00"},
		"just after clocks went forward":              {"America/New_York", "2031-03-09 03:00:00", "2031-03-09T03:00:00-04:00"},
		"a time that comes twice is the first":        {"America/New_York", "2031-11-02 01:30:00", "2031-11-02T01:30:00-04:00"},
		"just after the hour that came twice":         {"America/New_York", "2031-11-02 02:00:00", "2031-11-02T02:00:00-05:00"},
		"a change of half an hour":                    {"Australia/Lord_Howe", "2031-04-06 01:45:00", "2031-04-06T01:45:00+11:00"},
		"midnight that clocks skip":                   {"America/Santiago", "2031-09-07 00:15:00", "2031-09-07T01:15:00-03:00"},
		"an instant keeps its place":                  {"Europe/London", "2031-07-15T10:00:00+05:00", "2031-07-15T06:00:00+01:00"},
		"the time after a skipped day":                {"Pacific/Apia", "2011-12-31 09:00:00", "2011-12-31T09:00:00+14:00"},
		"twelve hours with a letter for the half day": {"Europe/London", "2031-01-15 1:05 pm", "2031-01-15T13:05:00Z"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			zone, err := time.LoadLocation(tt.zone)
			if err != nil {
				t.Fatal(err)
			}
			s, ok := readStamp(tt.wall)
			if !ok {
				t.Fatalf("%q is no stamp", tt.wall)
			}
			if got := s.in(zone).Format(time.RFC3339); got != tt.want {
				t.Errorf("%s in %s = %s, want %s", tt.wall, tt.zone, got, tt.want)
			}
		})
	}
}

func TestStampsThatAreNone(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", " ", "2031-03-04", "10:00:00", "2031-03-04 ", "2031-03-04 24:00:00", "2031-02-30 10:00:00",
		"0000-00-00 00:00:00", "0001-01-01 10:00:00", "0001-01-01T00:00:00Z", "soon", "04/03/2031 10:00"} {
		if got, ok := readStamp(s); ok {
			t.Errorf("%q was read as %v", s, got.t)
		}
	}
}

func TestZeroDates(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{"0000-00-00": true, "0001-01-01": true, "0000-00-00 00:00:00": true, "0001-01-01T00:00:00": true,
		"0001-01-01 00:00:00.000": true, "0001-01-01T00:00:00Z": true, "00:00:00": false, "0000-00-00 10:00:00": false, "0001-01-02": false,
		"2031-00-00": false, "0000": false, "": false, "0001-01-01 x": false} {
		if got := zeroDate([]byte(s)); got != want {
			t.Errorf("zeroDate(%q) = %v, want %v", s, got, want)
		}
	}
}

func TestPlainText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"no markup\nat all": "no markup\nat all", " <p>One</p><p>Two</p> ": "One\nTwo", "a<br/>b": "a\nb", "1 &lt; 2 &amp; 3": "1 < 2 & 3",
		"<style>p{}</style>x<script>alert(1)</script>y": "xy", "<b>bold</b> and <i>not</i>": "bold and not", "a\n  b": "a\n  b",
		"<p>a\n b</p>": "a b", "<ul><li>1<li>2</ul>": "1\n2", "<p": "", "&amp;amp;": "&amp;",
	} {
		if got := plainText(in); got != want {
			t.Errorf("plainText(%q) = %q, want %q", in, got, want)
		}
	}
}

// A column is spelled so that reading the spelling gives the column.
func TestSpellingsAreReadBack(t *testing.T) {
	t.Parallel()
	for _, path := range [][]string{{"fname"}, {"category", "name"}, {"responses", "7060"}, {"responses", "фото"}, {"responses", "2nd"},
		{"responses", "in"}, {"x", `quo"te`, "a b", "back\\slash", "tab\t"}, {"responses", "फ़ोटो"}} {
		c, ok := parseColumn(view{}, spell(path))
		if !ok {
			t.Errorf("%q spelled %s is no column", path, spell(path))
			continue
		}
		if diff := cmp.Diff(newColumn(view{}, path), c, cmp.AllowUnexported(column{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", spell(path), diff)
		}
	}
	for _, path := range [][]string{{"in"}, {"row"}, {"responses", "x"}, {"pick"}, {"a-b"}, {"let", "row"}, {""}} {
		c, ok := parseColumn(view{picks: true}, spellOwn(path))
		if !ok || c.root != rootRow || cmp.Diff(path, c.path) != "" {
			t.Errorf("own key %q spelled %s is read as %+v", path, spellOwn(path), c)
		}
	}
}
