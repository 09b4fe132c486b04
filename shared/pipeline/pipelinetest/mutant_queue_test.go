package pipelinetest_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync"
	"time"

	"stovasync/shared/pipeline"
	"stovasync/shared/pipeline/pipelinetest"
	"stovasync/shared/run"
)

// queue is a queue whose operations can be replaced.
type queue struct {
	*pipelinetest.MemoryQueue
	send    func(context.Context, *pipelinetest.MemoryQueue, []run.Task) error
	receive func(context.Context, *pipelinetest.MemoryQueue, run.Queue, int, time.Duration) ([]pipelinetest.Message, error)
	delete  func() error
	change  func(context.Context, *pipelinetest.MemoryQueue, run.Queue, string, time.Duration) error
	dead    func(pipeline.DeadLetters, *pipelinetest.MemoryQueue) pipeline.DeadLetters
}

func (q *queue) Send(ctx context.Context, tasks ...run.Task) error {
	if q.send == nil {
		return q.MemoryQueue.Send(ctx, tasks...)
	}
	return q.send(ctx, q.MemoryQueue, tasks)
}

func (q *queue) Receive(ctx context.Context, name run.Queue, n int, visibility time.Duration) ([]pipelinetest.Message, error) {
	if q.receive == nil {
		return q.MemoryQueue.Receive(ctx, name, n, visibility)
	}
	return q.receive(ctx, q.MemoryQueue, name, n, visibility)
}

func (q *queue) Delete(ctx context.Context, name run.Queue, receipt string) error {
	if q.delete == nil {
		return q.MemoryQueue.Delete(ctx, name, receipt)
	}
	return q.delete()
}

func (q *queue) ChangeVisibility(ctx context.Context, name run.Queue, receipt string, d time.Duration) error {
	if q.change == nil {
		return q.MemoryQueue.ChangeVisibility(ctx, name, receipt, d)
	}
	return q.change(ctx, q.MemoryQueue, name, receipt, d)
}

func (q *queue) DeadLetters() pipeline.DeadLetters {
	if q.dead == nil {
		return q.MemoryQueue.DeadLetters()
	}
	return q.dead(q.MemoryQueue.DeadLetters(), q.MemoryQueue)
}

// dead are dead letters whose operations can be replaced.
type dead struct {
	pipeline.DeadLetters
	bury   func(context.Context, run.Task) error
	letter func(*pipeline.DeadLetter) bool // changes one; false leaves it out
	delete func(context.Context, pipeline.DeadLetter) error
}

func (d dead) Bury(ctx context.Context, t run.Task) error {
	if d.bury == nil {
		return d.DeadLetters.Bury(ctx, t)
	}
	return d.bury(ctx, t)
}

func (d dead) Dead(ctx context.Context) iter.Seq2[pipeline.DeadLetter, error] {
	return func(yield func(pipeline.DeadLetter, error) bool) {
		for l, err := range d.DeadLetters.Dead(ctx) {
			if d.letter != nil && !d.letter(&l) {
				continue
			}
			if !yield(l, err) {
				return
			}
		}
	}
}

func (d dead) Delete(ctx context.Context, l pipeline.DeadLetter) error {
	if d.delete == nil {
		return d.DeadLetters.Delete(ctx, l)
	}
	return d.delete(ctx, l)
}

func receiving(f func(context.Context, *pipelinetest.MemoryQueue, run.Queue, int, time.Duration) ([]pipelinetest.Message, error)) *queue {
	return &queue{receive: f}
}

// delivered changes the messages that come.
func delivered(f func(*pipelinetest.Message)) *queue {
	return receiving(func(ctx context.Context, q *pipelinetest.MemoryQueue, name run.Queue, n int, v time.Duration) ([]pipelinetest.Message, error) {
		msgs, err := q.Receive(ctx, name, n, v)
		for i := range msgs {
			f(&msgs[i])
		}
		return msgs, err
	})
}

func visited(letter func(*pipeline.DeadLetter) bool) *queue {
	return &queue{dead: func(d pipeline.DeadLetters, _ *pipelinetest.MemoryQueue) pipeline.DeadLetters {
		return dead{DeadLetters: d, letter: letter}
	}}
}

// once shows each dead letter in one visit only, as a queue does that hides
// what was visited.
func once() *queue {
	var mu sync.Mutex
	seen := map[string]bool{}
	return visited(func(l *pipeline.DeadLetter) bool {
		mu.Lock()
		defer mu.Unlock()
		if seen[l.Receipt] {
			return false
		}
		seen[l.Receipt] = true
		return true
	})
}

