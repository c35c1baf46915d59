package report

import (
	"fmt"
	"html/template"
	"math"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/step"
)

// limitsSection places phases and stages on the roofline of the GPU.
type limitsSection struct {
	Bound, Peak, Source, Checked, Why string
	Chart                             template.HTML
	Note                              string
	Phases                            [][]string
	Stages                            []stageRow
}

type stageRow struct {
	Swatch                                           template.HTML
	Mark, Phase, Stage, Time, Bytes, FLOPs, MBU, MFU string
	MBUBar, MFUBar                                   template.HTML
}

func (h *htmlReport) limits() *limitsSection {
	l := &h.d.Limits
	s := &limitsSection{Bound: l.Bound, Peak: peakText(l), Source: l.Peak.Source, Checked: l.Checked, Why: l.Why}
	mark := 0
	for _, p := range l.Phases {
		s.Phases = append(s.Phases, []string{p.Phase, fmt.Sprint(p.Tokens), Dur(p.BusyNs), idealTime(p.IdealNs), gigabytes(p.WeightBytes), gigabytes(p.KVBytes),
			utilisation(p.MBU), utilisation(p.MFU), number(p.Intensity), p.Bound})
		for _, t := range p.Stages {
			if t.Bytes <= 0 && t.FLOPs <= 0 {
				continue
			}
			mark++
			row := stageRow{Swatch: h.swatch("gpu." + t.Stage), Mark: fmt.Sprint(mark), Phase: p.Phase, Stage: t.Stage, Time: Dur(t.Ns), Bytes: gigabytes(t.Bytes),
				FLOPs: operations(t.FLOPs), MBU: utilisation(t.MBU), MFU: utilisation(t.MFU),
				MBUBar: shareBar(t.MBU), MFUBar: shareBar(t.MFU)}
			s.Stages = append(s.Stages, row)
		}
	}
	s.Chart, s.Note = h.roofline()
	return s
}

// utilisation is a share of a peak, "-" where there is no peak.
func utilisation(share float64) string {
	if share < 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*share)
}

// idealTime is a time at the peaks, "-" where one is missing.
func idealTime(ns int64) string {
	if ns < 0 {
		return "-"
	}
	return Dur(ns)
}

func operations(v float64) string {
	switch {
	case v >= 1e11:
		return fmt.Sprintf("%.2f TFLOP", v/1e12)
	case v > 0:
		return fmt.Sprintf("%.2f GFLOP", v/1e9)
	}
	return "-"
}

func gigabytes(v float64) string {
	switch {
	case v >= 1e8:
		return fmt.Sprintf("%.2f GB", v/1e9)
	case v >= 1e5:
		return fmt.Sprintf("%.2f MB", v/1e6)
	}
	return fmt.Sprintf("%.1f kB", v/1e3)
}

// roofPoint is a piece of work: operations per byte, and operations per second that were reached.
type roofPoint struct {
	x, y  float64
	phase string
	tip   string
}

// roofSteps places every steady step whose batch is recorded, by the same model as the limits of its phase.
func (h *htmlReport) roofSteps() []roofPoint {
	c := h.in.Context
	if c == nil {
		return nil
	}
	shape, ok := c.ModelShape()
	if !ok {
		return nil
	}
	var out []roofPoint
	for _, i := range c.A.Primary {
		s := &c.A.Steps[i]
		busy := s.Budget.Busy()
		if s.Cold || s.Open || busy <= 0 || s.Budget[step.Graph]*2 > busy && s.Batch.Tokens() < 0 {
			continue
		}
		b, _, ok := c.DeviceBatch(s)
		if !ok {
			continue
		}
		w := shape.StepCost(b).Work()
		if w.Bytes <= 0 || w.FLOPs <= 0 {
			continue
		}
		out = append(out, roofPoint{w.Intensity(), w.FLOPs / (float64(busy) * 1e-9), s.Phase.String(), stepTip(s, c.P.Window.Start)})
	}
	return out
}

