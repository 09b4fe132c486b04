package queue_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"stovasync/shared/fault"
	"stovasync/shared/queue"
	"stovasync/shared/run"
)

const pageBody = `{"kind":"page","connection":"summit","run":"20310304T090000Z-3f2a","type":"users","page":"3"}`

var pageTask = run.Task{Kind: run.PageTask, Connection: "summit", Run: "20310304T090000Z-3f2a", Type: run.Users, Page: "3"}

// world is a Worker, a Visibility and a Burier that keep what became of a message.
type world struct {
	do         func(context.Context, run.Task) error
	failErr    error
	failPanics bool
	buryErr    error

	Did        []run.Task
	Failed     []string // causes
	Buried     []run.Task
	Visibility map[string][]time.Duration // by receipt
}

func (w *world) Do(ctx context.Context, t run.Task) error {
	w.Did = append(w.Did, t)
	if w.do == nil {
		return nil
	}
	return w.do(ctx, t)
}

func (w *world) Fail(_ context.Context, _ run.Task, cause error) error {
	if w.failPanics {
		panic("recording breaks")
	}
	if w.failErr != nil {
		return w.failErr
	}
	w.Failed = append(w.Failed, cause.Error())
	return nil
}

func (w *world) Bury(_ context.Context, t run.Task) error {
	if w.buryErr != nil {
		return w.buryErr
	}
	w.Buried = append(w.Buried, t)
	return nil
}

func (w *world) ChangeVisibility(ctx context.Context, q run.Queue, receipt string, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if w.Visibility == nil {
		w.Visibility = map[string][]time.Duration{}
	}
	w.Visibility[receipt] = append(w.Visibility[receipt], d)
	if q != run.TasksQueue {
		return errors.New("wrong queue")
	}
	return nil
}

func (w *world) config(t *testing.T) queue.HandlerConfig {
	return queue.HandlerConfig{
		Worker: w, Visibility: w, Dead: w, Queue: run.TasksQueue,
		Log:  slog.New(slog.NewJSONHandler(t.Output(), nil)),
		Rand: func() float64 { return 0.5 }, // the middle: no jitter
	}
}

func message(id, body string, receives int) events.SQSMessage {
	return events.SQSMessage{
		MessageId: id, ReceiptHandle: "receipt-" + id, Body: body,
		Attributes: map[string]string{"ApproximateReceiveCount": strconv.Itoa(receives)},
	}
}

func failedIDs(res events.SQSEventResponse) []string {
	ids := []string{}
	for _, f := range res.BatchItemFailures {
		ids = append(ids, f.ItemIdentifier)
	}
	return ids
}

// doing gives a Do that always returns err.
func doing(err error) func(context.Context, run.Task) error {
	return func(context.Context, run.Task) error { return err }
}

