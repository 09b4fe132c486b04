package erase

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"stovasync/shared/pipeline"
)

// Quiet waits for tasks that say in the ledger that they are at work on people
// (pipeline.Steps.Announce).
type Quiet struct {
	Items pipeline.Items
	// Limit is the longest that a task can be at work: a task that died has not
	// taken its word back.
	Limit time.Duration
	Poll  time.Duration // between two looks
	Now   func() time.Time
	// Waiting is told, whenever that changes, how many tasks are waited for; nil:
	// nobody is.
	Waiting func(tasks int)
}

// Wait returns when every task that is at work now has ended. Tasks that begin
// after the call are none of its business: they have seen the entry.
func (q Quiet) Wait(ctx context.Context, connection string) error {
	began := q.Now()
	waiting, err := q.atWork(ctx, connection)
	if err != nil {
		return err
	}
	for key, since := range waiting {
		if began.Sub(since) > 2*q.Limit { // clocks are not that far apart
			delete(waiting, key)
		}
	}
	told := 0
	for len(waiting) > 0 && q.Now().Sub(began) <= q.Limit {
		if q.Waiting != nil && told != len(waiting) {
			told = len(waiting)
			q.Waiting(told)
		}
		if err := pause(ctx, q.Poll); err != nil {
			return err
		}
		still, err := q.atWork(ctx, connection)
		if err != nil {
			return err
		}
		for key := range waiting {
			if _, there := still[key]; !there {
				delete(waiting, key)
			}
		}
	}
	return nil
}

// atWork reads who says to be at work, and since when.
func (q Quiet) atWork(ctx context.Context, connection string) (map[pipeline.Key]time.Time, error) {
	all := map[pipeline.Key]time.Time{}
	for it, err := range q.Items.Query(ctx, pipeline.Query{PK: pipeline.ConnectionPK(connection), Prefix: pipeline.BusyPrefix}) {
		if err != nil {
			return nil, unavailable("read who is at work on "+connection, err)
		}
		var word struct {
			Since time.Time `json:"since"`
		}
		if err := json.Unmarshal(it.Doc, &word); err != nil {
			return nil, fmt.Errorf("decode who is at work on %s: %w", connection, err)
		}
		all[it.Key] = word.Since
	}
	return all, nil
}
