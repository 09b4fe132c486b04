//go:build !lambda.norpc

package object

import (
	"context"
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

// Versions are the versions of a bucket's objects, for an erasure: what was
// overwritten or deleted is still there in a bucket that keeps versions. Of
// another bucket each object is one version. The functions do not link it.
type Versions struct {
	list   operation[s3.ListObjectVersionsInput, s3.ListObjectVersionsOutput]
	get    operation[s3.GetObjectInput, s3.GetObjectOutput]
	delete operation[s3.DeleteObjectsInput, s3.DeleteObjectsOutput]
	bucket string
	policy awscall.Policy
}

// NewVersions returns the versions of a bucket.
func NewVersions(c Config) *Versions {
	return &Versions{list: c.Client.ListObjectVersions, get: c.Client.GetObject, delete: c.Client.DeleteObjects, bucket: c.Bucket, policy: c.Policy}
}

// List reads the versions of the objects with a prefix, and the markers of
// those that were deleted, in the order of their keys. The sequence stops
// after yielding an error.
func (v *Versions) List(ctx context.Context, prefix string) iter.Seq2[pipeline.ObjectVersion, error] {
	return func(yield func(pipeline.ObjectVersion, error) bool) {
		in := &s3.ListObjectVersionsInput{Bucket: &v.bucket, Prefix: &prefix}
		for {
			call := v.policy.Call(nil)
			out, err := v.list(ctx, in, with(call))
			if err != nil {
				yield(pipeline.ObjectVersion{}, fmt.Errorf("list the versions of objects: %w", call.Error("s3 ListObjectVersions", err)))
				return
			}
			for _, o := range versionsOf(out) {
				if !yield(o, nil) {
					return
				}
			}
			if !aws.ToBool(out.IsTruncated) {
				return
			}
			in.KeyMarker, in.VersionIdMarker = out.NextKeyMarker, out.NextVersionIdMarker
		}
	}
}

func versionsOf(out *s3.ListObjectVersionsOutput) []pipeline.ObjectVersion {
	var all []pipeline.ObjectVersion
	for _, o := range out.Versions {
		all = append(all, pipeline.ObjectVersion{Key: aws.ToString(o.Key), ID: aws.ToString(o.VersionId), Latest: aws.ToBool(o.IsLatest)})
	}
	for _, m := range out.DeleteMarkers {
		all = append(all, pipeline.ObjectVersion{Key: aws.ToString(m.Key), ID: aws.ToString(m.VersionId), Latest: aws.ToBool(m.IsLatest), Marker: true})
	}
	// Markers come apart from the versions of their keys.
	slices.SortStableFunc(all, func(a, b pipeline.ObjectVersion) int { return strings.Compare(a.Key, b.Key) })
	return all
}

// Get opens one version.
func (v *Versions) Get(ctx context.Context, o pipeline.ObjectVersion) (io.ReadCloser, error) {
	call := v.policy.Call(nil)
	out, err := v.get(ctx, &s3.GetObjectInput{Bucket: &v.bucket, Key: &o.Key, VersionId: &o.ID}, with(call))
	switch {
	case err == nil:
		return out.Body, nil
	case isCode(err, "NoSuchKey") || isCode(err, "NoSuchVersion"):
		return nil, fmt.Errorf("get a version of an object: %w", pipeline.ErrNoObject)
	default:
		return nil, fmt.Errorf("get a version of an object: %w", call.Error("s3 GetObject", err))
	}
}

// Delete deletes versions for good. Those that S3 could not delete for a reason
// that passes are tried again until ctx ends.
func (v *Versions) Delete(ctx context.Context, versions ...pipeline.ObjectVersion) error {
	for chunk := range slices.Chunk(versions, maxDeletes) {
		ids := make([]types.ObjectIdentifier, len(chunk))
		for i, o := range chunk {
			ids[i] = types.ObjectIdentifier{Key: new(o.Key), VersionId: new(o.ID)}
		}
		for attempt := 1; len(ids) > 0; attempt++ {
			call := v.policy.Call(nil)
			out, err := v.delete(ctx, &s3.DeleteObjectsInput{
				Bucket: &v.bucket, Delete: &types.Delete{Objects: ids, Quiet: new(true)},
			}, with(call))
			if err != nil {
				return call.Error("s3 DeleteObjects", err)
			}
			again, err := undeleted(out.Errors)
			if err != nil {
				return err
			}
			if len(again) == 0 {
				break // deleting one twice is no error, so the next try takes all
			}
			if err := v.policy.Wait(ctx, attempt); err != nil {
				return awscall.Error(fmt.Sprintf("s3 DeleteObjects: %d versions refused", len(again)), err)
			}
		}
	}
	return nil
}
