package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// syncFlags are the flags of sync.
type syncFlags struct {
	types    []string
	full     bool
	removals int
}

func (c *cli) syncCommand() *cobra.Command {
	var f syncFlags
	cmd := &cobra.Command{
		Use:   "sync NAME",
		Short: "Sync an event to its end and show the counts",
		Long: `Reads what is new or has changed since the last sync, stores it and shows the
counts for each type. The first sync reads everything; so does --full, and any
sync after a change of the settings.

One sync of a connection runs at a time. A sync that was interrupted, or killed,
goes on where it stopped when sync is called again. On aws:STACK the deployed
functions do the work: sync starts a run and follows it, and interrupting it
only ends the following.

Exit codes: 0 complete, 2 finished with failed pages (see failed and redrive),
1 a type failed or the sync was refused.`,
		Example: "  stovasync sync summit\n  stovasync sync summit --type users --type sessions\n  stovasync sync summit --full --json",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(at *site) error { return c.sync(cmd.Context(), at, args[0], f) })
		},
	}
	cmd.Flags().StringArrayVar(&f.types, "type", nil, "sync only this data type; may be repeated")
	cmd.Flags().BoolVar(&f.full, "full", false, "read everything, not only what has changed")
	cmd.Flags().IntVar(&f.removals, "approve-removals", 0, "let this run remove up to N records of a type")
	return cmd
}

func (c *cli) sync(ctx context.Context, at *site, name string, f syncFlags) error {
	conn, err := c.connection(ctx, at, name)
	if err != nil {
		return err
	}
	start := pipeline.Start{Connection: name, ApprovedRemovals: f.removals}
	if start.Types, err = dataTypes(f.types); err != nil {
		return err
	}
	if f.removals < 0 {
		return invalid("give the number of records that may go", "--approve-removals %d is negative", f.removals)
	}
	if f.full {
		start.Mode = run.Full
	}
	c.warnRemovals(conn, f)
	v, err := c.runToEnd(ctx, at, start)
	if err != nil {
		return err
	}
	if c.json {
		err = printJSON(c.out, v)
	} else {
		err = c.printRun(ctx, at, v)
	}
	if err != nil {
		return err
	}
	return c.verdict(v)
}

// warnRemovals says that what was asked for is not part of this version.
func (c *cli) warnRemovals(conn run.Connection, f syncFlags) {
	for _, on := range conn.RemoveOutdated {
		if on || f.removals > 0 {
			c.say("warning: this version removes no records, whatever removeOutdated says\n")
			return
		}
	}
	if f.removals > 0 {
		c.say("warning: this version removes no records; --approve-removals changes nothing\n")
	}
}

// runToEnd starts a run, or takes up the one that was interrupted, shows how
// it goes and returns what it came to.
func (c *cli) runToEnd(ctx context.Context, at *site, start pipeline.Start) (pipeline.RunView, error) {
	start.Time, start.Nonce = time.Now().UTC(), rand.Text()
	f := c.newFollower(at)
	var id string
	err := at.Sync(f.meter(ctx), start, func(s pipeline.Started) {
		id = s.Run.ID
		if s.Resumed {
			c.say("Going on with run %s, which was interrupted.\n", id)
		}
		f.start(ctx, id)
	})
	f.stop()
	if ctx.Err() != nil {
		return pipeline.RunView{}, c.stopped(at, start.Connection, id)
	}
	if err != nil {
		return pipeline.RunView{}, err
	}
	return viewOf(ctx, at, id)
}

// stopped tells somebody who interrupted a sync what comes next.
func (c *cli) stopped(at *site, name, id string) error {
	switch {
	case id == "" && at.remote:
		return interrupted(fmt.Sprintf("interrupted before the run was seen to begin; look with %s runs %s", c.self(), name))
	case id == "":
		return interrupted("interrupted before the run began")
	case at.remote:
		return interrupted(fmt.Sprintf("interrupted: run %s goes on by itself; look with %s runs show %s", id, c.self(), id))
	}
	return interrupted(fmt.Sprintf("interrupted: run %s has stopped; %s sync %s goes on where it stopped", id, c.self(), name))
}

// printRun shows a run that has ended: the counts, and what needs attention.
func (c *cli) printRun(ctx context.Context, at *site, v pipeline.RunView) error {
	if err := c.countsTable(v).print(c.out); err != nil {
		return err
	}
	lines := []string{summary(v)}
	lines = append(lines, attention(v)...)
	// What has run is told even if what comes next cannot be found out.
	onward, unknown := c.onward(ctx, at, v)
	lines = append(lines, onward...)
	if len(v.Rejects) > 0 {
		lines = append(lines, fmt.Sprintf("See every rejected row: %s runs show %s", c.self(), v.Run))
	}
	_, err := fmt.Fprintln(c.out, strings.Join(lines, "\n"))
	return errors.Join(unknown, err)
}

