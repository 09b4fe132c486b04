package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// RunDetail is what the page of a run shows.
type RunDetail struct {
	Run  pipeline.RunView
	Grid []pipeline.TypeGrid
	// History are the newest runs of the connection, the newest first; of more
	// than 50 the newest 50 are shown. Rejects and warnings of theirs are not read.
	History []pipeline.RunView
}

// historyLimit is how many runs the chart holds.
const historyLimit = 50

type runPage struct {
	page
	R       pipeline.RunView
	Facts   []fact
	Usage   []fact
	Took    string
	Written int  // records new, changed or removed
	Failed  int  // pages, and types as a whole
	Marked  bool // the history holds this run, and others
	Legend  []legendRow
	Grid    []gridRow
	Counts  countsTable
	Causes  []causeRow
	Charts  []chart
	History []historyRow
}

// RunHTML writes a run as one page that opens offline: its figures, its pages
// as a grid, what was rejected and what failed and why, and how it compares
// with the runs before it.
func RunHTML(w io.Writer, d RunDetail) error {
	causes := causesOf(d)
	p, err := newPage(fmt.Sprintf("Run %s, %s", d.Run.Run, d.Run.Connection), []link{
		{ID: "summary", Name: "Summary"},
		{ID: "pages", Name: "Pages", Count: count(cellsOf(d.Grid))},
		{ID: "counts", Name: "Counts"},
		{ID: "failures", Name: "Failures", Count: count(len(causes)), Alarm: len(causes) > 0},
		{ID: "rejected", Name: "Rejected", Count: count(len(d.Run.Rejects)), Alarm: len(d.Run.Rejects) > 0},
		{ID: "warnings", Name: "Warnings", Count: count(len(d.Run.Warnings)), Alarm: len(d.Run.Warnings) > 0},
		{ID: "history", Name: "History"},
	})
	if err != nil {
		return err
	}
	if len(d.History) == 0 {
		d.History = []pipeline.RunView{d.Run}
	}
	d.History = d.History[:min(len(d.History), historyLimit)]
	v := runPage{
		page: p, R: d.Run, Facts: runFacts(d.Run), Legend: legend(d.Grid), Grid: gridRows(d.Grid), Counts: countsOf(d.Run),
		Took: seconds(d.Run.Seconds), Written: written(d.Run), Failed: failures(d.Run), Usage: usageOf(d.Run),
		Causes: causes, Charts: charts(d.Run.Run, d.History), History: historyRows(d.Run.Run, d.History),
	}
	v.Marked = len(v.History) > 1 && slices.ContainsFunc(v.History, func(r historyRow) bool { return r.This })
	return execute(w, "run", v)
}

// runFacts are the lines of a run's summary.
func runFacts(r pipeline.RunView) []fact {
	facts := []fact{
		{Name: "Run", Value: r.Run, Code: true},
		{Name: "Connection", Value: r.Connection, Code: true},
		{Name: "State", Value: string(r.State)},
		{Name: "Mode", Value: string(r.Mode)},
		{Name: "Started", Value: stamp(r.Started)},
		{Name: "Ended", Value: cmp.Or(stamp(r.Ended), "not yet")},
		{Name: "Time", Value: seconds(r.Seconds)},
		{Name: "API calls", Value: apiCalls(r.Spent)},
		{Name: "Cost", Value: cost(r)},
	}
	if r.PhotoBytes > 0 {
		facts = append(facts, fact{Name: "Pictures", Value: fmt.Sprintf("%.1f MB downloaded", float64(r.PhotoBytes)/1e6)})
	}
	if r.TaskAge > 0 {
		facts = append(facts, fact{Name: "Longest wait of a task", Value: seconds(r.TaskAge)})
	}
	return facts
}

func apiCalls(s pipeline.Spent) string {
	out := count(s.APICalls)
	if s.Throttles > 0 {
		out += fmt.Sprintf(", %s throttled", count(s.Throttles))
	}
	return out
}

// usageOf is what a run's cost is made of.
func usageOf(r pipeline.RunView) []fact {
	var out []fact
	for _, name := range slices.Sorted(maps.Keys(r.Usage)) {
		out = append(out, fact{Name: strings.ReplaceAll(name, "_", " "), Value: amount(r.Usage[name])})
	}
	return out
}

