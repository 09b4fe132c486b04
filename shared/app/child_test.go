package app_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"stovasync/shared/app"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
	"stovasync/shared/stova/stovatest"
)

// childEnv holds the order of a process that the tests start: this very binary
// does it instead of running tests. So what is killed and measured is a real
// process, and nothing has to be built for it.
const childEnv = "STOVASYNC_TEST_CHILD"

func TestMain(m *testing.M) {
	if doc := os.Getenv(childEnv); doc != "" {
		if err := obey([]byte(doc)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// order says what a child does: one of its parts is set.
type order struct {
	Twin *twinOrder
	Sync *syncOrder
	Bare *bareOrder
}

func obey(doc []byte) error {
	var o order
	if err := json.Unmarshal(doc, &o); err != nil {
		return err
	}
	// A parent that is gone closes our input; nothing may outlive it.
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	switch {
	case o.Twin != nil:
		return o.Twin.serve()
	case o.Sync != nil:
		return answer(o.Sync.do)
	default:
		return answer(o.Bare.do)
	}
}

// answer prints what f returns as one JSON document.
func answer[T any](f func(context.Context) (T, error)) error {
	v, err := f(context.Background())
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(v)
}

// child starts this binary with an order. It ends with the test at the latest.
func child(tb testing.TB, o order) (*exec.Cmd, io.Reader) {
	tb.Helper()
	doc, err := json.Marshal(o)
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.CommandContext(tb.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(doc))
	cmd.Stderr = tb.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	return cmd, out
}

// finishChild runs a child to its end and reads its answer.
func finishChild[T any](tb testing.TB, o order) (T, *exec.Cmd) {
	tb.Helper()
	cmd, out := child(tb, o)
	var v T
	decodeErr := json.NewDecoder(out).Decode(&v)
	if err := cmd.Wait(); err != nil {
		tb.Fatalf("child: %v", err)
	}
	if decodeErr != nil {
		tb.Fatalf("answer of a child: %v", decodeErr)
	}
	return v, cmd
}

// twinOrder serves a twin in its own process.
type twinOrder struct {
	Attendees int
	Delay     time.Duration
}

func (o twinOrder) options() stovatest.Options { return stovatest.Options{Attendees: o.Attendees} }

// sent is one request as the twin saw it, without its token.
type sent struct{ Method, URI string }

// watched is a twin that keeps what it is asked for.
type watched struct {
	twin *stovatest.Server
	mu   sync.Mutex
	log  []sent
}

func (o twinOrder) serve() error {
	w := &watched{twin: stovatest.NewServer(stovatest.Generate(o.options()), stovatest.ServerOptions{Delay: o.Delay})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /watch/sent", func(rw http.ResponseWriter, _ *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		_ = json.NewEncoder(rw).Encode(w.log)
	})
	mux.HandleFunc("GET /watch/figures", func(rw http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(rw).Encode(twinFigures{Calls: w.twin.Calls(), Downloads: w.twin.Downloads(), MaxInFlight: w.twin.MaxInFlight()})
	})
	mux.HandleFunc("POST /watch/reset", func(http.ResponseWriter, *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.log = nil
		w.twin.Reset()
	})
	mux.Handle("/", w)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("http://" + l.Addr().String())
	return http.Serve(l, mux)
}

func (w *watched) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	u := *r.URL
	q := u.Query()
	q.Del("accesstoken")
	u.RawQuery = q.Encode()
	w.mu.Lock()
	w.log = append(w.log, sent{r.Method, u.RequestURI()})
	w.mu.Unlock()
	w.twin.ServeHTTP(rw, r)
}

// twinFigures is what a twin counted since its last reset.
type twinFigures struct {
	Calls, Downloads map[string]int
	MaxInFlight      int
}

// total is the number of API calls, lists those of lists.
func (f twinFigures) total() (total, lists int) {
	for name, n := range f.Calls {
		total += n
		if strings.HasPrefix(name, "list") {
			lists += n
		}
	}
	return total, lists
}

// farTwin is a twin in another process.
type farTwin struct {
	url   string
	event *stovatest.Event // what it serves: the same options give the same event
}

func startFarTwin(tb testing.TB, o twinOrder) farTwin {
	tb.Helper()
	_, out := child(tb, order{Twin: &o})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		tb.Fatalf("address of the twin: %v", err)
	}
	return farTwin{strings.TrimSpace(line), stovatest.Generate(o.options())}
}

func (f farTwin) ask(tb testing.TB, method, path string, into any) {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), method, f.url+"/watch/"+path, nil)
	if err != nil {
		tb.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	defer res.Body.Close()
	if into != nil {
		if err := json.NewDecoder(res.Body).Decode(into); err != nil {
			tb.Fatal(err)
		}
	}
}

