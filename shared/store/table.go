package store

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"stovasync/shared/awscall"
)

// Names of attributes and of the index, as template.yaml defines them.
const (
	attrPK      = "pk"
	attrSK      = "sk"
	attrVersion = "version"
	attrDoc     = "doc"
	attrFailed  = "failed"
	attrExpires = "expires"
	indexFailed = "failed"
)

// Meter is told what each call consumed: its operation, such as "GetItem", and
// its read or write capacity units.
type Meter = awscall.Meter

// operation is a method of the client.
type operation[In, Out any] func(context.Context, *In, ...func(*dynamodb.Options)) (*Out, error)

// api holds the operations that are used and not the client, for the reason
// told in package object.
type api struct {
	BatchGetItem       operation[dynamodb.BatchGetItemInput, dynamodb.BatchGetItemOutput]
	DeleteItem         operation[dynamodb.DeleteItemInput, dynamodb.DeleteItemOutput]
	GetItem            operation[dynamodb.GetItemInput, dynamodb.GetItemOutput]
	PutItem            operation[dynamodb.PutItemInput, dynamodb.PutItemOutput]
	Query              operation[dynamodb.QueryInput, dynamodb.QueryOutput]
	Scan               operation[dynamodb.ScanInput, dynamodb.ScanOutput]
	TransactWriteItems operation[dynamodb.TransactWriteItemsInput, dynamodb.TransactWriteItemsOutput]
	UpdateItem         operation[dynamodb.UpdateItemInput, dynamodb.UpdateItemOutput]
}

func apiOf(c *dynamodb.Client) api {
	return api{c.BatchGetItem, c.DeleteItem, c.GetItem, c.PutItem, c.Query, c.Scan, c.TransactWriteItems, c.UpdateItem}
}

// table is what both stores know of their table.
type table struct {
	api    api
	name   string
	policy awscall.Policy
	meter  Meter
}

// capacity asks for the units only when somebody counts them.
func (t *table) capacity() types.ReturnConsumedCapacity {
	if t.meter == nil {
		return types.ReturnConsumedCapacityNone
	}
	return types.ReturnConsumedCapacityTotal
}

func (t *table) count(operation string, consumed ...types.ConsumedCapacity) {
	if t.meter == nil {
		return
	}
	units := 0.0
	for _, c := range consumed {
		units += aws.ToFloat64(c.CapacityUnits)
	}
	t.meter(operation, units)
}

// refused counts a write whose condition did not hold. DynamoDB bills for it
// as for the write, at least one unit, and says nothing of how much.
func (t *table) refused(operation string, units int) {
	if t.meter != nil {
		t.meter(operation, float64(units))
	}
}

// one makes a list of a result that some operations give alone.
func one(c *types.ConsumedCapacity) []types.ConsumedCapacity {
	if c == nil {
		return nil
	}
	return []types.ConsumedCapacity{*c}
}

// with makes a call's own retrying the client's for that call.
func with(call *awscall.Call) func(*dynamodb.Options) {
	return func(o *dynamodb.Options) { o.Retryer = call }
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

// textOf returns the text of a string attribute, or "".
func textOf(av types.AttributeValue) string {
	if s, ok := av.(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}

// queryPages runs a query page by page and hands each page on until yield
// says stop. The input's Limit and ExclusiveStartKey are the caller's first.
func (t *table) queryPages(ctx context.Context, in *dynamodb.QueryInput, yield func([]map[string]types.AttributeValue) bool) error {
	for {
		call := t.policy.Call(nil)
		out, err := t.api.Query(ctx, in, with(call))
		if err != nil {
			return call.Error("dynamodb Query", err)
		}
		t.count("Query", one(out.ConsumedCapacity)...)
		if !yield(out.Items) || len(out.LastEvaluatedKey) == 0 {
			return nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// tokenLife is how long one transaction may be tried again: DynamoDB knows a
// transaction again for ten minutes, after which a repeat could apply twice.
const tokenLife = 9 * time.Minute
