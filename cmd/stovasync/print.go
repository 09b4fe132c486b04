package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// printJSON writes one document on a line of its own.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// grid is a table that reads well without colour, on a screen and in a pipe.
// A heading that begins with > is of a column of numbers.
type grid struct {
	t        table.Writer
	headings []string
	columns  []table.ColumnConfig
}

func newGrid(headings ...string) grid {
	t := table.NewWriter()
	style := table.StyleDefault
	style.Box.PaddingLeft, style.Box.PaddingRight = "", " "
	style.Options = table.Options{SeparateHeader: true}
	style.Format.Header = text.FormatDefault
	t.SetStyle(style)
	t.SuppressTrailingSpaces()
	row := make(table.Row, len(headings))
	g := grid{t: t, columns: make([]table.ColumnConfig, len(headings))}
	for i, h := range headings {
		name, number := strings.CutPrefix(h, ">")
		row[i] = name
		g.headings = append(g.headings, strings.TrimSpace(name))
		g.columns[i] = table.ColumnConfig{Number: i + 1}
		if number {
			g.columns[i].Align, g.columns[i].AlignHeader = text.AlignRight, text.AlignRight
		}
	}
	t.AppendHeader(row)
	t.SetColumnConfigs(g.columns)
	return g
}

// fit hides as many of the columns with these headings, one after the other,
// as it takes to make the table as narrow as width; 0 is any width. It is
// called when all rows are there.
func (g grid) fit(width int, drop ...string) grid {
	for _, heading := range drop {
		if width <= 0 || text.LongestLineLen(g.t.Render()) <= width {
			break
		}
		if i := slices.Index(g.headings, heading); i >= 0 {
			g.columns[i].Hidden = true
			g.t.SetColumnConfigs(g.columns)
		}
	}
	return g
}

func (g grid) row(cells ...any) { g.t.AppendRow(cells) }

// printNoted prints the table with lines of notes below each of its rows, one
// list of them for each row.
func (g grid) printNoted(w io.Writer, notes [][]string) error {
	const head = 2 // the headings and the line below them
	var lines []string
	for i, line := range strings.Split(g.t.Render(), "\n") {
		lines = append(lines, line)
		if n := i - head; n >= 0 && n < len(notes) {
			lines = append(lines, notes[n]...)
		}
	}
	_, err := fmt.Fprintln(w, strings.Join(lines, "\n"))
	return err
}

func (g grid) print(w io.Writer) error {
	_, err := fmt.Fprintln(w, g.t.Render())
	return err
}

// countsTable is countsGrid without what the terminal has no room for.
func (c *cli) countsTable(v pipeline.RunView) grid {
	return countsGrid(v).fit(c.width(), "other", "filtered", "unchanged", "rejected", "read")
}

// countsGrid is the table that people see at the end of a run.
func countsGrid(v pipeline.RunView) grid {
	g := newGrid("type", ">read", ">new", ">changed", ">unchanged", ">filtered", ">rejected", "  other")
	for _, t := range run.AllTypes() {
		tv, ok := v.Types[t]
		if !ok {
			continue
		}
		g.row(t, tv.Read, tv.New, tv.Changed, tv.Unchanged, tv.Filtered, tv.Rejected, other(tv.Counts))
	}
	return g
}

// other tells the counts that few types have.
func other(c run.Counts) string {
	var parts []string
	for _, p := range []struct {
		n    int
		word string
	}{{c.Pending, "pending"}, {c.Missing, "missing"}, {c.Computed, "computed"}, {c.Removed, "removed"}} {
		if p.n > 0 {
			parts = append(parts, strconv.Itoa(p.n)+" "+p.word)
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "  " + strings.Join(parts, ", ")
}

// summary is a run in one line.
func summary(v pipeline.RunView) string {
	return fmt.Sprintf("Run %s is %s: %s, %s, %s.", v.Run, v.State, v.Mode, count(v.APICalls, "API call"), seconds(v.Seconds))
}

// seconds writes a time as people read it: 3.2 s, or 4m12s.
func seconds(s float64) string {
	d := time.Duration(s * float64(time.Second))
	if d < time.Minute {
		return strconv.FormatFloat(s, 'f', 1, 64) + " s"
	}
	return d.Round(time.Second).String()
}

// costOf names what a run cost. On the embedded default nothing is measured, nor
// before a run's first task has reported.
func costOf(v pipeline.RunView) string {
	if v.CostUSD == 0 && len(v.Usage) == 0 {
		return "cost not measured"
	}
	return "cost " + dollars(v.CostUSD) + " USD"
}

// dollars writes an amount with four decimals, and of a smaller one as many as
// tell its first two digits.
func dollars(usd float64) string {
	decimals := 4
	if usd > 0 {
		decimals = max(decimals, 1-int(math.Floor(math.Log10(usd))))
	}
	return strconv.FormatFloat(usd, 'f', decimals, 64)
}

// stamp writes a moment as tables show it.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

// started writes a moment as lists show it: on a screen that is not wide,
// without the year.
func started(t time.Time, width int) string {
	switch {
	case t.IsZero():
		return ""
	case width > 0 && width < wideScreen:
		return t.UTC().Format("01-02 15:04")
	default:
		return t.UTC().Format("2006-01-02 15:04")
	}
}

const wideScreen = 110

// whole is a time as our JSON has it: the ledger's are as fine as its clock.
func whole(t time.Time) time.Time { return t.Truncate(time.Second) }
