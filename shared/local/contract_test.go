package local_test

import (
	"context"
	"testing"
	"time"

	"stovasync/shared/local"
	"stovasync/shared/pipeline"
	"stovasync/shared/pipeline/pipelinetest"
	"stovasync/shared/run"
)

func TestItems(t *testing.T) {
	t.Parallel()
	pipelinetest.Items(t, func(t *testing.T) pipeline.Items { return open(t, local.Options{}).Items() })
}

func TestRecords(t *testing.T) {
	t.Parallel()
	pipelinetest.Records(t, func(t *testing.T) pipeline.Records { return open(t, local.Options{}).Records() })
}

func TestEncodedRecords(t *testing.T) {
	t.Parallel()
	pipelinetest.Encoded(t, func(t *testing.T) pipeline.Records { return open(t, local.Options{}).Records() })
}

func TestObjects(t *testing.T) {
	t.Parallel()
	pipelinetest.Objects(t, func(t *testing.T) pipeline.Objects { return open(t, local.Options{}).Objects() })
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	pipelinetest.Secrets(t, func(t *testing.T) pipeline.Secrets { return open(t, local.Options{}).Secrets() })
}

func TestQueue(t *testing.T) {
	t.Parallel()
	pipelinetest.Queue(t, func(t *testing.T, o pipelinetest.QueueOptions) pipelinetest.TaskQueue {
		return consumer{open(t, local.Options{MaxReceives: o.MaxReceives}).Queue()}
	})
}

// consumer gives the queue the shape of the suite: no groups, and receipts
// that need the queue's name.
type consumer struct{ *local.Queue }

func (c consumer) SendBody(ctx context.Context, name run.Queue, body string) error {
	return c.Queue.SendBody(ctx, name, "", body)
}

func (c consumer) Receive(ctx context.Context, name run.Queue, max int, visibility time.Duration) ([]pipelinetest.Message, error) {
	msgs, err := c.Queue.Receive(ctx, name, "", max, visibility)
	var out []pipelinetest.Message
	for _, m := range msgs {
		out = append(out, pipelinetest.Message{ID: m.ID, Receipt: m.Receipt, Body: m.Body, Receives: m.Receives})
	}
	return out, err
}

func (c consumer) Delete(ctx context.Context, _ run.Queue, receipt string) error {
	return c.Queue.Delete(ctx, receipt)
}

func (c consumer) ChangeVisibility(ctx context.Context, _ run.Queue, receipt string, d time.Duration) error {
	return c.Queue.ChangeVisibility(ctx, receipt, d)
}

func (c consumer) DeadLetters() pipeline.DeadLetters { return c.Queue.DeadLetters() }
