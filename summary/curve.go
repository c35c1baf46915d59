package summary

import (
	"fmt"
	"math"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/profile"
)

// Source tells where the values of a Series come from.
type Source string

// Sources of a Series.
const (
	FromTrace    Source = "trace"       // recorded spans and bytes
	FromCounters Source = "gpu-metrics" // sampled hardware counters
	FromEstimate Source = "estimate"    // computed from bytes that were not measured
)

// Units of a Series.
const (
	Fraction       = "fraction"    // of the device's time or peak
	BytesPerSecond = "bytes_per_s" // average rate
)

// Ids of series.
const (
	GPUBusy      = "gpu_busy"      // union of kernels, graph executions, copies and memsets
	KernelBusy   = "kernel_busy"   // union of kernels and graph executions
	CopyBusy     = "copy_busy"     // union of copies and memsets
	CopyHtoD     = "copy_htod"     // bytes copied from host to device
	CopyDtoH     = "copy_dtoh"     // bytes copied from device to host
	CopyDtoD     = "copy_dtod"     // bytes copied within and between devices, and set
	MemBandwidth = "mem_bandwidth" // device memory traffic, read and written
	GRActive     = "gr_active"
	SMActive     = "sm_active"
	SMIssue      = "sm_issue"
	TensorActive = "tensor_active"
	DRAMRead     = "dram_read"
	DRAMWrite    = "dram_write"
	PCIeRX       = "pcie_rx"
	PCIeTX       = "pcie_tx"
	NVLinkRX     = "nvlink_rx"
	NVLinkTX     = "nvlink_tx"
)

// NotRecorded is the value of a bin of which nothing is known. It is a NaN: test with math.IsNaN.
var NotRecorded = math.NaN()

// MaxBins bounds the bins of a curve.
const MaxBins = 4_000_000

// CurveOptions say which window is cut into which bins.
type CurveOptions struct {
	BinNs int64 // width of a bin, > 0
	// Window is the time covered; when it is empty, the capture's window, and where that was not recorded, the time from
	// the first to the last device event. The last bin ends with the window and may be narrower. Bins outside the time
	// that was recorded are NotRecorded.
	Window interval.Span
	// Bytes estimates the device memory traffic of the kernels of a device (an index of Devices) within a span, in
	// bytes; ok is false where it cannot. It is asked once per bin, and only where no counter measured the traffic.
	Bytes func(device int32, span interval.Span) (bytes float64, ok bool)
	// BandwidthBps replaces the peak memory bandwidth that the capture records, in bytes per second; 0 keeps it.
	BandwidthBps int64
}

// Curve is the utilisation of every device over time.
type Curve struct {
	Window  interval.Span
	BinNs   int64
	Devices []DeviceCurve

	recorded interval.Span // the time in which device events were recorded
}

// Bins returns the number of bins.
func (c *Curve) Bins() int {
	if c.Window.Empty() {
		return 0
	}
	return int((c.Window.Dur()-1)/c.BinNs) + 1
}

// Bin returns the time of bin i.
func (c *Curve) Bin(i int) interval.Span {
	start := c.Window.Start + int64(i)*c.BinNs
	return interval.Span{Start: start, End: start + min(c.BinNs, c.Window.End-start)}
}

// DeviceCurve holds the series of one device.
type DeviceCurve struct {
	Device  int32 // index into Devices
	ID      int64
	Name    string // "" = not recorded
	Series  []Series
	Missing []MissingSeries
}

// MissingSeries names a series that the capture does not allow, and what would.
type MissingSeries struct {
	ID     string
	Text   string
	Remedy string
}

// Series is one quantity over time.
type Series struct {
	ID     string
	Unit   string
	Source Source
	Basis  string // one line: what it was computed from

	Values  []float64 // mean of each bin over the part of it that was recorded; NotRecorded where none was
	Covered []int64   // per bin, the ns that were recorded

	Mean      float64 // over all that was recorded in the window; NotRecorded where nothing was
	CoveredNs int64
	// Integral is the sum of value times time over what was recorded: busy ns for a fraction, bytes for a rate.
	Integral float64
}

// Find returns the series of an id, nil if the device has none.
func (d *DeviceCurve) Find(id string) *Series {
	for i := range d.Series {
		if d.Series[i].ID == id {
			return &d.Series[i]
		}
	}
	return nil
}

