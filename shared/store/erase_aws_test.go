package store_test

import (
	"testing"

	"stovasync/shared/awscall/awstest"
	"stovasync/shared/pipeline/pipelinetest"
	"stovasync/shared/store"
)

func TestAWSErase(t *testing.T) {
	client := awstest.DynamoDB(t)
	pipelinetest.Erase(t, func(t *testing.T) pipelinetest.ErasedRecords {
		return store.NewRecords(store.RecordsConfig{Client: client, Table: awstest.Records(t, client), WritesPerSecond: -1})
	})
}
