package emulator

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Build builds a function by its own target of the Makefile in root, with the
// flags that ship, for one machine: os and arch as Go names them. It returns
// the path of the bootstrap, in a folder of its own under dir.
func Build(ctx context.Context, root, function, dir, goos, goarch string) (string, error) {
	to, err := filepath.Abs(filepath.Join(dir, goos+"-"+goarch, function))
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "make", "--no-print-directory", "-C", root,
		"FUNCTION_OS="+goos, "FUNCTION_ARCH="+goarch, "ARTIFACTS_DIR="+to, "build-"+function)
	// The flags of a make that runs the tests are not meant for this one.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return name == "MAKEFLAGS" || name == "MFLAGS" || name == "MAKELEVEL"
	})
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", function, err, out)
	}
	return filepath.Join(to, "bootstrap"), nil
}
