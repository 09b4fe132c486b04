package emulator_test

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"stovasync/shared/app"
	"stovasync/shared/emulator"
	"stovasync/shared/preview"
	"stovasync/shared/run"
	"stovasync/shared/stova/stovatest"
)

// The bars of `make bench-aws`.
const (
	barStart  = 50 * time.Millisecond
	barMemory = 60_000_000 // bytes
	barSize   = 15_000_000 // bytes
)

// starts is how often a process is started to measure it.
const starts = 20

// TestAWSFigures measures how fast the functions start, how much memory they
// need and how large they are, and prints it as a table. It judges nothing:
// machines differ. `make bench-aws` runs it.
func TestAWSFigures(t *testing.T) {
	if os.Getenv("STOVASYNC_FIGURES") == "" {
		t.Skip("measures for a minute: make bench-aws")
	}
	w := newWorld(t, setting{event: stovatest.Options{Seed: 31, Attendees: 300, Sponsors: -1}})
	var lines []string
	add := func(what, measured, bar string, met bool) {
		lines = append(lines, strings.Join([]string{what, measured, bar, word(met)}, "\t"))
	}
	ids := slices.Sorted(maps.Keys(w.Functions()))
	for _, id := range ids {
		took := startsOf(t, w.Function(id))
		add("start to first poll, "+id, fmt.Sprintf("%.1f ms (%.1f to %.1f, %d starts)", ms(took[len(took)/2]), ms(took[0]), ms(took[len(took)-1]), len(took)),
			fmt.Sprintf("< %.0f ms", ms(barStart)), took[len(took)/2] < barStart)
	}
	v := w.complete(w.start())
	if tv := v.Types[run.Users]; tv.Read != 300 || tv.Pages.Planned != 1 {
		t.Fatalf("users: %+v, want one page of 300 rows", tv)
	}
	w.faults("slow:delay=100ms") // a call through the internet
	answer, size := w.preview(app.PreviewEvent{Connection: "summit", Type: run.Users, Sample: preview.MaxSample})
	if answer.Report == nil || answer.Sampled != preview.MaxSample {
		t.Fatalf("preview: %+v, want a sample of %d rows", answer, preview.MaxSample)
	}
	peaks := map[string]string{"WorkerFunction": "pages of 300 rows, all types", "PhotoFunction": "pages of 20 pictures", "PreviewFunction": "a sample of 200 rows"}
	for id, what := range peaks {
		peak := w.Function(id).Peak()
		add("peak memory, "+id+", "+what, fmt.Sprintf("%.1f MB", mb(peak)), fmt.Sprintf("< %.0f MB", mb(barMemory)), peak > 0 && peak < barMemory)
	}
	for _, id := range ids {
		size := sizeOf(t, id, "arm64")
		add("bootstrap, "+id+", arm64", fmt.Sprintf("%.2f MB", mb(size)), fmt.Sprintf("< %.0f MB", mb(barSize)), size < barSize)
		if runtime.GOARCH != "arm64" {
			lines = append(lines, fmt.Sprintf("  for %s, which is not deployed\t%.2f MB\t\t", runtime.GOARCH, mb(sizeOf(t, id, runtime.GOARCH))))
		}
	}
	slices.SortStableFunc(lines[len(ids):len(ids)+len(peaks)], cmp.Compare[string])
	lines = append(lines,
		fmt.Sprintf("a preview of 200 rows, against its calls of 100 ms each\t%.2f × (%.2f s of %.2f s)\t≤ 3 ×\t%s", answer.Seconds/answer.CallSeconds, answer.CallSeconds, answer.Seconds, word(answer.Seconds <= 3*answer.CallSeconds)),
		fmt.Sprintf("  its answer\t%.2f MB\t< 6 MB, or it is cut\t%s", mb(int64(size)), word(len(answer.Warnings) == 0)))
	fmt.Printf("\n%s, %s/%s, %d CPUs; processes get whole CPUs here, on Lambda a share of one that grows with their memory\n\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "figure\tmeasured\tbar\tmet?")
	fmt.Fprintln(table, strings.Join(lines, "\n"))
	table.Flush()
}

func word(met bool) string { return map[bool]string{true: "met", false: "missed"}[met] }

// startsOf starts processes one after the other and returns how long each took
// to its first poll, sorted.
func startsOf(t *testing.T, f *emulator.Function) []time.Duration {
	t.Helper()
	for range starts {
		if err := f.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	return slices.Sorted(slices.Values(f.Starts()))
}

func sizeOf(t *testing.T, function, arch string) int64 {
	t.Helper()
	path, err := bootstrap(t.Context(), function, arch)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }
func mb(bytes int64) float64     { return float64(bytes) / 1e6 }
