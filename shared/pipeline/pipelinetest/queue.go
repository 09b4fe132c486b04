package pipelinetest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// hidden is a visibility that does not end during a test; brief is the
// shortest that every queue can tell from none.
const (
	hidden = 10 * time.Minute
	brief  = time.Second
)

// Queue checks a queue with its dead letters.
func Queue(t *testing.T, open func(*testing.T, QueueOptions) TaskQueue) {
	for name, check := range map[string]func(*testing.T, TaskQueue){
		"a task arrives as it was sent, received once":                                 queueArrives,
		"pages of pictures travel on the photos queue, all other tasks do not":         queueApart,
		"sending nothing is no error and queues nothing":                               queueNothing,
		"many tasks in one send all arrive":                                            queueMany,
		"a receive gives at most as many as asked for":                                 queueMax,
		"a message in flight is not received again":                                    queueHidden,
		"a message made visible comes back with a higher count and the same body":      queueVisible,
		"a message comes back by itself when its visibility ends":                      queueExpires,
		"a message hidden for longer stays away":                                       queueExtended,
		"a deleted message stays away, and deleting it again is no error":              queueDeleted,
		"concurrent receivers get every message":                                       queueTogether,
		"a message received too often goes to the dead letters of its queue":           queueGivenUp,
		"a body that is no task goes to the dead letters as it is, with no task":       queueMalformed,
		"without dead letters a visit gives nothing":                                   deadNone,
		"a buried task is a dead letter of its queue and never received":               deadBuried,
		"a visit gives all dead letters, and again those that were not deleted":        deadVisits,
		"a visit may be left early, and the next one gives what was left":              deadLeft,
		"a deleted dead letter is gone, and deleting it again is no error":             deadDeleted,
		"a dead letter's task sent again starts with a new count, beside its old body": deadAgain,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, open(t, QueueOptions{MaxReceives: 3}))
		})
	}
}

const runID = "20260301T093000Z-0a1b2c3d"

func page(dt run.DataType, n int) run.Task {
	return run.Task{Kind: run.PageTask, Connection: "gala", Run: runID, Type: dt, Page: fmt.Sprint(n)}
}

func send(t *testing.T, q TaskQueue, tasks ...run.Task) {
	t.Helper()
	if err := q.Send(t.Context(), tasks...); err != nil {
		t.Fatalf("Send of %d: %v", len(tasks), err)
	}
}

func receive(t *testing.T, q TaskQueue, name run.Queue, visibility time.Duration) []Message {
	t.Helper()
	got, err := q.Receive(t.Context(), name, 10, visibility)
	if err != nil {
		t.Fatalf("Receive from %s: %v", name, err)
	}
	return got
}

// receiveN receives until n different messages have come, and returns the
// last delivery of each in the order of their bodies.
func receiveN(t *testing.T, q TaskQueue, name run.Queue, n int, visibility time.Duration) []Message {
	t.Helper()
	got := map[string]Message{}
	eventually(t, func() string {
		for more := true; more && len(got) < n; {
			msgs := receive(t, q, name, visibility)
			for _, m := range msgs {
				got[m.ID] = m
			}
			more = len(msgs) > 0
		}
		if len(got) < n {
			return fmt.Sprintf("%d of %d messages have come", len(got), n)
		}
		return ""
	})
	return slices.SortedFunc(maps.Values(got), func(a, b Message) int { return cmp.Compare(a.Body, b.Body) })
}

func wantEmpty(t *testing.T, q TaskQueue, name run.Queue) {
	t.Helper()
	for range 3 {
		if got := receive(t, q, name, hidden); len(got) != 0 {
			t.Fatalf("%d messages on %s, want none", len(got), name)
		}
	}
}

func taskOf(t *testing.T, m Message) run.Task {
	t.Helper()
	task, err := run.DecodeTask([]byte(m.Body))
	if err != nil {
		t.Fatalf("body of a message: %v", err)
	}
	return task
}

func giveBack(t *testing.T, q TaskQueue, name run.Queue, m Message) {
	t.Helper()
	if err := q.ChangeVisibility(t.Context(), name, m.Receipt, 0); err != nil {
		t.Fatalf("ChangeVisibility: %v", err)
	}
}

func end(t *testing.T, q TaskQueue, name run.Queue, m Message) {
	t.Helper()
	if err := q.Delete(t.Context(), name, m.Receipt); err != nil {
		t.Fatalf("Delete: %v", err)
	}
}

