package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/demo"
	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/internal/captest"
	"github.com/stepscope/stepscope/internal/proftest"
	proftestscale "github.com/stepscope/stepscope/internal/proftest/scale"
	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

// node is an element of a parsed page.
type node struct {
	name     string
	attr     map[string]string
	text     string // of the element itself
	children []*node
}

func (n *node) walk(f func(*node)) {
	f(n)
	for _, c := range n.children {
		c.walk(f)
	}
}

func (n *node) all(name string) []*node {
	var out []*node
	n.walk(func(c *node) {
		if c.name == name {
			out = append(out, c)
		}
	})
	return out
}

func (n *node) find(name string) *node {
	if all := n.all(name); len(all) > 0 {
		return all[0]
	}
	return nil
}

// inlined are the elements whose content is no markup.
var inlined = regexp.MustCompile(`(?s)(<(?:style|script)[^>]*>)(.*?)(</(?:style|script)>)`)

// parsePage reads a page strictly: every element closed in order, every attribute quoted, ids unique. It returns the
// content of style and script elements apart.
func parsePage(t testing.TB, page []byte) (root *node, raw []string) {
	t.Helper()
	for _, m := range inlined.FindAllSubmatch(page, -1) {
		raw = append(raw, string(m[2]))
	}
	bare := inlined.ReplaceAll(page, []byte("$1$3"))
	d := xml.NewDecoder(bytes.NewReader(bare))
	d.Strict = false
	d.AutoClose = []string{"meta", "link", "br", "col", "hr", "img", "input"}
	d.Entity = xml.HTMLEntity
	root = &node{name: "#"}
	stack := []*node{root}
	ids := map[string]bool{}
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("page does not parse: %v", err)
		}
		top := stack[len(stack)-1]
		switch x := tok.(type) {
		case xml.StartElement:
			n := &node{name: x.Name.Local, attr: map[string]string{}}
			for _, a := range x.Attr {
				name := a.Name.Local
				if a.Name.Space != "" {
					name = a.Name.Space + ":" + name
				}
				n.attr[name] = a.Value
			}
			if id := n.attr["id"]; id != "" {
				if ids[id] {
					t.Errorf("id %q twice", id)
				}
				ids[id] = true
			}
			top.children = append(top.children, n)
			stack = append(stack, n)
		case xml.EndElement:
			if top.name != x.Name.Local {
				t.Fatalf("</%s> closes <%s>", x.Name.Local, top.name)
			}
			stack = stack[:len(stack)-1]
		case xml.CharData:
			top.text += string(x)
		}
	}
	if len(stack) != 1 {
		t.Fatalf("<%s> is not closed", stack[len(stack)-1].name)
	}
	return root, raw
}

// elements are those that the page's own template and pictures use.
var elements = map[string]bool{"#": true}

func init() {
	for _, n := range strings.Fields(`html head meta title link style body a header p span dl div dt dd nav ul li main section h1 h2 h3 h4 b code
		figure figcaption svg desc defs pattern rect line path circle text g table caption thead tbody tr th td article ol pre footer script`) {
		elements[n] = true
	}
}

