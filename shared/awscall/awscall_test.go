package awscall_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"stovasync/shared/awscall"
	"stovasync/shared/awscall/awstest"
	"stovasync/shared/fault"
)

// purge makes one call under a policy and returns its error.
func purge(ctx context.Context, s *awstest.Script, again func(error) bool) (*awscall.Call, error) {
	client := sqs.NewFromConfig(s.Config())
	call := awscall.Policy{}.Call(again)
	_, err := client.PurgeQueue(ctx, &sqs.PurgeQueueInput{QueueUrl: new("http://aws.example.test/1/q")}, func(o *sqs.Options) { o.Retryer = call })
	if err != nil {
		err = call.Error("sqs PurgeQueue", err)
	}
	return call, err
}

func TestCallIsTriedAgainAsItsErrorsDeserve(t *testing.T) {
	t.Parallel()
	ok := awstest.Answer{Status: 200, Body: "{}"}
	throttled, broken := awstest.Fail(400, "ThrottlingException"), awstest.Answer{}
	tests := map[string]struct {
		answers  []awstest.Answer
		again    func(error) bool
		attempts int
		unclear  bool
		want     string // part of the error; "" for none
	}{
		"a success is not repeated":                {answers: []awstest.Answer{ok}, attempts: 1},
		"throttling is repeated until it passes":   {answers: append(repeat(throttled, 40), ok), attempts: 41},
		"a conflict is repeated until it passes":   {answers: append(repeat(awstest.Fail(400, "TransactionConflictException"), 12), ok), attempts: 13},
		"a broken connection is repeated":          {answers: []awstest.Answer{broken, broken, ok}, attempts: 3, unclear: true},
		"a broken connection is given up":          {answers: []awstest.Answer{broken}, attempts: 5, unclear: true, want: "sqs PurgeQueue: no answer"},
		"a server's error is given up":             {answers: []awstest.Answer{awstest.Fail(500, "InternalServerError")}, attempts: 5, unclear: true, want: "InternalServerError"},
		"throttling between errors is not counted": {answers: []awstest.Answer{broken, throttled, throttled, throttled, broken, throttled, ok}, attempts: 7, unclear: true},
		"a refusal for good is not repeated":       {answers: []awstest.Answer{awstest.Fail(400, "ValidationException")}, attempts: 1, want: "ValidationException"},
		"a refusal that the caller knows to pass is repeated": {
			answers:  []awstest.Answer{awstest.Fail(400, "Odd"), ok},
			again:    func(err error) bool { return strings.Contains(err.Error(), "Odd") },
			attempts: 2,
		},
		"missing permission says what to check": {answers: []awstest.Answer{awstest.Fail(400, "AccessDeniedException")}, attempts: 1, want: "allow sqs:PurgeQueue on the queue"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := awstest.InTurn(tt.answers...)
				call, err := purge(t.Context(), s, tt.again)
				if n := len(s.Asked()); n != tt.attempts {
					t.Errorf("%d attempts, want %d", n, tt.attempts)
				}
				if call.Unclear() != tt.unclear {
					t.Errorf("Unclear = %v, want %v", call.Unclear(), tt.unclear)
				}
				switch {
				case tt.want == "" && err != nil:
					t.Errorf("error = %v, want none", err)
				case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
					t.Errorf("error = %v, want one with %q", err, tt.want)
				case tt.want != "" && fault.CodeOf(err) != fault.StoreUnavailable:
					t.Errorf("code = %q, want STORE_UNAVAILABLE", fault.CodeOf(err))
				}
			})
		})
	}
}

func repeat(a awstest.Answer, n int) []awstest.Answer {
	var out []awstest.Answer
	for range n {
		out = append(out, a)
	}
	return out
}

func TestCallEndsWithItsContextAndStillTellsWhatItMet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		_, err := purge(ctx, awstest.InTurn(awstest.Fail(400, "ThrottlingException")), nil)
		if spent := time.Since(start); spent != time.Minute {
			t.Errorf("gave up after %s, want at the deadline", spent)
		}
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "ThrottlingException") {
			t.Errorf("error = %v, want the deadline and the code", err)
		}
	})
}

func TestErrorKeepsTheServicesTextToItself(t *testing.T) {
	t.Parallel()
	s := awstest.InTurn(awstest.Answer{Status: 400, Body: `{"__type":"ValidationException","message":"bad value: ada@example.test"}`})
	_, err := purge(t.Context(), s, nil)
	if err == nil || strings.Contains(err.Error(), "ada@") || strings.Contains(err.Error(), "aws.example.test") {
		t.Errorf("error = %v, want one without values and addresses", err)
	}
}

func TestErrorSaysWhatToDo(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ code, text, want string }{
		"an action that is not permitted is named": {
			"AccessDeniedException", "User: arn:aws:iam::123456789012:user/ada is not authorized to perform: sqs:PurgeQueue on resource: arn:aws:sqs:eu-central-1:123456789012:q because no identity-based policy allows it",
			"STORE_UNAVAILABLE: sqs PurgeQueue: AccessDeniedException; allow sqs:PurgeQueue on the queue, or use other credentials",
		},
		"expired credentials ask for a login": {"ExpiredTokenException", "invented", "STORE_UNAVAILABLE: sqs PurgeQueue: ExpiredTokenException; the credentials have expired: log in again"},
		"a wrong clock is thought of":         {"SignatureDoesNotMatch", "invented", "STORE_UNAVAILABLE: sqs PurgeQueue: SignatureDoesNotMatch; check the secret key and this machine's clock"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := awstest.InTurn(awstest.Answer{Status: 400, Body: `{"__type":"com.amazonaws#` + tt.code + `","message":"` + tt.text + `"}`})
			_, err := purge(t.Context(), s, nil)
			if err == nil || err.Error() != tt.want {
				t.Errorf("error = %v, want %s", err, tt.want)
			}
		})
	}
}

func TestDelayIsRandomWithinADoublingBound(t *testing.T) {
	t.Parallel()
	for attempt, ms := range map[int]int{1: 50, 2: 100, 3: 200, 7: 3200, 8: 5000, 100: 5000} {
		bound := time.Duration(ms) * time.Millisecond
		full := awscall.Policy{Rand: func() float64 { return 1 }}
		if got := full.Delay(attempt); got != bound {
			t.Errorf("longest delay after attempt %d = %s, want %s", attempt, got, bound)
		}
		none := awscall.Policy{Rand: func() float64 { return 0 }}
		if got := none.Delay(attempt); got != 0 {
			t.Errorf("shortest delay after attempt %d = %s, want 0", attempt, got)
		}
	}
}
