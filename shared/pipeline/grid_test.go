package pipeline_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// gridsOf reads a run's grid and checks each type's sum against what is stored.
func (w *world) gridsOf(id string) map[run.DataType]pipeline.TypeGrid {
	w.t.Helper()
	grids, err := pipeline.GridOf(w.t.Context(), w.onlooker(), id)
	w.must(err)
	all, err := w.ledger().TypeRuns(w.t.Context(), id)
	w.must(err)
	same(w.t, "types in the grid", len(all), len(grids))
	out := map[run.DataType]pipeline.TypeGrid{}
	for i, g := range grids {
		same(w.t, "type", all[i].Type, g.Type)
		out[g.Type] = g
		w.adds(all[i], g)
	}
	return out
}

// adds checks the sum of a type's cells: every id of the plan is in one place
// alone, that of the page it belongs to, and the words say the truth of the
// pages as the ledger has them.
func (w *world) adds(tr pipeline.TypeRun, g pipeline.TypeGrid) {
	w.t.Helper()
	about := fmt.Sprintf("%s of run %s: %+v", g.Type, tr.Run, g)
	var plan pipeline.Plan
	key := "plans/" + tr.Connection + "/" + tr.Run + "/" + string(g.Type.Stream()) + ".json.gz"
	if len(w.keys(key)) > 0 {
		w.read(key, &plan)
	}
	chosen := slices.Concat(plan.Pages...)
	if len(plan.All) != g.Listed || len(chosen) != g.Chosen {
		w.t.Errorf("%d listed and %d chosen by the plan; %s", len(plan.All), len(chosen), about)
	}
	gaps, counted := w.places(tr, plan)
	slices.Sort(chosen)
	placed := slices.Clone(counted)
	for _, ids := range gaps {
		placed = append(placed, ids...)
	}
	slices.Sort(placed)
	// Which ids a re-run left out is not kept, only how many.
	if !slices.Equal(chosen, placed) {
		w.t.Errorf("the plan chose %v, the pages hold %v; %s", chosen, placed, about)
	}
	left := 0
	for _, gap := range g.Gaps {
		if gap.Why == pipeline.GapGone {
			left = gap.Rows
			continue
		}
		if gap.Rows != len(gaps[gap.Why]) || gap.Rows == 0 {
			w.t.Errorf("%d rows are %s, the ledger says %d; %s", gap.Rows, gap.Why, len(gaps[gap.Why]), about)
		}
		if !strings.Contains(g.Difference, strconv.Itoa(gap.Rows)+" row") {
			w.t.Errorf("%q does not tell of %+v; %s", g.Difference, gap, about)
		}
	}
	if g.Counted+left != len(counted) {
		w.t.Errorf("%d counted, the ledger says %d; %s", g.Counted, len(counted), about)
	}
	if (g.Counted == g.Chosen) != (g.Difference == "") {
		w.t.Errorf("the difference is %q; %s", g.Difference, about)
	}
	slices.Sort(plan.All)
	if (slices.Equal(chosen, plan.All) && plan.NoID+plan.KeptOut == 0 && len(w.keys(key)) > 0) != (g.LeftOut == "") {
		w.t.Errorf("left out is %q; %s", g.LeftOut, about)
	}
}

// places says of every id of a type run where it is, by what its page came to.
func (w *world) places(tr pipeline.TypeRun, plan pipeline.Plan) (gaps map[pipeline.GapReason][]string, counted []string) {
	w.t.Helper()
	gaps = map[pipeline.GapReason][]string{}
	pages, err := w.ledger().Pages(w.t.Context(), tr.Run, tr.Type)
	w.must(err)
	known := map[string]bool{}
	given := func(p pipeline.Page) (ids []string) {
		if p.IDs != "" {
			w.read(p.IDs, &ids)
			return ids
		}
		n, err := strconv.Atoi(p.Name)
		w.must(err)
		return plan.Pages[n-1]
	}
	for _, p := range pages {
		known[p.Name] = true
		ids := slices.Clone(given(p))
		if p.Next != "" {
			next, _, err := w.ledger().Page(w.t.Context(), tr.Run, tr.Type, p.Next)
			w.must(err)
			rest := given(next)
			ids = slices.DeleteFunc(ids, func(id string) bool { return slices.Contains(rest, id) })
		}
		switch {
		case p.State == run.PageFailed:
			gaps[pipeline.GapFailed] = append(gaps[pipeline.GapFailed], ids...)
		case p.State == run.PageQueued:
			gaps[pipeline.GapQueued] = append(gaps[pipeline.GapQueued], ids...)
		case p.Covered:
			gaps[pipeline.GapCovered] = append(gaps[pipeline.GapCovered], ids...)
		default:
			counted = append(counted, ids...)
		}
	}
	for i, ids := range plan.Pages {
		if !known[strconv.Itoa(i+1)] {
			gaps[pipeline.GapQueued] = append(gaps[pipeline.GapQueued], ids...)
		}
	}
	return gaps, counted
}

