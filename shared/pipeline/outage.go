package pipeline

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/run"
)

// A server that is down must not be asked for every row of every page, at each
// receive, by every type that reads them: the calls are the account's, and each
// row costs all its tries. So a page of more than a few rows tries some of them
// first, spread over the page, since bad rows may lie side by side. When none
// of them brings anything but a server's trouble, the page gives up until its
// task comes back. That is remembered for the stream, and while it is fresh one
// row is enough to find that nothing has changed. What one row finds is not
// remembered: a bad row that happens to be picked must not keep itself alive.

// downFor is how long an outage is remembered.
const downFor = 5 * time.Minute

// probes returns how many of n rows or pictures are to be tried before the
// others: 0 of no more than would be tried in vain anyway. In a page as small
// as that, the rows that were picked could well be its only bad ones.
func (s *Steps) probes(ctx context.Context, j job, n int) (int, error) {
	if n <= hopeless {
		return 0, nil
	}
	var m StreamMemory
	if _, err := load(ctx, s.Ledger.Items, streamKey(j.Connection, j.Type.Stream()), &m); err != nil {
		return 0, storeError(err)
	}
	if !m.Down.IsZero() && s.now().Before(m.Down.Add(downFor)) {
		return 1, nil
	}
	return tolerated, nil
}

// heardOf remembers what the probes of a page found: an outage, or its end.
func (s *Steps) heardOf(ctx context.Context, j job, probes int, t tally) error {
	down := t.gaveUp && probes == tolerated
	if probes == 0 || !down && t.good == 0 {
		return nil
	}
	now := s.now()
	_, err := modify(ctx, s.Ledger.Items, streamKey(j.Connection, j.Type.Stream()), func(m *StreamMemory, _ bool) bool {
		if !down && m.Down.IsZero() {
			return false
		}
		m.Down = time.Time{}
		if down {
			m.Down = now
		}
		return true
	})
	return storeError(err)
}

// outage decides, after the rows that were tried first, whether they brought
// nothing but a server's trouble. Later rows have no say: a page that went on
// is judged by all of it.
func (t *tally) outage(probes int) bool {
	t.gaveUp = probes > 0 && t.good == 0 && t.server == probes
	return t.gaveUp
}

// outageOf is the error of a page that gave up for an outage.
func (t *tally) outageOf() error {
	if t.gaveUp {
		return t.last
	}
	return nil
}

// probed calls do for ids, first for so many of them; then, unless over, for
// the others. left gets those that were not tried.
func (s *Steps) probed(probes int, ids []string, do func(string) bool, over func() bool, left func(string)) {
	first, others := s.spread(ids, probes)
	if each(s.fetches(), first, do, left) && !over() {
		each(s.fetches(), others, do, left)
		return
	}
	for _, id := range others {
		left(id)
	}
}

// spread picks n of ids, one from each of n equal parts, and returns the others
// in their order.
func (s *Steps) spread(ids []string, n int) (picked, others []string) {
	pick := s.Rand
	if pick == nil {
		pick = rand.IntN
	}
	from := 0
	for i := range n {
		lo, hi := i*len(ids)/n, (i+1)*len(ids)/n
		k := lo + pick(hi-lo)
		picked = append(picked, ids[k])
		others = append(others, ids[from:k]...)
		from = k + 1
	}
	return picked, append(others, ids[from:]...)
}

// unproven is the error of a page so small that it bears all its rows failing,
// when nothing shows that the rows are at fault and not their server: none of
// them came, and no other page of the type run has brought any. The page's next
// try looks again; by then the others tell. A page that is its run's only one
// is believed: it may be the one changed row of an incremental run, which must
// not hold the cursor for ever.
func (s *Steps) unproven(ctx context.Context, j job, t tally) error {
	if t.good > 0 || t.server == 0 || t.server < t.failed {
		return nil
	}
	pages, err := s.Ledger.Pages(ctx, j.Task.Run, j.Type)
	if err != nil || len(pages) < 2 {
		return err
	}
	if slices.ContainsFunc(pages, brought) {
		return nil
	}
	return fault.Wrap(fault.CodeOf(t.last), t.last, fmt.Sprintf("no row of the page came, and none of the %d other pages brought any yet", len(pages)-1), "wait until the server is well, then redrive")
}

// brought reports whether rows came for a page: at least half do for one that
// is done and larger than what a page bears.
func brought(p Page) bool {
	return p.State == run.PageDone && (p.Rows > tolerated || p.Counts.Rejected < max(1, p.Counts.Read))
}
