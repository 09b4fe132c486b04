package app_test

import (
	"testing"

	"stovasync/shared/pipeline"
	"stovasync/shared/run"
	"stovasync/shared/stova/stovatest"
)

// The process of a redrive ends when the last page is done and its finish waits
// in the queue: nothing counts as failed any more, and yet the next redrive
// brings the run to its end.
func TestARedriveGoesOnWithWhatAnotherLeftInTheQueue(t *testing.T) {
	t.Parallel()
	for name, filter := range map[string]pipeline.Filter{"of the connection": {Connection: "e2e"}, "of all": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, stovatest.Options{Seed: 78, Attendees: 12, Sessions: -1, Speakers: -1}, stovatest.ServerOptions{}, "pageSize: 6\n")
			if filter.Connection != "" {
				filter.Connection = w.name
			}
			w.faults("500:endpoint=getAttendee")
			v, err := w.run(run.Full)
			if err != nil || v.State != run.Partial {
				t.Fatalf("the run is %s, %v; want partial", v.State, err)
			}
			w.twin.ClearFaults()
			out, err := w.app.Steps.Redrive(t.Context(), pipeline.Filter{}, false)
			if err != nil || len(out) == 0 {
				t.Fatalf("redrive: %d failures, %v", len(out), err)
			}
			for _, r := range out {
				if err := w.app.Steps.Do(t.Context(), r.Task()); err != nil {
					t.Fatal(err)
				}
			}
			left, err := w.app.Steps.Failed(t.Context(), pipeline.Filter{})
			if v, _ := w.app.Steps.View(t.Context(), v.Run); err != nil || len(left) != 0 || v.State != run.Partial {
				t.Fatalf("%d failures are left, the run is %s, %v; want none, partial", len(left), v.State, err)
			}
			if again, err := w.app.Redrive(t.Context(), filter, false); err != nil || len(again) != 0 {
				t.Fatalf("the next redrive: %d failures, %v; want none", len(again), err)
			}
			if v, err = w.app.Steps.View(t.Context(), v.Run); err != nil || v.State != run.Complete {
				t.Errorf("the run is %s, %v; want complete", v.State, err)
			}
			if depth, err := w.app.Store.Queue().Depth(t.Context(), w.name); err != nil || depth.Ready+depth.Held+depth.Delayed+depth.Dead != 0 {
				t.Errorf("the queue holds %+v, %v", depth, err)
			}
		})
	}
}
