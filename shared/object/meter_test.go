package object_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"stovasync/shared/awscall/awstest"
	"stovasync/shared/object"
	"stovasync/shared/pipeline"
)

func TestMeterIsToldEveryRequestThatIsSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var meter awstest.Meter
		s := awstest.InTurn(fail(503, "SlowDown"), fine, fail(404, "NoSuchKey"))
		o := object.New(object.Config{Client: s3.NewFromConfig(s.Config()), Bucket: "bucket", Meter: meter.Count})
		if _, err := o.Put(t.Context(), "a/b", strings.NewReader("x"), pipeline.ObjectInfo{}); err != nil {
			t.Fatal(err)
		}
		if _, err := o.Get(t.Context(), "a/b"); err == nil {
			t.Fatal("Get of a missing object: no error")
		}
		if diff := cmp.Diff(map[string]float64{"PutObject": 2, "GetObject": 1}, meter.Units()); diff != "" {
			t.Errorf("units (-want +got):\n%s", diff)
		}
	})
}
