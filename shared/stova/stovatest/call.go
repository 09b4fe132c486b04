package stovatest

import (
	"compress/gzip"
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/encoding/charmap"
)

const jsonType = "application/json; charset=utf-8"

// call is one request on its way through the server.
type call struct {
	s      *Server
	w      http.ResponseWriter
	r      *http.Request
	name   string // of the endpoint
	id     string // of the row
	q      url.Values
	out    render
	status int
	ctype  string
	faults []*Fault // that hit this call
}

func (s *Server) newCall(rw http.ResponseWriter, r *http.Request, rt route) *call {
	s.mu.RLock()
	v := s.v
	s.mu.RUnlock()
	c := &call{s: s, w: rw, r: r, name: rt.name, status: http.StatusOK, ctype: jsonType, q: parameters(r)}
	c.out = render{writer: s.pool.get(), v: v, zone: s.opt.StampZone}
	for key, value := range rt.params {
		c.q.Set(key, value)
	}
	if rt.id != "" {
		c.id = strings.Clone(c.q.Get(rt.id)) // else the log would keep whole queries
	}
	if rt.name == "getSession" {
		c.id += "_" + c.q.Get("sessionkey")
	}
	return c
}

// parameters joins query and form body, urlencoded or multipart.
func parameters(r *http.Request) url.Values {
	if r.Method != http.MethodPost && r.Method != http.MethodPut {
		return r.URL.Query()
	}
	const inMemory = 1 << 20
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data") {
		if r.ParseMultipartForm(inMemory) != nil {
			return r.URL.Query()
		}
		return r.Form
	}
	if r.ParseForm() != nil {
		return r.URL.Query()
	}
	return r.Form
}

// fail makes the answer a v2 error: status 200 and an error object.
func (c *call) fail(key, message string) {
	c.out.b = c.out.b[:0]
	c.out.open('{')
	c.out.key("error")
	c.out.open('{')
	c.out.pair(key, message)
	c.out.close('}')
	c.out.close('}')
}

// dsFail makes the answer a Data Services error.
func (c *call) dsFail(message string) {
	c.out.b = c.out.b[:0]
	c.out.open('{')
	c.out.pairs("status", "error", "msg", message)
	c.out.close('}')
}

// html makes the answer a page of a gateway.
func (c *call) html(title string) {
	c.ctype = "text/html; charset=utf-8"
	c.out.b = append(c.out.b[:0], "<!DOCTYPE html>\n<html><head><title>"+title+"</title></head><body><h1>"+title+"</h1></body></html>\n"...)
}

// send writes the answer, after the faults that spoil a good one.
func (c *call) send() {
	body := c.out.b
	if limit := c.s.opt.MaxBody; limit > 0 && len(body) > limit {
		c.status = http.StatusBadGateway // stova-api.md §5: the gateway's 10 MB rule
		c.html("502 Bad Gateway")
		body = c.out.b
	}
	if c.fault(Latin1) != nil {
		// Only what Latin-1 knows can be sent in it; the rest becomes its substitute.
		enc := charmap.ISO8859_1.NewEncoder()
		latin, err := enc.Bytes([]byte(strings.Map(latinOrQuestion, string(body))))
		if err == nil {
			body, c.ctype = latin, "application/json"
		}
	}
	if c.fault(Truncate) != nil {
		body = body[:len(body)/2]
	}
	h := c.w.Header()
	h.Set("Content-Type", c.ctype)
	if c.s.opt.Gzip && len(body) > 1024 && strings.Contains(c.r.Header.Get("Accept-Encoding"), "gzip") {
		c.sendGzip(body)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(c.status)
	if c.fault(Cut) != nil {
		_, _ = c.w.Write(body[:len(body)/2])
		_ = http.NewResponseController(c.w).Flush()
		panic(http.ErrAbortHandler) // closes the connection in the middle of the body
	}
	_, _ = c.w.Write(body) // a client that went away is its own affair
}

func latinOrQuestion(r rune) rune {
	if r > 0xFF {
		return '?'
	}
	return r
}

func (c *call) sendGzip(body []byte) {
	c.w.Header().Set("Content-Encoding", "gzip")
	c.w.WriteHeader(c.status)
	z, err := gzip.NewWriterLevel(c.w, gzip.BestSpeed)
	if err != nil {
		return // never: the level is a constant of the package
	}
	_, _ = z.Write(body)
	_ = z.Close()
}

// wait waits d and says whether the client is still there.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