func queueMutants() map[string]mutant {
	back := "a message made visible comes back with a higher count and the same body"
	all := map[string]mutant{
		"queue loses what is over ten": {queue: &queue{send: func(ctx context.Context, q *pipelinetest.MemoryQueue, tasks []run.Task) error {
			return q.Send(ctx, tasks[:min(len(tasks), 10)]...)
		}}, caught: "many tasks in one send all arrive"},
		"queue has one queue": {queue: &queue{send: func(ctx context.Context, q *pipelinetest.MemoryQueue, tasks []run.Task) error {
			for _, t := range tasks {
				t.Type = run.Users
				if err := q.Send(ctx, t); err != nil {
					return err
				}
			}
			return nil
		}}, caught: "pages of pictures travel on the photos queue, all other tasks do not"},
		"queue gives more than asked for": {queue: receiving(func(ctx context.Context, q *pipelinetest.MemoryQueue, name run.Queue, _ int, v time.Duration) ([]pipelinetest.Message, error) {
			return q.Receive(ctx, name, 10, v)
		}), caught: "a receive gives at most as many as asked for"},
		"queue hides nothing": {queue: receiving(func(ctx context.Context, q *pipelinetest.MemoryQueue, name run.Queue, n int, _ time.Duration) ([]pipelinetest.Message, error) {
			return q.Receive(ctx, name, n, 0)
		}), caught: "a message in flight is not received again"},
		"queue hides for ever": {queue: receiving(func(ctx context.Context, q *pipelinetest.MemoryQueue, name run.Queue, n int, _ time.Duration) ([]pipelinetest.Message, error) {
			return q.Receive(ctx, name, n, time.Hour)
		}), caught: "a message comes back by itself when its visibility ends"},
		"queue does not count":     {queue: delivered(func(m *pipelinetest.Message) { m.Receives = 1 }), caught: back},
		"queue renames deliveries": {queue: delivered(func(m *pipelinetest.Message) { m.ID = m.Receipt }), caught: back},
		"queue ignores changes of visibility": {queue: &queue{change: func(context.Context, *pipelinetest.MemoryQueue, run.Queue, string, time.Duration) error { return nil }},
			caught: "a message hidden for longer stays away"},
		"queue shortens only": {queue: &queue{change: func(ctx context.Context, q *pipelinetest.MemoryQueue, name run.Queue, receipt string, _ time.Duration) error {
			return q.ChangeVisibility(ctx, name, receipt, 0)
		}}, caught: "a message hidden for longer stays away"},
		"queue keeps what is deleted": {queue: &queue{delete: func() error { return nil }}, caught: "a deleted message stays away, and deleting it again is no error"},
		"queue never gives up": {queue: receiving(func(ctx context.Context, q *pipelinetest.MemoryQueue, name run.Queue, n int, v time.Duration) ([]pipelinetest.Message, error) {
			q.MaxReceives = 1000
			return q.Receive(ctx, name, n, v)
		}), caught: "a message received too often goes to the dead letters of its queue"},
		"queue gives up early": {queue: receiving(func(ctx context.Context, q *pipelinetest.MemoryQueue, name run.Queue, n int, v time.Duration) ([]pipelinetest.Message, error) {
			q.MaxReceives = 2
			return q.Receive(ctx, name, n, v)
		}), caught: "a message received too often goes to the dead letters of its queue"},
	}
	for name, m := range deadMutants() {
		all[name] = m
	}
	return all
}

func deadMutants() map[string]mutant {
	return map[string]mutant{
		"dead letters are dropped": {queue: visited(func(*pipeline.DeadLetter) bool { return false }),
			caught: "a message received too often goes to the dead letters of its queue"},
		"dead letters forget their queue": {queue: visited(func(l *pipeline.DeadLetter) bool { l.Queue = run.TasksQueue; return true }),
			caught: "a buried task is a dead letter of its queue and never received"},
		"dead letters guess a task": {queue: visited(func(l *pipeline.DeadLetter) bool { l.Task.Kind = run.PageTask; return true }),
			caught: "a body that is no task goes to the dead letters as it is, with no task"},
		"dead letters tidy bodies": {queue: visited(func(l *pipeline.DeadLetter) bool { l.Body = strings.Join(strings.Fields(l.Body), " "); return true }),
			caught: "a body that is no task goes to the dead letters as it is, with no task"},
		"dead letters are visited once":                 {queue: once(), caught: "a visit gives all dead letters, and again those that were not deleted"},
		"dead letters hide after a visit that was left": {queue: once(), caught: "a visit may be left early, and the next one gives what was left"},
		"buried tasks are sent": {queue: &queue{dead: func(d pipeline.DeadLetters, q *pipelinetest.MemoryQueue) pipeline.DeadLetters {
			return dead{DeadLetters: d, bury: func(ctx context.Context, t run.Task) error { return q.Send(ctx, t) }}
		}}, caught: "a buried task is a dead letter of its queue and never received"},
		"dead letters stay when deleted": {queue: &queue{dead: func(d pipeline.DeadLetters, _ *pipelinetest.MemoryQueue) pipeline.DeadLetters {
			return dead{DeadLetters: d, delete: func(context.Context, pipeline.DeadLetter) error { return nil }}
		}}, caught: "a deleted dead letter is gone, and deleting it again is no error"},
		"dead letters must be there to be deleted": {queue: &queue{dead: func(d pipeline.DeadLetters, _ *pipelinetest.MemoryQueue) pipeline.DeadLetters {
			return dead{DeadLetters: d, delete: func(ctx context.Context, l pipeline.DeadLetter) error {
				for there := range d.Dead(ctx) {
					if there.Receipt == l.Receipt {
						return d.Delete(ctx, l)
					}
				}
				return errors.New("no such dead letter")
			}}
		}}, caught: "a deleted dead letter is gone, and deleting it again is no error"},
		"dead letters keep their count": {queue: receiving(func(ctx context.Context, q *pipelinetest.MemoryQueue, name run.Queue, n int, v time.Duration) ([]pipelinetest.Message, error) {
			msgs, err := q.Receive(ctx, name, n, v)
			if len(msgs) > 0 && msgs[0].ID != "1" {
				msgs[0].Receives += q.MaxReceives
			}
			return msgs, err
		}), caught: "a dead letter's task sent again starts with a new count, beside its old body"},
	}
}
