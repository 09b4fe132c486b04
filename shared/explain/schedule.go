package explain

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"stovasync/shared/fault"
	"stovasync/shared/mapping"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// relatedLimit is how many of a person's schedule rows are named.
const relatedLimit = 50

// schedule explains a schedule row: an attendee's pick of a session. The id is
// attendee_session; an attendee's alone gives that person's rows.
func (w *walk) schedule(ctx context.Context) error {
	attendee, parent, _ := strings.Cut(w.out.ID, "_")
	if err := w.related(ctx, attendee); err != nil {
		return err
	}
	if err := w.reading(ctx, attendee, w.record.Run); err != nil {
		return err
	}
	if err := w.pick(ctx, attendee, parent); err != nil {
		return err
	}
	w.protected()
	w.unchanged()
	w.removal()
	w.fields()
	if w.record.ID != "" || len(w.out.Related) > 0 {
		return nil
	}
	if last, ok := w.past.last(); ok && !last.plan.Listed {
		return w.near(attendee, last.plan)
	}
	return nil
}

// related finds the schedule rows of an attendee.
func (w *walk) related(ctx context.Context, attendee string) error {
	if attendee == "" {
		return nil
	}
	for r, err := range w.env.Records.Scan(ctx, w.conn.Name, run.Schedule, pipeline.Scan{Prefix: attendee + "_"}) {
		if err != nil {
			return fmt.Errorf("read schedule rows of %s: %w", attendee, err)
		}
		if r.ID != w.out.ID {
			w.out.Related = append(w.out.Related, r.ID)
		}
		if len(w.out.Related) == relatedLimit {
			break
		}
	}
	return nil
}

// pick follows the row of the attendee to the pick that the id names.
func (w *walk) pick(ctx context.Context, attendee, parent string) error {
	m, row, err := w.open(run.Schedule)
	if err != nil {
		return err
	}
	if m == nil {
		if parent == "" {
			w.wholePerson(attendee, nil)
		}
		return nil
	}
	defer row.Release()
	picks := m.Picks(row)
	w.attends(m, row)
	if parent == "" {
		w.wholePerson(attendee, picks)
		return nil
	}
	i := slices.IndexFunc(picks, func(p mapping.Pick) bool { return slices.Contains(p.Candidates, parent) })
	if i < 0 {
		w.notPicked(picks)
		return nil
	}
	w.pass("pick", "the attendee has picked session %s", pickName(picks[i]))
	w.trace = new(mapping.TracePick(m, row, parent, picks[i]))
	if err := w.parents(ctx, attendee, parent, picks[i]); err != nil {
		return err
	}
	if w.trace.Result.Outcome == mapping.Filtered && w.trace.Result.Rule == "R4" {
		return nil // told before
	}
	w.filter(w.trace)
	w.mistakes(w.trace)
	return nil
}

func pickName(p mapping.Pick) string { return p.Candidates[0] }

// attends says whether the attendee is a user, as only users have schedule rows,
// and an active one, as only theirs are registered.
func (w *walk) attends(m *mapping.Mapper, row mapping.Row) {
	user := mapping.Trace(m, run.Users, row)
	switch {
	case user.Result.Outcome == mapping.NotOwn:
		w.stop("R4", "%s is “%s”: the attendee is a sponsor, and sponsors have no schedule rows", user.CategoryColumn, user.Category)
	default:
		w.pass("R4", "%s: not a sponsor", category(&user))
	}
	status := "“" + user.Registration + "”"
	set := strings.Join(w.conn.ActiveStatuses, ", ")
	switch {
	case user.Active:
		w.pass("R1", "registrationstatus is %s, one of %s: registered", status, set)
	case user.Policy == "skip":
		w.info("R1", "registrationstatus is %s, not one of %s: not active", status, set)
		w.stop("R2", "the attendee's registrationstatus is %s, not one of %s (R1), and inactivePolicy is skip: such people are left out, with their schedule", status, set)
	default:
		w.info("R1", "registrationstatus is %s, not one of %s: unregistered", status, set)
		w.tell("R1", "the attendee's registrationstatus is %s, not one of %s, so it is unregistered", status, set)
	}
	if user.Filter != nil && !user.Filter.Keeps && user.Result.Outcome != mapping.NotOwn {
		w.stop("filter", "the filter of users, %s, keeps the attendee out, and so the schedule rows", user.Filter.Expression)
	}
}

