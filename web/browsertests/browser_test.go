// Package browsertests runs the timeline in a real Chromium. It is a module of its own, so that the product does not
// depend on a browser driver. Set STEPSCOPE_CHROMIUM to the browser where it is not on PATH; screenshots are written to
// the folder of STEPSCOPE_SCREENSHOTS, if that is set.
package browsertests

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/stepscope/stepscope/internal/captest"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/web"
)

// chromium finds the browser; without one the tests are skipped, except where CI says that there must be one.
func chromium(t testing.TB) string {
	t.Helper()
	if p := os.Getenv("STEPSCOPE_CHROMIUM"); p != "" {
		return p
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			return p
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("no Chromium is installed")
	}
	t.Skip("no Chromium is installed")
	return ""
}

// page is one tab with what it complained about.
type page struct {
	testing.TB
	ctx context.Context

	mu       sync.Mutex
	console  []string
	requests []string
}

type windowSize struct{ w, h int }

var desktop = windowSize{1440, 900}

type action = chromedp.Action[chromedp.Void]

// open starts a browser and loads the timeline at url, after setup.
func open(t testing.TB, url string, size windowSize, setup ...action) *page {
	t.Helper()
	p := openTab(t, size, setup...)
	p.do(chromedp.Navigate(url))
	p.settled()
	return p
}

// openTab starts a browser with an empty tab.
func openTab(t testing.TB, size windowSize, setup ...action) *page {
	t.Helper()
	opts := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(chromium(t)), chromedp.UserDataDir(t.TempDir()), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.NoFirstRun, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("enable-precise-memory-info", true),
		chromedp.WindowSize(size.w, size.h),
	}
	alloc, stopAlloc := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, stopTab := chromedp.NewContext(alloc)
	p := &page{TB: t, ctx: ctx}
	t.Cleanup(func() {
		// Closing the browser in order lets it leave its folder before the test removes it.
		end, stop := context.WithTimeout(ctx, 20*time.Second)
		_ = chromedp.Cancel(end)
		stop()
		stopTab()
		stopAlloc()
	})
	err := chromedp.Listen(ctx, func(ev any) {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch e := ev.(type) {
		case *runtime.EventConsoleAPICalled:
			if e.Type == "error" || e.Type == "warning" || e.Type == "assert" {
				p.console = append(p.console, fmt.Sprintf("console %s: %v", e.Type, e.Args))
			}
		case *runtime.EventExceptionThrown:
			text := e.ExceptionDetails.Text
			if x := e.ExceptionDetails.Exception; x != nil {
				text += " " + x.Description
			}
			p.console = append(p.console, "exception: "+text)
		case *log.EventEntryAdded:
			p.console = append(p.console, "log: "+e.Entry.Text+" "+e.Entry.URL)
		case *network.EventRequestWillBeSent:
			p.requests = append(p.requests, e.Request.URL)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	call(p, log.Enable, cdp.Empty{})
	call(p, network.Enable, network.EnableParams{})
	p.do(setup...)
	p.do(chromedp.EmulateViewport(int64(size.w), int64(size.h)))
	return p
}

// call runs a protocol command.
func call[P, R any](p *page, cmd cdp.Command[P, R], params P) R {
	p.Helper()
	r, err := chromedp.Call(p.ctx, cmd, params)
	if err != nil {
		p.Fatal(err)
	}
	return r
}

// do runs actions, each for a minute at most.
func (p *page) do(actions ...action) {
	p.Helper()
	ctx, stop := context.WithTimeout(p.ctx, time.Minute)
	defer stop()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.Fatal(err)
	}
}

// eval evaluates an expression of the page, waiting for a promise.
func eval[T any](p *page, js string) T {
	p.Helper()
	ctx, stop := context.WithTimeout(p.ctx, time.Minute)
	defer stop()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](js, chromedp.EvalAwaitPromise))
	if err != nil {
		p.Fatalf("%s: %v", js, err)
	}
	return v
}

// until waits for a condition of the page.
func (p *page) until(what, js string) {
	p.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		ok, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool]("Boolean("+js+")"))
		if err == nil && ok {
			return
		}
		if time.Now().After(deadline) {
			p.shot("failed")
			p.Fatalf("%s did not come: %s (%v)\n%s", what, js, err, strings.Join(p.complaints(), "\n"))
		}
		time.Sleep(30 * time.Millisecond)
	}
}

// settled waits until every tile of the view is drawn and the totals of the view are told.
func (p *page) settled() {
	p.Helper()
	p.until("the picture", `document.body.dataset.picture === "complete" && document.body.dataset.totals === "complete"`)
}

func (p *page) complaints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.console...)
}

// clean fails the test if the page complained: script errors, violations of the policy, failed requests.
func (p *page) clean() {
	p.Helper()
	for _, c := range p.complaints() {
		p.Error(c)
	}
}

// shot keeps a screenshot.
func (p *page) shot(name string) []byte {
	p.Helper()
	png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.Fatal(err)
	}
	if dir := os.Getenv("STEPSCOPE_SCREENSHOTS"); dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			p.Fatal(err)
		}
		file := strings.NewReplacer("/", "-", "\\", "-").Replace(p.Name()) + "-" + name + ".png"
		if err := os.WriteFile(filepath.Join(dir, file), png, 0o644); err != nil {
			p.Fatal(err)
		}
	}
	return png
}

// text returns the visible text of an element.
func (p *page) text(selector string) string {
	p.Helper()
	s, err := chromedp.Run(p.ctx, chromedp.Text(chromedp.CSS(selector)))
	if err != nil {
		p.Fatalf("text of %s: %v", selector, err)
	}
	return s
}

// keys presses keys one by one on whatever has the focus.
func (p *page) keys(keys ...string) {
	p.Helper()
	for _, k := range keys {
		p.do(chromedp.KeyEvent(k))
	}
}

// capture is the model of a capture, as the program makes it.
func capture(t testing.TB, name string) *web.Model {
	t.Helper()
	return modelOf(captest.Diagnose(t, name, captest.Options{}))
}

func model(t testing.TB, p *profile.Profile, run *serving.Run) *web.Model {
	t.Helper()
	return modelOf(captest.DiagnoseProfile(t, p, run, captest.Options{}))
}

func modelOf(r *captest.Result) *web.Model { return web.NewModel(r.Analysis, r.Diagnosis, r.Run) }

// serve publishes a model for the length of the test.
func serve(t testing.TB, m *web.Model) string {
	t.Helper()
	ctx, _ := contextWithStop(t)
	return serveUntil(t, ctx, m, web.Options{})
}

// contextWithStop is a context that ends with the test, or before it.
func contextWithStop(t testing.TB) (context.Context, context.CancelFunc) {
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	return ctx, stop
}

func serveUntil(t testing.TB, ctx context.Context, m *web.Model, opt web.Options) string {
	t.Helper()
	ctx, stop := context.WithCancel(ctx)
	url, wait, err := web.Serve(ctx, m, opt)
	if err != nil {
		stop()
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- wait() }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return url
}

// commandAction is a protocol command as an action.
func commandAction[P, R any](cmd cdp.Command[P, R], params P) action {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, cmd, params)
		return err
	})
}

// expand replaces pairs of old and new texts.
func expand(s string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(s) }
