package pipeline_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/photo"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

const files = "https://pictures.example.test/files/"

// album makes a world of users with pictures: id to value of the photo column.
func album(t *testing.T, values map[string]string) *world {
	t.Helper()
	w := newWorld(t, 1).only(run.Users, run.UserPhotos)
	w.conn.PageSize = 300
	w.save()
	for id, value := range values {
		w.vendor.people[id] = &person{ID: id, First: "Ada", Status: "Confirmed", Photo: value, Modified: w.clock.now().AddDate(0, -1, 0)}
	}
	return w
}

// edit changes one person now.
func (w *world) edit(id string, change func(p *person)) {
	change(w.vendor.people[id])
	w.vendor.people[id].Modified = w.clock.now()
}

func (w *world) linked(id string) string {
	key, _ := w.records(run.Users)[id].Fields["photo_object"].(string)
	return key
}

func TestWhatBecomesOfPictures(t *testing.T) {
	t.Parallel()
	w := album(t, map[string]string{
		"1": "good.png", "2": "none.png", "3": "html.png", "4": "../escape.png", "5": "https://elsewhere.example.org/x.png", "6": "", "7": "busy.png",
	})
	w.vendor.pictures[files+"good.png"] = picture{body: "good"}
	w.vendor.pictures[files+"html.png"] = picture{state: photo.Rejected}
	w.vendor.pictures[files+"busy.png"] = picture{err: fault.New(fault.StovaServer, "the host answers 503", "")}
	v := w.sync(pipeline.Start{})
	same(t, "state", run.Complete, v.State)
	same(t, "counts", run.Counts{Read: 6, New: 1, Rejected: 4, Missing: 1}, v.Types[run.UserPhotos].Counts)
	states := map[string]any{}
	for id, r := range w.records(run.UserPhotos) {
		states[id] = r.Fields["state"]
		same(t, "type of "+id, "person_photo", r.Type)
		same(t, "owner of "+id, "global", r.Owner)
		same(t, "owner's id of "+id, any(id), r.Fields["owner_ext_id"])
	}
	same(t, "states", map[string]any{"1": "stored", "2": "missing", "3": "rejected", "4": "rejected", "5": "rejected"}, states)
	codes := map[string]string{}
	for _, r := range v.Rejects {
		codes[r.ID] = r.Code
	}
	same(t, "codes", map[string]string{"3": "PHOTO_TYPE", "4": "PHOTO_HOST", "5": "PHOTO_HOST", "7": "ROW_POISON"}, codes)
	objects := w.keys(eventID + "/person/1/")
	same(t, "objects", objects, w.keys(eventID+"/"))
	same(t, "link", []string{w.linked("1")}, objects)
	for id := range w.vendor.people {
		if id != "1" && w.linked(id) != "" {
			t.Errorf("user %s is linked to a picture", id)
		}
	}
	same(t, "retry list", []string{"7"}, w.retry(run.UserPhotos))
}

func TestALinkMovesNeitherHashNorCounts(t *testing.T) {
	t.Parallel()
	w := album(t, map[string]string{"1": "good.png"})
	w.vendor.pictures[files+"good.png"] = picture{body: "good"}
	w.sync(pipeline.Start{Types: []run.DataType{run.Users}})
	before := w.records(run.Users)["1"]
	w.sync(pipeline.Start{Types: []run.DataType{run.UserPhotos}})
	after := w.records(run.Users)["1"]
	same(t, "hash", before.Hash, after.Hash)
	same(t, "run", before.Run, after.Run)
	if !after.UpdatedAt.After(before.UpdatedAt) {
		t.Error("updated_at did not move with the link")
	}
	v := w.sync(pipeline.Start{Mode: run.Full})
	same(t, "users", run.Counts{Read: 1, Unchanged: 1}, v.Types[run.Users].Counts)
	same(t, "photos", run.Counts{Read: 1, Unchanged: 1}, v.Types[run.UserPhotos].Counts)
	w.edit("1", func(p *person) { p.First = "Grace" })
	w.sync(pipeline.Start{})
	if w.linked("1") == "" {
		t.Error("a page of users took the link away")
	}
}

