package pipeline

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"stovasync/shared/fault"
	"stovasync/shared/run"
)

// ObjectVersion is one version of an object, in a bucket that keeps them.
type ObjectVersion struct {
	Key, ID string
	Latest  bool // what Get answers with, or the marker that says there is nothing
	Marker  bool // that the object was deleted; it holds nothing but its key
}

// Stored removes an attendee from what runs of a connection have kept in objects
// and in the ledger, and leaves everybody else's as it is. Only operators' code
// uses it. It may be cut anywhere and done again.
type Stored struct {
	Ledger         Ledger
	Objects        Objects
	Connection, ID string
	// Count is told what was removed: see the Erased names. It must be safe for
	// concurrent use.
	Count func(what string, n int)
}

// What Stored counts.
const (
	ErasedRawRows    = "raw_rows"    // rows of raw pages, and notes that one was missing
	ErasedPlanIDs    = "plan_ids"    // ids in plans and in rests of pages
	ErasedRetryIDs   = "retry_ids"   // ids on retry lists
	ErasedReportRows = "report_rows" // rejects, warnings, retries and levels' first ids in reports
	ErasedTexts      = "texts"       // messages of the ledger that named the id
	ErasedProtected  = "protected"   // entries of protect in the settings
	ErasedDamaged    = "damaged"     // objects that nobody can read, deleted since they may hold anything
)

// storedAtOnce is how many objects or runs are looked at at once.
const storedAtOnce = 8

// ObjectPrefixes are the prefixes of what runs of a connection keep, but for
// the pictures.
func ObjectPrefixes(connection string) []string {
	return []string{"raw/" + connection + "/", "plans/" + connection + "/", "reports/" + connection + "/"}
}

