package erase

import (
	"context"

	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// Suppressed reports whether an attendee was erased from a connection, so that
// syncs keep them out. Entries whose key is gone are ERASE_KEY.
func Suppressed(ctx context.Context, items pipeline.Items, secrets pipeline.Secrets, c run.Connection, id string) (bool, error) {
	e, err := pipeline.ReadErasures(ctx, items, secrets, c)
	return e.Has(id), err
}
