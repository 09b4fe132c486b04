package store_test

import (
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/go-cmp/cmp"

	"stovasync/shared/awscall/awstest"
	"stovasync/shared/pipeline"
	"stovasync/shared/store"
)

func TestMeterIsToldWhatDynamoDBBills(t *testing.T) {
	t.Parallel()
	pair := []pipeline.Write{write("A", 1), write("B", 0)}
	used := awstest.Answer{Status: 200, Body: `{"ConsumedCapacity":{"CapacityUnits":3}}`}
	both := awstest.Answer{Status: 200, Body: `{"ConsumedCapacity":[{"CapacityUnits":4},{"CapacityUnits":2.5}]}`}
	tests := map[string]struct {
		writes  []pipeline.Write
		answers []awstest.Answer
		want    map[string]float64
	}{
		"a write is what DynamoDB says":                     {pair[:1], []awstest.Answer{used}, map[string]float64{"UpdateItem": 3}},
		"a throttled attempt costs nothing":                 {pair[:1], []awstest.Answer{throttled, used}, map[string]float64{"UpdateItem": 3}},
		"a transaction is the sum of its tables":            {pair, []awstest.Answer{both}, map[string]float64{"TransactWriteItems": 6.5}},
		"a write that is refused costs a unit at least":     {pair[:1], []awstest.Answer{refused}, map[string]float64{"UpdateItem": 1}},
		"a refused transaction costs two units for a write": {pair, []awstest.Answer{cancelled("None", "ConditionalCheckFailed")}, map[string]float64{"TransactWriteItems": 4}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var meter awstest.Meter
				s := store.NewItems(store.ItemsConfig{
					Client: dynamodb.NewFromConfig(awstest.InTurn(tt.answers...).Config()), Table: "ledger", Meter: meter.Count,
				})
				_ = s.Write(t.Context(), tt.writes...) // what became of it is TestItemsWriteUnderRefusalsAndFailures'
				if diff := cmp.Diff(tt.want, meter.Units()); diff != "" {
					t.Errorf("units (-want +got):\n%s", diff)
				}
			})
		})
	}
}
