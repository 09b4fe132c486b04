package preview_test

import (
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/preview"
)

func TestMask(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ value, want any }{
		"nothing stays nothing":                            {nil, nil},
		"an empty text stays empty":                        {"", ""},
		"blanks are no value":                              {"  ", ""},
		"one character is hidden":                          {"M", "…"},
		"two characters keep the first":                    {"XL", "X…"},
		"three characters keep the first":                  {"Ada", "A…"},
		"a text keeps its ends":                            {"alpha wing", "a…g"},
		"blanks around it do not count":                    {"  alpha ", "a…a"},
		"letters of any script are characters":             {"Łucja", "Ł…a"},
		"a text of four wide characters keeps its ends":    {"東京都港", "東…港"},
		"a mark belongs to the letter before it":           {"Zoe\u0308e\u0308", "Z…e"},
		"a line break is no character to show":             {"\nabc\n", "a…"},
		"an address keeps the ends of both parts":          {"person.1@example.test", "p…1@e…t"},
		"an address of short parts shows no more":          {"a@b", "…@…"},
		"two @ are no address":                             {"a@b@c.test", "a…t"},
		"a link keeps scheme and the ends of its host":     {"https://www.example.test/people/ada?id=7", "https://w…t/…"},
		"a link to a picture tells that it is one":         {"HTTP://example.test/ada.JPG?x=1", "http://e…t/….jpg"},
		"another scheme is content":                        {"secret://host/path", "s…h"},
		"a link with its user shows none of it":            {"https://ada:pass@example.test/", "https://a…t/"},
		"a picture keeps its ending":                       {"800000001_portrait.JPG", "8….jpg"},
		"a document keeps its ending":                      {"Łukasz CV.pdf", "Ł….pdf"},
		"an unknown ending is content":                     {"ada.lovely", "a…y"},
		"an ending alone is no file":                       {".jpg", ".…g"},
		"a date keeps its separators":                      {"2031-03-04", "2…-…-…4"},
		"a moment keeps its separators":                    {"2031-03-04T09:00:00Z", "2…-…-…T…:…:…0Z"},
		"a time keeps its separators":                      {"09:30", "0…:…0"},
		"a phone number keeps its separators":              {"+44|7700|900123", "+4…|…|…3"},
		"a number keeps its ends":                          {"800000001", "8…1"},
		"a small number keeps its first digit":             {"123", "1…"},
		"one digit is hidden":                              {"7", "…"},
		"the vendor's flags are shown":                     {"1", "1"},
		"separators that are letters count between digits": {"TZTZTZ1", "T…1"},
		"many runs of digits are one text":                 {"1.2.3.4.5.6.7.8.9.10", "1…0"},
		"HTML is told as such":                             {"<p>Ada was here</p>", "<…>"},
		"a lone angle bracket is text":                     {"one < two", "o…o"},
		"true and false are shown":                         {true, true},
		"a whole number becomes a text":                    {int64(4711), "4…1"},
		"a fraction becomes a text":                        {47.11, "4….…1"},
		"a list gives a list":                              {[]string{"Vegan", "No nuts", "1"}, []string{"V…n", "N…s", "1"}},
		"an empty list stays empty":                        {[]string{}, []string{}},
		"what no record holds is hidden":                   {map[string]any{"a": "secret"}, "…"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, preview.Mask(tt.value)); diff != "" {
				t.Errorf("Mask (-want +got):\n%s", diff)
			}
		})
	}
}

// readable is the longest run of letters and digits that a mask shows, its
// scheme and the ending of a file aside.
func readable(mask string) int {
	mask = strings.TrimPrefix(strings.TrimPrefix(mask, "https://"), "http://")
	if i := strings.LastIndex(mask, "…."); i >= 0 {
		mask = mask[:i]
	}
	most, now := 0, 0
	for _, r := range mask {
		now++
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			now = 0
		}
		most = max(most, now)
	}
	return most
}

func FuzzMaskShowsNoTwoCharactersInARow(f *testing.F) {
	for _, s := range []string{
		"", "a", "ab", "abc", "abcd", "person@example.test", "https://a.test/b.jpg", "2031-03-04T09:00:00Z", "1T2T3T4", "+44|7700|900123",
		"<b>x</b>", "a.jpg", "..jpg", "https://", "http://@", "@", "1Z", "\xff\xfe", "Zoe\u0308", "1234567890.5",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := preview.Mask(s).(string)
		if !ok {
			t.Fatalf("Mask gives %T for a text", preview.Mask(s))
		}
		// A T or Z may follow the one digit that is shown.
		if n := readable(got); n > 2 {
			t.Errorf("the mask %q shows %d characters in a row", got, n)
		}
		if n := len([]rune(got)); n > 40 && n > len([]rune(s)) {
			t.Errorf("the mask %q is longer than its text of %d characters", got, len([]rune(s)))
		}
	})
}
