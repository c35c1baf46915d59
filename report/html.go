package report

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/stepscope/stepscope/align"
	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/step"
)

//go:embed assets
var assets embed.FS

// HTMLInput is what the HTML report is made from. Everything but Diagnosis may be nil; what it would show is then left out.
type HTMLInput struct {
	Diagnosis *diagnose.Diagnosis
	Analysis  *step.Analysis    // step times over time, timeline
	Run       *serving.Run      // latency distributions, requests
	Context   *diagnose.Context // single steps on the roofline
}

// HTML writes the diagnosis as one page that needs nothing else: styles, script and pictures are inside, and its content
// security policy forbids every request. Pictures are drawn here, so the page shows everything without its script, which
// adds tooltips, copy buttons and the choice of light or dark. Everything that comes from the capture is text, never
// markup. The same input gives the same bytes.
func HTML(w io.Writer, in HTMLInput) error {
	h := &htmlReport{in: in, d: in.Diagnosis, used: map[string]bool{}}
	if in.Analysis != nil && in.Run != nil {
		h.alignment = align.Align(in.Analysis, in.Run)
	}
	p := &page{
		Title:    "stepscope: " + Cut(clean(in.Diagnosis.Profile.Source), 120),
		Tool:     joinNonEmpty(" ", in.Diagnosis.Tool.Name, in.Diagnosis.Tool.Version),
		Schema:   in.Diagnosis.Schema,
		Head:     h.head(),
		Verdict:  Cut(clean(in.Diagnosis.Verdict), 1200),
		Tiles:    h.tiles(),
		Budget:   h.budget(),
		Findings: h.findings(),
		Steps:    h.steps(),
		Limits:   h.limits(),
		Latency:  h.latency(),
		Timeline: h.timeline(),
	}
	p.Context, p.More = h.context()
	p.Warnings = qualityWarnings(h.d)
	p.NoSteps = h.d.Steps.Count == 0
	p.Next = h.next()
	p.Kernels = h.kernels()
	p.Metrics = h.metrics()
	p.APIs = h.apis()
	p.Transfers = h.transfers()
	p.Memory = h.memory()
	p.Checklist = h.checklist()
	p.Quality, p.Missing, p.Abstained = h.quality()
	p.Hatches = hatches(usedIDs(h.used))
	return writePage(w, "report.html.tmpl", p, &p.frame)
}

// page is what the template shows.
type page struct {
	frame
	Title, Tool, Schema string
	Head                []fact
	Verdict             string
	Warnings            []string // what limits every conclusion below
	NoSteps             bool
	Next                *adviceView
	Tiles               []tile
	Budget              *budgetSection
	Findings            []findingView
	Context             []contextView
	More                int
	Steps               *stepsSection
	Limits              *limitsSection
	Latency             *latencySection
	Timeline            *timelineSection
	Kernels, Metrics    *table
	APIs, Transfers     *table
	Memory              *table
	Checklist           []diagnose.CheckItem
	Quality             []diagnose.Quality
	Missing             []diagnose.Missing
	Abstained           []diagnose.Abstention
	Hatches             template.HTML
}

// frame is what every page has: styles, script and the policy that allows just these.
type frame struct {
	CSP string
	CSS template.CSS
	JS  template.JS
}

// table is a table of texts. Columns of align 'r' are numbers.
type table struct {
	Caption string
	Align   string
	Head    []string
	Rows    [][]cell
	Note    string
}

type cell struct {
	Text, Title string
	Bar         template.HTML
	Num         bool
}

var pages = sync.OnceValues(func() (*template.Template, error) {
	return template.New("").Funcs(template.FuncMap{
		"inc":     func(i int) int { return i + 1 },
		"group":   func(title string, m []metricView) metricGroup { return metricGroup{title, m} },
		"residue": func(title string, rows []residueRow) residueTable { return residueTable{title, rows} },
	}).ParseFS(assets, "assets/*.tmpl")
})

// frameOf loads styles and script; the policy names them by their hashes, so that nothing else runs or styles the page.
func frameOf() (frame, error) {
	css, err := assets.ReadFile("assets/report.css")
	if err != nil {
		return frame{}, err
	}
	js, err := assets.ReadFile("assets/report.js")
	if err != nil {
		return frame{}, err
	}
	return frame{
		CSP: fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; img-src data:; base-uri 'none'; form-action 'none'", hash(css), hash(js)),
		CSS: template.CSS(css), JS: template.JS(js),
	}, nil
}

