package app_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/app"
	"stovasync/shared/pipeline"
	"stovasync/shared/preview"
	"stovasync/shared/run"
	"stovasync/shared/stova/stovatest"
)

// held is everything that a store holds: the ledger's keys of the connection,
// records, objects and waiting tasks.
func (w *world) held() map[string]int64 {
	w.t.Helper()
	all := map[string]int64{}
	for _, pk := range []string{"CONN#" + w.name, "CONNECTIONS", "REMOVED"} {
		for it, err := range w.app.Steps.Ledger.Items.Query(w.t.Context(), pipeline.Query{PK: pk}) {
			if err != nil {
				w.t.Fatal(err)
			}
			all["item "+it.PK+" "+it.SK] = it.Version
		}
	}
	for dataType, records := range w.stored() {
		for id, r := range records {
			all["record "+string(dataType)+" "+id] = r.UpdatedAt.UnixNano()
		}
	}
	err := fs.WalkDir(os.DirFS(w.dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.Contains(path, ".db") {
			info, err := d.Info()
			if err != nil {
				return err
			}
			all["file "+path] = info.ModTime().UnixNano()
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	depth, err := w.app.Store.Queue().Depth(w.t.Context(), w.name)
	if err != nil {
		w.t.Fatal(err)
	}
	all["tasks"] = int64(depth.Ready + depth.Held + depth.Delayed)
	return all
}

func TestAPreviewLeavesNothingButTheNamesOfColumns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stovatest.Options{Attendees: 40, Oddities: true}, stovatest.ServerOptions{}, "")
	w.sync(run.Full)
	before := w.held()
	downloads := len(w.twin.Downloads())
	for _, dataType := range run.AllTypes() {
		for _, trial := range []bool{true, false} {
			r, err := w.app.Preview(t.Context(), app.PreviewEvent{Connection: w.name, Type: dataType, Trial: trial})
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Synced) == 0 {
				t.Errorf("%s: nothing would be stored", dataType)
			}
		}
	}
	want := before
	for _, dataType := range []run.DataType{run.Users, run.Sessions, run.Presenters, run.Sponsors, run.SponsorLevels, run.Schedule} {
		want["item CONN#summit PREVIEW#"+string(dataType)] = 1
	}
	if diff := cmp.Diff(want, w.held()); diff != "" {
		t.Errorf("what is stored (-want +got):\n%s", diff)
	}
	if n := len(w.twin.Downloads()); n != downloads {
		t.Errorf("%d pictures were fetched", n-downloads)
	}
}

// What the preview says of a row is what the sync after it stores.
func TestAPreviewSaysWhatASyncStores(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stovatest.Options{Attendees: 60, Oddities: true}, stovatest.ServerOptions{}, "inactivePolicy: skip\n")
	said := map[run.DataType]preview.Report{}
	for _, dataType := range []run.DataType{run.Users, run.Sessions, run.Presenters, run.Sponsors, run.SponsorLevels} {
		r, err := w.app.Preview(t.Context(), app.PreviewEvent{Connection: w.name, Type: dataType, Sample: preview.MaxSample})
		if err != nil {
			t.Fatal(err)
		}
		said[dataType] = r
	}
	v := w.sync(run.Full)
	stored := w.stored()
	for dataType, r := range said {
		want := map[string]map[string]any{}
		for id, rec := range stored[dataType] {
			if rec.Fields["is_master"] == true {
				continue // computed of all sessions
			}
			row := map[string]any{"fp_ext_id": id, "fp_status": rec.Status}
			for name, value := range rec.Fields {
				if name == "photo_object" || name == "in_slot" || name == "order" {
					continue // not of the row
				}
				row[name] = preview.Mask(value)
			}
			for _, name := range []string{"timezone", "is_master"} {
				if value, ok := rec.Fields[name]; ok {
					row[name] = value
				}
			}
			want[id] = row
		}
		got := map[string]map[string]any{}
		for _, row := range r.Synced {
			id, _ := row["fp_ext_id"].(string)
			got[id] = row
		}
		if diff := cmp.Diff(want, got); diff != "" || len(want) == 0 {
			t.Errorf("%s: what the sync stored and what the preview said (-stored +said):\n%s", dataType, diff)
		}
		counts := v.Types[dataType].Counts
		own := 0
		for _, f := range r.Filtered {
			if f.Rule != "R4" {
				own++
			}
		}
		if dataType != run.SponsorLevels && (own != counts.Filtered || len(r.Rejected) != counts.Rejected) {
			t.Errorf("%s: %d filtered and %d rejected, the sync counted %d and %d", dataType, own, len(r.Rejected), counts.Filtered, counts.Rejected)
		}
	}
}

func TestAPreviewEventTellsNoneFromNotNamed(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		event app.PreviewEvent
		want  string
	}{
		"what is not named is left out": {app.PreviewEvent{Connection: "summit", Type: run.Users}, `{"connection":"summit","type":"users"}`},
		"an empty mapping is none": {
			app.PreviewEvent{Connection: "summit", Type: run.Users, Trial: true, Mapping: map[run.DataType]map[string]*string{}},
			`{"connection":"summit","type":"users","trial":true,"mapping":{}}`,
		},
		"a field that is unmapped is null": {
			app.PreviewEvent{Type: run.Users, Mapping: map[run.DataType]map[string]*string{run.Users: {"email": nil}}},
			`{"connection":"","type":"users","mapping":{"users":{"email":null}}}`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			doc, err := json.Marshal(tt.event)
			if err != nil || string(doc) != tt.want {
				t.Errorf("%s, %v; want %s", doc, err, tt.want)
			}
			var back app.PreviewEvent
			if err := json.Unmarshal(doc, &back); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.event, back); diff != "" {
				t.Errorf("there and back (-want +got):\n%s", diff)
			}
		})
	}
}
