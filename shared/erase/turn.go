package erase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
)

// turnTime is how long a turn holds without a word of its holder.
const turnTime = 2 * time.Minute

// Turn lets one erasure at a time work on a connection's objects: of two that
// rewrite one object, the later write would bring back whom the earlier took
// out. It is a lease in the ledger, for stores that many machines share.
type Turn struct {
	Items  pipeline.Items
	Poll   time.Duration // between two looks, while another has the turn
	Now    func() time.Time
	Random func([]byte) (int, error)
}

// lease is the turn as the ledger keeps it.
type lease struct {
	Holder string    `json:"holder"`
	Until  time.Time `json:"until"`
}

func turnKey(connection string) pipeline.Key {
	return pipeline.Key{PK: pipeline.ConnectionPK(connection), SK: "ERASING"}
}

// Take waits for the turn. The context it returns ends when the turn is lost,
// as by a machine that slept; release gives it back.
func (t Turn) Take(ctx context.Context, connection string) (held context.Context, release func(), err error) {
	name := make([]byte, 8)
	if _, err := t.Random(name); err != nil {
		return nil, nil, fmt.Errorf("name an erasure: %w", err)
	}
	k, holder := turnKey(connection), fmt.Sprintf("%x", name)
	for {
		version, err := t.try(ctx, k, holder)
		if err != nil {
			return nil, nil, err
		}
		if version > 0 {
			held, release = t.keep(ctx, k, holder, version)
			return held, release, nil
		}
		if err := pause(ctx, t.Poll); err != nil {
			return nil, nil, err
		}
	}
}

// try takes the turn if nobody has it, and returns the version of the item; 0:
// somebody has it.
func (t Turn) try(ctx context.Context, k pipeline.Key, holder string) (int64, error) {
	it, err := t.Items.Get(ctx, k)
	if err != nil {
		return 0, unavailable("look whose turn it is", err)
	}
	var l lease
	if it.Version > 0 {
		if err := json.Unmarshal(it.Doc, &l); err != nil {
			return 0, fmt.Errorf("decode whose turn it is: %w", err)
		}
	}
	if t.Now().Before(l.Until) {
		return 0, nil
	}
	return t.hold(ctx, k, holder, it.Version)
}

// hold writes the lease at a version and returns the next one; 0: it has moved.
func (t Turn) hold(ctx context.Context, k pipeline.Key, holder string, version int64) (int64, error) {
	w, err := write(k, version, lease{Holder: holder, Until: t.Now().Add(turnTime).UTC()})
	if err != nil {
		return 0, err
	}
	switch err := t.Items.Write(ctx, w); {
	case err == nil:
		return version + 1, nil
	case errors.Is(err, pipeline.ErrVersion):
		return 0, nil
	default:
		return 0, unavailable("take the turn", err)
	}
}

var errTurnLost = fault.New(fault.RunActive, "another erasure has taken over meanwhile", "run it again")

// keep renews the lease until release is called.
func (t Turn) keep(ctx context.Context, k pipeline.Key, holder string, version int64) (context.Context, func()) {
	held, cancel := context.WithCancelCause(ctx)
	over := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		until := t.Now().Add(turnTime)
		tick := time.NewTicker(turnTime / 8)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return
			case <-tick.C:
			}
			next, err := t.hold(held, k, holder, version)
			switch {
			case err == nil && next > 0:
				version, until = next, t.Now().Add(turnTime)
			case err == nil || !t.Now().Before(until):
				cancel(errTurnLost)
				return
			}
		}
	})
	return held, func() {
		close(over)
		wg.Wait()
		cancel(nil)
		brief, done := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer done()
		_ = t.Items.Write(brief, pipeline.Write{Key: k, Version: version, Delete: true}) // else it lapses by itself
	}
}
