package pipelinetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// Memory keeps every port in memory and every promise of ports.go. It is the
// reference that the suite's mutants are made from, and a store for unit tests
// and simulations. All of it may be called at once.
type Memory struct {
	mu      sync.Mutex
	items   map[pipeline.Key]memoryItem
	records map[string]map[string]pipeline.Record // by connection#type, then id
	objects map[string][]byte
	secrets map[string]string
}

type memoryItem struct {
	pipeline.Item
	failed string
}

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{
		items:   map[pipeline.Key]memoryItem{},
		records: map[string]map[string]pipeline.Record{},
		objects: map[string][]byte{},
		secrets: map[string]string{},
	}
}

// Items returns the ledger.
func (m *Memory) Items() pipeline.Items { return memoryItems{m} }

// Records returns the records.
func (m *Memory) Records() pipeline.Records { return memoryRecords{m} }

// Objects returns the objects.
func (m *Memory) Objects() pipeline.Objects { return memoryObjects{m} }

// Secrets returns the keys of connections.
func (m *Memory) Secrets() pipeline.Secrets { return memorySecrets{m} }

type memoryItems struct{ m *Memory }

func (s memoryItems) Get(ctx context.Context, k pipeline.Key) (pipeline.Item, error) {
	if err := ctx.Err(); err != nil {
		return pipeline.Item{}, err
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	return s.get(k), nil
}

func (s memoryItems) get(k pipeline.Key) pipeline.Item {
	it := s.m.items[k].Item
	it.Key, it.Doc = k, bytes.Clone(it.Doc)
	return it
}

// pick copies the items that match, in the order of their sort keys.
func (s memoryItems) pick(match func(memoryItem) bool) []pipeline.Item {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	var out []pipeline.Item
	for k, it := range s.m.items {
		if match(it) {
			out = append(out, s.get(k))
		}
	}
	slices.SortFunc(out, func(a, b pipeline.Item) int {
		return cmp.Or(cmp.Compare(a.PK, b.PK), cmp.Compare(a.SK, b.SK))
	})
	return out
}

func (s memoryItems) Query(ctx context.Context, q pipeline.Query) iter.Seq2[pipeline.Item, error] {
	return func(yield func(pipeline.Item, error) bool) {
		items := s.pick(func(it memoryItem) bool { return it.PK == q.PK && strings.HasPrefix(it.SK, q.Prefix) })
		if q.Reverse {
			slices.Reverse(items)
		}
		if q.Limit > 0 {
			items = items[:min(q.Limit, len(items))]
		}
		yieldAll(ctx, items, yield)
	}
}

func (s memoryItems) Failed(ctx context.Context, connection string) iter.Seq2[pipeline.Item, error] {
	return func(yield func(pipeline.Item, error) bool) {
		yieldAll(ctx, s.pick(func(it memoryItem) bool {
			return it.failed != "" && (connection == "" || it.failed == connection)
		}), yield)
	}
}

func (s memoryItems) Write(ctx context.Context, writes ...pipeline.Write) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(writes) > 100 {
		return fmt.Errorf("write %d items: at most 100 in one transaction", len(writes))
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	seen := map[pipeline.Key]bool{}
	for _, w := range writes {
		if seen[w.Key] {
			return fmt.Errorf("write %s %s: twice in one transaction", w.PK, w.SK)
		}
		seen[w.Key] = true
		if w.Version != pipeline.AnyVersion && w.Version != s.m.items[w.Key].Version {
			return fmt.Errorf("write %s %s: %w", w.PK, w.SK, pipeline.ErrVersion)
		}
	}
	for _, w := range writes {
		switch {
		case w.Delete:
			delete(s.m.items, w.Key)
		case w.Doc != nil:
			item := pipeline.Item{Key: w.Key, Version: s.m.items[w.Key].Version + 1, Doc: bytes.Clone(w.Doc)}
			s.m.items[w.Key] = memoryItem{Item: item, failed: w.Failed}
		}
	}
	return nil
}

type memoryRecords struct{ m *Memory }

func partition(connection string, t run.DataType) string { return connection + "#" + string(t) }

func cloneRecord(r pipeline.Record) pipeline.Record {
	r.Fields, r.Protect = maps.Clone(r.Fields), slices.Clone(r.Protect)
	for k, v := range r.Fields {
		if list, ok := v.([]string); ok {
			r.Fields[k] = slices.Clone(list)
		}
	}
	return r
}

func (s memoryRecords) Get(ctx context.Context, connection string, t run.DataType, ids []string) (map[string]pipeline.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	out := map[string]pipeline.Record{}
	for _, id := range ids {
		if r, ok := s.m.records[partition(connection, t)][id]; ok {
			out[id] = cloneRecord(r)
		}
	}
	return out, nil
}

func (s memoryRecords) Update(ctx context.Context, connection string, t run.DataType, now time.Time, updates []pipeline.RecordUpdate) ([]bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	part := partition(connection, t)
	if s.m.records[part] == nil {
		s.m.records[part] = map[string]pipeline.Record{}
	}
	applied := make([]bool, len(updates))
	for i, u := range updates {
		old, ok := s.m.records[part][u.ID]
		next, yes := updated(old, ok, u, now)
		if yes {
			s.m.records[part][u.ID] = cloneRecord(next)
		}
		applied[i] = yes
	}
	return applied, nil
}

// updated returns what u makes of a record, and whether it applies at all.
func updated(old pipeline.Record, ok bool, u pipeline.RecordUpdate, now time.Time) (pipeline.Record, bool) {
	live := ok && old.RemovedAt.IsZero()
	next := cloneRecord(old)
	next.ID = u.ID
	if u.Remove {
		next.Fields, next.RemovedAt, next.UpdatedAt = nil, now, now
		return next, live
	}
	if c := u.Content; c == nil {
		if !live {
			return old, false
		}
	} else {
		if ok && old.FetchedAt.After(c.FetchedAt) {
			return old, false
		}
		next.Type, next.Status, next.Owner = c.Type, c.Status, c.Owner
		next.Hash, next.LastModified, next.Run, next.FetchedAt = c.Hash, c.LastModified, c.Run, c.FetchedAt
		next.RemovedAt = time.Time{}
		if !live {
			next.CreatedRun = c.Run
		}
	}
	next.UpdatedAt = now
	if next.Fields == nil {
		next.Fields = map[string]any{}
	}
	for _, name := range u.Unset {
		delete(next.Fields, name)
	}
	maps.Copy(next.Fields, u.Set)
	return next, true
}

func (s memoryRecords) Scan(ctx context.Context, connection string, t run.DataType, sc pipeline.Scan) iter.Seq2[pipeline.Record, error] {
	return func(yield func(pipeline.Record, error) bool) {
		s.m.mu.Lock()
		var out []pipeline.Record
		for id, r := range s.m.records[partition(connection, t)] {
			if strings.HasPrefix(id, sc.Prefix) && id > sc.After && !r.UpdatedAt.Before(sc.Since) &&
				(sc.Removed || r.RemovedAt.IsZero()) {
				out = append(out, cloneRecord(r))
			}
		}
		s.m.mu.Unlock()
		slices.SortFunc(out, func(a, b pipeline.Record) int { return cmp.Compare(a.ID, b.ID) })
		yieldAll(ctx, out, yield)
	}
}

type memoryObjects struct{ m *Memory }

func (s memoryObjects) Put(ctx context.Context, key string, body io.ReadSeeker, info pipeline.ObjectInfo) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if !validKey(key) {
		return false, errors.New("put object: key has an empty or dot segment")
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return false, fmt.Errorf("put object %s: %w", key, err)
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if _, ok := s.m.objects[key]; ok && info.IfAbsent {
		return false, nil
	}
	s.m.objects[key] = data
	return true, nil
}

func validKey(key string) bool {
	return !slices.ContainsFunc(strings.Split(key, "/"), func(seg string) bool {
		return seg == "" || seg == "." || seg == ".."
	})
}

func (s memoryObjects) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	data, ok := s.m.objects[key]
	if !ok {
		return nil, fmt.Errorf("get object %s: %w", key, pipeline.ErrNoObject)
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

func (s memoryObjects) Delete(ctx context.Context, keys ...string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	for _, k := range keys {
		delete(s.m.objects, k)
	}
	return nil
}

func (s memoryObjects) List(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		s.m.mu.Lock()
		keys := slices.DeleteFunc(slices.Sorted(maps.Keys(s.m.objects)), func(k string) bool {
			return !strings.HasPrefix(k, prefix)
		})
		s.m.mu.Unlock()
		yieldAll(ctx, keys, yield)
	}
}

type memorySecrets struct{ m *Memory }

func (s memorySecrets) Get(ctx context.Context, connection string) (string, error) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	key, ok := s.m.secrets[connection]
	if !ok {
		return "", fmt.Errorf("secret of %s: %w", connection, pipeline.ErrNoSecret)
	}
	return key, ctx.Err()
}

