package summary

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/profile"
)

func curves(t testing.TB, p *profile.Profile, o CurveOptions) *Curve {
	t.Helper()
	c, err := Curves(p, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestBusyPerBin(t *testing.T) {
	b := newBuilder()
	b.kernel(1, 0, -5, 10, "k", 0) // begins before the window
	b.kernel(1, 0, 8, 10, "k", 0)  // over an edge
	b.kernel(1, 0, 10, 4, "k", 0)  // hidden under the one before
	b.copy(1, 0, 26, 8, 100, profile.CopyHtoD, 0)
	b.P.Window = interval.Span{Start: 0, End: 33}
	c := curves(t, b.done(t), CurveOptions{BinNs: 10})
	d := &c.Devices[0]
	busy := d.Find(GPUBusy)
	// The last bin is 3 ns wide and the copy fills it.
	want := []float64{0.7, 0.8, 0.4, 1}
	for i, v := range want {
		if math.Abs(busy.Values[i]-v) > 1e-12 {
			t.Errorf("bin %d: %v, want %v", i, busy.Values[i], v)
		}
	}
	if busy.Integral != 22 || busy.CoveredNs != 33 || math.Abs(busy.Mean-22.0/33) > 1e-12 {
		t.Errorf("integral %v over %d, mean %v", busy.Integral, busy.CoveredNs, busy.Mean)
	}
	// 7 of the copy's 8 ns are in the window.
	if h := d.Find(CopyHtoD); math.Abs(h.Integral-87.5) > 1e-9 || h.Unit != BytesPerSecond {
		t.Errorf("%v %s", h.Integral, h.Unit)
	}
	if d.Find(MemBandwidth) != nil || d.Find(SMActive) != nil {
		t.Error("invented a counter")
	}
}

func TestCounterGapsAreNotZero(t *testing.T) {
	b := newBuilder()
	// 10 ns apart from -10 to 90, nothing until 200, then on to 300; the sample at 50 is out of order.
	var times, values []int64
	for at := int64(-10); at <= 90; at += 10 {
		times, values = append(times, at), append(values, 40)
	}
	for at := int64(200); at <= 290; at += 10 {
		times, values = append(times, at), append(values, 80)
	}
	times[6], times[7] = times[7], times[6]
	b.counter(0, "SMs Active [Throughput %]", times, values)
	b.P.Window = interval.Span{Start: 0, End: 300}
	c := curves(t, b.done(t), CurveOptions{BinNs: 50})
	x := c.Devices[0].Find(SMActive)
	if x.Source != FromCounters || x.Unit != Fraction {
		t.Fatalf("%+v", x)
	}
	// The sample at 90 covers 15 ns at most, so 105..200 is a gap.
	for i, want := range []float64{0.4, 0.4, 0.4, NotRecorded, 0.8, 0.8} {
		if got := x.Values[i]; math.Abs(got-want) > 1e-12 || math.IsNaN(got) != math.IsNaN(want) {
			t.Errorf("bin %d: %v, want %v", i, got, want)
		}
	}
	if x.CoveredNs != 205 || x.Covered[2] != 5 {
		t.Errorf("covered %d, bin 2 %d", x.CoveredNs, x.Covered[2])
	}
	if want := (105*0.4 + 100*0.8) / 205; math.Abs(x.Mean-want) > 1e-12 {
		t.Errorf("mean %v, want %v", x.Mean, want)
	}
	// No trace on this device: busy is not recorded rather than 0.
	if c.Devices[0].Find(GPUBusy) != nil {
		t.Error("busy without a trace")
	}
}

func TestUnequalSampling(t *testing.T) {
	b := newBuilder()
	// 100 samples at 10 ns of 10 %, then 100 at 30 ns of 90 %.
	var times, values []int64
	at := int64(0)
	for range 100 {
		times, values = append(times, at), append(values, 10)
		at += 10
	}
	for range 100 {
		times, values = append(times, at), append(values, 90)
		at += 30
	}
	b.counter(0, "DRAM Read Bandwidth [Throughput %]", times, values)
	b.P.Window = interval.Span{Start: 0, End: at}
	x := curves(t, b.done(t), CurveOptions{BinNs: 1000}).Devices[0].Find(DRAMRead)
	// The mean weighs by time, not by sample; a change of pace inside one neighbourhood may cost a little cover.
	if want := (1000*0.1 + 3000*0.9) / 4000; math.Abs(x.Mean-want) > 0.03 {
		t.Errorf("mean %v, want about %v", x.Mean, want)
	}
	if x.CoveredNs < at*85/100 || x.CoveredNs > at {
		t.Errorf("covered %d of %d", x.CoveredNs, at)
	}
	for i, v := range x.Values {
		want := 0.9
		if i == 0 {
			want = 0.1
		}
		if math.Abs(v-want) > 1e-12 {
			t.Errorf("bin %d: %v", i, v)
		}
	}
}

func TestBandwidthSources(t *testing.T) {
	build := func() *builder {
		b := newBuilder()
		b.AddDevice(profile.Device{ID: 0, BandwidthBps: 1_000_000_000_000}) // 1000 bytes per ns
		b.kernel(1, 0, 0, 100, "k", 0)
		b.copy(1, 0, 100, 100, 10_000, profile.CopyDtoD, 0)
		b.P.Window = interval.Span{Start: 0, End: 200}
		return b
	}
	bytes := func(_ int32, s interval.Span) (float64, bool) {
		return float64(s.Clip(interval.Span{Start: 0, End: 100}).Dur()) * 700, true
	}
	p := build().done(t)
	d := curves(t, p, CurveOptions{BinNs: 100}).Devices[0]
	if d.Find(MemBandwidth) != nil || d.Missing[len(d.Missing)-1].ID != MemBandwidth {
		t.Error("bandwidth without any knowledge of kernels")
	}
	x := curves(t, p, CurveOptions{BinNs: 100, Bytes: bytes}).Devices[0].Find(MemBandwidth)
	// Copies within the device read and write: 20,000 bytes in 100 ns.
	if x.Source != FromEstimate || math.Abs(x.Values[0]-0.7) > 1e-12 || math.Abs(x.Values[1]-0.2) > 1e-12 {
		t.Errorf("%+v", x)
	}
	if y := curves(t, p, CurveOptions{BinNs: 100, Bytes: bytes, BandwidthBps: 2e12}).Devices[0].Find(MemBandwidth); math.Abs(y.Mean-x.Mean/2) > 1e-12 {
		t.Errorf("peak not replaced: %v", y.Mean)
	}
	never := func(int32, interval.Span) (float64, bool) { return 0, false }
	if curves(t, p, CurveOptions{BinNs: 100, Bytes: never}).Devices[0].Find(MemBandwidth) != nil {
		t.Error("an estimate that was refused")
	}
	b := build()
	b.counter(0, "DRAM Read Bandwidth [Throughput %]", []int64{0, 50, 100, 150}, []int64{60, 60, 20, 20})
	b.counter(0, "DRAM Write Bandwidth [Throughput %]", []int64{0, 50, 100, 150}, []int64{5, 5, 10, 10})
	m := curves(t, b.done(t), CurveOptions{BinNs: 100, Bytes: bytes}).Devices[0].Find(MemBandwidth)
	if m.Source != FromCounters || math.Abs(m.Values[0]-0.65) > 1e-12 || math.Abs(m.Values[1]-0.3) > 1e-12 {
		t.Errorf("%+v", m)
	}
}

func TestOutsideTheCaptureIsNotRecorded(t *testing.T) {
	b := newBuilder()
	b.kernel(1, 0, 10, 10, "k", 0)
	b.P.Window = interval.Span{Start: 0, End: 100}
	x := curves(t, b.done(t), CurveOptions{BinNs: 50, Window: interval.Span{Start: -100, End: 200}}).Devices[0].Find(GPUBusy)
	for i, want := range []bool{true, true, false, false, true, true} {
		if math.IsNaN(x.Values[i]) != want {
			t.Errorf("bin %d: %v", i, x.Values[i])
		}
	}
	if x.CoveredNs != 100 || math.Abs(x.Mean-0.1) > 1e-12 {
		t.Errorf("%d %v", x.CoveredNs, x.Mean)
	}
}

// TestBinsSumToTotals is the law of curves: whatever the bins, integrals are those of the window.
func TestBinsSumToTotals(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	for seed := range uint64(40) {
		p := random(t, seed)
		w := interval.Span{Start: r.Int64N(500) - 250, End: 500 + r.Int64N(2000)}
		c := curves(t, p, CurveOptions{BinNs: 1 + r.Int64N(700), Window: w})
		for i := range c.Devices {
			d := &c.Devices[i]
			var spans []interval.Span
			for j, q := range p.Kernels.Queue {
				if p.Queues[q].Device == d.Device {
					spans = append(spans, interval.Span{Start: p.Kernels.Start[j], End: p.Kernels.End(j)})
				}
			}
			for j, q := range p.Copies.Queue {
				if p.Queues[q].Device == d.Device {
					spans = append(spans, interval.Span{Start: p.Copies.Start[j], End: p.Copies.Start[j] + p.Copies.Dur[j]})
				}
			}
			for j, q := range p.Memsets.Queue {
				if p.Queues[q].Device == d.Device {
					spans = append(spans, interval.Span{Start: p.Memsets.Start[j], End: p.Memsets.Start[j] + p.Memsets.Dur[j]})
				}
			}
			want := interval.Busy(interval.Union(spans), w)
			if got := d.Find(GPUBusy).Integral; got != float64(want) {
				t.Fatalf("seed %d device %d: busy %v, want %d", seed, d.ID, got, want)
			}
			for _, x := range d.Series {
				var area float64
				var covered int64
				for b, v := range x.Values {
					if x.Covered[b] > c.Bin(b).Dur() || x.Covered[b] == 0 != math.IsNaN(v) || v < 0 || x.Unit == Fraction && v > 1 {
						t.Fatalf("%s bin %d: %v, covered %d", x.ID, b, v, x.Covered[b])
					}
					if x.Covered[b] > 0 {
						area += v * float64(x.Covered[b])
					}
					covered += x.Covered[b]
				}
				if x.Unit == BytesPerSecond {
					area /= 1e9
				}
				if math.Abs(area-x.Integral) > 1e-6*(1+x.Integral) || covered != x.CoveredNs {
					t.Fatalf("%s: bins sum to %v over %d, integral %v over %d", x.ID, area, covered, x.Integral, x.CoveredNs)
				}
			}
		}
	}
}

func TestCurveErrors(t *testing.T) {
	p := random(t, 1)
	for _, o := range []CurveOptions{{}, {BinNs: -1}, {BinNs: 1, Window: interval.Span{Start: 0, End: 1 << 40}}} {
		if _, err := Curves(p, o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
	if _, err := Curves(p, CurveOptions{BinNs: 1, Window: interval.Span{Start: math.MinInt64, End: math.MaxInt64}}); err == nil {
		t.Error("no error for a window of all times")
	}
	wide := curves(t, p, CurveOptions{BinNs: math.MaxInt64, Window: interval.Span{Start: -profile.MaxTime, End: profile.MaxTime}})
	if x := wide.Devices[0].Find(GPUBusy); wide.Bins() != 1 || x.CoveredNs != 2100 {
		t.Errorf("%d bins, %d ns", wide.Bins(), x.CoveredNs)
	}
	c := curves(t, &profile.Profile{}, CurveOptions{BinNs: 10})
	var out bytes.Buffer
	if err := c.WriteText(&out, 80); err != nil || !strings.Contains(out.String(), "no device work") {
		t.Errorf("%q %v", out.String(), err)
	}
}

func TestCurveWriters(t *testing.T) {
	p := random(t, 2)
	p.Devices[0].Name = "GPU \"A\"\x1b[0m"
	p.Counters = []profile.Counter{{Device: 0, Name: "Tensor Active [Throughput %]", Times: []int64{0, 100, 900, 1000}, Values: []int64{10, 20, 30, 40}}}
	c := curves(t, p, CurveOptions{BinNs: 100})
	var j, v, x bytes.Buffer
	for _, err := range []error{c.WriteJSON(&j), c.WriteCSV(&v), c.WriteText(&x, 0)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var doc struct {
		Schema  string
		BinNs   int64 `json:"bin_ns"`
		Bins    int
		Devices []struct {
			ID     int64
			Name   *string
			Series []struct {
				ID, Unit, Source, Basis string
				Mean                    *float64
				CoveredNs               int64 `json:"covered_ns"`
				Values                  []*float64
			}
			NotRecorded []struct{ ID, Text, Remedy string } `json:"not_recorded"`
		}
	}
	if err := json.Unmarshal(j.Bytes(), &doc); err != nil {
		t.Fatalf("%v\n%s", err, j.String())
	}
	if doc.Schema != CurveSchema || doc.BinNs != 100 || doc.Bins != c.Bins() || len(doc.Devices) != len(c.Devices) {
		t.Errorf("%+v", doc)
	}
	null := 0
	for _, s := range doc.Devices[0].Series {
		if len(s.Values) != c.Bins() || s.Basis == "" {
			t.Errorf("%s: %d values", s.ID, len(s.Values))
		}
		for _, v := range s.Values {
			if v == nil {
				null++
			}
		}
	}
	if null == 0 {
		t.Error("no gap in a counter that has one")
	}
	rec, err := csv.NewReader(&v).ReadAll()
	if err != nil || len(rec) != c.Bins()+1 {
		t.Errorf("%d records, %v", len(rec), err)
	}
	for line := range strings.Lines(x.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 100 || strings.ContainsRune(line, 0x1b) {
			t.Errorf("%d columns: %q", n, line)
		}
	}
	if !strings.Contains(x.String(), string(gap)) || !strings.Contains(x.String(), "not recorded") {
		t.Error(x.String())
	}
}
