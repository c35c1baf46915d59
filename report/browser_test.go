package report

import (
	"bytes"
	"context"
	"encoding/json"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stepscope/stepscope/demo"
	"github.com/stepscope/stepscope/internal/captest"
)

// browser runs headless Chromium on a page and returns its document after the scripts ran, and what it wrote to its
// console. It skips the test where there is no Chromium.
func browser(t *testing.T, page []byte, flags ...string) (dom, console string) {
	t.Helper()
	if testing.Short() {
		t.Skip("short")
	}
	var program string
	for _, n := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if p, err := exec.LookPath(n); err == nil {
			program = p
			break
		}
	}
	if program == "" {
		t.Skip("no Chromium")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "report.html")
	if err := os.WriteFile(path, page, 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	args := append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--user-data-dir=" + filepath.Join(dir, "profile"), "--enable-logging=stderr", "--v=0",
		"--window-size=1280,1600", "--virtual-time-budget=4000", "--dump-dom"}, flags...)
	cmd := exec.CommandContext(ctx, program, append(args, "file://"+path)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, errs.String())
	}
	var lines []string
	for _, l := range strings.Split(errs.String(), "\n") {
		if strings.Contains(l, "CONSOLE") || strings.Contains(l, "Content Security Policy") || strings.Contains(l, "Refused") {
			lines = append(lines, l)
		}
	}
	return out.String(), strings.Join(lines, "\n")
}

// TestBrowserSilent loads pages in a real browser: no error, no policy violation, no dialogue of an injected script.
func TestBrowserSilent(t *testing.T) {
	r := captest.Diagnose(t, demo.Name, captest.Options{})
	for name, page := range map[string][]byte{
		"demo":    render(t, inputOf(r)),
		"hostile": render(t, HTMLInput{Diagnosis: hostileDiagnosis(), Analysis: hostileAnalysis(t), Run: hostileRun()}),
	} {
		t.Run(name, func(t *testing.T) {
			dom, console := browser(t, page)
			if console != "" {
				t.Errorf("console: %s", console)
			}
			if n := strings.Count(dom, `class="copy"`); n == 0 {
				t.Error("the script made no copy button: it did not run")
			}
			for _, bad := range []string{"<img", "<svg onload", "<script>alert"} {
				if strings.Contains(dom, bad) {
					t.Errorf("document holds %q", bad)
				}
			}
		})
	}
}

// TestBrowserSees checks that the silence of the other tests means something: what the policy forbids is reported.
func TestBrowserSees(t *testing.T) {
	page := bytes.Replace(render(t, HTMLInput{Diagnosis: stored(t, "eager1b-G")}), []byte("</main>"), []byte(`<p style="color:red">x</p><script>document.title = "ran"</script></main>`), 1)
	dom, console := browser(t, page)
	if !strings.Contains(console, "Content Security Policy") || strings.Contains(dom, "<title>ran") {
		t.Errorf("console %q", console)
	}
}

// probe drives the page as a person would and leaves what it saw on the body.
const probe = `(() => {
	const seen = {};
	const move = (el, x, y) => el.dispatchEvent(new PointerEvent("pointermove", {clientX: x, clientY: y, bubbles: true}));
	const tip = document.getElementById("tip");
	const bar = document.querySelector("#budget svg.chart rect.seg");
	bar.scrollIntoView();
	let box = bar.getBoundingClientRect();
	move(bar, box.x + box.width / 2, box.y + 4);
	seen.bar = tip.hidden ? "" : tip.textContent;
	const strip = document.querySelector("#timeline svg.chart");
	strip.scrollIntoView();
	box = strip.getBoundingClientRect();
	const at = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
	move(at, box.x + box.width / 2, box.y + box.height / 2);
	seen.bin = tip.hidden ? "" : tip.textContent;
	seen.cursor = strip.querySelector(".cursor").getAttribute("visibility");
	const theme = document.querySelector("nav .theme button");
	const before = getComputedStyle(document.body).backgroundColor;
	theme.click();
	seen.theme = before !== getComputedStyle(document.body).backgroundColor;
	seen.wide = document.documentElement.scrollWidth > innerWidth;
	seen.styled = getComputedStyle(document.querySelector(".tiles")).display;
	seen.commands = document.querySelectorAll("pre.command").length;
	seen.copies = document.querySelectorAll("button.copy").length;
	seen.command = document.querySelector("pre.command").textContent;
	document.body.dataset.probe = JSON.stringify(seen);
})();`

// withProbe adds a script to a page and to its policy.
func withProbe(page []byte, script string) []byte {
	policy := regexp.MustCompile(`script-src &#39;|script-src '`)
	page = policy.ReplaceAllFunc(page, func(m []byte) []byte {
		quote := m[len("script-src "):]
		return []byte("script-src " + string(quote) + hash([]byte(script)) + string(quote) + " " + string(quote))
	})
	return bytes.Replace(page, []byte("</body>"), []byte("<script>"+script+"</script></body>"), 1)
}

func TestBrowserUse(t *testing.T) {
	r := captest.Diagnose(t, demo.Name, captest.Options{})
	dom, console := browser(t, withProbe(render(t, inputOf(r)), probe))
	if console != "" {
		t.Errorf("console: %s", console)
	}
	m := regexp.MustCompile(`data-probe="([^"]*)"`).FindStringSubmatch(dom)
	if m == nil {
		t.Fatal("the probe did not finish")
	}
	var seen struct {
		Bar, Bin, Cursor, Styled, Command string
		Theme, Wide                       bool
		Commands, Copies                  int
	}
	if err := json.Unmarshal([]byte(html.UnescapeString(m[1])), &seen); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(seen.Bar, "of the wall") {
		t.Errorf("tooltip of a bar: %q", seen.Bar)
	}
	if !strings.Contains(seen.Bin, " to ") || !strings.Contains(seen.Bin, "%") || seen.Cursor != "visible" {
		t.Errorf("tooltip of the timeline: %q, cursor %s", seen.Bin, seen.Cursor)
	}
	if !seen.Theme || seen.Wide || seen.Styled != "grid" {
		t.Errorf("theme changes %v, page scrolls sideways %v, tiles are %s", seen.Theme, seen.Wide, seen.Styled)
	}
	if seen.Commands == 0 || seen.Copies != seen.Commands {
		t.Errorf("%d commands, %d copy buttons", seen.Commands, seen.Copies)
	}
	if want := firstAdvice(r.Diagnosis).Command; seen.Command != want {
		t.Errorf("command to copy %q, want %q", seen.Command, want)
	}
}
