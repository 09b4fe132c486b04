package explain

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/mapping"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// row explains a record that is made of one row of the vendor: a user, a
// sponsor, a session or a presenter.
func (w *walk) row(ctx context.Context) error {
	if err := w.reading(ctx, w.out.ID, w.record.Run); err != nil {
		return err
	}
	if err := w.mapRow(w.req.Type); err != nil {
		return err
	}
	attendee := w.req.Type.Stream() == run.Attendees
	if attendee {
		if err := w.split(ctx); err != nil {
			return err
		}
	}
	if tr := w.trace; tr != nil && tr.Result.Outcome != mapping.NotOwn {
		if attendee {
			w.activity(tr)
		} else {
			w.flags(tr)
		}
		w.filter(tr)
		w.times(tr)
		w.mistakes(tr)
		w.pictureField()
		w.badge(tr)
	}
	if w.req.Type == run.Sessions {
		w.slot()
	}
	w.protected()
	w.unchanged()
	w.removal()
	w.fields()
	return w.lost(ctx)
}

// reading finds out which runs listed and read the row with this id, and gets it.
func (w *walk) reading(ctx context.Context, id, wrote string) error {
	if err := w.remember(ctx, id, wrote); err != nil {
		return err
	}
	if err := w.fetch(ctx, id); err != nil {
		return err
	}
	w.listed(id)
	w.window()
	if err := w.page(ctx, id); err != nil {
		return err
	}
	w.found(id)
	return nil
}

// listed says whether the newest run that listed the stream had the id.
func (w *walk) listed(id string) {
	last, ok := w.past.last()
	if !ok {
		w.neverListed()
		return
	}
	w.out.Listed = &Read{Run: last.run.ID, At: whole(last.plan.ListedAt)}
	stream := last.plan.Stream
	for _, tr := range w.past.idle {
		w.info("listed", "the newer run %s has not listed the %s: %s", tr.Run, stream, stateOf(tr))
	}
	switch {
	case last.plan.Listed:
		w.pass("listed", "run %s listed it among %s %s at %s", last.run.ID, number(last.plan.Size), stream, clock(last.plan.ListedAt))
	case w.record.ID != "":
		w.info("listed", "run %s did not list it among %s %s at %s: the vendor has it no longer", last.run.ID, number(last.plan.Size), stream, clock(last.plan.ListedAt))
	case w.past.live != nil && w.past.live.known:
		w.stop("listed", "the vendor has it now, but run %s did not list it at %s: the next run reads it", last.run.ID, clock(last.plan.ListedAt))
		w.out.Next = w.command("sync", w.conn.Name)
	case slices.ContainsFunc(w.past.plans, func(s sight) bool { return s.plan.Listed }):
		i := slices.IndexFunc(w.past.plans, func(s sight) bool { return s.plan.Listed })
		w.stop("listed", "run %s listed it at %s, and the newer run %s at %s did not: the vendor has it no longer",
			w.past.plans[i].run.ID, clock(w.past.plans[i].plan.ListedAt), last.run.ID, clock(last.plan.ListedAt))
	default:
		w.stop("listed", "no run has listed it: run %s at %s listed %s %s, and %s is not among them", last.run.ID, clock(last.plan.ListedAt), number(last.plan.Size), stream, id)
	}
}

// neverListed says why no run of the type has a list.
func (w *walk) neverListed() {
	w.out.Next = w.command("sync", w.conn.Name, "--type", string(w.req.Type))
	if len(w.past.idle) == 0 {
		w.stop("listed", "no run has read %s of this connection yet", w.req.Type)
		return
	}
	tr := w.past.idle[0]
	rule := "listed"
	if tr.Code == string(fault.GateUsersFirst) {
		rule = "R13"
	}
	w.stop(rule, "run %s, the newest with %s, has not listed them: %s", tr.Run, w.req.Type, stateOf(tr))
}

// stateOf tells where a type run is, or how it ended.
func stateOf(tr pipeline.TypeRun) string {
	if tr.Error != "" {
		return fmt.Sprintf("it is %s: %s", tr.State, tr.Error)
	}
	return "it is " + string(tr.State)
}

// window tells what the newest run asked for (R16).
func (w *walk) window() {
	last, ok := w.past.last()
	if !ok || !last.plan.Listed {
		return
	}
	read, haveRead := w.past.fetched()
	switch {
	case last.plan.Mode == run.Full:
		w.pass("R16", "run %s read everything", last.run.ID)
	case last.page.Name != "":
		w.pass("R16", "run %s read what was modified since %s, what was new, and what was to be tried again; this row is among them", last.run.ID, clock(last.plan.ModifiedFrom))
	default:
		since := clock(last.plan.ModifiedFrom)
		w.info("R16", "run %s read only rows modified since %s (modifiedfrom: the start of the last successful run less a day), and the vendor did not list this one among them%s", last.run.ID, since, w.modified())
		if haveRead {
			w.tell("R16", "run %s did not read it again, since the vendor did not list it as modified since %s", last.run.ID, since)
		}
	}
	if haveRead {
		w.out.Fetched = &Read{Run: read.run.ID, Page: read.page.Name, At: whole(read.page.Settled)}
	}
}

