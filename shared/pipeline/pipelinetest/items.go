package pipelinetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/pipeline"
)

// Items checks a ledger.
func Items(t *testing.T, open func(*testing.T) pipeline.Items) {
	for name, check := range map[string]func(*testing.T, pipeline.Items){
		"an item that is not there has version 0 and no error":                         itemAbsent,
		"each write raises the version by one, from 1":                                 itemVersions,
		"an item made again after its deletion starts at version 1":                    itemAgain,
		"a write at another version is ErrVersion and changes nothing":                 itemWrongVersion,
		"version 0 means that the item must not exist":                                 itemMustNotExist,
		"AnyVersion writes, deletes and checks whatever is there":                      itemAnyVersion,
		"a check alone neither makes nor changes an item":                              itemCheck,
		"a hundred writes of every sort happen together":                               itemHundred,
		"of a hundred writes with one at another version none happens":                 itemNone,
		"a failed check stops the writes beside it":                                    itemFailedCheck,
		"a key twice in one transaction is refused, and not as ErrVersion":             itemTwice,
		"more than a hundred writes are refused, and not as ErrVersion":                itemTooMany,
		"a write of nothing is no error":                                               itemNothing,
		"a document comes back as it was":                                              itemDocument,
		"an item that expires later is there until then":                               itemExpires,
		"a query gives the items of one partition in the byte order of the sort key":   queryOrder,
		"a query gives only sort keys with the prefix":                                 queryPrefix,
		"a query of an empty partition gives nothing":                                  queryEmpty,
		"a query in reverse starts at the last sort key":                               queryReverse,
		"a query gives at most its limit, from the end it starts at":                   queryLimit,
		"a query reads more than a thousand items and a megabyte, both ways":           queryLarge,
		"a query may be left early":                                                    queryLeft,
		"a query sees every write that returned before it":                             queryConsistent,
		"what concurrent increments add is never lost":                                 itemIncrements,
		"of concurrent writers that must find no item exactly one succeeds":            itemOneMaker,
		"concurrent transactions over the same items keep them equal":                  itemTogether,
		"an item is in the index of failed pages while it is written with its name":    failedIndex,
		"the index of failed pages is by connection, and whole without one":            failedByConnection,
		"a deleted item is not in the index of failed pages":                           failedDeleted,
		"a document's owner may change it after a write, and readers what they got":    itemAliases,
		"partitions and sort keys may hold the characters that connections and ids do": itemKeys,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, open(t))
		})
	}
}

func key(pk, sk string) pipeline.Key { return pipeline.Key{PK: pk, SK: sk} }

// doc returns a small document that says n.
func doc(n int) json.RawMessage { return json.RawMessage(fmt.Sprintf(`{"n":%d}`, n)) }

func put(k pipeline.Key, version int64, d json.RawMessage) pipeline.Write {
	return pipeline.Write{Key: k, Version: version, Doc: d}
}

func mustWrite(t *testing.T, s pipeline.Items, writes ...pipeline.Write) {
	t.Helper()
	if err := s.Write(t.Context(), writes...); err != nil {
		t.Fatalf("Write of %d: %v", len(writes), err)
	}
}

func wantErrVersion(t *testing.T, s pipeline.Items, writes ...pipeline.Write) {
	t.Helper()
	if err := s.Write(t.Context(), writes...); !errors.Is(err, pipeline.ErrVersion) {
		t.Fatalf("Write of %d: error %v, want ErrVersion", len(writes), err)
	}
}

// wantItem checks one item; version 0 says that it is not there.
func wantItem(t *testing.T, s pipeline.Items, k pipeline.Key, version int64, d json.RawMessage) {
	t.Helper()
	it, err := s.Get(t.Context(), k)
	if err != nil {
		t.Fatalf("Get %v: %v", k, err)
	}
	if it.Key != k || it.Version != version {
		t.Errorf("Get %v: key %v version %d, want version %d", k, it.Key, it.Version, version)
	}
	if diff := cmp.Diff(plain(t, d), plain(t, it.Doc)); diff != "" {
		t.Errorf("Get %v: document (-want +got):\n%s", k, diff)
	}
}

// plain decodes a document keeping every digit of its numbers. The order of
// members and blanks are not promised.
func plain(t *testing.T, d json.RawMessage) any {
	t.Helper()
	if d == nil {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(d))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("document is no JSON: %v", err)
	}
	return v
}

func itemAbsent(t *testing.T, s pipeline.Items) { wantItem(t, s, key("RUN#a", "TYPE#users"), 0, nil) }

