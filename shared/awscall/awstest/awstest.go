// Package awstest opens what tests of the AWS adapters need: a stand-in for
// AWS with tables, queues and a bucket as template.yaml defines them, or a
// client whose answers the test gives.
package awstest

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

// Endpoint is the environment variable with the stand-in's address.
// .ci/moto/run.sh sets it; without it the tests that need it are skipped.
const Endpoint = "STOVASYNC_TEST_AWS_ENDPOINT"

// Config returns the configuration of clients for the stand-in, or skips the test.
func Config(t *testing.T) aws.Config {
	t.Helper()
	address := os.Getenv(Endpoint) //nolint:forbidigo // it switches tests on; the product's settings are config's
	if address == "" {
		t.Skipf("%s is not set; make test-aws sets it", Endpoint)
	}
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: &address,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDINVENTED", "invented", ""),
		// What config.LoadDefaultConfig sets, too.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
	}
}

// name returns a name nothing else has, so that tests may run at once.
func name(prefix string) string { return prefix + strings.ToLower(rand.Text()) }

// DynamoDB returns a client for the stand-in.
func DynamoDB(t *testing.T) *dynamodb.Client {
	t.Helper()
	return dynamodb.NewFromConfig(Config(t))
}

// Ledger makes a table Ledger and returns its name.
func Ledger(t *testing.T, client *dynamodb.Client) string {
	t.Helper()
	return table(t, client, ledger())
}

func ledger() *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{
		AttributeDefinitions: []ddb.AttributeDefinition{stringAttribute("pk"), stringAttribute("sk"), stringAttribute("failed")},
		KeySchema:            keys("pk", "sk"),
		GlobalSecondaryIndexes: []ddb.GlobalSecondaryIndex{{
			IndexName: new("failed"), KeySchema: keys("failed", "pk"),
			Projection: &ddb.Projection{ProjectionType: ddb.ProjectionTypeAll},
		}},
	}
}

// Records makes a table Records and returns its name.
func Records(t *testing.T, client *dynamodb.Client) string {
	t.Helper()
	return table(t, client, records())
}

func records() *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{
		AttributeDefinitions: []ddb.AttributeDefinition{stringAttribute("pk"), stringAttribute("fp_ext_id")},
		KeySchema:            keys("pk", "fp_ext_id"),
	}
}

func stringAttribute(name string) ddb.AttributeDefinition {
	return ddb.AttributeDefinition{AttributeName: &name, AttributeType: ddb.ScalarAttributeTypeS}
}

func keys(hash, sort string) []ddb.KeySchemaElement {
	return []ddb.KeySchemaElement{{AttributeName: &hash, KeyType: ddb.KeyTypeHash}, {AttributeName: &sort, KeyType: ddb.KeyTypeRange}}
}

func table(t *testing.T, client *dynamodb.Client, in *dynamodb.CreateTableInput) string {
	t.Helper()
	in.TableName, in.BillingMode = new(name("t")), ddb.BillingModePayPerRequest
	if _, err := client.CreateTable(t.Context(), in); err != nil {
		t.Fatalf("create table: %v", err)
	}
	t.Cleanup(func() {
		_, err := client.DeleteTable(context.WithoutCancel(t.Context()), &dynamodb.DeleteTableInput{TableName: in.TableName})
		if err != nil {
			t.Errorf("delete table: %v", err)
		}
	})
	return *in.TableName
}

// SQS returns a client for the stand-in.
func SQS(t *testing.T) *sqs.Client {
	t.Helper()
	return sqs.NewFromConfig(Config(t))
}

// Queue makes a queue and its dead-letter queue and returns their addresses. A
// message is given up after maxReceives.
func Queue(t *testing.T, client *sqs.Client, maxReceives string) (url, dead string) {
	t.Helper()
	base := name("q")
	dead, arn := queue(t, client, base+"-dead", nil)
	url, _ = queue(t, client, base, map[string]string{
		"VisibilityTimeout": "1800",
		"RedrivePolicy":     `{"deadLetterTargetArn":"` + arn + `","maxReceiveCount":"` + maxReceives + `"}`,
	})
	return url, dead
}

func queue(t *testing.T, client *sqs.Client, name string, attributes map[string]string) (url, arn string) {
	t.Helper()
	made, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err != nil {
		t.Fatalf("create queue: %v", err)
	}
	t.Cleanup(func() {
		_, err := client.DeleteQueue(context.WithoutCancel(t.Context()), &sqs.DeleteQueueInput{QueueUrl: made.QueueUrl})
		if err != nil {
			t.Errorf("delete queue: %v", err)
		}
	})
	got, err := client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: made.QueueUrl, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameQueueArn}})
	if err != nil {
		t.Fatalf("read queue: %v", err)
	}
	return *made.QueueUrl, got.Attributes["QueueArn"]
}

// S3 returns a client for the stand-in, which answers by path only.
func S3(t *testing.T) *s3.Client {
	t.Helper()
	return s3.NewFromConfig(Config(t), func(o *s3.Options) { o.UsePathStyle = true })
}

// Bucket makes a bucket and returns its name.
func Bucket(t *testing.T, client *s3.Client) string {
	t.Helper()
	bucket := name("b")
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
		t.Fatalf("create bucket: %v", err)
	}
	return bucket
}

// SSM returns a client for the stand-in, and a prefix that nothing else has.
func SSM(t *testing.T) (*ssm.Client, string) {
	t.Helper()
	return ssm.NewFromConfig(Config(t)), "/stovasync/" + name("s") + "/"
}
