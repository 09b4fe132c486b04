package preview

import (
	"fmt"
	"path"
	"strings"
	"unicode"
)

// cut stands for what is not shown.
const cut = "…"

// Mask hides a value and leaves its shape, so that people see what kind of
// thing a column holds and nobody learns what it says (P19). At most the first
// and the last character of a text are left, of an e-mail address those of both
// its parts; a text of two or three characters keeps its first. The separators
// of dates, times and phone numbers, the scheme of an address, and the ending
// of the name of a picture or document stay. HTML is <…>. true, false, and the
// vendor's flags "0" and "1" stay what they are; numbers become texts. A list
// gives a list.
//
// Values are those of records and rows: nil, string, bool, int64, float64 or
// []string. Of anything else nothing is shown.
func Mask(value any) any {
	switch v := value.(type) {
	case nil, bool:
		return v
	case string:
		return maskText(v)
	case int, int64, float64:
		return maskText(fmt.Sprint(v))
	case []string:
		out := make([]string, len(v))
		for i, s := range v {
			out[i] = maskText(s)
		}
		return out
	default:
		return cut
	}
}

func maskText(s string) string {
	s = strings.TrimSpace(s)
	switch shape := shapeOf(s); shape {
	case shapeFlag:
		return s
	case shapeHTML:
		return "<" + cut + ">"
	case shapeURL:
		return maskURL(s)
	case shapeEmail:
		local, domain, _ := strings.Cut(s, "@")
		return ends(local) + "@" + ends(domain)
	case shapeFile:
		return string([]rune(s)[:1]) + cut + extension(s)
	case shapeDigits:
		return maskDigits(s)
	default:
		return ends(s)
	}
}

// shape is what a text looks like.
type shape int

const (
	shapeText   shape = iota
	shapeFlag         // 0 or 1
	shapeHTML         // holds a tag
	shapeURL          // has a scheme and a host
	shapeEmail        // one @ between two parts
	shapeFile         // ends as names of pictures and documents do
	shapeDigits       // digits and what separates them
)

// shapeOf looks at a text without white space at its ends.
func shapeOf(s string) shape {
	switch {
	case s == "0" || s == "1":
		return shapeFlag
	case hasTag(s):
		return shapeHTML
	case isURL(s):
		return shapeURL
	case isEmail(s):
		return shapeEmail
	case extension(s) != "":
		return shapeFile
	case isDigits(s):
		return shapeDigits
	default:
		return shapeText
	}
}

// hasTag reports whether a text holds something that looks like an HTML tag.
func hasTag(s string) bool {
	for rest := s; ; {
		i := strings.IndexByte(rest, '<')
		if i < 0 || i+1 >= len(rest) {
			return false
		}
		rest = rest[i+1:]
		if c := rest[0]; (c == '/' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') && strings.IndexByte(rest, '>') > 0 {
			return true
		}
	}
}

func isURL(s string) bool {
	lower := strings.ToLower(s)
	return (strings.HasPrefix(lower, "http://") || strings.HasPrefix(lower, "https://")) && !strings.ContainsAny(s, " \t\n")
}

func isEmail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && domain != "" && !strings.ContainsAny(s, " \t\n<>,;") && !strings.Contains(domain, "@")
}

// The endings that tell a file's kind.
const (
	pictures  = " .jpg .jpeg .png .gif .webp .bmp .heic .tif .tiff .svg "
	documents = " .pdf .doc .docx .xls .xlsx .ppt .pptx .txt .zip "
)

// extension is the ending of a file's name, in lower case and with its dot; ""
// of what is no name of a picture or document.
func extension(s string) string {
	ext := strings.ToLower(path.Ext(s))
	if ext == "" || len(ext) == len(s) || !strings.Contains(pictures+documents, " "+ext+" ") {
		return ""
	}
	return ext
}

// separators stand between the digits of dates, times, phones and amounts.
const separators = "-/:.,+|() "

// isDigits reports whether a text is digits and separators, a T between date
// and time and a Z after the time included.
func isDigits(s string) bool {
	digits := 0
	for i, r := range s {
		digitBefore := i > 0 && isDigit(rune(s[i-1]))
		switch {
		case isDigit(r):
			digits++
		case strings.ContainsRune(separators, r):
		case r == 'T' && digitBefore && i+1 < len(s) && isDigit(rune(s[i+1])):
		case r == 'Z' && digitBefore && i+1 == len(s):
		default:
			return false
		}
	}
	return digits > 0
}

// maskDigits keeps the separators, the first digit and, of four digits or more,
// the last.
func maskDigits(s string) string {
	digits, runs := 0, 0
	var before rune
	for _, r := range s {
		if isDigit(r) {
			digits++
			if !isDigit(before) {
				runs++
			}
		}
		before = r
	}
	if runs > 9 {
		return ends(s)
	}
	var b strings.Builder
	n := 0
	before = 0
	for _, r := range s {
		if !isDigit(r) {
			b.WriteRune(r)
			before = r
			continue
		}
		n++
		if n == 1 && digits > 1 {
			b.WriteRune(r)
		}
		if !isDigit(before) {
			b.WriteString(cut)
		}
		if n == digits && digits > 3 {
			b.WriteRune(r)
		}
		before = r
	}
	return b.String()
}

func isDigit(r rune) bool { return r >= '0' && r <= '9' }

// maskURL keeps the scheme, the ends of the host, and what kind of file it is.
func maskURL(s string) string {
	scheme, rest, _ := strings.Cut(s, "://")
	rest, _, _ = strings.Cut(rest, "?")
	rest, _, _ = strings.Cut(rest, "#")
	host, file, more := strings.Cut(rest, "/")
	out := strings.ToLower(scheme) + "://" + ends(host)
	if more && file != "" {
		out += "/" + cut + extension(file)
	} else if more {
		out += "/"
	}
	return out
}

// ends is a text as its first and last character.
func ends(s string) string {
	all := []rune(s)
	for i, r := range all {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			all[i] = ' '
		}
	}
	first, last := 0, len(all)-1
	for last > first && (unicode.IsMark(all[last]) || unicode.Is(unicode.Cf, all[last])) {
		last-- // a mark alone is no character
	}
	switch {
	case len(all) == 0:
		return ""
	case len(all) == 1:
		return cut
	case len(all) < 4 || last == first:
		return string(all[first]) + cut
	default:
		return string(all[first]) + cut + string(all[last])
	}
}
