package stovatest

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"stovasync/shared/fault"
)

// kindHelp is one kind of fault in words.
type kindHelp struct {
	kind    Kind
	does    string
	example string
}

func kindHelps() []kindHelp {
	return []kindHelp{
		{RateLimit, "429 Too Many Requests; per-minute=N above N calls in 60 s, else as counted; retry-after=SECONDS sends the header", "429:after=50,times=1,retry-after=2"},
		{ServerError, "500 with an HTML page", "500:endpoint=getAttendee,times=2,per-id=true"},
		{BadGateway, "502 with an HTML page", "502:every=10"},
		{Unavailable, "503 with an HTML page; retry-after=SECONDS", "503:times=1,retry-after=1"},
		{GatewayTimeout, "504 with an HTML page", "504:endpoint=list*,times=1"},
		{Unauthorized, "401 with an HTML page, whatever the token", "401:endpoint=getSession,times=1"},
		{Forbidden, "403 with an HTML page, whatever the token", "403:endpoint=getEvent"},
		{Truncate, "200 with the first half of the JSON", "truncate:endpoint=getAttendee,times=1"},
		{HTML, "200 with an HTML page", "html:endpoint=listSessions,times=1"},
		{Error, "200 with an error object under key=KEY", "error:key=attendeeid,id=800000004"},
		{Slow, "waits delay=DURATION before the answer", "slow:endpoint=getAttendee,delay=30s,times=1"},
		{Hang, "never answers; ends when the client goes away", "hang:endpoint=listAttendees,times=1"},
		{Cut, "closes the connection: mode= before the answer, mode=body in the middle of it", "cut:mode=body,times=1"},
		{TooBig, "502 for pages larger than limit=N rows", "toobig:limit=300"},
		{Poison, "the detail call of id=ID always answers 500", "poison:id=800000007+800000009"},
		{TokenEnd, "every token ends after after=N calls; times=K only the first K tokens", "token:after=20,times=2"},
		{Move, "a row moves between pages of a list: mode=repeat, skip or both; counted by listings", "move:mode=skip,times=1"},
		{Restrict, "the key may not see the event: error.eventid", "restricted:endpoint=getSession"},
		{Latin1, "the body is Latin-1 instead of UTF-8; what Latin-1 lacks becomes ?", "latin1:endpoint=getAttendee"},
		{PictureFault, "downloads go wrong: mode=" + strings.Join(pictureModes(), "|") + "; to=URL for redirect; id=FILE", "picture:mode=html,times=1"},
		{Variant, "other shapes: responses, empty, category, languages, descriptions, speakers, location, numbers", "variant:responses=array,empty=list"},
	}
}

// FaultHelp lists what ParseFault understands, for the help of `twin --fault`.
func FaultHelp() string {
	var b strings.Builder
	b.WriteString("KIND[:key=value,…]. Keys of every kind: endpoint=PATTERN[+PATTERN…], id=ID[+ID…],\n" +
		"after=N (spare the first N), times=N (then hit N at most), every=N, per-id=true. Kinds:\n")
	for _, k := range kindHelps() {
		fmt.Fprintf(&b, "  %-10s %s\n             e.g. %s\n", k.kind, k.does, k.example)
	}
	return b.String()
}

// ParseFault reads a fault from its text, such as
// `429:after=50,retry-after=2`; FaultHelp has the words. The error is a
// CONFIG_INVALID that names what is wrong.
func ParseFault(spec string) (Fault, error) {
	name, rest, _ := strings.Cut(strings.TrimSpace(spec), ":")
	f := Fault{Kind: Kind(name)}
	helps := kindHelps()
	if !slices.ContainsFunc(helps, func(k kindHelp) bool { return k.kind == f.Kind }) {
		return Fault{}, invalid(fmt.Sprintf("fault kind %q is unknown", name))
	}
	setters := f.setters()
	for pair := range strings.SplitSeq(rest, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		key, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		set := setters[key]
		if !ok || set == nil {
			return Fault{}, invalid(fmt.Sprintf("fault %s: %q is no key=value it knows", name, pair))
		}
		if err := set(value); err != nil {
			return Fault{}, invalid(fmt.Sprintf("fault %s: %s=%q: %v", name, key, value, err))
		}
	}
	return f, f.check()
}

func invalid(msg string) error {
	return fault.New(fault.ConfigInvalid, msg, "see the list of faults in the help of twin")
}

