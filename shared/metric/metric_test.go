package metric

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func document() Document {
	return Document{
		Namespace: Namespace, At: time.UnixMilli(1_930_000_000_123),
		Sets:       [][]string{{StackDimension}, {StackDimension, TypeDimension}},
		Dimensions: map[string]string{StackDimension: "summit", TypeDimension: "users"},
		Values:     []Value{{RowsRead, Count, 300}, {CostUSD, None, 0.00012}, {TaskAge, Seconds, 1.5}},
	}
}

func TestADocumentIsWhatTheSpecificationAsksFor(t *testing.T) {
	t.Parallel()
	line, err := Encode(document())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(line), "\n") != 1 || !strings.HasSuffix(string(line), "\n") {
		t.Errorf("not one line: %q", line)
	}
	var got map[string]any
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"_aws": map[string]any{
			"Timestamp": 1_930_000_000_123.0,
			"CloudWatchMetrics": []any{map[string]any{
				"Namespace":  "Stovasync",
				"Dimensions": []any{[]any{"stack"}, []any{"stack", "type"}},
				"Metrics": []any{
					map[string]any{"Name": "RowsRead", "Unit": "Count"},
					map[string]any{"Name": "CostUSD", "Unit": "None"},
					map[string]any{"Name": "TaskAgeSeconds", "Unit": "Seconds"},
				},
			}},
		},
		"stack": "summit", "type": "users", "RowsRead": 300.0, "CostUSD": 0.00012, "TaskAgeSeconds": 1.5,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhatCloudWatchWouldDropIsAnError(t *testing.T) {
	t.Parallel()
	many := func(n int) []Value {
		values := make([]Value, n)
		for i := range values {
			values[i] = Value{fmt.Sprint("m", i), Count, 1}
		}
		return values
	}
	tests := map[string]func(*Document){
		"more than 100 metrics":                 func(d *Document) { d.Values = many(101) },
		"no metric":                             func(d *Document) { d.Values = nil },
		"no set of dimensions":                  func(d *Document) { d.Sets = nil },
		"a dimension without a value":           func(d *Document) { delete(d.Dimensions, TypeDimension) },
		"more than 30 dimensions in a set":      func(d *Document) { d.Sets = [][]string{make([]string, 31)} },
		"no time":                               func(d *Document) { d.At = time.Time{} },
		"a namespace with a space":              func(d *Document) { d.Namespace = "two words" },
		"no namespace":                          func(d *Document) { d.Namespace = "" },
		"a value that is no number":             func(d *Document) { d.Values[0].N = math.NaN() },
		"a value without end":                   func(d *Document) { d.Values[0].N = math.Inf(1) },
		"a metric without a name":               func(d *Document) { d.Values[0].Name = "" },
		"a metric with the name of a dimension": func(d *Document) { d.Values[0].Name = StackDimension },
		"two metrics of one name":               func(d *Document) { d.Values[1].Name = RowsRead },
		"a metric with the name of the format":  func(d *Document) { d.Values[0].Name = "_aws" },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := document()
			spoil(&d)
			if line, err := Encode(d); err == nil {
				t.Errorf("taken: %s", line)
			}
		})
	}
	d := document()
	d.Values = many(100)
	if _, err := Encode(d); err != nil {
		t.Errorf("100 metrics: %v", err)
	}
}

// The log and the metrics of a function go to one stream, each line with one
// write: no line holds a part of another.
func TestLinesOfLogAndMetricsDoNotMix(t *testing.T) {
	t.Parallel()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	const each = 300
	long := strings.Repeat("x", 3000)
	log, w := slog.New(slog.NewJSONHandler(out, nil)), NewWriter(out)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range each {
				log.Info("task done", "long", long)
			}
		})
		wg.Go(func() {
			d := document()
			d.Dimensions[StackDimension] = long[:1000]
			for range each {
				if err := w.Write(d); err != nil {
					t.Error(err)
				}
			}
		})
	}
	go func() {
		wg.Wait()
		_ = out.Close()
	}()
	found := map[bool]int{}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var line map[string]any
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("a line is no JSON object: %.80s", lines.Text())
		}
		_, metrics := line["_aws"]
		found[metrics]++
	}
	if found[true] != 4*each || found[false] != 4*each {
		t.Errorf("%d lines of metrics and %d of the log, want %d of each", found[true], found[false], 4*each)
	}
}

func TestADocumentWithoutValuesIsNotWritten(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	d := document()
	d.Values = nil
	if err := NewWriter(&b).Write(d); err != nil || b.Len() > 0 {
		t.Errorf("wrote %q, %v", b.String(), err)
	}
}
