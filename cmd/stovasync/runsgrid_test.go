package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// gridOf is a type of n pages, all unchanged but those given.
func gridOf(t run.DataType, n int, others map[int]pipeline.CellState) pipeline.TypeGrid {
	g := pipeline.TypeGrid{Type: t}
	for i := 1; i <= n; i++ {
		state := pipeline.CellUnchanged
		if s, ok := others[i]; ok {
			state = s
		}
		g.Cells = append(g.Cells, pipeline.Cell{Page: strconv.Itoa(i), State: state})
	}
	return g
}

func TestEveryPageIsALetter(t *testing.T) {
	t.Parallel()
	grids := []pipeline.TypeGrid{
		gridOf(run.Users, 23, map[int]pipeline.CellState{
			2: pipeline.CellChanged, 3: pipeline.CellDone, 4: pipeline.CellRetried, 5: pipeline.CellSplit, 11: pipeline.CellQueued, 23: pipeline.CellFailed,
		}),
		gridOf(run.Sessions, 0, nil),
	}
	tests := map[string]struct {
		width int
		want  string
	}{
		"a wide screen has a type on one line": {80, "" +
			"users             1 .+oRS..... _......... ..F\n" +
			"sessions         no pages"},
		"lines begin with round numbers": {50, "" +
			"users             1 .+oRS..... _.........\n" +
			"                 21 ..F\n" +
			"sessions         no pages"},
		"a narrow screen has the type above": {24, "" +
			"users\n" +
			" 1 .+oRS.....\n" +
			"11 _.........\n" +
			"21 ..F\n" +
			"sessions         no pages"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lines := (&cli{out: &bytes.Buffer{}}).cellLines(grids, tt.width)
			if diff := cmp.Diff(tt.want, strings.Join(lines, "\n")); diff != "" {
				t.Errorf("cellLines (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNoLineOfAGridIsWiderThanTheScreen(t *testing.T) {
	t.Parallel()
	grids := []pipeline.TypeGrid{gridOf(run.PresenterPhotos, 1234, nil), gridOf(run.Users, 7, nil)}
	grids[1].LeftOut, grids[1].Difference, grids[1].Listed = "19993 left out: not modified since 2031-03-03T09:00:00Z", "5 rows in 2 pages that failed", 20000
	c := &cli{out: &bytes.Buffer{}}
	for width := leastWidth - 2; width < 200; width++ {
		lines := append(c.cellLines(grids, width), c.legend(width)...)
		for _, line := range append(lines, rowLines(grids, width)...) {
			if len(line) > width && strings.Contains(strings.TrimSpace(line), " ") && width > 24 {
				t.Errorf("at %d columns: %q", width, line)
			}
		}
		letters := 0
		for _, line := range c.cellLines(grids, width) {
			letters += strings.Count(line, ".")
		}
		if letters != 1241 {
			t.Errorf("at %d columns there are %d cells, want 1241", width, letters)
		}
	}
}

func TestTheLegendSaysEveryLetter(t *testing.T) {
	t.Parallel()
	legend := strings.Join((&cli{out: &bytes.Buffer{}}).legend(80), "\n")
	seen := map[string]bool{}
	for _, s := range pipeline.CellStates() {
		if !strings.Contains(legend, " "+string(s)) {
			t.Errorf("the legend does not tell of %s: %s", s, legend)
		}
	}
	for _, m := range marks() {
		if seen[m.letter] || len(m.letter) != 1 {
			t.Errorf("%q stands for %s and another", m.letter, m.state)
		}
		seen[m.letter] = true
	}
	if len(seen) != len(pipeline.CellStates()) {
		t.Errorf("%d letters for %d states", len(seen), len(pipeline.CellStates()))
	}
}

func TestWhatTheCellsHoldInWords(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		of   pipeline.TypeGrid
		want string
	}{
		"all that is listed":          {pipeline.TypeGrid{Listed: 5, Chosen: 5, Counted: 5}, "5 listed, all in the cells"},
		"nothing is listed":           {pipeline.TypeGrid{}, "none listed"},
		"nothing could be listed":     {pipeline.TypeGrid{LeftOut: "nothing was listed"}, "nothing was listed"},
		"some are left out":           {pipeline.TypeGrid{Listed: 5, Chosen: 2, Counted: 2, LeftOut: "3 left out: why"}, "5 listed (3 left out: why), 2 to read, all in the cells"},
		"some failed":                 {pipeline.TypeGrid{Listed: 5, Chosen: 5, Counted: 3, Difference: "2 rows in 1 page that failed"}, "5 listed, 5 to read, 3 in the cells; 2 rows in 1 page that failed"},
		"some are not of the type":    {pipeline.TypeGrid{Listed: 5, Chosen: 5, Counted: 5, Others: 2}, "5 listed, all in the cells; 2 of them are of other types, or were gone when they were read"},
		"nothing of what is listed":   {pipeline.TypeGrid{Listed: 5, LeftOut: "5 left out: why"}, "5 listed (5 left out: why), 0 to read, all in the cells"},
		"rows without id are besides": {pipeline.TypeGrid{Listed: 5, Chosen: 5, Counted: 5, LeftOut: "1 listed row more without an id"}, "5 listed (1 listed row more without an id), all in the cells"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := rowWords(tt.of); got != tt.want {
				t.Errorf("rowWords = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestHowLongAgo(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]time.Duration{
		"just now": -time.Minute, "59s ago": 59 * time.Second, "59m ago": time.Hour - 1, "2h ago": 2*time.Hour + 59*time.Minute,
		"47h ago": 48*time.Hour - 1, "9d ago": 9*24*time.Hour + time.Hour,
	} {
		if got := ago(d); got != want {
			t.Errorf("ago(%s) = %q, want %q", d, got, want)
		}
	}
}

func TestATableFitsAsFarAsItMay(t *testing.T) {
	t.Parallel()
	for width, want := range map[int]string{
		0:  "first second third\n-------------------\none   two        3\n",
		19: "first second third\n-------------------\none   two        3\n",
		18: "first third\n------------\none       3\n",
		3:  "third\n------\n    3\n",
	} {
		g := newGrid("first", "second", ">third")
		g.row("one", "two", 3)
		var out bytes.Buffer
		if err := g.fit(width, "second", "none such", "first").print(&out); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("at %d columns (-want +got):\n%s", width, diff)
		}
	}
}

func TestNotesStandBelowTheirRows(t *testing.T) {
	t.Parallel()
	g := newGrid("page")
	for _, name := range []string{"0", "1", "2"} {
		g.row(name)
	}
	var out bytes.Buffer
	if err := g.printNoted(&out, [][]string{{"  a", "  b"}, nil, {"  c"}}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("page\n-----\n0\n  a\n  b\n1\n2\n  c\n", out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestManyRejectedRowsAreNotAllTold(t *testing.T) {
	t.Parallel()
	var rejects []run.Reject
	for i := range rejectsShown + 7 {
		rejects = append(rejects, run.Reject{Type: run.Users, ID: fmt.Sprint(i), Code: "ROW_NO_ID", Reason: "why"})
	}
	lines := rejectLines(rejects)
	if got := lines[len(lines)-1]; len(lines) != rejectsShown+1 || got != "and 7 more: --json shows all of them" {
		t.Errorf("%d lines, the last %q", len(lines), got)
	}
}
