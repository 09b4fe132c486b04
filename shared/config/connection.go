package config

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/agnivade/levenshtein"

	"stovasync/shared/run"
)

// WarnSetting is the code of every warning about a setting that is accepted
// though it is unusual.
const WarnSetting = "CONFIG_UNUSUAL"

// The vendor's limit of requests a minute for one account (stova-api.md, P13).
const vendorRequestsPerMinute = 400

// Parsed is a connection file as read: the settings, and the secret key apart
// from them. Key is "" when the file has none.
type Parsed struct {
	Connection run.Connection
	Key        string `json:"-"`
	Warnings   []run.Warning
	Places     *Places `json:"-"` // of the mapping's and filters' expressions
}

// String names the connection and never shows the key.
func (p Parsed) String() string { return "connection " + p.Connection.Name }

// GoString is String, so that %#v shows no key either.
func (p Parsed) GoString() string { return p.String() }

// setting is one name of the connection file and how its value is read.
type setting struct {
	name string
	read func(*reader, node)
}

// settings lists every name at the top of a connection file (interface.md).
func settings() []setting {
	return []setting{
		{"name", (*reader).name},
		{"endPoint", func(r *reader, n node) { r.endPoint = n }},
		{"accountid", func(r *reader, n node) { r.digits(n, "accountid", &r.c.AccountID) }},
		{"eventid", func(r *reader, n node) { r.digits(n, "eventid", &r.c.EventID) }},
		{"key", (*reader).key},
		{"activeStatuses", (*reader).activeStatuses},
		{"only_data_modified_up_to_a_day_since_last_sync", func(r *reader, n node) {
			r.flag(n, "only_data_modified_up_to_a_day_since_last_sync", &r.c.OnlyModified)
		}},
		{"presenterPhotoEndpoint", func(r *reader, n node) { r.presenterPhotos = n }},
		{"personPhotoEndpoint", func(r *reader, n node) { r.personPhotos = n }},
		{"ConcurrentSessionsTitle", func(r *reader, n node) {
			r.scalar(n, "ConcurrentSessionsTitle", &r.c.ConcurrentSessionsTitle)
		}},
		{"pageSize", func(r *reader, n node) { r.whole(n, "pageSize", &r.c.PageSize, 1, 2000) }},
		{"timezone", (*reader).timezone},
		{"dataTypes", (*reader).dataTypes},
		{"inactivePolicy", (*reader).inactivePolicy},
		{"removeOutdated", (*reader).removeOutdated},
		{"removalLimit", (*reader).removalLimit},
		{"rawRetentionDays", func(r *reader, n node) { r.whole(n, "rawRetentionDays", &r.c.RawRetentionDays, 0, 3650) }},
		{"requestsPerMinute", (*reader).requestsPerMinute},
		{"retryBaseSeconds", (*reader).retryBaseSeconds},
		{"allowedPhotoHosts", (*reader).allowedPhotoHosts},
		{"allowPrivateHosts", func(r *reader, n node) { r.flag(n, "allowPrivateHosts", &r.c.AllowPrivateHosts) }},
		{"mapping", (*reader).mapping},
		{"filters", (*reader).filters},
		{"protect", (*reader).protect},
	}
}

// defaults are the settings of a file that names none but the required ones
// (spotme-model.md §2, interface.md).
func defaults() run.Connection {
	return run.Connection{
		ActiveStatuses:    []string{"Confirmed", "Attended"},
		OnlyModified:      true,
		PageSize:          300,
		DataTypes:         run.AllTypes(),
		InactivePolicy:    "cancel",
		RemovalLimit:      run.RemovalLimit{Records: 10, Percent: 10},
		RawRetentionDays:  14,
		RequestsPerMinute: 360,
		RetryBaseSeconds:  2,
		AllowedPhotoHosts: []string{"eventscloud.com"},
	}
}

// reader collects one connection's settings and all that is wrong with them.
type reader struct {
	c        run.Connection
	secret   string
	warnings []run.Warning
	problems []error
	// The addresses depend on each other and on allowPrivateHosts, so they are
	// read when everything else is.
	endPoint, presenterPhotos, personPhotos node
	places                                  *Places
	bare                                    bool // the file is a mapping and nothing else
}

