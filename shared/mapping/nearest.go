package mapping

import (
	"slices"
	"strings"
)

// Nearest returns the name of names that was probably meant by s, or "" when
// none is near enough.
func Nearest(s string, names []string) string { return nearest(s, names) }

// nearest returns the name of names that was probably meant by s, or "" when
// none is near. Case, blanks, hyphens and underscores do not count; a third of
// the letters may be wrong, and two always. Where no spelling is near, it is
// the name for the same thing, or the only one that begins or ends like s.
func nearest(s string, names []string) string {
	folded := foldName(s)
	best, limit := "", max(2, len(folded)/3)+1
	for _, n := range names {
		d := edits(folded, foldName(n))
		if n != s && (d < limit || d == limit && best != "" && common(s, n) > common(s, best)) {
			best, limit = n, d
		}
	}
	if other := synonym(folded, names); other != "" && (best == "" || limit > 1) {
		return other
	}
	if best == "" {
		return alike(s, folded, names)
	}
	return best
}

func foldName(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToLower(s))
}

// common is the length of the beginning that two names share, in bytes.
func common(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// synonym returns the name in names for what people call by another word.
func synonym(folded string, names []string) string {
	for _, n := range synonyms()[folded] {
		if slices.Contains(names, n) {
			return n
		}
	}
	return ""
}

// synonyms are words that people use for what the vendor, and the target
// fields, call otherwise; the vendor's names first.
func synonyms() map[string][]string {
	return map[string][]string{
		"firstname": {"fname"}, "givenname": {"fname"}, "forename": {"fname"},
		"lastname": {"lname"}, "surname": {"lname"}, "familyname": {"lname"},
		"mail": {"email"}, "emailaddress": {"email"},
		"mobile": {"mphone", "phone"}, "mobilephone": {"mphone", "phone"}, "cell": {"mphone", "phone"},
		"telephone": {"wphone", "phone"}, "phone": {"mphone"},
		"organisation": {"company"}, "organization": {"company"}, "employer": {"company"},
		"jobtitle": {"title", "position"}, "job": {"title", "position"}, "salutation": {"prefix"},
		"status": {"registrationstatus"}, "picture": {"photo", "image"}, "headshot": {"photo", "image"},
		"biography": {"bio"}, "bio": {"biography"}, "homepage": {"website"}, "url": {"website"},
		"qr": {"external_qr_value"}, "qrcode": {"external_qr_value"}, "badge": {"external_qr_value"},
		"room": {"location"}, "track": {"tag"}, "speakers": {"presenters"}, "description": {"content", "desc"},
	}
}

// alike returns the only name that begins or ends with s, or the other way
// round; four letters must agree.
func alike(s, folded string, names []string) string {
	const letters = 4
	found := ""
	for _, n := range names {
		short, long := folded, foldName(n)
		if len(short) > len(long) {
			short, long = long, short
		}
		if n == s || len(short) < letters || !strings.HasPrefix(long, short) && !strings.HasSuffix(long, short) {
			continue
		}
		if found != "" {
			return ""
		}
		found = n
	}
	return found
}

// edits is the Levenshtein distance in runes, with a swap of neighbours
// counted as one edit, since it is the commonest slip.
func edits(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, last, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := range x {
		row[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(y)]
}
