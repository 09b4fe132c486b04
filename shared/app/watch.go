package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"stovasync/shared/awscall"
	"stovasync/shared/cost"
	"stovasync/shared/fault"
	"stovasync/shared/metric"
	"stovasync/shared/pipeline"
	"stovasync/shared/queue"
	"stovasync/shared/run"
)

// watch counts what a function does and uses, and tells: as metrics on its
// output, and in the ledger as what each run has used. A nil *watch, that of
// the embedded default and of operators, takes everything and tells nothing.
//
// A function does one thing at a time, so what was used since the last booking
// was used by what just ended. What a booking itself uses goes to the next.
type watch struct {
	stack    string
	ledger   pipeline.Ledger
	prices   cost.Table
	memoryMB int
	byType   bool   // metrics of each data type too, not of the stack alone
	instance string // names this process among those of a run
	now      func() time.Time
	log      *slog.Logger

	mu      sync.Mutex
	out     *metric.Writer
	units   map[string]float64 // used, not booked
	elapsed time.Duration      // of the function's time, not booked
	totals  []*total           // of the runs worked for, the one worked for last at the end
	runs    int                // totals ever made
}

// total is what this process has used for a run.
type total struct {
	run, key string
	used     pipeline.Usage
}

// remembered is how many runs a process knows its totals of: more than are
// under way at once, since one that it has forgotten and works for again gets a
// further item, and every look at a run reads all of its items.
const remembered = 256

// bookTimeout bounds the one write that follows a task.
const bookTimeout = 3 * time.Second

// newWatch reads what only a function's environment tells.
func newWatch(stack string, lookup func(string) (string, bool), out io.Writer) (*watch, error) {
	factor, _ := lookup("PRICE_FACTOR")
	prices, err := cost.ParseTable(factor)
	if err != nil {
		return nil, fault.Wrap(fault.ConfigInvalid, err, "PRICE_FACTOR: "+err.Error(), "set how much dearer than "+cost.Region+" the stack's region is, such as 1.15")
	}
	detail, _ := lookup("METRIC_DETAIL")
	if detail != "" && detail != "stack" && detail != "type" {
		return nil, fault.New(fault.ConfigInvalid, "METRIC_DETAIL is neither stack nor type", "set stack to pay for fewer metrics, type to see each data type")
	}
	memory, _ := lookup("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
	mb, err := strconv.Atoi(cmp.Or(memory, "0"))
	if err != nil {
		mb = 0 // the runtime's own variable; without it no time is counted
	}
	return &watch{
		stack: stack, prices: prices, memoryMB: mb, byType: detail != "stack", instance: rand.Text()[:12], now: time.Now, log: slog.Default(),
		out: metric.NewWriter(out), units: map[string]float64{},
	}, nil
}

// meter returns what an adapter tells its requests.
func (w *watch) meter(s cost.Service) awscall.Meter {
	if w == nil {
		return nil
	}
	return func(operation string, units float64) { w.count(cost.UnitOf(s, operation), units) }
}

func (w *watch) count(u cost.Unit, n float64) {
	if u == "" || n == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.units[string(u)] += n
}

// took adds to the time that the function is billed for.
func (w *watch) took(d time.Duration) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.elapsed += d
}

// invoked counts an invocation.
func (w *watch) invoked() {
	if w != nil {
		w.count(cost.Invocations, 1)
	}
}

// message tells of a message that was handled: its own invocation, since each
// is a batch of one.
func (w *watch) message(ctx context.Context, r queue.Report) {
	if w == nil {
		return
	}
	began := w.now()
	defer func() { w.took(w.now().Sub(began)) }()
	w.invoked()
	w.count(cost.QueueRequests, 1) // the poller's receive
	if r.Acked {
		w.count(cost.QueueRequests, 1) // and its delete
	}
	w.took(r.Duration)
	if r.Task.Run == "" {
		return // nobody's: what it used goes to the next
	}
	usd := 0.0
	if r.Tally.Found() { // else its item would be all that there is of the run
		usd = w.book(ctx, r.Task.Run)
	}
	w.tell(ctx, r.Tally, r.Task.Type, usd, metric.Value{Name: metric.TaskAge, Unit: metric.Seconds, N: r.Age.Seconds()})
}

// book adds what was used since the last booking to a run and returns its
// price. A booking that cannot be written is made up for by the next.
func (w *watch) book(ctx context.Context, id string) float64 {
	if w == nil {
		return 0
	}
	t, used := w.settle(id)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookTimeout)
	defer cancel()
	if err := w.ledger.PutUsage(ctx, id, t.key, t.used); err != nil {
		w.log.WarnContext(ctx, "usage not written", "run", id, "code", string(fault.CodeOf(err)))
	}
	return used.USD
}

