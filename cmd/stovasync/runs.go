package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

func (c *cli) runsCommand() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:     "runs [NAME]",
		Short:   "List the runs, newest first",
		Long:    "Lists the runs of a connection, or of all, removed ones too, newest first, with\nwhat they stored (new, changed) and how many pages and types of them have\nfailed. `runs show` tells more of one. On a narrow screen some columns are left\nout. With --json: a line each.\n\nOn aws:STACK it also wakes a run in which nothing has moved for a minute: tasks\nthat were lost are sent again, and in the end failed.",
		Example: "  stovasync runs summit --limit 5\n  stovasync runs show 20310304T090000Z-3f2a0b1c",
		Args:    between(0, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 {
				return invalid("use 1 or more", "--limit %d is out of range", limit)
			}
			return c.with(cmd.Context(), func(at *site) error { return c.runs(cmd.Context(), at, args, limit) })
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 20, "how many runs to list")
	cmd.AddCommand(c.showRunCommand())
	return cmd
}

func (c *cli) runs(ctx context.Context, at *site, names []string, limit int) error {
	all, err := c.newestRuns(ctx, at, names, limit)
	if err != nil {
		return err
	}
	c.wake(ctx, at, all)
	g := newGrid("run", "connection", "state", "mode", "started", ">new", ">changed", ">failed", ">API calls", ">took")
	for _, r := range all {
		v, _, err := at.Steps.Summary(ctx, r)
		if err != nil {
			return err
		}
		v.Started, v.Ended = whole(v.Started), whole(v.Ended)
		if c.json {
			if err := printJSON(c.out, v); err != nil {
				return err
			}
			continue
		}
		n := tallied(v)
		g.row(v.Run, v.Connection, v.State, v.Mode, started(v.Started, c.width()), n.New, n.Changed, n.failed, v.APICalls, seconds(v.Seconds))
	}
	switch {
	case c.json:
		return nil
	case len(all) == 0 && len(names) > 0:
		return c.line("No runs of %s yet. Start one: %s sync %s", names[0], c.self(), names[0])
	case len(all) == 0:
		return c.line("No runs yet. Start one: %s sync NAME", c.self())
	}
	// A run's id tells when it started, and runs show tells the rest.
	drop := []string{"API calls", "mode", "took", "started", "connection", "changed", "new", "failed", "state"}
	if len(names) > 0 {
		drop = []string{"API calls", "mode", "connection", "took", "started", "changed", "new", "failed", "state"}
	}
	return g.fit(c.width(), drop...).print(c.out)
}

// tally is what a run came to, over all its types: its counts, and how many
// pages and types of it have failed.
type tally struct {
	run.Counts
	failed int
}

func tallied(v pipeline.RunView) tally {
	var sum tally
	for _, tv := range v.Types {
		sum.Counts = sum.Plus(tv.Counts)
		sum.failed += tv.Pages.Failed
		if tv.State == run.Failed {
			sum.failed++
		}
	}
	return sum
}

// wake repairs what has come to rest. Who may only read sees the runs all the same.
func (c *cli) wake(ctx context.Context, at *site, all []pipeline.Run) {
	var seen []string
	for _, r := range all {
		if slices.Contains(seen, r.Connection) {
			continue
		}
		seen = append(seen, r.Connection)
		switch woken, err := at.Wake(ctx, r.Connection); {
		case err != nil && ctx.Err() == nil:
			c.say("note: the run of %s was not woken: %s\n", r.Connection, strings.Join(errorLines(err), "; "))
		case woken:
			c.say("note: nothing had moved in the run of %s for a minute; its lost tasks, if there are any, are sent again\n", r.Connection)
		}
	}
}

