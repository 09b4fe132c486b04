package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"stovasync/shared/app"
)

func (c *cli) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check NAME",
		Short: "Test a connection, step by step",
		Long: `Tests a connection: its settings and mapping, the login, the event, one row of
each list that is read, and the hosts of the pictures. It stores nothing.
Exit code 1 when a step fails.`,
		Example: "  stovasync check summit",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(l *app.Local) error { return c.check(cmd.Context(), l, args[0]) })
		},
	}
}

// checkView is the answer of `check --json`.
type checkView struct {
	Steps []app.CheckStep `json:"steps"`
}

func (c *cli) check(ctx context.Context, l *app.Local, name string) error {
	if _, err := c.connection(ctx, l, name); err != nil {
		return err
	}
	v := checkView{Steps: []app.CheckStep{}}
	failed := 0
	err := l.Check(ctx, name, func(s app.CheckStep) {
		v.Steps = append(v.Steps, s)
		if !s.OK {
			failed++
		}
		if !c.json {
			c.printStep(s)
		}
	})
	if err != nil {
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
func (c *cli) printStep(s app.CheckStep) {
	verdict := "ok"
	if !s.OK {
		verdict = "FAILED"
	}
	fmt.Fprintf(c.out, "%-16s %-6s %6.2f s  ", s.Step, verdict, s.Seconds)
	if s.OK {
		fmt.Fprintln(c.out, s.Message)
		for _, w := range s.Warnings {
			fmt.Fprintf(c.out, "  warning: %s\n", w.Message)
		}
		return
	}
	fmt.Fprintf(c.out, "%s: %s\n", s.Code, s.Message)
	if s.Next != "" {
		fmt.Fprintf(c.out, "  %s\n", s.Next)
	}
}