// syncOrder runs a connection in its own process, on a store folder.
type syncOrder struct {
	Dir         string
	Connection  string
	Nonce       string // tells runs apart
	Full        bool
	Concurrency int
	Profile     string // folder for the profiles of the run; "" for none
}

// synced is what a run was like.
type synced struct {
	View    pipeline.RunView
	Seconds float64 // with opening the store
	Writes  int     // records written
	PeakMB  float64 // of the process's memory
}

func (o syncOrder) do(ctx context.Context) (synced, error) {
	stop, err := o.profile()
	if err != nil {
		return synced{}, err
	}
	start := time.Now()
	l, err := app.OpenLocal(ctx, o.Dir, app.LocalOptions{
		Concurrency: o.Concurrency, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return synced{}, err
	}
	defer func() { _ = l.Close() }()
	s := pipeline.Start{Connection: o.Connection, Time: start, Nonce: o.Nonce}
	if o.Full {
		s.Mode = run.Full
	}
	var id string
	if err := l.Sync(ctx, s, func(s pipeline.Started) { id = s.Run.ID }); err != nil {
		return synced{}, err
	}
	out := synced{Seconds: time.Since(start).Seconds()}
	if err := stop(); err != nil {
		return synced{}, err
	}
	if out.PeakMB, err = peakMemory(); err != nil {
		return synced{}, err
	}
	if out.View, err = l.Steps.View(ctx, id); err != nil {
		return synced{}, err
	}
	for _, t := range run.AllTypes() {
		for _, err := range l.Steps.Records.Scan(ctx, o.Connection, t, pipeline.Scan{Since: start, Removed: true}) {
			if err != nil {
				return synced{}, err
			}
			out.Writes++
		}
	}
	return out, nil
}

// profile starts the profiles an order asks for; what it returns writes them.
func (o syncOrder) profile() (stop func() error, err error) {
	if o.Profile == "" {
		return func() error { return nil }, nil
	}
	cpu, err := os.Create(o.Profile + "/cpu.pprof")
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, err
	}
	return func() error {
		pprof.StopCPUProfile()
		heap, err := os.Create(o.Profile + "/heap.pprof")
		if err != nil {
			return err
		}
		if err := pprof.Lookup("allocs").WriteTo(heap, 0); err != nil {
			return err
		}
		return heap.Close()
	}, nil
}

// peakMemory is the largest resident size of this process. Linux keeps it by
// address space in the status file; the peak that wait reports there counts
// the parent's memory before exec too.
func peakMemory() (megabytes float64, err error) {
	status, err := os.ReadFile("/proc/self/status")
	if err == nil {
		for line := range strings.Lines(string(status)) {
			if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				kb, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
				return float64(kb) / 1024, err
			}
		}
	}
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		return 0, err
	}
	return float64(use.Maxrss) / (1 << 20), nil // bytes where there is no such file
}

// bareOrder fetches what a run fetched and throws the bodies away: the least
// that any program in Go needs for these requests.
type bareOrder struct {
	URL, AccountID, Key string
	Concurrency         int
	File                string // holds the requests: []sent
}

// bareResult is what a bare loop was like.
type bareResult struct {
	Seconds  float64
	Requests int
	Bytes    int64
}

func (o bareOrder) do(ctx context.Context) (bareResult, error) {
	doc, err := os.ReadFile(o.File)
	if err != nil {
		return bareResult{}, err
	}
	var all []sent
	if err := json.Unmarshal(doc, &all); err != nil {
		return bareResult{}, err
	}
	client := &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: o.Concurrency},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	start := time.Now()
	token, err := o.authorize(ctx, client)
	if err != nil {
		return bareResult{}, err
	}
	var next, total atomic.Int64
	failed := make(chan error, o.Concurrency)
	var wg sync.WaitGroup
	for range o.Concurrency {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(all) {
					return
				}
				n, err := o.fetch(ctx, client, all[i], token)
				if err != nil {
					failed <- err
					return
				}
				total.Add(n)
			}
		})
	}
	wg.Wait()
	select {
	case err := <-failed:
		return bareResult{}, err
	default:
		return bareResult{time.Since(start).Seconds(), len(all) + 1, total.Load()}, nil
	}
}

func (o bareOrder) authorize(ctx context.Context, client *http.Client) (string, error) {
	form := url.Values{"accountid": {o.AccountID}, "key": {o.Key}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.URL+"/api/v2/global/authorize.json", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	var body struct{ AccessToken string }
	err = json.NewDecoder(res.Body).Decode(&body)
	return body.AccessToken, err
}

func (o bareOrder) fetch(ctx context.Context, client *http.Client, s sent, token string) (int64, error) {
	address := o.URL + s.URI
	if strings.HasPrefix(s.URI, "/api/") {
		address += "&accesstoken=" + url.QueryEscape(token)
	}
	req, err := http.NewRequestWithContext(ctx, s.Method, address, nil)
	if err != nil {
		return 0, err
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	return io.Copy(io.Discard, res.Body)
}
