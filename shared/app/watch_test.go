package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"stovasync/shared/cost"
	"stovasync/shared/fault"
	"stovasync/shared/metric"
	"stovasync/shared/pipeline"
	"stovasync/shared/pipeline/pipelinetest"
	"stovasync/shared/queue"
	"stovasync/shared/run"
)

const watchedRun = "20310304T090000Z-3f2a0b1c"

func watched(t *testing.T, env map[string]string) (*watch, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	w, err := newWatch("summit", func(name string) (string, bool) { v, ok := env[name]; return v, ok }, &out)
	if err != nil {
		t.Fatal(err)
	}
	w.ledger = pipeline.Ledger{Items: pipelinetest.NewMemory().Items()}
	return w, &out
}

// sums adds up the metrics of documents: name, and "type/name" where there is a type.
func sums(t *testing.T, out io.Reader) map[string]float64 {
	t.Helper()
	sum := map[string]float64{}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var d struct {
			AWS struct {
				Timestamp         int64
				CloudWatchMetrics []struct {
					Namespace  string
					Dimensions [][]string
					Metrics    []struct{ Name, Unit string }
				}
			} `json:"_aws"`
		}
		var root map[string]any
		for _, into := range []any{&d, &root} {
			if err := json.Unmarshal(lines.Bytes(), into); err != nil {
				t.Fatalf("%s: %v", lines.Text(), err)
			}
		}
		if len(d.AWS.CloudWatchMetrics) != 1 || d.AWS.CloudWatchMetrics[0].Namespace != "Stovasync" || d.AWS.Timestamp == 0 {
			t.Fatalf("no document of metrics: %s", lines.Text())
		}
		typ, _ := root["type"].(string)
		for _, m := range d.AWS.CloudWatchMetrics[0].Metrics {
			n, ok := root[m.Name].(float64)
			if !ok {
				t.Fatalf("%s is not at the root: %s", m.Name, lines.Text())
			}
			sum[m.Name] += n
			if typ != "" {
				sum[typ+"/"+m.Name] += n
			}
		}
	}
	return sum
}

func report(typ run.DataType) queue.Report {
	return reportOf(watchedRun, typ)
}

func reportOf(id string, typ run.DataType) queue.Report {
	task := run.Task{Kind: run.PageTask, Connection: "summit", Run: id, Type: typ, Page: "1"}
	tally := pipeline.NewTally(task, 2500*time.Millisecond)
	tally.FoundRun()
	return queue.Report{
		Task: task, Outcome: queue.Done, Acked: true, Age: 2500 * time.Millisecond, Duration: 1999 * time.Millisecond,
		Tally: tally,
	}
}

func TestATasksUnitsAreBookedOnItsRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, out := watched(t, map[string]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512", "PRICE_FACTOR": "2"})
		w.took(time.Millisecond) // the start of the function
		w.meter(cost.DynamoDB)("TransactWriteItems", 4)
		w.meter(cost.DynamoDB)("Query", 1.5)
		w.meter(cost.S3)("PutObject", 1)
		w.meter(cost.S3)("GetObject", 2)
		w.meter(cost.S3)("DeleteObjects", 9)
		w.meter(cost.SSM)("GetParameter", 1)
		w.meter(cost.SQS)("SendMessageBatch", 1)
		w.message(t.Context(), report(run.Users))
		failed := report(run.Users)
		failed.Acked = false
		w.message(t.Context(), failed)

		time1, seconds := cost.Compute(512, 2*time.Second)
		_, again := cost.Compute(512, 1999*time.Millisecond)
		want := map[string]float64{
			"dynamodb_write_units": 4, "dynamodb_read_units": 1.5, "s3_write_requests": 1, "s3_read_requests": 2, "ssm_requests": 1,
			"sqs_requests": 1 + 2 + 1, "lambda_requests": 2, string(time1): seconds + again,
		}
		items := ledgerItems(t, w, watchedRun)
		if len(items) != 1 {
			t.Fatalf("%d items of totals, want one of this process", len(items))
		}
		near := cmpopts.EquateApprox(0, 1e-12)
		if diff := cmp.Diff(want, items[0].Units, near); diff != "" {
			t.Error(diff)
		}
		usd := cost.Table{Factor: 2}.USD(want)
		if math.Abs(items[0].USD-usd) > 1e-12 || usd == 0 {
			t.Errorf("the run cost %v, want %v", items[0].USD, usd)
		}
		got := sums(t, out)
		for name, n := range map[string]float64{metric.TaskAge: 5, "users/" + metric.TaskAge: 5, metric.CostUSD: usd, "users/" + metric.CostUSD: usd} {
			if math.Abs(got[name]-n) > 1e-12 {
				t.Errorf("%s sums to %v, want %v", name, got[name], n)
			}
		}
	})
}

