package pipeline_test

import (
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"stovasync/shared/mapping"
	"stovasync/shared/pipeline"
	"stovasync/shared/pipeline/pipelinetest"
	"stovasync/shared/queue"
	"stovasync/shared/run"
)

// visibility is the queues' visibility timeout in these tests.
const visibility = 30 * time.Minute

// maxReceives is how often a message is delivered before it is given up.
const maxReceives = 5

// clock is a clock that tests move. Every look at it takes a millisecond.
type clock struct {
	mu sync.Mutex
	at time.Time
	// real makes it the real clock, which in a synctest bubble is a moved one too.
	real bool
}

func (c *clock) now() time.Time {
	if c.real {
		return time.Now().UTC()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(time.Millisecond)
	return c.at
}

func (c *clock) advance(d time.Duration) {
	if c.real {
		time.Sleep(d)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// letter is one message of a simQueue.
type letter struct {
	id, deliveries, receives int
	queue                    run.Queue
	body                     string
	visible                  time.Time
	dead, twice              bool
}

// simQueue is both queues with their dead letters. It delivers in a seeded
// random order, as SQS may, and delivers some messages twice.
type simQueue struct {
	now func() time.Time
	rng *rand.Rand // nil: in the order of sending
	// duplicates is the share of messages that are delivered once more.
	duplicates float64

	mu      sync.Mutex
	seq     int
	letters []*letter
	sent    []run.Task
}

func (q *simQueue) Send(ctx context.Context, tasks ...run.Task) error {
	for _, t := range tasks {
		body, err := json.Marshal(t)
		if err != nil {
			return err
		}
		q.add(t, string(body), false)
	}
	return ctx.Err()
}

func (q *simQueue) add(t run.Task, body string, dead bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.seq++
	l := &letter{id: q.seq, queue: t.Queue(), body: body, dead: dead, visible: q.now()}
	if q.rng != nil && q.rng.Float64() < q.duplicates {
		l.twice = true
	}
	q.letters = append(q.letters, l)
	q.sent = append(q.sent, t)
}

func (q *simQueue) Bury(ctx context.Context, t run.Task) error {
	body, err := json.Marshal(t)
	if err != nil {
		return err
	}
	q.add(t, string(body), true)
	return ctx.Err()
}

func (q *simQueue) Dead(ctx context.Context) iter.Seq2[pipeline.DeadLetter, error] {
	return func(yield func(pipeline.DeadLetter, error) bool) {
		for _, l := range q.dead() {
			var t run.Task
			if decoded, err := run.DecodeTask([]byte(l.body)); err == nil {
				t = decoded
			}
			if !yield(pipeline.DeadLetter{Task: t, Body: l.body, Queue: l.queue, Receipt: strconv.Itoa(l.id)}, ctx.Err()) {
				return
			}
		}
	}
}

func (q *simQueue) dead() []letter {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []letter
	for _, l := range q.letters {
		if l.dead {
			out = append(out, *l)
		}
	}
	return out
}

func (q *simQueue) Delete(ctx context.Context, d pipeline.DeadLetter) error {
	q.drop(d.Receipt)
	return ctx.Err()
}

func (q *simQueue) drop(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.letters = slices.DeleteFunc(q.letters, func(l *letter) bool { return strconv.Itoa(l.id) == id })
}

func (q *simQueue) ChangeVisibility(ctx context.Context, _ run.Queue, receipt string, d time.Duration) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, l := range q.letters {
		if fmt.Sprintf("%d.%d", l.id, l.deliveries) == receipt {
			l.visible = q.now().Add(d)
		}
	}
	return ctx.Err()
}

// receive takes one message that is visible now, or tells when one will be.
func (q *simQueue) receive() (l *letter, wait time.Duration, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	var ready []*letter
	var next time.Time
	for _, l := range q.letters {
		switch {
		case l.dead:
		case l.visible.After(now):
			if !more || l.visible.Before(next) {
				next, more = l.visible, true
			}
		case l.receives >= maxReceives:
			l.dead = true
		default:
			ready = append(ready, l)
		}
	}
	if len(ready) == 0 {
		return nil, next.Sub(now), more
	}
	l = ready[0]
	if q.rng != nil {
		l = ready[q.rng.IntN(len(ready))]
	}
	l.receives++
	l.deliveries++
	l.visible = now.Add(visibility)
	return l, 0, true
}

// done ends a message, or leaves it for another delivery when it is one of
// those that come twice.
func (q *simQueue) done(l *letter) {
	q.mu.Lock()
	twice := l.twice
	l.twice = false
	if twice {
		l.visible = q.now()
	}
	q.mu.Unlock()
	if !twice {
		q.drop(strconv.Itoa(l.id))
	}
}

// world is a whole deployment in memory: the steps on memory adapters, the
// vendor, the queues and their handlers, on one clock.
type world struct {
	t       *testing.T
	mem     *pipelinetest.Memory
	queue   *simQueue
	vendor  *vendor
	reaper  *reaper
	writes  *writes
	clock   *clock
	conn    run.Connection
	steps   *pipeline.Steps
	limit   time.Duration // of a delivery; 0: none
	handler map[run.Queue]func(context.Context, events.SQSEvent) (events.SQSEventResponse, error)
	starts  int
	repairs int // how often settle had to call for a repair
}

// newWorld makes a world whose queue delivers in the order of seed; 0: in the
// order of sending, each once.
func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	w := &world{
		t: t, mem: pipelinetest.NewMemory(), vendor: newVendor(), reaper: &reaper{kill: func() {}}, writes: &writes{},
		clock: &clock{at: time.Date(2031, 1, 10, 9, 0, 0, 0, time.UTC)}, conn: connection(),
	}
	w.queue = &simQueue{now: w.clock.now, duplicates: 0.2}
	if seed > 0 {
		w.queue.rng = rand.New(rand.NewPCG(seed, 1))
	}
	q := mortalQueue{w.queue, w.reaper}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError + 1}))
	w.steps = &pipeline.Steps{
		Ledger: pipeline.Ledger{Items: mortalItems{w.mem.Items(), w.reaper}}, Records: mortalRecords{w.mem.Records(), w.reaper, w.writes},
		Objects: mortalObjects{w.mem.Objects(), w.reaper}, Tasks: q, Dead: q,
		Connector: &connector{vendor: w.vendor, reaper: w.reaper, sets: map[string]*mapping.Set{}},
		Now:       w.clock.now, Log: log, Visibility: visibility, Fetches: 1, Prefixes: 1,
		Rand: func(int) int { return 0 },
		Pause: func(ctx context.Context, d time.Duration) error {
			w.clock.advance(d)
			return ctx.Err()
		},
	}
	w.handler = map[run.Queue]func(context.Context, events.SQSEvent) (events.SQSEventResponse, error){}
	for _, name := range []run.Queue{run.TasksQueue, run.PhotosQueue} {
		w.handler[name] = queue.Handler(queue.HandlerConfig{
			Worker: w.steps, Visibility: q, Dead: q, Queue: name, MaxReceives: maxReceives, Log: log,
			Now: w.clock.now, Rand: func() float64 { return 0.5 },
		})
	}
	return w
}

