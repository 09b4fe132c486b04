package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"stovasync/shared/app"
	"stovasync/shared/config"
	"stovasync/shared/fault"
	"stovasync/shared/mapping"
	"stovasync/shared/pipeline"
	"stovasync/shared/preview"
	"stovasync/shared/run"
)

func (c *cli) connectionsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "connections",
		Short: "Manage connections: one for each event to sync",
		Long: `A connection is the settings of one Stova event: where the API is, the account,
the event, what to sync and how to map it. It is written as a YAML file; the
README shows one.`,
		Example: "  stovasync connections put summit.yaml --key-file summit.key\n  stovasync connections list",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return c.unknownVerb(cmd, args[0])
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(c.putCommand(), c.listCommand(), c.showCommand(), c.removeCommand())
	return cmd
}

func (c *cli) putCommand() *cobra.Command {
	var keyFile string
	cmd := &cobra.Command{
		Use:   "put FILE",
		Short: "Make a connection from a YAML file, or change it",
		Long: `Reads a connection file (- for standard input), checks all of it, the mapping
too, and keeps it. All mistakes are told at once, each with its line; while there
are any, nothing is kept.

The API key comes from --key-file, from "key" in the file, from STOVASYNC_KEY,
or is asked for on a terminal; the first of these that is there. It is kept
apart from the settings, on aws:STACK as the SecureString /stovasync/STACK/NAME of
the Systems Manager, and never shown. Without any of them a key that was given
before stays.`,
		Example: "  stovasync connections put summit.yaml --key-file summit.key",
		Args:    exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.put(cmd.Context(), args[0], keyFile)
		},
	}
	cmd.Flags().StringVar(&keyFile, "key-file", "", "file with the API key and nothing else")
	return cmd
}

// putView is the answer of `connections put --json`.
type putView struct {
	Name     string        `json:"name"`
	Key      string        `json:"key"`
	Warnings []run.Warning `json:"warnings,omitempty"`
}

func (c *cli) put(ctx context.Context, file, keyFile string) error {
	doc, err := c.readFile(file)
	if err != nil {
		return err
	}
	parsed, err := config.ParseConnection(doc, compiles)
	if err != nil {
		return err
	}
	conn := parsed.Connection
	if set, err := mapping.Compile(app.MappingSettings(conn)); err == nil {
		parsed.Warnings = append(parsed.Warnings, preview.UnknownProtected(conn, set)...)
	}
	return c.with(ctx, func(at *site) error {
		key, err := c.key(ctx, at, parsed, keyFile)
		if err != nil {
			return err
		}
		shares, err := sharers(ctx, at, conn)
		if err != nil {
			return err
		}
		parsed.Warnings = append(parsed.Warnings, shares...)
		replaced := replacesKey(ctx, at, conn.Name, key)
		if key != "" {
			if err := at.Secrets.Put(ctx, conn.Name, key); err != nil {
				return err
			}
		}
		left, err := unprotected(ctx, at, conn)
		if err != nil {
			return err
		}
		parsed.Warnings = append(parsed.Warnings, left...)
		if err := at.Steps.Ledger.PutConnection(ctx, conn, time.Now().UTC()); err != nil {
			return err
		}
		parsed.Warnings = append(parsed.Warnings, underway(ctx, at, conn.Name)...)
		if c.json {
			parsed.Warnings = append(parsed.Warnings, warningsOf(mappingDoubts(parsed))...)
			return printJSON(c.out, putView{conn.Name, keySet, parsed.Warnings})
		}
		c.warn(parsed.Warnings)
		for _, d := range mappingDoubts(parsed) {
			c.say("warning %s\n", d.Error()+excerpt(d, c.width()))
		}
		return c.saved(conn.Name, replaced)
	})
}

// saved says what a put has done, and what may come next.
func (c *cli) saved(name string, replaced bool) error {
	if err := c.line("Connection %s is saved, its key too.", name); err != nil {
		return err
	}
	if replaced {
		if err := c.line("Functions use the new key within five minutes; one whose old key is refused reads the new one at once."); err != nil {
			return err
		}
	}
	return c.line("Next: %s check %s", c.self(), name)
}

func warningsOf(doubts []*fault.Error) []run.Warning {
	var all []run.Warning
	for _, d := range doubts {
		all = append(all, run.Warning{Code: string(d.Code), Message: strings.TrimPrefix(d.Error(), string(d.Code)+": ")})
	}
	return all
}

// underway tells what new settings mean for a run that is under way: each of
// its steps reads them anew, and what is kept with the cursor of a type is what
// the run was planned with.
func underway(ctx context.Context, at *site, name string) []run.Warning {
	r, _, active, err := at.Steps.Underway(ctx, name)
	if err != nil || !active {
		return nil // the settings are saved; who wants to know of runs asks for them
	}
	return []run.Warning{{Code: string(fault.RunActive), Message: fmt.Sprintf(
		"run %s is under way: what it has not read yet follows the new settings; where they change what is stored, the next run reads everything again", r.ID)}}
}

