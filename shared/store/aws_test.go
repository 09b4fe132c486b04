package store_test

import (
	"testing"

	"stovasync/shared/awscall/awstest"
	"stovasync/shared/pipeline"
	"stovasync/shared/pipeline/pipelinetest"
	"stovasync/shared/store"
)

func TestAWSItems(t *testing.T) {
	t.Parallel()
	client := awstest.DynamoDB(t)
	pipelinetest.Items(t, func(t *testing.T) pipeline.Items {
		return store.NewItems(store.ItemsConfig{Client: client, Table: awstest.Ledger(t, client)})
	})
}

func TestAWSRecords(t *testing.T) {
	t.Parallel()
	client := awstest.DynamoDB(t)
	pipelinetest.Records(t, func(t *testing.T) pipeline.Records {
		return store.NewRecords(store.RecordsConfig{Client: client, Table: awstest.Records(t, client), WritesPerSecond: -1})
	})
}