// cost names what a run cost. On the embedded default nothing is measured, nor
// before a run's first task has reported.
func cost(r pipeline.RunView) string {
	if r.CostUSD == 0 && len(r.Usage) == 0 {
		return "not measured"
	}
	return dollars(r.CostUSD)
}

// typesOf are the types of a run in the order in which people list them.
func typesOf(r pipeline.RunView) []run.DataType {
	var out []run.DataType
	for _, t := range run.AllTypes() {
		if _, ok := r.Types[t]; ok {
			out = append(out, t)
		}
	}
	for _, t := range slices.Sorted(maps.Keys(r.Types)) {
		if !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}

// countsTable holds the counts of a run by type; those that few types have are
// there only when there are some.
type countsTable struct {
	Heads []string
	Rows  []countsRow
	Total []string
}

type countsRow struct {
	Type  run.DataType
	State run.State
	Mode  run.Mode
	Pages string
	Cells []string
}

// tallied is a count with its heading.
type tallied struct {
	head   string
	of     func(pipeline.TypeView) int
	always bool
}

func tallies() []tallied {
	return []tallied{
		{"read", func(v pipeline.TypeView) int { return v.Read }, true},
		{"new", func(v pipeline.TypeView) int { return v.New }, true},
		{"changed", func(v pipeline.TypeView) int { return v.Changed }, true},
		{"unchanged", func(v pipeline.TypeView) int { return v.Unchanged }, true},
		{"filtered", func(v pipeline.TypeView) int { return v.Filtered }, true},
		{"rejected", func(v pipeline.TypeView) int { return v.Rejected }, true},
		{"removed", func(v pipeline.TypeView) int { return v.Removed }, true},
		{"pending", func(v pipeline.TypeView) int { return v.Pending }, false},
		{"missing", func(v pipeline.TypeView) int { return v.Missing }, false},
		{"computed", func(v pipeline.TypeView) int { return v.Computed }, false},
		{"missed before", func(v pipeline.TypeView) int { return v.Missed }, false},
		{"API calls", func(v pipeline.TypeView) int { return v.APICalls }, true},
	}
}

func countsOf(r pipeline.RunView) countsTable {
	var t countsTable
	types := typesOf(r)
	for _, x := range tallies() {
		sum := 0
		for _, name := range types {
			sum += x.of(r.Types[name])
		}
		if sum == 0 && !x.always {
			continue
		}
		t.Heads, t.Total = append(t.Heads, x.head), append(t.Total, count(sum))
	}
	for _, name := range types {
		tv := r.Types[name]
		row := countsRow{Type: name, State: tv.State, Mode: tv.Mode, Pages: pagesText(tv.Pages)}
		for _, x := range tallies() {
			if slices.Contains(t.Heads, x.head) {
				row.Cells = append(row.Cells, count(x.of(tv)))
			}
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func pagesText(p pipeline.PagesView) string {
	out := count(p.Done) + " of " + count(p.Planned)
	if p.Failed > 0 {
		out += ", " + count(p.Failed) + " failed"
	}
	return out
}

// causeRow is why pages or types failed, and what mends it.
type causeRow struct {
	Code, Says, Next string
	Mend             string
	Where            []string // "users: page 3, 7"
}

// place is where something failed; page "" is the whole type.
type place struct {
	t    run.DataType
	page string
}

// group is failures of one cause.
type group struct {
	text  string // of the error; where they differ, without what they differ by
	where []place
}

// causesOf gathers the failures of a run by their cause, the commonest first:
// what errors say, whichever row or file they say it of.
func causesOf(d RunDetail) []causeRow {
	groups := map[string]*group{}
	add := func(text string, at place) {
		key := fold(text)
		if groups[key] == nil {
			groups[key] = &group{text: text}
		}
		if groups[key].text != text {
			groups[key].text = key
		}
		groups[key].where = append(groups[key].where, at)
	}
	for _, g := range d.Grid {
		for _, c := range g.Cells {
			if c.State == pipeline.CellFailed {
				add(cmp.Or(c.Error, c.Code, "the cause was not kept"), place{g.Type, c.Page})
			}
		}
	}
	for _, t := range typesOf(d.Run) {
		if tv := d.Run.Types[t]; tv.Error != "" || tv.Code != "" {
			add(cmp.Or(tv.Error, tv.Code), place{t, ""})
		}
	}
	sorted := slices.SortedFunc(maps.Values(groups), func(a, b *group) int {
		return cmp.Or(cmp.Compare(len(b.where), len(a.where)), cmp.Compare(a.text, b.text))
	})
	var out []causeRow
	for _, g := range sorted {
		row := splitError(g.text)
		row.Where = whereText(g.where)
		out = append(out, row)
	}
	return out
}

// numbered is a word with a digit in it: an id, a count, the name of a file.
var numbered = regexp.MustCompile(`[A-Za-z0-9_.-]*[0-9][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*`)

// fold puts … in the place of ids and numbers. The status of an HTTP answer,
// which tells causes apart, stays.
func fold(text string) string {
	return numbered.ReplaceAllStringFunc(text, func(word string) string {
		if n, err := strconv.Atoi(word); err == nil && n >= 300 && n <= 599 {
			return word
		}
		return "…"
	})
}

// whereText names the pages that failed, type by type.
func whereText(where []place) []string {
	pages := map[run.DataType][]string{}
	var order []run.DataType
	for _, p := range where {
		if _, ok := pages[p.t]; !ok {
			order = append(order, p.t)
		}
		pages[p.t] = append(pages[p.t], p.page)
	}
	var out []string
	for _, t := range order {
		out = append(out, string(t)+": "+pageList(pages[t]))
	}
	return out
}

// pageList names pages; "" among them is the whole type.
func pageList(pages []string) string {
	const shown = 20
	var named []string
	for _, p := range pages {
		if p != "" {
			named = append(named, p)
		}
	}
	if len(named) == 0 {
		return "the whole type"
	}
	text := strings.Join(named[:min(shown, len(named))], ", ")
	if more := len(named) - shown; more > 0 {
		text += fmt.Sprintf(" and %s more", count(more))
	}
	if len(named) == 1 {
		return "page " + text
	}
	return "pages " + text
}

// splitError takes an error's text apart: its code, what it says and its next step.
func splitError(text string) causeRow {
	row := causeRow{Says: text}
	if code, rest, ok := strings.Cut(text, ": "); ok && slices.Contains(fault.Codes(), fault.Code(code)) {
		row.Code, row.Says = code, rest
	} else if slices.Contains(fault.Codes(), fault.Code(text)) {
		row.Code, row.Says = text, ""
	}
	if says, next, ok := strings.Cut(row.Says, "; "); ok {
		row.Says, row.Next = says, next
	}
	row.Mend = mends()[fault.Code(row.Code)]
	return row
}

// historyRow is one run of the history's table.
type historyRow struct {
	Run     string
	This    bool
	Started time.Time
	State   run.State
	Mode    run.Mode
	Took    string
	New     int
	Changed int
	Removed int
	Failed  int
	Calls   int
	Cost    string
}

func historyRows(this string, history []pipeline.RunView) []historyRow {
	var out []historyRow
	for _, r := range history {
		row := historyRow{
			Run: r.Run, This: r.Run == this, Started: r.Started, State: r.State, Mode: r.Mode, Took: seconds(r.Seconds),
			Calls: r.APICalls, Cost: dollars(r.CostUSD), Failed: failures(r),
		}
		for _, tv := range r.Types {
			row.New, row.Changed, row.Removed = row.New+tv.New, row.Changed+tv.Changed, row.Removed+tv.Removed
		}
		out = append(out, row)
	}
	return out
}

// failures counts what of a run failed: pages, and types that failed as a whole.
func failures(r pipeline.RunView) int {
	n := 0
	for _, tv := range r.Types {
		n += tv.Pages.Failed
		if tv.State == run.Failed || tv.State == run.Stalled {
			n++
		}
	}
	return n
}

// written counts the records that a run wrote: new, changed and removed.
func written(r pipeline.RunView) int {
	n := 0
	for _, tv := range r.Types {
		n += tv.New + tv.Changed + tv.Removed
	}
	return n
}
