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
		Long:    "Lists the runs of a connection, or of all, removed ones too, newest first. `runs show` tells\nmore of one. With --json: a line each.\n\nOn aws:STACK it also wakes a run in which nothing has moved for a minute: tasks\nthat were lost are sent again, and in the end failed.",
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
	g := newGrid("run", "connection", "state", "mode", ">API calls", ">took")
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
		g.row(v.Run, v.Connection, v.State, v.Mode, v.APICalls, seconds(v.Seconds))
	}
	switch {
	case c.json:
		return nil
	case len(all) == 0:
		_, err = fmt.Fprintf(c.out, "No runs yet. Start one: %s sync NAME\n", c.self())
		return err
	}
	return g.print(c.out)
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

func (c *cli) showRunCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show RUN",
		Short:   "Show one run: its types, pages, rejects, warnings and cost",
		Long:    "Shows one run with its types and pages, every rejected row with the reason, the\nwarnings and what it cost. Rows are named by their ids only. The name of a\nconnection stands for its newest run.",
		Example: "  stovasync runs show 20310304T090000Z-3f2a0b1c\n  stovasync runs show summit",
		Args:    exactly("RUN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(at *site) error { return c.showRun(cmd.Context(), at, args[0]) })
		},
	}
}

func (c *cli) showRun(ctx context.Context, at *site, id string) error {
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
		return err
	}
	if c.json {
		return printJSON(c.out, v)
	}
	title := fmt.Sprintf("%s\nConnection %s, started %s UTC, cost %s USD.\n", summary(v), v.Connection, stamp(v.Started), dollars(v.CostUSD))
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
	if err := errors.Join(g.print(c.out), c.gap(), countsGrid(v).print(c.out)); err != nil {
		return err
	}
	return errors.Join(c.section("Causes", causes), c.section("Rejected rows", rejectLines(v.Rejects)), c.section("Warnings", warningLines(v.Warnings)))
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
	_, err := fmt.Fprintf(c.out, "\n%s:\n  %s\n", title, strings.Join(lines, "\n  "))
	return err
}

// rejectLines are the rejected rows, one a line: as a table the reasons would
// not fit a screen.
func rejectLines(rejects []run.Reject) []string {
	var lines []string
	for _, r := range rejects {
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
