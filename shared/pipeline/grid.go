package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/run"
)

// CellState says in one word what became of a page: the worst of what holds.
type CellState string

// The states of a cell.
const (
	CellQueued    CellState = "queued"    // not settled yet
	CellUnchanged CellState = "unchanged" // done, and nothing needed writing
	CellChanged   CellState = "changed"   // done, and something was written
	CellDone      CellState = "done"      // done by a later run (covered), or with rows that nobody counts or that all wait
	CellRetried   CellState = "retried"   // done, but not at the first try
	CellSplit     CellState = "split"     // done, but a rest was handed on as a page of its own
	CellFailed    CellState = "failed"
)

// CellStates returns all states, from the one that asks for nothing to the one
// that asks for most.
func CellStates() []CellState {
	return []CellState{CellUnchanged, CellChanged, CellDone, CellRetried, CellSplit, CellQueued, CellFailed}
}

// Cell is one page of a run's grid.
type Cell struct {
	Page  string    `json:"page"` // "3", or "3.1" for its first rest
	State CellState `json:"state"`
	// Rows is how many ids the page was given; those of a rest are in both.
	Rows    int        `json:"rows"`
	Counts  run.Counts `json:"counts"`
	Tries   int        `json:"tries,omitempty"` // deliveries until it was settled; 0: not known
	Covered bool       `json:"covered,omitempty"`
	Code    string     `json:"code,omitempty"`
	Error   string     `json:"error,omitempty"`
}

// TypeGrid is one data type's row of a run's grid.
type TypeGrid struct {
	Type  run.DataType `json:"type"`
	Cells []Cell       `json:"cells"`
	// Listed is how many ids the vendor listed of the type's stream, or how many
	// owners have a picture; Chosen how many of them this run read.
	Listed int `json:"listed"`
	Chosen int `json:"chosen"`
	// Counted is the sum of the cells, of rows of this type and of others in its stream.
	Counted int `json:"counted"`
	// Others is how many of Counted gave no row of this type: they are of
	// another type of the stream, or were gone when they were read. Only of types
	// with one row for an id: not of schedule and sponsor-levels.
	Others int `json:"others,omitempty"`
	// Erased is how many rows the counts of the cells hold beyond Counted: those
	// of people who were erased since. The numbers of ids are without them.
	Erased int `json:"erased,omitempty"`
	// Difference names what Counted and Chosen differ by; "" when they are equal.
	Difference string `json:"difference,omitempty"`
	// Gaps are the parts of Difference: Chosen is Counted and all of them.
	Gaps []Gap `json:"gaps,omitempty"`
	// LeftOut names what Listed, or the vendor's own count, differs from Chosen
	// by; "" when they are equal.
	LeftOut string `json:"left_out,omitempty"`
}

// Gap is a number of ids that a run was to read and the cells do not hold.
type Gap struct {
	Rows  int       `json:"rows"`
	Pages int       `json:"pages"`
	Why   GapReason `json:"why"`
}

// GapReason says why ids are in no cell.
type GapReason string

// The reasons.
const (
	GapFailed  GapReason = "failed"      // their page failed
	GapQueued  GapReason = "not_settled" // their page is not settled
	GapCovered GapReason = "covered"     // a later run has read them, when their page was re-run
	GapGone    GapReason = "gone"        // listed no more when their page was re-run
	GapUnknown GapReason = "unknown"     // the ledger and the plan disagree: a defect
)

// GridOf reads a run as types by pages, in the order of run.AllTypes: every
// page of a plan is a cell, also one that was never begun, and so is every rest
// that was handed on. A run that is not there has no types. It reads the ledger
// twice, and the plans of the run's streams.
func GridOf(ctx context.Context, s *Steps, id string) ([]TypeGrid, error) {
	all, err := s.Ledger.TypeRuns(ctx, id)
	if err != nil {
		return nil, err
	}
	pages, err := queryAll[Page](ctx, s.Ledger.Items, Query{PK: runPK(id), Prefix: allPages})
	if err != nil {
		return nil, storeError(err)
	}
	of := map[run.DataType][]Page{}
	for _, p := range pages {
		of[p.Type] = append(of[p.Type], p)
	}
	grids := make([]TypeGrid, len(all))
	for i, tr := range all {
		plan, ok, err := s.readPlan(ctx, planObject(tr.Connection, tr.Run, tr.Type.Stream()))
		if err != nil && !fault.IsPermanent(err) { // a damaged plan is as none
			return nil, err
		}
		b := gridBuilder{tr: tr, plan: plan, planned: ok && err == nil, rows: map[string]int{}, erased: map[string]int{}}
		grids[i] = b.grid(of[tr.Type])
	}
	return grids, nil
}

// allPages begins the sort keys of a run's pages, of every type.
const allPages = "PAGE#"

// gridBuilder makes one type's row.
type gridBuilder struct {
	tr      TypeRun
	plan    Plan
	planned bool           // there is a plan that can be read
	rows    map[string]int // of each page, by its name
	erased  map[string]int // ids that erasures took out of each page
	gaps    []Gap
}

