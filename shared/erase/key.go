package erase

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// key returns the key of the entries, and makes it for the first one. Of two
// erasures at once one makes it, and both go on with what is kept.
func (s Store) key(ctx context.Context, c run.Connection) ([]byte, error) {
	// Entries that were made with another key stop here.
	if _, err := pipeline.ReadErasures(ctx, s.Items, s.Secrets, c); err != nil {
		return nil, err
	}
	key, err := pipeline.EraseKey(ctx, s.Secrets)
	if !errors.Is(err, pipeline.ErrNoSecret) {
		return key, err
	}
	if err := s.noEntries(ctx); err != nil {
		// Another erasure may have made the key and the entry since.
		if key, none := pipeline.EraseKey(ctx, s.Secrets); none == nil {
			return key, nil
		}
		return nil, err
	}
	fresh := make([]byte, pipeline.EraseKeySize)
	if _, err := s.Random(fresh); err != nil {
		return nil, fmt.Errorf("make the key of the erasure entries: %w", err)
	}
	if _, err := s.Secrets.Create(ctx, pipeline.EraseSecret, hex.EncodeToString(fresh)); err != nil {
		return nil, err
	}
	for {
		key, err := pipeline.EraseKey(ctx, s.Secrets)
		if !errors.Is(err, pipeline.ErrNoSecret) {
			return key, err
		}
		// A store of secrets may show what it keeps only a moment later.
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// noEntries sees that no connection has an entry, also none that was removed: a
// new key would be of no use to them, and would look as if all were well.
func (s Store) noEntries(ctx context.Context) error {
	saved, err := s.ledger().Connections(ctx)
	if err != nil {
		return err
	}
	names, err := s.ledger().Removed(ctx)
	if err != nil {
		return err
	}
	for _, c := range saved {
		names = append(names, c.Settings.Name)
	}
	for _, name := range slices.Sorted(slices.Values(names)) {
		for _, err := range s.Items.Query(ctx, pipeline.Query{PK: pipeline.ConnectionPK(name), Prefix: pipeline.ErasedPrefix, Limit: 1}) {
			if err != nil {
				return unavailable("read the erasures of "+name, err)
			}
			return fault.New(fault.EraseKey, "people were erased from "+name+", and the key of their entries is gone",
				"restore the secret "+pipeline.EraseSecret+"; where it is lost for good, erase "+name+" --undo --all lifts the entries")
		}
	}
	return nil
}

// write is a change of one item of the ledger.
func write(k pipeline.Key, version int64, v any) (pipeline.Write, error) {
	doc, err := json.Marshal(v)
	return pipeline.Write{Key: k, Version: version, Doc: doc}, err
}

// enter writes the entry of an attendee, or opens one that is there anew.
func (s Store) enter(ctx context.Context, k pipeline.Key, key []byte) (entry pipeline.Erasure, err error) {
	for {
		it, err := s.Items.Get(ctx, k)
		if err != nil {
			return entry, unavailable("read an erasure", err)
		}
		entry = pipeline.Erasure{Key: pipeline.EraseKeyMark(key), At: s.Now().UTC()}
		if it.Version > 0 {
			var old pipeline.Erasure
			if err := json.Unmarshal(it.Doc, &old); err != nil {
				return entry, fmt.Errorf("decode an erasure: %w", err)
			}
			entry.At = old.At
			if old.Done.IsZero() {
				entry.Removed = old.Removed
			}
		}
		w, err := write(k, it.Version, entry)
		if err != nil {
			return entry, err
		}
		switch err := s.Items.Write(ctx, w); {
		case err == nil:
			return entry, nil
		case !errors.Is(err, pipeline.ErrVersion):
			return entry, unavailable("write an erasure", err)
		}
		if err := ctx.Err(); err != nil {
			return entry, err
		}
	}
}

// unavailable gives a failure of the store its code, unless it has one.
func unavailable(what string, err error) error {
	if fault.CodeOf(err) != "" || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fault.Wrap(fault.StoreUnavailable, err, what+": "+err.Error(), "check that the store can be reached and written, then run it again")
}