// ParseConnection reads a connection file (interface.md). A setting that is
// absent or null takes its default; names, ids and hosts come back trimmed,
// dataTypes in the order of run.AllTypes, and allowedPhotoHosts with the hosts
// of the two photo endpoints added (P12). The error joins every problem of the
// file in its order, each a *fault.Error: with code CONFIG_INVALID, or that of
// the check that found it. Those with a place have a *Mistake as their cause.
func ParseConnection(data []byte, checks ...Check) (Parsed, error) {
	top, src, problems := document(data)
	if top.kind != table {
		src.show(problems)
		return Parsed{}, errors.Join(problems...)
	}
	r := &reader{c: defaults(), problems: problems, places: &Places{src: src}}
	known := settings()
	for _, p := range top.pairs {
		i := slices.IndexFunc(known, func(s setting) bool { return s.name == p.key })
		switch {
		case i < 0:
			r.unknown(p, "setting", names(known))
		case p.value.kind == refused: // reported where it was read
		case p.value.kind == null && p.key != "key":
		default:
			known[i].read(r, p.value)
		}
	}
	r.required(top)
	r.addresses()
	r.check(checks)
	if len(r.problems) > 0 {
		src.show(r.problems)
		return Parsed{}, errors.Join(r.problems...)
	}
	return Parsed{Connection: r.c, Key: r.secret, Warnings: r.warnings, Places: r.places}, nil
}

func names(known []setting) []string {
	out := make([]string, 0, len(known))
	for _, s := range known {
		out = append(out, s.name)
	}
	return out
}

func (r *reader) problem(at Position, msg, next string) {
	r.problems = append(r.problems, wrong(at, msg, next))
}

func (r *reader) warn(format string, args ...any) {
	r.warnings = append(r.warnings, run.Warning{Code: WarnSetting, Message: fmt.Sprintf(format, args...)})
}

// unknown reports a name that is none of known, and the nearest that is.
func (r *reader) unknown(p pair, what string, known []string) {
	r.problem(p.at, fmt.Sprintf("unknown %s %s", what, shown(p.key)), "the nearest known name is "+nearest(p.key, known))
}

// nearest returns the known name with the fewest changes from s, whatever the case.
func nearest(s string, known []string) string {
	if r := []rune(s); len(r) > 100 {
		s = string(r[:100])
	}
	return slices.MinFunc(known, func(a, b string) int {
		return cmp.Compare(distance(s, a), distance(s, b))
	})
}

func distance(a, b string) int {
	fold := strings.NewReplacer("_", "", "-", "", " ", "")
	return levenshtein.ComputeDistance(strings.ToLower(fold.Replace(a)), strings.ToLower(fold.Replace(b)))
}

// required reports the settings without a default that the file does not have.
func (r *reader) required(top node) {
	for _, name := range []string{"name", "endPoint", "accountid", "eventid"} {
		i := slices.IndexFunc(top.pairs, func(p pair) bool { return p.key == name })
		if i < 0 || top.pairs[i].value.kind == null {
			r.problem(Position{}, name+" is missing", "add it; it has no default")
		}
	}
}

// scalar reads text; a number counts as the text it was written as.
func (r *reader) scalar(n node, name string, into *string) bool {
	if n.kind != text && n.kind != number {
		if n.kind != refused {
			r.problem(n.at, name+" is "+n.kind.String(), "write text, in quotes where in doubt")
		}
		return false
	}
	*into = strings.TrimSpace(n.text)
	return true
}

func (r *reader) name(n node) {
	if r.scalar(n, "name", &r.c.Name) && !run.ValidName(r.c.Name) {
		r.problem(n.at, "name is "+shown(r.c.Name), "use 1 to 40 of a-z, 0-9 and -")
	}
}

var digitsPattern = regexp.MustCompile(`^[0-9]{1,30}$`)

func (r *reader) digits(n node, name string, into *string) {
	if r.scalar(n, name, into) && !digitsPattern.MatchString(*into) {
		r.problem(n.at, name+" is not made of digits", `write it as in "7700"`)
	}
}

// key reads the secret. Nothing of it may reach a message.
func (r *reader) key(n node) {
	if n.kind == list || n.kind == table {
		r.problem(n.at, "key is "+n.kind.String(), "write it as text in quotes")
		return
	}
	r.secret = strings.TrimSpace(n.text)
	if r.secret == "" {
		r.problem(n.at, "key is empty", "write the key, or leave the line out and give it by --key-file or STOVASYNC_KEY")
		return
	}
	if why := KeyFlaw(r.secret); why != "" {
		r.problem(n.at, "key "+why, "copy it again from the vendor's page, the key and nothing else")
	}
}

// KeyFlaw says what no key of the vendor has in it, or "": blanks, line breaks
// and what cannot be seen come from copying. It holds nothing of the key.
func KeyFlaw(key string) string {
	for _, c := range key {
		switch {
		case c == '\r' || c == '\n':
			return "is not one line"
		case unicode.IsSpace(c):
			return "has a blank inside"
		case !unicode.IsPrint(c):
			return "has a character that cannot be seen inside"
		}
	}
	return ""
}

func (r *reader) flag(n node, name string, into *bool) {
	v, err := strconv.ParseBool(n.text)
	if n.kind == number || n.kind == list || n.kind == table || err != nil {
		r.problem(n.at, name+" is neither true nor false", "write true or false")
		return
	}
	*into = v
}

