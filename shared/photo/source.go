package photo

import (
	"cmp"
	"html"
	"net/url"
	"regexp"
	"strings"

	"stovasync/shared/fault"
)

// Values fill an address. Value is what the owner's record holds as its photo:
// a file name, a path, an id, or a whole address. ID and Name fill {id} and
// {name}; each is Value where it is empty.
type Values struct {
	AccountID, EventID string
	ID, Name           string
	Value              string
}

func (v Values) of(placeholder string) (string, bool) {
	switch placeholder {
	case "{accountid}":
		return v.AccountID, true
	case "{eventid}":
		return v.EventID, true
	case "{id}":
		return cmp.Or(v.ID, v.Value), true
	case "{name}":
		return cmp.Or(v.Name, v.Value), true
	default:
		return "", false
	}
}

var placeholderPattern = regexp.MustCompile(`\{[^{}]*\}`)
var schemePattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:`)

// SourceURL returns the address of a picture (spotme-model.md §7,
// stova-api.md §9). template is a setting, presenterPhotoEndpoint or
// personPhotoEndpoint:
//
//   - with {id} or {name} it is a template: {accountid}, {eventid}, {id} and
//     {name} are filled and escaped by where they stand, in the path for each of
//     its segments, else for a query;
//   - else it is a base, after its {accountid} and {eventid} are filled: the
//     value is added to its path with exactly one slash, percent-encoded for
//     each segment; to a base with a query, as ".../image.php?id=", it is added
//     as the rest of the query.
//
// A value that is a whole http or https address, or starts with // and a host,
// is used as it is, after &amp; is read as &, if its host is allowed. Every
// other value with a scheme, and every one with .. or a control character, is
// refused. The error is a *fault.Error with code PHOTO_HOST and holds neither
// value nor address.
func SourceURL(template string, v Values, allowed []string) (string, error) {
	s, why := sourceURL(template, v, newHosts(allowed))
	if why != nil {
		return "", fault.New(fault.PhotoHost, why.text, "check the photo endpoints and allowedPhotoHosts, or the value at the vendor")
	}
	return s, nil
}

func sourceURL(template string, v Values, allowed hosts) (string, *refusal) {
	v.Value = strings.TrimSpace(v.Value)
	for _, s := range []string{v.Value, v.ID, v.Name, v.AccountID, v.EventID} {
		if why := checkValue(s); why != nil {
			return "", why
		}
	}
	switch {
	case strings.Trim(cmp.Or(v.Value, v.ID, v.Name), "/") == "":
		return "", refuse("the value is empty")
	case schemePattern.MatchString(v.Value) || strings.HasPrefix(v.Value, "//"):
		return absolute(strings.ReplaceAll(v.Value, "&amp;", "&"), allowed)
	}
	filled, why := fill(template, v)
	if why != nil {
		return "", why
	}
	return absolute(filled, allowed)
}

// checkValue refuses what could lead out of the folder of pictures, also where
// a server decodes once or twice more than it should.
func checkValue(s string) *refusal {
	for range 3 {
		if strings.Contains(s, "..") {
			return refuse("the value holds ..")
		}
		if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return refuse("the value holds a control character")
		}
		decoded, err := url.PathUnescape(html.UnescapeString(s))
		if err != nil {
			break
		}
		s = decoded
	}
	return nil
}

// absolute checks a whole address and returns it in normal form, without fragment.
func absolute(raw string, allowed hosts) (string, *refusal) {
	if strings.HasPrefix(raw, "//") {
		raw = "https:" + raw
	}
	if strings.ContainsAny(raw, "\\") {
		return "", refuse("the address holds a backslash")
	}
	u, err := url.Parse(raw)
	if err != nil {
		return "", refuse("the address cannot be read")
	}
	if _, why := allowed.checkURL(u); why != nil {
		return "", why
	}
	u.Fragment, u.RawFragment = "", ""
	out := u.String()
	if why := checkValue(out); why != nil {
		return "", refuse("the address holds ..")
	}
	return out, nil
}

// fill puts the values into the template, or adds the value to the base.
func fill(template string, v Values) (string, *refusal) {
	isTemplate := strings.Contains(template, "{id}") || strings.Contains(template, "{name}")
	_, rest, ok := strings.Cut(template, "://")
	authority, _, _ := strings.Cut(rest, "/")
	if !ok || strings.ContainsAny(authority, "{}?#\\") || strings.Contains(template, "#") {
		return "", refuse("the photo endpoint is not an address with its host written out")
	}
	query := strings.IndexByte(template, '?')
	var b strings.Builder
	at := 0
	for _, m := range placeholderPattern.FindAllStringIndex(template, -1) {
		value, known := v.of(template[m[0]:m[1]])
		if !known || value == "" {
			return "", refuse("the photo endpoint needs a value that is not there")
		}
		b.WriteString(template[at:m[0]])
		b.WriteString(escape(value, query >= 0 && m[0] > query))
		at = m[1]
	}
	b.WriteString(template[at:])
	if isTemplate {
		return b.String(), nil
	}
	value := cmp.Or(v.Value, v.Name, v.ID)
	if query >= 0 {
		return b.String() + escape(value, true), nil
	}
	return strings.TrimRight(b.String(), "/") + "/" + escape(value, false), nil
}

// escape percent-encodes for a query, or for each segment of a path, which
// then starts without a slash.
func escape(s string, inQuery bool) string {
	if inQuery {
		return url.QueryEscape(s)
	}
	segments := strings.Split(strings.TrimLeft(s, "/"), "/")
	for i, segment := range segments {
		segments[i] = url.PathEscape(segment)
	}
	return strings.Join(segments, "/")
}
