package local_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"stovasync/shared/local"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// The tests here start this binary again as another process, which does one
// of the jobs below on the folder it is told.
const (
	jobEnv = "LOCAL_TEST_JOB"
	dirEnv = "LOCAL_TEST_DIR"
)

func TestJob(t *testing.T) {
	job := map[string]func(*testing.T, *local.Store){"write": writeJob, "count": countJob, "plan": planJob, "lock": lockJob}[os.Getenv(jobEnv)]
	if job == nil {
		t.Skip("runs in the processes that other tests start")
	}
	job(t, openDir(t, os.Getenv(dirEnv), local.Options{}))
}

func start(t *testing.T, job, dir string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestJob$", "-test.v")
	cmd.Env = append(os.Environ(), jobEnv+"="+job, dirEnv+"="+dir)
	out := new(bytes.Buffer)
	cmd.Stderr = out
	return cmd, out
}

var ledgerKeys = []pipeline.Key{{PK: "RUN#a", SK: "TYPE#users"}, {PK: "RUN#b", SK: "PAGE#users#1"}}

// writeJob writes for ever and says on stdout, after each round, which it was.
func writeJob(t *testing.T, s *local.Store) {
	page := strings.Repeat("0123456789", 20_000)
	for n := 1; ; n++ {
		doc := fmt.Appendf(nil, `{"n":%d}`, n)
		set := map[string]any{"n": int64(n)}
		c := &pipeline.Record{Run: "run-1", FetchedAt: time.Unix(int64(n), 0)}
		_, err1 := s.Objects().Put(t.Context(), fmt.Sprintf("raw/%d", n), strings.NewReader(page), pipeline.ObjectInfo{IfAbsent: true})
		_, err2 := s.Records().Update(t.Context(), "gala", run.Users, time.Unix(int64(n), 0), []pipeline.RecordUpdate{{ID: "1", Set: set, Content: c}, {ID: "2", Set: set, Content: c}})
		err3 := s.Queue().SendBody(t.Context(), run.TasksQueue, "gala", strconv.Itoa(n))
		err4 := s.Items().Write(t.Context(),
			pipeline.Write{Key: ledgerKeys[0], Version: pipeline.AnyVersion, Doc: doc}, pipeline.Write{Key: ledgerKeys[1], Version: pipeline.AnyVersion, Doc: doc})
		err5 := s.Secrets().Put(t.Context(), "gala", fmt.Sprintf("invented key %d.", n))
		if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
			t.Fatal(err)
		}
		fmt.Println("done", n)
	}
}

