package pipeline

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"

	"stovasync/shared/fault"
	"stovasync/shared/run"
	"stovasync/shared/stova"
)

// rows returns the rows of a page: from the raw pages of this run where they
// hold them, fetched where not. rest are ids for which there was no time. A
// re-run fetches everything afresh.
func (s *Steps) rows(ctx context.Context, j job, p Page, ids []string) (raw RawPage, rest []string, used Spent, err error) {
	leads := run.Leader(j.Run.Types, j.Type.Stream()) == j.Type
	if p.State == run.PageQueued && !p.Fresh {
		from := p.Name
		if !leads { // the leader may have cut the page elsewhere
			from, _, _ = strings.Cut(p.Name, ".")
		}
		if raw, err = s.rawChain(ctx, j, from); err != nil {
			return raw, nil, used, err
		}
		j.Erased.scrub(&raw)
	}
	missing := raw.lacks(ids)
	if len(missing) == 0 {
		return raw, nil, used, nil
	}
	src, err := s.Connector.Source(ctx, j.Conn)
	if err != nil {
		return raw, nil, used, err
	}
	meter := &stova.Meter{}
	f := fetcher{src: src, stream: j.Type.Stream(), raw: &raw}
	if f.probes, err = s.probes(ctx, j, len(missing)); err != nil {
		return raw, nil, used, err
	}
	if raw.known() > 0 {
		f.probes = 0 // the vendor has answered for this page
	}
	if raw.FetchedAt.IsZero() {
		raw.FetchedAt = s.now()
	}
	rest, err = f.fetch(stova.WithMeter(ctx, meter), s, missing)
	used = spentOn(meter)
	if err = errors.Join(err, s.heardOf(ctx, j, f.probes, f.tally)); err == nil && len(raw.Rows)+len(raw.Gone)+len(rest) == 0 {
		err = s.unproven(ctx, j, f.tally)
	}
	if err != nil {
		return raw, nil, used, err
	}
	if !leads || !j.Run.Ended.IsZero() { // nobody reads raw pages of a run that has ended
		return raw, rest, used, nil
	}
	raw.Next = ""
	if len(rest) > 0 {
		raw.Next = nextName(p.Name)
	}
	err = putRaw(ctx, s.Objects, rawObject(j.Connection, j.Task.Run, j.Type.Stream(), p.Name), raw, ids)
	return raw, rest, used, err
}

// rawChain reads the raw page of a name and, where a rest was handed on, those
// of its rests: a follower's page is the leader's page as planned.
func (s *Steps) rawChain(ctx context.Context, j job, name string) (RawPage, error) {
	var all RawPage
	for range maxHops + 1 {
		part, ok, err := getRaw(ctx, s.Objects, rawObject(j.Connection, j.Task.Run, j.Type.Stream(), name))
		if err != nil || !ok {
			return all, err
		}
		all.merge(part)
		if part.Next == "" {
			return all, nil
		}
		name = part.Next
	}
	return all, nil
}

func (r *RawPage) merge(part RawPage) {
	if r.Rows == nil {
		*r = part
		return
	}
	// The older of the two times holds for both: a newer fetch then wins.
	if part.FetchedAt.Before(r.FetchedAt) {
		r.FetchedAt = part.FetchedAt
	}
	for id, row := range part.Rows {
		r.Rows[id] = row
	}
	r.Gone = append(r.Gone, part.Gone...)
	for id, code := range part.Poison {
		if r.Poison == nil {
			r.Poison = map[string]string{}
		}
		r.Poison[id] = code
	}
}

// lacks returns the ids a raw page says nothing of. An id it lacks is fetched,
// never taken as gone.
func (r RawPage) lacks(ids []string) []string {
	gone := setOf(r.Gone)
	var missing []string
	for _, id := range ids {
		_, held := r.Rows[id]
		_, poison := r.Poison[id]
		if !held && !poison && !gone[id] {
			missing = append(missing, id)
		}
	}
	return missing
}

// tolerated is how many failing rows a page bears whatever its size; above it
// the page fails when most of the rows tried did.
const tolerated = 3

// hopeless is after how many failures, with nothing else, a page gives up
// early: the vendor is down, and every further row would cost all its tries.
const hopeless = 10

// tally tells a few bad rows from trouble that is not theirs. Bad rows may all
// come first, so most of them are counted at the end.
type tally struct {
	good, failed int
	server       int // of the failed, those that look like a server's trouble
	last         error
	gaveUp       bool // after the rows that were tried first; see outage
}

