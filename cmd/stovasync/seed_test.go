package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"stovasync/shared/local"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
	"stovasync/shared/stova/stovatest"
)

// kindOfRun names the real runs that a history is made of.
type kindOfRun string

const (
	fullRun    kindOfRun = "full"    // reads everything
	changedRun kindOfRun = "changed" // incremental, some rows have changed
	idleRun    kindOfRun = "idle"    // incremental, nothing has: the commonest
	brokenRun  kindOfRun = "broken"  // sessions could not be listed; a later run was
	partialRun kindOfRun = "partial" // a page failed, for each of four types
)

// history is a store with one real run of each kind, the partial one the newest,
// and copies of them under older ids, as if the event had been synced every
// half hour.
type history struct {
	dir    string
	name   string // of the connection
	person string // the id of a user
	real   map[kindOfRun]string
	copies map[string]kindOfRun // by their ids
}

func (h history) target() string { return "local:" + h.dir }

// seedHistory makes a history of as many runs. Pages hold size rows.
func seedHistory(t *testing.T, attendees, size, runs int) history {
	t.Helper()
	dir := t.TempDir()
	h := history{dir: filepath.Join(dir, "store"), name: "summit", real: map[kindOfRun]string{}, copies: map[string]kindOfRun{}}
	var f twinFlags
	cmd := &cobra.Command{}
	f.add(cmd)
	if err := cmd.ParseFlags([]string{"--attendees", strconv.Itoa(attendees), "--sessions", "40", "--speakers", "30"}); err != nil {
		t.Fatal(err)
	}
	r, e, err := f.serve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	file := filepath.Join(dir, "summit.yaml")
	yaml := strings.Replace(twinConnection(h.name, r, e), "retryBaseSeconds: "+twinRetryBase, "retryBaseSeconds: 0.001", 1) + fmt.Sprintf("pageSize: %d\n", size)
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	h.person = e.People[0].ID
	h.do(t, "connections", "put", file)
	h.realRuns(t, r, e, size)
	h.copyRuns(t, 0, runs-len(h.real))
	return h
}

// do calls a verb and returns what it prints.
func (h history) do(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errs := call(t, t.Context(), append([]string{"--target", h.target()}, args...)...)
	if code == exitError && !slices.Contains(args, "sync") {
		t.Fatalf("%v: exit code %d, %s", args, code, errs)
	}
	return out
}

// realRuns syncs the event once for each kind. What the sync of broken lists
// in vain, the one after it lists.
func (h history) realRuns(t *testing.T, r *stovatest.Running, e *stovatest.Event, size int) {
	t.Helper()
	touch := func(n int) []string {
		var ids []string
		r.Edit(func(e *stovatest.Event) {
			for _, p := range e.People[:n] {
				p.Company += " & Sons"
				e.Touch(p.ID)
				ids = append(ids, p.ID)
			}
		})
		return ids
	}
	fault := func(spec string) {
		f, err := stovatest.ParseFault(spec)
		if err != nil {
			t.Fatal(err)
		}
		r.Fault(f)
	}
	for _, step := range []struct {
		kind    kindOfRun
		prepare func()
	}{
		{fullRun, func() {}},
		{idleRun, func() {}},
		{brokenRun, func() { fault("500:endpoint=listSessions") }},
		{changedRun, func() { touch(size / 2) }},
		{partialRun, func() { fault("500:endpoint=getAttendee,id=" + strings.Join(touch(size + size/2)[:size], "+")) }},
	} {
		step.prepare()
		args := []string{"sync", h.name, "--json"}
		if step.kind == fullRun {
			args = append(args, "--full")
		}
		var v pipeline.RunView
		if out := h.do(t, args...); json.Unmarshal([]byte(out), &v) != nil {
			t.Fatalf("the %s sync prints %q", step.kind, out)
		}
		r.ClearFaults()
		h.real[step.kind] = v.Run
		want := map[kindOfRun]run.State{brokenRun: run.Failed, partialRun: run.Partial}[step.kind]
		if want == "" {
			want = run.Complete
		}
		if v.State != want {
			t.Fatalf("the %s run is %s, want %s", step.kind, v.State, want)
		}
	}
}

// kindAt is what kind the nth copy is: a full run a week, a few failures among
// many runs with little to do.
func kindAt(n int) kindOfRun {
	switch {
	case n%336 == 20:
		return fullRun
	case n%48 == 7:
		return partialRun
	case n%48 == 31:
		return brokenRun
	case n%3 == 0:
		return changedRun
	default:
		return idleRun
	}
}