// modified tells the stored stamp of the vendor.
func (w *walk) modified() string {
	if w.record.LastModified == "" {
		return ""
	}
	return "; the record's own stamp is " + w.record.LastModified
}

// page says what became of the newest page that was to read the row (R17).
func (w *walk) page(ctx context.Context, id string) error {
	i := slices.IndexFunc(w.past.plans, func(s sight) bool { return s.page.Name != "" })
	if i < 0 {
		return nil
	}
	s := w.past.plans[i]
	if w.record.Run == "" {
		w.out.Run, w.out.Page = s.run.ID, s.page.Name
	} else if by, ok := w.past.by(w.record.Run); ok {
		w.out.Page = by.page.Name
	}
	switch {
	case s.page.State == run.PageFailed:
		w.failedPage(s)
		return nil
	case s.page.State == run.PageQueued && w.there():
		w.info("page", "page %s of run %s is to read it again and is not done yet", s.page.Name, s.run.ID)
		return nil
	case s.page.State == run.PageQueued:
		w.stop("page", "page %s of run %s, which is to read it, is not done yet", s.page.Name, s.run.ID)
		return nil
	case s.page.Covered:
		w.info("page", "page %s of run %s failed, and a later run did its work", s.page.Name, s.run.ID)
	default:
		w.pass("page", "page %s of run %s read it at %s", s.page.Name, s.run.ID, clock(s.page.Settled))
	}
	return w.report(ctx, s, id)
}

func (w *walk) failedPage(s sight) {
	tooMuch := slices.Contains([]fault.Code{fault.StovaServer, fault.StovaTooLarge, fault.StovaTimeout}, fault.Code(s.page.Code))
	w.out.Next = w.command("redrive", w.conn.Name, "--run", s.run.ID)
	if tooMuch && s.page.Rows > smallPage && w.conn.PageSize <= smallPage {
		w.out.Next = w.command("sync", w.conn.Name) // a redrive keeps the page as it was planned
	}
	w.stop("page", "page %s of run %s, which was to read it, failed: %s; mend the cause, then %s", s.page.Name, s.run.ID, s.page.Error, w.out.Next)
	if tooMuch {
		w.info("R17", "the page held %d rows, pageSize is %d: %s", s.page.Rows, w.conn.PageSize, sizeAdvice(s, w.conn.PageSize))
	}
}

// The vendor's word on answers that fail because pages are large: below so many
// attendees pages of so many rows help (R17).
const (
	largeEvent = 6000
	smallPage  = 300
)

// sizeAdvice says whether a smaller page than that of the settings would help
// one that failed.
func sizeAdvice(s sight, size int) string {
	switch {
	case s.page.Rows <= smallPage:
		return "few enough, so its size is hardly the cause; if it keeps failing, ask the vendor's support"
	case s.plan.Size >= largeEvent:
		return fmt.Sprintf("from %s attendees on, the remedy is the vendor's support", number(largeEvent))
	case size <= smallPage:
		return "a new sync reads smaller ones"
	default:
		return fmt.Sprintf("below %s attendees the remedy is pageSize %d", number(largeEvent), smallPage)
	}
}

// ruleOf is the rule behind the code of a reject.
func ruleOf(code string) string {
	switch fault.Code(code) {
	case fault.RowNoTimes:
		return "R7"
	case fault.RowPoison:
		return "R17"
	case fault.RowNoID:
		return "id"
	case fault.MappingInvalid:
		return "filter"
	case fault.PhotoHost:
		return "R14"
	case fault.PhotoType, fault.PhotoTooLarge:
		return "photo"
	default:
		return "row"
	}
}

// report looks for the row among the rejects of its page. What the row itself
// shows below is not said twice.
func (w *walk) report(ctx context.Context, s sight, id string) error {
	r, err := pipeline.ReportOf(ctx, w.env.Objects, s.page)
	if err != nil && !fault.IsPermanent(err) {
		return err
	}
	if code := w.past.row.Poison; code != "" {
		r.Rejects = append(r.Rejects, run.Reject{ID: id, Code: string(fault.RowPoison), Reason: "its detail call keeps failing: " + code})
	}
	i := slices.IndexFunc(r.Rejects, func(x run.Reject) bool { return x.ID == id })
	switch {
	case i >= 0 && r.Rejects[i].Code == string(fault.RowPoison):
		w.stop("R17", "%s: %s; it is left out alone, the rest of page %s is stored, and every next run tries it again", r.Rejects[i].Code, r.Rejects[i].Reason, s.page.Name)
	case i >= 0 && w.past.row.Body == nil:
		w.stop(ruleOf(r.Rejects[i].Code), "%s: %s", r.Rejects[i].Code, r.Rejects[i].Reason)
	case w.req.Type.IsPhotos(): // their pages have a size of their own
	default:
		w.pass("R17", "its page held %d rows, of at most %d (pageSize)", s.page.Rows, w.conn.PageSize)
	}
	return nil
}

