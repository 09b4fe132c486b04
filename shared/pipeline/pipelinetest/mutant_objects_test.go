package pipelinetest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"stovasync/shared/pipeline"
)

// objects is a store of objects whose operations can be replaced.
type objects struct {
	pipeline.Objects
	put    func(context.Context, pipeline.Objects, string, io.ReadSeeker, pipeline.ObjectInfo) (bool, error)
	get    func(context.Context, pipeline.Objects, string) (io.ReadCloser, error)
	delete func(context.Context, pipeline.Objects, []string) error
	list   func(prefix string, all []string) []string // of everything
}

func (s *objects) Put(ctx context.Context, key string, body io.ReadSeeker, info pipeline.ObjectInfo) (bool, error) {
	if s.put == nil {
		return s.Objects.Put(ctx, key, body, info)
	}
	return s.put(ctx, s.Objects, key, body, info)
}

func (s *objects) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	if s.get == nil {
		return s.Objects.Get(ctx, key)
	}
	return s.get(ctx, s.Objects, key)
}

func (s *objects) Delete(ctx context.Context, keys ...string) error {
	if s.delete == nil {
		return s.Objects.Delete(ctx, keys...)
	}
	return s.delete(ctx, s.Objects, keys)
}

func (s *objects) List(ctx context.Context, prefix string) iter.Seq2[string, error] {
	if s.list == nil {
		return s.Objects.List(ctx, prefix)
	}
	return func(yield func(string, error) bool) {
		var all []string
		for key := range s.Objects.List(ctx, "") {
			all = append(all, key)
		}
		for _, key := range s.list(prefix, all) {
			if !yield(key, nil) {
				return
			}
		}
	}
}

func withPrefix(prefix string, all []string) []string {
	return slices.DeleteFunc(all, func(key string) bool { return !strings.HasPrefix(key, prefix) })
}

