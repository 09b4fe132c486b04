package emulator

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Call is one call of a service that passed the gateway, or did not.
type Call struct {
	Principal string // the function that called; "" for an operator
	Service   string // dynamodb, sqs, s3, ssm
	Op        string // PutItem, …; the HTTP method of S3
	Needs     []Access
	Body      []byte // as it came
	Status    int    // of the answer
}

// Fault makes calls go wrong.
type Fault struct {
	// Hits says which calls; a call of an operator is never hit.
	Hits func(Call) bool
	// Times is how many calls are hit; 0: all.
	Times int
	// Status and Code are the answer that is given instead of the service's.
	Status int
	Code   string
	// FailEntries, of a batch call of SQS, takes every other entry out of the
	// call and adds it to the answer as failed with Code.
	FailEntries bool
}

// Gateway passes calls to a stand-in for AWS, records them, and refuses what
// the role of the calling function does not permit. It implements http.Handler.
type Gateway struct {
	upstream *url.URL
	names    names
	// principals are the functions by their access key.
	principals map[string]string
	permits    func(principal string, a Access) bool
	client     *http.Client

	mu      sync.Mutex
	calls   []Call
	refused []string
	faults  []*Fault
	hidden  map[string]time.Duration // by receipt
	onSend  map[string]chan struct{} // by queue name
}

// newGateway returns a gateway in front of upstream. permits says what each
// principal may do.
func newGateway(upstream *url.URL, n names, permits func(string, Access) bool) *Gateway {
	return &Gateway{
		upstream: upstream, names: n, permits: permits, principals: map[string]string{},
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}},
		hidden: map[string]time.Duration{}, onSend: map[string]chan struct{}{},
	}
}

// Calls returns the calls of functions so far.
func (g *Gateway) Calls() []Call {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.calls)
}

// Refused returns what functions asked for that their roles do not permit, or
// that nobody could judge.
func (g *Gateway) Refused() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.refused)
}

// Fault switches a fault on and returns what switches it off.
func (g *Gateway) Fault(f Fault) (remove func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	own := &f
	g.faults = append(g.faults, own)
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.faults = slices.DeleteFunc(g.faults, func(other *Fault) bool { return other == own })
	}
}

// Visibility is the visibility that a function gave a delivery last.
func (g *Gateway) Visibility(receipt string) (time.Duration, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	d, ok := g.hidden[receipt]
	return d, ok
}

// sent returns a channel that tells that something was sent to a queue.
func (g *Gateway) sent(queue string) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := make(chan struct{}, 1)
	g.onSend[queue] = c
	return c
}

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the caller is gone
	}
	req := parse(r, body)
	call := Call{Principal: g.principal(req.key), Service: req.service, Op: req.op, Body: body}
	var res *reply
	if call.Principal == "" {
		res, err = g.forward(req)
	} else {
		res, err = g.judge(req, &call)
	}
	if err != nil {
		res = failure(req.service, http.StatusServiceUnavailable, "ServiceUnavailable")
	}
	g.note(call, res)
	res.write(w)
}

func (g *Gateway) principal(key string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.principals[key]
}

// judge does a function's call as its role and the faults say.
func (g *Gateway) judge(req request, call *Call) (*reply, error) {
	var err error
	if call.Needs, err = needs(req, g.names); err != nil {
		return g.refuse(req, call, err.Error()), nil
	}
	for _, a := range call.Needs {
		if !g.permits(call.Principal, a) {
			return g.refuse(req, call, a.Action+" on "+a.Resource), nil
		}
	}
	f := g.fault(*call)
	switch {
	case f != nil && f.FailEntries:
		return g.partly(req, f.Code)
	case f != nil:
		return failure(req.service, f.Status, f.Code), nil
	}
	res, err := g.forward(req)
	// S3 tells nobody that a key holds nothing who may not list the bucket.
	if err == nil && res.status == http.StatusNotFound && call.Needs[0].Action == "s3:GetObject" {
		bucket, _, _ := strings.Cut(call.Needs[0].Resource, "/")
		if list := (Access{"s3:ListBucket", bucket}); !g.permits(call.Principal, list) {
			return g.refuse(req, call, list.Action+" on "+list.Resource), nil
		}
	}
	return res, err
}