func queueArrives(t *testing.T, q TaskQueue) {
	want := run.Task{Kind: run.SyncTask, Connection: "gala", Run: runID, Type: run.Users}
	send(t, q, want)
	m := receiveN(t, q, run.TasksQueue, 1, hidden)[0]
	if diff := gocmp.Diff(want, taskOf(t, m)); diff != "" {
		t.Errorf("task (-want +got):\n%s", diff)
	}
	if m.Receives != 1 || m.ID == "" || m.Receipt == "" {
		t.Errorf("receives %d, id %q, receipt %q; want 1 and two that are not empty", m.Receives, m.ID, m.Receipt)
	}
}

func queueApart(t *testing.T, q TaskQueue) {
	var tasks []run.Task
	want := map[run.Queue][]run.Task{}
	for _, dt := range run.AllTypes() {
		sync, finish := page(dt, 0), page(dt, 0)
		sync.Kind, sync.Page, finish.Kind, finish.Page = run.SyncTask, "", run.FinishTask, ""
		tasks = append(tasks, page(dt, 1), sync, finish)
	}
	send(t, q, tasks...)
	for _, task := range tasks {
		name := run.TasksQueue
		if task.Kind == run.PageTask && (task.Type == run.UserPhotos || task.Type == run.PresenterPhotos) {
			name = run.PhotosQueue
		}
		want[name] = append(want[name], task)
	}
	byText := func(a, b run.Task) int { return cmp.Compare(a.String(), b.String()) }
	for name, tasks := range want {
		var got []run.Task
		for _, m := range receiveN(t, q, name, len(tasks), hidden) {
			got = append(got, taskOf(t, m))
		}
		slices.SortFunc(tasks, byText)
		slices.SortFunc(got, byText)
		if diff := gocmp.Diff(tasks, got); diff != "" {
			t.Errorf("tasks on %s (-want +got):\n%s", name, diff)
		}
		wantEmpty(t, q, name)
	}
}

func queueNothing(t *testing.T, q TaskQueue) {
	send(t, q)
	wantEmpty(t, q, run.TasksQueue)
}

func queueMany(t *testing.T, q TaskQueue) {
	var tasks []run.Task
	for i := range 250 {
		tasks = append(tasks, page(run.Users, i), page(run.UserPhotos, i))
	}
	send(t, q, tasks[:250]...)
	send(t, q, tasks[250:]...)
	for _, name := range []run.Queue{run.TasksQueue, run.PhotosQueue} {
		pages := map[string]bool{}
		for _, m := range receiveN(t, q, name, 250, hidden) {
			pages[taskOf(t, m).Page] = true
		}
		if len(pages) != 250 {
			t.Errorf("%d different pages on %s, want 250", len(pages), name)
		}
	}
}

func queueMax(t *testing.T, q TaskQueue) {
	for i := range 7 {
		send(t, q, page(run.Users, i))
	}
	for _, most := range []int{1, 3} {
		got, err := q.Receive(t.Context(), run.TasksQueue, most, hidden)
		if err != nil || len(got) > most {
			t.Errorf("Receive of at most %d: %d messages, error %v", most, len(got), err)
		}
	}
}

func queueHidden(t *testing.T, q TaskQueue) {
	send(t, q, page(run.Users, 1))
	receiveN(t, q, run.TasksQueue, 1, hidden)
	wantEmpty(t, q, run.TasksQueue)
}

func queueVisible(t *testing.T, q TaskQueue) {
	send(t, q, page(run.UserPhotos, 1))
	first := receiveN(t, q, run.PhotosQueue, 1, hidden)[0]
	giveBack(t, q, run.PhotosQueue, first)
	second := receiveN(t, q, run.PhotosQueue, 1, hidden)[0]
	if second.ID != first.ID || second.Body != first.Body {
		t.Errorf("came back with id %q and body %q, want %q and %q", second.ID, second.Body, first.ID, first.Body)
	}
	if first.Receives != 1 || second.Receives != 2 {
		t.Errorf("receives %d, then %d; want 1, then 2", first.Receives, second.Receives)
	}
	wantEmpty(t, q, run.PhotosQueue)
}

func queueExpires(t *testing.T, q TaskQueue) {
	send(t, q, page(run.Users, 1))
	receiveN(t, q, run.TasksQueue, 1, brief)
	if m := receiveN(t, q, run.TasksQueue, 1, hidden)[0]; m.Receives != 2 {
		t.Errorf("receives %d, want 2", m.Receives)
	}
}