func itemVersions(t *testing.T, s pipeline.Items) {
	k := key("RUN#v", "TYPE#users")
	for n := range 3 {
		mustWrite(t, s, put(k, int64(n), doc(n)))
		wantItem(t, s, k, int64(n+1), doc(n))
	}
	mustWrite(t, s, put(k, pipeline.AnyVersion, doc(9)))
	wantItem(t, s, k, 4, doc(9))
}

func itemAgain(t *testing.T, s pipeline.Items) {
	k := key("RUN#again", "TYPE#users")
	mustWrite(t, s, put(k, 0, doc(1)))
	mustWrite(t, s, put(k, 1, doc(2)))
	mustWrite(t, s, pipeline.Write{Key: k, Version: 2, Delete: true})
	wantItem(t, s, k, 0, nil)
	mustWrite(t, s, put(k, 0, doc(3)))
	wantItem(t, s, k, 1, doc(3))
}

func itemWrongVersion(t *testing.T, s pipeline.Items) {
	k := key("RUN#wrong", "TYPE#users")
	mustWrite(t, s, put(k, 0, doc(1)))
	mustWrite(t, s, put(k, 1, doc(2)))
	for _, version := range []int64{0, 1, 3} {
		wantErrVersion(t, s, put(k, version, doc(7)))
		wantErrVersion(t, s, pipeline.Write{Key: k, Version: version, Delete: true})
	}
	wantErrVersion(t, s, pipeline.Write{Key: k, Version: 1})
	wantItem(t, s, k, 2, doc(2))
	absent := key("RUN#wrong", "TYPE#sessions")
	wantErrVersion(t, s, put(absent, 1, doc(7)))
	wantErrVersion(t, s, pipeline.Write{Key: absent, Version: 1, Delete: true})
	wantItem(t, s, absent, 0, nil)
}

func itemMustNotExist(t *testing.T, s pipeline.Items) {
	k := key("RUN#new", "TYPE#users")
	mustWrite(t, s, pipeline.Write{Key: k, Version: 0})
	mustWrite(t, s, put(k, 0, doc(1)))
	wantErrVersion(t, s, put(k, 0, doc(2)))
	wantErrVersion(t, s, pipeline.Write{Key: k, Version: 0})
	wantItem(t, s, k, 1, doc(1))
}

func itemAnyVersion(t *testing.T, s pipeline.Items) {
	k := key("RUN#any", "TYPE#users")
	mustWrite(t, s, pipeline.Write{Key: k, Version: pipeline.AnyVersion, Delete: true})
	mustWrite(t, s, put(k, pipeline.AnyVersion, doc(1)))
	mustWrite(t, s, put(k, pipeline.AnyVersion, doc(2)))
	mustWrite(t, s, pipeline.Write{Key: k, Version: pipeline.AnyVersion})
	wantItem(t, s, k, 2, doc(2))
	mustWrite(t, s, pipeline.Write{Key: k, Version: pipeline.AnyVersion, Delete: true})
	wantItem(t, s, k, 0, nil)
}

func itemCheck(t *testing.T, s pipeline.Items) {
	there, absent := key("RUN#check", "TYPE#users"), key("RUN#check", "TYPE#sessions")
	mustWrite(t, s, put(there, 0, doc(1)))
	mustWrite(t, s, pipeline.Write{Key: there, Version: 1}, pipeline.Write{Key: absent, Version: 0})
	wantItem(t, s, there, 1, doc(1))
	wantItem(t, s, absent, 0, nil)
}

// mixed makes 30 items and returns 100 writes: 60 new items, 20 replaced and
// 10 deleted ones, 10 checks.
func mixed(t *testing.T, s pipeline.Items, pk string) []pipeline.Write {
	t.Helper()
	var before, writes []pipeline.Write
	for i := range 30 {
		before = append(before, put(key(pk, fmt.Sprintf("OLD#%02d", i)), 0, doc(i)))
	}
	mustWrite(t, s, before...)
	for i := range 60 {
		writes = append(writes, put(key(pk, fmt.Sprintf("NEW#%02d", i)), 0, doc(i)))
	}
	for i, w := range before {
		after := pipeline.Write{Key: w.Key, Version: 1, Delete: i >= 20}
		if i < 20 {
			after.Doc = doc(100 + i)
		}
		writes = append(writes, after)
	}
	for i := range 10 {
		writes = append(writes, pipeline.Write{Key: key(pk, fmt.Sprintf("GONE#%02d", i)), Version: 0})
	}
	return writes
}

