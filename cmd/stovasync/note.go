package main

import (
	"context"
	"io"
	"log/slog"
	"strings"
)

// notes is the log for people who did not ask for one: each warning in a short
// line. What a run records as its failures is left to the end of the run,
// which tells it once.
type notes struct {
	w     io.Writer
	attrs []slog.Attr
}

// toldLater reports whether a log message is one that the end of a run, or of a
// redrive, repeats from the ledger.
func toldLater(message string) bool {
	switch message {
	case "task failed for good", "task failed on its last receive", "task interrupted", "task not started: no time left":
		return true
	default:
		return false
	}
}

// Enabled takes warnings and errors.
func (n notes) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

// Handle writes one line.
func (n notes) Handle(_ context.Context, r slog.Record) error {
	if toldLater(r.Message) {
		return nil
	}
	values := map[string]string{}
	for _, a := range n.attrs {
		values[a.Key] = a.Value.String()
	}
	r.Attrs(func(a slog.Attr) bool {
		values[a.Key] = a.Value.String()
		return true
	})
	var about []string
	for _, name := range [...]string{"type", "page", "wait"} {
		if v := values[name]; v != "" {
			about = append(about, name+" "+v)
		}
	}
	line := "note: " + r.Message
	if len(about) > 0 {
		line += " (" + strings.Join(about, ", ") + ")"
	}
	if v := values["err"]; v != "" {
		line += ": " + v
	}
	_, err := io.WriteString(n.w, line+"\n")
	return err
}

// WithAttrs keeps attributes for the lines to come.
func (n notes) WithAttrs(attrs []slog.Attr) slog.Handler {
	n.attrs = append(n.attrs[:len(n.attrs):len(n.attrs)], attrs...)
	return n
}

// WithGroup is not used by what we log.
func (n notes) WithGroup(string) slog.Handler { return n }
