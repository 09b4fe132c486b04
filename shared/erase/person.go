package erase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

var idPattern = regexp.MustCompile(`^[0-9]{1,20}$`)

// CheckID refuses what is no attendee id. It does not repeat what it was given,
// which may be a name or an e-mail address.
func CheckID(id string) error {
	if idPattern.MatchString(id) {
		return nil
	}
	return fault.New(fault.ConfigInvalid, "that is no attendee id: the vendor's are digits alone",
		"look the person up at the vendor, or with export NAME users: fp_ext_id is the attendee id")
}

// Person erases an attendee from a connection and keeps them out of its later
// runs. It may be cut anywhere and called again; the receipt then counts what
// was still there. Erasing somebody who is not there keeps them out too.
func Person(ctx context.Context, s Store, c run.Connection, id string) (Receipt, error) {
	if err := CheckID(id); err != nil {
		return Receipt{}, err
	}
	began := s.Now()
	key, err := s.key(ctx, c)
	if err != nil {
		return Receipt{}, err
	}
	hash := pipeline.ErasureHash(key, c, id)
	p := &person{Store: s, conn: c, id: id, secret: key, entry: pipeline.ErasureKey(c.Name, hash)}
	if _, err := s.enter(ctx, p.entry, key); err != nil {
		return Receipt{}, err
	}
	var r Receipt
	err = s.still(ctx, c.Name, func(ctx context.Context) error {
		if err := p.removeAll(ctx); err != nil {
			return err
		}
		r = s.receipt(c.Name, Erased, hash, began)
		r.Removed, r.Found = p.removed, len(p.removed) > 0
		kept, err := write(receiptKey(r), 0, r)
		if err != nil {
			return err
		}
		return s.amend(ctx, p.entry, func(e *pipeline.Erasure) { e.Done, e.Removed = r.At, nil }, kept)
	})
	return r, err
}

// still does something while no other erasure is under way, and no task is at
// work that began before.
func (s Store) still(ctx context.Context, connection string, do func(context.Context) error) error {
	ctx, release, err := s.Still(ctx, connection)
	if err != nil {
		return err
	}
	defer release()
	if err := do(ctx); err != nil {
		if lost, ok := errors.AsType[*fault.Error](context.Cause(ctx)); ok {
			return lost
		}
		return err
	}
	return nil
}

// amend changes an entry that is there, in one transaction with other writes.
// Who waits to erase the same person moves the entry too.
func (s Store) amend(ctx context.Context, k pipeline.Key, change func(*pipeline.Erasure), more ...pipeline.Write) error {
	for {
		it, err := s.Items.Get(ctx, k)
		if err != nil {
			return unavailable("read an erasure", err)
		}
		writes := slices.Clone(more)
		if it.Version > 0 { // else all entries were lifted meanwhile
			var e pipeline.Erasure
			if err := json.Unmarshal(it.Doc, &e); err != nil {
				return fmt.Errorf("decode an erasure: %w", err)
			}
			change(&e)
			w, err := write(k, it.Version, e)
			if err != nil {
				return err
			}
			writes = append(writes, w)
		}
		if len(writes) == 0 {
			return nil
		}
		if err = s.Items.Write(ctx, writes...); err == nil {
			return nil
		}
		if now, bad := s.Items.Get(ctx, k); !errors.Is(err, pipeline.ErrVersion) || bad != nil || now.Version == it.Version {
			return unavailable("write an erasure", err)
		}
	}
}

// person is one attendee on the way out.
type person struct {
	Store
	conn   run.Connection
	id     string
	secret []byte
	entry  pipeline.Key

	mu      sync.Mutex
	removed map[string]int
}

func (p *person) count(what string, n int) {
	if n == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.removed[what] += n
}

// noteTime bounds the note of an erasure that was cut.
const noteTime = 3 * time.Second

