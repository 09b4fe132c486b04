package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"stovasync/shared/awscall"
	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// Records keeps the records in DynamoDB. It implements pipeline.Records.
type Records struct {
	table
	limiter  *rate.Limiter
	parallel int
}

var _ pipeline.Records = (*Records)(nil)

// RecordsConfig is what Records works with.
type RecordsConfig struct {
	Client *dynamodb.Client
	Table  string // the records' name
	// WritesPerSecond bounds the writes of this process. One type of one
	// connection is one partition, which takes 1,000 a second of all workers
	// together (design.md §6). Default 150; below 0: no limit.
	WritesPerSecond float64
	// Parallel is how many writes are under way at once. Default 8.
	Parallel int
	Policy   awscall.Policy // how calls are tried again; the zero value ships
	Meter    Meter          // told what calls consume; may be nil
}

// NewRecords returns the records on a table of DynamoDB.
func NewRecords(c RecordsConfig) *Records {
	limit := rate.Limit(c.WritesPerSecond)
	switch {
	case c.WritesPerSecond == 0:
		limit = 150
	case c.WritesPerSecond < 0:
		limit = rate.Inf
	}
	if c.Parallel <= 0 {
		c.Parallel = 8
	}
	return &Records{
		table:   table{api: apiOf(c.Client), name: c.Table, policy: c.Policy, meter: c.Meter},
		limiter: rate.NewLimiter(limit, 1), parallel: c.Parallel,
	}
}

func partition(connection string, t run.DataType) string { return connection + "#" + string(t) }

func recordKey(pk, id string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{attrPK: text(pk), attrID: text(id)}
}

// maxGets is DynamoDB's limit of one BatchGetItem.
const maxGets = 100

// Get implements pipeline.Records.
func (s *Records) Get(ctx context.Context, connection string, t run.DataType, ids []string) (map[string]pipeline.Record, error) {
	pk := partition(connection, t)
	out := make(map[string]pipeline.Record, len(ids))
	// The same key twice in one call is refused, and "" is no key at all.
	unique := slices.Compact(slices.Sorted(slices.Values(ids)))
	unique = slices.DeleteFunc(unique, func(id string) bool { return id == "" })
	for chunk := range slices.Chunk(unique, maxGets) {
		keys := make([]map[string]types.AttributeValue, len(chunk))
		for i, id := range chunk {
			keys[i] = recordKey(pk, id)
		}
		if err := s.getChunk(ctx, keys, out); err != nil {
			return nil, fmt.Errorf("get %d records of %s: %w", len(unique), pk, err)
		}
	}
	return out, nil
}

// getChunk reads up to 100 records into out. Keys that DynamoDB leaves
// unprocessed are asked for again until ctx ends.
func (s *Records) getChunk(ctx context.Context, keys []map[string]types.AttributeValue, out map[string]pipeline.Record) error {
	for attempt := 1; len(keys) > 0; attempt++ {
		call := s.policy.Call(nil)
		res, err := s.api.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{
			RequestItems:           map[string]types.KeysAndAttributes{s.name: {Keys: keys, ConsistentRead: new(true)}},
			ReturnConsumedCapacity: s.capacity(),
		}, with(call))
		if err != nil {
			return call.Error("dynamodb BatchGetItem", err)
		}
		s.count("BatchGetItem", res.ConsumedCapacity...)
		found := res.Responses[s.name]
		for _, attrs := range found {
			r, err := decodeRecord(attrs)
			if err != nil {
				return err
			}
			out[r.ID] = r
		}
		keys = res.UnprocessedKeys[s.name].Keys
		if len(found) > 0 {
			attempt = 0 // an answer that was only full is asked on at once
		} else if len(keys) > 0 {
			if err := s.policy.Wait(ctx, attempt); err != nil {
				return awscall.Error(fmt.Sprintf("dynamodb BatchGetItem: %d keys unprocessed", len(keys)), err)
			}
		}
	}
	return nil
}

// Update implements pipeline.Records.
func (s *Records) Update(ctx context.Context, connection string, t run.DataType, now time.Time, updates []pipeline.RecordUpdate) ([]bool, error) {
	pk := partition(connection, t)
	applied := make([]bool, len(updates))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(s.parallel)
	for i, u := range updates {
		group.Go(func() error {
			ok, err := s.update(ctx, pk, now, u)
			applied[i] = ok
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return applied, fmt.Errorf("update %d records of %s: %w", len(updates), pk, err)
	}
	return applied, nil
}

// maxRounds bounds how often a record may be changed by others between two
// calls of one update.
const maxRounds = 4

// tombstoneLife is how long a tombstone stays for those who follow the
// records (design.md §6).
const tombstoneLife = 30 * 24 * time.Hour

// remove makes a record a tombstone. The fields to drop are known only by
// reading, so the record is replaced as it was read, or read again.
func (s *Records) remove(ctx context.Context, pk string, now time.Time, id string) (bool, error) {
	for range maxRounds {
		found := map[string]pipeline.Record{}
		if err := s.getChunk(ctx, []map[string]types.AttributeValue{recordKey(pk, id)}, found); err != nil {
			return false, err
		}
		r, ok := found[id]
		if !ok || !r.RemovedAt.IsZero() {
			return false, nil
		}
		done, err := s.bury(ctx, pk, now, r)
		if err != nil || done {
			return done, err
		}
	}
	return false, busy(id)
}

// bury replaces a record by its tombstone if it still is as it was read.
func (s *Records) bury(ctx context.Context, pk string, now time.Time, r pipeline.Record) (bool, error) {
	if err := s.wait(ctx); err != nil {
		return false, err
	}
	call := s.policy.Call(nil)
	out, err := s.api.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &s.name, Item: tombstone(pk, r, now),
		ConditionExpression:      new("attribute_not_exists(#removed) AND #updated = :updated AND #fetched = :fetched"),
		ExpressionAttributeNames: map[string]string{"#removed": attrRemovedAt, "#updated": attrUpdatedAt, "#fetched": attrFetchedAt},
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":updated": text(stamp(r.UpdatedAt)), ":fetched": text(stamp(r.FetchedAt)),
		},
		ReturnConsumedCapacity: s.capacity(),
	}, with(call))
	if _, refused := errors.AsType[*types.ConditionalCheckFailedException](err); refused {
		s.refused("PutItem", 1)
		if call.Unclear() {
			// It may be our own tombstone that is there.
			return false, call.Error("dynamodb PutItem", err)
		}
		return false, nil
	}
	if err != nil {
		return false, call.Error("dynamodb PutItem", err)
	}
	s.count("PutItem", one(out.ConsumedCapacity)...)
	return true, nil
}