func (h *htmlReport) roofline() (template.HTML, string) {
	l := &h.d.Limits
	bw, peak := l.Peak.BandwidthBytesPerS, l.Peak.FLOPs
	if bw <= 0 || peak <= 0 || len(l.Phases) == 0 {
		return "", ""
	}
	points := h.roofSteps()
	x := scale{math.Inf(1), 0, 80, chartWidth - 190, true}
	yLo := math.Inf(1)
	grow := func(px, py float64) {
		if px > 0 && py > 0 && !math.IsInf(px, 0) {
			x.lo, x.hi, yLo = min(x.lo, px), max(x.hi, px), min(yLo, py)
		}
	}
	ridge := peak / bw
	grow(ridge, peak)
	for _, p := range l.Phases {
		grow(p.Intensity, p.FLOPs/(float64(max(1, p.BusyNs))*1e-9))
		for _, t := range p.Stages {
			if t.Bytes > 0 && t.FLOPs > 0 {
				grow(t.FLOPs/t.Bytes, t.FLOPs/(float64(max(1, t.Ns))*1e-9))
			}
		}
	}
	for _, p := range points {
		grow(p.x, p.y)
	}
	x.lo, x.hi = x.lo/2, max(x.hi, ridge*4)*2
	const top, plotH = 20, 380
	y := scale{min(yLo, x.lo*bw) / 1.5, peak * 2.5, top + plotH, top, true}
	c := newCanvas(h.id("roofline"), chartWidth, top+plotH+44, "Roofline of "+l.GPU, h.roofDesc())
	for _, v := range x.ticks(8) {
		c.line(x.at(v), top, x.at(v), top+plotH, "grid")
		c.label(x.at(v), top+plotH+16, plain(v), "middle", "tick")
	}
	for _, v := range y.ticks(7) {
		c.line(x.from, y.at(v), x.to, y.at(v), "grid")
		c.label(x.from-6, y.at(v)+4, plain(v/1e12), "end", "tick")
	}
	c.label(x.from, top-6, "TFLOP/s reached", "start", "strong")
	c.label((x.from+x.to)/2, top+plotH+36, "operations per byte that must move (logarithmic)", "middle", "strong")
	low := max(x.lo, y.lo/bw)
	c.line(x.at(low), y.at(low*bw), x.at(ridge), y.at(peak), "roof")
	c.line(x.at(ridge), y.at(peak), x.to, y.at(peak), "roof")
	c.label(x.to, y.at(peak)-8, fmt.Sprintf("compute: %.0f TFLOP/s dense %s", peak/1e12, l.Peak.DType), "end", "lane")
	mid := math.Sqrt(low * ridge)
	c.label(x.at(mid)-8, y.at(mid*bw)-8, fmt.Sprintf("memory: %.2f TB/s", bw/1e12), "end", "lane")
	c.line(x.at(ridge), y.at(peak), x.at(ridge), top+plotH, "ridge")
	c.label(x.at(ridge)+6, top+plotH-8, fmt.Sprintf("ridge: %.0f operations per byte", ridge), "start", "tick")

	shown := thin(len(points), func(i int) (int, float64, float64) {
		return shapeOf(points[i].phase), x.at(points[i].x) / 2, y.at(points[i].y) / 2
	})
	for _, i := range shown {
		p := points[i]
		c.marker(x.at(p.x), y.at(p.y), 3.2, shapeOf(p.phase), paint{"pt", swatchOf(phaseSwatches, p.phase).Fill}, p.tip)
	}
	mark := 0
	for _, p := range l.Phases {
		for _, t := range p.Stages {
			if t.Bytes <= 0 && t.FLOPs <= 0 {
				continue
			}
			mark++
			if t.Bytes <= 0 || t.FLOPs <= 0 {
				continue
			}
			px, py := x.at(t.FLOPs/t.Bytes), y.at(t.FLOPs/(float64(max(1, t.Ns))*1e-9))
			sw := swatchOf(partSwatches, "gpu."+t.Stage)
			c.marker(px, py, 8.5, 0, paint{"stage", sw.Fill}, stageTip(&p, &t))
			c.inked(px, py+3.6, fmt.Sprint(mark), "middle", "mark", ink(sw.Fill))
		}
	}
	for _, p := range l.Phases {
		px, py := x.at(p.Intensity), y.at(p.FLOPs/(float64(max(1, p.BusyNs))*1e-9))
		sw := swatchOf(phaseSwatches, p.Phase)
		c.marker(px, py, 7, shapeOf(p.Phase), paint{"phase", sw.Fill}, fmt.Sprintf("%s, %d tokens: %s on the GPU, %s at peak", p.Phase, p.Tokens, Dur(p.BusyNs), idealTime(p.IdealNs)))
		c.label(px+12, py+16, fmt.Sprintf("%s, %d tokens", p.Phase, p.Tokens), "start", "strong")
	}
	return c.done(), fmt.Sprintf("The large markers are the typical steps of a phase; numbered discs are their stages, in the table below; small markers are %d single steps. "+
		"On the slanted roof reading memory is the limit, under the flat one arithmetic; the distance to the roof is what software could still win.", len(points))
}

func stageTip(p *diagnose.PhaseLimit, t *diagnose.StageRoof) string {
	return fmt.Sprintf("%s in %s: %s, %s, MBU %s, MFU %s", t.Stage, p.Phase, Dur(t.Ns), gigabytes(t.Bytes), utilisation(t.MBU), utilisation(t.MFU))
}

func (h *htmlReport) roofDesc() string {
	s := ""
	for _, p := range h.d.Limits.Phases {
		s += fmt.Sprintf("%s step of %d tokens: %.1f operations per byte, %.1f %% of peak bandwidth, %.1f %% of peak arithmetic. ", p.Phase, p.Tokens, p.Intensity, 100*p.MBU, 100*p.MFU)
	}
	return s
}

// plain writes a tick value without an exponent where that is short.
func plain(v float64) string {
	switch {
	case v >= 1e5 || v < 1e-3:
		return fmt.Sprintf("%.0e", v)
	case v >= 10:
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// shareBar is a small bar inside a table cell.
func shareBar(share float64) template.HTML {
	c := &canvas{}
	share = max(0, min(1, share))
	if math.IsNaN(share) {
		share = 0
	}
	c.b.WriteString(`<svg class="cellbar" viewBox="0 0 80 10" width="80" height="10" aria-hidden="true" focusable="false">`)
	c.rect(0, 0, 80, 10, paint{"track", ""}, "")
	c.rect(0, 0, 80*share, 10, paint{"bar", ""}, "")
	c.b.WriteString("</svg>")
	return template.HTML(c.b.String())
}
