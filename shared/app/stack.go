//go:build !lambda.norpc

// What operators do on a deployment, from their own machine. The functions
// are built without it, and without the two clients that only it needs.

package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"

	"stovasync/shared/awscall"
	settings "stovasync/shared/config"
	"stovasync/shared/erase"
	"stovasync/shared/fault"
	"stovasync/shared/secret"
)

// Stack is a deployment as an operator works with it: the adapters of the AWS
// family with the operator's own credentials, and the functions that start
// runs and re-run failures.
type Stack struct {
	*App
	d       settings.Deployment
	invoker *lambda.Client
	poll    time.Duration
	settled func(done, all int)

	versions erase.Versions // of the bucket's objects
}

// StackOptions change what OpenStack would choose. The zero value is good.
type StackOptions struct {
	Log *slog.Logger
	// Poll is how often the ledger is looked at while a run is followed; 0: 2 seconds.
	Poll time.Duration
	// Settled is told how many of the re-run failures have come to an end,
	// whenever that changes; nil: nobody is.
	Settled func(done, all int)
}

// OpenStack opens the deployment of a stack, which it finds through the
// stack's outputs. Region, profile and credentials are those of the AWS
// environment (AWS_PROFILE, AWS_REGION and what else the SDK reads). Errors
// are CONFIG_INVALID for what the operator has to set, STORE_UNAVAILABLE for
// what AWS refused; both say what to do.
func OpenStack(ctx context.Context, stack string, o StackOptions) (*Stack, error) {
	cfg, err := operatorConfig(ctx)
	if err != nil {
		return nil, err
	}
	found, err := describe(ctx, cfg, stack)
	if err != nil {
		return nil, err
	}
	d, err := settings.ParseOutputs(stack, found.outputs)
	if err != nil {
		return nil, unready(stack, found.status, err)
	}
	a := wireAWS(cfg, d.Resources)
	// Keys are put under the stack's own KMS key, which functions need not know.
	a.Secrets = secret.New(secret.Config{Client: ssm.NewFromConfig(cfg), Prefix: d.SecretPrefix, KMSKey: d.KMSKey})
	a.connector.secrets = a.Secrets
	// Also of the accounts' rate budget, which the functions lease from too.
	a.Steps.Now = clock(found.ahead)
	a.connector.now = a.Steps.Now
	a.Steps.Log = cmp.Or(o.Log, slog.Default())
	return &Stack{
		App: a, d: d, invoker: lambda.NewFromConfig(cfg), poll: cmp.Or(o.Poll, 2*time.Second), settled: o.Settled,
		versions: versionsOf(cfg, d.Resources),
	}, nil
}

// clock is this machine's, corrected by how much AWS's is ahead of it: a run
// is ordered among others by the time it is started at, and schedules go by
// AWS's clock.
func clock(ahead time.Duration) func() time.Time {
	// Answers tell whole seconds only, and are under way for a while.
	if ahead.Abs() < 3*time.Second {
		ahead = 0
	}
	return func() time.Time { return time.Now().Add(ahead) }
}

// credentialsTimeout bounds the search for credentials, which ends with asking
// the network whether this machine is one of Amazon's.
const credentialsTimeout = 15 * time.Second

// operatorConfig reads region and credentials from the AWS environment, and
// sees that there are any before a call fails for want of them.
func operatorConfig(ctx context.Context) (aws.Config, error) {
	// The SDK's own log is for its developers.
	cfg, err := config.LoadDefaultConfig(ctx, config.WithLogger(logging.Nop{}))
	if missing, ok := errors.AsType[config.SharedConfigProfileNotExistError](err); ok {
		return cfg, fault.Wrap(fault.ConfigInvalid, err, fmt.Sprintf("there is no AWS profile %q", missing.Profile), "see aws configure list-profiles; set AWS_PROFILE to one of them")
	}
	if err != nil {
		return cfg, fault.Wrap(fault.ConfigInvalid, err, "the AWS configuration cannot be read", "see aws configure list")
	}
	if cfg.Region == "" {
		return cfg, fault.New(fault.ConfigInvalid, "no AWS region is set", "set AWS_REGION to the region of the stack, or AWS_PROFILE to a profile that has one")
	}
	limited, cancel := context.WithTimeout(ctx, credentialsTimeout)
	defer cancel()
	if _, err := cfg.Credentials.Retrieve(limited); err != nil && ctx.Err() == nil {
		return cfg, noCredentials(err)
	}
	return cfg, ctx.Err()
}

