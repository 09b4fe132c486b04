//go:build !lambda.norpc

package store

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/errgroup"

	"stovasync/shared/run"
)

// Erase deletes records wholly, tombstones included, and says how many there
// were. Ids that are not stored are no error. The table's stream shows each as
// a REMOVE.
func (s *Records) Erase(ctx context.Context, connection string, t run.DataType, ids []string) (int, error) {
	pk := partition(connection, t)
	there := make([]int, len(ids))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(s.parallel)
	for i, id := range ids {
		group.Go(func() error {
			if err := s.wait(ctx); err != nil {
				return err
			}
			call := s.policy.Call(nil)
			out, err := s.api.DeleteItem(ctx, &dynamodb.DeleteItemInput{
				TableName: &s.name, Key: recordKey(pk, id), ReturnValues: types.ReturnValueAllOld, ReturnConsumedCapacity: s.capacity(),
			}, with(call))
			if err != nil {
				return call.Error("dynamodb DeleteItem", err)
			}
			s.count("DeleteItem", one(out.ConsumedCapacity)...)
			if len(out.Attributes) > 0 {
				there[i] = 1
			}
			return nil
		})
	}
	err := group.Wait()
	n := 0
	for _, one := range there {
		n += one
	}
	if err != nil {
		return n, fmt.Errorf("erase %d records of %s: %w", len(ids), pk, err)
	}
	return n, nil
}
