package browsertests

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestKeyboardOnly does everything without a pointer.
func TestKeyboardOnly(t *testing.T) {
	p := open(t, serve(t, demoModel(t)), desktop)
	p.keys(kb.Tab)
	if got := eval[string](p, "document.activeElement.id"); got != "skip" {
		t.Fatalf("the first stop is %q", got)
	}
	p.keys(kb.Enter)
	if got := eval[string](p, "document.activeElement.id"); got != "timeline" {
		t.Fatalf("the skip link leads to %q", got)
	}
	said := func(want string) {
		p.Helper()
		p.until("the words "+want, fmt.Sprintf(`document.getElementById("status").textContent.includes(%q)`, want))
	}
	p.keys("n")
	said("Finding 2")
	p.keys("p")
	said("Finding 1")
	p.settled()
	p.keys("j", "j")
	said("Lane Steps")
	p.keys("]")
	p.until("a step", `document.querySelector("#detail h2")?.textContent === "step"`)
	first := p.text("#detail .name")
	p.keys("]")
	p.until("the next step", fmt.Sprintf(`document.querySelector("#detail .name").textContent !== %q`, first))
	p.keys("[")
	p.until("the step before", fmt.Sprintf(`document.querySelector("#detail .name").textContent === %q`, first))
	p.keys(".")
	p.until("the step after", fmt.Sprintf(`document.querySelector("#detail .name").textContent !== %q`, first))
	// To a kernel and its launch.
	p.keys("j", "j", "j", "j")
	said("Lane Stream 7")
	p.keys("]")
	p.until("a kernel", `document.querySelector("#detail h2")?.textContent === "kernel"`)
	p.keys("z")
	p.settled()
	if v := p.view(); v.span > 1e6 {
		t.Errorf("zooming to a kernel shows %.3f ms", v.span/1e6)
	}
	p.shot("kernel")
	p.keys(kb.Escape)
	p.until("no details", `document.getElementById("detail").hidden`)
	p.keys("f")
	p.settled()
	// A selection and its totals.
	for range 4 {
		p.do(chromedp.KeyEvent(kb.ArrowRight, chromedp.KeyModifiers(chromedp.ModifierShift)))
	}
	p.until("the selection", `document.querySelector("#totals h2").textContent === "Selection"`)
	if text := p.text("#totals-text"); !strings.Contains(text, "selected") || !strings.Contains(text, "busy") {
		t.Errorf("the selection in words: %s", text)
	}
	p.keys("z")
	p.settled()
	p.keys(kb.Escape)
	p.until("no selection", `document.querySelector("#totals h2").textContent === "In view"`)
	// Search.
	// Only the key itself: the driver's text event would come although the page took the key.
	call(p, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeRawKeyDown, Key: "/"})
	if got := eval[string](p, "document.activeElement.id"); got != "search" {
		t.Fatalf("/ leads to %q", got)
	}
	p.keys("rotary", kb.Enter)
	p.until("a hit", `/rotary/i.test(document.querySelector("#detail .name")?.textContent ?? "")`)
	p.keys(kb.Escape)
	if got := eval[string](p, "document.activeElement.id"); got != "timeline" {
		t.Errorf("leaving the search leads to %q", got)
	}
	// Help.
	p.keys("?")
	p.until("the help", `document.getElementById("help").open`)
	p.shot("help")
	p.keys(kb.Escape)
	p.until("no help", `!document.getElementById("help").open`)
	p.clean()
}

// TestEveryStopIsVisibleAndNamed walks through the page with the Tab key.
func TestEveryStopIsVisibleAndNamed(t *testing.T) {
	p := open(t, serve(t, demoModel(t)), desktop)
	p.keys(".")
	p.until("details", `!document.getElementById("detail").hidden`)
	type stop struct{ ID, Name, Outline string }
	seen := map[string]bool{}
	timeline, panel := false, false
	for i := range 200 {
		p.keys(kb.Tab)
		s := eval[stop](p, `(() => {
			const e = document.activeElement;
			const r = e.getBoundingClientRect();
			const shown = r.width > 0 && r.height > 0 && r.bottom > 0 && r.top < innerHeight;
			const name = e.getAttribute("aria-label") || e.labels?.[0]?.textContent || e.textContent || e.title;
			return { ID: e.tagName + "#" + e.id + "." + e.className + "|" + name, Name: shown ? name : "", Outline: getComputedStyle(e).outlineStyle };
		})()`)
		if strings.HasPrefix(s.ID, "BODY") {
			break
		}
		if s.Name == "" {
			t.Errorf("stop %d, %s, has no name or cannot be seen", i, s.ID)
		}
		if s.Outline == "none" {
			t.Errorf("stop %d, %s, does not show the focus", i, s.ID)
		}
		seen[s.ID] = true
		timeline = timeline || strings.Contains(s.ID, "#timeline")
		panel = panel || strings.Contains(s.ID, "finding-head")
	}
	if len(seen) < 25 || !timeline || !panel {
		t.Errorf("%d stops, timeline %v, findings %v", len(seen), timeline, panel)
	}
}

