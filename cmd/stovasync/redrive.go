package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// redrivenView is one failure after a redrive: State is that of its page or
// type run now. The code and the error are those it had failed with.
type redrivenView struct {
	pipeline.Redriven
	State  string `json:"state"`
	DryRun bool   `json:"dry_run,omitempty"`

	mended bool
	over   bool   // nothing of it is left to do: it is mended, or history
	now    string // the error it has now; "" when there is none
}

// wouldBeSent is the verdict, in a dry run, on what a redrive would send.
const wouldBeSent = "would be sent"

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
	for i, r := range out {
		v, bad := viewNow(ctx, at, r, dry)
		if bad != nil {
			return errors.Join(err, bad)
		}
		views[i] = v
	}
	if bad := c.printRedriven(views, names, f, dry); err != nil || bad != nil {
		return errors.Join(err, bad)
	}
	if !dry && slices.ContainsFunc(views, func(v redrivenView) bool { return !v.over }) {
		return status(exitPartial)
	}
	return nil
}

// viewNow reads what has become of the page or the type run that had failed.
func viewNow(ctx context.Context, at *site, r pipeline.Redriven, dry bool) (redrivenView, error) {
	v := redrivenView{Redriven: r, DryRun: dry}
	v.At = whole(v.At)
	if dry && v.Verdict == pipeline.Sent {
		v.Verdict = wouldBeSent
	}
	if r.Page != "" {
		p, _, err := at.Steps.Ledger.Page(ctx, r.Run, r.Type, r.Page)
		if err != nil {
			return v, err
		}
		v.State, v.mended, v.now = string(p.State), p.State == run.PageDone, p.Error
	} else {
		tr, _, err := at.Steps.Ledger.TypeRun(ctx, r.Run, r.Type)
		if err != nil {
			return v, err
		}
		v.State, v.mended, v.now = string(tr.State), tr.State.Succeeded(), tr.Error
	}
	v.over = v.mended || r.Verdict == pipeline.Removed
	return v, nil
}

// cause is why it stands among the others: what it fails with now, or what it
// has failed with.
func (v redrivenView) cause() cause {
	return cause{text: cmp.Or(v.now, v.Failure.Error), past: v.over}
}

func (c *cli) printRedriven(views []redrivenView, names []string, f filterFlags, dry bool) error {
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
			return c.line("Nothing to re-run: nothing has failed that matches %s.", words)
		}
		return c.line("Nothing to re-run.")
	}
	for _, group := range byCause(views, redrivenView.cause) {
		g := newGrid("connection", "run", "type", ">page", "  verdict", "now")
		for _, v := range group.of {
			g.row(v.Connection, v.Run, v.Type, cmp.Or(v.Page, "all"), "  "+v.Verdict, v.State)
		}
		if err := errors.Join(c.line("%s", group.heading), g.fit(c.width(), "connection").print(c.out), c.gap()); err != nil {
			return err
		}
	}
	return c.afterRedrive(views, names, f, dry)
}

// afterRedrive says what is left to do.
func (c *cli) afterRedrive(views []redrivenView, names []string, f filterFlags, dry bool) error {
	var err error
	var old []string // connections with types of older runs
	left := false
	for _, v := range views {
		switch {
		case v.Verdict != pipeline.Superseded:
			left = true
		case !slices.Contains(old, v.Connection):
			old = append(old, v.Connection)
		}
	}
	for _, name := range old {
		err = errors.Join(err, c.line("Types of older runs (superseded) are mended by a new sync only: %s sync %s", c.self(), name))
	}
	switch {
	case dry && left:
		err = errors.Join(err, c.line("Nothing was re-run: --dry-run. Without it: %s", c.redriveCommandOf(names, f)))
	case dry:
		err = errors.Join(err, c.line("Nothing was re-run: --dry-run."))
	case slices.ContainsFunc(views, feeds):
		err = errors.Join(err, c.line("Other types may have ended without these rows: the next sync brings what waited for them."))
	}
	return err
}

// redriveCommandOf is the command that re-runs what a dry one has shown.
func (c *cli) redriveCommandOf(names []string, f filterFlags) string {
	words := append(slices.Clone(names), strings.Fields(f.words())...)
	if len(words) == 0 {
		words = []string{"--all"}
	}
	return c.self() + " redrive " + strings.Join(words, " ")
}

// feeds reports whether other types read what was mended: picks wait for users
// and sessions, pictures for their owners.
func feeds(v redrivenView) bool {
	return v.mended && v.Verdict == pipeline.Sent && slices.Contains([]run.DataType{run.Users, run.Sessions, run.Presenters}, v.Type)
}
