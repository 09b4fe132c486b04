package emulator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// MappingConfig says which messages go to which function: an event source
// mapping as the template defines it.
type MappingConfig struct {
	Function *Function
	// Client receives and deletes with the rights of the function's role, as
	// Lambda's poller does.
	Client *sqs.Client
	// Operator, with rights of its own, makes messages visible early (Patience).
	Operator *sqs.Client
	QueueURL string
	QueueARN string
	Region   string
	// BatchSize is the number of messages in an event, Concurrency that of
	// events under way. Default 1 each.
	BatchSize, Concurrency int
	// Partial is ReportBatchItemFailures.
	Partial bool
	// Patience is the longest that a message which was not done stays hidden,
	// whatever visibility it was given. 0: as long as that says.
	Patience time.Duration
	// Visibility tells the visibility that the function gave a delivery last,
	// by its receipt.
	Visibility func(receipt string) (time.Duration, bool)
	// Wake, when set, tells that something was sent to the queue.
	Wake <-chan struct{}
	// Failed is told when a call of the poller fails, once.
	Failed func(error)
	// Twice hands every event to two invocations at once, as SQS may.
	Twice bool
}

// Delivery is one message of one event, and what became of it.
type Delivery struct {
	MessageID string
	Body      string
	Receives  int // deliveries of the message so far, this one included
	Done      bool
	// Failed says that the invocation failed as a whole: an error, a process
	// that ended, a time limit, or an answer that cannot be read.
	Failed bool
	// Hidden is the visibility that the function gave a message which was not
	// done; -1 when it gave none.
	Hidden time.Duration
}

// Mapping is the poller's part of an event source mapping.
type Mapping struct {
	cfg   MappingConfig
	again chan struct{} // tells that a message that was kept is visible again
	told  sync.Once     // that a call failed

	mu         sync.Mutex
	deliveries []Delivery
}

// NewMapping returns a mapping that waits for Run.
func NewMapping(c MappingConfig) *Mapping {
	c.BatchSize, c.Concurrency = max(c.BatchSize, 1), max(c.Concurrency, 1)
	return &Mapping{cfg: c, again: make(chan struct{}, 1)}
}

// Deliveries returns what was delivered and settled so far.
func (m *Mapping) Deliveries() []Delivery {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.deliveries)
}

// pollEvery is how long an empty queue is left alone, unless something wakes
// the poller. What nobody tells is a message that an operator makes visible.
const pollEvery = time.Second

// Run polls until ctx ends, then waits for the events under way to be given up.
// A call that fails is told and not the end, as it is not that of Lambda's poller:
// whoever waits for a message would wait for ever.
func (m *Mapping) Run(ctx context.Context) {
	slots := make(chan struct{}, m.cfg.Concurrency)
	var wg sync.WaitGroup
	defer wg.Wait()
	for ctx.Err() == nil {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		messages, err := m.receive(ctx)
		m.tell(err)
		if len(messages) > 0 {
			wg.Go(func() {
				defer func() { <-slots }()
				m.tell(m.deliver(ctx, messages))
			})
			continue
		}
		<-slots
		select {
		case <-m.cfg.Wake:
		case <-m.again:
		case <-time.After(pollEvery):
		case <-ctx.Done():
		}
	}
}

// tell tells of the first call that failed; those after it seldom say more.
func (m *Mapping) tell(err error) {
	if err != nil {
		m.told.Do(func() { m.cfg.Failed(fmt.Errorf("mapping of %s: %w", m.cfg.Function.Name(), err)) })
	}
}

func (m *Mapping) receive(ctx context.Context) ([]types.Message, error) {
	out, err := m.cfg.Client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &m.cfg.QueueURL, MaxNumberOfMessages: int32(m.cfg.BatchSize),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	if ctx.Err() != nil {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("receive: %w", err)
	}
	return out.Messages, nil
}

