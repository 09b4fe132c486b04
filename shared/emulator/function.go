package emulator

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

// FunctionConfig says what a function is: the part of a function resource that
// its processes meet.
type FunctionConfig struct {
	Name    string
	ARN     string
	Program string // the path of its bootstrap
	// Env is the whole environment of its processes, but for the address of
	// the Runtime API.
	Env map[string]string
	// Timeout is the time limit of an invocation: what its deadline says, and
	// when the process is killed.
	Timeout time.Duration
	// LogLevel is the least that Lambda keeps of the log, by the level that each
	// line of JSON says of itself: "WARN". Empty keeps all, as the format Text does.
	LogLevel string
	// Kill, when set, kills the process that much after the event was handed
	// over, though its deadline says Timeout: a function that does not see its
	// end coming.
	Kill time.Duration
	// Cold starts a process for every invocation.
	Cold bool
}

// Function starts processes as it needs them and keeps them for further
// invocations, one at a time each. All of it may be called at once.
type Function struct {
	cfg FunctionConfig
	log Log

	mu     sync.Mutex
	idle   []*sandbox
	busy   map[*sandbox]bool
	starts []time.Duration
	peak   int64
}

// NewFunction returns a function without processes.
func NewFunction(c FunctionConfig) *Function {
	return &Function{cfg: c, log: Log{least: levelOf(c.LogLevel)}, busy: map[*sandbox]bool{}}
}

// Result is what became of an invocation.
type Result struct {
	RequestID string
	Payload   []byte // the handler's answer, or the error document
	// Failed says that the answer is an error document: of the handler, or of
	// Lambda when the process ended, was killed at its limit or did not start.
	Failed   bool
	Duration time.Duration
}

// Log is what the function's processes printed so far.
func (f *Function) Log() *Log { return &f.log }

// Name is the function's name.
func (f *Function) Name() string { return f.cfg.Name }

// Invoke runs an event in a process that is idle, or in a new one, and waits
// for what becomes of it. The error is the emulator's own.
func (f *Function) Invoke(ctx context.Context, payload []byte) (Result, error) {
	started := time.Now()
	i := &invocation{
		id: newRequestID(), arn: f.cfg.ARN, payload: payload, done: make(chan answer, 1),
		trace: "Root=1-" + randomHex(4) + "-" + randomHex(12) + ";Parent=" + randomHex(8) + ";Sampled=0",
	}
	for {
		s, err := f.sandbox(ctx)
		if bad, ok := errors.AsType[*initError](err); ok {
			return Result{RequestID: i.id, Payload: bad.payload, Failed: true, Duration: time.Since(started)}, nil
		}
		if err != nil {
			return Result{}, err
		}
		i.deadline = time.Now().Add(f.cfg.Timeout)
		a, taken := s.do(ctx, i, cmp.Or(f.cfg.Kill, f.cfg.Timeout))
		f.release(s)
		if !taken {
			continue // it had ended while it was idle
		}
		if ctx.Err() != nil {
			return Result{}, context.Cause(ctx)
		}
		return Result{RequestID: i.id, Payload: a.payload, Failed: a.failed, Duration: time.Since(started)}, nil
	}
}

// sandbox returns an idle process, or a new one, and marks it busy.
func (f *Function) sandbox(ctx context.Context) (*sandbox, error) {
	f.mu.Lock()
	for len(f.idle) > 0 {
		s := f.idle[len(f.idle)-1]
		f.idle = f.idle[:len(f.idle)-1]
		if s.alive() {
			f.busy[s] = true
			f.mu.Unlock()
			return s, nil
		}
		s.kill()
	}
	f.mu.Unlock()
	s, err := startSandbox(ctx, f.cfg.Program, f.environ(), &f.log)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.busy[s] = true
	f.starts = append(f.starts, s.toPoll)
	return s, nil
}

// Start starts a process, waits for its first poll and keeps it for later. A
// process that does not come so far is an error.
func (f *Function) Start(ctx context.Context) error {
	s, err := startSandbox(ctx, f.cfg.Program, f.environ(), &f.log)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.starts = append(f.starts, s.toPoll)
	f.idle = append(f.idle, s)
	return nil
}

// release takes a process back after an invocation.
func (f *Function) release(s *sandbox) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.peak = max(f.peak, s.peak())
	delete(f.busy, s)
	if f.cfg.Cold || !s.alive() {
		s.kill()
		return
	}
	f.idle = append(f.idle, s)
}

func (f *Function) environ() []string {
	var env []string
	for _, name := range slices.Sorted(maps.Keys(f.cfg.Env)) {
		env = append(env, name+"="+f.cfg.Env[name])
	}
	return env
}

// Kill kills (SIGKILL) the processes that have an event under way and returns
// how many they were.
func (f *Function) Kill() int {
	f.mu.Lock()
	busy := slices.Collect(maps.Keys(f.busy))
	f.mu.Unlock()
	for _, s := range busy {
		s.kill()
	}
	return len(busy)
}

// Starts returns how long each process took from its start to its first poll.
func (f *Function) Starts() []time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.starts)
}

// Peak is the largest resident memory that any process had at the end of an
// invocation, in bytes; 0 where the system does not tell.
func (f *Function) Peak() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.peak
}

// Close kills all processes. No Invoke may be under way.
func (f *Function) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.idle {
		s.kill()
	}
	f.idle = nil
}

// errorPayload is an error document of Lambda's own.
func errorPayload(kind, message string) []byte {
	doc, err := json.Marshal(map[string]string{"errorType": kind, "errorMessage": message})
	if err != nil {
		return []byte(`{}`) // two strings always encode
	}
	return doc
}

func newRequestID() string {
	return randomHex(4) + "-" + randomHex(2) + "-" + randomHex(2) + "-" + randomHex(2) + "-" + randomHex(6)
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	rand.Read(b)
	return hex.EncodeToString(b)
}
