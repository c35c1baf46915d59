package ncu

import (
	"math"

	"github.com/stepscope/stepscope/profile"
)

const (
	maxPeriod   = 256
	minCovered  = 2    // instances per candidate that the order must explain
	maxSpread   = 0.02 // variance of the logarithm of (time under ncu / time in the profile) that counts as a fit
	minContrast = 4.0  // how much worse the second best assignment must be
)

// byOrder assigns instances of Nsight Compute to candidate pairs that name, grid and block cannot tell apart. A model
// launches its layers alike, so the candidates come in a repeating sequence; the instances are a piece of it. Where the
// piece begins is unknown: every beginning is tried, and one is taken if with it the durations of both tools are in
// one proportion (Nsight Compute's clock is another) and with no other. nil means that the order does not tell.
func byOrder(p *profile.Profile, f *File, pairs []pairTime, at, instances []int) []int {
	if len(instances) < minCovered*len(at) {
		return nil
	}
	where := map[pair]int{}
	for _, i := range at {
		where[pairs[i].pair] = i
	}
	// The sequence on the queue that holds most of it.
	perQueue := map[int32][]int{}
	best := profile.None
	for i, fn := range p.Kernels.Func {
		if n, ok := where[pair{fn, p.Kernels.Config[i]}]; ok {
			q := p.Kernels.Queue[i]
			perQueue[q] = append(perQueue[q], n)
			if best == profile.None || len(perQueue[q]) > len(perQueue[best]) {
				best = q
			}
		}
	}
	seq := perQueue[best]
	period := periodOf(seq)
	if period == 0 {
		return nil
	}
	dur := make([]float64, len(instances))
	for i, n := range instances {
		d, ok := f.Kernels[n].Duration()
		if !ok || d <= 0 {
			return nil
		}
		dur[i] = float64(d)
	}
	var first, second float64 = math.Inf(1), math.Inf(1)
	var chosen []int
	for phase := range period {
		to := make([]int, len(instances))
		for i := range to {
			to[i] = seq[(phase+i)%period]
		}
		v := spread(pairs, to, dur)
		switch {
		case v < first:
			if chosen != nil && !equal(chosen, to) {
				second = first
			}
			first, chosen = v, to
		case v < second && !equal(chosen, to):
			second = v
		}
	}
	if first > maxSpread || second < minContrast*first || second-first < maxSpread/4 {
		return nil
	}
	return chosen
}

// spread is the variance of log(time under ncu / mean time in the profile).
func spread(pairs []pairTime, to []int, dur []float64) float64 {
	var sum, sq float64
	for i, n := range to {
		if pairs[n].ns <= 0 {
			return math.Inf(1)
		}
		x := math.Log(dur[i] * float64(pairs[n].launches) / float64(pairs[n].ns))
		sum += x
		sq += x * x
	}
	n := float64(len(to))
	return sq/n - sum/n*sum/n
}

// periodOf returns the length of the shortest piece that repeats through all of seq, 0 if there is none.
func periodOf(seq []int) int {
	for period := 1; period <= maxPeriod && 2*period <= len(seq); period++ {
		ok := true
		for i := period; i < len(seq); i++ {
			if seq[i] != seq[i-period] {
				ok = false
				break
			}
		}
		if ok {
			return period
		}
	}
	return 0
}

func equal(a, b []int) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