func noCredentials(err error) error {
	if _, ok := errors.AsType[*ssocreds.InvalidTokenError](err); ok {
		return fault.Wrap(fault.StoreUnavailable, err, "the AWS login has expired", "run aws sso login, with the same AWS_PROFILE")
	}
	if _, ok := errors.AsType[smithy.APIError](err); ok {
		return awscall.Error("get AWS credentials", err)
	}
	return fault.Wrap(fault.ConfigInvalid, err, "no AWS credentials were found", "set AWS_PROFILE, run aws sso login or aws configure, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
}

// found is what CloudFormation says about a stack.
type found struct {
	outputs map[string]string
	status  types.StackStatus
	ahead   time.Duration // how much AWS's clock is ahead of ours
}

func describe(ctx context.Context, cfg aws.Config, stack string) (found, error) {
	client := cloudformation.NewFromConfig(cfg)
	out, err := client.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &stack})
	if err != nil {
		if refused, ok := errors.AsType[smithy.APIError](err); ok && refused.ErrorCode() == "ValidationError" && strings.Contains(refused.ErrorMessage(), "does not exist") {
			return found{}, noStack(ctx, client, cfg.Region, stack)
		}
		return found{}, fmt.Errorf("stack %s: %w", stack, awscall.Error("cloudformation DescribeStacks", err))
	}
	if len(out.Stacks) == 0 {
		return found{}, noStack(ctx, client, cfg.Region, stack)
	}
	f := found{outputs: outputsOf(out.Stacks[0]), status: out.Stacks[0].StackStatus}
	if at, ok := awsmiddleware.GetServerTime(out.ResultMetadata); ok {
		f.ahead = time.Until(at)
	}
	return f, nil
}

func outputsOf(s types.Stack) map[string]string {
	outputs := make(map[string]string, len(s.Outputs))
	for _, o := range s.Outputs {
		outputs[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
	}
	return outputs
}

// noStack names the stacks that could have been meant, as far as the
// credentials may list them.
func noStack(ctx context.Context, client *cloudformation.Client, region, stack string) error {
	msg := fmt.Sprintf("there is no stack %s in %s", stack, region)
	const otherwise = "check the name, AWS_REGION and AWS_PROFILE"
	var names []string
	pages := cloudformation.NewDescribeStacksPaginator(client, &cloudformation.DescribeStacksInput{})
	for n := 0; n < stackPages && pages.HasMorePages(); n++ {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fault.Wrap(fault.ConfigInvalid, err, msg, otherwise)
		}
		for _, s := range page.Stacks {
			if settings.IsDeployment(outputsOf(s)) {
				names = append(names, aws.ToString(s.StackName))
			}
		}
	}
	if len(names) == 0 {
		return fault.New(fault.ConfigInvalid, msg, "no other stack there is stovasync's either: "+otherwise)
	}
	slices.Sort(names)
	return fault.New(fault.ConfigInvalid, msg, "stovasync's there: "+strings.Join(names, ", "))
}

// stackPages bounds the search for other stacks: a page has a hundred.
const stackPages = 10

// unready explains missing outputs by the state of the stack: one that was
// never deployed to the end has none.
func unready(stack string, status types.StackStatus, err error) error {
	switch s := string(status); {
	case strings.HasPrefix(s, "CREATE_IN_PROGRESS"), strings.HasPrefix(s, "REVIEW_"), strings.HasPrefix(s, "IMPORT_IN_PROGRESS"):
		return fault.Wrap(fault.ConfigInvalid, err, fmt.Sprintf("stack %s is not deployed yet: it is %s", stack, s), "wait until sam deploy has ended")
	case strings.HasPrefix(s, "CREATE_FAILED"), strings.HasPrefix(s, "ROLLBACK_"), strings.HasPrefix(s, "DELETE_"):
		return fault.Wrap(fault.ConfigInvalid, err, fmt.Sprintf("stack %s is not deployed: it is %s", stack, s), "see its events, delete it and deploy it again")
	}
	return err
}
