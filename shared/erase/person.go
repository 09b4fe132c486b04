package erase

import (
	"context"
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
	entry, version, err := s.enter(ctx, pipeline.ErasureKey(c.Name, hash), key)
	if err != nil {
		return Receipt{}, err
	}
	p := &person{Store: s, conn: c, id: id, removed: map[string]int{}}
	if err := p.removeAll(ctx); err != nil {
		return Receipt{}, err
	}
	r := s.receipt(c.Name, Erased, hash, began)
	r.Removed, r.Found = p.removed, len(p.removed) > 0
	entry.Done = r.At
	return r, s.close(ctx, pipeline.ErasureKey(c.Name, hash), version, entry, r)
}

// close writes the receipt and the end of the entry, both or none. An entry that
// somebody else has moved meanwhile, by erasing the same person, is theirs to end.
func (s Store) close(ctx context.Context, k pipeline.Key, version int64, entry pipeline.Erasure, r Receipt) error {
	w, err := write(k, version, entry)
	if err != nil {
		return err
	}
	kept, err := write(receiptKey(r), 0, r)
	if err != nil {
		return err
	}
	err = s.Items.Write(ctx, w, kept)
	if errors.Is(err, pipeline.ErrVersion) {
		err = s.Items.Write(ctx, kept)
	}
	if err != nil {
		return unavailable("write the receipt", err)
	}
	return nil
}

// person is one attendee on the way out.
type person struct {
	Store
	conn run.Connection
	id   string

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

// removeAll removes the person once nobody is at work who has not seen the entry.
func (p *person) removeAll(ctx context.Context) error {
	ctx, release, err := p.Still(ctx, p.conn.Name)
	if err != nil {
		return err
	}
	defer release()
	if err := p.remove(ctx); err != nil {
		if lost, ok := errors.AsType[*fault.Error](context.Cause(ctx)); ok {
			return lost
		}
		return err
	}
	return nil
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
	if err := p.records(ctx); err != nil {
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
	erased, err := pipeline.ReadErasures(ctx, s.Items, s.Secrets, c)
	if err != nil {
		return Receipt{}, err
	}
	if !erased.Has(id) {
		return Receipt{Connection: c.Name, Action: Lifted, At: began.UTC(), Removed: map[string]int{}}, nil
	}
	key, err := pipeline.EraseKey(ctx, s.Secrets)
	if err != nil {
		return Receipt{}, err
	}
	hash := pipeline.ErasureHash(key, c, id)
	// Asked for first: cut between the two, the person only stays out, and the
	// entry says so.
	if err := pipeline.AskAgain(ctx, s.ledger(), s.Objects, c.Name, id); err != nil {
		return Receipt{}, err
	}
	r := s.receipt(c.Name, Lifted, hash, began)
	r.Entries = 1
	return r, s.lift(ctx, r, pipeline.ErasureKey(c.Name, hash))
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
