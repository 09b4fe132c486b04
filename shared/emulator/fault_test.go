package emulator_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"stovasync/shared/app"
	"stovasync/shared/emulator"
	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
	"stovasync/shared/template"
)

// redrive starts the redrive function as people do.
func (w *world) redrive(e app.RedriveEvent) (answer app.RedriveAnswer) {
	w.t.Helper()
	payload, err := json.Marshal(e)
	if err != nil {
		w.t.Fatal(err)
	}
	out, err := lambda.NewFromConfig(w.Config()).Invoke(w.t.Context(), &lambda.InvokeInput{
		FunctionName: aws.String(w.Outputs()["RedriveFunction"]), Payload: payload,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if out.FunctionError != nil {
		w.t.Fatalf("redrive: %s %s", *out.FunctionError, out.Payload)
	}
	if err := json.Unmarshal(out.Payload, &answer); err != nil {
		w.t.Fatal(err)
	}
	return answer
}

// send puts a body on the tasks queue.
func (w *world) send(body string) {
	w.t.Helper()
	if _, err := w.sqs.SendMessage(w.t.Context(), &sqs.SendMessageInput{QueueUrl: new(w.Outputs()["TasksQueueUrl"]), MessageBody: &body}); err != nil {
		w.t.Fatal(err)
	}
}

func TestAWSAPoisonedTaskEndsInTheDeadLettersAndIsReRun(t *testing.T) {
	t.Parallel()
	s := users(21, 8)
	s.more += "retryBaseSeconds: 0.02\n"
	w := newWorld(t, s)
	w.faults("500:endpoint=getAttendee")
	id := w.start()
	if v := w.end(id); v.State != run.Partial || v.Types[run.Users].Pages.Failed != 1 {
		t.Fatalf("the run is %s: %+v; want partial, with its page failed", v.State, v.Types)
	}
	w.await("the dead letter", func() bool { return w.left("TasksDlqUrl") == 1 })
	pages := w.tasks(pageTask)
	if len(pages) != 5 {
		t.Fatalf("%d deliveries of the page, want 5", len(pages))
	}
	// 1, 4, 15 and 30 minutes, as retryBaseSeconds scales them, ±10 % and
	// rounded up; the last failure lets SQS move the message at once.
	for i, minutes := range []float64{1, 4, 15, 30, 0} {
		want := minutes * 60 * 0.02 / 2
		if got := pages[i].Hidden.Seconds(); pages[i].Receives != i+1 || got < want*0.9 || got > want*1.1+1 {
			t.Errorf("delivery %d (%+v) was hidden for %g s, want %g", i+1, pages[i], got, want)
		}
	}
	w.twin.ClearFaults()
	dry := w.redrive(app.RedriveEvent{All: true, DryRun: true})
	if len(dry.Redriven) != 1 || w.left("TasksDlqUrl") != 1 {
		t.Errorf("a dry redrive gives %+v and leaves %d dead letters, want one each", dry, w.left("TasksDlqUrl"))
	}
	body := pages[0].Body
	done := w.redrive(app.RedriveEvent{Filter: pipeline.Filter{Connection: "summit", Cause: string(fault.StovaServer)}})
	if len(done.Redriven) != 1 || done.Redriven[0].Verdict != pipeline.Sent {
		t.Errorf("the redrive gives %+v, want the page sent", done)
	}
	w.await("the mended run", func() bool { return w.view(id).State == run.Complete })
	w.counts(id, run.Users, 8)
	w.sameAsEmbedded()
	w.redrivenTwice(id, body)
}

// redrivenTwice holds that a task which was re-run may be so again: by the
// function, which has nothing to do, and by a message that somebody moved by hand.
func (w *world) redrivenTwice(id, body string) {
	w.t.Helper()
	if again := w.redrive(app.RedriveEvent{All: true}); len(again.Redriven) != 0 {
		w.t.Errorf("a second redrive gives %+v, want nothing", again)
	}
	asked := w.twin.Calls()["getAttendee"]
	before := len(w.tasks(pageTask))
	w.send(body)
	w.send(body)
	w.await("the messages that were sent by hand", func() bool { return len(w.tasks(pageTask)) == before+2 })
	w.idle()
	if now := w.twin.Calls()["getAttendee"]; now != asked {
		w.t.Errorf("a task that was done before asked the vendor %d times", now-asked)
	}
	w.counts(id, run.Users, 8)
	for _, queue := range []string{"TasksQueueUrl", "TasksDlqUrl"} {
		if n := w.left(queue); n != 0 {
			w.t.Errorf("%d messages are left in %s", n, queue)
		}
	}
}

func TestAWSMessagesThatAreNoWorkHaveAClearEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, users(22, 6))
	id := w.start()
	w.complete(id)
	before := records(t, w.steps.Records)
	for name, c := range map[string]struct {
		body string
		dead bool
		logs []string
	}{
		"a body that is no JSON is kept among the dead letters": {
			body: `{"kind":"page","connection":"summit"; no JSON`, dead: true, logs: []string{`"level":"ERROR"`, "message is not a task"}},
		"a task of an unknown kind is kept among the dead letters": {
			body: `{"kind":"dance","connection":"summit","run":"` + id + `","type":"users"}`, dead: true, logs: []string{`"level":"ERROR"`, "message is not a task"}},
		"a task of a run that no longer exists is acknowledged": {
			body: `{"kind":"page","connection":"summit","run":"20300101T000000Z-00000000","type":"users","page":"1"}`,
			logs: []string{`"level":"WARN"`, "task of a run that is not in the ledger", "20300101T000000Z-00000000"}},
		"a task of a page that was never planned is acknowledged": {
			body: `{"kind":"page","connection":"summit","run":"` + id + `","type":"users","page":"77"}`,
			logs: []string{`"level":"WARN"`, "task of a page that is not in the ledger", `"77"`}},
	} {
		t.Run(name, func(t *testing.T) {
			dead := w.left("TasksDlqUrl")
			w.send(c.body)
			if c.dead {
				w.await("the dead letter", func() bool { return w.left("TasksDlqUrl") == dead+1 })
			} else {
				w.await("the delivery", func() bool { return len(w.tasks(c.body)) == 1 })
			}
			all := w.tasks(c.body)
			if want := map[bool]int{true: 5, false: 1}[c.dead]; len(all) != want || all[len(all)-1].Done == c.dead || all[0].Failed {
				t.Errorf("deliveries: %+v, want %d", all, want)
			}
			if !w.Function("WorkerFunction").Log().Contains(c.logs...) {
				t.Errorf("no line of the log has %q", c.logs)
			}
		})
	}
	w.idle()
	if diff := difference(before, records(t, w.steps.Records)); diff != "" {
		t.Errorf("records changed:\n%s", diff)
	}
	if v := w.view(id); v.State != run.Complete {
		t.Errorf("the run is %s", v.State)
	}
}

