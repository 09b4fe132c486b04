package app

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	settings "stovasync/shared/config"
	"stovasync/shared/cost"
	"stovasync/shared/fault"
	"stovasync/shared/object"
	"stovasync/shared/pipeline"
	"stovasync/shared/queue"
	"stovasync/shared/run"
	"stovasync/shared/secret"
	"stovasync/shared/store"
)

// awsConcurrency is how many calls to the vendor a function has under way:
// several functions run at once, and the account's budget is for all of them.
const awsConcurrency = 4

// New wires the AWS family from a function's environment. Clients are made
// here, once, and live as long as the process, as is the time zone database
// that lies beside a function's program.
func New(_ context.Context, lookup func(string) (string, bool)) (*App, error) {
	began := time.Now()
	if err := ownZones(); err != nil {
		return nil, err
	}
	env, err := settings.Load(lookup)
	if err != nil {
		return nil, err
	}
	if env.Resources == nil {
		return nil, fault.New(fault.ConfigInvalid, "the environment names no deployment", "set the variables that template.yaml gives its functions")
	}
	cfg, err := functionConfig(lookup)
	if err != nil {
		return nil, err
	}
	w, err := newWatch(env.Resources.Stack, lookup, os.Stdout)
	if err != nil {
		return nil, err
	}
	a := watchedAWS(cfg, *env.Resources, w)
	w.took(time.Since(began)) // the initialisation is billed too
	return a, nil
}

// wireAWS makes the adapters of a deployment from whatever configuration its
// caller has: the functions' own, or that of an operator.
func wireAWS(cfg aws.Config, r settings.Resources) *App { return watchedAWS(cfg, r, nil) }

func watchedAWS(cfg aws.Config, r settings.Resources, w *watch) *App {
	db := dynamodb.NewFromConfig(cfg)
	queues := queue.NewSQS(queue.SQSConfig{
		Client: sqs.NewFromConfig(cfg),
		URLs:   map[run.Queue]string{run.TasksQueue: r.TasksQueueURL, run.PhotosQueue: r.PhotosQueueURL},
		Dead:   map[run.Queue]string{run.TasksQueue: r.TasksDLQURL, run.PhotosQueue: r.PhotosDLQURL},
		Meter:  w.meter(cost.SQS),
	})
	// A loopback end point has no wildcard names for buckets.
	objects := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = o.BaseEndpoint != nil })
	secrets := secret.New(secret.Config{Client: ssm.NewFromConfig(cfg), Prefix: r.SecretPrefix, Meter: w.meter(cost.SSM)})
	tables := w.meter(cost.DynamoDB)
	ledger := pipeline.Ledger{Items: store.NewItems(store.ItemsConfig{Client: db, Table: r.LedgerTable, Meter: tables})}
	if w != nil {
		w.ledger = ledger
	}
	c := newConnector(secrets, ledger, awsConcurrency, nil)
	c.tempDir = os.TempDir()
	a := &App{Secrets: secrets, connector: c, scale: 1, maxReceives: r.MaxReceives, visibility: queues, watch: w}
	a.Steps = &pipeline.Steps{
		Ledger:  ledger,
		Records: store.NewRecords(store.RecordsConfig{Client: db, Table: r.RecordsTable, Meter: tables}),
		Objects: object.New(object.Config{Client: objects, Bucket: r.Bucket, Meter: w.meter(cost.S3)}),
		Tasks:   queues, Dead: queues, Connector: c, Secrets: secrets, Announce: true,
		Log: slog.Default(), Fetches: awsConcurrency, Visibility: r.Visibility,
	}
	return a
}
