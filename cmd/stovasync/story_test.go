package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"stovasync/shared/stova/stovatest"
)

// build makes the program that the stories call. It is built as people get it:
// a race detector in each of its hundreds of starts would take minutes. What
// runs at once in it is tested in this process, and in the packages below.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	// As make build does, so that what we import is compiled once.
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", filepath.Join(dir, "stovasync"), ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return dir
}

// TestStories runs the stories in testdata on a local target: one for each
// verb, and those of what goes wrong.
func TestStories(t *testing.T) {
	t.Parallel()
	programs := build(t)
	p := stories(t, programs, func(*testscript.Env) error { return nil })
	p.Dir = "testdata"
	testscript.Run(t, p)
}

// stories are the parameters that stories have on every target. Beside
// testscript's own commands they have those below, and the condition [aws].
func stories(t *testing.T, programs string, setup func(*testscript.Env) error) testscript.Params {
	t.Helper()
	return testscript.Params{
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", programs+string(filepath.ListSeparator)+env.Getenv("PATH"))
			env.Values[twinsKey{}] = map[string]*stovatest.Running{}
			return setup(env)
		},
		Condition: func(name string) (bool, error) {
			if name != "aws" {
				return false, fmt.Errorf("condition %s is unknown", name)
			}
			return t.Name() == awsStories, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"twin":       startTwin,
			"twin-fault": faultTwin,
			"twin-mend":  mendTwin,
			"twin-touch": touchTwin,
			"twin-calls": awaitCalls,
			"await":      awaitFile,
			"json":       assertJSON,
			"json-lines": assertLines,
			"keep":       keep,
			"eventually": eventually,
			"fire":       fire,
		},
	}
}

// patience is how long a story waits for something to happen.
const patience = 30 * time.Second

func await(ts *testscript.TestScript, what string, happened func() bool) {
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	deadline := time.After(patience)
	for !happened() {
		select {
		case <-deadline:
			ts.Fatalf("waited in vain for %s", what)
		case <-look.C:
		}
	}
}

type twinsKey struct{}

func twins(ts *testscript.TestScript) map[string]*stovatest.Running {
	return ts.Value(twinsKey{}).(map[string]*stovatest.Running)
}

func twinOf(ts *testscript.TestScript, args []string, n int) *stovatest.Running {
	if len(args) != n {
		ts.Fatalf("want %d arguments, got %q", n, args)
	}
	r, ok := twins(ts)[args[0]]
	if !ok {
		ts.Fatalf("no twin %s", args[0])
	}
	return r
}

// startTwin serves a twin inside the test: `twin NAME [flags of twin…]
// [setting=value…]`. It writes NAME.yaml, the connection file, with the
// settings added, and NAME.key.
func startTwin(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: twin NAME [flags] [setting=value]")
	}
	var f twinFlags
	cmd := &cobra.Command{}
	f.add(cmd)
	ts.Check(cmd.ParseFlags(args[1:]))
	ts.Check(f.check(cmd))
	r, e, err := f.serve(context.Background())
	ts.Check(err)
	ts.Defer(func() { _ = r.Close() })
	twins(ts)[args[0]] = r
	file := twinConnection(args[0], r, e)
	for _, setting := range cmd.Flags().Args() {
		name, value, ok := strings.Cut(setting, "=")
		if !ok {
			ts.Fatalf("%q is no setting=value", setting)
		}
		lines := slices.DeleteFunc(strings.Split(file, "\n"), func(l string) bool { return strings.HasPrefix(l, name+":") })
		file = strings.Join(lines, "\n") + name + ": " + value + "\n"
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".yaml"), []byte(file), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".key"), []byte(e.Key+"\n"), 0o600))
}

// faultTwin switches a fault on: `twin-fault NAME SPEC`.
func faultTwin(ts *testscript.TestScript, _ bool, args []string) {
	r := twinOf(ts, args, 2)
	f, err := stovatest.ParseFault(args[1])
	ts.Check(err)
	r.Fault(f)
}

// mendTwin switches all faults off: `twin-mend NAME`.
func mendTwin(ts *testscript.TestScript, _ bool, args []string) { twinOf(ts, args, 1).ClearFaults() }

// touchTwin makes a row count as modified now: `twin-touch NAME ID`.
func touchTwin(ts *testscript.TestScript, _ bool, args []string) {
	twinOf(ts, args, 2).Edit(func(e *stovatest.Event) {
		if !e.Touch(args[1]) {
			ts.Fatalf("the twin has no row %s", args[1])
		}
	})
}

// awaitCalls waits until an endpoint was called: `twin-calls NAME ENDPOINT N`.
func awaitCalls(ts *testscript.TestScript, _ bool, args []string) {
	r := twinOf(ts, args, 3)
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	await(ts, args[2]+" calls of "+args[1], func() bool { return r.Calls()[args[1]] >= n })
}

// awaitFile waits until a file has a text in it: `await FILE TEXT`.
func awaitFile(ts *testscript.TestScript, _ bool, args []string) {
	await(ts, args[0], func() bool {
		doc, err := os.ReadFile(ts.MkAbs(args[0]))
		return err == nil && bytes.Contains(doc, []byte(args[1]))
	})
}

// at follows a path of names and numbers, such as types.users.read.
func at(v any, path string) any {
	for name := range strings.SplitSeq(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}

func documents(ts *testscript.TestScript, file string) []any {
	d := json.NewDecoder(strings.NewReader(ts.ReadFile(file)))
	d.UseNumber()
	var all []any
	for d.More() {
		var v any
		if err := d.Decode(&v); err != nil {
			ts.Fatalf("%s is not JSON: %v", file, err)
		}
		all = append(all, v)
	}
	return all
}

// only is the one document of a file.
func only(ts *testscript.TestScript, file string) any {
	all := documents(ts, file)
	if len(all) != 1 {
		ts.Fatalf("%s holds %d JSON documents, want 1", file, len(all))
	}
	return all[0]
}

// assertJSON compares values in the one JSON document of a file: `json FILE
// PATH=VALUE…`. A name that is not there is <nil>.
func assertJSON(ts *testscript.TestScript, neg bool, args []string) {
	doc := only(ts, args[0])
	for _, want := range args[1:] {
		path, value, _ := strings.Cut(want, "=")
		if got := fmt.Sprint(at(doc, path)); (got == value) == neg {
			ts.Fatalf("%s: %s is %s, want %s (not: %v)", args[0], path, got, value, neg)
		}
	}
}

// assertLines counts the JSON lines of a file in which PATH is VALUE:
// `json-lines FILE N [PATH=VALUE]`.
func assertLines(ts *testscript.TestScript, _ bool, args []string) {
	n := 0
	for _, doc := range documents(ts, args[0]) {
		if len(args) > 2 {
			path, value, _ := strings.Cut(args[2], "=")
			if fmt.Sprint(at(doc, path)) != value {
				continue
			}
		}
		n++
	}
	if strconv.Itoa(n) != args[1] {
		ts.Fatalf("%s: %d lines with %q, want %s", args[0], n, args[2:], args[1])
	}
}

// keep puts a value of a JSON document into a variable: `keep FILE PATH NAME`.
func keep(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[2], fmt.Sprint(at(only(ts, args[0]), args[1])))
}

// eventually runs a program until its standard output matches: `eventually
// REGEXP PROGRAM [ARGS…]`.
func eventually(ts *testscript.TestScript, _ bool, args []string) {
	pattern := regexp.MustCompile(args[0])
	await(ts, strings.Join(args, " "), func() bool {
		return ts.Exec(args[1], args[2:]...) == nil && pattern.MatchString(ts.ReadFile("stdout"))
	})
}