// copyRuns adds the copies from one number up to another.
func (h history) copyRuns(t *testing.T, from, to int) {
	t.Helper()
	s, err := local.Open(t.Context(), h.dir, local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	first, ok, err := pipeline.Ledger{Items: s.Items()}.Run(t.Context(), h.real[fullRun])
	if err != nil || !ok {
		t.Fatal(err)
	}
	for n := from; n < to; n++ {
		kind := kindAt(n)
		c := copier{t: t, s: s, from: h.real[kind], name: h.name}
		original, _, err := pipeline.Ledger{Items: s.Items()}.Run(t.Context(), c.from)
		if err != nil {
			t.Fatal(err)
		}
		at := first.Started.Add(-time.Duration(n+1) * 30 * time.Minute)
		sum := sha256.Sum256(fmt.Appendf(nil, "%d", n))
		c.to, c.later = at.Format("20060102T150405Z-")+hex.EncodeToString(sum[:4]), at.Sub(original.Started)
		c.run()
		h.copies[c.to] = kind
	}
}

// copier copies a run under another id and time: every item of the ledger and
// every object that is the run's own.
type copier struct {
	t        *testing.T
	s        *local.Store
	name     string
	from, to string
	later    time.Duration
}

func (c copier) run() {
	var writes []pipeline.Write
	add := func(k pipeline.Key, doc []byte) {
		k = pipeline.Key{PK: strings.ReplaceAll(k.PK, c.from, c.to), SK: strings.ReplaceAll(k.SK, c.from, c.to)}
		writes = append(writes, pipeline.Write{Key: k, Version: pipeline.AnyVersion, Doc: c.moved(doc), Failed: c.failed(k, doc)})
	}
	for it, err := range c.s.Items().Query(c.t.Context(), pipeline.Query{PK: "RUN#" + c.from}) {
		c.must(err)
		add(it.Key, it.Doc)
	}
	k := pipeline.Key{PK: "CONN#" + c.name, SK: "RUN#" + c.from}
	it, err := c.s.Items().Get(c.t.Context(), k)
	c.must(err)
	add(k, it.Doc)
	for batch := range slices.Chunk(writes, 100) {
		c.must(c.s.Items().Write(c.t.Context(), batch...))
	}
	for _, kind := range []string{"plans", "reports", "raw"} {
		c.objects(kind + "/" + c.name + "/" + c.from + "/")
	}
}

func (c copier) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

var stampText = regexp.MustCompile(`"20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z"`)

// moved is a document of the run as the copy has it.
func (c copier) moved(doc []byte) []byte {
	doc = bytes.ReplaceAll(doc, []byte(c.from), []byte(c.to))
	return stampText.ReplaceAllFunc(doc, func(text []byte) []byte {
		at, err := time.Parse(`"`+time.RFC3339Nano+`"`, string(text))
		c.must(err)
		if at.Year() < 2001 {
			return text
		}
		return []byte(at.Add(c.later).Format(`"` + time.RFC3339Nano + `"`))
	})
}

// failed is the place of an item in the index of failures.
func (c copier) failed(k pipeline.Key, doc []byte) string {
	var of struct {
		State string `json:"state"`
	}
	if !strings.HasPrefix(k.SK, "PAGE#") && !strings.HasPrefix(k.SK, "TYPE#") {
		return ""
	}
	c.must(json.Unmarshal(doc, &of))
	if of.State == string(run.Failed) {
		return c.name
	}
	return ""
}

func (c copier) objects(prefix string) {
	var keys []string
	for key, err := range c.s.Objects().List(c.t.Context(), prefix) {
		c.must(err)
		keys = append(keys, key)
	}
	for _, key := range keys {
		r, err := c.s.Objects().Get(c.t.Context(), key)
		c.must(err)
		z, err := gzip.NewReader(r)
		c.must(err)
		doc, err := io.ReadAll(z)
		c.must(err)
		c.must(r.Close())
		var b bytes.Buffer
		w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
		c.must(err)
		_, err = w.Write(c.moved(doc))
		c.must(err)
		c.must(w.Close())
		_, err = c.s.Objects().Put(c.t.Context(), strings.ReplaceAll(key, c.from, c.to), bytes.NewReader(b.Bytes()), pipeline.ObjectInfo{Lazy: true})
		c.must(err)
	}
}
