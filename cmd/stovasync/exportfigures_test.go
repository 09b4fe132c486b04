package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"stovasync/shared/local"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// Of the store that exports are measured on.
const (
	figuresRecords = 100_000
	figuresRuns    = 7
	// The bars of the issue.
	figuresRate   = 50_000.0
	figuresMemory = 50.0 // MB
)

// exportStore makes a store with n users of about 1 KB in the folder dir, and
// as many tombstones as tombs.
func exportStore(t *testing.T, dir string, n, tombs int) {
	t.Helper()
	s, err := local.Open(t.Context(), dir, local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2031, 3, 4, 9, 0, 0, 0, time.UTC)
	for from := 0; from < n+tombs; from += 1000 {
		var updates []pipeline.RecordUpdate
		for i := from; i < min(from+1000, n+tombs); i++ {
			updates = append(updates, exportRecord(i, at))
		}
		if _, err := s.Records().Update(t.Context(), "summit", run.Users, at, updates); err != nil {
			t.Fatal(err)
		}
	}
	var gone []pipeline.RecordUpdate
	for i := n; i < n+tombs; i++ {
		gone = append(gone, pipeline.RecordUpdate{ID: exportRecord(i, at).ID, Remove: true})
	}
	if _, err := s.Records().Update(t.Context(), "summit", run.Users, at.Add(time.Minute), gone); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func exportRecord(i int, at time.Time) pipeline.RecordUpdate {
	id := strconv.Itoa(800_000_000 + i*7)
	return pipeline.RecordUpdate{
		ID: id,
		Set: map[string]any{
			"fname": "Ada", "lname": "Invented " + id, "email": id + "@example.test", "company": "Invented & Engines <Ltd>",
			"title": "Chief of \"Tests\"", "phone": "+41 00 000 00 00", "city": "Nowhere", "country": "CH", "fp_locale": "en",
			"biography": strings.Repeat("A life that nobody has led, told at the length that such texts have.\n", 4),
			"created":   "2026-03-01T09:30:00+01:00", "registrationtype": "Delegate", "photo": id + "_portrait.jpg",
			"external_qr_value": id, "order": int64(i), "score": 1.5, "vip": i%2 == 0, "tags": []string{"one", "two, three"},
		},
		Content: &pipeline.Record{
			Type: "person", Status: "active", Owner: "global", Run: "20310304T090000Z-0123", LastModified: "2031-03-02 10:00:00",
			Hash: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", FetchedAt: at,
		},
	}
}

// measured runs a program to its end and tells how long it took and the most
// memory that it held, in MB.
func measured(t *testing.T, program string, args ...string) (seconds, peak float64) {
	t.Helper()
	seconds, _, peak = used(t, program, args...)
	return seconds, peak
}

// used is measured, and how long processors worked for the program.
func used(t *testing.T, program string, args ...string) (seconds, cpu, peak float64) {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Stdout, cmd.Stderr = null, t.Output()
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	// The child's own account of its peak: that of the kernel's rusage has the
	// memory of whoever started it in it.
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
			return time.Since(start).Seconds(), (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), peak
		case <-look.C:
			peak = max(peak, highWater(cmd.Process.Pid))
		}
	}
}

// highWater is the peak of a process's resident memory in MB, 0 where the
// system does not tell.
func highWater(pid int) float64 {
	doc, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.SplitSeq(string(doc), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			return kb / 1000
		}
	}
	return 0
}

// TestFiguresExport measures whole exports of the embedded default and prints
// them beside what was asked for. It judges nothing: machines differ. `make
// bench` runs it.
func TestFiguresExport(t *testing.T) {
	if which := os.Getenv("STOVASYNC_FIGURES"); which != "1" && which != "export" {
		t.Skip("measures for a minute: make bench")
	}
	program := filepath.Join(build(t), "stovasync")
	dir := filepath.Join(t.TempDir(), "store")
	exportStore(t, dir, figuresRecords, 0)
	fmt.Printf("\n%s, %d CPUs; export of %d users of about 1 KB, the whole process, %d runs each\n\n", runtime.Version(), runtime.NumCPU(), figuresRecords, figuresRuns)
	for _, format := range []string{"jsonl", "csv"} {
		var rates, costs, peaks []float64
		for range figuresRuns {
			seconds, cpu, peak := used(t, program, "--target", "local:"+dir, "export", "summit", "users", "--format", format)
			rates, costs, peaks = append(rates, figuresRecords/seconds), append(costs, cpu/figuresRecords*1e6), append(peaks, peak)
		}
		for _, all := range [][]float64{rates, costs, peaks} {
			slices.Sort(all)
		}
		const last, middle = figuresRuns - 1, figuresRuns / 2
		fmt.Printf("%-6s %7.0f records/s (%.0f to %.0f; bar %.0f: %v)   %.1f µs of CPU a record (%.1f to %.1f)   peak memory %.1f MB (%.1f to %.1f; bar %.0f: %v)\n", format,
			rates[middle], rates[0], rates[last], figuresRate, rates[middle] >= figuresRate, costs[middle], costs[0], costs[last],
			peaks[middle], peaks[0], peaks[last], figuresMemory, peaks[last] < figuresMemory)
	}
	fmt.Println()
}
