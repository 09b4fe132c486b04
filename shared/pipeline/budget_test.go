package pipeline_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"stovasync/shared/pipeline"
	"stovasync/shared/pipeline/pipelinetest"
	"stovasync/shared/stova"
)

// Workers of three processes share the windows of an account in the ledger; the
// ledger keeps one item for it, however long they work.
func TestWorkersOfAnAccountShareItsWindowsInTheLedger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		items := pipelinetest.NewMemory().Items()
		const account = "api.example.test#7700"
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var mu sync.Mutex
		windows := map[time.Time]int{}
		var wg sync.WaitGroup
		for range 3 {
			b := stova.NewLeasedBudget(stova.LeaseConfig{Rates: pipeline.Ledger{Items: items}.Rates(account), PerMinute: 120})
			for range 4 {
				wg.Go(func() {
					for b.Take(ctx) == nil {
						mu.Lock()
						windows[stova.WindowStart(time.Now(), stova.WindowLength)]++
						mu.Unlock()
						time.Sleep(time.Millisecond)
					}
				})
			}
		}
		wg.Wait()
		if len(windows) < 11 {
			t.Errorf("calls in %d windows of a minute", len(windows))
		}
		for at, n := range windows {
			if n > 10 || n < 5 {
				t.Errorf("window %s holds %d calls, want 10", at.Format(time.TimeOnly), n)
			}
		}
		var kept []pipeline.Key
		for it, err := range items.Query(t.Context(), pipeline.Query{PK: "RATE#" + account}) {
			if err != nil {
				t.Fatal(err)
			}
			kept = append(kept, it.Key)
			if strings.Count(string(it.Doc), "start") != 1 {
				t.Errorf("the item holds old windows: %s", it.Doc)
			}
		}
		if len(kept) != 1 {
			t.Errorf("%d items are kept for the account, want one", len(kept))
		}
	})
}
