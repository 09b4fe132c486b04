package queue_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"stovasync/shared/awscall/awstest"
	"stovasync/shared/pipeline"
	"stovasync/shared/pipeline/pipelinetest"
	"stovasync/shared/queue"
	"stovasync/shared/run"
)

// suiteQueue is the queue as the suite drives it.
type suiteQueue struct {
	*queue.SQS
	client *sqs.Client
	urls   map[run.Queue]string
}

func (q suiteQueue) SendBody(ctx context.Context, name run.Queue, body string) error {
	_, err := q.client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: new(q.urls[name]), MessageBody: &body})
	return err
}

func (q suiteQueue) Receive(ctx context.Context, name run.Queue, limit int, visibility time.Duration) ([]pipelinetest.Message, error) {
	messages, err := q.SQS.Receive(ctx, name, limit, visibility)
	var out []pipelinetest.Message
	for _, m := range messages {
		out = append(out, pipelinetest.Message(m))
	}
	return out, err
}

func (q suiteQueue) Delete(ctx context.Context, name run.Queue, receipt string) error {
	return q.DeleteMessage(ctx, name, receipt)
}

func (q suiteQueue) DeadLetters() pipeline.DeadLetters { return q.SQS }

func TestAWSQueue(t *testing.T) {
	t.Parallel()
	client := awstest.SQS(t)
	pipelinetest.Queue(t, func(t *testing.T, o pipelinetest.QueueOptions) pipelinetest.TaskQueue {
		urls, dead := map[run.Queue]string{}, map[run.Queue]string{}
		for _, q := range []run.Queue{run.TasksQueue, run.PhotosQueue} {
			urls[q], dead[q] = awstest.Queue(t, client, strconv.Itoa(o.MaxReceives))
		}
		return suiteQueue{
			// Waiting for messages would hold up every other request: the
			// stand-in serves one at a time.
			SQS:    queue.NewSQS(queue.SQSConfig{Client: client, URLs: urls, Dead: dead, Wait: -1}),
			client: client, urls: urls,
		}
	})
}
