package browsertests

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/stepscope/stepscope/demo"
	"github.com/stepscope/stepscope/web"
)

// demoModel is the capture that comes with the program: one decode step in eleven milliseconds, of which the GPU works
// one and a half.
func demoModel(t testing.TB) *web.Model {
	t.Helper()
	return capture(t, demo.Name)
}

// view is what the address says is shown, ns.
type view struct{ start, span float64 }

func (p *page) view() view {
	p.Helper()
	p.settled()
	h := eval[string](p, "location.hash")
	q, err := url.ParseQuery(strings.TrimPrefix(h, "#"))
	if err != nil {
		p.Fatal(err)
	}
	a, b, ok := strings.Cut(q.Get("v"), ",")
	start, err1 := strconv.ParseFloat(a, 64)
	span, err2 := strconv.ParseFloat(b, 64)
	if !ok || err1 != nil || err2 != nil {
		p.Fatalf("address %s holds no view", h)
	}
	return view{start, span}
}

// box is a rectangle of the page, CSS pixels.
type box struct{ X, Y, Width, Height float64 }

func (p *page) box(selector string) box {
	p.Helper()
	return eval[box](p, fmt.Sprintf(`(() => { const r = document.querySelector(%q).getBoundingClientRect(); return { X: r.x, Y: r.y, Width: r.width, Height: r.height }; })()`, selector))
}

// label is the box of a lane's title.
func (p *page) label(title string) box {
	p.Helper()
	return eval[box](p, fmt.Sprintf(`(() => { const e = [...document.querySelectorAll(".lane-label")].find((e) => !e.hidden && e.firstChild.textContent === %q); const r = e.getBoundingClientRect(); return { X: r.x, Y: r.y, Width: r.width, Height: r.height }; })()`, title))
}

// ref is an event as the API answers it.
type ref struct {
	Lane  int     `json:"lane"`
	Row   int     `json:"row"`
	At    int     `json:"at"`
	Start float64 `json:"start_ns"`
	Dur   float64 `json:"dur_ns"`
}

// find asks the API, as the page does, for an event by name.
func (p *page) find(q string, from float64) ref {
	p.Helper()
	return eval[ref](p, fmt.Sprintf(`fetch("api/find?q=" + encodeURIComponent(%q) + "&dir=next&from=%.0f").then((r) => r.json()).then((r) => r.event)`, q, from))
}

// x is where an instant is on the page.
func (p *page) x(t float64) float64 {
	p.Helper()
	v, c := p.view(), p.box("#canvas")
	return c.X + (t-v.start)/v.span*c.Width
}

// pixels decodes a screenshot.
func pixels(t testing.TB, shot []byte) image.Image {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// near reports whether two colours are equal but for rounding.
func near(c color.Color, hex string) bool {
	v, err := strconv.ParseUint(strings.TrimPrefix(hex, "#"), 16, 32)
	if err != nil {
		return false
	}
	r, g, b, _ := c.RGBA()
	for _, d := range []int{int(r>>8) - int(v>>16), int(g>>8) - int(v>>8&255), int(b>>8) - int(v&255)} {
		if d < -6 || d > 6 {
			return false
		}
	}
	return true
}

// count counts the pixels of a colour in a box.
func count(img image.Image, b box, hex string) int {
	n := 0
	for y := int(b.Y); y < int(b.Y+b.Height); y++ {
		for x := int(b.X); x < int(b.X+b.Width); x++ {
			if near(img.At(x, y), hex) {
				n++
			}
		}
	}
	return n
}

// Colours that the tests look for, from web/category.go and app.css.
const (
	decodeBlue   = "#407BFD"
	launchPink   = "#CB398E"
	servingGreen = "#00714F"
	accentLight  = "#a83b00"
)

// lane is the part of the canvas beside a lane's title.
func (p *page) lane(title string) box {
	p.Helper()
	l, c := p.label(title), p.box("#canvas")
	return box{c.X, l.Y, c.Width, l.Height}
}

// TestOpensOnTheStory is what a person sees within the first seconds: the server's life, the steps, where the time goes
// and the gap that matters.
func TestOpensOnTheStory(t *testing.T) {
	base := serve(t, demoModel(t))
	p := open(t, base, desktop)
	shot := pixels(t, p.shot("open"))
	t.Logf("first picture %.0f ms after navigation", eval[float64](p, `performance.getEntriesByName("first-picture")[0].startTime`))
	for selector, wants := range map[string][]string{
		"#verdict":  {"11.03 ms", "1.48 ms", "launches"},
		"#findings": {"76 %", "--enforce-eager", "Show it"},
		"#life":     {"process start", "model load", "warm-up", "serving", "this capture"},
		"#labels":   {"Steps", "Where the time goes", "GPU idle", "Stream 7", "CUDA runtime", "NVTX", "GPU busy"},
		"#legend":   {"waits for the next launch", "decode", "graph-launch"},
		"#totals":   {"435.1 ms in view", "35 decode", "busy 11.9 %"},
		"#about":    {"Nsight Systems 2025.3.2", "kernels"},
	} {
		text := p.text(selector)
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %q: %.300s", selector, want, text)
			}
		}
	}
	steps, budget, life := p.lane("Steps"), p.lane("Where the time goes"), p.lane("Lifecycle")
	if n := count(shot, steps, decodeBlue); float64(n) < 0.5*steps.Width*steps.Height {
		t.Errorf("the lane of steps has %d pixels of decode's colour", n)
	}
	if n := count(shot, life, servingGreen); float64(n) < 0.5*life.Width*life.Height {
		t.Errorf("the lifecycle has %d pixels of serving's colour", n)
	}
	// Three quarters of the time wait for launches; the texture takes a part of the pixels.
	if n := count(shot, budget, launchPink); float64(n) < 0.25*budget.Width*budget.Height {
		t.Errorf("where the time goes has %d pixels of the colour of waiting for launches", n)
	}
	p.clean()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.requests {
		if !strings.HasPrefix(r, base) {
			t.Errorf("the page asked for %s", r)
		}
	}
}

