package preview_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/preview"
	"stovasync/shared/run"
	"stovasync/shared/stova/stovatest"
)

func TestAPreviewWritesTheNamesOfColumnsAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, odd())
	for _, dataType := range run.AllTypes() {
		w.preview(dataType, func(r *preview.Request) { r.Trial = true })
		if writes := w.items.take(); len(writes) > 0 {
			t.Errorf("%s: a trial wrote %v", dataType, writes)
		}
		r := w.preview(dataType)
		writes := w.items.take()
		if dataType.IsPhotos() {
			if len(writes) > 0 {
				t.Errorf("%s: a preview without columns wrote %v", dataType, writes)
			}
			continue
		}
		if len(writes) != 1 || writes[0].Key != pipeline.PreviewKey("summit", dataType) || writes[0].Failed != "" || writes[0].Delete {
			t.Fatalf("%s: a preview wrote %v, want one item of its own", dataType, writes)
		}
		named := map[string]bool{}
		for _, c := range r.Columns {
			named[c.Expression], named[c.Label] = true, true
		}
		var kept struct {
			Taken   string              `json:"taken"`
			Sampled int                 `json:"sampled"`
			Columns []map[string]string `json:"columns"`
		}
		if err := json.Unmarshal(writes[0].Doc, &kept); err != nil {
			t.Fatal(err)
		}
		if len(kept.Columns) == 0 || kept.Sampled != r.Sampled {
			t.Errorf("%s: kept %s", dataType, writes[0].Doc)
		}
		for _, c := range kept.Columns {
			for name, text := range c {
				if name != "expression" && name != "label" || !named[text] {
					t.Errorf("%s: kept %s %q, which is no column's name", dataType, name, text)
				}
			}
		}
	}
}

func TestColumnsThatVanishedAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stovatest.Options{Attendees: 60})
	photo := "responses.photo"
	w.conn.Mapping = map[run.DataType]map[string]*string{run.Users: {"photo": &photo}}
	w.put()
	if r := w.preview(run.Users); len(warned(r, "COLUMN_VANISHED")) > 0 {
		t.Fatalf("the first preview has nothing to compare with: %v", r.Warnings)
	}
	if r := w.preview(run.Users, sample(3)); len(warned(r, "COLUMN_VANISHED")) > 0 {
		t.Errorf("a smaller sample says that columns are gone: %v", r.Warnings)
	}
	w.preview(run.Users)
	w.twin.Edit(func(e *stovatest.Event) {
		for i := range e.Questions {
			if e.Questions[i].ID == stovatest.QuestionPhoto {
				e.Questions[i].Name = "Portrait"
			}
		}
	})
	for _, trial := range []bool{true, true, false} { // a trial tells and keeps nothing
		r := w.preview(run.Users, func(r *preview.Request) { r.Trial = trial })
		got := warned(r, "COLUMN_VANISHED")
		if len(got) != 1 || !strings.HasPrefix(got[0], "users: the column responses.photo (Photo) was there at the last preview, ") || !strings.HasSuffix(got[0], "; it is mapped to photo") {
			t.Errorf("trial %v: warnings %q", trial, got)
		}
		if c, ok := column(r, "responses.portrait"); !ok || !c.PhotoCandidate {
			t.Errorf("trial %v: the question's new column is %+v", trial, c)
		}
	}
	if r := w.preview(run.Users); len(warned(r, "COLUMN_VANISHED")) > 0 {
		t.Errorf("what was told is told again: %v", r.Warnings)
	}
}

func TestRemovingAConnectionForgetsItsColumns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stovatest.Options{Attendees: 30})
	w.preview(run.Sessions)
	if err := (pipeline.Ledger{Items: w.store.Items()}).RemoveConnection(t.Context(), w.conn.Name); err != nil {
		t.Fatal(err)
	}
	it, err := w.store.Items().Get(t.Context(), pipeline.PreviewKey(w.conn.Name, run.Sessions))
	if err != nil || it.Version > 0 {
		t.Errorf("version %d, error %v; want nothing left", it.Version, err)
	}
}

func TestAPreviewStandsWhereItsMemoryCannotBeWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stovatest.Options{Attendees: 30})
	w.items.refuse = fmt.Errorf("no right: %w", errors.ErrUnsupported)
	r := w.preview(run.Users)
	if len(r.Synced) != 18 || len(warned(r, string(fault.StoreUnavailable))) != 1 {
		t.Errorf("%d synced, warnings %v", len(r.Synced), r.Warnings)
	}
}
