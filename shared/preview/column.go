package preview

import (
	"fmt"
	"slices"
	"strings"

	"stovasync/shared/mapping"
	"stovasync/shared/run"
)

// book gathers the columns of the sampled rows.
type book struct {
	order []string
	by    map[string]*entry
}

// entry is one column as the rows fill it.
type entry struct {
	mapping.Column
	answered bool // some row has it
	filled   int
	kinds    map[string]int
	pictures int
	samples  []string
}

func newBook() *book { return &book{by: map[string]*entry{}} }

// add takes the columns of one row.
func (b *book) add(columns []mapping.Column) {
	for _, c := range columns {
		e := b.entry(c)
		e.answered = true
		e.take(c.Value)
	}
}

func (b *book) entry(c mapping.Column) *entry {
	e, ok := b.by[c.Expression]
	if !ok {
		e = &entry{Column: c, kinds: map[string]int{}}
		b.by[c.Expression] = e
		b.order = append(b.order, c.Expression)
	}
	return e
}

const maxSamples = 3

// take counts a value and keeps a masked sample of it.
func (e *entry) take(value any) {
	texts := textsOf(value)
	if len(texts) == 0 {
		return
	}
	e.filled++
	for _, s := range texts {
		e.kinds[kindOf(s)]++
	}
	if isPicture(texts[0]) {
		e.pictures++
	}
	if len(e.samples) == maxSamples {
		return
	}
	if sample := sampleOf(texts); !slices.Contains(e.samples, sample) {
		e.samples = append(e.samples, sample)
	}
}

// textsOf is what a column holds as texts; those that are blank are left out.
func textsOf(value any) []string {
	var all []string
	switch v := value.(type) {
	case nil:
	case []string:
		all = v
	case string:
		all = []string{v}
	default:
		all = []string{fmt.Sprint(v)}
	}
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return strings.TrimSpace(s) == "" })
}

// sampleOf is a masked value in one line: of several texts, the first three.
func sampleOf(texts []string) string {
	var parts []string
	for _, s := range texts[:min(len(texts), maxSamples)] {
		parts = append(parts, maskText(s))
	}
	if len(texts) > maxSamples {
		parts = append(parts, cut)
	}
	return strings.Join(parts, ", ")
}

// The kinds of columns (interface.md).
const (
	kindText   = "text"
	kindNumber = "number"
	kindDate   = "date"
	kindTime   = "time"
	kindEmail  = "email"
	kindURL    = "url"
	kindFile   = "file"
	kindFlag   = "flag"
)

// kindOf guesses what one text is.
func kindOf(s string) string {
	s = strings.TrimSpace(s)
	switch shapeOf(s) {
	case shapeFlag:
		return kindFlag
	case shapeURL:
		return kindURL
	case shapeEmail:
		return kindEmail
	case shapeFile:
		return kindFile
	case shapeDigits:
		return kindOfDigits(s)
	}
	switch strings.ToLower(s) {
	case "yes", "no", "true", "false":
		return kindFlag
	}
	return kindText
}

// kindOfDigits tells dates, times and numbers apart by where their separators are.
func kindOfDigits(s string) string {
	pattern := strings.Map(func(r rune) rune {
		if isDigit(r) {
			return '9'
		}
		return r
	}, s)
	for _, known := range []struct{ pattern, kind string }{
		{"9999-99-99", kindDate}, {"9999/99/99", kindDate}, {"99.99.9999", kindDate}, {"99/99/9999", kindDate},
	} {
		if strings.HasPrefix(pattern, known.pattern) && (len(pattern) == len(known.pattern) || strings.ContainsAny(pattern[len(known.pattern):], ":")) {
			return known.kind
		}
	}
	if pattern == "99:99" || pattern == "9:99" || pattern == "99:99:99" || pattern == "9:99:99" {
		return kindTime
	}
	if strings.Trim(pattern, "9") == "" || strings.Trim(strings.Replace(strings.TrimPrefix(pattern, "-"), ".", "", 1), "9") == "" {
		return kindNumber
	}
	return kindText
}