// settle takes what is not booked into the total of a run. It returns a copy of
// the total, and what was added.
func (w *watch) settle(id string) (total, pipeline.Usage) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.memoryMB > 0 && w.elapsed > 0 {
		u, n := cost.Compute(w.memoryMB, w.elapsed)
		w.units[string(u)] += n
	}
	used := pipeline.Usage{Units: w.units, USD: w.prices.USD(w.units)}
	w.units, w.elapsed = map[string]float64{}, 0
	t := w.recall(id)
	t.used = t.used.Plus(used)
	return *t, used
}

// recall returns the total of a run and makes it the last to be forgotten.
func (w *watch) recall(id string) *total {
	i := slices.IndexFunc(w.totals, func(t *total) bool { return t.run == id })
	var t *total
	switch {
	case i >= 0:
		t = w.totals[i]
		w.totals = slices.Delete(w.totals, i, i+1)
	default:
		t = &total{run: id, key: fmt.Sprintf("%s-%d", w.instance, w.runs)}
		w.runs++
		if len(w.totals) == remembered {
			w.totals = slices.Delete(w.totals, 0, 1)
		}
	}
	w.totals = append(w.totals, t)
	return t
}

// tell writes metrics: one document for each type that moved, and for the
// task's own with what is told besides; one for runs that ended. Numbers that
// are 0 are left out: a metric is paid for in every hour that it has a value.
func (w *watch) tell(ctx context.Context, tally *pipeline.Tally, own run.DataType, usd float64, besides ...metric.Value) {
	if w == nil {
		return
	}
	moved := tally.Types()
	if _, ok := moved[own]; !ok {
		moved[own] = pipeline.Progress{}
	}
	for _, t := range slices.Sorted(maps.Keys(moved)) {
		values := progressValues(moved[t])
		if t == own {
			values = append(values, nonZero(metric.CostUSD, metric.None, usd)...)
			values = append(values, besides...)
		}
		w.write(ctx, t, values)
	}
	var ended []metric.Value
	for state, name := range map[run.State]string{run.Complete: metric.RunsCompleted, run.Partial: metric.RunsPartial, run.Failed: metric.RunsFailed} {
		n := 0
		for _, s := range tally.Ended() {
			if s == state {
				n++
			}
		}
		ended = append(ended, nonZero(name, metric.Count, float64(n))...)
	}
	w.write(ctx, "", ended)
}

func progressValues(p pipeline.Progress) []metric.Value {
	var values []metric.Value
	for _, v := range []metric.Value{
		{Name: metric.PagesDone, Unit: metric.Count, N: float64(p.PagesDone)},
		{Name: metric.PagesFailed, Unit: metric.Count, N: float64(p.PagesFailed)},
		{Name: metric.RowsRead, Unit: metric.Count, N: float64(p.Rows.Read)},
		{Name: metric.RowsNew, Unit: metric.Count, N: float64(p.Rows.New)},
		{Name: metric.RowsChanged, Unit: metric.Count, N: float64(p.Rows.Changed)},
		{Name: metric.RowsRejected, Unit: metric.Count, N: float64(p.Rows.Rejected)},
		{Name: metric.APICalls, Unit: metric.Count, N: float64(p.Spent.APICalls)},
		{Name: metric.APIThrottles, Unit: metric.Count, N: float64(p.Spent.Throttles)},
		{Name: metric.PhotoBytes, Unit: metric.Bytes, N: float64(p.Spent.PhotoBytes)},
	} {
		values = append(values, nonZero(v.Name, v.Unit, v.N)...)
	}
	return values
}

func nonZero(name string, u metric.Unit, n float64) []metric.Value {
	if n == 0 {
		return nil
	}
	return []metric.Value{{Name: name, Unit: u, N: n}}
}

// write writes the metrics of a type, or of the stack alone.
func (w *watch) write(ctx context.Context, t run.DataType, values []metric.Value) {
	d := metric.Document{
		Namespace: metric.Namespace, At: w.now(), Values: values,
		Sets: [][]string{{metric.StackDimension}}, Dimensions: map[string]string{metric.StackDimension: w.stack},
	}
	if t != "" && w.byType {
		d.Sets = append(d.Sets, []string{metric.StackDimension, metric.TypeDimension})
		d.Dimensions[metric.TypeDimension] = string(t)
	}
	if err := w.out.Write(d); err != nil {
		w.log.WarnContext(ctx, "metrics not written", "err", err)
	}
}
