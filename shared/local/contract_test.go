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
