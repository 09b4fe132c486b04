package app

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"stovasync/shared/fault"
)

// functionConfig is the SDK's configuration of a function: what the Lambda
// runtime says in its environment. The SDK's own loader also knows profiles,
// logins and roles, which no function has and each would carry: two megabytes
// of it, and files to look for at every start. Operators get the loader.
func functionConfig(lookup func(string) (string, bool)) (aws.Config, error) {
	env := environment{lookup}
	region := env.get("AWS_REGION")
	if region == "" {
		return aws.Config{}, fault.New(fault.ConfigInvalid, "AWS_REGION is not set", "Lambda sets it; set it elsewhere")
	}
	id, key := env.get("AWS_ACCESS_KEY_ID"), env.get("AWS_SECRET_ACCESS_KEY")
	if id == "" || key == "" {
		return aws.Config{}, fault.New(fault.ConfigInvalid, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set",
			"Lambda sets them; set them elsewhere")
	}
	cfg := aws.Config{
		Region: region,
		// The runtime's credentials live longer than its process.
		Credentials: aws.NewCredentialsCache(credentials.NewStaticCredentialsProvider(id, key, env.get("AWS_SESSION_TOKEN"))),
		HTTPClient:  awshttp.NewBuildableClient(), // one pool of connections for all services
		// As the loader sets them.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
		ConfigSources:              []any{env},
	}
	if address := env.get("AWS_ENDPOINT_URL"); address != "" {
		cfg.BaseEndpoint = &address
	}
	return cfg, nil
}

// environment answers what clients ask their configuration for by name.
type environment struct {
	lookup func(string) (string, bool)
}

func (e environment) get(name string) string {
	value, _ := e.lookup(name)
	return value
}

// GetServiceBaseEndpoint finds the address of one service, such as
// AWS_ENDPOINT_URL_S3.
func (e environment) GetServiceBaseEndpoint(_ context.Context, sdkID string) (string, bool, error) {
	value := e.get("AWS_ENDPOINT_URL_" + strings.ToUpper(strings.ReplaceAll(sdkID, " ", "_")))
	return value, value != "", nil
}
