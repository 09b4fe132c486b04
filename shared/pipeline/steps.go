package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"

	"stovasync/shared/fault"
	"stovasync/shared/mapping"
	"stovasync/shared/photo"
	"stovasync/shared/run"
	"stovasync/shared/stova"
)

// Source is the part of the vendor's client that the steps need. stova.Client
// is the one for API v2. All of it may be called twice and at once.
type Source interface {
	// Event returns the event, with its zone where the vendor tells it.
	Event(ctx context.Context) (stova.Event, error)
	// Questions returns the questions of the registration form; none is no error.
	Questions(ctx context.Context) ([]stova.Question, error)
	// Tracks returns the account's session tracks; none is no error.
	Tracks(ctx context.Context) ([]stova.Track, error)
	// List returns the ids of a stream, each once.
	List(ctx context.Context, s run.Stream, o stova.ListOptions) (stova.Listing, error)
	// Row returns one row as it came; stova.ErrGone when the vendor does not know the id.
	Row(ctx context.Context, s run.Stream, id string) (json.RawMessage, error)
}

// Downloader fetches one picture; photo.Fetcher does.
type Downloader interface {
	// Fetch returns what became of a picture. An error is something that may
	// pass: a server's trouble, a time-out.
	Fetch(ctx context.Context, r photo.Request) (photo.Picture, error)
}

// Connector opens what a connection reads from.
type Connector interface {
	// Source returns the vendor's client of a connection. Clients live as long
	// as the process; the same settings give the same client.
	Source(ctx context.Context, c run.Connection) (Source, error)
	// Downloader returns the fetcher of pictures of a connection.
	Downloader(c run.Connection) Downloader
	// Mapping returns the compiled mapping of a connection.
	Mapping(c run.Connection) (*mapping.Set, error)
}

// Steps does the work of a run. Every adapter, the clock and randomness come
// from outside. The zero value of a limit means its default.
type Steps struct {
	Ledger    Ledger
	Records   Records
	Objects   Objects
	Tasks     Tasks
	Dead      DeadLetters
	Connector Connector
	// Secrets hold the key by which erased people are known (suppress.go). It is
	// read only for a connection from which somebody was erased.
	Secrets Secrets
	// Announce makes tasks say in the ledger that they are at work on people, for
	// an erasure to wait for. The embedded default has a lock instead.
	Announce bool

	Now func() time.Time // the clock; nil: time.Now
	Log *slog.Logger     // nil: slog.Default
	// Pause waits for d or until ctx ends; nil: a timer.
	Pause func(ctx context.Context, d time.Duration) error
	// Rand returns a number in [0,n); nil: math/rand/v2.
	Rand func(n int) int
	// Visibility is the queues' visibility timeout; repair goes by it. Default 30 minutes.
	Visibility time.Duration
	// Margin is how long before a task's deadline it stops taking rows, so
	// that what it has can be stored and settled. Default 20 seconds.
	Margin time.Duration
	// Fetches is how many rows or pictures a task fetches at once. Default 4.
	Fetches int
	// Prefixes is how many schedule prefixes a page reads at once. Default 8.
	Prefixes int

	plans  cache[Plan]
	events singleflight.Group // by the key of the run's event
}

// leasePatiences is how many times the patience of repair (see Steps.patience)
// without any activity make a run's lease end. Repair gives up on lost tasks
// after two; one more lets it be called. That is six visibility periods where
// retryBaseSeconds is 2 or less.
const leasePatiences = 3

func (s *Steps) now() time.Time {
	if s.Now == nil {
		return time.Now().UTC()
	}
	return s.Now().UTC()
}

func (s *Steps) log() *slog.Logger {
	if s.Log == nil {
		return slog.Default()
	}
	return s.Log
}

func (s *Steps) visibility() time.Duration {
	if s.Visibility == 0 {
		return 30 * time.Minute
	}
	return s.Visibility
}

