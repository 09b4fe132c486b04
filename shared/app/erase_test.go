package app_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"stovasync/shared/app"
	"stovasync/shared/erase"
	"stovasync/shared/fault"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
	"stovasync/shared/stova/stovatest"
)

// traces are what may not be found of a person, by what it is.
type traces map[string][]byte

// in returns what of the traces a text holds. A compressed text is looked at
// from inside too, as far as it can be read.
func (x traces) in(text []byte) (found []string) {
	texts := [][]byte{text}
	if z, err := gzip.NewReader(bytes.NewReader(text)); err == nil {
		plain, _ := io.ReadAll(z)
		texts = append(texts, plain)
	}
	for what, trace := range x {
		if slices.ContainsFunc(texts, func(text []byte) bool { return bytes.Contains(text, trace) }) {
			found = append(found, what)
		}
	}
	slices.Sort(found)
	return found
}

// scanFolder looks for traces in every name and every byte of a folder.
func (x traces) scanFolder(tb testing.TB, dir string) (found []string) {
	tb.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		for _, what := range x.in([]byte(name)) {
			found = append(found, what+" in a name")
		}
		if d.IsDir() {
			return nil
		}
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		for _, what := range x.in(text) {
			found = append(found, what+" in "+shape(name))
		}
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// shape is the beginning of a file's name: which kind of file it is.
func shape(name string) string {
	parts := strings.Split(filepath.ToSlash(name), "/")
	return strings.Join(parts[:min(2, len(parts))], "/")
}

// distinct gives a person values that nobody else has, and returns them with
// the id and the picture's bytes.
func (w *world) distinct(id string) traces {
	w.t.Helper()
	var x traces
	w.twin.Edit(func(e *stovatest.Event) {
		p := e.Person(id)
		p.FirstName, p.LastName, p.Email = "Xanthippe", "Qwolverton", "xq@erased.example.test"
		p.Company, p.MobilePhone = "Quincunx Zymurgy", "+44|7700|919191"
		e.Touch(id)
		x = traces{
			"the id": []byte(id), "the first name": []byte(p.FirstName), "the last name": []byte(p.LastName), "the e-mail": []byte(p.Email),
			"the company": []byte(p.Company), "the phone": []byte("919191"), "the upload": []byte(p.Photo),
		}
	})
	return x
}

// victim is a user with a picture and picks.
func (w *world) victim() string {
	var id string
	w.twin.View(func(e *stovatest.Event) {
		id = someone(e, func(p *stovatest.Person) bool {
			return p.Photo != "" && len(p.Picks) > 0 && p.Status == "Confirmed" && p.Category != "Sponsor"
		}).ID
	})
	return id
}

// withPicture adds the picture that is stored of a person to the traces.
func (w *world) withPicture(x traces, id string) {
	w.t.Helper()
	r := w.stored()[run.UserPhotos][id]
	key, _ := r.Fields["object_key"].(string)
	body, err := os.ReadFile(filepath.Join(w.dir, "objects", filepath.FromSlash(key)))
	if err != nil {
		w.t.Fatal(err)
	}
	x["the picture"], x["the picture's hash"] = body, []byte(r.Fields["photo_hash"].(string))
}

func (w *world) erasing() erase.Store {
	w.t.Helper()
	s, err := w.app.Erasing(func(string) {})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) connection() run.Connection {
	w.t.Helper()
	c, err := w.app.Steps.Ledger.Connection(w.t.Context(), w.name)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) erase(id string) erase.Receipt {
	w.t.Helper()
	r, err := erase.Person(w.t.Context(), w.erasing(), w.connection(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// expectWithout is what an event asks for of which somebody was erased.
func (w *world) expectWithout(id string) store {
	w.t.Helper()
	var x wish
	w.twin.View(func(e *stovatest.Event) {
		without := *e
		without.People = slices.DeleteFunc(slices.Clone(e.People), func(p *stovatest.Person) bool { return p.ID == id })
		x = expect(w.t, &without, w.set)
	})
	return x.store
}

// eventful runs everything that makes a store hold a person in all its places:
// pages, a reject, a retry list, a failed page, protected fields.
func eventful(t *testing.T, o stovatest.Options) (w *world, id string, x traces) {
	t.Helper()
	w = newWorld(t, o, stovatest.ServerOptions{}, "pageSize: 7\n")
	id = w.victim()
	x = w.distinct(id)
	w.connect("pageSize: 7\nprotect:\n  users: {\"" + id + "\": [position]}\n")
	w.sync(run.Full)
	w.withPicture(x, id)
	// A row whose call keeps failing is a reject, and on the retry lists.
	w.faults("poison:id=" + id)
	w.sync(run.Full)
	w.twin.ClearFaults()
	// A page that fails holds the person when it is run again.
	w.faults("500:endpoint=getAttendee")
	if v, err := w.run(run.Full); err != nil || v.State == run.Complete {
		t.Fatalf("the run that was to fail is %s: %v", v.State, err)
	}
	w.twin.ClearFaults()
	return w, id, x
}

func TestNothingIsLeftOfWhoWasErasedAndNobodyComesBack(t *testing.T) {
	t.Parallel()
	w, id, x := eventful(t, stovatest.Options{Seed: 41, Attendees: 30, Sessions: 10, Speakers: 4, Sponsors: 4, Levels: 2})
	before := x.scanFolder(t, w.dir)
	for _, place := range []string{"the id in a name", "the id in objects/raw", "the id in objects/plans", "the id in objects/reports", "the id in stovasync.db",
		"the picture in objects/" + w.event.ID, "the e-mail in stovasync.db", "the phone in objects/raw"} {
		if !slices.Contains(before, place) && !slices.Contains(before, place+"-wal") {
			t.Errorf("before the erasure the scan does not find %s, so that it proves nothing: %q", place, before)
		}
	}
	updated := w.stamps()

	r := w.erase(id)
	if !r.Found || r.Removed["users"] != 1 || r.Removed["schedule"] == 0 || r.Removed["user-photos"] != 1 || r.Removed[erase.Pictures] != 1 ||
		r.Removed[pipeline.ErasedRawRows] == 0 || r.Removed[pipeline.ErasedPlanIDs] == 0 || r.Removed[pipeline.ErasedReportRows] == 0 ||
		r.Removed[pipeline.ErasedRetryIDs] == 0 || r.Removed[pipeline.ErasedProtected] != 1 {
		t.Errorf("the receipt: %+v", r)
	}
	none := func(when string) {
		t.Helper()
		if found := x.scanFolder(t, w.dir); len(found) > 0 {
			t.Errorf("%s there is still %s", when, strings.Join(found, ", "))
		}
	}
	none("after the erasure")
	for what, at := range w.stamps() {
		if !updated[what].Equal(at) {
			t.Errorf("%s was written by the erasure of somebody else", what)
		}
	}

	// The failed pages are re-run: the one that held the person does without.
	if _, err := w.app.Redrive(t.Context(), pipeline.Filter{Connection: w.name}, false); err != nil {
		t.Fatal(err)
	}
	if left, err := w.app.Steps.Failed(t.Context(), pipeline.Filter{Connection: w.name}); err != nil || len(left) > 0 {
		t.Errorf("after the redrive there are %d failures: %v", len(left), err)
	}
	none("after the redrive")
	w.check(w.expectWithout(id))

	full := w.sync(run.Full)
	none("after a full run")
	w.twin.Edit(func(e *stovatest.Event) { e.Person(id).JobTitle = "Edited"; e.Touch(id) })
	w.sync(run.Incremental)
	none("after an incremental run with the person edited")
	w.twin.Edit(func(e *stovatest.Event) {
		p := e.Person(id)
		p.Category, p.Subcategory = "Sponsor", "Gold"
		e.Touch(id)
	})
	w.sync(run.Full)
	none("after a full run with the person moved to the sponsors")
	w.check(w.expectWithout(id))
	w.sumOf(full)

	again := w.erase(id)
	if again.Found || again.Entry != r.Entry {
		t.Errorf("erased once more: %+v, first %+v", again, r)
	}
	none("after a second erasure")

	// Lifting brings the person back with an incremental run, though nothing has changed.
	if _, err := erase.Lift(t.Context(), w.erasing(), w.connection(), id); err != nil {
		t.Fatal(err)
	}
	if v := w.sync(run.Incremental); v.Mode != run.Incremental {
		t.Errorf("the run after --undo is %s", v.Mode)
	}
	if r, there := w.stored()[run.Sponsors][id]; !there || r.Status != "active" {
		t.Error("the person is not back")
	}
	w.sync(run.Full) // which alone knows the order of the levels
	w.check(w.expect().store)
	w.receiptsTellNobody(x)
}

// grids are the grids of a run by their types.
func (w *world) grids(v pipeline.RunView) map[run.DataType]pipeline.TypeGrid {
	w.t.Helper()
	all, err := pipeline.GridOf(w.t.Context(), w.app.Steps, v.Run)
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[run.DataType]pipeline.TypeGrid{}
	for _, g := range all {
		out[g.Type] = g
	}
	return out
}

// sumOf holds a full run to its sum: who was kept out is in no count.
func (w *world) sumOf(v pipeline.RunView) {
	w.t.Helper()
	for dt, tv := range v.Types {
		if c := tv.Counts; c.Read != c.New+c.Changed+c.Unchanged+c.Filtered+c.Rejected+c.Pending+c.Missing {
			w.t.Errorf("%s: read %d is not the sum of %+v", dt, c.Read, c)
		}
	}
	grids, err := pipeline.GridOf(w.t.Context(), w.app.Steps, v.Run)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, g := range grids {
		if g.Difference != "" {
			w.t.Errorf("%s: %s", g.Type, g.Difference)
		}
	}
}

// receiptsTellNobody looks at the receipts, and at all that the ledger keeps.
func (w *world) receiptsTellNobody(x traces) {
	w.t.Helper()
	all, err := erase.Receipts(w.t.Context(), w.app.Steps.Ledger.Items, w.name)
	if err != nil {
		w.t.Fatal(err)
	}
	var actions []erase.Action
	for _, r := range all {
		actions = append(actions, r.Action)
	}
	if want := []erase.Action{erase.Erased, erase.Erased, erase.Lifted}; !slices.Equal(actions, want) {
		w.t.Errorf("receipts of %v, want %v", actions, want)
	}
	doc, err := json.Marshal(all)
	if err != nil {
		w.t.Fatal(err)
	}
	if found := x.in(doc); len(found) > 0 {
		w.t.Errorf("the receipts hold %q", found)
	}
}

func TestGridsStayWholeWhereAPersonWasErased(t *testing.T) {
	t.Parallel()
	w := newWorld(t, small(42), stovatest.ServerOptions{}, "pageSize: 7\n")
	id := w.victim()
	first := w.sync(run.Full)
	before := w.grids(first)
	w.erase(id)
	for dt, g := range w.grids(first) {
		was, read := before[dt], 0
		for _, c := range g.Cells {
			read += c.Counts.Read
		}
		if g.Others != was.Others || g.Counted+g.Erased != was.Counted {
			t.Errorf("%s: %d counted, %d erased, %d others; before the erasure %d counted, %d others", dt, g.Counted, g.Erased, g.Others, was.Counted, was.Others)
		}
		if dt != run.Schedule && dt != run.SponsorLevels && g.Counted+g.Erased-g.Others != read {
			t.Errorf("%s: %d read in the cells, of %d counted, %d erased, %d others", dt, read, g.Counted, g.Erased, g.Others)
		}
	}
	if err := w.app.Close(); err != nil {
		t.Fatal(err)
	}
	w.open() // whoever looks at a grid has read no plan before
	w.sumOf(first)
	second := w.sync(run.Full)
	w.sumOf(second)
	if a, b := first.Types[run.Users].Read, second.Types[run.Users].Read; b != a-1 {
		t.Errorf("%d users read, then %d", a, b)
	}
}

func TestWithoutItsKeyAnErasureStopsRunsInsteadOfBringingPeopleBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, small(43), stovatest.ServerOptions{}, "dataTypes: [users]\n")
	id := w.victim()
	w.sync(run.Full)
	w.erase(id)
	key, err := w.app.Secrets.Get(t.Context(), pipeline.EraseSecret)
	if err != nil {
		t.Fatal(err)
	}
	for name, lose := range map[string]func() error{
		"gone":    func() error { return w.app.Secrets.Delete(t.Context(), pipeline.EraseSecret) },
		"another": func() error { return w.app.Secrets.Put(t.Context(), pipeline.EraseSecret, strings.Repeat("ab", 32)) },
		"damaged": func() error { return w.app.Secrets.Put(t.Context(), pipeline.EraseSecret, "x") },
	} {
		if err := lose(); err != nil {
			t.Fatal(err)
		}
		v, err := w.run(run.Full)
		if err != nil || v.State != run.Failed || v.Types[run.Users].Code != string(fault.EraseKey) {
			t.Errorf("key %s: the run is %s with %q: %v", name, v.State, v.Types[run.Users].Code, err)
		}
		if _, there := w.stored()[run.Users][id]; there {
			t.Errorf("key %s: the person is back", name)
		}
		if _, err := erase.Person(t.Context(), w.erasing(), w.connection(), "800999999"); fault.CodeOf(err) != fault.EraseKey {
			t.Errorf("key %s: another erasure: %v", name, err)
		}
	}
	if err := w.app.Secrets.Put(t.Context(), pipeline.EraseSecret, key); err != nil {
		t.Fatal(err)
	}
	w.sync(run.Full)
	if _, there := w.stored()[run.Users][id]; there {
		t.Error("with its key again, the person is back")
	}
	// Lost for good: the entries can be lifted without it.
	if err := w.app.Secrets.Delete(t.Context(), pipeline.EraseSecret); err != nil {
		t.Fatal(err)
	}
	r, err := erase.LiftAll(t.Context(), w.erasing(), w.connection())
	if err != nil || r.Entries != 1 {
		t.Fatalf("lift all: %+v, %v", r, err)
	}
	w.sync(run.Incremental)
	if _, there := w.stored()[run.Users][id]; !there {
		t.Error("all lifted, and the person is not back")
	}
	w.erase(id) // and there may be a new key
}

func TestAnErasureOutlivesItsConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, small(44), stovatest.ServerOptions{}, "dataTypes: [users]\n")
	id := w.victim()
	w.erase(id) // never synced: nothing there, and kept out all the same
	w.sync(run.Full)
	if err := w.app.Steps.Ledger.RemoveConnection(t.Context(), w.name); err != nil {
		t.Fatal(err)
	}
	w.connect("dataTypes: [users]\n")
	w.sync(run.Full)
	if _, there := w.stored()[run.Users][id]; there {
		t.Error("the connection was removed and put again, and the person is back")
	}
}