func (g *Gateway) refuse(req request, call *Call, what string) *reply {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refused = append(g.refused, call.Principal+": "+what)
	code := "AccessDeniedException"
	if req.service == "s3" {
		code = "AccessDenied"
	}
	return failure(req.service, http.StatusForbidden, code)
}

// fault returns the fault that hits a call and counts it.
func (g *Gateway) fault(c Call) *Fault {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, f := range g.faults {
		if !f.Hits(c) {
			continue
		}
		if f.Times > 0 {
			f.Times--
			if f.Times == 0 {
				g.faults = slices.Delete(g.faults, i, i+1)
			}
		}
		return f
	}
	return nil
}

// note records a call of a function and what its success means.
func (g *Gateway) note(c Call, res *reply) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c.Status = res.status
	if c.Principal != "" {
		g.calls = append(g.calls, c)
	}
	if c.Service != "sqs" || res.status != http.StatusOK {
		return
	}
	switch c.Op {
	case "ChangeMessageVisibility":
		var in struct {
			ReceiptHandle     string
			VisibilityTimeout int
		}
		if json.Unmarshal(c.Body, &in) == nil && c.Principal != "" {
			g.hidden[in.ReceiptHandle] = time.Duration(in.VisibilityTimeout) * time.Second
		}
	case "SendMessage", "SendMessageBatch":
		if u, err := queueURL(c.Body); err == nil {
			select {
			case g.onSend[u[strings.LastIndexByte(u, '/')+1:]] <- struct{}{}:
			default: // told already, or nobody listens
			}
		}
	}
}

// reply is an answer, read whole.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r *reply) write(w http.ResponseWriter) {
	for name, values := range r.header {
		w.Header()[name] = values
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body)
}

// forward passes a call on as it came. The host stays, since moto makes the
// addresses of queues of it. A service does what it was asked to even when the
// caller is killed meanwhile.
func (g *Gateway) forward(req request) (*reply, error) {
	target := *req.URL
	target.Scheme, target.Host = g.upstream.Scheme, g.upstream.Host
	out, err := http.NewRequestWithContext(context.WithoutCancel(req.Context()), req.Method, target.String(), bytes.NewReader(req.body))
	if err != nil {
		return nil, err
	}
	out.Header, out.Host = req.Header.Clone(), req.Host
	out.Header.Del("Expect")
	res, err := g.client.Do(out)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	res.Header.Del("Connection")
	return &reply{res.StatusCode, res.Header, body}, nil
}

// partly passes every other entry of a batch on and answers that the rest failed.
func (g *Gateway) partly(req request, code string) (*reply, error) {
	var in map[string]json.RawMessage
	var entries []json.RawMessage
	if err := json.Unmarshal(req.body, &in); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(in["Entries"], &entries); err != nil {
		return nil, err
	}
	var taken []json.RawMessage
	failed := []map[string]any{}
	for i, e := range entries {
		if i%2 == 1 {
			taken = append(taken, e)
			continue
		}
		var entry struct{ Id string } //nolint:revive // AWS's own spelling
		if err := json.Unmarshal(e, &entry); err != nil {
			return nil, err
		}
		failed = append(failed, map[string]any{"Id": entry.Id, "Code": code, "SenderFault": false, "Message": "invented"})
	}
	out := map[string]any{"Successful": []any{}}
	if len(taken) > 0 {
		var err error
		if in["Entries"], err = json.Marshal(taken); err != nil {
			return nil, err
		}
		if req.body, err = json.Marshal(in); err != nil {
			return nil, err
		}
		res, err := g.forward(req)
		if err != nil || res.status != http.StatusOK {
			return res, err
		}
		if err := json.Unmarshal(res.body, &out); err != nil {
			return nil, err
		}
	}
	out["Failed"] = failed
	body, err := json.Marshal(out)
	return &reply{http.StatusOK, http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, body}, err
}

// failure is a refusal in the words of a service.
func failure(service string, status int, code string) *reply {
	if service == "s3" {
		return &reply{status, http.Header{"Content-Type": {"application/xml"}}, fmt.Appendf(nil,
			`<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>invented</Message></Error>`, code)}
	}
	return &reply{status, http.Header{"Content-Type": {"application/x-amz-json-1.0"}, "X-Amzn-Errortype": {code}},
		fmt.Appendf(nil, `{"__type":"com.amazonaws#%s","message":"invented"}`, code)}
}
