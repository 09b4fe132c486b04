package pipeline_test

import (
	"strings"
	"testing"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

func (w *world) garble(key string) {
	w.t.Helper()
	_, err := w.mem.Objects().Put(w.t.Context(), key, strings.NewReader("cut"), pipeline.ObjectInfo{})
	w.must(err)
}

func TestADamagedPlanFailsItsTypesAtOnceAndTheNextRunMakesANewOne(t *testing.T) {
	t.Parallel()
	w := alone(t, run.Users, 4)
	st := w.start(pipeline.Start{})
	w.garble("plans/expo/" + st.Run.ID + "/attendees.json.gz")
	before := w.clock.now()
	v := w.settle(st.Run.ID)
	users := v.Types[run.Users]
	same(t, "state", run.Failed, users.State)
	same(t, "code", string(fault.StoreUnavailable), users.Code)
	if !strings.Contains(users.Error, "attendees.json.gz is damaged") || !strings.Contains(users.Error, "run sync again") {
		t.Errorf("the error %q names neither the object nor the next step", users.Error)
	}
	if waited := w.clock.now().Sub(before); waited > time.Minute {
		t.Errorf("it took %v of retries that cannot mend it", waited)
	}
	same(t, "the next run", run.Complete, w.sync(pipeline.Start{}).State)
}

func TestATornRawPageIsFetchedAgain(t *testing.T) {
	t.Parallel()
	w := alone(t, run.Users, 4)
	st := w.start(pipeline.Start{})
	w.garble("raw/expo/" + st.Run.ID + "/attendees/1.json.gz")
	same(t, "counts", run.Counts{Read: 4, New: 4}, w.settle(st.Run.ID).Types[run.Users].Counts)
}

func TestAPictureThatIsGoneHereComesBackWithAFullRun(t *testing.T) {
	t.Parallel()
	w := album(t, map[string]string{"1": "good.png"})
	w.vendor.pictures[files+"good.png"] = picture{body: "good"}
	w.sync(pipeline.Start{})
	key := w.linked("1")
	w.must(w.mem.Objects().Delete(t.Context(), key))
	v := w.sync(pipeline.Start{Mode: run.Full})
	same(t, "counts", run.Counts{Read: 1, Unchanged: 1}, v.Types[run.UserPhotos].Counts)
	same(t, "pictures", []string{key}, w.keys(key))
}

func TestTheVendorsStampsGetTheOffsetOfTheEvent(t *testing.T) {
	t.Parallel()
	w := alone(t, run.Users, 1)
	w.sync(pipeline.Start{})
	for id, r := range w.records(run.Users) {
		at, err := time.Parse(time.RFC3339, r.LastModified)
		if err != nil {
			t.Fatalf("user %s: source_lastmodified %q: %v", id, r.LastModified, err)
		}
		same(t, "wall time", w.vendor.people[id].Modified.Format(time.DateTime), at.Format(time.DateTime))
	}
}
