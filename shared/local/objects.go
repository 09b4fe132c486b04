package local

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"stovasync/shared/pipeline"
)

// tempFolder holds unfinished objects. No key's file has this name: keyName
// escapes a leading dot.
const tempFolder = ".tmp"

// Objects is a folder with one file per object (pipeline.Objects). Content
// types are not kept: a file has none.
//
// A key may not be the folder of another ("a" beside "a/b"); the second Put
// fails. The file system must have hard links.
type Objects struct{ dir string }

var _ pipeline.Objects = (*Objects)(nil)

// Path returns the file that holds key, or would: for people who want to look
// at it.
func (o *Objects) Path(key string) (string, error) {
	name, err := keyName(key)
	if err != nil {
		return "", err
	}
	return filepath.Join(o.dir, filepath.FromSlash(name)), nil
}

var _ pipeline.Flusher = (*Objects)(nil)

// Put stores an object. Unless it is lazy, the bytes are on the disk before
// the name is.
func (o *Objects) Put(ctx context.Context, key string, body io.ReadSeeker, info pipeline.ObjectInfo) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	path, err := o.Path(key)
	if err != nil {
		return false, err
	}
	if info.IfAbsent {
		if _, err := os.Lstat(path); err == nil {
			return false, nil
		}
	}
	temp, err := writeTemp(filepath.Join(o.dir, tempFolder), "*", body, !info.Lazy)
	made := false
	if err == nil {
		made, err = o.place(temp, path, info.IfAbsent)
	}
	if err := errors.Join(err, discard(temp)); err != nil {
		return false, unavailable("store object "+key, err)
	}
	return made, nil
}

// place gives a finished file its name, making the folders above it. A Delete
// may remove a folder that has just been made, hence the second try and more.
func (o *Objects) place(temp, path string, ifAbsent bool) (made bool, err error) {
	for range 20 {
		if err = os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return false, err
		}
		if ifAbsent {
			err = os.Link(temp, path) // of two processes, one succeeds
		} else {
			err = os.Rename(temp, path)
		}
		switch {
		case err == nil:
			return true, nil
		case ifAbsent && errors.Is(err, fs.ErrExist):
			return false, nil
		case !errors.Is(err, fs.ErrNotExist):
			return false, err
		}
	}
	return false, err
}

// Flush waits until objects are on the disk. The first wait writes the file
// system's journal for all of them, so that many cost little more than one.
func (o *Objects) Flush(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		if err := ctx.Err(); err != nil {
			return err
		}
		path, err := o.Path(key)
		if err != nil {
			return err
		}
		f, err := os.Open(path)
		if isAbsent(err) {
			continue
		}
		if err == nil {
			err = errors.Join(f.Sync(), f.Close())
		}
		if err != nil {
			return unavailable("flush object "+key, err)
		}
	}
	return nil
}

// writeTemp writes a new file of mode 0600 and, with sync, waits until it is on the disk.
// It returns the file's name also with an error, unless none was made.
func writeTemp(dir, pattern string, body io.Reader, sync bool) (string, error) {
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(f, body)
	if err == nil && sync {
		err = f.Sync()
	}
	return f.Name(), errors.Join(err, f.Close())
}

// discard removes what writeTemp made, unless it has been renamed.
func discard(temp string) error {
	if temp == "" {
		return nil
	}
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Get opens an object. It reads what was there when it was opened, even when
// the object is replaced meanwhile.
func (o *Objects) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	path, err := o.Path(key)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if isAbsent(err) {
		return nil, refuse("object %s: %w", key, pipeline.ErrNoObject)
	}
	if err != nil {
		return nil, unavailable("read object "+key, err)
	}
	if info, err := f.Stat(); err != nil || info.IsDir() {
		_ = f.Close() // nothing was written
		return nil, refuse("object %s: %w", key, pipeline.ErrNoObject)
	}
	return f, nil
}

// Delete removes objects, and the folders that this leaves empty.
func (o *Objects) Delete(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		if err := ctx.Err(); err != nil {
			return err
		}
		path, err := o.Path(key)
		if err != nil {
			return err
		}
		if info, err := os.Lstat(path); err == nil && info.IsDir() {
			continue // the key of a folder holds nothing
		}
		if err := os.Remove(path); err != nil && !isAbsent(err) {
			return unavailable("delete object "+key, err)
		}
		for dir := filepath.Dir(path); dir != o.dir && os.Remove(dir) == nil; {
			dir = filepath.Dir(dir)
		}
	}
	return nil
}

// List reads the keys with a prefix, one folder at a time.
func (o *Objects) List(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		_ = o.walk(ctx, "", prefix, yield)
	}
}

// walk yields the keys below a folder's key ("" or ending in a slash). It
// reports false when the consumer wants no more.
func (o *Objects) walk(ctx context.Context, folder, prefix string, yield func(string, error) bool) bool {
	entries, err := o.entries(ctx, folder)
	if err != nil {
		yield("", err)
		return false
	}
	for _, key := range entries {
		switch {
		case strings.HasSuffix(key, "/"):
			// Into a folder only when keys below it can have the prefix.
			if !strings.HasPrefix(key, prefix) && !strings.HasPrefix(prefix, key) {
				continue
			}
			if !o.walk(ctx, key, prefix, yield) {
				return false
			}
		case strings.HasPrefix(key, prefix):
			if !yield(key, nil) {
				return false
			}
		}
	}
	return true
}

// entries returns the keys in a folder, in byte order; those of folders end in
// a slash, which is also what makes the order that of the keys below them.
func (o *Objects) entries(ctx context.Context, folder string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	path := o.dir
	if folder != "" {
		var err error
		if path, err = o.Path(strings.TrimSuffix(folder, "/")); err != nil {
			return nil, err
		}
	}
	found, err := os.ReadDir(path)
	if err != nil && !isAbsent(err) {
		return nil, unavailable("list objects", err)
	}
	var keys []string
	for _, e := range found {
		seg, ok := segmentOf(e.Name())
		if !ok {
			continue // not ours
		}
		if e.IsDir() {
			seg += "/"
		}
		keys = append(keys, folder+seg)
	}
	slices.SortFunc(keys, cmp.Compare)
	return keys, nil
}

// sweep removes unfinished objects that nobody has written to since before.
func (o *Objects) sweep(before time.Time) error {
	dir := filepath.Join(o.dir, tempFolder)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		// A file that is gone has been finished meanwhile.
		if info, err := e.Info(); err == nil && info.ModTime().Before(before) {
			if err := discard(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
