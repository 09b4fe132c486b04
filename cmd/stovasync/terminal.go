package main

import (
	"os"
	"strconv"

	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"
)

// The widths that terminals have: one that does not tell its own has the usual
// one, and what is narrower than the least is a mistake.
const (
	usualWidth = 80
	leastWidth = 20
)

// width is how many columns a line on standard output may have; 0: any number,
// since nobody looks at a pipe or a file. COLUMNS, where it is set, says so for
// all of them.
func (c *cli) width() int {
	if n, err := strconv.Atoi(c.variable("COLUMNS")); err == nil && n > 0 {
		return max(n, leastWidth)
	}
	file := c.terminal()
	if file == nil {
		return 0
	}
	columns, _, err := term.GetSize(int(file.Fd()))
	if err != nil || columns <= 0 {
		return usualWidth
	}
	return max(columns, leastWidth)
}

// colour reports whether standard output may be coloured: only on a terminal
// that can, and where NO_COLOR does not forbid it.
func (c *cli) colour() bool {
	return c.terminal() != nil && c.variable("NO_COLOR") == "" && c.variable("TERM") != "dumb"
}

// variable is a variable of the environment, "" where it is not set.
func (c *cli) variable(name string) string {
	if c.lookup == nil {
		return ""
	}
	v, _ := c.lookup(name)
	return v
}

// terminal is standard output if that is a terminal, else nil.
func (c *cli) terminal() *os.File {
	file, ok := c.out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	return file
}

// paint colours a text where there is colour. What it says must be in the text
// itself: not everybody sees colours.
func (c *cli) paint(colours text.Colors, s string) string {
	if !c.colour() {
		return s
	}
	return text.Escape(s, colours.EscapeSeq())
}
