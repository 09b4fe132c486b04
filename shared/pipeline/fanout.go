package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/run"
)

// Start asks for a run.
type Start struct {
	Connection string
	// Time is the scheduled time, or now. Runs of one connection are ordered by it.
	Time time.Time
	// Mode is Full to read everything; "" or Incremental leave it to the
	// settings (R16) and to what earlier runs have left.
	Mode run.Mode
	// Types are those to sync; nil: all that are enabled.
	Types []run.DataType
	// Nonce tells starts of the same time and mode apart. A schedule leaves it
	// empty, so that a repeated event changes nothing.
	Nonce            string
	ApprovedRemovals int
	// OwnerGone says that the process that drove the connection's active run
	// is known to be gone (P15): that run is taken up, or ends as stalled.
	OwnerGone bool
}

// Started is what became of a Start.
type Started struct {
	Run Run
	// Resumed: an unfinished run of a process that is gone was taken up.
	Resumed bool
	// Repeated: the run existed; its unplanned types were sent once more.
	Repeated bool
	// Skipped says why no run was started; "" when one was.
	Skipped string
}

// FanOut makes a run and its type runs and sends one sync task per data type.
// A repeated event changes nothing. A run that is under way makes it return
// RUN_ACTIVE, with the reason kept.
func (s *Steps) FanOut(ctx context.Context, st Start) (Started, error) {
	conn, err := s.Ledger.Connection(ctx, st.Connection)
	if err != nil {
		return Started{}, err
	}
	types, err := enabledTypes(conn, st.Types)
	if err != nil {
		return Started{}, err
	}
	if st.OwnerGone {
		// The run is about to be taken up: its tasks are not lost, only unsent.
		err = s.repair(ctx, st.Connection, forever)
	} else {
		err = s.Repair(ctx, st.Connection)
	}
	if err != nil {
		return Started{}, err
	}
	for range raceTries {
		started, again, err := s.start(ctx, st, conn, types)
		if !again {
			return started, err
		}
	}
	const reason = "other runs were started at the same moment"
	if err := s.skip(ctx, conn.Name, Skip{Run: runID(st), Mode: st.Mode, Reason: reason}); err != nil {
		return Started{}, err
	}
	return Started{Skipped: reason}, fault.New(fault.RunActive, reason, "wait for them to end")
}

// raceTries is how often a start looks again after another one was faster: the
// second look finds that one's run.
const raceTries = 3

// start makes the run unless it exists, is outdated, or another is under way.
// again says that another start was faster.
func (s *Steps) start(ctx context.Context, st Start, conn run.Connection, types []run.DataType) (started Started, again bool, err error) {
	var active Active
	version, err := load(ctx, s.Ledger.Items, activeKey(conn.Name), &active)
	if err != nil {
		return Started{}, false, storeError(err)
	}
	if r, ok, err := s.Ledger.Run(ctx, runID(st)); err != nil || ok {
		if err != nil {
			return Started{}, false, err
		}
		started, err = s.repeat(ctx, r)
		return started, false, err
	}
	if active.Run != "" && active.Started.After(st.Time) {
		started = Started{Skipped: fmt.Sprintf("older than run %s", active.Run)}
		return started, false, s.skip(ctx, conn.Name, Skip{Run: runID(st), Mode: st.Mode, Reason: started.Skipped})
	}
	r := Run{
		ID: runID(st), Connection: conn.Name, Types: types, Settings: settingsHash(conn), AskedFull: st.Mode == run.Full,
		Started: st.Time.UTC(), ApprovedRemovals: st.ApprovedRemovals,
	}
	if r.Mode, err = s.mode(ctx, conn, st.Mode, active.FullDue, types); err != nil {
		return Started{}, false, err
	}
	if started, done, err := s.yield(ctx, st, r, active); err != nil || done {
		return started, false, err
	}
	// A full run of some types leaves one of all types due.
	due := active.FullDue && (r.Mode != run.Full || len(types) < len(conn.DataTypes))
	return s.create(ctx, r, version, Active{Run: r.ID, Started: r.Started, Skipped: active.Skipped, FullDue: due})
}

// skip keeps the reason of a start that made no run. A full one stays due.
func (s *Steps) skip(ctx context.Context, connection string, k Skip) error {
	k.At = s.now()
	_, err := modify(ctx, s.Ledger.Items, activeKey(connection), func(a *Active, _ bool) bool {
		a.Skipped = &k
		a.FullDue = a.FullDue || k.Mode == run.Full
		return true
	})
	return storeError(err)
}

// enabledTypes returns the wanted types that the connection has enabled, in
// order; an error when one of them is not.
func enabledTypes(conn run.Connection, wanted []run.DataType) ([]run.DataType, error) {
	if wanted == nil {
		return conn.DataTypes, nil
	}
	var types []run.DataType
	for _, t := range run.AllTypes() {
		if !slices.Contains(wanted, t) {
			continue
		}
		if !slices.Contains(conn.DataTypes, t) {
			return nil, fault.Permanent(fault.New(fault.ConfigInvalid, fmt.Sprintf("data type %s is not enabled for %s", t, conn.Name), "add it to dataTypes"))
		}
		types = append(types, t)
	}
	return types, nil
}

// runID is the scheduled time and a hash of what the run is for. Eight digits
// of it, since many connections share one schedule.
func runID(st Start) string {
	full := "incremental"
	if st.Mode == run.Full {
		full = "full"
	}
	sum := sha256.Sum256([]byte(st.Connection + "|" + full + "|" + st.Nonce))
	return st.Time.UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(sum[:4])
}