// removeAll removes the person, on top of what erasures that were cut have
// removed. Cut itself, it leaves a note of that in the entry: whoever ends the
// erasure finds nothing of it any more.
func (p *person) removeAll(ctx context.Context) error {
	entry, err := p.enter(ctx, p.entry, p.secret) // another may have ended it meanwhile
	if err != nil {
		return err
	}
	p.removed = maps.Clone(entry.Removed)
	if p.removed == nil {
		p.removed = map[string]int{}
	}
	err = p.remove(ctx)
	if err != nil {
		brief, done := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
		defer done()
		err = errors.Join(err, p.note(brief))
	}
	return err
}

// note keeps what was removed so far in the entry.
func (p *person) note(ctx context.Context) error {
	if len(p.removed) == 0 {
		return nil
	}
	return p.amend(ctx, p.entry, func(e *pipeline.Erasure) { e.Removed = p.removed })
}

// remove removes the person from every place, the records last.
func (p *person) remove(ctx context.Context) error {
	if err := p.pictures(ctx); err != nil {
		return err
	}
	stored := pipeline.Stored{Ledger: p.ledger(), Objects: p.Objects, Connection: p.conn.Name, ID: p.id, Count: p.count}
	if err := stored.Remove(ctx); err != nil {
		return err
	}
	if err := p.oldVersions(ctx); err != nil {
		return err
	}
	if err := p.note(ctx); err != nil { // a process that is killed leaves no other
		return err
	}
	if err := p.records(ctx); err != nil {
		return err
	}
	if err := p.note(ctx); err != nil {
		return err
	}
	if p.Scrub == nil {
		return nil
	}
	return p.Scrub(ctx, p.conn.Name)
}

// own are the types whose records have the attendee's id.
var own = []run.DataType{run.Users, run.Sponsors, run.UserPhotos}

