//go:build !lambda.norpc

package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/smithy-go"

	"stovasync/shared/awscall"
	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
)

// Poll is how often it is of use to look how a run goes.
func (s *Stack) Poll() time.Duration { return s.poll }

// Sync starts a run of a connection and follows it to its end. The run goes
// on by itself when ctx ends. The deployed fan-out function starts it, so that
// what is deployed decides, and an operator without the right to write the
// ledger and tasks can sync too: only that repairs are refused, which is noted.
// A run that is under way gives RUN_ACTIVE. started is told the run before it
// is followed.
func (s *Stack) Sync(ctx context.Context, st pipeline.Start, started func(pipeline.Started)) error {
	// The time and the nonce make the run's id: a call that is tried again
	// finds the run that it has made.
	e := FanoutEvent{
		Time: s.Steps.Now().UTC().Truncate(time.Second), Mode: st.Mode, Connection: st.Connection,
		ApprovedRemovals: st.ApprovedRemovals, Nonce: st.Nonce,
	}
	for _, t := range st.Types {
		e.Types = append(e.Types, string(t))
	}
	var answer FanoutAnswer
	if err := s.invoke(ctx, s.d.FanoutFunction, e, &answer); err != nil {
		return err
	}
	if reason, skipped := answer.Skipped[st.Connection]; skipped {
		return s.skipped(st.Connection, reason)
	}
	if len(answer.Started) != 1 {
		return fault.New(fault.StoreUnavailable, fmt.Sprintf("function %s started %d runs instead of one", s.d.FanoutFunction, len(answer.Started)), "deploy the stack again from the same version as this program")
	}
	id := answer.Started[0]
	r, ok, err := s.Steps.Ledger.Run(ctx, id)
	if err != nil {
		return goesOn(id, err)
	}
	if !ok {
		return fault.New(fault.StoreUnavailable, fmt.Sprintf("run %s was started but is not in the ledger", id), "see runs "+st.Connection)
	}
	started(pipeline.Started{Run: r})
	return goesOn(id, s.follow(ctx, st.Connection, id))
}

// skipped explains why no run was started.
func (s *Stack) skipped(connection, reason string) error {
	const next = "wait for it to end; runs %s shows how far it is and wakes one that has come to rest"
	if e, ok := parseFault(reason); ok {
		return fault.New(e.Code, e.Msg, fmt.Sprintf(next, connection))
	}
	return fault.New(fault.RunActive, reason, "check this machine's clock, and see runs "+connection)
}

// goesOn says of an error that ended the following that it did not end the run.
func goesOn(id string, err error) error {
	e, ok := errors.AsType[*fault.Error](err)
	if !ok {
		return err
	}
	return fault.Wrap(e.Code, err, fmt.Sprintf("run %s goes on, but cannot be followed: %s", id, e.Msg), e.Next)
}

// follow waits until a run has ended.
func (s *Stack) follow(ctx context.Context, connection, id string) error {
	w := watcher{s: s, connection: connection}
	return s.until(ctx, func(ctx context.Context) (bool, error) {
		r, all, err := s.Steps.Ledger.Progress(ctx, id)
		if err != nil || !r.Ended.IsZero() {
			return true, err
		}
		return false, w.repair(ctx, newest(r.Started, all))
	})
}

// newest is the time of the last activity of a run.
func newest(started time.Time, all []pipeline.TypeRun) time.Time {
	for _, tr := range all {
		if tr.Activity.After(started) {
			started = tr.Activity
		}
	}
	return started
}