func TestClickShowsAKernel(t *testing.T) {
	p := open(t, serve(t, demoModel(t)), desktop)
	k := p.find("fused_add_rms_norm", 200e6)
	eval[any](p, fmt.Sprintf(`(location.hash = "v=%.0f,%.0f", null)`, k.Start-60e3, 120e3))
	p.until("the view", fmt.Sprintf(`location.hash.includes("v=%.0f")`, k.Start-60e3))
	p.settled()
	stream := p.lane("Stream 7")
	p.do(chromedp.MouseClickXY(p.x(k.Start+k.Dur/2), stream.Y+float64(k.Row)*20+9))
	p.until("the details", `!document.getElementById("detail").hidden`)
	text := p.text("#detail")
	for _, want := range []string{"fused_add_rms_norm", "norm", "8 × 1 × 1 blocks", "cudaLaunchKernel", "launch latency", "decode 8", "Correlation id", "kernel row"} {
		if !strings.Contains(text, want) {
			t.Errorf("details lack %q: %s", want, text)
		}
	}
	p.settled()
	// The arrow runs from the launch on the thread's lane to the kernel: the accent colour lies between the two lanes.
	api := p.lane("CUDA runtime")
	between := box{stream.X, stream.Y + stream.Height, stream.Width, api.Y - stream.Y - stream.Height}
	if n := count(pixels(t, p.shot("kernel")), between, accentLight); n < 20 {
		t.Errorf("%d pixels of an arrow between kernel and launch", n)
	}
	if got := p.text("#status"); !strings.Contains(got, "kernel") || !strings.Contains(got, "norm") {
		t.Errorf("a screen reader hears %q", got)
	}
	// The link leads to the launch, whose own link leads back.
	p.do(chromedp.Click(chromedp.CSS("#detail .links button")))
	p.until("the launch's details", `document.querySelector("#detail h2").textContent === "API call"`)
	if text := p.text("#detail"); !strings.Contains(text, "launched: fused_add_rms_norm") {
		t.Errorf("the launch does not lead to its kernel: %s", text)
	}
	p.clean()
}

