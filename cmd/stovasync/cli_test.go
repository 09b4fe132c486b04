package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// call runs the command line in this process.
func call(t *testing.T, ctx context.Context, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	none := func(string) (string, bool) { return "", false }
	code = execute(ctx, append([]string{"stovasync"}, args...), strings.NewReader(""), &out, &err, none)
	return code, out.String(), err.String()
}

func TestDemoInOneProcess(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "demo")
	code, out, errs := call(t, t.Context(), "demo", "--dir", dir, "--attendees", "40", "--json")
	if code != exitComplete {
		t.Fatalf("demo exits with %d: %s", code, errs)
	}
	var v demoView
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatalf("demo --json: %v in %q", err, out)
	}
	if v.First == nil || v.First.State != run.Complete || v.First.Types[run.Users].New == 0 {
		t.Errorf("first run = %+v, want complete with new users", v.First)
	}
	for dataType, tv := range v.Again.Types {
		if tv.New+tv.Changed != 0 {
			t.Errorf("%s: the second run wrote %d new and %d changed, want none", dataType, tv.New, tv.Changed)
		}
		if sum := tv.New + tv.Changed + tv.Unchanged + tv.Filtered + tv.Rejected + tv.Pending + tv.Missing; sum != tv.Read {
			t.Errorf("%s: read %d, but the counts sum up to %d", dataType, tv.Read, sum)
		}
	}
}

func TestDemoStopsWhenItIsInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code, out, errs := call(t, ctx, "demo", "--dir", filepath.Join(t.TempDir(), "demo"))
	if code != exitError || out != "" || errs != "interrupted\n" {
		t.Errorf("exit %d, stdout %q, stderr %q; want 1, nothing, interrupted", code, out, errs)
	}
}

func TestErrorLines(t *testing.T) {
	t.Parallel()
	auth := fault.New(fault.StovaAuth, "refused", "check the key")
	tests := map[string]struct {
		err  error
		want []string
	}{
		"a coded error is told without what is around it": {fmt.Errorf("plan: %w", fault.Permanent(auth)), []string{"STOVA_AUTH: refused; check the key"}},
		"joined errors are a line each":                   {errors.Join(auth, errors.New("other")), []string{"STOVA_AUTH: refused; check the key", "other"}},
		"the same error twice is one line":                {errors.Join(auth, errors.Join(auth, auth)), []string{"STOVA_AUTH: refused; check the key"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, errorLines(tt.err)); diff != "" {
				t.Errorf("errorLines(%v) (-want +got):\n%s", tt.err, diff)
			}
		})
	}
}

// full is a standard output that nobody reads any more.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.EPIPE }

func TestAClosedPipeIsNoError(t *testing.T) {
	t.Parallel()
	var errs bytes.Buffer
	none := func(string) (string, bool) { return "", false }
	target := "local:" + t.TempDir()
	if code := execute(t.Context(), []string{"stovasync", "--target", target, "runs"}, strings.NewReader(""), full{}, &errs, none); code != exitComplete || errs.Len() > 0 {
		t.Errorf("exit %d, stderr %q; want 0 and nothing", code, errs.String())
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ word, want string }{
		"a slip of two letters finds its word":  {"snyc", `did you mean "sync"?`},
		"another case finds its word":           {"SYNC", `did you mean "sync"?`},
		"what is like nothing gets the default": {"xyzzy", "see help"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := nearest(tt.word, []string{"sync", "check", "export"}, "see help"); got != tt.want {
				t.Errorf("nearest(%q) = %q, want %q", tt.word, got, tt.want)
			}
		})
	}
}

func TestCausesLeaveOutWhatOnlyFollows(t *testing.T) {
	t.Parallel()
	v := pipeline.RunView{Types: map[run.DataType]pipeline.TypeView{
		run.Users:      {State: run.Failed, Error: "STOVA_AUTH: refused"},
		run.UserPhotos: {State: run.Failed, Error: "GATE_USERS_FIRST: no users"},
		run.Schedule:   {State: run.Failed, Error: "STOVA_AUTH: users ended without a list"},
		run.Presenters: {State: run.Failed, Error: "STOVA_SERVER: down"},
		run.Sessions:   {State: run.Complete},
	}}
	if diff := cmp.Diff([]string{"STOVA_AUTH: refused", "STOVA_SERVER: down"}, causes(v)); diff != "" {
		t.Errorf("causes (-want +got):\n%s", diff)
	}
}

// The bars are drawn by goroutines of their own: they must end, whatever the
// types have come to, and log lines may come at any time.
func TestBarsEnd(t *testing.T) {
	t.Parallel()
	file, err := os.Create(filepath.Join(t.TempDir(), "terminal"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	s := &screen{under: file}
	v := newBars(t.Context(), s, file)
	all := []pipeline.TypeRun{
		{Type: run.Users, State: run.Running, Planning: true, Planned: 4, Done: 1},
		{Type: run.Sessions, State: run.Complete},
		{Type: run.Schedule, State: run.Waiting},
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 20 {
			s.say("note: something\n")
		}
	})
	for i := range 20 {
		all[0].Done = i % 4
		v.update(all, int64(i))
	}
	wg.Wait()
	v.close()
	s.say("after the bars\n")
	doc, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	if got := string(doc); !strings.HasSuffix(got, "after the bars\n") || !strings.Contains(got, "waiting for other types") {
		t.Errorf("the terminal shows %q", got)
	}
}

func TestProgressSaysHowFarATypeIs(t *testing.T) {
	t.Parallel()
	tests := map[string]pipeline.TypeRun{
		"waiting for other types":        {State: run.Waiting},
		"running, listing":               {State: run.Running},
		"running, 3 of 4 pages, 25 rows": {State: run.Running, Planning: true, Planned: 4, Done: 2, Failed: 1, Pages: run.Counts{Read: 25}},
		"complete, 1 row":                {State: run.Complete, Pages: run.Counts{Read: 1}},
		"failed":                         {State: run.Failed},
		"finishing":                      {State: run.Finishing},
	}
	for want, tr := range tests {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			if got := progress(tr); got != want {
				t.Errorf("progress(%+v) = %q, want %q", tr, got, want)
			}
		})
	}
}
