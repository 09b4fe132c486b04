package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stovasync/shared/config"
	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
	"stovasync/shared/stova/stovatest"
)

// demoName is the connection of the demo.
const demoName = "demo"

func (c *cli) demoCommand() *cobra.Command {
	var f twinFlags
	var dir string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show a whole run on an invented event, on this machine alone",
		Long: `Serves an invented event on this machine, syncs all eight data types of it into
a local store and shows the result; then syncs it again to show that an
unchanged event writes nothing. The store stays, so that you can look around in
it; calling demo again works on the same store.`,
		Example: "  stovasync demo\n  stovasync demo --attendees 2000 --dir /tmp/demo",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.demo(cmd, dir, f)
		},
	}
	f.addEvent(cmd)
	cmd.Flags().StringVar(&dir, "dir", filepath.Join(".stovasync", "demo"), "folder of the demo's store; --target local:DIR does the same")
	return cmd
}

// demoStore finds the folder of the demo and makes --target lead to it, so
// that the commands the demo prints work.
func (c *cli) demoStore(dir string) (string, error) {
	if c.target != "" {
		env, err := c.environment()
		if err != nil {
			return "", err
		}
		if env.Target.Kind != config.Local {
			return "", invalid("use --target local:DIR", "the demo runs on a local target only")
		}
		dir = env.Target.Dir
	}
	c.target = "local:" + dir
	return dir, nil
}

func (c *cli) demo(cmd *cobra.Command, dir string, f twinFlags) (err error) {
	ctx := cmd.Context()
	f.event.Oddities = true
	if err := f.check(cmd); err != nil {
		return err
	}
	if dir, err = c.demoStore(dir); err != nil {
		return err
	}
	return c.with(ctx, func(at *site) error {
		if err := at.Idle(ctx, demoName); err != nil {
			return err // it reads from another demo's twin, on the port we want
		}
		r, e, err := f.serveAgain(ctx, dir)
		if err != nil {
			return err
		}
		defer func() { _ = r.Close() }() // it only stops listening
		return c.demoRuns(ctx, at, dir, r, e)
	})
}

// serveAgain serves the twin on the port it had last time: the addresses of
// pictures are part of the records, so another port would change them.
func (f *twinFlags) serveAgain(ctx context.Context, dir string) (*stovatest.Running, *stovatest.Event, error) {
	memory := filepath.Join(dir, "demo.json")
	var kept struct {
		Port int `json:"port"`
	}
	if doc, err := os.ReadFile(memory); err == nil && json.Unmarshal(doc, &kept) == nil && kept.Port > 0 {
		f.listen = net.JoinHostPort("127.0.0.1", strconv.Itoa(kept.Port))
		if r, e, err := f.serve(ctx); err == nil {
			return r, e, nil
		}
	}
	f.listen = "127.0.0.1:0"
	r, e, err := f.serve(ctx)
	if err != nil {
		return nil, nil, err
	}
	_, port, err := net.SplitHostPort(r.URL()[len("http://"):])
	if err == nil {
		err = os.WriteFile(memory, []byte(`{"port": `+port+"}\n"), 0o600)
	}
	if err != nil {
		return nil, nil, fault.Wrap(fault.StoreUnavailable, err, "write demo.json", "check that the demo's folder can be written")
	}
	return r, e, nil
}

// demoView is the answer of `demo --json`.
type demoView struct {
	First  *pipeline.RunView `json:"first,omitempty"` // only on a fresh store
	Again  pipeline.RunView  `json:"again"`
	Target string            `json:"target"`
}

func (c *cli) demoRuns(ctx context.Context, at *site, dir string, r *stovatest.Running, e *stovatest.Event) error {
	fresh, err := c.demoConnection(ctx, at, r, e)
	if err != nil {
		return err
	}
	c.say("Serving an invented event on %s: %s, %s, %s.\n", r.URL(),
		count(len(e.People), "attendee"), count(len(e.Sessions), "session"), count(len(e.Speakers), "speaker"))
	out := demoView{Target: c.target}
	start := pipeline.Start{Connection: demoName, Mode: run.Full}
	if fresh {
		v, err := c.runToEnd(ctx, at, start)
		if err != nil {
			return err
		}
		out.First = &v
		if !c.json {
			if err := c.demoTable("Synced into a fresh store:", v); err != nil {
				return err
			}
		}
		if v.State != run.Complete {
			return c.verdict(v)
		}
	}
	if out.Again, err = c.runToEnd(ctx, at, start); err != nil {
		return err
	}
	if c.json {
		err = printJSON(c.out, out)
	} else {
		err = c.demoEnd(filepath.Join(dir, "objects", e.ID), fresh, out.Again)
	}
	if err != nil {
		return err
	}
	return c.verdict(out.Again)
}

// demoConnection puts the connection to the twin and reports whether it has
// never been synced.
func (c *cli) demoConnection(ctx context.Context, at *site, r *stovatest.Running, e *stovatest.Event) (fresh bool, err error) {
	parsed, err := config.ParseConnection([]byte(twinConnection(demoName, r, e)))
	if err != nil {
		return false, err
	}
	if err := at.Secrets.Put(ctx, demoName, parsed.Key); err != nil {
		return false, err
	}
	if err := at.Steps.Ledger.PutConnection(ctx, parsed.Connection, time.Now().UTC()); err != nil {
		return false, err
	}
	cursor, err := at.Steps.Ledger.Cursor(ctx, demoName, run.Users)
	return cursor.Succeeded.IsZero(), err
}

func (c *cli) demoTable(title string, v pipeline.RunView) error {
	if err := c.line("%s\n", title); err != nil {
		return err
	}
	if err := c.countsTable(v).print(c.out); err != nil {
		return err
	}
	return c.line("%s\n", summary(v))
}

// demoEnd shows the second run, explains what looks odd in it and says where
// to look next.
func (c *cli) demoEnd(photos string, fresh bool, v pipeline.RunView) error {
	title := "Synced again:"
	if !fresh {
		title = "Synced once more, into the store of last time:"
	}
	if err := c.demoTable(title, v); err != nil {
		return err
	}
	writes := 0
	for _, t := range v.Types {
		writes += t.New + t.Changed
	}
	verdict := "Nothing needed writing: nothing has changed."
	if writes > 0 {
		verdict = fmt.Sprintf("%s had changed and were written.", count(writes, "record"))
	}
	return c.line(`%s

The event has odd rows on purpose:
  %s

Where to look next:
  %[3]s export %[4]s users
  %[3]s export %[4]s sessions --format csv
  %[3]s runs show %[4]s
  ls %[5]s/*      (the pictures)`, verdict, strings.Join(oddities(v), "\n  "), c.self(), demoName, photos)
}

// oddities explains the counts that people ask about, as far as there are any.
func oddities(v pipeline.RunView) []string {
	var sum run.Counts
	for _, t := range v.Types {
		sum = sum.Plus(t.Counts)
	}
	var out []string
	for _, o := range []struct {
		n    int
		text string
	}{
		{sum.Rejected, "rejected   cannot be stored: sessions without times, a picture that is none"},
		{sum.Pending, "pending    agenda picks that wait for a session that is not stored"},
		{sum.Filtered, "filtered   agenda picks of sponsors, who get no schedule"},
		{sum.Missing, "missing    pictures that the vendor does not have any more"},
		{sum.Computed, "computed   master sessions: one for sessions that start together"},
	} {
		if o.n > 0 {
			out = append(out, o.text)
		}
	}
	return out
}