// newestRuns reads the runs of the named connection, or of all, those that
// were removed too.
func (c *cli) newestRuns(ctx context.Context, at *site, names []string, limit int) ([]pipeline.Run, error) {
	known, err := connectionNames(ctx, at)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		removed, err := at.Steps.Ledger.Removed(ctx)
		if err != nil {
			return nil, err
		}
		names = append(slices.Clone(known), removed...)
	}
	var all []pipeline.Run
	for _, name := range names {
		runs, err := at.Steps.Ledger.Runs(ctx, name, limit)
		if err != nil {
			return nil, err
		}
		if len(runs) == 0 && !slices.Contains(known, name) {
			_, err := c.connection(ctx, at, name)
			return nil, err
		}
		all = append(all, runs...)
	}
	slices.SortStableFunc(all, func(a, b pipeline.Run) int { return cmp.Or(b.Started.Compare(a.Started), cmp.Compare(b.ID, a.ID)) })
	return all[:min(limit, len(all))], nil
}

const showLong = `Shows one run with its types, every page as a letter, what its pages hold of
what the vendor lists, rejected rows with the reason, warnings, and what it
cost. Rows are named by their ids only. The name of a connection stands for its
newest run.

Each page is . when nothing of it had changed, + when something was written, R
when it was not done at the first try, S when it took so long that a rest was
handed on as a page of its own (3.1 after 3), F when it failed, _ when it is not
settled yet, and o when none of its rows were this type's, all of them wait for
other records, or a later run has done its work.`

// runDetail is a run as runs show --json has it.
type runDetail struct {
	pipeline.RunView
	Grid []pipeline.TypeGrid `json:"grid"`
}

func (c *cli) showRunCommand() *cobra.Command {
	var html string
	cmd := &cobra.Command{
		Use:     "show RUN",
		Short:   "Show one run: its types, pages, rejects, warnings and cost",
		Long:    showLong,
		Example: "  stovasync runs show 20310304T090000Z-3f2a0b1c\n  stovasync runs show summit\n  stovasync runs show summit --html summit.html",
		Args:    exactly("RUN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if html == standardOutput && c.json {
				return invalid("name a file, or leave --json out", "--json takes standard output for itself")
			}
			return c.with(cmd.Context(), func(at *site) error { return c.showRun(cmd.Context(), at, args[0], html) })
		},
	}
	cmd.Flags().StringVar(&html, "html", "", "write the run as a page that opens offline, with a chart of the\nconnection's last 50 runs (- is standard output)")
	return cmd
}

func (c *cli) showRun(ctx context.Context, at *site, id, html string) error {
	if run.ValidName(id) { // run ids hold capitals
		newest, err := c.newestRuns(ctx, at, []string{id}, 1)
		if err != nil {
			return err
		}
		if len(newest) == 0 {
			return invalid("start one: sync "+id, "connection %s has no runs yet", id)
		}
		id = newest[0].ID
	}
	v, err := viewOf(ctx, at, id)
	if err != nil {
		// Only a run that is not there needs a look at the others.
		_, unknown := c.knownRun(ctx, at, id)
		return cmp.Or(unknown, err)
	}
	grids, err := pipeline.GridOf(ctx, at.Steps, id)
	if err != nil {
		return err
	}
	if html != "" {
		if err := c.runHTML(ctx, at, html, v, grids); err != nil || html == standardOutput {
			return err
		}
	}
	if c.json {
		return printJSON(c.out, runDetail{v, grids})
	}
	onward, unknown := c.onward(ctx, at, v)
	return errors.Join(unknown, c.printDetail(v, grids, onward))
}