func TestHandlerSettlesOneMessage(t *testing.T) {
	t.Parallel()
	const named = "page task, run 20310304T090000Z-3f2a, users page 3: "
	wrong := errors.New("breaks")
	tests := map[string]struct {
		world      world
		body       string // pageBody when empty
		receives   int
		returned   bool
		failed     []string
		buried     bool
		visibility []time.Duration
	}{
		"a task that was done is acknowledged": {receives: 1},
		"a first failure waits a minute":       {world: world{do: doing(wrong)}, receives: 1, returned: true, visibility: []time.Duration{time.Minute}},
		"a second failure waits 4 minutes":     {world: world{do: doing(wrong)}, receives: 2, returned: true, visibility: []time.Duration{4 * time.Minute}},
		"a third failure waits 15 minutes":     {world: world{do: doing(wrong)}, receives: 3, returned: true, visibility: []time.Duration{15 * time.Minute}},
		"a fourth failure waits 30 minutes":    {world: world{do: doing(wrong)}, receives: 4, returned: true, visibility: []time.Duration{30 * time.Minute}},
		"a failure on the last receive is recorded and left to SQS": {
			world: world{do: doing(wrong)}, receives: 5, returned: true,
			failed: []string{named + "breaks"}, visibility: []time.Duration{0},
		},
		"a failure after the last receive is treated as one on it": {
			world: world{do: doing(wrong)}, receives: 9, returned: true,
			failed: []string{named + "breaks"}, visibility: []time.Duration{0},
		},
		"a failure for good is recorded, buried and acknowledged": {
			world: world{do: doing(fault.Permanent(wrong))}, receives: 1, failed: []string{named + "breaks"}, buried: true,
		},
		"a failure for good on the last receive is buried too, not left to SQS": {
			world: world{do: doing(fault.Permanent(wrong))}, receives: 5, failed: []string{named + "breaks"}, buried: true,
		},
		"a failure for good that cannot be recorded comes back": {
			world: world{do: doing(fault.Permanent(wrong)), failErr: wrong}, receives: 2, returned: true,
			visibility: []time.Duration{4 * time.Minute},
		},
		"a failure for good that cannot be buried comes back": {
			world: world{do: doing(fault.Permanent(wrong)), buryErr: wrong}, receives: 1, returned: true,
			failed: []string{named + "breaks"}, visibility: []time.Duration{time.Minute},
		},
		"a failure for good on the last receive that cannot be buried is left to SQS": {
			world: world{do: doing(fault.Permanent(wrong)), buryErr: wrong}, receives: 5, returned: true,
			failed: []string{named + "breaks"}, visibility: []time.Duration{0},
		},
		"a last failure that cannot be recorded is left alone": {
			world: world{do: doing(wrong), failErr: wrong}, receives: 5, returned: true,
		},
		"a panic while recording is a failure to record": {
			world: world{do: doing(wrong), failPanics: true}, receives: 5, returned: true,
		},
		"a panic is a failure": {
			world: world{do: func(context.Context, run.Task) error { panic("breaks") }}, receives: 1, returned: true,
			visibility: []time.Duration{time.Minute},
		},
		"a panic on the last receive is recorded by its type": {
			world: world{do: func(context.Context, run.Task) error { panic("breaks") }}, receives: 5, returned: true,
			failed: []string{named + "panic of type string"}, visibility: []time.Duration{0},
		},
		"a body that is no task is returned at once": {
			body: `{"kind":"nonsense"}`, receives: 1, returned: true, visibility: []time.Duration{0},
		},
		"a body that is no task is returned on its last receive too": {
			body: `no JSON`, receives: 5, returned: true, visibility: []time.Duration{0},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := tt.world
			body := tt.body
			if body == "" {
				body = pageBody
			}
			res, err := queue.Handler(w.config(t))(t.Context(), events.SQSEvent{Records: []events.SQSMessage{message("m1", body, tt.receives)}})
			if err != nil {
				t.Fatal(err)
			}
			want := []string{}
			if tt.returned {
				want = []string{"m1"}
			}
			if diff := cmp.Diff(want, failedIDs(res)); diff != "" {
				t.Errorf("returned messages (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.failed, w.Failed); diff != "" {
				t.Errorf("recorded failures (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.visibility, w.Visibility["receipt-m1"]); diff != "" {
				t.Errorf("visibility (-want +got):\n%s", diff)
			}
			if got := len(w.Buried) == 1 && w.Buried[0] == pageTask; got != tt.buried {
				t.Errorf("buried = %v, want %v", w.Buried, tt.buried)
			}
		})
	}
}

func TestHandlerGoesOnAfterAFailedMessage(t *testing.T) {
	t.Parallel()
	w := world{}
	w.do = func(context.Context, run.Task) error {
		if len(w.Did) == 2 {
			return errors.New("breaks")
		}
		return nil
	}
	res, err := queue.Handler(w.config(t))(t.Context(), events.SQSEvent{Records: []events.SQSMessage{
		message("m1", pageBody, 1), message("m2", pageBody, 1), message("m3", "{}", 1), message("m4", pageBody, 1),
	}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"m2", "m3"}, failedIDs(res)); diff != "" {
		t.Errorf("returned messages (-want +got):\n%s", diff)
	}
	if len(w.Did) != 3 {
		t.Errorf("tasks done = %d, want 3", len(w.Did))
	}
}

func TestHandlerScalesTheBackOff(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*queue.HandlerConfig)
		want   time.Duration
	}{
		"a longer base waits longer": {func(c *queue.HandlerConfig) { c.RetryBase = 4 * time.Second }, 2 * time.Minute},
		"a shorter base waits less":  {func(c *queue.HandlerConfig) { c.RetryBase = 20 * time.Millisecond }, 600 * time.Millisecond},
		"the embedded default waits a tenth": {
			func(c *queue.HandlerConfig) { c.Scale = 0.1 }, 6 * time.Second,
		},
		"a connection's own base goes before the general one": {
			func(c *queue.HandlerConfig) {
				c.RetryBaseOf = func(_ context.Context, t run.Task) time.Duration {
					if t.Connection == "summit" {
						return time.Second
					}
					return 0
				}
			}, 30 * time.Second,
		},
		"a connection without a base of its own takes the general one": {
			func(c *queue.HandlerConfig) {
				c.RetryBaseOf = func(context.Context, run.Task) time.Duration { return 0 }
			}, time.Minute,
		},
		"jitter takes off up to a tenth": {func(c *queue.HandlerConfig) { c.Rand = func() float64 { return 0 } }, 54 * time.Second},
		"jitter adds up to a tenth":      {func(c *queue.HandlerConfig) { c.Rand = func() float64 { return 1 } }, 66 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := world{do: doing(errors.New("breaks"))}
			cfg := w.config(t)
			tt.change(&cfg)
			if _, err := queue.Handler(cfg)(t.Context(), events.SQSEvent{Records: []events.SQSMessage{message("m1", pageBody, 1)}}); err != nil {
				t.Fatal(err)
			}
			got := w.Visibility["receipt-m1"][0].Round(time.Microsecond)
			if got != tt.want {
				t.Errorf("back-off = %s, want %s", got, tt.want)
			}
		})
	}
}