// checkPage holds a page to what every page promises.
func checkPage(t testing.TB, page []byte) *node {
	t.Helper()
	root, raw := parsePage(t, page)
	ids := map[string]bool{}
	root.walk(func(n *node) { ids[n.attr["id"]] = true })
	level := 0
	root.walk(func(n *node) {
		if !elements[n.name] {
			t.Errorf("element <%s> %v", n.name, n.attr)
		}
		for k, v := range n.attr {
			switch {
			case strings.HasPrefix(k, "on"), k == "style", k == "srcdoc", k == "src", k == "action", strings.HasPrefix(k, "xlink"):
				t.Errorf("<%s> has attribute %s=%.80q", n.name, k, v)
			case k == "href" && !strings.HasPrefix(v, "#") && v != "data:,":
				t.Errorf("<%s> leads to %.80q", n.name, v)
			case k == "href" && v != "data:," && !ids[v[1:]]:
				t.Errorf("link to %s, which is not there", v)
			case k == "aria-labelledby":
				for _, id := range strings.Fields(v) {
					if !ids[id] {
						t.Errorf("<%s> is labelled by %s, which is not there", n.name, id)
					}
				}
			case (k == "fill" || k == "transform") && strings.Contains(v, "url(") && !ids[strings.TrimSuffix(strings.TrimPrefix(v, "url(#"), ")")]:
				t.Errorf("<%s> is filled with %s, which is not there", n.name, v)
			}
		}
		if len(n.name) == 2 && n.name[0] == 'h' && n.name[1] >= '1' && n.name[1] <= '6' {
			if l := int(n.name[1] - '0'); l > level+1 {
				t.Errorf("heading %s follows level %d", n.name, level)
			} else {
				level = l
			}
		}
		if n.name == "table" && (len(n.children) == 0 || n.children[0].name != "caption") {
			t.Errorf("table without a caption")
		}
		if n.name == "svg" && n.attr["role"] != "img" && n.attr["aria-hidden"] != "true" {
			t.Errorf("svg %v is neither described nor hidden", n.attr)
		}
	})
	if n := len(root.all("h1")); n != 1 {
		t.Errorf("%d first headings", n)
	}
	// The policy names exactly the style and the script that are there.
	csp := ""
	for _, m := range root.all("meta") {
		if m.attr["http-equiv"] == "Content-Security-Policy" {
			csp = m.attr["content"]
		}
	}
	if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("policy %q", csp)
	}
	css, _ := assets.ReadFile("assets/report.css")
	js, _ := assets.ReadFile("assets/report.js")
	if raw[0] != string(css) || raw[len(raw)-1] != string(js) {
		t.Errorf("style or script is not the embedded one")
	}
	for _, s := range []string{hash(css), hash(js)} {
		if !strings.Contains(csp, "'"+s+"'") {
			t.Errorf("policy lacks %s", s)
		}
	}
	scripts := root.all("script")
	for i, s := range scripts {
		if want := i < len(scripts)-1; (s.attr["type"] == "application/json") != want {
			t.Errorf("script %d of %d has type %q", i, len(scripts), s.attr["type"])
		}
	}
	if bytes.Contains(bytes.ReplaceAll(page, []byte("http://www.w3.org/2000/svg"), nil), []byte("src=\"http")) {
		t.Errorf("page refers to another site")
	}
	return root
}

func render(t testing.TB, in HTMLInput) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := HTML(&b, in); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func inputOf(r *captest.Result) HTMLInput {
	return HTMLInput{Diagnosis: r.Diagnosis, Analysis: r.Analysis, Run: r.Run, Context: r.Context}
}

// captures lists the captures to test on: all, or a few under the race detector, which slows reading down.
func captures(t *testing.T) []string {
	all := captest.Names(t)
	if proftestscale.Race || testing.Short() {
		few := []string{"eager1b-G", "base8b-E", "base1b-graphlevel-G", "coldstart1b-W"}
		return slices.DeleteFunc(all, func(n string) bool { return !slices.Contains(few, n) })
	}
	return all
}

// TestHTMLCaptures renders every real capture: the page is sound, small and the same each time, and its first heading is
// the verdict.
func TestHTMLCaptures(t *testing.T) {
	for _, name := range captures(t) {
		t.Run(name, func(t *testing.T) {
			r := captest.Diagnose(t, name, captest.Options{})
			page := render(t, inputOf(r))
			if n := len(page); n >= 2_000_000 {
				t.Errorf("%d bytes, want fewer than 2 MB", n)
			}
			root := checkPage(t, page)
			if h := root.find("h1"); !strings.Contains(h.text, strings.TrimSpace(r.Verdict)[:10]) {
				t.Errorf("first heading is %q, verdict %q", h.text, r.Verdict)
			}
			if again := render(t, inputOf(r)); !bytes.Equal(page, again) {
				t.Error("the same diagnosis gives other bytes")
			}
			for _, f := range r.Findings {
				if !bytes.Contains(page, []byte(f.ID)) && f.ID != diagnose.CaptureQuality {
					t.Errorf("finding %s is not told", f.ID)
				}
			}
		})
	}
}

