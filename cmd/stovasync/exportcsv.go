package main

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"stovasync/shared/app"
	"stovasync/shared/mapping"
	"stovasync/shared/pipeline"
)

// csv writes the records as RFC 4180 says: lines end in CR and LF, a field with
// a comma, a quote or a line break is in quotes, and nothing else is done to
// it. Values that a spreadsheet would take for a formula stay what they are:
// this is for programs, which would get a wrong value otherwise.
//
// The columns are the same from one export to the next, whatever it holds: they
// are those of all records of the type, and the mapped fields.
func (e *exporter) csv(ctx context.Context) error {
	fields, err := e.fields(ctx)
	if err != nil || !e.known {
		return err
	}
	columns := envelope()
	if !e.scan.Removed {
		columns = slices.DeleteFunc(columns, func(c column) bool { return c.name == "removed_at" })
	}
	for _, c := range columns {
		e.line = append(appendField(e.line, c.name), ',')
	}
	for _, name := range fields {
		e.line = append(appendField(e.line, name), ',')
	}
	if err := e.endRow(); err != nil {
		return err
	}
	var scratch []byte
	for r, err := range e.records(ctx, e.scan) {
		if err != nil {
			return err
		}
		for _, c := range columns {
			scratch = c.value(scratch[:0], &r.Record)
			e.line = append(appendCell(e.line, string(scratch)), ',')
		}
		e.cells(fields, r.Values)
		if err := e.endRow(); err != nil {
			return err
		}
	}
	return nil
}

// cells adds a record's fields to the row. Both are in the order of their
// names; a field that was not there when the columns were read is left out.
func (e *exporter) cells(fields []string, values []pipeline.EncodedField) {
	for _, name := range fields {
		for len(values) > 0 && values[0].Name < name {
			values = values[1:]
		}
		if len(values) > 0 && values[0].Name == name {
			e.line = appendCell(e.line, values[0].JSON)
			values = values[1:]
		}
		e.line = append(e.line, ',')
	}
}

// endRow writes the row, in place of whose last comma the line ends.
func (e *exporter) endRow() error {
	b := append(e.line[:len(e.line)-1], '\r', '\n')
	e.line = b[:0]
	_, err := e.out.Write(b)
	return err
}

// fields are the names of all fields that there are.
func (e *exporter) fields(ctx context.Context) ([]string, error) {
	names := map[string]bool{}
	var last []string
	for r, err := range e.records(ctx, pipeline.Scan{Removed: true}) {
		if err != nil {
			return nil, err
		}
		e.known = true
		if sameNames(last, r.Values) {
			continue // as with most records
		}
		last = last[:0]
		for _, v := range r.Values {
			name := strings.Clone(v.Name) // not the whole record with it
			names[name] = true
			last = append(last, name)
		}
	}
	for _, name := range e.mapped(ctx) {
		names[name] = true
	}
	return slices.Sorted(maps.Keys(names)), nil
}

func sameNames(names []string, values []pipeline.EncodedField) bool {
	return slices.EqualFunc(names, values, func(name string, v pipeline.EncodedField) bool { return name == v.Name })
}

// mapped are the fields that the connection maps, as far as it is still there.
func (e *exporter) mapped(ctx context.Context) []string {
	conn, err := e.at.Steps.Ledger.Connection(ctx, e.name)
	if err != nil {
		return nil
	}
	set, err := mapping.Compile(app.MappingSettings(conn))
	if err != nil {
		return nil
	}
	var names []string
	for _, f := range set.Fields(e.t) {
		names = append(names, f.Name)
	}
	return names
}

// appendCell writes a value for CSV: a text as it is, everything else as JSON.
func appendCell(b []byte, doc string) []byte {
	if doc == "" || doc[0] != '"' {
		return appendField(b, doc)
	}
	if inner := doc[1 : len(doc)-1]; strings.IndexByte(inner, '\\') < 0 {
		return appendField(b, inner)
	}
	var s string
	if json.Unmarshal([]byte(doc), &s) != nil {
		return appendField(b, doc)
	}
	return appendField(b, s)
}

// appendField writes one field of a row.
func appendField(b []byte, s string) []byte {
	if !strings.ContainsAny(s, ",\"\r\n") {
		return append(b, s...)
	}
	b = append(b, '"')
	for {
		before, after, found := strings.Cut(s, `"`)
		b = append(b, before...)
		if !found {
			return append(b, '"')
		}
		b = append(b, '"', '"')
		s = after
	}
}
