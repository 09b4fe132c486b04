package emulator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Async says what becomes of an event that a function fails on when it was
// invoked asynchronously: its EventInvokeConfig.
type Async struct {
	// Retries is how often the event is tried again, RetryWait how long each
	// of these waits for the one before. Lambda waits one minute, then two.
	Retries   int
	RetryWait time.Duration
	// OnFailure gets the record of an event whose tries are used up; nil: it
	// is dropped.
	OnFailure func(ctx context.Context, record []byte) error
}

// Lambda answers Lambda's Invoke call over HTTP and does what is asynchronous
// about it. It implements http.Handler.
type Lambda struct {
	ctx       context.Context //nolint:containedctx // ends what was invoked asynchronously
	functions map[string]*Function
	async     map[string]Async

	wg   sync.WaitGroup
	mu   sync.Mutex
	errs error
}

// invokePath is the path of Lambda's call Invoke.
const invokePath = "/2015-03-31/functions/{name}/invocations"

// newLambda returns the functions under their names. What is invoked
// asynchronously ends with ctx.
func newLambda(ctx context.Context, functions map[string]*Function, async map[string]Async) *Lambda {
	return &Lambda{ctx: ctx, functions: functions, async: async}
}

// ServeHTTP implements http.Handler for the path of Invoke.
func (l *Lambda) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if _, rest, isARN := strings.Cut(name, ":function:"); isARN {
		name = rest
	}
	f := l.functions[name]
	payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPayload))
	switch {
	case err != nil:
		lambdaError(w, http.StatusRequestEntityTooLarge, "RequestTooLargeException")
	case f == nil:
		lambdaError(w, http.StatusNotFound, "ResourceNotFoundException")
	case len(payload) > 0 && !json.Valid(payload):
		lambdaError(w, http.StatusBadRequest, "InvalidRequestContentException")
	default:
		l.invoke(w, r, f, payload)
	}
}

func (l *Lambda) invoke(w http.ResponseWriter, r *http.Request, f *Function, payload []byte) {
	if len(payload) == 0 {
		payload = []byte("{}")
	}
	switch r.Header.Get("X-Amz-Invocation-Type") {
	case "DryRun":
		w.WriteHeader(http.StatusNoContent)
	case "Event":
		l.Event(f, payload)
		w.Header().Set("X-Amzn-Requestid", newRequestID())
		w.WriteHeader(http.StatusAccepted)
	default:
		res, err := f.Invoke(r.Context(), payload)
		if err != nil {
			lambdaError(w, http.StatusInternalServerError, "ServiceException")
			return
		}
		w.Header().Set("X-Amzn-Requestid", res.RequestID)
		w.Header().Set("X-Amz-Executed-Version", "$LATEST")
		if res.Failed {
			w.Header().Set("X-Amz-Function-Error", "Unhandled")
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(res.Payload)
	}
}

func lambdaError(w http.ResponseWriter, status int, kind string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Errortype", kind)
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"Type":"User","Message":%q}`, kind)
}

// Event invokes a function asynchronously: it returns at once, and Wait waits.
func (l *Lambda) Event(f *Function, payload []byte) {
	l.wg.Go(func() {
		if err := l.tries(f, payload); err != nil && l.ctx.Err() == nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.errs = errors.Join(l.errs, err)
		}
	})
}

// Wait waits for what was invoked asynchronously and returns the emulator's
// own failures.
func (l *Lambda) Wait() error {
	l.wg.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.errs
}

func (l *Lambda) tries(f *Function, payload []byte) error {
	a := l.async[f.Name()]
	var res Result
	for try := range a.Retries + 1 {
		if try > 0 {
			select {
			case <-time.After(a.RetryWait):
			case <-l.ctx.Done():
				return l.ctx.Err()
			}
		}
		var err error
		if res, err = f.Invoke(l.ctx, payload); err != nil || !res.Failed {
			return err
		}
	}
	if a.OnFailure == nil {
		return nil
	}
	record, err := json.Marshal(failureRecord(f, payload, res, a.Retries+1))
	if err != nil {
		return fmt.Errorf("record of a failed event: %w", err)
	}
	return a.OnFailure(l.ctx, record)
}

// failureRecord is what Lambda sends to an on-failure destination
// (invocation-async-retain-records).
func failureRecord(f *Function, payload []byte, res Result, tries int) any {
	type doc = map[string]any
	return doc{
		"version": "1.0", "timestamp": time.Now().UTC().Format(time.RFC3339Nano),
		"requestContext": doc{
			"requestId": res.RequestID, "functionArn": f.cfg.ARN + ":$LATEST",
			"condition": "RetriesExhausted", "approximateInvokeCount": tries,
		},
		"requestPayload":  json.RawMessage(payload),
		"responseContext": doc{"statusCode": http.StatusOK, "executedVersion": "$LATEST", "functionError": "Unhandled"},
		"responsePayload": json.RawMessage(res.Payload),
	}
}