func ledgerItems(t *testing.T, w *watch, id string) []pipeline.Usage {
	t.Helper()
	var all []pipeline.Usage
	for it, err := range w.ledger.Items.Query(t.Context(), pipeline.Query{PK: "RUN#" + id, Prefix: "TOTAL#"}) {
		if err != nil {
			t.Fatal(err)
		}
		var u pipeline.Usage
		if err := json.Unmarshal(it.Doc, &u); err != nil {
			t.Fatal(err)
		}
		all = append(all, u)
	}
	return all
}

// Totals are absolute: what could not be written is in what is written next,
// and a run that was forgotten is not overwritten when it comes back.
func TestTotalsSurviveALostWriteAndAForgottenRun(t *testing.T) {
	t.Parallel()
	w, _ := watched(t, nil)
	whole := w.ledger
	w.ledger = pipeline.Ledger{Items: brokenItems{}}
	w.message(t.Context(), report(run.Users))
	w.ledger = whole
	w.message(t.Context(), report(run.Users))
	if got := ledgerItems(t, w, watchedRun); len(got) != 1 || got[0].Units["lambda_requests"] != 2 {
		t.Errorf("totals %+v, want both tasks", got)
	}
	for i := range remembered {
		w.message(t.Context(), reportOf(fmt.Sprintf("20310304T090000Z-%08x", i), run.Users))
	}
	w.message(t.Context(), report(run.Users))
	sum := 0.0
	for _, u := range ledgerItems(t, w, watchedRun) {
		sum += u.Units["lambda_requests"]
	}
	if sum != 3 {
		t.Errorf("%v invocations of the run, want 3", sum)
	}
	if len(w.totals) != remembered {
		t.Errorf("%d runs are remembered, want %d", len(w.totals), remembered)
	}
}

func TestAProcessKeepsOneItemForEachRunItWorksForByTurns(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		runs, turns int
		between     bool // the first run has a task after each task of another
	}{
		"the runs of twenty connections":                    {20, 100, false},
		"a run that is worked for among more than it keeps": {remembered + 50, 1, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := watched(t, nil)
			id := func(i int) string { return fmt.Sprintf("20310304T090000Z-%08x", i) }
			for range tt.turns {
				for i := range tt.runs {
					w.message(t.Context(), reportOf(id(i), run.Users))
					if tt.between {
						w.message(t.Context(), reportOf(id(0), run.Users))
					}
				}
			}
			for i := range tt.runs {
				if n := len(ledgerItems(t, w, id(i))); n != 1 {
					t.Fatalf("%d items of totals for run %d, want 1", n, i)
				}
			}
		})
	}
}