// TestHTMLDemo checks that numbers on the page are those of the diagnosis.
func TestHTMLDemo(t *testing.T) {
	r := captest.Diagnose(t, demo.Name, captest.Options{})
	root := checkPage(t, render(t, inputOf(r)))
	var text strings.Builder
	root.walk(func(n *node) { text.WriteString(n.text + "\n") })
	for _, p := range r.Budget.Parts {
		if p.Share < 0.001 {
			continue
		}
		if want := fmt.Sprintf("%.1f %%", 100*p.Share); !strings.Contains(text.String(), want) || !strings.Contains(text.String(), p.ID) {
			t.Errorf("part %s with %s is not told", p.ID, want)
		}
	}
	a := firstAdvice(r.Diagnosis)
	if a == nil || a.Predicted == nil {
		t.Fatal("the demo has no advice with a prediction")
	}
	for _, want := range []string{number(a.Predicted.Before), number(a.Predicted.After), a.Flag} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q of the first advice is not on the page", want)
		}
	}
	var command string
	root.walk(func(n *node) {
		if n.attr["class"] == "command" && command == "" {
			for i, s := range n.find("code").children {
				if i > 0 {
					command += " "
				}
				command += s.text
			}
		}
	})
	if command != a.Command {
		t.Errorf("command %q, want %q", command, a.Command)
	}
}

func TestHTMLHostile(t *testing.T) {
	d := hostileDiagnosis()
	for _, in := range []HTMLInput{
		{Diagnosis: d},
		{Diagnosis: d, Analysis: hostileAnalysis(t)},
		{Diagnosis: d, Analysis: hostileAnalysis(t), Run: hostileRun()},
	} {
		page := render(t, in)
		root := checkPage(t, page)
		for _, bad := range []string{"<img", "<svg onload", "<b>\xc0", "alert(2)</script>", "\u202e", "\x1b"} {
			if bytes.Contains(page, []byte(bad)) {
				t.Errorf("page holds %q", bad)
			}
		}
		seen := false
		root.walk(func(n *node) { seen = seen || strings.Contains(n.text, hostileTexts[0]) })
		if !seen {
			t.Error("hostile names are not shown at all")
		}
		if len(page) > 6_000_000 {
			t.Errorf("%d bytes: lists or texts are not bounded", len(page))
		}
	}
}

// TestHTMLLeavesInput checks that a report changes nothing of what it shows.
func TestHTMLLeavesInput(t *testing.T) {
	d, same := hostileDiagnosis(), hostileDiagnosis()
	var b bytes.Buffer
	if err := HTML(&b, HTMLInput{Diagnosis: d}); err != nil {
		t.Fatal(err)
	}
	if err := Markdown(io.Discard, d); err != nil {
		t.Fatal(err)
	}
	if x, y := fmt.Sprintf("%+v", *d.TypicalStep), fmt.Sprintf("%+v", *same.TypicalStep); x != y {
		t.Error("typical step changed")
	}
	if !reflect.DeepEqual(d.Checklist, same.Checklist) || !reflect.DeepEqual(d.Profile.Quality, same.Profile.Quality) || !reflect.DeepEqual(d.Lifecycle, same.Lifecycle) {
		t.Error("a list of the diagnosis changed")
	}
}

