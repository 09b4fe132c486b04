package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"stovasync/shared/app"
	"stovasync/shared/config"
	"stovasync/shared/preview"
	"stovasync/shared/run"
)

type previewFlags struct {
	sample  int
	mapping string
	reports reportFlags
}

func (c *cli) previewCommand() *cobra.Command {
	var f previewFlags
	cmd := &cobra.Command{
		Use:   "preview NAME TYPE",
		Short: "Show what a sync would make of a sample of rows",
		Long: `Reads a sample of one data type from the vendor and shows what a sync would
store of it, and from which columns; every source column with the expression that
goes into a mapping; and the rows that a rule keeps out or that cannot be stored.
Columns that seem to hold an uploaded picture are marked. Values are masked.

It stores no record and fetches no picture. All it keeps is the names of the
columns, so that the next preview can tell which of them are gone.

--mapping FILE tries a mapping before it is kept. FILE is data types with their
fields and expressions, or a file with mapping, filters and protect, or a whole
connection file, of which only these three are used. Each replaces the
connection's own as connections put would; a trial keeps nothing at all.

On aws:STACK the deployed function reads the sample. Exit code 0 also when rows
are rejected or there are none.`,
		Example: "  stovasync preview summit users\n  stovasync preview summit users --mapping mapping.yaml --sample 50\n  stovasync preview summit sessions --html sessions.html --xlsx sessions.xlsx",
		Args:    exactly("NAME", "TYPE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range []string{"html", "xlsx", "mapping"} {
				if flag := cmd.Flags().Lookup(name); flag.Changed && flag.Value.String() == "" {
					return invalid("name a file, or leave it out", "--%s names no file", name)
				}
			}
			return c.preview(cmd.Context(), args[0], args[1], f)
		},
	}
	cmd.Flags().IntVar(&f.sample, "sample", preview.DefaultSample, fmt.Sprintf("rows of the type to look at, 1 to %d", preview.MaxSample))
	cmd.Flags().StringVar(&f.mapping, "mapping", "", "try the mapping of this file (- is standard input)")
	f.reports.add(cmd)
	return cmd
}

func (c *cli) preview(ctx context.Context, name, typeWord string, f previewFlags) error {
	t, err := dataType(typeWord)
	if err != nil {
		return err
	}
	if f.sample < 1 || f.sample > preview.MaxSample {
		return invalid(fmt.Sprintf("use 1 to %d", preview.MaxSample), "--sample %d is out of range", f.sample)
	}
	if err := f.reports.check(c); err != nil {
		return err
	}
	event := app.PreviewEvent{Connection: name, Type: t, Sample: f.sample}
	if f.mapping != "" {
		if err := c.tryMapping(f.mapping, &event); err != nil {
			return err
		}
	}
	return c.with(ctx, func(at *site) error {
		conn, err := c.connection(ctx, at, name)
		if err != nil {
			return err
		}
		r, err := at.operator.Preview(ctx, event)
		if err != nil {
			return err
		}
		if err := f.reports.write(c, r); err != nil {
			return err
		}
		switch {
		case c.json:
			return printJSON(c.out, r)
		case f.reports.piped():
			return nil
		default:
			mapped := conn.Mapping
			if event.Mapping != nil {
				mapped = event.Mapping
			}
			return c.printPreview(r, f, mapped)
		}
	})
}

// tryMapping reads the mapping to try. A whole connection file stands for what
// a put of it would do: sections that it lacks are none.
func (c *cli) tryMapping(file string, e *app.PreviewEvent) error {
	doc, err := c.readFile(file)
	if err != nil {
		return err
	}
	m, err := config.ParseMappingFile(string(doc), compiles)
	if err != nil {
		return err
	}
	c.warn(m.Warnings)
	e.Trial, e.Mapping, e.Filters, e.Protect = true, m.Mapping, m.Filters, m.Protect
	if m.Name == "" {
		return nil
	}
	if m.Name != e.Connection {
		c.say("note: %s is the file of connection %s; its mapping, filters and protect are tried on %s\n", file, m.Name, e.Connection)
	}
	if e.Mapping == nil {
		e.Mapping = map[run.DataType]map[string]*string{}
	}
	if e.Filters == nil {
		e.Filters = map[run.DataType]string{}
	}
	if e.Protect == nil {
		e.Protect = map[run.DataType]map[string][]string{}
	}
	return nil
}
