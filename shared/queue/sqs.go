package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"stovasync/shared/awscall"
	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// SQS sends tasks and keeps dead letters on two standard queues and their
// dead-letter queues. It implements pipeline.Tasks, pipeline.DeadLetters,
// Visibility and Burier. All of it may be called at once, but for two visits
// of the dead letters, which would hide letters from each other.
type SQS struct {
	api    api
	urls   map[run.Queue]string
	dead   map[run.Queue]string
	poll   time.Duration
	hide   time.Duration
	policy awscall.Policy
	meter  awscall.Meter

	mu sync.Mutex
	// visited are the receipts of dead letters that a visit hides and that
	// were not deleted yet.
	visited map[string]bool
}

var (
	_ pipeline.Tasks       = (*SQS)(nil)
	_ pipeline.DeadLetters = (*SQS)(nil)
	_ Visibility           = (*SQS)(nil)
	_ Burier               = (*SQS)(nil)
)

// SQSConfig is what SQS works with.
type SQSConfig struct {
	Client *sqs.Client
	URLs   map[run.Queue]string // of the queues
	Dead   map[run.Queue]string // of their dead-letter queues
	// Wait is how long a receive waits for a message (long polling), in whole
	// seconds up to 20. Without waiting, SQS asks only some of its servers, and
	// an empty answer does not say that the queue is empty. Default 1 s;
	// below 0: none.
	Wait time.Duration
	// Hide is how long a visit hides a dead letter, should it end without
	// giving it back. Default 2 minutes.
	Hide   time.Duration
	Policy awscall.Policy // how calls are tried again; the zero value ships
	// Meter is told each request that is sent, in the units that SQS bills:
	// one for every 64 KB that a request carries. It may be nil.
	Meter awscall.Meter
}

// operation is a method of the client.
type operation[In, Out any] func(context.Context, *In, ...func(*sqs.Options)) (*Out, error)

// api holds the operations that are used and not the client, for the reason
// told in package object.
type api struct {
	ChangeMessageVisibility      operation[sqs.ChangeMessageVisibilityInput, sqs.ChangeMessageVisibilityOutput]
	ChangeMessageVisibilityBatch operation[sqs.ChangeMessageVisibilityBatchInput, sqs.ChangeMessageVisibilityBatchOutput]
	DeleteMessage                operation[sqs.DeleteMessageInput, sqs.DeleteMessageOutput]
	ReceiveMessage               operation[sqs.ReceiveMessageInput, sqs.ReceiveMessageOutput]
	SendMessage                  operation[sqs.SendMessageInput, sqs.SendMessageOutput]
	SendMessageBatch             operation[sqs.SendMessageBatchInput, sqs.SendMessageBatchOutput]
}

// NewSQS returns the queues.
func NewSQS(c SQSConfig) *SQS {
	if c.Wait == 0 {
		c.Wait = time.Second
	}
	if c.Hide <= 0 {
		c.Hide = 2 * time.Minute
	}
	return &SQS{
		api: api{
			c.Client.ChangeMessageVisibility, c.Client.ChangeMessageVisibilityBatch, c.Client.DeleteMessage,
			c.Client.ReceiveMessage, c.Client.SendMessage, c.Client.SendMessageBatch,
		},
		urls: c.URLs, dead: c.Dead, poll: c.Wait, hide: c.Hide, policy: c.Policy, meter: c.Meter,
		visited: map[string]bool{},
	}
}

// billed is what SQS counts as one request.
const billed = 64 << 10

// call starts a call that carries so many bytes of messages.
func (s *SQS) call(operation string, payload int) *awscall.Call {
	return s.policy.Call(nil).Count(s.meter, operation, math.Ceil(float64(max(payload, 1))/billed))
}

// batchSize is SQS's limit of entries in a batch call.
const batchSize = 10

func with(call *awscall.Call) func(*sqs.Options) {
	return func(o *sqs.Options) { o.Retryer = call }
}

// url returns a queue's address, or an error that names the queue.
func url(of map[run.Queue]string, q run.Queue) (*string, error) {
	u := of[q]
	if u == "" {
		return nil, fault.New(fault.ConfigInvalid, fmt.Sprintf("no address of the queue %s", q), "check the settings of the stack")
	}
	return &u, nil
}

// Send implements pipeline.Tasks, ten tasks a call. Entries that SQS could not
// take are sent again until ctx ends.
func (s *SQS) Send(ctx context.Context, tasks ...run.Task) error {
	byQueue := map[run.Queue][]run.Task{}
	for _, t := range tasks {
		byQueue[t.Queue()] = append(byQueue[t.Queue()], t)
	}
	for _, q := range []run.Queue{run.TasksQueue, run.PhotosQueue} {
		if len(byQueue[q]) == 0 {
			continue
		}
		u, err := url(s.urls, q)
		if err != nil {
			return err
		}
		for chunk := range slices.Chunk(byQueue[q], batchSize) {
			if err := s.sendBatch(ctx, u, chunk); err != nil {
				return fmt.Errorf("send %d tasks to the queue %s: %w", len(byQueue[q]), q, err)
			}
		}
	}
	return nil
}

