package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// filterFlags pick failures; failed and redrive take the same.
type filterFlags struct{ cause, dataType, run string }

func (f *filterFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.cause, "cause", "", "only those with this error code, such as STOVA_SERVER")
	cmd.Flags().StringVar(&f.dataType, "type", "", "only those of this data type")
	cmd.Flags().StringVar(&f.run, "run", "", "only those of this run")
}

func (c *cli) filter(ctx context.Context, at *site, names []string, f filterFlags) (pipeline.Filter, error) {
	out := pipeline.Filter{Cause: strings.ToUpper(f.cause), Run: f.run}
	if len(names) > 0 {
		if _, err := c.connection(ctx, at, names[0]); err != nil {
			return out, err
		}
		out.Connection = names[0]
	}
	if f.dataType != "" {
		t, err := dataType(f.dataType)
		if err != nil {
			return out, err
		}
		out.Type = t
	}
	return out, nil
}

func (c *cli) failedCommand() *cobra.Command {
	var f filterFlags
	cmd := &cobra.Command{
		Use:   "failed [NAME]",
		Short: "List the pages and types that failed, by their cause",
		Long: `Lists what was given up after all tries: pages of rows, and types that could not
be listed or finished. They are grouped by cause. redrive re-runs them, once the
cause is mended. With --json: a line each.`,
		Example: "  stovasync failed summit\n  stovasync failed --cause STOVA_SERVER",
		Args:    between(0, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(at *site) error { return c.failed(cmd.Context(), at, args, f) })
		},
	}
	f.add(cmd)
	return cmd
}

func (c *cli) failed(ctx context.Context, at *site, names []string, f filterFlags) error {
	filter, err := c.filter(ctx, at, names, f)
	if err != nil {
		return err
	}
	all, err := at.Steps.Failed(ctx, filter)
	if err != nil {
		return err
	}
	if c.json {
		for _, x := range all {
			if err := printJSON(c.out, x); err != nil {
				return err
			}
		}
		return nil
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(c.out, "Nothing has failed.")
		return err
	}
	for _, group := range byCause(all, func(x pipeline.Failure) string { return x.Code }) {
		g := newGrid("connection", "run", "type", ">page", ">rows")
		for _, x := range group {
			g.row(x.Connection, x.Run, x.Type, cmp.Or(x.Page, "all"), rowsOf(x))
		}
		if err := errors.Join(c.line("%s", group[0].Error), g.print(c.out), c.gap()); err != nil {
			return err
		}
	}
	again := c.self() + " redrive --all"
	if len(names) > 0 {
		again = c.self() + " redrive " + names[0]
	}
	return c.line("When the cause is mended: %s", again)
}

func (c *cli) line(format string, args ...any) error {
	_, err := fmt.Fprintf(c.out, format+"\n", args...)
	return err
}

// rowsOf is the rows of a failed page; nobody knows how many a type would have had.
func rowsOf(x pipeline.Failure) string {
	if x.Page == "" {
		return ""
	}
	return fmt.Sprint(x.Rows)
}

// byCause cuts failures, ordered by their code, into groups of one code.
func byCause[T any](all []T, code func(T) string) [][]T {
	var groups [][]T
	for i, x := range all {
		if i == 0 || code(x) != code(all[i-1]) {
			groups = append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], x)
	}
	return groups
}

