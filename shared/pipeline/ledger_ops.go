package pipeline

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/run"
)

// Ledger is what is known of connections, runs, type runs and pages. It is the
// protocol of design.md §5 over Items; everything in it may be called twice
// and at once.
type Ledger struct{ Items Items }

// SavedConnection is a connection's settings as kept.
type SavedConnection struct {
	Settings run.Connection `json:"settings"`
	Updated  time.Time      `json:"updated"`
}

// PutConnection keeps the settings of a connection, replacing older ones.
func (l Ledger) PutConnection(ctx context.Context, c run.Connection, now time.Time) error {
	w, err := put(settingsKey(c.Name), AnyVersion, SavedConnection{Settings: c, Updated: now})
	if err != nil {
		return err
	}
	p, err := put(connPointer(c.Name), AnyVersion, map[string]string{"name": c.Name})
	if err != nil {
		return err
	}
	return storeError(l.Items.Write(ctx, w, p, Write{Key: removedPointer(c.Name), Version: AnyVersion, Delete: true}))
}

// Connection returns the settings of a connection; CONFIG_INVALID, which
// wraps ErrNoConnection, when there is none.
func (l Ledger) Connection(ctx context.Context, name string) (run.Connection, error) {
	var saved SavedConnection
	version, err := load(ctx, l.Items, settingsKey(name), &saved)
	if err != nil {
		return run.Connection{}, storeError(err)
	}
	if version == 0 {
		return run.Connection{}, noConnection(name)
	}
	return saved.Settings, nil
}

// Connections returns all connections in the order of their names.
func (l Ledger) Connections(ctx context.Context) ([]SavedConnection, error) {
	names, err := queryAll[struct {
		Name string `json:"name"`
	}](ctx, l.Items, Query{PK: "CONNECTIONS"})
	if err != nil {
		return nil, storeError(err)
	}
	var all []SavedConnection
	for _, n := range names {
		var saved SavedConnection
		version, err := load(ctx, l.Items, settingsKey(n.Name), &saved)
		if err != nil {
			return nil, storeError(err)
		}
		if version > 0 {
			all = append(all, saved)
		}
	}
	return all, nil
}

// RemoveConnection forgets a connection's settings, cursors and memory, so
// that a new one of that name starts afresh. Its runs and records stay.
func (l Ledger) RemoveConnection(ctx context.Context, name string) error {
	history, err := put(removedPointer(name), AnyVersion, map[string]string{"name": name})
	if err != nil {
		return err
	}
	writes := []Write{
		history,
		{Key: settingsKey(name), Version: AnyVersion, Delete: true},
		{Key: connPointer(name), Version: AnyVersion, Delete: true},
	}
	for _, t := range run.AllTypes() {
		writes = append(writes, Write{Key: cursorKey(name, t), Version: AnyVersion, Delete: true},
			Write{Key: PreviewKey(name, t), Version: AnyVersion, Delete: true})
	}
	for _, s := range []run.Stream{run.Attendees, run.SessionStream, run.Speakers, run.UserPhotosStream, run.PresenterPhotosStream} {
		writes = append(writes, Write{Key: streamKey(name, s), Version: AnyVersion, Delete: true})
	}
	return storeError(l.Items.Write(ctx, writes...))
}

// Removed returns the names of the connections that were removed and are not
// there again, in order: those whose runs are history.
func (l Ledger) Removed(ctx context.Context) ([]string, error) {
	all, err := queryAll[struct {
		Name string `json:"name"`
	}](ctx, l.Items, Query{PK: "REMOVED"})
	names := make([]string, len(all))
	for i, n := range all {
		names[i] = n.Name
	}
	return names, storeError(err)
}

// Active returns the newest run of a connection; a zero Active when it never ran.
func (l Ledger) Active(ctx context.Context, name string) (Active, error) {
	var a Active
	_, err := load(ctx, l.Items, activeKey(name), &a)
	return a, storeError(err)
}

// Run returns a run by its id; ok is false when there is none.
func (l Ledger) Run(ctx context.Context, id string) (r Run, ok bool, err error) {
	var p struct {
		Connection string `json:"connection"`
	}
	version, err := load(ctx, l.Items, runPointer(id), &p)
	if err != nil || version == 0 {
		return Run{}, false, storeError(err)
	}
	version, err = load(ctx, l.Items, runKey(p.Connection, id), &r)
	return r, version > 0, storeError(err)
}

// Runs returns the newest runs of a connection, newest first, at most limit (0: all).
func (l Ledger) Runs(ctx context.Context, name string, limit int) ([]Run, error) {
	// Ids tell seconds only; somebody may start a few runs within one.
	const sameSecond = 8
	q := Query{PK: connPK(name), Prefix: "RUN#", Reverse: true}
	if limit > 0 {
		q.Limit = limit + sameSecond
	}
	runs, err := queryAll[Run](ctx, l.Items, q)
	slices.SortStableFunc(runs, func(a, b Run) int { return b.Started.Compare(a.Started) })
	if limit > 0 {
		runs = runs[:min(limit, len(runs))]
	}
	return runs, storeError(err)
}