// troubles are what may befall a run.
func troubles() map[string]func(w *world, rng *rand.Rand) {
	some := func(w *world, rng *rand.Rand) string {
		all := []string{"1001", "1003", "1004", "1005", "1006", "1007", "1100", "1900"}
		return all[rng.IntN(len(all))]
	}
	return map[string]func(*world, *rand.Rand){
		"nothing":   func(*world, *rand.Rand) {},
		"a page":    func(w *world, rng *rand.Rand) { w.failPage(some(w, rng)) },
		"two pages": func(w *world, rng *rand.Rand) { w.failPage(some(w, rng)); w.failPage("9002") },
		"poison":    func(w *world, rng *rand.Rand) { w.vendor.rowFault[some(w, rng)] = poison() },
		"one list": func(w *world, _ *rand.Rand) {
			w.vendor.listFault[run.Attendees] = fault.Permanent(fault.New(fault.StovaEvent, "unknown", ""))
		},
		"a new list": func(w *world, _ *rand.Rand) {
			for _, id := range []string{"1001", "1002", "1003", "1004", "1005", "1100"} {
				if w.vendor.people[id] == nil {
					return
				}
			}
			w.change()
		},
		"the first page": func(w *world, _ *rand.Rand) { w.failPage("1001") },
		"the first page, of which a row is gone": func(w *world, _ *rand.Rand) {
			w.failPage("1001")
			delete(w.vendor.people, "1003")
			delete(w.vendor.people, "1100")
		},
		"a gone row": func(w *world, rng *rand.Rand) { delete(w.vendor.people, some(w, rng)) },
		"a filter": func(w *world, _ *rand.Rand) {
			w.conn.Filters = map[run.DataType]string{run.Users: `fname != "Ada1003"`}
			w.save()
		},
		"no time": func(w *world, rng *rand.Rand) {
			late, tries := some(w, rng), 0
			w.vendor.onRow = func(_ context.Context, id string) {
				if id != late {
					return
				}
				if tries++; tries == 1 {
					w.vendor.rowFault[id] = noTime()
				} else {
					delete(w.vendor.rowFault, id)
				}
			}
		},
	}
}

// seeds is how many histories the cells are looked at in.
var seeds = flag.Uint64("seeds", 12, "how many invented histories of runs to look at")

// Over many runs of every kind, with what may befall them, the cells of each
// type hold what the plan chose, or the grid names what they do not hold: while
// a run is under way, when it has ended, and after its failures were re-run.
func TestTheCellsOfARunHoldWhatItsPlanChose(t *testing.T) {
	t.Parallel()
	befalls := troubles()
	var names []string
	for name := range befalls {
		names = append(names, name)
	}
	slices.Sort(names)
	seen := make(chan pipeline.CellState, 100_000)
	why := make(chan pipeline.GapReason, 100_000)
	t.Run("seeds", func(t *testing.T) {
		for seed := range *seeds {
			t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
				t.Parallel()
				rng := rand.New(rand.NewPCG(seed, 2))
				w := newWorld(t, seed%7)
				w.expo()
				w.conn.PageSize = 2 + rng.IntN(4)
				w.save()
				look := func(id string) {
					for _, g := range w.gridsOf(id) {
						for _, c := range g.Cells {
							seen <- c.State
						}
						for _, gap := range g.Gaps {
							why <- gap.Why
						}
					}
				}
				for range 3 {
					befalls[names[rng.IntN(len(names))]](w, rng)
					st := pipeline.Start{}
					if rng.IntN(3) == 0 {
						st.Mode = run.Full
					}
					id := w.start(st).Run.ID
					for range rng.IntN(60) {
						w.deliver()
					}
					look(id)
					w.settle(id)
					look(id)
					clear(w.vendor.listFault)
					clear(w.vendor.rowFault)
					w.vendor.onRow = nil
					if rng.IntN(3) == 0 {
						w.clock.advance(time.Duration(rng.IntN(40)) * time.Hour)
						w.redrive(pipeline.Filter{})
					}
					for _, r := range w.runs() {
						look(r.ID)
					}
				}
			})
		}
	})
	close(seen)
	close(why)
	states, reasons := map[pipeline.CellState]int{}, map[pipeline.GapReason]int{}
	for s := range seen {
		states[s]++
	}
	for r := range why {
		reasons[r]++
	}
	for _, s := range pipeline.CellStates() {
		if states[s] == 0 {
			t.Errorf("no cell was %s: %v", s, states)
		}
	}
	for _, r := range []pipeline.GapReason{pipeline.GapFailed, pipeline.GapQueued, pipeline.GapCovered} {
		if reasons[r] == 0 {
			t.Errorf("no rows were %s: %v", r, reasons)
		}
	}
	same(t, "rows that are unaccounted for", 0, reasons[pipeline.GapUnknown])
}

