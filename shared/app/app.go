package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"stovasync/shared/pipeline"
	"stovasync/shared/queue"
	"stovasync/shared/run"
)

// App is stovasync with its adapters: one family or the other.
type App struct {
	Steps   *pipeline.Steps
	Secrets pipeline.Secrets

	connector   *connector
	visibility  queue.Visibility
	hidden      bool // queue.HandlerConfig.Hidden
	maxReceives int
	scale       float64
	watch       *watch
	close       func() error
}

// Close lets go of what the app holds.
func (a *App) Close() error {
	if a.close == nil {
		return nil
	}
	return a.close()
}

// Handler is what the worker and the photo function start: the tasks of one
// queue, in batches.
func (a *App) Handler(q run.Queue) func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
	return queue.Handler(queue.HandlerConfig{
		Worker: rekeyed{a.Steps, a.Secrets}, Visibility: a.visibility, Hidden: a.hidden, Dead: a.Steps.Dead, Queue: q,
		MaxReceives: a.maxReceives, Scale: a.scale, RetryBaseOf: a.retryBaseOf, Log: a.Steps.Log, Ended: a.watch.message,
	})
}

// retryBaseOf scales a task's back-off as its connection says. Settings that
// cannot be read leave the default.
func (a *App) retryBaseOf(ctx context.Context, t run.Task) time.Duration {
	conn, err := a.Steps.Ledger.Connection(ctx, t.Connection)
	if err != nil {
		return 0
	}
	return retryBase(conn)
}

func (a *App) log() *slog.Logger {
	if a.Steps.Log == nil {
		return slog.Default()
	}
	return a.Steps.Log
}
