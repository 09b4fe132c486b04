package config

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml/token"
	"github.com/mattn/go-runewidth"

	"stovasync/shared/fault"
)

// Position is a place in a file: line and column, each counted from 1, the
// column in characters. Column 0 is the whole line, line 0 no place at all.
type Position struct{ Line, Column int }

func (p Position) String() string {
	if p.Column == 0 {
		return fmt.Sprintf("line %d", p.Line)
	}
	return fmt.Sprintf("line %d, column %d", p.Line, p.Column)
}

func position(t *token.Token) Position { return Position{t.Position.Line, t.Position.Column} }

// Mistake is the place of an error in the file that was read: the cause of the
// *fault.Error that tells what is wrong there.
type Mistake struct {
	At   Position
	line string // as it is in the file; "" when it may hold a key
}

func (m *Mistake) Error() string { return m.At.String() }

// wrong is one CONFIG_INVALID problem at a place.
func wrong(at Position, msg, next string) *fault.Error {
	return mistaken(fault.ConfigInvalid, at, msg, next)
}

func mistaken(code fault.Code, at Position, msg, next string) *fault.Error {
	if at.Line == 0 {
		return fault.New(code, msg, next)
	}
	return fault.Wrap(code, &Mistake{At: at}, at.String()+": "+msg, next)
}

// The room an excerpt needs, and what it has where nobody says.
const (
	narrowest    = 20
	defaultWidth = 80
)

// Excerpt shows the line with a caret under the place, in two lines of at most
// width columns (0: 80) of a terminal. Of a longer line it shows the part around the place.
// It is "" for a line that is empty, or that may hold a key.
func (m *Mistake) Excerpt(width int) string {
	if strings.TrimSpace(m.line) == "" || m.At.Column == 0 {
		return ""
	}
	gutter := fmt.Sprintf("%5d | ", m.At.Line)
	room := max(cmp.Or(max(width, 0), defaultWidth)-len(gutter), narrowest)
	cells, caret := cellsOf(m.line, m.At.Column-1)
	before, after := "", ""
	if total(cells) > room {
		from := caret
		for from > 0 && total(cells[from-1:caret]) < room*2/3 {
			from--
		}
		if from > 0 {
			before = "…"
		}
		cells, caret = cells[from:], caret-from
		to := len(cells)
		for total(cells[:to]) > room-2 {
			to--
		}
		if to < len(cells) {
			after = "…"
		}
		cells = cells[:to]
	}
	under := total(cells[:min(caret, len(cells))]) + len([]rune(before))
	return gutter + before + join(cells) + after + "\n" + strings.Repeat(" ", len(gutter)-2) + "| " + strings.Repeat(" ", under) + "^"
}

// cell is what one character of a file takes on a terminal.
type cell struct {
	text  string
	width int
}

// cellsOf is how a terminal shows a line, and the cell of its n-th character,
// counted from 0. Tabs become blanks, and what cannot be seen a dot.
func cellsOf(line string, n int) ([]cell, int) {
	// The same on every machine, whatever its language.
	widths := runewidth.Condition{}
	var cells []cell
	for _, r := range line {
		switch {
		case r == '\t':
			cells = append(cells, cell{"    ", 4})
		case !unicode.IsPrint(r) && !unicode.Is(unicode.Mn, r):
			cells = append(cells, cell{"·", 1})
		default:
			cells = append(cells, cell{string(r), widths.RuneWidth(r)})
		}
	}
	return cells, min(n, len(cells))
}

func total(cells []cell) int {
	sum := 0
	for _, c := range cells {
		sum += c.width
	}
	return sum
}

func join(cells []cell) string {
	var b strings.Builder
	for _, c := range cells {
		b.WriteString(c.text)
	}
	return strings.TrimRight(b.String(), " ")
}

// source is the text of a file, to find and to show places in it.
type source struct {
	lines  [][]rune
	hidden []bool // lines that may hold a key
}

var (
	// A line that names a key, whatever its exact name, or an address with a password.
	secretName = regexp.MustCompile(`(?i)(^|[^\pL\pN_])["']?([a-z]+[_-]?)?(key|secret|token|passw(or)?d)["']?\s*([:=]|$|\s)|://[^/\s]*@`)
	// A line that begins something new: a value does not go on there.
	namedLine = regexp.MustCompile(`^\s*["']?[A-Za-z_][A-Za-z0-9_ -]*["']?\s*:(\s|$)|^\s*#|^---`)
)

