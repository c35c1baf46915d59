package browsertests

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/heapprofiler"
	cdppage "github.com/chromedp/cdproto/page"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/web/internal/synth"
)

// Budgets of the timeline on 2 million kernels, 15 million events.
const (
	maxFirstPicture = 1000.0 // ms from navigation to the first complete picture
	maxFrame        = 33.4   // ms between frames while panning: two of a 60 Hz screen
	maxHeap         = 300.0  // MB, of objects and buffers
)

// In CI, where other work may take the cores, a frame that is late now and then does not fail the test but is told; what
// fails is when one in twenty is, in each of the tries.
var lateAllowed = map[bool]float64{false: 1, true: 0.95}[os.Getenv("CI") != ""]

// watchFrames notes the time and the cost of every frame that the page draws.
const watchFrames = `(() => {
	const raf = window.requestAnimationFrame.bind(window);
	window.__frames = [];
	window.requestAnimationFrame = (f) => raf((t) => { const a = performance.now(); f(t); window.__frames.push([t, performance.now() - a]); });
})()`

// pan moves the view on every frame for a while, as a steady drag does, and returns the distances between frames and
// the script time of each, ms.
const pan = `new Promise((done) => {
	const target = document.getElementById("timeline");
	const box = target.getBoundingClientRect();
	const end = performance.now() + %DURATION%;
	window.__frames = [];
	const half = performance.now() + %DURATION% / 2;
	const step = () => {
		const dx = performance.now() < half ? %DX% : -%DX%;
		target.dispatchEvent(new WheelEvent("wheel", { deltaX: dx, deltaY: 0, clientX: box.left + 200, clientY: box.top + 100, bubbles: true, cancelable: true }));
		if (performance.now() < end) setTimeout(() => requestAnimationFrame(step), 0);
		else {
			const f = window.__frames;
			const times = [...new Set(f.map((v) => v[0]))];
			done({ gaps: times.slice(1).map((t, i) => t - times[i]), script: f.map((v) => v[1]) });
		}
	};
	requestAnimationFrame(step);
})`

// still draws nothing for a while and returns the distances between frames.
const still = `new Promise((done) => {
	const end = performance.now() + %DURATION%;
	const times = [];
	const step = (t) => {
		times.push(t);
		if (performance.now() < end) requestAnimationFrame(step);
		else done({ gaps: times.slice(1).map((t, i) => t - times[i]), script: [] });
	};
	requestAnimationFrame(step);
})`

const tries = 3

type frames struct {
	Gaps   []float64 `json:"gaps"`
	Script []float64 `json:"script"`
}

func quantile(v []float64, q float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	return s[min(len(s)-1, int(q*float64(len(s))))]
}

