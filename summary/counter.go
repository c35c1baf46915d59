package summary

import (
	"cmp"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/profile"
)

// counterSeries maps the names of sampled counters, which differ between GPU generations, to series. A name matches by
// its beginning, in lower case; only those in per cent of the peak count.
var counterSeries = []struct {
	id    string
	names []string
}{
	{GRActive, []string{"gr active"}},
	{SMActive, []string{"sms active", "sm active"}},
	{SMIssue, []string{"sm issue", "sm instructions / issue"}},
	{TensorActive, []string{"tensor active", "sm instructions / tensor active"}},
	{DRAMRead, []string{"dram read bandwidth", "dram read throughput", "dram bandwidth / read"}},
	{DRAMWrite, []string{"dram write bandwidth", "dram write throughput", "dram bandwidth / write"}},
	{PCIeRX, []string{"pcie rx throughput", "pcie read throughput", "pcie bandwidth / rx"}},
	{PCIeTX, []string{"pcie tx throughput", "pcie write throughput", "pcie bandwidth / tx"}},
	{NVLinkRX, []string{"nvlink rx bandwidth", "nvlink rx throughput", "nvlink bandwidth / rx"}},
	{NVLinkTX, []string{"nvlink tx bandwidth", "nvlink tx throughput", "nvlink bandwidth / tx"}},
}

// counterID returns the series of a counter, "" if it is none of them.
func counterID(c *profile.Counter) string {
	name := strings.ToLower(c.Name)
	if c.Unit != "percent" && !strings.Contains(name, "%") {
		return ""
	}
	for _, s := range counterSeries {
		for _, n := range s.names {
			if strings.HasPrefix(name, n) {
				return s.id
			}
		}
	}
	return ""
}

// counterSets lists by device the counters that are series, the first of each id. Counters of an unknown device belong
// to the only device there is, or to none.
func counterSets(p *profile.Profile) map[int32][]*profile.Counter {
	out := map[int32][]*profile.Counter{}
	type key struct {
		device int32
		id     string
	}
	seen := map[key]bool{}
	for i := range p.Counters {
		c := &p.Counters[i]
		id := counterID(c)
		if id == "" || len(c.Times) == 0 {
			continue
		}
		d := c.Device
		if d == profile.None && len(p.Devices) == 1 {
			d = 0
		}
		if d == profile.None || seen[key{d, id}] {
			continue
		}
		seen[key{d, id}] = true
		out[d] = append(out[d], c)
	}
	return out
}

// counted adds the measured series, in the order of counterSeries, and names those that were not sampled.
func (c *Curve) counted(d *DeviceCurve, counters []*profile.Counter) {
	byID := map[string]*profile.Counter{}
	for _, n := range counters {
		byID[counterID(n)] = n
	}
	for _, s := range counterSeries {
		n := byID[s.id]
		if n == nil {
			switch s.id {
			case NVLinkRX, NVLinkTX, GRActive, SMIssue: // not on every device, or context only
			default:
				d.Missing = append(d.Missing, MissingSeries{s.id, "not sampled", "capture with --gpu-metrics-devices"})
			}
			continue
		}
		x := c.series(s.id, Fraction, FromCounters, "samples of "+n.Name)
		c.sampled(&x, n)
		d.Series = append(d.Series, x)
	}
}

// sample is the value of a counter over a span, in per cent.
type sample struct {
	interval.Span
	value int64
}

// samples gives every sample of a counter the time that it stands for. A sample covers the time from its timestamp to
// the next: compared with the kernels of a real capture sampled at 10 kHz, this placing correlates best, against half a
// period or more to either side. Where samples are missing, a sample covers no more than one and a half of the periods
// usual in its neighbourhood, and the rest of the gap is not recorded.
func samples(n *profile.Counter) []sample {
	order := profile.Order(n.Times)
	times, values := profile.Permute(n.Times, order), profile.Permute(n.Values, order)
	out := make([]sample, 0, len(times))
	const neighbours = 64
	var steps []int64
	for lo := 0; lo < len(times); lo += neighbours {
		hi := min(lo+neighbours, len(times))
		steps = steps[:0]
		for i := lo; i < hi && i+1 < len(times); i++ {
			if d := times[i+1] - times[i]; d > 0 {
				steps = append(steps, d)
			}
		}
		if len(steps) < 4 { // the tail of the list: look at the samples before it too
			for i := max(0, lo-neighbours); i < lo; i++ {
				if d := times[i+1] - times[i]; d > 0 {
					steps = append(steps, d)
				}
			}
		}
		period := int64(0)
		if len(steps) > 0 {
			slices.SortFunc(steps, cmp.Compare)
			period = steps[len(steps)/2]
		}
		for i := lo; i < hi; i++ {
			end := times[i] + period
			if i+1 < len(times) {
				end = min(times[i+1], times[i]+period+period/2)
			}
			out = append(out, sample{interval.Span{Start: times[i], End: end}, values[i]})
		}
	}
	return out
}

// sampled integrates a counter in per cent over the bins.
func (c *Curve) sampled(x *Series, n *profile.Counter) {
	for _, s := range samples(n) {
		c.overlaps(s.Span, func(b int, ns int64) { x.add(b, float64(s.value)/100*float64(ns), ns) })
	}
	x.finish()
}

// bandwidth adds the utilisation of the device's memory: measured where read and write were sampled, else estimated from
// the bytes of copies and what the caller knows about kernels.
func (c *Curve) bandwidth(p *profile.Profile, d *DeviceCurve, a *activity, o CurveOptions) {
	if r, w := d.Find(DRAMRead), d.Find(DRAMWrite); r != nil && w != nil {
		x := c.series(MemBandwidth, Fraction, FromCounters, "sum of the read and write counters")
		for b := range x.Values {
			// Both come from one sample set; where one is missing, the sum is not known.
			if r.Covered[b] > 0 && w.Covered[b] > 0 {
				ns := min(r.Covered[b], w.Covered[b])
				x.add(b, (r.Values[b]+w.Values[b])*float64(ns), ns)
			}
		}
		x.finish()
		d.Series = append(d.Series, x)
		return
	}
	miss := func(text, remedy string) {
		d.Missing = append(d.Missing, MissingSeries{MemBandwidth, text, remedy})
	}
	peak := o.BandwidthBps
	if peak == 0 {
		peak = p.Devices[d.Device].BandwidthBps
	}
	switch {
	case a.empty():
		miss("no kernel, copy or graph execution was recorded on this device", "capture with -t cuda")
		return
	case o.Bytes == nil:
		miss("the memory traffic of kernels is not recorded", "capture with --gpu-metrics-devices")
		return
	case peak <= 0:
		miss("the device's peak memory bandwidth is not recorded", "name the GPU")
		return
	}
	x := c.series(MemBandwidth, Fraction, FromEstimate, "estimated traffic of kernels and bytes of copies, of the peak bandwidth")
	copied := c.spread(a.traffic)
	known := false
	for b := range x.Values {
		bytes, ok := o.Bytes(d.Device, c.Bin(b))
		if !ok {
			continue
		}
		known = true
		// bytes / (peak * seconds) is the fraction; times ns it is the area.
		x.add(b, (bytes+copied[b])*1e9/float64(peak), c.known(b))
	}
	if !known {
		miss("the memory traffic of kernels could not be estimated", "capture with --gpu-metrics-devices")
		return
	}
	x.finish()
	d.Series = append(d.Series, x)
}