// newSource reads the lines of a file. The line of a key is never shown, nor
// are those after it up to the next name: a value may go on for several.
func newSource(data []byte) *source {
	s := &source{}
	secret, depth := false, 0
	for line := range strings.SplitSeq(string(data), "\n") {
		indent := len(line) - len(strings.TrimLeft(line, " \t"))
		if secret && namedLine.MatchString(line) && indent <= depth {
			secret = false
		}
		if secretName.MatchString(line) || secretPattern.MatchString(line) {
			secret, depth = true, indent
		}
		s.lines = append(s.lines, []rune(line))
		s.hidden = append(s.hidden, secret)
	}
	return s
}

// show gives the mistakes among problems their lines, and puts the problems in
// the order of the file; those without a place come last.
func (s *source) show(problems []error) {
	for _, p := range problems {
		if m, ok := errors.AsType[*Mistake](p); ok && m.At.Line <= len(s.lines) && !s.hidden[m.At.Line-1] {
			m.line = string(s.lines[m.At.Line-1])
		}
	}
	slices.SortStableFunc(problems, func(a, b error) int {
		x, y := placeOf(a), placeOf(b)
		switch {
		case x.Line == 0 || y.Line == 0:
			return cmp.Compare(y.Line, x.Line)
		default:
			return cmp.Or(cmp.Compare(x.Line, y.Line), cmp.Compare(x.Column, y.Column))
		}
	})
}

func placeOf(err error) Position {
	if m, ok := errors.AsType[*Mistake](err); ok {
		return m.At
	}
	return Position{}
}

// style is how a text is written in a file.
type style int

const (
	plain style = iota
	single
	double
	block // after | or >
)

func styleOf(t *token.Token) style {
	switch t.Type {
	case token.SingleQuoteType:
		return single
	case token.DoubleQuoteType:
		return double
	default:
		return plain
	}
}

// within is where the n-th character, counted from 1, of a value's text stands
// in the file. The text and the file differ in quotes, escapes, indentation
// and where a line is folded.
func (s *source) within(v node, n int) Position {
	c := cursor{s.lines, v.at.Line - 1, v.at.Column - 1}
	switch v.style {
	case single, double:
		c.col++
	case block:
		c.line, c.col = c.line+1, 0
	}
	for _, r := range v.text {
		c.seek(r, v.style)
		if n--; n <= 0 {
			break
		}
		c.pass(v.style)
	}
	return Position{c.line + 1, c.col + 1}
}

// cursor walks the characters of a file.
type cursor struct {
	lines     [][]rune
	line, col int
}

// peek is the character at the cursor: a newline at the end of a line, 0 at
// the end of the file.
func (c *cursor) peek() rune {
	switch {
	case c.line >= len(c.lines) || c.line == len(c.lines)-1 && c.col >= len(c.lines[c.line]):
		return 0
	case c.col >= len(c.lines[c.line]):
		return '\n'
	default:
		return c.lines[c.line][c.col]
	}
}

func (c *cursor) next() {
	if c.peek() == '\n' {
		c.line, c.col = c.line+1, 0
	} else {
		c.col++
	}
}

func blank(r rune) bool { return r == ' ' || r == '\t' || r == '\n' }

// seek goes on to where r of the text stands: past indentation and folds, which
// are not in the text.
func (c *cursor) seek(r rune, s style) {
	for c.peek() != 0 && c.peek() != r {
		switch {
		case s == double && c.peek() == '\\':
			if !c.continued() {
				return // an escape stands for r
			}
		case !blank(c.peek()) || r == ' ' || r == '\n':
			return
		default:
			c.next()
		}
	}
}

// continued passes a backslash at the end of a line, which is not in the text.
func (c *cursor) continued() bool {
	if c.col+1 < len(c.lines[c.line]) {
		return false
	}
	c.line, c.col = c.line+1, 0
	return true
}

// pass goes past one character of the text.
func (c *cursor) pass(s style) {
	width := 1
	switch {
	case s == single && c.peek() == '\'':
		width = 2
	case s == double && c.peek() == '\\' && c.col+1 < len(c.lines[c.line]):
		width = cmp.Or(map[rune]int{'x': 4, 'u': 6, 'U': 10}[c.lines[c.line][c.col+1]], 2)
	}
	for range width {
		c.next()
	}
}
