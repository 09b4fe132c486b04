package object_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"stovasync/shared/awscall/awstest"
	"stovasync/shared/object"
	"stovasync/shared/pipeline"
)

// calls are the operations, each as one call of the port.
func calls() map[string]func(*testing.T, *object.Objects) error {
	return map[string]func(*testing.T, *object.Objects) error{
		"s3:PutObject": func(t *testing.T, o *object.Objects) error {
			_, err := o.Put(t.Context(), "raw/1", strings.NewReader("x"), pipeline.ObjectInfo{})
			return err
		},
		"s3:GetObject": func(t *testing.T, o *object.Objects) error {
			body, err := o.Get(t.Context(), "raw/1")
			if err == nil {
				err = body.Close()
			}
			return err
		},
		"s3:DeleteObject": func(t *testing.T, o *object.Objects) error { return o.Delete(t.Context(), "raw/1") },
		"s3:ListBucket": func(t *testing.T, o *object.Objects) error {
			for _, err := range o.List(t.Context(), "raw/") {
				return err
			}
			return nil
		},
	}
}

func TestEveryCallWaitsForABusyBucketAndNamesWhatARefusingOneRefuses(t *testing.T) {
	t.Parallel()
	empty := awstest.Answer{Status: 200, Body: "<Result></Result>"}
	tests := map[string]struct {
		answers  []awstest.Answer
		attempts int
		want     func(action string) string // part of the error; "" for none
	}{
		"told to slow down": {[]awstest.Answer{fail(503, "SlowDown"), fail(503, "SlowDown"), empty}, 3, func(string) string { return "" }},
		"503 for a while":   {[]awstest.Answer{fail(503, "ServiceUnavailable"), fail(500, "InternalError"), empty}, 3, func(string) string { return "" }},
		"503 all the time":  {[]awstest.Answer{fail(503, "ServiceUnavailable")}, 5, func(string) string { return "ServiceUnavailable; try again later" }},
		"no permission":     {[]awstest.Answer{fail(403, "AccessDenied")}, 1, func(action string) string { return "AccessDenied; allow " + action + " on the bucket" }},
		"no bucket":         {[]awstest.Answer{fail(404, "NoSuchBucket")}, 1, func(string) string { return "NoSuchBucket; check that the stack is deployed" }},
	}
	for name, tt := range tests {
		for action, call := range calls() {
			t.Run(name+"/"+action, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := awstest.InTurn(tt.answers...)
					o := object.New(object.Config{Client: s3.NewFromConfig(s.Config(), func(o *s3.Options) { o.UsePathStyle = true }), Bucket: "bucket"})
					err := call(t, o)
					want := tt.want(action)
					if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
						t.Errorf("error = %v, want one with %q", err, want)
					}
					if n := len(s.Asked()); n != tt.attempts {
						t.Errorf("%d attempts, want %d", n, tt.attempts)
					}
				})
			})
		}
	}
}
