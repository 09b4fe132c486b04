package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"time"

	"stovasync/shared/run"
)

// ErrVersion is returned by Items.Write when an item is not at the version a
// write names. Nothing was written.
var ErrVersion = errors.New("item is not at the expected version")

// ErrNoObject is returned by Objects.Get for a key that holds nothing.
var ErrNoObject = errors.New("no such object")

// ErrNoSecret is returned by Secrets.Get for a connection without a key.
var ErrNoSecret = errors.New("no such secret")

// Key names one item of the ledger: the partition and sort keys of design.md §5.
type Key struct{ PK, SK string }

// Item is one item of the ledger: a JSON object under a key.
type Item struct {
	Key
	// Version counts the writes of this key since it last did not exist: 1
	// after the first. 0 says that the item does not exist.
	Version int64
	Doc     json.RawMessage
}

// Write is one part of a transaction on the ledger.
type Write struct {
	Key
	// Version is the version the item must be at: 0, it must not exist;
	// AnyVersion, whatever it is.
	Version int64
	// Doc replaces the item's document, a JSON object, and raises its version.
	// nil only checks the version, or deletes with Delete.
	Doc    json.RawMessage
	Delete bool
	// Failed puts the item into the sparse index of failed pages under this
	// connection; empty takes it out.
	Failed string
	// Expires is when the item may be dropped by the store; zero: never.
	// Readers must not rely on it being gone.
	Expires time.Time
}

// AnyVersion makes a Write unconditional.
const AnyVersion int64 = -1

// Query says which items of a partition to read.
type Query struct {
	PK      string
	Prefix  string // of the sort key
	Reverse bool   // from the last sort key to the first
	Limit   int    // at most this many; 0: all
}

// Items is the ledger's store: a few thousand small documents with
// transactions. All of it may be called at once, by many processes.
type Items interface {
	// Get reads one item, consistently: it sees every write that returned
	// before the call. An item that is not there has Version 0 and no error.
	Get(ctx context.Context, k Key) (Item, error)

	// Query reads the items of one partition whose sort key has the prefix,
	// consistently, in the byte order of the sort key. No item is no error.
	// The sequence stops after yielding an error.
	Query(ctx context.Context, q Query) iter.Seq2[Item, error]

	// Write does all writes or none. It returns ErrVersion (errors.Is) when
	// any item is not at its version; conflicts with other transactions are
	// retried inside until ctx ends. At most 100 writes, each key once. A
	// caller whose Write returned an error other than ErrVersion does not know
	// whether it happened.
	Write(ctx context.Context, writes ...Write) error

	// Failed reads the sparse index: the items written with Failed =
	// connection ("" for all connections), in no order. The index may lag
	// behind; callers check the items.
	Failed(ctx context.Context, connection string) iter.Seq2[Item, error]
}

// Record is one stored record: mapped fields and the envelope of
// spotme-model.md §5.1.
type Record struct {
	ID     string // fp_ext_id, 1 to 128 characters
	Type   string // fp_type
	Status string // fp_status
	Owner  string // fp_owner
	// Fields are the mapped fields under their target names, plus those that
	// pages do not own (photo_object, in_slot). Values are string, bool,
	// int64, float64 or []string; empty ones are absent.
	Fields       map[string]any
	Protect      []string // fp_protect
	Hash         string   // content_hash
	LastModified string   // source_lastmodified, as the vendor wrote it; may be ""
	Run          string   // the run that last wrote the content
	CreatedRun   string   // the run that wrote the record first
	// FetchedAt is when the content was read from the vendor.
	FetchedAt time.Time
	UpdatedAt time.Time // taken at the write
	RemovedAt time.Time // of a tombstone; else zero
}

// RecordUpdate changes one record, or makes it.
type RecordUpdate struct {
	ID string
	// Set and Unset name fields of Record.Fields; others stay as they are.
	Set   map[string]any
	Unset []string
	// Content, when not nil, replaces the envelope: Type, Status, Owner, Hash,
	// LastModified, Run, FetchedAt. CreatedRun becomes Content.Run when the
	// record does not exist or is a tombstone; a tombstone is lifted. Its
	// Fields are ignored, as are Protect (never written by an update).
	// The update happens only if the stored FetchedAt is not later than
	// Content.FetchedAt. nil: the record must exist and not be a tombstone;
	// only fields and UpdatedAt move.
	Content *Record
	// Remove makes the record a tombstone: RemovedAt is set to the time of the
	// update, all Fields go, the envelope stays. Set, Unset and Content are
	// ignored. A record that does not exist or is a tombstone stays as it is
	// and counts as not applied.
	Remove bool
}

