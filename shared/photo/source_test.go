package photo_test

import (
	"net/url"
	"strings"
	"testing"

	"stovasync/shared/fault"
	"stovasync/shared/photo"
)

func TestSourceURL(t *testing.T) {
	t.Parallel()
	const base = "https://eu.eventscloud.com/ereg/uploadfiles/"
	const image = "https://eu.eventscloud.com/image.php?acc={accountid}&id={id}"
	tests := map[string]struct{ template, value, want string }{
		"a name is put under the base":                 {base, "a.jpg", base + "a.jpg"},
		"one slash stands between them":                {strings.TrimSuffix(base, "/"), "/a.jpg", base + "a.jpg"},
		"a value with two slashes names a host":        {base + "//", "//a.jpg", ""},
		"a path keeps its segments":                    {base, "7700/a b/c.jpg", base + "7700/a%20b/c.jpg"},
		"a name is encoded":                            {base, "100% é?x#y&z.jpg", base + "100%25%20%C3%A9%3Fx%23y&z.jpg"},
		"an encoded name is encoded again":             {base, "a%20b.jpg", base + "a%2520b.jpg"},
		"a backslash is part of a name":                {base, `a\b.jpg`, base + "a%5Cb.jpg"},
		"an id fills a query":                          {image, "12 &b=c", "https://eu.eventscloud.com/image.php?acc=7700&id=12+%26b%3Dc"},
		"a name fills a path":                          {"https://eu.eventscloud.com/{eventid}/{name}?size=1", "a/b c.jpg", "https://eu.eventscloud.com/900100001/a/b%20c.jpg?size=1"},
		"a template without id and name is a base":     {"https://eu.eventscloud.com/{accountid}", "a.jpg", "https://eu.eventscloud.com/7700/a.jpg"},
		"a base with a query is continued":             {"https://eu.eventscloud.com/image.php?id=", "a/b", "https://eu.eventscloud.com/image.php?id=a%2Fb"},
		"a base is a host alone":                       {"https://eu.eventscloud.com", "a.jpg", "https://eu.eventscloud.com/a.jpg"},
		"a whole address on an allowed host is kept":   {base, "https://na.eventscloud.com/x.php?a=1&amp;b=2", "https://na.eventscloud.com/x.php?a=1&b=2"},
		"entities but &amp; are left alone":            {base, "https://na.eventscloud.com/x.php?a=1&copy=2", "https://na.eventscloud.com/x.php?a=1&copy=2"},
		"a host comes out in normal form":              {base, "https://NA.eventscloud。com.:8443/x", "https://na.eventscloud.com:8443/x"},
		"an address without scheme is https":           {base, "//na.eventscloud.com/x", "https://na.eventscloud.com/x"},
		"a fragment is dropped":                        {base, "https://na.eventscloud.com/x#y", "https://na.eventscloud.com/x"},
		"blanks around the value are dropped":          {base, "  a.jpg\n", base + "a.jpg"},
		"an address elsewhere is refused":              {base, "https://evil-eventscloud.com/x", ""},
		"an address with a user is refused":            {base, "https://a@na.eventscloud.com/x", ""},
		"another scheme is refused":                    {base, "javascript:alert(1)", ""},
		"data is refused":                              {base, "data:image/png;base64,AAAA", ""},
		"a path upwards is refused":                    {base, "../a.jpg", ""},
		"a path upwards in the middle is refused":      {base, "a/../../b.jpg", ""},
		"an encoded path upwards is refused":           {base, "%2e%2e/a.jpg", ""},
		"a path upwards encoded twice is refused":      {base, "%252e%252e/a.jpg", ""},
		"a path upwards on an allowed host is refused": {base, "https://na.eventscloud.com/a/%2e%2e/b", ""},
		"a path upwards by entities is refused":        {base, "&period;&period;/a", ""},
		"a line break is refused":                      {base, "a\nb.jpg", ""},
		"an empty value is refused":                    {base, "  ", ""},
		"a value of slashes is refused":                {base, "/", ""},
		"a base elsewhere is refused":                  {"https://evil.example.test/", "a.jpg", ""},
		"a base without scheme is refused":             {"eu.eventscloud.com/", "a.jpg", ""},
		"a base with a path upwards is refused":        {"https://eu.eventscloud.com/a/../", "b", ""},
		"a placeholder in the host is refused":         {"https://{id}.eventscloud.com/", "a", ""},
		"an unknown placeholder is refused":            {base + "{nam}", "a", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := photo.SourceURL(tt.template, photo.Values{AccountID: "7700", EventID: "900100001", Value: tt.value}, []string{"eventscloud.com"})
			if got != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("SourceURL(%q, %q) = %q, %v; want %q", tt.template, tt.value, got, err, tt.want)
			}
			if err != nil && (fault.CodeOf(err) != fault.PhotoHost || len(tt.value) > 2 && strings.Contains(err.Error(), tt.value)) {
				t.Errorf("error = %v, want PHOTO_HOST without the value", err)
			}
		})
	}
	t.Run("id and name may differ from the value", func(t *testing.T) {
		t.Parallel()
		got, err := photo.SourceURL("https://eu.eventscloud.com/{name}?id={id}", photo.Values{ID: "1", Name: "b.jpg", Value: "c"}, []string{"eventscloud.com"})
		if err != nil || got != "https://eu.eventscloud.com/b.jpg?id=1" {
			t.Errorf("SourceURL = %q, %v", got, err)
		}
	})
}

// FuzzSourceURL: whatever the template and the value, what comes out is on an
// allowed host, has no user and no way upwards.
func FuzzSourceURL(f *testing.F) {
	for _, template := range []string{"https://eu.eventscloud.com/ereg/uploadfiles/", "https://eu.eventscloud.com/image.php?acc={accountid}&id={id}", "https://eu.eventscloud.com/{name}", "https://eu.eventscloud.com"} {
		for _, value := range []string{"a.jpg", "../a", "%2e%2e/", "//evil.test/", `\\evil.test\a`, "https://evil.test/", "https://na.eventscloud.com/a?b=%2e.", "@evil.test", "x:y", ".", "\u202e", "１２７.0.0.1", "a&amp;b", "%zz..", "https://na.eventscloud.com:1/%2f%2e%2e"} {
			f.Add(template, value, "1", "")
		}
	}
	f.Fuzz(func(t *testing.T, template, value, id, name string) {
		got, err := photo.SourceURL(template, photo.Values{AccountID: "7700", EventID: "9", ID: id, Name: name, Value: value}, []string{"eventscloud.com"})
		if err != nil {
			return
		}
		u, err := url.Parse(got)
		if err != nil {
			t.Fatalf("SourceURL = %q: %v", got, err)
		}
		host := u.Hostname()
		if u.Scheme != "https" && u.Scheme != "http" || u.User != nil || host != "eventscloud.com" && !strings.HasSuffix(host, ".eventscloud.com") {
			t.Errorf("SourceURL = %q, which is not on an allowed host", got)
		}
		if strings.Contains(got, "..") || strings.Contains(u.Path, "..") {
			t.Errorf("SourceURL = %q, which leads upwards", got)
		}
	})
}
