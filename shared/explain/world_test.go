package explain_test

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"stovasync/shared/app"
	"stovasync/shared/config"
	"stovasync/shared/explain"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
	"stovasync/shared/stova/stovatest"
)

// world is a twin and the embedded store, which real runs fill.
type world struct {
	t      *testing.T
	event  *stovatest.Event
	twin   *stovatest.Running
	app    *app.Local
	conn   run.Connection
	spread bool // runs are due a minute apart
	runs   int
	// erased is the attendee whom an erase keeps out.
	erased string
}

// plainMapping maps the pictures and the slot, as most connections do.
const plainMapping = "mapping:\n  users: {photo: responses.photo}\n  sessions: {in_slot: in_slot}\nConcurrentSessionsTitle: Parallel\n"

// newWorld starts a twin, lets edit change its event, and puts a connection
// with the settings of yaml.
func newWorld(t *testing.T, yaml string, edit func(*stovatest.Event)) *world {
	t.Helper()
	e := stovatest.Generate(stovatest.Options{Attendees: 14, Sessions: 6, Speakers: 3, Sponsors: 3, PhotoShare: 1, PicksMax: 2})
	for _, p := range e.People {
		p.Status = "Confirmed"
	}
	if edit != nil {
		edit(e)
	}
	w := &world{t: t, event: e, twin: stovatest.NewServer(e, stovatest.ServerOptions{}).Start(t)}
	l, err := app.OpenLocal(t.Context(), t.TempDir(), app.LocalOptions{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	w.app = l
	t.Cleanup(func() { _ = l.Close() }) // tests may have closed it
	if err := l.Secrets.Put(t.Context(), "summit", e.Key); err != nil {
		t.Fatal(err)
	}
	w.put(yaml)
	return w
}

// put puts the connection with these settings; of a setting named twice the
// settings of yaml count.
func (w *world) put(yaml string) {
	w.t.Helper()
	text := "name: summit\nendPoint: " + w.twin.EndPoint() + "\naccountid: \"" + w.event.AccountID + "\"\neventid: \"" + w.event.ID +
		"\"\nallowPrivateHosts: true\nrequestsPerMinute: 1000000\nretryBaseSeconds: 0.005\ntimezone: " + w.event.Zone +
		"\npersonPhotoEndpoint: " + w.twin.PersonPhotos() + "\npresenterPhotoEndpoint: " + w.twin.PresenterPhotos() + "\n"
	if !strings.Contains(yaml, "mapping:") {
		text += plainMapping
	}
	p, err := config.ParseConnection([]byte(text + yaml))
	if err != nil {
		w.t.Fatal(err)
	}
	w.keep(p.Connection)
}

// keep puts settings as they are, also those that no file could hold.
func (w *world) keep(c run.Connection) {
	w.t.Helper()
	w.conn = c
	if err := w.app.Steps.Ledger.PutConnection(w.t.Context(), c, time.Now()); err != nil {
		w.t.Fatal(err)
	}
}

// sync runs to the end, whatever comes of it, and returns the run.
func (w *world) sync(mode run.Mode, types ...run.DataType) pipeline.RunView {
	w.t.Helper()
	w.runs++
	var id string
	due := time.Now()
	if w.spread { // as schedules do: no two runs are due in one second
		due = due.Add(-time.Hour + time.Duration(w.runs)*time.Minute)
	}
	err := w.app.Sync(w.t.Context(), pipeline.Start{Connection: "summit", Time: due, Mode: mode, Types: types, Nonce: strconv.Itoa(w.runs)},
		func(s pipeline.Started) { id = s.Run.ID })
	if err != nil {
		w.t.Fatal(err)
	}
	v, err := w.app.Steps.View(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// start makes a full run of users and does nothing of it.
func (w *world) start() string {
	w.t.Helper()
	s, err := w.app.Steps.FanOut(w.t.Context(), pipeline.Start{Connection: "summit", Time: time.Now(), Mode: run.Full, Types: []run.DataType{run.Users}, Nonce: "started"})
	if err != nil {
		w.t.Fatal(err)
	}
	return s.Run.ID
}

func (w *world) ask(req explain.Request) explain.Explanation {
	w.t.Helper()
	s := w.app.Steps
	req.Connection = "summit"
	x, err := explain.Explain(w.t.Context(), explain.Env{
		Ledger: s.Ledger, Records: s.Records, Objects: s.Objects, Connector: s.Connector,
		Suppressed: func(_ context.Context, _ run.Connection, id string) (bool, error) { return id == w.erased, nil },
	}, req)
	if err != nil {
		w.t.Fatal(err)
	}
	return x
}

func (w *world) explain(t run.DataType, id string) explain.Explanation {
	w.t.Helper()
	return w.ask(explain.Request{Type: t, ID: id})
}

// results are what a rule said, one after the other, such as "info stop".
func results(x explain.Explanation, rule string) string {
	var out []string
	for _, r := range x.Rules {
		if r.Rule == rule {
			out = append(out, r.Result)
		}
	}
	return strings.Join(out, " ")
}

func field(x explain.Explanation, name string) (explain.Field, bool) {
	i := slices.IndexFunc(x.Fields, func(f explain.Field) bool { return f.Field == name })
	if i < 0 {
		return explain.Field{}, false
	}
	return x.Fields[i], true
}

// The people and sessions of the generated event that the cases are about.
const (
	user     = "800000001"
	other    = "800000002"
	sponsor  = "800000003"
	session  = "60001_1"
	lastUser = "800000014"
)
