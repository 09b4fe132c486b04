package local_test

import (
	"testing"

	"stovasync/shared/local"
	"stovasync/shared/pipeline/pipelinetest"
)

func TestErase(t *testing.T) {
	pipelinetest.Erase(t, func(t *testing.T) pipelinetest.ErasedRecords { return open(t, local.Options{}).Records() })
}

func TestCreate(t *testing.T) {
	pipelinetest.Create(t, func(t *testing.T) pipelinetest.CreatedSecrets { return open(t, local.Options{}).Secrets() })
}
