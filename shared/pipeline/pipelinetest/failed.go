package pipelinetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/pipeline"
)

// patience is how long the suite waits for what a store may show late: half of
// what is left of the test binary's time, so that the wait is what fails.
func patience(t *testing.T) time.Duration {
	const most = 20 * time.Second
	if end, ok := t.Deadline(); ok {
		return min(most, time.Until(end)/2)
	}
	return most
}

// eventually repeats check until it returns "", and fails with what it last
// returned when its patience ends.
func eventually(t *testing.T, check func() string) {
	t.Helper()
	limit := patience(t)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		last := check()
		if last == "" {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("still, after %s: %s", limit, last)
		case <-tick.C:
		}
	}
}

// wantFailed waits until the index of failed pages holds exactly these keys of
// this test's partition.
func wantFailed(t *testing.T, s pipeline.Items, connection, pk string, want ...string) {
	t.Helper()
	eventually(t, func() string {
		var got []string
		for it, err := range s.Failed(t.Context(), connection) {
			if err != nil {
				t.Fatalf("Failed: %v", err)
			}
			if it.PK == pk {
				got = append(got, it.SK)
			}
		}
		slices.Sort(got)
		return cmp.Diff(want, got)
	})
}

func failing(k pipeline.Key, version int64, connection string) pipeline.Write {
	w := put(k, version, doc(1))
	w.Failed = connection
	return w
}

func failedIndex(t *testing.T, s pipeline.Items) {
	const pk = "RUN#failed"
	one, two := key(pk, "PAGE#users#1"), key(pk, "PAGE#users#2")
	mustWrite(t, s, put(one, 0, doc(1)), failing(two, 0, "gala"))
	wantFailed(t, s, "gala", pk, two.SK)
	mustWrite(t, s, failing(one, 1, "gala"))
	wantFailed(t, s, "gala", pk, one.SK, two.SK)
	mustWrite(t, s, failing(two, 1, "gala"), put(one, 2, doc(2)))
	wantFailed(t, s, "gala", pk, two.SK)
	wantItem(t, s, two, 2, doc(1))
	mustWrite(t, s, put(two, pipeline.AnyVersion, doc(3)))
	wantFailed(t, s, "gala", pk)
}

func failedByConnection(t *testing.T, s pipeline.Items) {
	const pk = "RUN#failed-by"
	mustWrite(t, s, failing(key(pk, "1"), 0, "gala"), failing(key(pk, "2"), 0, "fair"), put(key(pk, "3"), 0, doc(1)))
	wantFailed(t, s, "gala", pk, "1")
	wantFailed(t, s, "fair", pk, "2")
	wantFailed(t, s, "none", pk)
	wantFailed(t, s, "", pk, "1", "2")
}

func failedDeleted(t *testing.T, s pipeline.Items) {
	const pk = "RUN#failed-gone"
	k := key(pk, "PAGE#users#1")
	mustWrite(t, s, failing(k, 0, "gala"))
	wantFailed(t, s, "gala", pk, k.SK)
	mustWrite(t, s, pipeline.Write{Key: k, Version: 1, Delete: true})
	wantFailed(t, s, "", pk)
}
