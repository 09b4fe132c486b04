package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// Worker does tasks. All of it may be called at once, and again for the same
// task: SQS delivers at least once.
type Worker interface {
	// Do does a task. nil says that it is done, or that nothing is left to do.
	// An error marked by fault.Permanent says that no retry can mend it.
	Do(ctx context.Context, t run.Task) error
	// Fail records for good that a task failed: of a page task the page, else
	// the type run. cause names the task and wraps what Do returned.
	Fail(ctx context.Context, t run.Task, cause error) error
}

// Visibility moves the moment at which a received message can be received
// again: d from now, 0 for at once.
type Visibility interface {
	ChangeVisibility(ctx context.Context, q run.Queue, receipt string, d time.Duration) error
}

// Burier puts a task straight into the dead letters of its queue.
type Burier interface {
	Bury(ctx context.Context, t run.Task) error
}

// HandlerConfig is what Handler works with. Worker, Visibility, Dead and Queue
// must be set; every other field has a default.
type HandlerConfig struct {
	Worker     Worker
	Visibility Visibility
	Dead       Burier
	// Queue is the queue whose messages this handler gets.
	Queue run.Queue
	// MaxReceives is the maxReceiveCount of the queue: on this receive a
	// failure is recorded for good. Default 5.
	MaxReceives int
	// RetryBase scales the back-off of 1, 4, 15 and 30 minutes: at 2 s, the
	// default, it is as it stands.
	RetryBase time.Duration
	// RetryBaseOf, when set, tells the RetryBase of a task's connection; 0
	// falls back to RetryBase.
	RetryBaseOf func(ctx context.Context, t run.Task) time.Duration
	// Scale scales the back-off once more. The embedded default, where a
	// person waits, uses 0.1. Default 1.
	Scale float64
	// Slack is how much longer than the rest of the invocation a started
	// message stays invisible. Default 30 s.
	Slack time.Duration
	// Hidden says that the receiver has hidden the messages for longer than an
	// invocation may take. They are not hidden anew then: the embedded queue
	// takes a changed visibility for a back-off, and who finds their holder
	// gone could not tell them from tasks that failed.
	Hidden bool
	// Margin is the part of the invocation kept for recording a failure and
	// answering: the Worker's deadline is this much earlier, but never by more
	// than a quarter of the invocation. Default 5 s.
	Margin time.Duration
	// Ended, when set, is told what became of each message, last of all. ctx may
	// have ended.
	Ended func(ctx context.Context, r Report)
	Log   *slog.Logger     // default slog.Default()
	Now   func() time.Time // default time.Now
	Rand  func() float64   // in [0,1), for jitter; default math/rand/v2
}

// releaseTimeout bounds the one call that is made after the invocation's
// context has ended, so that a local runner that was interrupted stops soon.
const releaseTimeout = 2 * time.Second

// backoff is how long a message waits after its first, second, … failed receive.
var backoff = [...]time.Duration{time.Minute, 4 * time.Minute, 15 * time.Minute, 30 * time.Minute}

// Backoffs is the longest that the back-offs of one message take together which
// fails at each of its receives, under a connection's RetryBase (0: the default).
func Backoffs(base time.Duration, receives int) time.Duration {
	if base <= 0 {
		base = defaultRetryBase
	}
	var sum time.Duration
	for n := 1; n < receives; n++ {
		sum += backoff[min(n, len(backoff))-1]
	}
	return time.Duration(float64(sum) * float64(base) / float64(defaultRetryBase) * (1 + jitter))
}

// defaultRetryBase is the RetryBase at which the back-off is as it stands, and
// jitter by how much of itself it varies.
const (
	defaultRetryBase = 2 * time.Second
	jitter           = 0.1
)

// Handler returns the function that lambda.Start gets for a queue of tasks. It
// does the messages of a batch one after the other and answers which of them
// SQS must keep (ReportBatchItemFailures); its error is always nil.
//
//   - A task that was done is acknowledged.
//   - One that failed for good (fault.IsPermanent) is recorded as failed,
//     buried among the dead letters and acknowledged.
//   - One that failed on its last receive is recorded as failed and returned
//     with visibility 0, so that SQS moves it to the dead letters.
//   - Any other failure is returned with a back-off.
//   - A body that is no task is returned with visibility 0 until SQS moves it.
//
// Messages that the invocation has no time for are returned untouched. If the
// invocation itself is cut short, nothing is recorded: the message comes back.
func Handler(cfg HandlerConfig) func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
	h := &handler{cfg.withDefaults()}
	return h.handle
}

