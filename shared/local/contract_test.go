package local_test

import (
	"testing"

	"stovasync/shared/local"
	"stovasync/shared/pipeline"
	"stovasync/shared/pipeline/pipelinetest"
)

func TestItems(t *testing.T) {
	t.Parallel()
	pipelinetest.Items(t, func(t *testing.T) pipeline.Items { return open(t, local.Options{}).Items() })
}

func TestRecords(t *testing.T) {
	t.Parallel()
	pipelinetest.Records(t, func(t *testing.T) pipeline.Records { return open(t, local.Options{}).Records() })
}

func TestObjects(t *testing.T) {
	t.Parallel()
	pipelinetest.Objects(t, func(t *testing.T) pipeline.Objects { return open(t, local.Options{}).Objects() })
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	pipelinetest.Secrets(t, func(t *testing.T) pipeline.Secrets { return open(t, local.Options{}).Secrets() })
}