func connection() run.Connection {
	return run.Connection{
		Name: "expo", EndPoint: "https://api.example.test/api/v2", AccountID: "7700", EventID: eventID,
		ActiveStatuses: []string{"Confirmed", "Attended"}, OnlyModified: true, PageSize: 3, DataTypes: run.AllTypes(),
		PresenterPhotoEndpoint: "https://pictures.example.test/image.php?id={id}", PersonPhotoEndpoint: "https://pictures.example.test/files/",
		ConcurrentSessionsTitle: "Parallel", InactivePolicy: "cancel", RemovalLimit: run.RemovalLimit{Records: 10, Percent: 10},
		RawRetentionDays: 14, RequestsPerMinute: 360, RetryBaseSeconds: 2, AllowedPhotoHosts: []string{"example.test"},
		Mapping: map[run.DataType]map[string]*string{
			run.Users: {"photo": new("responses.photo")}, run.Sessions: {"in_slot": new("in_slot")},
		},
	}
}

// expo fills the vendor with a small event in which every type has something.
func (w *world) expo() {
	v := w.vendor
	at := w.clock.now().AddDate(0, -1, 0)
	v.noID = 1
	for i := range 7 {
		id := strconv.Itoa(1001 + i)
		v.people[id] = &person{ID: id, First: "Ada" + id, Status: "Confirmed", Category: "Delegate", Modified: at}
	}
	v.people["1002"].Status = "Cancelled"
	v.people["1001"].Photo, v.people["1003"].Photo, v.people["1004"].Photo = "a.png", "none.png", "html.png"
	v.people["1001"].Picks = []string{"6001_1", "6002_1"}
	v.people["1003"].Picks = []string{"6001_1", "6404_1"} // the second is no session
	v.people["1005"].Picks = []string{"6003_1"}
	for id, level := range map[string]string{"1900": "Gold", "1100": "Silver", "1950": "Gold"} {
		v.people[id] = &person{ID: id, First: "Spon", Status: "Confirmed", Category: "Sponsor", Level: level, Company: "Invented " + id, Modified: at}
	}
	v.sessions["6001_1"] = &session{"6001_1", "Opening", "2031-03-04", "09:00:00", "10:00:00"}
	v.sessions["6002_1"] = &session{"6002_1", "Left", "2031-03-04", "11:00:00", "12:00:00"}
	v.sessions["6003_1"] = &session{"6003_1", "Right", "2031-03-04", "11:00:00", "12:30:00"}
	v.sessions["6009_1"] = &session{"6009_1", "No times", "0000-00-00", "", ""}
	for i, image := range []string{"501", "", "502", "503"} {
		id := strconv.Itoa(9001 + i)
		v.speakers[id] = &speaker{ID: id, First: "Grace" + id, Image: image}
	}
	v.pictures["https://pictures.example.test/files/a.png"] = picture{body: "picture a"}
	v.pictures["https://pictures.example.test/files/html.png"] = picture{state: "rejected"}
	v.pictures["https://pictures.example.test/image.php?id=501"] = picture{body: "picture 501"}
	v.pictures["https://pictures.example.test/image.php?id=502"] = picture{body: "picture 502"}
}

