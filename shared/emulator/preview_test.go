package emulator_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/google/go-cmp/cmp"

	"stovasync/shared/app"
	"stovasync/shared/fault"
	"stovasync/shared/run"
	"stovasync/shared/stova/stovatest"
)

// preview invokes the function as an operator does.
func (w *world) preview(e app.PreviewEvent) (answer app.PreviewAnswer, size int) {
	w.t.Helper()
	payload, err := json.Marshal(e)
	if err != nil {
		w.t.Fatal(err)
	}
	out, err := lambda.NewFromConfig(w.Config()).Invoke(w.t.Context(), &lambda.InvokeInput{FunctionName: new(w.Outputs()["PreviewFunction"]), Payload: payload})
	if err != nil || out.FunctionError != nil {
		w.t.Fatalf("preview: %v: %s", err, out.Payload)
	}
	if err := json.Unmarshal(out.Payload, &answer); err != nil {
		w.t.Fatal(err)
	}
	return answer, len(out.Payload)
}

// Its role is the gateway's to check; what it may not do fails the test.
func TestAWSThePreviewFunctionReadsEveryTypeAndStoresNoRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setting{event: small(11)})
	for _, dataType := range run.AllTypes() {
		answer, _ := w.preview(app.PreviewEvent{Connection: "summit", Type: dataType, Sample: 5})
		if len(answer.Errors) > 0 || answer.Report == nil || answer.Report.Type != dataType {
			t.Errorf("%s: %+v", dataType, answer)
		} else if !dataType.IsPhotos() && len(answer.Report.Synced) == 0 {
			t.Errorf("%s: nothing would be stored of %d rows", dataType, answer.Sampled)
		}
	}
	for dataType, all := range records(t, w.steps.Records) {
		if len(all) > 0 {
			t.Errorf("a preview stored %d %s", len(all), dataType)
		}
	}
	w.complete(w.start())
	answer, _ := w.preview(app.PreviewEvent{Connection: "summit", Type: run.UserPhotos, Sample: 5})
	if answer.Report == nil || len(answer.Report.Synced) == 0 {
		t.Errorf("no picture would be fetched of stored users: %+v", answer)
	}
}

// An event that is as large as the verb allows must fit an answer of Lambda,
// with all its columns.
func TestAWSTheLargestSampleFitsAnAnswerOfLambda(t *testing.T) {
	t.Parallel()
	w := newWorld(t, users(12, 220))
	answer, size := w.preview(app.PreviewEvent{Connection: "summit", Type: run.Users, Sample: 200})
	if answer.Report == nil || answer.Sampled != 200 || len(answer.Warnings) > 0 {
		t.Fatalf("sampled %+v", answer)
	}
	if size > 1<<20 {
		t.Errorf("the answer has %d bytes, a sixth of what Lambda takes", size)
	}
	t.Logf("200 rows: %d bytes, %.1f s of which calls %.1f s", size, answer.Seconds, answer.CallSeconds)
}

func TestAWSWhatKeepsAPreviewFromItsReportArrivesWithItsCode(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setting{event: stovatest.Options{Seed: 13, Attendees: 3}})
	bad := "fname +"
	for says, tt := range map[string]struct {
		event app.PreviewEvent
		want  []fault.Code
	}{
		"a connection that is none":     {app.PreviewEvent{Connection: "nobodys", Type: run.Users}, []fault.Code{fault.ConfigInvalid}},
		"a type that is none":           {app.PreviewEvent{Connection: "summit", Type: "nothing"}, []fault.Code{fault.ConfigInvalid}},
		"a mapping with two mistakes":   {app.PreviewEvent{Connection: "summit", Type: run.Users, Trial: true, Mapping: map[run.DataType]map[string]*string{run.Users: {"fname": &bad, "fp_type": new("email")}}}, []fault.Code{fault.MappingInvalid, fault.MappingLocked}},
		"a sample that is out of range": {app.PreviewEvent{Connection: "summit", Type: run.Users, Sample: 1000}, []fault.Code{fault.ConfigInvalid}},
	} {
		t.Run(says, func(t *testing.T) {
			answer, _ := w.preview(tt.event)
			var got []fault.Code
			for _, e := range answer.Errors {
				got = append(got, e.Code)
			}
			slices.Sort(got)
			if diff := cmp.Diff(tt.want, got); diff != "" || answer.Report != nil {
				t.Errorf("codes (-want +got):\n%s%+v", diff, answer.Errors)
			}
		})
	}
	w.faults("401:endpoint=authorize")
	answer, _ := w.preview(app.PreviewEvent{Connection: "summit", Type: run.Users})
	if len(answer.Errors) != 1 || !strings.HasPrefix(string(answer.Errors[0].Code), "STOVA_") || answer.Errors[0].Next == "" {
		t.Errorf("a vendor that refuses the key: %+v", answer)
	}
}
