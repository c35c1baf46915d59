package browsertests

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/stepscope/stepscope/web/internal/synth"
)

const collectiveOlive = "#A0A43E"

// TestParallel looks at an engine of two GPUs: ranks side by side, collectives that wait for each other, and requests.
func TestParallel(t *testing.T) {
	prof, run := synth.Parallel(2, 40)
	if err := prof.CheckValid(); err != nil {
		t.Fatal(err)
	}
	p := open(t, serve(t, model(t, prof, run)), desktop)
	img := pixels(t, p.shot("open"))
	for selector, wants := range map[string][]string{
		"#source": {"2 × NVIDIA H100"},
		"#labels": {"GPU 0 · rank 0", "GPU 1 · rank 1", "Collectives", "Requests", "VLLM::Worker_TP1"},
		"#totals": {"GPU 1 · rank 1 busy"}, // the rank that the other waits for
	} {
		text := p.text(selector)
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %q: %.300s", selector, want, text)
			}
		}
	}
	if n := eval[int](p, `[...document.querySelectorAll(".lane-label")].filter((e) => !e.hidden && e.firstChild.textContent === "Where the time goes").length`); n != 2 {
		t.Errorf("%d ranks show where their time goes", n)
	}
	if n := count(img, p.lane("Collectives"), collectiveOlive); n < 300 {
		t.Errorf("%d pixels of collectives", n)
	}

	// A request and its parts.
	requests := p.lane("Requests")
	p.do(chromedp.MouseClickXY(requests.X+requests.Width/2, requests.Y+100))
	p.until("the request", `document.querySelector("#detail h2")?.textContent === "request"`)
	for _, want := range []string{"chatcmpl-", "Time to first token", "512"} {
		if text := p.text("#detail"); !strings.Contains(text, want) {
			t.Errorf("a request's details lack %q: %s", want, text)
		}
	}

	// A collective, where all ranks are in it, and the same one on the other GPU, whose lanes open on the way.
	k := p.find("collective", 20e6)
	eval[any](p, fmt.Sprintf(`(location.hash = "v=%.0f,%.0f", null)`, k.Start-150e3, 300e3))
	p.until("the view", fmt.Sprintf(`location.hash.includes("v=%.0f")`, k.Start-150e3))
	p.settled()
	stream := p.lane("Stream 7")
	p.do(chromedp.MouseClickXY(p.x(k.Start+k.Dur-3e3), stream.Y+float64(k.Row)*20+9))
	p.until("the collective", `/AllReduce/.test(document.querySelector("#detail .name")?.textContent ?? "")`)
	p.settled()
	p.shot("collective")
	if text := p.text("#detail"); !strings.Contains(text, "shortest of 2") || !strings.Contains(text, "the same on GPU 0 · rank 0") {
		t.Errorf("the collective does not tell of the other rank: %s", text)
	}
	eval[any](p, `([...document.querySelectorAll("#detail .links button")].find((b) => b.textContent.startsWith("the same on")).click(), null)`)
	p.until("the other rank's", `/GPU 1 · rank 1/.test(document.querySelector("#detail .links")?.textContent ?? "")`)
	p.settled()
	p.shot("peer")
	p.clean()
}

// TestEightRanks still fits.
func TestEightRanks(t *testing.T) {
	prof, run := synth.Parallel(8, 40)
	p := open(t, serve(t, model(t, prof, run)), desktop)
	p.shot("open")
	if n := eval[int](p, `[...document.querySelectorAll(".lane-label")].filter((e) => !e.hidden && e.firstChild.textContent === "Where the time goes").length`); n != 8 {
		t.Errorf("%d ranks show where their time goes", n)
	}
	p.keys("n", "t")
	p.settled()
	p.shot("dark")
	p.clean()
}