func (s memorySecrets) Put(ctx context.Context, connection, key string) error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.secrets[connection] = key
	return ctx.Err()
}

func (s memorySecrets) Delete(ctx context.Context, connection string) error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	delete(s.m.secrets, connection)
	return ctx.Err()
}

// yieldAll hands out a copy taken earlier, so that the consumer may write.
func yieldAll[T any](ctx context.Context, all []T, yield func(T, error) bool) {
	for _, v := range all {
		if err := ctx.Err(); err != nil {
			var zero T
			yield(zero, err)
			return
		}
		if !yield(v, nil) {
			return
		}
	}
}

// Erase deletes records wholly and says how many there were, as the adapters do.
func (s memoryRecords) Erase(ctx context.Context, connection string, t run.DataType, ids []string) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	n := 0
	for _, id := range ids {
		if _, ok := s.m.records[partition(connection, t)][id]; ok {
			delete(s.m.records[partition(connection, t)], id)
			n++
		}
	}
	return n, nil
}

// Create keeps a key under a name that has none, and reports whether it did.
func (s memorySecrets) Create(ctx context.Context, name, key string) (bool, error) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if _, held := s.m.secrets[name]; held {
		return false, ctx.Err()
	}
	s.m.secrets[name] = key
	return true, ctx.Err()
}
