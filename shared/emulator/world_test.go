package emulator_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"stovasync/shared/app"
	"stovasync/shared/awscall/awstest"
	"stovasync/shared/config"
	"stovasync/shared/emulator"
	"stovasync/shared/object"
	"stovasync/shared/pipeline"
	"stovasync/shared/queue"
	"stovasync/shared/run"
	"stovasync/shared/secret"
	"stovasync/shared/store"
	"stovasync/shared/stova/stovatest"
	"stovasync/shared/template"
)

// builds holds the bootstraps, each built once for all tests.
var builds struct {
	sync.Mutex
	dir  string
	done map[string]string
}

func TestMain(m *testing.M) {
	if mode := os.Getenv(childEnv); mode != "" {
		play(mode)
		return
	}
	code := m.Run()
	if builds.dir != "" {
		_ = os.RemoveAll(builds.dir)
	}
	os.Exit(code)
}

// bootstrap builds a function for this machine.
func bootstrap(ctx context.Context, function, goarch string) (string, error) {
	builds.Lock()
	defer builds.Unlock()
	if builds.done == nil {
		dir, err := os.MkdirTemp("", "stovasync-functions-")
		if err != nil {
			return "", err
		}
		builds.dir, builds.done = dir, map[string]string{}
	}
	if path := builds.done[function+goarch]; path != "" {
		return path, nil
	}
	goos := runtime.GOOS
	if goarch != runtime.GOARCH {
		goos = "linux"
	}
	path, err := emulator.Build(ctx, filepath.Join("..", ".."), function, builds.dir, goos, goarch)
	if err == nil {
		builds.done[function+goarch] = path
	}
	return path, err
}

// transformed is the template as CloudFormation gets it.
func transformed(tb testing.TB) *template.Template {
	tb.Helper()
	path := os.Getenv("STOVASYNC_TEST_TEMPLATE")
	if path == "" {
		tb.Skip("STOVASYNC_TEST_TEMPLATE is not set; make test-aws sets it")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	parsed, err := template.Parse(text)
	if err != nil {
		tb.Fatal(err)
	}
	return parsed
}

// patience is how long a task that failed waits at most, and an event.
const patience = time.Second

// world is a deployed stack, a twin of the vendor and a connection between the two.
type world struct {
	t *testing.T
	*emulator.Stack
	twin   *stovatest.Running
	event  *stovatest.Event
	key    string // the vendor's, as it is stored
	steps  *pipeline.Steps
	queues *queue.SQS
	sqs    *sqs.Client
	keys   pipeline.Secrets
	conn   run.Connection
}

// setting is what a case changes.
type setting struct {
	event  stovatest.Options
	server stovatest.ServerOptions
	more   string // YAML that is added to the connection file
	stack  emulator.Options
	// edit changes the template; refused are the calls that roles then do not
	// permit. There must be no others.
	edit    func(*template.Template)
	refused func(*world) []string
}

// small is an event with all eight types in it.
func small(seed uint64) stovatest.Options {
	return stovatest.Options{Seed: seed, Attendees: 16, Sessions: 6, Speakers: 4, Sponsors: 3, Levels: 2}
}

// users is an event of attendees alone, for cases about pages.
func users(seed uint64, n int) setting {
	return setting{
		event: stovatest.Options{Seed: seed, Attendees: n, Sessions: -1, Speakers: -1, Sponsors: -1, PhotoShare: -1},
		more:  "dataTypes: [users]\n",
	}
}

// newWorld deploys a stack of its own. It is closed at the end of the test,
// which then fails on any call that a role does not permit, any line of a log
// that is no JSON or tells what it must not, and any failure of the emulator.
func newWorld(t *testing.T, s setting) *world {
	t.Helper()
	awstest.Config(t) // skips without a stand-in
	o := s.stack
	o.Name, o.Template, o.Upstream, o.TempDir = "summit-"+strings.ToLower(rand.Text()[:10]), transformed(t), os.Getenv(awstest.Endpoint), t.TempDir()
	if s.edit != nil {
		s.edit(o.Template)
	}
	o.Program = func(function string) (string, error) { return bootstrap(t.Context(), function, runtime.GOARCH) }
	if o.Patience == 0 {
		o.Patience = patience
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 4*time.Minute)
	stack, err := emulator.Deploy(ctx, o)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	ev := stovatest.Generate(s.event)
	w := &world{t: t, Stack: stack, event: ev, twin: stovatest.NewServer(ev, s.server).Start(t), key: ev.Key}
	t.Cleanup(func() {
		defer cancel()
		w.close(s)
	})
	w.wire()
	w.connect(s.more)
	return w
}

// close ends the stack and holds what must be true of every case.
func (w *world) close(s setting) {
	if err := w.Close(); err != nil {
		w.t.Error(err)
	}
	var refused []string
	if s.refused != nil {
		refused = s.refused(w)
	}
	slices.Sort(refused)
	if diff := cmp.Diff(refused, slices.Compact(slices.Sorted(slices.Values(w.Gateway.Refused()))), cmpopts.EquateEmpty()); diff != "" {
		w.t.Errorf("calls that roles do not permit (-want +got):\n%s", diff)
	}
	for id, f := range w.Functions() {
		for _, line := range f.Log().Lines() {
			if err := oneObject(line); err != nil {
				w.t.Errorf("%s: a line of the log: %v: %.200s", id, err, line)
			}
		}
		w.clean(id+"'s log", strings.Join(f.Log().Lines(), "\n"))
		if w.t.Failed() {
			for _, line := range f.Log().Lines() {
				w.t.Logf("%s: %.600s", id, line)
			}
		}
	}
}

// oneObject says what keeps a line from being a single JSON object of which
// every key comes once: of a key that comes twice, readers keep either value.
func oneObject(line string) error {
	d := json.NewDecoder(strings.NewReader(line))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.New("no JSON object")
	}
	seen := map[string]bool{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		name, _ := key.(string)
		if seen[name] {
			return fmt.Errorf("the key %q comes twice", name)
		}
		seen[name] = true
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return err
	}
	if d.More() {
		return errors.New("something follows the object")
	}
	return nil
}

