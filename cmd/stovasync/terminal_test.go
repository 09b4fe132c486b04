package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/jedib0t/go-pretty/v6/text"
)

func TestTheWidthOfWhatIsNoTerminal(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		columns string
		want    int
	}{
		"a pipe is as wide as may be":         {"", 0},
		"COLUMNS says it for a pipe too":      {"120", 120},
		"COLUMNS of next to nothing is more":  {"3", leastWidth},
		"COLUMNS that is no number is none":   {"wide", 0},
		"COLUMNS of zero columns says nought": {"0", 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &cli{out: &bytes.Buffer{}, lookup: func(name string) (string, bool) { return tt.columns, name == "COLUMNS" && tt.columns != "" }}
			if got := c.width(); got != tt.want {
				t.Errorf("width with COLUMNS=%q is %d, want %d", tt.columns, got, tt.want)
			}
		})
	}
}

func TestOnlyATerminalIsColoured(t *testing.T) {
	t.Parallel()
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for name, c := range map[string]*cli{"a buffer": {out: &bytes.Buffer{}}, "a file": {out: file}} {
		if got := c.paint(text.Colors{text.FgRed}, "x"); got != "x" || c.colour() {
			t.Errorf("%s gets %q, want no colour", name, got)
		}
	}
}
