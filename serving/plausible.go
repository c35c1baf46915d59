package serving

import (
	"fmt"
	"strconv"
)

// What no server and no client can measure. Finite numbers beyond it are damage, as NaN is, and left out like it.
const (
	mostSeconds = 366 * 24 * 3600.0 // a year
	mostRate    = 1e12              // per second, of requests or tokens
	mostCount   = 1e15              // requests or tokens of one run
	mostCounter = 1e18              // of a server's life, in whatever unit
)

// formatShort writes a number that need not be read back.
func formatShort(v float64) string { return strconv.FormatFloat(v, 'g', 3, 64) }

// plausible leaves out what is beyond any physical meaning, with a warning each.
func (b *Bench) plausible() {
	drop := func(src Source, v float64, unit string) {
		b.Warnings = append(b.Warnings, Warning{ID: "implausible", Source: src, Text: fmt.Sprintf("%.3g %s is beyond anything that can be measured; it was left out", v, unit)})
	}
	fact := func(f *Fact[float64], most float64, unit string) {
		if f.Known && f.Value > most {
			drop(f.Source, f.Value, unit)
			*f = Fact[float64]{}
		}
	}
	fact(&b.DurationS, mostSeconds, "s")
	for _, f := range []*Fact[float64]{&b.RequestRateDone, &b.OutputRate, &b.TotalRate, &b.PeakOutputRate, &b.Goodput} {
		fact(f, mostRate, "per second")
	}
	for _, f := range []*Fact[float64]{&b.MeanConcurrency, &b.PeakConcurrency} {
		fact(f, mostCount, "at once")
	}
	for _, f := range []*Fact[int64]{&b.NumPrompts, &b.MaxConcurrency, &b.InputLen, &b.OutputLen, &b.Completed, &b.Failed, &b.InputTokens, &b.OutputTokens} {
		if f.Known && float64(f.Value) > mostCount {
			drop(f.Source, float64(f.Value), "requests or tokens")
			*f = Fact[int64]{}
		}
	}
	for _, d := range []*Distribution{&b.TTFT, &b.TPOT, &b.ITL, &b.E2E, &b.Queue} {
		for _, f := range []*Fact[float64]{&d.Mean, &d.Median, &d.Std, &d.Min, &d.Max} {
			if f.Known && f.Value > mostSeconds*1e3 && d.hasPercentile(f) {
				*f = Fact[float64]{} // told with its percentile
			}
			fact(f, mostSeconds*1e3, "ms")
		}
		kept := d.Percentiles[:0]
		for _, p := range d.Percentiles {
			if p.Value > mostSeconds*1e3 {
				drop(p.Source, p.Value, "ms")
				continue
			}
			kept = append(kept, p)
		}
		d.Percentiles = kept
	}
}

// hasPercentile reports whether a value was taken over from a percentile of the same source.
func (d *Distribution) hasPercentile(f *Fact[float64]) bool {
	for _, p := range d.Percentiles {
		if p.Source == f.Source {
			return true
		}
	}
	return false
}