// settingsHash stands for all settings of a connection.
func settingsHash(c run.Connection) string { return digest(c) }

// mode is full when it is asked for, due, or when incremental reading is off
// or impossible because a type has no earlier success.
func (s *Steps) mode(ctx context.Context, c run.Connection, asked run.Mode, due bool, types []run.DataType) (run.Mode, error) {
	if asked == run.Full || due || !c.OnlyModified {
		return run.Full, nil
	}
	for _, t := range types {
		cur, err := s.Ledger.Cursor(ctx, c.Name, t)
		if err != nil {
			return "", err
		}
		if !cur.Started.IsZero() {
			return run.Incremental, nil
		}
	}
	return run.Full, nil
}

// repeat answers an event that has been seen: the sync tasks of types that are
// not planned yet go out once more.
func (s *Steps) repeat(ctx context.Context, r Run) (Started, error) {
	all, err := s.Ledger.TypeRuns(ctx, r.ID)
	if err != nil {
		return Started{}, err
	}
	var tasks []run.Task
	for _, tr := range all {
		if !tr.Planning && !tr.State.Ended() {
			tasks = append(tasks, syncTask(tr))
		}
	}
	return Started{Run: r, Repeated: true}, storeError(s.Tasks.Send(ctx, tasks...))
}

// yield decides about the active run, if it has not ended: take it up, give it
// up, or leave it alone and refuse. done says that started is the answer.
func (s *Steps) yield(ctx context.Context, st Start, r Run, active Active) (started Started, done bool, err error) {
	if active.Run == "" {
		return Started{}, false, nil
	}
	old, ok, err := s.Ledger.Run(ctx, active.Run)
	if err != nil || !ok {
		return Started{}, false, err
	}
	all, err := s.Ledger.TypeRuns(ctx, old.ID)
	if err != nil || runState(all) != run.Running {
		return Started{}, false, err
	}
	if st.OwnerGone && old.Settings == r.Settings && slices.Equal(old.Types, r.Types) && old.AskedFull == r.AskedFull {
		return Started{Run: old, Resumed: true}, true, s.Resend(ctx, all)
	}
	leased, err := s.leased(ctx, old, all)
	if err != nil {
		return Started{}, false, err
	}
	if !st.OwnerGone && leased {
		return s.refuse(ctx, r, old)
	}
	return Started{}, false, s.stall(ctx, old, all)
}

// refuse keeps the reason of a skipped start on the connection.
func (s *Steps) refuse(ctx context.Context, r, old Run) (Started, bool, error) {
	reason := fmt.Sprintf("run %s is under way", old.ID)
	k := Skip{Run: r.ID, Mode: run.Incremental, Reason: reason}
	if r.AskedFull { // one that only had to be full will be so again by itself
		k.Mode = run.Full
	}
	if err := s.skip(ctx, r.Connection, k); err != nil {
		return Started{}, true, err
	}
	return Started{Skipped: reason}, true, fault.Permanent(fault.New(fault.RunActive, reason, "wait for it to end; see runs show "+old.ID))
}

// stall ends the type runs of a run that is given up.
func (s *Steps) stall(ctx context.Context, old Run, all []TypeRun) error {
	now := s.now()
	for i, tr := range all {
		stalled, err := s.Ledger.modifyTypeRun(ctx, old.ID, tr.Type, func(tr *TypeRun) bool {
			if tr.State.Ended() {
				return false
			}
			tr.State, tr.Ended = run.Stalled, now
			tr.Code, tr.Error = string(fault.TaskLost), "the run was given up before this type ended"
			return true
		})
		if err != nil {
			return err
		}
		all[i] = stalled
	}
	return s.closeRun(ctx, old.Connection, old.ID, all)
}

func lastActivity(r Run, all []TypeRun) time.Time {
	last := r.Started
	for _, tr := range all {
		if tr.Activity.After(last) {
			last = tr.Activity
		}
	}
	return last
}

// create writes the run, its type runs and the connection's active run in one
// transaction, then sends the sync tasks. again says that another start was
// faster.
func (s *Steps) create(ctx context.Context, r Run, version int64, active Active) (started Started, again bool, err error) {
	now := s.now()
	r.Began = now
	writes := make([]Write, 0, len(r.Types)+3)
	add := func(k Key, version int64, v any) error {
		w, err := put(k, version, v)
		writes = append(writes, w)
		return err
	}
	err = errors.Join(
		add(activeKey(r.Connection), version, active),
		add(runKey(r.Connection, r.ID), 0, r),
		add(runPointer(r.ID), 0, map[string]string{"connection": r.Connection}),
	)
	var tasks []run.Task
	for _, t := range r.Types {
		tr := TypeRun{Connection: r.Connection, Run: r.ID, Type: t, State: run.Queued, Activity: now}
		err = errors.Join(err, add(typeKey(r.ID, t), 0, tr))
		tasks = append(tasks, syncTask(tr))
	}
	if err != nil {
		return Started{}, false, err
	}
	switch err := s.Ledger.Items.Write(ctx, writes...); {
	case errors.Is(err, ErrVersion):
		return Started{}, true, nil
	case err != nil:
		return Started{}, false, storeError(fmt.Errorf("create run %s: %w", r.ID, err))
	}
	return Started{Run: r}, false, storeError(s.Tasks.Send(ctx, tasks...))
}