func TestBigProfile(t *testing.T) {
	if os.Getenv("STEPSCOPE_BIG") == "" {
		t.Skip("set STEPSCOPE_BIG=1: it makes a profile of 15 million events")
	}
	prof := synth.Profile(synth.Big)
	if err := prof.CheckValid(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d kernels, %d API calls, %d annotations", prof.Kernels.Len(), prof.Calls.Len(), prof.Ranges.Len())
	start := time.Now()
	m := model(t, prof, nil)
	t.Logf("analysis, diagnosis and model: %.2f s", time.Since(start).Seconds())
	prof = &profile.Profile{}
	runtime.GC()
	url := serve(t, m)
	p := open(t, url, desktop, script(watchFrames))
	// The best of some tries counts: a busy machine delays one or the other, the page delays all.
	first := math.Inf(1)
	for range tries {
		p.do(chromedp.Navigate("about:blank"), chromedp.Navigate(url))
		p.settled()
		f := eval[float64](p, `performance.getEntriesByName("first-picture")[0].startTime`)
		t.Logf("first picture %.0f ms after navigation", f)
		first = min(first, f)
	}
	t.Logf("first picture %.0f ms after navigation, %.0f allowed", first, maxFirstPicture)
	if first > maxFirstPicture {
		t.Errorf("first picture after %.0f ms, %.0f allowed", first, maxFirstPicture)
	}
	p.shot("fit")
	measure := func(name, dx string) {
		longest, judged := math.Inf(1), math.Inf(1)
		for range tries {
			idle := quantile(eval[frames](p, expand(still, "%DURATION%", "1000")).Gaps, 1)
			f := eval[frames](p, expand(pan, "%DURATION%", "2000", "%DX%", dx))
			p.settled()
			script := quantile(f.Script, 1)
			t.Logf("%-16s %3d frames: between frames p50 %.1f, p99 %.1f, longest %.1f ms (an empty page's longest: %.1f ms); script p50 %.1f, p99 %.1f, longest %.1f ms",
				name, len(f.Gaps), quantile(f.Gaps, 0.5), quantile(f.Gaps, 0.99), quantile(f.Gaps, 1), idle, quantile(f.Script, 0.5), quantile(f.Script, 0.99), script)
			longest = min(longest, quantile(f.Gaps, 1))
			this := quantile(f.Script, lateAllowed)
			// Where frames that draw nothing are late too, the machine is busy with something else.
			if idle <= maxFrame {
				this = max(this, quantile(f.Gaps, lateAllowed))
			}
			if judged = min(judged, this); longest <= maxFrame {
				break
			}
		}
		p.shot(name)
		t.Logf("%-16s longest frame of the best try %.1f ms, %.1f allowed", name, longest, maxFrame)
		if judged > maxFrame {
			t.Errorf("%s: frames take %.1f ms, %.1f allowed", name, judged, maxFrame)
		}
	}
	for _, zoom := range []struct {
		name string
		keys int
	}{{"all", 0}, {"seconds", 10}, {"steps", 10}, {"layers", 10}, {"kernels", 8}} {
		for range zoom.keys {
			p.keys("w")
		}
		p.settled()
		measure("panning "+zoom.name, "14")
	}
	// What a person does with it, with the time until the answer is on the screen.
	timed := func(what, until string, act func()) {
		start := time.Now()
		act()
		p.until(what, until)
		p.settled()
		t.Logf("%s: %.0f ms, totals of the view included", what, time.Since(start).Seconds()*1000)
	}
	k := p.find("FlashAttn", 5e9)
	eval[any](p, fmt.Sprintf(`(location.hash = "v=%.0f,%.0f", null)`, k.Start-60e3, 120e3))
	p.until("the view", fmt.Sprintf(`location.hash.includes("v=%.0f")`, k.Start-60e3))
	p.settled()
	timed("a kernel's details", `document.querySelector("#detail h2")?.textContent === "kernel"`, func() {
		stream := p.lane("Stream 7")
		p.do(chromedp.MouseClickXY(p.x(k.Start+k.Dur/2), stream.Y+float64(k.Row)*20+9))
	})
	timed("a search of all names", `/events/.test(document.getElementById("search-result").textContent)`, func() {
		p.do(chromedp.SendKeys(chromedp.ID("search"), "rms_norm"))
	})
	p.do(chromedp.Focus(chromedp.ID("timeline")))
	timed("a finding's evidence", `/Finding 1/.test(document.getElementById("status").textContent)`, func() { p.keys("n", "p") })
	timed("everything again", `/Whole recording/.test(document.getElementById("status").textContent)`, func() { p.keys("f") })
	p.shot("found")
	call(p, heapprofiler.CollectGarbage, cdp.Empty{})
	u := call(p, cdpruntime.GetHeapUsage, cdp.Empty{})
	heap := (u.UsedSize + u.EmbedderHeapUsedSize + u.BackingStorageSize) / 1e6
	t.Logf("browser heap %.1f MB: script %.1f, document %.1f, buffers %.1f; %.0f allowed", heap, u.UsedSize/1e6, u.EmbedderHeapUsedSize/1e6, u.BackingStorageSize/1e6, maxHeap)
	if heap > maxHeap {
		t.Errorf("the page holds %.0f MB, %.0f allowed", heap, maxHeap)
	}
	p.clean()
}

// script is evaluated before the page's own.
func script(js string) action {
	return commandAction(cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: js})
}
