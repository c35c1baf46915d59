package compare

import (
	"testing"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/step"
)

// Steps that run on several engines at once add up; those of one engine follow one another.
func TestRatesOfSeveralEngines(t *testing.T) {
	const ms = 1_000_000
	for engines, want := range map[int]float64{1: 800, 2: 1600, 3: 2400} { // 8 tokens in 10 ms each
		d := &Digest{}
		for i := range int64(40) {
			for e := range int64(engines) {
				at := 10*ms*i + 3*ms*e
				d.steps = append(d.steps, step.Step{Phase: step.Decode, Period: 10 * ms, GPU: interval.Span{Start: at, End: at + 10*ms}, Batch: step.Batch{DecodeRequests: 8, DecodeTokens: 8}})
			}
		}
		pairs, ok := rates(d, func(s *step.Step) float64 { return float64(s.Batch.DecodeTokens) }, func(*step.Step) bool { return true })
		if !ok {
			t.Fatal("no rate")
		}
		var work, ns float64
		for _, p := range pairs {
			work, ns = work+p.work, ns+p.ns
		}
		// The engines begin 3 ms apart, which the time of all includes.
		if got := work / ns * 1e9; got > want || got < 0.98*want || engines == 1 && got != want {
			t.Errorf("%d engines: %.1f tokens/s, want %.0f", engines, got, want)
		}
	}
}