func TestHandlerKeepsAStartedMessageInvisibleUntilItsInvocationIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := world{do: func(context.Context, run.Task) error { <-time.After(2 * time.Minute); return nil }}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		res, err := queue.Handler(w.config(t))(ctx, events.SQSEvent{Records: []events.SQSMessage{
			message("m1", pageBody, 1), message("m2", pageBody, 1),
		}})
		if err != nil || len(res.BatchItemFailures) != 0 {
			t.Fatalf("Handler = %v, %v, want both messages done", res, err)
		}
		want := map[string][]time.Duration{
			"receipt-m1": {5*time.Minute + 30*time.Second},
			"receipt-m2": {3*time.Minute + 30*time.Second},
		}
		if diff := cmp.Diff(want, w.Visibility); diff != "" {
			t.Errorf("visibility (-want +got):\n%s", diff)
		}
	})
}

func TestHandlerReportsATaskThatUsesUpItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := world{do: func(ctx context.Context, _ run.Task) error { <-ctx.Done(); return context.Cause(ctx) }}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		res, err := queue.Handler(w.config(t))(ctx, events.SQSEvent{Records: []events.SQSMessage{
			message("m1", pageBody, 5), message("m2", pageBody, 1), message("m3", pageBody, 1),
		}})
		if err != nil {
			t.Fatal(err)
		}
		if ctx.Err() != nil {
			t.Error("the answer came after the invocation's deadline")
		}
		if diff := cmp.Diff([]string{"m1", "m2", "m3"}, failedIDs(res)); diff != "" {
			t.Errorf("returned messages (-want +got):\n%s", diff)
		}
		if len(w.Did) != 1 || len(w.Failed) != 1 {
			t.Errorf("%d tasks started and %d failures recorded, want 1 and 1", len(w.Did), len(w.Failed))
		}
		if diff := cmp.Diff([]time.Duration{0}, w.Visibility["receipt-m3"]); diff != "" {
			t.Errorf("visibility of a message not started (-want +got):\n%s", diff)
		}
	})
}

