package report

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/serving"
)

// latencySection is what clients and the server measured of requests, outside of the profile.
type latencySection struct {
	Bench      []benchTable
	Histograms []histogramFigure
	HistNote   string
}

type benchTable struct {
	Caption string
	Chart   template.HTML
	Head    []string
	Rows    [][]string
	Rates   []fact
}

// fact is a name and its value, for people.
type fact struct{ Name, Value string }

type histogramFigure struct {
	Title, Note string
	Chart       template.HTML
}

func (h *htmlReport) latency() *latencySection {
	r := h.in.Run
	if r == nil {
		return nil
	}
	s := &latencySection{}
	if r.Bench != nil {
		s.add(h.bench("bench", "Benchmark without the profiler", r.Bench))
	}
	if r.BenchDuringCapture != nil {
		s.add(h.bench("bench2", "Benchmark while the profile was taken (includes the profiler's cost)", r.BenchDuringCapture))
	}
	if d := r.Delta; d != nil {
		for _, x := range []struct {
			id, title string
			h         *serving.HistogramDelta
		}{
			{"h-ttft", "Time to first token", &d.TTFT}, {"h-itl", "Inter-token latency", &d.ITL}, {"h-tpot", "Time per output token", &d.TPOT},
			{"h-e2e", "Whole request", &d.E2E}, {"h-queue", "Queue time", &d.Queue}, {"h-prefill", "Prefill", &d.Prefill},
		} {
			if x.h.Known && x.h.Count > 0 && len(x.h.Buckets) > 0 {
				s.Histograms = append(s.Histograms, h.histogram(x.id, x.title, x.h))
			}
		}
		s.HistNote = "What the server counted between two readings of /metrics. Buckets are the server's own; a quantile is known to lie in one."
	}
	if len(s.Bench) == 0 && len(s.Histograms) == 0 {
		return nil
	}
	return s
}

func (s *latencySection) add(t benchTable) {
	if len(t.Rows) > 0 || len(t.Rates) > 0 {
		s.Bench = append(s.Bench, t)
	}
}

func (h *htmlReport) bench(id, caption string, b *serving.Bench) benchTable {
	t := benchTable{Caption: caption}
	if b.Source.File != "" {
		t.Caption += ", " + clean(Cut(b.Source.File, 120))
	}
	type row struct {
		name string
		d    *serving.Distribution
	}
	var rows []row
	for _, x := range []row{{"time to first token", &b.TTFT}, {"time per output token", &b.TPOT}, {"inter-token latency", &b.ITL}, {"whole request", &b.E2E}, {"queue time", &b.Queue}} {
		if x.d.Recorded() {
			rows = append(rows, x)
			t.Rows = append(t.Rows, []string{x.name})
		}
	}
	for _, col := range []struct {
		head string
		of   func(*serving.Distribution) serving.Fact[float64]
	}{
		{"mean", func(d *serving.Distribution) serving.Fact[float64] { return d.Mean }},
		{"p50", func(d *serving.Distribution) serving.Fact[float64] { return d.Percentile(50) }},
		{"p90", func(d *serving.Distribution) serving.Fact[float64] { return d.Percentile(90) }},
		{"p95", func(d *serving.Distribution) serving.Fact[float64] { return d.Percentile(95) }},
		{"p99", func(d *serving.Distribution) serving.Fact[float64] { return d.Percentile(99) }},
		{"max", func(d *serving.Distribution) serving.Fact[float64] { return d.Max }},
	} {
		if !slices.ContainsFunc(rows, func(r row) bool { return col.of(r.d).Known }) {
			continue // a column of nothing but "not recorded"
		}
		t.Head = append(t.Head, col.head)
		for i, r := range rows {
			text := "-"
			if f := col.of(r.d); f.Known {
				text = number(f.Value)
			}
			t.Rows[i] = append(t.Rows[i], text)
		}
	}
	fact := func(name, unit string, f serving.Fact[float64]) {
		if f.Known {
			t.Rates = append(t.Rates, factOf(name, number(f.Value)+unit))
		}
	}
	fact("output tokens/s", "", b.OutputRate)
	fact("requests/s", "", b.RequestRateDone)
	if b.Completed.Known {
		t.Rates = append(t.Rates, factOf("requests completed", fmt.Sprint(b.Completed.Value)))
	}
	if b.Failed.Or(0) > 0 {
		t.Rates = append(t.Rates, factOf("requests failed", fmt.Sprint(b.Failed.Value)))
	}
	if b.MaxConcurrency.Known {
		t.Rates = append(t.Rates, factOf("concurrency", fmt.Sprint(b.MaxConcurrency.Value)))
	}
	fact("duration", " s", b.DurationS)
	if len(rows) == 0 {
		return t
	}
	// The picture: one line per latency from its lowest to its highest known figure, marked at the quantiles.
	const rowH, top = 30, 26
	x := scale{math.Inf(1), 0, plotLeft, chartWidth - 40, true}
	marks := func(d *serving.Distribution) []mark {
		var out []mark
		for _, m := range []mark{{"p50", 0, d.Percentile(50)}, {"mean", 3, d.Mean}, {"p90", 1, d.Percentile(90)}, {"p95", 1, d.Percentile(95)}, {"p99", 2, d.Percentile(99)}} {
			if m.f.Known && m.f.Value > 0 && !math.IsInf(m.f.Value, 0) {
				out = append(out, m)
			}
		}
		return out
	}
	var desc strings.Builder
	for _, r := range rows {
		for _, m := range marks(r.d) {
			x.lo, x.hi = min(x.lo, m.f.Value), max(x.hi, m.f.Value)
			fmt.Fprintf(&desc, "%s %s %s ms. ", r.name, m.name, number(m.f.Value))
		}
	}
	if !(x.hi > 0) {
		return t
	}
	x.lo, x.hi = x.lo/1.3, x.hi*1.3
	height := float64(top + rowH*len(rows) + 4)
	c := newCanvas(h.id(id), chartWidth, height, caption, desc.String())
	for _, v := range x.ticks(8) {
		c.line(x.at(v), top, x.at(v), height, "grid")
		c.label(x.at(v), top-8, Dur(int64(v*1e6)), "middle", "tick")
	}
	for i, r := range rows {
		y := float64(top + rowH*i + rowH/2)
		c.label(plotLeft-10, y+4, r.name, "end", "lane")
		ms := marks(r.d)
		if len(ms) == 0 {
			continue
		}
		lo, hi := math.Inf(1), 0.0
		for _, m := range ms {
			lo, hi = min(lo, m.f.Value), max(hi, m.f.Value)
		}
		c.line(x.at(lo), y, x.at(hi), y, "range")
		for _, m := range ms {
			c.marker(x.at(m.f.Value), y, 5, m.shape, paint{"q q-" + m.name, ""}, fmt.Sprintf("%s, %s: %s ms", r.name, m.name, number(m.f.Value)))
		}
	}
	t.Chart = c.done()
	return t
}