func (t *tally) fail(err error) {
	t.failed, t.last = t.failed+1, err
	if code := fault.CodeOf(err); code == fault.StovaServer || code == fault.StovaTimeout {
		t.server++
	}
}

// down reports whether nothing has worked so far.
func (t *tally) down() bool { return t.good == 0 && t.failed >= hopeless }

// verdict is the error of a page of which most rows failed.
func (t *tally) verdict() error {
	if t.failed > tolerated && t.failed > t.good {
		return t.last
	}
	return nil
}

// fetcher fetches the rows of one page, several at once.
type fetcher struct {
	src    Source
	stream run.Stream
	raw    *RawPage
	probes int // rows to be tried before the others; see Steps.probes

	mu    sync.Mutex
	rest  []string
	tally tally
	abort error // a failure of more than one row
	late  error // what there was no time left to wait for
}

// fetch gets the rows of ids into raw and returns those it had no time for, in
// their order. It stops a margin before the task's deadline.
func (f *fetcher) fetch(ctx context.Context, s *Steps, ids []string) ([]string, error) {
	if f.raw.Rows == nil {
		f.raw.Rows = make(map[string]json.RawMessage, len(ids))
	}
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, deadline.Add(-s.margin()), errMargin)
		defer cancel()
	}
	f.tally.good = len(f.raw.Rows)
	before := f.raw.known()
	s.probed(f.probes, ids, func(id string) bool {
		row, err := f.src.Row(ctx, f.stream, id)
		return f.take(ctx, id, row, err)
	}, func() bool { return f.tally.outage(f.probes) }, func(id string) { f.rest = append(f.rest, id) })
	if err := cmp.Or(f.abort, f.tally.verdict(), f.tally.outageOf()); err != nil {
		return nil, err
	}
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), errMargin) {
		return nil, context.Cause(ctx)
	}
	if f.late != nil && f.raw.known() == before {
		return nil, f.late // a rest as long as the page would only come back
	}
	return inOrder(ids, f.rest), nil
}

// known counts the ids a raw page says something of.
func (r RawPage) known() int { return len(r.Rows) + len(r.Gone) + len(r.Poison) }

// errMargin ends fetching in time to store and settle.
var errMargin = errors.New("the task's time is nearly over")

// take files what became of one row and reports whether to go on.
func (f *fetcher) take(ctx context.Context, id string, row json.RawMessage, err error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err == nil:
		f.raw.Rows[id] = row
		f.tally.good++
	case errors.Is(err, stova.ErrGone):
		f.raw.Gone = append(f.raw.Gone, id)
	case ctx.Err() != nil:
		f.rest = append(f.rest, id)
		return false
	case fault.IsOutOfTime(err):
		f.rest, f.late = append(f.rest, id), err
		return false
	case !poisonous(err):
		f.abort = err
	default:
		if f.raw.Poison == nil {
			f.raw.Poison = map[string]string{}
		}
		f.raw.Poison[id] = string(fault.CodeOf(err))
		f.tally.fail(err)
	}
	return f.abort == nil && !f.tally.down()
}

// poisonous reports whether a failure may lie with one row alone.
func poisonous(err error) bool {
	switch fault.CodeOf(err) {
	case fault.StovaServer, fault.StovaTimeout, fault.StovaBody, fault.StovaTooLarge:
		return true
	default:
		return false
	}
}

// each calls do for the items from n goroutines until one call returns false,
// and reports whether none did; left gets the items that were not tried. left is called by one goroutine at
// a time, after all calls of do.
func each(n int, items []string, do func(string) bool, left func(string)) bool {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		next int
		stop bool
	)
	take := func() (string, bool) {
		mu.Lock()
		defer mu.Unlock()
		if stop || next == len(items) {
			return "", false
		}
		next++
		return items[next-1], true
	}
	for range min(n, len(items)) {
		wg.Go(func() {
			for item, ok := take(); ok; item, ok = take() {
				if !do(item) {
					mu.Lock()
					stop = true
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	for _, item := range items[next:] {
		left(item)
	}
	return !stop
}

// inOrder returns the ids that are in some, in the order of ids.
func inOrder(ids, some []string) []string {
	set := setOf(some)
	var out []string
	for _, id := range ids {
		if set[id] {
			out = append(out, id)
		}
	}
	return out
}
