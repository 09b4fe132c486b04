package store_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"stovasync/shared/awscall/awstest"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
	"stovasync/shared/store"
)

// calls are the operations, each as one call of a port.
func calls() map[string]func(context.Context, *store.Items, *store.Records) error {
	doc := json.RawMessage(`{"n":1}`)
	key := pipeline.Key{PK: "RUN#1", SK: "A"}
	now := time.Date(2031, 3, 4, 9, 0, 0, 0, time.UTC)
	update := func(ctx context.Context, r *store.Records, u pipeline.RecordUpdate) error {
		_, err := r.Update(ctx, "summit", run.Users, now, []pipeline.RecordUpdate{u})
		return err
	}
	return map[string]func(context.Context, *store.Items, *store.Records) error{
		"GetItem": func(ctx context.Context, i *store.Items, _ *store.Records) error {
			_, err := i.Get(ctx, key)
			return err
		},
		"UpdateItem": func(ctx context.Context, i *store.Items, _ *store.Records) error {
			return i.Write(ctx, pipeline.Write{Key: key, Version: 1, Doc: doc})
		},
		"DeleteItem": func(ctx context.Context, i *store.Items, _ *store.Records) error {
			return i.Write(ctx, pipeline.Write{Key: key, Version: 1, Delete: true})
		},
		"TransactWriteItems": func(ctx context.Context, i *store.Items, _ *store.Records) error {
			return i.Write(ctx, write("A", 1), write("B", 0))
		},
		"Query": func(ctx context.Context, i *store.Items, _ *store.Records) error {
			for _, err := range i.Query(ctx, pipeline.Query{PK: "RUN#1"}) {
				return err
			}
			return nil
		},
		"Scan": func(ctx context.Context, i *store.Items, _ *store.Records) error {
			for _, err := range i.Failed(ctx, "") {
				return err
			}
			return nil
		},
		"BatchGetItem": func(ctx context.Context, _ *store.Items, r *store.Records) error {
			_, err := r.Get(ctx, "summit", run.Users, []string{"1"})
			return err
		},
		"UpdateItem of a record": func(ctx context.Context, _ *store.Items, r *store.Records) error {
			return update(ctx, r, pipeline.RecordUpdate{ID: "1", Set: map[string]any{"n": "x"}})
		},
	}
}

func TestEveryCallWaitsForABusyTableAndNamesWhatItMayNotDo(t *testing.T) {
	t.Parallel()
	for name, call := range calls() {
		op, _, _ := strings.Cut(name, " ")
		try := func(t *testing.T, answers ...awstest.Answer) (int, error) {
			s := awstest.InTurn(answers...)
			client := dynamodb.NewFromConfig(s.Config())
			err := call(t.Context(), store.NewItems(store.ItemsConfig{Client: client, Table: "ledger"}), records(s))
			return len(s.Asked()), err
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				limit, busy := awstest.Fail(400, "RequestLimitExceeded"), awstest.Fail(400, "ThrottlingException")
				if n, err := try(t, throttled, busy, limit, throttled, busy, limit, fine); err != nil || n != 7 {
					t.Errorf("throttled six times: %v after %d attempts, want no error after 7", err, n)
				}
				action := strings.Replace(op, "TransactWriteItems", "UpdateItem", 1)
				want := "AccessDeniedException; allow dynamodb:" + action + " on the table"
				if n, err := try(t, awstest.Fail(400, "AccessDeniedException")); err == nil || !strings.Contains(err.Error(), want) || n != 1 {
					t.Errorf("denied: %v after %d attempts, want one with %q after 1", err, n, want)
				}
				want = "ResourceNotFoundException; check that the stack is deployed"
				if n, err := try(t, awstest.Fail(400, "ResourceNotFoundException")); err == nil || !strings.Contains(err.Error(), want) || n != 1 {
					t.Errorf("no table: %v after %d attempts, want one with %q after 1", err, n, want)
				}
			})
		})
	}
}

func TestAThrottledPageOfAQueryLosesNoItem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		item := func(sk, last string) awstest.Answer {
			return awstest.Answer{Status: 200, Body: `{"Items":[{"pk":{"S":"A"},"sk":{"S":"` + sk + `"},"version":{"N":"1"},"doc":{"M":{}}}]` + last + `}`}
		}
		more := `,"LastEvaluatedKey":{"pk":{"S":"A"},"sk":{"S":"1"}}`
		s := awstest.InTurn(item("1", more), throttled, throttled, item("2", ""))
		var got []string
		for it, err := range items(s).Query(t.Context(), pipeline.Query{PK: "A"}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, it.SK)
		}
		if strings.Join(got, " ") != "1 2" {
			t.Errorf("items %v, want 1 and 2", got)
		}
	})
}
