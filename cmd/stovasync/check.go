package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"stovasync/shared/app"
)

func (c *cli) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check NAME",
		Short: "Test a connection, step by step",
		Long: `Tests a connection: its settings and mapping, the login, the event, one row of
each list that is read, and the hosts of the pictures. It stores nothing. On
aws:STACK it tests the settings and the key of the stack, but from this machine.
Exit code 1 when a step fails.`,
		Example: "  stovasync check summit",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(at *site) error { return c.check(cmd.Context(), at, args[0]) })
		},
	}
}

// checkView is the answer of `check --json`.
type checkView struct {
	Steps []app.CheckStep `json:"steps"`
}

func (c *cli) check(ctx context.Context, at *site, name string) error {
	if _, err := c.connection(ctx, at, name); err != nil {
		return err
	}
	v := checkView{Steps: []app.CheckStep{}}
	failed := 0
	var printing error
	err := at.Check(ctx, name, func(s app.CheckStep) {
		v.Steps = append(v.Steps, s)
		if !s.OK {
			failed++
		}
		if !c.json {
			printing = errors.Join(printing, c.printStep(s))
		}
	})
	if err := errors.Join(err, printing); err != nil {
		return err
	}
	switch {
	case c.json:
		err = printJSON(c.out, v)
	case failed == 0:
		err = c.line("\nAll is well. Next: %s sync %s", c.self(), name)
	default:
		err = c.line("\n%s failed.", count(failed, "step"))
	}
	if err == nil && failed > 0 {
		err = status(exitError)
	}
	return err
}

// printStep prints a step as soon as it has ended: the slow ones make people wait.
func (c *cli) printStep(s app.CheckStep) error {
	verdict, message := "ok", s.Message
	var more []string
	if !s.OK {
		verdict, message = "FAILED", s.Code+": "+s.Message
		more = append(more, s.Next)
	}
	for _, w := range s.Warnings {
		more = append(more, "warning: "+w.Message)
	}
	text := fmt.Sprintf("%-16s %-6s %6.2f s  %s\n", s.Step, verdict, s.Seconds, message)
	for _, m := range more {
		if m != "" {
			text += "  " + m + "\n"
		}
	}
	_, err := io.WriteString(c.out, text)
	return err
}
