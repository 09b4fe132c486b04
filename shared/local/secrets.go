package local

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// Secrets keeps each connection's key in a file that only its owner may read
// (pipeline.Secrets).
type Secrets struct{ dir string }

var _ pipeline.Secrets = (*Secrets)(nil)

// Get returns the key of a connection.
func (s *Secrets) Get(ctx context.Context, connection string) (string, error) {
	if err := checkName(ctx, connection); err != nil {
		return "", err
	}
	key, err := os.ReadFile(filepath.Join(s.dir, connection))
	if errors.Is(err, fs.ErrNotExist) {
		return "", refuse("read the key of connection %s: %w", connection, pipeline.ErrNoSecret)
	}
	if err != nil {
		return "", unavailable("read the key of connection "+connection, err)
	}
	return string(key), nil
}

// Put keeps a key.
func (s *Secrets) Put(ctx context.Context, connection, key string) error {
	if err := checkName(ctx, connection); err != nil {
		return err
	}
	// A dot cannot begin a connection's name, so the unfinished file is none.
	temp, err := writeTemp(s.dir, ".new-*", strings.NewReader(key), true)
	if err == nil {
		err = os.Rename(temp, filepath.Join(s.dir, connection))
	}
	if err != nil {
		return errors.Join(unavailable("keep the key of connection "+connection, err), discard(temp))
	}
	return nil
}

// Delete forgets a key.
func (s *Secrets) Delete(ctx context.Context, connection string) error {
	if err := checkName(ctx, connection); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(s.dir, connection)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return unavailable("forget the key of connection "+connection, err)
	}
	return nil
}

// checkName keeps names that are no connection's away from the folder.
func checkName(ctx context.Context, connection string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !run.ValidName(connection) && connection != pipeline.EraseSecret {
		return refuse("connection %q: not a name of a connection", connection)
	}
	return nil
}
