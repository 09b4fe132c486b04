package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"stovasync/shared/awscall"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// Dead letters are re-run by receiving, sending and deleting them one by one.
// SQS's own StartMessageMoveTask moves a whole queue: it can leave nothing out
// by cause, type or run, and gives every message a new age. It is also a call
// that stand-ins for SQS lack.

// Bury implements pipeline.DeadLetters.
func (s *SQS) Bury(ctx context.Context, t run.Task) error {
	u, err := url(s.dead, t.Queue())
	if err != nil {
		return err
	}
	body, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("bury %s: %w", t, err)
	}
	call := s.call("SendMessage", len(body))
	_, err = s.api.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: u, MessageBody: new(string(body)), MessageGroupId: new(t.Connection),
	}, with(call))
	if err != nil {
		return fmt.Errorf("bury %s: %w", t, call.Error("sqs SendMessage", err))
	}
	return nil
}

// Dead implements pipeline.DeadLetters. A letter is hidden from the moment it
// is received until the visit ends or it is deleted.
func (s *SQS) Dead(ctx context.Context) iter.Seq2[pipeline.DeadLetter, error] {
	return func(yield func(pipeline.DeadLetter, error) bool) {
		for _, q := range []run.Queue{run.TasksQueue, run.PhotosQueue} {
			if !s.visit(ctx, q, yield) {
				return
			}
		}
	}
}

// visit visits one queue's dead letters and reports whether to go on.
func (s *SQS) visit(ctx context.Context, q run.Queue, yield func(pipeline.DeadLetter, error) bool) bool {
	u, err := url(s.dead, q)
	if err != nil {
		yield(pipeline.DeadLetter{}, err)
		return false
	}
	receipts := map[string]string{} // by message id: the newest receipt is the one that counts
	defer func() { s.release(ctx, u, receipts) }()
	for {
		messages, err := s.receive(ctx, u, batchSize, s.hide)
		if err != nil {
			yield(pipeline.DeadLetter{}, fmt.Errorf("visit the dead letters of the queue %s: %w", q, err))
			return false
		}
		if len(messages) == 0 {
			return true
		}
		// All of a batch are hidden by now, so all must be given back, also
		// those that a consumer who stops early does not see.
		fresh := slices.DeleteFunc(messages, func(m Message) bool { return !s.remember(receipts, m) })
		for _, m := range fresh {
			// A body that is no task leaves the zero task.
			t, _ := run.DecodeTask([]byte(m.Body))
			if !yield(pipeline.DeadLetter{Task: t, Body: m.Body, Queue: q, Receipt: m.Receipt}, nil) {
				return false
			}
		}
	}
}

// remember keeps a letter's receipt and reports whether this visit meets it
// for the first time: a slow visit gets letters again.
func (s *SQS) remember(receipts map[string]string, m Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, again := receipts[m.ID]
	delete(s.visited, old)
	receipts[m.ID] = m.Receipt
	s.visited[m.Receipt] = true
	return !again
}

// releaseWait bounds the giving back of letters when the visit was interrupted.
const releaseWait = 10 * time.Second

// release makes the letters that were not deleted visible again. One that
// cannot be given back becomes visible by itself.
func (s *SQS) release(ctx context.Context, url *string, receipts map[string]string) {
	var entries []types.ChangeMessageVisibilityBatchRequestEntry
	s.mu.Lock()
	for _, receipt := range receipts {
		if s.visited[receipt] {
			entries = append(entries, types.ChangeMessageVisibilityBatchRequestEntry{
				Id: new(strconv.Itoa(len(entries))), ReceiptHandle: new(receipt), VisibilityTimeout: 0,
			})
		}
		delete(s.visited, receipt)
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseWait)
	defer cancel()
	for chunk := range slices.Chunk(entries, batchSize) {
		if err := s.showAgain(ctx, url, chunk); err != nil {
			return
		}
	}
}

// showAgain makes up to ten letters visible. Entries that SQS could not take
// are tried again until ctx ends; those that it refuses for what they are name
// letters that are no longer hidden.
func (s *SQS) showAgain(ctx context.Context, url *string, entries []types.ChangeMessageVisibilityBatchRequestEntry) error {
	for attempt := 1; len(entries) > 0; attempt++ {
		call := s.call("ChangeMessageVisibilityBatch", 0)
		out, err := s.api.ChangeMessageVisibilityBatch(ctx, &sqs.ChangeMessageVisibilityBatchInput{
			QueueUrl: url, Entries: entries,
		}, with(call))
		if err != nil {
			return err
		}
		entries = slices.DeleteFunc(slices.Clone(entries), func(e types.ChangeMessageVisibilityBatchRequestEntry) bool {
			return !slices.ContainsFunc(out.Failed, func(f types.BatchResultErrorEntry) bool {
				return aws.ToString(f.Id) == aws.ToString(e.Id) && (!f.SenderFault || awscall.Passes(aws.ToString(f.Code)))
			})
		})
		if len(entries) > 0 {
			if err := s.policy.Wait(ctx, attempt); err != nil {
				return err
			}
		}
	}
	return nil
}

// Delete implements pipeline.DeadLetters.
func (s *SQS) Delete(ctx context.Context, d pipeline.DeadLetter) error {
	u, err := url(s.dead, d.Queue)
	if err != nil {
		return err
	}
	err = s.deleteMessage(ctx, u, d.Receipt)
	if err != nil && !isGone(err) {
		return fmt.Errorf("delete a dead letter of the queue %s: %w", d.Queue, err)
	}
	s.mu.Lock()
	delete(s.visited, d.Receipt)
	s.mu.Unlock()
	return nil
}
