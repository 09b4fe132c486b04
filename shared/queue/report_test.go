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
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/google/go-cmp/cmp"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/pipeline/pipelinetest"
	"stovasync/shared/queue"
	"stovasync/shared/run"
)

// sentAgo is a message that was sent so long ago.
func sentAgo(body string, receives int, ago time.Duration) events.SQSMessage {
	m := message("m1", body, receives)
	m.Attributes["SentTimestamp"] = strconv.FormatInt(time.Now().Add(-ago).UnixMilli(), 10)
	return m
}

// Each message is reported once, with what became of it, last of all.
func TestEachMessageIsReported(t *testing.T) {
	t.Parallel()
	wrong := errors.New("breaks")
	tests := map[string]struct {
		world    world
		body     string
		receives int
		want     queue.Outcome
		acked    bool
	}{
		"done":                                {world: world{}, body: pageBody, receives: 1, want: queue.Done, acked: true},
		"failed, comes again":                 {world: world{do: doing(wrong)}, body: pageBody, receives: 1, want: queue.Again},
		"failed on the last receive":          {world: world{do: doing(wrong)}, body: pageBody, receives: 5, want: queue.GivenUp},
		"failed for good":                     {world: world{do: doing(fault.Permanent(wrong))}, body: pageBody, receives: 1, want: queue.GivenUp, acked: true},
		"failed for good, not buried":         {world: world{do: doing(fault.Permanent(wrong)), buryErr: wrong}, body: pageBody, receives: 1, want: queue.GivenUp},
		"failed, and that cannot be recorded": {world: world{do: doing(wrong), failErr: wrong}, body: pageBody, receives: 5, want: queue.Again},
		"no task":                             {world: world{}, body: "{}", receives: 1, want: queue.NoTask},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := tt.world
				var got []queue.Report
				cfg := w.config(t)
				do := w.do
				w.do = func(ctx context.Context, task run.Task) error {
					time.Sleep(7 * time.Second)
					if do == nil {
						return nil
					}
					return do(ctx, task)
				}
				cfg.Ended = func(_ context.Context, r queue.Report) { got = append(got, r) }
				if _, err := queue.Handler(cfg)(t.Context(), events.SQSEvent{Records: []events.SQSMessage{sentAgo(tt.body, tt.receives, 40*time.Second)}}); err != nil {
					t.Fatal(err)
				}
				if len(got) != 1 {
					t.Fatalf("%d reports", len(got))
				}
				r := got[0]
				if r.Outcome != tt.want || r.Acked != tt.acked || r.Age != 40*time.Second {
					t.Errorf("report %+v", r)
				}
				took, task := 7*time.Second, pageTask
				if tt.want == queue.NoTask {
					took, task = 0, run.Task{}
				}
				if r.Duration != took || r.Task != task {
					t.Errorf("the report tells %v of %+v, want %v of %+v", r.Duration, r.Task, took, task)
				}
			})
		})
	}
}

// One line of the log tells of a task what an operator looks for, under the
// names of runs show, and no name comes twice.
func TestOneLineOfLogTellsOfATask(t *testing.T) {
	t.Parallel()
	items := pipelinetest.NewMemory().Items()
	moved := func(ctx context.Context, _ run.Task) error { return moveUsers(ctx, items) }
	var log bytes.Buffer
	w := world{do: moved}
	cfg := w.config(t)
	cfg.Log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{ReplaceAttr: lambdacontext.ReplaceAttr}))
	if _, err := queue.Handler(cfg)(t.Context(), events.SQSEvent{Records: []events.SQSMessage{sentAgo(pageBody, 2, time.Minute)}}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 1 {
		t.Fatalf("%d lines:\n%s", len(lines), log.String())
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &got); err != nil {
		t.Fatal(err)
	}
	for name := range got {
		if n := strings.Count(lines[0], `"`+name+`":`); n != 1 {
			t.Errorf("%s comes %d times: %s", name, n, lines[0])
		}
	}
	for _, moment := range []string{"timestamp", "ms", "age_ms"} {
		if _, ok := got[moment]; !ok {
			t.Errorf("the line has no %s: %s", moment, lines[0])
		}
		delete(got, moment)
	}
	want := map[string]any{
		"level": "INFO", "message": "task done", "outcome": "done", "message_id": "m1", "queue": "tasks", "receives": 2.0,
		"run": pageTask.Run, "connection": "summit", "kind": "page", "type": "users", "page": "3",
		"read": 0.0, "new": 0.0, "changed": 0.0, "unchanged": 0.0, "rejected": 0.0, "api_calls": 0.0, "throttles": 0.0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// moveUsers is a task that reads the ledger and moves nothing in it.
func moveUsers(ctx context.Context, items pipeline.Items) error {
	s := pipeline.Steps{Ledger: pipeline.Ledger{Items: items}, Log: slog.New(slog.DiscardHandler)}
	return s.Do(ctx, pageTask)
}
