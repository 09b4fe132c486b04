package local

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"sync"
	"time"

	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// Queue holds the tasks and photos queues and their dead letters
// (pipeline.Tasks, and pipeline.DeadLetters by DeadLetters). It behaves as SQS
// does: a received message is hidden for its visibility, comes back unless it
// is deleted, and is given up once it has been received MaxReceives times.
// Messages have a group, the connection of their task, so that a process can
// drive one connection and leave the others alone.
type Queue struct {
	db          *database
	now         func() time.Time
	maxReceives int

	mu      sync.Mutex
	changed chan struct{}
}

var _ pipeline.Tasks = (*Queue)(nil)

// Message is one delivery.
type Message struct {
	ID            string // the same at every delivery
	Receipt       string // names this delivery
	Body          string
	Receives      int // deliveries so far, this one included
	Sent          time.Time
	FirstReceived time.Time
}

// Notify returns a channel that is closed when a message may have become
// visible sooner than NextVisible said: at the next Send, ChangeVisibility or
// Release in this process. Take it before looking, then wait for it beside
// the time of NextVisible. What other processes send is found by looking.
func (q *Queue) Notify() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.changed
}

func (q *Queue) wake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	close(q.changed)
	q.changed = make(chan struct{})
}

// Send queues tasks, all or none. A task whose message waits to be received
// already is not queued a second time: that message is delivered after this
// call as well as a new one would be. A resumed run sends all its open tasks,
// and most of them are still here.
func (q *Queue) Send(ctx context.Context, tasks ...run.Task) error {
	return q.put(ctx, false, tasks...)
}

