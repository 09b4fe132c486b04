package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
)

// filterFlags pick failures; failed and redrive take the same.
type filterFlags struct{ cause, dataType, run, page string }

func (f *filterFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.cause, "cause", "", "only those with this error code, such as STOVA_SERVER")
	cmd.Flags().StringVar(&f.dataType, "type", "", "only those of this data type")
	cmd.Flags().StringVar(&f.run, "run", "", "only those of this run")
	cmd.Flags().StringVar(&f.page, "page", "", "only this page of that --type and --run")
}

// words are the flags as they were given.
func (f filterFlags) words() string {
	var given []string
	for _, flag := range [...]struct{ name, value string }{{"--cause", f.cause}, {"--type", f.dataType}, {"--run", f.run}, {"--page", f.page}} {
		if flag.value != "" {
			given = append(given, flag.name+" "+flag.value)
		}
	}
	return strings.Join(given, " ")
}

func (c *cli) filter(ctx context.Context, at *site, names []string, f filterFlags) (pipeline.Filter, error) {
	cause, err := errorCode(f.cause)
	out := pipeline.Filter{Cause: cause, Run: f.run, Page: f.page}
	if err := errors.Join(err, f.onePage()); err != nil {
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

var pageName = regexp.MustCompile(`^[0-9]{1,6}(\.[0-9]{1,3})?$`)

// onePage refuses a page that names none: pages have numbers within a type and
// a run.
func (f filterFlags) onePage() error {
	switch {
	case f.page == "":
		return nil
	case !pageName.MatchString(f.page):
		return invalid("give a number as failed shows it, such as 3, or 3.1 for its first rest", "--page %q is no page", f.page)
	case f.run == "" || f.dataType == "":
		return invalid("add --run and --type", "--page %s needs the run and the type that it is a page of", f.page)
	default:
		return nil
	}
}

// filterRun refuses a run that is not there, or is another connection's: that
// nothing of it has failed would be no news.
func (c *cli) filterRun(ctx context.Context, at *site, f pipeline.Filter) error {
	if f.Run == "" {
		return nil
	}
	switch r, err := c.knownRun(ctx, at, f.Run); {
	case err != nil:
		return err
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
	var ids bool
	cmd := &cobra.Command{
		Use:   "failed [NAME]",
		Short: "List the pages and types that failed, by their cause",
		Long: `Lists what was given up after all tries: pages of rows, and types that could not
be listed or finished. They are grouped by cause, with how to mend it. Of each
page it says which rows it held, by their ids, and whether a later run has read
them already (covered). redrive re-runs them, once the cause is mended. With
--json: a line each, with all ids.`,
		Example: "  stovasync failed summit\n  stovasync failed --cause STOVA_SERVER\n  stovasync failed summit --type users --ids",
		Args:    between(0, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(at *site) error { return c.failed(cmd.Context(), at, args, f, ids) })
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&ids, "ids", false, "show all ids of each page, not only the first")
	return cmd
}

// failedView is one failure as failed --json has it.
type failedView struct {
	pipeline.Failure
	// Verdict is what a redrive would do, as redrive --dry-run says it.
	Verdict string   `json:"verdict"`
	IDs     []string `json:"ids,omitempty"` // of the rows that the page held
	Mend    string   `json:"mend"`          // how the cause is mended
	Docs    string   `json:"docs"`          // where more of it stands
	Redrive string   `json:"redrive"`       // the command of redriveOnly
}

func (c *cli) failed(ctx context.Context, at *site, names []string, f filterFlags, ids bool) error {
	views, err := c.failures(ctx, at, names, f)
	if err != nil {
		return err
	}
	if c.json {
		for _, v := range views {
			if err := printJSON(c.out, v); err != nil {
				return err
			}
		}
		return nil
	}
	if len(views) == 0 {
		if words := f.words(); words != "" {
			return c.line("Nothing has failed that matches %s.", words)
		}
		return c.line("Nothing has failed.")
	}
	groups := byCause(views, func(v failedView) cause { return cause{text: v.Error} })
	for _, group := range groups {
		if err := c.printFailed(group, now(at), ids); err != nil {
			return err
		}
	}
	again := c.self() + " redrive --all"
	if len(names) > 0 {
		again = c.self() + " redrive " + names[0]
	}
	first := groups[0].of[0] // as the reader sees them
	return errors.Join(c.line("When the cause is mended: %s", again), c.line("%s: %s", onlyWords(first.Failure), first.Redrive))
}

// justOpened is how long a type that a redrive has opened is no news: its task waits.
const justOpened = time.Minute

// failures reads what failed, as it is shown. It reads only: on a stack too no
// function is asked.
func (c *cli) failures(ctx context.Context, at *site, names []string, f filterFlags) ([]failedView, error) {
	filter, err := c.filter(ctx, at, names, f)
	if err != nil {
		return nil, err
	}
	all, err := at.Steps.Redrive(ctx, filter, true)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(r pipeline.Redriven) bool { return r.Opened && now(at).Sub(r.At) < justOpened })
	failures := make([]pipeline.Failure, len(all))
	for i, r := range all {
		failures[i] = r.Failure
	}
	ids, err := pipeline.FailedIDs(ctx, at.Steps, failures)
	if err != nil {
		return nil, err
	}
	views := make([]failedView, len(all))
	for i, r := range all {
		views[i] = failedView{
			Failure: r.Failure, Verdict: r.Verdict, IDs: ids[r.Task()],
			Mend: mend(r.Code), Docs: errorPage(r.Code), Redrive: c.redriveOnly(r.Failure),
		}
		views[i].At = whole(r.At)
		if r.Verdict == pipeline.Sent {
			views[i].Verdict = wouldBeSent
		}
	}
	return views, nil
}

// onlyWords say what the command of redriveOnly re-runs.
func onlyWords(x pipeline.Failure) string {
	if x.Page == "" {
		return fmt.Sprintf("Only what has failed of %s in the run of the first", x.Type)
	}
	return "Only the first of these"
}

// redriveOnly is the narrowest command that re-runs a failure: of a page exactly
// that. A whole type has no name of its own, so its command takes what pages of
// that type have failed in the same run along.
func (c *cli) redriveOnly(x pipeline.Failure) string {
	f := filterFlags{dataType: string(x.Type), run: x.Run, page: x.Page}
	return c.self() + " redrive " + x.Connection + " " + f.words()
}

// printFailed shows the failures of one cause.
func (c *cli) printFailed(group alike[failedView], now time.Time, ids bool) error {
	width := c.width()
	g := newGrid("connection", "run", "type", ">page", ">rows", ">failed")
	notes := make([][]string, len(group.of))
	for i, v := range group.of {
		g.row(v.Connection, v.Run, v.Type, cmp.Or(v.Page, "all"), rowsOf(v.Failure), ago(now.Sub(v.At)))
		notes[i] = c.failedNotes(v, width, ids)
	}
	how := hang("  ", fmt.Sprintf("%s See %s", mend(group.of[0].Code), errorPage(group.of[0].Code)), cmp.Or(width, usualWidth))
	return errors.Join(c.line("%s", group.heading), c.line("%s", strings.Join(how, "\n")), c.gap(),
		g.fit(width, "rows", "connection").printNoted(c.out, notes), c.gap())
}

// idsShown is how many ids of a page are told where not all are asked for.
const idsShown = 5

// failedNotes are what is to be said of a failure beside its row in the table.
func (c *cli) failedNotes(v failedView, width int, all bool) []string {
	var lines []string
	if n := len(v.IDs); n > 0 {
		shown, more := v.IDs, ""
		if !all && n > idsShown+1 {
			shown, more = v.IDs[:idsShown], fmt.Sprintf(" and %d more", n-idsShown)
		}
		lines = hang("  ids ", strings.Join(shown, ", ")+more, cmp.Or(width, usualWidth))
	}
	if note := c.verdictNote(v); note != "" {
		lines = append(lines, hang("  ", note, cmp.Or(width, usualWidth))...)
	}
	return lines
}

func (c *cli) verdictNote(v failedView) string {
	switch v.Verdict {
	case pipeline.Covered:
		return "A later run has already covered this page: redrive only marks it as done."
	case pipeline.Superseded:
		return "Only a new run mends a type of an older one: " + c.self() + " sync " + v.Connection
	case pipeline.Removed:
		return "Its connection was removed: redrive drops it."
	default:
		return ""
	}
}

// now is the time by the clock of a target.
func now(at *site) time.Time {
	if at.Steps.Now == nil {
		return time.Now()
	}
	return at.Steps.Now()
}

// ago says how long ago something was, in the one unit that matters.
func ago(d time.Duration) string {
	switch {
	case d < time.Second:
		return "just now"
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd ago", int(d.Hours()/24))
	}
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
		Example: `  stovasync redrive summit
  stovasync redrive --cause STOVA_SERVER --dry-run
  stovasync redrive summit --run 20310304T090000Z-3f2a0b1c --type users --page 3
  stovasync redrive --all`,
		Args: between(0, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && f == (filterFlags{}) && !all {
				return invalid("name a connection, filter with --cause, --type, --run or --page, or say --all", "redrive without a filter would re-run every failure")
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