func itemHundred(t *testing.T, s pipeline.Items) {
	writes := mixed(t, s, "RUN#hundred")
	mustWrite(t, s, writes...)
	for i := range 60 {
		wantItem(t, s, writes[i].Key, 1, doc(i))
	}
	for i := range 20 {
		wantItem(t, s, writes[60+i].Key, 2, doc(100+i))
		wantItem(t, s, writes[80+i].Key, 0, nil) // the deleted and the checked
	}
}

func itemNone(t *testing.T, s pipeline.Items) {
	writes := mixed(t, s, "RUN#none")
	before := collectItems(t, s, pipeline.Query{PK: "RUN#none"})
	// Wherever the bad one stands, and whatever sort it is.
	for _, bad := range []int{0, 59, 60, 85, 99} {
		some := slices.Clone(writes)
		some[bad].Version = 7
		wantErrVersion(t, s, some...)
	}
	if diff := cmp.Diff(before, collectItems(t, s, pipeline.Query{PK: "RUN#none"})); diff != "" {
		t.Errorf("items after refused transactions (-before +after):\n%s", diff)
	}
}

func itemFailedCheck(t *testing.T, s pipeline.Items) {
	k, checked := key("RUN#guard", "TYPE#users"), key("CONN#guard", "ACTIVE")
	mustWrite(t, s, put(checked, 0, doc(1)))
	mustWrite(t, s, put(k, 0, doc(1)), pipeline.Write{Key: checked, Version: 1})
	mustWrite(t, s, put(checked, 1, doc(2)))
	wantErrVersion(t, s, put(k, 1, doc(2)), pipeline.Write{Key: checked, Version: 1})
	wantErrVersion(t, s, put(k, 1, doc(2)), pipeline.Write{Key: checked, Version: 0})
	wantItem(t, s, k, 1, doc(1))
}

func itemTwice(t *testing.T, s pipeline.Items) {
	k := key("RUN#twice", "TYPE#users")
	for _, second := range []pipeline.Write{put(k, 0, doc(2)), {Key: k, Version: 0}, {Key: k, Version: pipeline.AnyVersion, Delete: true}} {
		err := s.Write(t.Context(), put(k, 0, doc(1)), second)
		if err == nil || errors.Is(err, pipeline.ErrVersion) {
			t.Errorf("Write of one key twice: error %v, want another than ErrVersion", err)
		}
	}
	wantItem(t, s, k, 0, nil)
}

func itemTooMany(t *testing.T, s pipeline.Items) {
	var writes []pipeline.Write
	for i := range 101 {
		writes = append(writes, put(key("RUN#many", fmt.Sprintf("PAGE#users#%03d", i)), 0, doc(i)))
	}
	if err := s.Write(t.Context(), writes...); err == nil || errors.Is(err, pipeline.ErrVersion) {
		t.Errorf("Write of 101: error %v, want another than ErrVersion", err)
	}
	if got := collectItems(t, s, pipeline.Query{PK: "RUN#many"}); len(got) != 0 {
		t.Errorf("%d items were written", len(got))
	}
}

func itemNothing(t *testing.T, s pipeline.Items) { mustWrite(t, s) }

func itemDocument(t *testing.T, s pipeline.Items) {
	docs := map[string]json.RawMessage{
		"empty":   json.RawMessage(`{}`),
		"numbers": json.RawMessage(`{"big":9007199254740993,"max":9223372036854775807,"min":-9223372036854775808,"half":0.5,"zero":0}`),
		"strings": json.RawMessage(`{"empty":"","quote":"\"\\\/","lines":"a\nb\tc","nul":"\u0001","script":"Zoë 東京 🙂","html":"<b>&amp;</b>"}`),
		"nested":  json.RawMessage(`{"a":{"b":{"c":[1,[2,[]],{"d":{}}]}},"list":[],"mixed":[1,"1",true,null]}`),
		"absent":  json.RawMessage(`{"null":null,"false":false,"true":true,"":"a name may be empty"}`),
		"long":    json.RawMessage(`{"text":"` + strings.Repeat("0123456789", 5000) + `"}`),
	}
	for name, d := range docs {
		k := key("RUN#doc", name)
		mustWrite(t, s, put(k, 0, d))
		wantItem(t, s, k, 1, d)
	}
	for _, it := range collectItems(t, s, pipeline.Query{PK: "RUN#doc"}) {
		if diff := cmp.Diff(plain(t, docs[it.SK]), plain(t, it.Doc)); diff != "" {
			t.Errorf("query: document %s (-want +got):\n%s", it.SK, diff)
		}
	}
}

func itemExpires(t *testing.T, s pipeline.Items) {
	k := key("RUN#expires", "TYPE#users")
	w := put(k, 0, doc(1))
	w.Expires = time.Now().Add(24 * time.Hour)
	mustWrite(t, s, w)
	wantItem(t, s, k, 1, doc(1))
}

