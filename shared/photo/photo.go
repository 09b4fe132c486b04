// Package photo downloads one picture safely: from allowed hosts only, also
// after redirects, never from private addresses, streamed with a limit, its
// type told by its bytes (design.md §9, spotme-model.md §7, P11, P12). Where
// the picture is kept, and what its owner's record says, is left to others.
//
// Errors and reasons hold hosts, status codes and numbers, never a path: the
// names of uploaded files may be names of people.
package photo

import (
	"cmp"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"stovasync/shared/fault"
)

// State says how a download ended.
type State string

// The states of a picture (spotme-model.md §5.5, P11).
const (
	Stored    State = "stored"    // a picture that is new or has changed; Body holds it
	Unchanged State = "unchanged" // the picture that is known already
	Missing   State = "missing"   // the vendor does not have it, or does not give it
	Rejected  State = "rejected"  // something that is no picture we may keep
)

// Config says how pictures are downloaded. Zero values take the defaults named.
type Config struct {
	// AllowedHosts are the hosts to download from, each with its subdomains.
	// Ports do not matter (P12).
	AllowedHosts []string
	// AllowPrivate lets addresses be loopback or private ones, and http.
	AllowPrivate bool
	MaxBytes     int64         // 10 MB (10 << 20)
	Concurrency  int           // downloads at once; 8
	Timeout      time.Duration // of one try, body included; 1 minute
	RetryBase    time.Duration // retryBaseSeconds (P14); 2 s
	TempDir      string        // of pictures over 256 KB; the system's
	// Transport replaces the connection to the network, and with it the check
	// of dialled addresses. For tests.
	Transport http.RoundTripper
	Rand      func() float64 // in [0,1), for jitter; math/rand's
}

// Request is the address of a picture, and what is known of it from last time.
type Request struct {
	URL                string
	ETag, LastModified string
	Hash               string
}

// Reason says why a picture is missing or rejected. Code is PHOTO_HOST,
// PHOTO_TYPE or PHOTO_TOO_LARGE for a rejected one and "" for a missing one.
type Reason struct {
	Code fault.Code
	Text string
}

// Picture is the outcome of a download. Hash, ContentType, Ext, Bytes, Width
// and Height are set for a stored one and, as far as they are known, for an
// unchanged one.
type Picture struct {
	State         State
	Reason        Reason
	Hash          string // SHA-256, hexadecimal
	ContentType   string
	Ext           string // with its dot: .jpg .png .gif .webp
	Bytes         int64
	Width, Height int // pixels
	// ETag and LastModified are for the next Request.
	ETag, LastModified string
	// Body is the picture from its start; nil unless stored. It may be read
	// until Close.
	Body io.ReadSeeker

	hold *hold
}

// Close gives back the memory or the file of the picture. It may be called for
// every picture, and more than once.
func (p *Picture) Close() error { return p.hold.release() }

// Fetcher downloads pictures. It may be used by many goroutines at once.
type Fetcher struct {
	cfg     Config
	allowed hosts
	slots   chan struct{}
	buffers chan []byte
}

// New returns a Fetcher. Its memory is bounded by Concurrency times about 300 KB
// whatever is downloaded and however many pictures are in hand: a picture that
// finds no buffer free goes to a file.
func New(c Config) *Fetcher {
	c.MaxBytes = cmp.Or(max(c.MaxBytes, 0), 10<<20)
	c.Concurrency = cmp.Or(max(c.Concurrency, 0), 8)
	c.Timeout = cmp.Or(max(c.Timeout, 0), time.Minute)
	c.RetryBase = cmp.Or(max(c.RetryBase, 0), 2*time.Second)
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	if c.Transport == nil {
		c.Transport = newTransport(c.Concurrency, c.AllowPrivate)
	}
	f := &Fetcher{
		cfg:     c,
		allowed: newHosts(slices.Clone(c.AllowedHosts)),
		slots:   make(chan struct{}, c.Concurrency),
		buffers: make(chan []byte, c.Concurrency),
	}
	for range c.Concurrency {
		f.buffers <- nil // made when first used
	}
	return f
}

// Close closes idle connections.
func (f *Fetcher) Close() {
	if t, ok := f.cfg.Transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// Fetch downloads the picture of r if it has changed since last time. What a
// later try cannot mend is an outcome and no error: a refused address, a body
// that is no picture, a file that is not there. What a later try may mend is
// tried again here, at least 5 times while ctx's deadline allows (P14), and is
// then an error: STOVA_SERVER (5xx, connection lost), STOVA_TIMEOUT,
// STOVA_BODY (cut off), STOVA_RATE (429; RetryAfter tells how long to wait) or
// STORE_UNAVAILABLE (the temporary file).
func (f *Fetcher) Fetch(ctx context.Context, r Request) (Picture, error) {
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	case <-ctx.Done():
		return Picture{}, ctx.Err()
	}
	u, refused := f.check(r.URL)
	if refused != nil {
		return refused.picture(), nil
	}
	return f.retry(ctx, u.Hostname(), func() (Picture, error) { return f.try(ctx, u, r) })
}