func hash(b []byte) string {
	s := sha256.Sum256(b)
	return "sha256-" + base64.StdEncoding.EncodeToString(s[:])
}

// writePage executes a template of assets on a page, which is a pointer to a struct with the given frame.
func writePage(w io.Writer, name string, page any, f *frame) error {
	t, err := pages()
	if err != nil {
		return fmt.Errorf("page template: %w", err)
	}
	if *f, err = frameOf(); err != nil {
		return fmt.Errorf("page assets: %w", err)
	}
	cleanTexts(reflect.ValueOf(page))
	return t.ExecuteTemplate(w, name, page)
}

// cleanTexts makes every plain text that a page holds safe for one line and bounded, whatever made it. Markup, styles and
// script of this package have types of their own and stay. Slices are the page's own.
func cleanTexts(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if v.Type() == reflect.TypeFor[string]() && v.CanSet() {
			v.SetString(Cut(clean(v.String()), maxPageText))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			cleanTexts(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() || v.Type().Field(i).Anonymous {
				cleanTexts(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			cleanTexts(v.Index(i))
		}
	}
}

// maxPageText bounds any one text, in characters; commands are the longest.
const maxPageText = 8000

// htmlReport collects what the sections share.
type htmlReport struct {
	in        HTMLInput
	d         *diagnose.Diagnosis
	alignment *align.Alignment
	used      map[string]bool // parts and phases that appear, for the legend and the hatch patterns
	prefix    string          // of element ids, for pages with two reports
}

func (h *htmlReport) id(name string) string { return h.prefix + "c-" + name }

func (h *htmlReport) use(id string) { h.used[id] = true }

func usedIDs(used map[string]bool) []string { return slices.Sorted(maps.Keys(used)) }

// swatch is the colour of a part as a small picture.
func (h *htmlReport) swatch(part string) template.HTML {
	h.use(part)
	return swatchIcon(swatchOf(partSwatches, part), part)
}

// stageSwatch is the colour of a kernel's stage; of several, the first one's.
func (h *htmlReport) stageSwatch(stage string) template.HTML {
	first, _, _ := strings.Cut(stage, ",")
	return h.swatch("gpu." + first)
}

func (h *htmlReport) phaseSwatch(phase string) template.HTML {
	h.use(phase)
	return swatchIcon(swatchOf(phaseSwatches, phase), phase)
}

func swatchIcon(s swatch, id string) template.HTML {
	c := &canvas{}
	c.b.WriteString(`<svg class="sw" viewBox="0 0 12 12" width="12" height="12" aria-hidden="true" focusable="false">`)
	c.rect(0.5, 0.5, 11, 11, withClass(s.paint(id), "seg"), "")
	c.b.WriteString("</svg>")
	return template.HTML(c.b.String())
}

func (h *htmlReport) head() []fact {
	d := h.d
	var out []fact
	add := func(k, v string) {
		if v = Cut(clean(v), 200); v != "" {
			out = append(out, fact{k, v})
		}
	}
	add("Capture", d.Profile.Source)
	add("Recorded by", d.Profile.Producer)
	add("GPU", strings.Join(gpuKinds(d), ", "))
	add("Engine", joinNonEmpty(" ", d.Engine.Name, d.Engine.Version))
	add("Model", d.Engine.Model)
	add("Ranks", parallel(&d.Engine))
	add("Window", Dur(d.Profile.WindowNs))
	return out
}

// tile is one figure at the top.
type tile struct{ Name, Value, Note string }

func (h *htmlReport) tiles() []tile {
	d := h.d
	var out []tile
	if f, ok := d.Steps.ByPhase["decode"]; ok && f.PeriodNs.N > 0 {
		note := fmt.Sprintf("median of %d", f.PeriodNs.N)
		if f.Requests.N > 0 {
			note += fmt.Sprintf(", %d requests", f.Requests.Median)
		}
		out = append(out, tile{"decode step", Dur(f.PeriodNs.Median), note})
	} else if names := phaseNames(d); len(names) > 0 {
		if f := d.Steps.ByPhase[names[0]]; f.PeriodNs.N > 0 {
			out = append(out, tile{names[0] + " step", Dur(f.PeriodNs.Median), fmt.Sprintf("median of %d", f.PeriodNs.N)})
		}
	}
	if d.Budget.WallNs > 0 {
		half := halves(d.Budget.Parts)
		t := tile{"GPU busy in steps", fmt.Sprintf("%.1f %%", 100*half[0].Sum.Share), ""}
		if len(half[1].Parts) > 0 {
			p := half[1].Parts[0]
			t.Note = fmt.Sprintf("largest wait: %s %s", strings.TrimPrefix(p.ID, "idle."), percentText(p.Share))
		}
		out = append(out, t)
	}
	out = append(out, tile{"bound by", d.Limits.Bound, Cut(clean(d.Limits.GPU), 60)})
	if m := d.Limits.MBU; m != nil {
		out = append(out, tile{"decode bandwidth (MBU)", fmt.Sprintf("%.1f %%", 100**m), "of peak, while the GPU works"})
	}
	if m := d.Limits.MFU; m != nil {
		out = append(out, tile{"prefill arithmetic (MFU)", fmt.Sprintf("%.1f %%", 100**m), "of dense " + d.Limits.Peak.DType + " peak"})
	}
	if r := h.in.Run; r != nil && r.Bench != nil && r.Bench.OutputRate.Known {
		out = append(out, tile{"output tokens/s", number(r.Bench.OutputRate.Value), "benchmark without the profiler"})
		if r.Bench.TTFT.Median.Known {
			out = append(out, tile{"time to first token", number(r.Bench.TTFT.Median.Value) + " ms", "median, benchmark"})
		}
	}
	return out
}

func (h *htmlReport) kernels() *table {
	t := &table{Caption: "Device functions with the most time", Align: "llrrrrl", Head: []string{"function", "stage", "instances", "total", "median", "of kernel time", ""}}
	for i, k := range h.d.Kernels {
		if i == 30 {
			t.Note = fmt.Sprintf("%d more.", len(h.d.Kernels)-i)
			break
		}
		t.Rows = append(t.Rows, []cell{{Text: functionLabel(k.Name, 90), Title: Cut(clean(k.Name), 600)}, {Text: k.Stage, Bar: h.stageSwatch(k.Stage)}, num(fmt.Sprint(k.Instances)),
			num(Dur(k.TotalNs)), num(Dur(k.MedianNs)), num(percentText(k.Share)), {Bar: shareBar(k.Share)}})
	}
	return t.orNil()
}

func num(s string) cell { return cell{Text: s, Num: true} }

func (t *table) orNil() *table {
	if len(t.Rows) == 0 {
		return nil
	}
	return t
}

func (h *htmlReport) metrics() *table {
	t := &table{Caption: "Counters of Nsight Compute", Align: "llrrrrrrrrr", Head: []string{"function", "stage", "GPU time", "IPC", "branch %", "warps %", "occupancy %", "L1 %", "L2 %", "DRAM %", "tensor %"},
		Note: "Medians over the profiled instances; GPU time is the profile's. - not collected."}
	opt := func(v *float64, format string) cell {
		if v == nil {
			return num("-")
		}
		return num(fmt.Sprintf(format, *v))
	}
	for i, k := range h.d.KernelMetrics {
		if i == 40 {
			t.Note += fmt.Sprintf(" %d more.", len(h.d.KernelMetrics)-i)
			break
		}
		name := functionLabel(k.Name, 70)
		if k.Ambiguous != "" {
			name = "~ " + name
		}
		t.Rows = append(t.Rows, []cell{{Text: name, Title: Cut(clean(joinNonEmpty("; ", k.Name, k.Ambiguous)), 600)}, {Text: k.Stage, Bar: h.stageSwatch(k.Stage)}, num(Dur(k.GPUNs)),
			opt(k.IPC, "%.2f"), opt(k.BranchEfficiency, "%.0f"), opt(k.WarpEfficiency, "%.0f"), opt(k.Occupancy, "%.0f"), opt(k.L1, "%.0f"), opt(k.L2, "%.0f"), opt(k.DRAM, "%.0f"), opt(k.Tensor, "%.0f")})
	}
	return t.orNil()
}

func (h *htmlReport) apis() *table {
	t := &table{Caption: "Host API calls by thread and library", Align: "lllrrrrrr", Head: []string{"function", "library", "process, thread", "calls", "per step", "total", "p50", "p99", "max"}}
	for i, a := range h.d.APIs {
		if i == 25 {
			t.Note = fmt.Sprintf("%d more.", len(h.d.APIs)-i)
			break
		}
		t.Rows = append(t.Rows, []cell{{Text: Cut(clean(a.Name), 60)}, {Text: Cut(clean(a.Library), 20)}, {Text: fmt.Sprintf("%s %d", Cut(clean(a.Process), 24), a.TID)}, num(fmt.Sprint(a.Calls)),
			num(fmt.Sprintf("%.1f", a.PerStep)), num(Dur(a.TotalNs)), num(Dur(a.P50Ns)), num(Dur(a.P99Ns)), {Text: Dur(a.MaxNs), Title: fmt.Sprintf("row %d", a.MaxRow), Num: true}})
	}
	return t.orNil()
}

func (h *htmlReport) transfers() *table {
	t := &table{Caption: "Memory copies by direction and host memory", Align: "lrrrrrrl", Head: []string{"direction", "copies", "bytes", "time", "exposed in steps", "GB/s", "largest", "carries"}}
	for _, x := range h.d.Transfers {
		t.Rows = append(t.Rows, []cell{{Text: swatchOf(partSwatches, x.Part).Label, Title: x.Part, Bar: h.swatch(x.Part)}, num(fmt.Sprint(x.Count)), num(Bytes(x.Bytes)), num(Dur(x.Ns)),
			num(Dur(x.ExposedNs)), num(fmt.Sprintf("%.2f", x.GBs)), num(Bytes(x.Largest)), {Text: x.Purpose}})
	}
	return t.orNil()
}

func (h *htmlReport) memory() *table {
	t := &table{Caption: "Device memory, as far as allocations are recorded", Align: "lrrrrrrr", Head: []string{"process, GPU", "allocations", "releases", "peak", "at the first step", "growth while serving", "largest while serving", "calls while serving"},
		Note: "Levels count from what was in use when the recording began."}
	for _, m := range h.d.Memory[:min(len(h.d.Memory), 32)] {
		largest := cell{Text: "-", Num: true}
		if m.LargestAt > 0 {
			largest = cell{Text: Bytes(m.Largest), Title: fmt.Sprintf("row %d", m.LargestAt), Num: true}
		}
		t.Rows = append(t.Rows, []cell{{Text: fmt.Sprintf("%d, GPU %d", m.PID, m.Device)}, num(fmt.Sprint(m.Allocations)), num(fmt.Sprint(m.Frees)), num(signedBytes(m.PeakBytes)),
			num(signedBytes(m.ServingFrom)), num(signedBytes(m.GrowthBytes)), largest, num(fmt.Sprint(m.InServing))})
	}
	return t.orNil()
}

// signedBytes scales a level that may be below its start.
func signedBytes(n int64) string {
	if n < 0 {
		return "-" + Bytes(-n)
	}
	return Bytes(n)
}

func (h *htmlReport) checklist() []diagnose.CheckItem {
	out := slices.Clone(h.d.Checklist)
	for i := range out {
		out[i].Text = Cut(clean(out[i].Text), 400)
	}
	return out
}

// qualityWarnings are the notes on the capture that a reader of the verdict must know.
func qualityWarnings(d *diagnose.Diagnosis) []string {
	var out []string
	for _, q := range d.Profile.Quality {
		if (q.Severity == diagnose.High.String() || q.Severity == diagnose.Medium.String()) && len(out) < 3 {
			s := Cut(clean(q.Text), 400)
			if q.Remedy != "" {
				s += " Remedy: " + Cut(clean(q.Remedy), 300) + "."
			}
			out = append(out, s)
		}
	}
	return out
}

// maxNotes bounds each list of notes on the capture.
const maxNotes = 40

func (h *htmlReport) quality() ([]diagnose.Quality, []diagnose.Missing, []diagnose.Abstention) {
	q := slices.Clone(h.d.Profile.Quality[:min(len(h.d.Profile.Quality), maxNotes)])
	for i := range q {
		q[i].Text, q[i].Remedy = Cut(clean(q[i].Text), 500), Cut(clean(q[i].Remedy), 300)
	}
	m := slices.Clone(h.d.NotRecorded[:min(len(h.d.NotRecorded), maxNotes)])
	for i := range m {
		m[i].Text, m[i].Remedy = Cut(clean(missingText(m[i])), 300), Cut(clean(m[i].Remedy), 300)
	}
	a := slices.Clone(h.d.Abstained[:min(len(h.d.Abstained), maxNotes)])
	for i := range a {
		a[i].Why = Cut(clean(a[i].Why), 300)
	}
	return q, m, a
}
