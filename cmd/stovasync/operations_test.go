package main

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// block is one fenced block of a page, under the heading above it.
type block struct{ heading, text string }

// page is a page of the documentation.
type page struct {
	text     string
	headings []string
}

func readPage(t *testing.T, name string) page {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	p := page{text: string(doc)}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(fenced().ReplaceAllString(p.text, ""), -1) {
		p.headings = append(p.headings, m[1])
	}
	return p
}

func fenced() *regexp.Regexp { return regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```$") }

// blocks returns the fenced blocks of a language, in order.
func (p page) blocks(language string) []block {
	var all []block
	for _, m := range fenced().FindAllStringSubmatchIndex(p.text, -1) {
		if p.text[m[2]:m[3]] != language {
			continue
		}
		above := regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(fenced().ReplaceAllString(p.text[:m[0]], ""), -1)
		all = append(all, block{above[len(above)-1][1], p.text[m[4]:m[5]]})
	}
	return all
}

// anchor is what a heading is called in links.
func anchor(heading string) string {
	kept := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(heading), "")
	return strings.ReplaceAll(kept, " ", "-")
}

// skipped are the commands in the page's last table, which no test runs.
func (p page) skipped() []string {
	_, table, _ := strings.Cut(p.text, "## What no test has run")
	var all []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(table, -1) {
		all = append(all, m[1])
	}
	return all
}

func TestTheOperationsPageHasOneSectionForEachAlarmOfTheTemplate(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var alarms []string
	for _, m := range regexp.MustCompile(`(?m)^  (\w+):\n    Type: AWS::CloudWatch::Alarm$`).FindAllStringSubmatch(string(text), -1) {
		alarms = append(alarms, m[1])
	}
	if len(alarms) < 10 {
		t.Fatalf("template.yaml has only %d alarms", len(alarms))
	}
	var told []string
	_, section, _ := strings.Cut(readPage(t, "operations.md").text, "\n## Alarms\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for part := range strings.SplitSeq(section, "\n### ") {
		heading, body, _ := strings.Cut(part, "\n")
		if !strings.HasSuffix(heading, "Alarm") {
			continue
		}
		told = append(told, strings.Split(heading, ", ")...)
		for _, needed := range []string{"**Cause.** ", "**Do.** ", "```sh\n"} {
			if !strings.Contains(body, needed) {
				t.Errorf("the section on %s has no %q", heading, strings.TrimSpace(needed))
			}
		}
	}
	slices.Sort(alarms)
	slices.Sort(told)
	if diff := cmp.Diff(alarms, told); diff != "" {
		t.Errorf("alarms of template.yaml and sections of docs/operations.md (-template +page):\n%s", diff)
	}
}

func TestTheLinksOfThePagesLeadSomewhere(t *testing.T) {
	t.Parallel()
	docs := filepath.Join("..", "..", "docs")
	for _, name := range []string{"operations.md", "errors.md"} {
		for _, m := range regexp.MustCompile(`\]\(([^)#]*)(?:#([^)]+))?\)`).FindAllStringSubmatch(readPage(t, name).text, -1) {
			if strings.HasPrefix(m[1], "https://") {
				continue
			}
			to, file := name, m[1]
			if file != "" {
				to = filepath.FromSlash(file)
			}
			if _, err := os.Stat(filepath.Join(docs, to)); err != nil {
				t.Errorf("%s leads to %s, which is not there", name, m[1])
				continue
			}
			anchors := map[string]bool{}
			for _, h := range readPage(t, to).headings {
				anchors[anchor(h)] = true
			}
			if m[2] != "" && !anchors[m[2]] {
				t.Errorf("%s leads to %s#%s, which is not there", name, m[1], m[2])
			}
		}
	}
}