// mark is one figure of a distribution and the shape that shows it.
type mark struct {
	name  string
	shape int
	f     serving.Fact[float64]
}

func factOf(name, v string) fact { return fact{name, v} }

func (h *htmlReport) histogram(id, title string, d *serving.HistogramDelta) histogramFigure {
	const w, plotH, top, leftX, rightX = 350, 110, 12, 12, 338
	first, last := -1, -1
	total, most := 0.0, 0.0
	for i, b := range d.Buckets {
		if b.N > 0 {
			if first < 0 {
				first = i
			}
			last = i
			total += b.N
			most = max(most, b.N)
		}
	}
	f := histogramFigure{Title: title}
	if first < 0 || total <= 0 {
		f.Note = "no observations"
		return f
	}
	first, last = max(0, first-1), min(len(d.Buckets)-1, last+1)
	if last-first > 40 { // far outliers do not squeeze the picture; they are counted in the last bar's tip
		first = max(first, last-40)
	}
	var desc strings.Builder
	for i := first; i <= last; i++ {
		fmt.Fprintf(&desc, "up to %s: %.0f. ", boundText(d.Buckets[i].Upper), d.Buckets[i].N)
	}
	c := newCanvas(h.id(id), w, top+plotH+26, title, desc.String())
	n := last - first + 1
	step := float64(rightX-leftX) / float64(n)
	every := max(1, (n+5)/6)
	for i := first; i <= last; i++ {
		b := d.Buckets[i]
		x := leftX + step*float64(i-first)
		bh := plotH * b.N / most
		from := "0 s"
		if i > 0 {
			from = boundText(d.Buckets[i-1].Upper)
		}
		c.rect(x+0.5, top+plotH-bh, max(1, step-1), bh, paint{"bar", ""}, fmt.Sprintf("%s to %s: %.0f of %.0f", from, boundText(b.Upper), b.N, total))
		if (i-first)%every == every-1 || i == last && (i-first)%every > every/2 {
			c.label(x+step, top+plotH+15, boundText(b.Upper), "middle", "tick")
			c.line(x+step, top+plotH, x+step, top+plotH+4, "axis")
		}
	}
	c.line(leftX, top+plotH, rightX, top+plotH, "axis")
	f.Chart = c.done()
	note := fmt.Sprintf("n = %.0f", d.Count)
	if m := d.Mean(); m.Known {
		note += ", mean " + seconds(m.Value)
	}
	for _, q := range []float64{0.5, 0.99} {
		if e := d.Quantile(q); e.Known {
			high := seconds(e.Value.High)
			if math.IsInf(e.Value.High, 1) {
				high = "no bound"
			}
			note += fmt.Sprintf(", p%.0f between %s and %s", 100*q, seconds(e.Value.Low), high)
		}
	}
	f.Note = note
	return f
}

func boundText(b serving.Bound) string {
	if math.IsInf(float64(b), 1) {
		return "more"
	}
	return seconds(float64(b))
}

// seconds scales a time for people.
func seconds(v float64) string {
	if math.IsNaN(v) || math.Abs(v) > 1e9 {
		return "-"
	}
	switch a := math.Abs(v); {
	case a >= 1:
		return fmt.Sprintf("%.3g s", v)
	case a >= 1e-3:
		return fmt.Sprintf("%.3g ms", 1e3*v)
	case a > 0:
		return fmt.Sprintf("%.3g us", 1e6*v)
	}
	return "0 s"
}
