package object_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"stovasync/shared/awscall/awstest"
	"stovasync/shared/fault"
	"stovasync/shared/object"
	"stovasync/shared/pipeline"
)

func objects(s *awstest.Script) *object.Objects {
	return object.New(object.Config{Client: s3.NewFromConfig(s.Config(), func(o *s3.Options) { o.UsePathStyle = true }), Bucket: "bucket"})
}

// fail is the answer of S3 to a refused call.
func fail(status int, code string) awstest.Answer {
	return awstest.Answer{Status: status, Body: "<Error><Code>" + code + "</Code><Message>invented</Message></Error>"}
}

var fine = awstest.Answer{Status: 200}

func TestPutUnderRefusals(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answers  []awstest.Answer
		ifAbsent bool
		stored   bool
		attempts int
		want     string
	}{
		"a put is stored": {[]awstest.Answer{fine}, false, true, 1, ""},
		"a put if absent of a key that holds something": {[]awstest.Answer{fail(412, "PreconditionFailed")}, true, false, 1, ""},
		"a put beside another is repeated":              {[]awstest.Answer{fail(409, "ConditionalRequestConflict"), fail(412, "PreconditionFailed")}, true, false, 2, ""},
		"a put that is told to slow down is repeated":   {[]awstest.Answer{fail(503, "SlowDown"), fail(503, "SlowDown"), fine}, false, true, 3, ""},
		"a put without an answer is repeated":           {[]awstest.Answer{{}, fine}, false, true, 2, ""},
		"a put without permission is an error":          {[]awstest.Answer{fail(403, "AccessDenied")}, false, false, 1, "s3 PutObject: AccessDenied"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := awstest.InTurn(tt.answers...)
				body := strings.NewReader("skipped;body")
				if _, err := body.Seek(8, io.SeekStart); err != nil {
					t.Fatal(err)
				}
				stored, err := objects(s).Put(t.Context(), "plans/1", body, pipeline.ObjectInfo{ContentType: "application/gzip", IfAbsent: tt.ifAbsent})
				if stored != tt.stored || (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
					t.Errorf("Put = %v, %v, want %v and an error with %q", stored, err, tt.stored, tt.want)
				}
				if n := len(s.Asked()); n != tt.attempts {
					t.Errorf("%d attempts, want %d", n, tt.attempts)
				}
				for _, r := range s.Asked() {
					if string(r.Body) != "body" || r.Header.Get("Content-Type") != "application/gzip" || (r.Header.Get("If-None-Match") == "*") != tt.ifAbsent {
						t.Errorf("sent %d bytes with headers %v", len(r.Body), r.Header)
					}
				}
			})
		})
	}
}

func TestGetTellsNothingThereFromNoAccess(t *testing.T) {
	t.Parallel()
	for code, missing := range map[string]bool{"NoSuchKey": true, "AccessDenied": false, "NoSuchBucket": false} {
		status := 404
		if code == "AccessDenied" {
			status = 403
		}
		_, err := objects(awstest.InTurn(fail(status, code))).Get(t.Context(), "plans/1")
		if err == nil || errors.Is(err, pipeline.ErrNoObject) != missing {
			t.Errorf("%s: error %v, want ErrNoObject: %v", code, err, missing)
		}
		if !missing && fault.CodeOf(err) != fault.StoreUnavailable {
			t.Errorf("%s: code %q, want STORE_UNAVAILABLE", code, fault.CodeOf(err))
		}
	}
}

func TestKeysThatAFolderCouldNotHoldAreRefused(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "/a", "a/", "a//b", "a/../b", "..", "./a", "a/."} {
		s := awstest.InTurn(fine)
		o := objects(s)
		_, put := o.Put(t.Context(), key, strings.NewReader("x"), pipeline.ObjectInfo{})
		_, get := o.Get(t.Context(), key)
		del := o.Delete(t.Context(), "fine", key)
		if put == nil || get == nil || del == nil || len(s.Asked()) != 0 {
			t.Errorf("key %q: errors %v, %v, %v after %d requests, want three after none", key, put, get, del, len(s.Asked()))
		}
	}
}

// errorsOf is the answer to a DeleteObjects of which some keys failed.
func errorsOf(code string, keys ...string) awstest.Answer {
	var b strings.Builder
	for _, key := range keys {
		b.WriteString("<Error><Key>" + key + "</Key><Code>" + code + "</Code></Error>")
	}
	return awstest.Answer{Status: 200, Body: "<DeleteResult>" + b.String() + "</DeleteResult>"}
}

func TestDeleteTriesAgainWhatWasNotDeleted(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answers  []awstest.Answer
		attempts int
		want     string
	}{
		"keys that failed for a while":     {[]awstest.Answer{errorsOf("InternalError", "b", "c"), errorsOf("SlowDown", "c"), errorsOf("")}, 3, ""},
		"keys that were gone are no error": {[]awstest.Answer{errorsOf("NoSuchKey", "a")}, 1, ""},
		"a key that may not be deleted":    {[]awstest.Answer{errorsOf("AccessDenied", "b")}, 1, "s3 DeleteObjects: AccessDenied"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := awstest.InTurn(tt.answers...)
				err := objects(s).Delete(t.Context(), "a", "b", "c")
				if (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
					t.Errorf("Delete: %v, want an error with %q", err, tt.want)
				}
				if n := len(s.Asked()); n != tt.attempts {
					t.Fatalf("%d attempts, want %d", n, tt.attempts)
				}
				if tt.attempts == 3 {
					last := string(s.Asked()[2].Body)
					if strings.Contains(last, "<Key>b</Key>") || !strings.Contains(last, "<Key>c</Key>") {
						t.Errorf("the last attempt asks for other keys than what was left: %s", last)
					}
				}
			})
		})
	}
}

func TestDeleteEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := objects(awstest.InTurn(errorsOf("InternalError", "a"))).Delete(ctx, "a")
		if !errors.Is(err, context.DeadlineExceeded) || fault.CodeOf(err) != fault.StoreUnavailable {
			t.Errorf("Delete: %v, want STORE_UNAVAILABLE for the deadline", err)
		}
	})
}

func TestListStopsAfterAnError(t *testing.T) {
	t.Parallel()
	first := awstest.Answer{Status: 200, Body: "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>n</NextContinuationToken>" +
		"<Contents><Key>raw/1</Key></Contents></ListBucketResult>"}
	var got []string
	for key, err := range objects(awstest.InTurn(first, fail(403, "AccessDenied"))).List(t.Context(), "raw/") {
		if err != nil {
			key = "error"
		}
		got = append(got, key)
	}
	if len(got) != 2 || got[0] != "raw/1" || got[1] != "error" {
		t.Errorf("List gave %q, want a key and an error", got)
	}
}
