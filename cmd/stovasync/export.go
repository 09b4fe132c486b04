package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

type exportFlags struct {
	since   string
	removed bool
	format  string
}

func (c *cli) exportCommand() *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use:   "export NAME TYPE",
		Short: "Print the stored records of a type",
		Long: `Prints the records of one data type in the order of fp_ext_id: one JSON object a
line, or CSV. This is the one verb that prints personal data.

CSV is that of RFC 4180, for programs: no value is changed, also none that a
spreadsheet would take for a formula (=, +, -, @); who opens it in one imports
the columns as text. It has a column for each field that a stored record of the
type has or that is mapped, whatever is exported of them, so that the columns of
two exports are the same; several values in one field are a JSON list. Pictures
are files: object_key of user-photos and presenter-photos is a path under
objects/ in the target's folder, or the key of an object in the stack's bucket.

--since compares updated_at, the time of the write, and takes what was written
at that very time. To follow a store, go back 15 minutes from the newest
updated_at you have and expect repeats. With --since or --removed, records that
were removed are shown too, with removed_at. Of people who were erased nothing is
shown, since a tombstone would hold the id: a note says that there are some, and
a whole export, compared with what you have, tells whom to drop.`,
		Example: "  stovasync export summit users\n  stovasync export summit sessions --format csv > sessions.csv\n  stovasync export summit users --since 2031-03-04T09:00:00Z",
		Args:    exactly("NAME", "TYPE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(at *site) error { return c.export(cmd.Context(), at, args[0], args[1], f) })
		},
	}
	cmd.Flags().StringVar(&f.since, "since", "", "only records written at this time or later\n(RFC 3339, or a date: its beginning in UTC)")
	cmd.Flags().BoolVar(&f.removed, "removed", false, "removed records too")
	cmd.Flags().StringVar(&f.format, "format", "jsonl", "jsonl or csv")
	return cmd
}

func (c *cli) export(ctx context.Context, at *site, name, typeWord string, f exportFlags) error {
	t, err := dataType(typeWord)
	if err != nil {
		return err
	}
	if f.format != "jsonl" && f.format != "csv" {
		return invalid("use jsonl or csv", "--format %q is unknown", f.format)
	}
	if f.format == "csv" && c.json {
		return invalid("choose one", "--json and --format csv exclude each other")
	}
	scan := pipeline.Scan{Removed: f.removed}
	if f.since != "" {
		if scan.Since, err = moment(f.since); err != nil {
			return err
		}
		scan.Removed = true
		if scan.Since.After(at.now()) {
			c.say("note: --since %s is in the future: nothing has been written since then\n", f.since)
		}
		if err := c.tellErased(ctx, at, name, t, scan.Since); err != nil {
			return err
		}
	}
	e := exporter{at: at, name: name, t: t, scan: scan, out: bufio.NewWriterSize(c.out, 1<<16)}
	if f.format == "csv" {
		err = e.csv(ctx)
	} else {
		err = e.lines(ctx)
	}
	// Records outlive their connection, so only an empty answer asks for it.
	if err == nil && !e.known {
		_, err = c.connection(ctx, at, name)
	}
	return errors.Join(err, e.out.Flush())
}

// now is the clock of the target: on AWS that of AWS.
func (s *site) now() time.Time {
	if s.Steps.Now == nil {
		return time.Now()
	}
	return s.Steps.Now()
}

// moment reads a time as people and programs write it. A date is its beginning
// in UTC; a time of day without a zone could be any of many moments.
func moment(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05Z07:00", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04", time.DateTime, "2006-01-02 15:04"} {
		if t, err := time.Parse(layout, s); err == nil {
			return time.Time{}, invalid(fmt.Sprintf("write %s for UTC, or the offset in place of the Z", t.Format(time.RFC3339)), "--since %q has no time zone", s)
		}
	}
	return time.Time{}, invalid("use RFC 3339, such as 2031-03-04T09:00:00Z, or a date, such as 2031-03-04, for its beginning in UTC", "--since %q is no time", s)
}