// onward names the commands for a run in which something failed, and says so
// when later runs have left nothing of it to do.
func (c *cli) onward(ctx context.Context, at *site, v pipeline.RunView) ([]string, error) {
	if v.State != run.Partial && v.State != run.Failed {
		return nil, nil
	}
	left, err := at.Steps.Redrive(ctx, pipeline.Filter{Connection: v.Connection, Run: v.Run}, true)
	if err != nil {
		return nil, err
	}
	verdicts := map[string]int{}
	for _, r := range left {
		verdicts[r.Verdict]++
	}
	again := fmt.Sprintf("%s redrive %s", c.self(), v.Connection)
	switch {
	case verdicts[pipeline.Sent] > 0:
		return c.seeAndRerun(v.Connection), nil
	case verdicts[pipeline.Removed] > 0:
		return []string{fmt.Sprintf("Nothing is left to do: the connection was removed. redrive drops them: %s --run %s", again, v.Run)}, nil
	case len(left) == 0:
		return c.unlisted(ctx, at, v)
	}
	var lines []string
	if verdicts[pipeline.Covered] > 0 {
		lines = append(lines, fmt.Sprintf("Later runs have read what these pages held (covered); redrive only marks them as done: %s --run %s", again, v.Run))
	}
	if verdicts[pipeline.Superseded] > 0 {
		lines = append(lines, fmt.Sprintf("Only a new run mends what is superseded, since this one is not the newest: %s sync %s", c.self(), v.Connection))
	}
	return lines, nil
}

// seeAndRerun names the commands for failures that a redrive mends.
func (c *cli) seeAndRerun(connection string) []string {
	return []string{fmt.Sprintf("See them: %s failed %s", c.self(), connection), fmt.Sprintf("Re-run them: %s redrive %s", c.self(), connection)}
}

// unlisted says what is left of a run that did not succeed and of which no
// failure is listed: later runs have mended it, it was given up, or the index
// of failures, which may lag behind, does not know of it yet.
func (c *cli) unlisted(ctx context.Context, at *site, v pipeline.RunView) ([]string, error) {
	if _, err := at.Steps.Ledger.Connection(ctx, v.Connection); errors.Is(err, pipeline.ErrNoConnection) {
		return []string{"Nothing is left to do: the connection was removed."}, nil
	} else if err != nil {
		return nil, err
	}
	r, _, err := at.Steps.Ledger.Run(ctx, v.Run) // the view tells whole seconds
	if err != nil {
		return nil, err
	}
	mended := true
	for t, tv := range v.Types {
		if tv.State.Succeeded() && tv.Pages.Failed == 0 {
			continue
		}
		cur, err := at.Steps.Ledger.Cursor(ctx, v.Connection, t)
		if err != nil {
			return nil, err
		}
		mended = mended && cur.Succeeded.After(r.Started)
	}
	if mended {
		return []string{"Nothing is left to do: later runs have mended what failed."}, nil
	}
	active, err := at.Steps.Ledger.Active(ctx, v.Connection)
	if err != nil {
		return nil, err
	}
	stalled := slices.ContainsFunc(slices.Collect(maps.Values(v.Types)), func(tv pipeline.TypeView) bool { return tv.State == run.Stalled })
	if active.Run == v.Run && !stalled {
		return c.seeAndRerun(v.Connection), nil
	}
	return []string{fmt.Sprintf("Only a new run reads what this one did not: %s sync %s", c.self(), v.Connection)}, nil
}

// attention lists what did not go as it should: types that are not complete,
// rejected rows by their code, and warnings.
func attention(v pipeline.RunView) []string {
	var lines []string
	ended := map[run.State][]string{} // types without pages, by how they ended
	for _, t := range run.AllTypes() {
		tv, ok := v.Types[t]
		switch {
		case !ok || tv.State.Succeeded() && tv.Pages.Failed == 0:
		case tv.Pages.Failed > 0:
			lines = append(lines, fmt.Sprintf("%s: %s, %d of %s failed.", t, tv.State, tv.Pages.Failed, count(tv.Pages.Planned, "page")))
		default:
			ended[tv.State] = append(ended[tv.State], string(t))
		}
	}
	for _, state := range slices.Sorted(maps.Keys(ended)) {
		lines = append(lines, fmt.Sprintf("%s: %s.", state, strings.Join(ended[state], ", ")))
	}
	type kind struct {
		t    run.DataType
		code string
	}
	rows := map[kind]int{}
	var kinds []kind
	for _, r := range v.Rejects {
		k := kind{r.Type, r.Code}
		if rows[k]++; rows[k] == 1 {
			kinds = append(kinds, k)
		}
	}
	for _, k := range kinds {
		lines = append(lines, fmt.Sprintf("%s: %s rejected, %s.", k.t, count(rows[k], "row"), k.code))
	}
	for _, w := range v.Warnings {
		lines = append(lines, fmt.Sprintf("Warning %s: %s", w.Code, w.Message))
	}
	return lines
}

// causes are the errors of the types that failed, each once. A type that only
// failed with one it needs has no cause of its own.
func causes(v pipeline.RunView) []string {
	var out []string
	types := slices.Collect(maps.Keys(v.Types))
	for _, t := range run.AllTypes() {
		cause := v.Types[t].Error
		follows := slices.ContainsFunc(run.Gates(t, types), func(g run.DataType) bool { return v.Types[g].Error != "" })
		if cause != "" && !follows && !slices.Contains(out, cause) {
			out = append(out, cause)
		}
	}
	return out
}

// verdict is the exit code of a run that has ended, after the errors of its types.
func (c *cli) verdict(v pipeline.RunView) error {
	for _, cause := range causes(v) {
		c.say("%s\n", cause)
	}
	switch v.State {
	case run.Complete:
		return nil
	case run.Partial:
		return status(exitPartial)
	default:
		return status(exitError)
	}
}
