package secret_test

import (
	"testing"

	"stovasync/shared/awscall/awstest"
	"stovasync/shared/pipeline"
	"stovasync/shared/pipeline/pipelinetest"
	"stovasync/shared/secret"
)

func TestAWSSecrets(t *testing.T) {
	t.Parallel()
	awstest.Config(t) // skips here, not in the middle of the suite
	pipelinetest.Secrets(t, func(t *testing.T) pipeline.Secrets {
		client, prefix := awstest.SSM(t)
		return secret.New(secret.Config{Client: client, Prefix: prefix})
	})
}
