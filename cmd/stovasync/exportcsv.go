package main

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

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

// fields are the names of all fields that there are, and of the mapped ones.
func (e *exporter) fields(ctx context.Context) ([]string, error) {
	names, known, err := pipeline.FieldNames(ctx, e.at.Steps.Records, e.name, e.t)
	if err != nil {
		return nil, err
	}
	e.known = known
	names = append(names, e.mapped(ctx)...)
	slices.Sort(names)
	return slices.Compact(names), nil
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
	inner := doc[1 : len(doc)-1]
	at := strings.IndexByte(inner, '\\')
	if at < 0 {
		return appendField(b, inner)
	}
	// Whatever is escaped stands in quotes here too, needed or not.
	b = append(b, '"')
	for at >= 0 && at+1 < len(inner) {
		b = appendQuotes(b, inner[:at])
		var n int
		b, n = appendEscaped(b, inner[at:])
		inner = inner[at+n:]
		at = strings.IndexByte(inner, '\\')
	}
	return append(appendQuotes(b, inner), '"')
}

// appendEscaped writes what a JSON escape stands for, and tells its length.
func appendEscaped(b []byte, s string) ([]byte, int) {
	switch s[1] {
	case '"':
		return append(b, '"', '"'), 2
	case 'u':
		if len(s) < 6 {
			return append(b, s...), len(s)
		}
		code, _ := strconv.ParseUint(s[2:6], 16, 32)
		return utf8.AppendRune(b, rune(code)), 6 // none of ours stands for half a character
	default:
		if at := strings.IndexByte("btnfr", s[1]); at >= 0 {
			return append(b, "\b\t\n\f\r"[at]), 2
		}
		return append(b, s[1]), 2
	}
}

// appendField writes one field of a row.
func appendField(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c == ',' || c == '"' || c == '\r' || c == '\n' {
			return append(appendQuotes(append(b, '"'), s), '"')
		}
	}
	return append(b, s...)
}

// appendQuotes writes a text with each quote in it twice.
func appendQuotes(b []byte, s string) []byte {
	for {
		at := strings.IndexByte(s, '"')
		if at < 0 {
			return append(b, s...)
		}
		b = append(append(b, s[:at+1]...), '"')
		s = s[at+1:]
	}
}