// setters are the keys of a spec.
func (f *Fault) setters() map[string]func(string) error {
	text := func(to *string) func(string) error { return func(v string) error { *to = v; return nil } }
	number := func(to *int) func(string) error {
		return func(v string) error {
			n, err := strconv.Atoi(v)
			if err != nil || n < 0 {
				return fmt.Errorf("want a whole number")
			}
			*to = n
			return nil
		}
	}
	duration := func(to *time.Duration) func(string) error {
		return func(v string) (err error) { *to, err = parseDuration(v); return err }
	}
	return map[string]func(string) error{
		"endpoint": text(&f.Endpoint), "mode": text(&f.Mode), "to": text(&f.To), "key": text(&f.Key),
		"id":    func(v string) error { f.IDs = strings.Split(v, "+"); return nil },
		"after": number(&f.After), "times": number(&f.Times), "first": number(&f.Times), "every": number(&f.Every),
		"per-minute": number(&f.PerMinute), "limit": number(&f.Limit),
		"per-id":      func(v string) (err error) { f.PerID, err = strconv.ParseBool(v); return err },
		"retry-after": duration(&f.RetryAfter), "delay": duration(&f.Delay),
		"responses": text(&f.Variants.Responses), "empty": text(&f.Variants.Empty), "category": text(&f.Variants.Category),
		"languages": text(&f.Variants.Languages), "descriptions": text(&f.Variants.Descriptions),
		"speakers": text(&f.Variants.Speakers), "location": text(&f.Variants.Location), "numbers": text(&f.Variants.Numbers),
	}
}

// parseDuration reads 1.5s, 100ms, or bare seconds.
func parseDuration(v string) (time.Duration, error) {
	if n, err := strconv.Atoi(v); err == nil && n >= 0 {
		return time.Duration(n) * time.Second, nil
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("want seconds or a duration such as 100ms")
	}
	return d, nil
}

// check refuses faults that would silently do nothing.
func (f *Fault) check() error {
	lacks := ""
	switch {
	case f.Kind == Slow && f.Delay == 0:
		lacks = "delay"
	case f.Kind == TooBig && f.Limit == 0:
		lacks = "limit"
	case f.Kind == Poison && len(f.IDs) == 0:
		lacks = "id"
	case f.Kind == TokenEnd && f.After == 0:
		lacks = "after"
	case f.Kind == Error && f.Key == "":
		lacks = "key"
	case f.Kind == PictureFault && !slices.Contains(pictureModes(), f.Mode):
		lacks = "mode"
	case f.Kind == PictureFault && f.Mode == "redirect" && f.To == "":
		lacks = "to"
	case f.Kind == Move && !slices.Contains([]string{"repeat", "skip", "both"}, f.Mode):
		lacks = "mode"
	case f.Kind == Cut && f.Mode != "" && f.Mode != "body":
		lacks = "mode"
	case f.Kind == Variant && !f.Variants.known():
		lacks = "shape it knows"
	}
	for pattern := range strings.SplitSeq(f.Endpoint, "+") {
		if _, err := path.Match(pattern, ""); err != nil {
			lacks = "endpoint that is a pattern"
		}
	}
	if lacks == "" {
		return nil
	}
	return invalid(fmt.Sprintf("fault %s needs a %s", f.Kind, lacks))
}

// known says whether v names at least one shape, and only ones there are.
func (v Variants) known() bool {
	absent := []string{"", "row", AbsentList, AbsentNull, AbsentText, AbsentKey}
	desc := []string{"", "row", DescDescriptions, DescAdditional, DescExpanded, DescOld}
	return v != Variants{} &&
		slices.Contains([]string{"", "object", "array"}, v.Responses) &&
		slices.Contains([]string{"", "error", "list"}, v.Empty) &&
		slices.Contains(absent, v.Category) &&
		slices.Contains([]string{"", "object", "serialized", "null"}, v.Languages) &&
		slices.Contains(desc, v.Descriptions) &&
		slices.Contains([]string{"", "list", "object"}, v.Speakers) &&
		slices.Contains([]string{"", "text", "object", "id"}, v.Location) &&
		slices.Contains([]string{"", "row", "all"}, v.Numbers)
}

// with returns v with the shapes that o names.
func (v Variants) with(o Variants) Variants {
	pick := func(to *string, from string) {
		if from != "" {
			*to = from
		}
	}
	pick(&v.Responses, o.Responses)
	pick(&v.Empty, o.Empty)
	pick(&v.Category, o.Category)
	pick(&v.Languages, o.Languages)
	pick(&v.Descriptions, o.Descriptions)
	pick(&v.Speakers, o.Speakers)
	pick(&v.Location, o.Location)
	pick(&v.Numbers, o.Numbers)
	return v
}
