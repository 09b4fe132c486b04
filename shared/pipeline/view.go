package pipeline

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/run"
)

// RunView is a run as people and programs see it: the JSON of `sync` and
// `runs show` (interface.md).
type RunView struct {
	Run        string    `json:"run"`
	Connection string    `json:"connection"`
	State      run.State `json:"state"`
	Mode       run.Mode  `json:"mode"`
	Started    time.Time `json:"started"`
	Ended      time.Time `json:"ended,omitzero"`
	// Seconds is how long the run took, or has taken so far: from when it was
	// made, not from the scheduled time in Started. Never below 0.
	Seconds float64 `json:"seconds"`
	Spent
	// TaskAge is the largest of its types' (TypeRun.TaskAge).
	TaskAge float64 `json:"task_age_seconds,omitempty"`
	// CostUSD is what the run's tasks used, at the prices of when they did; 0
	// on the embedded default. It grows until the last task has reported.
	CostUSD float64 `json:"cost_usd"`
	// Usage is the units behind CostUSD, by the names of shared/cost.
	Usage    map[string]float64        `json:"usage,omitempty"`
	Types    map[run.DataType]TypeView `json:"types"`
	Rejects  []run.Reject              `json:"rejects,omitempty"`
	Warnings []run.Warning             `json:"warnings,omitempty"`
}

// TypeView is one type run of a RunView.
type TypeView struct {
	State run.State `json:"state"`
	Mode  run.Mode  `json:"mode,omitempty"`
	Pages PagesView `json:"pages"`
	run.Counts
	Spent
	TaskAge float64 `json:"task_age_seconds,omitempty"`
	Code    string  `json:"code,omitempty"`
	Error   string  `json:"error,omitempty"`
}

// PagesView counts the pages of a type run.
type PagesView struct {
	Planned int `json:"planned"`
	Done    int `json:"done"`
	Failed  int `json:"failed"`
}

// View reads a run with its types, rejects and warnings.
func (s *Steps) View(ctx context.Context, id string) (RunView, error) {
	r, ok, err := s.Ledger.Run(ctx, id)
	if err != nil {
		return RunView{}, err
	}
	if !ok {
		return RunView{}, fault.New(fault.ConfigInvalid, "no run "+id, "see runs")
	}
	v, all, err := s.Summary(ctx, r)
	if err != nil {
		return RunView{}, err
	}
	for _, tr := range all {
		v.Warnings = mergeWarnings(v.Warnings, tr.Warnings)
		for range tr.NoID {
			v.Rejects = append(v.Rejects, run.Reject{Type: tr.Type, Code: string(fault.RowNoID), Reason: "a listed row has no id"})
		}
	}
	warned := map[string]Warned{}
	for report, err := range s.Reports(ctx, all) {
		if err != nil {
			return RunView{}, err
		}
		v.Rejects = append(v.Rejects, report.Rejects...)
		for code, w := range report.Warned {
			have, ok := warned[code]
			if !ok {
				have.First = w.First
			}
			have.Rows += w.Rows
			warned[code] = have
		}
	}
	for _, code := range slices.Sorted(maps.Keys(warned)) {
		w := warned[code].First
		if more := warned[code].Rows - 1; more > 0 {
			w.Message += fmt.Sprintf(" (and %d more)", more)
		}
		v.Warnings = mergeWarnings(v.Warnings, []run.Warning{w})
	}
	return v, nil
}

// modeOf is how a run has read the event: full also where it was not asked for,
// as after a change of the mapping, when all types came to be read in full. Of
// those that are not planned yet nobody knows.
func modeOf(r Run, all []TypeRun) run.Mode {
	if slices.ContainsFunc(all, func(tr TypeRun) bool { return tr.Mode == "" && !tr.State.Ended() }) {
		return r.Mode
	}
	planned := slices.DeleteFunc(slices.Clone(all), func(tr TypeRun) bool { return tr.Mode == "" })
	if len(planned) > 0 && !slices.ContainsFunc(planned, func(tr TypeRun) bool { return tr.Mode != run.Full }) {
		return run.Full
	}
	return r.Mode
}

// Summary is a run's view without rejects and warnings, for lists of runs: one
// read besides the run itself.
func (s *Steps) Summary(ctx context.Context, r Run) (RunView, []TypeRun, error) {
	all, used, err := s.Ledger.progress(ctx, r.ID)
	if err != nil {
		return RunView{}, nil, err
	}
	v := RunView{
		Run: r.ID, Connection: r.Connection, State: runState(all), Mode: modeOf(r, all), Started: r.Started, Ended: r.Ended,
		Types: make(map[run.DataType]TypeView, len(all)),
	}
	end := r.Ended
	if end.IsZero() {
		end = s.now()
	}
	v.CostUSD, v.Usage = used.USD, used.Units
	v.Seconds = max(0, end.Sub(r.began())).Round(10 * time.Millisecond).Seconds()
	for _, tr := range all {
		v.Spent = v.Spent.plus(tr.Spent)
		v.TaskAge = max(v.TaskAge, tr.TaskAge)
		v.Types[tr.Type] = TypeView{
			State: tr.State, Mode: tr.Mode, Counts: tr.Counts(), Spent: tr.Spent, TaskAge: tr.TaskAge, Code: tr.Code, Error: tr.Error,
			Pages: PagesView{Planned: tr.Planned, Done: tr.Done, Failed: tr.Failed},
		}
	}
	return v, all, nil
}
