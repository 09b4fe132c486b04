package emulator_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"stovasync/shared/emulator"
)

// childEnv makes this very binary a function instead of running tests.
const childEnv = "EMULATOR_TEST_FUNCTION"

// ask is the event of the function that this binary plays.
type ask struct {
	Do string `json:"do"`
}

// told is what it answers.
type told struct {
	PID     int      `json:"pid"`
	Env     []string `json:"env"`
	Seconds float64  `json:"seconds"` // to its deadline
}

// play is the function. mode says how it starts.
func play(mode string) {
	switch mode {
	case "exits":
		os.Exit(3)
	case "says why":
		res, err := http.Post("http://"+os.Getenv("AWS_LAMBDA_RUNTIME_API")+"/2018-06-01/runtime/init/error",
			"application/json", strings.NewReader(`{"errorType":"Function.NoKey","errorMessage":"no key"}`))
		if err == nil {
			res.Body.Close()
		}
		select {}
	}
	lambda.Start(func(ctx context.Context, a ask) (told, error) {
		switch a.Do {
		case "fail":
			return told{}, errors.New("it failed")
		case "panic":
			panic("it panicked")
		case "exit":
			os.Exit(4)
		case "hang":
			fmt.Println("hanging")
			select {}
		case "log":
			fmt.Println(`{"level":"ERROR","msg":"an error"}`)
			fmt.Println(`{"level":"debug","msg":"a detail"}`)
			fmt.Println(`{"_aws":{},"msg":"a metric"}`)
			fmt.Println(`{"level":"loud","msg":"no level"}`)
			fmt.Println("a text")
		case "another's answer":
			res, err := http.Post("http://"+os.Getenv("AWS_LAMBDA_RUNTIME_API")+"/2018-06-01/runtime/invocation/none/response", "application/json", nil)
			if err != nil {
				return told{}, err
			}
			res.Body.Close()
			return told{}, errors.New(res.Status)
		}
		deadline, _ := ctx.Deadline()
		return told{os.Getpid(), os.Environ(), time.Until(deadline).Seconds()}, nil
	})
}

// played returns a function that this binary plays.
func played(t *testing.T, mode string, change func(*emulator.FunctionConfig)) *emulator.Function {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := emulator.FunctionConfig{
		Name: "played", ARN: "arn:aws:lambda:eu-central-1:123456789012:function:played", Program: program,
		Env: map[string]string{childEnv: mode}, Timeout: time.Minute,
	}
	if change != nil {
		change(&c)
	}
	f := emulator.NewFunction(c)
	t.Cleanup(f.Close)
	return f
}

func invoke(t *testing.T, f *emulator.Function, do string) (emulator.Result, told) {
	t.Helper()
	event, err := json.Marshal(ask{do})
	if err != nil {
		t.Fatal(err)
	}
	res, err := f.Invoke(t.Context(), event)
	if err != nil {
		t.Fatal(err)
	}
	var answer told
	if err := json.Unmarshal(res.Payload, &answer); err != nil {
		t.Fatalf("answer %s: %v", res.Payload, err)
	}
	return res, answer
}

func TestAnInvocationEndsAsOnLambda(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mode, do string
		change   func(*emulator.FunctionConfig)
		want     []string // parts of the error document
		lives    bool     // the process is used again
	}{
		"an answer":             {lives: true},
		"an error":              {do: "fail", want: []string{"errorString", "it failed"}, lives: true},
		"a panic":               {do: "panic", want: []string{"it panicked"}},
		"an exit":               {do: "exit", want: []string{"Runtime.ExitError", "exit status 4"}},
		"an answer of another":  {do: "another's answer", want: []string{"400 Bad Request"}, lives: true},
		"an exit at the start":  {mode: "exits", want: []string{"Runtime.ExitError", "exit status 3"}},
		"an error at the start": {mode: "says why", want: []string{"Function.NoKey", "no key"}},
		"its time limit": {do: "hang", want: []string{"Sandbox.Timedout", "Task timed out after 0.30 seconds"},
			change: func(c *emulator.FunctionConfig) { c.Timeout = 300 * time.Millisecond }},
		"a limit that it does not see": {do: "hang", want: []string{"Sandbox.Timedout", "after 0.30 seconds"},
			change: func(c *emulator.FunctionConfig) { c.Kill = 300 * time.Millisecond }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := played(t, cmp.Or(c.mode, "plain"), c.change)
			res, first := invoke(t, f, c.do)
			if res.Failed != (c.want != nil) {
				t.Errorf("failed is %v: %s", res.Failed, res.Payload)
			}
			for _, part := range c.want {
				if !strings.Contains(string(res.Payload), part) {
					t.Errorf("answer %s lacks %q", res.Payload, part)
				}
			}
			if c.mode != "" || c.change != nil {
				return
			}
			_, second := invoke(t, f, "")
			if n := len(f.Starts()); (n == 1) != c.lives {
				t.Errorf("%d processes for two invocations", n)
			}
			if c.do == "" && first.PID != second.PID {
				t.Error("the process was not used again")
			}
		})
	}
}

