package local

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

var _ pipeline.EncodedScanner = (*Records)(nil)

// stored is a row of records as it is kept.
type stored struct {
	id, doc          string
	updated, removed int64
}

// ScanEncoded is Scan without making values of the texts that fields are kept
// as: they are JSON, and most of them just as it is wanted.
func (s *Records) ScanEncoded(ctx context.Context, connection string, t run.DataType, sc pipeline.Scan) iter.Seq2[*pipeline.Encoded, error] {
	return func(yield func(*pipeline.Encoded, error) bool) {
		var e pipeline.Encoded
		for rows, err := range ahead(s.chunks(ctx, partition(connection, t), sc)) {
			for i := range rows {
				if err = encodedRecord(&rows[i], &e); err != nil {
					break
				}
				if !yield(&e, nil) {
					return
				}
			}
			if err != nil {
				yield(&e, s.db.fail("scan records of "+partition(connection, t), err))
				return
			}
		}
	}
}

// FieldNames finds the names of all fields of a type without reading the values.
func (s *Records) FieldNames(ctx context.Context, connection string, t run.DataType) (names []string, known bool, err error) {
	found := map[string]bool{}
	var last []string
	for rows, err := range ahead(s.chunks(ctx, partition(connection, t), pipeline.Scan{Removed: true})) {
		if err != nil {
			return nil, false, err
		}
		known = known || len(rows) > 0
		for i := range rows {
			n := 0
			d := reader{s: rows[i].doc}
			d.names(func(name string) {
				// Records of a type mostly have the fields of the one before.
				if n < len(last) && last[n] == name {
					n++
					return
				}
				name = strings.Clone(name) // not the whole document with it
				found[name] = true
				last = append(last[:n], name)
				n++
			})
			if d.err != nil {
				return nil, false, s.db.fail("scan records of "+partition(connection, t), d.err)
			}
		}
	}
	return slices.Sorted(maps.Keys(found)), known, nil
}

// names reads a document for the names of its fields. What comes before them
// holds no quotes of this kind: those in texts are escaped.
func (d *reader) names(each func(string)) {
	const fields = `,"fields":`
	at := strings.Index(d.s, fields)
	if at < 0 {
		d.fail()
		return
	}
	d.s = d.s[at+len(fields):]
	d.object(func(name string) {
		each(name)
		d.skip()
	})
}

// skip passes a value.
func (d *reader) skip() {
	switch {
	case d.s == "":
		d.fail()
	case d.s[0] == '"':
		d.quoted()
	case d.s[0] == '[':
		d.listed()
	default:
		d.word()
	}
}

// ahead reads the next part of a sequence while this one is worked on.
func ahead[T any](seq iter.Seq2[T, error]) iter.Seq2[T, error] {
	type part struct {
		v   T
		err error
	}
	return func(yield func(T, error) bool) {
		parts, stop := make(chan part), make(chan struct{})
		var reading sync.WaitGroup
		reading.Go(func() {
			defer close(parts)
			for v, err := range seq {
				select {
				case parts <- part{v, err}:
				case <-stop:
					return
				}
			}
		})
		defer reading.Wait() // so that nothing reads a store that is being closed
		defer close(stop)
		for p := range parts {
			if !yield(p.v, p.err) {
				return
			}
		}
	}
}

// chunks reads rows as they are kept, so many at a time that no read stands in
// the way of writers for long.
func (s *Records) chunks(ctx context.Context, part string, sc pipeline.Scan) iter.Seq2[[]stored, error] {
	const query = `SELECT id, updated_at, removed_at, doc FROM records WHERE part = ? AND id >= ? AND id < ?
		AND updated_at >= ? AND (? OR removed_at = 0) ORDER BY id LIMIT ?`
	return func(yield func([]stored, error) bool) {
		from := max(sc.Prefix, sc.After)
		if sc.After != "" && from == sc.After {
			from += "\x00" // the next possible id
		}
		for {
			var rows []stored
			err := s.db.view(ctx, "scan records of "+part, func() { rows = make([]stored, 0, chunk) }, func(r *sql.Rows) error {
				var row stored
				err := r.Scan(&row.id, &row.updated, &row.removed, &row.doc)
				rows = append(rows, row)
				return err
			}, query, part, from, after(sc.Prefix), nanos(sc.Since), sc.Removed, chunk)
			if !yield(rows, err) || err != nil || len(rows) < chunk {
				return
			}
			from = rows[len(rows)-1].id + "\x00"
		}
	}
}

