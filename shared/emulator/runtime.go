package emulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// maxPayload is the largest answer of a synchronous invocation, in bytes.
const maxPayload = 6<<20 + 1<<10

// invocation is one event on its way through a sandbox.
type invocation struct {
	id, arn, trace string
	deadline       time.Time
	payload        []byte
	done           chan answer // holds one
}

// answer is what a function's process said about an invocation.
type answer struct {
	payload []byte
	failed  bool // it came to …/error
}

// runtimeAPI is the Runtime API as the process of one sandbox sees it.
type runtimeAPI struct {
	server  *http.Server
	address string // host:port
	events  chan *invocation
	// ready is closed at the first poll; initFailed holds what the process
	// said to init/error.
	ready      chan struct{}
	once       sync.Once
	initFailed chan []byte

	mu      sync.Mutex
	current *invocation
}

// serveRuntime listens on a free port of the loopback until close.
func serveRuntime(ctx context.Context) (*runtimeAPI, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("runtime api: %w", err)
	}
	a := &runtimeAPI{
		address: listener.Addr().String(), events: make(chan *invocation),
		ready: make(chan struct{}), initFailed: make(chan []byte, 1),
	}
	const base = "/2018-06-01/runtime/"
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+base+"invocation/next", a.next)
	mux.HandleFunc("POST "+base+"invocation/{id}/response", func(w http.ResponseWriter, r *http.Request) { a.settle(w, r, false) })
	mux.HandleFunc("POST "+base+"invocation/{id}/error", func(w http.ResponseWriter, r *http.Request) { a.settle(w, r, true) })
	mux.HandleFunc("POST "+base+"init/error", a.initError)
	a.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go a.server.Serve(listener) //nolint:errcheck // it ends with Close
	return a, nil
}

func (a *runtimeAPI) close() { _ = a.server.Close() }

// next answers when there is an event; the process waits as long as it takes.
func (a *runtimeAPI) next(w http.ResponseWriter, r *http.Request) {
	a.once.Do(func() { close(a.ready) })
	select {
	case <-r.Context().Done():
	case i := <-a.events:
		a.mu.Lock()
		a.current = i
		a.mu.Unlock()
		h := w.Header()
		h.Set("Lambda-Runtime-Aws-Request-Id", i.id)
		h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(i.deadline.UnixMilli(), 10))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", i.arn)
		h.Set("Lambda-Runtime-Trace-Id", i.trace)
		h.Set("Content-Type", "application/json")
		_, _ = w.Write(i.payload) // a process that is gone is seen by its end
	}
}

// settle takes the process's word on the invocation under way.
func (a *runtimeAPI) settle(w http.ResponseWriter, r *http.Request, failed bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPayload))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge")
		return
	}
	if err != nil {
		return // the process is gone
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.current == nil || a.current.id != r.PathValue("id") {
		refuse(w, http.StatusBadRequest, "InvalidRequestID")
		return
	}
	a.current.done <- answer{body, failed}
	a.current = nil
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"status":"OK"}`)
}

func (a *runtimeAPI) initError(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPayload))
	if err != nil {
		return
	}
	select {
	case a.initFailed <- body:
	default: // only the first counts
	}
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"status":"OK"}`)
}

// refuse answers as the Runtime API does.
func refuse(w http.ResponseWriter, status int, kind string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"errorType":%q,"errorMessage":"refused"}`, kind)
}
