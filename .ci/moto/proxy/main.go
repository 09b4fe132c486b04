// Command proxy runs a command against a moto server that it starts and ends.
//
// moto keeps its promises for one request at a time only: under concurrent
// ones it delivers messages twice and loses updates. So the command gets the
// address of a reverse proxy that passes one request at a time. After the
// command has succeeded, every service of -expect must have been asked, or the
// proxy fails: tests that were all skipped are no success.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	server := flag.String("server", "moto_server", "the command that serves, with its arguments")
	expect := flag.String("expect", "", "services that the command must have asked, with commas")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, strings.Fields(*server), strings.FieldsFunc(*expect, func(r rune) bool { return r == ',' }), flag.Args())
	stop()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() > 0 {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "moto proxy:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, server, expect, command []string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	target, wait, err := startServer(ctx, server)
	if err != nil {
		return err
	}
	defer wait()
	defer cancel() // ends the server before it is waited for
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	gate := newGate(target)
	proxy := &http.Server{Handler: gate, ReadHeaderTimeout: 10 * time.Second}
	go proxy.Serve(listener) //nolint:errcheck // it ends with Close
	defer proxy.Close()      //nolint:errcheck // the process ends
	address := "http://" + listener.Addr().String()
	if len(command) == 0 {
		fmt.Printf("STOVASYNC_TEST_AWS_ENDPOINT=%s\n", address)
		<-ctx.Done()
		return nil
	}
	if err := runCommand(ctx, command, address); err != nil {
		return err
	}
	return gate.report(expect)
}

func runCommand(ctx context.Context, command []string, address string) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "STOVASYNC_TEST_AWS_ENDPOINT="+address)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	return cmd.Run()
}

var running = regexp.MustCompile(`Running on (http://127\.0\.0\.1:[0-9]+)`)

// startServer starts moto on a free port and returns its address and a
// function that waits for its end, which comes with ctx.
func startServer(ctx context.Context, command []string) (*url.URL, func(), error) {
	cmd := exec.CommandContext(ctx, command[0], append(slices.Clone(command[1:]), "--host", "127.0.0.1", "--port", "0")...)
	cmd.Env = append(os.Environ(), "MOTO_ALLOW_NONEXISTENT_REGION=false", "PYTHONUNBUFFERED=1")
	// Of its own group, so that Ctrl-C reaches the command first.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StderrPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	var tail []string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if m := running.FindStringSubmatch(lines.Text()); m != nil {
			target, err := url.Parse(m[1])
			drained := make(chan struct{})
			go func() {
				io.Copy(io.Discard, out) //nolint:errcheck // its log is not wanted
				close(drained)
			}()
			return target, func() { <-drained; cmd.Wait() }, err //nolint:errcheck // it was killed
		}
		tail = append(tail, lines.Text())
	}
	return nil, nil, fmt.Errorf("the server did not start: %w\n%s", cmd.Wait(), strings.Join(tail[max(0, len(tail)-20):], "\n"))
}

// gate passes one request at a time and counts them per service.
type gate struct {
	mu    sync.Mutex
	next  http.Handler
	asked map[string]int
}

func newGate(target *url.URL) *gate {
	return &gate{asked: map[string]int{}, next: &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // moto puts it into the addresses of queues
		},
		// Everybody waits for an answer that never comes; this way the log tells of it.
		Transport: &http.Transport{ResponseHeaderTimeout: 2 * time.Minute},
	}}
}

// scope finds the service in a signature's scope: key/date/region/service/aws4_request.
var scope = regexp.MustCompile(`Credential=[^/]*/[^/]*/[^/]*/([a-z0-9-]+)/aws4_request`)

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if m := scope.FindStringSubmatch(r.Header.Get("Authorization")); m != nil {
		g.asked[m[1]]++
	}
	g.next.ServeHTTP(w, r)
}

func (g *gate) report(expect []string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	var parts, silent []string
	for _, service := range slices.Sorted(maps.Keys(g.asked)) {
		parts = append(parts, fmt.Sprintf("%s %d", service, g.asked[service]))
	}
	fmt.Fprintln(os.Stderr, "requests:", strings.Join(parts, ", "))
	for _, service := range expect {
		if g.asked[service] == 0 {
			silent = append(silent, service)
		}
	}
	if len(silent) > 0 {
		return fmt.Errorf("no test asked %s", strings.Join(silent, ", "))
	}
	return nil
}
