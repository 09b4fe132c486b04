package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/mapping"
	"stovasync/shared/photo"
	"stovasync/shared/run"
)

// photoPageSize is how many pictures make a page (design.md §9).
const photoPageSize = 20

// dueAfter is how long a picture that was missing or refused is left alone by
// incremental runs.
const dueAfter = 24 * time.Hour

// ownerKind is a kind of record that owns pictures.
type ownerKind struct {
	name  string // as in owner_type and in the keys of objects
	of    run.DataType
	field string // the target field that names the picture
}

// ownerKinds returns who owns the pictures of a photo type. Sponsors' logos
// have no type of their own at this vendor: where logo is mapped they travel
// with user photos (spotme-model.md §5.7). An attendee is active as one of the
// two, never as both (R4, R6).
func (j job) ownerKinds() []ownerKind {
	if j.Type == run.PresenterPhotos {
		return []ownerKind{{"presenter", run.Presenters, "photo"}}
	}
	kinds := []ownerKind{{"person", run.Users, "photo"}}
	if j.Set.Maps(run.Sponsors, "logo") {
		kinds = append(kinds, ownerKind{"sponsor", run.Sponsors, "logo"})
	}
	return kinds
}

// owner is a record that names a picture, or links to one it no longer names.
type owner struct {
	ownerKind
	Record
}

func (o owner) value() string { return text(o.Fields, o.field) }

// active reports whether the owner's picture may be asked for (P11).
func (o owner) active() bool { return o.ID != "" && o.Status == "active" && o.RemovedAt.IsZero() }

// mayOwn reports whether a record names a picture, or links to one.
func (o owner) mayOwn() bool {
	return o.active() && (o.value() != "" || text(o.Fields, photoField) != "")
}

// volatile are the fields of a photo record that say when and how it was
// fetched, not what it is: they do not make a record changed.
var volatile = map[string]bool{"etag": true, "last_modified": true, "fetched_at": true}

// planPhotos lists the owners whose pictures a run asks for: in a full run all
// that are active and name one, else those whose source changed or is due, and
// those whose picture is gone while their record still links to one.
func (s *Steps) planPhotos(ctx context.Context, j job, p *Plan) error {
	have := map[string]Record{}
	for r, err := range s.Records.Scan(ctx, j.Connection, j.Type, Scan{}) {
		if err != nil {
			return storeError(err)
		}
		have[r.ID] = photoState(r)
	}
	known, err := s.cursors(ctx, j)
	if err != nil {
		return err
	}
	full := j.Run.Mode == run.Full || slices.ContainsFunc(known, func(c Cursor) bool { return c.Started.IsZero() || c.Hash != p.Hash })
	if !full {
		p.Mode = run.Incremental
	}
	again, err := s.retries(ctx, known)
	if err != nil {
		return err
	}
	var chosen []string
	now := s.now()
	for _, kind := range j.ownerKinds() {
		for r, err := range s.Records.Scan(ctx, j.Connection, kind.of, Scan{}) {
			if err != nil {
				return storeError(err)
			}
			o := owner{kind, r}
			if !o.mayOwn() || j.Erased.Has(r.ID) {
				continue
			}
			named := o.value() != ""
			if named {
				p.All = append(p.All, o.ID)
			}
			if !named || full || again[o.ID] || s.photoDue(j, o, have[o.ID], now) {
				chosen = append(chosen, o.ID)
			}
		}
	}
	p.Pages = cut(chosen, photoPageSize)
	return nil
}

// photoState keeps of a photo record what planning needs, so that a plan of
// many pictures stays small.
func photoState(r Record) Record {
	return Record{ID: r.ID, FetchedAt: fetchedAt(r), Fields: map[string]any{
		"source_url": r.Fields["source_url"], "state": r.Fields["state"], "object_key": r.Fields["object_key"],
	}}
}

func fetchedAt(r Record) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text(r.Fields, "fetched_at"))
	if err != nil {
		return r.FetchedAt
	}
	return t
}

// photoDue reports whether an incremental run asks for an owner's picture.
func (s *Steps) photoDue(j job, o owner, have Record, now time.Time) bool {
	if have.ID == "" {
		return true
	}
	// A value that makes no address has none, as its record will have none.
	if url, _ := sourceURL(j, o); url != text(have.Fields, "source_url") {
		return true
	}
	if text(have.Fields, "state") == string(photo.Stored) {
		return text(o.Fields, photoField) != text(have.Fields, "object_key")
	}
	return now.Sub(have.FetchedAt) >= dueAfter
}