func (q *Queue) put(ctx context.Context, dead bool, tasks ...run.Task) error {
	bodies := make([]string, len(tasks))
	for i, t := range tasks {
		b, err := json.Marshal(t)
		if err != nil {
			return fmt.Errorf("queue %s: %w", t, err)
		}
		bodies[i] = string(b)
	}
	if len(tasks) == 0 {
		return ctx.Err()
	}
	err := q.db.update(ctx, fmt.Sprintf("queue %d tasks", len(tasks)), func(t tx) error {
		for i, task := range tasks {
			waits := false
			if !dead {
				var err error
				if waits, err = q.waits(t, task.Queue(), task.Connection, bodies[i]); err != nil {
					return err
				}
			}
			if waits {
				continue
			}
			if err := q.insert(t, task.Queue(), task.Connection, bodies[i], dead); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		q.wake()
	}
	return err
}

// SendBody queues a body as it is, task or not.
func (q *Queue) SendBody(ctx context.Context, queue run.Queue, group, body string) error {
	err := q.db.update(ctx, "queue a message", func(t tx) error { return q.insert(t, queue, group, body, false) })
	if err == nil {
		q.wake()
	}
	return err
}

// waits reports whether a message with this body can be received now.
func (q *Queue) waits(t tx, queue run.Queue, group, body string) (found bool, err error) {
	err = t.query(func(*sql.Rows) error {
		found = true
		return nil
	}, `SELECT 1 FROM messages WHERE dead = 0 AND queue = ? AND visible_at <= ? AND grp = ? AND body = ? AND receives < ? LIMIT 1`,
		string(queue), nanos(q.now()), group, body, q.maxReceives)
	return found, err
}

func (q *Queue) insert(t tx, queue run.Queue, group, body string, dead bool) error {
	now := nanos(q.now())
	_, err := t.exec(`INSERT INTO messages (queue, grp, body, sent_at, visible_at, receives, deliveries, first_received, held, dead)
		VALUES (?, ?, ?, ?, ?, 0, 0, 0, 0, ?)`, string(queue), group, body, now, now, dead)
	return err
}

// Receive takes up to max messages of a group ("" for all) that are visible,
// the longest visible first, and hides them for visibility. A message that is
// visible again after MaxReceives deliveries goes to the dead letters instead.
func (q *Queue) Receive(ctx context.Context, queue run.Queue, group string, max int, visibility time.Duration) ([]Message, error) {
	now := nanos(q.now())
	// Looking first costs a waiting runner no write.
	if next, ok, err := q.nextVisible(ctx, queue, group); err != nil || !ok || next > now {
		return nil, err
	}
	var out []Message
	err := q.db.update(ctx, "receive from "+string(queue), func(t tx) error {
		if _, err := t.exec(`UPDATE messages SET dead = 1, held = 0 WHERE dead = 0 AND queue = ?1 AND visible_at <= ?2
			AND (?3 = '' OR grp = ?3) AND receives >= ?4`, string(queue), now, group, q.maxReceives); err != nil {
			return err
		}
		var err error
		if out, err = visible(t, queue, group, max, now); err != nil {
			return err
		}
		for _, m := range out {
			if _, err := t.exec(`UPDATE messages SET receives = receives + 1, deliveries = deliveries + 1, held = 1, visible_at = ?,
				first_received = ? WHERE id = ?`, now+visibility.Nanoseconds(), nanos(m.FirstReceived), m.ID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// visible reads the messages to deliver, as they will be once they are.
func visible(t tx, queue run.Queue, group string, max int, now int64) ([]Message, error) {
	var out []Message
	err := t.query(func(r *sql.Rows) error {
		var m Message
		var deliveries, sent, first int64
		if err := r.Scan(&m.ID, &m.Body, &m.Receives, &deliveries, &sent, &first); err != nil {
			return err
		}
		m.Receives++
		m.Receipt = fmt.Sprintf("%s.%d", m.ID, deliveries+1)
		m.Sent, m.FirstReceived = fromNanos(sent), fromNanos(cmp.Or(first, now))
		out = append(out, m)
		return nil
	}, `SELECT id, body, receives, deliveries, sent_at, first_received FROM messages WHERE dead = 0 AND queue = ?1
		AND visible_at <= ?2 AND (?3 = '' OR grp = ?3) ORDER BY visible_at, id LIMIT ?4`, string(queue), now, group, max)
	return out, err
}

// parseReceipt splits a receipt into the message and its delivery.
func parseReceipt(receipt string) (id, delivery int64, err error) {
	a, b, ok := strings.Cut(receipt, ".")
	if ok {
		id, err = strconv.ParseInt(a, 10, 64)
	}
	if ok && err == nil {
		delivery, err = strconv.ParseInt(b, 10, 64)
	}
	if !ok || err != nil {
		return 0, 0, refuse("receipt is none of this queue")
	}
	return id, delivery, nil
}

// Delete ends a message. The receipt of an older delivery does nothing: who
// holds the message now decides about it. A message that became visible
// again but was not received since is still deleted.
func (q *Queue) Delete(ctx context.Context, receipt string) error {
	id, delivery, err := parseReceipt(receipt)
	if err != nil {
		return err
	}
	return q.db.update(ctx, "delete message "+receipt, func(t tx) error {
		_, err := t.exec("DELETE FROM messages WHERE id = ? AND deliveries = ? AND dead = 0", id, delivery)
		return err
	})
}

// ChangeVisibility makes a message visible again after d and gives it back:
// from then on it waits, and Release leaves it alone. The receipt of an older
// delivery does nothing.
func (q *Queue) ChangeVisibility(ctx context.Context, receipt string, d time.Duration) error {
	id, delivery, err := parseReceipt(receipt)
	if err != nil {
		return err
	}
	err = q.db.update(ctx, "change the visibility of message "+receipt, func(t tx) error {
		_, err := t.exec("UPDATE messages SET visible_at = ?, held = 0 WHERE id = ? AND deliveries = ? AND dead = 0",
			nanos(q.now().Add(d)), id, delivery)
		return err
	})
	if err == nil {
		q.wake()
	}
	return err
}

// NextVisible returns when the next message of a group ("" for all) is or
// becomes visible, held ones included, and false when there is none.
func (q *Queue) NextVisible(ctx context.Context, queue run.Queue, group string) (time.Time, bool, error) {
	n, ok, err := q.nextVisible(ctx, queue, group)
	return fromNanos(n), ok, err
}

func (q *Queue) nextVisible(ctx context.Context, queue run.Queue, group string) (next int64, ok bool, err error) {
	err = q.db.view(ctx, "look at "+string(queue), func() { ok = false }, func(r *sql.Rows) error {
		ok = true
		return r.Scan(&next)
	}, `SELECT visible_at FROM messages WHERE dead = 0 AND queue = ?1 AND (?2 = '' OR grp = ?2)
		ORDER BY visible_at LIMIT 1`, string(queue), group)
	return next, ok, err
}

// Depth counts messages of both queues.
type Depth struct {
	Ready   int // visible
	Held    int // received, neither deleted nor given back
	Delayed int // waiting for a back-off to end
	Dead    int // given up
}

// Depth counts the messages of a group, or of all with "".
func (q *Queue) Depth(ctx context.Context, group string) (Depth, error) {
	var d Depth
	err := q.db.view(ctx, "count messages", func() {}, func(r *sql.Rows) error {
		return r.Scan(&d.Ready, &d.Held, &d.Delayed, &d.Dead)
	}, `SELECT count(*) FILTER (WHERE dead = 0 AND visible_at <= ?2),
		count(*) FILTER (WHERE dead = 0 AND visible_at > ?2 AND held = 1),
		count(*) FILTER (WHERE dead = 0 AND visible_at > ?2 AND held = 0),
		count(*) FILTER (WHERE dead = 1)
		FROM messages WHERE ?1 = '' OR grp = ?1`, group, nanos(q.now()))
	return d, err
}

// Release makes the held messages of a group ("" for all) visible now and
// takes the lost delivery off their count. It is for the process that has
// found the one that held them gone (Lock): a task is not at fault when its
// process is killed, and must not reach the dead letters by that. Messages
// that wait for a back-off keep waiting.
func (q *Queue) Release(ctx context.Context, group string) error {
	now := nanos(q.now())
	err := q.db.update(ctx, "release held messages", func(t tx) error {
		_, err := t.exec(`UPDATE messages SET visible_at = min(visible_at, ?2), receives = max(receives - 1, 0),
			deliveries = deliveries + 1, held = 0 WHERE dead = 0 AND held = 1 AND (?1 = '' OR grp = ?1)`, group, now)
		return err
	})
	if err == nil {
		q.wake()
	}
	return err
}

// DeadLetters returns the messages that were given up.
func (q *Queue) DeadLetters() *DeadLetters { return &DeadLetters{q} }

// DeadLetters are the messages that were given up (pipeline.DeadLetters).
type DeadLetters struct{ q *Queue }

var _ pipeline.DeadLetters = (*DeadLetters)(nil)

// Bury puts a task straight into the dead letters.
func (d *DeadLetters) Bury(ctx context.Context, t run.Task) error { return d.q.put(ctx, true, t) }

// Dead visits the dead letters, the oldest first. Those that die during the
// visit may be part of it.
func (d *DeadLetters) Dead(ctx context.Context) iter.Seq2[pipeline.DeadLetter, error] {
	return func(yield func(pipeline.DeadLetter, error) bool) {
		last := int64(0)
		for {
			var letters []pipeline.DeadLetter
			err := d.q.db.view(ctx, "read dead letters", func() { letters = nil }, func(r *sql.Rows) error {
				var l pipeline.DeadLetter
				err := r.Scan(&last, &l.Queue, &l.Body)
				l.Receipt = strconv.FormatInt(last, 10)
				// A body that is no task leaves the zero task.
				l.Task, _ = run.DecodeTask([]byte(l.Body))
				letters = append(letters, l)
				return err
			}, "SELECT id, queue, body FROM messages WHERE dead = 1 AND id > ? ORDER BY id LIMIT ?", last, chunk)
			if err != nil {
				yield(pipeline.DeadLetter{}, err)
				return
			}
			for _, l := range letters {
				if !yield(l, nil) {
					return
				}
			}
			if len(letters) < chunk {
				return
			}
		}
	}
}

// Delete removes a dead letter.
func (d *DeadLetters) Delete(ctx context.Context, l pipeline.DeadLetter) error {
	id, err := strconv.ParseInt(l.Receipt, 10, 64)
	if err != nil {
		return refuse("receipt is none of a dead letter")
	}
	return d.q.db.update(ctx, "delete dead letter "+l.Receipt, func(t tx) error {
		_, err := t.exec("DELETE FROM messages WHERE id = ? AND dead = 1", id)
		return err
	})
}