// found says where the row was taken from.
func (w *walk) found(id string) {
	row, live := w.past.row, w.past.live
	switch {
	case row.Gone:
		w.stop("row", "run %s listed it, but the vendor no longer knew it when page %s asked for it", w.past.of.run.ID, w.past.of.page.Name)
	case w.out.Source == fromRaw && row.Body != nil:
		w.pass("row", "taken from the raw page of run %s, as the vendor sent it at %s", w.past.of.run.ID, clock(row.FetchedAt))
	case w.out.Source == fromVendor:
		w.info("row", "no raw page holds it any more (rawRetentionDays is %d), so it was read from the vendor just now, by one call", w.conn.RawRetentionDays)
	case live != nil && live.err != nil:
		w.info("row", "no raw page holds it, and the vendor could not be asked: %s", errorText(live.err))
	case live != nil && !live.known:
		w.info("row", "the vendor knows no %s now", id)
	case w.req.NoFetch && len(w.past.plans) > 0 && row.Poison == "":
		w.info("row", "no raw page holds it (rawRetentionDays is %d), and --no-fetch forbids asking the vendor", w.conn.RawRetentionDays)
	}
}

// errorText is what may be shown of an error: coded ones hold ids only.
func errorText(err error) string {
	if all := faults(err); len(all) > 0 {
		return all[0].Error()
	}
	return "it did not answer"
}

// mapRow lets the mapping trace the row. A body that is no row is a reject.
func (w *walk) mapRow(t run.DataType) error {
	m, row, err := w.open(t)
	if err != nil || m == nil {
		return err
	}
	defer row.Release()
	w.trace = new(mapping.Trace(m, t, row))
	return nil
}

// open reads the row as columns; m is nil when there is none to read.
func (w *walk) open(t run.DataType) (m *mapping.Mapper, row mapping.Row, err error) {
	if w.past.row.Body == nil || w.set == nil {
		return nil, row, nil
	}
	if m, err = pipeline.MapperFor(w.set, w.past.of.plan.Event); err != nil {
		return nil, row, err
	}
	if !pipeline.SameSettings(w.conn, m, w.past.of.plan.Plan) {
		w.info("mapping", "settings, mapping or form have changed since run %s: what follows is what they make of the row now; the next run reads every row again", w.past.of.run.ID)
	}
	if row, err = m.Row(t.Stream(), w.past.row.Body); err != nil {
		w.stop("row", "%s: the vendor's row is not a JSON object", fault.StovaBody)
		return nil, row, nil
	}
	return m, row, nil
}

// filter applies the connection's filter.
func (w *walk) filter(tr *mapping.TraceResult) {
	switch f := tr.Filter; {
	case f == nil || tr.Result.Outcome == mapping.Filtered && tr.Result.Rule != "filter":
	case f.Mistake != "":
		w.stop("filter", "%s: %s", f.Expression, f.Mistake)
	case f.Keeps:
		w.pass("filter", "%s is true of it", f.Expression)
	default:
		w.stop("filter", "%s is false of it (%s)", f.Expression, columnWords(f.Columns))
	}
	if r := tr.Result.Reject; r != nil && r.Code == string(fault.RowNoID) {
		w.stop("id", "%s: %s", r.Code, r.Reason)
	}
}

// columnWords are columns and their masked values in one text.
func columnWords(all []mapping.TracedColumn) string {
	var words []string
	for _, c := range all {
		value := "empty"
		if c.Value != nil {
			value = fmt.Sprint(mask(c.Value))
		}
		words = append(words, c.Expression+" is "+value)
	}
	return strings.Join(words, ", ")
}

// mistakes tells which expressions do not fit the row.
func (w *walk) mistakes(tr *mapping.TraceResult) {
	if tr.Result.Outcome != mapping.Mapped {
		return
	}
	for _, f := range tr.Fields {
		if f.Mistake != "" {
			w.info("mapping", "%s is left out: %s", f.Name, f.Mistake)
		}
	}
	for _, warning := range tr.Result.Warnings {
		if warning.Code != string(fault.MappingInvalid) {
			w.info("mapping", "%s (%s)", warning.Message, warning.Code)
		}
	}
}

// clock writes a moment for people.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" }

func whole(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// number writes a count with its thousands apart.
func number(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