// exporter writes the records of one connection and type, whatever their
// number, in little memory.
type exporter struct {
	at   *site
	name string
	t    run.DataType
	scan pipeline.Scan
	out  *bufio.Writer
	// known says that there are records of that name.
	known bool
	line  []byte // the record under way
}

func (e *exporter) records(ctx context.Context, s pipeline.Scan) iter.Seq2[*pipeline.Encoded, error] {
	return pipeline.ScanEncoded(ctx, e.at.Steps.Records, e.name, e.t, s)
}

// envelope is the order of the names that every record has, as far as they
// hold something (interface.md), with how each is written as JSON.
func envelope() []column {
	return []column{
		{"fp_ext_id", func(b []byte, r *pipeline.Record) []byte { return appendText(b, r.ID) }},
		{"fp_type", func(b []byte, r *pipeline.Record) []byte { return appendText(b, r.Type) }},
		{"fp_status", func(b []byte, r *pipeline.Record) []byte { return appendText(b, r.Status) }},
		{"fp_owner", func(b []byte, r *pipeline.Record) []byte { return appendText(b, r.Owner) }},
		{"content_hash", func(b []byte, r *pipeline.Record) []byte { return appendText(b, r.Hash) }},
		{"source_lastmodified", func(b []byte, r *pipeline.Record) []byte {
			if r.LastModified == "" {
				return b
			}
			return appendText(b, r.LastModified)
		}},
		{"updated_at", func(b []byte, r *pipeline.Record) []byte { return appendInstant(b, r.UpdatedAt) }},
		{"run", func(b []byte, r *pipeline.Record) []byte { return appendText(b, r.Run) }},
		{"fp_protect", func(b []byte, r *pipeline.Record) []byte {
			if len(r.Protect) == 0 {
				return b
			}
			return appendJSON(b, r.Protect)
		}},
		{"removed_at", func(b []byte, r *pipeline.Record) []byte { return appendInstant(b, r.RemovedAt) }},
	}
}

// column is one name of the envelope; value adds nothing where there is none.
type column struct {
	name  string
	value func([]byte, *pipeline.Record) []byte
}

// appendInstant writes a moment in RFC 3339, always as long, so that texts sort
// as times do.
func appendInstant(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	return append(t.UTC().AppendFormat(append(b, '"'), "2006-01-02T15:04:05.000000000Z07:00"), '"')
}

// appendText quotes a text as JSON.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			return appendJSON(b, s)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// appendJSON is JSON as people write it: & and < stay what they are.
func appendJSON(b []byte, v any) []byte {
	var doc bytes.Buffer
	w := json.NewEncoder(&doc)
	w.SetEscapeHTML(false)
	_ = w.Encode(v) // texts and lists of them always encode
	return append(b, bytes.TrimRight(doc.Bytes(), "\n")...)
}

// lines writes one JSON object for each record.
func (e *exporter) lines(ctx context.Context) error {
	columns := envelope()
	for r, err := range e.records(ctx, e.scan) {
		if err != nil {
			return err
		}
		e.known = true
		if err := e.object(columns, r); err != nil {
			return err
		}
	}
	return nil
}

func (e *exporter) object(columns []column, r *pipeline.Encoded) error {
	b := append(e.line[:0], '{')
	for _, c := range columns {
		start := len(b)
		b = append(append(append(b, '"'), c.name...), '"', ':')
		named := len(b)
		if b = c.value(b, &r.Record); len(b) == named {
			b = b[:start]
			continue
		}
		b = append(b, ',')
	}
	for _, f := range r.Values {
		b = append(append(append(appendText(b, f.Name), ':'), f.JSON...), ',')
	}
	b[len(b)-1] = '}' // every record has an id
	b = append(b, '\n')
	e.line = b
	_, err := e.out.Write(b)
	return err
}
