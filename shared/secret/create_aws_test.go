package secret_test

import (
	"testing"

	"stovasync/shared/awscall/awstest"
	"stovasync/shared/pipeline/pipelinetest"
	"stovasync/shared/secret"
)

func TestAWSCreate(t *testing.T) {
	awstest.Config(t)
	pipelinetest.Create(t, func(t *testing.T) pipelinetest.CreatedSecrets {
		client, prefix := awstest.SSM(t)
		return secret.New(secret.Config{Client: client, Prefix: prefix})
	})
}