func objectMutants() map[string]mutant {
	ifAbsent := "a put if absent keeps what the key held and says so"
	return map[string]mutant{
		"objects overwrite though if absent": {objects: &objects{put: func(ctx context.Context, s pipeline.Objects, key string, body io.ReadSeeker, _ pipeline.ObjectInfo) (bool, error) {
			return s.Put(ctx, key, body, pipeline.ObjectInfo{})
		}}, caught: ifAbsent},
		"objects say made though kept": {objects: &objects{put: func(ctx context.Context, s pipeline.Objects, key string, body io.ReadSeeker, info pipeline.ObjectInfo) (bool, error) {
			_, err := s.Put(ctx, key, body, info)
			return true, err
		}}, caught: ifAbsent},
		"objects look before they put": {objects: &objects{put: func(ctx context.Context, s pipeline.Objects, key string, body io.ReadSeeker, info pipeline.ObjectInfo) (bool, error) {
			if r, err := s.Get(ctx, key); err == nil && info.IfAbsent {
				return false, r.Close()
			}
			time.Sleep(20 * time.Millisecond) // opens the gap wide enough to be found
			return s.Put(ctx, key, body, pipeline.ObjectInfo{})
		}}, caught: "of concurrent puts if absent exactly one happens, and stays"},
		"objects keep the first": {objects: &objects{put: func(ctx context.Context, s pipeline.Objects, key string, body io.ReadSeeker, info pipeline.ObjectInfo) (bool, error) {
			info.IfAbsent = true
			_, err := s.Put(ctx, key, body, info)
			return true, err
		}}, caught: "a put replaces what the key held"},
		"objects are cut": {objects: &objects{put: func(ctx context.Context, s pipeline.Objects, key string, body io.ReadSeeker, info pipeline.ObjectInfo) (bool, error) {
			data, err := io.ReadAll(io.LimitReader(body, 10<<20))
			if err != nil {
				return false, err
			}
			return s.Put(ctx, key, bytes.NewReader(data), info)
		}}, caught: "an object comes back as it was"},
		"objects are put in two steps": {objects: &objects{put: func(ctx context.Context, s pipeline.Objects, key string, body io.ReadSeeker, info pipeline.ObjectInfo) (bool, error) {
			if _, err := s.Put(ctx, key, bytes.NewReader([]byte("part")), pipeline.ObjectInfo{}); err != nil {
				return false, err
			}
			time.Sleep(time.Millisecond) // opens the gap wide enough to be found
			return s.Put(ctx, key, body, info)
		}}, caught: "a reader never sees parts of two objects"},
		"objects are empty where absent": {objects: &objects{get: func(ctx context.Context, s pipeline.Objects, key string) (io.ReadCloser, error) {
			r, err := s.Get(ctx, key)
			if errors.Is(err, pipeline.ErrNoObject) {
				return io.NopCloser(strings.NewReader("")), nil
			}
			return r, err
		}}, caught: "a key that holds nothing is ErrNoObject"},
		"objects stay when deleted": {objects: &objects{delete: func(context.Context, pipeline.Objects, []string) error { return nil }},
			caught: "a deleted object is gone and may be put again"},
		"objects must be there to be deleted": {objects: &objects{delete: func(ctx context.Context, s pipeline.Objects, keys []string) error {
			for _, key := range keys {
				if _, err := s.Get(ctx, key); err != nil {
					return err
				}
			}
			return s.Delete(ctx, keys...)
		}}, caught: "deleting many keys, also absent and repeated ones, is no error"},
		"list ignores the prefix": {objects: &objects{list: func(_ string, all []string) []string { return all }},
			caught: "a list gives the keys with the prefix in byte order"},
		"list walks folders by name": {objects: &objects{list: func(prefix string, all []string) []string {
			all = withPrefix(prefix, all)
			slices.SortFunc(all, func(a, b string) int { return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/")) })
			return all
		}}, caught: "a list gives the keys with the prefix in byte order"},
		"list reads one page": {objects: &objects{list: func(prefix string, all []string) []string {
			all = withPrefix(prefix, all)
			return all[:min(len(all), 1000)]
		}}, caught: "a list gives more than a thousand keys and may be left early"},
		"list shows hidden names only": {objects: &objects{list: func(prefix string, all []string) []string {
			return slices.DeleteFunc(withPrefix(prefix, all), func(key string) bool { return strings.Contains(key, "/.") })
		}}, caught: "keys may hold the characters that events, ids and file names do"},
	}
}

// secrets is a store of keys whose operations can be replaced.
type secrets struct {
	pipeline.Secrets
	get    func(context.Context, pipeline.Secrets, string) (string, error)
	put    func(context.Context, pipeline.Secrets, string, string) error
	delete func(context.Context, pipeline.Secrets, string) error
}

func (s *secrets) Get(ctx context.Context, connection string) (string, error) {
	if s.get == nil {
		return s.Secrets.Get(ctx, connection)
	}
	return s.get(ctx, s.Secrets, connection)
}

func (s *secrets) Put(ctx context.Context, connection, key string) error {
	if s.put == nil {
		return s.Secrets.Put(ctx, connection, key)
	}
	return s.put(ctx, s.Secrets, connection, key)
}

func (s *secrets) Delete(ctx context.Context, connection string) error {
	if s.delete == nil {
		return s.Secrets.Delete(ctx, connection)
	}
	return s.delete(ctx, s.Secrets, connection)
}

func secretMutants() map[string]mutant {
	return map[string]mutant{
		"secrets are empty where absent": {secrets: &secrets{get: func(ctx context.Context, s pipeline.Secrets, c string) (string, error) {
			key, err := s.Get(ctx, c)
			if errors.Is(err, pipeline.ErrNoSecret) {
				err = nil
			}
			return key, err
		}}, caught: "a connection without a key is ErrNoSecret"},
		"secrets are trimmed": {secrets: &secrets{get: func(ctx context.Context, s pipeline.Secrets, c string) (string, error) {
			key, err := s.Get(ctx, c)
			return strings.Join(strings.Fields(key), ""), err
		}}, caught: "a key comes back as it was"},
		"secrets keep the first": {secrets: &secrets{put: func(ctx context.Context, s pipeline.Secrets, c, key string) error {
			if _, err := s.Get(ctx, c); err == nil {
				return nil
			}
			return s.Put(ctx, c, key)
		}}, caught: "a key replaces an older one"},
		"secrets stay when deleted": {secrets: &secrets{delete: func(context.Context, pipeline.Secrets, string) error { return nil }},
			caught: "a deleted key is gone, and deleting it again no error"},
		"secrets must be there to be deleted": {secrets: &secrets{delete: func(ctx context.Context, s pipeline.Secrets, c string) error {
			if _, err := s.Get(ctx, c); err != nil {
				return err
			}
			return s.Delete(ctx, c)
		}}, caught: "a deleted key is gone, and deleting it again no error"},
		"secrets mix connections": {secrets: &secrets{get: func(ctx context.Context, s pipeline.Secrets, c string) (string, error) {
			return s.Get(ctx, c[:min(len(c), 4)])
		}}, caught: "connections with similar names have keys of their own"},
	}
}
