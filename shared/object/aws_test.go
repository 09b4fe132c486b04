package object_test

import (
	"testing"

	"stovasync/shared/awscall/awstest"
	"stovasync/shared/object"
	"stovasync/shared/pipeline"
	"stovasync/shared/pipeline/pipelinetest"
)

func TestAWSObjects(t *testing.T) {
	t.Parallel()
	client := awstest.S3(t)
	pipelinetest.Objects(t, func(t *testing.T) pipeline.Objects {
		return object.New(object.Config{Client: client, Bucket: awstest.Bucket(t, client)})
	})
}
