// Package shared_test checks who may know whom (docs: style.md §2, design.md §4).
package shared_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "stovasync"

// edges says which packages of this module each of them may import. Adding to
// it is a decision.
func edges() map[string][]string {
	const s = "shared/"
	return map[string][]string{
		// Pure.
		s + "fault":   nil,
		s + "cost":    nil,
		s + "metric":  nil,
		s + "run":     {s + "fault"},
		s + "mapping": {s + "fault", s + "run"},
		// What comes from outside.
		s + "config":          {s + "fault", s + "run"},
		s + "stova":           {s + "fault", s + "run"},
		s + "stova/stovatest": {s + "fault"},
		s + "photo":           {s + "fault"},
		// The steps: stova and photo for their types only.
		s + "pipeline": {s + "fault", s + "mapping", s + "photo", s + "run", s + "stova"},
		// What operators ask, each linked only where it is used.
		s + "preview":               {s + "fault", s + "mapping", s + "pipeline", s + "run", s + "stova"},
		s + "erase":                 {s + "fault", s + "pipeline", s + "run"},
		s + "explain":               {s + "fault", s + "mapping", s + "pipeline", s + "preview", s + "run", s + "stova"},
		s + "report":                {s + "fault", s + "pipeline", s + "preview", s + "run"},
		s + "report/browsertest":    nil,
		s + "pipeline/pipelinetest": {s + "fault", s + "pipeline", s + "run"},
		// The template, for tests.
		s + "template": nil,
		// The built functions run on a machine of one's own, for tests.
		s + "emulator": {s + "template"},
		// Adapters implement the ports, and never know each other.
		s + "awscall":         {s + "fault"},
		s + "awscall/awstest": {s + "fault"},
		s + "local":           {s + "fault", s + "mapping", s + "pipeline", s + "run"},
		s + "object":          {s + "awscall", s + "fault", s + "pipeline", s + "run"},
		s + "queue":           {s + "awscall", s + "fault", s + "pipeline", s + "run"},
		s + "secret":          {s + "awscall", s + "fault", s + "pipeline", s + "run"},
		s + "store":           {s + "awscall", s + "fault", s + "mapping", s + "pipeline", s + "run"},
		// The only wiring.
		s + "app": {
			s + "awscall", s + "config", s + "cost", s + "erase", s + "fault", s + "local", s + "mapping", s + "metric", s + "object", s + "photo",
			s + "pipeline", s + "preview", s + "queue", s + "run", s + "secret", s + "store", s + "stova",
		},
		"functions/*": {s + "app", s + "queue", s + "run"},
		"cmd/*": {
			s + "app", s + "config", s + "erase", s + "explain", s + "fault", s + "mapping", s + "pipeline", s + "preview", s + "queue", s + "report", s + "run", s + "stova", s + "stova/stovatest",
		},
	}
}

// outside says which packages alone may import a module whose clients or
// drivers nobody else should know; prefixes match.
func outside() map[string][]string {
	return map[string][]string{
		"github.com/aws/aws-sdk-go-v2/config":                 {"shared/app"},
		"github.com/aws/aws-sdk-go-v2/service/sqs":            {"shared/app", "shared/queue", "shared/awscall/awstest", "shared/emulator"},
		"github.com/aws/aws-sdk-go-v2/service/dynamodb":       {"shared/app", "shared/store", "shared/awscall/awstest"},
		"github.com/aws/aws-sdk-go-v2/service/s3":             {"shared/app", "shared/object", "shared/awscall/awstest"},
		"github.com/aws/aws-sdk-go-v2/service/ssm":            {"shared/app", "shared/secret", "shared/awscall/awstest"},
		"github.com/aws/aws-sdk-go-v2/service/lambda":         {"shared/app"},
		"github.com/aws/aws-sdk-go-v2/service/cloudformation": {"shared/app", "shared/emulator"},
		"modernc.org/sqlite":                                  {"shared/local"},
		"github.com/xuri/excelize/v2":                         {"shared/report"},
		"github.com/chromedp/chromedp":                        {"shared/report/browsertest"},
		"github.com/expr-lang/expr":                           {"shared/mapping"},
	}
}

// importers reads the imports of every file outside of tests, whatever its
// build constraints: package, then import path, then one file that has it.
func importers(t *testing.T) map[string]map[string]string {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]map[string]string{}
	err = fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || len(d.Name()) > 1 && d.Name()[0] == '.'):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, name), nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg := path.Dir(name)
		if found[pkg] == nil {
			found[pkg] = map[string]string{}
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			found[pkg][imported] = name
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// rule returns the imports that a package may have, and whether anything is
// said about it.
func rule(all map[string][]string, pkg string) ([]string, bool) {
	if allowed, ok := all[pkg]; ok {
		return allowed, true
	}
	allowed, ok := all[path.Dir(pkg)+"/*"]
	return allowed, ok
}

func TestPackagesKnowOnlyWhomTheyMay(t *testing.T) {
	t.Parallel()
	found, all := importers(t), edges()
	if len(found) < 15 {
		t.Fatalf("only %d packages found", len(found))
	}
	for _, pkg := range slices.Sorted(maps.Keys(found)) {
		allowed, ok := rule(all, pkg)
		if !ok {
			t.Errorf("%s is not in the map: say whom it may import", pkg)
			continue
		}
		for imported, file := range found[pkg] {
			own, inside := strings.CutPrefix(imported, module+"/")
			if inside && !slices.Contains(allowed, own) {
				t.Errorf("%s imports %s, which %s may not know", file, own, pkg)
			}
		}
	}
	for pkg := range all {
		if _, ok := found[pkg]; !ok && !strings.HasSuffix(pkg, "/*") {
			t.Errorf("%s is in the map but not in the module", pkg)
		}
	}
}

func TestClientsAndDriversAreKnownToTheirPackageOnly(t *testing.T) {
	t.Parallel()
	for pkg, imports := range importers(t) {
		for imported, file := range imports {
			for prefix, allowed := range outside() {
				if (imported == prefix || strings.HasPrefix(imported, prefix+"/")) && !slices.Contains(allowed, pkg) {
					t.Errorf("%s imports %s: only %s may", file, imported, strings.Join(allowed, " and "))
				}
			}
		}
	}
}

func TestThePackagesOfTheModuleFormNoCycle(t *testing.T) {
	t.Parallel()
	all := edges()
	state := map[string]int{} // 1: under way, 2: done
	var visit func(pkg string) bool
	visit = func(pkg string) bool {
		switch state[pkg] {
		case 1:
			return false
		case 2:
			return true
		}
		state[pkg] = 1
		for _, next := range all[pkg] {
			if !visit(next) {
				t.Errorf("the map leads from %s back to it", next)
				return true
			}
		}
		state[pkg] = 2
		return true
	}
	for pkg := range all {
		visit(pkg)
	}
}