// wholePerson answers for an attendee's id.
func (w *walk) wholePerson(attendee string, picks []mapping.Pick) {
	var picked []string
	for _, p := range picks {
		picked = append(picked, pickName(p))
	}
	if len(picked) > 0 {
		w.info("pick", "the attendee has picked %s", strings.Join(picked, ", "))
	} else if w.past.row.Body != nil {
		w.info("pick", "the attendee has picked no session")
	}
	switch {
	case len(w.out.Related) == 0:
		w.stop("id", "%s is the id of an attendee, who has no schedule rows; a row's id is attendee_session", attendee)
		return
	case w.out.DecidedBy != "":
		w.stop("id", "%s is the id of an attendee; a schedule row's is attendee_session", attendee)
		return
	}
	w.info("id", "%s is the id of an attendee; a schedule row's is attendee_session", attendee)
	w.out.DecidedBy = "id"
	w.answer = fmt.Sprintf("%s is the id of an attendee, of whom these schedule rows are stored: %s.", attendee, strings.Join(w.out.Related, ", "))
}

// notPicked says that the attendee has no such pick (any more).
func (w *walk) notPicked(picks []mapping.Pick) {
	var names []string
	for _, p := range picks {
		names = append(names, pickName(p))
	}
	has := "none"
	if len(names) > 0 {
		has = strings.Join(names, ", ")
	}
	if w.there() {
		w.info("pick", "the attendee's picks are %s: this one is gone, so the row is unregistered", has)
		w.tell("pick", "the attendee no longer picks the session, so the row is unregistered")
		return
	}
	w.stop("pick", "the attendee has not picked this session; the picks are %s", has)
}