func encodedRecord(row *stored, e *pipeline.Encoded) error {
	e.Record = pipeline.Record{ID: row.id, UpdatedAt: fromNanos(row.updated), RemovedAt: fromNanos(row.removed)}
	e.Values = e.Values[:0]
	d := reader{s: row.doc}
	d.record(&e.Record, func() {
		d.object(func(name string) {
			e.Values = append(e.Values, pipeline.EncodedField{Name: name, JSON: d.encoded()})
		})
	})
	slices.SortFunc(e.Values, func(a, b pipeline.EncodedField) int { return cmp.Compare(a.Name, b.Name) })
	return d.err
}

// encoded reads a value as the JSON it is, in the spelling of encoding/json.
func (d *reader) encoded() string {
	switch {
	case d.s == "":
		d.fail()
		return ""
	case d.s[0] == '"':
		return respell(d.quoted())
	case d.s[0] == '[':
		return respell(d.listed())
	}
	word := d.word()
	if word != "true" && word != "false" && strings.ContainsAny(word, ".e") {
		return d.float(word)
	}
	return word
}

// word takes a number, or true or false.
func (d *reader) word() string {
	end := strings.IndexAny(d.s, ",}]")
	if end < 0 {
		d.fail()
		return ""
	}
	word := d.s[:end]
	d.s = d.s[end:]
	return word
}

// listed takes a list of strings as it is.
func (d *reader) listed() string {
	all := d.s
	d.want('[')
	if !d.is(']') {
		for d.err == nil {
			d.quoted()
			if !d.is(',') {
				break
			}
		}
		d.want(']')
	}
	return all[:len(all)-len(d.s)]
}

// float spells a number as encoding/json does: ours always has a point or an
// exponent.
func (d *reader) float(word string) string {
	f, err := strconv.ParseFloat(word, 64)
	if err != nil {
		d.fail()
		return ""
	}
	doc, err := json.Marshal(f)
	if err != nil {
		d.fail()
	}
	return string(doc)
}

// quoted takes a string with its quotes and escapes.
func (d *reader) quoted() string {
	if d.s == "" || d.s[0] != '"' {
		d.fail()
		return ""
	}
	for i := 1; i < len(d.s); i++ {
		next := strings.IndexByte(d.s[i:], '"')
		if next < 0 {
			break
		}
		i += next
		slashes := 0
		for d.s[i-1-slashes] == '\\' { // ends at the first quote at the latest
			slashes++
		}
		if slashes%2 == 0 {
			s := d.s[:i+1]
			d.s = d.s[i+1:]
			return s
		}
	}
	d.fail()
	return ""
}

// separators begin the two characters that encoding/json escapes for
// JavaScript's sake, and a few others.
const separators = "\xe2\x80"

// respell writes the escapes in JSON of ours as encoding/json does, which are
// shorter and in lower case.
func respell(s string) string {
	if strings.IndexByte(s, '\\') < 0 && !strings.Contains(s, separators) {
		return s
	}
	b := make([]byte, 0, len(s)+16)
	done := 0
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && strings.HasPrefix(s[i:], `\u00`) && i+6 <= len(s):
			b = appendControl(append(b, s[done:i]...), s[i+4:i+6])
			i += 5
			done = i + 1
		case s[i] == '\\':
			i++ // what follows is no beginning of anything
		case s[i] == separators[0] && (strings.HasPrefix(s[i:], "\u2028") || strings.HasPrefix(s[i:], "\u2029")):
			b = append(append(append(b, s[done:i]...), `\u202`...), '8'+s[i+2]-"\u2028"[2])
			i += 2
			done = i + 1
		}
	}
	return string(append(b, s[done:]...))
}

// appendControl writes the escape of a control character, two digits of ours.
func appendControl(b []byte, digits string) []byte {
	code, err := strconv.ParseUint(digits, 16, 8)
	if err != nil {
		return append(append(b, `\u00`...), digits...)
	}
	if at := strings.IndexByte("\b\t\n\f\r", byte(code)); at >= 0 {
		return append(b, '\\', "btnfr"[at])
	}
	return append(append(b, `\u00`...), "0123456789abcdef"[code>>4&15], "0123456789abcdef"[code&15])
}
