package local

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"iter"
	"slices"
	"strconv"
	"strings"

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
		for rows, err := range s.chunks(ctx, partition(connection, t), sc) {
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

// chunks reads rows as they are kept, so many at a time that no read stands in
// the way of writers for long. What is yielded holds until the next one.
func (s *Records) chunks(ctx context.Context, part string, sc pipeline.Scan) iter.Seq2[[]stored, error] {
	const query = `SELECT id, updated_at, removed_at, doc FROM records WHERE part = ? AND id >= ? AND id < ?
		AND updated_at >= ? AND (? OR removed_at = 0) ORDER BY id LIMIT ?`
	return func(yield func([]stored, error) bool) {
		from := max(sc.Prefix, sc.After)
		if sc.After != "" && from == sc.After {
			from += "\x00" // the next possible id
		}
		rows := make([]stored, 0, chunk)
		for {
			err := s.db.view(ctx, "scan records of "+part, func() { rows = rows[:0] }, func(r *sql.Rows) error {
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
		all := d.s
		d.list()
		if d.err != nil {
			return ""
		}
		return respell(all[:len(all)-len(d.s)])
	}
	end := strings.IndexAny(d.s, ",}]")
	if end < 0 {
		d.fail()
		return ""
	}
	word := d.s[:end]
	d.s = d.s[end:]
	if strings.ContainsAny(word, ".") || strings.Contains(word, "e") && word != "true" && word != "false" {
		return d.float(word)
	}
	return word
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

// respellings turn our escapes into those of encoding/json, which are shorter,
// and escape two characters that it escapes for JavaScript's sake.
var respellings = func() *strings.Replacer {
	pairs := []string{
		`\\`, `\\`, // so that the backslash of none of those below is taken for one
		"\u2028", `\u2028`, "\u2029", `\u2029`,
	}
	for c := range byte(' ') {
		ours := appendString(nil, string(rune(c)))
		theirs, _ := json.Marshal(string(rune(c))) // a string always encodes
		pairs = append(pairs, string(ours[1:len(ours)-1]), string(theirs[1:len(theirs)-1]))
	}
	return strings.NewReplacer(pairs...)
}()

// separators begin the two characters, and a few others.
const separators = "\xe2\x80"

// respell writes the escapes in JSON of ours as encoding/json does.
func respell(s string) string {
	if strings.IndexByte(s, '\\') < 0 && !strings.Contains(s, separators) {
		return s
	}
	return respellings.Replace(s)
}