func (c *cli) printDetail(v pipeline.RunView, grids []pipeline.TypeGrid, onward []string) error {
	width := c.width()
	title := fmt.Sprintf("%s\nConnection %s, started %s UTC, %s.\n", summary(v), v.Connection, stamp(v.Started), costOf(v))
	if _, err := fmt.Fprintln(c.out, title); err != nil {
		return err
	}
	g := newGrid("type", "state", "mode", ">pages", ">done", ">failed", ">API calls")
	var causes []string
	for _, t := range run.AllTypes() {
		tv, ok := v.Types[t]
		if !ok {
			continue
		}
		g.row(t, tv.State, tv.Mode, tv.Pages.Planned, tv.Pages.Done, tv.Pages.Failed, tv.APICalls)
		if tv.Error != "" {
			causes = append(causes, fmt.Sprintf("%s: %s", t, tv.Error))
		}
	}
	if err := errors.Join(g.fit(width, "mode", "API calls", "done").print(c.out), c.gap(), c.countsTable(v).print(c.out)); err != nil {
		return err
	}
	within := cmp.Or(width, usualWidth) - len(sectionIndent)
	pages := append(c.cellLines(grids, within), c.legend(within)...)
	return errors.Join(c.section("Pages", pages), c.section("Rows", rowLines(grids, within)),
		c.section("Causes", causes), c.section("What failed", onward), c.section("Rejected rows", rejectLines(v.Rejects)), c.section("Warnings", warningLines(v.Warnings)))
}

// The bounds of the search for the run that was meant by an id of none: a slip
// of a few letters among the newest runs, or an id that was copied in part. Ids
// are all alike, so half the letters, as for words, would find any.
const (
	runSlips    = 4
	runsLooked  = 100 // of a connection
	partOfRunID = 8   // letters: the day
)

// knownRun reads a run; one that is not there is told with the id that was
// probably meant.
func (c *cli) knownRun(ctx context.Context, at *site, id string) (pipeline.Run, error) {
	r, ok, err := at.Steps.Ledger.Run(ctx, id)
	if err != nil || ok {
		return r, err
	}
	names, err := connectionNames(ctx, at)
	if err != nil {
		return r, err
	}
	removed, err := at.Steps.Ledger.Removed(ctx)
	if err != nil {
		return r, err
	}
	var near []string
	for _, name := range slices.Concat(names, removed) {
		runs, err := at.Steps.Ledger.Runs(ctx, name, runsLooked)
		if err != nil {
			return r, err
		}
		for _, x := range runs {
			if slip(id, x.ID) <= runSlips || len(id) >= partOfRunID && strings.HasPrefix(x.ID, id) {
				near = append(near, x.ID)
			}
		}
	}
	next := "see " + c.self() + " runs"
	if len(near) > 0 {
		best := slices.MinFunc(near, func(a, b string) int { return cmp.Compare(slip(id, a), slip(id, b)) })
		next = fmt.Sprintf("did you mean %s? See %s runs", best, c.self())
	}
	return r, invalid(next, "no run %s", id)
}

// viewOf reads a run as it is shown.
func viewOf(ctx context.Context, at *site, id string) (pipeline.RunView, error) {
	v, err := at.Steps.View(ctx, id)
	v.Started, v.Ended = whole(v.Started), whole(v.Ended)
	return v, err
}

func (c *cli) gap() error {
	_, err := fmt.Fprintln(c.out)
	return err
}

func (c *cli) section(title string, lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	_, err := fmt.Fprintf(c.out, "\n%s:\n%s%s\n", title, sectionIndent, strings.Join(lines, "\n"+sectionIndent))
	return err
}

// sectionIndent begins the lines of a section.
const sectionIndent = "  "

// rejectsShown is how many rejected rows are told on a screen.
const rejectsShown = 40

// rejectLines are the rejected rows, one a line: as a table the reasons would
// not fit a screen.
func rejectLines(rejects []run.Reject) []string {
	var lines []string
	for i, r := range rejects {
		if i == rejectsShown {
			return append(lines, fmt.Sprintf("and %d more: --json shows all of them", len(rejects)-i))
		}
		lines = append(lines, fmt.Sprintf("%s %s  %s: %s", r.Type, cmp.Or(r.ID, "(no id)"), r.Code, r.Reason))
	}
	return lines
}

func warningLines(warnings []run.Warning) []string {
	var lines []string
	for _, w := range warnings {
		lines = append(lines, w.Code+": "+w.Message)
	}
	return lines
}