// pictures deletes the person's pictures: those of the event, and of every
// event that a record of theirs still links to. The records go last, so that
// they can tell.
func (p *person) pictures(ctx context.Context) error {
	events := map[string]bool{p.conn.EventID: true}
	for _, t := range own {
		found, err := p.Records.Get(ctx, p.conn.Name, t, []string{p.id})
		if err != nil {
			return unavailable(fmt.Sprintf("read %s", t), err)
		}
		for _, name := range []string{"photo_object", "object_key"} {
			key, _ := found[p.id].Fields[name].(string)
			if event, _, ok := strings.Cut(key, "/"); ok && event != "" {
				events[event] = true
			}
		}
	}
	for _, event := range slices.Sorted(maps.Keys(events)) {
		for _, owner := range []string{"person", "sponsor"} {
			if err := p.picturesOf(ctx, event+"/"+owner+"/"+p.id+"/"); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *person) picturesOf(ctx context.Context, prefix string) error {
	var keys []string
	for key, err := range p.Objects.List(ctx, prefix) {
		if err != nil {
			return unavailable("list pictures", err)
		}
		keys = append(keys, key)
	}
	if err := p.Objects.Delete(ctx, keys...); err != nil {
		return unavailable(fmt.Sprintf("delete %d pictures", len(keys)), err)
	}
	p.count(Pictures, len(keys))
	if p.Versions == nil {
		return nil
	}
	var all []pipeline.ObjectVersion
	for v, err := range p.Versions.List(ctx, prefix) {
		if err != nil {
			return unavailable("list the versions of pictures", err)
		}
		all = append(all, v)
	}
	if err := p.Versions.Delete(ctx, all...); err != nil {
		return unavailable(fmt.Sprintf("delete %d versions of pictures", len(all)), err)
	}
	if old := len(all) - 2*len(keys); old > 0 { // each that was just deleted, with its marker, is counted
		p.count(OldVersions, old)
	}
	return nil
}

// records deletes the person's records and tombstones.
func (p *person) records(ctx context.Context) error {
	rows := []string{}
	for r, err := range p.Records.Scan(ctx, p.conn.Name, run.Schedule, pipeline.Scan{Prefix: p.id + "_", Removed: true}) {
		if err != nil {
			return unavailable("read schedule rows", err)
		}
		rows = append(rows, r.ID)
	}
	ids := map[run.DataType][]string{run.Schedule: rows}
	for _, t := range own {
		ids[t] = []string{p.id}
	}
	for _, t := range append(slices.Clone(own), run.Schedule) {
		n, err := p.Records.Erase(ctx, p.conn.Name, t, ids[t])
		if err != nil {
			return unavailable(fmt.Sprintf("erase records of %s", t), err)
		}
		p.count(string(t), n)
	}
	return nil
}

// Lift takes the entry of an attendee away and has the next run ask for them,
// also an incremental one. What was removed comes back from the vendor alone.
// Lifting what is not there is no error: Entries is 0.
func Lift(ctx context.Context, s Store, c run.Connection, id string) (Receipt, error) {
	if err := CheckID(id); err != nil {
		return Receipt{}, err
	}
	began := s.Now()
	r := Receipt{Connection: c.Name, Action: Lifted, At: began.UTC(), Removed: map[string]int{}}
	if erased, err := pipeline.ReadErasures(ctx, s.Items, s.Secrets, c); err != nil || !erased.Has(id) {
		return r, err
	}
	// The retry lists are read and written whole, as by erasures of others.
	err := s.still(ctx, c.Name, func(ctx context.Context) error {
		erased, err := pipeline.ReadErasures(ctx, s.Items, s.Secrets, c)
		if err != nil || !erased.Has(id) {
			return err
		}
		key, err := pipeline.EraseKey(ctx, s.Secrets)
		if err != nil {
			return err
		}
		hash := pipeline.ErasureHash(key, c, id)
		entry := pipeline.ErasureKey(c.Name, hash)
		// Cut from here on, the person stays out and their id is back: the entry
		// says that it is unfinished, and erasing or lifting again ends it.
		if err := s.amend(ctx, entry, func(e *pipeline.Erasure) { e.Done = time.Time{} }); err != nil {
			return err
		}
		if err := pipeline.AskAgain(ctx, s.ledger(), s.Objects, c.Name, id); err != nil {
			return err
		}
		r = s.receipt(c.Name, Lifted, hash, began)
		r.Entries = 1
		return s.lift(ctx, r, entry)
	})
	return r, err
}

// LiftAll takes all entries of a connection away, for a key that is lost for
// good: nobody can tell whose they are. The next run is full.
func LiftAll(ctx context.Context, s Store, c run.Connection) (Receipt, error) {
	began := s.Now()
	var keys []pipeline.Key
	for it, err := range s.Items.Query(ctx, pipeline.Query{PK: pipeline.ConnectionPK(c.Name), Prefix: pipeline.ErasedPrefix}) {
		if err != nil {
			return Receipt{}, unavailable("read the erasures of "+c.Name, err)
		}
		keys = append(keys, it.Key)
	}
	r := s.receipt(c.Name, Lifted, "", began)
	r.Entries = len(keys)
	if len(keys) == 0 {
		r.Receipt = ""
		return r, nil
	}
	if err := pipeline.MakeFullDue(ctx, s.ledger(), c.Name); err != nil {
		return Receipt{}, err
	}
	return r, s.lift(ctx, r, keys...)
}

// lift deletes entries and writes the receipt, in the last transaction.
func (s Store) lift(ctx context.Context, r Receipt, keys ...pipeline.Key) error {
	const batch = 50
	for chunk := range slices.Chunk(keys, batch) {
		var writes []pipeline.Write
		for _, k := range chunk {
			writes = append(writes, pipeline.Write{Key: k, Version: pipeline.AnyVersion, Delete: true})
		}
		if chunk[len(chunk)-1] == keys[len(keys)-1] {
			w, err := write(receiptKey(r), 0, r)
			if err != nil {
				return err
			}
			writes = append(writes, w)
		}
		if err := s.Items.Write(ctx, writes...); err != nil {
			return unavailable("lift erasures", err)
		}
	}
	return nil
}

// Since returns how many people were erased from a connection since a time: for
// who follows its export, and cannot be told by a tombstone.
func Since(ctx context.Context, items pipeline.Items, connection string, at time.Time) (int, error) {
	all, err := Receipts(ctx, items, connection)
	n := 0
	for _, r := range all {
		if r.Action == Erased && r.Found && !r.At.Before(at) {
			n++
		}
	}
	return n, err
}