func TestAWSAKeyThatIsMissingOrWrongSaysSoAndIsMended(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(*world) error
		code  fault.Code
	}{
		"no parameter": {code: fault.ConfigInvalid, spoil: func(w *world) error { return w.keys.Delete(w.t.Context(), "summit") }},
		"a wrong key": {code: fault.StovaAuth, spoil: func(w *world) error {
			w.key = "0000111122223333444455556666777788889999"
			return w.keys.Put(w.t.Context(), "summit", w.key)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, users(23, 6))
			if err := c.spoil(w); err != nil {
				t.Fatal(err)
			}
			id := w.start()
			v := w.end(id)
			if tv := v.Types[run.Users]; v.State != run.Failed || tv.Code != string(c.code) || !strings.Contains(tv.Error, "; ") {
				t.Errorf("the run is %s, users %+v; want %s with its next step", v.State, tv, c.code)
			}
			// No retry can mend it: it is buried at once.
			w.await("the dead letter", func() bool { return w.left("TasksDlqUrl") == 1 })
			if all := w.tasks(""); len(all) != 1 || !all[0].Done {
				t.Errorf("deliveries: %+v, want a single one", all)
			}
			if err := w.keys.Put(t.Context(), "summit", w.event.Key); err != nil {
				t.Fatal(err)
			}
			if done := w.redrive(app.RedriveEvent{All: true}); len(done.Redriven) != 1 {
				t.Errorf("the redrive gives %+v, want one failure", done)
			}
			w.await("the mended run", func() bool { return w.view(id).State == run.Complete })
			w.sameAsEmbedded()
		})
	}
}

// every hits each nth call that is one.
func every(n int64, one func(emulator.Call) bool) func(emulator.Call) bool {
	var seen atomic.Int64
	return func(c emulator.Call) bool { return one(c) && seen.Add(1)%n == 0 }
}

