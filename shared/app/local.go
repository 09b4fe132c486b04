//go:build !lambda.norpc

// The functions are built with lambda.norpc (template.yaml, Makefile). They
// never use the embedded default, and SQLite is half a binary.

package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"stovasync/shared/fault"
	"stovasync/shared/local"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// Local is the embedded default: the whole product in one process, on SQLite
// and a folder. It drives the handlers that the functions start.
type Local struct {
	*App
	Store   *local.Store
	workers map[run.Queue]int
	limit   time.Duration
}

// LocalOptions change what OpenLocal would choose. The zero value is good.
type LocalOptions struct {
	// Concurrency is how many calls to the vendor, and how many downloads, may
	// be under way at once; 0: 4.
	Concurrency int
	// TaskLimit is the time a task may take, as Lambda's own limit; 0: 5 minutes.
	TaskLimit time.Duration
	Log       *slog.Logger
	Now       func() time.Time
	// Margin is pipeline.Steps.Margin.
	Margin time.Duration
	// Visibility is pipeline.Steps.Visibility.
	Visibility time.Duration
}

// localScale shortens the back-off of failed tasks: here a person waits.
const localScale = 0.1

// taskLimit is the time limit of the functions (template.yaml).
const taskLimit = 5 * time.Minute

// OpenLocal opens the embedded default in a folder.
func OpenLocal(ctx context.Context, dir string, o LocalOptions) (*Local, error) {
	if o.Concurrency <= 0 {
		o.Concurrency = 4
	}
	if o.TaskLimit <= 0 {
		o.TaskLimit = taskLimit
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	store, err := local.Open(ctx, dir, local.Options{Now: o.Now})
	if err != nil {
		return nil, err
	}
	ledger := pipeline.Ledger{Items: store.Items()}
	c := newConnector(store.Secrets(), ledger, o.Concurrency, o.Now)
	a := &App{
		Secrets: store.Secrets(), connector: c, scale: localScale, maxReceives: maxReceives, close: store.Close,
		visibility: localVisibility{store.Queue()}, hidden: true, // work hides them for longer than the limit
	}
	a.Steps = &pipeline.Steps{
		Ledger: ledger, Records: store.Records(), Objects: store.Objects(),
		Tasks: store.Queue(), Dead: store.Queue().DeadLetters(), Connector: c, Secrets: store.Secrets(),
		Now: o.Now, Log: o.Log, Fetches: o.Concurrency, Margin: o.Margin, Visibility: o.Visibility,
	}
	// More pages than calls in flight would only fill memory; with fewer, calls
	// would stand idle while a page is stored.
	return &Local{App: a, Store: store, limit: o.TaskLimit, workers: map[run.Queue]int{run.TasksQueue: 4, run.PhotosQueue: 4}}, nil
}

// maxReceives is the queues' maxReceiveCount (template.yaml).
const maxReceives = 5

// localVisibility fits the embedded queue to the handler's port.
type localVisibility struct{ q *local.Queue }

func (v localVisibility) ChangeVisibility(ctx context.Context, _ run.Queue, receipt string, d time.Duration) error {
	return v.q.ChangeVisibility(ctx, receipt, d)
}

// Sync starts a run of a connection, or takes up the one that a process which
// is gone has left, and drives it to its end. A connection that another
// process drives gives RUN_ACTIVE. started is told the run before it is driven.
func (l *Local) Sync(ctx context.Context, st pipeline.Start, started func(pipeline.Started)) error {
	unlock, err := l.lock(ctx, st.Connection)
	if err != nil {
		return err
	}
	defer unlock()
	st.OwnerGone = true // nobody else holds the lock
	if err := l.Store.Queue().Release(ctx, st.Connection); err != nil {
		return err
	}
	s, err := l.Steps.FanOut(ctx, st)
	if err != nil {
		return err
	}
	if s.Skipped != "" {
		return fault.New(fault.RunActive, s.Skipped, "wait for it to end")
	}
	started(s)
	if err := l.tidy(ctx, st.Connection); err != nil {
		return err
	}
	return l.drive(ctx, st.Connection, s.Run.ID)
}

// tidy drops what a bucket and a table would drop by themselves.
func (l *Local) tidy(ctx context.Context, connection string) error {
	conn, err := l.Steps.Ledger.Connection(ctx, connection)
	if err != nil {
		return err
	}
	if _, err := l.Store.Prune(ctx); err != nil {
		return err
	}
	return l.Steps.DropRaw(ctx, conn)
}

// Redrive re-runs failures as pipeline.Steps.Redrive says, and drives the
// tasks it sent to their end; so too what an earlier one left in the queues when
// its process ended, although nothing of it counts as failed any more.
func (l *Local) Redrive(ctx context.Context, f pipeline.Filter, dry bool) ([]pipeline.Redriven, error) {
	failures, err := l.Steps.Redrive(ctx, f, true)
	if err != nil || dry {
		return failures, err
	}
	var all []pipeline.Redriven
	for _, name := range connectionsOf(failures) {
		one := f
		one.Connection = name
		part, err := l.redriveOne(ctx, one)
		all = append(all, part...)
		if err != nil {
			return all, err
		}
	}
	return all, l.goOn(ctx, f.Connection)
}

// goOn drives the tasks that wait in the queues of a connection, or of all, where
// no process does: that of a redrive may have ended before its last finish.
func (l *Local) goOn(ctx context.Context, connection string) error {
	names := []string{connection}
	if connection == "" {
		saved, err := l.Steps.Ledger.Connections(ctx)
		if err != nil {
			return err
		}
		names = nil
		for _, s := range saved {
			names = append(names, s.Settings.Name)
		}
	}
	for _, name := range names {
		depth, err := l.Store.Queue().Depth(ctx, name)
		if err != nil {
			return err
		}
		if depth.Ready+depth.Held+depth.Delayed == 0 {
			continue
		}
		if err := l.goOnWith(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func (l *Local) goOnWith(ctx context.Context, connection string) error {
	unlock, held, err := l.Store.Lock(ctx, connection)
	if err != nil || !held { // whoever holds it drives them
		return err
	}
	defer unlock()
	if err := l.Store.Queue().Release(ctx, connection); err != nil {
		return err
	}
	l.log().WarnContext(ctx, "going on with tasks of "+connection+" that a process left when it ended")
	return l.drive(ctx, connection, "")
}

func (l *Local) redriveOne(ctx context.Context, f pipeline.Filter) ([]pipeline.Redriven, error) {
	unlock, err := l.lock(ctx, f.Connection)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := l.Store.Queue().Release(ctx, f.Connection); err != nil {
		return nil, err
	}
	out, err := l.Steps.Redrive(ctx, f, false)
	if err != nil {
		return out, err
	}
	return out, l.drive(ctx, f.Connection, "")
}

func connectionsOf(failures []pipeline.Redriven) []string {
	var names []string
	seen := map[string]bool{}
	for _, f := range failures {
		if !seen[f.Connection] {
			seen[f.Connection] = true
			names = append(names, f.Connection)
		}
	}
	return names
}

func (l *Local) lock(ctx context.Context, connection string) (func(), error) {
	unlock, held, err := l.Store.Lock(ctx, connection)
	if err != nil {
		return nil, err
	}
	if !held {
		return nil, fault.New(fault.RunActive, "another process is syncing "+connection, "wait for it to end; see runs "+connection)
	}
	return unlock, nil
}

// drive handles the tasks of a connection until its queues are empty and, when
// a run is named, that run has ended.
func (l *Local) drive(ctx context.Context, connection, id string) error {
	d := &driver{l: l, connection: connection, run: id}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for q, n := range l.workers {
		handle := l.Handler(q)
		for range n {
			wg.Go(func() {
				if err := d.work(ctx, q, handle); err != nil {
					cancel(err)
				}
			})
		}
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, errDriven) {
		return err
	}
	return nil
}

// errDriven ends a drive that has come to its end.
var errDriven = errors.New("all tasks are done")

type driver struct {
	l          *Local
	connection string
	run        string

	mu   sync.Mutex
	lost int // how often the queues were empty while the run had not ended
}

// work receives and handles tasks of one queue, one at a time, until there is
// nothing left to wait for.
func (d *driver) work(ctx context.Context, q run.Queue, handle func(context.Context, events.SQSEvent) (events.SQSEventResponse, error)) error {
	queue := d.l.Store.Queue()
	for ctx.Err() == nil {
		changed := queue.Notify()
		messages, err := queue.Receive(ctx, q, d.connection, 1, d.l.limit+time.Minute)
		if err != nil {
			return err
		}
		if len(messages) == 1 {
			if err := d.one(ctx, q, messages[0], handle); err != nil {
				return err
			}
			continue
		}
		if err := d.idle(ctx, q, changed); err != nil {
			return err
		}
	}
	return nil
}

// one hands a message to the handler as Lambda would, and acknowledges it.
func (d *driver) one(ctx context.Context, q run.Queue, m local.Message, handle func(context.Context, events.SQSEvent) (events.SQSEventResponse, error)) error {
	limited, cancel := context.WithTimeout(ctx, d.l.limit)
	defer cancel()
	res, err := handle(limited, sqsEvent(q, m))
	if err != nil || len(res.BatchItemFailures) > 0 {
		return err
	}
	// The task is done whatever happens to us now.
	return d.l.Store.Queue().Delete(context.WithoutCancel(ctx), m.Receipt)
}

// sqsEvent is the event in which Lambda brings a message.
func sqsEvent(q run.Queue, m local.Message) events.SQSEvent {
	return events.SQSEvent{Records: []events.SQSMessage{{
		MessageId: m.ID, ReceiptHandle: m.Receipt, Body: m.Body, EventSource: "aws:sqs",
		EventSourceARN: "arn:aws:sqs:local:000000000000:" + string(q),
		Attributes: map[string]string{
			"ApproximateReceiveCount": strconv.Itoa(m.Receives),
			"SentTimestamp":           strconv.FormatInt(m.Sent.UnixMilli(), 10),
		},
	}}}
}

// idle waits until a message may be there, or ends the drive.
func (d *driver) idle(ctx context.Context, q run.Queue, changed <-chan struct{}) error {
	wait := time.Second
	next, ok, err := d.l.Store.Queue().NextVisible(ctx, q, d.connection)
	if err != nil {
		return err
	}
	if ok {
		wait = min(wait, max(time.Until(next), time.Millisecond))
	} else if err := d.finished(ctx); err != nil {
		return err
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-changed:
	case <-timer.C:
	}
	return nil
}

// finished returns errDriven when nothing is left to do. Empty queues while
// the run has not ended mean a task that was never sent, by a process that
// died before it could: the unsettled tasks are sent once more.
func (d *driver) finished(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	depth, err := d.l.Store.Queue().Depth(ctx, d.connection)
	if err != nil {
		return err
	}
	if depth.Ready+depth.Held+depth.Delayed > 0 {
		return nil
	}
	if d.run == "" {
		return errDriven
	}
	r, all, err := d.l.Steps.Ledger.Progress(ctx, d.run)
	if err != nil {
		return err
	}
	if !r.Ended.IsZero() {
		return errDriven
	}
	d.lost++
	const patience = 3
	if d.lost > patience {
		return fault.New(fault.TaskLost, fmt.Sprintf("run %s does not end and has no task left", d.run), "run sync again; tell us, this is our fault")
	}
	return d.l.Steps.Resend(ctx, all)
}
