package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// refusals are calls that are refused on a store without connections, at least
// one for each verb.
func refusals(dir string) [][]string {
	missing := filepath.Join(dir, "missing.yaml")
	return [][]string{
		{"nonsense"}, {"--nonsense"}, {"--target", "gcp:x", "runs"}, {"runs", "--concurrency", "0"},
		{"demo", "--attendees", "-1"}, {"twin", "--attendees", "-1"}, {"twin", "--fault", "nope"},
		{"connections", "put", missing}, {"connections", "show", "none"}, {"connections", "remove", "none"}, {"connections", "nonsense"},
		{"check"}, {"check", "none"},
		{"preview", "none", "users"}, {"preview", "none", "nonsense"},
		{"sync"}, {"sync", "none"}, {"sync", "none", "--type", "nonsense"},
		{"runs", "none"}, {"runs", "a", "b"}, {"runs", "--limit", "0"}, {"runs", "--limit", "x"}, {"runs", "show"}, {"runs", "show", "none"},
		{"runs", "show", "20310304T090000Z-0000"}, {"runs", "show", "x", "--html", "-"},
		{"failed", "none"}, {"failed", "--cause", "x"}, {"failed", "--type", "x"}, {"failed", "--run", "x"}, {"failed", "--page", "1"}, {"failed", "--page", "x"},
		{"redrive"}, {"redrive", "none"}, {"redrive", "--all", "x"}, {"redrive", "--run", "x"}, {"redrive", "--all", "--page", "1"},
		{"explain", "none", "users", "1"}, {"explain", "none"},
		{"export", "none", "users"}, {"export", "none"},
		{"erase", "none", "1"}, {"erase"},
	}
}

var refusal = regexp.MustCompile(`^[A-Z]+(_[A-Z]+)+: [^;\n]+; .+$`)

// Whatever is refused says its code, what is wrong and what to do, one a line,
// and prints nothing that a program would read.
func TestEveryRefusalHasACodeAndANextStep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	verbs := map[string]bool{}
	for _, args := range refusals(dir) {
		verbs[args[0]] = true
		for _, more := range [][]string{nil, {"--json"}} {
			args := append(args[:len(args):len(args)], more...)
			if args[0] != "--target" {
				args = append([]string{"--target", "local:" + filepath.Join(dir, "store")}, args...)
			}
			code, out, errs := call(t, t.Context(), args...)
			if code != exitError || out != "" {
				t.Errorf("%v: exit code %d, prints %q, %s", args, code, out, errs)
			}
			for line := range strings.Lines(errs) {
				if !refusal.MatchString(strings.TrimSuffix(line, "\n")) {
					t.Errorf("%v: %q has no code or no next step", args, line)
				}
			}
		}
	}
	var c cli
	for _, v := range c.root().Commands() {
		if v.IsAvailableCommand() && !verbs[v.Name()] && !helps(v) {
			t.Errorf("no refusal of %s is looked at", v.Name())
		}
	}
}

// helps reports whether a command is one of cobra's own.
func helps(v *cobra.Command) bool { return v.Name() == "help" || v.Name() == "completion" }
