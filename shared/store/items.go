package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"stovasync/shared/awscall"
	"stovasync/shared/pipeline"
)

// Items keeps the ledger in DynamoDB. It implements pipeline.Items.
type Items struct{ table }

var _ pipeline.Items = (*Items)(nil)

// ItemsConfig is what Items works with.
type ItemsConfig struct {
	Client *dynamodb.Client
	Table  string         // the ledger's name
	Policy awscall.Policy // how calls are tried again; the zero value ships
	Meter  Meter          // told what calls consume; may be nil
}

// NewItems returns the ledger on a table of DynamoDB.
func NewItems(c ItemsConfig) *Items {
	return &Items{table{api: apiOf(c.Client), name: c.Table, policy: c.Policy, meter: c.Meter}}
}

func key(k pipeline.Key) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{attrPK: text(k.PK), attrSK: text(k.SK)}
}

// Get implements pipeline.Items.
func (s *Items) Get(ctx context.Context, k pipeline.Key) (pipeline.Item, error) {
	call := s.policy.Call(nil)
	out, err := s.api.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &s.name, Key: key(k), ConsistentRead: new(true), ReturnConsumedCapacity: s.capacity(),
	}, with(call))
	if err != nil {
		return pipeline.Item{}, call.Error("dynamodb GetItem", err)
	}
	s.count("GetItem", one(out.ConsumedCapacity)...)
	if len(out.Item) == 0 {
		return pipeline.Item{Key: k}, nil
	}
	return item(out.Item)
}

func item(attrs map[string]types.AttributeValue) (pipeline.Item, error) {
	it := pipeline.Item{Key: pipeline.Key{PK: textOf(attrs[attrPK]), SK: textOf(attrs[attrSK])}}
	version, ok := attrs[attrVersion].(*types.AttributeValueMemberN)
	if !ok {
		return it, fmt.Errorf("ledger item %s %s has no version", it.PK, it.SK)
	}
	n, err := strconv.ParseInt(version.Value, 10, 64)
	if err != nil {
		return it, fmt.Errorf("ledger item %s %s has a version that is no integer", it.PK, it.SK)
	}
	it.Version = n
	if it.Doc, err = decodeDocument(attrs[attrDoc]); err != nil {
		return it, fmt.Errorf("ledger item %s %s: %w", it.PK, it.SK, err)
	}
	return it, nil
}

// Query implements pipeline.Items.
func (s *Items) Query(ctx context.Context, q pipeline.Query) iter.Seq2[pipeline.Item, error] {
	in := &dynamodb.QueryInput{
		TableName: &s.name, ConsistentRead: new(true), ReturnConsumedCapacity: s.capacity(),
		KeyConditionExpression:    new("#pk = :pk"),
		ExpressionAttributeNames:  map[string]string{"#pk": attrPK},
		ExpressionAttributeValues: map[string]types.AttributeValue{":pk": text(q.PK)},
		ScanIndexForward:          new(!q.Reverse),
	}
	if q.Prefix != "" {
		in.KeyConditionExpression = new("#pk = :pk AND begins_with(#sk, :prefix)")
		in.ExpressionAttributeNames["#sk"] = attrSK
		in.ExpressionAttributeValues[":prefix"] = text(q.Prefix)
	}
	if q.Limit > 0 {
		in.Limit = new(int32(min(q.Limit, 1000)))
	}
	return s.items(ctx, in, q.Limit)
}

// Failed implements pipeline.Items. The index is small: it holds failed pages only.
func (s *Items) Failed(ctx context.Context, connection string) iter.Seq2[pipeline.Item, error] {
	if connection == "" {
		return s.allFailed(ctx)
	}
	return s.items(ctx, &dynamodb.QueryInput{
		TableName: &s.name, IndexName: new(indexFailed), ReturnConsumedCapacity: s.capacity(),
		KeyConditionExpression:    new("#failed = :connection"),
		ExpressionAttributeNames:  map[string]string{"#failed": attrFailed},
		ExpressionAttributeValues: map[string]types.AttributeValue{":connection": text(connection)},
	}, 0)
}

// items reads at most limit items of a query; 0 is all.
func (s *Items) items(ctx context.Context, in *dynamodb.QueryInput, limit int) iter.Seq2[pipeline.Item, error] {
	return func(yield func(pipeline.Item, error) bool) {
		in, n := *in, 0 // a copy, so that the sequence can be read again
		err := s.queryPages(ctx, &in, func(page []map[string]types.AttributeValue) bool {
			for _, attrs := range page {
				it, err := item(attrs)
				n++
				if !yield(it, err) || err != nil || n == limit {
					return false
				}
			}
			return true
		})
		if err != nil {
			yield(pipeline.Item{}, err)
		}
	}
}