func TestSearchFindsAndJumps(t *testing.T) {
	p := open(t, serve(t, demoModel(t)), desktop)
	p.do(chromedp.SendKeys(chromedp.ID("search"), "RMS_norm"))
	p.until("the result", `/events/.test(document.getElementById("search-result").textContent)`)
	p.settled()
	before := pixels(t, p.shot("hits"))
	if n := count(before, p.box("#minimap"), accentLight); n < 30 {
		t.Errorf("%d pixels of hits on the overview", n)
	}
	seen := map[string]bool{}
	for range 3 {
		last := eval[string](p, `location.hash.match(/e=[^&]*/)?.[0] ?? ""`)
		p.do(chromedp.SendKeys(chromedp.ID("search"), "\r"))
		p.until("another hit", fmt.Sprintf(`(location.hash.match(/e=[^&]*/)?.[0] ?? "") !== %q`, last))
		if name := p.text("#detail .name"); !strings.Contains(strings.ToLower(name), "rms_norm") {
			t.Errorf("a hit is %s", name)
		}
		p.settled()
		seen[eval[string](p, `location.hash.match(/e=[^&]*/)[0]`)] = true
	}
	if len(seen) != 3 {
		t.Errorf("three hits are %d different ones: %v", len(seen), seen)
	}
	// A stage, whose kernels have other names.
	eval[any](p, `(document.getElementById("search").select(), null)`)
	p.do(chromedp.SendKeys(chromedp.ID("search"), "QKV projection\r"))
	p.until("a kernel of the stage", `/Stage\s*qkv/.test(document.getElementById("detail").textContent)`)
	if text := p.text("#search-result"); !strings.Contains(text, "1 stage") {
		t.Errorf("the search says %s", text)
	}
	eval[any](p, `(document.getElementById("search").select(), null)`)
	p.do(chromedp.SendKeys(chromedp.ID("search"), "no such kernel anywhere"))
	p.until("nothing", `document.getElementById("search-result").textContent === "nothing found"`)
	p.clean()
}

func TestFindingZoomsToItsEvidence(t *testing.T) {
	p := open(t, serve(t, demoModel(t)), desktop)
	all := p.view()
	p.do(chromedp.Click(chromedp.CSS("#findings li:nth-child(2) .finding-head")))
	v := p.view()
	if v.span > all.span/10 {
		t.Errorf("the view shows %.1f of %.1f ms", v.span/1e6, all.span/1e6)
	}
	if got := p.text("#status"); !strings.Contains(got, "Finding 2") || !strings.Contains(got, "step") {
		t.Errorf("a screen reader hears %q", got)
	}
	idle := p.lane("GPU idle")
	if n := count(pixels(t, p.shot("zoomed")), idle, accentLight); n < 40 {
		t.Errorf("%d pixels of the mark around the gap", n)
	}
	if !strings.Contains(eval[string](p, "location.hash"), "f=host-step-gap") {
		t.Errorf("the address does not name the finding: %s", eval[string](p, "location.hash"))
	}
	// Evidence rows lead to their steps.
	p.do(chromedp.Click(chromedp.CSS("#findings li:nth-child(2) .evidence .link")))
	if w := p.view(); w.span < 5*v.span {
		t.Errorf("the evidence's steps take %.1f ms", w.span/1e6)
	}
	p.clean()
}

func TestSelectionTotals(t *testing.T) {
	p := open(t, serve(t, demoModel(t)), desktop)
	c := p.box("#canvas")
	y := p.lane("Steps").Y + 5
	p.do(chromedp.MouseEvent(chromedp.MousePressed, c.X+300, y, chromedp.ButtonLeft, shift), chromedp.MouseEvent(chromedp.MouseMoved, c.X+400, y, chromedp.ButtonLeft, shift),
		chromedp.MouseEvent(chromedp.MouseMoved, c.X+500, y, chromedp.ButtonLeft, shift), chromedp.MouseEvent(chromedp.MouseReleased, c.X+500, y, chromedp.ButtonLeft, shift))
	p.until("the selection", `document.querySelector("#totals h2").textContent === "Selection"`)
	v := p.view()
	want := v.span * 200 / c.Width / 1e6
	text := p.text("#totals")
	if !strings.Contains(text, fmt.Sprintf("%.1f ms selected", want)) {
		t.Errorf("selected %.1f ms: %s", want, text)
	}
	for _, part := range []string{"Time of the steps by part", "waits for the next launch", "busy"} {
		if !strings.Contains(text, part) {
			t.Errorf("totals lack %q", part)
		}
	}
	// Parts of the wall sum to the selection: nothing is counted twice.
	sum := eval[float64](p, `fetch("api/selection?from=100000000&to=200000000").then((r) => r.json()).then((s) => s.tables[0].rows.reduce((n, r) => n + r.ns, 0))`)
	if sum != 100e6 {
		t.Errorf("the parts of 100 ms sum to %.0f ns", sum)
	}
	p.shot("selection")
	// Fields set it too, for those who do not drag.
	for _, f := range [][2]string{{"to-ms", "300"}, {"from-ms", "250.5"}} {
		eval[any](p, fmt.Sprintf(`(document.getElementById(%q).select(), document.getElementById(%q).focus(), null)`, f[0], f[0]))
		p.keys(f[1], kb.Tab)
	}
	p.until("49.5 ms", `document.getElementById("totals-text").textContent.startsWith("49.50 ms selected")`)
	p.keys(kb.Escape)
	p.clean()
}

