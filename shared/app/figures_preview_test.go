package app_test

import (
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"stovasync/shared/app"
	"stovasync/shared/run"
)

// TestFiguresPreview measures how long a preview takes beside the calls that it
// must make: a bare loop makes the same ones and does nothing with the answers,
// and knows beforehand which. It opens the store anew each time, as the verb
// does. STOVASYNC_FIGURES=1 or preview; it judges nothing.
func TestFiguresPreview(t *testing.T) {
	if which := os.Getenv("STOVASYNC_FIGURES"); which != "1" && which != "preview" {
		t.Skip("measures for a minute: make bench")
	}
	f := &figures{t: t}
	for _, delay := range []time.Duration{0, 100 * time.Millisecond} {
		tw := startFarTwin(t, twinOrder{Attendees: 2000, Delay: delay})
		dir := f.folder(tw)
		for _, of := range []struct {
			t      run.DataType
			sample int
		}{{run.Users, 20}, {run.Users, 200}, {run.Sponsors, 20}, {run.Sessions, 20}, {run.Schedule, 20}} {
			f.preview(tw, dir, of.t, of.sample, delay)
		}
	}
	f.print()
}

// preview measures one preview beside its bare loop.
func (f *figures) preview(tw farTwin, dir string, dataType run.DataType, sample int, delay time.Duration) {
	var ours, bare, ratios, calling []float64
	calls := 0
	for range 5 {
		tw.ask(f.t, http.MethodPost, "reset", nil)
		began := time.Now()
		l, err := app.OpenLocal(f.t.Context(), dir, app.LocalOptions{Concurrency: figuresConcurrency})
		if err != nil {
			f.t.Fatal(err)
		}
		r, err := l.Preview(f.t.Context(), app.PreviewEvent{Connection: "figures", Type: dataType, Sample: sample})
		if err != nil {
			f.t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			f.t.Fatal(err)
		}
		took := time.Since(began).Seconds()
		b := f.bare(tw)
		calls = r.APICalls
		ours, bare, ratios = append(ours, took), append(bare, b.Seconds), append(ratios, took/b.Seconds)
		calling = append(calling, r.CallSeconds)
	}
	name := fmt.Sprintf("preview of %d %s (%d calls) against the bare calls, %s delay", sample, dataType, calls, delay)
	f.add(name, spread("times", "%.2f", ratios), "≤ 3", median(ratios) <= 3)
	f.report("  ours", spread("s", "%.3f", ours))
	f.report("  of it, calls under way", spread("s", "%.3f", calling))
	f.report("  bare calls", spread("s", "%.3f", bare))
}
