package stova

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"stovasync/shared/fault"
)

const (
	// bodyLimit is the vendor's limit of an answer (stova-api.md §5).
	bodyLimit = 10 << 20
	// nearLimit is where a list takes smaller pages although it got through.
	nearLimit = 9_500_000
	// drainLimit is how much of a useless body is read to keep its connection.
	drainLimit = 256 << 10
	// keepBuffer is the largest buffer that goes back to the pool.
	keepBuffer = 1 << 20
	// maxRetryAfter keeps a nonsensical Retry-After from stopping an account
	// for days: asking once an hour does no harm.
	maxRetryAfter = time.Hour
)

// attempt makes one request and returns its body as valid UTF-8 JSON without
// an error in it, or what went wrong.
func (c *Client) attempt(ctx context.Context, r request, tok token) (*bytes.Buffer, *failure) {
	select {
	case c.flights <- struct{}{}:
		defer func() { <-c.flights }()
	case <-ctx.Done():
		return nil, &failure{kind: ended, cause: ctx.Err()}
	}
	// After the slot, so that the call is made in the window that paid for it.
	if f := c.take(ctx, r); f != nil {
		return nil, f
	}
	own, cancel := context.WithTimeout(ctx, c.cfg.CallTimeout)
	defer cancel()
	req, err := c.build(own, r, tok)
	if err != nil {
		return nil, &failure{kind: badShape, what: "the request cannot be written"}
	}
	countCall(ctx, r.endpoint)
	// The transport itself, not http.Client: that follows redirects, and its
	// errors print the whole address, token and all.
	resp, err := c.cfg.Transport.RoundTrip(req)
	if err != nil {
		return nil, judgeNetwork(ctx, own, err, false)
	}
	defer func() { _ = resp.Body.Close() }()
	if f := judgeStatus(resp.StatusCode, c.retryAfter(resp.Header)); f != nil {
		if f.kind == throttled {
			countThrottled(ctx)
		}
		drain(resp.Body)
		return nil, f
	}
	buf := c.buffers.Get().(*bytes.Buffer)
	f := c.read(ctx, own, resp, buf)
	if f == nil {
		f = judge(resp.StatusCode, buf.Bytes())
	}
	if f != nil {
		c.release(buf)
		return nil, f
	}
	return buf, nil
}

// take asks the rate budget for one call.
func (c *Client) take(ctx context.Context, r request) *failure {
	err := c.cfg.Budget.Take(ctx)
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.Canceled):
		return &failure{kind: ended, cause: ctx.Err()}
	case fault.CodeOf(err) != "": // it may wrap a deadline too: the ledger's own
		return &failure{kind: passed, cause: fmt.Errorf("%s: rate budget: %w", r.subject(), err)}
	case errors.Is(err, context.DeadlineExceeded):
		return &failure{kind: noRoom, cause: context.DeadlineExceeded}
	case ctx.Err() != nil:
		return &failure{kind: ended, cause: ctx.Err()}
	default:
		return &failure{kind: passed, cause: fmt.Errorf("%s: rate budget: %w", r.subject(), err)}
	}
}

func (c *Client) build(ctx context.Context, r request, tok token) (*http.Request, error) {
	method, body := http.MethodGet, io.Reader(nil)
	if r.form != "" {
		method, body = http.MethodPost, strings.NewReader(r.form)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.urls[r.endpoint], body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "stovasync")
	if r.form != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return req, nil
	}
	// As a query parameter, since that is what everybody does (stova-api.md §3).
	// Old tokens hold + / =, hence the escaping.
	req.URL.RawQuery = query("accesstoken", tok.value)
	if r.query != "" {
		req.URL.RawQuery = r.query + "&" + req.URL.RawQuery
	}
	return req, nil
}

// read fills buf with the whole body as UTF-8, without a byte order mark and
// white space around it.
func (c *Client) read(ctx, own context.Context, resp *http.Response, buf *bytes.Buffer) *failure {
	if resp.ContentLength > bodyLimit {
		return &failure{kind: tooLarge}
	}
	n, err := buf.ReadFrom(io.LimitReader(resp.Body, bodyLimit+1))
	if err != nil {
		return judgeNetwork(ctx, own, err, true)
	}
	if n > bodyLimit {
		return &failure{kind: tooLarge}
	}
	if !utf8.Valid(buf.Bytes()) {
		// encoding/json would put U+FFFD in silence (stova-api.md §11).
		fromWindows1252(buf)
	}
	trim(buf)
	return nil
}

// trim cuts a byte order mark and white space off both ends of buf.
func trim(buf *bytes.Buffer) {
	buf.Next(buf.Len() - len(bytes.TrimLeft(buf.Bytes(), " \t\r\n\ufeff")))
	buf.Truncate(len(bytes.TrimRight(buf.Bytes(), " \t\r\n")))
}

// release gives a buffer back; a huge one is left to the garbage collector.
func (c *Client) release(buf *bytes.Buffer) {
	if buf.Cap() <= keepBuffer {
		buf.Reset()
		c.buffers.Put(buf)
	}
}

// drain reads what is left of a small body, so that its connection is used again.
func drain(body io.Reader) { _, _ = io.CopyN(io.Discard, body, drainLimit) }

// retryAfter reads the header's seconds or date: 0 when there is none, at
// least the retry base, at most an hour.
func (c *Client) retryAfter(h http.Header) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0
	}
	var d time.Duration
	if s, err := strconv.Atoi(v); err == nil {
		d = time.Duration(min(s, int(maxRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(v); err == nil {
		d = at.Sub(c.cfg.Now())
	} else {
		return 0
	}
	if d <= 0 { // at once, or in the past: not a reason to hammer
		return c.cfg.RetryBase
	}
	return min(d, maxRetryAfter)
}