// TypeRun returns one type run; ok is false when the run does not hold it.
func (l Ledger) TypeRun(ctx context.Context, id string, t run.DataType) (tr TypeRun, ok bool, err error) {
	version, err := load(ctx, l.Items, typeKey(id, t), &tr)
	return tr, version > 0, storeError(err)
}

// TypeRuns returns the type runs of a run in the order of run.AllTypes.
func (l Ledger) TypeRuns(ctx context.Context, id string) ([]TypeRun, error) {
	all, err := queryAll[TypeRun](ctx, l.Items, Query{PK: runPK(id), Prefix: typePrefix})
	if err != nil {
		return nil, storeError(err)
	}
	inTypeOrder(all)
	return all, nil
}

// Page returns one page; ok is false when it is not registered.
func (l Ledger) Page(ctx context.Context, id string, t run.DataType, name string) (p Page, ok bool, err error) {
	version, err := load(ctx, l.Items, pageKey(id, t, name), &p)
	return p, version > 0, storeError(err)
}

// Pages returns the pages of a type run in the order of their names.
func (l Ledger) Pages(ctx context.Context, id string, t run.DataType) ([]Page, error) {
	pages, err := queryAll[Page](ctx, l.Items, Query{PK: runPK(id), Prefix: pagePrefix(t)})
	return pages, storeError(err)
}

// Cursor returns what is known of a type from earlier runs; zero when nothing is.
func (l Ledger) Cursor(ctx context.Context, name string, t run.DataType) (Cursor, error) {
	var c Cursor
	_, err := load(ctx, l.Items, cursorKey(name, t), &c)
	return c, storeError(err)
}

// modifyTypeRun changes a type run that exists. change returns false to leave it.
func (l Ledger) modifyTypeRun(ctx context.Context, id string, t run.DataType, change func(*TypeRun) bool) (TypeRun, error) {
	var before TypeRun
	var wrote bool
	tr, err := modify(ctx, l.Items, typeKey(id, t), func(tr *TypeRun, exists bool) bool {
		before = *tr
		wrote = exists && change(tr)
		tallyOf(ctx).age(tr, wrote)
		return wrote
	})
	if err == nil && wrote {
		tallyOf(ctx).moved(before, tr)
	}
	return tr, storeError(err)
}

// registerBatch is how many pages one transaction registers.
const registerBatch = 50

// registerPages writes the pages that are not registered yet. It may be
// repeated, also after it was cut, and while another planner does the same.
func (l Ledger) registerPages(ctx context.Context, id string, t run.DataType, pages []Page) error {
	for {
		known, err := l.Pages(ctx, id, t)
		if err != nil {
			return err
		}
		have := make(map[string]bool, len(known))
		for _, p := range known {
			have[p.Name] = true
		}
		missing := slices.DeleteFunc(slices.Clone(pages), func(p Page) bool { return have[p.Name] })
		switch err := l.putPages(ctx, missing); {
		case err == nil:
			return nil
		case !errors.Is(err, ErrVersion):
			return storeError(fmt.Errorf("register %d pages: %w", len(missing), err))
		}
	}
}

func (l Ledger) putPages(ctx context.Context, pages []Page) error {
	for batch := range slices.Chunk(pages, registerBatch) {
		writes := make([]Write, len(batch))
		for i, p := range batch {
			w, err := put(pageKey(p.Run, p.Type, p.Name), 0, p)
			if err != nil {
				return err
			}
			writes[i] = w
		}
		if err := l.Items.Write(ctx, writes...); err != nil {
			return err
		}
	}
	return nil
}

// settling is what a transaction on a page and its type run decides: whether
// to write, and which further writes go with it.
type settling func(p *Page, tr *TypeRun) (further []Write, write bool, err error)

// onPage changes a page together with its type run in one transaction. It
// returns both as they are afterwards, and whether it wrote.
func (l Ledger) onPage(ctx context.Context, t run.Task, change settling) (Page, TypeRun, bool, error) {
	for {
		var p Page
		var tr TypeRun
		pv, err := load(ctx, l.Items, pageKey(t.Run, t.Type, t.Page), &p)
		if err != nil {
			return p, tr, false, storeError(err)
		}
		tv, err := load(ctx, l.Items, typeKey(t.Run, t.Type), &tr)
		if err != nil {
			return p, tr, false, storeError(err)
		}
		if pv == 0 || tv == 0 {
			return p, tr, false, fmt.Errorf("%s: not in the ledger", t)
		}
		before := tr
		further, write, err := change(&p, &tr)
		if err != nil || !write {
			return p, tr, false, err
		}
		tallyOf(ctx).age(&tr, true)
		tallyOf(ctx).tried(&p)
		pw, err := put(pageKey(t.Run, t.Type, t.Page), pv, p)
		if err != nil {
			return p, tr, false, err
		}
		tw, err := put(typeKey(t.Run, t.Type), tv, tr)
		if err != nil {
			return p, tr, false, err
		}
		switch err := l.Items.Write(ctx, append([]Write{pw, tw}, further...)...); {
		case err == nil:
			tallyOf(ctx).moved(before, tr)
			return p, tr, true, nil
		case !errors.Is(err, ErrVersion):
			return p, tr, false, storeError(fmt.Errorf("settle: %w", err))
		}
		if err := ctx.Err(); err != nil {
			return p, tr, false, err
		}
	}
}