// A process that was killed leaves a picture or a page unfinished.
func TestUnfinishedObjectsGoWithAnErasure(t *testing.T) {
	t.Parallel()
	w := newWorld(t, small(45), stovatest.ServerOptions{}, "dataTypes: [users]\n")
	id := w.victim()
	x := w.distinct(id)
	if err := os.WriteFile(filepath.Join(w.dir, "objects", ".tmp", "123"), x["the e-mail"], 0o600); err != nil {
		t.Fatal(err)
	}
	w.erase(id)
	if found := x.scanFolder(t, w.dir); len(found) > 0 {
		t.Errorf("there is still %q", found)
	}
}

// brittle makes a store whose writes fail from the n-th on, before or after
// they have happened.
type brittle struct {
	after bool
	mu    sync.Mutex
	left  int
}

var errCut = errors.New("cut")

// do does a write unless all are spent.
func (b *brittle) do(write func() error) error {
	b.mu.Lock()
	b.left--
	left := b.left
	b.mu.Unlock()
	switch {
	case left > 0:
		return write()
	case left == 0 && b.after:
		return errors.Join(errCut, write())
	default:
		return errCut
	}
}

// cutStride is how many writes of an erasure are left out between two cuts.
var cutStride = flag.Int("stride", 5, "cut every n-th write of an erasure")

