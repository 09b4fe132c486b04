package pipelinetest_test

import (
	"testing"

	"stovasync/shared/pipeline"
	"stovasync/shared/pipeline/pipelinetest"
)

func TestMemoryItems(t *testing.T) {
	t.Parallel()
	pipelinetest.Items(t, func(*testing.T) pipeline.Items { return pipelinetest.NewMemory().Items() })
}
