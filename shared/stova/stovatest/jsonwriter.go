package stovatest

import (
	"strconv"
	"sync"
	"time"
	"unicode/utf8"
)

// stampLayout is the vendor's form of a point in time: no zone, no T.
const stampLayout = "2006-01-02 15:04:05"

// writer appends JSON by hand. The twin is the yardstick that the product's
// speed is measured against, so a row must cost microseconds; encoding/json
// with maps and reflection would be most of an answer's time.
type writer struct{ b []byte }

// sep puts a comma where one is due.
func (w *writer) sep() {
	n := len(w.b)
	if n == 0 {
		return
	}
	switch w.b[n-1] {
	case '{', '[', ':':
	default:
		w.b = append(w.b, ',')
	}
}

func (w *writer) open(c byte)  { w.sep(); w.b = append(w.b, c) }
func (w *writer) close(c byte) { w.b = append(w.b, c) }

// key writes a key of ours, which never needs escaping.
func (w *writer) key(k string) {
	w.sep()
	w.b = append(w.b, '"')
	w.b = append(w.b, k...)
	w.b = append(w.b, '"', ':')
}

func (w *writer) str(v string) { w.sep(); w.quote(v) }

func (w *writer) pair(k, v string) { w.key(k); w.quote(v) }

// pairs appends keys and values in turn.
func (w *writer) pairs(kv ...string) {
	for i := 0; i+1 < len(kv); i += 2 {
		w.pair(kv[i], kv[i+1])
	}
}

// raw appends a ready piece of JSON, such as null or a run of fixed pairs.
func (w *writer) raw(v string) { w.sep(); w.b = append(w.b, v...) }

func (w *writer) pairRaw(k, v string) { w.key(k); w.b = append(w.b, v...) }

// number writes digits bare when asked to, and anything else quoted.
func (w *writer) number(k, v string, bare bool) {
	if bare && isNumber(v) {
		w.pairRaw(k, v)
		return
	}
	w.pair(k, v)
}

// isNumber says whether v, as it stands, is a JSON number that fits an int64.
func isNumber(v string) bool {
	if v == "" || len(v) > 18 || (v[0] == '0' && v != "0") {
		return false
	}
	for i := range len(v) {
		if v[i] < '0' || v[i] > '9' {
			return false
		}
	}
	return true
}

func (w *writer) flag(k string, v, bare bool) {
	if v {
		w.number(k, "1", bare)
		return
	}
	w.number(k, "0", bare)
}

func (w *writer) stamp(k string, t time.Time, zone *time.Location) {
	w.key(k)
	w.b = append(w.b, '"')
	w.b = t.In(zone).AppendFormat(w.b, stampLayout)
	w.b = append(w.b, '"')
}

func (w *writer) quote(s string) {
	w.b = append(w.b, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		w.b = append(w.b, s[from:i]...)
		from = i + 1
		w.escape(c)
	}
	w.b = append(w.b, s[from:]...)
	w.b = append(w.b, '"')
}

func (w *writer) escape(c byte) {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		w.b = append(w.b, '\\', c)
	case '\n':
		w.b = append(w.b, '\\', 'n')
	case '\t':
		w.b = append(w.b, '\\', 't')
	default:
		w.b = append(w.b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
	}
}

// text applies a row's wire form to a plain text.
func (x Wire) text(s string) string {
	if s == "" || (!x.Entities && !x.Padded) {
		return s
	}
	if x.Entities {
		s = entities(s)
	}
	if x.Padded {
		s = "  " + s + " "
	}
	return s
}

// entities writes the characters HTML reserves, and all that is not ASCII, as
// character references.
func entities(s string) string {
	b := make([]byte, 0, len(s)+16)
	for _, r := range s {
		switch {
		case r == '&':
			b = append(b, "&amp;"...)
		case r == '<':
			b = append(b, "&lt;"...)
		case r == '>':
			b = append(b, "&gt;"...)
		case r == '\'':
			b = append(b, "&#039;"...)
		case r >= utf8.RuneSelf:
			b = append(b, "&#"...)
			b = strconv.AppendInt(b, int64(r), 10)
			b = append(b, ';')
		default:
			b = append(b, byte(r))
		}
	}
	return string(b)
}

// writers lends writers, so that an answer costs no allocation of its size.
type writers struct{ pool sync.Pool }

func (p *writers) get() *writer {
	if w, ok := p.pool.Get().(*writer); ok {
		w.b = w.b[:0]
		return w
	}
	return &writer{b: make([]byte, 0, 8<<10)}
}

// put takes a writer back, unless a long list has made it too big to keep.
func (p *writers) put(w *writer) {
	if cap(w.b) <= 1<<20 {
		p.pool.Put(w)
	}
}
