package local_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/local"
	"stovasync/shared/run"
)

// clock is a clock that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newQueue(t *testing.T) (*local.Queue, *clock) {
	t.Helper()
	c := &clock{now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)}
	return open(t, local.Options{Now: c.Now, MaxReceives: 2}).Queue(), c
}

func task(connection string) run.Task {
	return run.Task{Kind: run.SyncTask, Connection: connection, Run: "20260301T090000Z-0a1b2c3d", Type: run.Users}
}

func send(t *testing.T, q *local.Queue, tasks ...run.Task) {
	t.Helper()
	if err := q.Send(t.Context(), tasks...); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, q *local.Queue, group string, want int) []local.Message {
	t.Helper()
	got, err := q.Receive(t.Context(), run.TasksQueue, group, 10, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != want {
		t.Fatalf("received %d messages, want %d", len(got), want)
	}
	return got
}

func wantDepth(t *testing.T, q *local.Queue, group string, want local.Depth) {
	t.Helper()
	got, err := q.Depth(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("depth of %q (-want +got):\n%s", group, diff)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestQueueByTheClock(t *testing.T) {
	t.Parallel()
	q, c := newQueue(t)
	start := c.Now()
	send(t, q, task("gala"))
	c.forward(time.Second)
	m := receive(t, q, "", 1)[0]
	if !m.Sent.Equal(start) || !m.FirstReceived.Equal(c.Now()) {
		t.Errorf("sent %v, first received %v", m.Sent, m.FirstReceived)
	}
	next, ok, err := q.NextVisible(t.Context(), run.TasksQueue, "")
	if err != nil || !ok || !next.Equal(c.Now().Add(time.Minute)) {
		t.Errorf("NextVisible: %v, %t, %v", next, ok, err)
	}
	wantDepth(t, q, "", local.Depth{Held: 1})
	first := c.Now()
	c.forward(time.Minute - 1)
	receive(t, q, "", 0)
	c.forward(1)
	wantDepth(t, q, "", local.Depth{Ready: 1})
	again := receive(t, q, "", 1)[0]
	if again.Receives != 2 || !again.FirstReceived.Equal(first) {
		t.Errorf("receives %d, first received %v", again.Receives, again.FirstReceived)
	}
	must(t, q.ChangeVisibility(t.Context(), again.Receipt, 10*time.Second))
	wantDepth(t, q, "", local.Depth{Delayed: 1})
	c.forward(10 * time.Second)
	receive(t, q, "", 0)
	wantDepth(t, q, "", local.Depth{Dead: 1})
	if _, ok, err := q.NextVisible(t.Context(), run.TasksQueue, ""); ok || err != nil {
		t.Errorf("NextVisible of a queue with a dead letter only: %t, %v", ok, err)
	}
}

func TestReceiptsOfOlderDeliveriesDoNothing(t *testing.T) {
	t.Parallel()
	q, c := newQueue(t)
	send(t, q, task("gala"))
	old := receive(t, q, "", 1)[0]
	c.forward(time.Minute)
	receive(t, q, "", 1)
	must(t, q.Delete(t.Context(), old.Receipt))
	must(t, q.ChangeVisibility(t.Context(), old.Receipt, 0))
	wantDepth(t, q, "", local.Depth{Held: 1})
	if err := q.Delete(t.Context(), "not a receipt"); err == nil {
		t.Error("Delete of no receipt: no error")
	}
}

func TestAMessageThatHasComeBackCanStillBeDeleted(t *testing.T) {
	t.Parallel()
	q, c := newQueue(t)
	send(t, q, task("gala"))
	m := receive(t, q, "", 1)[0]
	c.forward(time.Hour)
	must(t, q.Delete(t.Context(), m.Receipt))
	wantDepth(t, q, "", local.Depth{})
}

func TestGroupsAreApart(t *testing.T) {
	t.Parallel()
	q, _ := newQueue(t)
	second := task("gala")
	second.Type = run.Sessions
	send(t, q, task("gala"), task("fair"), second)
	wantDepth(t, q, "gala", local.Depth{Ready: 2})
	if _, ok, err := q.NextVisible(t.Context(), run.TasksQueue, "other"); ok || err != nil {
		t.Errorf("NextVisible of an empty group: %t, %v", ok, err)
	}
	receive(t, q, "gala", 2)
	receive(t, q, "gala", 0)
	must(t, q.Release(t.Context(), "fair"))
	wantDepth(t, q, "", local.Depth{Ready: 1, Held: 2})
	receive(t, q, "", 1)
}

func TestReleaseTakesAwayTheLostDelivery(t *testing.T) {
	t.Parallel()
	q, _ := newQueue(t)
	send(t, q, task("gala"))
	// More kills than a message may be received.
	for range 5 {
		m := receive(t, q, "gala", 1)[0]
		if m.Receives != 1 {
			t.Fatalf("receives %d, want 1", m.Receives)
		}
		must(t, q.Release(t.Context(), "gala"))
		must(t, q.Delete(t.Context(), m.Receipt)) // of the process that is gone
	}
	wantDepth(t, q, "gala", local.Depth{Ready: 1})
}

func TestReleaseLeavesBackOffsAlone(t *testing.T) {
	t.Parallel()
	q, _ := newQueue(t)
	send(t, q, task("gala"))
	m := receive(t, q, "gala", 1)[0]
	must(t, q.ChangeVisibility(t.Context(), m.Receipt, time.Minute))
	must(t, q.Release(t.Context(), ""))
	wantDepth(t, q, "gala", local.Depth{Delayed: 1})
}

func TestTheLongestVisibleComesFirst(t *testing.T) {
	t.Parallel()
	q, c := newQueue(t)
	send(t, q, task("a"))
	late := receive(t, q, "", 1)[0]
	c.forward(time.Second)
	send(t, q, task("b"))
	c.forward(time.Second)
	must(t, q.ChangeVisibility(t.Context(), late.Receipt, 0))
	send(t, q, task("c"))
	var got []string
	for _, m := range receive(t, q, "", 3) {
		task, err := run.DecodeTask([]byte(m.Body))
		must(t, err)
		got = append(got, task.Connection)
	}
	if diff := cmp.Diff([]string{"b", "a", "c"}, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestNotifyTellsWhatMayMakeAMessageVisible(t *testing.T) {
	t.Parallel()
	q, _ := newQueue(t)
	var m local.Message
	for _, step := range []struct {
		name string
		do   func() error
		want bool
	}{
		{"send", func() error { return q.Send(t.Context(), task("gala")) }, true},
		{"receive", func() error { m = receive(t, q, "", 1)[0]; return nil }, false},
		{"change visibility", func() error { return q.ChangeVisibility(t.Context(), m.Receipt, time.Hour) }, true},
		{"release", func() error { return q.Release(t.Context(), "") }, true},
		{"send a body", func() error { return q.SendBody(t.Context(), run.PhotosQueue, "", "x") }, true},
	} {
		changed := q.Notify()
		must(t, step.do())
		got := false
		select {
		case <-changed:
			got = true
		default:
		}
		if got != step.want {
			t.Errorf("%s: told %t, want %t", step.name, got, step.want)
		}
	}
}

func TestATaskThatWaitsAlreadyIsNotQueuedTwice(t *testing.T) {
	t.Parallel()
	q, _ := newQueue(t)
	send(t, q, task("gala"))
	send(t, q, task("gala"))
	wantDepth(t, q, "gala", local.Depth{Ready: 1})
	m := receive(t, q, "gala", 1)[0]
	send(t, q, task("gala")) // the other is held: it may have been handled before this was sent
	wantDepth(t, q, "gala", local.Depth{Ready: 1, Held: 1})
	must(t, q.Delete(t.Context(), m.Receipt))
	receive(t, q, "gala", 1)
}