func TestPicturesOfLaterRuns(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		mode   run.Mode
		change func(w *world)
		asked  int // downloads
		counts run.Counts
		check  func(t *testing.T, w *world)
	}{
		"nothing changed: none is asked for": {"", func(*world) {}, 0, run.Counts{}, nil},
		"a full run asks for all, by ETag": {run.Full, func(*world) {}, 3, run.Counts{Read: 3, Unchanged: 1, Rejected: 1, Missing: 1}, func(t *testing.T, w *world) {
			same(t, "objects", 1, len(w.keys(eventID+"/")))
		}},
		"a full run finds a picture that changed under its address": {run.Full, func(w *world) { w.vendor.pictures[files+"good.png"] = picture{body: "better"} },
			3, run.Counts{Read: 3, Changed: 1, Rejected: 1, Missing: 1}, func(t *testing.T, w *world) {
				same(t, "objects", 2, len(w.keys(eventID+"/")))
				same(t, "link", w.records(run.UserPhotos)["1"].Fields["object_key"], any(w.linked("1")))
			}},
		"another source is fetched": {"", func(w *world) {
			w.vendor.pictures[files+"new.png"] = picture{body: "new"}
			w.edit("1", func(p *person) { p.Photo = "new.png" })
		}, 1, run.Counts{Read: 1, Changed: 1}, func(t *testing.T, w *world) {
			same(t, "link", w.records(run.UserPhotos)["1"].Fields["object_key"], any(w.linked("1")))
		}},
		"another source that is missing takes the link away": {"", func(w *world) {
			w.edit("1", func(p *person) { p.Photo = "nowhere.png" })
		}, 1, run.Counts{Read: 1, Missing: 1}, func(t *testing.T, w *world) { same(t, "link", "", w.linked("1")) }},
		"a value that makes no address takes the link away": {"", func(w *world) {
			w.edit("1", func(p *person) { p.Photo = "../good.png" })
		}, 0, run.Counts{Read: 1, Rejected: 1}, func(t *testing.T, w *world) {
			same(t, "link", "", w.linked("1"))
			same(t, "state", any("rejected"), w.records(run.UserPhotos)["1"].Fields["state"])
		}},
		"an emptied photo takes the link away and deletes nothing": {"", func(w *world) {
			w.edit("1", func(p *person) { p.Photo = "" })
		}, 0, run.Counts{Read: 1, Changed: 1}, func(t *testing.T, w *world) {
			same(t, "link", "", w.linked("1"))
			same(t, "objects", 1, len(w.keys(eventID+"/")))
		}},
		"a picture that is gone for a day keeps its link": {run.Full, func(w *world) { delete(w.vendor.pictures, files+"good.png") },
			3, run.Counts{Read: 3, Rejected: 1, Missing: 2}, func(t *testing.T, w *world) {
				if w.linked("1") == "" {
					t.Error("the link is gone")
				}
			}},
		"what was missing or refused is due after a day": {"", func(w *world) { w.clock.advance(25 * time.Hour) },
			2, run.Counts{Read: 2, Rejected: 1, Missing: 1}, nil},
		"what was missing and came is new": {"", func(w *world) {
			w.clock.advance(25 * time.Hour)
			w.vendor.pictures[files+"none.png"] = picture{body: "late"}
		}, 2, run.Counts{Read: 2, Changed: 1, Rejected: 1}, func(t *testing.T, w *world) {
			if w.linked("2") == "" {
				t.Error("the late picture is not linked")
			}
		}},
		"a cancelled owner's picture is not asked for": {run.Full, func(w *world) { w.edit("1", func(p *person) { p.Status = "Cancelled" }) },
			2, run.Counts{Read: 2, Rejected: 1, Missing: 1}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := album(t, map[string]string{"1": "good.png", "2": "none.png", "3": "html.png"})
			w.vendor.pictures[files+"good.png"] = picture{body: "good"}
			w.vendor.pictures[files+"html.png"] = picture{state: photo.Rejected}
			w.sync(pipeline.Start{})
			tt.change(w)
			asked := w.vendor.downloads()
			v := w.sync(pipeline.Start{Mode: tt.mode})
			same(t, "state", run.Complete, v.State)
			same(t, "downloads", tt.asked, w.vendor.downloads()-asked)
			same(t, "counts", tt.counts, v.Types[run.UserPhotos].Counts)
			if tt.check != nil {
				tt.check(t, w)
			}
			asked, writes := w.vendor.downloads(), w.writes.count()
			w.sync(pipeline.Start{})
			same(t, "downloads of the run after it", 0, w.vendor.downloads()-asked)
			same(t, "writes of the run after it", 0, w.writes.count()-writes)
		})
	}
}

