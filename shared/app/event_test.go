package app_test

import (
	"strings"
	"testing"
	"time"

	"stovasync/shared/app"
	"stovasync/shared/fault"
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