// until looks at the ledger until look says that it is done.
func (s *Stack) until(ctx context.Context, look func(context.Context) (done bool, err error)) error {
	tick := time.NewTicker(s.poll)
	defer tick.Stop()
	for {
		if done, err := look(ctx); err != nil || done {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// watcher repairs the active run of a connection when nothing moves in it
// (design.md §3.7).
type watcher struct {
	s          *Stack
	connection string
	repaired   time.Time
	denied     bool
}

// repairAfter is how long nothing must have moved before an operator's
// machine repairs a run, and between two repairs.
const repairAfter = time.Minute

// due reports whether what moved last at a time may be repaired now.
func (w *watcher) due(last time.Time) bool {
	now := w.s.Steps.Now()
	return !w.denied && now.After(last.Add(repairAfter)) && now.After(w.repaired.Add(repairAfter))
}

// repair repairs a run in which something moved last at a time. A repair writes
// the ledger and sends tasks: who may not do that goes on following.
func (w *watcher) repair(ctx context.Context, last time.Time) error {
	if !w.due(last) {
		return nil
	}
	w.repaired = w.s.Steps.Now()
	err := w.s.Steps.Repair(ctx, w.connection)
	if w.denied = IsDenied(err); w.denied {
		w.s.log().WarnContext(ctx, "the run of "+w.connection+" has come to rest and may not be woken", "err", err)
		return nil
	}
	return err
}

// Idle is RUN_ACTIVE while a run of the connection is under way.
func (s *Stack) Idle(ctx context.Context, connection string) error {
	r, _, active, err := s.Steps.Underway(ctx, connection)
	if err != nil || !active {
		return err
	}
	return fault.New(fault.RunActive, fmt.Sprintf("run %s is under way", r.ID), fmt.Sprintf("wait for it to end; runs %s shows how far it is", connection))
}

// Wake repairs the active run of a connection when nothing has moved in it for
// a minute: a step whose task is lost is sent again, and in the end failed. It
// reports whether it did.
func (s *Stack) Wake(ctx context.Context, connection string) (bool, error) {
	_, last, active, err := s.Steps.Underway(ctx, connection)
	if err != nil || !active || s.Steps.Now().Before(last.Add(repairAfter)) {
		return false, err
	}
	return true, s.Steps.Repair(ctx, connection)
}

// Redrive has the deployed function re-run failures as pipeline.Steps.Redrive
// says, and follows them until each has come to an end, also to a bad one. They
// go on by themselves when ctx ends. Those in which nothing moves for longer
// than all tries of a task take are not waited for: beside what was sent again
// it then returns RUN_ACTIVE.
func (s *Stack) Redrive(ctx context.Context, f pipeline.Filter, dry bool) ([]pipeline.Redriven, error) {
	var answer RedriveAnswer
	if err := s.invoke(ctx, s.d.RedriveFunction, RedriveEvent{Filter: f, All: true, DryRun: dry}, &answer); err != nil || dry {
		return answer.Redriven, err
	}
	var open []pipeline.Redriven
	for _, r := range answer.Redriven {
		if r.WasSent() {
			open = append(open, r)
		}
	}
	settling := &settling{s: s, all: len(open), open: open, seen: map[typeKey]look{}}
	return answer.Redriven, settling.wait(ctx)
}

// invoke calls a function and waits for its answer.
func (s *Stack) invoke(ctx context.Context, function string, event, answer any) error {
	payload, err := json.Marshal(event)
	if err != nil {
		return err
	}
	out, err := s.invoker.Invoke(ctx, &lambda.InvokeInput{FunctionName: &function, Payload: payload})
	if err != nil {
		return fmt.Errorf("function %s: %w", function, awscall.Error("lambda Invoke", err))
	}
	if out.FunctionError != nil {
		return s.functionError(function, out.Payload)
	}
	if err := json.Unmarshal(out.Payload, answer); err != nil {
		return fault.Wrap(fault.StoreUnavailable, err, fmt.Sprintf("function %s gave an answer of another version", function), "deploy the stack again from the same version as this program")
	}
	return nil
}

// functionError is the coded error that a function returned. Of anything else,
// such as a crash, only the kind is told: the text may hold anything.
func (s *Stack) functionError(function string, payload []byte) error {
	var e struct {
		Message string `json:"errorMessage"`
		Type    string `json:"errorType"`
	}
	_ = json.Unmarshal(payload, &e) // what cannot be read has no code
	if coded, ok := parseFault(e.Message); ok {
		return coded
	}
	kind := regexp.MustCompile(`^[A-Za-z.*]{1,60}$`).FindString(e.Type)
	if kind == "" {
		kind = "an error without a code"
	}
	return fault.New(fault.StoreUnavailable, fmt.Sprintf("function %s ended with %s", function, kind), "see its log: sam logs --stack-name "+s.d.Stack)
}

// IsDenied reports whether AWS refused a call because the credentials do not
// permit it.
func IsDenied(err error) bool {
	e, ok := errors.AsType[smithy.APIError](err)
	return ok && (e.ErrorCode() == "AccessDeniedException" || e.ErrorCode() == "AccessDenied")
}

// parseFault reads a coded error back from its text, the first one in it.
func parseFault(text string) (*fault.Error, bool) {
	m := regexp.MustCompile(`\b([A-Z]+(?:_[A-Z]+)+): ([^;\n]+)(?:; ([^\n]+))?`).FindStringSubmatch(text)
	if m == nil {
		return nil, false
	}
	return fault.New(fault.Code(m[1]), m[2], m[3]), true
}
