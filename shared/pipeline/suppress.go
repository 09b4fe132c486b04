package pipeline

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/run"
)

// Who was erased must not come back. An entry of the ledger says so of one
// attendee without naming them: it is an HMAC of account, event and attendee id
// under a key of the secret store. The ids of a vendor's event can be counted
// through in minutes, so that a hash without a key would name everybody.
//
// Every task that handles people reads the entries when it begins. Without any
// it needs no key. Plans leave erased ids out; pages leave them out again, since
// a plan, a rest or a task may be older than the entry. What is left out is not
// read: it is in no count of rows.

// EraseSecret is the name under which Secrets keep the key of the entries. No
// connection can have it.
const EraseSecret = "_erase"

// Erasure is one entry as the ledger keeps it.
type Erasure struct {
	// Key tells which key the entry was made with, and not the key.
	Key string    `json:"key"`
	At  time.Time `json:"at"`
	// Done is when everything of the person was found removed; zero while that
	// is under way, or was cut.
	Done time.Time `json:"done,omitzero"`
	// Removed are numbers of what was removed so far, by an erasure that is under
	// way or was cut: for the receipt of the one that ends it.
	Removed map[string]int `json:"removed,omitempty"`
}

// ErasedPrefix begins the sort keys of a connection's entries, BusyPrefix
// those of the tasks at work on its people.
const (
	ErasedPrefix = "ERASED#"
	BusyPrefix   = "BUSY#"
)

// ErasureKey is the key of an entry.
func ErasureKey(connection, hash string) Key { return Key{connPK(connection), ErasedPrefix + hash} }

// EraseKeySize is the length of a key in bytes.
const EraseKeySize = 32

// EraseKeyMark tells keys apart without giving them away.
func EraseKeyMark(key []byte) string {
	sum := sha256.Sum256(append([]byte("stovasync erasure key "), key...))
	return hex.EncodeToString(sum[:8])
}

// ErasureHash is the one-way name of an attendee.
func ErasureHash(key []byte, c run.Connection, id string) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(c.AccountID + "\n" + c.EventID + "\n" + id))
	return hex.EncodeToString(h.Sum(nil))
}

// EraseKey reads the key of the entries; ErrNoSecret when there is none.
func EraseKey(ctx context.Context, secrets Secrets) ([]byte, error) {
	if secrets == nil {
		return nil, ErrNoSecret
	}
	text, err := secrets.Get(ctx, EraseSecret)
	if err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(text)
	if err != nil || len(key) != EraseKeySize {
		return nil, eraseKeyLost("the key of the erasure entries is damaged")
	}
	return key, nil
}

// eraseKeyLost stops what would bring erased people back.
func eraseKeyLost(msg string) error {
	return fault.Permanent(fault.New(fault.EraseKey, msg, "restore the secret "+EraseSecret+"; where it is lost for good, erase NAME --undo --all lifts the entries"))
}

// Erasures knows who was erased from a connection. The zero value knows nobody.
type Erasures struct {
	conn   run.Connection
	key    []byte
	hashes map[string]bool
}

// ReadErasures reads a connection's entries, consistently, and only if there
// are any their key. Entries without their key are ERASE_KEY: nobody can tell
// any more who must stay out.
func ReadErasures(ctx context.Context, items Items, secrets Secrets, c run.Connection) (Erasures, error) {
	e := Erasures{conn: c}
	marks := map[string]bool{}
	for it, err := range items.Query(ctx, Query{PK: connPK(c.Name), Prefix: ErasedPrefix}) {
		if err != nil {
			return Erasures{}, storeError(fmt.Errorf("read the erasures of %s: %w", c.Name, err))
		}
		var entry Erasure
		if err := json.Unmarshal(it.Doc, &entry); err != nil {
			return Erasures{}, storeError(fmt.Errorf("decode an erasure of %s: %v", c.Name, err))
		}
		if e.hashes == nil {
			e.hashes = map[string]bool{}
		}
		e.hashes[it.SK[len(ErasedPrefix):]] = true
		marks[entry.Key] = true
	}
	if len(e.hashes) == 0 {
		return e, nil
	}
	var err error
	if e.key, err = EraseKey(ctx, secrets); errors.Is(err, ErrNoSecret) {
		return Erasures{}, eraseKeyLost(fmt.Sprintf("the key of the %d erasure entries of %s is gone", len(e.hashes), c.Name))
	}
	if err != nil {
		return Erasures{}, storeError(err)
	}
	if mark := EraseKeyMark(e.key); len(marks) > 1 || !marks[mark] {
		return Erasures{}, eraseKeyLost("erasure entries of " + c.Name + " were made with another key than the one there is")
	}
	return e, nil
}

// Has reports whether an attendee was erased.
func (e Erasures) Has(id string) bool {
	return len(e.hashes) > 0 && e.hashes[ErasureHash(e.key, e.conn, id)]
}

// keep returns the ids that were not erased, in their order, and how many were.
func (e Erasures) keep(ids []string) ([]string, int) {
	if len(e.hashes) == 0 {
		return ids, 0
	}
	kept := slices.DeleteFunc(slices.Clone(ids), e.Has)
	return kept, len(ids) - len(kept)
}

// scrub takes erased ids out of a raw page that is older than their entries:
// what is read may be written again.
func (e Erasures) scrub(p *RawPage) {
	if len(e.hashes) == 0 {
		return
	}
	p.Gone, _ = e.keep(p.Gone)
	for id := range p.Rows {
		if e.Has(id) {
			delete(p.Rows, id)
		}
	}
	for id := range p.Poison {
		if e.Has(id) {
			delete(p.Poison, id)
		}
	}
}

// personal reports whether tasks of a type handle people by their attendee ids.
func personal(t run.DataType) bool {
	return t.Stream() == run.Attendees || t.Stream() == run.UserPhotosStream
}

// busyFor is when the word of a task that died may be dropped.
const busyFor = 24 * time.Hour

// enter lets a task at people begin: first it says so in the ledger, where
// nothing else tells who is at work, then it reads who was erased. An erasure
// writes its entry, then reads who is at work: either it sees the task, and
// waits for it, or the task sees the entry. over says that the task has ended;
// the word of a task that dies lapses with the time that a task may take.
func (s *Steps) enter(ctx context.Context, j *job) (over func(), err error) {
	over = func() {}
	if s.Announce {
		k := Key{connPK(j.Connection), BusyPrefix + strconv.FormatUint(rand.Uint64(), 36)}
		w, err := put(k, AnyVersion, map[string]time.Time{"since": s.now()})
		if err != nil {
			return over, err
		}
		w.Expires = s.now().Add(busyFor)
		if err := s.Ledger.Items.Write(ctx, w); err != nil {
			return over, storeError(err)
		}
		over = func() {
			brief, cancel := context.WithTimeout(context.WithoutCancel(ctx), spentTimeout)
			defer cancel()
			_ = s.Ledger.Items.Write(brief, Write{Key: k, Version: AnyVersion, Delete: true}) // it lapses by itself
		}
	}
	j.Erased, err = ReadErasures(ctx, s.Ledger.Items, s.Secrets, j.Conn)
	if err != nil {
		over()
		over = func() {}
	}
	return over, err
}