func (c HandlerConfig) withDefaults() HandlerConfig {
	if c.MaxReceives <= 0 {
		c.MaxReceives = 5
	}
	if c.RetryBase <= 0 {
		c.RetryBase = defaultRetryBase
	}
	if c.Scale <= 0 {
		c.Scale = 1
	}
	if c.Slack <= 0 {
		c.Slack = 30 * time.Second
	}
	if c.Margin <= 0 {
		c.Margin = 5 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	return c
}

type handler struct{ HandlerConfig }

// Outcome is what became of a message.
type Outcome string

// The outcomes.
const (
	Done        Outcome = "done"        // nothing is left to do
	Again       Outcome = "again"       // it failed and comes back after a back-off
	GivenUp     Outcome = "given_up"    // it failed for good and is, or will be, among the dead letters
	Interrupted Outcome = "interrupted" // there was no time for it; it comes back at once
	NoTask      Outcome = "no_task"     // its body is no task
)

// Report tells of one message.
type Report struct {
	Task     run.Task // zero of a body that is none
	Outcome  Outcome
	Acked    bool          // SQS may forget the message
	Age      time.Duration // since it was sent, when it was begun; 0: not known
	Duration time.Duration // of all that was done about it
	Tally    *pipeline.Tally
}

// message is one message under way.
type message struct {
	id, receipt string
	receives    int
	age         time.Duration
	began       time.Time
	task        run.Task
	tally       *pipeline.Tally
	log         *slog.Logger
}

func (h *handler) handle(ctx context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
	// Never nil: a null list could be read as a malformed answer (aws.md §2).
	res := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
	workCtx, cancel := h.workContext(ctx)
	defer cancel()
	for _, record := range e.Records {
		if !h.one(ctx, workCtx, record) {
			res.BatchItemFailures = append(res.BatchItemFailures,
				events.SQSBatchItemFailure{ItemIdentifier: record.MessageId})
		}
	}
	return res, nil
}

// workContext ends before ctx does, so that the failure is ours to report.
func (h *handler) workContext(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	margin := min(h.Margin, deadline.Sub(h.Now())/4)
	return context.WithDeadlineCause(ctx, deadline.Add(-margin), errors.New("the invocation's time is used up"))
}

// one does one message and reports whether it is acknowledged.
func (h *handler) one(ctx, workCtx context.Context, record events.SQSMessage) bool {
	m := message{
		id: record.MessageId, receipt: record.ReceiptHandle, receives: receiveCount(record), began: h.Now(), age: age(record, h.Now()),
	}
	// Lambda's own name for the text of a line is "message".
	m.log = h.Log.With("message_id", m.id, "queue", string(h.Queue), "receives", m.receives)
	t, err := run.DecodeTask([]byte(record.Body))
	if err == nil {
		m.task = t
		m.log = m.log.With("run", t.Run, "connection", t.Connection, "kind", string(t.Kind), "type", string(t.Type), "page", t.Page)
	}
	m.tally = pipeline.NewTally(m.task, m.age)
	m.tally.Received(m.receives)
	o := h.outcome(pipeline.WithTally(ctx, m.tally), pipeline.WithTally(workCtx, m.tally), m, err)
	if h.Ended != nil {
		h.Ended(ctx, Report{
			Task: m.task, Outcome: o.Outcome, Acked: o.acked, Age: m.age, Duration: h.Now().Sub(m.began), Tally: m.tally,
		})
	}
	return o.acked
}

// result is an outcome, and whether the message is acknowledged.
type result struct {
	Outcome
	acked bool
}

// outcome does what is to be done about a message, logs it as one line, and
// says what became of it. notTask is what is wrong with the message's body.
func (h *handler) outcome(ctx, workCtx context.Context, m message, notTask error) result {
	if workCtx.Err() != nil {
		h.log(m, Interrupted).WarnContext(ctx, "task not started: no time left")
		h.release(ctx, m, 0)
		return result{Interrupted, false}
	}
	if deadline, ok := ctx.Deadline(); ok && !h.Hidden {
		h.setVisibility(ctx, m, deadline.Sub(h.Now())+h.Slack)
	}
	if notTask != nil {
		h.log(m, NoTask).ErrorContext(ctx, "message is not a task", "err", notTask)
		h.setVisibility(ctx, m, 0)
		return result{NoTask, false}
	}
	err := h.do(workCtx, m)
	if err == nil {
		h.log(m, Done).InfoContext(ctx, "task done")
		return result{Done, true}
	}
	return h.failed(ctx, m, fmt.Errorf("%s: %w", m.task, err))
}

// log returns the log of a message with what became of it and what it did: the
// names of the numbers are those of runs show.
func (h *handler) log(m message, o Outcome) *slog.Logger {
	p := m.tally.Types()[m.task.Type]
	log := m.log.With("outcome", string(o), "ms", h.Now().Sub(m.began).Milliseconds(), "age_ms", m.age.Milliseconds(),
		"read", p.Rows.Read, "new", p.Rows.New, "changed", p.Rows.Changed, "unchanged", p.Rows.Unchanged,
		"rejected", p.Rows.Rejected, "api_calls", p.Spent.APICalls, "throttles", p.Spent.Throttles)
	if p.Spent.PhotoBytes > 0 {
		log = log.With("photo_bytes", p.Spent.PhotoBytes)
	}
	for _, state := range m.tally.Ended() {
		log = log.With("run_ended", string(state))
	}
	return log
}

// do calls the Worker and turns a panic into an error. The panic's value may
// hold anything, so only its type is kept.
func (h *handler) do(ctx context.Context, m message) (err error) {
	defer func() {
		if p := recover(); p != nil {
			m.log.ErrorContext(ctx, "task panicked", "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			err = fmt.Errorf("panic of type %T", p)
		}
	}()
	return h.Worker.Do(ctx, m.task)
}

// failed settles a message whose task failed.
func (h *handler) failed(ctx context.Context, m message, cause error) result {
	permanent, last := fault.IsPermanent(cause), m.receives >= h.MaxReceives
	what := func(o Outcome) *slog.Logger {
		return h.log(m, o).With("code", string(fault.CodeOf(cause)), "err", safeText(cause))
	}
	switch {
	case ctx.Err() != nil:
		// The invocation was cut short, which is no failure of the task.
		what(Interrupted).WarnContext(ctx, "task interrupted")
		h.release(ctx, m, 0)
		return result{Interrupted, false}
	case permanent || last:
		return h.failedForGood(ctx, m, cause, permanent, last, what)
	default:
		wait := h.wait(ctx, m)
		what(Again).WarnContext(ctx, "task failed, will be tried again", "wait", wait.Round(time.Millisecond).String())
		h.setVisibility(ctx, m, wait)
		return result{Again, false}
	}
}

func (h *handler) failedForGood(ctx context.Context, m message, cause error, permanent, last bool, what func(Outcome) *slog.Logger) result {
	if err := h.fail(ctx, m, cause); err != nil {
		// Without the record nobody would know of the failure. Left as it is,
		// the message comes back, or is among the dead letters and found by repair.
		what(Again).ErrorContext(ctx, "failure not recorded", "record_code", string(fault.CodeOf(err)), "record_err", safeText(err))
		if !last {
			h.setVisibility(ctx, m, h.wait(ctx, m))
		}
		return result{Again, false}
	}
	if permanent {
		err := h.Dead.Bury(ctx, m.task)
		if err == nil {
			what(GivenUp).ErrorContext(ctx, "task failed for good")
			return result{GivenUp, true}
		}
		what(GivenUp).ErrorContext(ctx, "task failed for good, not buried yet", "bury_err", safeText(err))
		if !last {
			h.setVisibility(ctx, m, h.wait(ctx, m))
			return result{GivenUp, false}
		}
	} else {
		what(GivenUp).ErrorContext(ctx, "task failed on its last receive")
	}
	// At the next receive SQS finds the count used up and moves the message.
	h.setVisibility(ctx, m, 0)
	return result{GivenUp, false}
}

// fail records the failure; a panic of the Worker is an error here too.
func (h *handler) fail(ctx context.Context, m message, cause error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			m.log.ErrorContext(ctx, "recording a failure panicked", "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			err = fmt.Errorf("panic of type %T", p)
		}
	}()
	return h.Worker.Fail(ctx, m.task, cause)
}

// wait is the back-off after this receive, with ±10 % of jitter so that the
// pages of one outage do not come back all at once.
func (h *handler) wait(ctx context.Context, m message) time.Duration {
	base := h.RetryBase
	if h.RetryBaseOf != nil {
		if b := h.RetryBaseOf(ctx, m.task); b > 0 {
			base = b
		}
	}
	step := backoff[min(max(m.receives, 1), len(backoff))-1]
	scale := h.Scale * float64(base) / float64(defaultRetryBase) * (1 - jitter + 2*jitter*h.Rand())
	return time.Duration(float64(step) * scale)
}

// setVisibility moves the message's next receive. A failed call only means
// that the message comes back later than it could.
func (h *handler) setVisibility(ctx context.Context, m message, d time.Duration) {
	if err := h.Visibility.ChangeVisibility(ctx, h.Queue, m.receipt, d); err != nil {
		m.log.WarnContext(ctx, "visibility not changed", "visibility_err", safeText(err))
	}
}

// release gives a message back after the invocation's context may have ended.
func (h *handler) release(ctx context.Context, m message, d time.Duration) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	h.setVisibility(ctx, m, d)
}

// receiveCount reads how often the message was received, this time included.
func receiveCount(record events.SQSMessage) int {
	n, err := strconv.Atoi(record.Attributes["ApproximateReceiveCount"])
	if err != nil {
		return 1
	}
	return max(n, 1)
}

// age is how long ago a message was sent, by this machine's clock: not below 0.
func age(record events.SQSMessage, now time.Time) time.Duration {
	ms, err := strconv.ParseInt(record.Attributes["SentTimestamp"], 10, 64)
	if err != nil {
		return 0
	}
	return max(0, now.Sub(time.UnixMilli(ms)))
}

// safeText is the part of an error that may be logged: a coded error's own
// text, which holds ids and counts only; of others the service's error code or
// the innermost type, since their texts may come from outside.
func safeText(err error) string {
	if e, ok := errors.AsType[*fault.Error](err); ok {
		return e.Error()
	}
	type coded interface {
		error
		ErrorCode() string
	}
	if e, ok := errors.AsType[coded](err); ok {
		return e.ErrorCode()
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return fmt.Sprintf("%T", err)
		}
		err = inner
	}
}
