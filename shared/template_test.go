package shared_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/config"
)

func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{".."}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// matches returns the first group of each match, sorted.
func matches(pattern, text string) []string {
	var all []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func TestEveryFunctionHasAFolderAResourceAndABuildTarget(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir(filepath.Join("..", "functions"))
	if err != nil {
		t.Fatal(err)
	}
	var folders []string
	for _, e := range entries {
		folders = append(folders, e.Name())
	}
	resources := matches(`(?m)^  (\w+)Function:\n    Type: AWS::Serverless::Function`, read(t, "template.yaml"))
	for i, name := range resources {
		resources[i] = strings.ToLower(name)
	}
	if diff := cmp.Diff(folders, resources); diff != "" {
		t.Errorf("functions/ and template.yaml (-folders +resources):\n%s", diff)
	}
	targets := matches(`(?m)^build-\w+Function:\n\t\$\(FUNCTION_BUILD\) \./functions/(\w+)$`, read(t, "Makefile"))
	if diff := cmp.Diff(folders, targets); diff != "" {
		t.Errorf("functions/ and Makefile (-folders +targets):\n%s", diff)
	}
	for _, name := range folders {
		if inputs, err := filepath.Glob(filepath.Join("..", "events", name+"*.json")); err != nil || len(inputs) == 0 {
			t.Errorf("events/ has no input for %s (%v)", name, err)
		}
	}
}

func TestTheTemplateGivesFunctionsTheEnvironmentThatConfigReads(t *testing.T) {
	t.Parallel()
	block := regexp.MustCompile(`(?s)    Environment:\n      Variables:\n(.*?)\n\S`).FindStringSubmatch(read(t, "template.yaml"))
	if block == nil {
		t.Fatal("template.yaml has no environment for its functions")
	}
	given := map[string]string{}
	for _, name := range matches(`(?m)^        ([A-Z_]+):`, block[1]) {
		given[name] = map[bool]string{true: "https://sqs.example.test/q", false: "summit"}[strings.HasSuffix(name, "_URL")]
	}
	given["SECRET_PREFIX"], given["VISIBILITY_SECONDS"], given["MAX_RECEIVES"] = "/stovasync/summit/", "1800", "5"
	c, err := config.Load(func(name string) (string, bool) { v, ok := given[name]; return v, ok })
	if err != nil || c.Resources == nil {
		t.Errorf("config.Load of the template's variables: %v", err)
	}
}
