// Package browsertest opens pages from disk in headless Chromium, with the
// network off, and tells everything that a browser finds wrong with them. Only
// tests import it.
//
// The tests skip where STOVASYNC_TEST_BROWSER does not name a Chromium;
// `.ci/browser/run.sh` finds or installs one and sets it.
package browsertest

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// The variables of the environment that these tests know.
const (
	// Program is the path of a Chromium; without it the tests skip.
	Program = "STOVASYNC_TEST_BROWSER"
	// Folder is where screenshots are kept; without it each test's own.
	Folder = "STOVASYNC_TEST_SCREENSHOTS"
)

// patience is how long a page may take to do anything. A page takes a tenth of
// a second; a busy machine starts a browser in seconds.
const patience = 60 * time.Second

// Browser is a running Chromium that ends with the test.
type Browser struct {
	ctx    context.Context
	folder string
}

// Start starts a browser with an empty profile and no way to any network, or
// skips the test where there is none.
func Start(t *testing.T) *Browser {
	t.Helper()
	program := os.Getenv(Program) //nolint:forbidigo // it switches tests on; the product's settings are config's
	if program == "" {
		t.Skipf("set %s to the path of a Chromium, or use make test-browser", Program)
	}
	folder := os.Getenv(Folder) //nolint:forbidigo // where tests leave what they saw
	if folder == "" {
		folder = t.ArtifactDir()
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.DisableGPU)
	// Nothing it asks for leaves the machine: every address, loopback's too, goes
	// to a proxy at a port that nobody may listen on, and no name is found.
	for name, value := range map[string]any{
		"proxy-server": "127.0.0.1:1", "proxy-bypass-list": "<-loopback>", "host-resolver-rules": "MAP * ~NOTFOUND",
		"disable-quic": true, "disable-component-update": true,
	} {
		options = append(options, chromedp.Flag(name, value))
	}
	if os.Geteuid() == 0 { // Chromium's sandbox refuses root
		options = append(options, chromedp.NoSandbox)
	}
	allocator, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, end := chromedp.NewContext(allocator)
	t.Cleanup(end)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	return &Browser{ctx: ctx, folder: folder}
}

// View is how a page is looked at.
type View struct {
	Width, Height int
	Dark          bool
	NoScript      bool
}

// Views are a desk and a phone, by day and by night.
func Views() []View {
	desk, phone := View{Width: 1280, Height: 900}, View{Width: 390, Height: 844}
	night := func(v View) View { v.Dark = true; return v }
	return []View{desk, night(desk), phone, night(phone)}
}

// String names a view as screenshots do.
func (v View) String() string {
	light := "light"
	if v.Dark {
		light = "dark"
	}
	return fmt.Sprintf("%d-%s", v.Width, light)
}

// phone reports whether a view is that of a phone.
func (v View) phone() bool { return v.Width < 600 }

// Page is an open page, and what went wrong with it so far.
type Page struct {
	b    *Browser
	ctx  context.Context
	view View

	mu       sync.Mutex
	problems []string
	asked    []string // the addresses it asked for
}

// Open opens a file in a tab of its own, which closes with the test.
func (b *Browser) Open(t *testing.T, file string, v View) *Page {
	t.Helper()
	abs, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	p := &Page{b: b, view: v}
	ctx, end := chromedp.NewContext(b.ctx, chromedp.WithListener(p.hear))
	t.Cleanup(end)
	p.ctx = ctx
	// The tab lives as long as the context of its first use, so that is no
	// context with a timeout of its own.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	scheme := "light"
	if v.Dark {
		scheme = "dark"
	}
	address := (&url.URL{Scheme: "file", Path: filepath.ToSlash(abs)}).String()
	p.do(t, "open "+filepath.Base(file),
		command(audits.Enable, cdp.Empty{}),
		command(network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
			MatchedNetworkConditions: []*network.Conditions{{Offline: true}},
		}),
		command(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width: int64(v.Width), Height: int64(v.Height), DeviceScaleFactor: 1, Mobile: v.phone(),
		}),
		command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
		}}),
		command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: v.NoScript}),
		chromedp.Navigate(address),
	)
	return p
}

