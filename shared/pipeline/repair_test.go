package pipeline_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"stovasync/shared/pipeline"
	"stovasync/shared/pipeline/pipelinetest"
	"stovasync/shared/run"
)

// outbox keeps the tasks that are sent; nobody works them.
type outbox struct{ sent []run.Task }

func (o *outbox) Send(_ context.Context, tasks ...run.Task) error {
	o.sent = append(o.sent, tasks...)
	return nil
}

// TestRepairingEveryMinuteSendsATaskOnlyWhenItMayBeLost repairs a run in which
// nothing moves once a minute, as everybody does who follows it.
func TestRepairingEveryMinuteSendsATaskOnlyWhenItMayBeLost(t *testing.T) {
	t.Parallel()
	const id = "20310304T090000Z-3f2a0b1c"
	begun := time.Date(2031, 3, 4, 9, 0, 0, 0, time.UTC)
	planned := pipeline.TypeRun{Type: run.Users, Planning: true, Planned: 1, Done: 1}
	with := func(tr pipeline.TypeRun, s run.State) pipeline.TypeRun { tr.State = s; return tr }
	tests := map[string]struct {
		all     []pipeline.TypeRun
		kind    run.Kind
		minutes []int // after which a task was sent
	}{
		"a finish that is under way is left its visibility period": {
			[]pipeline.TypeRun{with(planned, run.Finishing)}, run.FinishTask, []int{30},
		},
		"a finish that may never have been sent is sent at once, and then once a period": {
			[]pipeline.TypeRun{with(planned, run.Running)}, run.FinishTask, []int{1, 31},
		},
		"a type whose gate has opened is woken at once, and then once a period": {
			[]pipeline.TypeRun{
				{Type: run.Presenters, State: run.Complete, Planning: true},
				{Type: run.PresenterPhotos, State: run.Waiting},
			}, run.SyncTask, []int{1, 31},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			items, tasks, now := pipelinetest.NewMemory().Items(), &outbox{}, begun
			put(t, items, "CONN#summit", "ACTIVE", pipeline.Active{Run: id, Started: begun})
			put(t, items, "CONN#summit", "RUN#"+id, pipeline.Run{ID: id, Connection: "summit", Started: begun})
			put(t, items, "RUN#"+id, "RUN", map[string]string{"connection": "summit"})
			for _, tr := range tt.all {
				tr.Connection, tr.Run, tr.Activity = "summit", id, begun
				put(t, items, "RUN#"+id, "TYPE#"+string(tr.Type), tr)
			}
			s := &pipeline.Steps{Ledger: pipeline.Ledger{Items: items}, Tasks: tasks, Now: func() time.Time { return now }}
			var got []int
			for minute := 1; minute <= 50; minute++ {
				now = begun.Add(time.Duration(minute) * time.Minute)
				if err := s.Repair(t.Context(), "summit"); err != nil {
					t.Fatal(err)
				}
				for _, task := range tasks.sent {
					same(t, "kind", tt.kind, task.Kind)
					got = append(got, minute)
				}
				tasks.sent = nil
			}
			same(t, "minutes with a task", tt.minutes, got)
		})
	}
}

func put(t *testing.T, items pipeline.Items, pk, sk string, v any) {
	t.Helper()
	doc, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := items.Write(t.Context(), pipeline.Write{Key: pipeline.Key{PK: pk, SK: sk}, Version: pipeline.AnyVersion, Doc: doc}); err != nil {
		t.Fatal(err)
	}
}
