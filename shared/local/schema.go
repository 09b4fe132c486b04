package local

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

var errNewer = errors.New("schema is newer than this program")

// steps returns the statements that bring the schema from version i to i+1.
// A step that has shipped is never changed.
func steps() [][]string {
	return [][]string{{
		`CREATE TABLE items (
			pk TEXT NOT NULL, sk TEXT NOT NULL,
			version INTEGER NOT NULL, doc BLOB NOT NULL,
			failed TEXT NOT NULL,     -- connection in the index of failed pages, or ''
			expires INTEGER NOT NULL, -- Unix nanoseconds, or 0
			PRIMARY KEY (pk, sk)) WITHOUT ROWID`,
		`CREATE INDEX items_failed ON items (failed) WHERE failed <> ''`,
		`CREATE INDEX items_expires ON items (expires) WHERE expires > 0`,
		`CREATE TABLE records (
			part TEXT, -- connection#type
			id TEXT,
			updated_at INTEGER,
			removed_at INTEGER, -- Unix nanoseconds, or 0
			doc TEXT,           -- JSON: the rest of the envelope, and the fields
			PRIMARY KEY (part, id))`,
		`CREATE TABLE messages (
			id INTEGER PRIMARY KEY AUTOINCREMENT,
			queue TEXT NOT NULL, grp TEXT NOT NULL, body TEXT NOT NULL,
			sent_at INTEGER NOT NULL, visible_at INTEGER NOT NULL,
			receives INTEGER NOT NULL,   -- counted towards the limit
			deliveries INTEGER NOT NULL, -- never falls: makes receipts unique
			first_received INTEGER NOT NULL,
			held INTEGER NOT NULL,       -- 1 from a receive until it is given back
			dead INTEGER NOT NULL)`,
		`CREATE INDEX messages_visible ON messages (dead, queue, visible_at)`,
	}}
}

// migrate brings the schema to this program's version.
func (d *database) migrate(ctx context.Context) error {
	all := steps()
	return d.update(ctx, "migrate the store", func(t tx) error {
		var version int
		if err := t.query(func(r *sql.Rows) error { return r.Scan(&version) }, "PRAGMA user_version"); err != nil {
			return err
		}
		if version > len(all) {
			return errNewer
		}
		for ; version < len(all); version++ {
			for _, s := range all[version] {
				if _, err := d.conn.ExecContext(ctx, s); err != nil {
					return err
				}
			}
		}
		_, err := d.conn.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", len(all)))
		return err
	})
}