// violation is what axe-core reports.
type violation struct {
	ID     string   `json:"id"`
	Impact string   `json:"impact"`
	Help   string   `json:"help"`
	Nodes  []string `json:"nodes"`
}

// axe runs axe-core, which npm ci in web/ui installs, over a state of the page.
func (p *page) axe(state string) {
	p.Helper()
	script, err := os.ReadFile("../ui/node_modules/axe-core/axe.min.js")
	if err != nil {
		if os.Getenv("CI") != "" {
			p.Fatal("axe-core is not installed: run npm ci in web/ui")
		}
		p.Skip("axe-core is not installed: run npm ci in web/ui")
	}
	if !eval[bool](p, `"axe" in window`) {
		eval[any](p, string(script)+";null")
	}
	for _, v := range eval[[]violation](p, `axe.run(document, { resultTypes: ["violations"] }).then((r) => r.violations.map((v) => ({ id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.slice(0, 5).map((n) => n.html.slice(0, 160) + " " + (n.any[0]?.message ?? "")) })))`) {
		p.Errorf("%s: %s (%s): %s\n  %s", state, v.ID, v.Impact, v.Help, strings.Join(v.Nodes, "\n  "))
	}
}

// TestAccessibility runs axe-core over the states of the page.
func TestAccessibility(t *testing.T) {
	// The page's policy would stop the checker, which is not part of the page.
	bypass := commandAction(cdppage.SetBypassCSP, cdppage.SetBypassCSPParams{Enabled: true})
	p := open(t, serve(t, demoModel(t)), desktop, bypass)
	check := func(state string) {
		p.Helper()
		p.settled()
		p.axe(state)
	}
	check("light")
	p.keys("n", ".")
	p.until("details", `!document.getElementById("detail").hidden`)
	p.do(chromedp.Click(chromedp.CSS("#totals summary")))
	check("light, details and totals open")
	p.keys("t")
	check("dark")
	p.do(chromedp.Focus(chromedp.ID("timeline")))
	p.keys("?")
	check("help")
}

func TestSmallScreen(t *testing.T) {
	p := open(t, serve(t, demoModel(t)), windowSize{420, 820})
	p.shot("portrait")
	if w := eval[int](p, "document.documentElement.scrollWidth"); w > 420 {
		t.Errorf("the page is %d pixels wide on a screen of 420", w)
	}
	c := p.box("#canvas")
	if c.Width < 250 || c.Height < 150 {
		t.Errorf("the canvas has %v", c)
	}
	p.clean()
}

// TestDenseScreen runs on a screen of two device pixels a pixel.
func TestDenseScreen(t *testing.T) {
	p := open(t, serve(t, demoModel(t)), windowSize{1000, 700})
	p.do(chromedp.EmulateViewport(1000, 700, chromedp.EmulateScale(2)))
	p.keys("w") // emulation tells the page nothing; the next frame notices
	p.until("the dense canvas", `document.getElementById("canvas").width === 2 * document.getElementById("canvas").clientWidth`)
	p.keys("f")
	p.settled()
	img := pixels(t, p.shot("dense"))
	steps := p.lane("Steps")
	for _, v := range []*float64{&steps.X, &steps.Y, &steps.Width, &steps.Height} {
		*v *= 2
	}
	if n := count(img, steps, decodeBlue); float64(n) < 0.4*steps.Width*steps.Height {
		t.Errorf("the lane of steps has %d pixels of decode's colour", n)
	}
	p.clean()
}
