package emulator

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// lambdaOf returns Lambda with one function, which function_test.go plays.
func lambdaOf(t *testing.T, a Async) (*Lambda, *Function) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f := NewFunction(FunctionConfig{
		Name: "played", ARN: "arn:aws:lambda:eu-central-1:123456789012:function:played", Program: program,
		Env: map[string]string{"EMULATOR_TEST_FUNCTION": "plain"}, Timeout: time.Minute,
	})
	t.Cleanup(f.Close)
	return newLambda(t.Context(), map[string]*Function{"played": f}, map[string]Async{"played": a}), f
}

func TestInvokeAnswersAsLambdaDoes(t *testing.T) {
	t.Parallel()
	l, _ := lambdaOf(t, Async{})
	mux := http.NewServeMux()
	mux.Handle("POST "+invokePath, l)
	for name, c := range map[string]struct {
		function, kind, payload string
		status                  int
		failed                  string // X-Amz-Function-Error
		has                     string
	}{
		"an answer":                    {"played", "RequestResponse", `{}`, 200, "", `"pid":`},
		"an answer to nothing":         {"played", "", ``, 200, "", `"pid":`},
		"a function by its ARN":        {"arn:aws:lambda:eu-central-1:123456789012:function:played", "", `{}`, 200, "", `"pid":`},
		"an error of the function":     {"played", "", `{"do":"fail"}`, 200, "Unhandled", "it failed"},
		"an event is taken":            {"played", "Event", `{}`, 202, "", ""},
		"a dry run":                    {"played", "DryRun", `{}`, 204, "", ""},
		"a function that is not there": {"nobody", "", `{}`, 404, "", "ResourceNotFoundException"},
		"a payload that is no JSON":    {"played", "", `{`, 400, "", "InvalidRequestContentException"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/2015-03-31/functions/"+c.function+"/invocations", strings.NewReader(c.payload))
			r.Header.Set("X-Amz-Invocation-Type", c.kind)
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, r)
			if w.Code != c.status || w.Header().Get("X-Amz-Function-Error") != c.failed || !strings.Contains(w.Body.String(), c.has) {
				t.Errorf("status %d, error %q, %s; want %d, %q and %q", w.Code, w.Header().Get("X-Amz-Function-Error"), w.Body, c.status, c.failed, c.has)
			}
		})
	}
	t.Cleanup(func() {
		if err := l.Wait(); err != nil {
			t.Error(err)
		}
	})
}

func TestAnEventThatFailsIsTriedTwiceMoreAndThenKept(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		event string
		tries int
		kept  bool
	}{
		"one that is served":    {`{}`, 1, false},
		"one that always fails": {`{"do":"exit"}`, 3, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var kept []json.RawMessage
			l, f := lambdaOf(t, Async{Retries: 2, RetryWait: time.Millisecond, OnFailure: func(_ context.Context, record []byte) error {
				kept = append(kept, record)
				return nil
			}})
			l.Event(f, []byte(c.event))
			if err := l.Wait(); err != nil {
				t.Fatal(err)
			}
			if n := len(f.Starts()); n != c.tries {
				t.Errorf("%d tries, want %d", n, c.tries)
			}
			if (len(kept) == 1) != c.kept {
				t.Fatalf("%d records are kept", len(kept))
			}
			if c.kept {
				checkRecord(t, kept[0], c.event)
			}
		})
	}
}

func checkRecord(t *testing.T, doc json.RawMessage, event string) {
	t.Helper()
	var got struct {
		RequestContext struct {
			FunctionARN string `json:"functionArn"`
			Condition   string `json:"condition"`
			Count       int    `json:"approximateInvokeCount"`
		} `json:"requestContext"`
		Payload  json.RawMessage `json:"requestPayload"`
		Response struct {
			Kind string `json:"errorType"`
		} `json:"responsePayload"`
	}
	if err := json.Unmarshal(doc, &got); err != nil {
		t.Fatal(err)
	}
	want := got
	want.RequestContext.FunctionARN = "arn:aws:lambda:eu-central-1:123456789012:function:played:$LATEST"
	want.RequestContext.Condition, want.RequestContext.Count = "RetriesExhausted", 3
	want.Payload, want.Response.Kind = json.RawMessage(event), "Runtime.ExitError"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}