func of(service string, ops ...string) func(emulator.Call) bool {
	return func(c emulator.Call) bool {
		return c.Principal == "WorkerFunction" && c.Service == service && (ops == nil || slices.Contains(ops, c.Op))
	}
}

func TestAWSAServiceThatRefusesForAWhileLosesNothing(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		fault emulator.Fault
		more  string
		// failed says that tasks fail meanwhile and are tried again.
		failed bool
	}{
		"a table that throttles every other call": {
			fault: emulator.Fault{Hits: every(2, of("dynamodb")), Times: 25, Status: http.StatusBadRequest, Code: "ProvisionedThroughputExceededException"}},
		"a table that throttles all calls": {
			fault: emulator.Fault{Hits: of("dynamodb"), Times: 6, Status: http.StatusBadRequest, Code: "ThrottlingException"}},
		"a table that fails": {
			fault: emulator.Fault{Hits: every(3, of("dynamodb")), Times: 8, Status: http.StatusInternalServerError, Code: "InternalServerError"}},
		"a bucket that is denied": {
			fault: emulator.Fault{Hits: of("s3"), Times: 2, Status: http.StatusForbidden, Code: "AccessDenied"}, failed: true},
		"a bucket that is too busy": {
			fault: emulator.Fault{Hits: of("s3", http.MethodPut), Times: 3, Status: http.StatusServiceUnavailable, Code: "SlowDown"}},
		"a queue that takes half of a batch": {
			fault: emulator.Fault{Hits: of("sqs", "SendMessageBatch"), Times: 3, Code: "InternalError", FailEntries: true}, more: "pageSize: 3\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := users(24, 12)
			s.more += "retryBaseSeconds: 0.02\n" + tt.more
			w := newWorld(t, s)
			var hit atomic.Int64
			hits := tt.fault.Hits
			tt.fault.Hits = func(c emulator.Call) bool {
				ok := hits(c)
				if ok {
					hit.Add(1)
				}
				return ok
			}
			w.Gateway.Fault(tt.fault)
			id := w.start()
			w.complete(id)
			w.counts(id, run.Users, 12)
			w.sameAsEmbedded()
			if hit.Load() == 0 {
				t.Error("the fault hit nothing")
			}
			back := slices.DeleteFunc(w.tasks(""), func(d emulator.Delivery) bool { return d.Done })
			if (len(back) > 0) != tt.failed {
				t.Errorf("deliveries that were not done: %+v", back)
			}
			for _, d := range back {
				if d.Failed || d.Hidden > 20*time.Second {
					t.Errorf("a task failed without a back-off: %+v", d)
				}
			}
			if tt.failed && !w.Function("WorkerFunction").Log().Contains(string(fault.StoreUnavailable), tt.fault.Code, "will be tried again") {
				t.Errorf("no line of the log names %s and %s", fault.StoreUnavailable, tt.fault.Code)
			}
		})
	}
}

func TestAWSAFunctionWithoutAVariableSaysWhichAndItsEventIsKept(t *testing.T) {
	t.Parallel()
	s := users(25, 4)
	s.stack.Change = func(id string, c *emulator.FunctionConfig) {
		if id == "FanoutFunction" {
			delete(c.Env, "LEDGER_TABLE")
		}
	}
	w := newWorld(t, s)
	if err := w.Fire(fullSchedule, scheduled()); err != nil {
		t.Fatal(err)
	}
	if err := w.Settled(); err != nil {
		t.Fatal(err)
	}
	log := w.Function("FanoutFunction").Log()
	if !log.Contains(`"level":"ERROR"`, string(fault.ConfigInvalid), "LEDGER_TABLE is missing", "set it to a table's name") {
		t.Errorf("the log does not say what is missing: %q", log.Lines())
	}
	if n := len(log.Lines()); n != 3 {
		t.Errorf("%d lines, want one for each try", n)
	}
	// Invoked by a person it is an error at once.
	out, err := lambda.NewFromConfig(w.Config()).Invoke(t.Context(), &lambda.InvokeInput{
		FunctionName: aws.String(w.Outputs()["FanoutFunction"]), InvocationType: lambdatypes.InvocationTypeRequestResponse, Payload: []byte(`{}`),
	})
	if err != nil || out.FunctionError == nil || !bytes.Contains(out.Payload, []byte("Runtime.ExitError")) {
		t.Errorf("invoked: %s (%v), want Runtime.ExitError", out.Payload, err)
	}
	w.keptEvent()
}