// Curves computes the utilisation of every device that did anything or was sampled. Devices that the capture only lists
// are left out: that no traced process used them does not make them idle.
func Curves(p *profile.Profile, o CurveOptions) (*Curve, error) {
	if o.BinNs <= 0 {
		return nil, fmt.Errorf("bin of %d ns: must be positive", o.BinNs)
	}
	acts := activities(p)
	recorded := p.Window
	for i := range acts {
		recorded = hull(recorded, acts[i].bounds())
	}
	w := o.Window
	if w.Empty() {
		w = p.Window
	}
	if w.Empty() {
		w = recorded
	}
	if w.Start < -profile.MaxTime || w.End > profile.MaxTime {
		return nil, fmt.Errorf("window from %d to %d ns: times beyond %d ns are not supported", w.Start, w.End, profile.MaxTime)
	}
	o.BinNs = min(o.BinNs, max(1, w.Dur())) // one bin is the most that a window needs
	if n := w.Dur() / o.BinNs; n >= MaxBins {
		return nil, fmt.Errorf("%d bins of %d ns: at most %d; use a wider bin or a narrower window", n+1, o.BinNs, MaxBins)
	}
	c := &Curve{Window: w, BinNs: o.BinNs, recorded: recorded}
	sampled := counterSets(p)
	for d := range p.Devices {
		if acts[d].empty() && len(sampled[int32(d)]) == 0 {
			continue
		}
		dev := DeviceCurve{Device: int32(d), ID: p.Devices[d].ID, Name: p.Devices[d].Name}
		c.traced(p, &dev, &acts[d])
		c.counted(&dev, sampled[int32(d)])
		c.bandwidth(p, &dev, &acts[d], o)
		c.Devices = append(c.Devices, dev)
	}
	return c, nil
}

// activity is what one device did.
type activity struct {
	kernels []interval.Span // and graph executions
	copies  []interval.Span // and memsets
	moved   [3][]transfer   // by copy series
	traffic []transfer      // device memory traffic of copies and memsets
}

type transfer struct {
	interval.Span
	bytes int64
}

func (a *activity) empty() bool { return len(a.kernels) == 0 && len(a.copies) == 0 }

// bounds returns the smallest span that holds every event of a.
func (a *activity) bounds() interval.Span {
	var out interval.Span
	for _, spans := range [][]interval.Span{a.kernels, a.copies} {
		for _, s := range spans {
			out = hull(out, s)
		}
	}
	return out
}

// hull returns the smallest span that holds a and b; empty ones count for nothing.
func hull(a, b interval.Span) interval.Span {
	switch {
	case a.Empty():
		return b
	case b.Empty():
		return a
	}
	return interval.Span{Start: min(a.Start, b.Start), End: max(a.End, b.End)}
}

var copySeries = [3]string{CopyHtoD, CopyDtoH, CopyDtoD}

// activities sorts the device events by device.
func activities(p *profile.Profile) []activity {
	out := make([]activity, len(p.Devices))
	of := func(q int32) *activity { return &out[p.Queues[q].Device] }
	k, g, m, s := &p.Kernels, &p.GraphTraces, &p.Copies, &p.Memsets
	for i, q := range k.Queue {
		a := of(q)
		a.kernels = append(a.kernels, interval.Span{Start: k.Start[i], End: k.Start[i] + k.Dur[i]})
	}
	for i, q := range g.Queue {
		a := of(q)
		a.kernels = append(a.kernels, interval.Span{Start: g.Start[i], End: g.Start[i] + g.Dur[i]})
	}
	for i, q := range m.Queue {
		a, span := of(q), interval.Span{Start: m.Start[i], End: m.Start[i] + m.Dur[i]}
		a.copies = append(a.copies, span)
		n := max(0, m.Bytes[i])
		traffic := n // one side is in the device's memory
		switch m.Kind[i] {
		case profile.CopyHtoD, profile.CopyHtoA, profile.CopyUVMHtoD:
			a.moved[0] = append(a.moved[0], transfer{span, n})
		case profile.CopyDtoH, profile.CopyAtoH, profile.CopyUVMDtoH:
			a.moved[1] = append(a.moved[1], transfer{span, n})
		case profile.CopyDtoD, profile.CopyDtoA, profile.CopyAtoD, profile.CopyAtoA:
			a.moved[2] = append(a.moved[2], transfer{span, n})
			traffic = 2 * n // read and written
		case profile.CopyPtoP, profile.CopyUVMDtoD:
			a.moved[2] = append(a.moved[2], transfer{span, n})
		default:
			traffic = 0
		}
		a.traffic = append(a.traffic, transfer{span, traffic})
	}
	for i, q := range s.Queue {
		a, span := of(q), interval.Span{Start: s.Start[i], End: s.Start[i] + s.Dur[i]}
		a.copies = append(a.copies, span)
		t := transfer{span, max(0, s.Bytes[i])}
		a.moved[2] = append(a.moved[2], t)
		a.traffic = append(a.traffic, t)
	}
	return out
}

