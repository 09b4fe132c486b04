package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"stovasync/shared/app"
	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
	"stovasync/shared/stova/stovatest"

	"github.com/google/go-cmp/cmp"
)

func TestAFanOutEventNamesItsTypesByAnyOfTheirNames(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		types   []string
		want    []run.DataType // of the run, in the order of run.AllTypes
		unknown []string       // what the refusal names
	}{
		"a name":                           {types: []string{"users"}, want: []run.DataType{run.Users}},
		"synonyms, as people write them":   {types: []string{"Session Registrations", "people"}, want: []run.DataType{run.Users, run.Schedule}},
		"no name: all that are enabled":    {types: []string{}, want: run.AllTypes()},
		"no list: all that are enabled":    {want: run.AllTypes()},
		"an unknown name is refused":       {types: []string{"users", "sesions"}, unknown: []string{"sesions"}},
		"every unknown name is told":       {types: []string{"sesions", "polls"}, unknown: []string{"sesions", "polls"}},
		"an empty name is not all of them": {types: []string{""}, unknown: []string{`""`}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, stovatest.Options{Seed: 1, Attendees: 2, Sessions: -1, Speakers: -1}, stovatest.ServerOptions{}, "")
			answer, err := w.app.Fanout(t.Context(), app.FanoutEvent{Time: time.Date(2031, 1, 10, 9, 0, 0, 0, time.UTC), Types: tt.types})
			runs, lerr := w.app.Steps.Ledger.Runs(t.Context(), w.name, 0)
			if lerr != nil {
				t.Fatal(lerr)
			}
			if tt.unknown != nil {
				if fault.CodeOf(err) != fault.ConfigInvalid || len(answer.Started) > 0 || len(runs) > 0 {
					t.Fatalf("the event gave %+v, %v and %d runs, want CONFIG_INVALID and none", answer, err, len(runs))
				}
				for _, name := range tt.unknown {
					if !strings.Contains(err.Error(), name) {
						t.Errorf("the error %q does not name %s", err, name)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(runs) != 1 || len(answer.Started) != 1 || runs[0].ID != answer.Started[0] {
				t.Fatalf("the event started %v, the ledger holds %d runs", answer.Started, len(runs))
			}
			if diff := cmp.Diff(tt.want, runs[0].Types); diff != "" {
				t.Errorf("types (-want +got):\n%s", diff)
			}
		})
	}
}

// logged returns the lines that an app logs while do runs, as JSON objects.
func logged(t *testing.T, a *app.App, do func()) []map[string]any {
	t.Helper()
	var out bytes.Buffer
	old := a.Steps.Log
	a.Steps.Log = slog.New(slog.NewJSONHandler(&out, nil))
	do()
	a.Steps.Log = old
	var lines []map[string]any
	for line := range bytes.Lines(out.Bytes()) {
		var fields map[string]any
		if err := json.Unmarshal(line, &fields); err != nil {
			t.Fatal(err)
		}
		delete(fields, "time")
		lines = append(lines, fields)
	}
	return lines
}

func TestARepeatedFanOutEventIsToldFromANewOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stovatest.Options{Seed: 1, Attendees: 2, Sessions: -1, Speakers: -1}, stovatest.ServerOptions{}, "")
	e := app.FanoutEvent{Time: time.Date(2031, 1, 10, 9, 0, 0, 0, time.UTC)}
	for _, repeated := range []bool{false, true, true} {
		var answer app.FanoutAnswer
		var err error
		lines := logged(t, w.app.App, func() { answer, err = w.app.Fanout(t.Context(), e) })
		if err != nil {
			t.Fatal(err)
		}
		if len(answer.Started) != 1 {
			t.Fatalf("the event names the runs %v, want its one", answer.Started)
		}
		id := answer.Started[0]
		run := map[string]any{"level": "INFO", "msg": "run started", "run": id, "connection": w.name, "mode": "full"}
		all := map[string]any{"level": "INFO", "msg": "fan-out", "started": 1.0, "repeated": 0.0, "skipped": 0.0, "failed": false}
		var want []string
		if repeated {
			want = []string{id}
			run["msg"] = "run had been started by this event before"
			all["started"], all["repeated"] = 0.0, 1.0
		}
		if diff := cmp.Diff(want, answer.Repeated); diff != "" {
			t.Errorf("repeated (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]map[string]any{run, all}, lines); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	}
}

func TestARedriveLogsItsFilterAndWhatBecameOfTheFailures(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stovatest.Options{Seed: 1, Attendees: 2, Sessions: -1, Speakers: -1}, stovatest.ServerOptions{}, "")
	id, l := "20310110T090000Z-0a0b0c0d", w.app.Steps.Ledger
	for i, connection := range []string{w.name, "gone", "gone"} {
		p := pipeline.Page{Connection: connection, Run: id, Type: run.Users, Name: strconv.Itoa(i + 1), State: run.PageFailed, Code: "STOVA_SERVER"}
		doc, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		key := pipeline.Key{PK: "RUN#" + id, SK: fmt.Sprintf("PAGE#users#%06d", i+1)}
		if err := l.Items.Write(t.Context(), pipeline.Write{Key: key, Doc: doc, Failed: connection}); err != nil {
			t.Fatal(err)
		}
	}
	e := app.RedriveEvent{Filter: pipeline.Filter{Type: run.Users, Cause: "STOVA_SERVER", Run: id}}
	lines := logged(t, w.app.App, func() {
		if _, err := w.app.RedriveEvent(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	})
	want := []map[string]any{{
		"level": "INFO", "msg": "redrive", "connection": "", "type": "users", "cause": "STOVA_SERVER", "run": id, "dry_run": false,
		"failures": 3.0, "sent": 1.0, "covered": 0.0, "superseded": 0.0, "removed": 2.0,
	}}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}
