package app_test

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"stovasync/shared/local"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
	"stovasync/shared/stova/stovatest"
)

// disorder brings the tasks of a queue to the real handlers as SQS may: in any
// order, some twice at once, some again after they are done.
type disorder struct {
	w        *world
	r        *rand.Rand
	handlers map[run.Queue]func(context.Context, events.SQSEvent) (events.SQSEventResponse, error)
	past     []events.SQSMessage // what was delivered before, of both queues
	pastOf   []run.Queue
	replays  int // how often an old one may come again: it may breed tasks, and would for ever
}

func (d *disorder) drive(id string) {
	t := d.w.t
	deadline := time.Now().Add(30 * time.Second)
	for {
		handled := 0
		for _, q := range []run.Queue{run.TasksQueue, run.PhotosQueue} {
			// More than it handles at a time, so that there is an order to change.
			messages, err := d.w.app.Store.Queue().Receive(t.Context(), q, d.w.name, 4, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			d.r.Shuffle(len(messages), func(i, j int) { messages[i], messages[j] = messages[j], messages[i] })
			d.deliver(q, messages)
			handled += len(messages)
		}
		r, ok, err := d.w.app.Steps.Ledger.Run(t.Context(), id)
		if err != nil || !ok {
			t.Fatalf("run %s: %v, %v", id, ok, err)
		}
		if handled == 0 && !r.Ended.IsZero() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the run does not end")
		}
	}
}

// deliver hands messages over, two of them at once, and every third one a
// second time, with an old one between.
func (d *disorder) deliver(q run.Queue, messages []local.Message) {
	var wg sync.WaitGroup
	for _, m := range messages {
		e := event(q, m)
		copies := 1
		if d.r.IntN(3) == 0 {
			copies = 2
		}
		for range copies {
			wg.Go(func() { d.hand(q, e, m.Receipt) })
		}
		if n := len(d.past); n > 0 && d.replays > 0 && d.r.IntN(2) == 0 {
			d.replays--
			i := d.r.IntN(n)
			old, oldQ := d.past[i], d.pastOf[i]
			wg.Go(func() { d.hand(oldQ, old, "") })
		}
		if copies == 2 {
			wg.Wait()
		}
		d.past, d.pastOf = append(d.past, e), append(d.pastOf, q)
	}
	wg.Wait()
}

// hand delivers one message and acknowledges it when it has a receipt.
func (d *disorder) hand(q run.Queue, m events.SQSMessage, receipt string) {
	res, err := d.handlers[q](d.w.t.Context(), events.SQSEvent{Records: []events.SQSMessage{m}})
	if err != nil {
		d.w.t.Error(err)
	}
	if receipt == "" || len(res.BatchItemFailures) > 0 {
		return
	}
	if err := d.w.app.Store.Queue().Delete(d.w.t.Context(), receipt); err != nil {
		d.w.t.Error(err)
	}
}

func event(q run.Queue, m local.Message) events.SQSMessage {
	return events.SQSMessage{
		MessageId: m.ID, ReceiptHandle: m.Receipt, Body: m.Body, EventSource: "aws:sqs",
		EventSourceARN: "arn:aws:sqs:local:000000000000:" + string(q),
		Attributes:     map[string]string{"ApproximateReceiveCount": strconv.Itoa(m.Receives)},
	}
}

func TestAnyOrderAndAnyNumberOfDeliveriesEndsInTheSameStore(t *testing.T) {
	t.Parallel()
	for _, seed := range []uint64{60, 61} {
		t.Run("order "+strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, stovatest.Options{Seed: seed, Attendees: 30, Sessions: 22, Speakers: 8, Sponsors: 4, Oddities: true}, stovatest.ServerOptions{}, "pageSize: 12\n")
			d := &disorder{w: w, r: rand.New(rand.NewPCG(seed, 1)), replays: 12, handlers: map[run.Queue]func(context.Context, events.SQSEvent) (events.SQSEventResponse, error){}}
			for _, q := range []run.Queue{run.TasksQueue, run.PhotosQueue} {
				d.handlers[q] = w.app.Handler(q)
			}
			s, err := w.app.Steps.FanOut(t.Context(), pipeline.Start{Connection: w.name, Time: time.Now(), Mode: run.Full})
			if err != nil {
				t.Fatal(err)
			}
			d.drive(s.Run.ID)
			v, err := w.app.Steps.View(t.Context(), s.Run.ID)
			if err != nil {
				t.Fatal(err)
			}
			if v.State != run.Complete {
				t.Fatalf("the run is %s", v.State)
			}
			want := w.expect()
			w.check(want.store)
			w.checkCounts(v, want.counts)
		})
	}
}