// traced adds the series that follow from the trace alone.
func (c *Curve) traced(p *profile.Profile, d *DeviceCurve, a *activity) {
	if a.empty() {
		for _, id := range []string{GPUBusy, KernelBusy, CopyBusy} {
			d.Missing = append(d.Missing, MissingSeries{id, "no kernel, copy or graph execution was recorded on this device",
				"capture with -t cuda"})
		}
		return
	}
	kernels, copies := interval.Union(a.kernels), interval.Union(a.copies)
	all := interval.Union(append(append([]interval.Span(nil), kernels...), copies...))
	basis := "kernels, copies and memsets"
	if p.GraphTraces.Len() > 0 {
		basis = "kernels, graph executions, copies and memsets"
	}
	d.Series = append(d.Series,
		c.busy(GPUBusy, "union of "+basis, all),
		c.busy(KernelBusy, "union of kernels and graph executions", kernels),
		c.busy(CopyBusy, "union of copies and memsets", copies))
	for i, id := range copySeries {
		if len(a.moved[i]) > 0 {
			d.Series = append(d.Series, c.rate(id, "bytes of copies, spread evenly over each", a.moved[i]))
		}
	}
}

// busy is the fraction of each bin that s covers.
func (c *Curve) busy(id, basis string, s interval.Set) Series {
	x := c.series(id, Fraction, FromTrace, basis)
	for b := range x.Values {
		x.Covered[b] = c.known(b)
	}
	for _, span := range s {
		c.overlaps(span, func(b int, ns int64) { x.Values[b] += float64(ns) })
	}
	x.finish()
	return x
}

// rate is the bytes per second of each bin; the bytes of a transfer are spread evenly over its duration, and those of
// one without duration fall into the bin that holds it.
func (c *Curve) rate(id, basis string, moved []transfer) Series {
	x := c.series(id, BytesPerSecond, FromTrace, basis)
	for b, bytes := range c.spread(moved) {
		// A rate integrates to bytes over seconds, so time is kept in ns and the value scaled.
		x.add(b, bytes*1e9, c.known(b))
	}
	x.finish()
	x.Integral /= 1e9
	return x
}

// known returns how much of bin b lies in the time in which device events were recorded, in ns.
func (c *Curve) known(b int) int64 { return c.Bin(b).Clip(c.recorded).Dur() }

// spread distributes bytes over the bins.
func (c *Curve) spread(moved []transfer) []float64 {
	out := make([]float64, c.Bins())
	for _, t := range moved {
		if t.Empty() {
			if c.Window.Contains(t.Start) {
				out[(t.Start-c.Window.Start)/c.BinNs] += float64(t.bytes)
			}
			continue
		}
		per := float64(t.bytes) / float64(t.Dur())
		c.overlaps(t.Span, func(b int, ns int64) { out[b] += per * float64(ns) })
	}
	return out
}

// overlaps calls f with every bin that s touches and the ns that they share.
func (c *Curve) overlaps(s interval.Span, f func(bin int, ns int64)) {
	s = s.Clip(c.Window)
	if s.Empty() {
		return
	}
	for b := (s.Start - c.Window.Start) / c.BinNs; ; b++ {
		bin := c.Bin(int(b))
		if bin.Start >= s.End {
			return
		}
		f(int(b), s.Clip(bin).Dur())
		if bin.End >= s.End {
			return
		}
	}
}

// series starts a series in which no bin is recorded.
func (c *Curve) series(id, unit string, source Source, basis string) Series {
	n := c.Bins()
	return Series{ID: id, Unit: unit, Source: source, Basis: basis, Values: make([]float64, n), Covered: make([]int64, n)}
}

// add adds value times time and the time itself to a bin.
func (x *Series) add(bin int, area float64, ns int64) {
	x.Values[bin] += area
	x.Covered[bin] += ns
}

// finish turns the areas into means.
func (x *Series) finish() {
	for i, ns := range x.Covered {
		x.CoveredNs += ns
		x.Integral += x.Values[i]
		if ns == 0 {
			x.Values[i] = NotRecorded
			continue
		}
		x.Values[i] /= float64(ns)
	}
	x.Mean = NotRecorded
	if x.CoveredNs > 0 {
		x.Mean = x.Integral / float64(x.CoveredNs)
	}
}