// parents says whether both records are there that the row belongs to. A row
// whose parent is not is pending.
func (w *walk) parents(ctx context.Context, attendee, parent string, p mapping.Pick) error {
	users, err := w.env.Records.Get(ctx, w.conn.Name, run.Users, []string{attendee})
	if err != nil {
		return fmt.Errorf("read users %s: %w", attendee, err)
	}
	sessions, err := w.env.Records.Get(ctx, w.conn.Name, run.Sessions, p.Candidates)
	if err != nil {
		return fmt.Errorf("read %d sessions: %w", len(p.Candidates), err)
	}
	alive := func(all map[string]pipeline.Record, id string) bool {
		r, ok := all[id]
		return ok && r.RemovedAt.IsZero()
	}
	if !alive(users, attendee) {
		w.out.Waits = append(w.out.Waits, string(run.Users)+" "+attendee)
	}
	i := slices.IndexFunc(p.Candidates, func(c string) bool { return alive(sessions, c) })
	if i < 0 {
		w.out.Waits = append(w.out.Waits, string(run.Sessions)+" "+p.Candidates[0])
	}
	switch {
	case len(w.out.Waits) > 0:
		w.stop("pending", "it waits for %s, which %s not stored; the next run tries again", strings.Join(w.out.Waits, " and "), isAre(len(w.out.Waits)))
		kind, id, _ := strings.Cut(w.out.Waits[0], " ")
		w.out.Next = w.command("explain", w.conn.Name, kind, id)
	case p.Candidates[i] != parent:
		w.stop("pick", "the pick means session %s, which is stored: its row is %s_%s", p.Candidates[i], attendee, p.Candidates[i])
	default:
		w.pass("pending", "the user and the session it belongs to are stored")
	}
	return nil
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// level explains a sponsor level, which is made of the values that sponsors have.
func (w *walk) level(ctx context.Context) error {
	first, seen, err := w.levelSource(ctx)
	if err != nil {
		return err
	}
	if first != "" && w.env.Suppressed != nil { // an erased sponsor is not to be named
		if out, err := w.env.Suppressed(ctx, w.conn, first); err != nil {
			return err
		} else if out {
			first = ""
		}
	}
	if first != "" {
		if err := w.reading(ctx, first, w.record.Run); err != nil {
			return err
		}
		if err := w.mapRow(run.SponsorLevels); err != nil {
			return err
		}
	} else if last, ok := w.past.last(); ok {
		w.out.Listed = &Read{Run: last.run.ID, At: whole(last.plan.ListedAt)}
	} else {
		w.neverListed()
	}
	switch {
	case first != "":
		w.pass("R4", "sponsor %s has this level; of all that have it that id is the lowest", first)
		w.tell("R4", "made of the sponsors' values, of which that of %s came first", first)
	case w.there() && w.out.ID == defaultLevel:
		w.info("R4", "no sponsor had a level value in the newest full run, so one level named Sponsor was made")
		w.tell("R4", "no sponsor had a level value, so this one was made for all")
	case w.there():
		w.info("R4", "no kept report names a sponsor with it: an earlier run saw one")
	default:
		w.stop("R4", "no sponsor that was read has this level")
		w.nearLevels(seen)
	}
	w.protected()
	w.removal()
	w.fields()
	return nil
}

// sameSettings reports whether a run was planned with the settings of now.
func (w *walk) sameSettings(s sight) bool {
	if w.set == nil {
		return false
	}
	m, err := pipeline.MapperFor(w.set, s.plan.Event)
	return err == nil && pipeline.SameSettings(w.conn, m, s.plan.Plan)
}

// nearLevels suggests levels that were seen. Those of a column that the
// connection has chosen may say anything of a person.
func (w *walk) nearLevels(seen []string) {
	if !w.usualLevels() {
		return
	}
	w.out.Nearest = closest(w.out.ID, seen)
	if len(w.out.Nearest) == 0 {
		w.out.Nearest = seen[:min(len(seen), suggestions)]
	}
}

// defaultLevel is the id of the level of an event whose sponsors have none.
const defaultLevel = "sponsor"

// reportLimit is how many page reports are read in search of a level.
const reportLimit = 100

// levelSource finds the sponsor that a level comes from in the page reports of
// the run that wrote it, or of the newest that read levels; seen are all levels there.
func (w *walk) levelSource(ctx context.Context) (first string, seen []string, err error) {
	if err := w.remember(ctx, "", w.record.Run); err != nil {
		return "", nil, err
	}
	from := w.past.plans
	if by, ok := w.past.by(w.record.Run); ok {
		from = append([]sight{by}, from...)
	}
	for _, s := range from {
		pages, err := w.env.Ledger.Pages(ctx, s.run.ID, run.SponsorLevels)
		if err != nil {
			return "", nil, err
		}
		now := w.sameSettings(s)
		for _, p := range pages[:min(len(pages), reportLimit)] {
			r, err := pipeline.ReportOf(ctx, w.env.Objects, p)
			if err != nil && !fault.IsPermanent(err) {
				return "", nil, err
			}
			for slug, l := range r.Levels {
				if now { // an earlier mapping may have named levels after people
					seen = append(seen, slug)
				}
				if slug == w.out.ID && (first == "" || lower(l.First, first)) {
					first = l.First
				}
			}
		}
		if first != "" {
			break
		}
	}
	w.past = past{}
	if first == "" {
		if err := w.remember(ctx, "", w.record.Run); err != nil {
			return "", nil, err
		}
	}
	slices.Sort(seen)
	return first, slices.Compact(seen), nil
}

// lower orders ids of digits by their numbers, others by their text.
func lower(a, b string) bool { return len(a) < len(b) || len(a) == len(b) && a < b }