// compiles is what the mapping of a file has to do beside being YAML.
func compiles(conn run.Connection) error {
	_, err := mapping.Compile(app.MappingSettings(conn))
	return err
}

// mappingDoubts are what the mapping of a file could have meant otherwise, with
// their lines.
func mappingDoubts(parsed config.Parsed) []*fault.Error {
	set, err := mapping.Compile(app.MappingSettings(parsed.Connection))
	if err != nil {
		return nil // it was refused before
	}
	var all []*fault.Error
	for _, d := range mapping.Doubts(set) {
		if f, ok := errors.AsType[*fault.Error](parsed.Places.Put(d)); ok {
			all = append(all, f)
		}
	}
	return all
}

// excerpt is the line of a file that an error is about, with a caret under the
// place, for the lines below the error.
func excerpt(err error, width int) string {
	m, ok := errors.AsType[*config.Mistake](err)
	if !ok {
		return ""
	}
	if x := m.Excerpt(width); x != "" {
		return "\n" + x
	}
	return ""
}

// replacesKey reports whether a put gives deployed functions, which remember
// keys, another key than the one they may know. A key that these credentials
// may not read may be any.
func replacesKey(ctx context.Context, at *site, name, key string) bool {
	if !at.remote || key == "" {
		return false
	}
	old, err := at.Secrets.Get(ctx, name)
	return !errors.Is(err, pipeline.ErrNoSecret) && old != key
}

// sharers warns of the connections of the same account that are set to another
// rate: one budget holds for all of them.
func sharers(ctx context.Context, at *site, conn run.Connection) ([]run.Warning, error) {
	all, err := at.Steps.Ledger.Connections(ctx)
	if err != nil {
		return nil, err
	}
	highest := conn.RequestsPerMinute
	var others []string
	for _, s := range all {
		x := s.Settings
		if x.Name == conn.Name || x.AccountID != conn.AccountID || host(x) != host(conn) || x.RequestsPerMinute == conn.RequestsPerMinute {
			continue
		}
		others = append(others, fmt.Sprintf("%s has %d", x.Name, x.RequestsPerMinute))
		highest = max(highest, x.RequestsPerMinute)
	}
	if len(others) == 0 {
		return nil, nil
	}
	return []run.Warning{{Code: config.WarnSetting, Message: fmt.Sprintf(
		"requestsPerMinute is %d, but of the same account %s: together they make %d calls a minute at most, and each no more than its own number",
		conn.RequestsPerMinute, strings.Join(others, ", "), highest)}}, nil
}

// host is where the API of a connection is, as its account is known by.
func host(conn run.Connection) string {
	address := strings.TrimPrefix(strings.TrimPrefix(conn.EndPoint, "https://"), "http://")
	address, _, _ = strings.Cut(address, "/")
	return strings.ToLower(address)
}

func (c *cli) warn(warnings []run.Warning) {
	for _, w := range warnings {
		c.say("warning %s: %s\n", w.Code, w.Message)
	}
}

func (c *cli) readFile(file string) ([]byte, error) {
	var doc []byte
	var err error
	if file == "-" {
		doc, err = io.ReadAll(c.in)
	} else {
		doc, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, fault.Wrap(fault.ConfigInvalid, err, fmt.Sprintf("read %s: %v", file, reason(err)), "give a file that can be read")
	}
	return doc, nil
}

// reason is what the system says, without the path that the message has.
func reason(err error) error {
	if p, ok := errors.AsType[*os.PathError](err); ok {
		return p.Err
	}
	return err
}

// key finds the API key of a connection. "" keeps the one it has.
func (c *cli) key(ctx context.Context, at *site, parsed config.Parsed, keyFile string) (string, error) {
	if keyFile != "" {
		doc, err := c.readFile(keyFile)
		if err != nil {
			return "", err
		}
		return oneLine(string(doc), keyFile)
	}
	if parsed.Key != "" {
		return parsed.Key, nil
	}
	env, err := c.environment()
	if err != nil {
		return "", err
	}
	if env.Key != "" {
		return oneLine(env.Key, "STOVASYNC_KEY")
	}
	if _, err := at.Secrets.Get(ctx, parsed.Connection.Name); err == nil || !errors.Is(err, pipeline.ErrNoSecret) {
		return "", err
	}
	return c.askKey(parsed.Connection.Name)
}

// oneLine is a key without the white space around it.
func oneLine(text, from string) (string, error) {
	key := strings.TrimSpace(text)
	why := config.KeyFlaw(key)
	if key == "" {
		why = "is not one line"
	}
	if why != "" {
		return "", invalid("put the key and nothing else there", "the key from %s %s", from, why)
	}
	return key, nil
}

