//go:build !lambda.norpc

package app

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	settings "stovasync/shared/config"
	"stovasync/shared/erase"
	"stovasync/shared/fault"
	"stovasync/shared/object"
)

// erasing fills in what both families have in common.
func (a *App) erasing(records erase.Records, secrets erase.Secrets) erase.Store {
	now := a.Steps.Now
	if now == nil {
		now = time.Now
	}
	return erase.Store{
		Items: a.Steps.Ledger.Items, Records: records, Objects: a.Steps.Objects, Secrets: secrets, Now: now, Random: rand.Read,
	}
}

// Erasing returns the store as one from which people are erased. While another
// process drives the connection an erasure waits for it; waiting is told so.
func (l *Local) Erasing(waiting func(why string)) (erase.Store, error) {
	s := l.erasing(l.Store.Records(), l.Store.Secrets())
	s.Scrub = l.Store.Scrub
	s.Still = func(ctx context.Context, connection string) (context.Context, func(), error) {
		release, err := l.still(ctx, connection, waiting)
		return ctx, release, err
	}
	return s, nil
}

// still takes the lock of a connection. Nobody holds it who is not at work.
func (l *Local) still(ctx context.Context, connection string, waiting func(string)) (func(), error) {
	tick := time.NewTicker(l.Poll())
	defer tick.Stop()
	for told := false; ; told = true {
		unlock, held, err := l.Store.Lock(ctx, connection)
		if err != nil || held {
			return unlock, err
		}
		if !told {
			waiting("another process is syncing " + connection)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}

// stillMargin is added to the time limit of the functions: what they sent last
// may be on its way.
const stillMargin = 30 * time.Second

// Erasing returns the deployment as one from which people are erased, with the
// operator's own credentials. While tasks of the functions are at work that may
// not know of an erasure it waits for them; waiting is told so.
func (s *Stack) Erasing(waiting func(why string)) (erase.Store, error) {
	records, isRecords := s.Steps.Records.(erase.Records)
	secrets, isSecrets := s.Secrets.(erase.Secrets)
	if !isRecords || !isSecrets {
		return erase.Store{}, fault.New(fault.StoreUnavailable, "this program cannot erase", "build it without the tag lambda.norpc")
	}
	e := s.erasing(records, secrets)
	e.Versions = s.versions
	turn := erase.Turn{Items: s.Steps.Ledger.Items, Poll: s.poll, Now: e.Now, Random: e.Random}
	e.Still = func(ctx context.Context, connection string) (context.Context, func(), error) {
		q := erase.Quiet{
			Items: s.Steps.Ledger.Items, Limit: taskLimit + stillMargin, Poll: s.poll, Now: e.Now,
			Waiting: func(tasks int) { waiting(atWork(tasks)) },
		}
		if err := q.Wait(ctx, connection); err != nil {
			return nil, nil, err
		}
		return turn.Take(ctx, connection)
	}
	return e, nil
}

func atWork(tasks int) string {
	if tasks == 1 {
		return "a task that began before is at work"
	}
	return "tasks that began before are at work"
}

// versionsOf are the versions of a deployment's objects.
func versionsOf(cfg aws.Config, r settings.Resources) erase.Versions {
	client := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = o.BaseEndpoint != nil })
	return object.NewVersions(object.Config{Client: client, Bucket: r.Bucket})
}
