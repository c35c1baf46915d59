package web

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stepscope/stepscope/internal/proftest"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

const testToken = "0123456789abcdefTOKEN"

// small is a model of one launch.
func small(t testing.TB) *Model {
	t.Helper()
	b := proftest.NewBuilder(1e6)
	b.Launch("kernel_a", 1000, 7000, 20000)
	b.Range("range", 500, 30000)
	return NewModel(step.Analyze(b.Build(t), step.Options{}), nil, nil)
}

func TestServeOnLoopback(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	url, wait, err := Serve(ctx, small(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(url, "http://127.0.0.1:") || len(url) < len("http://127.0.0.1:1/")+32 || !strings.HasSuffix(url, "/") {
		t.Errorf("url %s", url)
	}
	res, err := http.Get(url + "api/model")
	if err != nil {
		t.Fatal(err)
	}
	var m modelJSON
	if err := json.NewDecoder(res.Body).Decode(&m); err != nil || m.Schema != ModelSchema {
		t.Errorf("model: %v, %+v", err, m)
	}
	res.Body.Close()
	other, waitOther, err := Serve(ctx, small(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if other == url || other[strings.LastIndex(other[:len(other)-1], "/"):] == url[strings.LastIndex(url[:len(url)-1], "/"):] {
		t.Errorf("two servers share %s", url)
	}
	stop()
	for _, w := range []func() error{wait, waitOther} {
		if err := w(); err != nil {
			t.Error(err)
		}
	}
	if _, err := http.Get(url); err == nil {
		t.Error("the server still answers after its context ended")
	}
}

func TestServeRefusesAddresses(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.com:80"} {
		if _, _, err := Serve(t.Context(), small(t), Options{Listen: listen}); !errors.Is(err, ErrNotLoopback) {
			t.Errorf("%s: %v", listen, err)
		}
	}
	for _, opt := range []Options{{Listen: "nonsense"}, {Token: "short"}, {Token: "has/slash/and/is/long/enough"}, {Token: strings.Repeat("x", 300)}} {
		if _, _, err := Serve(t.Context(), small(t), opt); err == nil {
			t.Errorf("%+v is served", opt)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	url, wait, err := Serve(ctx, small(t), Options{Listen: "0.0.0.0:0", Remote: true})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(url, "127.0.0.1") || len(url) < 50 {
		t.Errorf("remote: %s", url)
	}
	stop()
	if err := wait(); err != nil {
		t.Error(err)
	}
}

func handlerOf(t testing.TB, m *Model, opt Options) http.Handler {
	t.Helper()
	opt.Token = testToken
	h, err := newHandler(m, opt, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func ask(h http.Handler, method, path string, edit func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.Host = "127.0.0.1:40001"
	if edit != nil {
		edit(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestGuard is the table of who may ask what.
func TestGuard(t *testing.T) {
	const page, model = "/" + testToken + "/", "/" + testToken + "/api/model"
	head := func(kv ...string) func(*http.Request) {
		return func(r *http.Request) {
			for i := 0; i < len(kv); i += 2 {
				r.Header.Set(kv[i], kv[i+1])
			}
		}
	}
	host := func(h string) func(*http.Request) { return func(r *http.Request) { r.Host = h } }
	body := func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("x")), 1 }
	chunked := func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("x")), -1 }
	for _, c := range []struct {
		name, method, path string
		edit               func(*http.Request)
		remote             bool
		want               int
	}{
		{"page", "GET", page, nil, false, 200},
		{"head", "HEAD", page, nil, false, 200},
		{"model", "GET", model, nil, false, 200},
		{"without slash", "GET", "/" + testToken, nil, false, 301},
		{"no token", "GET", "/", nil, false, 404},
		{"no token, file", "GET", "/app.js", nil, false, 404},
		{"no token, api", "GET", "/api/model", nil, false, 404},
		{"wrong token", "GET", "/0123456789abcdefTOKEM/", nil, false, 404},
		{"part of the token", "GET", "/0123456789abcdef/", nil, false, 404},
		{"longer than the token", "GET", "/" + testToken + "x/", nil, false, 404},
		{"unknown file", "GET", page + "nothing.js", nil, false, 404},
		{"up and away", "GET", page + "../../etc/passwd", nil, false, 404},
		{"encoded up and away", "GET", page + "%2e%2e/%2e%2e/etc/passwd", nil, false, 404},
		{"source list is not served", "GET", page + "sources.sha256", nil, false, 404},

		{"localhost", "GET", model, host("localhost:8080"), false, 200},
		{"through a tunnel", "GET", model, host("127.0.0.1:9999"), false, 200},
		{"IPv6 loopback", "GET", model, host("[::1]:40001"), false, 200},
		{"upper case", "GET", model, host("LOCALHOST"), false, 200},
		{"rebound name", "GET", model, host("evil.example:40001"), false, 421},
		{"rebound name that looks local", "GET", model, host("127.0.0.1.evil.example"), false, 421},
		{"localhost as a prefix", "GET", model, host("localhost.evil.example"), false, 421},
		{"no host", "GET", model, host(""), false, 421},
		{"foreign address", "GET", model, host("192.0.2.7:40001"), false, 421},
		{"foreign address, remote", "GET", model, host("192.0.2.7:40001"), true, 200},
		{"allowed name", "GET", model, host("gpu-host:40001"), true, 200},
		{"other name, remote", "GET", model, host("other-host:40001"), true, 421},

		{"own origin", "GET", model, head("Origin", "http://127.0.0.1:40001", "Sec-Fetch-Site", "same-origin"), false, 200},
		{"foreign origin", "GET", model, head("Origin", "http://evil.example"), false, 403},
		{"same host, other port", "GET", model, head("Origin", "http://127.0.0.1:3000"), false, 403},
		{"null origin", "GET", model, head("Origin", "null"), false, 403},
		{"broken origin", "GET", model, head("Origin", "http://[::1"), false, 403},
		{"cross-site fetch", "GET", model, head("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "script"), false, 403},
		{"same-site fetch of another port", "GET", model, head("Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors"), false, 403},
		{"cross-site navigation to the API", "GET", model, head("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"), false, 403},
		{"link on another page", "GET", page, head("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"), false, 200},
		{"framed by another page", "GET", page, head("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"), false, 403},
		{"typed into the address bar", "GET", page, head("Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"), false, 200},

		{"post", "POST", model, nil, false, 405},
		{"put", "PUT", page, nil, false, 405},
		{"delete", "DELETE", page, nil, false, 405},
		{"options", "OPTIONS", model, nil, false, 405},
		{"trace", "TRACE", model, nil, false, 405},
		{"body", "GET", model, body, false, 413},
		{"body of unknown length", "GET", model, chunked, false, 413},
		{"long address", "GET", model + "?q=" + strings.Repeat("x", maxURL), nil, false, 414},
		{"broken query", "GET", page + "api/tiles?level=%zz", nil, false, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := handlerOf(t, small(t), Options{Remote: c.remote, Hosts: []string{"gpu-host"}})
			if !c.remote {
				h = handlerOf(t, small(t), Options{})
			}
			w := ask(h, c.method, c.path, c.edit)
			if w.Code != c.want {
				t.Errorf("status %d, want %d: %s", w.Code, c.want, w.Body)
			}
			for header, part := range map[string]string{
				"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
				"Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin", "X-Frame-Options": "DENY", "Cache-Control": "no-store",
			} {
				if !strings.Contains(w.Header().Get(header), part) {
					t.Errorf("%s: %q", header, w.Header().Get(header))
				}
			}
			if csp := w.Header().Get("Content-Security-Policy"); strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") || strings.Contains(csp, "http:") {
				t.Errorf("policy %s", csp)
			}
			if w.Header().Get("Access-Control-Allow-Origin") != "" {
				t.Error("other origins may read the answer")
			}
			if c.want != 301 && strings.Contains(w.Body.String(), testToken) {
				t.Error("the answer holds the token")
			}
		})
	}
}

// TestAPIRefusesBadParameters sends what the page never would.
func TestAPIRefusesBadParameters(t *testing.T) {
	h := handlerOf(t, small(t), Options{})
	for path, want := range map[string]int{
		"event?lane=0&row=0&at=0": 200, "event": 400, "event?lane=-1&row=0&at=0": 400, "event?lane=99&row=0&at=0": 404, "event?lane=0&row=9&at=0": 404,
		"event?lane=0&row=0&at=99": 404, "event?lane=0&row=0&at=99999999999999999999": 400,
		"selection?from=0&to=1000": 200, "selection?from=0": 400, "selection?from=10&to=5": 400, "selection?from=0&to=99999999999": 400, "selection?from=-5&to=5": 400,
		"search?q=k": 200, "search": 400, "search?q=" + strings.Repeat("x", maxQuery+1): 400,
		"find?q=k&from=0&dir=next": 200, "find?q=k&from=0&dir=sideways": 400, "find?from=0&dir=next": 400, "find?q=k&dir=next": 400,
		"jump?from=0&dir=next": 200, "jump?from=x&dir=next": 400, "near?lane=0&row=0&t=5": 200, "near?lane=0&row=0": 400, "near?lane=99&row=0&t=5": 200,
		"tiles?level=0&index=0&lanes=0": 200, "tiles": 400, "nothing": 404, "": 404, "model/x": 404,
	} {
		if w := ask(h, "GET", "/"+testToken+"/api/"+path, nil); w.Code != want {
			t.Errorf("%s: status %d, want %d: %.100s", path, w.Code, want, w.Body)
		}
	}
}

func TestAnswersAreCompressedWhereTaken(t *testing.T) {
	h := handlerOf(t, small(t), Options{})
	plain := ask(h, "GET", "/"+testToken+"/app.js", nil)
	packed := ask(h, "GET", "/"+testToken+"/app.js", func(r *http.Request) { r.Header.Set("Accept-Encoding", "gzip") })
	if plain.Header().Get("Content-Encoding") != "" || packed.Header().Get("Content-Encoding") != "gzip" || packed.Body.Len() >= plain.Body.Len() {
		t.Fatalf("%d bytes plain, %d packed", plain.Body.Len(), packed.Body.Len())
	}
	z, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(z); err != nil || string(b) != plain.Body.String() {
		t.Errorf("unpacked differs: %v", err)
	}
}

// TestSlowAndLargeRequests speaks to the server without an HTTP client.
func TestSlowAndLargeRequests(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	url, wait, err := Serve(ctx, small(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		stop()
		if err := wait(); err != nil {
			t.Error(err)
		}
	}()
	addr := strings.Split(url, "/")[2]
	dial := func() net.Conn {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := dial()
	defer c.Close()
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: %s\r\n\r\n", strings.Repeat("x", 64<<10))
	if line, err := bufio.NewReader(c).ReadString('\n'); err == nil && !strings.Contains(line, "431") {
		t.Errorf("long headers: %q", line)
	}
	d := dial()
	defer d.Close()
	fmt.Fprint(d, "GET / HTTP/1.1\r\nHost:")
	start := time.Now()
	if err := d.SetReadDeadline(start.Add(headerTimeout + 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(d); err != nil {
		t.Errorf("a request that never ends is not cut off: %v", err)
	}
	if took := time.Since(start); took > headerTimeout+5*time.Second {
		t.Errorf("cut off after %v", took)
	}
}

// TestNamesInAnswersAreClean gives every name of a capture what names must not hold.
func TestNamesInAnswersAreClean(t *testing.T) {
	const bad = "<b>\u202ex\u200b\x00\x1b\xff"
	b := proftest.NewBuilder(1e6)
	b.Launch(bad, 1000, 7000, 20000)
	b.Range(bad, 500, 30000)
	b.P.Source, b.P.Producer, b.P.Format = bad, bad, bad
	p := b.Build(t)
	p.Processes[0].Name, p.Threads[0].Name, p.Devices[0].Name = bad, bad, bad
	p.Counters = []profile.Counter{{Device: 0, Name: bad, Unit: bad, Times: []int64{1}, Values: []int64{1}}}
	p.NotRecorded = []profile.Missing{{What: bad, Text: bad, Remedy: bad}}
	m := NewModel(step.Analyze(p, step.Options{}), nil, nil)
	h := handlerOf(t, m, Options{})
	paths := []string{"model", "selection?from=0&to=1000000", "search?q=b", "tiles?level=12&index=0&lanes=0-" + fmt.Sprint(len(m.lanes)-1)}
	for n, l := range m.lanes {
		if len(l.rows) > 0 {
			paths = append(paths, fmt.Sprintf("event?lane=%d&row=0&at=0", n))
		}
	}
	for _, path := range paths {
		w := ask(h, "GET", "/"+testToken+"/api/"+path, nil)
		if w.Code != 200 {
			t.Fatalf("%s: %d", path, w.Code)
		}
		text := w.Body.String()
		if strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") {
			// Decoded: escapes must not hide anything.
			var v any
			if err := json.Unmarshal([]byte(text), &v); err != nil {
				t.Fatal(err)
			}
			text = fmt.Sprint(v)
			if strings.ContainsAny(text, "\u202e\u200b\x00\x1b") {
				t.Errorf("%s: %q", path, text)
			}
		} else if strings.Contains(text, "\x1b\xff") || strings.Contains(text, "\u202e") {
			t.Errorf("%s holds the name as recorded", path)
		}
	}
}

// TestBundleIsCurrent compares the sources of the front end with those that the embedded bundle was made from. The
// module in ui/build compares the bundle itself.
func TestBundleIsCurrent(t *testing.T) {
	list, err := assets.ReadFile("ui/dist/sources.sha256")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for line := range strings.Lines(string(list)) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		want[name] = sum
	}
	err = filepath.WalkDir("ui/src", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(filepath.ToSlash(path), "ui/src/")
		if got := fmt.Sprintf("%x", sha256.Sum256(data)); got != want[name] {
			t.Errorf("ui/dist is older than ui/src/%s: run go run . in web/ui/build", name)
		}
		delete(want, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range want {
		t.Errorf("ui/dist was made with ui/src/%s, which is gone", name)
	}
}

// TestPageLoadsNothingElse reads the embedded files for addresses of other places and inline code.
func TestPageLoadsNothingElse(t *testing.T) {
	for _, name := range []string{"index.html", "app.css", "app.js"} {
		data, err := assets.ReadFile("ui/dist/" + name)
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		for _, bad := range []string{"https://", "http://", "//cdn", "@import", "url(", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "<style", " style=", " onclick", " onload", " onerror"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s holds %q", name, bad)
			}
		}
		if name == "index.html" && strings.Count(text, "<script") != 1 {
			t.Errorf("%d scripts", strings.Count(text, "<script"))
		}
	}
}
