package app

import (
	"context"
	"log/slog"
	"testing"
)

func TestTheLevelOfTheLogIsWhatTheEnvironmentSays(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		env   map[string]string
		least slog.Level
	}{
		"INFO by default":           {nil, slog.LevelInfo},
		"Lambda's":                  {map[string]string{"AWS_LAMBDA_LOG_LEVEL": "WARN"}, slog.LevelWarn},
		"our own":                   {map[string]string{"LOG_LEVEL": "debug"}, slog.LevelDebug},
		"our own before Lambda's":   {map[string]string{"LOG_LEVEL": "ERROR", "AWS_LAMBDA_LOG_LEVEL": "DEBUG"}, slog.LevelError},
		"Lambda's finest":           {map[string]string{"AWS_LAMBDA_LOG_LEVEL": "TRACE"}, slog.LevelDebug - 4},
		"Lambda's coarsest":         {map[string]string{"AWS_LAMBDA_LOG_LEVEL": "FATAL"}, slog.LevelError + 4},
		"INFO for what is no level": {map[string]string{"LOG_LEVEL": "loud"}, slog.LevelInfo},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := NewLogger(func(name string) (string, bool) { v, ok := tt.env[name]; return v, ok })
			for _, l := range []*slog.Logger{log, log.With("run", "1"), log.WithGroup("g")} {
				if !l.Enabled(context.Background(), tt.least) || l.Enabled(context.Background(), tt.least-1) {
					t.Errorf("the least level is not %v", tt.least)
				}
			}
		})
	}
}
