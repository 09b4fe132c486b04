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
)

// filterFlags pick failures; failed and redrive take the same.
type filterFlags struct{ cause, dataType, run string }

func (f *filterFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.cause, "cause", "", "only those with this error code, such as STOVA_SERVER")
	cmd.Flags().StringVar(&f.dataType, "type", "", "only those of this data type")
	cmd.Flags().StringVar(&f.run, "run", "", "only those of this run")
}

// words are the flags as they were given.
func (f filterFlags) words() string {
	var given []string
	for _, flag := range [...]struct{ name, value string }{{"--cause", f.cause}, {"--type", f.dataType}, {"--run", f.run}} {
		if flag.value != "" {
			given = append(given, flag.name+" "+flag.value)
		}
	}
	return strings.Join(given, " ")
}

func (c *cli) filter(ctx context.Context, at *site, names []string, f filterFlags) (pipeline.Filter, error) {
	cause, err := errorCode(f.cause)
	out := pipeline.Filter{Cause: cause, Run: f.run}
	if err != nil {
		return out, err
	}
	if len(names) > 0 {
		if err := c.knownConnection(ctx, at, names[0]); err != nil {
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
	return out, c.filterRun(ctx, at, out)
}

// filterRun refuses a run that is not there, or is another connection's: that
// nothing of it has failed would be no news.
func (c *cli) filterRun(ctx context.Context, at *site, f pipeline.Filter) error {
	if f.Run == "" {
		return nil
	}
	switch r, ok, err := at.Steps.Ledger.Run(ctx, f.Run); {
	case err != nil:
		return err
	case !ok:
		return invalid("see "+c.self()+" runs", "no run %s", f.Run)
	case f.Connection != "" && f.Connection != r.Connection:
		return invalid("see "+c.self()+" runs "+f.Connection, "run %s is of connection %s, not of %s", f.Run, r.Connection, f.Connection)
	default:
		return nil
	}
}

// errorCode reads the code of an error as people write it; "" stays.
func errorCode(word string) (string, error) {
	code := strings.ToUpper(strings.TrimSpace(word))
	var known []string
	for _, k := range fault.Codes() {
		known = append(known, string(k))
	}
	if code == "" || slices.Contains(known, code) {
		return code, nil
	}
	return "", invalid(nearest(code, known, "there are: "+strings.Join(known, ", ")), "no error code %q", word)
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
			x.At = whole(x.At)
			if err := printJSON(c.out, x); err != nil {
				return err
			}
		}
		return nil
	}
	switch words := f.words(); {
	case len(all) > 0:
	case words != "":
		return c.line("Nothing has failed that matches %s.", words)
	default:
		return c.line("Nothing has failed.")
	}
	for _, group := range byCause(all, func(x pipeline.Failure) cause { return cause{text: x.Error} }) {
		g := newGrid("connection", "run", "type", ">page", ">rows")
		for _, x := range group.of {
			g.row(x.Connection, x.Run, x.Type, cmp.Or(x.Page, "all"), rowsOf(x))
		}
		if err := errors.Join(c.line("%s", group.heading), g.print(c.out), c.gap()); err != nil {
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
that failed in an older run (superseded) needs a new sync. A failure whose
connection was removed (removed) is dropped.

Exit codes: 0 nothing that was picked is left, 2 some of it has failed again, 1
error, also when what goes on is not waited for any longer.`,
		Example: "  stovasync redrive summit\n  stovasync redrive --cause STOVA_SERVER --dry-run\n  stovasync redrive --all",
		Args:    between(0, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && f == (filterFlags{}) && !all {
				return invalid("name a connection, filter with --cause, --type or --run, or say --all", "redrive without a filter would re-run every failure")
			}
			if all && (len(args) > 0 || f != (filterFlags{})) {
				return invalid("leave out either --all or the rest", "--all re-runs every failure of every connection, but %s picks some", strings.Join(append(args, strings.Fields(f.words())...), " "))
			}
			return c.with(cmd.Context(), func(at *site) error { return c.redrive(cmd.Context(), at, args, f, dry) })
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "re-run every failure of every connection")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only show what would be re-run")
	return cmd
}
