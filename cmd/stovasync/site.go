package main

import (
	"context"
	"errors"
	"time"

	"stovasync/shared/app"
	"stovasync/shared/config"
	"stovasync/shared/erase"
	"stovasync/shared/pipeline"
	"stovasync/shared/preview"
)

// site is an open target: the product on one family of adapters, and what each
// family does in its own way.
type site struct {
	*app.App
	operator

	// remote says that runs go on without this process.
	remote bool
}

// operator is what verbs need of a target beside the steps and the secrets.
// *app.Local and *app.Stack are the two.
type operator interface {
	// Sync starts a run, or takes one up, tells it to started and returns when
	// it has ended. A run that is under way gives RUN_ACTIVE.
	Sync(ctx context.Context, st pipeline.Start, started func(pipeline.Started)) error
	// Redrive re-runs the failures a filter picks and returns when each has
	// come to an end, which need not be a good one. dry only says what would go.
	// RUN_ACTIVE beside what was sent says that some of it is not waited for.
	Redrive(ctx context.Context, f pipeline.Filter, dry bool) ([]pipeline.Redriven, error)
	// Preview reads a sample of rows and reports what a sync would make of them.
	Preview(ctx context.Context, e app.PreviewEvent) (preview.Report, error)
	// Erasing returns the store as one from which people are erased. waiting is
	// told why an erasure waits.
	Erasing(waiting func(why string)) (erase.Store, error)
	// Idle is RUN_ACTIVE while the connection is being synced.
	Idle(ctx context.Context, connection string) error
	// Wake repairs a run in which nothing moves, and reports whether there was one.
	Wake(ctx context.Context, connection string) (bool, error)
	// Poll is how often it is of use to look how a run goes.
	Poll() time.Duration
}

// with opens the target, does something and closes it.
func (c *cli) with(ctx context.Context, do func(*site) error) (err error) {
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return do(s)
}

// open opens the target. Whoever called it closes it.
func (c *cli) open(ctx context.Context) (*site, error) {
	env, err := c.environment()
	if err != nil {
		return nil, err
	}
	if c.concurrency < 1 || c.concurrency > maxConcurrency {
		return nil, invalid("use 1 to 64", "--concurrency %d is out of range", c.concurrency)
	}
	if env.Target.Kind == config.AWS {
		l, err := app.OpenStack(ctx, env.Target.Stack, app.StackOptions{Log: c.logger(), Settled: c.tellSettled})
		if err != nil {
			return nil, err
		}
		return &site{App: l.App, operator: l, remote: true}, nil
	}
	l, err := app.OpenLocal(ctx, env.Target.Dir, app.LocalOptions{Concurrency: c.concurrency, Log: c.logger()})
	if err != nil {
		return nil, err
	}
	return &site{App: l.App, operator: l}, nil
}

// maxConcurrency is far above what the vendor's limit of calls can use.
const maxConcurrency = 64

// tellSettled shows how far a redrive on AWS is.
func (c *cli) tellSettled(done, all int) {
	c.say("%d of %s settled\n", done, count(all, "failure"))
}
