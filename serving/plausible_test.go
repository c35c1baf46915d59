package serving

import (
	"strings"
	"testing"
)

// Finite numbers that nothing can measure are left out with a warning, alone.
func TestImplausibleBench(t *testing.T) {
	const rest = `"backend": "vllm", "completed": 10, "total_input_tokens": 100, "total_output_tokens": 200, "mean_ttft_ms": 20`
	for name, c := range map[string]struct {
		fields  string
		known   func(*Bench) bool // the value that is damaged
		warning string
	}{
		"a gap":              {`"duration": 10, "p50_itl_ms": 1e308`, func(b *Bench) bool { return b.ITL.Percentile(50).Known || b.ITL.Median.Known }, "p50_itl_ms"},
		"a mean":             {`"duration": 10, "mean_itl_ms": 3.2e10`, func(b *Bench) bool { return b.ITL.Mean.Known }, "mean_itl_ms"},
		"a year less":        {`"duration": 10, "mean_itl_ms": 3.1e10`, func(b *Bench) bool { return !b.ITL.Mean.Known }, ""},
		"a rate":             {`"duration": 10, "output_throughput": 1.1e12`, func(b *Bench) bool { return b.OutputRate.Known }, "output_throughput"},
		"a rate below":       {`"duration": 10, "output_throughput": 9e11`, func(b *Bench) bool { return !b.OutputRate.Known }, ""},
		"a duration":         {`"duration": 1e300`, func(b *Bench) bool { return b.DurationS.Known || b.OutputRate.Known }, "duration"},
		"a count":            {`"duration": 10, "max_concurrency": 1e18`, func(b *Bench) bool { return b.MaxConcurrency.Known }, "max_concurrency"},
		"a request's detail": {`"duration": 10, "ttfts": [0.1, 1e300], "itls": [[0.1],[0.2]]`, func(b *Bench) bool { return b.TTFT.Max.Value > 101 }, "2 latencies of more than a year"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := ReadBench("bench.json", strings.NewReader("{"+rest+", "+c.fields+"}"))
			if err != nil {
				t.Fatal(err)
			}
			if c.known(b) {
				t.Errorf("not left out, or too much: %+v", b)
			}
			if b.Completed.Value != 10 || b.TTFT.Mean.Value != 20 {
				t.Errorf("what is sound: %v %v", b.Completed, b.TTFT.Mean)
			}
			said := 0
			for _, w := range b.Warnings {
				if w.ID == "implausible" {
					said++
					if !strings.Contains(w.String(), c.warning) || len(w.String()) > 200 {
						t.Errorf("warning %s", w)
					}
				}
			}
			if want := map[bool]int{true: 1}[c.warning != ""]; said != want {
				t.Errorf("%d warnings, want %d: %v", said, want, b.Warnings)
			}
		})
	}
}

// So are gauges.
func TestImplausibleGauge(t *testing.T) {
	const g = "# TYPE vllm:kv_cache_usage_perc gauge\nvllm:kv_cache_usage_perc "
	d := diff(t, g+"0.5\n", g+"1e300\n")
	if d.KVUsage.After.Known || !d.KVUsage.Before.Known {
		t.Errorf("%+v", d.KVUsage)
	}
	if got := strings.Join(ids(d.Warnings), " "); got != "implausible" {
		t.Errorf("warnings %q", got)
	}
}
