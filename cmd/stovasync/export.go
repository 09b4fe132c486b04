package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
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

CSV has a column for each field that a record of this export has; several values
in one field are a JSON list. Pictures are files: object_key of user-photos and
presenter-photos is a path under objects/ in the target's folder, or the key of an
object in the stack's bucket.

--since compares updated_at, the time of the write. To follow a store, go back
15 minutes from the newest updated_at you have and expect repeats. With --since
or --removed, records that were removed are shown too, with removed_at.`,
		Example: "  stovasync export summit users\n  stovasync export summit sessions --format csv > sessions.csv\n  stovasync export summit users --since 2031-03-04T09:00:00Z",
		Args:    exactly("NAME", "TYPE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(at *site) error { return c.export(cmd.Context(), at, args[0], args[1], f) })
		},
	}
	cmd.Flags().StringVar(&f.since, "since", "", "only records written since this time\n(RFC 3339, or a date)")
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
	}
	// Records outlive their connection, so only an empty answer asks for it.
	e := exporter{at: at, name: name, t: t, scan: scan, out: bufio.NewWriterSize(c.out, 1<<16)}
	if f.format == "csv" {
		err = e.csv(ctx)
	} else {
		err = e.lines(ctx)
	}
	if err == nil && e.n == 0 {
		_, err = c.connection(ctx, at, name)
	}
	return errors.Join(err, e.out.Flush())
}

// moment reads a time as people and programs write it.
func moment(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, invalid("use RFC 3339, such as 2031-03-04T09:00:00Z, or a date", "--since %q is no time", s)
}

// exporter writes the records of one connection and type, whatever their
// number, in little memory.
type exporter struct {
	at   *site
	name string
	t    run.DataType
	scan pipeline.Scan
	out  *bufio.Writer
	n    int
}

// member is one name of an exported object.
type member struct {
	name  string
	value any
}

// envelope is the order of the names that every record has, as far as they
// hold something (interface.md).
func envelope(r pipeline.Record) []member {
	all := []member{
		{"fp_ext_id", r.ID}, {"fp_type", r.Type}, {"fp_status", r.Status}, {"fp_owner", r.Owner},
		{"content_hash", r.Hash}, {"source_lastmodified", r.LastModified}, {"updated_at", instant(r.UpdatedAt)},
		{"run", r.Run},
	}
	if r.LastModified == "" {
		all = slices.DeleteFunc(all, func(m member) bool { return m.name == "source_lastmodified" })
	}
	if len(r.Protect) > 0 {
		all = append(all, member{"fp_protect", r.Protect})
	}
	if !r.RemovedAt.IsZero() {
		all = append(all, member{"removed_at", instant(r.RemovedAt)})
	}
	return all
}

// instant writes a moment in RFC 3339, always as long, so that texts sort as
// times do.
func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000000Z07:00") }

// members are all names of a record: the envelope, then its fields by name.
func members(r pipeline.Record) []member {
	all := envelope(r)
	for _, name := range slices.Sorted(maps.Keys(r.Fields)) {
		all = append(all, member{name, r.Fields[name]})
	}
	return all
}

func (e *exporter) lines(ctx context.Context) error {
	for r, err := range e.at.Steps.Records.Scan(ctx, e.name, e.t, e.scan) {
		if err != nil {
			return err
		}
		e.n++
		if err := e.object(members(r)); err != nil {
			return err
		}
	}
	return nil
}

func (e *exporter) object(all []member) error {
	for i, m := range all {
		doc, err := encode(m.value)
		if err != nil {
			return fmt.Errorf("encode %s: %w", m.name, err)
		}
		lead := ','
		if i == 0 {
			lead = '{'
		}
		if _, err := fmt.Fprintf(e.out, "%c%q:%s", lead, m.name, doc); err != nil {
			return err
		}
	}
	_, err := e.out.WriteString("}\n")
	return err
}

// encode is JSON as people write it: & and < stay what they are.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	w := json.NewEncoder(&b)
	w.SetEscapeHTML(false)
	if err := w.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// csv reads the records twice: first for the names of the columns.
func (e *exporter) csv(ctx context.Context) error {
	columns, err := e.columns(ctx)
	if err != nil || len(columns) == 0 {
		return err
	}
	w := csv.NewWriter(e.out)
	if err := w.Write(columns); err != nil {
		return err
	}
	row := make([]string, len(columns))
	for r, err := range e.at.Steps.Records.Scan(ctx, e.name, e.t, e.scan) {
		if err != nil {
			return err
		}
		clear(row)
		for _, m := range members(r) {
			i := slices.Index(columns, m.name)
			if i < 0 {
				continue // written after the columns were read
			}
			if row[i], err = cell(m.value); err != nil {
				return err
			}
		}
		e.n++
		if err := w.Write(row); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

func (e *exporter) columns(ctx context.Context) ([]string, error) {
	var columns []string
	fields := map[string]bool{}
	for r, err := range e.at.Steps.Records.Scan(ctx, e.name, e.t, e.scan) {
		if err != nil {
			return nil, err
		}
		for _, m := range envelope(r) {
			if !slices.Contains(columns, m.name) {
				columns = append(columns, m.name)
			}
		}
		for name := range r.Fields {
			fields[name] = true
		}
	}
	return append(columns, slices.Sorted(maps.Keys(fields))...), nil
}

// cell writes a value for CSV: a text as it is, everything else as JSON.
func cell(v any) (string, error) {
	if s, ok := v.(string); ok {
		return s, nil
	}
	doc, err := encode(v)
	return string(doc), err
}