// Scan says which records of one connection and type to read.
type Scan struct {
	Prefix  string    // of fp_ext_id
	After   string    // only ids greater than this
	Since   time.Time // only records whose UpdatedAt is not before; zero: all
	Removed bool      // tombstones too
}

// Records is the store of records. All of it may be called at once.
type Records interface {
	// Get reads records by id, tombstones included, consistently. Ids that are
	// not stored are absent from the map. Any number of ids.
	Get(ctx context.Context, connection string, t run.DataType, ids []string) (map[string]Record, error)

	// Update applies each update on its own, in any order, stamping UpdatedAt
	// with now. It returns, per update, whether it was applied: false when its
	// condition did not hold. Throttled writes are retried until ctx ends. On
	// an error some updates may have been applied. Each id at most once.
	Update(ctx context.Context, connection string, t run.DataType, now time.Time, updates []RecordUpdate) ([]bool, error)

	// Scan reads records in the byte order of fp_ext_id with bounded memory.
	// The sequence stops after yielding an error. Records written during the
	// scan may or may not be seen.
	Scan(ctx context.Context, connection string, t run.DataType, s Scan) iter.Seq2[Record, error]
}

// ObjectInfo says how to keep an object.
type ObjectInfo struct {
	ContentType string
	// IfAbsent keeps what the key already holds.
	IfAbsent bool
	// Lazy says that nothing points to the object yet, or that it can be had
	// again: an adapter may leave it to a Flush to make it outlast a power cut.
	Lazy bool
}

// Flusher is what Objects may offer besides: waiting for lazy objects.
type Flusher interface {
	// Flush returns when the objects under keys outlast a power cut. One that
	// holds nothing is no error.
	Flush(ctx context.Context, keys ...string) error
}

// Objects is the store of plans, raw pages, photos and reports: a bucket or a
// folder. All of it may be called at once. Keys are slash-separated, without
// "..", empty or dot segments.
type Objects interface {
	// Put stores body under key, wholly or not at all. It reports false when
	// IfAbsent is set and the key already held something, which then stays.
	Put(ctx context.Context, key string, body io.ReadSeeker, info ObjectInfo) (bool, error)
	// Get opens an object; ErrNoObject when the key holds nothing.
	Get(ctx context.Context, key string) (io.ReadCloser, error)
	// Delete removes keys; one that holds nothing is no error.
	Delete(ctx context.Context, keys ...string) error
	// List reads the keys with a prefix in byte order. The sequence stops
	// after yielding an error.
	List(ctx context.Context, prefix string) iter.Seq2[string, error]
}

// Tasks sends tasks, each to its own queue (run.Task.Queue).
type Tasks interface {
	// Send queues all tasks, at least once each. On an error some may have
	// been queued. Any number of tasks; none is no error.
	Send(ctx context.Context, tasks ...run.Task) error
}

// DeadLetter is one message that was given up.
type DeadLetter struct {
	Task    run.Task // zero when the body is not a task
	Body    string
	Queue   run.Queue // the queue it came from
	Receipt string    // names it for DeadLetters.Delete
}

// DeadLetters are the messages that were given up, of both queues.
type DeadLetters interface {
	// Bury puts a task straight into the dead letters of its queue: for a
	// failure that no retry can mend.
	Bury(ctx context.Context, t run.Task) error
	// Dead visits the dead letters; each at least once, while nobody else
	// visits them. Those that were not deleted can be visited again at once
	// after the sequence ends.
	Dead(ctx context.Context) iter.Seq2[DeadLetter, error]
	// Delete removes a dead letter of the visit under way or just ended.
	// Deleting twice is no error.
	Delete(ctx context.Context, d DeadLetter) error
}

// Secrets keeps the vendor keys of connections.
type Secrets interface {
	// Get returns the key of a connection; ErrNoSecret when there is none.
	Get(ctx context.Context, connection string) (string, error)
	// Put keeps a key, replacing an older one.
	Put(ctx context.Context, connection, key string) error
	// Delete forgets a key; none is no error.
	Delete(ctx context.Context, connection string) error
}
