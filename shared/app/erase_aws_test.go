package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"stovasync/shared/app"
	"stovasync/shared/awscall/awstest"
	"stovasync/shared/erase"
	"stovasync/shared/object"
	"stovasync/shared/pipeline"
	"stovasync/shared/queue"
	"stovasync/shared/run"
	"stovasync/shared/stova/stovatest"
)

// bucketed is what the functions have in the emulated cloud, with a bucket that keeps versions.
type bucketed struct {
	*testing.T
	w      *world // the twin
	app    *app.App
	queues *queue.SQS
	env    map[string]string
	conn   run.Connection
}

func newBucketed(t *testing.T) *bucketed {
	t.Helper()
	queues, env := deployment(t)
	if _, err := awstest.S3(t).PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
		Bucket: new(env["BUCKET"]), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	}); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, stovatest.Options{Seed: 41, Attendees: 14, Sessions: 6, Speakers: 2, Sponsors: 3, Levels: 2}, stovatest.ServerOptions{},
		"pageSize: 5\ndataTypes: [users, sessions, sponsors, sponsor-levels, schedule, user-photos]\n")
	a, err := app.New(t.Context(), func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	c := &bucketed{T: t, w: w, app: a, queues: queues, env: env, conn: w.connection()}
	if err := errors.Join(a.Steps.Ledger.PutConnection(t.Context(), c.conn, time.Now()), a.Secrets.Put(t.Context(), w.name, w.event.Key)); err != nil {
		t.Fatal(err)
	}
	return c
}

// sync runs to the end, in a second of its own: runs are ordered by them.
func (c *bucketed) sync(second int, mode run.Mode) {
	c.Helper()
	answer := fanout(c.T, c.app, fmt.Sprintf(`{"time": "2031-03-04T09:00:%02dZ", "mode": %q}`, second, mode))
	if len(answer.Started) != 1 {
		c.Fatalf("fan-out: %+v", answer)
	}
	poll(c.T, c.app, c.queues, answer.Started[0])
}

func (c *bucketed) store() erase.Store {
	c.Helper()
	items := c.app.Steps.Ledger.Items
	random := func(b []byte) (int, error) { return copy(b, strings.Repeat("k", len(b))), nil }
	return erase.Store{
		Items: items, Records: c.app.Steps.Records.(erase.Records), Objects: c.app.Steps.Objects, Secrets: c.app.Secrets.(erase.Secrets),
		Versions: object.NewVersions(object.Config{Client: awstest.S3(c.T), Bucket: c.env["BUCKET"]}), Now: time.Now, Random: random,
		Still: func(ctx context.Context, name string) (context.Context, func(), error) {
			q := erase.Quiet{Items: items, Limit: time.Minute, Poll: 50 * time.Millisecond, Now: time.Now}
			if err := q.Wait(ctx, name); err != nil {
				return nil, nil, err
			}
			return erase.Turn{Items: items, Poll: 50 * time.Millisecond, Now: time.Now, Random: random}.Take(ctx, name)
		},
	}
}

// scan looks for traces in both tables, in every version and every key of the
// bucket, and in what the queues hold.
func (c *bucketed) scan(x traces) (found []string) {
	c.Helper()
	look := func(place string, text []byte) {
		for _, what := range x.in(text) {
			found = append(found, what+" in "+place)
		}
	}
	for _, name := range []string{"LEDGER_TABLE", "RECORDS_TABLE"} {
		pages := dynamodb.NewScanPaginator(awstest.DynamoDB(c.T), &dynamodb.ScanInput{TableName: new(c.env[name])})
		for pages.HasMorePages() {
			out, err := pages.NextPage(c.Context())
			if err != nil {
				c.Fatal(err)
			}
			for _, item := range out.Items {
				doc, err := json.Marshal(item)
				if err != nil {
					c.Fatal(err)
				}
				look(name, doc)
			}
		}
	}
	versions := object.NewVersions(object.Config{Client: awstest.S3(c.T), Bucket: c.env["BUCKET"]})
	for v, err := range versions.List(c.Context(), "") {
		if err != nil {
			c.Fatal(err)
		}
		kind, _, _ := strings.Cut(v.Key, "/")
		if !v.Latest {
			kind = "old " + kind
		}
		look("the key of "+kind, []byte(v.Key))
		if v.Marker {
			continue
		}
		r, err := versions.Get(c.Context(), v)
		if err != nil {
			c.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			c.Fatal(err)
		}
		look(kind, text)
	}
	for _, q := range []run.Queue{run.TasksQueue, run.PhotosQueue} {
		messages, err := c.queues.Receive(c.Context(), q, 10, time.Second)
		if err != nil {
			c.Fatal(err)
		}
		for _, m := range messages {
			look("a message", []byte(m.Body))
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func TestAWSNothingIsLeftOfWhoWasErased(t *testing.T) {
	c := newBucketed(t)
	id := c.w.victim()
	x := c.w.distinct(id)
	c.w.sync(run.Full) // the embedded default's, to know the picture
	c.w.withPicture(x, id)
	c.sync(1, run.Full)
	// Another picture, and a row that keeps failing: old versions of much.
	c.w.faults("poison:id=" + id)
	c.sync(2, run.Full)
	c.w.twin.ClearFaults()
	c.w.twin.Edit(func(e *stovatest.Event) { e.NewPicture(e.Person(id).Photo); e.Touch(id) })
	c.sync(3, run.Full)
	before := c.scan(x)
	for _, place := range []string{"the id in plans", "the id in raw", "the id in reports", "the id in RECORDS_TABLE", "the picture in " + c.conn.EventID} {
		if !slices.Contains(before, place) {
			t.Errorf("before the erasure the scan does not find %s: %q", place, before)
		}
	}

	r, err := erase.Person(t.Context(), c.store(), c.conn, id)
	if err != nil {
		t.Fatal(err)
	}
	if r.Removed["users"] != 1 || r.Removed[erase.Pictures] == 0 || r.Removed[erase.OldVersions] == 0 {
		t.Errorf("the receipt: %+v", r)
	}
	none := func(when string) {
		t.Helper()
		if found := c.scan(x); len(found) > 0 {
			t.Errorf("%s there is still %q", when, found)
		}
	}
	none("after the erasure")
	c.sync(4, run.Full)
	none("after a full run")
	c.w.twin.Edit(func(e *stovatest.Event) { e.Person(id).JobTitle = "Edited"; e.Touch(id) })
	c.sync(5, run.Incremental)
	none("after an incremental run with the person edited")
	c.w.twin.Edit(func(e *stovatest.Event) { e.Person(id).Category = "Sponsor"; e.Touch(id) })
	c.sync(6, run.Full)
	none("after a full run with the person moved to the sponsors")

	if _, err := erase.Lift(t.Context(), c.store(), c.conn, id); err != nil {
		t.Fatal(err)
	}
	c.sync(7, run.Incremental)
	back, err := c.app.Steps.Records.Get(t.Context(), c.conn.Name, run.Sponsors, []string{id})
	if err != nil || len(back) != 1 {
		t.Errorf("after --undo the person is not back: %v", err)
	}
	for it, err := range c.app.Steps.Ledger.Items.Query(t.Context(), pipeline.Query{PK: pipeline.ConnectionPK(c.conn.Name), Prefix: pipeline.BusyPrefix}) {
		t.Errorf("a task has not taken back its word: %s %v", it.SK, err)
	}
}
