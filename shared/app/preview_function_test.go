package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/config"
	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/preview"
)

// wide is a report of a sample of many columns, all of whose rows are stored.
func wide(rows, columns int) preview.Report {
	r := preview.Report{Sampled: rows, Synced: []map[string]any{}, Filtered: []preview.Filtered{}, Rejected: []preview.Rejected{}}
	for i := range columns {
		r.Columns = append(r.Columns, preview.Column{Expression: fmt.Sprintf("responses.question_%d", i), Label: strings.Repeat("w", 40), Samples: []string{"a…z", "b…y"}})
	}
	for range rows {
		row := map[string]any{}
		for i := range columns {
			row[fmt.Sprintf("field_%d", i)] = "a…z"
		}
		r.Synced = append(r.Synced, row)
	}
	return r
}

func TestAReportFitsAnAnswerOfLambda(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		report preview.Report
		cut    bool
	}{
		"the largest sample of an event with 500 questions, all mapped, is whole": {wide(200, 500), false},
		"records go first, the columns stay":                                      {wide(200, 5000), true},
		"columns go when they alone are too many":                                 {wide(0, 80_000), true},
	}
	for says, tt := range tests {
		t.Run(says, func(t *testing.T) {
			t.Parallel()
			r := tt.report
			columns := len(r.Columns)
			fit(&r, maxAnswer)
			text, err := json.Marshal(PreviewAnswer{Report: &r})
			if err != nil || len(text) > 6<<20 {
				t.Fatalf("the answer has %d bytes (%v)", len(text), err)
			}
			if cut := len(r.Warnings) == 1 && r.Warnings[0].Code == warnCut; cut != tt.cut || r.Sampled != tt.report.Sampled {
				t.Errorf("cut: %v, want %v; warnings %v", cut, tt.cut, r.Warnings)
			}
			if len(r.Synced) > 0 && len(r.Columns) != columns {
				t.Errorf("%d of %d columns are left while records are", len(r.Columns), columns)
			}
			if tt.cut && len(text) < maxAnswer/4 {
				t.Errorf("only %d bytes are left", len(text))
			}
		})
	}
}

func TestWhatThePreviewFunctionAnswersIsWhatWentWrong(t *testing.T) {
	t.Parallel()
	one, two := fault.New(fault.MappingInvalid, "users.photo does not compile", "correct it"), fault.New(fault.MappingLocked, "users.fp_type is locked", "")
	for says, tt := range map[string]struct {
		err   error
		want  string
		coded bool
	}{
		"one mistake":                    {fmt.Errorf("connection summit: %w", one), "MAPPING_INVALID: users.photo does not compile; correct it", true},
		"each of several mistakes":       {errors.Join(one, two), "MAPPING_INVALID: users.photo does not compile; correct it\nMAPPING_LOCKED: users.fp_type is locked", true},
		"nothing that a person can mend": {errors.Join(one, errors.New("index out of range")), "", false},
	} {
		t.Run(says, func(t *testing.T) {
			t.Parallel()
			errs, coded := codedErrors(tt.err)
			if coded != tt.coded {
				t.Fatalf("coded: %v", coded)
			}
			if !coded {
				return
			}
			text, err := json.Marshal(PreviewAnswer{Errors: errs})
			if err != nil || bytes.Contains(text, []byte("connection")) {
				t.Fatalf("the answer %s (%v)", text, err)
			}
			var back PreviewAnswer
			if err := json.Unmarshal(text, &back); err != nil || back.Report != nil {
				t.Fatalf("the answer's report is %v (%v)", back.Report, err)
			}
			if diff := cmp.Diff(tt.want, back.error().Error()); diff != "" {
				t.Errorf("the error on the operator's side (-want +got):\n%s", diff)
			}
		})
	}
}

// A person's slip sets off no alarm; a failure without a code does.
func TestTheFunctionFailsOnlyByItself(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	a := &App{Steps: &pipeline.Steps{Log: slog.New(slog.NewJSONHandler(&log, nil))}}
	answer, err := a.PreviewFunction(t.Context(), PreviewEvent{Connection: "summit", Type: "users", Sample: preview.MaxSample + 1})
	if err != nil || len(answer.Errors) != 1 || answer.Errors[0].Code != fault.ConfigInvalid || !strings.Contains(log.String(), `"code":"CONFIG_INVALID"`) {
		t.Errorf("answer %+v, error %v, log %s", answer, err, &log)
	}
	if err := (PreviewAnswer{}).error(); err != nil {
		t.Errorf("no errors are %v", err)
	}
}

func TestAStackThatIsOlderThanThePreviewIsToldToBeDeployedAgain(t *testing.T) {
	t.Parallel()
	old := &Stack{d: config.Deployment{Resources: config.Resources{Stack: "old"}}}
	_, err := old.Preview(t.Context(), PreviewEvent{Connection: "summit", Type: "users"})
	want := "CONFIG_INVALID: stack old has no function preview: it is older than this program; deploy the stack again from the same version as this program"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}
