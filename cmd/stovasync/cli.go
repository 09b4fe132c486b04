package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"stovasync/shared/config"
	"stovasync/shared/fault"
)

// The exit codes of interface.md.
const (
	exitComplete = 0
	exitError    = 1
	exitPartial  = 2
)

// status is an exit code that has been explained already: nothing is printed.
type status int

func (s status) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// cli is one call of the command line: its streams, its environment and the
// flags that every verb takes.
type cli struct {
	program string // as the user called it, for commands to copy
	in      io.Reader
	out     io.Writer
	err     *screen
	lookup  func(string) (string, bool)

	target      string
	json        bool
	concurrency int
	verbose     bool
}

// execute is main without the process: args are the program's name and its
// arguments. It returns the exit code.
func execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, lookup func(string) (string, bool)) int {
	c := &cli{program: programName(args[0]), in: stdin, out: stdout, err: &screen{under: stderr}, lookup: lookup}
	root := c.root()
	root.SetArgs(args[1:])
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(c.err)
	return c.exit(ctx, root.ExecuteContext(ctx))
}

// exit prints an error, once, and returns the exit code that belongs to it.
func (c *cli) exit(ctx context.Context, err error) int {
	if err == nil || errors.Is(err, syscall.EPIPE) { // who reads us has seen enough
		return exitComplete
	}
	if s, ok := errors.AsType[status](err); ok {
		return int(s)
	}
	if m, ok := errors.AsType[interrupted](err); ok {
		c.say("%s\n", m.Error())
		return exitError
	}
	if ctx.Err() != nil {
		c.say("interrupted\n")
		return exitError
	}
	for _, line := range excerptLines(err, c.width()) {
		c.say("%s\n", line)
	}
	return exitError
}

// errorLines are the texts of an error, one for each that was joined, without
// repetitions. A coded error within others is what people need to see.
func errorLines(err error) []string { return linesOf(err, (*fault.Error).Error) }

// excerptLines are those lines, each with the line of a file that it is about,
// in width columns.
func excerptLines(err error, width int) []string {
	return linesOf(err, func(e *fault.Error) string { return e.Error() + excerpt(e, width) })
}

// outputError gives an error of writing to the standard output its code; any
// other stays as it is.
func outputError(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok && p.Path == os.Stdout.Name() {
		return fault.Wrap(fault.StoreUnavailable, err, fmt.Sprintf("write to standard output: %v", p.Err), "make room, or send the output elsewhere, and call it again")
	}
	return err
}

func linesOf(err error, text func(*fault.Error) string) []string {
	var lines []string
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			lines = append(lines, linesOf(e, text)...)
		}
	} else if coded, ok := errors.AsType[*fault.Error](outputError(err)); ok {
		lines = append(lines, text(coded))
	} else {
		lines = append(lines, err.Error())
	}
	var once []string
	for _, l := range lines {
		if l = strings.TrimSpace(l); !slices.Contains(once, l) {
			once = append(once, l)
		}
	}
	return once
}

// interrupted is the message for a person who stopped us.
type interrupted string

func (i interrupted) Error() string { return string(i) }

// programName is how the user can call us again.
func programName(arg string) string {
	if strings.Contains(arg, "go-build") { // the place of a program under `go run`
		return "go run ./cmd/stovasync"
	}
	name := filepath.Base(arg)
	if found, err := exec.LookPath(name); err == nil && found == arg {
		return name // some shells pass the whole path
	}
	return arg
}

// self is the beginning of a command that works on the same target.
func (c *cli) self() string {
	if c.target == "" {
		return c.program
	}
	return c.program + " --target " + c.target
}

// invalid is a mistake in an argument or a flag.
func invalid(next, format string, args ...any) error {
	return fault.New(fault.ConfigInvalid, fmt.Sprintf(format, args...), next)
}

// environment reads the settings of the process, the flag --target first.
func (c *cli) environment() (config.Config, error) {
	return config.LoadTarget(c.lookup, c.target)
}

// logger writes to standard error: warnings as notes, or everything with --verbose.
func (c *cli) logger() *slog.Logger {
	if c.verbose {
		return slog.New(slog.NewTextHandler(c.err, &slog.HandlerOptions{Level: slog.LevelInfo}))
	}
	return slog.New(notes{w: c.err})
}