func (s *Steps) margin() time.Duration {
	if s.Margin == 0 {
		return 20 * time.Second
	}
	return s.Margin
}

func (s *Steps) fetches() int {
	if s.Fetches == 0 {
		return 4
	}
	return s.Fetches
}

// job is a task with what the ledger says about it.
type job struct {
	run.Task
	Run  Run
	Conn run.Connection
	Set  *mapping.Set
	// Current is false when a newer run has superseded this one.
	Current bool
	// Erased knows who must stay out; nobody, for types that are not of people.
	Erased Erasures
}

// Do handles one task. Doing the same task twice, also at once, leaves the
// same store. An error marked fault.Permanent will not be mended by another try.
func (s *Steps) Do(ctx context.Context, t run.Task) error {
	var r Run
	version, err := load(ctx, s.Ledger.Items, runKey(t.Connection, t.Run), &r)
	if err != nil {
		return storeError(err)
	}
	if version == 0 {
		s.log().WarnContext(ctx, "task of a run that is not in the ledger", "run", t.Run, "type", t.Type, "kind", t.Kind)
		return nil
	}
	tallyOf(ctx).FoundRun()
	active, err := s.Ledger.Active(ctx, t.Connection)
	if err != nil {
		return err
	}
	j := job{Task: t, Run: r, Current: active.Run == t.Run}
	if j.Conn, err = s.Ledger.Connection(ctx, t.Connection); errors.Is(err, ErrNoConnection) {
		return s.abandon(ctx, t)
	} else if err != nil {
		return err
	}
	if j.Set, err = s.Connector.Mapping(j.Conn); err != nil {
		return fault.Permanent(err)
	}
	if personal(t.Type) {
		over, err := s.enter(ctx, &j)
		if err != nil {
			return err
		}
		defer over()
	}
	switch t.Kind {
	case run.SyncTask:
		return s.sync(ctx, j)
	case run.FinishTask:
		return s.finish(ctx, j)
	case run.PageTask:
		return s.page(ctx, j)
	}
	return fault.Permanent(fmt.Errorf("task kind %q is unknown", t.Kind))
}

// Fail records for good that a task failed: its page becomes failed, or its
// type run does, and what waits for it is woken. It may be repeated.
func (s *Steps) Fail(ctx context.Context, t run.Task, cause error) error {
	if t.Kind == run.PageTask {
		return s.failPage(ctx, t, cause)
	}
	return s.failType(ctx, t, cause)
}

func (s *Steps) failPage(ctx context.Context, t run.Task, cause error) error {
	_, ok, err := s.Ledger.Page(ctx, t.Run, t.Type, t.Page)
	if err != nil || !ok {
		return err // a page nobody registered has nothing to lose
	}
	tr, err := s.Ledger.fail(ctx, t, cause, s.now())
	if err != nil {
		return err
	}
	return s.check(ctx, tr)
}

// failType ends a type run as failed and wakes its dependents. A type run that
// has ended stays as it is.
func (s *Steps) failType(ctx context.Context, t run.Task, cause error) error {
	now := s.now()
	tr, err := s.Ledger.modifyTypeRun(ctx, t.Run, t.Type, func(tr *TypeRun) bool {
		if tr.State.Ended() {
			return false
		}
		tr.State, tr.Ended, tr.Activity, tr.Redriven = run.Failed, now, now, time.Time{}
		tr.Code, tr.Error = describe(cause)
		return true
	})
	if err != nil || tr.Run == "" {
		return err
	}
	return s.ended(ctx, tr)
}

// check sends the finish task when the sum is true. Whoever may have made it
// true calls it; two finish tasks do no harm.
func (s *Steps) check(ctx context.Context, tr TypeRun) error {
	if !tr.finishable() {
		return nil
	}
	return storeError(s.Tasks.Send(ctx, run.Task{Kind: run.FinishTask, Connection: tr.Connection, Run: tr.Run, Type: tr.Type}))
}

