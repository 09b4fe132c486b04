package pipeline

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"

	"stovasync/shared/run"
)

// Encoded is a record for who writes it down as JSON: its fields are that
// already.
type Encoded struct {
	Record // Fields is nil
	Values []EncodedField
}

// EncodedField is one field of a record.
type EncodedField struct {
	Name string
	// JSON is the value as encoding/json writes it, without its escapes for HTML.
	JSON string
}

// EncodedScanner is what Records may offer besides: Scan for readers to whom
// decoding every value, only to encode it again, is most of the cost.
type EncodedScanner interface {
	// ScanEncoded is Scan with the fields in the byte order of their names. What
	// it yields holds until it yields again.
	ScanEncoded(ctx context.Context, connection string, t run.DataType, s Scan) iter.Seq2[*Encoded, error]
	// FieldNames are the names of all fields that records of a type have, in
	// byte order. known says that there are records, or tombstones, at all.
	FieldNames(ctx context.Context, connection string, t run.DataType) (names []string, known bool, err error)
}

// FieldNames is EncodedScanner for every store of records.
func FieldNames(ctx context.Context, r Records, connection string, t run.DataType) (names []string, known bool, err error) {
	if own, ok := r.(EncodedScanner); ok {
		return own.FieldNames(ctx, connection, t)
	}
	found := map[string]bool{}
	for r, err := range r.Scan(ctx, connection, t, Scan{Removed: true}) {
		if err != nil {
			return nil, false, err
		}
		known = true
		for name := range r.Fields {
			found[name] = true
		}
	}
	return slices.Sorted(maps.Keys(found)), known, nil
}

// ScanEncoded is EncodedScanner for every store of records.
func ScanEncoded(ctx context.Context, r Records, connection string, t run.DataType, s Scan) iter.Seq2[*Encoded, error] {
	if own, ok := r.(EncodedScanner); ok {
		return own.ScanEncoded(ctx, connection, t, s)
	}
	return func(yield func(*Encoded, error) bool) {
		var e Encoded
		for r, err := range r.Scan(ctx, connection, t, s) {
			if err == nil {
				err = e.encode(r)
			}
			if !yield(&e, err) || err != nil {
				return
			}
		}
	}
}

func (e *Encoded) encode(r Record) error {
	e.Record, e.Values = r, e.Values[:0]
	for name, v := range r.Fields {
		var b bytes.Buffer
		w := json.NewEncoder(&b)
		w.SetEscapeHTML(false)
		if err := w.Encode(v); err != nil {
			return fmt.Errorf("record %s: field %s: %w", r.ID, name, err)
		}
		e.Values = append(e.Values, EncodedField{name, string(bytes.TrimRight(b.Bytes(), "\n"))})
	}
	e.Fields = nil
	slices.SortFunc(e.Values, func(a, b EncodedField) int { return cmp.Compare(a.Name, b.Name) })
	return nil
}