// isPicture reports whether a text ends as the name of a picture does.
func isPicture(s string) bool {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "?")
	ext := extension(s)
	return ext != "" && strings.Contains(pictures, " "+ext+" ")
}

// list returns the columns: the rows' own keys in their order, then the
// questions of the form in theirs, also those that nobody answered, then
// answers that the form does not list, and the picks of sessions.
func (b *book) list(t run.DataType, form []mapping.Column, reads []mapping.Read) []Column {
	place := map[string]int{}
	for i, q := range form {
		e := b.entry(q)
		if !e.answered || e.Label == e.Expression {
			e.Label = q.Label
		}
		e.Page, e.InputType = q.Page, q.InputType
		if strings.HasPrefix(q.Expression, "responses") {
			place[q.Expression] = i + 1
		}
	}
	rank := func(name string) int {
		switch e := b.by[name]; {
		case place[name] > 0:
			return place[name]
		case e.Agenda:
			return len(form) + 2
		case strings.HasPrefix(name, "responses"):
			return len(form) + 1
		default:
			return 0
		}
	}
	order := slices.Clone(b.order)
	slices.SortStableFunc(order, func(x, y string) int { return rank(x) - rank(y) })
	out := make([]Column, 0, len(order))
	for _, name := range order {
		e := b.by[name]
		out = append(out, Column{
			Expression: name, Label: e.Label, Page: e.Page, Filled: e.filled, Samples: append([]string{}, e.samples...),
			Kind: e.kind(), PhotoCandidate: e.mayBePhoto(t), MappedTo: mappedTo(name, reads),
		})
	}
	return out
}

// kind is that of all values; of a column that nobody fills, what its question
// or its name suggests.
func (e *entry) kind() string {
	switch {
	case len(e.kinds) == 1:
		for kind := range e.kinds {
			return kind
		}
	case len(e.kinds) == 2 && e.kinds[kindFlag] > 0 && e.kinds[kindNumber] > 0:
		return kindNumber // 0 and 1 are numbers too
	case len(e.kinds) > 0:
		return kindText
	case e.InputType == uploadInput:
		return kindFile
	}
	switch e.Expression {
	case "email":
		return kindEmail
	case "website":
		return kindURL
	default:
		return kindText
	}
}

// The vendor's numbers of the kinds of questions (stova-api.md §7.10). That of
// uploads is not documented; 99 is our guess.
const (
	uploadInput  = "99"
	otherInputs  = " 1 3 16 17 31 " // text, check boxes, choices, sessions
	pictureWords = "photo photograph picture portrait headshot image avatar logo foto photographie"
)

// mayBePhoto reports whether a column seems to hold an uploaded picture (R12):
// by the kind of its question, by what its values end with, or, where neither
// tells, by a word of its label.
func (e *entry) mayBePhoto(t run.DataType) bool {
	switch {
	case t != run.Users && t != run.Sponsors && t != run.Presenters, e.Agenda:
		return false
	case e.filled > 0 && 2*e.pictures >= e.filled:
		return true
	case e.InputType == uploadInput:
		return true
	case t == run.Presenters:
		return e.Expression == "image" // an image id (stova-api.md §9)
	case e.InputType == "" || strings.Contains(otherInputs, " "+e.InputType+" "):
		return false
	default:
		return slices.ContainsFunc(strings.Split(mapping.Slug(e.Label), "_"), func(word string) bool {
			return slices.Contains(strings.Fields(pictureWords), word)
		})
	}
}

// mappedTo names the fields that read a column.
func mappedTo(column string, reads []mapping.Read) []string {
	var out []string
	for _, r := range reads {
		if r.Field != "filter" && !slices.Contains(out, r.Field) && slices.ContainsFunc(r.Columns, func(c string) bool { return within(c, column) }) {
			out = append(out, r.Field)
		}
	}
	return out
}

// within reports whether a column that is read is another, or a part of it.
func within(read, column string) bool {
	rest, ok := strings.CutPrefix(read, column)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}
