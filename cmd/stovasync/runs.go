package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"stovasync/shared/app"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

func (c *cli) runsCommand() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:     "runs [NAME]",
		Short:   "List the runs, newest first",
		Long:    "Lists the runs of a connection, or of all, newest first. `runs show` tells\nmore of one. With --json: a line each.",
		Example: "  stovasync runs summit --limit 5\n  stovasync runs show 20310304T090000Z-3f2a0b1c",
		Args:    between(0, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 {
				return invalid("use 1 or more", "--limit %d is out of range", limit)
			}
			return c.with(cmd.Context(), func(l *app.Local) error { return c.runs(cmd.Context(), l, args, limit) })
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 20, "how many runs to list")
	cmd.AddCommand(c.showRunCommand())
	return cmd
}

func (c *cli) runs(ctx context.Context, l *app.Local, names []string, limit int) error {
	all, err := c.newestRuns(ctx, l, names, limit)
	if err != nil {
		return err
	}
	g := newGrid("run", "connection", "state", "mode", ">API calls", ">took")
	for _, r := range all {
		v, _, err := l.Steps.Summary(ctx, r)
		if err != nil {
			return err
		}
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

// newestRuns reads the runs of the named connection, or of all.
func (c *cli) newestRuns(ctx context.Context, l *app.Local, names []string, limit int) ([]pipeline.Run, error) {
	known, err := connectionNames(ctx, l)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		names = known
	}
	var all []pipeline.Run
	for _, name := range names {
		runs, err := l.Steps.Ledger.Runs(ctx, name, limit)
		if err != nil {
			return nil, err
		}
		if len(runs) == 0 && !slices.Contains(known, name) {
			_, err := c.connection(ctx, l, name)
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
			return c.with(cmd.Context(), func(l *app.Local) error { return c.showRun(cmd.Context(), l, args[0]) })
		},
	}
}

func (c *cli) showRun(ctx context.Context, l *app.Local, id string) error {
	if run.ValidName(id) { // run ids hold capitals
		newest, err := c.newestRuns(ctx, l, []string{id}, 1)
		if err != nil {
			return err
		}
		if len(newest) == 0 {
			return invalid("start one: sync "+id, "connection %s has no runs yet", id)
		}
		id = newest[0].ID
	}
	v, err := l.Steps.View(ctx, id)
	if err != nil {
		return err
	}
	if c.json {
		return printJSON(c.out, v)
	}
	title := fmt.Sprintf("%s\nConnection %s, started %s UTC, cost %.4f USD.\n", summary(v), v.Connection, stamp(v.Started), v.CostUSD)
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