func TestHandlerRecordsNothingWhenTheInvocationIsInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	w := world{do: func(ctx context.Context, _ run.Task) error {
		cancel()
		return fault.Permanent(ctx.Err())
	}}
	res, err := queue.Handler(w.config(t))(ctx, events.SQSEvent{Records: []events.SQSMessage{
		message("m1", pageBody, 5), message("m2", pageBody, 5),
	}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"m1", "m2"}, failedIDs(res)); diff != "" {
		t.Errorf("returned messages (-want +got):\n%s", diff)
	}
	if len(w.Failed) != 0 || len(w.Buried) != 0 {
		t.Errorf("recorded %v, buried %v, want nothing", w.Failed, w.Buried)
	}
	want := map[string][]time.Duration{"receipt-m1": {0}, "receipt-m2": {0}}
	if diff := cmp.Diff(want, w.Visibility); diff != "" {
		t.Errorf("visibility (-want +got):\n%s", diff)
	}
}

func TestHandlerAnswersInTheBytesThatLambdaReads(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		err  error
		want string
	}{
		"an empty list, never null, when all is done": {nil, `{"batchItemFailures":[]}`},
		"the ids of the messages to keep":             {errors.New("breaks"), `{"batchItemFailures":[{"itemIdentifier":"m1"}]}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := world{do: doing(tt.err)}
			res, err := queue.Handler(w.config(t))(t.Context(), events.SQSEvent{Records: []events.SQSMessage{message("m1", pageBody, 1)}})
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(res)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("answer = %s, want %s", got, tt.want)
			}
		})
	}
}

func TestHandlerLogsIDsAndCodesButNoValues(t *testing.T) {
	t.Parallel()
	const value = "ada@example.test"
	tests := map[string]struct {
		do   func(context.Context, run.Task) error
		body string
		want []string
	}{
		"a coded error by its code and text": {
			doing(fault.Wrap(fault.StovaAuth, errors.New(value), "the account or key was refused", "check accountid and key")), pageBody,
			[]string{`"code":"STOVA_AUTH"`, "check accountid and key", `"page":"3"`, `"message_id":"m1"`, `"receives":2`},
		},
		"another error by its type":  {doing(errors.New(value)), pageBody, []string{"*errors.errorString"}},
		"a panic by its type":        {func(context.Context, run.Task) error { panic(value) }, pageBody, []string{`"panic":"string"`, "handler_test.go"}},
		"a malformed body by its id": {nil, value, []string{`"message_id":"m1"`, "not a task"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			w := world{do: tt.do}
			cfg := w.config(t)
			cfg.Log = slog.New(slog.NewJSONHandler(&log, nil))
			if _, err := queue.Handler(cfg)(t.Context(), events.SQSEvent{Records: []events.SQSMessage{message("m1", tt.body, 2)}}); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(log.String(), value) {
				t.Errorf("the log holds a value:\n%s", log.String())
			}
			for _, want := range tt.want {
				if !strings.Contains(log.String(), want) {
					t.Errorf("the log does not hold %s:\n%s", want, log.String())
				}
			}
		})
	}
}

func TestTheBackOffsOfATaskTakeTogether(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		base     time.Duration
		receives int
		want     time.Duration
	}{
		"five receives wait four times":     {2 * time.Second, 5, 55 * time.Minute},
		"no base is the default":            {0, 5, 55 * time.Minute},
		"a connection's base scales all":    {4 * time.Second, 5, 110 * time.Minute},
		"more receives wait as the last":    {2 * time.Second, 6, 88 * time.Minute},
		"a task with one try does not wait": {2 * time.Second, 1, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := queue.Backoffs(tt.base, tt.receives); got.Round(time.Millisecond) != tt.want {
				t.Errorf("Backoffs(%s, %d) = %s, want %s", tt.base, tt.receives, got, tt.want)
			}
		})
	}
}
