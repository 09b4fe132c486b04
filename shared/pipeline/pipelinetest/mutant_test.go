package pipelinetest_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"stovasync/shared/pipeline"
	"stovasync/shared/pipeline/pipelinetest"
)

// A mutant is the memory store with one promise broken, and the part of the
// suite that must notice.
type mutant struct {
	items   *items
	records *records
	objects *objects
	secrets *secrets
	queue   *queue
	caught  string
}

// run runs the mutant's suite.
func (m mutant) run(t *testing.T) {
	switch mem := pipelinetest.NewMemory; {
	case m.items != nil:
		pipelinetest.Items(t, func(*testing.T) pipeline.Items { c := *m.items; c.Items = mem().Items(); return &c })
	case m.records != nil:
		pipelinetest.Records(t, func(*testing.T) pipeline.Records { c := *m.records; c.Records = mem().Records(); return &c })
	case m.objects != nil:
		pipelinetest.Objects(t, func(*testing.T) pipeline.Objects { c := *m.objects; c.Objects = mem().Objects(); return &c })
	case m.secrets != nil:
		pipelinetest.Secrets(t, func(*testing.T) pipeline.Secrets { c := *m.secrets; c.Secrets = mem().Secrets(); return &c })
	case m.queue != nil:
		pipelinetest.Queue(t, func(_ *testing.T, o pipelinetest.QueueOptions) pipelinetest.TaskQueue {
			c := *m.queue
			c.MemoryQueue = mem().Queue(time.Now)
			c.MaxReceives = o.MaxReceives
			return &c
		})
	}
}

const mutantEnv = "PIPELINETEST_MUTANT"

// mutants returns all mutants by what they do wrong.
func mutants() map[string]mutant {
	all := map[string]mutant{}
	for _, some := range []map[string]mutant{itemMutants(), recordMutants(), objectMutants(), secretMutants(), queueMutants()} {
		for name, m := range some {
			all[name] = m
		}
	}
	return all
}

// TestMutants runs the suite on each mutant in a process of its own, since a
// test cannot expect another test to fail.
func TestMutants(t *testing.T) {
	if os.Getenv(mutantEnv) != "" {
		t.Skip("this process is for one mutant")
	}
	t.Parallel()
	// Many mutants are caught by waiting in vain: more of them at once than
	// there are processors.
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8)
	for name, m := range mutants() {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if err := caughtAtLast(t.Context(), name, m); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	wg.Wait()
}

// caughtAtLast gives the suite a few tries: some mutants only lose a race, and
// on a busy machine the goroutines of a test may happen to run one by one.
func caughtAtLast(ctx context.Context, name string, m mutant) (err error) {
	const tries = 5
	for range tries {
		if err = caught(ctx, name, m); err == nil {
			return nil
		}
	}
	return err
}

// caught reports an error unless the part of the suite that a mutant names
// fails on it, and fails rather than panics.
func caught(ctx context.Context, name string, m mutant) error {
	sub := strings.ReplaceAll(m.caught, " ", "_")
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestMutant$/^"+regexp.QuoteMeta(sub)+"$", "-test.timeout=8s", "-test.v")
	cmd.Env = append(os.Environ(), mutantEnv+"="+name)
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "--- FAIL: TestMutant/"+sub) || strings.Contains(string(out), "panic:") {
		return fmt.Errorf("not caught by %q (%v):\n%s", m.caught, err, out)
	}
	return nil
}

// TestMutant is the child of TestMutants.
func TestMutant(t *testing.T) {
	name := os.Getenv(mutantEnv)
	if name == "" {
		t.Skip("runs in the processes that TestMutants starts")
	}
	m, ok := mutants()[name]
	if !ok {
		t.Fatalf("no mutant %q", name)
	}
	m.run(t)
}