func (r *reader) whole(n node, name string, into *int, low, high int) {
	v, err := strconv.Atoi(n.text)
	if (n.kind != number && n.kind != text) || err != nil || v < low || v > high {
		r.problem(n.at, name+" is not a number in its range", fmt.Sprintf("write a whole number from %d to %d", low, high))
		return
	}
	*into = v
}

// entries reads a list: a YAML list of scalars, or comma-separated text. Ends
// are trimmed, empty entries dropped (spotme-model.md §2).
func (r *reader) entries(n node, name string) ([]node, bool) {
	items := n.items
	if n.kind != list {
		items = []node{n}
	}
	out, ok := []node{}, true
	for _, item := range items {
		var s string
		if item.kind == null {
			continue
		}
		if !r.scalar(item, name, &s) {
			ok = false
			continue
		}
		for part := range strings.SplitSeq(s, ",") {
			if part = strings.TrimSpace(part); part != "" {
				out = append(out, node{kind: text, at: item.at, text: part})
			}
		}
	}
	return out, ok
}

func (r *reader) activeStatuses(n node) {
	entries, ok := r.entries(n, "activeStatuses")
	if !ok {
		return
	}
	r.c.ActiveStatuses = nil
	for _, e := range entries {
		if !slices.ContainsFunc(r.c.ActiveStatuses, func(s string) bool { return strings.EqualFold(s, e.text) }) {
			r.c.ActiveStatuses = append(r.c.ActiveStatuses, e.text)
		}
	}
	if len(r.c.ActiveStatuses) == 0 {
		r.problem(n.at, "activeStatuses is empty", "name at least one status, as in Confirmed,Attended")
	}
}

func (r *reader) timezone(n node) {
	if !r.scalar(n, "timezone", &r.c.Timezone) || r.c.Timezone == "" {
		return
	}
	if _, err := time.LoadLocation(r.c.Timezone); err != nil || r.c.Timezone == "Local" {
		r.problem(n.at, "timezone "+shown(r.c.Timezone)+" is unknown", "use an IANA name, as in Europe/London")
	}
}

func (r *reader) dataTypes(n node) {
	entries, ok := r.entries(n, "dataTypes")
	var enabled []run.DataType
	for _, e := range entries {
		if t, good := r.dataType(pair{key: e.text, at: e.at}); good {
			enabled = append(enabled, t)
		} else {
			ok = false
		}
	}
	if ok && len(enabled) == 0 {
		r.problem(n.at, "dataTypes is empty", "name at least one data type, or leave the setting out for all eight")
	}
	r.c.DataTypes = slices.DeleteFunc(run.AllTypes(), func(t run.DataType) bool { return !slices.Contains(enabled, t) })
}

// dataType reads a data type by any of its names.
func (r *reader) dataType(p pair) (run.DataType, bool) {
	t, err := run.ParseType(p.key)
	if err != nil {
		known := allTypes()
		if r.bare {
			known = append(known, sections...)
		}
		r.unknown(p, "data type", known)
	}
	return t, err == nil
}

var policies = []string{"cancel", "hide", "skip"}

func (r *reader) inactivePolicy(n node) {
	if !r.scalar(n, "inactivePolicy", &r.c.InactivePolicy) {
		return
	}
	if !slices.Contains(policies, r.c.InactivePolicy) {
		r.problem(n.at, "inactivePolicy is "+shown(r.c.InactivePolicy), "write cancel, hide or skip")
	}
}

// table reports whether n is a table, and says so if it is not.
func (r *reader) table(n node, name, example string) bool {
	if n.kind != table && n.kind != refused && n.kind != null {
		r.problem(n.at, name+" is "+n.kind.String(), "write a table, as in "+example)
	}
	return n.kind == table
}

// byType reads a table whose names are data types and calls read for each.
func (r *reader) byType(n node, name, example string, read func(run.DataType, node)) {
	if !r.table(n, name, example) {
		return
	}
	seen := map[run.DataType]bool{}
	for _, p := range n.pairs {
		t, ok := r.dataType(p)
		switch {
		case !ok || p.value.kind == null || p.value.kind == refused:
		case seen[t]:
			r.problem(p.at, fmt.Sprintf("%s names %s twice", name, t), "keep one of the two names")
		default:
			seen[t] = true
			read(t, p.value)
		}
	}
}

func (r *reader) removeOutdated(n node) {
	r.byType(n, "removeOutdated", "{users: true}", func(t run.DataType, v node) {
		var on bool
		r.flag(v, "removeOutdated of "+string(t), &on)
		put(&r.c.RemoveOutdated, t, on)
	})
}

