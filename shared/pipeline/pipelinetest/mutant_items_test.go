package pipelinetest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"stovasync/shared/pipeline"
)

// items is a ledger whose operations can be replaced.
type items struct {
	pipeline.Items
	get    func(context.Context, pipeline.Items, pipeline.Key) (pipeline.Item, error)
	query  func(context.Context, pipeline.Items, pipeline.Query) iter.Seq2[pipeline.Item, error]
	write  func(context.Context, pipeline.Items, []pipeline.Write) error
	failed func(context.Context, pipeline.Items, string) iter.Seq2[pipeline.Item, error]
}

func (s *items) Get(ctx context.Context, k pipeline.Key) (pipeline.Item, error) {
	if s.get == nil {
		return s.Items.Get(ctx, k)
	}
	return s.get(ctx, s.Items, k)
}

func (s *items) Query(ctx context.Context, q pipeline.Query) iter.Seq2[pipeline.Item, error] {
	if s.query == nil {
		return s.Items.Query(ctx, q)
	}
	return s.query(ctx, s.Items, q)
}

func (s *items) Write(ctx context.Context, writes ...pipeline.Write) error {
	if s.write == nil {
		return s.Items.Write(ctx, writes...)
	}
	return s.write(ctx, s.Items, writes)
}

func (s *items) Failed(ctx context.Context, connection string) iter.Seq2[pipeline.Item, error] {
	if s.failed == nil {
		return s.Items.Failed(ctx, connection)
	}
	return s.failed(ctx, s.Items, connection)
}

// writing breaks Write.
func writing(f func(context.Context, pipeline.Items, []pipeline.Write) error) *items {
	return &items{write: f}
}

// each breaks Write by changing its writes one by one.
func each(f func(*pipeline.Write)) *items {
	return writing(func(ctx context.Context, s pipeline.Items, writes []pipeline.Write) error {
		writes = slices.Clone(writes)
		for i := range writes {
			f(&writes[i])
		}
		return s.Write(ctx, writes...)
	})
}

// querying breaks Query by changing what is asked and what comes.
func querying(ask func(*pipeline.Query), give func(pipeline.Query, []pipeline.Item) []pipeline.Item) *items {
	return &items{query: func(ctx context.Context, s pipeline.Items, q pipeline.Query) iter.Seq2[pipeline.Item, error] {
		return func(yield func(pipeline.Item, error) bool) {
			asked := q
			ask(&asked)
			var all []pipeline.Item
			for it := range s.Query(ctx, asked) {
				all = append(all, it)
			}
			for _, it := range give(q, all) {
				if !yield(it, nil) {
					return
				}
			}
		}
	}}
}

func same[T any](_ pipeline.Query, all []T) []T { return all }

// inParts writes n at a time.
func inParts(n int) *items {
	return writing(func(ctx context.Context, s pipeline.Items, writes []pipeline.Write) error {
		for part := range slices.Chunk(writes, n) {
			if err := s.Write(ctx, part...); err != nil {
				return err
			}
		}
		return nil
	})
}

// checkedApart compares versions before the transaction instead of in it.
func checkedApart(ctx context.Context, s pipeline.Items, writes []pipeline.Write) error {
	var blind []pipeline.Write
	for _, w := range writes {
		it, err := s.Get(ctx, w.Key)
		if err != nil {
			return err
		}
		if w.Version != pipeline.AnyVersion && it.Version != w.Version {
			return pipeline.ErrVersion
		}
		w.Version = pipeline.AnyVersion
		blind = append(blind, w)
	}
	time.Sleep(time.Millisecond) // opens the gap wide enough to be found
	return s.Write(ctx, blind...)
}

// remembering never takes an item out of the index of failed pages.
func remembering() *items {
	var mu sync.Mutex
	ever := map[pipeline.Key]bool{}
	return &items{
		write: func(ctx context.Context, s pipeline.Items, writes []pipeline.Write) error {
			mu.Lock()
			defer mu.Unlock()
			for _, w := range writes {
				ever[w.Key] = ever[w.Key] || w.Failed != ""
			}
			return s.Write(ctx, writes...)
		},
		failed: func(ctx context.Context, s pipeline.Items, _ string) iter.Seq2[pipeline.Item, error] {
			return func(yield func(pipeline.Item, error) bool) {
				mu.Lock()
				defer mu.Unlock()
				for k, failed := range ever {
					if it, err := s.Get(ctx, k); failed && !yield(it, err) {
						return
					}
				}
			}
		},
	}
}

// byFloat decodes documents as most programs would.
func byFloat(w *pipeline.Write) {
	var v map[string]any
	if w.Doc == nil || json.Unmarshal(w.Doc, &v) != nil {
		return
	}
	w.Doc, _ = json.Marshal(v) // what came from JSON goes to JSON
}