// askKey asks for the key on a terminal, without showing what is typed.
func (c *cli) askKey(name string) (string, error) {
	terminal, ok := c.in.(*os.File)
	if !ok || !term.IsTerminal(int(terminal.Fd())) {
		return "", invalid("give it with --key-file F, as key in the file, or as STOVASYNC_KEY", "connection %s has no key", name)
	}
	c.say("API key of connection %s (it will not be shown): ", name)
	typed, err := term.ReadPassword(int(terminal.Fd()))
	c.say("\n")
	if err != nil {
		return "", invalid("give it with --key-file F", "the key was not read from the terminal")
	}
	return oneLine(string(typed), "the terminal")
}

// What is ever said about a key.
const (
	keySet     = "set"
	keyNotSet  = "not set"
	keyUnknown = "not readable" // by these credentials, which may do for the rest
)

func keyState(ctx context.Context, at *site, name string) (string, error) {
	switch _, err := at.Secrets.Get(ctx, name); {
	case err == nil:
		return keySet, nil
	case errors.Is(err, pipeline.ErrNoSecret):
		return keyNotSet, nil
	case app.IsDenied(err):
		return keyUnknown, nil
	default:
		return "", err
	}
}

// connectionView is the settings of a connection and whether it has its key.
type connectionView struct {
	run.Connection
	Key     string    `json:"key"`
	Updated time.Time `json:"updated,omitzero"`
}

func (c *cli) listCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the connections",
		Long:    "Lists the connections with their event, and when each was synced last.\nWith --json: a line each, with all its settings.",
		Example: "  stovasync connections list",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), func(at *site) error { return c.list(cmd.Context(), at) })
		},
	}
}

func (c *cli) list(ctx context.Context, at *site) error {
	all, err := at.Steps.Ledger.Connections(ctx)
	if err != nil {
		return err
	}
	g := newGrid("name", "event", "account", "end point", "key", "last run (UTC)")
	for _, s := range all {
		key, err := keyState(ctx, at, s.Settings.Name)
		if err != nil {
			return err
		}
		if c.json {
			if err := printJSON(c.out, connectionView{s.Settings, key, whole(s.Updated)}); err != nil {
				return err
			}
			continue
		}
		active, err := at.Steps.Ledger.Active(ctx, s.Settings.Name)
		if err != nil {
			return err
		}
		g.row(s.Settings.Name, s.Settings.EventID, s.Settings.AccountID, host(s.Settings), key, stamp(active.Started))
	}
	switch {
	case c.json:
		return nil
	case len(all) == 0:
		_, err = fmt.Fprintf(c.out, "No connections yet. Make one: %s connections put FILE\n", c.self())
		return err
	}
	// In a narrow terminal what tells connections apart stays.
	return g.fit(c.width(), "account", "end point", "last run (UTC)", "event", "key").print(c.out)
}

func (c *cli) showCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show NAME",
		Short:   "Print the settings of a connection as a file that put reads",
		Long:    "Prints all settings of a connection, the defaults too, as YAML that\n`connections put` reads back. The API key is never printed.",
		Example: "  stovasync connections show summit",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(at *site) error { return c.show(cmd.Context(), at, args[0]) })
		},
	}
}

func (c *cli) show(ctx context.Context, at *site, name string) error {
	conn, err := c.connection(ctx, at, name)
	if err != nil {
		return err
	}
	key, err := keyState(ctx, at, name)
	if err != nil {
		return err
	}
	if c.json {
		return printJSON(c.out, connectionView{Connection: conn, Key: key})
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# key: %s\n", key)
	b.Write(config.Render(conn))
	_, err = c.out.Write(b.Bytes())
	return err
}

func (c *cli) removeCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "remove NAME",
		Short:   "Forget a connection and its key",
		Long:    "Forgets the settings of a connection, its key and how far it has synced.\nIts records and the history of its runs stay.",
		Example: "  stovasync connections remove summit",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(at *site) error { return c.remove(cmd.Context(), at, args[0]) })
		},
	}
}

func (c *cli) remove(ctx context.Context, at *site, name string) error {
	if _, err := c.connection(ctx, at, name); err != nil {
		return err
	}
	if err := at.Idle(ctx, name); err != nil {
		return err
	}
	if err := at.Steps.Ledger.RemoveConnection(ctx, name); err != nil {
		return err
	}
	if err := at.Secrets.Delete(ctx, name); err != nil {
		return err
	}
	if c.json {
		return printJSON(c.out, map[string]any{"name": name, "removed": true})
	}
	return c.line("Connection %s and its key are gone. Its records and runs are still there.", name)
}
