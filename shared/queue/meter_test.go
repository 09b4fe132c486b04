package queue_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	"stovasync/shared/awscall/awstest"
	"stovasync/shared/queue"
	"stovasync/shared/run"
)

func TestMeterIsToldEveryRequestThatIsBilled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var meter awstest.Meter
		s := awstest.Play(func(n int, r awstest.Request) awstest.Answer {
			switch {
			case n <= 2:
				return awstest.Fail(400, "ThrottlingException")
			case r.Op == "SendMessageBatch":
				return sent(t, r, nil)
			default:
				return awstest.Answer{Status: 200, Body: "{}"}
			}
		})
		q := queue.NewSQS(queue.SQSConfig{
			Client: sqs.NewFromConfig(s.Config()), Meter: meter.Count,
			URLs: map[run.Queue]string{run.TasksQueue: "http://aws.example.test/1/tasks"},
		})
		task := run.Task{Kind: run.PageTask, Connection: "summit", Run: "20310304T090000Z-3f2a9c1e", Type: run.Users, Page: "1"}
		if err := q.Send(t.Context(), task); err != nil { // throttled twice
			t.Fatal(err)
		}
		task.Page = strings.Repeat("1", 100<<10)
		if err := q.Send(t.Context(), task); err != nil { // two times 64 KB
			t.Fatal(err)
		}
		if err := q.ChangeVisibility(t.Context(), run.TasksQueue, "receipt", time.Minute); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]float64{"SendMessageBatch": 5, "ChangeMessageVisibility": 1}, meter.Units()); diff != "" {
			t.Errorf("units (-want +got):\n%s", diff)
		}
	})
}
