package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"stovasync/shared/erase"
	"stovasync/shared/explain"
	"stovasync/shared/run"
)

func (c *cli) explainCommand() *cobra.Command {
	var noFetch bool
	cmd := &cobra.Command{
		Use:   "explain NAME TYPE ID",
		Short: "Say why a record is, or is not, in the store",
		Long: `Follows one record from the vendor's list to the store: which run listed and read
it, what every rule that concerns its type said (R1 to R20), what each field was
made of, and a verdict that names the rule that decided. An id that is not stored
is explained as well; that is no error. Values are masked.

TYPE takes the names and synonyms of data types, ID the id of the record: of a
session with its key (60001_1), of a schedule row ATTENDEE_SESSION, of a picture
that of its owner. An attendee's id, asked as schedule, gives that person's rows.

The row is taken from the newest raw page that holds it. Where none does any more,
the vendor is asked for it, by one call; --no-fetch forbids that.`,
		Example: "  stovasync explain summit users 800000001\n  stovasync explain summit sessions 60004_1 --json\n  stovasync explain summit schedule 800000001",
		Args:    exactly("NAME", "TYPE", "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(at *site) error { return c.explain(cmd.Context(), at, args, noFetch) })
		},
	}
	cmd.Flags().BoolVar(&noFetch, "no-fetch", false, "never ask the vendor, also where no raw page holds the row")
	return cmd
}

func (c *cli) explain(ctx context.Context, at *site, args []string, noFetch bool) error {
	conn, err := c.connection(ctx, at, args[0])
	if err != nil {
		return err
	}
	t, err := dataType(args[1])
	if err != nil {
		return err
	}
	if strings.TrimSpace(args[2]) == "" {
		return invalid("give the id of a record", "the id is empty")
	}
	s := at.Steps
	x, err := explain.Explain(ctx, explain.Env{
		Ledger: s.Ledger, Records: s.Records, Objects: s.Objects, Connector: s.Connector, Self: c.self(),
		Suppressed: func(ctx context.Context, conn run.Connection, id string) (bool, error) {
			return erase.Suppressed(ctx, s.Ledger.Items, at.Secrets, conn, id)
		},
	}, explain.Request{Connection: conn.Name, Type: t, ID: args[2], NoFetch: noFetch})
	if err != nil {
		return err
	}
	if c.json {
		return printJSON(c.out, x)
	}
	return c.printExplanation(x)
}

// printExplanation shows the verdict first: who has no time reads no more.
func (c *cli) printExplanation(x explain.Explanation) error {
	err := errors.Join(c.line("%s %s of %s", x.Type, x.ID, x.Connection), c.paragraph(x.Verdict))
	for _, more := range []struct {
		title string
		ids   []string
	}{{"Near it", x.Nearest}, {"Waits for", x.Waits}, {"Belonging to it", x.Related}} {
		if len(more.ids) > 0 {
			err = errors.Join(err, c.paragraph(more.title+": "+strings.Join(more.ids, ", ")))
		}
	}
	if x.Next != "" {
		err = errors.Join(err, c.line("Next: %s", x.Next))
	}
	return errors.Join(err, c.gap(), c.rulesGrid(x.Rules).print(c.out), c.fieldsTable(x.Fields))
}

// paragraph writes a text in lines that the terminal has room for.
func (c *cli) paragraph(s string) error {
	if w := c.width(); w > 0 {
		lines := strings.Split(text.WrapSoft(s, w), "\n")
		for i := range lines {
			lines[i] = strings.TrimRight(lines[i], " ")
		}
		s = strings.Join(lines, "\n")
	}
	return c.line("%s", s)
}

// rulesGrid is the path: what each rule said.
func (c *cli) rulesGrid(rules []explain.Rule) grid {
	g := newGrid("rule", "result", "name", "why")
	used := 4
	for _, r := range rules {
		result := r.Result
		switch result {
		case explain.Stop:
			result = c.paint(text.Colors{text.FgRed}, result)
		case explain.Pass:
			result = c.paint(text.Colors{text.FgGreen}, result)
		}
		g.row(r.Rule, result, r.Name, r.Why)
		used = max(used, len(r.Name))
	}
	g.t.SetColumnConfigs([]table.ColumnConfig{c.room(4, used+18)})
	return g
}

// room is a column that takes what the others, of so many characters, leave.
func (c *cli) room(column, others int) table.ColumnConfig {
	conf := table.ColumnConfig{Number: column}
	if w := c.width(); w > 0 {
		conf.WidthMax, conf.WidthMaxEnforcer = max(w-others, 24), text.WrapSoft
	}
	return conf
}

// fieldsTable is what each field is made of.
func (c *cli) fieldsTable(fields []explain.Field) error {
	if len(fields) == 0 {
		return nil
	}
	columns := []struct {
		heading string
		cell    func(explain.Field) string
	}{
		{"field", func(f explain.Field) string { return f.Field }},
		{"value", func(f explain.Field) string { return valueText(f.Value) }},
		{"stored", func(f explain.Field) string { return valueText(f.Stored) }},
		{"note", func(f explain.Field) string { return f.Note }},
		{"from", madeOf},
	}
	var headings []string
	rows := make([]table.Row, len(fields))
	others := 0
	for _, col := range columns {
		widest := 0
		for _, f := range fields {
			widest = max(widest, len([]rune(col.cell(f))))
		}
		if widest == 0 {
			continue // most records are stored as the row gives them
		}
		headings = append(headings, col.heading)
		if col.heading != "from" {
			others += max(widest, len(col.heading)) + 1
		}
		for i, f := range fields {
			rows[i] = append(rows[i], col.cell(f))
		}
	}
	g := newGrid(headings...)
	g.t.AppendRows(rows)
	g.t.SetColumnConfigs([]table.ColumnConfig{c.room(len(headings), others+1)})
	return errors.Join(c.gap(), g.print(c.out))
}

// madeOf is what a field is made of: its expression, and the columns that reads.
func madeOf(f explain.Field) string {
	reads := readFrom(f.Columns)
	switch {
	case f.Expression == "":
		return "computed"
	case len(reads) == 1 && strings.HasPrefix(reads[0], f.Expression+" "):
		return reads[0]
	case len(reads) > 0:
		return f.Expression + ": " + strings.Join(reads, ", ")
	default:
		return f.Expression
	}
}

// readFrom are the columns that a field reads, with their values.
func readFrom(columns []explain.Column) []string {
	var out []string
	for _, col := range columns {
		value := valueText(col.Value)
		if value == "" {
			value = "empty"
		}
		out = append(out, fmt.Sprintf("%s (%s)", col.Expression, value))
	}
	return out
}

// valueText is a masked value in a cell.
func valueText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	default:
		doc, err := json.Marshal(v)
		if err != nil {
			return fmt.Sprint(v)
		}
		return string(doc)
	}
}
