package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"stovasync/shared/report/browsertest"
	"stovasync/shared/run"
	"stovasync/shared/stova/stovatest"
)

// stall is the program with a local store of its own and an invented event.
type stall struct {
	program, dir string
	twin         *stovatest.Running
}

// newStall serves an event with everything odd that the twin knows, and puts its
// connection, named summit.
func newStall(t *testing.T) stall {
	t.Helper()
	var f twinFlags
	cmd := &cobra.Command{}
	f.add(cmd)
	if err := errors.Join(cmd.ParseFlags([]string{"--attendees", "120", "--sessions", "14", "--speakers", "6", "--sponsors", "5", "--oddities"}), f.check(cmd)); err != nil {
		t.Fatal(err)
	}
	twin, event, err := f.serve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { twin.Close() })
	d := stall{program: filepath.Join(build(t), "stovasync"), dir: t.TempDir(), twin: twin}
	file := faster(twinConnection("summit", twin, event))
	for name, content := range map[string]string{"summit.yaml": file, "summit.key": event.Key + "\n"} {
		if err := os.WriteFile(filepath.Join(d.dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.call(t, 0, "connections", "put", "summit.yaml")
	return d
}

// faster is a connection file with small pages and short waits.
func faster(file string) string {
	lines := slices.DeleteFunc(strings.Split(file, "\n"), func(l string) bool {
		return strings.HasPrefix(l, "pageSize:") || strings.HasPrefix(l, "retryBaseSeconds:")
	})
	return strings.Join(lines, "\n") + "pageSize: 12\nretryBaseSeconds: 0.005\n"
}

// call runs the program, which must end with an exit code.
func (d stall) call(t *testing.T, code int, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), d.program, args...)
	cmd.Dir = d.dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code {
		t.Fatalf("stovasync %s: %v, want exit code %d\n%s", strings.Join(args, " "), err, code, &out)
	}
}

// TestBrowserReports looks at what the program itself writes: a preview of each
// type, and a run some of whose pages failed, after runs that did well.
func TestBrowserReports(t *testing.T) {
	t.Parallel()
	b := browsertest.Start(t)
	d := newStall(t)
	d.call(t, 0, "sync", "summit")
	d.call(t, 0, "sync", "summit")
	failing, err := stovatest.ParseFault("500:endpoint=getAttendee,id=800000001+800000002+800000003+800000004+800000005+800000006+800000007+800000008+800000009+800000010+800000011+800000012")
	if err != nil {
		t.Fatal(err)
	}
	d.twin.Fault(failing)
	d.call(t, 2, "sync", "summit", "--full")
	d.call(t, 0, "runs", "show", "summit", "--html", "cli-run.html")
	d.twin.ClearFaults()
	files := map[string][]string{"cli-run": {"summary", "pages", "counts", "failures", "rejected", "warnings", "history"}}
	for _, dt := range run.AllTypes() {
		name := "cli-preview-" + string(dt)
		d.call(t, 0, "preview", "summit", string(dt), "--html", name+".html", "--xlsx", name+".xlsx")
		files[name] = []string{"summary", "synced", "columns", "filtered", "rejected", "warnings"}
	}
	for name, sections := range files {
		views := browsertest.Views()
		if name != "cli-run" && name != "cli-preview-users" {
			views = []browsertest.View{views[0], views[3]}
		}
		for _, v := range views {
			t.Run(name+" at "+v.String(), func(t *testing.T) {
				t.Parallel()
				p := b.Open(t, filepath.Join(d.dir, name+".html"), v)
				p.Screenshot(t, name)
				const ids = `[...document.querySelectorAll("main > section")].map((s) => s.id).join(" ")`
				if got := browsertest.Eval[string](t, p, ids); got != strings.Join(sections, " ") {
					t.Errorf("sections %s, want %v", got, sections)
				}
				for _, problem := range p.Problems(t) {
					t.Error(problem)
				}
			})
		}
	}
	p := b.Open(t, filepath.Join(d.dir, "cli-run.html"), browsertest.Views()[0])
	for what, want := range map[string]string{
		`document.querySelector("header .tag").textContent`:                                            "partial",
		`String(document.querySelectorAll("#history figure").length)`:                                  "3",
		`String(document.querySelectorAll("#history figure:first-child .bar").length)`:                 "3",
		`document.querySelector("#failures h3").textContent`:                                           "STOVA_SERVER",
		`[...document.querySelectorAll("#pages .cell.is-failed[title]")].map((c) => c.textContent)[0]`: "F",
	} {
		if got := browsertest.Eval[string](t, p, what); got != want {
			t.Errorf("%s is %q, want %q", what, got, want)
		}
	}
}