// change makes a day pass and alters the event in every way that a later run
// must follow.
func (w *world) change() {
	v := w.vendor
	w.clock.advance(24 * time.Hour)
	now := w.clock.now().Truncate(time.Hour) // the same in every order
	touch := func(id string, change func(p *person)) {
		change(v.people[id])
		v.people[id].Modified = now
	}
	touch("1001", func(p *person) { p.First, p.Picks, p.Photo = "Ada2", []string{"6002_1"}, "b.png" }) // a pick gone, another photo
	touch("1002", func(p *person) { p.Status = "Attended" })
	touch("1003", func(p *person) { p.Photo = "" })
	touch("1004", func(p *person) { p.Category, p.Level, p.Company = "Sponsor", "Bronze", "Moved" }) // R6, one way
	touch("1100", func(p *person) { p.Category = "Delegate" })                                       // R6, the other way
	touch("1005", func(p *person) { p.Status = "Cancelled" })
	v.people["1020"] = &person{ID: "1020", First: "New", Status: "Confirmed", Modified: now.AddDate(-1, 0, 0), Picks: []string{"6003_1"}}
	v.sessions["6002_1"].Start = "11:30:00" // its group falls apart
	v.sessions["6404_1"] = &session{"6404_1", "Late", "2031-03-04", "15:00:00", "16:00:00"}
	v.speakers["9001"].Image = ""
	v.speakers["9002"].First = "Renamed"
	v.pictures["https://pictures.example.test/files/b.png"] = picture{body: "picture b"}
}

// must stops the test on an error.
func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// save keeps the connection's settings.
func (w *world) save() {
	w.t.Helper()
	w.must(pipeline.Ledger{Items: w.mem.Items()}.PutConnection(w.t.Context(), w.conn, w.clock.now()))
}

// ledger reads the ledger past the reaper.
func (w *world) ledger() pipeline.Ledger { return pipeline.Ledger{Items: w.mem.Items()} }