// clean fails when a text holds what no log may: the key, a token, an address
// or the name of a person.
func (w *world) clean(what, text string) {
	for _, bad := range []string{w.event.Key, w.key, "accesstoken=", "@example.test", "_portrait", "uploadfiles/"} {
		if strings.Contains(text, bad) {
			w.t.Errorf("%s holds a secret or personal data", what)
		}
	}
	for _, p := range w.event.People {
		if p.LastName != "" && strings.Contains(text, p.LastName) || p.Company != "" && strings.Contains(text, p.Company) {
			w.t.Errorf("%s holds the name or company of attendee %s", what, p.ID)
			return
		}
	}
}

// wire opens the stack's stores as an operator does, by the stack's outputs.
func (w *world) wire() {
	cfg, out := w.Config(), w.Outputs()
	db := dynamodb.NewFromConfig(cfg)
	w.sqs = sqs.NewFromConfig(cfg)
	w.queues = queue.NewSQS(queue.SQSConfig{
		Client: w.sqs, Wait: -1,
		URLs: map[run.Queue]string{run.TasksQueue: out["TasksQueueUrl"], run.PhotosQueue: out["PhotosQueueUrl"]},
		Dead: map[run.Queue]string{run.TasksQueue: out["TasksDlqUrl"], run.PhotosQueue: out["PhotosDlqUrl"]},
	})
	w.keys = secret.New(secret.Config{Client: ssm.NewFromConfig(cfg), Prefix: out["SecretPrefix"]})
	w.steps = &pipeline.Steps{
		Ledger:  pipeline.Ledger{Items: store.NewItems(store.ItemsConfig{Client: db, Table: out["LedgerTable"]})},
		Records: store.NewRecords(store.RecordsConfig{Client: db, Table: out["RecordsTable"]}),
		Objects: object.New(object.Config{Client: s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }), Bucket: out["Bucket"]}),
		Tasks:   w.queues, Dead: w.queues, Log: slog.New(slog.DiscardHandler),
	}
}

// connect stores the connection and its key.
func (w *world) connect(more string) {
	w.t.Helper()
	p, err := config.ParseConnection(w.connection(more))
	if err != nil {
		w.t.Fatal(err)
	}
	w.conn = p.Connection
	if err := w.steps.Ledger.PutConnection(w.t.Context(), p.Connection, time.Now()); err != nil {
		w.t.Fatal(err)
	}
	if err := w.keys.Put(w.t.Context(), "summit", w.event.Key); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) connection(more string) []byte {
	return fmt.Appendf(nil, `name: summit
endPoint: %s
accountid: "%s"
eventid: "%s"
allowPrivateHosts: true
requestsPerMinute: 1000000
personPhotoEndpoint: %s
presenterPhotoEndpoint: %s
mapping: {users: {photo: responses.photo}, sessions: {in_slot: in_slot}}
%s`, w.twin.EndPoint(), w.event.AccountID, w.event.ID, w.twin.PersonPhotos(), w.twin.PresenterPhotos(), more)
}

// Full is the schedule that reads everything.
const (
	fullSchedule    = "FullRun"
	regularSchedule = "RegularRun"
)

// scheduled is when the tests' schedules are due.
func scheduled() time.Time { return time.Date(2031, 3, 9, 3, 0, 0, 0, time.UTC) }

// start fires the full schedule and returns the run that it made.
func (w *world) start() string {
	w.t.Helper()
	if err := w.Fire(fullSchedule, scheduled()); err != nil {
		w.t.Fatal(err)
	}
	if err := w.Settled(); err != nil {
		w.t.Fatal(err)
	}
	active, err := w.steps.Ledger.Active(w.t.Context(), "summit")
	if err != nil || active.Run == "" {
		w.t.Fatalf("the schedule's event started no run (%v)", err)
	}
	return active.Run
}