func (s *Items) allFailed(ctx context.Context) iter.Seq2[pipeline.Item, error] {
	return func(yield func(pipeline.Item, error) bool) {
		in := &dynamodb.ScanInput{TableName: &s.name, IndexName: new(indexFailed), ReturnConsumedCapacity: s.capacity()}
		for {
			call := s.policy.Call(nil)
			out, err := s.api.Scan(ctx, in, with(call))
			if err != nil {
				yield(pipeline.Item{}, call.Error("dynamodb Scan", err))
				return
			}
			s.count("Scan", one(out.ConsumedCapacity)...)
			for _, attrs := range out.Items {
				it, err := item(attrs)
				if !yield(it, err) || err != nil {
					return
				}
			}
			if len(out.LastEvaluatedKey) == 0 {
				return
			}
			in.ExclusiveStartKey = out.LastEvaluatedKey
		}
	}
}

// maxWrites is DynamoDB's limit of a transaction.
const maxWrites = 100

// Write implements pipeline.Items. One write is an ordinary conditional write,
// which costs half of a transaction.
func (s *Items) Write(ctx context.Context, writes ...pipeline.Write) error {
	if len(writes) > maxWrites {
		return fmt.Errorf("write %d items: a transaction takes at most %d", len(writes), maxWrites)
	}
	seen := make(map[pipeline.Key]bool, len(writes))
	todo := make([]pipeline.Write, 0, len(writes))
	for _, w := range writes {
		if seen[w.Key] {
			return fmt.Errorf("write item %s %s: twice in one transaction", w.PK, w.SK)
		}
		seen[w.Key] = true
		if !isCheck(w) || w.Version != pipeline.AnyVersion {
			todo = append(todo, w) // an unconditional check says nothing
		}
	}
	switch len(todo) {
	case 0:
		return nil
	case 1:
		return s.writeOne(ctx, todo[0])
	default:
		return s.transact(ctx, todo)
	}
}

func isCheck(w pipeline.Write) bool { return w.Doc == nil && !w.Delete }

func (s *Items) writeOne(ctx context.Context, w pipeline.Write) error {
	if isCheck(w) {
		return s.check(ctx, w)
	}
	c, err := changeOf(w)
	if err != nil {
		return err
	}
	call := s.policy.Call(nil)
	op := "UpdateItem"
	if w.Delete {
		op = "DeleteItem"
		err = s.deleteItem(ctx, w, c, call)
	} else {
		err = s.updateItem(ctx, w, c, call)
	}
	if err == nil {
		return nil
	}
	_, refused := errors.AsType[*types.ConditionalCheckFailedException](err)
	if refused {
		s.refused(op, 1)
	}
	switch {
	case refused && !call.Unclear():
		return fmt.Errorf("write item %s %s: %w", w.PK, w.SK, pipeline.ErrVersion)
	case refused:
		// An earlier attempt got no answer: it may be our own write that moved
		// the version. The caller must read again, as after any other error.
		return fmt.Errorf("write item %s %s, repeated after no answer: %w", w.PK, w.SK, call.Error("dynamodb "+op, err))
	default:
		return fmt.Errorf("write item %s %s: %w", w.PK, w.SK, call.Error("dynamodb "+op, err))
	}
}

// check compares an item's version; outside a transaction that is a read.
func (s *Items) check(ctx context.Context, w pipeline.Write) error {
	it, err := s.Get(ctx, w.Key)
	if err != nil {
		return err
	}
	if it.Version != w.Version {
		return fmt.Errorf("check item %s %s: %w", w.PK, w.SK, pipeline.ErrVersion)
	}
	return nil
}

func (s *Items) updateItem(ctx context.Context, w pipeline.Write, c change, call *awscall.Call) error {
	out, err := s.api.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &s.name, Key: key(w.Key), UpdateExpression: &c.update, ConditionExpression: c.condition,
		ExpressionAttributeNames: c.names, ExpressionAttributeValues: c.values, ReturnConsumedCapacity: s.capacity(),
	}, with(call))
	if err == nil {
		s.count("UpdateItem", one(out.ConsumedCapacity)...)
	}
	return err
}

func (s *Items) deleteItem(ctx context.Context, w pipeline.Write, c change, call *awscall.Call) error {
	out, err := s.api.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: &s.name, Key: key(w.Key), ConditionExpression: c.condition,
		ExpressionAttributeNames: c.names, ExpressionAttributeValues: c.values, ReturnConsumedCapacity: s.capacity(),
	}, with(call))
	if err == nil {
		s.count("DeleteItem", one(out.ConsumedCapacity)...)
	}
	return err
}

