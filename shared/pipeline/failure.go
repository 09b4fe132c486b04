package pipeline

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"stovasync/shared/run"
)

// Failure is one failed page or failed type run, as the ledger knows it.
type Failure struct {
	Connection string       `json:"connection"`
	Run        string       `json:"run"`
	Type       run.DataType `json:"type"`
	Page       string       `json:"page,omitempty"` // "" for a type run
	Code       string       `json:"code"`
	Error      string       `json:"error"`
	At         time.Time    `json:"at"`
	Rows       int          `json:"rows,omitempty"`
	// Opened says that it has failed no more: a redrive has opened the type run,
	// at At, and nothing has come of that yet.
	Opened bool `json:"opened,omitempty"`
}

// Task returns the task that re-runs the failure.
func (f Failure) Task() run.Task {
	t := run.Task{Kind: run.SyncTask, Connection: f.Connection, Run: f.Run, Type: f.Type}
	if f.Page != "" {
		t.Kind, t.Page = run.PageTask, f.Page
	}
	return t
}

// failure reads the item of an index entry; ok is false when it has not failed
// or is gone.
func (l Ledger) failure(ctx context.Context, k Key) (f Failure, ok bool, err error) {
	if strings.HasPrefix(k.SK, "PAGE#") {
		var p Page
		version, err := load(ctx, l.Items, k, &p)
		if err != nil || version == 0 || p.State != run.PageFailed || !p.Dropped.IsZero() {
			return Failure{}, false, storeError(err)
		}
		return Failure{Connection: p.Connection, Run: p.Run, Type: p.Type, Page: p.Name, Code: p.Code, Error: p.Error, At: p.Settled, Rows: p.Rows}, true, nil
	}
	var tr TypeRun
	version, err := load(ctx, l.Items, k, &tr)
	if err != nil || version == 0 || tr.State != run.Failed || !tr.Dropped.IsZero() {
		return Failure{}, false, storeError(err)
	}
	return Failure{Connection: tr.Connection, Run: tr.Run, Type: tr.Type, Code: tr.Code, Error: tr.Error, At: tr.Ended}, true, nil
}

// nextName names the rest of a page: "3.1" after "3", "3.2" after "3.1".
func nextName(page string) string {
	n, hop, _ := strings.Cut(page, ".")
	k, err := strconv.Atoi(hop)
	if err != nil {
		k = 0 // the page of the plan itself
	}
	return fmt.Sprintf("%s.%d", n, k+1)
}

// planPage returns the index in the plan of the page that a name stands for,
// from 0; names count from 1.
func planPage(name string) (int, error) {
	n, _, _ := strings.Cut(name, ".")
	i, err := strconv.Atoi(n)
	if err != nil || i < 1 {
		return 0, fmt.Errorf("page %q is not a page", name)
	}
	return i - 1, nil
}