// sourceURL is where an owner's picture is.
func sourceURL(j job, o owner) (string, error) {
	base := j.Conn.PersonPhotoEndpoint
	if j.Type == run.PresenterPhotos {
		base = j.Conn.PresenterPhotoEndpoint
	}
	value := o.value()
	return photo.SourceURL(base, photo.Values{
		AccountID: j.Conn.AccountID, EventID: j.Conn.EventID, ID: value, Name: value, Value: value,
	}, j.Conn.AllowedPhotoHosts)
}

// picture is one owner's picture on its way.
type picture struct {
	j     job
	owner owner
	old   Record // the photo record; zero when there is none
	at    time.Time

	w      work
	record *RecordUpdate // of the photo record
	link   *RecordUpdate // of the owner
	stored string        // key of the object that was put
}

// photoPage fetches a page of pictures, several at once.
func (s *Steps) photoPage(ctx context.Context, j job, ids []string) (work, error) {
	owners, err := s.owners(ctx, j, ids)
	if err != nil {
		return work{}, err
	}
	old, err := s.Records.Get(ctx, j.Connection, j.Type, ids)
	if err != nil {
		return work{}, storeError(fmt.Errorf("read %d photo records: %w", len(ids), err))
	}
	fetch := ctx
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		fetch, cancel = context.WithDeadlineCause(ctx, deadline.Add(-s.margin()), errMargin)
		defer cancel()
	}
	probes, err := s.probes(ctx, j, len(ids))
	if err != nil {
		return work{}, err
	}
	g := gallery{s: s, from: s.Connector.Downloader(j.Conn), links: map[run.DataType][]RecordUpdate{}}
	s.probed(probes, ids, func(id string) bool {
		o, ok := owners[id]
		if !ok {
			return true
		}
		p := &picture{j: j, owner: o, old: old[id], at: s.now()}
		err := g.get(fetch, ctx, p)
		return g.take(fetch, p, err)
	}, func() bool { return g.tally.outage(probes) }, func(id string) { g.rest = append(g.rest, id) })
	heard := s.heardOf(ctx, j, probes, g.tally)
	if err := cmp.Or(g.abort, g.tally.verdict(), g.tally.outageOf(), heard); err != nil {
		return work{used: g.w.used}, err
	}
	if len(g.rest) == 0 {
		if err := s.unproven(ctx, j, g.tally); err != nil {
			return work{used: g.w.used}, err
		}
	}
	if fetch.Err() != nil && !errors.Is(context.Cause(fetch), errMargin) {
		return work{used: g.w.used}, context.Cause(fetch)
	}
	if g.late != nil && g.tally.good+g.tally.failed == 0 {
		return work{used: g.w.used}, g.late
	}
	g.w.rest = inOrder(ids, g.rest)
	return g.w, g.write(ctx, j)
}

// owners reads who owns the pictures of a page.
func (s *Steps) owners(ctx context.Context, j job, ids []string) (map[string]owner, error) {
	all := make(map[string]owner, len(ids))
	for _, kind := range j.ownerKinds() {
		records, err := s.Records.Get(ctx, j.Connection, kind.of, ids)
		if err != nil {
			return nil, storeError(fmt.Errorf("read %d owners: %w", len(ids), err))
		}
		for id, r := range records {
			// One that neither names nor links is one whose link an earlier
			// delivery of this page took away: it counts as that again.
			o, other := owner{kind, r}, all[id]
			if o.mayOwn() || o.active() && other.ID == "" {
				all[id] = o
			}
		}
	}
	return all, nil
}

// gallery gathers the pictures of a page.
type gallery struct {
	s    *Steps
	from Downloader

	mu      sync.Mutex
	w       work
	rest    []string
	records []RecordUpdate
	links   map[run.DataType][]RecordUpdate // by the type of the owner
	stored  []string                        // keys of objects
	tally   tally
	abort   error
	late    error // what there was no time left to wait for
}

