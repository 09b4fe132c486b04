package awscall_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"stovasync/shared/awscall"
	"stovasync/shared/awscall/awstest"
	"stovasync/shared/fault"
)

func TestRefusalsThatPassAreRepeatedUntilTheyDo(t *testing.T) {
	t.Parallel()
	for _, code := range []string{
		"ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded", "TransactionConflictException",
		"TransactionInProgressException", "ReplicatedWriteConflictException", // DynamoDB
		"RequestThrottled", "OverLimit", "KmsThrottled", // SQS
		"SlowDown", "OperationAborted", "ConditionalRequestConflict", // S3
		"TooManyUpdates", // SSM
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				// More than the attempts that a failure without a name gets.
				s := awstest.InTurn(append(repeat(awstest.Fail(400, code), 9), awstest.Answer{Status: 200, Body: "{}"})...)
				if _, err := purge(t.Context(), s, nil); err != nil || len(s.Asked()) != 10 {
					t.Errorf("%d attempts and %v, want 10 and no error", len(s.Asked()), err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				_, err := purge(ctx, awstest.InTurn(awstest.Fail(400, code)), nil)
				if err == nil || !strings.HasSuffix(err.Error(), code+"; try again later") {
					t.Errorf("at the deadline: %v, want %s and to try again later", err, code)
				}
			})
		})
	}
}

func TestRefusalsThatNoWaitingMendsSayWhatDoes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ op, code, want string }{
		"an object that may not be written":        {"s3 PutObject", "AccessDenied", "allow s3:PutObject on the bucket, or use other credentials"},
		"a bucket that may not be listed":          {"s3 ListObjectsV2", "AccessDenied", "allow s3:ListBucket on the bucket, or use other credentials"},
		"objects that may not be deleted":          {"s3 DeleteObjects", "AccessDenied", "allow s3:DeleteObject on the bucket, or use other credentials"},
		"tasks that may not be sent":               {"sqs SendMessageBatch", "AccessDeniedException", "allow sqs:SendMessage on the queue, or use other credentials"},
		"a queue's key that may not be used":       {"sqs SendMessage", "KmsAccessDenied", "allow sqs:SendMessage on the queue, or use other credentials"},
		"items that may not be written":            {"dynamodb TransactWriteItems", "AccessDeniedException", "allow dynamodb:UpdateItem on the table, or use other credentials"},
		"a parameter, or its key, not to be read":  {"ssm GetParameter", "AccessDeniedException", "allow ssm:GetParameter on the parameter and kms:Decrypt on its key, or use other credentials"},
		"a service nobody has told the kind of":    {"other Call", "AccessDenied", "allow other:Call, or use other credentials"},
		"a bucket that is not there":               {"s3 GetObject", "NoSuchBucket", "check that the stack is deployed and its names are right"},
		"a key that is switched off":               {"ssm GetParameter", "InvalidKeyId", "check the key that encrypts: it is disabled, about to be deleted, or gone"},
		"a request that is wrong whenever it goes": {"dynamodb PutItem", "ValidationException", "see the settings of the stack; trying again will not help"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := "STORE_UNAVAILABLE: " + tt.op + ": " + tt.code + "; " + tt.want
			for how, err := range map[string]error{
				"entry": awscall.Refused(tt.op, tt.code),
				"call":  awscall.Error(tt.op, coded(tt.code)),
			} {
				if err.Error() != want || fault.CodeOf(err) != fault.StoreUnavailable || fault.IsPermanent(err) {
					t.Errorf("%s: %v, want %s, not permanent: rights take a while to spread", how, err, want)
				}
			}
		})
	}
}

// coded is a refusal whose text names no action.
type coded string

func (c coded) Error() string {
	return "api error " + string(c) + ": Access Denied for ada@example.test"
}
func (c coded) ErrorCode() string { return string(c) }
