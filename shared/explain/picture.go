package explain

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// picture explains a photo record: from its owner to what the host answered.
func (w *walk) picture(ctx context.Context) error {
	owner, of, err := w.owner(ctx)
	if err != nil {
		return err
	}
	if err := w.remember(ctx, w.out.ID, w.record.Run); err != nil {
		return err
	}
	if err := w.usersFirst(ctx); err != nil {
		return err
	}
	if w.owned(owner, of) {
		w.host(owner, of)
		if err := w.asked(ctx); err != nil {
			return err
		}
	}
	w.state()
	w.unchanged()
	w.removal()
	w.fields()
	if w.record.ID == "" && owner.ID == "" {
		return w.nearOwners(ctx, of)
	}
	return nil
}

// owner is the record that the picture belongs to, and its type.
func (w *walk) owner(ctx context.Context) (pipeline.Record, run.DataType, error) {
	types := []run.DataType{w.req.Type.Owner()}
	if w.req.Type == run.UserPhotos && w.set != nil && w.set.Maps(run.Sponsors, "logo") {
		types = append(types, run.Sponsors)
	}
	var best pipeline.Record
	of := types[0]
	for _, t := range types {
		got, err := w.env.Records.Get(ctx, w.conn.Name, t, []string{w.out.ID})
		if err != nil {
			return best, of, fmt.Errorf("read %s %s: %w", t, w.out.ID, err)
		}
		if r, ok := got[w.out.ID]; ok && (best.ID == "" || r.Status == "active") {
			best, of = r, t
		}
	}
	return best, of, nil
}

// usersFirst is the gate of user photos (R13).
func (w *walk) usersFirst(ctx context.Context) error {
	if w.req.Type != run.UserPhotos {
		return nil
	}
	users, err := w.env.Ledger.Cursor(ctx, w.conn.Name, run.Users)
	if err != nil {
		return err
	}
	if users.Succeeded.IsZero() {
		why := ""
		if len(w.past.idle) > 0 && w.past.idle[0].Error != "" {
			why = "; run " + w.past.idle[0].Run + ": " + w.past.idle[0].Error
		}
		w.stop("R13", "user photos need a users sync that has succeeded, and there was none (%s)%s", fault.GateUsersFirst, why)
		w.out.Next = w.command("sync", w.conn.Name, "--type", string(run.Users))
		return nil
	}
	w.pass("R13", "users were synced before, at %s the last time", clock(users.Succeeded))
	return nil
}

// owned says whether the owner is there, active, and names a picture (R12).
func (w *walk) owned(owner pipeline.Record, of run.DataType) bool {
	field := pipeline.PictureField(of)
	ask := func() { w.out.Next = w.command("explain", w.conn.Name, string(of), w.out.ID) }
	switch {
	case owner.ID == "":
		w.stop("owner", "%s holds no record %s that could own a picture", of, w.out.ID)
		ask()
		return false
	case !owner.RemovedAt.IsZero():
		w.stop("owner", "the record of %s was removed at %s", of, clock(owner.RemovedAt))
		return false
	}
	value, _ := owner.Fields[field].(string)
	switch {
	case w.set != nil && !w.set.Maps(of, field):
		w.stop("R12", "%s of %s is not mapped: map it to the upload column that preview %s marks", field, of, of)
		w.out.Next = w.command("preview", w.conn.Name, string(of))
		return false
	case owner.Status != "active":
		w.stop("owner", "the record of %s is %s, and only pictures of active ones are fetched", of, owner.Status)
		ask()
		return false
	}
	w.pass("owner", "the record of %s is active", of)
	if value == "" {
		w.stop("R12", "%s of %s is empty%s", field, of, w.expression(of, field))
		ask()
		return false
	}
	w.pass("R12", "%s of %s names a picture%s", field, of, w.expression(of, field))
	return true
}

// expression tells where a field comes from.
func (w *walk) expression(t run.DataType, field string) string {
	if w.set == nil {
		return ""
	}
	for _, f := range w.set.Fields(t) {
		if f.Name == field {
			return "; it is mapped to " + f.Expression
		}
	}
	return ""
}

// regional are the hosts of the three regional bases (spotme-model.md §7).
var regional = []string{"na.eventscloud.com", "eu.eventscloud.com", "au.eventscloud.com"}

// host says whether the picture's address may be asked (R14).
func (w *walk) host(owner pipeline.Record, of run.DataType) {
	address, err := pipeline.PictureURL(w.conn, w.req.Type, of, owner)
	if err != nil {
		w.stop("R14", "its address is refused: %s", errorText(err))
		return
	}
	host := hostOf(address)
	if slices.Contains(regional, host) {
		w.pass("R14", "%s is one of the three regional hosts", host)
		return
	}
	w.info("R14", "%s is not one of the three regional hosts (%s); it is allowed, with a warning", host, "na, eu, au")
	w.tell("R14", "its host %s is not one of the three regional ones", host)
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// asked says which run asked for the picture.
func (w *walk) asked(ctx context.Context) error {
	last, ok := w.past.last()
	if !ok {
		w.neverListed()
		return nil
	}
	w.out.Listed = &Read{Run: last.run.ID, At: whole(last.plan.ListedAt)}
	switch {
	case last.page.Name != "":
		w.pass("R16", "run %s (%s) asked for it", last.run.ID, last.plan.Mode)
	case last.plan.Mode == run.Full && !w.there():
		w.stop("listed", "the owner named no picture, or was not active, when run %s was planned at %s: the next run asks for it", last.run.ID, clock(last.plan.ListedAt))
		w.out.Next = w.command("sync", w.conn.Name)
	default:
		w.info("R16", "run %s did not ask for it: an incremental run asks for pictures whose source has changed, that failed a day ago or more, or that were never asked for", last.run.ID)
	}
	if read, ok := w.past.fetched(); ok {
		w.out.Fetched = &Read{Run: read.run.ID, Page: read.page.Name, At: whole(read.page.Settled)}
	}
	return w.page(ctx, w.out.ID)
}

// state tells what the host answered.
func (w *walk) state() {
	if !w.there() {
		return
	}
	text := func(name string) string {
		s, _ := w.record.Fields[name].(string)
		return s
	}
	p := &Photo{State: text("state"), Reason: text("reason"), Host: hostOf(text("source_url")), Object: text("object_key")}
	w.out.Photo = p
	switch p.State {
	case "stored":
		w.pass("photo", "the picture is stored as %s", p.Object)
	default: // the verdict names the state
		w.stop("photo", "%s", cmp.Or(p.Reason, p.State))
	}
}

// nearOwners suggests the owners that may have been meant.
func (w *walk) nearOwners(ctx context.Context, of run.DataType) error {
	got, err := w.env.Ledger.Cursor(ctx, w.conn.Name, of)
	if err != nil || got.Plan == "" {
		return err
	}
	plan, ok, err := pipeline.LookUp(ctx, w.env.Objects, pipeline.TypeRun{Plan: got.Plan}, w.out.ID)
	if err != nil || !ok {
		return err
	}
	return w.near(w.out.ID, plan)
}
