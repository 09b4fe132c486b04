package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/app"
	"stovasync/shared/pipeline"
)

// What operators' questions are measured on, and how often.
const (
	figuresUsers     = 20_000
	figuresHistory   = 500
	figuresQuestions = 15
	figuresAnswer    = 0.3 // seconds, the bar of the issue
)

// TestFiguresHistory measures whole processes that answer an operator, on a
// store of 20,000 users and 500 runs, and prints them beside what was asked
// for. It judges nothing: machines differ. `make bench` runs it.
func TestFiguresHistory(t *testing.T) {
	if which := os.Getenv("STOVASYNC_FIGURES"); which != "1" && which != "history" {
		t.Skip("measures for some minutes: make bench")
	}
	program := filepath.Join(build(t), "stovasync")
	h := seedHistory(t, figuresUsers, 300, figuresHistory)
	fmt.Printf("\n%s, %d CPUs; questions about %d users and %d runs on the embedded default, the whole process, %d times each; bar %.1f s\n\n",
		runtime.Version(), runtime.NumCPU(), figuresUsers, figuresHistory, figuresQuestions, figuresAnswer)
	page := filepath.Join(t.TempDir(), "run.html")
	plain := strings.NewReplacer(h.real[fullRun], "FULL-RUN", h.real[partialRun], "PARTIAL-RUN", page, "FILE")
	for _, question := range [][]string{
		{"runs"}, {"runs", h.name, "--limit", fmt.Sprint(figuresHistory)},
		{"runs", "show", h.real[fullRun]}, {"runs", "show", h.real[partialRun]},
		{"runs", "show", h.real[fullRun], "--html", page},
		{"failed"}, {"failed", h.name, "--ids", "--json"}, {"redrive", "--all", "--dry-run"},
		{"explain", h.name, "users", h.person},
	} {
		var took []float64
		var most float64
		for range figuresQuestions {
			seconds, peak := measured(t, program, append([]string{"--target", h.target()}, question...)...)
			took, most = append(took, seconds), max(most, peak)
		}
		slices.Sort(took)
		median := took[len(took)/2]
		fmt.Printf("%-40s %.3f s (%.3f to %.3f)   within the bar: %-5v peak memory %.0f MB\n",
			plain.Replace(strings.Join(question, " ")), median, took[0], took[len(took)-1], median < figuresAnswer, most)
	}
	fmt.Println()
}

var anyStamp = regexp.MustCompile(`20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z`)

// plainly is a document without ids of runs and what only tells when.
func plainly(t *testing.T, doc string, h history) any {
	t.Helper()
	for id, kind := range h.copies {
		doc = strings.ReplaceAll(doc, id, string(kind))
	}
	for kind, id := range h.real {
		doc = strings.ReplaceAll(doc, id, string(kind))
	}
	doc = anyStamp.ReplaceAllString(doc, "then")
	var v any
	if err := json.Unmarshal([]byte(doc), &v); err != nil {
		t.Fatalf("%v in %s", err, doc)
	}
	return v
}