func (m *Mapping) deliver(ctx context.Context, messages []types.Message) error {
	event, err := json.Marshal(m.event(messages))
	if err != nil {
		return fmt.Errorf("event: %w", err)
	}
	var second sync.WaitGroup
	if m.cfg.Twice {
		second.Go(func() {
			_, _ = m.cfg.Function.Invoke(ctx, event) // the first one's answer counts
		})
	}
	res, err := m.cfg.Function.Invoke(ctx, event)
	second.Wait()
	if ctx.Err() != nil {
		return nil // what was under way is given up
	}
	if err != nil {
		return err
	}
	keep, whole := m.kept(res, messages)
	for _, msg := range messages {
		if err := m.settle(ctx, msg, keep[aws.ToString(msg.MessageId)], whole); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// event is what the function gets, in AWS's own shape.
func (m *Mapping) event(messages []types.Message) events.SQSEvent {
	var e events.SQSEvent
	for _, msg := range messages {
		e.Records = append(e.Records, events.SQSMessage{
			MessageId: aws.ToString(msg.MessageId), ReceiptHandle: aws.ToString(msg.ReceiptHandle), Body: aws.ToString(msg.Body),
			Md5OfBody: aws.ToString(msg.MD5OfBody), Attributes: msg.Attributes, MessageAttributes: map[string]events.SQSMessageAttribute{},
			EventSource: "aws:sqs", EventSourceARN: m.cfg.QueueARN, AWSRegion: m.cfg.Region,
		})
	}
	return e
}

// kept says which messages stay on the queue, by id, and whether the
// invocation failed as a whole, which keeps all of them.
func (m *Mapping) kept(res Result, messages []types.Message) (keep map[string]bool, whole bool) {
	keep = map[string]bool{}
	all := map[string]bool{}
	for _, msg := range messages {
		all[aws.ToString(msg.MessageId)] = true
	}
	if res.Failed {
		return all, true
	}
	if !m.cfg.Partial {
		return keep, false
	}
	ids, ok := failures(res.Payload)
	for _, id := range ids {
		ok = ok && all[id]
		keep[id] = true
	}
	if !ok {
		return all, true
	}
	return keep, false
}

// failures reads a batch response. No list, a null or an empty one says that
// all is done; an answer that is no response, or an entry without its
// identifier, that nothing is (services-sqs-errorhandling).
func failures(payload []byte) (ids []string, ok bool) {
	payload = bytes.TrimSpace(payload)
	if len(payload) == 0 || string(payload) == `""` || string(payload) == "null" {
		return nil, true
	}
	var response struct {
		Failures []struct {
			ID *string `json:"itemIdentifier"`
		} `json:"batchItemFailures"`
	}
	if err := json.Unmarshal(payload, &response); err != nil {
		return nil, false
	}
	for _, f := range response.Failures {
		if f.ID == nil || *f.ID == "" {
			return nil, false
		}
		ids = append(ids, *f.ID)
	}
	return ids, true
}

// settle deletes a message that is done. One that is not stays hidden for as
// long as it was told, but not beyond the mapping's patience.
func (m *Mapping) settle(ctx context.Context, msg types.Message, keep, whole bool) error {
	receives, err := strconv.Atoi(msg.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)])
	if err != nil {
		return fmt.Errorf("receive count: %w", err)
	}
	d := Delivery{
		MessageID: aws.ToString(msg.MessageId), Body: aws.ToString(msg.Body), Receives: receives, Done: !keep, Failed: whole, Hidden: -1,
	}
	if keep {
		hidden, told := m.visibility(aws.ToString(msg.ReceiptHandle))
		if told {
			d.Hidden = hidden
		}
		impatient := m.cfg.Patience > 0 && (!told || hidden > m.cfg.Patience)
		m.wakeAfter(hidden, told, impatient)
		if impatient {
			_, err = m.cfg.Operator.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
				QueueUrl: &m.cfg.QueueURL, ReceiptHandle: msg.ReceiptHandle, VisibilityTimeout: int32(m.cfg.Patience.Seconds()),
			})
			if gone(err) {
				err = nil
			}
		}
	} else {
		_, err = m.cfg.Client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &m.cfg.QueueURL, ReceiptHandle: msg.ReceiptHandle})
	}
	if err != nil {
		return fmt.Errorf("settle message: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.deliveries = append(m.deliveries, d)
	return nil
}

// gone reports that a message is visible already, or with another receiver: its
// time was up before it was to be made shorter.
func gone(err error) bool {
	_, stale := errors.AsType[*types.ReceiptHandleIsInvalid](err)
	_, visible := errors.AsType[*types.MessageNotInflight](err)
	return stale || visible
}

// wakeAfter polls again when a message that was kept is visible, and a little more.
func (m *Mapping) wakeAfter(hidden time.Duration, told, impatient bool) {
	if impatient {
		hidden = m.cfg.Patience
	} else if !told {
		return // the queue's own timeout, which may be half an hour
	}
	time.AfterFunc(hidden+20*time.Millisecond, func() {
		select {
		case m.again <- struct{}{}:
		default: // told already
		}
	})
}

func (m *Mapping) visibility(receipt string) (time.Duration, bool) {
	if m.cfg.Visibility == nil {
		return 0, false
	}
	return m.cfg.Visibility(receipt)
}