// TestTheCommandsOfThePagesExist reads every call of the program in the pages,
// also those within a sentence.
func TestTheCommandsOfThePagesExist(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"operations.md", "errors.md"} {
		calls := regexp.MustCompile("(?:^|[`|(]) ?stovasync ([a-z][^\n#`|>]*)").FindAllStringSubmatch(strings.ReplaceAll(readPage(t, name).text, "\nstovasync ", "\n`stovasync "), -1)
		if len(calls) < 8 {
			t.Fatalf("%s calls the program %d times, want 8 or more", name, len(calls))
		}
		for _, call := range calls {
			checkCall(t, name, call[1])
		}
	}
}

// checkCall fails when a verb or a flag of a call is not there.
func checkCall(t *testing.T, where, call string) {
	t.Helper()
	root := (&cli{}).root()
	cmd, rest, err := root.Find(strings.Fields(call))
	if err != nil || cmd == root {
		t.Errorf("%s: stovasync %s: no such verb", where, call)
		return
	}
	for _, w := range rest {
		name, isFlag := strings.CutPrefix(w, "--")
		if isFlag && !known(root, cmd, name) {
			t.Errorf("%s: stovasync %s: no flag --%s", where, call, name)
		}
	}
}

func known(root, cmd *cobra.Command, flag string) bool {
	return flag == "help" || cmd.Flag(flag) != nil || root.PersistentFlags().Lookup(flag) != nil
}

// TestTheSettingsOfThePageAreThoseOfTheTemplate holds names and defaults.
func TestTheSettingsOfThePageAreThoseOfTheTemplate(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\nParameters:\n")
	section, _, _ = strings.Cut(section, "\nMappings:\n")
	var want, got [][2]string
	for _, m := range regexp.MustCompile(`(?m)^  (\w+):\n(?:    .*\n)*?    Default: (.*)$`).FindAllStringSubmatch(section, -1) {
		want = append(want, [2]string{m[1], strings.Trim(m[2], `"`)})
	}
	if len(want) < 20 || len(want) != strings.Count(section, "    Type: ") {
		t.Fatalf("read %d parameters of template.yaml", len(want))
	}
	_, section, _ = strings.Cut(readPage(t, "operations.md").text, "\n## Settings\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (?:`([^`]*)` )?\\| \\S").FindAllStringSubmatch(section, -1) {
		got = append(got, [2]string{m[1], m[2]})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parameters of template.yaml and settings of docs/operations.md (-template +page):\n%s", diff)
	}
}

// TestEveryDeploymentIsOfAFreshBuildAndKeepsItsSettings looks at README.md too.
// SAM without a build packs the source. A setting on its command line is undone
// by the next deployment, which sends those of samconfig.toml.
func TestEveryDeploymentIsOfAFreshBuildAndKeepsItsSettings(t *testing.T) {
	t.Parallel()
	for name, needed := range map[string]string{"operations.md": `--config-env "$ENV"`, filepath.Join("..", "README.md"): ""} {
		p := readPage(t, name)
		if strings.Contains(p.text, "--parameter-overrides") {
			t.Errorf("%s deploys with --parameter-overrides, which lasts until the next deployment", name)
		}
		lines := regexp.MustCompile(`(?m)^[^|\n]*sam deploy --?.*\n.*|^sam deploy.*\n.*`).FindAllString(p.text, -1)
		if len(lines) == 0 {
			t.Fatalf("%s deploys nothing", name)
		}
		for _, line := range lines {
			line, next, _ := strings.Cut(line, "\n")
			if !strings.HasPrefix(line, "sam build && sam deploy") || !strings.Contains(line, needed) {
				t.Errorf("%s: %s: want sam build && sam deploy … %s", name, line, needed)
			}
			if next != "```" {
				t.Errorf("%s: after %q comes %q, which a paste would give to SAM's question as the answer", name, line, next)
			}
		}
	}
}

func TestEveryErrorCodeHasItsSection(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile(filepath.Join("..", "..", "shared", "fault", "fault.go"))
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]bool{}
	for _, m := range regexp.MustCompile(`Code = "([A-Z_]+)"`).FindAllStringSubmatch(string(source), -1) {
		codes[m[1]] = true
	}
	told := readPage(t, "errors.md").headings
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		if !slices.Contains(told, code) {
			t.Errorf("docs/errors.md has no section %s", code)
		}
	}
}
