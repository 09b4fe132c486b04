package pipeline_test

import (
	"fmt"
	"testing"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

func TestAnOutage(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*testing.T){
		"costs a page three rows at first, and each later try one":                               fewCalls,
		"costs followers whose leader's pages failed no more than that":                          followersWait,
		"is not taken from one bad row that is picked while it is remembered":                    oneBadPick,
		"is not suspected in a small page whose bad rows are the first tried":                    smallPage,
		"is decided by the rows that are tried first, not by those after them":                   mixedPage,
		"that is over is forgotten with the first row that comes":                                forgotten,
		"of the pictures' host fails the last few pictures too, and calls none poisoned":         lastPictures,
		"of rows fails the last few rows too, and calls none poisoned":                           lastRows,
		"is not suspected when other pages brought rows: a page of bad ones alone is borne":      badPage,
		"is not suspected of the one changed row of an incremental run: the cursor moves on":     oneChanged,
		"costs few downloads, however many pages of pictures there are":                          fewDownloads,
		"that ends before the last try of a page costs the page nothing but its time":            mendedInTime,
		"is not remembered past its time: a page then tries three rows before it gives up again": lapsed,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// rowsDown makes the vendor answer no detail call.
func (w *world) rowsDown() {
	for id := range w.vendor.people {
		w.vendor.rowFault[id] = poison()
	}
}

// paged is alone with small pages.
func paged(t *testing.T, n, size int, types ...run.DataType) *world {
	t.Helper()
	w := alone(t, types[0], n).only(types...)
	w.conn.PageSize = size
	w.save()
	return w
}

func fewCalls(t *testing.T) {
	w := paged(t, 25, 25, run.Users)
	w.rowsDown()
	v := w.sync(pipeline.Start{})
	same(t, "pages", pipeline.PagesView{Planned: 1, Failed: 1}, v.Types[run.Users].Pages)
	// The back-offs are 1, 4, 15 and 30 minutes; an outage is remembered for five.
	same(t, "detail calls", 3+1+3+3+3, w.vendor.calls())
}

func followersWait(t *testing.T) {
	w := paged(t, 100, 25, run.Users, run.Sponsors, run.SponsorLevels, run.Schedule)
	w.rowsDown()
	v := w.sync(pipeline.Start{})
	same(t, "state", run.Partial, v.State)
	if n, limit := w.vendor.calls(), 4*4*maxReceives*3; n > limit {
		t.Errorf("%d detail calls, want at most %d", n, limit)
	}
}

func oneBadPick(t *testing.T) {
	w := paged(t, 25, 25, run.Users)
	w.rowsDown()
	id := w.start(pipeline.Start{}).Run.ID
	for w.vendor.calls() < 3 {
		w.deliver()
	}
	clear(w.vendor.rowFault)
	w.vendor.rowFault["2001"] = poison() // the one that this world's luck picks
	v := w.settle(id)
	same(t, "state", run.Complete, v.State)
	same(t, "counts", run.Counts{Read: 25, New: 24, Rejected: 1}, v.Types[run.Users].Counts)
}

func forgotten(t *testing.T) {
	w := paged(t, 25, 25, run.Users)
	w.rowsDown()
	id := w.start(pipeline.Start{}).Run.ID
	for w.vendor.calls() < 3 {
		w.deliver()
	}
	clear(w.vendor.rowFault)
	w.settle(id)
	w.rowsDown()
	before := w.vendor.calls()
	id = w.start(pipeline.Start{Mode: run.Full, Time: w.clock.now().Add(time.Second)}).Run.ID
	for w.vendor.calls() == before {
		w.deliver()
	}
	same(t, "rows tried in a new outage", 3, w.vendor.calls()-before)
	_ = w.settle(id)
}

func lapsed(t *testing.T) {
	w := paged(t, 50, 25, run.Users)
	w.rowsDown()
	id := w.start(pipeline.Start{}).Run.ID
	tries := func() int {
		before := w.vendor.calls()
		for w.vendor.calls() == before {
			if !w.deliver() {
				w.clock.advance(time.Second)
			}
		}
		return w.vendor.calls() - before
	}
	same(t, "rows tried by the first page", 3, tries())
	same(t, "rows tried by the second", 1, tries())
	w.clock.advance(5 * time.Minute)
	same(t, "rows tried when it is old", 3, tries())
	_ = w.settle(id)
}

func lastPictures(t *testing.T) {
	w := many(t, 23, 23)
	v := w.sync(pipeline.Start{})
	same(t, "pages", pipeline.PagesView{Planned: 2, Failed: 2}, v.Types[run.UserPhotos].Pages)
	same(t, "rejects", nil, v.Rejects)
	for i := range 23 {
		w.vendor.pictures[fmt.Sprintf("%s%d.png", files, i)] = picture{body: fmt.Sprint("picture ", i)}
	}
	w.redrive(pipeline.Filter{})
	same(t, "state after the re-run", run.Complete, w.typeRun(v.Run, run.UserPhotos).State)
}

func fewDownloads(t *testing.T) {
	w := many(t, 200, 200)
	w.sync(pipeline.Start{})
	if n, limit := w.vendor.downloads(), 10*maxReceives*3; n > limit {
		t.Errorf("%d downloads, want at most %d", n, limit)
	}
}

func lastRows(t *testing.T) {
	w := paged(t, 12, 10, run.Users)
	w.rowsDown()
	v := w.sync(pipeline.Start{})
	same(t, "pages", pipeline.PagesView{Planned: 2, Failed: 2}, v.Types[run.Users].Pages)
	same(t, "rejects", nil, v.Rejects)
	failures, err := w.steps.Failed(t.Context(), pipeline.Filter{})
	w.must(err)
	for _, f := range failures {
		same(t, "code of page "+f.Page, string(fault.StovaServer), f.Code)
	}
}

func badPage(t *testing.T) {
	w := paged(t, 12, 10, run.Users)
	w.vendor.rowFault["2011"], w.vendor.rowFault["2012"] = poison(), poison()
	v := w.sync(pipeline.Start{})
	same(t, "counts", run.Counts{Read: 12, New: 10, Rejected: 2}, v.Types[run.Users].Counts)
	same(t, "state", run.Complete, v.State)
}

func oneChanged(t *testing.T) {
	w := paged(t, 12, 10, run.Users)
	w.sync(pipeline.Start{})
	w.clock.advance(40 * time.Hour)
	w.vendor.people["2005"].Modified = w.clock.now()
	w.vendor.rowFault["2005"] = poison()
	v := w.sync(pipeline.Start{Mode: run.Incremental})
	same(t, "counts", run.Counts{Read: 1, Rejected: 1}, v.Types[run.Users].Counts)
	same(t, "cursor", v.Run, w.cursor(run.Users).Run)
	same(t, "retry list", []string{"2005"}, w.retry(run.Users))
}

func mendedInTime(t *testing.T) {
	w := paged(t, 50, 25, run.Users)
	w.rowsDown()
	id := w.start(pipeline.Start{}).Run.ID
	for w.vendor.calls() < 8 {
		if !w.deliver() {
			w.clock.advance(time.Second)
		}
	}
	clear(w.vendor.rowFault)
	v := w.settle(id)
	same(t, "state", run.Complete, v.State)
	same(t, "counts", run.Counts{Read: 50, New: 50}, v.Types[run.Users].Counts)
	same(t, "rejects", nil, v.Rejects)
}

func smallPage(t *testing.T) {
	w := paged(t, 6, 25, run.Users)
	for _, id := range []string{"2001", "2003", "2005"} { // one of each third
		w.vendor.rowFault[id] = poison()
	}
	v := w.sync(pipeline.Start{})
	same(t, "state", run.Complete, v.State)
	same(t, "counts", run.Counts{Read: 6, New: 3, Rejected: 3}, v.Types[run.Users].Counts)
	same(t, "detail calls", 6, w.vendor.calls())
}

// The first of each third is tried first: one of them is gone, two are bad.
func mixedPage(t *testing.T) {
	w := paged(t, 11, 25, run.Users)
	for id := range w.vendor.people {
		w.vendor.gone[id] = true
	}
	for _, id := range []string{"2004", "2008", "2011"} {
		w.vendor.gone[id], w.vendor.rowFault[id] = false, poison()
	}
	v := w.sync(pipeline.Start{})
	same(t, "state", run.Complete, v.State)
	same(t, "rejected", 3, v.Types[run.Users].Rejected)
	same(t, "detail calls", 11, w.vendor.calls())
}
