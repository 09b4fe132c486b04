package emulator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"stovasync/shared/template"
)

// Options say what to deploy, and how it differs from a stack that runs for real.
type Options struct {
	// Name is the stack's name; it must be new to the stand-in.
	Name string
	// Template is template.yaml as CloudFormation gets it.
	Template *template.Template
	// Parameters are those that differ from their defaults.
	Parameters map[string]string
	// Upstream is the address of the stand-in for AWS.
	Upstream string
	// Program returns the path of the bootstrap of a function, by its logical id.
	Program func(function string) (string, error)
	// Patience is MappingConfig.Patience, and how long an event that was
	// invoked asynchronously waits for its next try. 0: as long as on AWS.
	Patience time.Duration
	// Change, when set, changes a function before it exists.
	Change func(logicalID string, c *FunctionConfig)
	// Twice has the logical ids of the mappings whose MappingConfig.Twice is set.
	Twice []string
	// TempDir is where the processes put temporary files.
	TempDir string
}

// Stack is a deployment of the template: resources in the stand-in, and the
// functions, mappings and schedules around them. Its methods may be called at once.
type Stack struct {
	Name string
	// Endpoint is the address of every service: Lambda's Invoke is answered
	// here, everything else passes the gateway.
	Endpoint string
	Gateway  *Gateway

	resolved  resolved
	functions map[string]*Function // by logical id
	mappings  map[string]*Mapping
	lambda    *Lambda
	operator  aws.Config

	cancel context.CancelFunc
	server *http.Server
	wg     sync.WaitGroup
	mu     sync.Mutex
	errs   error
}

// region is where stacks are; any does.
const region = "eu-central-1"

// Deploy makes the resources of the template and starts its mappings. Close
// ends what it started; the resources stay with the stand-in.
func Deploy(ctx context.Context, o Options) (*Stack, error) {
	upstream, err := url.Parse(o.Upstream)
	if err != nil {
		return nil, fmt.Errorf("address of the stand-in: %w", err)
	}
	made, err := create(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("create stack %s: %w", o.Name, err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	endpoint := "http://" + listener.Addr().String()
	s := &Stack{
		Name: o.Name, Endpoint: endpoint, resolved: made, cancel: cancel, functions: map[string]*Function{}, mappings: map[string]*Mapping{},
		operator: configOf(endpoint, operatorKey),
	}
	s.Gateway = newGateway(upstream, names{made.stack.Partition, made.stack.Region, made.stack.Account}, made.permits)
	err = s.makeFunctions(o)
	s.makeLambda(ctx, o)
	mux := http.NewServeMux()
	mux.Handle("POST "+invokePath, s.lambda)
	mux.Handle("/", s.Gateway)
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	s.wg.Go(func() { _ = s.server.Serve(listener) }) // it ends with Close
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.startMappings(ctx, o)
	return s, nil
}

// operatorKey is the access key of whoever is no function.
const operatorKey = "AKIDOPERATOR"

// configOf is the configuration of clients that call with an access key.
func configOf(endpoint, key string) aws.Config {
	return aws.Config{
		Region: region, BaseEndpoint: &endpoint, Credentials: credentials.NewStaticCredentialsProvider(key, "invented", ""),
		// What config.LoadDefaultConfig sets, too.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
	}
}

// Config is the configuration of an operator's clients.
func (s *Stack) Config() aws.Config { return s.operator }

// Outputs are the stack's outputs.
func (s *Stack) Outputs() map[string]string { return maps.Clone(s.resolved.stack.Outputs) }

// Function returns a function by its logical id, such as WorkerFunction; nil
// when there is none.
func (s *Stack) Function(logicalID string) *Function { return s.functions[logicalID] }

// Functions returns all functions, by logical id.
func (s *Stack) Functions() map[string]*Function { return maps.Clone(s.functions) }

// Mapping returns an event source mapping by its logical id; nil when there is none.
func (s *Stack) Mapping(logicalID string) *Mapping { return s.mappings[logicalID] }

func (s *Stack) makeFunctions(o Options) error {
	for id, f := range s.resolved.functions {
		program, err := o.Program(id)
		if err != nil {
			return err
		}
		key := "AKIDFUNCTION" + strings.ToUpper(strings.TrimSuffix(id, "Function"))
		c := FunctionConfig{
			Name: f.name, ARN: s.resolved.stack.ARN(id), Program: program,
			Timeout: time.Duration(f.Timeout) * time.Second, Env: maps.Clone(f.Environment),
		}
		if f.logging.LogFormat == "JSON" {
			c.LogLevel = f.logging.ApplicationLogLevel
		}
		maps.Copy(c.Env, s.reserved(f, key))
		c.Env["TMPDIR"] = o.TempDir
		if o.Change != nil {
			o.Change(id, &c)
		}
		s.Gateway.principals[key] = id
		s.functions[id] = NewFunction(c)
	}
	return nil
}

// reserved are the variables that Lambda itself sets (configuration-envvars),
// and where the services are.
func (s *Stack) reserved(f function, key string) map[string]string {
	return map[string]string{
		"AWS_LAMBDA_FUNCTION_NAME": f.name, "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(f.MemorySize), "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME": f.logging.LogGroup, "AWS_LAMBDA_LOG_STREAM_NAME": "emulator",
		"AWS_LAMBDA_LOG_FORMAT": f.logging.LogFormat, "AWS_LAMBDA_LOG_LEVEL": f.logging.ApplicationLogLevel,
		"AWS_REGION": region, "AWS_DEFAULT_REGION": region, "AWS_ENDPOINT_URL": s.Endpoint,
		"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": "invented", "AWS_SESSION_TOKEN": "invented",
		"_HANDLER": f.handler, "LAMBDA_TASK_ROOT": "/var/task", "LAMBDA_RUNTIME_DIR": "/var/runtime",
		"TZ": ":UTC", "LANG": "en_US.UTF-8", "PATH": "/usr/local/bin:/usr/bin/:/bin:/opt/bin",
	}
}

// client returns a configuration with the rights of a function's role.
func (s *Stack) client(function string) aws.Config {
	return configOf(s.Endpoint, s.functions[function].cfg.Env["AWS_ACCESS_KEY_ID"])
}

func (s *Stack) makeLambda(ctx context.Context, o Options) {
	byName, async := map[string]*Function{}, map[string]Async{}
	for id, f := range s.functions {
		byName[f.Name()] = f
		c := s.resolved.asyncs[id]
		// Lambda tries twice more where nothing is said, after one and two minutes.
		a := Async{Retries: 2, RetryWait: cmp.Or(o.Patience, time.Minute)}
		if c.MaximumRetryAttempts != nil {
			a.Retries = *c.MaximumRetryAttempts
		}
		if to := c.DestinationConfig.OnFailure.Destination; to != "" {
			client := sqs.NewFromConfig(s.client(id))
			a.OnFailure = func(ctx context.Context, record []byte) error {
				_, err := client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: new(s.resolved.queueURL(to)), MessageBody: new(string(record))})
				return err
			}
		}
		async[f.Name()] = a
	}
	s.lambda = newLambda(ctx, byName, async)
}