// onlooker are steps that read what is stored past the reaper and its count.
func (w *world) onlooker() *pipeline.Steps {
	return &pipeline.Steps{Ledger: w.ledger(), Records: w.mem.Records(), Objects: w.mem.Objects(), Now: w.clock.now}
}

// start starts a run as a schedule does: a cut start is repeated with the same event.
func (w *world) start(st pipeline.Start) pipeline.Started {
	w.t.Helper()
	st.Connection = w.conn.Name
	if st.Time.IsZero() {
		w.starts++
		w.clock.advance(time.Hour)
		st.Time = w.clock.now()
	}
	for range 3 {
		var out pipeline.Started
		var err error
		if died := w.reaper.deliver(w.t.Context(), func(ctx context.Context) { out, err = w.steps.FanOut(ctx, st) }); !died && err == nil {
			return out
		}
		w.clock.advance(time.Minute)
	}
	w.t.Fatal("the start did not come through in three tries")
	return pipeline.Started{}
}

// refused starts a run and returns the error of the refusal.
func (w *world) refused(st pipeline.Start) error {
	w.t.Helper()
	st.Connection, st.Time = w.conn.Name, cmp.Or(st.Time, w.clock.now())
	_, err := w.steps.FanOut(w.t.Context(), st)
	return err
}

// deliver delivers one message that is visible, and reports whether there was one.
func (w *world) deliver() bool {
	l, _, _ := w.queue.receive()
	if l == nil {
		return false
	}
	record := events.SQSMessage{
		MessageId: strconv.Itoa(l.id), ReceiptHandle: fmt.Sprintf("%d.%d", l.id, l.deliveries), Body: l.body,
		Attributes: map[string]string{"ApproximateReceiveCount": strconv.Itoa(l.receives)},
	}
	var answer events.SQSEventResponse
	var err error
	died := w.reaper.deliver(w.t.Context(), func(ctx context.Context) {
		if w.limit > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, w.limit)
			defer cancel()
		}
		answer, err = w.handler[l.queue](ctx, events.SQSEvent{Records: []events.SQSMessage{record}})
	})
	w.must(err)
	if !died && len(answer.BatchItemFailures) == 0 {
		w.queue.done(l)
	}
	return true
}

// drain delivers until the queues are empty, moving the clock where all
// messages are hidden.
func (w *world) drain() {
	w.t.Helper()
	for range 20000 {
		if w.deliver() {
			continue
		}
		_, wait, more := w.queue.receive()
		if !more {
			return
		}
		w.clock.advance(max(wait, time.Millisecond))
	}
	w.t.Fatal("the queues do not become empty")
}

// settle drains the queues and repairs until the run has ended.
func (w *world) settle(id string) pipeline.RunView {
	w.t.Helper()
	for range 12 {
		w.drain()
		v, err := w.onlooker().View(w.t.Context(), id)
		w.must(err)
		if v.State != run.Running && !v.Ended.IsZero() {
			w.sums(v)
			return v
		}
		w.repairs++
		w.clock.advance(visibility)
		w.reaper.deliver(w.t.Context(), func(ctx context.Context) {
			if err := w.steps.Repair(ctx, w.conn.Name); err != nil && !w.reaper.struck {
				w.t.Fatal(err)
			}
		})
	}
	w.t.Fatalf("run %s does not end", id)
	return pipeline.RunView{}
}

// sync runs the connection once, to its end.
func (w *world) sync(st pipeline.Start) pipeline.RunView {
	w.t.Helper()
	return w.settle(w.start(st).Run.ID)
}

// sums checks that the counts of every type add up.
func (w *world) sums(v pipeline.RunView) {
	w.t.Helper()
	for t, x := range v.Types {
		if sum := x.New + x.Changed + x.Unchanged + x.Filtered + x.Rejected + x.Pending + x.Missing; sum != x.Read {
			w.t.Errorf("%s: read %d, but the parts sum to %d: %+v", t, x.Read, sum, x.Counts)
		}
		if x.Pages.Done+x.Pages.Failed > x.Pages.Planned {
			w.t.Errorf("%s: more pages settled than planned: %+v", t, x.Pages)
		}
	}
}

