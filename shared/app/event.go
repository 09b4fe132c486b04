package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// FanoutEvent is the input of the fan-out function: what a schedule sends, or
// a person.
type FanoutEvent struct {
	// Time is the scheduled time; the run's id is made of it. Zero: now.
	Time time.Time `json:"time"`
	Mode run.Mode  `json:"mode"`
	// Connection is the one to sync; empty: all of them.
	Connection string `json:"connection,omitempty"`
	// Types are those to sync, by any of their names; none: all that are enabled.
	Types []string `json:"types,omitempty"`
	// ApprovedRemovals is Start.ApprovedRemovals.
	ApprovedRemovals int `json:"approve_removals,omitempty"`
	// Nonce is Start.Nonce: who starts a run by hand makes one up.
	Nonce string `json:"nonce,omitempty"`
}

// FanoutAnswer says what became of each connection.
type FanoutAnswer struct {
	// Started are the ids of the event's runs, those in Repeated too: who
	// invokes the function again after an answer was lost finds its run here.
	Started []string `json:"started"`
	// Repeated are those of Started that an earlier delivery of the same event
	// had started: nothing new began.
	Repeated []string          `json:"repeated,omitempty"`
	Skipped  map[string]string `json:"skipped,omitempty"` // connection to reason
}

// Fanout starts a run of every connection the event names. It may be called
// twice for one event: the runs' ids are made of its time. A connection whose
// run is under way is skipped; a failure of one keeps none of the others.
func (a *App) Fanout(ctx context.Context, e FanoutEvent) (FanoutAnswer, error) {
	answer := FanoutAnswer{Started: []string{}, Skipped: map[string]string{}}
	tally, usd := pipeline.NewTally(run.Task{}, 0), 0.0
	ctx = pipeline.WithTally(ctx, tally)
	a.watch.invoked()
	names, err := a.named(ctx, e.Connection)
	if err != nil {
		return answer, err
	}
	if e.Mode != "" && e.Mode != run.Full && e.Mode != run.Incremental {
		return answer, fault.New(fault.ConfigInvalid, "the event's mode is neither full nor incremental", "correct the schedule's input")
	}
	types, err := parseTypes(e.Types)
	if err != nil {
		return answer, err
	}
	at := e.Time
	if at.IsZero() {
		at = time.Now()
	}
	var failures error
	for _, name := range names {
		began := time.Now()
		s, err := a.Steps.FanOut(ctx, pipeline.Start{
			Connection: name, Time: at.Truncate(time.Second), Mode: e.Mode, Types: types, ApprovedRemovals: e.ApprovedRemovals, Nonce: e.Nonce,
		})
		a.watch.took(time.Since(began))
		switch {
		case fault.CodeOf(err) == fault.RunActive:
			answer.Skipped[name] = err.Error()
		case err != nil:
			failures = errors.Join(failures, fmt.Errorf("connection %s: %w", name, err))
		case s.Skipped != "":
			answer.Skipped[name] = s.Skipped
		default:
			answer.Started = append(answer.Started, s.Run.ID)
			said := "run started"
			if s.Repeated {
				answer.Repeated = append(answer.Repeated, s.Run.ID)
				said = "run had been started by this event before"
			}
			a.log().InfoContext(ctx, said, "run", s.Run.ID, "connection", name, "mode", string(s.Run.Mode))
			usd += a.watch.book(ctx, s.Run.ID)
		}
	}
	a.watch.tell(ctx, tally, "", usd)
	a.log().InfoContext(ctx, "fan-out", "started", len(answer.Started)-len(answer.Repeated), "repeated", len(answer.Repeated), "skipped", len(answer.Skipped), "failed", failures != nil)
	return answer, failures
}

// parseTypes reads data types; none at all is nil.
func parseTypes(names []string) (types []run.DataType, err error) {
	for _, name := range names {
		t, bad := run.ParseType(name)
		if bad != nil {
			err = errors.Join(err, fault.New(fault.ConfigInvalid, bad.Error(), "name one of the eight data types"))
			continue
		}
		types = append(types, t)
	}
	return types, err
}

func (a *App) named(ctx context.Context, connection string) ([]string, error) {
	if connection != "" {
		return []string{connection}, nil
	}
	all, err := a.Steps.Ledger.Connections(ctx)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(all))
	for i, c := range all {
		names[i] = c.Settings.Name
	}
	return names, nil
}

// RedriveEvent is the input of the redrive function.
type RedriveEvent struct {
	pipeline.Filter
	// All must be set when no filter is: a slip must not re-run everything.
	All    bool `json:"all"`
	DryRun bool `json:"dry_run"`
}

// RedriveAnswer is what became of each failure.
type RedriveAnswer struct {
	Redriven []pipeline.Redriven `json:"redriven"`
	DryRun   bool                `json:"dry_run"`
}

// RedriveEvent re-runs the failures that the event picks.
func (a *App) RedriveEvent(ctx context.Context, e RedriveEvent) (RedriveAnswer, error) {
	if e.Filter == (pipeline.Filter{}) && !e.All {
		return RedriveAnswer{}, fault.New(fault.ConfigInvalid, "the event names no filter", `give one, or "all": true`)
	}
	out, err := a.Steps.Redrive(ctx, e.Filter, e.DryRun)
	a.logRedrive(ctx, e, out, err)
	return RedriveAnswer{Redriven: out, DryRun: e.DryRun}, err
}

// logRedrive logs a redrive as one line: what it was to pick, and how many
// failures got which verdict.
func (a *App) logRedrive(ctx context.Context, e RedriveEvent, out []pipeline.Redriven, err error) {
	counts := map[string]int{}
	for _, r := range out {
		counts[r.Verdict]++
	}
	log := a.log().With("connection", e.Connection, "type", string(e.Type), "cause", e.Cause, "run", e.Run, "dry_run", e.DryRun, "failures", len(out))
	for _, verdict := range pipeline.Verdicts() {
		log = log.With(verdict, counts[verdict])
	}
	if err != nil {
		log.ErrorContext(ctx, "redrive cut short", "code", string(fault.CodeOf(err)))
		return
	}
	log.InfoContext(ctx, "redrive")
}
