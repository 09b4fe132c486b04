package pipelinetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// Encoded checks that a store's ScanEncoded tells what its Scan tells.
func Encoded(t *testing.T, open func(*testing.T) pipeline.Records) {
	for name, scan := range map[string]pipeline.Scan{
		"all records":                   {},
		"tombstones too":                {Removed: true},
		"records with a prefix":         {Prefix: "8"},
		"records after an id":           {After: "8000700"},
		"records written since":         {Since: at(60), Removed: true},
		"records with prefix and so on": {Prefix: "8000", After: "80003", Since: at(0)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sameEncoded(t, encodedStore(t, open(t)), scan)
		})
	}
	t.Run("the names of the fields are those of all records", func(t *testing.T) {
		t.Parallel()
		r := encodedStore(t, open(t))
		want := map[string]bool{}
		for rec, err := range r.Scan(t.Context(), conn, run.Users, pipeline.Scan{}) {
			if err != nil {
				t.Fatal(err)
			}
			for name := range rec.Fields {
				want[name] = true
			}
		}
		got, known, err := pipeline.FieldNames(t.Context(), r, conn, run.Users)
		if err != nil || !known {
			t.Fatalf("known %v, error %v", known, err)
		}
		if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), got); diff != "" {
			t.Errorf("names (-want +got):\n%s", diff)
		}
	})
	t.Run("tombstones have no fields and are known", func(t *testing.T) {
		t.Parallel()
		r := open(t)
		mustUpdate(t, r, at(0), pipeline.RecordUpdate{ID: "1", Set: map[string]any{"name": "x"}, Content: content(0, "r1")})
		mustUpdate(t, r, at(1), pipeline.RecordUpdate{ID: "1", Remove: true})
		if names, known, err := pipeline.FieldNames(t.Context(), r, conn, run.Users); err != nil || !known || len(names) > 0 {
			t.Errorf("names %q, known %v, error %v", names, known, err)
		}
		if names, known, err := pipeline.FieldNames(t.Context(), r, conn, run.Sponsors); err != nil || known || len(names) > 0 {
			t.Errorf("of nothing: names %q, known %v, error %v", names, known, err)
		}
	})
	t.Run("a scan may be left", func(t *testing.T) {
		t.Parallel()
		r := encodedStore(t, open(t))
		for e, err := range pipeline.ScanEncoded(t.Context(), r, conn, run.Users, pipeline.Scan{}) {
			if err != nil || e.ID == "" {
				t.Fatalf("first record %q, error %v", e.ID, err)
			}
			break
		}
	})
	t.Run("a cancelled scan ends with its error", func(t *testing.T) {
		t.Parallel()
		r := encodedStore(t, open(t))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, err := range pipeline.ScanEncoded(ctx, r, conn, run.Users, pipeline.Scan{}) {
			if err == nil {
				t.Fatal("a record, want an error")
			}
		}
	})
}

// encodedStore fills a store with every kind of value, text and record.
func encodedStore(t *testing.T, r pipeline.Records) pipeline.Records {
	t.Helper()
	texts := []string{
		"", "plain", `"quoted"`, `back\slash`, `ends with \`, `\u000a as text`, `\\`, "line\nbreak\r\n\ttab\b\f\v\x00\x7f", "<b>&amp;</b>",
		"é 日本 🎉 \u2028 \u2029 \u2030 \ufffd", "a,b;c", strings.Repeat("long ", 500), "\\\"", "e", "1.5", "true", "[]", "}",
	}
	var updates []pipeline.RecordUpdate
	for i := range 1200 {
		s := texts[i%len(texts)]
		set := map[string]any{"name": s, "twice": s + s, "list": []string{s, "x", s}, "empty": []string{}, "flag": i%2 == 0, "count": int64(i - 600)}
		set["score"] = []float64{1, 1.5, -0.25, 1e21, 1e-7, 1e20, 123456789, 0, 5e-324, 1.7976931348623157e308}[i%10]
		set["a "+s[:min(len(s), 20)]] = s
		updates = append(updates, pipeline.RecordUpdate{
			ID: fmt.Sprintf("%d", 8_000_000+i), Set: set,
			Content: &pipeline.Record{Type: "person", Status: "active", Owner: "global", Hash: "h", LastModified: s, Run: "r1", FetchedAt: at(0)},
		})
	}
	mustUpdate(t, r, at(0), updates...)
	mustUpdate(t, r, at(60),
		pipeline.RecordUpdate{ID: updates[7].ID, Remove: true},
		pipeline.RecordUpdate{ID: updates[800].ID, Remove: true},
		pipeline.RecordUpdate{ID: updates[9].ID, Set: map[string]any{"name": "newer"}},
		pipeline.RecordUpdate{ID: updates[11].ID, Unset: slices.Collect(maps.Keys(updates[11].Set))})
	return r
}

func sameEncoded(t *testing.T, r pipeline.Records, scan pipeline.Scan) {
	t.Helper()
	want := map[string]pipeline.Record{}
	var order []string
	for rec, err := range r.Scan(t.Context(), conn, run.Users, scan) {
		if err != nil {
			t.Fatal(err)
		}
		want[rec.ID] = rec
		order = append(order, rec.ID)
	}
	n := 0
	for e, err := range pipeline.ScanEncoded(t.Context(), r, conn, run.Users, scan) {
		if err != nil {
			t.Fatal(err)
		}
		if n == len(order) || e.ID != order[n] {
			t.Fatalf("record %d is %s, want the order of Scan", n, e.ID)
		}
		n++
		w := want[e.ID]
		if diff := cmp.Diff(encodedFields(t, w.Fields), e.Values, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("record %s: fields (-want +got):\n%s", e.ID, diff)
		}
		w.Fields = nil
		if diff := cmp.Diff(w, e.Record, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("record %s (-want +got):\n%s", e.ID, diff)
		}
	}
	if n != len(order) || n == 0 {
		t.Fatalf("%d records, want %d and some", n, len(order))
	}
}

func encodedFields(t *testing.T, fields map[string]any) []pipeline.EncodedField {
	t.Helper()
	var out []pipeline.EncodedField
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		var b bytes.Buffer
		w := json.NewEncoder(&b)
		w.SetEscapeHTML(false)
		if err := w.Encode(fields[name]); err != nil {
			t.Fatal(err)
		}
		out = append(out, pipeline.EncodedField{Name: name, JSON: strings.TrimSuffix(b.String(), "\n")})
	}
	return out
}