func (s *Stack) startMappings(ctx context.Context, o Options) {
	operator := sqs.NewFromConfig(s.operator)
	for id, c := range s.resolved.mappings {
		function := s.resolved.stack.Logical(c.FunctionName)
		m := NewMapping(MappingConfig{
			Function: s.functions[function], Client: sqs.NewFromConfig(s.client(function)), Operator: operator,
			QueueURL: s.resolved.queueURL(c.EventSourceArn), QueueARN: c.EventSourceArn, Region: region,
			// Lambda's defaults; a mapping without a maximum starts at five.
			BatchSize: cmp.Or(c.BatchSize, 10), Concurrency: cmp.Or(c.ScalingConfig.MaximumConcurrency, 5),
			Partial:  slices.Contains(c.FunctionResponseTypes, "ReportBatchItemFailures"),
			Patience: o.Patience, Visibility: s.Gateway.Visibility, Twice: slices.Contains(o.Twice, id),
			Wake: s.Gateway.sent(afterLast(c.EventSourceArn, ":")), Failed: s.note,
		})
		s.mappings[id] = m
		s.wg.Go(func() { m.Run(ctx) })
	}
}

// Fire does a schedule's work: it invokes the target asynchronously with the
// schedule's input, as the scheduler's role permits.
func (s *Stack) Fire(logicalID string, scheduled time.Time) error {
	c, ok := s.resolved.schedules[logicalID]
	if !ok {
		return fmt.Errorf("the template has no schedule %s", logicalID)
	}
	if !s.resolved.roleMay(s.resolved.stack.Logical(c.Target.RoleArn), Access{"lambda:InvokeFunction", c.Target.Arn}) {
		return fmt.Errorf("the role of %s may not invoke its target", logicalID)
	}
	input := strings.ReplaceAll(c.Target.Input, "<aws.scheduler.scheduled-time>", scheduled.UTC().Format(time.RFC3339))
	s.lambda.Event(s.functions[s.resolved.stack.Logical(c.Target.Arn)], []byte(input))
	return nil
}

// Settled waits for what was invoked asynchronously.
func (s *Stack) Settled() error { return s.lambda.Wait() }

func (s *Stack) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errs = errors.Join(s.errs, err)
}

// Err is what failed in the emulator itself so far.
func (s *Stack) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.errs
}

// Close ends mappings, processes and the end point, and returns what failed in
// the emulator itself.
func (s *Stack) Close() error {
	s.cancel()
	err := s.lambda.Wait()
	_ = s.server.Close()
	s.wg.Wait()
	for _, f := range s.functions {
		f.Close()
	}
	return errors.Join(err, s.Err())
}
