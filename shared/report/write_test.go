package report_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"stovasync/shared/fault"
	"stovasync/shared/report"
)

func hello(w io.Writer) error {
	_, err := io.WriteString(w, "hello")
	return err
}

func TestAReportIsAFileOfItsOwner(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "r.html")
	if err := os.WriteFile(path, []byte("older and longer"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := report.WriteFile(path, hello); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != "hello" {
		t.Errorf("the file holds %q, %v", got, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v, %v", info.Mode(), err)
	}
}

func TestAReportThatFailsLeavesWhatWasThere(t *testing.T) {
	t.Parallel()
	mine := errors.New("nothing to show")
	full := &fs.PathError{Op: "write", Path: "/secret/temporary", Err: syscall.ENOSPC}
	for name, tt := range map[string]struct {
		render func(io.Writer) error
		is     error
		code   fault.Code
	}{
		"what cannot be rendered comes back as it is": {func(io.Writer) error { return mine }, mine, ""},
		"so it does when half is written":             {func(w io.Writer) error { return errors.Join(hello(w), mine) }, mine, ""},
		"a full disk is the store's fault":            {func(io.Writer) error { return full }, syscall.ENOSPC, fault.StoreUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "r.html")
			if err := os.WriteFile(path, []byte("older"), 0o600); err != nil {
				t.Fatal(err)
			}
			err := report.WriteFile(path, tt.render)
			if !errors.Is(err, tt.is) || fault.CodeOf(err) != tt.code || strings.Contains(err.Error(), "secret") {
				t.Errorf("WriteFile: %v, code %q", err, fault.CodeOf(err))
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != "older" {
				t.Errorf("the file holds %q, %v", got, err)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
				t.Errorf("the folder holds %v, %v", left, err)
			}
		})
	}
}

func TestAPlaceThatCannotHoldAReportIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ path, says string }{
		"a folder":                     {dir, "is not a file"},
		"a device":                     {os.DevNull, "is not a file"},
		"a folder that is not there":   {filepath.Join(dir, "none", "r.html"), "its folder does not exist"},
		"a folder that is a file":      {filepath.Join(file, "r.html"), "its folder is a file"},
		"a folder that takes no files": {"/proc/r.html", "does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rendered := false
			err := report.WriteFile(tt.path, func(io.Writer) error { rendered = true; return nil })
			if f, ok := errors.AsType[*fault.Error](err); !ok || f.Code != fault.ConfigInvalid || f.Next == "" || !strings.Contains(f.Msg, tt.says) {
				t.Errorf("WriteFile: %v, want CONFIG_INVALID with %q and a next step", err, tt.says)
			}
			if rendered {
				t.Error("it was rendered for nothing")
			}
		})
	}
}
