package pipeline_test

import (
	"testing"
	"time"

	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

func TestTheSecondsOfARunCountFromWhenItWasMade(t *testing.T) {
	t.Parallel()
	tests := map[string]time.Duration{ // the scheduled time from the clock
		"scheduled an hour ago":    -time.Hour,
		"scheduled now":            0,
		"scheduled ahead of clock": 90 * time.Second,
	}
	for name, off := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 0).only(run.Users)
			w.expo()
			w.save()
			id := w.start(pipeline.Start{Time: w.clock.now().Add(off)}).Run.ID
			view := func() pipeline.RunView {
				v, err := w.onlooker().View(t.Context(), id)
				w.must(err)
				return v
			}
			same(t, "seconds at the start", 0.0, view().Seconds)
			w.clock.advance(42 * time.Second)
			same(t, "seconds under way", 42.0, view().Seconds)
			w.clock.advance(-time.Hour) // another machine's clock
			same(t, "seconds by a clock that is behind", 0.0, view().Seconds)
			w.clock.advance(time.Hour)
			w.settle(id)
			if got := view().Seconds; got < 42 || got > 43 {
				t.Errorf("seconds in the end = %v, want 42 and what the steps took", got)
			}
		})
	}
}
