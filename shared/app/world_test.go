package app_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"stovasync/shared/app"
	"stovasync/shared/config"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
	"stovasync/shared/stova/stovatest"
)

// world is a twin, a store folder and a connection between the two.
type world struct {
	t     *testing.T
	name  string // of the connection
	event *stovatest.Event
	twin  *stovatest.Running
	app   *app.Local
	dir   string
	set   settings
	logs  *logs
	runs  int
}

// logs keeps what is logged, from any goroutine.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// newWorld starts a twin of an event and puts a connection to it into a fresh
// store. more is YAML that is added to the connection file.
func newWorld(t *testing.T, o stovatest.Options, s stovatest.ServerOptions, more string) *world {
	t.Helper()
	ev := stovatest.Generate(o)
	w := &world{
		t: t, name: "summit", event: ev, twin: stovatest.NewServer(ev, s).Start(t), dir: t.TempDir(), logs: &logs{},
		set: settings{title: "Parallel sessions", zone: ev.Zone},
	}
	w.open()
	w.connect(more)
	t.Cleanup(w.noSecrets)
	return w
}

// open opens the store, as a new process would.
func (w *world) open() {
	w.t.Helper()
	l, err := app.OpenLocal(w.t.Context(), w.dir, app.LocalOptions{Concurrency: 4, Log: slog.New(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		w.t.Fatal(err)
	}
	w.app = l
	w.t.Cleanup(func() { _ = l.Close() })
}

// connect puts the connection; it may be called again to change the settings.
func (w *world) connect(more string) {
	w.t.Helper()
	putConnection(w.t, w.app, w.event, w.twin.URL(), w.name, w.set, more)
}

func putConnection(tb testing.TB, l *app.Local, e *stovatest.Event, url, name string, s settings, more string) {
	tb.Helper()
	if !strings.Contains(more, "mapping:") {
		more += "mapping:\n  users: {photo: responses.photo}\n  sessions: {in_slot: in_slot}\n"
	}
	p, err := config.ParseConnection([]byte(`name: ` + name + `
endPoint: ` + url + `/api/v2
accountid: "` + e.AccountID + `"
eventid: "` + e.ID + `"
allowPrivateHosts: true
requestsPerMinute: 1000000
retryBaseSeconds: 0.01
timezone: ` + s.zone + `
personPhotoEndpoint: ` + url + `/ereg/uploadfiles/
presenterPhotoEndpoint: ` + url + `/image.php?acc={accountid}&id={id}
ConcurrentSessionsTitle: "` + s.title + `"
` + more))
	if err != nil {
		tb.Fatal(err)
	}
	if err := l.Steps.Ledger.PutConnection(tb.Context(), p.Connection, time.Now()); err != nil {
		tb.Fatal(err)
	}
	if err := l.Secrets.Put(tb.Context(), name, e.Key); err != nil {
		tb.Fatal(err)
	}
}

// run syncs, whatever state the run ends in; an error is the call's own.
func (w *world) run(mode run.Mode) (pipeline.RunView, error) {
	w.t.Helper()
	w.runs++
	var id string
	err := w.app.Sync(w.t.Context(), pipeline.Start{Connection: w.name, Time: time.Now(), Mode: mode, Nonce: strconv.Itoa(w.runs)},
		func(s pipeline.Started) { id = s.Run.ID })
	if err != nil {
		return pipeline.RunView{}, err
	}
	v, err := w.app.Steps.View(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return v, nil
}

// sync is run, which must end complete.
func (w *world) sync(mode run.Mode) pipeline.RunView {
	w.t.Helper()
	v, err := w.run(mode)
	if err != nil {
		w.t.Fatal(err)
	}
	if v.State != run.Complete {
		w.t.Fatalf("the run is %s: %+v\n%s", v.State, v.Types, w.logs.text())
	}
	return v
}

// stored reads everything that is in the store and not removed.
func (w *world) stored() map[run.DataType]map[string]pipeline.Record {
	w.t.Helper()
	all := map[run.DataType]map[string]pipeline.Record{}
	for _, t := range run.AllTypes() {
		all[t] = map[string]pipeline.Record{}
		for r, err := range w.app.Steps.Records.Scan(w.t.Context(), w.name, t, pipeline.Scan{}) {
			if err != nil {
				w.t.Fatal(err)
			}
			all[t][r.ID] = r
		}
	}
	return all
}

// expect is what the event, as it is now, asks for.
func (w *world) expect() (x wish) {
	w.t.Helper()
	w.twin.View(func(e *stovatest.Event) { x = expect(w.t, e, w.set) })
	return x
}

// ofPictures are the fields of photo records that say how and when, not what;
// checkPictures holds those about the bytes.
var ofPictures = []string{"source_url", "object_key", "photo_hash", "content_type", "bytes", "width", "height", "etag", "last_modified", "fetched_at", "reason"}

// check compares every stored record of every type with the expectation, the
// links to pictures with the photo records, and the files with the twin's.
func (w *world) check(want store) {
	w.t.Helper()
	got := store{}
	stored := w.stored()
	for t, records := range stored {
		got[t] = map[string]record{}
		for id, r := range records {
			w.envelope(t, r)
			got[t][id] = record{Status: r.Status, Owner: r.Owner, Type: r.Type, Fields: w.plainFields(t, r, stored)}
		}
	}
	differ(w.t, want, got)
	w.checkPictures(stored)
}

// differ reports records that are not as they should be, each apart: a diff of
// whole stores leaves out what one wants to see.
func differ(tb testing.TB, want, got store) {
	tb.Helper()
	for _, t := range run.AllTypes() {
		ids := map[string]bool{}
		for id := range want[t] {
			ids[id] = true
		}
		for id := range got[t] {
			ids[id] = true
		}
		for _, id := range slices.Sorted(maps.Keys(ids)) {
			a, wanted := want[t][id]
			b, there := got[t][id]
			switch diff := cmp.Diff(a, b, cmpopts.EquateEmpty()); {
			case !there:
				tb.Errorf("%s %s is not stored", t, id)
			case !wanted:
				tb.Errorf("%s %s is stored, as %s", t, id, b.Status)
			case diff != "":
				tb.Errorf("%s %s (-want +got):\n%s", t, id, diff)
			}
		}
	}
}

// envelope holds what every record must say of itself.
func (w *world) envelope(t run.DataType, r pipeline.Record) {
	w.t.Helper()
	if r.Hash == "" || r.Run == "" || r.CreatedRun == "" || r.UpdatedAt.IsZero() {
		w.t.Errorf("%s %s lacks a part of its envelope: hash %q, run %q, created %q, updated %v", t, r.ID, r.Hash, r.Run, r.CreatedRun, r.UpdatedAt)
	}
	if t == run.Users || t == run.Sponsors {
		if p := w.person(r.ID); p != nil && r.LastModified == "" {
			w.t.Errorf("%s %s has no source_lastmodified", t, r.ID)
		}
	}
}

func (w *world) person(id string) (p *stovatest.Person) {
	w.twin.View(func(e *stovatest.Event) { p = e.Person(id) })
	return p
}

// plainFields are a record's fields without those about pictures, which it
// compares with the owner's photo record.
func (w *world) plainFields(t run.DataType, r pipeline.Record, all map[run.DataType]map[string]pipeline.Record) map[string]any {
	w.t.Helper()
	f := maps.Clone(r.Fields)
	if t.IsPhotos() {
		if s := f["state"]; s != "stored" && f["reason"] == nil {
			w.t.Errorf("%s %s is %v and does not say why", t, r.ID, s)
		}
		maps.DeleteFunc(f, func(name string, _ any) bool { return slices.Contains(ofPictures, name) })
		return f
	}
	photos := map[run.DataType]run.DataType{run.Users: run.UserPhotos, run.Presenters: run.PresenterPhotos}[t]
	key, linked := f["photo_object"]
	delete(f, "photo_object")
	if photos == "" {
		if linked {
			w.t.Errorf("%s %s has a photo_object", t, r.ID)
		}
		return f
	}
	p, there := all[photos][r.ID]
	if wants := there && p.Fields["object_key"] != nil && f["photo"] != nil; wants != linked || linked && key != p.Fields["object_key"] {
		w.t.Errorf("%s %s: photo_object is %v, its photo record's object_key %v (photo %v)", t, r.ID, key, p.Fields["object_key"], f["photo"] != nil)
	}
	return f
}

// checkPictures compares every stored picture of an owner that still names one
// with the bytes that the twin serves.
func (w *world) checkPictures(all map[run.DataType]map[string]pipeline.Record) {
	w.t.Helper()
	for _, t := range []run.DataType{run.PresenterPhotos, run.UserPhotos} {
		for id, r := range all[t] {
			var name string
			var err error
			w.twin.View(func(e *stovatest.Event) { name, err = pictureOf(e, t, id) })
			if owner := all[t.Owner()][id]; err != nil || name == "" || owner.Status != "active" || r.Fields["state"] != "stored" {
				continue
			}
			w.checkPicture(t, r, name)
		}
	}
}

func (w *world) checkPicture(t run.DataType, r pipeline.Record, name string) {
	w.t.Helper()
	address := w.twin.PersonPhotos() + url.PathEscape(name)
	if t == run.PresenterPhotos {
		address = w.twin.URL() + "/image.php?acc=" + w.event.AccountID + "&id=" + name
	}
	want := download(w.t, address)
	sum := sha256.Sum256(want)
	hash := hex.EncodeToString(sum[:])
	kind := strings.TrimSuffix(strings.TrimPrefix(r.Type, "fp_"), "_photo")
	ext := path.Ext(fmt.Sprint(r.Fields["object_key"]))
	type about struct{ Key, Hash, Type, Width, Height, Bytes any }
	wantAbout := about{
		Key: w.event.ID + "/" + kind + "/" + r.ID + "/" + hash + ext, Hash: hash, Type: http.DetectContentType(want),
		Width: int64(48), Height: int64(48), Bytes: int64(len(want)),
	}
	f := r.Fields
	if diff := cmp.Diff(wantAbout, about{f["object_key"], f["photo_hash"], f["content_type"], f["width"], f["height"], f["bytes"]}); diff != "" {
		w.t.Errorf("%s %s (-want +got):\n%s", t, r.ID, diff)
	}
	if plain, err := url.PathUnescape(fmt.Sprint(f["source_url"])); err != nil || !strings.HasSuffix(plain, name) || !strings.HasPrefix(plain, w.twin.URL()) {
		w.t.Errorf("%s %s: source_url does not name its picture", t, r.ID)
	}
	got, err := os.ReadFile(filepath.Join(w.dir, "objects", filepath.FromSlash(fmt.Sprint(f["object_key"]))))
	if err != nil {
		w.t.Errorf("%s %s: %v", t, r.ID, err)
		return
	}
	if !bytes.Equal(got, want) {
		w.t.Errorf("%s %s: the file differs from the vendor's", t, r.ID)
	}
}

func download(tb testing.TB, address string) []byte {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, address, nil)
	if err != nil {
		tb.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		tb.Fatalf("download: %s", res.Status)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return body
}

// checkCounts compares the counts of all types.
func (w *world) checkCounts(v pipeline.RunView, want map[run.DataType]run.Counts) {
	w.t.Helper()
	got := map[run.DataType]run.Counts{}
	for t, tv := range v.Types {
		got[t] = tv.Counts
	}
	for _, t := range run.AllTypes() {
		if _, ok := want[t]; !ok {
			want[t] = run.Counts{}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("counts (-want +got):\n%s", diff)
	}
}

// noSecrets looks for the key and for people in everything that was logged.
func (w *world) noSecrets() {
	clean(w.t, "the log", w.logs.text(), w.event)
}

// clean fails when a text holds what no log and no error may: the key, a
// token, an address or the name of a person.
func clean(t *testing.T, what, text string, e *stovatest.Event) {
	t.Helper()
	for _, bad := range []string{e.Key, "accesstoken=", "@example.test", "_portrait"} {
		if strings.Contains(text, bad) {
			t.Errorf("%s holds a secret or personal data", what)
		}
	}
	for _, p := range e.People {
		if p.LastName != "" && strings.Contains(text, p.LastName) || p.Company != "" && strings.Contains(text, p.Company) {
			t.Errorf("%s holds the name or company of attendee %s", what, p.ID)
			return
		}
	}
}
