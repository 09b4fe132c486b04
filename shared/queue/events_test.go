package queue_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/google/go-cmp/cmp"

	"stovasync/shared/queue"
	"stovasync/shared/run"
)

// The inputs of events/ are what `sam local invoke` is given. Here they pass
// through the handler as Lambda would pass them: JSON in, JSON out.
func TestHandlerTakesTheEventsOfTheEventsFolder(t *testing.T) {
	t.Parallel()
	task := func(kind run.Kind, dt run.DataType, page string) []run.Task {
		return []run.Task{{Kind: kind, Connection: "summit", Run: "20310304T090000Z-3f2a9c1e", Type: dt, Page: page}}
	}
	const done = `{"batchItemFailures":[]}`
	tests := map[string]struct {
		queue  run.Queue
		did    []run.Task
		answer string
	}{
		"worker-sync.json":   {run.TasksQueue, task(run.SyncTask, run.Users, ""), done},
		"worker-page.json":   {run.TasksQueue, task(run.PageTask, run.Users, "3"), done},
		"worker-finish.json": {run.TasksQueue, task(run.FinishTask, run.Users, ""), done},
		"photo-page.json":    {run.PhotosQueue, task(run.PageTask, run.UserPhotos, "1"), done},
		"malformed.json":     {run.TasksQueue, nil, `{"batchItemFailures":[{"itemIdentifier":"19dd0b57-b21e-4ac1-bd88-01bbb068cb05"}]}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			input, err := os.ReadFile(filepath.Join("..", "..", "events", name))
			if err != nil {
				t.Fatal(err)
			}
			w := world{}
			cfg := w.config(t)
			cfg.Queue = tt.queue
			answer, err := lambda.NewHandler(queue.Handler(cfg)).Invoke(t.Context(), input)
			if err != nil {
				t.Fatal(err)
			}
			if string(answer) != tt.answer {
				t.Errorf("answer = %s, want %s", answer, tt.answer)
			}
			if diff := cmp.Diff(tt.did, w.Did); diff != "" {
				t.Errorf("tasks done (-want +got):\n%s", diff)
			}
			for _, d := range w.Did {
				if d.Queue() != tt.queue {
					t.Errorf("task travels on %s, want %s", d.Queue(), tt.queue)
				}
			}
		})
	}
}

func TestEventsOfOtherFunctionsHaveTheirFields(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]any{
		"fanout.json":      map[string]any{"time": "2031-03-04T09:00:00Z", "mode": "incremental"},
		"fanout-full.json": map[string]any{"time": "2031-03-09T03:00:00Z", "mode": "full"},
		"redrive.json": map[string]any{
			"connection": "summit", "type": "", "cause": "", "run": "", "all": true, "dry_run": false,
		},
	} {
		input, err := os.ReadFile(filepath.Join("..", "..", "events", name))
		if err != nil {
			t.Fatal(err)
		}
		var got any
		if err := json.Unmarshal(input, &got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

var _ queue.Worker = (*world)(nil)
