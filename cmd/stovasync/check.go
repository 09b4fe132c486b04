package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"stovasync/shared/app"
)

func (c *cli) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check NAME",
		Short: "Test a connection, step by step",
		Long: `Tests a connection, step by step: its settings and mapping, the addresses and
their region, the login, the event, one row of each list that is read, and the
hosts of the pictures. Where a picture is known, stored or named by a row that
was read, it is asked for; when it is not there, the vendor's other regions are
asked, and the one that has it is named.

It stores nothing. On aws:STACK it tests the settings and the key of the stack,
but from this machine. With --json: a line for each step. Exit code 1 when a step
fails.`,
		Example: "  stovasync check summit\n  stovasync check summit --json",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(at *site) error { return c.check(cmd.Context(), at, args[0]) })
		},
	}
}

func (c *cli) check(ctx context.Context, at *site, name string) error {
	if _, err := c.connection(ctx, at, name); err != nil {
		return err
	}
	failed, done := 0, 0.0
	var printing error
	if !c.json {
		printing = c.write(stepLine("step", "result", "time", "found", c.width()))
	}
	err := at.Check(ctx, name, func(s app.CheckStep) {
		if !s.OK {
			failed++
		}
		done += s.Seconds
		if c.json {
			printing = errors.Join(printing, printJSON(c.out, s))
		} else {
			printing = errors.Join(printing, c.write(c.stepText(s)))
		}
	})
	if err := errors.Join(err, printing); err != nil {
		return err
	}
	switch {
	case c.json:
	case failed == 0:
		err = c.line("\nAll is well, in %s.\nNext: %s sync %s", seconds(done), c.self(), name)
	default:
		err = c.line("\n%s failed.", count(failed, "step"))
	}
	if err == nil && failed > 0 {
		err = status(exitError)
	}
	return err
}

func (c *cli) write(text string) error {
	_, err := io.WriteString(c.out, text)
	return err
}

// The columns of a step: its name, its result, its time.
const stepColumns = 18 + 8 + 9

// stepText is a step as people see it, as soon as it has ended: the slow ones
// make them wait.
func (c *cli) stepText(s app.CheckStep) string {
	verdict, message := "ok", s.Message
	more := make([]string, 0, 1+len(s.Warnings))
	if !s.OK {
		verdict, message = "FAILED", s.Code+": "+s.Message
		if s.Next != "" {
			more = append(more, "next: "+s.Next)
		}
	}
	for _, w := range s.Warnings {
		more = append(more, "warning "+w.Code+": "+w.Message)
	}
	out := stepLine(s.Step, verdict, fmt.Sprintf("%.2f s", s.Seconds), message, c.width())
	for _, m := range more {
		out += hanging("    ", m, c.width())
	}
	colour := text.Colors{text.FgGreen}
	if !s.OK {
		colour = text.Colors{text.FgRed, text.Bold}
	}
	return strings.Replace(out, " "+verdict+" ", " "+c.paint(colour, verdict)+" ", 1)
}

// stepLine is one row of the table. What was found goes under the row where it
// does not fit beside it.
func stepLine(step, verdict, took, found string, width int) string {
	row := fmt.Sprintf("%-17s %-7s %8s", step, verdict, took)
	if width > 0 && width < stepColumns+len("  ")+20 {
		return row + "\n" + hanging("    ", found, width)
	}
	return hangingAfter(row+"  ", strings.Repeat(" ", stepColumns+1), found, width)
}

// hanging writes a text in lines of at most width columns (0: one line), each
// behind indent.
func hanging(indent, s string, width int) string { return hangingAfter(indent, indent, s, width) }

func hangingAfter(first, indent, s string, width int) string {
	lines := []string{s}
	if room := width - text.StringWidthWithoutEscSequences(indent); width > 0 {
		lines = strings.Split(text.WrapSoft(s, max(room, 10)), "\n")
	}
	out := ""
	for i, l := range lines {
		lead := indent
		if i == 0 {
			lead = first
		}
		out += strings.TrimRight(lead+strings.TrimSpace(l), " ") + "\n"
	}
	return out
}