// many makes a world of n pictures, of which the first cannot be fetched.
func many(t *testing.T, n, bad int) *world {
	t.Helper()
	values := map[string]string{}
	for i := range n {
		values[fmt.Sprint(1001+i)] = fmt.Sprintf("%d.png", i)
	}
	w := album(t, values)
	for i := range n {
		p := picture{body: fmt.Sprint("picture ", i)}
		if i < bad {
			p = picture{err: fault.New(fault.StovaTimeout, "no answer in time", "")}
		}
		w.vendor.pictures[fmt.Sprintf("%s%d.png", files, i)] = p
	}
	return w
}

func TestPhotoPages(t *testing.T) {
	t.Parallel()
	t.Run("twenty pictures make a page, on the photos queue", func(t *testing.T) {
		t.Parallel()
		w := many(t, 41, 0)
		v := w.sync(pipeline.Start{})
		same(t, "pages", pipeline.PagesView{Planned: 3, Done: 3}, v.Types[run.UserPhotos].Pages)
		same(t, "counts", run.Counts{Read: 41, New: 41}, v.Types[run.UserPhotos].Counts)
		for _, task := range w.queue.sent {
			same(t, "queue of "+task.String(), task.Kind == run.PageTask && task.Type == run.UserPhotos, task.Queue() == run.PhotosQueue)
		}
	})
	t.Run("a few that cannot be fetched are quarantined and tried again", func(t *testing.T) {
		t.Parallel()
		w := many(t, 20, 9)
		v := w.sync(pipeline.Start{})
		same(t, "counts", run.Counts{Read: 20, New: 11, Rejected: 9}, v.Types[run.UserPhotos].Counts)
		for address, p := range w.vendor.pictures {
			if p.err != nil {
				w.vendor.pictures[address] = picture{body: address}
			}
		}
		v = w.sync(pipeline.Start{})
		same(t, "counts of the next run", run.Counts{Read: 9, New: 9}, v.Types[run.UserPhotos].Counts)
	})
	t.Run("when every picture is missing the endpoint is suspected", func(t *testing.T) {
		t.Parallel()
		w := many(t, 3, 0)
		clear(w.vendor.pictures)
		v := w.sync(pipeline.Start{})
		same(t, "counts", run.Counts{Read: 3, Missing: 3}, v.Types[run.UserPhotos].Counts)
		if !slices.ContainsFunc(v.Warnings, func(x run.Warning) bool {
			return x.Code == string(fault.PhotoHost) && strings.Contains(x.Message, "endpoint")
		}) {
			t.Errorf("warnings = %v, want one about the photo endpoint", v.Warnings)
		}
	})
}

func TestReRunsOfPhotoPages(t *testing.T) {
	t.Parallel()
	t.Run("when most cannot be fetched the page fails, and its re-run mends it", func(t *testing.T) {
		t.Parallel()
		w := many(t, 20, 11)
		v := w.sync(pipeline.Start{})
		same(t, "state", run.Partial, v.Types[run.UserPhotos].State)
		failures, err := w.steps.Failed(t.Context(), pipeline.Filter{})
		w.must(err)
		same(t, "code", string(fault.StovaTimeout), failures[0].Code)
		for address := range maps.Clone(w.vendor.pictures) {
			w.vendor.pictures[address] = picture{body: address}
		}
		w.redrive(pipeline.Filter{})
		tr := w.typeRun(v.Run, run.UserPhotos)
		same(t, "state after the re-run", run.Complete, tr.State)
		same(t, "counts", run.Counts{Read: 20, New: 20}, tr.Counts())
	})
	t.Run("the re-run of a failed page takes away the link of an emptied photo too", func(t *testing.T) {
		t.Parallel()
		w := many(t, 20, 0)
		w.sync(pipeline.Start{})
		w.edit("1001", func(p *person) { p.Photo = "" })
		for address := range maps.Clone(w.vendor.pictures) {
			w.vendor.pictures[address] = picture{err: errPlain}
		}
		v := w.sync(pipeline.Start{Mode: run.Full})
		same(t, "state", run.Partial, v.Types[run.UserPhotos].State)
		if w.linked("1001") == "" {
			t.Fatal("the link went before its page was done")
		}
		for address := range maps.Clone(w.vendor.pictures) {
			w.vendor.pictures[address] = picture{body: address}
		}
		w.redrive(pipeline.Filter{})
		same(t, "state after the re-run", run.Complete, w.typeRun(v.Run, run.UserPhotos).State)
		same(t, "link", "", w.linked("1001"))
	})
}