func TestMovingAround(t *testing.T) {
	p := open(t, serve(t, demoModel(t)), desktop)
	c := p.box("#canvas")
	mid, y := c.X+c.Width/2, p.lane("Steps").Y+5
	v0 := p.view()
	wheel := func(dx, dy float64) {
		p.Helper()
		call(p, input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: input.DispatchMouseEventTypeMouseWheel, X: mid, Y: y, DeltaX: dx, DeltaY: dy})
	}
	const none = 1e-6 // a zero is left out of the command, which the browser refuses
	wheel(none, -400)
	p.until("the zoom", fmt.Sprintf(`Number(location.hash.match(/v=[^,]*,(\d+)/)[1]) < %.0f`, v0.span*0.7))
	v1 := p.view()
	at := v1.start + v1.span/2
	if off := math.Abs(at - (v0.start + v0.span/2)); off > v0.span*0.01 {
		t.Errorf("zooming moved the instant under the pointer by %.0f ns", off)
	}
	wheel(120, none)
	p.until("the pan", fmt.Sprintf(`Number(location.hash.match(/v=([-\d]*)/)[1]) > %.0f`, v1.start))
	v2 := p.view()
	if got, want := v2.start-v1.start, 120/c.Width*v1.span; math.Abs(got-want) > want/20 || v2.span != v1.span {
		t.Errorf("panned by %.0f ns, want %.0f", got, want)
	}
	// Drag: what is under the pointer stays under it.
	p.do(chromedp.DragAndDropXY(mid, y, mid-200, y, 8))
	p.until("the drag", fmt.Sprintf(`Number(location.hash.match(/v=([-\d]*)/)[1]) > %.0f`, v2.start))
	v3 := p.view()
	if got, want := v3.start-v2.start, 200/c.Width*v2.span; math.Abs(got-want) > want/20 {
		t.Errorf("dragged by %.0f ns, want %.0f", got, want)
	}
	// Keys.
	for _, k := range []struct {
		key  string
		test func(a, b view) bool
	}{
		{"d", func(a, b view) bool { return b.start > a.start && near2(b.span, a.span) }}, {"a", func(a, b view) bool { return b.start < a.start && near2(b.span, a.span) }},
		{"w", func(a, b view) bool { return b.span < a.span }}, {"s", func(a, b view) bool { return b.span > a.span }},
		{kb.ArrowRight, func(a, b view) bool { return b.start > a.start }}, {kb.ArrowLeft, func(a, b view) bool { return b.start < a.start }},
		{kb.ArrowUp, func(a, b view) bool { return b.span < a.span }}, {kb.ArrowDown, func(a, b view) bool { return b.span > a.span }},
		{"f", func(_, b view) bool { return near2(b.span, v0.span) }},
	} {
		a := p.view()
		p.keys(k.key)
		if b := p.view(); !k.test(a, b) {
			t.Errorf("key %q moved the view from %v to %v", k.key, a, b)
		}
	}
	// Two fingers apart zoom in.
	a := p.view()
	touch := func(typ input.DispatchTouchEventType, points ...input.TouchPoint) {
		p.Helper()
		list := make([]*input.TouchPoint, len(points))
		for i := range points {
			list[i] = &points[i]
		}
		call(p, input.DispatchTouchEvent, input.DispatchTouchEventParams{Type: typ, TouchPoints: list})
	}
	one, two := 1.0, 2.0
	fingers := func(d float64) []input.TouchPoint {
		return []input.TouchPoint{{X: mid - d, Y: y, ID: &one}, {X: mid + d, Y: y, ID: &two}}
	}
	touch(input.DispatchTouchEventTypeTouchStart, fingers(60)...)
	for d := 80.0; d <= 180; d += 20 {
		touch(input.DispatchTouchEventTypeTouchMove, fingers(d)...)
	}
	touch(input.DispatchTouchEventTypeTouchEnd)
	p.until("the pinch", fmt.Sprintf(`Number(location.hash.match(/v=[^,]*,(\d+)/)[1]) < %.0f`, a.span*0.6))
	// The overview moves the view to where it is pressed.
	m := p.box("#minimap")
	p.do(chromedp.MouseClickXY(m.X+m.Width*0.8, m.Y+m.Height/2))
	p.until("the overview", fmt.Sprintf(`Number(location.hash.match(/v=([-\d]*)/)[1]) > %.0f`, v0.span*0.6))
	b := p.view()
	if centre := b.start + b.span/2; math.Abs(centre/435.09e6-0.8) > 0.02 {
		t.Errorf("the view's centre is at %.2f of the recording", centre/435.09e6)
	}
	p.shot("moved")
	p.clean()
}

