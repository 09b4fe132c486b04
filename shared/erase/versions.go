package erase

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"

	"stovasync/shared/pipeline"
)

// oldVersions deletes the old versions of objects that name the person: what
// was rewritten or deleted before is still there in a bucket that keeps
// versions. One that nobody can read may hold anything, and goes too. A key of
// which nothing is left loses its marker as well: a report's tells a digest.
func (p *person) oldVersions(ctx context.Context) error {
	if p.Versions == nil {
		return nil
	}
	for _, prefix := range pipeline.ObjectPrefixes(p.conn.Name) {
		var key history
		for v, err := range p.Versions.List(ctx, prefix) {
			if err != nil {
				return unavailable("list the versions of objects", err)
			}
			if v.Key != key.key {
				if err := p.forget(ctx, key); err != nil {
					return err
				}
				key = history{key: v.Key}
			}
			key.versions = append(key.versions, v)
		}
		if err := p.forget(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// history is the versions of one key.
type history struct {
	key      string
	versions []pipeline.ObjectVersion
}

func (p *person) forget(ctx context.Context, h history) error {
	var drop, markers []pipeline.ObjectVersion
	live := 0
	for _, v := range h.versions {
		switch {
		case v.Marker:
			markers = append(markers, v)
		case v.Latest:
			live++
		default:
			names, err := p.named(ctx, v)
			if err != nil {
				return err
			}
			if names {
				drop = append(drop, v)
			} else {
				live++
			}
		}
	}
	if len(drop) == 0 {
		return nil
	}
	p.count(OldVersions, len(drop))
	if live == 0 {
		drop = append(drop, markers...)
	}
	if err := p.Versions.Delete(ctx, drop...); err != nil {
		return unavailable(fmt.Sprintf("delete %d versions of objects", len(drop)), err)
	}
	return nil
}

// named reports whether a version names the person.
func (p *person) named(ctx context.Context, v pipeline.ObjectVersion) (bool, error) {
	body, err := p.Versions.Get(ctx, v)
	if errors.Is(err, pipeline.ErrNoObject) {
		return false, nil
	}
	if err != nil {
		return false, unavailable("read a version of an object", err)
	}
	packed, err := io.ReadAll(body)
	if err := errors.Join(err, body.Close()); err != nil {
		return false, unavailable("read a version of an object", err)
	}
	text, ok := unpacked(packed)
	return !ok || pipeline.NamesID(text, p.id), nil
}

// unpacked is the text of a compressed object; ok is false when it cannot be read.
func unpacked(packed []byte) (text []byte, ok bool) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, false
	}
	text, err = io.ReadAll(z)
	return text, err == nil
}