// command is a command of the DevTools protocol whose answer nobody needs.
func command[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

func (p *Page) do(t *testing.T, what string, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	run(t, p, what, chromedp.Steps(steps...))
}

// run lets the browser do something to a page and returns what it gives.
func run[T any](t *testing.T, p *Page, what string, a chromedp.Action[T]) T {
	t.Helper()
	ctx, end := context.WithTimeout(p.ctx, patience)
	defer end()
	out, err := chromedp.Run(ctx, a)
	if err != nil {
		t.Fatalf("%s at %s: %v", what, p.view, err)
	}
	return out
}

// hear keeps what the browser complains of.
func (p *Page) hear(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		var said []string
		for _, a := range e.Args {
			said = append(said, string(a.Value))
		}
		p.problems = append(p.problems, fmt.Sprintf("console %s: %s", e.Type, strings.Join(said, " ")))
	case *runtime.EventExceptionThrown:
		said := "exception: " + e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			said += " " + e.ExceptionDetails.Exception.Description
		}
		p.problems = append(p.problems, said)
	case *log.EventEntryAdded:
		p.problems = append(p.problems, fmt.Sprintf("log %s of %s: %s", e.Entry.Level, e.Entry.Source, e.Entry.Text))
	case *audits.EventIssueAdded:
		p.problems = append(p.problems, issue(e.Issue))
	case *network.EventRequestWillBeSent:
		p.asked = append(p.asked, e.Request.URL)
	}
}

func issue(i *audits.InspectorIssue) string {
	details, err := json.Marshal(i.Details)
	if err != nil {
		details = nil
	}
	return fmt.Sprintf("issue %s: %s", i.Code, details)
}

//go:embed problems.js
var problems string

// Problems are all complaints so far: of the console, of the content policy,
// of requests for anything but the file itself, and of what a look at the page
// tells: content wider than the screen, text of too little contrast, ids that
// occur twice, links that lead nowhere, tables and pictures without a name.
func (p *Page) Problems(t *testing.T) []string {
	t.Helper()
	seen := Eval[[]string](t, p, fmt.Sprintf("(%s)(%d)", problems, p.view.Width))
	p.mu.Lock()
	defer p.mu.Unlock()
	out := append(append([]string{}, p.problems...), seen...)
	own := 0
	for _, address := range p.asked {
		switch {
		case strings.HasPrefix(address, "data:"):
		case strings.HasPrefix(address, "file:") && own == 0:
			own++
		default:
			out = append(out, "asked for "+address)
		}
	}
	if own == 0 {
		out = append(out, "the browser did not tell of a request for the file itself")
	}
	return out
}

// Eval evaluates an expression of JavaScript and returns its value.
func Eval[T any](t *testing.T, p *Page, expression string) T {
	t.Helper()
	return run(t, p, "evaluate", chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// Click clicks the first element that a selector finds, once it shows.
func (p *Page) Click(t *testing.T, selector string) {
	t.Helper()
	p.do(t, "click "+selector, chromedp.Click(selector, chromedp.NodeVisible))
}

// Await waits until an expression of JavaScript is true.
func (p *Page) Await(t *testing.T, expression string) {
	t.Helper()
	run(t, p, "await "+expression, chromedp.Poll[bool](expression))
}

// tallest is how much of a page fits a picture, in pixels; browsers make none
// that is much higher.
const tallest = 12_000

// Screenshot keeps a picture of the page, named NAME-WIDTH-LIGHT.png.
func (p *Page) Screenshot(t *testing.T, name string) {
	t.Helper()
	height := Eval[float64](t, p, "document.documentElement.scrollHeight")
	p.keep(t, name+"-"+p.view.String()+".png", run(t, p, "screenshot", func(ctx context.Context, tab *chromedp.Target) ([]byte, error) {
		shot, err := cdp.Call(ctx, tab, page.CaptureScreenshot, page.CaptureScreenshotParams{
			Format: page.CaptureScreenshotFormatPng, CaptureBeyondViewport: new(true),
			Clip: &page.Viewport{Width: float64(p.view.Width), Height: min(height, tallest), Scale: 1},
		})
		return shot.Data, err
	}))
}

// PDF keeps the page as it prints.
func (p *Page) PDF(t *testing.T, name string) {
	t.Helper()
	p.keep(t, name+".pdf", run(t, p, "print", chromedp.PrintToPDF(chromedp.PDFPreferCSSPageSize())))
}

func (p *Page) keep(t *testing.T, name string, content []byte) {
	t.Helper()
	path := filepath.Join(p.b.folder, name)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("kept %s", path)
}