// afterBrief takes two messages, does something to the first, and returns once
// the second has come back by itself: then the first had time to come back too.
func afterBrief(t *testing.T, q TaskQueue, do func(Message)) {
	t.Helper()
	send(t, q, page(run.Users, 1))
	send(t, q, page(run.Users, 2))
	msgs := receiveN(t, q, run.TasksQueue, 2, brief)
	do(msgs[0])
	eventually(t, func() string {
		var back string
		for _, m := range receive(t, q, run.TasksQueue, hidden) {
			if m.ID == msgs[0].ID {
				t.Fatalf("the message came back")
			}
			back = m.ID
		}
		if back != msgs[1].ID {
			return "the other message has not come back"
		}
		return ""
	})
	wantEmpty(t, q, run.TasksQueue)
}

func queueExtended(t *testing.T, q TaskQueue) {
	afterBrief(t, q, func(m Message) {
		if err := q.ChangeVisibility(t.Context(), run.TasksQueue, m.Receipt, hidden); err != nil {
			t.Fatalf("ChangeVisibility: %v", err)
		}
	})
}

func queueDeleted(t *testing.T, q TaskQueue) {
	afterBrief(t, q, func(m Message) {
		end(t, q, run.TasksQueue, m)
		end(t, q, run.TasksQueue, m)
	})
}

func queueTogether(t *testing.T, q TaskQueue) {
	const n = 60
	var tasks []run.Task
	for i := range n {
		tasks = append(tasks, page(run.Users, i))
	}
	send(t, q, tasks...)
	var mu sync.Mutex
	seen := map[string]bool{}
	eventually(t, func() string {
		together(t, 4, func(int) error {
			for {
				msgs, err := q.Receive(t.Context(), run.TasksQueue, 5, hidden)
				if err != nil || len(msgs) == 0 {
					return err
				}
				for _, m := range msgs {
					mu.Lock()
					seen[m.Body] = true
					mu.Unlock()
					if err := q.Delete(t.Context(), run.TasksQueue, m.Receipt); err != nil {
						return err
					}
				}
			}
		})
		if len(seen) < n {
			return fmt.Sprintf("%d of %d messages have come", len(seen), n)
		}
		return ""
	})
}

func letters(t *testing.T, q TaskQueue) []pipeline.DeadLetter {
	t.Helper()
	return slices.SortedFunc(seq(t, q.DeadLetters().Dead(t.Context())), func(a, b pipeline.DeadLetter) int {
		return cmp.Compare(a.Body, b.Body)
	})
}

// wantDead waits until the dead letters have exactly these bodies, each once
// or more, and returns one of each.
func wantDead(t *testing.T, q TaskQueue, want ...string) []pipeline.DeadLetter {
	t.Helper()
	var got []pipeline.DeadLetter
	want = slices.Sorted(slices.Values(want))
	eventually(t, func() string {
		// A queue may move a message only when somebody receives from it.
		wantEmpty(t, q, run.TasksQueue)
		wantEmpty(t, q, run.PhotosQueue)
		got = slices.CompactFunc(letters(t, q), func(a, b pipeline.DeadLetter) bool { return a.Body == b.Body })
		var bodies []string
		for _, l := range got {
			bodies = append(bodies, l.Body)
		}
		return gocmp.Diff(want, bodies)
	})
	return got
}

// exhaust receives the only message of a queue as often as it may be.
func exhaust(t *testing.T, q TaskQueue, name run.Queue) Message {
	t.Helper()
	var last Message
	for n := range 3 {
		last = receiveN(t, q, name, 1, hidden)[0]
		if last.Receives != n+1 {
			t.Errorf("receives %d, want %d", last.Receives, n+1)
		}
		giveBack(t, q, name, last)
	}
	return last
}

func queueGivenUp(t *testing.T, q TaskQueue) {
	want := page(run.UserPhotos, 7)
	send(t, q, want)
	last := exhaust(t, q, run.PhotosQueue)
	l := wantDead(t, q, last.Body)[0]
	if diff := gocmp.Diff(want, l.Task); diff != "" {
		t.Errorf("task of the dead letter (-want +got):\n%s", diff)
	}
	if l.Queue != run.PhotosQueue {
		t.Errorf("dead letter of queue %q, want photos", l.Queue)
	}
}