func itemAliases(t *testing.T, s pipeline.Items) {
	k := key("RUN#alias", "TYPE#users")
	d := doc(1)
	mustWrite(t, s, put(k, 0, d))
	copy(d, `{"n":7}`)
	it, err := s.Get(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	copy(it.Doc, `{"n":8}`)
	wantItem(t, s, k, 1, doc(1))
}

func itemKeys(t *testing.T, s pipeline.Items) {
	keys := []pipeline.Key{
		key("CONN#gala-2026", "SETTINGS"), key("RUN#20260301T093000Z-0a1b2c3d", "PAGE#presenter-photos#12.3"),
		key("RATE#1234567", "WINDOW#1772356200"), key("K#quote'\"%_", "?*\\ß東"),
	}
	for i, k := range keys {
		mustWrite(t, s, put(k, 0, doc(i)))
	}
	for i, k := range keys {
		wantItem(t, s, k, 1, doc(i))
	}
}

func collectItems(t *testing.T, s pipeline.Items, q pipeline.Query) []pipeline.Item {
	t.Helper()
	var out []pipeline.Item
	for it, err := range s.Query(t.Context(), q) {
		if err != nil {
			t.Fatalf("Query %+v: %v", q, err)
		}
		out = append(out, it)
	}
	return out
}

// wantQuery checks the sort keys of a query.
func wantQuery(t *testing.T, s pipeline.Items, q pipeline.Query, want ...string) {
	t.Helper()
	var got []string
	for _, it := range collectItems(t, s, q) {
		if it.PK != q.PK || it.Version < 1 {
			t.Errorf("Query %+v: item %v at version %d", q, it.Key, it.Version)
		}
		got = append(got, it.SK)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Query %+v (-want +got):\n%s", q, diff)
	}
}

// several makes items in an order that is not theirs, beside other partitions.
func several(t *testing.T, s pipeline.Items, pk string, sks ...string) {
	t.Helper()
	writes := []pipeline.Write{put(key(pk+"0", "A"), 0, doc(0)), put(key(pk[:len(pk)-1], "A"), 0, doc(0))}
	for i, sk := range slices.Backward(sks) {
		writes = append(writes, put(key(pk, sk), 0, doc(i)))
	}
	mustWrite(t, s, writes...)
}

func queryOrder(t *testing.T, s pipeline.Items) {
	order := []string{"A", "PAGE#users#1", "PAGE#users#1.1", "PAGE#users#10", "PAGE#users#2", "a", "é", "東"}
	several(t, s, "RUN#order", order...)
	wantQuery(t, s, pipeline.Query{PK: "RUN#order"}, order...)
}

func queryPrefix(t *testing.T, s pipeline.Items) {
	several(t, s, "RUN#prefix", "PAGE#users", "PAGE#users#1", "PAGE#users#2", "PAGE#users$", "PAGE#userz#1", "TYPE#users", "page#users#1")
	wantQuery(t, s, pipeline.Query{PK: "RUN#prefix", Prefix: "PAGE#users#"}, "PAGE#users#1", "PAGE#users#2")
	wantQuery(t, s, pipeline.Query{PK: "RUN#prefix", Prefix: "PAGE#users#2"}, "PAGE#users#2")
	wantQuery(t, s, pipeline.Query{PK: "RUN#prefix", Prefix: "Q"})
}

func queryEmpty(t *testing.T, s pipeline.Items) {
	wantQuery(t, s, pipeline.Query{PK: "RUN#empty"})
	wantQuery(t, s, pipeline.Query{PK: "RUN#empty", Prefix: "PAGE#", Reverse: true, Limit: 1})
}

func queryReverse(t *testing.T, s pipeline.Items) {
	several(t, s, "RUN#reverse", "A", "RUN#1", "RUN#2", "RUN#3", "Z")
	wantQuery(t, s, pipeline.Query{PK: "RUN#reverse", Reverse: true}, "Z", "RUN#3", "RUN#2", "RUN#1", "A")
	wantQuery(t, s, pipeline.Query{PK: "RUN#reverse", Prefix: "RUN#", Reverse: true}, "RUN#3", "RUN#2", "RUN#1")
}

func queryLimit(t *testing.T, s pipeline.Items) {
	several(t, s, "RUN#limit", "A", "RUN#1", "RUN#2", "RUN#3", "Z")
	q := pipeline.Query{PK: "RUN#limit", Prefix: "RUN#", Limit: 2}
	wantQuery(t, s, q, "RUN#1", "RUN#2")
	q.Reverse = true
	wantQuery(t, s, q, "RUN#3", "RUN#2")
	q.Limit = 9
	wantQuery(t, s, q, "RUN#3", "RUN#2", "RUN#1")
}

func queryLarge(t *testing.T, s pipeline.Items) {
	const n = 1200
	text := strings.Repeat("x", 1000)
	var want []string
	for from := 0; from < n; from += 100 {
		var writes []pipeline.Write
		for i := from; i < from+100; i++ {
			want = append(want, fmt.Sprintf("PAGE#users#%04d", i))
			writes = append(writes, put(key("RUN#large", want[i]), 0, json.RawMessage(fmt.Sprintf(`{"n":%d,"text":%q}`, i, text))))
		}
		mustWrite(t, s, writes...)
	}
	wantQuery(t, s, pipeline.Query{PK: "RUN#large"}, want...)
	wantQuery(t, s, pipeline.Query{PK: "RUN#large", Limit: 1100}, want[:1100]...)
	slices.Reverse(want)
	wantQuery(t, s, pipeline.Query{PK: "RUN#large", Reverse: true}, want...)
	wantQuery(t, s, pipeline.Query{PK: "RUN#large", Prefix: "PAGE#", Reverse: true, Limit: 1100}, want[:1100]...)
}

func queryLeft(t *testing.T, s pipeline.Items) {
	several(t, s, "RUN#left", "A", "B", "C")
	for it, err := range s.Query(t.Context(), pipeline.Query{PK: "RUN#left"}) {
		if err != nil {
			t.Fatal(err)
		}
		// Its consumer may write while it reads.
		mustWrite(t, s, put(it.Key, 1, doc(7)))
		break
	}
	wantItem(t, s, key("RUN#left", "A"), 2, doc(7))
}

func queryConsistent(t *testing.T, s pipeline.Items) {
	for n := range 20 {
		k := key("RUN#fresh", fmt.Sprintf("PAGE#users#%02d", n))
		mustWrite(t, s, put(k, 0, doc(n)))
		if got := collectItems(t, s, pipeline.Query{PK: "RUN#fresh"}); len(got) != n+1 {
			t.Fatalf("query after write %d: %d items, want %d", n, len(got), n+1)
		}
	}
}

// change reads an item, changes its number and writes it, until no other
// writer comes between. A real store may also refuse for a conflict that it
// has retried in vain; that is an error.
func change(t *testing.T, s pipeline.Items, keys []pipeline.Key, by int) error {
	for {
		var writes []pipeline.Write
		for _, k := range keys {
			it, err := s.Get(t.Context(), k)
			if err != nil {
				return err
			}
			var d struct{ N int }
			if it.Doc != nil {
				if err := json.Unmarshal(it.Doc, &d); err != nil {
					return err
				}
			}
			writes = append(writes, put(k, it.Version, doc(d.N+by)))
		}
		if err := s.Write(t.Context(), writes...); !errors.Is(err, pipeline.ErrVersion) {
			return err
		}
	}
}

// together runs f n times at once and reports errors.
func together(t *testing.T, n int, f func(i int) error) {
	t.Helper()
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			if err := f(i); err != nil {
				t.Errorf("worker %d: %v", i, err)
			}
		})
	}
	close(start)
	wg.Wait()
}