func near2(a, b float64) bool { return math.Abs(a-b) < b/1000 }

func TestAddressIsTheView(t *testing.T) {
	m := demoModel(t)
	url := serve(t, m)
	p := open(t, url, desktop)
	p.keys("n", ".", ".", "t")
	p.settled()
	p.do(chromedp.SendKeys(chromedp.ID("search"), "attention"))
	p.until("the search", `location.hash.includes("q=attention")`)
	v := p.view()
	href := eval[string](p, "location.href")
	if !strings.HasPrefix(href, url+"#") {
		t.Fatalf("address %s", href)
	}
	q := open(t, href, desktop)
	q.until("the details", `!document.getElementById("detail").hidden`)
	if w := q.view(); w != v {
		t.Errorf("the copied address shows %v, not %v", w, v)
	}
	if a, b := p.text("#detail"), q.text("#detail"); a != b {
		t.Errorf("the copied address shows other details:\n%s\n%s", a, b)
	}
	if eval[string](q, "document.documentElement.dataset.theme") != "dark" {
		t.Error("the theme is not in the address")
	}
	if eval[string](q, `document.getElementById("search").value`) != "attention" {
		t.Error("the search is not in the address")
	}
	q.shot("copied")
	p.clean()
	q.clean()
}

func TestStepsAndLanesByButtons(t *testing.T) {
	p := open(t, serve(t, demoModel(t)), desktop)
	p.do(chromedp.Click(chromedp.ID("step-next")))
	p.until("a step", `document.querySelector("#detail h2")?.textContent === "step"`)
	first := p.text("#detail .name")
	p.do(chromedp.Click(chromedp.ID("step-next")))
	p.until("the next step", fmt.Sprintf(`document.querySelector("#detail .name").textContent !== %q`, first))
	var a, b int
	if _, err := fmt.Sscanf(first, "step %d", &a); err != nil {
		t.Fatal(first)
	}
	if _, err := fmt.Sscanf(p.text("#detail .name"), "step %d", &b); err != nil || b != a+1 {
		t.Errorf("after step %d comes %s", a, p.text("#detail .name"))
	}
	if text := p.text("#detail"); !strings.Contains(text, "kernels (0 in CUDA graphs)") || !strings.Contains(text, "Decode requests") {
		t.Errorf("a step's details: %s", text)
	}
	// Closing a group hides its lanes; a legend entry highlights.
	rows := eval[int](p, `[...document.querySelectorAll(".lane-label")].filter((e) => !e.hidden).length`)
	p.do(chromedp.Click(chromedp.CSS(".group-label:nth-of-type(1) .group-toggle")))
	if n := eval[int](p, `[...document.querySelectorAll(".lane-label")].filter((e) => !e.hidden).length`); n != rows-1 {
		t.Errorf("%d lanes shown after closing a group of one, %d before", n, rows)
	}
	p.keys("f")
	p.settled()
	before := count(pixels(t, p.shot("plain")), p.lane("Where the time goes"), launchPink)
	p.do(chromedp.Click(chromedp.CSS("#legend ul:nth-of-type(1) li:nth-child(2) button")))
	p.settled()
	after := count(pixels(t, p.shot("highlight")), p.lane("Where the time goes"), launchPink)
	if after > before/10 {
		t.Errorf("%d pixels keep their colour while another category is highlighted, %d before", after, before)
	}
	p.clean()
}

func shift(p *input.DispatchMouseEventParams) {
	p.Modifiers = int64(chromedp.ModifierShift)
}
