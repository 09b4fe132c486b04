package pipeline_test

import (
	"testing"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

func TestTheIDsOfFailedPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	w.expo()
	w.save()
	w.failPage("1006")
	w.failPage("1900")
	w.vendor.listFault[run.SessionStream] = fault.Permanent(fault.New(fault.StovaEvent, "unknown", ""))
	v := w.sync(pipeline.Start{})
	failures, err := w.onlooker().Failed(t.Context(), pipeline.Filter{Run: v.Run})
	w.must(err)
	idsOf := func() map[string][]string {
		ids, err := pipeline.FailedIDs(t.Context(), w.onlooker(), failures)
		w.must(err)
		out := map[string][]string{}
		for task, ids := range ids {
			out[string(task.Type)+" "+task.Page] = ids
		}
		return out
	}
	want := map[string][]string{"users 2": {"1004", "1005", "1006"}, "users 3": {"1007", "1100", "1900"}}
	for _, typ := range []string{"sponsors", "sponsor-levels", "schedule"} { // which read the leader's pages
		want[typ+" 2"], want[typ+" 3"] = want["users 2"], want["users 3"]
	}
	same(t, "ids by page", want, idsOf())
	w.garble("plans/" + w.conn.Name + "/" + v.Run + "/attendees.json.gz")
	same(t, "ids of a plan that is damaged", map[string][]string{}, idsOf())
	w.must(w.mem.Objects().Delete(t.Context(), w.keys("plans/")...))
	same(t, "ids of a plan that is gone", map[string][]string{}, idsOf())
}

func TestTheIDsOfARestThatFailed(t *testing.T) {
	t.Parallel()
	w := alone(t, run.Users, 6)
	w.vendor.rowFault["2003"] = noTime()
	st := w.start(pipeline.Start{})
	w.until(func() bool { return w.typeRun(st.Run.ID, run.Users).Done == 1 })
	delete(w.vendor.rowFault, "2003")
	w.failPage("2005")
	w.settle(st.Run.ID)
	failures, err := w.onlooker().Failed(t.Context(), pipeline.Filter{})
	w.must(err)
	got, err := pipeline.FailedIDs(t.Context(), w.onlooker(), failures)
	w.must(err)
	rest := w.task(run.PageTask, st.Run.ID, run.Users, "1.1")
	same(t, "ids", map[run.Task][]string{rest: {"2003", "2004", "2005", "2006"}}, got)
}

func TestOnePageAloneIsRedriven(t *testing.T) {
	t.Parallel()
	w, v := partial(t, 0)
	one := pipeline.Filter{Connection: w.conn.Name, Run: v.Run, Type: run.Users, Page: "3"}
	same(t, "verdicts", []string{"users 3: sent"}, verdicts(w.redrive(one)))
	left, err := w.onlooker().Failed(t.Context(), pipeline.Filter{})
	w.must(err)
	same(t, "failures left", 1, len(left))
	same(t, "the page that is left", "2", left[0].Page)
	same(t, "dead letters", 1, len(w.queue.dead()))
}