// transact does several writes or none. The SDK gives all attempts of one call
// one token, so that an attempt without an answer is not applied twice; the
// token does not outlive the call, so nothing beyond it relies on it.
func (s *Items) transact(ctx context.Context, writes []pipeline.Write) error {
	parts := make([]types.TransactWriteItem, len(writes))
	for i, w := range writes {
		c, err := changeOf(w)
		if err != nil {
			return err
		}
		parts[i] = s.part(w, c)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, tokenLife, errors.New("the transaction's token is too old"))
	defer cancel()
	call := s.policy.Call(cancelledByOthers)
	out, err := s.api.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{
		TransactItems: parts, ReturnConsumedCapacity: s.capacity(),
	}, with(call))
	if err == nil {
		s.count("TransactWriteItems", out.ConsumedCapacity...)
		return nil
	}
	if i := failedCondition(err); i >= 0 && i < len(writes) {
		s.refused("TransactWriteItems", 2*len(writes))
		return fmt.Errorf("write %d items, %s %s: %w", len(writes), writes[i].PK, writes[i].SK, pipeline.ErrVersion)
	}
	return fmt.Errorf("write %d items: %w", len(writes), call.Error("dynamodb TransactWriteItems", err))
}

func (s *Items) part(w pipeline.Write, c change) types.TransactWriteItem {
	switch {
	case w.Delete:
		return types.TransactWriteItem{Delete: &types.Delete{
			TableName: &s.name, Key: key(w.Key), ConditionExpression: c.condition,
			ExpressionAttributeNames: c.names, ExpressionAttributeValues: c.values,
		}}
	case w.Doc == nil:
		return types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
			TableName: &s.name, Key: key(w.Key), ConditionExpression: c.condition,
			ExpressionAttributeNames: c.names, ExpressionAttributeValues: c.values,
		}}
	default:
		return types.TransactWriteItem{Update: &types.Update{
			TableName: &s.name, Key: key(w.Key), UpdateExpression: &c.update, ConditionExpression: c.condition,
			ExpressionAttributeNames: c.names, ExpressionAttributeValues: c.values,
		}}
	}
}

// failedCondition returns which write of a cancelled transaction was not at
// its version, or -1.
func failedCondition(err error) int {
	e, ok := errors.AsType[*types.TransactionCanceledException](err)
	if !ok {
		return -1
	}
	for i, r := range e.CancellationReasons {
		if aws.ToString(r.Code) == "ConditionalCheckFailed" {
			return i
		}
	}
	return -1
}

// cancelledByOthers reports whether a transaction was cancelled for nothing
// but conflicts and throttling, which pass. The SDK does not try these again.
func cancelledByOthers(err error) bool {
	e, ok := errors.AsType[*types.TransactionCanceledException](err)
	if !ok {
		return false
	}
	passes := false
	for _, r := range e.CancellationReasons {
		switch aws.ToString(r.Code) {
		case "", "None":
		case "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded":
			passes = true
		default:
			return false
		}
	}
	return passes
}

// change is a write as DynamoDB's expressions.
type change struct {
	update    string
	condition *string
	names     map[string]string
	values    map[string]types.AttributeValue
}

func changeOf(w pipeline.Write) (change, error) {
	c := change{names: map[string]string{}, values: map[string]types.AttributeValue{}}
	switch w.Version {
	case pipeline.AnyVersion:
	case 0:
		c.condition = new("attribute_not_exists(#pk)")
		c.names["#pk"] = attrPK
	default:
		c.condition = new("#version = :version")
		c.names["#version"] = attrVersion
		c.values[":version"] = number(w.Version)
	}
	if w.Doc != nil && !w.Delete {
		doc, err := encodeDocument(w.Doc)
		if err != nil {
			return change{}, fmt.Errorf("write item %s %s: %w", w.PK, w.SK, err)
		}
		c.setDocument(w, doc)
	}
	// DynamoDB refuses empty maps of names and values.
	if len(c.names) == 0 {
		c.names = nil
	}
	if len(c.values) == 0 {
		c.values = nil
	}
	return c, nil
}

func (c *change) setDocument(w pipeline.Write, doc types.AttributeValue) {
	c.names["#version"], c.names["#doc"] = attrVersion, attrDoc
	c.names["#failed"], c.names["#expires"] = attrFailed, attrExpires
	c.values[":doc"], c.values[":zero"], c.values[":one"] = doc, number(0), number(1)
	set := []string{"#doc = :doc", "#version = if_not_exists(#version, :zero) + :one"}
	var remove []string
	if w.Failed != "" {
		set = append(set, "#failed = :failed")
		c.values[":failed"] = text(w.Failed)
	} else {
		remove = append(remove, "#failed")
	}
	if !w.Expires.IsZero() {
		set = append(set, "#expires = :expires")
		c.values[":expires"] = number(w.Expires.Unix())
	} else {
		remove = append(remove, "#expires")
	}
	c.update = "SET " + strings.Join(set, ", ")
	if len(remove) > 0 {
		c.update += " REMOVE " + strings.Join(remove, ", ")
	}
}

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}
