package stovatest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Running is a Server that listens.
type Running struct {
	*Server
	url  string
	srv  *http.Server
	stop func() bool
	once sync.Once
	done chan struct{}
}

// Listen serves s over HTTP at addr, such as 127.0.0.1:0 for a free port of
// the loopback, until ctx ends or Close is called.
func (s *Server) Listen(ctx context.Context, addr string) (*Running, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for the twin: %w", err)
	}
	r := &Running{
		Server: s, url: "http://" + l.Addr().String(), done: make(chan struct{}),
		srv: &http.Server{Handler: s, ReadHeaderTimeout: 30 * time.Second},
	}
	go func() {
		defer close(r.done)
		// Whatever ends it, clients see a refused connection and Done tells.
		_ = r.srv.Serve(l)
	}()
	r.stop = context.AfterFunc(ctx, func() { _ = r.srv.Close() })
	return r, nil
}

// URL is the address without path, such as http://127.0.0.1:40123.
func (r *Running) URL() string { return r.url }

// EndPoint is the setting endPoint of a connection to this twin.
func (r *Running) EndPoint() string { return r.url + "/api/v2" }

// PersonPhotos is the setting personPhotoEndpoint.
func (r *Running) PersonPhotos() string { return r.url + "/ereg/uploadfiles/" }

// PresenterPhotos is the setting presenterPhotoEndpoint: a template.
func (r *Running) PresenterPhotos() string { return r.url + "/image.php?acc={accountid}&id={id}" }

// Done is closed when the twin no longer listens.
func (r *Running) Done() <-chan struct{} { return r.done }

// Close ends all connections at once. It may be called again.
func (r *Running) Close() error {
	var err error
	r.once.Do(func() {
		r.stop()
		err = r.srv.Close()
		<-r.done
	})
	return err
}

// TB is the part of testing.TB that Start needs; naming it here keeps package
// testing out of programs that serve the twin.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// Start serves s on a free port of the loopback until the test ends.
func (s *Server) Start(t TB) *Running {
	t.Helper()
	r, err := s.Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		t.Fatalf("start the twin: %v", err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}
