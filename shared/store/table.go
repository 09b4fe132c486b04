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
// its read or write capacity units. It may be called at once.
type Meter func(operation string, units float64)

// table is what both stores know of their table.
type table struct {
	client *dynamodb.Client
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
		out, err := t.client.Query(ctx, in, with(call))
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
