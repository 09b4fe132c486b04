package shared_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// maxBootstrap is the size that a function may have: Lambda loads it anew for
// every process.
const maxBootstrap = 15_000_000

// TestAWSFunctionsAreSmallAndTheSameFromEveryFolder builds the functions by
// the targets that `sam build` calls, from two copies of the source under
// environments that differ, and zips them with the SAM CLI's own code. It is
// among the tests of AWS because it takes a minute, and for that CLI.
func TestAWSFunctionsAreSmallAndTheSameFromEveryFolder(t *testing.T) {
	t.Parallel()
	tools := os.Getenv("STOVASYNC_TEST_TOOLS")
	if tools == "" {
		t.Skip("STOVASYNC_TEST_TOOLS is not set; make test-aws sets it")
	}
	if _, err := os.Stat(filepath.Join(tools, "python")); err != nil {
		t.Skip("no SAM CLI is installed; make test-aws installs it")
	}
	ctx := t.Context()
	plain := copySource(t, filepath.Join(t.TempDir(), "plain"))
	other := copySource(t, filepath.Join(t.TempDir(), "other folder"))
	for _, name := range []string{"Fanout", "Worker", "Photo", "Preview", "Redrive"} {
		a := buildFunction(ctx, t, plain, name)
		b := buildFunction(ctx, t, other, name, "GOFLAGS=-tags=other -ldflags=-X=main.other=1", "GOARM64=v8.2,crypto", "PWD="+other, "USER=somebody", "TZ=Asia/Tokyo")
		if a.sum != b.sum {
			t.Errorf("%s: two folders gave two files: %x and %x", name, a.sum[:8], b.sum[:8])
		}
		if a.size >= maxBootstrap {
			t.Errorf("%s: bootstrap has %d bytes, want less than %d", name, a.size, maxBootstrap)
		}
		t.Logf("%s: %d bytes", name, a.size)
		for _, folder := range []string{a.dir, b.dir} {
			isGosZones(t, filepath.Join(folder, "zoneinfo.zip"))
		}
		za, zb := zipLikeSAM(ctx, t, tools, a.dir), zipLikeSAM(ctx, t, tools, b.dir)
		if !bytes.Equal(za, zb) {
			t.Errorf("%s: two folders gave two zips, of %d and %d bytes", name, len(za), len(zb))
		}
	}
}

// copySource copies what the functions are built from to a new folder.
func copySource(t *testing.T, to string) string {
	t.Helper()
	if err := os.MkdirAll(to, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"go.mod", "go.sum", "Makefile", "functions", "shared"} {
		from := filepath.Join("..", part)
		err := filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel("..", name)
			if err != nil {
				return err
			}
			switch {
			case d.IsDir() && d.Name() == "testdata":
				return fs.SkipDir
			case d.IsDir():
				return os.MkdirAll(filepath.Join(to, rel), 0o700)
			case strings.HasSuffix(name, "_test.go"):
				return nil
			}
			data, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(to, rel), data, 0o600)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// isGosZones sees that a file is the time zone database of the Go that builds,
// readable by everybody: Lambda starts functions as a user of its own.
func isGosZones(t *testing.T, name string) {
	t.Helper()
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	want, got := sumOf(t, filepath.Join(strings.TrimSpace(string(root)), "lib", "time", "zoneinfo.zip")), sumOf(t, name)
	if want != got {
		t.Errorf("%s is not Go's own: %x, want %x", name, got[:8], want[:8])
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%s has the mode %v (%v)", name, info.Mode(), err)
	}
}

// TestAWSABuildWithoutTimeZonesFails: a function without them would not start.
func TestAWSABuildWithoutTimeZonesFails(t *testing.T) {
	t.Parallel()
	tool(t, "sam")
	out := t.TempDir()
	text, err := runTool(t, root(t), "make", "build-RedriveFunction", "ARTIFACTS_DIR="+out, "FUNCTION_ZONES="+filepath.Join(out, "none.zip"))
	if err == nil || !strings.Contains(text, "there is no time zone database") {
		t.Errorf("make without time zones: %v\n%s", err, text)
	}
}

type built struct {
	dir  string // what is deployed
	sum  [sha256.Size]byte
	size int
}

// buildFunction builds a function as `sam build` does: in its own folder, by make.
func buildFunction(ctx context.Context, t *testing.T, source, name string, env ...string) built {
	t.Helper()
	out := filepath.Join(source, ".aws-sam", name)
	if err := os.MkdirAll(out, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "make", "build-"+name+"Function")
	cmd.Dir, cmd.Env = source, slices.Concat(os.Environ(), []string{"ARTIFACTS_DIR=" + out}, env)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, text)
	}
	data, err := os.ReadFile(filepath.Join(out, "bootstrap"))
	if err != nil {
		t.Fatal(err)
	}
	return built{dir: out, sum: sha256.Sum256(data), size: len(data)}
}

// zipLikeSAM returns the zip that `sam deploy` uploads for a built function.
func zipLikeSAM(ctx context.Context, t *testing.T, tools, dir string) []byte {
	t.Helper()
	const script = `import sys
from samcli.lib.package.utils import make_zip_with_lambda_permissions as make
make(sys.argv[1], sys.argv[2])`
	name := filepath.Join(t.TempDir(), "code")
	text, err := exec.CommandContext(ctx, filepath.Join(tools, "python"), "-c", script, name, dir).CombinedOutput()
	if err != nil {
		t.Fatalf("zip: %v\n%s", err, text)
	}
	data, err := os.ReadFile(name + ".zip")
	if err != nil {
		t.Fatal(err)
	}
	return data
}
