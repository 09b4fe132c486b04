package preview_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"stovasync/shared/mapping"
	"stovasync/shared/pipeline"
	"stovasync/shared/pipeline/pipelinetest"
	"stovasync/shared/preview"
	"stovasync/shared/run"
	"stovasync/shared/stova"
	"stovasync/shared/stova/stovatest"
)

// world is a twin, a store in memory and a connection between the two. What is
// written after it was made is noted.
type world struct {
	t     *testing.T
	event *stovatest.Event
	twin  *stovatest.Running
	store *pipelinetest.Memory
	items *spy
	conn  run.Connection
	src   *stova.Client
	slow  int // rows that come; the others wait for the end of their time. 0: all come
}

func newWorld(t *testing.T, o stovatest.Options) *world {
	t.Helper()
	e := stovatest.Generate(o)
	w := &world{t: t, event: e, twin: stovatest.NewServer(e, stovatest.ServerOptions{}).Start(t), store: pipelinetest.NewMemory()}
	w.items = &spy{Items: w.store.Items()}
	w.conn = run.Connection{
		Name: "summit", EndPoint: w.twin.EndPoint(), AccountID: e.AccountID, EventID: e.ID,
		ActiveStatuses: []string{"Confirmed", "Attended"}, InactivePolicy: "cancel", DataTypes: run.AllTypes(), Timezone: e.Zone,
		PersonPhotoEndpoint: w.twin.PersonPhotos(), PresenterPhotoEndpoint: w.twin.PresenterPhotos(),
		AllowPrivateHosts: true, AllowedPhotoHosts: []string{"127.0.0.1"},
	}
	var err error
	w.src, err = stova.New(stova.Config{
		EndPoint: w.conn.EndPoint, AccountID: e.AccountID, Key: e.Key, EventID: e.ID, AllowPrivate: true, RetryBase: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.put()
	return w
}

// put keeps the connection as it stands.
func (w *world) put() {
	w.t.Helper()
	if err := (pipeline.Ledger{Items: w.store.Items()}).PutConnection(w.t.Context(), w.conn, time.Now()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) env() preview.Env {
	return preview.Env{
		Ledger: pipeline.Ledger{Items: w.items}, Records: readOnly{w.store.Records(), w.t}, Connector: connector{w},
		Secrets: w.store.Secrets(),
	}
}

// preview runs a request of the connection; more changes it.
func (w *world) preview(t run.DataType, more ...func(*preview.Request)) preview.Report {
	w.t.Helper()
	r, err := w.try(t, more...)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) try(t run.DataType, more ...func(*preview.Request)) (preview.Report, error) {
	w.t.Helper()
	req := preview.Request{Connection: w.conn.Name, Type: t}
	for _, m := range more {
		m(&req)
	}
	return preview.Run(w.t.Context(), w.env(), req)
}

// store puts records of a type where a sync would.
func (w *world) keep(t run.DataType, records ...pipeline.Record) {
	w.t.Helper()
	var updates []pipeline.RecordUpdate
	for _, r := range records {
		r.Type, r.Owner, r.Run, r.FetchedAt = t.RecordType(), "global", "R", time.Unix(1, 0)
		updates = append(updates, pipeline.RecordUpdate{ID: r.ID, Set: r.Fields, Content: &r})
	}
	if _, err := w.store.Records().Update(w.t.Context(), w.conn.Name, t, time.Now(), updates); err != nil {
		w.t.Fatal(err)
	}
}

func sample(n int) func(*preview.Request) { return func(r *preview.Request) { r.Sample = n } }

// trial tries a mapping of one field.
func trial(t run.DataType, field, expression string) func(*preview.Request) {
	return func(r *preview.Request) {
		r.Trial = true
		if r.Mapping == nil {
			r.Mapping = map[run.DataType]map[string]*string{}
		}
		if r.Mapping[t] == nil {
			r.Mapping[t] = map[string]*string{}
		}
		r.Mapping[t][field] = &expression
	}
}

// connector connects to the twin. Nobody may fetch a picture.
type connector struct{ w *world }

func (c connector) Source(context.Context, run.Connection) (pipeline.Source, error) {
	if c.w.slow > 0 {
		return &slowSource{Source: c.w.src, left: c.w.slow}, nil
	}
	return c.w.src, nil
}

// slowSource gives some rows and then none any more.
type slowSource struct {
	pipeline.Source
	mu   sync.Mutex
	left int
}

func (s *slowSource) Row(ctx context.Context, stream run.Stream, id string) (json.RawMessage, error) {
	s.mu.Lock()
	s.left--
	none := s.left < 0
	s.mu.Unlock()
	if none {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.Source.Row(ctx, stream, id)
}

func (c connector) Downloader(run.Connection) pipeline.Downloader {
	c.w.t.Error("a preview asks for a downloader")
	return nil
}

func (c connector) Mapping(conn run.Connection) (*mapping.Set, error) {
	return mapping.Compile(mapping.Settings{
		Mapping: conn.Mapping, Filters: conn.Filters, ActiveStatuses: conn.ActiveStatuses, InactivePolicy: conn.InactivePolicy,
	})
}

// spy notes what is written to the ledger, and refuses it on demand.
type spy struct {
	pipeline.Items

	mu     sync.Mutex
	writes []pipeline.Write
	refuse error
}

func (s *spy) Write(ctx context.Context, writes ...pipeline.Write) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		return s.refuse
	}
	s.writes = append(s.writes, writes...)
	return s.Items.Write(ctx, writes...)
}

// take returns what was written since it was asked last.
func (s *spy) take() []pipeline.Write {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.writes
	s.writes = nil
	return all
}

// readOnly are records that nobody may change.
type readOnly struct {
	pipeline.Records
	t *testing.T
}

func (r readOnly) Update(context.Context, string, run.DataType, time.Time, []pipeline.RecordUpdate) ([]bool, error) {
	r.t.Error("a preview writes records")
	return nil, fmt.Errorf("refused")
}

// texts are all texts in a report: its values, not the names of its parts.
func texts(t *testing.T, r preview.Report) []string {
	t.Helper()
	doc, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			all = append(all, v)
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	var v any
	if err := json.Unmarshal(doc, &v); err != nil {
		t.Fatal(err)
	}
	walk(v)
	return all
}

func column(r preview.Report, expression string) (preview.Column, bool) {
	for _, c := range r.Columns {
		if c.Expression == expression {
			return c, true
		}
	}
	return preview.Column{}, false
}

func field(r preview.Report, name string) (preview.Field, bool) {
	for _, f := range r.Fields {
		if f.Name == name {
			return f, true
		}
	}
	return preview.Field{}, false
}

// warned returns the messages of the warnings with a code.
func warned(r preview.Report, code string) []string {
	var out []string
	for _, w := range r.Warnings {
		if w.Code == code {
			out = append(out, w.Message)
		}
	}
	return out
}

// fault switches a fault of the twin on.
func (w *world) fault(spec string) {
	w.t.Helper()
	f, err := stovatest.ParseFault(spec)
	if err != nil {
		w.t.Fatal(err)
	}
	w.twin.Fault(f)
}