func (r *reader) removalLimit(n node) {
	if !r.table(n, "removalLimit", "{records: 10, percent: 10}") {
		return
	}
	for _, p := range n.pairs {
		switch {
		case p.value.kind == null || p.value.kind == refused:
		case p.key == "records":
			r.whole(p.value, "removalLimit records", &r.c.RemovalLimit.Records, 0, math.MaxInt32)
		case p.key == "percent":
			r.whole(p.value, "removalLimit percent", &r.c.RemovalLimit.Percent, 0, 100)
		default:
			r.unknown(p, "name in removalLimit", []string{"records", "percent"})
		}
	}
}

func (r *reader) requestsPerMinute(n node) {
	r.whole(n, "requestsPerMinute", &r.c.RequestsPerMinute, 1, 1_000_000)
	if r.c.RequestsPerMinute > vendorRequestsPerMinute {
		r.warn("requestsPerMinute is %d; the vendor allows an account %d and may suspend it above", r.c.RequestsPerMinute, vendorRequestsPerMinute)
	}
}

func (r *reader) retryBaseSeconds(n node) {
	v, err := strconv.ParseFloat(n.text, 64)
	if (n.kind != number && n.kind != text) || err != nil || !(v > 0 && v <= 600) {
		r.problem(n.at, "retryBaseSeconds is not a number in its range", "write seconds above 0 and up to 600; a fraction is allowed")
		return
	}
	r.c.RetryBaseSeconds = v
}

func (r *reader) mapping(n node) {
	r.byType(n, "mapping", "{users: {photo: responses.photo}}", func(t run.DataType, v node) {
		if !r.table(v, "mapping of "+string(t), "{photo: responses.photo}") {
			return
		}
		for _, p := range r.uncut(v) {
			where := fmt.Sprintf("mapping of %s, field %s", t, shown(p.key))
			switch {
			case p.value.kind == null:
				r.field(t, p, nil)
			case r.expression(p.value, where, "null to unmap the field"):
				r.field(t, p, new(p.value.text))
			}
		}
	})
}

func (r *reader) field(t run.DataType, p pair, expression *string) {
	if strings.TrimSpace(p.key) == "" {
		r.problem(p.at, fmt.Sprintf("mapping of %s has a field without a name", t), "write the target field's name")
		return
	}
	fields := r.c.Mapping[t]
	r.places.note(spotKey{t: t, field: p.key}, spot{p.at, p.value})
	put(&fields, p.key, expression)
	put(&r.c.Mapping, t, fields)
}

// expression reports whether n is the text of an expression. What it means is
// for shared/mapping to say.
func (r *reader) expression(n node, where, otherwise string) bool {
	switch {
	case n.kind == refused:
		return false
	case n.kind != text:
		r.problem(n.at, where+" is "+n.kind.String(), "write the expression as text in quotes, or "+otherwise)
		return false
	case strings.TrimSpace(n.text) == "":
		r.problem(n.at, where+" is blank", "write an expression, or "+otherwise)
		return false
	}
	return true
}

func (r *reader) filters(n node) {
	r.byType(n, "filters", `{users: 'registrationstatus != "Incomplete"'}`, func(t run.DataType, v node) {
		if r.expression(v, "filter of "+string(t), "leave it out") {
			r.places.note(spotKey{t: t, filter: true}, spot{v.at, v})
			put(&r.c.Filters, t, v.text)
		}
	})
}

// lockedFields are written by the sync alone (design.md §8). Protecting one
// of them is allowed but reported, except for the id (spotme-model.md §3.4).
func lockedFields() []string { return []string{"fp_status", "fp_type", "fp_owner"} }

func (r *reader) protect(n node) {
	r.byType(n, "protect", `{users: {"800000001": [company]}}`, func(t run.DataType, v node) {
		if !r.table(v, "protect of "+string(t), `{"800000001": [company]}`) {
			return
		}
		for _, p := range v.pairs {
			r.protectRecord(t, p)
		}
	})
}

func (r *reader) protectRecord(t run.DataType, p pair) {
	if p.value.kind == null || p.value.kind == refused {
		return
	}
	where := "protect of a record of " + string(t)
	entries, _ := r.entries(p.value, where)
	var fields []string
	for _, e := range entries {
		switch {
		case e.text == "fp_ext_id":
			r.problem(e.at, where+" names fp_ext_id", "leave it out; the id cannot be protected")
		case slices.Contains(fields, e.text):
		default:
			if slices.Contains(lockedFields(), e.text) {
				r.warn("line %d: protect names %s; this record of %s keeps it whatever the vendor says", e.at.Line, e.text, t)
			}
			fields = append(fields, e.text)
		}
	}
	if len(fields) > 0 {
		ids := r.c.Protect[t]
		put(&ids, p.key, fields)
		put(&r.c.Protect, t, ids)
	}
}

// put sets m[k] and makes the map first where there is none, so that a setting
// without entries stays nil.
func put[K comparable, V any](m *map[K]V, k K, v V) {
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[k] = v
}
