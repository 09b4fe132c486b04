package report

import (
	"fmt"
	"slices"
	"strings"

	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// mark is how a page looks in a grid: a letter that says it all, which is also
// the terminal's, and a colour for who sees colours.
type mark struct {
	State   pipeline.CellState
	Letter  string
	Meaning string
}

func marks() []mark {
	return []mark{
		{pipeline.CellUnchanged, ".", "nothing needed writing"},
		{pipeline.CellChanged, "+", "something was written"},
		{pipeline.CellDone, "o", "by a later run, or with rows that nobody counts or that all wait for others"},
		{pipeline.CellRetried, "R", "done, but not at the first try"},
		{pipeline.CellSplit, "S", "done, a rest was handed on as a page of its own"},
		{pipeline.CellQueued, "_", "not settled yet"},
		{pipeline.CellFailed, "F", "given up after all tries"},
	}
}

// markOf finds a state's mark; a state that this page does not know is its own.
func markOf(s pipeline.CellState) mark {
	for _, m := range marks() {
		if m.State == s {
			return m
		}
	}
	return mark{State: s, Letter: "?", Meaning: string(s)}
}

type legendRow struct {
	mark
	Pages int
}

// legend is every state with the number of its pages.
func legend(grid []pipeline.TypeGrid) []legendRow {
	n := map[pipeline.CellState]int{}
	for _, g := range grid {
		for _, c := range g.Cells {
			n[c.State]++
		}
	}
	var out []legendRow
	for _, m := range marks() {
		out = append(out, legendRow{mark: m, Pages: n[m.State]})
	}
	return out
}

// gridRow is one type of the grid.
type gridRow struct {
	Type  run.DataType
	Says  string       // its pages by state, in words
	Rows  string       // what the vendor listed and what the cells hold
	Gap   string       // what they differ by
	Tens  [][]gridCell // its cells in tens, so that an eye can count them
	Cells []gridCell
}

type gridCell struct {
	pipeline.Cell
	Letter  string
	Class   string
	Says    string // all that is known of the page, for a pointer
	Written int    // new and changed
}

func gridRows(grid []pipeline.TypeGrid) []gridRow {
	var out []gridRow
	for _, g := range grid {
		row := gridRow{Type: g.Type, Says: pagesInWords(g.Cells), Rows: rowsInWords(g), Gap: g.Difference}
		for _, c := range g.Cells {
			row.Cells = append(row.Cells, cellOf(c))
		}
		row.Tens = slices.Collect(slices.Chunk(row.Cells, 10))
		out = append(out, row)
	}
	return out
}

func cellOf(c pipeline.Cell) gridCell {
	m := markOf(c.State)
	out := gridCell{Cell: c, Letter: m.Letter, Class: "is-" + string(m.State), Written: c.Counts.New + c.Counts.Changed}
	if m.Letter == "?" {
		out.Class = "is-unknown"
	}
	says := []string{fmt.Sprintf("page %s: %s", c.Page, c.State), things(c.Rows, "row")}
	for _, x := range [...]struct {
		n    int
		word string
	}{
		{c.Counts.New, "new"}, {c.Counts.Changed, "changed"}, {c.Counts.Unchanged, "unchanged"}, {c.Counts.Filtered, "filtered"},
		{c.Counts.Rejected, "rejected"}, {c.Counts.Pending, "pending"}, {c.Counts.Missing, "missing"}, {c.Counts.Removed, "removed"},
	} {
		if x.n > 0 {
			says = append(says, count(x.n)+" "+x.word)
		}
	}
	if c.Tries > 0 {
		says = append(says, triesText(c.Tries))
	}
	if c.Covered {
		says = append(says, "covered by a later run")
	}
	if c.Code != "" {
		says = append(says, c.Code)
	}
	out.Says = strings.Join(says, ", ")
	return out
}

func triesText(n int) string {
	if n == 1 {
		return "1 try"
	}
	return count(n) + " tries"
}

// Tried is the number of tries in a table; "" when it is not known.
func (c gridCell) Tried() string {
	if c.Tries == 0 {
		return ""
	}
	return count(c.Tries)
}

// pagesInWords is what an eye sees of a type's cells.
func pagesInWords(cells []pipeline.Cell) string {
	if len(cells) == 0 {
		return "No pages"
	}
	n := map[pipeline.CellState]int{}
	var other int
	for _, c := range cells {
		if markOf(c.State).Letter == "?" {
			other++
		}
		n[c.State]++
	}
	var parts []string
	for _, s := range pipeline.CellStates() {
		if n[s] > 0 {
			parts = append(parts, count(n[s])+" "+string(s))
		}
	}
	if other > 0 {
		parts = append(parts, count(other)+" of another state")
	}
	return things(len(cells), "page") + ": " + strings.Join(parts, ", ")
}

// rowsInWords says what became of the rows that the vendor listed.
func rowsInWords(g pipeline.TypeGrid) string {
	if g.Listed+g.Chosen == 0 {
		if g.LeftOut != "" {
			return g.LeftOut
		}
		return "none listed"
	}
	words := count(g.Listed) + " listed"
	if g.LeftOut != "" {
		words += " (" + g.LeftOut + ")"
	}
	switch {
	case g.Counted == g.Chosen && g.Chosen == g.Listed:
		words += ", all in the cells"
	case g.Counted == g.Chosen:
		words += ", " + count(g.Chosen) + " to read, all in the cells"
	default:
		words += ", " + count(g.Chosen) + " to read, " + count(g.Counted) + " in the cells"
	}
	if g.Erased > 0 {
		words += "; " + count(g.Erased) + " more in the counts of the cells, of people who were erased since"
	}
	if g.Others > 0 {
		words += "; " + count(g.Others) + " of them are of other types, or were gone when they were read"
	}
	return words
}

// cellsOf counts the pages of a grid.
func cellsOf(grid []pipeline.TypeGrid) int {
	n := 0
	for _, g := range grid {
		n += len(g.Cells)
	}
	return n
}