// What the copies of a seeded store tell is what the real runs tell, so that
// what is measured on it is measured on the real thing.
func TestASeededHistoryIsLikeARealOne(t *testing.T) {
	t.Parallel()
	h := seedHistory(t, 60, 10, 40)
	seen := map[kindOfRun]bool{}
	for id, kind := range h.copies {
		if seen[kind] {
			continue
		}
		seen[kind] = true
		if diff := cmp.Diff(plainly(t, h.do(t, "runs", "show", h.real[kind], "--json"), h), plainly(t, h.do(t, "runs", "show", id, "--json"), h)); diff != "" {
			t.Errorf("%s run (-real +copy):\n%s", kind, diff)
		}
	}
	if len(seen) != len(h.real) {
		t.Errorf("kinds of copies: %v", seen)
	}
	listed := map[kindOfRun][]any{}
	for line := range strings.Lines(h.do(t, "runs", h.name, "--limit", "1000", "--json")) {
		v := plainly(t, line, h)
		kind := kindOfRun(v.(map[string]any)["run"].(string))
		listed[kind] = append(listed[kind], v)
	}
	n := 0
	for kind, all := range listed {
		n += len(all)
		for _, v := range all {
			if diff := cmp.Diff(all[0], v); diff != "" {
				t.Errorf("%s runs in the list differ: %s", kind, diff)
			}
		}
	}
	if n != 40 {
		t.Errorf("%d runs are listed, want 40", n)
	}
	failures := map[string]int{}
	for line := range strings.Lines(h.do(t, "failed", h.name, "--json")) {
		v := plainly(t, line, h).(map[string]any)
		failures[fmt.Sprint(v["run"], " ", v["type"], " ", v["page"], " ", v["rows"], " ", len(v["ids"].([]any)))]++
	}
	want := map[string]int{}
	for _, typ := range []string{"users", "sponsors", "sponsor-levels", "schedule"} {
		want["partial "+typ+" 1 10 10"] = 1
	}
	for _, kind := range h.copies {
		if kind == partialRun {
			for about := range want {
				want[about]++
			}
		}
	}
	if diff := cmp.Diff(want, failures); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
}

// counting counts the reads of a ledger.
type counting struct {
	pipeline.Items
	reads *atomic.Int64
}

func (c counting) Get(ctx context.Context, k pipeline.Key) (pipeline.Item, error) {
	c.reads.Add(1)
	return c.Items.Get(ctx, k)
}

func (c counting) Query(ctx context.Context, q pipeline.Query) iter.Seq2[pipeline.Item, error] {
	c.reads.Add(1)
	return c.Items.Query(ctx, q)
}

func (c counting) Failed(ctx context.Context, connection string) iter.Seq2[pipeline.Item, error] {
	c.reads.Add(1)
	return c.Items.Failed(ctx, connection)
}

// What the questions read does not grow with the history: a list of runs reads
// those that it shows, and the failures are found without looking through runs.
func TestQuestionsReadNoMoreOfALongHistory(t *testing.T) {
	t.Parallel()
	h := seedHistory(t, 30, 10, 12)
	questions := map[string]struct {
		ask func(c *cli, at *site) error
		// most is how many reads of the ledger it takes at the most, where so many
		// pages and types are in its index of failures.
		most func(failed int) int
	}{
		"runs": {
			func(c *cli, at *site) error { return c.runs(t.Context(), at, nil, 5) },
			func(int) int { return 4 + 5 },
		},
		"runs show": {
			func(c *cli, at *site) error { return c.showRun(t.Context(), at, h.real[partialRun], "") },
			// What is left to do of a run that failed is read as failed reads it.
			func(failed int) int { return 3 + 8 + 2 + 8*failed },
		},
		"failed": {
			func(c *cli, at *site) error { return c.failed(t.Context(), at, nil, filterFlags{}, false) },
			func(failed int) int { return 2 + 8*failed },
		},
	}
	for _, more := range []int{0, 40} {
		h.copyRuns(t, 12-len(h.real), 12-len(h.real)+more)
		failed := strings.Count(h.do(t, "failed", "--json"), "\n") + broken(h)
		for name, q := range questions {
			l, err := app.OpenLocal(t.Context(), h.dir, app.LocalOptions{})
			if err != nil {
				t.Fatal(err)
			}
			reads := &atomic.Int64{}
			l.Steps.Ledger.Items = counting{l.Steps.Ledger.Items, reads}
			c := &cli{program: "stovasync", out: io.Discard, err: &screen{under: t.Output()}}
			if err := q.ask(c, &site{App: l.App, operator: l}); err != nil {
				t.Fatal(err)
			}
			if n, most := int(reads.Load()), q.most(failed); n > most {
				t.Errorf("%s of %d runs with %d failures reads the ledger %d times, want at most %d", name, 12+more, failed, n, most)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// broken is how many types have failed that a later run has overtaken.
func broken(h history) int {
	n := 1
	for _, kind := range h.copies {
		if kind == brokenRun {
			n++
		}
	}
	return n
}