func queueMalformed(t *testing.T, q TaskQueue) {
	for _, body := range []string{`{"kind":"page","connection":"gala"`, "Zoë: <no> & \"task\"\n\ttwo lines"} {
		if err := q.SendBody(t.Context(), run.TasksQueue, body); err != nil {
			t.Fatalf("SendBody: %v", err)
		}
		if last := exhaust(t, q, run.TasksQueue); last.Body != body {
			t.Errorf("body %q, want %q", last.Body, body)
		}
		l := wantDead(t, q, body)[0]
		if diff := gocmp.Diff(run.Task{}, l.Task); diff != "" || l.Queue != run.TasksQueue {
			t.Errorf("queue %q, task (-want +got):\n%s", l.Queue, diff)
		}
		if err := q.DeadLetters().Delete(t.Context(), l); err != nil {
			t.Fatalf("Delete: %v", err)
		}
		wantDead(t, q)
	}
}

func deadNone(t *testing.T, q TaskQueue) {
	if got := letters(t, q); len(got) != 0 {
		t.Errorf("%d dead letters, want none", len(got))
	}
}

func bury(t *testing.T, q TaskQueue, tasks ...run.Task) []string {
	t.Helper()
	var bodies []string
	for _, task := range tasks {
		if err := q.DeadLetters().Bury(t.Context(), task); err != nil {
			t.Fatalf("Bury: %v", err)
		}
		b, err := json.Marshal(task)
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, string(b))
	}
	return bodies
}

func deadBuried(t *testing.T, q TaskQueue) {
	tasks := []run.Task{page(run.UserPhotos, 1), page(run.Users, 1)}
	got := wantDead(t, q, bury(t, q, tasks...)...)
	for _, l := range got {
		if l.Queue != l.Task.Queue() || !slices.Contains(tasks, l.Task) {
			t.Errorf("dead letter of %s with task %s, want it as buried", l.Queue, l.Task)
		}
	}
}

func deadVisits(t *testing.T, q TaskQueue) {
	var tasks []run.Task
	for i := range 13 {
		tasks = append(tasks, page(run.Users, i), page(run.PresenterPhotos, i))
	}
	bodies := bury(t, q, tasks...)
	for range 2 {
		wantDead(t, q, bodies...)
	}
	// Deleting during the visit, all but one.
	for l := range seq(t, q.DeadLetters().Dead(t.Context())) {
		if l.Task == tasks[0] {
			continue
		}
		if err := q.DeadLetters().Delete(t.Context(), l); err != nil {
			t.Fatalf("Delete: %v", err)
		}
	}
	eventually(t, func() string {
		if n := len(letters(t, q)); n != 1 {
			return fmt.Sprintf("%d dead letters, want 1", n)
		}
		return ""
	})
	wantDead(t, q, bodies[0])
}

func deadLeft(t *testing.T, q TaskQueue) {
	bodies := bury(t, q, page(run.Users, 1), page(run.Users, 2), page(run.UserPhotos, 1))
	wantDead(t, q, bodies...)
	for range seq(t, q.DeadLetters().Dead(t.Context())) {
		break
	}
	if got := letters(t, q); len(got) < 3 {
		t.Errorf("%d dead letters at once after a visit that was left, want 3", len(got))
	}
}

func deadDeleted(t *testing.T, q TaskQueue) {
	bodies := bury(t, q, page(run.Users, 1), page(run.Users, 2))
	got := wantDead(t, q, bodies...)
	for range 2 {
		if err := q.DeadLetters().Delete(t.Context(), got[0]); err != nil {
			t.Fatalf("Delete: %v", err)
		}
	}
	wantDead(t, q, got[1].Body)
}

func deadAgain(t *testing.T, q TaskQueue) {
	send(t, q, page(run.Users, 1))
	last := exhaust(t, q, run.TasksQueue)
	l := wantDead(t, q, last.Body)[0]
	send(t, q, l.Task)
	m := receiveN(t, q, run.TasksQueue, 1, hidden)[0]
	if m.Receives != 1 || taskOf(t, m) != l.Task {
		t.Errorf("sent again: receives %d, task %s; want 1 and %s", m.Receives, taskOf(t, m), l.Task)
	}
	if got := wantDead(t, q, last.Body); len(got) != 1 {
		t.Errorf("%d dead letters beside the task sent again, want 1", len(got))
	}
	end(t, q, run.TasksQueue, m)
	if err := q.DeadLetters().Delete(t.Context(), letters(t, q)[0]); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	wantDead(t, q)
}
