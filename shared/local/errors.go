package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"stovasync/shared/fault"
)

// cause is what a failure of the system below means for a reader.
type cause struct{ msg, next string }

var (
	full     = cause{"the disk is full", "free some space and run the command again; nothing that was reported as done is lost"}
	denied   = cause{"the store's folder cannot be written", "check its owner and permissions, or name another folder with --target local:DIR"}
	damaged  = cause{"the store's database is damaged", "put back a copy of the folder, or name a new one with --target local:DIR and sync again"}
	disk     = cause{"the disk failed", "check the disk, then run the command again"}
	busy     = cause{"another process holds the store", "wait for it to end, then run the command again"}
	newer    = cause{"the store was written by a newer version of stovasync", "use that version, or name another folder with --target local:DIR"}
	unclear  = cause{"the store failed", "run the command again; if it stays, name another folder with --target local:DIR"}
	readOnly = cause{"the disk of the store's folder is read-only", "mount it to be written, or name a folder on another disk with --target local:DIR"}
	foreign  = cause{"the folder holds the database of another program", "name another folder with --target local:DIR"}
	noFile   = cause{"a folder stands where the store needs a file", "name another folder with --target local:DIR"}
	noFolder = cause{"a file stands where the store needs a folder", "name another folder with --target local:DIR"}
)

// byResult maps SQLite's primary result codes.
func byResult(code int) cause {
	c, ok := map[int]cause{
		sqlite3.SQLITE_FULL:     full,
		sqlite3.SQLITE_READONLY: denied,
		sqlite3.SQLITE_CANTOPEN: denied,
		sqlite3.SQLITE_PERM:     denied,
		sqlite3.SQLITE_AUTH:     denied,
		sqlite3.SQLITE_CORRUPT:  damaged,
		sqlite3.SQLITE_NOTADB:   damaged,
		sqlite3.SQLITE_IOERR:    disk,
		sqlite3.SQLITE_BUSY:     busy,
		sqlite3.SQLITE_LOCKED:   busy,
	}[code&0xff]
	if !ok {
		return unclear
	}
	return c
}

// unavailable gives a failure of SQLite or of the folder its code and next
// step. The cause's own text is not printed: it may hold paths.
func unavailable(op string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", op, err)
	}
	c := unclear
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		c = byResult(e.Code())
		if c == unclear {
			c.msg = fmt.Sprintf("the store failed with code %d", e.Code())
		}
	}
	switch {
	case errors.Is(err, errNewer):
		c = newer
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		c = full
	case errors.Is(err, errForeign):
		c = foreign
	case errors.Is(err, syscall.EROFS):
		c = readOnly
	case errors.Is(err, fs.ErrPermission):
		c = denied
	case errors.Is(err, syscall.EISDIR):
		c = noFile
	case errors.Is(err, syscall.EIO):
		c = disk
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		c = noFolder
	}
	return fault.Wrap(fault.StoreUnavailable, err, op+": "+c.msg, c.next)
}

// isBusy reports whether another process held a lock of the database.
func isBusy(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && (e.Code()&0xff == sqlite3.SQLITE_BUSY || e.Code()&0xff == sqlite3.SQLITE_LOCKED)
}