func itemMutants() map[string]mutant {
	unasked := func(*pipeline.Query) {}
	wrong := "a write at another version is ErrVersion and changes nothing"
	return map[string]mutant{
		"ledger ignores versions": {items: each(func(w *pipeline.Write) { w.Version = pipeline.AnyVersion }), caught: wrong},
		"ledger hides ErrVersion": {items: writing(func(ctx context.Context, s pipeline.Items, w []pipeline.Write) error {
			if err := s.Write(ctx, w...); err != nil {
				return fmt.Errorf("write: %v", err)
			}
			return nil
		}), caught: wrong},
		"ledger overwrites what must not exist": {items: each(func(w *pipeline.Write) {
			if w.Version == 0 && w.Doc != nil {
				w.Version = pipeline.AnyVersion
			}
		}), caught: "version 0 means that the item must not exist"},
		"ledger does not raise versions": {items: &items{get: func(ctx context.Context, s pipeline.Items, k pipeline.Key) (pipeline.Item, error) {
			it, err := s.Get(ctx, k)
			it.Version = min(it.Version, 1)
			return it, err
		}}, caught: "each write raises the version by one, from 1"},
		"ledger keeps deleted items": {items: each(func(w *pipeline.Write) { w.Delete = false }),
			caught: "an item made again after its deletion starts at version 1"},
		"ledger writes one by one":   {items: inParts(1), caught: "of a hundred writes with one at another version none happens"},
		"ledger writes in two parts": {items: inParts(50), caught: "of a hundred writes with one at another version none happens"},
		"ledger takes any number":    {items: inParts(100), caught: "more than a hundred writes are refused, and not as ErrVersion"},
		"ledger takes a key twice":   {items: inParts(1), caught: "a key twice in one transaction is refused, and not as ErrVersion"},
		"ledger forgets checks": {items: each(func(w *pipeline.Write) {
			if w.Doc == nil && !w.Delete {
				w.Version = pipeline.AnyVersion
			}
		}), caught: "a failed check stops the writes beside it"},
		"ledger checks before its transaction": {items: writing(checkedApart), caught: "what concurrent increments add is never lost"},
		"ledger decodes numbers as floats":     {items: each(byFloat), caught: "a document comes back as it was"},
		"ledger keeps the caller's document": {items: &items{get: func(ctx context.Context, s pipeline.Items, k pipeline.Key) (pipeline.Item, error) {
			it, err := s.Get(ctx, k)
			it.Doc = json.RawMessage(strings.ToUpper(string(it.Doc)))
			return it, err
		}}, caught: "a document's owner may change it after a write, and readers what they got"},
		"ledger drops what expires": {items: each(func(w *pipeline.Write) { w.Delete = w.Delete || !w.Expires.IsZero() }),
			caught: "an item that expires later is there until then"},
		"query ignores the prefix":  {items: querying(func(q *pipeline.Query) { q.Prefix = "" }, same), caught: "a query gives only sort keys with the prefix"},
		"query ignores the reverse": {items: querying(func(q *pipeline.Query) { q.Reverse = false }, same), caught: "a query in reverse starts at the last sort key"},
		"query ignores the limit":   {items: querying(func(q *pipeline.Query) { q.Limit = 0 }, same), caught: "a query gives at most its limit, from the end it starts at"},
		"query turns round after the limit": {items: querying(func(q *pipeline.Query) { q.Reverse = false },
			func(q pipeline.Query, all []pipeline.Item) []pipeline.Item {
				if q.Reverse {
					slices.Reverse(all)
				}
				return all
			}), caught: "a query gives at most its limit, from the end it starts at"},
		"query reads one page": {items: querying(unasked, func(_ pipeline.Query, all []pipeline.Item) []pipeline.Item { return all[:min(len(all), 1000)] }),
			caught: "a query reads more than a thousand items and a megabyte, both ways"},
		"query orders without case": {items: querying(unasked, func(_ pipeline.Query, all []pipeline.Item) []pipeline.Item {
			slices.SortFunc(all, func(a, b pipeline.Item) int { return strings.Compare(strings.ToLower(a.SK), strings.ToLower(b.SK)) })
			return all
		}), caught: "a query gives the items of one partition in the byte order of the sort key"},
		"query lags by one item": {items: querying(unasked, func(_ pipeline.Query, all []pipeline.Item) []pipeline.Item { return all[:max(len(all)-1, 0)] }),
			caught: "a query sees every write that returned before it"},
		"failed pages stay in the index": {items: remembering(), caught: "an item is in the index of failed pages while it is written with its name"},
		"failed pages are not by connection": {items: &items{failed: func(ctx context.Context, s pipeline.Items, _ string) iter.Seq2[pipeline.Item, error] {
			return s.Failed(ctx, "")
		}}, caught: "the index of failed pages is by connection, and whole without one"},
	}
}