// ended does what follows the end of a type run, and may be repeated: sync
// tasks for the types that may have waited for it, and the end of the run when
// it was the last.
func (s *Steps) ended(ctx context.Context, tr TypeRun) error {
	all, err := s.Ledger.TypeRuns(ctx, tr.Run)
	if err != nil {
		return err
	}
	if err := s.wake(ctx, tr.Type, all); err != nil {
		return err
	}
	return s.closeRun(ctx, tr.Connection, tr.Run, all)
}

// wake sends a sync task for every dependent type that is not yet planned,
// whatever its state, and whose gates are open: of several that it waits for,
// the last to end finds the others ended, since it reads after it has written.
func (s *Steps) wake(ctx context.Context, t run.DataType, all []TypeRun) error {
	var tasks []run.Task
	in := typesOf(all)
	for _, d := range run.Dependents(t, in) {
		for _, tr := range all {
			if tr.Type == d && !tr.Planning && !tr.State.Ended() && gateOpen(d, all) {
				tasks = append(tasks, syncTask(tr))
			}
		}
	}
	return storeError(s.Tasks.Send(ctx, tasks...))
}

// closeRun writes the end of a run whose type runs have all ended, and drops
// its raw pages where the settings keep them no longer than that.
func (s *Steps) closeRun(ctx context.Context, conn, id string, all []TypeRun) error {
	if runState(all) == run.Running {
		return nil
	}
	now, first := s.now(), false
	if _, err := modify(ctx, s.Ledger.Items, runKey(conn, id), func(r *Run, exists bool) bool {
		if first = exists && r.Ended.IsZero(); first {
			r.Ended = now
		}
		return first
	}); err != nil {
		return storeError(err)
	}
	if first {
		tallyOf(ctx).ended(runState(all))
	}
	c, err := s.Ledger.Connection(ctx, conn) // of a removed one nothing is kept
	if err != nil && !errors.Is(err, ErrNoConnection) || c.RawRetentionDays > 0 {
		return err
	}
	return s.dropRaw(ctx, rawPrefix(conn, id))
}

// DropRaw deletes the raw pages of a connection's runs that are older than its
// settings keep them. A bucket's own rules do that too; a folder has none.
func (s *Steps) DropRaw(ctx context.Context, c run.Connection) error {
	if c.RawRetentionDays <= 0 {
		return nil // they went with their run
	}
	oldest := s.now().AddDate(0, 0, -c.RawRetentionDays)
	prefix := rawPrefix(c.Name, "")
	prefix = strings.TrimSuffix(prefix, "/")
	var old []string
	for key, err := range s.Objects.List(ctx, prefix) {
		if err != nil {
			return storeError(err)
		}
		id, _, _ := strings.Cut(strings.TrimPrefix(key, prefix), "/")
		stamp, _, _ := strings.Cut(id, "-")
		if at, err := time.Parse("20060102T150405Z", stamp); err == nil && at.Before(oldest) {
			old = append(old, key)
		}
	}
	if len(old) == 0 {
		return nil
	}
	return storeError(s.Objects.Delete(ctx, old...))
}

// dropRaw deletes the raw pages under a prefix.
func (s *Steps) dropRaw(ctx context.Context, prefix string) error {
	var keys []string
	for key, err := range s.Objects.List(ctx, prefix) {
		if err != nil {
			return storeError(err)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil
	}
	return storeError(s.Objects.Delete(ctx, keys...))
}

func typesOf(all []TypeRun) []run.DataType {
	types := make([]run.DataType, len(all))
	for i, tr := range all {
		types[i] = tr.Type
	}
	return types
}

// runState derives the state of a run from its type runs.
func runState(all []TypeRun) run.State {
	states := make([]run.State, len(all))
	for i, tr := range all {
		states[i] = tr.State
	}
	return run.Derive(states)
}

func syncTask(tr TypeRun) run.Task {
	return run.Task{Kind: run.SyncTask, Connection: tr.Connection, Run: tr.Run, Type: tr.Type}
}