func TestATaskOfARunThatDoesNotExistWritesNothing(t *testing.T) {
	t.Parallel()
	w, _ := watched(t, nil)
	a := &App{Steps: &pipeline.Steps{Ledger: w.ledger, Dead: deaf{}, Log: slog.New(slog.DiscardHandler)}, visibility: deaf{}, watch: w}
	handle := func(id string) {
		body, err := json.Marshal(run.Task{Kind: run.PageTask, Connection: "summit", Run: id, Type: run.Users, Page: "1"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Handler(run.TasksQueue)(t.Context(), events.SQSEvent{Records: []events.SQSMessage{{MessageId: "1", Body: string(body)}}}); err != nil {
			t.Fatal(err)
		}
	}
	handle(watchedRun)
	for it, err := range w.ledger.Items.Query(t.Context(), pipeline.Query{PK: "RUN#" + watchedRun}) {
		t.Errorf("item %s of a run that does not exist (%v)", it.SK, err)
	}
	// Of one that does, the same task is booked, with what the other used. That
	// the connection is gone fails the task; it was worked for all the same.
	const there = "20310304T100000Z-3f2a0b1c"
	doc := []byte(`{"id":"` + there + `","connection":"summit"}`)
	if err := w.ledger.Items.Write(t.Context(), pipeline.Write{Key: pipeline.Key{PK: "CONN#summit", SK: "RUN#" + there}, Version: pipeline.AnyVersion, Doc: doc}); err != nil {
		t.Fatal(err)
	}
	handle(there)
	if got := ledgerItems(t, w, there); len(got) != 1 || got[0].Units["lambda_requests"] != 2 {
		t.Errorf("totals %+v, want both invocations", got)
	}
}

// deaf is a queue that takes whatever is told of a message.
type deaf struct{ pipeline.DeadLetters }

func (deaf) ChangeVisibility(context.Context, run.Queue, string, time.Duration) error { return nil }

func (deaf) Bury(context.Context, run.Task) error { return nil }

type brokenItems struct{ pipeline.Items }

func (brokenItems) Write(context.Context, ...pipeline.Write) error { return io.ErrUnexpectedEOF }

func TestWhatAMalformedMessageUsedGoesToTheNext(t *testing.T) {
	t.Parallel()
	w, out := watched(t, nil)
	w.message(t.Context(), queue.Report{Outcome: queue.NoTask, Tally: pipeline.NewTally(run.Task{}, 0)})
	if out.Len() > 0 {
		t.Errorf("metrics of nothing: %s", out)
	}
	w.message(t.Context(), report(run.Users))
	if got := ledgerItems(t, w, watchedRun); got[0].Units["lambda_requests"] != 2 {
		t.Errorf("%v invocations, want 2", got[0].Units["lambda_requests"])
	}
}

func TestASettingThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	for _, setting := range []string{"PRICE_FACTOR", "METRIC_DETAIL"} {
		_, err := newWatch("summit", func(name string) (string, bool) {
			if name == setting {
				return "cheap", true
			}
			return "", false
		}, io.Discard)
		if fault.CodeOf(err) != fault.ConfigInvalid || !strings.Contains(err.Error(), setting) {
			t.Errorf("%s: error = %v, want %s", setting, err, fault.ConfigInvalid)
		}
	}
}

// Every metric has its price a month: teams may do without those of types.
func TestMetricsMayBeOfTheStackAlone(t *testing.T) {
	t.Parallel()
	for detail, typed := range map[string]bool{"": true, "type": true, "stack": false} {
		w, out := watched(t, map[string]string{"METRIC_DETAIL": detail})
		w.message(t.Context(), report(run.Users))
		got := sums(t, out)
		if _, ok := got["users/"+metric.TaskAge]; ok != typed || got[metric.TaskAge] == 0 {
			t.Errorf("with detail %q: %+v", detail, got)
		}
	}
}

func TestNothingIsWatchedOnTheEmbeddedDefault(t *testing.T) {
	t.Parallel()
	var w *watch
	if w.meter(cost.SQS) != nil {
		t.Error("a meter where nothing is counted")
	}
	w.message(t.Context(), report(run.Users))
	w.took(time.Second)
	w.invoked()
	w.tell(t.Context(), pipeline.NewTally(run.Task{}, 0), "", 1)
	if w.book(t.Context(), watchedRun) != 0 {
		t.Error("something costs")
	}
}

// The time that telling takes is the function's too: it goes to the next task.
func TestTheTimeOfABookingGoesToTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, _ := watched(t, map[string]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024"})
		w.ledger.Items = slowItems{w.ledger.Items}
		w.message(t.Context(), report(run.Users))
		w.message(t.Context(), report(run.Users))
		unit, _ := cost.Compute(1024, 0)
		if got, want := ledgerItems(t, w, watchedRun)[0].Units[string(unit)], 1.999+1.999+0.3; math.Abs(got-want) > 1e-9 {
			t.Errorf("%v GB-seconds, want %v", got, want)
		}
	})
}

type slowItems struct{ pipeline.Items }

func (s slowItems) Write(ctx context.Context, writes ...pipeline.Write) error {
	time.Sleep(300 * time.Millisecond)
	return s.Items.Write(ctx, writes...)
}
