package local

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

var (
	errNewer   = errors.New("schema is newer than this program")
	errForeign = errors.New("database of another program")
)

// applicationID marks our files in their header, as SQLite provides for it. The
// files of the first version have no mark.
const applicationID = 0x73766f79

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
	}, {
		fmt.Sprintf("PRAGMA application_id = %d", applicationID),
	}}
}

// migrate brings the schema from the version that the file has to the last of
// the steps, wholly or not at all: a process that ends in between leaves the
// file as it was. A file that we did not make is left alone.
func (d *database) migrate(ctx context.Context, all [][]string) error {
	return d.update(ctx, "migrate the store", func(t tx) error {
		version, err := t.version()
		if err != nil {
			return err
		}
		if version > len(all) {
			return errNewer
		}
		if version == len(all) {
			return nil
		}
		for ; version < len(all); version++ {
			for _, s := range all[version] {
				if _, err := d.conn.ExecContext(ctx, s); err != nil {
					return err
				}
			}
		}
		_, err = d.conn.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", len(all)))
		return err
	})
}

// version is the number of steps that have made the file. The error is
// errForeign for a file that has tables and is none of ours.
func (t tx) version() (int, error) {
	var version, application, tables int
	for into, query := range map[*int]string{
		&version: "PRAGMA user_version", &application: "PRAGMA application_id",
		&tables: "SELECT count(*) FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'",
	} {
		if err := t.query(func(r *sql.Rows) error { return r.Scan(into) }, query); err != nil {
			return 0, err
		}
	}
	if application != 0 && application != applicationID || version == 0 && tables > 0 {
		return 0, errForeign
	}
	return version, nil
}
