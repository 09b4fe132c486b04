package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/app"
	"stovasync/shared/local"
	"stovasync/shared/pipeline"
	"stovasync/shared/pipeline/pipelinetest"
	"stovasync/shared/run"
)

// exported is what an export of a store's users writes.
func exported(t *testing.T, r pipeline.Records, l pipeline.Ledger, format string, s pipeline.Scan) string {
	t.Helper()
	var out bytes.Buffer
	at := &site{App: &app.App{Steps: &pipeline.Steps{Records: r, Ledger: l}}}
	e := exporter{at: at, name: "summit", t: run.Users, scan: s, out: bufio.NewWriter(&out)}
	do := e.lines
	if format == "csv" {
		do = e.csv
	}
	if err := do(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.out.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// stores are two stores with the same records: the embedded one, which hands
// out fields as they are kept, and one that does not.
func stores(t *testing.T, at time.Time, updates ...pipeline.RecordUpdate) map[string]pipeline.Records {
	t.Helper()
	s, err := local.Open(t.Context(), filepath.Join(t.TempDir(), "store"), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	both := map[string]pipeline.Records{"local": s.Records(), "memory": pipelinetest.NewMemory().Records()}
	for _, r := range both {
		if _, err := r.Update(t.Context(), "summit", run.Users, at, updates); err != nil {
			t.Fatal(err)
		}
	}
	return both
}

func user(id string, fields map[string]any) pipeline.RecordUpdate {
	return pipeline.RecordUpdate{ID: id, Set: fields, Content: &pipeline.Record{
		Type: "person", Status: "active", Owner: "global", Hash: "h", Run: "r", FetchedAt: time.Date(2031, 3, 4, 8, 0, 0, 0, time.UTC),
	}}
}

func ledger(t *testing.T) pipeline.Ledger {
	t.Helper()
	return pipeline.Ledger{Items: pipelinetest.NewMemory().Items()}
}

func TestExportedLines(t *testing.T) {
	t.Parallel()
	at := time.Date(2031, 3, 4, 9, 0, 0, 5000, time.UTC)
	odd := user("1\"\\\u00e9", map[string]any{"zeta": int64(5), "alpha": []string{"a & b", "c\n"}, "beta": true, "g\"h": 1.0, "text": "<é>\t\u2028"})
	odd.Content.LastModified = "2031-03-01 10:00:00"
	for name, r := range stores(t, at, user("0", nil), odd) {
		want := `{"fp_ext_id":"0","fp_type":"person","fp_status":"active","fp_owner":"global","content_hash":"h","updated_at":"2031-03-04T09:00:00.000005000Z","run":"r"}
{"fp_ext_id":"1\"\\é","fp_type":"person","fp_status":"active","fp_owner":"global","content_hash":"h","source_lastmodified":"2031-03-01 10:00:00","updated_at":"2031-03-04T09:00:00.000005000Z","run":"r","alpha":["a & b","c\n"],"beta":true,"g\"h":1,"text":"<é>\t\u2028","zeta":5}
`
		got := exported(t, r, ledger(t), "jsonl", pipeline.Scan{})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		for line := range strings.Lines(got) {
			if !json.Valid([]byte(line)) {
				t.Errorf("%s: no JSON: %s", name, line)
			}
		}
	}
}

func TestExportedTable(t *testing.T) {
	t.Parallel()
	at := time.Date(2031, 3, 4, 9, 0, 0, 0, time.UTC)
	all := stores(t, at,
		user("1", map[string]any{"company": "Invented, Ltd", "tags": []string{"a", "b \"c\""}}),
		user("2", map[string]any{"biography": "two\nlines\r\n", "company": `says "no"`, "n": int64(5), "x": 1.5, "yes": true}),
		user("3", map[string]any{"company": "=1+1", "biography": "@me\t-1", "comma,name": " blank "}),
		user("4", nil))
	for name, r := range all {
		if _, err := r.Update(t.Context(), "summit", run.Users, at.Add(time.Hour), []pipeline.RecordUpdate{{ID: "4", Remove: true}}); err != nil {
			t.Fatal(err)
		}
		head := "fp_ext_id,fp_type,fp_status,fp_owner,content_hash,source_lastmodified,updated_at,run,fp_protect,"
		envelope := "person,active,global,h,,2031-03-04T09:00:00.000000000Z,r,,"
		want := head + "biography,\"comma,name\",company,n,tags,x,yes\r\n" +
			"1," + envelope + `,,"Invented, Ltd",,"[""a"",""b \""c\""""]",,` + "\r\n" +
			"2," + envelope + "\"two\nlines\r\n\",,\"says \"\"no\"\"\",5,,1.5,true\r\n" +
			"3," + envelope + "\"@me\t-1\", blank ,=1+1,,,,\r\n"
		got := exported(t, r, ledger(t), "csv", pipeline.Scan{})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if rows, err := csv.NewReader(strings.NewReader(got)).ReadAll(); err != nil || len(rows) != 4 || rows[2][11] != `says "no"` {
			t.Errorf("%s: as others read it: %q, %v", name, rows, err)
		}
		// What is written since then has the same columns, and tombstones say when.
		got = exported(t, r, ledger(t), "csv", pipeline.Scan{Since: at.Add(time.Hour), Removed: true})
		want = head + "removed_at,biography,\"comma,name\",company,n,tags,x,yes\r\n" +
			"4,person,active,global,h,,2031-03-04T10:00:00.000000000Z,r,,2031-03-04T10:00:00.000000000Z,,,,,,,\r\n"
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s since (-want +got):\n%s", name, diff)
		}
	}
}

// A field that is mapped has its column, also while no record has a value.
func TestExportedTableHasTheMappedFields(t *testing.T) {
	t.Parallel()
	at := time.Date(2031, 3, 4, 9, 0, 0, 0, time.UTC)
	l := ledger(t)
	conn := run.Connection{Name: "summit", ActiveStatuses: []string{"Confirmed"}, Mapping: map[run.DataType]map[string]*string{run.Users: {"my_own": new("fname"), "title": nil}}}
	if err := l.PutConnection(t.Context(), conn, at); err != nil {
		t.Fatal(err)
	}
	for name, r := range stores(t, at, user("1", map[string]any{"photo_object": "k"})) {
		head, _, _ := strings.Cut(exported(t, r, l, "csv", pipeline.Scan{}), "\r\n")
		if want := ",run,fp_protect,company,country,email,fname,fp_locale,lname,my_own,phone,photo_object,position,registrationtype"; !strings.HasSuffix(head, want) {
			t.Errorf("%s: columns %s, want %s at the end", name, head, want)
		}
	}
}

// Exports of any number of records take the same memory, and give it back.
func TestExportTakesTheSameMemoryWhateverThereIs(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 40,000 records")
	}
	program := filepath.Join(build(t), "stovasync")
	peak := map[string]float64{}
	const few, many = 4_000, 40_000
	for _, n := range []int{few, many} {
		dir := filepath.Join(t.TempDir(), "store")
		exportStore(t, dir, n, 10)
		for _, format := range []string{"jsonl", "csv"} {
			_, mb := measured(t, program, "--target", "local:"+dir, "export", "summit", "users", "--since", "2031-03-04", "--format", format)
			if mb == 0 {
				t.Skip("this system does not tell a process's peak of memory")
			}
			peak[fmt.Sprint(format, n)] = mb
		}
	}
	for _, format := range []string{"jsonl", "csv"} {
		small, large := peak[fmt.Sprint(format, few)], peak[fmt.Sprint(format, many)]
		t.Logf("%s: %.1f MB of %d records, %.1f MB of %d", format, small, few, large, many)
		if large > 50 || large > small+8 {
			t.Errorf("%s: %.1f MB for %d records, %.1f MB for %d", format, small, few, large, many)
		}
	}
}
