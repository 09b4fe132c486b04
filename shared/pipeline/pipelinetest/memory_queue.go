package pipelinetest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// Message is one delivery of a queue.
type Message struct {
	ID       string // the same at every delivery
	Receipt  string // names this delivery
	Body     string
	Receives int // deliveries so far, this one included
}

// TaskQueue is what the suite asks of a queue beyond the ports: the consumer's
// side, which Lambda drives on AWS and the local runner on a laptop.
type TaskQueue interface {
	pipeline.Tasks
	// SendBody queues a body as it is.
	SendBody(ctx context.Context, q run.Queue, body string) error
	// Receive takes up to max messages that are visible now and hides them
	// for visibility. No message is no error.
	Receive(ctx context.Context, q run.Queue, max int, visibility time.Duration) ([]Message, error)
	// Delete ends a message.
	Delete(ctx context.Context, q run.Queue, receipt string) error
	// ChangeVisibility makes a received message visible again after d.
	ChangeVisibility(ctx context.Context, q run.Queue, receipt string, d time.Duration) error
	// DeadLetters returns the messages that were given up.
	DeadLetters() pipeline.DeadLetters
}

// QueueOptions are what the suite needs of a queue.
type QueueOptions struct {
	// MaxReceives is how often a message is delivered before it is given up.
	MaxReceives int
}

// MemoryQueue is a TaskQueue in memory.
type MemoryQueue struct {
	// MaxReceives is how often a message is delivered before it is given up.
	// Set it before use.
	MaxReceives int

	now  func() time.Time
	mu   sync.Mutex
	seq  int
	msgs []*memoryMessage
}

type memoryMessage struct {
	id, deliveries, receives int
	queue                    run.Queue
	body                     string
	visible                  time.Time
	dead                     bool
}

func (m *memoryMessage) receipt() string { return fmt.Sprintf("%d.%d", m.id, m.deliveries) }

// Queue returns a new, empty queue on a clock, which gives a message up after
// 5 deliveries.
func (m *Memory) Queue(now func() time.Time) *MemoryQueue {
	return &MemoryQueue{MaxReceives: 5, now: now}
}

func (q *MemoryQueue) add(name run.Queue, body string, dead bool) {
	q.seq++
	q.msgs = append(q.msgs, &memoryMessage{id: q.seq, queue: name, body: body, visible: q.now(), dead: dead})
}

// Send queues tasks.
func (q *MemoryQueue) Send(ctx context.Context, tasks ...run.Task) error {
	for _, t := range tasks {
		body, err := json.Marshal(t)
		if err != nil {
			return fmt.Errorf("send %s: %w", t, err)
		}
		if err := q.SendBody(ctx, t.Queue(), string(body)); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// SendBody queues a body as it is.
func (q *MemoryQueue) SendBody(ctx context.Context, name run.Queue, body string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.add(name, body, false)
	return nil
}

// Receive takes up to max messages, the longest visible first.
func (q *MemoryQueue) Receive(ctx context.Context, name run.Queue, max int, visibility time.Duration) ([]Message, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	byVisible := slices.SortedStableFunc(slices.Values(q.msgs), func(a, b *memoryMessage) int {
		return cmp.Or(a.visible.Compare(b.visible), cmp.Compare(a.id, b.id))
	})
	var out []Message
	for _, m := range byVisible {
		if m.queue != name || m.dead || m.visible.After(now) || len(out) == max {
			continue
		}
		if m.receives >= q.MaxReceives {
			m.dead = true
			continue
		}
		m.receives++
		m.deliveries++
		m.visible = now.Add(visibility)
		out = append(out, Message{ID: fmt.Sprint(m.id), Receipt: m.receipt(), Body: m.body, Receives: m.receives})
	}
	return out, nil
}

// Delete ends a message; a receipt of an older delivery does nothing.
func (q *MemoryQueue) Delete(ctx context.Context, name run.Queue, receipt string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.msgs = slices.DeleteFunc(q.msgs, func(m *memoryMessage) bool {
		return m.queue == name && !m.dead && m.receipt() == receipt
	})
	return ctx.Err()
}

// ChangeVisibility makes a message visible again after d.
func (q *MemoryQueue) ChangeVisibility(ctx context.Context, name run.Queue, receipt string, d time.Duration) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range q.msgs {
		if m.queue == name && !m.dead && m.receipt() == receipt {
			m.visible = q.now().Add(d)
		}
	}
	return ctx.Err()
}

// NextVisible returns when a message of the queue is or becomes visible, and
// false when the queue is empty: for simulations that move the clock.
func (q *MemoryQueue) NextVisible(name run.Queue) (time.Time, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var next time.Time
	found := false
	for _, m := range q.msgs {
		if m.queue == name && !m.dead && (!found || m.visible.Before(next)) {
			next, found = m.visible, true
		}
	}
	return next, found
}

// DeadLetters returns the messages that were given up.
func (q *MemoryQueue) DeadLetters() pipeline.DeadLetters { return memoryDead{q} }

type memoryDead struct{ q *MemoryQueue }

func (d memoryDead) Bury(ctx context.Context, t run.Task) error {
	body, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("bury %s: %w", t, err)
	}
	d.q.mu.Lock()
	defer d.q.mu.Unlock()
	d.q.add(t.Queue(), string(body), true)
	return ctx.Err()
}

func (d memoryDead) Dead(ctx context.Context) iter.Seq2[pipeline.DeadLetter, error] {
	return func(yield func(pipeline.DeadLetter, error) bool) {
		d.q.mu.Lock()
		var out []pipeline.DeadLetter
		for _, m := range d.q.msgs {
			if m.dead {
				// A body that is no task leaves the zero task.
				t, _ := run.DecodeTask([]byte(m.body))
				out = append(out, pipeline.DeadLetter{Task: t, Body: m.body, Queue: m.queue, Receipt: fmt.Sprint(m.id)})
			}
		}
		d.q.mu.Unlock()
		yieldAll(ctx, out, yield)
	}
}

func (d memoryDead) Delete(ctx context.Context, l pipeline.DeadLetter) error {
	d.q.mu.Lock()
	defer d.q.mu.Unlock()
	d.q.msgs = slices.DeleteFunc(d.q.msgs, func(m *memoryMessage) bool {
		return m.dead && fmt.Sprint(m.id) == l.Receipt
	})
	return ctx.Err()
}