func TestAnErasureCutAnywhereIsFinishedByCallingItAgain(t *testing.T) {
	t.Parallel()
	w, id, x := eventful(t, stovatest.Options{Seed: 41, Attendees: 9, Sessions: 3, Speakers: 1, Sponsors: 2, Levels: 1})
	if err := w.app.Close(); err != nil {
		t.Fatal(err)
	}
	for i, after := range []bool{false, true} {
		// The two start elsewhere, so that together they cut more places.
		for n := 1 + i*(*cutStride)/2; ; n += *cutStride {
			if cutErasure(t, w, id, x, &brittle{after: after, left: n}) {
				if n < 20 {
					t.Errorf("an erasure of fewer than %d writes is none", n)
				}
				break
			}
		}
	}
}

// cutErasure erases from a copy of a world's store, with ports that fail; then
// once more, with whole ones. It reports whether nothing failed.
func cutErasure(t *testing.T, w *world, id string, x traces, b *brittle) (done bool) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(dir, os.DirFS(w.dir)); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	l, err := app.OpenLocal(t.Context(), dir, app.LocalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	whole, err := l.Erasing(func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := l.Steps.Ledger.Connection(t.Context(), w.name)
	if err != nil {
		t.Fatal(err)
	}
	n := b.left
	name := fmt.Sprintf("cut at write %d, after it: %v", n, b.after)
	switch _, err := erase.Person(t.Context(), brittleStore(whole, b), conn, id); {
	case err == nil:
		return true
	case !errors.Is(err, errCut):
		t.Fatalf("%s: %v", name, err)
	}
	const entered = 3 // the key, the entry, and whatever follows
	if out, err := erase.Suppressed(t.Context(), l.Steps.Ledger.Items, l.Secrets, conn, id); err != nil || !out && n >= entered {
		t.Errorf("%s: the person is not kept out: %v", name, err)
	}
	if _, err := erase.Person(t.Context(), whole, conn, id); err != nil {
		t.Fatalf("%s, then again: %v", name, err)
	}
	if found := x.scanFolder(t, dir); len(found) > 0 {
		t.Errorf("%s, then again: there is still %q", name, found)
	}
	all, err := erase.Receipts(t.Context(), l.Steps.Ledger.Items, w.name)
	if err != nil || len(all) == 0 || slices.ContainsFunc(all, func(r erase.Receipt) bool { return r.Action == erase.Unfinished }) {
		t.Errorf("%s, then again: receipts %+v, %v", name, all, err)
	}
	// What the first try removed is found no more, and told all the same.
	if !slices.ContainsFunc(all, func(r erase.Receipt) bool { return r.Found }) {
		t.Errorf("%s, then again: no receipt tells that something was removed: %+v", name, all)
	}
	return false
}
