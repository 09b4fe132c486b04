package explain

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
	"stovasync/shared/stova"
)

// newest is how many of the newest runs are looked at; beside them only those
// that the record, the cursor and the last full read name. Whatever the number
// of runs, no more plans than these are read.
const newest = 3

// liveTime bounds the one call to the vendor. A person waits.
const (
	liveTime     = 10 * time.Second
	liveUnlisted = 3 * time.Second // of an id that no run has listed
)

// sight is what one run has to say of the row.
type sight struct {
	run  pipeline.Run
	tr   pipeline.TypeRun
	plan pipeline.PlanEntry
	page pipeline.Page // that had it; Name "" when none had
}

// read reports whether a page of the run had the row and is done.
func (s sight) read() bool { return s.page.State == run.PageDone }

// past is what the runs have to say of the row, as far as it is kept.
type past struct {
	cursor pipeline.Cursor
	// runs are those that were looked at, newest first.
	runs []pipeline.Run
	// idle are the newer runs that have no plan: how they ended, or where they are.
	idle []pipeline.TypeRun
	// plans are the sights of those that have one, newest first.
	plans []sight
	row   pipeline.RawRow
	// of is the sight that the row was taken from; for a live row the newest.
	of sight
	// live is what the vendor said: nil when it was not asked.
	live *live
}

type live struct {
	known bool
	err   error
}

// last is the newest plan; ok is false when there is none.
func (p past) last() (sight, bool) {
	if len(p.plans) == 0 {
		return sight{}, false
	}
	return p.plans[0], true
}

// fetched is the newest sight whose page had the row and is done.
func (p past) fetched() (sight, bool) {
	for _, s := range p.plans {
		if s.read() {
			return s, true
		}
	}
	return sight{}, false
}

// by is the sight of a run.
func (p past) by(id string) (sight, bool) {
	i := slices.IndexFunc(p.plans, func(s sight) bool { return s.run.ID == id })
	if i < 0 || id == "" {
		return sight{}, false
	}
	return p.plans[i], true
}

// remember reads what the runs of the type have to say of a row id. wrote is
// the run that wrote the record, or "".
func (w *walk) remember(ctx context.Context, id, wrote string) error {
	runs, err := w.candidates(ctx, wrote)
	if err != nil {
		return err
	}
	w.past.runs = runs
	for _, r := range runs {
		tr, ok, err := w.env.Ledger.TypeRun(ctx, r.ID, w.req.Type)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		s, planned, err := w.sightOf(ctx, r, tr, id)
		if err != nil {
			return err
		}
		switch {
		case planned:
			w.past.plans = append(w.past.plans, s)
		case len(w.past.plans) == 0:
			w.past.idle = append(w.past.idle, tr)
		}
	}
	return nil
}

// candidates are the runs worth looking at, newest first.
func (w *walk) candidates(ctx context.Context, wrote string) ([]pipeline.Run, error) {
	runs, err := w.env.Ledger.Runs(ctx, w.conn.Name, newest)
	if err != nil {
		return nil, err
	}
	if w.past.cursor, err = w.env.Ledger.Cursor(ctx, w.conn.Name, w.req.Type); err != nil {
		return nil, err
	}
	if at := w.past.cursor.FullStarted; !at.IsZero() {
		full, err := pipeline.RunsStarted(ctx, w.env.Ledger, w.conn.Name, at)
		if err != nil {
			return nil, err
		}
		runs = append(runs, full...)
	}
	for _, id := range []string{w.past.cursor.Run, wrote} {
		if id == "" || slices.ContainsFunc(runs, func(r pipeline.Run) bool { return r.ID == id }) {
			continue
		}
		r, ok, err := w.env.Ledger.Run(ctx, id)
		if err != nil {
			return nil, err
		}
		if ok {
			runs = append(runs, r)
		}
	}
	slices.SortStableFunc(runs, func(a, b pipeline.Run) int { return cmp.Or(b.Started.Compare(a.Started), cmp.Compare(b.ID, a.ID)) })
	return slices.CompactFunc(runs, func(a, b pipeline.Run) bool { return a.ID == b.ID }), nil
}

// sightOf looks an id up in the plan of a type run; planned is false when there is none.
func (w *walk) sightOf(ctx context.Context, r pipeline.Run, tr pipeline.TypeRun, id string) (s sight, planned bool, err error) {
	s = sight{run: r, tr: tr}
	s.plan, planned, err = pipeline.LookUp(ctx, w.env.Objects, tr, id)
	if fault.IsPermanent(err) {
		err, planned = nil, false // damaged: as if there were none
	}
	if err != nil || !planned {
		return s, false, err
	}
	if s.plan.Page != "" {
		s.page, _, err = pipeline.SettledPage(ctx, w.env.Ledger, w.env.Objects, tr, s.plan.Page, id)
	}
	return s, true, err
}

// fetch finds the row: in the newest raw page that has it, else at the vendor,
// once. A live read that fails is told, never an error of ours.
func (w *walk) fetch(ctx context.Context, id string) error {
	for _, s := range w.past.plans {
		if s.page.Name == "" {
			continue
		}
		planned, err := w.rawOf(ctx, s, id)
		if err != nil || planned {
			return err
		}
	}
	last, ok := w.past.last()
	if !ok || w.req.NoFetch || w.set == nil || !last.plan.Listed && !vendors(id) {
		return nil
	}
	w.ask(ctx, id, last)
	return nil
}

// vendors reports whether an id may be one of the vendor's: digits, and for
// sessions a key behind them. A name or an address that somebody typed is
// nothing to ask the vendor for.
func vendors(id string) bool {
	number, _, _ := strings.Cut(id, "_")
	return number != "" && strings.Trim(number, "0123456789") == ""
}

func (w *walk) rawOf(ctx context.Context, s sight, id string) (bool, error) {
	raw, ok, err := pipeline.RawRowOf(ctx, w.env.Objects, s.plan, id)
	if err != nil || !ok {
		return false, err
	}
	w.past.row, w.past.of, w.out.Source = raw, s, fromRaw
	return true, nil
}

// ask reads the row from the vendor.
func (w *walk) ask(ctx context.Context, id string, last sight) {
	limit := liveTime
	if !last.plan.Listed {
		limit = liveUnlisted
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errLive)
	defer cancel()
	w.past.live = &live{}
	src, err := w.env.Connector.Source(ctx, w.conn)
	if err != nil {
		w.past.live.err = err
		return
	}
	row, err := src.Row(ctx, w.req.Type.Stream(), id)
	switch {
	case errors.Is(err, stova.ErrGone):
	case err != nil:
		w.past.live.err = err
	default:
		w.past.live.known = true
		w.past.row, w.past.of, w.out.Source = pipeline.RawRow{Body: row, FetchedAt: w.now()}, last, fromVendor
	}
}

var errLive = errors.New("the vendor did not answer in time")
