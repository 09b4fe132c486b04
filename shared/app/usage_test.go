package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"stovasync/shared/app"
	"stovasync/shared/awscall/awstest"
	"stovasync/shared/cost"
	"stovasync/shared/metric"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
	ddb "stovasync/shared/store"
	"stovasync/shared/stova"
	"stovasync/shared/stova/stovatest"
)

// TestAWSMetricsSumToWhatTheRunSays runs a connection on the functions' app:
// the metrics that it writes, the ledger and runs show tell the same numbers.
func TestAWSMetricsSumToWhatTheRunSays(t *testing.T) {
	queues, env := deployment(t)
	env["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] = "512"
	w := newWorld(t, stovatest.Options{Attendees: 24, Sessions: 8, Speakers: 5, Sponsors: 4, Levels: 2, Seed: 5}, stovatest.ServerOptions{}, "pageSize: 10\n")
	a, err := app.New(t.Context(), func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	a.MetricsTo(&out)
	conn, err := w.app.Steps.Ledger.Connection(t.Context(), w.name)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Steps.Ledger.PutConnection(t.Context(), conn, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := a.Secrets.Put(t.Context(), w.name, w.event.Key); err != nil {
		t.Fatal(err)
	}
	answer := fanout(t, a, `{"time": "2031-03-04T09:00:00Z", "mode": "full"}`)
	poll(t, a, queues, answer.Started[0])
	v, err := a.Steps.View(t.Context(), answer.Started[0])
	if err != nil {
		t.Fatal(err)
	}
	if v.State != run.Complete {
		t.Fatalf("the run is %s: %+v", v.State, v.Types)
	}
	sum := summed(t, out.String())
	for typ, x := range v.Types {
		for name, want := range numbers(x) {
			if got := sum[string(typ)+"/"+name]; got != want {
				t.Errorf("%s of %s sums to %v, the run says %v", name, typ, got, want)
			}
		}
	}
	for name, want := range map[string]float64{
		metric.APICalls: float64(v.APICalls), metric.PhotoBytes: float64(v.PhotoBytes), metric.RunsCompleted: 1, metric.RunsFailed: 0, metric.RunsPartial: 0,
	} {
		if sum[name] != want {
			t.Errorf("%s sums to %v, want %v", name, sum[name], want)
		}
	}
	if v.APICalls == 0 || v.PhotoBytes == 0 || v.CostUSD == 0 {
		t.Errorf("%d calls, %d bytes, %v USD: something is not counted", v.APICalls, v.PhotoBytes, v.CostUSD)
	}
	if got := sum[metric.CostUSD]; math.Abs(got-v.CostUSD) > 1e-9 {
		t.Errorf("the metrics cost %v, the run %v", got, v.CostUSD)
	}
	if got := (cost.Table{}).USD(v.Usage); math.Abs(got-v.CostUSD) > 1e-8 {
		t.Errorf("the units of the run cost %v, the run says %v", got, v.CostUSD)
	}
	for _, unit := range []cost.Unit{cost.ReadUnits, cost.WriteUnits, cost.QueueRequests, cost.ObjectWrites, cost.ObjectReads, cost.Invocations} {
		if v.Usage[string(unit)] == 0 {
			t.Errorf("no %s: %+v", unit, v.Usage)
		}
	}
	t.Logf("a run of 24 attendees: %.6f USD, %v", v.CostUSD, v.Usage)
}

// numbers are what the metrics of a type must sum to.
func numbers(x pipeline.TypeView) map[string]float64 {
	return map[string]float64{
		metric.PagesDone: float64(x.Pages.Done), metric.PagesFailed: float64(x.Pages.Failed), metric.RowsRead: float64(x.Read),
		metric.RowsNew: float64(x.New), metric.RowsChanged: float64(x.Changed), metric.RowsRejected: float64(x.Rejected),
		metric.APICalls: float64(x.APICalls), metric.APIThrottles: float64(x.Throttles), metric.PhotoBytes: float64(x.PhotoBytes),
	}
}

// summed adds up documents of metrics: by name, and by "type/name".
func summed(t *testing.T, out string) map[string]float64 {
	t.Helper()
	sum := map[string]float64{}
	for line := range strings.Lines(out) {
		var root map[string]any
		if err := json.Unmarshal([]byte(line), &root); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		typ, _ := root[metric.TypeDimension].(string)
		for name, v := range root {
			if n, ok := v.(float64); ok {
				sum[name] += n
				if typ != "" {
					sum[typ+"/"+name] += n
				}
			}
		}
	}
	return sum
}

// leases counts the calls that were leased, by window. What a window holds
// is told by the leases themselves: a call may be made a moment after its
// window's end, whatever the test's clock says then.
type leases struct {
	stova.Rates

	mu    *sync.Mutex
	sum   map[time.Time]int // shared by all processes
	known stova.RateWindow  // what this process takes from
}

func (l *leases) Load(ctx context.Context) (stova.Rate, int64, error) {
	r, version, err := l.Rates.Load(ctx)
	l.known = r.Windows[stova.WindowLength.String()]
	return r, version, err
}

func (l *leases) Save(ctx context.Context, r stova.Rate, version int64, until time.Time) error {
	err := l.Rates.Save(ctx, r, version, until)
	if err != nil {
		return err
	}
	next := r.Windows[stova.WindowLength.String()]
	leased := next.Used
	if next.Start.Equal(l.known.Start) {
		leased -= l.known.Used
	}
	l.known = next
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sum[next.Start.UTC()] += leased
	return nil
}

// TestAWSProcessesShareTheRateBudget has three processes take calls through
// one table: no window of theirs leases more than its calls, and nobody makes
// a call that was not leased.
func TestAWSProcessesShareTheRateBudget(t *testing.T) {
	t.Parallel()
	db := awstest.DynamoDB(t)
	table := awstest.Ledger(t, db)
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
	defer cancel()
	var mu sync.Mutex
	windows, writes, made := map[time.Time]int{}, 0, 0
	var wg sync.WaitGroup
	for range 3 {
		items := ddb.NewItems(ddb.ItemsConfig{Client: db, Table: table, Meter: func(operation string, _ float64) {
			mu.Lock()
			defer mu.Unlock()
			if operation != "GetItem" {
				writes++
			}
		}})
		rates := &leases{Rates: pipeline.Ledger{Items: items}.Rates("api.example.test#7700"), mu: &mu, sum: windows}
		b := stova.NewLeasedBudget(stova.LeaseConfig{Rates: rates, PerMinute: 240})
		for range 3 {
			wg.Go(func() {
				for b.Take(ctx) == nil {
					mu.Lock()
					made++
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	leased := 0
	for at, n := range windows {
		leased += n
		if n > 20 {
			t.Errorf("window %s leased %d calls, want at most 20", at.Format(time.TimeOnly), n)
		}
	}
	if made > leased {
		t.Errorf("%d calls were made, %d were leased", made, leased)
	}
	if len(windows) < 2 || made < 30 {
		t.Errorf("%d calls in %d windows: they are not used up", made, len(windows))
	}
	t.Logf("%d calls in %d windows, %d writes that were tried", made, len(windows), writes)
}
