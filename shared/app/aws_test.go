package app_test

import (
	"context"
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"stovasync/shared/app"
	"stovasync/shared/awscall/awstest"
	"stovasync/shared/pipeline"
	"stovasync/shared/queue"
	"stovasync/shared/run"
	"stovasync/shared/stova/stovatest"
)

// TestAWSHandlersStoreWhatTheEmbeddedDefaultStores wires the functions' app
// from an environment, starts a run by a schedule's event and hands the queues'
// messages to the handlers, as Lambda does.
func TestAWSHandlersStoreWhatTheEmbeddedDefaultStores(t *testing.T) {
	queues, env := deployment(t)
	w := newWorld(t, stovatest.Options{Attendees: 24, Sessions: 8, Speakers: 5, Sponsors: 4, Levels: 2, Seed: 5}, stovatest.ServerOptions{}, "pageSize: 10\n")
	w.sync(run.Full)

	a, err := app.New(t.Context(), func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	conn, err := w.app.Steps.Ledger.Connection(t.Context(), w.name)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Steps.Ledger.PutConnection(t.Context(), conn, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := a.Secrets.Put(t.Context(), w.name, w.event.Key); err != nil {
		t.Fatal(err)
	}
	answer := fanout(t, a, `{"time": "2031-03-04T09:00:00Z", "mode": "full"}`)
	if len(answer.Started) != 1 {
		t.Fatalf("fan-out: %+v", answer)
	}
	poll(t, a, queues, answer.Started[0])

	v, err := a.Steps.View(t.Context(), answer.Started[0])
	if err != nil {
		t.Fatal(err)
	}
	if v.State != run.Complete {
		t.Errorf("the run is %s: %+v", v.State, v.Types)
	}
	moments := []cmp.Option{
		cmpopts.IgnoreFields(pipeline.Record{}, "Run", "CreatedRun", "FetchedAt", "UpdatedAt"), cmpopts.EquateEmpty(),
		cmpopts.IgnoreMapEntries(func(name string, _ any) bool { return name == "fetched_at" }),
	}
	for typ, want := range w.stored() {
		got := map[string]pipeline.Record{}
		for r, err := range a.Steps.Records.Scan(t.Context(), w.name, typ, pipeline.Scan{}) {
			if err != nil {
				t.Fatal(err)
			}
			got[r.ID] = r
		}
		if diff := cmp.Diff(want, got, moments...); diff != "" {
			t.Errorf("%s (-embedded +AWS):\n%s", typ, diff)
		}
	}
	if again := fanout(t, a, `{"time": "2031-03-04T09:00:00Z", "mode": "full"}`); len(again.Started) != 1 || again.Started[0] != answer.Started[0] {
		t.Errorf("the same event again: %+v", again)
	}
}

// deployment makes what template.yaml deploys and the environment that its
// functions get, the variables of the Lambda runtime among them.
func deployment(t *testing.T) (*queue.SQS, map[string]string) {
	t.Helper()
	cfg := awstest.Config(t)
	creds, err := cfg.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	db, client := awstest.DynamoDB(t), awstest.SQS(t)
	tasks, deadTasks := awstest.Queue(t, client, "5")
	photos, deadPhotos := awstest.Queue(t, client, "5")
	_, prefix := awstest.SSM(t)
	return queue.NewSQS(queue.SQSConfig{
			Client: client, Wait: -1,
			URLs: map[run.Queue]string{run.TasksQueue: tasks, run.PhotosQueue: photos},
			Dead: map[run.Queue]string{run.TasksQueue: deadTasks, run.PhotosQueue: deadPhotos},
		}), map[string]string{
			"AWS_ENDPOINT_URL": *cfg.BaseEndpoint, "AWS_REGION": cfg.Region,
			"AWS_ACCESS_KEY_ID": creds.AccessKeyID, "AWS_SECRET_ACCESS_KEY": creds.SecretAccessKey,
			"STACK": "summit", "LEDGER_TABLE": awstest.Ledger(t, db), "RECORDS_TABLE": awstest.Records(t, db),
			"BUCKET": awstest.Bucket(t, awstest.S3(t)), "SECRET_PREFIX": prefix,
			"TASKS_QUEUE_URL": tasks, "TASKS_DLQ_URL": deadTasks, "PHOTOS_QUEUE_URL": photos, "PHOTOS_DLQ_URL": deadPhotos,
		}
}

// fanout gives an event to the function's handler in the bytes of the service.
func fanout(t *testing.T, a *app.App, event string) (answer app.FanoutAnswer) {
	t.Helper()
	out, err := lambda.NewHandler(a.Fanout).Invoke(t.Context(), []byte(event))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

// poll does the poller's part until the run has ended: one message at a time,
// deleted when the handler's answer does not name it.
func poll(t *testing.T, a *app.App, queues *queue.SQS, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for {
		for _, q := range []run.Queue{run.TasksQueue, run.PhotosQueue} {
			messages, err := queues.Receive(ctx, q, 1, 5*time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range messages {
				deliver(ctx, t, a, queues, q, m)
			}
		}
		r, _, err := a.Steps.Ledger.Progress(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Ended.IsZero() {
			return
		}
	}
}

func deliver(ctx context.Context, t *testing.T, a *app.App, queues *queue.SQS, q run.Queue, m queue.Message) {
	t.Helper()
	event, err := json.Marshal(events.SQSEvent{Records: []events.SQSMessage{{
		MessageId: m.ID, ReceiptHandle: m.Receipt, Body: m.Body, EventSource: "aws:sqs",
		Attributes: map[string]string{"ApproximateReceiveCount": strconv.Itoa(m.Receives)},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	out, err := lambda.NewHandler(a.Handler(q)).Invoke(limited, event)
	if err != nil {
		t.Fatal(err)
	}
	if string(out) != `{"batchItemFailures":[]}` {
		t.Logf("kept: %s", out)
		return
	}
	if err := queues.DeleteMessage(ctx, q, m.Receipt); err != nil {
		t.Fatal(err)
	}
}
