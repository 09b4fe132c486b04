package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"stovasync/shared/app"
	"stovasync/shared/config"
	"stovasync/shared/mapping"
)

func readme(t *testing.T) string {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(doc)
}

func TestTheConnectionFileOfTheReadmeIsValid(t *testing.T) {
	t.Parallel()
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(readme(t), -1)
	if len(blocks) != 1 {
		t.Fatalf("README.md has %d blocks of YAML, want 1", len(blocks))
	}
	parsed, err := config.ParseConnection([]byte(blocks[0][1]))
	if err != nil {
		t.Fatal(err)
	}
	if len(parsed.Warnings) > 0 {
		t.Errorf("the file has warnings: %v", parsed.Warnings)
	}
	if _, err := mapping.Compile(app.MappingSettings(parsed.Connection)); err != nil {
		t.Error(err)
	}
}

func TestTheReadmeNamesVerbsAndFlagsThatExist(t *testing.T) {
	t.Parallel()
	root := (&cli{}).root()
	calls := regexp.MustCompile(`bin/stovasync ([^\n#`+"`"+`]+)`).FindAllStringSubmatch(readme(t), -1)
	if len(calls) < 8 {
		t.Fatalf("README.md calls the program %d times, want 8 or more", len(calls))
	}
	for _, call := range calls {
		words := strings.Fields(call[1])
		cmd, rest, err := root.Find(words)
		if err != nil || cmd == root {
			t.Errorf("stovasync %s: no such verb", call[1])
			continue
		}
		for _, w := range rest {
			name, isFlag := strings.CutPrefix(w, "--")
			if isFlag && name != "help" && cmd.Flag(name) == nil && root.PersistentFlags().Lookup(name) == nil {
				t.Errorf("stovasync %s: no flag --%s", call[1], name)
			}
		}
	}
}

func TestTheReadmeLeadsToFilesThatExist(t *testing.T) {
	t.Parallel()
	for _, link := range regexp.MustCompile(`\]\(([^)#]+)\)`).FindAllStringSubmatch(readme(t), -1) {
		if strings.HasPrefix(link[1], "https://") {
			continue
		}
		if _, err := os.Stat(filepath.Join("..", "..", filepath.FromSlash(link[1]))); err != nil {
			t.Errorf("README.md leads to %s, which is not there", link[1])
		}
	}
}
