package main

import (
	"strings"
	"testing"

	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

func TestTheNarrowestRedriveSaysWhatItTakesAlong(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		page  string
		words string
	}{
		"a page is taken alone":                        {"3", "Only the first of these"},
		"a type takes its failed pages of a run along": {"", "Only what has failed of users in the run of the first"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := pipeline.Failure{Connection: "summit", Run: "r1", Type: run.Users, Page: tt.page}
			if got := onlyWords(x); got != tt.words {
				t.Errorf("words = %q, want %q", got, tt.words)
			}
			command := (&cli{program: "stovasync"}).redriveOnly(x)
			if exact := strings.Contains(command, "--page 3"); exact != (tt.page != "") {
				t.Errorf("command = %q", command)
			}
		})
	}
}