// Remove goes through the objects, then through the ledger.
func (e Stored) Remove(ctx context.Context) error {
	for _, prefix := range ObjectPrefixes(e.Connection) {
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(storedAtOnce)
		for key, err := range e.Objects.List(ctx, prefix) {
			if err != nil {
				// A worker that failed has ended the listing: its error tells why.
				return cmp.Or(group.Wait(), storeError(err))
			}
			group.Go(func() error { return e.object(ctx, key) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	return e.ledger(ctx)
}

// NamesID reports whether a text names an id: not as a part of a longer number.
func NamesID(text []byte, id string) bool {
	_, n := redacted(string(text), id)
	return n > 0
}

// erasedText stands where an id was.
const erasedText = "(erased)"

// redacted replaces an id in a text, and says how often it was there.
func redacted(text, id string) (string, int) {
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	var b strings.Builder
	from, n := 0, 0
	for at := 0; ; {
		i := strings.Index(text[at:], id)
		if i < 0 {
			break
		}
		start, end := at+i, at+i+len(id)
		at = start + 1
		if start > 0 && digit(text[start-1]) || end < len(text) && digit(text[end]) {
			continue
		}
		b.WriteString(text[from:start] + erasedText)
		from, at, n = end, end, n+1
	}
	return b.String() + text[from:], n
}

// theirs reports whether an id is the attendee's own, or one of their schedule rows'.
func (e Stored) theirs(id string) bool { return id == e.ID || strings.HasPrefix(id, e.ID+"_") }

// without returns the ids that are not the attendee's, and how many are.
func (e Stored) without(ids []string) ([]string, int) {
	kept := slices.DeleteFunc(slices.Clone(ids), e.theirs)
	return kept, len(ids) - len(kept)
}

// object removes the attendee from one object, by what its key says it is:
// plans/CONN/RUN/STREAM, plans/CONN/RUN/rest/TYPE/PAGE-DIGEST,
// plans/CONN/RUN/retry/TYPE, raw/CONN/RUN/STREAM/PAGE, reports/CONN/RUN/TYPE/PAGE-DIGEST.
func (e Stored) object(ctx context.Context, key string) error {
	parts := strings.Split(strings.TrimSuffix(key, ".json.gz"), "/")
	kind := parts[0]
	if kind == "plans" && len(parts) > 4 {
		kind = parts[3]
	}
	of := parts[len(parts)-1]
	if kind == "raw" || kind == "rest" || kind == "reports" {
		of = parts[max(0, len(parts)-2)]
	}
	if !ofPeople(of) {
		return nil // other ids, which may be the same numbers
	}
	text, ok, err := getGzip(ctx, e.Objects, key)
	if fault.IsPermanent(err) {
		e.Count(ErasedDamaged, 1)
		return storeError(e.Objects.Delete(ctx, key))
	}
	if err != nil || !ok || !NamesID(text, e.ID) {
		return err
	}
	remove := map[string]func(context.Context, string, []byte, []string) error{
		"raw": e.raw, "plans": e.plan, "rest": e.rest, "retry": e.retry, "reports": e.report,
	}[kind]
	if remove == nil {
		return nil
	}
	return remove(ctx, key, text, parts)
}

// ofPeople reports whether a stream or a data type is one of attendees.
func ofPeople(name string) bool {
	t, err := run.ParseType(name)
	return name == string(run.Attendees) || err == nil && personal(t)
}

// decode reads an object that has been read already.
func decode(key string, text []byte, v any) error {
	if err := json.Unmarshal(text, v); err != nil {
		return damaged(key, err)
	}
	return nil
}

// raw removes a row from a raw page; rows are told apart by their lines.
func (e Stored) raw(ctx context.Context, key string, text []byte, _ []string) error {
	var p RawPage
	if err := p.decode(text); err != nil { // as getRaw: what cannot be read is fetched again
		e.Count(ErasedDamaged, 1)
		return storeError(e.Objects.Delete(ctx, key))
	}
	var ids []string
	for line := range bytes.Lines(text) {
		name, _, found := bytes.Cut(line, []byte(rawBody))
		var id string
		if name, ok := bytes.CutPrefix(name, []byte(rawID)); found && ok && json.Unmarshal(name, &id) == nil {
			ids = append(ids, id)
		}
	}
	n := 0
	if _, held := p.Rows[e.ID]; held {
		delete(p.Rows, e.ID)
		n++
	}
	if _, held := p.Poison[e.ID]; held {
		delete(p.Poison, e.ID)
		n++
	}
	gone, more := e.without(p.Gone)
	if p.Gone = gone; n+more == 0 {
		return nil // another's row holds the same digits
	}
	e.Count(ErasedRawRows, n+more)
	return putRaw(ctx, e.Objects, key, p, ids)
}

// plan removes an id from a plan. Its pages keep their places, so that the
// others are what they were; an emptied page settles with nothing. The pages'
// own numbers of rows are made right first: the plan no longer tells them.
func (e Stored) plan(ctx context.Context, key string, text []byte, parts []string) error {
	var p Plan
	if err := decode(key, text, &p); err != nil {
		return err
	}
	var n int
	p.All, n = e.without(p.All)
	listed := n > 0
	for i, ids := range p.Pages {
		kept, some := e.without(ids)
		if some == 0 {
			continue
		}
		p.Pages[i] = kept
		n += some
		for _, t := range run.AllTypes() {
			if t.Stream() != p.Stream {
				continue
			}
			if err := e.page(ctx, parts[2], t, strconv.Itoa(i+1), func(page *Page) { page.shrink(len(kept)) }); err != nil {
				return err
			}
		}
	}
	if listed {
		p.KeptOut++
	}
	n += e.warnings(p.Warnings)
	if n == 0 {
		return nil
	}
	e.Count(ErasedPlanIDs, n)
	_, err := putJSON(ctx, e.Objects, key, p, false)
	return err
}

func (e Stored) warnings(all []run.Warning) int {
	sum := 0
	for i := range all {
		var n int
		all[i].Message, n = redacted(all[i].Message, e.ID)
		sum += n
	}
	return sum
}

// page changes a page of the ledger that is there.
func (e Stored) page(ctx context.Context, id string, t run.DataType, name string, change func(*Page)) error {
	_, err := modify(ctx, e.Ledger.Items, pageKey(id, t, name), func(p *Page, exists bool) bool {
		if exists {
			change(p)
		}
		return exists
	})
	return storeError(err)
}

// shrink is told how many rows are left of a page, from which some were erased.
func (p *Page) shrink(rows int) {
	p.Erased += max(0, p.Rows-rows)
	p.Rows = rows
}

// rest removes an id from the rest of a page. The key tells a digest of what
// was in it, from which an id could be found by trying: the rest gets a new
// key, its page is told, and the old one goes. One that no page points to, of a
// delivery that lost, goes as it is.
func (e Stored) rest(ctx context.Context, key string, text []byte, parts []string) error {
	var ids []string
	if err := decode(key, text, &ids); err != nil {
		return err
	}
	kept, n := e.without(ids)
	if n == 0 {
		return nil
	}
	e.Count(ErasedPlanIDs, n)
	id, t, name := parts[2], run.DataType(parts[4]), pageOf(parts)
	page, ok, err := e.Ledger.Page(ctx, id, t, name)
	if err != nil {
		return err
	}
	if ok && page.IDs == key {
		next := restObject(e.Connection, id, t, name, kept)
		if _, err := putJSON(ctx, e.Objects, next, kept, false); err != nil {
			return err
		}
		if err := e.page(ctx, id, t, name, func(p *Page) {
			if p.IDs == key {
				p.IDs = next
				p.shrink(len(kept))
			}
		}); err != nil {
			return err
		}
	}
	return storeError(e.Objects.Delete(ctx, key))
}

// pageOf is the page's name in the last part of a key, PAGE-DIGEST.
func pageOf(parts []string) string {
	name, _, _ := strings.Cut(parts[len(parts)-1], "-")
	return name
}

func (e Stored) retry(ctx context.Context, key string, text []byte, _ []string) error {
	var ids []string
	if err := decode(key, text, &ids); err != nil {
		return err
	}
	kept, n := e.without(ids)
	if n == 0 {
		return nil
	}
	e.Count(ErasedRetryIDs, n)
	_, err := putJSON(ctx, e.Objects, key, kept, false)
	return err
}

// report removes what a page had to tell of the attendee; see rest for the key.
func (e Stored) report(ctx context.Context, key string, text []byte, parts []string) error {
	var r PageReport
	if err := decode(key, text, &r); err != nil {
		return err
	}
	n := e.fromReport(&r)
	if n == 0 {
		return nil
	}
	e.Count(ErasedReportRows, n)
	id, t, name := parts[2], run.DataType(parts[3]), pageOf(parts)
	page, ok, err := e.Ledger.Page(ctx, id, t, name)
	if err != nil {
		return err
	}
	if ok && page.Report == key {
		next := ""
		if !r.empty() {
			next = reportObject(e.Connection, id, t, name+"-"+digest(r))
			if _, err := putJSON(ctx, e.Objects, next, r, false); err != nil {
				return err
			}
		}
		if err := e.page(ctx, id, t, name, func(p *Page) {
			if p.Report == key {
				p.Report = next
			}
		}); err != nil {
			return err
		}
	}
	return storeError(e.Objects.Delete(ctx, key))
}

// fromReport removes the attendee from a report and says how often they were
// there. A level whose first id goes keeps its place: "" is before every id.
func (e Stored) fromReport(r *PageReport) int {
	before := len(r.Rejects)
	r.Rejects = slices.DeleteFunc(r.Rejects, func(x run.Reject) bool { return e.theirs(x.ID) })
	n := before - len(r.Rejects)
	var some int
	for i := range r.Rejects {
		r.Rejects[i].Reason, some = redacted(r.Rejects[i].Reason, e.ID)
		n += some
	}
	r.Retry, some = e.without(r.Retry)
	n += some
	for code, w := range r.Warned {
		w.First.Message, some = redacted(w.First.Message, e.ID)
		r.Warned[code] = w
		n += some
	}
	for slug, l := range r.Levels {
		if l.First == e.ID {
			l.First = ""
			r.Levels[slug] = l
			n++
		}
	}
	return n
}

// ledger removes the id from the texts of pages and type runs, and from the
// settings. Everything else there is counts and keys.
func (e Stored) ledger(ctx context.Context) error {
	runs, err := e.Ledger.Runs(ctx, e.Connection, 0)
	if err != nil {
		return err
	}
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(storedAtOnce)
	for _, r := range runs {
		group.Go(func() error { return e.texts(within, r.ID) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return e.protect(ctx)
}

func (e Stored) texts(ctx context.Context, id string) error {
	var hits []Key
	for it, err := range e.Ledger.Items.Query(ctx, Query{PK: runPK(id)}) {
		if err != nil {
			return storeError(fmt.Errorf("read run %s: %w", id, err))
		}
		if NamesID(it.Doc, e.ID) {
			hits = append(hits, it.Key)
		}
	}
	for _, k := range hits {
		n := 0
		var err error
		switch {
		case strings.HasPrefix(k.SK, "PAGE#"):
			_, err = modify(ctx, e.Ledger.Items, k, func(p *Page, exists bool) bool {
				p.Error, n = redacted(p.Error, e.ID)
				return exists && n > 0
			})
		case strings.HasPrefix(k.SK, typePrefix):
			_, err = modify(ctx, e.Ledger.Items, k, func(tr *TypeRun, exists bool) bool {
				tr.Error, n = redacted(tr.Error, e.ID)
				n += e.warnings(tr.Warnings)
				return exists && n > 0
			})
		}
		if err != nil {
			return storeError(err)
		}
		e.Count(ErasedTexts, n)
	}
	return nil
}

// protect takes the attendee out of the settings.
func (e Stored) protect(ctx context.Context) error {
	n := 0
	_, err := modify(ctx, e.Ledger.Items, settingsKey(e.Connection), func(c *SavedConnection, exists bool) bool {
		n = 0
		for t, ids := range c.Settings.Protect {
			if !personal(t) {
				continue
			}
			before := len(ids)
			maps.DeleteFunc(ids, func(id string, _ []string) bool { return e.theirs(id) })
			if n += before - len(ids); len(ids) == 0 {
				delete(c.Settings.Protect, t)
			}
		}
		return exists && n > 0
	})
	e.Count(ErasedProtected, n)
	return storeError(err)
}

// ReadObject reads a compressed text of a reader, as objects hold them.
func ReadObject(ctx context.Context, o Objects, key string) (text []byte, ok bool, err error) {
	return getGzip(ctx, o, key)
}

// ConnectionPK is the ledger's partition of a connection.
func ConnectionPK(connection string) string { return connPK(connection) }

// AskAgain puts an attendee on the retry lists of every type that has been
// synced, so that the next run reads them, also an incremental one whose vendor
// knows of no change.
func AskAgain(ctx context.Context, l Ledger, o Objects, connection, id string) error {
	for _, t := range run.AllTypes() {
		if t.Stream() != run.Attendees {
			continue // the picture follows its record
		}
		cur, err := l.Cursor(ctx, connection, t)
		if err != nil {
			return err
		}
		if cur.Run == "" && cur.Retry == "" {
			continue // the first run reads everything
		}
		var ids []string
		if cur.Retry != "" {
			if _, err := getJSON(ctx, o, cur.Retry, &ids); err != nil {
				return err
			}
		}
		if slices.Contains(ids, id) {
			continue
		}
		ids = append(ids, id)
		key := cmp.Or(cur.Retry, retryObject(connection, cur.Run, t))
		if _, err := putJSON(ctx, o, key, ids, false); err != nil {
			return err
		}
		if _, err := modify(ctx, l.Items, cursorKey(connection, t), func(c *Cursor, exists bool) bool {
			if !exists || c.Run != cur.Run || c.Retry == key {
				return false // a run has ended meanwhile: its plan lacks the id, so the next has it as new
			}
			c.Retry = key
			return true
		}); err != nil {
			return storeError(err)
		}
	}
	return nil
}

// MakeFullDue makes the next run of a connection a full one.
func MakeFullDue(ctx context.Context, l Ledger, connection string) error {
	_, err := modify(ctx, l.Items, activeKey(connection), func(a *Active, exists bool) bool {
		a.FullDue = true
		return exists // one that never ran reads everything anyway
	})
	return storeError(err)
}
