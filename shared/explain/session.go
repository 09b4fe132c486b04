package explain

import (
	"context"
	"fmt"
	"strings"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/mapping"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// masterPrefix begins the ids of master sessions (spotme-model.md §10).
const masterPrefix = "slot_"

// masterStamp is how a master's id tells its start.
const masterStamp = "20060102T1504Z"

// flags tells what decided the status of a session or presenter.
func (w *walk) flags(tr *mapping.TraceResult) {
	if tr.Result.Outcome != mapping.Mapped {
		return
	}
	if len(tr.Flags) == 0 {
		w.pass("status", "nothing says that it is hidden or deleted: active")
		return
	}
	var words []string
	for _, flag := range tr.Flags {
		words = append(words, flag+map[bool]string{true: " is 1", false: " is 0"}[flag == "deleted"])
	}
	why := strings.Join(words, " and ")
	w.info("status", "%s: it is stored as %s", why, tr.Result.Status)
	w.tell("status", "%s", why)
}

// times tells start and end (R7) and zero dates (R8).
func (w *walk) times(tr *mapping.TraceResult) {
	zeros := zeroColumns(tr)
	if len(zeros) > 0 {
		w.info("R8", "%s holds a zero date, which counts as absent", strings.Join(zeros, ", "))
	}
	if w.req.Type != run.Sessions {
		return
	}
	if len(zeros) == 0 {
		w.pass("R8", "no time of it is a zero date")
	}
	r := tr.Result.Reject
	switch {
	case r != nil && r.Code == string(fault.RowNoTimes):
		why := r.Reason
		if len(zeros) > 0 {
			why += ", since " + strings.Join(zeros, ", ") + " holds a zero date, see R8"
		}
		w.stop("R7", "%s: %s", r.Code, why)
	case tr.Result.Outcome == mapping.Mapped:
		w.pass("R7", "it has a start and an end")
	}
}

func zeroColumns(tr *mapping.TraceResult) []string {
	var zeros []string
	seen := map[string]bool{}
	for _, f := range tr.Fields {
		for _, c := range f.Columns {
			if c.Zero && !seen[c.Expression] {
				seen[c.Expression] = true
				zeros = append(zeros, c.Expression)
			}
		}
	}
	return zeros
}

// masters reports whether there are master sessions at all, and why (R9).
func (w *walk) masters() (bool, string) {
	title, mapped := strings.TrimSpace(w.conn.ConcurrentSessionsTitle) != "", w.set != nil && w.set.Maps(run.Sessions, "in_slot")
	switch {
	case title && mapped:
		return true, "in_slot is mapped and ConcurrentSessionsTitle is set: concurrent sessions get a master session"
	case title:
		return false, "ConcurrentSessionsTitle is set, but in_slot is not mapped: there are no master sessions"
	case mapped:
		return false, "in_slot is mapped, but ConcurrentSessionsTitle is absent or blank: there are no master sessions"
	default:
		return false, "in_slot is not mapped and ConcurrentSessionsTitle is absent or blank: there are no master sessions"
	}
}

// slot tells a session's master (R9, R10).
func (w *walk) slot() {
	on, why := w.masters()
	if !on {
		w.info("R9", "%s", why)
		return
	}
	w.pass("R9", "%s", why)
	master, _ := w.record.Fields["in_slot"].(string)
	switch {
	case !w.there():
	case master != "":
		w.info("R10", "another active session starts in the same minute: in_slot is %s", master)
		w.tell("R10", "it shares its start with others under the master session %s", master)
	case w.record.Status != "active":
		w.info("R10", "a session that is not active is in no slot")
	default:
		w.info("R10", "no other active session starts in the same minute, so it is in no slot")
	}
}

// master explains a computed master session (R9, R10). It has no row.
func (w *walk) master(ctx context.Context) error {
	if err := w.remember(ctx, w.out.ID, w.record.Run); err != nil {
		return err
	}
	if last, ok := w.past.last(); ok {
		w.out.Listed = &Read{Run: last.run.ID, At: whole(last.plan.ListedAt)}
	}
	w.info("row", "a master session is computed when the sessions of a run are through; the vendor has no row of it")
	on, why := w.masters()
	if on {
		w.pass("R9", "%s", why)
	} else {
		w.stop("R9", "%s", why)
	}
	members, start, err := w.members(ctx)
	if err != nil {
		return err
	}
	switch {
	case start.IsZero():
		w.stop("R10", "a master session's id is slot_%s_ and its start as YYYYMMDDTHHMMZ", w.conn.EventID)
		return w.nearMasters(ctx)
	case len(members) < 2 && w.there() && on:
		w.info("R10", "only %d active sessions start at %s now: the next run of sessions removes it", len(members), clock(start))
	case len(members) < 2:
		w.stop("R10", "%s at %s, and a master needs two", starting(len(members)), clock(start))
	default:
		w.info("R10", "%d active sessions start at %s: %s", len(members), clock(start), strings.Join(members, ", "))
		w.tell("R10", "it stands for %d active sessions that start at %s", len(members), clock(start))
		w.out.Related = members
	}
	if w.record.ID == "" && on && len(members) > 1 {
		w.stop("listed", "the next run of sessions makes it")
	}
	w.protected()
	w.removal()
	w.fields()
	if !w.there() {
		return w.nearMasters(ctx)
	}
	return nil
}

func starting(n int) string {
	if n == 1 {
		return "one active session starts"
	}
	return "no active session starts"
}

// members are the stored sessions that the master's id stands for; start is
// zero when the id tells none.
func (w *walk) members(ctx context.Context) (ids []string, start time.Time, err error) {
	stamp, ok := strings.CutPrefix(w.out.ID, masterPrefix+w.conn.EventID+"_")
	if start, err = time.Parse(masterStamp, stamp); !ok || err != nil {
		return nil, time.Time{}, nil
	}
	for r, err := range w.env.Records.Scan(ctx, w.conn.Name, run.Sessions, pipeline.Scan{}) {
		if err != nil {
			return nil, start, fmt.Errorf("read sessions of %s: %w", w.conn.Name, err)
		}
		at, _ := r.Fields["start"].(string)
		begins, err := time.Parse(time.RFC3339, at)
		if err == nil && r.Status == "active" && !strings.HasPrefix(r.ID, masterPrefix) && begins.Truncate(time.Minute).Equal(start) {
			ids = append(ids, r.ID)
		}
	}
	return ids, start, nil
}

// nearMasters suggests the masters there are.
func (w *walk) nearMasters(ctx context.Context) error {
	var all []string
	for r, err := range w.env.Records.Scan(ctx, w.conn.Name, run.Sessions, pipeline.Scan{Prefix: masterPrefix}) {
		if err != nil {
			return fmt.Errorf("read sessions of %s: %w", w.conn.Name, err)
		}
		all = append(all, r.ID)
	}
	w.out.Nearest = closest(w.out.ID, all)
	return nil
}