func itemIncrements(t *testing.T, s pipeline.Items) {
	const workers, times = 6, 10
	k := key("RUN#count", "TYPE#users")
	together(t, workers, func(int) error {
		for range times {
			if err := change(t, s, []pipeline.Key{k}, 1); err != nil {
				return err
			}
		}
		return nil
	})
	wantItem(t, s, k, workers*times, doc(workers*times))
}

func itemOneMaker(t *testing.T, s pipeline.Items) {
	k := key("RUN#first", "TYPE#users")
	var mu sync.Mutex
	made := 0
	together(t, 8, func(i int) error {
		err := s.Write(t.Context(), put(k, 0, doc(i)))
		if errors.Is(err, pipeline.ErrVersion) {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		made++
		return err
	})
	if made != 1 {
		t.Errorf("%d writers made the item, want 1", made)
	}
}

func itemTogether(t *testing.T, s pipeline.Items) {
	keys := []pipeline.Key{key("RUN#both", "TYPE#users"), key("RUN#other", "PAGE#users#1")}
	together(t, 4, func(i int) error {
		for range 5 {
			if err := change(t, s, keys, i+1); err != nil {
				return err
			}
		}
		return nil
	})
	for _, k := range keys {
		wantItem(t, s, k, 20, doc(5*(1+2+3+4)))
	}
}