func TestRowsThatAreListedNoMoreWhenTheirPageIsReRunAreGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0).only(run.Users)
	w.expo()
	w.conn.PageSize = 4 // 1001 to 1004
	w.save()
	w.failPage("1001")
	first := w.sync(pipeline.Start{}).Run
	delete(w.vendor.people, "1003")
	w.sync(pipeline.Start{}) // lists it no more, and fails too: what the page holds is still to do
	clear(w.vendor.rowFault)
	w.redrive(pipeline.Filter{Run: first})
	w.settle(first)
	g := w.gridsOf(first)[run.Users]
	same(t, "gaps", []pipeline.Gap{{Why: pipeline.GapGone, Rows: 1, Pages: 1}}, g.Gaps)
	if !strings.Contains(g.Difference, "1 row of 1 page listed no more when it was re-run") {
		t.Errorf("the difference is told as %q", g.Difference)
	}
}

func TestWhatBecameOfAPageIsItsCell(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0).only(run.Users)
	w.expo()
	w.conn.PageSize = 2
	w.save()
	tries, late := 0, 0
	w.vendor.onRow = func(_ context.Context, id string) {
		switch id {
		case "1003": // fails twice
			if tries++; tries <= 2 {
				w.failPage(id)
			} else {
				delete(w.vendor.rowFault, id)
			}
		case "1006": // comes too late once
			if late++; late == 1 {
				w.vendor.rowFault[id] = noTime()
			} else {
				delete(w.vendor.rowFault, id)
			}
		}
	}
	w.failPage("1900")
	v := w.sync(pipeline.Start{})
	g := w.gridsOf(v.Run)[run.Users]
	states := map[string]pipeline.CellState{}
	var broken pipeline.Cell
	for _, c := range g.Cells {
		states[c.Page] = c.State
		if c.State == pipeline.CellFailed {
			broken = c
		}
	}
	// Pages of two: 1001 1002, 1003 1004, 1005 1006, 1007 1100, 1900 1950.
	same(t, "states", map[string]pipeline.CellState{
		"1": pipeline.CellChanged, "2": pipeline.CellRetried, "3": pipeline.CellSplit, "3.1": pipeline.CellChanged, "4": pipeline.CellChanged, "5": pipeline.CellFailed,
	}, states)
	same(t, "tries of the failed page", maxReceives, broken.Tries)
	same(t, "code of the failed page", string(fault.StovaRate), broken.Code)
	same(t, "difference", "2 rows in 1 page that failed", g.Difference)
	same(t, "left out", "1 listed row more without an id", g.LeftOut)

	clear(w.vendor.rowFault)
	w.vendor.onRow = nil
	w.redrive(pipeline.Filter{})
	g = w.gridsOf(v.Run)[run.Users]
	last := g.Cells[len(g.Cells)-1]
	same(t, "state after the re-run", pipeline.CellRetried, last.State)
	same(t, "tries after the re-run", maxReceives+1, last.Tries)
	same(t, "difference after the re-run", "", g.Difference)
	same(t, "sponsors among the attendees", 3, g.Others)

	again := w.sync(pipeline.Start{Mode: run.Full})
	for _, c := range w.gridsOf(again.Run)[run.Users].Cells {
		want := pipeline.CellUnchanged
		if c.Page == "5" {
			want = pipeline.CellDone // two sponsors
		}
		same(t, "state of page "+c.Page+" where nothing has changed", want, c.State)
	}
	w.must(w.mem.Objects().Delete(t.Context(), w.keys("plans/")...))
	grids, err := pipeline.GridOf(t.Context(), w.onlooker(), again.Run)
	w.must(err)
	same(t, "what a grid without its plan says", "the plan cannot be read any more: how many were listed is not known", grids[0].LeftOut)
	same(t, "rows of a grid without its plan", [3]int{0, 10, 10}, [3]int{grids[0].Listed, grids[0].Chosen, grids[0].Counted})
}

// An erased person is in no plan any more, but the vendor has listed the row.
func TestTheGridTellsHowManyListedRowsAreOfErasedPeople(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0).only(run.Users)
	w.expo()
	w.save()
	v := w.sync(pipeline.Start{})
	key := "plans/" + w.conn.Name + "/" + v.Run + "/attendees.json.gz"
	var plan pipeline.Plan
	w.read(key, &plan)
	plan.KeptOut = 2
	doc, err := json.Marshal(plan)
	w.must(err)
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err = z.Write(doc)
	w.must(errors.Join(err, z.Close()))
	_, err = w.mem.Objects().Put(t.Context(), key, bytes.NewReader(b.Bytes()), pipeline.ObjectInfo{})
	w.must(err)
	g := w.gridsOf(v.Run)[run.Users]
	same(t, "left out", "1 listed row more without an id; 2 listed rows more of people who were erased", g.LeftOut)
	same(t, "difference", "", g.Difference)
}

func TestTheGridOfARunThatIsNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	grids, err := pipeline.GridOf(t.Context(), w.onlooker(), "20310304T090000Z-3f2a0b1c")
	w.must(err)
	same(t, "types", 0, len(grids))
}
