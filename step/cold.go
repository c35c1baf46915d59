package step

import (
	"fmt"

	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
)

// Limits of the cold rule: a host call is a first-use effect when it takes at least coldCall and coldRatio times the
// median of its own function. CUDA loads device code lazily, so the first launch or attribute query of a kernel can take
// tens of milliseconds; once loaded it takes microseconds.
const (
	coldCall  = 2_000_000
	coldRatio = 50
)

// markCold flags steps into which first-use effects fall, so that they stay out of the steady state. Calls that wait
// for the GPU by design (synchronisation, copies) are no evidence: their time depends on the work before them.
func (a *Analysis) markCold() {
	p := a.P
	kinds := a.callKinds()
	durs := map[profile.StringID][]int64{}
	var long []int32
	for i, n := range p.Calls.Name {
		switch kinds[n] {
		case kernel.APIModuleLoad, kernel.APIQuery, kernel.APIOther, kernel.APILaunch, kernel.APIGraphLaunch, kernel.APILibrary:
		default:
			continue
		}
		if p.Calls.Dur[i] >= coldCall {
			long = append(long, int32(i))
			durs[n] = nil
		}
	}
	if len(long) == 0 {
		return
	}
	for i, n := range p.Calls.Name {
		if d, ok := durs[n]; ok {
			durs[n] = append(d, p.Calls.Dur[i])
		}
	}
	for ri := range a.Ranks {
		r := &a.Ranks[ri]
		at := 0
		for _, c := range long {
			t, n := p.Calls.Start[c], p.Calls.Name[c]
			if p.Threads[p.Calls.Thread[c]].Process != r.Process {
				continue
			}
			// With four calls or fewer the long one may be the median; loading code is cold by itself then.
			if d := durs[n]; len(d) > 4 && p.Calls.Dur[c] < coldRatio*median(d) {
				continue
			}
			for at < len(r.Steps) && a.Steps[r.Steps[at]].Host.End <= t {
				at++
			}
			if at == len(r.Steps) {
				break
			}
			if s := &a.Steps[r.Steps[at]]; s.Host.Contains(t) && !s.Cold {
				s.Cold = true
				s.ColdWhy = fmt.Sprintf("%s took %.1f ms", kernel.StripAPIVersion(p.Strings.At(n)), float64(p.Calls.Dur[c])/1e6)
			}
		}
	}
}