func (c *cli) redriveCommand() *cobra.Command {
	var f filterFlags
	var all, dry bool
	cmd := &cobra.Command{
		Use:   "redrive [NAME]",
		Short: "Re-run what failed shows",
		Long: `Re-runs failed pages and types, and shows what became of each. Without a filter
it must be told --all.

On aws:STACK the deployed function sends what is to be re-run, and redrive follows
it; interrupting it only ends the following.

A page whose work a later run has done (covered) is only marked as done. A type
that failed in an older run (superseded) needs a new sync.

Exit codes: 0 nothing that was picked is left, 2 some of it has failed again, 1
error, also when what goes on is not waited for any longer.`,
		Example: "  stovasync redrive summit\n  stovasync redrive --cause STOVA_SERVER --dry-run\n  stovasync redrive --all",
		Args:    between(0, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && f == (filterFlags{}) && !all {
				return invalid("name a connection, filter with --cause, --type or --run, or say --all", "redrive without a filter would re-run every failure")
			}
			return c.with(cmd.Context(), func(at *site) error { return c.redrive(cmd.Context(), at, args, f, dry) })
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "re-run every failure of every connection")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only show what would be re-run")
	return cmd
}

// redrivenView is one failure after a redrive: State is that of its page or
// type run now.
type redrivenView struct {
	pipeline.Redriven
	State string `json:"state"`
}

func (c *cli) redrive(ctx context.Context, at *site, names []string, f filterFlags, dry bool) error {
	filter, err := c.filter(ctx, at, names, f)
	if err != nil {
		return err
	}
	if !dry {
		failures, err := at.Steps.Failed(ctx, filter)
		if err != nil {
			return err
		}
		if len(failures) > 0 {
			c.say("Re-running %s.\n", count(len(failures), "failure"))
		}
	}
	out, err := at.Redrive(ctx, filter, dry)
	if ctx.Err() != nil {
		if at.remote {
			return interrupted("interrupted: what was sent goes on by itself; look with " + c.self() + " failed")
		}
		return interrupted("interrupted: what is not done yet goes on with the next " + c.self() + " sync or redrive")
	}
	// What is not waited for is shown as far as it is.
	if err != nil && (fault.CodeOf(err) != fault.RunActive || len(out) == 0) {
		return err
	}
	views := make([]redrivenView, len(out))
	left := 0
	for i, r := range out {
		state, mended, bad := stateNow(ctx, at, r.Failure)
		if bad != nil {
			return errors.Join(err, bad)
		}
		views[i] = redrivenView{r, state}
		if !mended {
			left++
		}
	}
	if bad := c.printRedriven(views, dry); err != nil || bad != nil {
		return errors.Join(err, bad)
	}
	if left > 0 && !dry {
		return status(exitPartial)
	}
	return nil
}

// stateNow is the state of the page or the type run that had failed, and
// whether it is a good end.
func stateNow(ctx context.Context, at *site, x pipeline.Failure) (state string, mended bool, err error) {
	if x.Page != "" {
		p, _, err := at.Steps.Ledger.Page(ctx, x.Run, x.Type, x.Page)
		return string(p.State), p.State == run.PageDone, err
	}
	tr, _, err := at.Steps.Ledger.TypeRun(ctx, x.Run, x.Type)
	return string(tr.State), tr.State.Succeeded(), err
}

func (c *cli) printRedriven(views []redrivenView, dry bool) error {
	if c.json {
		for _, v := range views {
			if err := printJSON(c.out, v); err != nil {
				return err
			}
		}
		return nil
	}
	if len(views) == 0 {
		return c.line("Nothing to re-run.")
	}
	// Connections are re-run one after the other; people read by cause.
	slices.SortStableFunc(views, func(a, b redrivenView) int { return cmp.Compare(a.Code, b.Code) })
	for _, group := range byCause(views, func(v redrivenView) string { return v.Code }) {
		g := newGrid("connection", "run", "type", ">page", "  verdict", "now")
		for _, v := range group {
			g.row(v.Connection, v.Run, v.Type, cmp.Or(v.Page, "all"), "  "+v.Verdict, v.State)
		}
		if err := errors.Join(c.line("%s", group[0].Failure.Error), g.print(c.out), c.gap()); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(views, func(v redrivenView) bool { return v.Verdict == pipeline.Superseded }) {
		return c.line("Types of older runs (superseded) are mended by a new sync only.")
	}
	if dry {
		return c.line("Nothing was re-run: --dry-run.")
	}
	if slices.ContainsFunc(views, feeds) {
		return c.line("Other types may have ended without these rows: the next sync brings what waited for them.")
	}
	return nil
}

// feeds reports whether other types read what was re-run: picks wait for users
// and sessions, pictures for their owners.
func feeds(v redrivenView) bool {
	return v.Verdict == pipeline.Sent && slices.Contains([]run.DataType{run.Users, run.Sessions, run.Presenters}, v.Type)
}