func busy(id string) error {
	return fault.New(fault.StoreUnavailable, "record "+id+" is changed by others all the time", "try again later")
}

// update does one update. The common cases take one call; a tombstone, which
// the first call cannot lift for not knowing of it, takes a second.
func (s *Records) update(ctx context.Context, pk string, now time.Time, u pipeline.RecordUpdate) (bool, error) {
	if u.Remove {
		return s.remove(ctx, pk, now, u.ID)
	}
	lift := false
	for range maxRounds {
		c, err := recordChange(u, now, lift)
		if err != nil {
			return false, err
		}
		old, err := s.apply(ctx, recordKey(pk, u.ID), c)
		if err != nil || old == nil {
			return err == nil, err
		}
		if u.Content == nil {
			return false, nil
		}
		r, err := decodeRecord(old)
		if err != nil {
			return false, err
		}
		if r.FetchedAt.After(u.Content.FetchedAt) {
			return false, nil
		}
		lift = !r.RemovedAt.IsZero()
	}
	return false, busy(u.ID)
}

// wait waits for this process's turn to write.
func (s *Records) wait(ctx context.Context) error {
	if err := s.limiter.Wait(ctx); err != nil {
		// The limiter also refuses a wait that would outlast ctx.
		return awscall.Error("dynamodb: wait to write", cmp.Or(ctx.Err(), context.DeadlineExceeded))
	}
	return nil
}

// apply writes one record. If its condition did not hold it returns the stored
// attributes, which are empty for a record that is not there, but never nil.
func (s *Records) apply(ctx context.Context, key map[string]types.AttributeValue, c change) (map[string]types.AttributeValue, error) {
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	call := s.policy.Call(nil)
	out, err := s.api.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &s.name, Key: key, UpdateExpression: &c.update, ConditionExpression: c.condition,
		ExpressionAttributeNames: c.names, ExpressionAttributeValues: c.values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		ReturnConsumedCapacity:              s.capacity(),
	}, with(call))
	if refused, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		s.refused("UpdateItem", 1)
		if refused.Item == nil {
			return map[string]types.AttributeValue{}, nil
		}
		return refused.Item, nil
	}
	if err != nil {
		return nil, call.Error("dynamodb UpdateItem", err)
	}
	s.count("UpdateItem", one(out.ConsumedCapacity)...)
	return nil, nil
}

// Scan implements pipeline.Records: one page of the table in memory at a time.
func (s *Records) Scan(ctx context.Context, connection string, t run.DataType, sc pipeline.Scan) iter.Seq2[pipeline.Record, error] {
	return func(yield func(pipeline.Record, error) bool) {
		err := s.queryPages(ctx, s.scanInput(partition(connection, t), sc), func(page []map[string]types.AttributeValue) bool {
			for _, attrs := range page {
				r, err := decodeRecord(attrs)
				if err == nil && !strings.HasPrefix(r.ID, sc.Prefix) {
					return false // ids are in order: none of the prefix follows
				}
				if !yield(r, err) || err != nil {
					return false
				}
			}
			return true
		})
		if err != nil {
			yield(pipeline.Record{}, err)
		}
	}
}

func (s *Records) scanInput(pk string, sc pipeline.Scan) *dynamodb.QueryInput {
	in := &dynamodb.QueryInput{
		TableName: &s.name, ConsistentRead: new(true), ReturnConsumedCapacity: s.capacity(),
		KeyConditionExpression:    new("#pk = :pk"),
		ExpressionAttributeNames:  map[string]string{"#pk": attrPK},
		ExpressionAttributeValues: map[string]types.AttributeValue{":pk": text(pk)},
	}
	// A key takes one condition only. From an id with the prefix on, the
	// reading stops where the prefix does.
	switch {
	case sc.After != "" && sc.After >= sc.Prefix:
		in.KeyConditionExpression = new("#pk = :pk AND #id > :after")
		in.ExpressionAttributeNames["#id"] = attrID
		in.ExpressionAttributeValues[":after"] = text(sc.After)
	case sc.Prefix != "":
		in.KeyConditionExpression = new("#pk = :pk AND begins_with(#id, :prefix)")
		in.ExpressionAttributeNames["#id"] = attrID
		in.ExpressionAttributeValues[":prefix"] = text(sc.Prefix)
	}
	var filters []string
	if !sc.Since.IsZero() {
		filters = append(filters, "#updated >= :since")
		in.ExpressionAttributeNames["#updated"] = attrUpdatedAt
		in.ExpressionAttributeValues[":since"] = text(stamp(sc.Since))
	}
	if !sc.Removed {
		filters = append(filters, "attribute_not_exists(#removed)")
		in.ExpressionAttributeNames["#removed"] = attrRemovedAt
	}
	if len(filters) > 0 {
		in.FilterExpression = new(strings.Join(filters, " AND "))
	}
	return in
}
