package emulator_test

import (
	"testing"
	"time"

	"stovasync/shared/run"
	"stovasync/shared/stova"
)

// fullest returns how many calls the fullest window holds, at best: a call that
// arrives shortly after a window began may have been taken at the end of the one
// before, as far as that has room.
func fullest(at []time.Time, size int, late time.Duration) int {
	type window struct{ early, all int }
	windows := map[time.Time]window{}
	var first, last time.Time
	for i, t := range at {
		start := stova.WindowStart(t, stova.WindowLength)
		w := windows[start]
		if w.all++; t.Sub(start) < late {
			w.early++
		}
		windows[start] = w
		if last = start; i == 0 {
			first = start
		}
	}
	room, most := size, 0 // of the window before the first nothing is known
	for start := first; !start.After(last); start = start.Add(stova.WindowLength) {
		w := windows[start]
		used := w.all - min(w.early, max(0, room))
		room, most = size-used, max(most, used)
	}
	return most
}

// Everywhere else the budget is so large that nobody ever waits for it.
func TestAWSTwoWorkersShareASmallBudgetAndWaitForItTogether(t *testing.T) {
	t.Parallel()
	const (
		attendees, size = 44, 20 // size: calls of a window at 240 a minute
		refusal         = 25     // which row is answered with the 429: in the second window
		block           = 7 * time.Second
		late            = 500 * time.Millisecond // from a call's permission to its arrival
	)
	s := users(17, attendees)
	s.more += "pageSize: 11\n"
	s.stack.Parameters = map[string]string{"WorkerConcurrency": "2"}
	s.server.Delay = 100 * time.Millisecond // calls of the two overlap
	w := newWorld(t, s)
	w.rate(240)
	w.faults("429:endpoint=getAttendee,after=24,times=1,retry-after=7")
	id := w.start()
	v := w.complete(id)
	w.counts(id, run.Users, attendees)
	if p := v.Types[run.Users].Pages; p.Failed != 0 || p.Done != p.Planned || p.Planned != 4 || v.Throttles != 1 {
		t.Errorf("pages %+v and %d throttles, want four, all done, and one", p, v.Throttles)
	}
	for _, d := range w.tasks("") {
		if d.Failed || !d.Done || d.Receives != 1 {
			t.Errorf("a delivery was not done at once: %+v", d)
		}
	}
	if n := len(w.Function("WorkerFunction").Starts()); n != 2 {
		t.Errorf("%d workers, want two", n)
	}
	var at []time.Time
	var refused time.Time // when the call came that was told to wait
	rows := 0
	for _, c := range w.twin.Log() {
		at = append(at, c.At)
		if c.Endpoint == "getAttendee" {
			if rows++; rows == refusal {
				refused = c.At
			}
		}
	}
	if n := fullest(at, size, late); n > size {
		t.Errorf("a window holds %d calls, want at most %d", n, size)
	}
	// Leases from before the block lapse with their window; then nobody calls.
	lapsed := stova.WindowStart(refused, stova.WindowLength).Add(stova.WindowLength + late)
	for _, c := range at {
		if c.After(lapsed) && c.Before(refused.Add(block-100*time.Millisecond)) {
			t.Errorf("a call was made %s after the 429, want none for %s", c.Sub(refused), block)
		}
	}
	t.Logf("%d calls took %s", len(at), at[len(at)-1].Sub(at[0]))
	if took := at[len(at)-1].Sub(at[0]); took < block {
		t.Errorf("%d calls took %s", len(at), took)
	}
	w.rate(1_000_000) // the embedded default need not wait too
	w.sameAsEmbedded()
}

// rate changes the connection's rate.
func (w *world) rate(perMinute int) {
	w.t.Helper()
	w.conn.RequestsPerMinute = perMinute
	if err := w.steps.Ledger.PutConnection(w.t.Context(), w.conn, time.Now()); err != nil {
		w.t.Fatal(err)
	}
}
