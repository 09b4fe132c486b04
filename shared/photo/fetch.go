package photo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"stovasync/shared/fault"
)

// maxRedirects is how many redirects are followed (stova-api.md §9: three seen).
const maxRedirects = 3

// try asks once, follows redirects, and reads the answer. Every hop is held to
// the rules of the first address (P12).
func (f *Fetcher) try(ctx context.Context, u *url.URL, r Request) (Picture, error) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	defer cancel()
	for range maxRedirects + 1 {
		res, err := f.ask(ctx, u, r)
		if why, ok := errors.AsType[*refusal](err); ok {
			return why.picture(), nil
		}
		if err != nil {
			return Picture{}, transportFailure(err)
		}
		if !redirects(res.StatusCode) {
			defer func() { _ = res.Body.Close() }() // it has been read, or is not wanted
			return f.answer(res, r)
		}
		drain(res)
		if u, err = u.Parse(res.Header.Get("Location")); err != nil || res.Header.Get("Location") == "" {
			return refuse("redirected to no address that can be read").picture(), nil
		}
		if why := f.checkURL(u); why != nil {
			return refuse("redirected: %s", why.text).picture(), nil
		}
	}
	return refuse("more than %d redirects", maxRedirects).picture(), nil
}

// ask sends one request through the transport itself: no client that follows
// redirects, keeps cookies, sends passwords or tells one host what another was
// asked.
func (f *Fetcher) ask(ctx context.Context, u *url.URL, r Request) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, refuse("the address cannot be asked")
	}
	req.Header.Set("Accept", "image/jpeg, image/png, image/gif, image/webp, */*;q=0.1")
	req.Header.Set("User-Agent", "stovasync")
	setValidator(req, "If-None-Match", r.ETag)
	setValidator(req, "If-Modified-Since", r.LastModified)
	return f.cfg.Transport.RoundTrip(req)
}

func redirects(code int) bool {
	switch code {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	default:
		return false
	}
}

// drain reads what little there may be, so that the connection can be used
// again, and ends the answer.
func drain(res *http.Response) {
	_, _ = io.CopyN(io.Discard, res.Body, 16<<10)
	_ = res.Body.Close()
}

// setValidator sends what an earlier answer gave, unless it cannot be a header.
func setValidator(req *http.Request, name, value string) {
	if validator(value) != "" {
		req.Header.Set(name, value)
	}
}

func validator(v string) string {
	if len(v) > 512 || strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' }) {
		return ""
	}
	return v
}

// transportFailure tells time-outs from other failures. The error itself is not
// passed on, since its text may hold the address.
func transportFailure(err error) error {
	if isTimeout(err) {
		return &retryable{code: fault.StovaTimeout, text: "no answer in time", err: context.DeadlineExceeded}
	}
	return &retryable{code: fault.StovaServer, text: "no connection"}
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return errors.Is(err, context.DeadlineExceeded) || ok && ne.Timeout()
}

// answer makes the outcome of an answer by its status (P11).
func (f *Fetcher) answer(res *http.Response, r Request) (Picture, error) {
	code := res.StatusCode
	text := fmt.Sprintf("answered %d", code)
	if code != http.StatusOK {
		drain(res)
	}
	switch {
	case code == http.StatusOK:
		return f.read(res, r)
	case code == http.StatusNotModified && (r.ETag != "" || r.LastModified != ""):
		return Picture{
			State: Unchanged, Hash: r.Hash,
			ETag: header(res, "Etag", r.ETag), LastModified: header(res, "Last-Modified", r.LastModified),
		}, nil
	case code == http.StatusUnauthorized, code == http.StatusForbidden, code == http.StatusNotFound, code == http.StatusGone:
		return Picture{State: Missing, Reason: Reason{Text: "the host " + text}}, nil
	case code == http.StatusTooManyRequests:
		return Picture{}, &retryable{code: fault.StovaRate, text: text, wait: retryAfter(res.Header, time.Now())}
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly:
		return Picture{}, &retryable{code: fault.StovaTimeout, text: text}
	case code >= 500:
		return Picture{}, &retryable{code: fault.StovaServer, text: text, wait: retryAfter(res.Header, time.Now())}
	default:
		return rejected(fault.PhotoType, "the host "+text+" instead of a picture"), nil
	}
}

// header returns a validator of the answer, or what was known.
func header(res *http.Response, name, known string) string {
	if v := validator(res.Header.Get(name)); v != "" {
		return v
	}
	return known
}

func rejected(code fault.Code, text string) Picture {
	return Picture{State: Rejected, Reason: Reason{Code: code, Text: text}}
}
