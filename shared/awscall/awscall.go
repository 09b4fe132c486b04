// Package awscall holds what every call to AWS has in common: how long it is
// tried again, and what of its error may be said.
//
// The SDK gives up after three attempts, shares one quota among all calls of a
// client and never repeats a cancelled transaction. A worker has minutes, and
// a task that fails for a throttled write is fetched anew from the vendor. So
// refusals that pass (throttling, conflicts) are tried again until the
// caller's context ends, with full jitter; failures that may not pass (no
// answer, 5xx) a few times.
package awscall

import (
	"cmp"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"

	"stovasync/shared/fault"
)

// Policy says how calls are tried again. The zero value is what ships.
type Policy struct {
	// Base is the longest wait before the second attempt; it doubles with each
	// attempt up to Cap. Defaults 50 ms and 5 s.
	Base, Cap time.Duration
	// Attempts bounds the attempts that end without an answer or with a 5xx.
	// Default 5.
	Attempts int
	Rand     func() float64 // in [0,1); default math/rand/v2
}

// passing are the error codes of refusals that pass by themselves: nothing was
// done, and the same call may succeed in a moment. They add to the SDK's list
// of throttling codes.
func passing() []string {
	return []string{
		"TransactionConflictException", "ReplicatedWriteConflictException", // DynamoDB
		"ConditionalRequestConflict", "OperationAborted", // S3
		"TooManyUpdates",            // SSM
		"OverLimit", "KmsThrottled", // SQS
	}
}

// Delay is the wait before attempt+1, counting from 1: anything between
// nothing and the bound, so that calls that failed together do not come back
// together.
func (p Policy) Delay(attempt int) time.Duration {
	base, limit := p.Base, p.Cap
	if base <= 0 {
		base = 50 * time.Millisecond
	}
	if limit <= 0 {
		limit = 5 * time.Second
	}
	random := p.Rand
	if random == nil {
		random = rand.Float64
	}
	bound := min(float64(base)*math.Pow(2, float64(attempt-1)), float64(limit))
	return time.Duration(random() * bound)
}

