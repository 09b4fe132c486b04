// Package object keeps plans, raw pages, photos and reports in a bucket of S3.
// What they hold and how keys are made is the steps' business.
package object

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"stovasync/shared/awscall"
	"stovasync/shared/pipeline"
)

// Objects keeps objects in one bucket. It implements pipeline.Objects. The
// bucket's own settings encrypt and expire them.
type Objects struct {
	api    api
	bucket string
	policy awscall.Policy
	meter  awscall.Meter
}

var _ pipeline.Objects = (*Objects)(nil)

// Config is what Objects works with.
type Config struct {
	Client *s3.Client
	Bucket string
	Policy awscall.Policy // how calls are tried again; the zero value ships
	Meter  awscall.Meter  // told each request that is sent; may be nil
}

// operation is a method of the client.
type operation[In, Out any] func(context.Context, *In, ...func(*s3.Options)) (*Out, error)

// api holds the operations that are used and not the client: expr-lang finds
// methods by name, so that the linker keeps every method of every type that an
// interface can hold, with all that those call.
type api struct {
	DeleteObjects operation[s3.DeleteObjectsInput, s3.DeleteObjectsOutput]
	GetObject     operation[s3.GetObjectInput, s3.GetObjectOutput]
	ListObjectsV2 operation[s3.ListObjectsV2Input, s3.ListObjectsV2Output]
	PutObject     operation[s3.PutObjectInput, s3.PutObjectOutput]
}

// New returns the objects of a bucket.
func New(c Config) *Objects {
	return &Objects{
		api:    api{c.Client.DeleteObjects, c.Client.GetObject, c.Client.ListObjectsV2, c.Client.PutObject},
		bucket: c.Bucket, policy: c.Policy, meter: c.Meter,
	}
}

func (o *Objects) call(operation string) *awscall.Call {
	return o.policy.Call(nil).Count(o.meter, operation, 1)
}

func with(call *awscall.Call) func(*s3.Options) {
	return func(o *s3.Options) { o.Retryer = call }
}

// checkKey refuses keys that a folder could not hold or would hold elsewhere.
func checkKey(key string) error {
	for segment := range strings.SplitSeq(key, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return errors.New("object key has an empty or dot segment")
		}
	}
	return nil
}

// Put implements pipeline.Objects. The body is read once per attempt, from
// where it stands when Put is called, and is not closed.
func (o *Objects) Put(ctx context.Context, key string, body io.ReadSeeker, info pipeline.ObjectInfo) (bool, error) {
	if err := checkKey(key); err != nil {
		return false, err
	}
	length, err := remaining(body)
	if err != nil {
		return false, fmt.Errorf("put object %s: read its length: %w", key, err)
	}
	in := &s3.PutObjectInput{Bucket: &o.bucket, Key: &key, Body: body, ContentLength: &length}
	if info.ContentType != "" {
		in.ContentType = &info.ContentType
	}
	if info.IfAbsent {
		in.IfNoneMatch = new("*")
	}
	call := o.call("PutObject")
	_, err = o.api.PutObject(ctx, in, with(call))
	switch {
	case err == nil:
		return true, nil
	case info.IfAbsent && isCode(err, "PreconditionFailed"):
		// After an attempt without an answer it may be our own that is there.
		// To the caller it is the same: read what the key holds.
		return false, nil
	default:
		return false, fmt.Errorf("put object %s: %w", key, call.Error("s3 PutObject", err))
	}
}

// remaining returns how many bytes are left to read, without moving.
func remaining(body io.Seeker) (int64, error) {
	here, err := body.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	end, err := body.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	_, err = body.Seek(here, io.SeekStart)
	return end - here, err
}

func isCode(err error, code string) bool {
	type coded interface {
		error
		ErrorCode() string
	}
	e, ok := errors.AsType[coded](err)
	return ok && e.ErrorCode() == code
}

// Get implements pipeline.Objects. S3 says "no such key" only to a role that
// may list the bucket, and AccessDenied to others.
func (o *Objects) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	call := o.call("GetObject")
	out, err := o.api.GetObject(ctx, &s3.GetObjectInput{Bucket: &o.bucket, Key: &key}, with(call))
	if err == nil {
		return out.Body, nil
	}
	if isCode(err, "NoSuchKey") {
		return nil, fmt.Errorf("get object %s: %w", key, pipeline.ErrNoObject)
	}
	return nil, fmt.Errorf("get object %s: %w", key, call.Error("s3 GetObject", err))
}

// maxDeletes is S3's limit of one DeleteObjects.
const maxDeletes = 1000

// Delete implements pipeline.Objects.
func (o *Objects) Delete(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		if err := checkKey(key); err != nil {
			return err
		}
	}
	for chunk := range slices.Chunk(keys, maxDeletes) {
		if err := o.deleteChunk(ctx, chunk); err != nil {
			return fmt.Errorf("delete %d objects: %w", len(keys), err)
		}
	}
	return nil
}

// deleteChunk deletes up to 1000 keys. Those that S3 could not delete for a
// reason that passes are tried again until ctx ends.
func (o *Objects) deleteChunk(ctx context.Context, keys []string) error {
	for attempt := 1; len(keys) > 0; attempt++ {
		ids := make([]types.ObjectIdentifier, len(keys))
		for i, key := range keys {
			ids[i] = types.ObjectIdentifier{Key: &key}
		}
		call := o.call("DeleteObjects")
		out, err := o.api.DeleteObjects(ctx, &s3.DeleteObjectsInput{
			Bucket: &o.bucket, Delete: &types.Delete{Objects: ids, Quiet: new(true)},
		}, with(call))
		if err != nil {
			return call.Error("s3 DeleteObjects", err)
		}
		if keys, err = undeleted(out.Errors); err != nil {
			return err
		}
		if len(keys) > 0 {
			if err := o.policy.Wait(ctx, attempt); err != nil {
				return awscall.Error(fmt.Sprintf("s3 DeleteObjects: %d keys refused", len(keys)), err)
			}
		}
	}
	return nil
}

// undeleted returns the keys to try again, or an error for one that no trying
// would delete.
func undeleted(failed []types.Error) ([]string, error) {
	var keys []string
	for _, f := range failed {
		switch code := aws.ToString(f.Code); {
		case code == "NoSuchKey":
		case code == "InternalError" || code == "ServiceUnavailable" || awscall.Passes(code):
			keys = append(keys, aws.ToString(f.Key))
		default:
			return nil, awscall.Refused("s3 DeleteObjects", code)
		}
	}
	return keys, nil
}

// List implements pipeline.Objects. S3 lists in the byte order of keys.
func (o *Objects) List(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		in := &s3.ListObjectsV2Input{Bucket: &o.bucket, Prefix: &prefix}
		for {
			call := o.call("ListObjectsV2")
			out, err := o.api.ListObjectsV2(ctx, in, with(call))
			if err != nil {
				yield("", fmt.Errorf("list objects %s: %w", prefix, call.Error("s3 ListObjectsV2", err)))
				return
			}
			for _, object := range out.Contents {
				if !yield(aws.ToString(object.Key), nil) {
					return
				}
			}
			if !aws.ToBool(out.IsTruncated) {
				return
			}
			in.ContinuationToken = out.NextContinuationToken
		}
	}
}