// TestHTMLPartial renders diagnoses that lack nearly everything.
func TestHTMLPartial(t *testing.T) {
	for name, d := range map[string]*diagnose.Diagnosis{
		"empty":    {},
		"no steps": {Verdict: "No engine steps were found.", Profile: diagnose.ProfileInfo{Source: "x.sqlite"}},
		"stored":   stored(t, "eager1b-G"),
		"cut off":  {TypicalStep: &diagnose.TypicalStep{DurNs: 10, Pieces: []diagnose.Piece{{Part: "gpu.later-version", DurNs: 4}}}},
		"unpredicted": {Findings: []diagnose.Finding{{ID: "x", Severity: diagnose.High,
			Advice: []diagnose.Advice{{Predicted: &diagnose.Prediction{}}, {}}}}},
	} {
		t.Run(name, func(t *testing.T) { checkPage(t, render(t, HTMLInput{Diagnosis: d})) })
	}
	profiles := map[string]*profile.Profile{
		"nothing":     {},
		"window only": {Window: interval.Span{End: 1000}},
		"far apart":   {Window: interval.Span{Start: -profile.MaxTime, End: profile.MaxTime}},
	}
	b := proftest.NewBuilder(1000)
	b.Kernel("k", -50, 40, 0)
	b.Kernel("k", 900, 5000, 0)
	profiles["work outside the window"] = b.Build(t)
	b = proftest.NewBuilder(0)
	b.Launch("k", 1, 2, 3)
	profiles["no window"] = b.Build(t)
	for name, p := range profiles {
		t.Run(name, func(t *testing.T) {
			a := step.Analyze(p, step.Options{})
			c := diagnose.NewContext(diagnose.Input{Analysis: a})
			checkPage(t, render(t, HTMLInput{Diagnosis: diagnose.Diagnose(c), Analysis: a, Context: c}))
		})
	}
}

// TestStripExact checks the law of the embedded timeline: its bins hold each nanosecond of the steps once.
func TestStripExact(t *testing.T) {
	for _, name := range captures(t) {
		r := captest.Diagnose(t, name, captest.Options{})
		a := r.Analysis
		ranks := primaryRanks(a, maxStripRanks)
		if len(a.Primary) == 0 {
			continue
		}
		span := stepsSpan(a)
		uniform, bySteps := newStrip(a, span, 333, ranks, false), newStrip(a, span, 333, ranks, true)
		fill(a, []*strip{uniform, bySteps})
		for _, s := range []*strip{uniform, bySteps} {
			for k := range s.ranks {
				rank := &s.ranks[k]
				var want, got step.Budget
				for _, i := range a.Ranks[rank.rank].Steps {
					want.Add(&a.Steps[i].Budget)
				}
				for i := range rank.parts {
					var all, phases int64
					for p, ns := range rank.parts[i] {
						all += ns
						if p < step.NumParts {
							got[p] += ns
						}
					}
					for _, ns := range rank.phases[i] {
						phases += ns
					}
					if all != rank.width(i) || phases != rank.width(i) {
						t.Fatalf("%s: bin %d of %d ns holds %d ns of parts and %d ns of phases", name, i, rank.width(i), all, phases)
					}
				}
				if want != got {
					t.Errorf("%s: the bins hold other times than the budgets", name)
				}
				if n := rank.bins(); n > 334+len(a.Ranks[rank.rank].Steps)*2 || n > 700 {
					t.Errorf("%s: %d bins", name, n)
				}
			}
		}
	}
}