// Wait waits as long as Delay says, or until ctx ends, whose error it returns.
func (p Policy) Wait(ctx context.Context, attempt int) error {
	timer := time.NewTimer(p.Delay(attempt))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Meter is told what requests use: the operation, such as "PutObject", and how
// much of what AWS bills for it: requests, or capacity units. Many goroutines
// may call it at once.
type Meter func(operation string, units float64)

// Call is the Retryer of one call. It is not for use by two calls.
type Call struct {
	policy  Policy
	again   func(error) bool
	count   func()
	failed  int  // attempts that may be repeated only so often
	unclear bool // an attempt ended without telling what it did
	last    error
}

// Call starts one call. again, which may be nil, names further errors that
// pass by themselves.
func (p Policy) Call(again func(error) bool) *Call { return &Call{policy: p, again: again} }

// Count tells m, which may be nil, the units of each attempt of the call: AWS
// bills for requests, whatever becomes of them.
func (c *Call) Count(m Meter, operation string, units float64) *Call {
	if m != nil {
		c.count = func() { m(operation, units) }
	}
	return c
}

// Unclear reports whether an attempt ended without telling whether it did its
// work: the answer of a later attempt may then be about our own deed.
func (c *Call) Unclear() bool { return c.unclear }

// IsErrorRetryable implements aws.Retryer. The SDK asks it once per failed attempt.
func (c *Call) IsErrorRetryable(err error) bool {
	c.last = err
	if Passes(codeOf(err)) || c.again != nil && c.again(err) {
		return true
	}
	c.unclear = c.unclear || !answered(err)
	c.failed++
	attempts := c.policy.Attempts
	if attempts <= 0 {
		attempts = 5
	}
	return c.failed < attempts && retry.IsErrorRetryables(retry.DefaultRetryables).IsErrorRetryable(err).Bool()
}

// Passes reports whether an error code is of a refusal that passes by itself.
func Passes(code string) bool {
	_, throttled := retry.DefaultThrottleErrorCodes[code]
	return throttled || slices.Contains(passing(), code)
}

// answered reports whether err is the service's refusal: it says for certain
// that nothing was done.
func answered(err error) bool {
	type status interface {
		error
		HTTPStatusCode() int
	}
	e, ok := errors.AsType[status](err)
	return ok && e.HTTPStatusCode() >= 400 && e.HTTPStatusCode() < 500 && codeOf(err) != "RequestTimeout"
}

// MaxAttempts implements aws.Retryer; IsErrorRetryable counts instead.
func (*Call) MaxAttempts() int { return math.MaxInt }

// RetryDelay implements aws.Retryer.
func (c *Call) RetryDelay(attempt int, _ error) (time.Duration, error) {
	return c.policy.Delay(attempt), nil
}

func free(error) error { return nil }

// GetRetryToken implements aws.Retryer: attempts cost nothing but time.
func (*Call) GetRetryToken(context.Context, error) (func(error) error, error) { return free, nil }

// GetInitialToken implements aws.Retryer.
func (*Call) GetInitialToken() func(error) error { return free }

// GetAttemptToken implements aws.RetryerV2. The SDK asks for one before each attempt.
func (c *Call) GetAttemptToken(context.Context) (func(error) error, error) {
	if c.count != nil {
		c.count()
	}
	return free, nil
}

var _ aws.RetryerV2 = (*Call)(nil)

// Error is Error with what the last attempt met, which a context that ended
// between two attempts would hide.
func (c *Call) Error(op string, err error) error {
	if codeOf(err) == "" && c.last != nil && codeOf(c.last) != "" {
		return Error(op, errors.Join(c.last, err))
	}
	return Error(op, err)
}

// Error turns what a call returned into the project's error: the operation,
// such as "dynamodb PutItem", and the service's code. The service's own text
// may quote values and addresses, so it is kept for errors.As only; the one
// thing that is taken from it is the name of an action that is not permitted.
//
// The next step tells the kinds apart: of what passes it is to try again later,
// of a missing right to allow an action on a kind of resource.
func Error(op string, err error) error {
	reason := codeOf(err)
	switch {
	case reason != "":
		return fault.Wrap(fault.StoreUnavailable, err, op+": "+reason, nextStep(op, reason, err.Error()))
	case errors.Is(err, context.Canceled):
		return fault.Wrap(fault.StoreUnavailable, err, op+": interrupted", later)
	case errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(fault.StoreUnavailable, err, op+": no time left", later)
	default:
		return fault.Wrap(fault.StoreUnavailable, err, op+": no answer", "check the region, the credentials and the network")
	}
}

// Refused is Error for one entry of a batch, which the service refused with a
// code while the call itself went well.
func Refused(op, code string) error {
	return fault.New(fault.StoreUnavailable, op+": "+code, nextStep(op, code, ""))
}

const later = "try again later"

// nextStep says what to do about a code of AWS; text is the service's own.
func nextStep(op, code, text string) string {
	if m := forbidden().FindStringSubmatch(text); m != nil {
		return "allow " + m[1] + resourceOf(m[1]) + ", or use other credentials"
	}
	if slices.Contains([]string{"AccessDenied", "AccessDeniedException", "KmsAccessDenied"}, code) {
		return "allow " + actionsOf(op) + ", or use other credentials"
	}
	if next := advice()[code]; next != "" {
		return next
	}
	return later
}

// advice says what to do about codes of AWS that no waiting mends.
func advice() map[string]string {
	const (
		rights  = "check the credentials and what they permit"
		expired = "the credentials have expired: log in again"
		missing = "check that the stack is deployed and its names are right"
		clock   = "check the secret key and this machine's clock"
		key     = "check the key that encrypts: it is disabled, about to be deleted, or gone"
		invalid = "see the settings of the stack; trying again will not help"
	)
	return map[string]string{
		"UnrecognizedClientException": rights, "InvalidClientTokenId": rights, "InvalidAccessKeyId": rights,
		"ExpiredToken": expired, "ExpiredTokenException": expired, "RequestExpired": expired,
		"InvalidSignatureException": clock, "SignatureDoesNotMatch": clock,
		"ResourceNotFoundException": missing, "NoSuchBucket": missing, "QueueDoesNotExist": missing,
		"AWS.SimpleQueueService.NonExistentQueue": missing,
		"InvalidKeyId": key, "KmsDisabled": key, "KmsInvalidState": key, "KmsNotFound": key,
		"KMS.DisabledException": key, "KMS.NotFoundException": key, "KMS.KMSInvalidStateException": key,
		"ValidationException": invalid, "InvalidMessageContents": invalid,
	}
}

// forbidden finds the action in the text of a refusal: `User: … is not
// authorized to perform: dynamodb:GetItem on resource: …`.
func forbidden() *regexp.Regexp {
	return regexp.MustCompile(`not authorized to perform: ([a-z0-9-]+:[A-Za-z]+)`)
}

// actionsOf returns the actions that an operation needs, for services that
// refuse without naming one. Most are called as their operation.
func actionsOf(op string) string {
	service, operation, _ := strings.Cut(op, " ")
	special := map[string]string{
		"s3 ListObjectsV2": "ListBucket", "s3 DeleteObjects": "DeleteObject",
		"sqs SendMessageBatch": "SendMessage", "sqs ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
		"dynamodb TransactWriteItems": "UpdateItem",
	}
	action := service + ":" + cmp.Or(special[op], operation)
	action += resourceOf(action)
	if op == "ssm GetParameter" {
		// The key's refusal comes under the same code, and without a name.
		action += " and kms:Decrypt on its key"
	}
	return action
}

// resourceOf says on what kind of resource an action works.
func resourceOf(action string) string {
	service, _, _ := strings.Cut(action, ":")
	kind := map[string]string{
		"s3": "bucket", "sqs": "queue", "dynamodb": "table", "ssm": "parameter", "kms": "key", "lambda": "function", "cloudformation": "stack",
	}[service]
	if kind == "" {
		return ""
	}
	return " on the " + kind
}

func codeOf(err error) string {
	type coded interface {
		error
		ErrorCode() string
	}
	if e, ok := errors.AsType[coded](err); ok {
		return e.ErrorCode()
	}
	return ""
}
