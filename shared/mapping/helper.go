package mapping

import (
	"errors"
	"math"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/text/language"
)

// helper is a function of the expression language.
type helper struct {
	least, most int // how many arguments
	usage       string
	do          func(args []value) value
}

// call is the helper as the expression library calls it.
func (h helper) call(params ...any) (any, error) {
	args := make([]value, len(params))
	for i, p := range params {
		v, ok := valueOf(p)
		if !ok {
			return nil, errors.New("a function of mapping takes texts, numbers and lists")
		}
		args[i] = v
	}
	return h.do(args).seen(), nil
}

// helpers are the functions that events need (design.md §8). A list given to a
// function of one text is taken element by element.
func helpers() map[string]helper {
	return map[string]helper{
		"first": {1, math.MaxInt, "first(a, b, …)", first},
		"phone": {1, 1, "phone(mphone)", eachText(phone)},
		"lang2": {1, 1, "lang2(language)", eachText(lang2)},
		"text":  {1, 1, "text(bio)", eachText(plainText)},
		"slug":  {1, 1, "slug(company)", eachText(Slug)},
		"lower": {1, 1, "lower(email)", eachText(strings.ToLower)},
		"upper": {1, 1, "upper(country)", eachText(strings.ToUpper)},
		"trim":  {1, 1, "trim(company)", eachText(strings.TrimSpace)},
		"join":  {1, 2, `join([fname, lname], " ")`, join},
		"at":    {2, 2, "at(sessiondate, starttime)", at},
		"has":   {2, 2, `has(responses.diet, "Vegan")`, has},
	}
}

func first(args []value) value {
	for _, a := range args {
		if !a.blank() {
			return a
		}
	}
	return value{}
}

func eachText(f func(string) string) func([]value) value {
	return func(args []value) value {
		if args[0].list == nil {
			return textValue(f(args[0].str()))
		}
		var out []string
		for _, s := range args[0].list {
			if s = f(s); s != "" {
				out = append(out, s)
			}
		}
		return listValue(out)
	}
}

// join puts the texts of a list together; empty ones leave no gap.
func join(args []value) value {
	sep := ", "
	if len(args) > 1 {
		sep = args[1].str()
	}
	var parts []string
	for _, s := range args[0].texts() {
		if s = strings.TrimSpace(s); s != "" {
			parts = append(parts, s)
		}
	}
	return textValue(strings.Join(parts, sep))
}

// at puts a date and a time of day together; without either there is none. The
// date may have come as a stamp, whose own time is then not meant.
func at(args []value) value {
	day, _, _ := strings.Cut(strings.TrimSpace(args[0].str()), " ")
	hour := strings.TrimSpace(args[1].str())
	if day == "" || hour == "" {
		return value{}
	}
	return textValue(day + " " + hour)
}

// has reports whether an answer, of one choice or several, includes a text.
func has(args []value) value {
	want := args[1].str()
	for _, s := range args[0].texts() {
		if strings.TrimSpace(s) == want {
			return value{other: true}
		}
	}
	return value{other: false}
}

// phone joins the parts of a phone number, which the vendor divides by vertical
// bars, by one blank (P9).
func phone(s string) string {
	if !strings.Contains(s, "|") {
		return strings.TrimSpace(s)
	}
	var parts []string
	for p := range strings.SplitSeq(s, "|") {
		if p = strings.TrimSpace(p); p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, " ")
}

// lang2 turns a language code (eng, fre, en-GB, en) into its two letters, or
// into nothing where the language has none or the text is no code.
func lang2(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "-")
	s, _, _ = strings.Cut(strings.ToLower(s), "_")
	if two, ok := bibliographic[s]; ok || s == "" {
		return two
	}
	base, err := language.ParseBase(s)
	if err != nil {
		return ""
	}
	if two := base.String(); len(two) == 2 {
		return two
	}
	return ""
}

// bibliographic are the codes of ISO 639-2/B, which the language package does
// not know, beside the commonest one, which need not be looked up.
var bibliographic = map[string]string{"eng": "en",
	"alb": "sq", "arm": "hy", "baq": "eu", "bur": "my", "chi": "zh", "cze": "cs", "dut": "nl", "fre": "fr", "geo": "ka",
	"ger": "de", "gre": "el", "ice": "is", "mac": "mk", "mao": "mi", "may": "ms", "per": "fa", "rum": "ro", "slo": "sk",
	"tib": "bo", "wel": "cy"}

// plainText takes the words out of HTML: blocks and line breaks become line
// breaks, scripts and styles go, entities are decoded, blanks are single.
func plainText(s string) string {
	if !strings.ContainsAny(s, "<&") {
		return strings.TrimSpace(s)
	}
	var b strings.Builder
	z := html.NewTokenizer(strings.NewReader(s))
	hidden := false
	for {
		switch z.Next() {
		case html.ErrorToken:
			return squeeze(b.String())
		case html.TextToken:
			if !hidden {
				// Source line breaks are blanks; only tags break lines.
				b.WriteString(strings.ReplaceAll(string(z.Text()), "\n", " "))
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, _ := z.TagName()
			tag := string(name)
			hidden = tag == "script" || tag == "style"
			if block(tag) {
				b.WriteByte('\n')
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			hidden = false
			if block(string(name)) {
				b.WriteByte('\n')
			}
		}
	}
}

func block(tag string) bool {
	switch tag {
	case "p", "div", "br", "li", "ul", "ol", "tr", "table", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "blockquote", "section", "article":
		return true
	default:
		return false
	}
}

// squeeze makes runs of blanks one blank and drops empty lines.
func squeeze(s string) string {
	var lines []string
	for line := range strings.SplitSeq(s, "\n") {
		if words := strings.Fields(line); len(words) > 0 {
			lines = append(lines, strings.Join(words, " "))
		}
	}
	return strings.Join(lines, "\n")
}