// screen is standard error. While bars are drawn, lines go above them.
type screen struct {
	mu    sync.Mutex
	under io.Writer
	above io.Writer // nil when no bars are drawn
}

// Write prints a line or more.
func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.above != nil {
		return s.above.Write(b)
	}
	return s.under.Write(b)
}

// say prints a message. When it cannot be printed there is nobody to tell.
func (s *screen) say(format string, args ...any) { _, _ = fmt.Fprintf(s, format, args...) }

// say prints a message for the person at the terminal.
func (c *cli) say(format string, args ...any) { c.err.say(format, args...) }

func (s *screen) lift(above io.Writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.above = above
}

// root makes the command with all its verbs.
func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "stovasync",
		Short: "Sync the events of Stova (formerly Aventri) into a store",
		Long: `stovasync reads an event from the Stova registration API, maps its eight data
types (users, sessions, presenters, photos, sponsors, sponsor levels, schedule)
and stores what is new or has changed.

First steps:
  stovasync demo                       see a whole run, on an invented event
  stovasync connections put FILE       describe an event of your own
  stovasync check NAME                 test what FILE says
  stovasync preview NAME users         see what a sync would make of it
  stovasync sync NAME                  sync it; again whenever you like
  stovasync export NAME users          get the records

The same verbs work on a deployment: stovasync --target aws:STACK runs. Region and
credentials are those of the AWS environment (AWS_PROFILE, AWS_REGION).

Exit codes: 0 all complete, 2 finished with failed pages, 1 error or refused.`,
		SilenceUsage: true, SilenceErrors: true, DisableSuggestions: true,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return c.unknownVerb(cmd, args[0])
			}
			return cmd.Help()
		},
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if wrong, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
			name, kind := wrong.GetFlag().Name, wrong.GetFlag().Value.Type()
			if kind == "int" {
				return invalid("write a whole number", "--%s %q is no whole number", name, wrong.GetValue())
			}
			return invalid("see "+cmd.CommandPath()+" --help", "--%s %q is no %s", name, wrong.GetValue(), kind)
		}
		return invalid(nearestFlag(cmd, err, "see "+cmd.CommandPath()+" --help"), "%s", err)
	})
	f := root.PersistentFlags()
	f.StringVar(&c.target, "target", "", "where the data is: local:DIR, or aws:STACK for a stack that\nsam deploy made (default local:.stovasync; env STOVASYNC_TARGET)")
	f.BoolVar(&c.json, "json", false, "print JSON and nothing else on standard output")
	f.IntVar(&c.concurrency, "concurrency", 4, "calls under way at once")
	f.BoolVarP(&c.verbose, "verbose", "v", false, "print what happens to standard error")
	root.AddCommand(c.demoCommand(), c.twinCommand(), c.connectionsCommand(), c.checkCommand(), c.previewCommand(), c.syncCommand(),
		c.runsCommand(), c.failedCommand(), c.redriveCommand(), c.explainCommand(), c.exportCommand(), c.eraseCommand())
	return root
}

// unknownVerb names the verb that was probably meant.
func (c *cli) unknownVerb(cmd *cobra.Command, word string) error {
	var verbs []string
	for _, v := range cmd.Commands() {
		if v.IsAvailableCommand() {
			verbs = append(verbs, v.Name())
		}
	}
	return invalid(nearest(word, verbs, "see "+cmd.CommandPath()+" --help"), "no verb %q", word)
}

// exactly is cobra.ExactArgs with our kind of error; words name the arguments.
func exactly(words ...string) cobra.PositionalArgs { return between(len(words), words...) }

// between takes at least least arguments, and as many as words names.
func between(least int, words ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		see := "see " + cmd.CommandPath() + " --help"
		switch {
		case len(args) < least:
			return invalid(see, "%s needs %s", cmd.CommandPath(), words[len(args)])
		case len(args) > len(words):
			return invalid(see, "%s: %q is one argument too many", cmd.CommandPath(), args[len(words)])
		}
		return nil
	}
}
