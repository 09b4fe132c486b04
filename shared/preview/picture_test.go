package preview_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/preview"
	"stovasync/shared/run"
	"stovasync/shared/stova/stovatest"
)

func TestPicturesAreThoseOfStoredOwners(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stovatest.Options{Attendees: 5})
	person := func(id, status, photo string) pipeline.Record {
		return pipeline.Record{ID: id, Status: status, Fields: map[string]any{"photo": photo, "fname": "Qq"}}
	}
	w.keep(run.Users, person("81", "active", "one.jpg"), person("82", "active", "two.png"), person("83", "cancelled", "three.jpg"),
		person("84", "active", "../secret"), person("85", "active", "five.gif"), pipeline.Record{ID: "86", Status: "active"})
	w.keep(run.Sponsors, pipeline.Record{ID: "91", Status: "active", Fields: map[string]any{"logo": "logo.png"}})
	base := strings.TrimSuffix(w.conn.PersonPhotoEndpoint, "/")
	w.keep(run.UserPhotos,
		pipeline.Record{ID: "81", Status: "active", Fields: map[string]any{"source_url": base + "/one.jpg", "state": "missing"}},
		pipeline.Record{ID: "82", Status: "active", Fields: map[string]any{"source_url": base + "/old.png", "state": "stored"}})
	r := w.preview(run.UserPhotos, trial(run.Users, "photo", "responses.photo"))
	host := w.twin.URL()
	row := func(id, ending, state string) map[string]any {
		return map[string]any{"fp_ext_id": id, "fp_status": "active", "owner_type": "person", "owner_ext_id": id,
			"source_url": host + "/…" + ending, "state": state}
	}
	want := []map[string]any{row("81", ".jpg", "missing"), row("82", ".png", "changed"), row("85", ".gif", "new")}
	if diff := cmp.Diff(want, r.Synced); diff != "" {
		t.Errorf("synced (-want +got):\n%s", diff)
	}
	if len(r.Filtered) != 1 || r.Filtered[0].ID != "83" || r.Filtered[0].Rule != "P11" {
		t.Errorf("filtered %+v, want the picture of a cancelled owner", r.Filtered)
	}
	if len(r.Rejected) != 1 || r.Rejected[0].ID != "84" || r.Rejected[0].Code != string(fault.PhotoHost) {
		t.Errorf("rejected %+v, want the value that leads elsewhere", r.Rejected)
	}
	if r.Sampled != 5 || r.APICalls != 0 || w.twin.Total() != 0 {
		t.Errorf("%d sampled with %d calls, %d at the twin; want 5 without any", r.Sampled, r.APICalls, w.twin.Total())
	}
	r = w.preview(run.UserPhotos, trial(run.Sponsors, "logo", "responses.logo"))
	if n := len(r.Synced); n != 4 || r.Synced[3]["owner_type"] != "sponsor" {
		t.Errorf("with logo mapped: %v", r.Synced)
	}
	if r := w.preview(run.UserPhotos, sample(2)); r.Sampled != 2 {
		t.Errorf("a sample of 2 is %d", r.Sampled)
	}
}

func TestAPhotoTypeSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stovatest.Options{Attendees: 5})
	if r := w.preview(run.UserPhotos); len(warned(r, string(fault.GateUsersFirst))) != 1 {
		t.Errorf("before users: %v", r.Warnings)
	}
	w.keep(run.Users, pipeline.Record{ID: "81", Status: "active"})
	if r := w.preview(run.UserPhotos); len(warned(r, "PHOTO_UNMAPPED")) != 1 {
		t.Errorf("without a mapping of photo: %v", r.Warnings)
	}
	w.conn.DataTypes = []run.DataType{run.Users}
	w.put()
	off := func(r preview.Report) bool { return len(warned(r, "TYPE_OFF")) == 1 }
	if !off(w.preview(run.UserPhotos)) || !off(w.preview(run.Sessions)) || off(w.preview(run.Users)) {
		t.Error("a type that is not synced is told, and no other")
	}
}