// end waits for a run's end and for empty queues, and returns the run.
func (w *world) end(id string) pipeline.RunView {
	w.t.Helper()
	w.await("the run's end", func() bool {
		r, _, err := w.steps.Ledger.Progress(w.t.Context(), id)
		return err == nil && !r.Ended.IsZero()
	})
	return w.view(id)
}

// complete is end, of a run that must be complete.
func (w *world) complete(id string) pipeline.RunView {
	w.t.Helper()
	v := w.end(id)
	if v.State != run.Complete {
		w.t.Fatalf("the run is %s: %+v", v.State, v.Types)
	}
	return v
}

func (w *world) view(id string) pipeline.RunView {
	w.t.Helper()
	v, err := w.steps.View(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// await polls a state until it holds.
func (w *world) await(what string, holds func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(90 * time.Second)
	for !holds() {
		if err := w.Err(); err != nil {
			w.t.Fatal(err)
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("waited in vain for %s", what)
		}
		select {
		case <-time.After(50 * time.Millisecond): // the state's next look
		case <-w.t.Context().Done():
			w.t.Fatal(w.t.Context().Err())
		}
	}
}

// records reads everything that is stored and not removed.
func records(tb testing.TB, from pipeline.Records) map[run.DataType]map[string]pipeline.Record {
	tb.Helper()
	all := map[run.DataType]map[string]pipeline.Record{}
	for _, t := range run.AllTypes() {
		all[t] = map[string]pipeline.Record{}
		for r, err := range from.Scan(tb.Context(), "summit", t, pipeline.Scan{}) {
			if err != nil {
				tb.Fatal(err)
			}
			all[t][r.ID] = r
		}
	}
	return all
}

// pictures reads every stored picture.
func (w *world) pictures(from pipeline.Objects) map[string]string {
	w.t.Helper()
	all := map[string]string{}
	for key, err := range from.List(w.t.Context(), w.event.ID+"/") {
		if err != nil {
			w.t.Fatal(err)
		}
		body, err := from.Get(w.t.Context(), key)
		if err != nil {
			w.t.Fatal(err)
		}
		data, err := io.ReadAll(body)
		if err := errors.Join(err, body.Close()); err != nil {
			w.t.Fatal(err)
		}
		all[key] = string(data)
	}
	return all
}

// sameAsEmbedded syncs the event, as it is now, on the embedded default and
// compares all records of all types, and all pictures.
func (w *world) sameAsEmbedded() {
	w.t.Helper()
	local, err := app.OpenLocal(w.t.Context(), w.t.TempDir(), app.LocalOptions{Concurrency: 4, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	defer local.Close()
	if err := local.Steps.Ledger.PutConnection(w.t.Context(), w.conn, time.Now()); err != nil {
		w.t.Fatal(err)
	}
	if err := local.Secrets.Put(w.t.Context(), "summit", w.event.Key); err != nil {
		w.t.Fatal(err)
	}
	var id string
	if err := local.Sync(w.t.Context(), pipeline.Start{Connection: "summit", Time: time.Now(), Mode: run.Full}, func(s pipeline.Started) { id = s.Run.ID }); err != nil {
		w.t.Fatal(err)
	}
	if v, err := local.Steps.View(w.t.Context(), id); err != nil || v.State != run.Complete {
		w.t.Fatalf("the run on the embedded default is %s (%v): %+v", v.State, err, v.Types)
	}
	want, got := records(w.t, local.Steps.Records), records(w.t, w.steps.Records)
	moments := []cmp.Option{
		cmpopts.IgnoreFields(pipeline.Record{}, "Run", "CreatedRun", "FetchedAt", "UpdatedAt"), cmpopts.EquateEmpty(),
		cmpopts.IgnoreMapEntries(func(name string, _ any) bool { return name == "fetched_at" }),
	}
	for _, t := range w.conn.DataTypes {
		if len(want[t]) == 0 {
			w.t.Errorf("the event has no %s: nothing is compared", t)
		}
	}
	if diff := cmp.Diff(want, got, moments...); diff != "" {
		w.t.Errorf("records (-embedded +AWS):\n%s", diff)
	}
	if diff := cmp.Diff(w.pictures(local.Steps.Objects), w.pictures(w.steps.Objects)); diff != "" {
		w.t.Errorf("pictures (-embedded +AWS):\n%s", diff)
	}
}

// left is how many messages a queue holds, hidden ones too.
func (w *world) left(output string) int {
	w.t.Helper()
	n, err := w.depth(output)
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// idle waits until the work queues are empty.
func (w *world) idle() {
	w.t.Helper()
	w.await("empty queues", func() bool { return w.left("TasksQueueUrl") == 0 && w.left("PhotosQueueUrl") == 0 })
}

func difference(a, b map[run.DataType]map[string]pipeline.Record) string {
	return cmp.Diff(a, b, cmpopts.EquateEmpty())
}
