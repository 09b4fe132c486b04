package pipeline_test

import (
	"context"
	"testing"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// Lambda's own detection of loops is switched off for the worker, so this
// limit is what ends a page that is handed on for ever.
func TestTheRestsOfOnePageAreHandedOnFiftyTimesAtMost(t *testing.T) {
	t.Parallel()
	for says, tt := range map[string]struct {
		rows          int
		planned, fail int
	}{
		"fifty rests are done":                         {rows: 52, planned: 51}, // one task takes two rows: where a page becomes too small to try rows first
		"the fiftieth rest is not handed on but fails": {rows: 60, planned: 51, fail: 1},
	} {
		t.Run(says, func(t *testing.T) {
			t.Parallel()
			w := alone(t, run.Users, tt.rows)
			// Each task has time for one row: the first call for a row comes too late,
			// the second is that of the next task.
			w.vendor.onRow = func(_ context.Context, id string) {
				if id != "2001" && w.vendor.rows[id] <= 1 {
					w.vendor.rowFault[id] = noTime()
				} else {
					delete(w.vendor.rowFault, id)
				}
			}
			v := w.sync(pipeline.Start{})
			same(t, "pages", pipeline.PagesView{Planned: tt.planned, Done: tt.planned - tt.fail, Failed: tt.fail}, v.Types[run.Users].Pages)
			same(t, "whether all rows are stored", tt.fail == 0, len(w.records(run.Users)) == tt.rows)
			failures, err := w.onlooker().Failed(t.Context(), pipeline.Filter{})
			w.must(err)
			same(t, "failed pages", tt.fail, len(failures))
			for _, f := range failures {
				same(t, "code", string(fault.StovaTimeout), f.Code)
			}
		})
	}
}