// keptEvent holds that the schedules' dead letters have the event that fan-out
// could not serve, in Lambda's own words.
func (w *world) keptEvent() {
	w.t.Helper()
	out, err := w.sqs.ReceiveMessage(w.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: new(w.Outputs()["SchedulesDlqUrl"]), MaxNumberOfMessages: 10})
	if err != nil || len(out.Messages) != 1 {
		w.t.Fatalf("%d dead letters of schedules (%v), want one", len(out.Messages), err)
	}
	var record struct {
		RequestContext struct {
			Condition string
			Tries     int `json:"approximateInvokeCount"`
		}
		RequestPayload app.FanoutEvent
	}
	if err := json.Unmarshal([]byte(*out.Messages[0].Body), &record); err != nil {
		w.t.Fatal(err)
	}
	if c := record.RequestContext; c.Condition != "RetriesExhausted" || c.Tries != 3 || !record.RequestPayload.Time.Equal(scheduled()) || record.RequestPayload.Mode != run.Full {
		w.t.Errorf("the dead letter is %+v", record)
	}
}

func TestAWSAFanOutThatFailsIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, users(26, 4))
	w.Gateway.Fault(emulator.Fault{
		Hits:  func(c emulator.Call) bool { return c.Principal == "FanoutFunction" && c.Service == "dynamodb" },
		Times: 2, Status: http.StatusBadRequest, Code: "AccessDeniedException",
	})
	id := w.start()
	w.complete(id)
	w.sameAsEmbedded()
	if !w.Function("FanoutFunction").Log().Contains("AccessDeniedException", "on the table, or use other credentials") {
		t.Error("the log does not tell what failed")
	}
	if n := w.left("SchedulesDlqUrl"); n != 0 {
		t.Errorf("%d dead letters of schedules, want none", n)
	}
}

// without takes a statement out of a role.
func without(role, sid string) func(*template.Template) {
	return func(t *template.Template) {
		properties := t.Section("Resources")[role].(map[string]any)["Properties"].(map[string]any)
		document := properties["Policies"].([]any)[0].(map[string]any)["PolicyDocument"].(map[string]any)
		document["Statement"] = slices.DeleteFunc(document["Statement"].([]any), func(s any) bool { return s.(map[string]any)["Sid"] == sid })
	}
}

func TestAWSARightThatARoleLacksIsFound(t *testing.T) {
	t.Parallel()
	s := users(27, 4)
	s.more += "retryBaseSeconds: 0.001\n"
	s.edit = without("WorkerRole", "ReadKeys")
	s.refused = func(w *world) []string {
		return []string{"WorkerFunction: ssm:GetParameter on arn:aws:ssm:eu-central-1:123456789012:parameter/stovasync/" + w.Name + "/summit"}
	}
	w := newWorld(t, s)
	v := w.end(w.start())
	if tv := v.Types[run.Users]; v.State != run.Failed || tv.Code != string(fault.StoreUnavailable) || !strings.Contains(tv.Error, "AccessDeniedException") {
		t.Errorf("the run is %s, users %+v; want %s", v.State, tv, fault.StoreUnavailable)
	}
	w.await("the dead letter", func() bool { return w.left("TasksDlqUrl") == 1 })
}

// Lambda drops lines below the function's application log level, and a line of
// metrics has none.
func TestAWSMetricsAreKeptAtEveryLogLevel(t *testing.T) {
	t.Parallel()
	s := users(27, 4)
	s.stack.Parameters = map[string]string{"LogLevel": "ERROR", "MetricDetail": "type"}
	w := newWorld(t, s)
	w.complete(w.start())
	log := w.Function("WorkerFunction").Log()
	w.await("the metrics of the run's end", func() bool { return log.Contains(`"_aws"`, `"RunsCompleted"`) })
	if !log.Contains(`"_aws"`, `"RowsNew"`, `"type":"users"`) {
		t.Errorf("no metrics of a type: %q", log.Lines())
	}
	if log.Contains(`"level":"INFO"`) || log.Contains(`"level":"WARN"`) {
		t.Errorf("lines below the level: %q", log.Lines())
	}
}
