package main

import (
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"stovasync/shared/pipeline"
)

// mark is how a page looks in a run's grid: a letter that says it all, and a
// colour for who sees colours.
type mark struct {
	state   pipeline.CellState
	letter  string
	colours text.Colors
}

func marks() []mark {
	return []mark{
		{pipeline.CellUnchanged, ".", text.Colors{text.FgGreen}},
		{pipeline.CellChanged, "+", text.Colors{text.FgGreen, text.Bold}},
		{pipeline.CellDone, "o", text.Colors{text.FgGreen}},
		{pipeline.CellRetried, "R", text.Colors{text.FgYellow}},
		{pipeline.CellSplit, "S", text.Colors{text.FgCyan}},
		{pipeline.CellQueued, "_", text.Colors{text.FgBlue}},
		{pipeline.CellFailed, "F", text.Colors{text.FgRed, text.Bold}},
	}
}

// labelWidth is that of the longest data type.
const labelWidth = 16

// cellPlan is how a grid is laid out: what stands before the cells of a line,
// and how many groups of ten cells follow.
type cellPlan struct {
	under  bool // the type stands on a line of its own
	number int  // the width of page numbers
	groups int
}

func planCells(grids []pipeline.TypeGrid, width int) cellPlan {
	p := cellPlan{number: 1}
	for _, g := range grids {
		for _, c := range g.Cells {
			p.number = max(p.number, len(c.Page))
		}
	}
	fits := func(before int) int { return (width - before - p.number - 1) / 11 }
	if p.groups = fits(labelWidth + 1); p.groups < 1 {
		p.under, p.groups = true, max(1, fits(0))
	}
	// Round numbers begin the lines then: 1, 51, 101.
	for _, round := range [...]int{10, 5, 2, 1} {
		if p.groups >= round {
			p.groups = round
			break
		}
	}
	return p
}

// cellLines draws the grid of a run: types by pages, one letter for each page,
// in groups of ten, each line with the number of its first page.
func (c *cli) cellLines(grids []pipeline.TypeGrid, width int) []string {
	letters := map[pipeline.CellState]string{}
	for _, m := range marks() {
		letters[m.state] = c.paint(m.colours, m.letter)
	}
	plan := planCells(grids, width)
	var lines []string
	for _, g := range grids {
		label := string(g.Type)
		if len(g.Cells) == 0 {
			lines = append(lines, fmt.Sprintf("%-*s no pages", labelWidth, label))
			continue
		}
		if plan.under {
			lines = append(lines, label)
		}
		for from := 0; from < len(g.Cells); from += plan.groups * 10 {
			var b strings.Builder
			if !plan.under {
				fmt.Fprintf(&b, "%-*s ", labelWidth, label)
				label = ""
			}
			fmt.Fprintf(&b, "%*s", plan.number, g.Cells[from].Page)
			for i, cell := range g.Cells[from:min(from+plan.groups*10, len(g.Cells))] {
				if i%10 == 0 {
					b.WriteByte(' ')
				}
				b.WriteString(letters[cell.State])
			}
			lines = append(lines, b.String())
		}
	}
	return lines
}

// legend says what the letters mean.
func (c *cli) legend(width int) []string {
	var lines []string
	long := 0
	for i, m := range marks() {
		word := m.letter + " " + string(m.state)
		painted := c.paint(m.colours, m.letter) + " " + string(m.state)
		if i == 0 || long+3+len(word) > width {
			lines, long = append(lines, painted), len(word)
			continue
		}
		lines[len(lines)-1] += "   " + painted
		long += 3 + len(word)
	}
	return lines
}

// rowLines say of each type how many rows were listed, which of them the run
// was to read, and how many the cells hold; and by what they differ.
func rowLines(grids []pipeline.TypeGrid, width int) []string {
	var lines []string
	for _, g := range grids {
		lines = append(lines, hang(fmt.Sprintf("%-*s ", labelWidth, g.Type), rowWords(g), width)...)
	}
	return lines
}

func rowWords(g pipeline.TypeGrid) string {
	if g.Listed+g.Chosen == 0 {
		if g.LeftOut == "" {
			return "none listed"
		}
		return g.LeftOut
	}
	words := fmt.Sprintf("%d listed", g.Listed)
	if g.LeftOut != "" {
		words += " (" + g.LeftOut + ")"
	}
	switch {
	case g.Counted == g.Chosen && g.Chosen == g.Listed:
		words += ", all in the cells"
	case g.Counted == g.Chosen:
		words += fmt.Sprintf(", %d to read, all in the cells", g.Chosen)
	default:
		words += fmt.Sprintf(", %d to read, %d in the cells; %s", g.Chosen, g.Counted, g.Difference)
	}
	if g.Erased > 0 {
		words += fmt.Sprintf("; %d more in the counts of the cells, of people who were erased since", g.Erased)
	}
	if g.Others > 0 {
		words += fmt.Sprintf("; %d of them are of other types, or were gone when they were read", g.Others)
	}
	return words
}

// hang breaks words after a label into lines of a width, the further ones
// indented as far as the label goes; where that leaves too little, by two.
func hang(label, words string, width int) []string {
	indent := strings.Repeat(" ", len(label))
	if width > 0 && width < 2*len(label) {
		label, indent = strings.TrimSpace(label)+": ", "  "
	}
	var lines []string
	line := label
	for word := range strings.FieldsSeq(words) {
		if width > 0 && len(line)+1+len(word) > width && strings.TrimSpace(line) != "" && line != label {
			lines, line = append(lines, strings.TrimRight(line, " ")), indent
		}
		if !strings.HasSuffix(line, " ") {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