func (s *SQS) sendBatch(ctx context.Context, url *string, tasks []run.Task) error {
	entries, payload := make([]types.SendMessageBatchRequestEntry, len(tasks)), 0
	for i, t := range tasks {
		body, err := json.Marshal(t)
		if err != nil {
			return fmt.Errorf("encode %s: %w", t, err)
		}
		payload += len(body)
		// The group makes a standard queue fair: a connection with many pages
		// does not make the others wait.
		entries[i] = types.SendMessageBatchRequestEntry{
			Id: new(strconv.Itoa(i)), MessageBody: new(string(body)), MessageGroupId: new(t.Connection),
		}
	}
	for attempt := 1; len(entries) > 0; attempt++ {
		call := s.call("SendMessageBatch", payload)
		out, err := s.api.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: url, Entries: entries}, with(call))
		if err != nil {
			return call.Error("sqs SendMessageBatch", err)
		}
		if err := hopeless(out.Failed); err != nil {
			return err
		}
		entries = unsent(entries, out)
		if len(entries) > 0 {
			if err := s.policy.Wait(ctx, attempt); err != nil {
				return awscall.Error(fmt.Sprintf("sqs SendMessageBatch: %d entries refused", len(entries)), err)
			}
		}
	}
	return nil
}

// unsent returns the entries that SQS does not report as taken. An entry that
// the answer forgets is sent again: twice does no harm, never would.
func unsent(entries []types.SendMessageBatchRequestEntry, out *sqs.SendMessageBatchOutput) []types.SendMessageBatchRequestEntry {
	return slices.DeleteFunc(slices.Clone(entries), func(e types.SendMessageBatchRequestEntry) bool {
		return slices.ContainsFunc(out.Successful, func(ok types.SendMessageBatchResultEntry) bool {
			return aws.ToString(ok.Id) == aws.ToString(e.Id)
		})
	})
}

// hopeless returns an error for an entry that SQS refuses for what it is. To
// the throttling of a key that encrypts a queue SQS says "sender's fault" too.
func hopeless(failed []types.BatchResultErrorEntry) error {
	for _, f := range failed {
		code := aws.ToString(f.Code)
		if f.SenderFault && !awscall.Passes(code) {
			return awscall.Refused("sqs SendMessageBatch", code)
		}
	}
	return nil
}

// Message is one delivery of a queue.
type Message struct {
	ID       string // the same at every delivery
	Receipt  string // names this delivery
	Body     string
	Receives int // deliveries so far, this one included
}

// Receive takes up to limit messages, at most ten, and hides them for
// visibility, rounded up to whole seconds. No message is no error. Only tests
// call it: Lambda receives by itself. It stands here, as DeleteMessage does,
// because tests of two packages play Lambda with it.
func (s *SQS) Receive(ctx context.Context, q run.Queue, limit int, visibility time.Duration) ([]Message, error) {
	u, err := url(s.urls, q)
	if err != nil {
		return nil, err
	}
	return s.receive(ctx, u, limit, visibility)
}

func (s *SQS) receive(ctx context.Context, url *string, limit int, visibility time.Duration) ([]Message, error) {
	call := s.call("ReceiveMessage", 0)
	out, err := s.api.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: url, MaxNumberOfMessages: int32(min(limit, batchSize)), VisibilityTimeout: seconds(visibility),
		WaitTimeSeconds:             seconds(s.poll),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameApproximateReceiveCount},
	}, with(call))
	if err != nil {
		return nil, call.Error("sqs ReceiveMessage", err)
	}
	messages := make([]Message, len(out.Messages))
	for i, m := range out.Messages {
		n, err := strconv.Atoi(m.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)])
		if err != nil {
			n = 1
		}
		messages[i] = Message{
			ID: aws.ToString(m.MessageId), Receipt: aws.ToString(m.ReceiptHandle), Body: aws.ToString(m.Body), Receives: n,
		}
	}
	return messages, nil
}

// seconds rounds up, so that nothing comes back too early, within the 12 hours
// that SQS allows.
func seconds(d time.Duration) int32 {
	return int32(min(max(math.Ceil(d.Seconds()), 0), 12*60*60))
}

// DeleteMessage ends a received message of a queue. Only tests call it: Lambda
// deletes what was acknowledged.
func (s *SQS) DeleteMessage(ctx context.Context, q run.Queue, receipt string) error {
	u, err := url(s.urls, q)
	if err != nil {
		return err
	}
	return s.deleteMessage(ctx, u, receipt)
}

func (s *SQS) deleteMessage(ctx context.Context, url *string, receipt string) error {
	call := s.call("DeleteMessage", 0)
	if _, err := s.api.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: &receipt}, with(call)); err != nil {
		return call.Error("sqs DeleteMessage", err)
	}
	return nil
}

// ChangeVisibility implements Visibility: d is rounded up to whole seconds and
// bounded by SQS's 12 hours. A message that is no longer under way is an error.
func (s *SQS) ChangeVisibility(ctx context.Context, q run.Queue, receipt string, d time.Duration) error {
	u, err := url(s.urls, q)
	if err != nil {
		return err
	}
	call := s.call("ChangeMessageVisibility", 0)
	_, err = s.api.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
		QueueUrl: u, ReceiptHandle: &receipt, VisibilityTimeout: seconds(d),
	}, with(call))
	if err != nil {
		return call.Error("sqs ChangeMessageVisibility", err)
	}
	return nil
}

// isGone reports whether an error says that a receipt names nothing any more.
func isGone(err error) bool {
	_, invalid := errors.AsType[*types.ReceiptHandleIsInvalid](err)
	return invalid
}