// Outcome is what a page came to.
type Outcome struct {
	Counts  run.Counts
	Spent   Spent
	Report  string // key of the report object; "" when there is nothing to tell
	Covered bool
	Left    int // ids that were left out, being listed no more
	Erased  int // ids that were left out, of people who were erased
}

// settle marks a page done and moves its type run's counters, once: a page
// that is done stays as it is and reports false.
func (l Ledger) settle(ctx context.Context, t run.Task, o Outcome, now time.Time) (TypeRun, bool, error) {
	_, tr, wrote, err := l.onPage(ctx, t, func(p *Page, tr *TypeRun) ([]Write, bool, error) {
		if p.State == run.PageDone {
			return nil, false, nil
		}
		markDone(p, tr, o, now)
		return nil, true, nil
	})
	return tr, wrote, err
}

func markDone(p *Page, tr *TypeRun, o Outcome, now time.Time) {
	if p.State == run.PageFailed {
		tr.Failed--
	}
	p.State, p.Settled, p.Code, p.Error = run.PageDone, now, "", ""
	p.Counts, p.Spent, p.Report, p.Covered, p.Left = o.Counts, o.Spent, o.Report, o.Covered, o.Left
	p.Unread = p.Erased + o.Erased
	tr.Done++
	tr.Pages = tr.Pages.Plus(o.Counts)
	tr.Spent = tr.Spent.plus(o.Spent)
	tr.Activity = now
}

// maxHops is how often the rest of one page may be handed on (design.md §5).
const maxHops = 50

// handOn settles a page whose rest did not fit into its time, and registers
// that rest as a new page: one transaction, so that the run never looks
// complete in between. It reports whether it wrote. rest is the key of the object with the rest's ids.
func (l Ledger) handOn(ctx context.Context, t run.Task, o Outcome, rest string, rows int, now time.Time) (Page, TypeRun, bool, error) {
	return l.onPage(ctx, t, func(p *Page, tr *TypeRun) ([]Write, bool, error) {
		if p.State == run.PageDone {
			return nil, false, nil
		}
		if p.Hops >= maxHops {
			return nil, false, fault.Permanent(fault.New(fault.StovaTimeout, fmt.Sprintf("page handed on %d times", p.Hops), "lower pageSize"))
		}
		if rows >= p.Rows {
			return nil, false, fault.New(fault.StovaTimeout, "no row of the page fitted into the task's time", "lower pageSize or look at the vendor's speed")
		}
		next := Page{
			Connection: p.Connection, Run: p.Run, Type: p.Type, Name: nextName(p.Name),
			State: run.PageQueued, Rows: rows, IDs: rest, Hops: p.Hops + 1,
			Fresh: p.Fresh || p.State == run.PageFailed,
		}
		w, err := put(pageKey(p.Run, p.Type, next.Name), 0, next)
		if err != nil {
			return nil, false, err
		}
		p.Next = next.Name
		markDone(p, tr, o, now)
		tr.Planned++
		return []Write{w}, true, nil
	})
}

// fail marks a page failed with its cause, unless it is done. A page that had
// failed before keeps its place in the counters and gets the new cause.
func (l Ledger) fail(ctx context.Context, t run.Task, cause error, now time.Time) (TypeRun, error) {
	_, tr, _, err := l.onPage(ctx, t, func(p *Page, tr *TypeRun) ([]Write, bool, error) {
		if p.State == run.PageDone {
			return nil, false, nil
		}
		if p.State == run.PageQueued {
			tr.Failed++
		}
		p.State, p.Settled, p.Redriven = run.PageFailed, now, time.Time{}
		p.Code, p.Error = describe(cause)
		tr.Activity = now
		return nil, true, nil
	})
	return tr, err
}

// describe returns the code and the text of a failure, for the ledger. Only a
// coded error's own text is kept: others may come from outside and hold anything.
func describe(cause error) (code, text string) {
	if e, ok := errors.AsType[*fault.Error](cause); ok {
		return string(e.Code), e.Error()
	}
	if errors.Is(cause, context.DeadlineExceeded) {
		return string(fault.StovaTimeout), "STOVA_TIMEOUT: the task's time was used up"
	}
	return string(fault.StoreUnavailable), fmt.Sprintf("STORE_UNAVAILABLE: unexpected failure of type %T; see the log", cause)
}

// Failures reads the failed pages and type runs of a connection ("" for all)
// from the sparse index, each checked against its item.
func (l Ledger) Failures(ctx context.Context, connection string) iter.Seq2[Failure, error] {
	return func(yield func(Failure, error) bool) {
		for it, err := range l.Items.Failed(ctx, connection) {
			if err != nil {
				yield(Failure{}, storeError(err))
				return
			}
			f, ok, err := l.failure(ctx, it.Key)
			if err != nil {
				yield(Failure{}, err)
				return
			}
			if ok && !yield(f, nil) {
				return
			}
		}
	}
}
