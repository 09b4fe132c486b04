package emulator

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// initLimit is how long a process may take to its first poll.
const initLimit = 10 * time.Second

// sandbox is one process of a function with a Runtime API of its own. It does
// one invocation at a time.
type sandbox struct {
	api     *runtimeAPI
	cmd     *exec.Cmd
	started time.Time
	toPoll  time.Duration // from the start to the first poll
	exited  chan struct{} // closed at the process's end
}

// startSandbox starts a program and waits for its first poll. A program that
// ends before, says init/error or takes too long is an *initError.
func startSandbox(ctx context.Context, program string, env []string, log *Log) (*sandbox, error) {
	api, err := serveRuntime(ctx)
	if err != nil {
		return nil, err
	}
	s := &sandbox{api: api, exited: make(chan struct{})}
	s.cmd = exec.CommandContext(context.WithoutCancel(ctx), program)
	s.cmd.Dir = filepath.Dir(program)
	s.cmd.Env = append(env, "AWS_LAMBDA_RUNTIME_API="+api.address)
	lines := log.writer()
	s.cmd.Stdout, s.cmd.Stderr = lines, lines
	s.started = time.Now()
	if err := s.cmd.Start(); err != nil {
		api.close()
		return nil, fmt.Errorf("start %s: %w", filepath.Base(filepath.Dir(program)), err)
	}
	go func() {
		_ = s.cmd.Wait() // the state tells
		lines.flush()
		close(s.exited)
	}()
	return s, s.awaitPoll(ctx)
}

// initError is the end of a start that did not come to a poll.
type initError struct{ payload []byte }

func (e *initError) Error() string { return "the function did not start: " + string(e.payload) }

func (s *sandbox) awaitPoll(ctx context.Context) error {
	limit := time.NewTimer(initLimit)
	defer limit.Stop()
	select {
	case <-s.api.ready:
		s.toPoll = time.Since(s.started)
		return nil
	case payload := <-s.api.initFailed:
		s.kill()
		return &initError{payload}
	case <-s.exited:
		s.kill()
		return &initError{s.exitPayload("")}
	case <-limit.C:
		s.kill()
		return &initError{errorPayload("Sandbox.Timedout", "Error: init timed out")}
	case <-ctx.Done():
		s.kill()
		return context.Cause(ctx)
	}
}

// do gives the process an event and waits for what becomes of it. It reports
// false when the process had ended before it got the event. After kill the
// process is killed.
func (s *sandbox) do(ctx context.Context, i *invocation, kill time.Duration) (a answer, taken bool) {
	select {
	case s.api.events <- i:
	case <-s.exited:
		return answer{}, false
	case <-ctx.Done():
		return answer{failed: true, payload: errorPayload("Emulator.Stopped", "stopped")}, true
	}
	limit := time.NewTimer(kill)
	defer limit.Stop()
	select {
	case a = <-i.done:
		return a, true
	case <-s.exited:
	case <-limit.C:
		s.kill()
		return answer{failed: true, payload: errorPayload("Sandbox.Timedout",
			fmt.Sprintf("RequestId: %s Error: Task timed out after %.2f seconds", i.id, kill.Seconds()))}, true
	case <-ctx.Done():
		s.kill()
	}
	select {
	case a = <-i.done: // it answered, then it ended
	default:
		a = answer{failed: true, payload: s.exitPayload(i.id)}
	}
	return a, true
}

// kill ends the process (SIGKILL) and waits for its end.
func (s *sandbox) kill() {
	_ = s.cmd.Process.Kill() // it may have ended
	<-s.exited
	s.api.close()
}

func (s *sandbox) alive() bool {
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

func (s *sandbox) exitPayload(id string) []byte {
	text := "Error: Runtime exited"
	if state := s.cmd.ProcessState; state != nil {
		text += " with error: " + state.String()
	}
	if id != "" {
		text = "RequestId: " + id + " " + text
	}
	return errorPayload("Runtime.ExitError", text)
}

// peak is the largest resident memory of the living process so far, in bytes;
// 0 where the system does not tell (outside of Linux).
func (s *sandbox) peak() int64 {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(s.cmd.Process.Pid) + "/status")
	if err != nil {
		return 0
	}
	_, rest, found := bytes.Cut(status, []byte("VmHWM:"))
	if !found {
		return 0
	}
	fields := bytes.Fields(rest)
	kb, err := strconv.ParseInt(string(fields[0]), 10, 64)
	if err != nil {
		return 0
	}
	return kb << 10
}
