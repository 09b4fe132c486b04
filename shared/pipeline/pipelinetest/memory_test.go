package pipelinetest_test

import (
	"testing"
	"time"

	"stovasync/shared/pipeline"
	"stovasync/shared/pipeline/pipelinetest"
)

func TestMemoryItems(t *testing.T) {
	t.Parallel()
	pipelinetest.Items(t, func(*testing.T) pipeline.Items { return pipelinetest.NewMemory().Items() })
}

func TestMemoryEncodedRecords(t *testing.T) {
	t.Parallel()
	pipelinetest.Encoded(t, func(*testing.T) pipeline.Records { return pipelinetest.NewMemory().Records() })
}

func TestMemoryRecords(t *testing.T) {
	t.Parallel()
	pipelinetest.Records(t, func(*testing.T) pipeline.Records { return pipelinetest.NewMemory().Records() })
}

func TestMemoryObjects(t *testing.T) {
	t.Parallel()
	pipelinetest.Objects(t, func(*testing.T) pipeline.Objects { return pipelinetest.NewMemory().Objects() })
}

func TestMemorySecrets(t *testing.T) {
	t.Parallel()
	pipelinetest.Secrets(t, func(*testing.T) pipeline.Secrets { return pipelinetest.NewMemory().Secrets() })
}

func TestMemoryQueue(t *testing.T) {
	t.Parallel()
	pipelinetest.Queue(t, func(_ *testing.T, o pipelinetest.QueueOptions) pipelinetest.TaskQueue {
		q := pipelinetest.NewMemory().Queue(time.Now)
		q.MaxReceives = o.MaxReceives
		return q
	})
}

func TestMemoryErase(t *testing.T) {
	pipelinetest.Erase(t, func(*testing.T) pipelinetest.ErasedRecords {
		return pipelinetest.NewMemory().Records().(pipelinetest.ErasedRecords)
	})
}

func TestMemoryCreate(t *testing.T) {
	pipelinetest.Create(t, func(*testing.T) pipelinetest.CreatedSecrets {
		return pipelinetest.NewMemory().Secrets().(pipelinetest.CreatedSecrets)
	})
}