// take files one picture and reports whether to go on. A picture that cannot
// be fetched for a server's trouble is tried again in the next run; when most
// cannot, the page fails.
func (g *gallery) take(fetch context.Context, p *picture, err error) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.w.used = g.w.used.plus(p.w.used)
	switch {
	case err == nil:
		g.tally.good++
		g.w.counts = g.w.counts.Plus(p.w.counts)
		g.w.report.Rejects = append(g.w.report.Rejects, p.w.report.Rejects...)
		if p.record != nil {
			g.records = append(g.records, *p.record)
		}
		if p.link != nil {
			g.links[p.owner.of] = append(g.links[p.owner.of], *p.link)
		}
		if p.stored != "" {
			g.stored = append(g.stored, p.stored)
		}
	case fetch.Err() != nil:
		g.rest = append(g.rest, p.owner.ID)
		return false
	case fault.IsOutOfTime(err):
		g.rest, g.late = append(g.rest, p.owner.ID), err
		return false
	case !poisonous(err):
		g.abort = err
	default:
		g.w.retry(p.owner.ID)
		g.w.reject(run.Reject{Type: p.j.Type, ID: p.owner.ID, Code: string(fault.RowPoison), Reason: "its picture cannot be fetched: " + string(fault.CodeOf(err))})
		g.tally.fail(err)
	}
	return g.abort == nil && !g.tally.down()
}

// write stores the photo records, then the owners' links: a link promises the
// object and its record.
func (g *gallery) write(ctx context.Context, j job) error {
	if f, ok := g.s.Objects.(Flusher); ok && len(g.stored) > 0 {
		if err := f.Flush(ctx, g.stored...); err != nil {
			return storeError(fmt.Errorf("flush %d pictures: %w", len(g.stored), err))
		}
	}
	if len(g.records) > 0 {
		if _, err := g.s.Records.Update(ctx, j.Connection, j.Type, g.s.now(), g.records); err != nil {
			return storeError(fmt.Errorf("store %d photo records: %w", len(g.records), err))
		}
	}
	for _, kind := range j.ownerKinds() {
		links := g.links[kind.of]
		if len(links) == 0 {
			continue
		}
		if _, err := g.s.Records.Update(ctx, j.Connection, kind.of, g.s.now(), links); err != nil {
			return storeError(fmt.Errorf("link %d photos: %w", len(links), err))
		}
	}
	return nil
}

// get fetches one picture and says what to store of it.
func (g *gallery) get(fetch, ctx context.Context, p *picture) (err error) {
	if p.owner.value() == "" {
		p.w.counts.Read++
		p.w.counts.Changed++
		p.unlink()
		return nil
	}
	url, err := sourceURL(p.j, p.owner)
	if err != nil {
		p.refused("", photo.Reason{Code: fault.CodeOf(err), Text: err.Error()})
		return nil
	}
	ask := p.request(url)
	if ask != (photo.Request{URL: url}) && p.j.Run.Mode == run.Full {
		// A full run trusts no "not modified" for a picture that is gone here.
		held, err := g.s.holds(ctx, text(p.old.Fields, "object_key"))
		if err != nil {
			return err
		}
		if !held {
			ask = photo.Request{URL: url}
		}
	}
	pic, err := g.from.Fetch(fetch, ask)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pic.Close()) }()
	p.w.used.PhotoBytes += pic.Bytes
	switch pic.State {
	case photo.Stored:
		return g.keep(ctx, p, url, pic)
	case photo.Unchanged:
		p.count(&p.w.counts, false)
		p.linkTo(text(p.old.Fields, "object_key"))
	case photo.Missing:
		p.missing(url, pic.Reason.Text)
	default:
		p.refused(url, pic.Reason)
	}
	return nil
}

// holds reports whether an object is there.
func (s *Steps) holds(ctx context.Context, key string) (bool, error) {
	r, err := s.Objects.Get(ctx, key)
	switch {
	case errors.Is(err, ErrNoObject):
		return false, nil
	case err != nil:
		return false, storeError(fmt.Errorf("look at %s: %w", key, err))
	}
	return true, r.Close()
}

// request asks for a picture, and only for a changed one when the one of the
// same source is stored.
func (p *picture) request(url string) photo.Request {
	r := photo.Request{URL: url}
	if text(p.old.Fields, "state") == string(photo.Stored) && text(p.old.Fields, "source_url") == url && p.old.RemovedAt.IsZero() {
		r.ETag, r.LastModified, r.Hash = text(p.old.Fields, "etag"), text(p.old.Fields, "last_modified"), text(p.old.Fields, "photo_hash")
	}
	return r
}

// keep puts a picture into the objects and makes its record.
func (g *gallery) keep(ctx context.Context, p *picture, url string, pic photo.Picture) error {
	key := p.object(pic.Hash, pic.Ext)
	if _, err := g.s.Objects.Put(ctx, key, pic.Body, ObjectInfo{ContentType: pic.ContentType, IfAbsent: true, Lazy: true}); err != nil {
		return storeError(fmt.Errorf("put a picture: %w", err))
	}
	p.state(url, photo.Stored, map[string]any{
		"object_key": key, "photo_hash": pic.Hash, "content_type": pic.ContentType, "bytes": pic.Bytes,
		"width": int64(pic.Width), "height": int64(pic.Height), "etag": pic.ETag, "last_modified": pic.LastModified,
	}, true)
	p.linkTo(key)
	p.stored = key
	return nil
}

