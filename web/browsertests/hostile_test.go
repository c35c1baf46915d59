package browsertests

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/web"
)

// payloads are names that would do something if they ever became markup, script, style or an address.
var payloads = []string{
	`<img src=x onerror="window.__pwned=1">`,
	`"><script>window.__pwned=1</script>`,
	`'-alert(1)-'`,
	`javascript:window.__pwned=1`,
	`<svg/onload=window.__pwned=1>`,
	`</title><style>*{display:none}</style>`,
	`{{constructor.constructor("window.__pwned=1")()}}`,
	"\u202egnp.exe \u200b\x00\x1b[31m",
	`<a href="https://example.com/?q=` + strings.Repeat("x", 300) + `">`,
	"\xff\xfe broken",
	"__proto__", "constructor",
}

// hostileProfile puts every payload wherever a capture holds a name.
func hostileProfile(t testing.TB) *profile.Profile {
	p := &profile.Profile{Format: payloads[0], Producer: payloads[1], Source: payloads[2] + payloads[0], Window: interval.Span{End: 40e6}}
	b := profile.NewBuilder(p)
	for i, s := range payloads {
		pid := int64(100 + i)
		pr := b.Process(pid)
		p.Processes[pr].Name = s
		th := b.Thread(pid, pid)
		p.Threads[th].Name = s
		b.AddDevice(profile.Device{ID: int64(i % 2), Name: payloads[(i+1)%len(payloads)]})
		q := b.Queue(profile.Queue{Process: pr, Device: b.Device(int64(i % 2)), Context: 1, GreenCtx: -1, Stream: 7})
		id := p.Strings.ID(s)
		dom := b.Domain(pid, 1)
		p.Domains[dom].Name = s
		for k := range int64(40) {
			at := k*1e6 + int64(i)*1e3
			r := &p.Ranges
			text := id
			if k%2 == 0 {
				text = p.Strings.ID("execute_context_0(0)_generation_4(4)")
			}
			r.Start, r.Dur, r.Text, r.Thread = append(r.Start, at), append(r.Dur, 900e3), append(r.Text, text), append(r.Thread, th)
			r.Domain, r.Kind = append(r.Domain, dom), append(r.Kind, profile.PushPop)
			c := &p.Calls
			c.Start, c.Dur, c.Name, c.Thread = append(c.Start, at+10e3), append(c.Dur, 5e3), append(c.Name, id), append(c.Thread, th)
			c.Correlation, c.Result, c.Class = append(c.Correlation, uint32(k+1)), append(c.Result, 0), append(c.Class, profile.RuntimeAPI)
			n := &p.Kernels
			n.Start, n.Dur, n.Func, n.Config = append(n.Start, at+20e3), append(n.Dur, 400e3), append(n.Func, b.Func(profile.Func{Name: id, Short: id})), append(n.Config, b.Config(profile.LaunchConfig{}))
			n.Queue, n.Correlation, n.Call, n.GraphNode = append(n.Queue, q), append(n.Correlation, uint32(k+1)), append(n.Call, profile.None), append(n.GraphNode, 0)
			for _, sp := range []*profile.Spans{&p.OSCalls, &p.LibCalls} {
				sp.Start, sp.Dur, sp.Name, sp.Thread = append(sp.Start, at), append(sp.Dur, 3e3), append(sp.Name, id), append(sp.Thread, th)
			}
		}
		p.Counters = append(p.Counters, profile.Counter{Device: b.Device(int64(i % 2)), Name: s, Unit: payloads[(i+2)%len(payloads)], Times: []int64{0, 1e6}, Values: []int64{1, 2}})
		p.NotRecorded = append(p.NotRecorded, profile.Missing{What: s, Text: s, Remedy: s})
		p.Diagnostics = append(p.Diagnostics, profile.Diagnostic{Severity: profile.Warning, Source: "profiler", Text: s, Count: 1})
	}
	p.Sort()
	p.Join()
	if err := p.CheckValid(); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestHostileNamesStayText(t *testing.T) {
	run := &serving.Run{Log: &serving.Log{Phases: []serving.Phase{{ID: serving.PhaseLoad, AtNS: 1, DurNS: 5, Source: serving.Source{File: payloads[0]}}}}}
	p := open(t, serve(t, model(t, hostileProfile(t), run)), desktop)
	tags := eval[string](p, `[...new Set([...document.querySelectorAll("*")].map((e) => e.tagName))].sort().join()`)
	p.shot("open")
	// Open everything, click through events of every lane, search for each payload.
	eval[any](p, `(document.querySelectorAll(".group-toggle[aria-expanded=false], .more").forEach((b) => b.click()), null)`)
	eval[any](p, `(document.querySelectorAll(".finding-head").forEach((b) => b.click()), null)`)
	p.settled()
	for _, s := range payloads[:9] {
		eval[any](p, `(document.getElementById("search").value = "", null)`)
		typed := strings.Map(printable, s)
		p.do(chromedp.SendKeys(chromedp.ID("search"), typed[:min(60, len(typed))]+"\r"))
		p.settled()
	}
	p.do(chromedp.Focus(chromedp.ID("timeline")))
	for range 30 {
		p.keys("j", "]")
	}
	p.settled()
	c := p.box("#canvas")
	for y := c.Y + 5; y < c.Y+c.Height; y += 40 {
		p.do(chromedp.MouseEvent(chromedp.MouseMoved, c.X+c.Width/2, y), chromedp.MouseClickXY(c.X+c.Width/2, y))
	}
	p.settled()
	p.shot("everything")
	if eval[bool](p, `"__pwned" in window`) {
		t.Error("a name ran as a script")
	}
	if n := eval[int](p, `document.querySelectorAll("img, svg, iframe, object, embed, style, a:not(#skip), script:not([src='app.js']), [onerror], [onload], [style*='expression']").length`); n != 0 {
		t.Errorf("%d elements came out of names", n)
	}
	after := eval[string](p, `[...new Set([...document.querySelectorAll("*")].map((e) => e.tagName))].sort().join()`)
	for _, tag := range strings.Split(after, ",") {
		if !strings.Contains(tags+",PRE,CODE,TABLE,CAPTION,TBODY,TR,TH,TD,DETAILS,SUMMARY,DL,DT,DD,UL,LI,H3,H4,B,INPUT,P,H2,DIV,SPAN,BUTTON", tag) {
			t.Errorf("an element %s appeared", tag)
		}
	}
	if body := eval[string](p, "document.body.textContent"); !strings.Contains(body, payloads[0]) {
		t.Error("the names are not shown as they are")
	} else if strings.ContainsAny(body, "\u202e\u200b\x00\x1b") {
		t.Error("characters that reorder or hide text are shown")
	}
	p.clean()
}

func printable(r rune) rune {
	if r < 0x20 || r > 0x7e {
		return -1
	}
	return r
}

// TestPolicyHolds tries what a script that got into the page would try.
func TestPolicyHolds(t *testing.T) {
	p := open(t, serve(t, demoModel(t)), desktop)
	p.clean()
	for name, js := range map[string]string{
		"markup":         `document.body.innerHTML = "<b>x</b>"`,
		"inline script":  `(() => { const s = document.createElement("script"); s.textContent = "window.__ran = 1"; document.head.append(s); if (!window.__ran) throw new Error("did not run"); })()`,
		"eval":           `(0, eval)("1")`,
		"style element":  `(() => { const s = document.createElement("style"); s.textContent = "body{outline:3px solid red}"; document.head.append(s); if (getComputedStyle(document.body).outlineStyle === "none") throw new Error("no effect"); })()`,
		"foreign fetch":  `fetch("https://example.com/")`,
		"other loopback": `fetch("http://127.0.0.1:9/")`,
		"foreign image":  `new Promise((ok, no) => { const i = new Image(); i.onload = ok; i.onerror = () => no(new Error("blocked")); i.src = "https://example.com/x.png"; })`,
		"frame":          `new Promise((ok, no) => { const f = document.createElement("iframe"); document.addEventListener("securitypolicyviolation", () => no(new Error("blocked")), { once: true }); f.onload = ok; f.src = "https://example.com/"; document.body.append(f); })`,
		"worker":         `new Promise((ok, no) => { const w = new Worker("data:text/javascript,postMessage(1)"); w.onmessage = ok; w.onerror = () => no(new Error("blocked")); })`,
	} {
		// Evaluation by the driver bypasses the policy for its own text, so the attempt runs from a timer of the page.
		got := eval[string](p, fmt.Sprintf(`new Promise((done) => setTimeout(async () => { try { await (async () => { await (%s); })(); done("worked"); } catch (e) { done("refused: " + e.message); } }, 0))`, js))
		if !strings.HasPrefix(got, "refused") {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestServerGoneIsTold(t *testing.T) {
	ctx, stop := contextWithStop(t)
	p := open(t, serveUntil(t, ctx, demoModel(t), web.Options{}), desktop)
	stop()
	p.keys("w", "w", "w", "w", "w", "w", "w", "w", "w", "w")
	p.until("the problem", `!document.getElementById("problem").hidden`)
	if text := p.text("#problem"); !strings.Contains(text, "does not answer") {
		t.Errorf("the page says %q", text)
	}
}

// TestRedirectLeadsToThePage opens the file that a desktop is given.
func TestRedirectLeadsToThePage(t *testing.T) {
	ctx, _ := contextWithStop(t)
	opened := make(chan struct{})
	url := serveUntil(t, ctx, demoModel(t), web.Options{Opened: func() { close(opened) }})
	r, err := web.NewRedirect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Remove()
	p := open(t, "file://"+r.Path, desktop)
	if got := eval[string](p, "location.href"); !strings.HasPrefix(got, url+"#") {
		t.Errorf("the file leads to %s", got)
	}
	if got := eval[string](p, "document.referrer"); got != "" {
		t.Errorf("the page is told of %s", got)
	}
	select {
	case <-opened:
	default:
		t.Error("the server does not know that the page was opened")
	}
	p.clean()
}