func TestAKilledProcessLeavesEverythingThatItReported(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for round := range 4 {
		cmd, stderr := start(t, "write", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		last := 0
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if n, ok := strings.CutPrefix(lines.Text(), "done "); ok {
				last, _ = strconv.Atoi(n)
			}
			// At another moment each time; the process goes on meanwhile.
			if last == 5+7*round {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // killed
		if last < 5+7*round {
			t.Fatalf("the process ended by itself after %d rounds:\n%s", last, stderr)
		}
		checkWhole(t, dir, last)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// checkWhole checks that a store holds round n, or the one after it, wholly.
func checkWhole(t *testing.T, dir string, n int) {
	t.Helper()
	s, err := local.Open(t.Context(), dir, local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	docs := map[string]bool{}
	for _, k := range ledgerKeys {
		it, err := s.Items().Get(t.Context(), k)
		if err != nil || it.Version < int64(n) {
			t.Errorf("item %v: version %d, error %v; want at least %d", k, it.Version, err, n)
		}
		docs[string(it.Doc)] = true
	}
	if len(docs) != 1 {
		t.Errorf("two items of one transaction differ: %v", docs)
	}
	got, err := s.Records().Get(t.Context(), "gala", run.Users, []string{"1", "2"})
	if err != nil || got["1"].Fields["n"] != got["2"].Fields["n"] || got["1"].Fields["n"].(int64) < int64(n) {
		t.Errorf("records %v and %v, error %v; want both at least %d", got["1"].Fields, got["2"].Fields, err, n)
	}
	if d, err := s.Queue().Depth(t.Context(), "gala"); err != nil || d.Ready < n {
		t.Errorf("%d messages, error %v; want at least %d", d.Ready, err, n)
	}
	if key, err := s.Secrets().Get(t.Context(), "gala"); err != nil || !strings.HasSuffix(key, ".") {
		t.Errorf("secret: torn, or error %v", err)
	}
	objects := 0
	for key, err := range s.Objects().List(t.Context(), "raw/") {
		if err != nil {
			t.Fatal(err)
		}
		path, err := s.Objects().Path(key)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Size() != 200_000 {
			t.Errorf("object %s is torn", key)
		}
		objects++
	}
	if objects < n {
		t.Errorf("%d objects, want at least %d", objects, n)
	}
}

const increments = 50

func countJob(t *testing.T, s *local.Store) {
	for range increments {
		for {
			it, err := s.Items().Get(t.Context(), ledgerKeys[0])
			if err != nil {
				t.Fatal(err)
			}
			err = s.Items().Write(t.Context(), pipeline.Write{Key: ledgerKeys[0], Version: it.Version, Doc: []byte(`{}`)})
			if err == nil {
				break
			}
			if !errors.Is(err, pipeline.ErrVersion) {
				t.Fatal(err)
			}
		}
	}
}

// planJob puts one object if it is absent and says whether it did.
func planJob(t *testing.T, s *local.Store) {
	for n := range increments {
		made, err := s.Objects().Put(t.Context(), fmt.Sprintf("plan/%d", n), strings.NewReader("x"), pipeline.ObjectInfo{IfAbsent: true})
		if err != nil {
			t.Fatal(err)
		}
		if made {
			fmt.Println("made", n)
		}
	}
}

// processes runs a job in several processes at once and returns what they said.
func processes(t *testing.T, n int, job, dir string) string {
	t.Helper()
	var mu sync.Mutex
	var said strings.Builder
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			cmd, stderr := start(t, job, dir)
			out, err := cmd.Output()
			if err != nil {
				t.Errorf("job %s: %v\n%s%s", job, err, out, stderr)
			}
			mu.Lock()
			defer mu.Unlock()
			said.Write(out)
		})
	}
	wg.Wait()
	return said.String()
}

func TestProcessesLoseNoUpdate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	processes(t, 3, "count", dir)
	it, err := openDir(t, dir, local.Options{}).Items().Get(t.Context(), ledgerKeys[0])
	if err != nil || it.Version != 3*increments {
		t.Errorf("version %d, error %v; want %d", it.Version, err, 3*increments)
	}
}

func TestProcessesPutEachObjectOnce(t *testing.T) {
	t.Parallel()
	said := processes(t, 3, "plan", t.TempDir())
	if n := strings.Count(said, "made "); n != increments {
		t.Errorf("%d puts made an object, want %d", n, increments)
	}
	for n := range increments {
		if strings.Count(said, fmt.Sprintf("made %d\n", n)) != 1 {
			t.Errorf("object %d was not made once", n)
		}
	}
}

// lockJob takes the lock, says so and waits to be killed.
func lockJob(t *testing.T, s *local.Store) {
	_, held, err := s.Lock(t.Context(), "gala")
	fmt.Println("held", held, err)
	<-t.Context().Done()
}

func TestTheLockOfAKilledProcessIsFree(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openDir(t, dir, local.Options{})
	cmd, stderr := start(t, "lock", dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "held") {
	}
	if lines.Text() != "held true <nil>" {
		t.Fatalf("the process said %q\n%s", lines.Text(), stderr)
	}
	if _, held, err := s.Lock(t.Context(), "gala"); held || err != nil {
		t.Errorf("Lock beside a live process: %t, %v", held, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	unlock, held, err := s.Lock(t.Context(), "gala")
	if !held || err != nil {
		t.Fatalf("Lock after a killed process: %t, %v", held, err)
	}
	unlock()
}
