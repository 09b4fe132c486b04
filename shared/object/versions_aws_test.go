package object_test

import (
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"stovasync/shared/awscall/awstest"
	"stovasync/shared/object"
	"stovasync/shared/pipeline"
)

func TestAWSVersions(t *testing.T) {
	t.Parallel()
	client := awstest.S3(t)
	bucket := awstest.Bucket(t, client)
	if _, err := client.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
		Bucket: &bucket, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	}); err != nil {
		t.Fatal(err)
	}
	c := object.Config{Client: client, Bucket: bucket}
	objects, versions := object.New(c), object.NewVersions(c)
	for _, put := range [][2]string{{"a/1", "old"}, {"a/1", "new"}, {"a/2", "gone"}, {"b/1", "other"}} {
		if _, err := objects.Put(t.Context(), put[0], strings.NewReader(put[1]), pipeline.ObjectInfo{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := objects.Delete(t.Context(), "a/2"); err != nil {
		t.Fatal(err)
	}
	read := func(prefix string) (all []pipeline.ObjectVersion, texts string) {
		t.Helper()
		last := ""
		for v, err := range versions.List(t.Context(), prefix) {
			if err != nil || v.Key < last {
				t.Fatalf("List: %s after %s, %v", v.Key, last, err)
			}
			last = v.Key
			all = append(all, v)
			if v.Marker {
				texts += " marker"
				continue
			}
			r, err := versions.Get(t.Context(), v)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if texts += " " + string(text); v.Latest {
				texts += "*"
			}
			_ = r.Close() // it was read to its end
		}
		return all, texts
	}
	all, texts := read("a/")
	for _, want := range []string{" old", " new*", " gone", " marker"} {
		if !strings.Contains(texts, want) || len(all) != 4 {
			t.Errorf("versions:%s, want%s among four", texts, want)
		}
	}
	for range 2 {
		if err := versions.Delete(t.Context(), all...); err != nil {
			t.Fatal(err)
		}
	}
	if left, texts := read(""); len(left) != 1 || texts != " other*" {
		t.Errorf("after Delete:%s", texts)
	}
}