// records reads the records of a type, tombstones included, by id.
func (w *world) records(t run.DataType) map[string]pipeline.Record {
	w.t.Helper()
	out := map[string]pipeline.Record{}
	for r, err := range w.mem.Records().Scan(w.t.Context(), w.conn.Name, t, pipeline.Scan{Removed: true}) {
		w.must(err)
		out[r.ID] = r
	}
	return out
}

// keys lists the objects under a prefix.
func (w *world) keys(prefix string) []string {
	w.t.Helper()
	var keys []string
	for key, err := range w.mem.Objects().List(w.t.Context(), prefix) {
		w.must(err)
		keys = append(keys, key)
	}
	return keys
}

// read reads an object that the steps wrote.
func (w *world) read(key string, v any) {
	w.t.Helper()
	r, err := w.mem.Objects().Get(w.t.Context(), key)
	w.must(err)
	z, err := gzip.NewReader(r)
	w.must(err)
	w.must(json.NewDecoder(z).Decode(v))
}

// retry returns the retry list of a type.
func (w *world) retry(t run.DataType) []string {
	w.t.Helper()
	cur := w.cursor(t)
	if cur.Retry == "" {
		return nil
	}
	var ids []string
	w.read(cur.Retry, &ids)
	return ids
}

func (w *world) cursor(t run.DataType) pipeline.Cursor {
	w.t.Helper()
	c, err := w.ledger().Cursor(w.t.Context(), w.conn.Name, t)
	w.must(err)
	return c
}

func (w *world) typeRun(id string, t run.DataType) pipeline.TypeRun {
	w.t.Helper()
	tr, ok, err := w.ledger().TypeRun(w.t.Context(), id, t)
	w.must(err)
	if !ok {
		w.t.Fatalf("run %s holds no %s", id, t)
	}
	return tr
}

// content is what must be the same however a run was disturbed.
type content struct {
	Records map[run.DataType]map[string]pipeline.Record
	Types   map[run.DataType]pipeline.TypeView
	Retry   map[run.DataType][]string
	Ahead   map[run.DataType]bool // the cursor is that of the run
	Rejects []run.Reject
	Warns   []run.Warning
	Photos  []string
}

// content reads the store after a run.
func (w *world) content(v pipeline.RunView) content {
	w.t.Helper()
	c := content{
		Records: map[run.DataType]map[string]pipeline.Record{}, Types: map[run.DataType]pipeline.TypeView{},
		Retry: map[run.DataType][]string{}, Ahead: map[run.DataType]bool{}, Photos: w.keys(eventID + "/"),
	}
	for _, t := range run.AllTypes() {
		c.Records[t] = w.records(t)
		for id, r := range c.Records[t] {
			// Times and run ids say when, not what.
			r.Run, r.CreatedRun, r.FetchedAt, r.UpdatedAt = "", "", time.Time{}, time.Time{}
			if !r.RemovedAt.IsZero() {
				r.RemovedAt = time.Unix(0, 0)
			}
			delete(r.Fields, "fetched_at")
			c.Records[t][id] = r
		}
		c.Retry[t] = w.retry(t)
		c.Ahead[t] = w.cursor(t).Run == v.Run
	}
	for t, x := range v.Types {
		x.Spent = pipeline.Spent{} // what attempts used, too
		c.Types[t] = x
	}
	c.Rejects, c.Warns = slices.Clone(v.Rejects), slices.Clone(v.Warnings)
	slices.SortFunc(c.Rejects, func(a, b run.Reject) int {
		return strings.Compare(fmt.Sprint(a), fmt.Sprint(b))
	})
	slices.SortFunc(c.Warns, func(a, b run.Warning) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return c
}

func (c content) diff(other content) string {
	return gocmp.Diff(c, other, cmpopts.EquateEmpty())
}

// ids returns the ids of records in order.
func ids(records map[string]pipeline.Record) []string { return slices.Sorted(maps.Keys(records)) }

// same fails unless got is want.
func same[T any](t *testing.T, what string, want, got T) {
	t.Helper()
	if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
