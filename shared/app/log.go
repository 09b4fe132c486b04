package app

import (
	"cmp"
	"context"
	"log/slog"
	"strings"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

// NewLogger returns the log of a function: lines on its output with the
// request's id, in the format that Lambda asks for by AWS_LAMBDA_LOG_FORMAT.
// What is less than LOG_LEVEL is left out, or than AWS_LAMBDA_LOG_LEVEL where
// that is not set: TRACE, DEBUG, INFO, WARN, ERROR or FATAL; INFO where neither is.
func NewLogger(lookup func(string) (string, bool)) *slog.Logger {
	own, _ := lookup("LOG_LEVEL")
	lambda, _ := lookup("AWS_LAMBDA_LOG_LEVEL")
	return slog.New(leveled{lambdacontext.NewLogHandler(), level(cmp.Or(own, lambda))})
}

func level(name string) slog.Level {
	switch name = strings.ToUpper(strings.TrimSpace(name)); name {
	case "TRACE":
		return slog.LevelDebug - 4
	case "FATAL":
		return slog.LevelError + 4
	}
	var l slog.Level // INFO
	if err := l.UnmarshalText([]byte(name)); err != nil {
		return slog.LevelInfo
	}
	return l
}

// leveled is a handler with another level than its own.
type leveled struct {
	slog.Handler
	least slog.Level
}

// Enabled implements slog.Handler.
func (l leveled) Enabled(_ context.Context, at slog.Level) bool { return at >= l.least }

// WithAttrs implements slog.Handler.
func (l leveled) WithAttrs(attrs []slog.Attr) slog.Handler {
	return leveled{l.Handler.WithAttrs(attrs), l.least}
}

// WithGroup implements slog.Handler.
func (l leveled) WithGroup(name string) slog.Handler {
	return leveled{l.Handler.WithGroup(name), l.least}
}