// TestMemoryLane draws recorded allocations.
func TestMemoryLane(t *testing.T) {
	b := proftest.NewBuilder(1000)
	b.Launch("k", 1, 20, 900)
	p := b.Build(t)
	p.MemEvents = profile.MemEvents{Start: []int64{-5, 100, 500}, Bytes: []int64{1 << 20, 3 << 20, 2 << 20}, Free: []bool{false, false, true}, Mem: []profile.MemKind{profile.MemDevice, profile.MemDevice, profile.MemDevice},
		Device: []int32{0, 0, 0}, Process: []int32{0, 0, 0}, Address: make([]uint64, 3), Name: make([]profile.StringID, 3), PoolBytes: []int64{-1, -1, -1}}
	l := memoryLevels(p, interval.Span{End: 1000})
	if len(l) != 1 || l[0].high != 4<<20 || l[0].low != 0 || fmt.Sprint(l[0].values) != fmt.Sprint([]int64{1 << 20, 4 << 20, 2 << 20}) {
		t.Fatalf("levels %+v", l)
	}
	a := step.Analyze(p, step.Options{})
	c := diagnose.NewContext(diagnose.Input{Analysis: a})
	page := render(t, HTMLInput{Diagnosis: diagnose.Diagnose(c), Analysis: a})
	checkPage(t, page)
	for _, want := range []string{"memory, GPU 0", "4.00 MiB", "Device memory, as far as"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("page lacks %q", want)
		}
	}
}

// TestPalette holds the colours to those of the web timeline, and every part to having one.
func TestPalette(t *testing.T) {
	for _, p := range step.Parts() {
		if _, ok := partSwatches[p.String()]; !ok {
			t.Errorf("part %s has no colour", p)
		}
		if s := partSwatches[p.String()]; s.Hatch != p.Idle() {
			t.Errorf("part %s: hatched %v", p, s.Hatch)
		}
	}
	if _, ok := partSwatches[stagePart(kernel.Other)]; !ok {
		t.Error("no colour for other kernels")
	}
	src, err := os.ReadFile(filepath.Join("..", "web", "category.go"))
	if err != nil {
		t.Skip("the web timeline is not here")
	}
	web := map[string]string{}
	for _, m := range regexp.MustCompile(`(kernel|step)\.(\w+):\s*(?:\{Label: "[^"]*", Color: )?"(#[0-9A-F]{6})"`).FindAllStringSubmatch(string(src), -1) {
		web[m[1]+"."+m[2]] = m[3]
	}
	for name, id := range map[string]string{"kernel.MLP": "gpu.mlp", "kernel.Attention": "gpu.attention", "kernel.QKV": "gpu.qkv", "kernel.LMHead": "gpu.lm-head",
		"kernel.Collective": "gpu.collective", "step.IdleLaunch": "idle.launch", "step.IdleScheduler": "idle.scheduler", "step.CopyHtoDPageable": "gpu.copy-htod-pageable", "step.Graph": "gpu.graph"} {
		if web[name] != partSwatches[id].Fill {
			t.Errorf("%s is %s here and %s in the web timeline", id, partSwatches[id].Fill, web[name])
		}
	}
}

func TestScale(t *testing.T) {
	for _, c := range []struct {
		s    scale
		n    int
		want string
	}{
		{scale{0, 10, 0, 100, false}, 5, "[0 2 4 6 8 10]"},
		{scale{0, 7.5e6, 0, 100, false}, 4, "[0 2e+06 4e+06 6e+06]"},
		{scale{1, 1000, 0, 100, true}, 4, "[1 10 100 1000]"},
		{scale{5, 5, 0, 100, false}, 4, "[]"},
	} {
		if got := fmt.Sprint(c.s.ticks(c.n)); got != c.want {
			t.Errorf("%+v: ticks %s, want %s", c.s, got, c.want)
		}
	}
	if got := (scale{1, 100, 0, 200, true}).at(10); got != 100 {
		t.Errorf("log scale: %v", got)
	}
	for v, want := range map[float64]string{0.04: "0", -0.04: "0", 1.25: "1.3", 100: "100", 1e30: "1000000"} {
		if got := coord(v); got != want {
			t.Errorf("coord(%v) = %s, want %s", v, got, want)
		}
	}
}

func BenchmarkHTML(b *testing.B) {
	r := captest.Diagnose(b, demo.Name, captest.Options{})
	in := inputOf(r)
	b.ReportAllocs()
	for b.Loop() {
		if err := HTML(io.Discard, in); err != nil {
			b.Fatal(err)
		}
	}
}
