package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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
	if err := s.Repair(ctx, st.Connection); err != nil {
		return Started{}, err
	}
	var active Active
	version, err := load(ctx, s.Ledger.Items, activeKey(conn.Name), &active)
	if err != nil {
		return Started{}, storeError(err)
	}
	if r, ok, err := s.Ledger.Run(ctx, runID(st)); err != nil || ok {
		if err != nil {
			return Started{}, err
		}
		return s.repeat(ctx, r)
	}
	if active.Run != "" && active.Started.After(st.Time) {
		return Started{Skipped: fmt.Sprintf("older than run %s", active.Run)}, nil
	}
	r := Run{
		ID: runID(st), Connection: conn.Name, Types: types, Settings: settingsHash(conn), AskedFull: st.Mode == run.Full,
		Started: st.Time.UTC(), ApprovedRemovals: st.ApprovedRemovals,
	}
	if r.Mode, err = s.mode(ctx, conn, st.Mode, active.FullDue, types); err != nil {
		return Started{}, err
	}
	if started, done, err := s.yield(ctx, st, r, active); err != nil || done {
		return started, err
	}
	return s.create(ctx, r, version, active)
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
func settingsHash(c run.Connection) string {
	doc, err := json.Marshal(c)
	if err != nil {
		panic(err) // plain data always encodes
	}
	sum := sha256.Sum256(doc)
	return hex.EncodeToString(sum[:8])
}

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
	if !st.OwnerGone && s.now().Before(lastActivity(old, all).Add(leasePeriods*s.visibility())) {
		return s.refuse(ctx, r, old)
	}
	return Started{}, false, s.stall(ctx, old, all)
}

// refuse keeps the reason of a skipped start on the connection.
func (s *Steps) refuse(ctx context.Context, r, old Run) (Started, bool, error) {
	reason := fmt.Sprintf("run %s is under way", old.ID)
	now := s.now()
	_, err := modify(ctx, s.Ledger.Items, activeKey(r.Connection), func(a *Active, _ bool) bool {
		a.Skipped = &Skip{Run: r.ID, Mode: r.Mode, Reason: reason, At: now}
		a.FullDue = a.FullDue || r.Mode == run.Full
		return true
	})
	if err != nil {
		return Started{}, true, storeError(err)
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
// transaction, then sends the sync tasks.
func (s *Steps) create(ctx context.Context, r Run, version int64, old Active) (Started, error) {
	now := s.now()
	writes := make([]Write, 0, len(r.Types)+3)
	add := func(k Key, version int64, v any) error {
		w, err := put(k, version, v)
		writes = append(writes, w)
		return err
	}
	err := errors.Join(
		add(activeKey(r.Connection), version, Active{Run: r.ID, Started: r.Started, Skipped: old.Skipped}),
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
		return Started{}, err
	}
	switch err := s.Ledger.Items.Write(ctx, writes...); {
	case errors.Is(err, ErrVersion):
		// Another start of the same connection was faster: its run stands.
		return Started{}, fault.New(fault.RunActive, "another run was started at the same moment", "wait for it to end")
	case err != nil:
		return Started{}, storeError(fmt.Errorf("create run %s: %w", r.ID, err))
	}
	return Started{Run: r}, storeError(s.Tasks.Send(ctx, tasks...))
}