func (b *gridBuilder) grid(pages []Page) TypeGrid {
	g := TypeGrid{Type: b.tr.Type, Cells: []Cell{}, Listed: len(b.plan.All)}
	pages = b.withUnregistered(pages)
	for _, p := range pages {
		b.rows[p.Name], b.erased[p.Name] = p.Rows, p.Erased
		if !b.planned && p.Hops == 0 {
			g.Chosen += p.Rows
		}
	}
	for _, ids := range b.plan.Pages {
		g.Chosen += len(ids)
	}
	var read, since int
	for _, p := range pages {
		g.Cells = append(g.Cells, cell(p))
		g.Counted += b.count(p)
		read += p.Counts.Read
		if p.State == run.PageDone && !p.Covered {
			since += p.Erased - b.erased[p.Next] - p.Unread
		}
	}
	g.Erased = max(0, since)
	if oneRowEach(b.tr.Type) {
		g.Others = max(0, g.Counted+since-read)
	}
	rest := g.Chosen - g.Counted
	for _, gap := range b.gaps {
		rest -= gap.Rows
	}
	b.gap(rest, GapUnknown)
	g.Gaps, g.Difference = b.gaps, differenceText(b.gaps)
	g.LeftOut = b.leftOut()
	return g
}

// withUnregistered adds the pages of the plan that the ledger does not know:
// those of a type that was not planned to its end.
func (b *gridBuilder) withUnregistered(pages []Page) []Page {
	known := map[string]bool{}
	for _, p := range pages {
		known[p.Name] = true
	}
	for i, ids := range b.plan.Pages {
		if name := strconv.Itoa(i + 1); !known[name] {
			pages = append(pages, Page{Name: name, State: run.PageQueued, Rows: len(ids)})
		}
	}
	slices.SortFunc(pages, func(a, b Page) int { return strings.Compare(sortable(a.Name), sortable(b.Name)) })
	return pages
}

// count returns how many ids a page accounts for, and files the others.
func (b *gridBuilder) count(p Page) int {
	own := p.Rows - b.rows[p.Next] // of no next page: 0
	switch {
	case p.State == run.PageFailed:
		b.gap(own, GapFailed)
	case p.State != run.PageDone:
		b.gap(own, GapQueued)
	case p.Covered:
		b.gap(own, GapCovered)
	default:
		b.gap(p.Left, GapGone)
		return own - p.Left
	}
	return 0
}

func (b *gridBuilder) gap(rows int, why GapReason) {
	if rows == 0 {
		return
	}
	i := slices.IndexFunc(b.gaps, func(g Gap) bool { return g.Why == why })
	if i < 0 {
		i = len(b.gaps)
		b.gaps = append(b.gaps, Gap{Why: why})
	}
	b.gaps[i].Rows += rows
	b.gaps[i].Pages++
}

// oneRowEach reports whether an id of the type's stream gives one row of it, or none.
func oneRowEach(t run.DataType) bool { return t != run.Schedule && t != run.SponsorLevels }

// cell is what became of a page.
func cell(p Page) Cell {
	return Cell{
		Page: p.Name, State: cellState(p), Rows: p.Rows, Counts: p.Counts, Tries: p.Tries,
		Covered: p.Covered, Code: p.Code, Error: p.Error,
	}
}

func cellState(p Page) CellState {
	switch {
	case p.State == run.PageFailed:
		return CellFailed
	case p.State != run.PageDone:
		return CellQueued
	case p.Next != "":
		return CellSplit
	case p.Covered: // its tries were in vain, and a later run needed none of them
		return CellDone
	case p.Tries > 1:
		return CellRetried
	case p.Counts.New+p.Counts.Changed > 0:
		return CellChanged
	case p.Counts.Read > p.Counts.Pending: // rows that wait are stored by a later run
		return CellUnchanged
	default:
		return CellDone
	}
}

// gapWords say why ids are missing: how many, and in how many pages.
var gapWords = map[GapReason]string{
	GapFailed:  "%s in %s that failed",
	GapQueued:  "%s in %s not settled",
	GapCovered: "%s in %s left to a later run, which has read them",
	GapGone:    "%s of %s listed no more when it was re-run",
	GapUnknown: "%s in %s unaccounted for: the ledger and the plan disagree",
}

func differenceText(gaps []Gap) string {
	var parts []string
	for _, g := range gaps {
		parts = append(parts, fmt.Sprintf(gapWords[g.Why], counted(g.Rows, "row"), counted(g.Pages, "page")))
	}
	return strings.Join(parts, "; ")
}

// leftOut names the listed rows that the run did not choose.
func (b *gridBuilder) leftOut() string {
	if !b.planned {
		switch {
		case b.tr.Planning:
			return "the plan cannot be read any more: how many were listed is not known"
		case b.tr.State.Ended():
			return "nothing was listed"
		default:
			return "nothing is listed yet"
		}
	}
	chosen := setOf(slices.Concat(b.plan.Pages...))
	listed := setOf(b.plan.All)
	unread, unlisted := 0, 0
	for id := range listed {
		if !chosen[id] {
			unread++
		}
	}
	for id := range chosen {
		if !listed[id] {
			unlisted++
		}
	}
	var parts []string
	if unread > 0 {
		parts = append(parts, b.unread(unread))
	}
	if unlisted > 0 {
		parts = append(parts, fmt.Sprintf("%d besides whose picture is named no more", unlisted))
	}
	if b.plan.NoID > 0 {
		parts = append(parts, counted(b.plan.NoID, "listed row")+" more without an id")
	}
	if b.plan.KeptOut > 0 {
		parts = append(parts, counted(b.plan.KeptOut, "listed row")+" more of people who were erased")
	}
	return strings.Join(parts, "; ")
}

func (b *gridBuilder) unread(n int) string {
	if b.tr.Type.IsPhotos() {
		return fmt.Sprintf("%d left out: their picture has not changed", n)
	}
	return fmt.Sprintf("%d left out: not modified since %s", n, b.plan.ModifiedFrom.UTC().Format(time.RFC3339))
}

// counted writes a number with its noun.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
