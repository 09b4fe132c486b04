package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"stovasync/shared/config"
	"stovasync/shared/erase"
	"stovasync/shared/explain"
	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// eraseFlags are the flags of erase.
type eraseFlags struct{ undo, all, list, yes bool }

func (c *cli) eraseCommand() *cobra.Command {
	var f eraseFlags
	cmd := &cobra.Command{
		Use:   "erase NAME ATTENDEEID",
		Short: "Remove a person everywhere, and keep them out of later runs",
		Long: `erase removes an attendee from everything that is stored of a connection: the
records and tombstones of users, sponsors, schedule and user photos, the
pictures, the rows of raw pages, the ids in plans, retry lists and reports, and
what the settings protect. In a bucket that keeps versions the old ones go too.

From then on every run leaves the person out. What tells them is a one-way
entry: a hash of account, event and attendee id under a random key, which lies
in the secret store under the name _erase. Keep that key with your backups:
without it syncs stop (ERASE_KEY) rather than bring people back. Names and
e-mail addresses are in neither. The entries outlive connections put and
connections remove.

A receipt is kept that counts what was removed, and names nobody; --list shows
them all. Erasing somebody who is not there keeps them out too. An erasure that
was cut is finished by calling it again. While a sync is at work that may not
know of the erasure, erase waits for it.

Not reached are the vendor, where the person has to be deleted too; exports and
backups that were made before (point-in-time recovery of the tables: up to 35
days; their streams: 24 hours); and a person's data as a speaker, who is another
record with another id, and part of the public programme. Other connections of
the same event are named; erase the person there as well. Pictures lie under the
event, so theirs of the person go at once.

Who follows the table's stream sees the records removed. export --since cannot
tell, since a tombstone would hold the id: when --list shows a new receipt,
compare with a whole export.

--undo lifts the entry, so that the next sync brings the person back as the
vendor has them. --undo --all lifts all entries of a connection, for a key that
is lost for good.`,
		Example: `  stovasync erase summit 800000017
  stovasync erase summit 800000017 --undo
  stovasync erase summit --list --json`,
		Args: between(1, "NAME", "ATTENDEEID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id := ""
			if len(args) == 2 {
				id = args[1]
			}
			if err := f.check(cmd, id); err != nil {
				return err
			}
			return c.with(cmd.Context(), func(at *site) error { return c.erase(cmd.Context(), at, args[0], id, f) })
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.undo, "undo", false, "lift the entry: the next sync brings the person back")
	flags.BoolVar(&f.all, "all", false, "with --undo: lift all entries of the connection")
	flags.BoolVar(&f.list, "list", false, "show the receipts of the connection")
	flags.BoolVar(&f.yes, "yes", false, "do not ask on a terminal")
	return cmd
}

// check refuses flags and arguments that do not go together.
func (f eraseFlags) check(cmd *cobra.Command, id string) error {
	see := "see " + cmd.CommandPath() + " --help"
	switch {
	case f.list && (f.undo || f.all || id != ""):
		return invalid(see, "--list takes the name of a connection alone")
	case f.all && !f.undo:
		return invalid(see, "--all goes with --undo only")
	case f.all && id != "":
		return invalid(see, "--undo --all takes no attendee id")
	case f.list || f.all:
		return nil
	case id == "":
		return invalid(see, "%s needs ATTENDEEID", cmd.CommandPath())
	}
	return erase.CheckID(id)
}

func (c *cli) erase(ctx context.Context, at *site, name, id string, f eraseFlags) error {
	if f.list {
		if err := c.knownConnection(ctx, at, name); err != nil {
			return err
		}
		return c.receipts(ctx, at, name)
	}
	conn, err := c.connection(ctx, at, name)
	if err != nil {
		return err
	}
	store, err := at.Erasing(func(why string) {
		if f.undo {
			c.say("Waiting to lift the entry: %s.\n", why)
			return
		}
		c.say("From now on nothing new of the person is stored. Waiting to remove what is there: %s.\n", why)
	})
	if err != nil {
		return err
	}
	if sure, err := c.sure(name, id, f); err != nil || !sure {
		return err
	}
	var r erase.Receipt
	known, err := erase.Suppressed(ctx, store.Items, at.Secrets, conn, id)
	if err != nil && !f.all { // a lost key hinders all but --undo --all
		return err
	}
	switch {
	case f.all:
		r, err = erase.LiftAll(ctx, store, conn)
	case f.undo:
		r, err = erase.Lift(ctx, store, conn, id)
	default:
		r, err = erase.Person(ctx, store, conn, id)
	}
	if err != nil && ctx.Err() != nil {
		return interrupted("interrupted: call it again to finish it")
	}
	if err != nil {
		return err
	}
	if r.Action == erase.Erased && !r.Found && !known {
		if err := c.sayNear(ctx, at, name, id); err != nil {
			return err
		}
	}
	return c.printReceipt(ctx, at, conn, r)
}

// sayNear names stored people whose ids look like one that nothing is stored
// of: it may be mistyped, and somebody was kept out who need not be.
func (c *cli) sayNear(ctx context.Context, at *site, name, id string) error {
	var all []string
	for _, t := range []run.DataType{run.Users, run.Sponsors} {
		for r, err := range at.Steps.Records.Scan(ctx, name, t, pipeline.Scan{Removed: true}) {
			if err != nil {
				return err
			}
			all = append(all, r.ID)
		}
	}
	if near := explain.Nearest(id, all); len(near) > 0 {
		c.say("Stored are people with ids like it: %s. If one of them was meant, erase that one, and take this back with --undo.\n", strings.Join(near, ", "))
	}
	return nil
}

// sure asks the person at the terminal, if there is one.
func (c *cli) sure(name, id string, f eraseFlags) (bool, error) {
	in, isFile := c.in.(*os.File)
	out, isScreen := c.err.under.(*os.File)
	if f.yes || !isFile || !isScreen || !term.IsTerminal(int(in.Fd())) || !term.IsTerminal(int(out.Fd())) {
		return true, nil
	}
	switch {
	case f.all:
		c.say("Everybody who was erased from %s comes back with the next sync.", name)
	case f.undo:
		c.say("Attendee %s comes back to %s with the next sync.", id, name)
	default:
		c.say("Everything stored of attendee %s of %s goes for good.", id, name)
	}
	c.say(" Go on? [y/N] ")
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && answer == "" {
		return false, nil
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		c.say("Nothing was changed.\n")
		return false, status(exitError)
	}
	return true, nil
}

// receiptView is a receipt, and where else the person may be.
type receiptView struct {
	erase.Receipt
	// SameEvent names the other connections that read the same event.
	SameEvent []string `json:"same_event,omitempty"`
}

func (c *cli) printReceipt(ctx context.Context, at *site, conn run.Connection, r erase.Receipt) error {
	v := receiptView{Receipt: wholeReceipt(r)}
	saved, err := at.Steps.Ledger.Connections(ctx)
	if err != nil {
		return err
	}
	for _, s := range saved {
		if o := s.Settings; o.Name != conn.Name && o.AccountID == conn.AccountID && o.EventID == conn.EventID {
			v.SameEvent = append(v.SameEvent, o.Name)
		}
	}
	if c.json {
		return printJSON(c.out, v)
	}
	if r.Action == erase.Lifted {
		if r.Entries == 0 {
			return c.line("Nothing to lift: there is no such entry at %s.", r.Connection)
		}
		return c.line("%s lifted. The next sync of %s asks the vendor again.", entries(r.Entries), r.Connection)
	}
	return c.printErased(v)
}

func entries(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}

func (c *cli) printErased(v receiptView) error {
	if !v.Found {
		if err := c.line("Nothing is stored of this person at %s. They are kept out of its later runs.", v.Connection); err != nil {
			return err
		}
	} else {
		if err := c.line("The person is erased from %s, and kept out of its later runs.", v.Connection); err != nil {
			return err
		}
		g := newGrid("removed", ">number")
		for _, k := range erase.Kinds() {
			if n := v.Removed[k.Name]; n > 0 {
				g.row(k.Means, n)
			}
		}
		if err := g.print(c.out); err != nil {
			return err
		}
	}
	if err := c.line("Receipt %s.", v.Receipt.Receipt); err != nil {
		return err
	}
	for _, name := range v.SameEvent {
		c.say("%s reads the same event: erase the person there too.\n", name)
	}
	c.say("A person who is a speaker too has another record and id for that, which is not touched.\n")
	return nil
}

func wholeReceipt(r erase.Receipt) erase.Receipt {
	r.At = whole(r.At)
	return r
}

// receipts lists what was erased and lifted.
func (c *cli) receipts(ctx context.Context, at *site, name string) error {
	all, err := erase.Receipts(ctx, at.Steps.Ledger.Items, name)
	if err != nil {
		return err
	}
	if c.json {
		for _, r := range all {
			if err := printJSON(c.out, wholeReceipt(r)); err != nil {
				return err
			}
		}
		return nil
	}
	if len(all) == 0 {
		return c.line("Nobody was erased from %s.", name)
	}
	g := newGrid("time", "what", "entry", ">removed")
	for _, r := range all {
		sum := 0
		for _, n := range r.Removed {
			sum += n
		}
		g.row(stamp(r.At), r.Action, r.Entry, sum)
	}
	return g.print(c.out)
}

// unprotected takes people who were erased out of the settings to be kept, and
// says how many there were. Where the key is lost nobody can tell; syncs say so.
func unprotected(ctx context.Context, at *site, conn run.Connection) ([]run.Warning, error) {
	erased, err := pipeline.ReadErasures(ctx, at.Steps.Ledger.Items, at.Secrets, conn)
	if err != nil && fault.CodeOf(err) != fault.EraseKey {
		return nil, err
	}
	n := 0
	for _, t := range ofPeople {
		for id := range conn.Protect[t] {
			owner, _, _ := strings.Cut(id, "_") // a schedule row's id begins with its attendee's
			if erased.Has(owner) {
				delete(conn.Protect[t], id)
				n++
			}
		}
		if len(conn.Protect[t]) == 0 {
			delete(conn.Protect, t)
		}
	}
	if n == 0 {
		return nil, nil
	}
	return []run.Warning{{Code: config.WarnSetting, Message: "protect names " + count(n, "record") + " of people who were erased: left out"}}, nil
}

// ofPeople are the types whose records tell an attendee.
var ofPeople = []run.DataType{run.Users, run.Sponsors, run.Schedule, run.UserPhotos}

// tellErased tells who follows an export that people were erased since, which
// no line of it can.
func (c *cli) tellErased(ctx context.Context, at *site, name string, t run.DataType, since time.Time) error {
	if !slices.Contains(ofPeople, t) {
		return nil
	}
	n, err := erase.Since(ctx, at.Steps.Ledger.Items, name, since)
	if err == nil && n > 0 {
		c.say("note: %s of a person since then, which no line tells: compare with an export without --since\n", count(n, "erasure"))
	}
	return err
}