// object is the key of a picture: by its content, so that a key never changes
// what it holds.
func (p *picture) object(hash, ext string) string {
	return fmt.Sprintf("%s/%s/%s/%s.%s", p.j.Conn.EventID, p.owner.name, p.owner.ID, hash, strings.TrimPrefix(ext, "."))
}

// missing: the vendor has no such file. What is stored of the same source
// stays: a file that cannot be had today proves no removal.
func (p *picture) missing(url, reason string) {
	p.w.counts.Read++
	p.w.counts.Missing++
	p.absent(url, photo.Missing, reason)
}

// refused: what is there is no picture we take.
func (p *picture) refused(url string, reason photo.Reason) {
	p.w.reject(run.Reject{Type: p.j.Type, ID: p.owner.ID, Code: string(reason.Code), Reason: reason.Text})
	p.absent(url, photo.Rejected, reason.Text)
}

func (p *picture) absent(url string, state photo.State, reason string) {
	fields := map[string]any{"reason": reason}
	if text(p.old.Fields, "source_url") == url {
		for _, name := range []string{"object_key", "photo_hash", "content_type", "bytes", "width", "height"} {
			if v, ok := p.old.Fields[name]; ok {
				fields[name] = v
			}
		}
	} else {
		p.unlink()
	}
	p.state(url, state, fields, false)
}

// state makes the update of the photo record, if it says something new, and
// counts it where counted.
func (p *picture) state(url string, state photo.State, fields map[string]any, counted bool) {
	fields["owner_type"], fields["owner_ext_id"], fields["state"] = p.owner.name, p.owner.ID, string(state)
	if url != "" {
		fields["source_url"] = url
	}
	for name, v := range fields {
		if v == "" {
			delete(fields, name)
		}
	}
	hash := mapping.Hash(free(fields, volatile), "active")
	known := p.old.ID != "" && p.old.RemovedAt.IsZero()
	changed := !known || p.old.Hash != hash
	if counted {
		p.count(&p.w.counts, changed)
	}
	if !changed && p.at.Sub(fetchedAt(p.old)) < dueAfter {
		return
	}
	fields["fetched_at"] = p.at.Format(time.RFC3339)
	if !changed {
		p.record = &RecordUpdate{ID: p.owner.ID, Set: map[string]any{"fetched_at": fields["fetched_at"]}}
		return
	}
	u := RecordUpdate{ID: p.owner.ID, Set: fields, Content: &Record{
		ID: p.owner.ID, Type: p.j.Type.RecordType(), Status: "active", Owner: "global",
		Hash: hash, Run: p.j.Task.Run, FetchedAt: p.at,
	}}
	for name := range p.old.Fields {
		if _, kept := fields[name]; !kept {
			u.Unset = append(u.Unset, name)
		}
	}
	p.record = &u
}

// count files a stored picture as new, changed or unchanged; one that this run
// stored before counts as that again.
func (p *picture) count(c *run.Counts, changed bool) {
	known := p.old.ID != "" && p.old.RemovedAt.IsZero()
	mine := known && p.old.Run == p.j.Task.Run
	c.Read++
	switch {
	case !known, mine && p.old.CreatedRun == p.old.Run:
		c.New++
	case mine, changed:
		c.Changed++
	default:
		c.Unchanged++
	}
}

func (p *picture) linkTo(key string) {
	if p.linkProtected() {
		return
	}
	if key != "" && text(p.owner.Fields, photoField) != key {
		p.link = &RecordUpdate{ID: p.owner.ID, Set: map[string]any{photoField: key}}
	}
}

// linkProtected reports whether the owner's link is left alone (R19).
func (p *picture) linkProtected() bool {
	return slices.Contains(p.owner.Protect, photoField) || slices.Contains(p.j.Conn.Protect[p.owner.of][p.owner.ID], photoField)
}

func (p *picture) unlink() {
	if p.linkProtected() {
		return
	}
	if text(p.owner.Fields, photoField) != "" {
		p.link = &RecordUpdate{ID: p.owner.ID, Unset: []string{photoField}}
	}
}

var _ Downloader = (*photo.Fetcher)(nil)