func TestAProcessGetsItsEnvironmentAndDeadlineAndNothingElse(t *testing.T) {
	t.Parallel()
	f := played(t, "plain", func(c *emulator.FunctionConfig) {
		c.Env["STACK"], c.Timeout = "summit", 30*time.Second
	})
	_, answer := invoke(t, f, "")
	var names []string
	for _, v := range answer.Env {
		name, _, _ := strings.Cut(v, "=")
		names = append(names, name)
	}
	slices.Sort(names)
	// The runtime's library adds the last one by itself.
	if want := []string{"AWS_LAMBDA_RUNTIME_API", childEnv, "STACK", "_X_AMZN_TRACE_ID"}; !slices.Equal(names, want) {
		t.Errorf("environment %q, want %q", names, want)
	}
	if answer.Seconds < 25 || answer.Seconds > 30 {
		t.Errorf("%g seconds to the deadline, want almost 30", answer.Seconds)
	}
}

func TestAKilledProcessFailsItsInvocationAndTheNextGetsANewOne(t *testing.T) {
	t.Parallel()
	f := played(t, "plain", nil)
	done := make(chan emulator.Result, 1)
	go func() {
		res, err := f.Invoke(t.Context(), []byte(`{"do":"hang"}`))
		if err != nil {
			t.Error(err)
		}
		done <- res
	}()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !f.Log().Contains("hanging") {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the function does not hang")
		}
	}
	if n := f.Kill(); n != 1 {
		t.Errorf("%d processes killed, want one", n)
	}
	if res := <-done; !res.Failed || !strings.Contains(string(res.Payload), "signal: killed") {
		t.Errorf("the killed invocation ended as %s", res.Payload)
	}
	if res, _ := invoke(t, f, ""); res.Failed {
		t.Errorf("the next invocation: %s", res.Payload)
	}
}

func TestColdFunctionsStartAProcessForEachInvocation(t *testing.T) {
	t.Parallel()
	f := played(t, "plain", func(c *emulator.FunctionConfig) { c.Cold = true })
	_, first := invoke(t, f, "")
	_, second := invoke(t, f, "")
	if first.PID == second.PID || len(f.Starts()) != 2 {
		t.Errorf("processes %d and %d, %d starts", first.PID, second.PID, len(f.Starts()))
	}
}

func TestLinesBelowTheLogLevelAreNotKept(t *testing.T) {
	t.Parallel()
	for least, want := range map[string][]string{
		"":      {"an error", "a detail", "a metric", "no level", "a text"},
		"DEBUG": {"an error", "a detail", "a metric", "no level", "a text"},
		"INFO":  {"an error", "a metric", "no level", "a text"},
		"WARN":  {"an error", "a text"},
		"FATAL": {"a text"},
	} {
		t.Run("level "+least, func(t *testing.T) {
			t.Parallel()
			f := played(t, "runs", func(c *emulator.FunctionConfig) { c.LogLevel = least })
			if _, err := f.Invoke(t.Context(), []byte(`{"do":"log"}`)); err != nil {
				t.Fatal(err)
			}
			f.Close() // with its process its last line has come
			for _, msg := range []string{"an error", "a detail", "a metric", "no level", "a text"} {
				if got := f.Log().Contains(msg); got != slices.Contains(want, msg) {
					t.Errorf("%s: kept %v", msg, got)
				}
			}
		})
	}
}
