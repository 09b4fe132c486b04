package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"stovasync/shared/awscall/awstest"
	"stovasync/shared/emulator"
	"stovasync/shared/template"
)

// awsStories is the test whose stories run on a stack.
const awsStories = "TestAWSStories"

// TestAWSStories runs the same stories on the built functions, and those in
// testdata/aws, which have no counterpart on a local target. Each has a stack
// of its own, made from the transformed template, and an operator's environment.
func TestAWSStories(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	p := stories(t, build(t), c.operator)
	for _, pattern := range []string{"testdata/*.txtar", "testdata/aws/*.txtar"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d stories, %v", pattern, len(files), err)
		}
		p.Files = append(p.Files, files...)
	}
	testscript.Run(t, p)
}

// cloud is where stacks are deployed: the stand-in for AWS, the template and
// the built functions.
type cloud struct {
	t        *testing.T // that of all stories
	upstream string
	template *template.Template
	programs map[string]string
}

// newCloud builds what every stack has in common, or skips the test.
func newCloud(t *testing.T) cloud {
	t.Helper()
	awstest.Config(t)
	text, err := os.ReadFile(os.Getenv("STOVASYNC_TEST_TEMPLATE"))
	if err != nil {
		t.Fatal(err)
	}
	c := cloud{t: t, upstream: os.Getenv(awstest.Endpoint), programs: map[string]string{}}
	if c.template, err = template.Parse(text); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for id := range c.template.Section("Resources") {
		if name, ok := strings.CutSuffix(id, "Function"); ok && name != "" {
			if c.programs[id], err = emulator.Build(t.Context(), filepath.Join("..", ".."), id, dir, runtime.GOOS, runtime.GOARCH); err != nil {
				t.Fatal(err)
			}
		}
	}
	return c
}

// deploy deploys a stack, with a name of its own unless o has one. Close ends it.
func (c cloud) deploy(ctx context.Context, o emulator.Options) (*emulator.Stack, error) {
	o.Name = cmp.Or(o.Name, "story-"+strings.ToLower(rand.Text()[:10]))
	o.Template, o.Upstream = c.template, c.upstream
	o.Patience = 300 * time.Millisecond // of a task that failed, or an event
	o.Program = func(function string) (string, error) {
		if path, ok := c.programs[function]; ok {
			return path, nil
		}
		return "", fmt.Errorf("function %s was not built", function)
	}
	return emulator.Deploy(ctx, o)
}

type stackKey struct{}

// operator deploys a stack for a story and gives it the environment of an operator.
func (c cloud) operator(env *testscript.Env) error {
	ctx, cancel := context.WithCancel(context.Background())
	stack, err := c.deploy(ctx, emulator.Options{TempDir: env.WorkDir})
	if err != nil {
		cancel()
		return err
	}
	env.Values[stackKey{}] = stack
	env.Defer(func() {
		defer cancel()
		if err := errors.Join(stack.Close(), unpermitted(stack)); err != nil {
			c.t.Error(err)
		}
	})
	env.Setenv("STOVASYNC_TARGET", "aws:"+stack.Name)
	for name, value := range operatorEnv(stack, env.WorkDir) {
		env.Setenv(name, value)
	}
	return nil
}

// operatorEnv is the AWS environment of an operator, who has nothing else.
func operatorEnv(stack *emulator.Stack, home string) map[string]string {
	nowhere := filepath.Join(home, "none")
	return map[string]string{
		"AWS_ENDPOINT_URL": stack.Endpoint, "AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1",
		"AWS_ACCESS_KEY_ID": "AKIDOPERATOR", "AWS_SECRET_ACCESS_KEY": "invented", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": nowhere, "AWS_SHARED_CREDENTIALS_FILE": nowhere,
	}
}

func unpermitted(stack *emulator.Stack) error {
	if refused := stack.Gateway.Refused(); len(refused) > 0 {
		return fmt.Errorf("functions called what their roles do not permit: %q", refused)
	}
	return nil
}

// fire does what a schedule does at its time: `fire LOGICALID`.
func fire(ts *testscript.TestScript, _ bool, args []string) {
	stack, ok := ts.Value(stackKey{}).(*emulator.Stack)
	if !ok || len(args) != 1 {
		ts.Fatalf("usage, on a stack: fire SCHEDULE")
	}
	ts.Check(stack.Fire(args[0], time.Now()))
	ts.Check(stack.Settled())
}
