package app

import (
	"maps"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/google/go-cmp/cmp"

	"stovasync/shared/fault"
)

// runtimeEnv is what the Lambda runtime sets, with changes on top; "" unsets.
func runtimeEnv(changes map[string]string) func(string) (string, bool) {
	env := map[string]string{
		"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "AKIDINVENTED", "AWS_SECRET_ACCESS_KEY": "invented", "AWS_SESSION_TOKEN": "token",
	}
	maps.Copy(env, changes)
	return func(name string) (string, bool) { v := env[name]; return v, v != "" }
}

func TestFunctionConfigSignsAsTheRuntimeSays(t *testing.T) {
	t.Parallel()
	cfg, err := functionConfig(runtimeEnv(nil))
	if err != nil {
		t.Fatal(err)
	}
	creds, err := cfg.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := []string{cfg.Region, creds.AccessKeyID, creds.SecretAccessKey, creds.SessionToken}
	if diff := cmp.Diff([]string{"eu-central-1", "AKIDINVENTED", "invented", "token"}, got); diff != "" {
		t.Errorf("region and credentials (-want +got):\n%s", diff)
	}
}

func TestFunctionConfigFindsEachServiceWhereTheEnvironmentSays(t *testing.T) {
	t.Parallel()
	const all, one = "http://all.example.test", "http://one.example.test"
	tests := map[string]struct {
		env  map[string]string
		want []string // of DynamoDB, SQS, S3 and SSM
	}{
		"the region's own addresses by default": {nil, []string{"", "", "", ""}},
		"one address for all":                   {map[string]string{"AWS_ENDPOINT_URL": all}, []string{all, all, all, all}},
		"an address of one service goes before": {
			map[string]string{"AWS_ENDPOINT_URL": all, "AWS_ENDPOINT_URL_S3": one}, []string{all, all, one, all},
		},
		"an address of one service alone": {map[string]string{"AWS_ENDPOINT_URL_DYNAMODB": one}, []string{one, "", "", ""}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, err := functionConfig(runtimeEnv(tt.env))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, address := range []*string{
				dynamodb.NewFromConfig(cfg).Options().BaseEndpoint, sqs.NewFromConfig(cfg).Options().BaseEndpoint,
				s3.NewFromConfig(cfg).Options().BaseEndpoint, ssm.NewFromConfig(cfg).Options().BaseEndpoint,
			} {
				got = append(got, aws.ToString(address))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("addresses (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFunctionConfigSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	for missing, want := range map[string]string{
		"AWS_REGION": "AWS_REGION", "AWS_ACCESS_KEY_ID": "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY": "AWS_SECRET_ACCESS_KEY",
	} {
		_, err := functionConfig(runtimeEnv(map[string]string{missing: ""}))
		if fault.CodeOf(err) != fault.ConfigInvalid || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "AKID") {
			t.Errorf("without %s: %v, want CONFIG_INVALID with %s and no credentials", missing, err, want)
		}
	}
}
