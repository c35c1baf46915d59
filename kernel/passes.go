package kernel

// splitPasses cuts a step into model executions. The spans cover the step.
func (a *assigner) splitPasses() []span {
	n := len(a.seq)
	cores := 0
	for _, k := range a.kinds {
		if k == kindCore || k == kindLinear {
			cores++
		}
	}
	if cores == 0 {
		return []span{{0, n}}
	}
	cuts := a.sampleCuts(cores)
	cuts = append(cuts, a.embedCuts(cuts)...)
	isCut := make([]bool, n+1)
	for _, c := range cuts {
		isCut[c] = true
	}
	var out []span
	lo := 0
	for i := 1; i < n; i++ {
		if !isCut[i] || !a.hasCore(lo, i) || !a.hasCore(i, n) {
			continue
		}
		out = append(out, span{lo, i})
		lo = i
	}
	return append(out, span{lo, n})
}

func (a *assigner) hasCore(lo, hi int) bool {
	return a.next(lo, hi, kindCore, kindLinear) >= 0
}

// sampleCuts returns the ends of sampling between two cores. Softmax, top-k and
// sort kernels inside MoE layers carry the same names as sampling does: they
// are followed by MoE kernels, or there are as many of them as layers.
func (a *assigner) sampleCuts(cores int) []int {
	var cuts []int
	for i := 0; i < len(a.kinds); i++ {
		if a.kinds[i] != kindSample {
			continue
		}
		end := i + 1
		j := end
	scan:
		for ; j < len(a.kinds); j++ {
			switch a.kinds[j] {
			case kindSample:
				end = j + 1
			case kindGemm, kindMoEGemm, kindRouter, kindMoE, kindAct, kindNorm, kindCore, kindLinear, kindConv, kindKV, kindEmbed:
				break scan
			}
		}
		if j < len(a.kinds) {
			switch a.kinds[j] {
			case kindMoE, kindMoEGemm, kindAct, kindRouter:
			default:
				cuts = append(cuts, end)
			}
		}
		i = j - 1
	}
	if len(cuts) > 2 && 2*len(cuts) >= cores {
		return nil
	}
	return cuts
}

// embedCuts returns embedding lookups that begin another model execution with
// no sampling before: an encoder before the decoder. Models that look up
// something in every layer are left alone.
func (a *assigner) embedCuts(sampled []int) []int {
	var cuts []int
	seen := false
	for i, k := range a.kinds {
		switch k {
		case kindCore, kindLinear:
			seen = true
		case kindEmbed:
			if seen {
				cuts = append(cuts, i)
				seen = false
			}
		}
	}
	if len(cuts) > 2+len(sampled) {
		return nil
	}
	return cuts
}

// implyCores finds the attention kernels of layers whose attention has a name
// that Classify does not know: what runs after the rotation and the KV cache
// write and before the next GEMM, once in every layer.
func (a *assigner) implyCores() {
	known, writes, acts := 0, 0, 0
	anchor := kindKV
	for _, k := range a.kinds {
		switch k {
		case kindCore, kindLinear:
			known++
		case kindKV:
			writes++
		case kindAct, kindMoEGemm:
			acts++
		}
	}
	if writes == 0 {
		anchor = kindRope
		for _, k := range a.kinds {
			if k == kindRope {
				writes++
			}
		}
	}
	if known >= writes && known > 0 || known > 0 && 2*known > acts {
		return
	}
	if writes < 2 {
		a.implyBetween(known, acts)
		return
	}
	for i := range a.kinds {
		if a.kinds[i] != anchor {
			continue
		}
		best := -1
	scan:
		for j := i + 1; j < len(a.kinds); j++ {
			switch a.kinds[j] {
			case kindCore, kindLinear:
				best = -1
				break scan
			case kindGemm:
				if a.class(j).Confidence > Low {
					break scan
				}
				best = a.longer(best, j)
			case kindMoEGemm, kindRouter, kindAct, kindNorm, kindEmbed, kindSample, anchor:
				break scan
			case kindUnknown:
				best = a.longer(best, j)
			}
		}
		if best >= 0 {
			a.imply(best)
		}
	}
}

func (a *assigner) longer(best, j int) int {
	if best < 0 || a.seq[j].Dur > a.seq[best].Dur {
		return j
	}
	return best
}

// imply makes kernel i an attention core on the evidence of its place.
func (a *assigner) imply(i int) {
	a.kinds[i] = kindCore
	a.out[i].Stage = Attention
	a.out[i].Confidence = Low
}

// implyBetween handles steps with neither attention nor cache writes by name:
// it takes the unrecognised kernel that runs exactly once between every two
// activations, has a GEMM on both sides, and takes the most time.
func (a *assigner) implyBetween(known, acts int) {
	if known > 0 || acts < 3 {
		return
	}
	type candidate struct {
		at    []int
		dur   int64
		spoil bool
	}
	names := map[uint32]*candidate{}
	gaps := 0
	prev := -1
	for i, k := range a.kinds {
		if k != kindAct {
			continue
		}
		if prev >= 0 {
			gaps++
			first, last := a.next(prev, i, kindGemm), a.last(prev, i, kindGemm)
			for j := max(first, 0); first >= 0 && j < last; j++ {
				if a.kinds[j] != kindUnknown {
					continue
				}
				c := names[a.seq[j].Name]
				if c == nil {
					c = &candidate{}
					names[a.seq[j].Name] = c
				}
				if len(c.at) >= gaps {
					c.spoil = true
				}
				c.at = append(c.at, j)
				c.dur += a.seq[j].Dur
			}
		}
		prev = i
	}
	var best *candidate
	for _, c := range names {
		if c.spoil || len(c.at) != gaps {
			continue
		}
		if best == nil || c.dur > best.dur || c.dur == best.dur && c.at[0] < best.at[0] {
			best = c
		}
	}
	if best == nil || gaps < 2 {
		return
	}
	for _, i := range best.at {
		a.imply(i)
	}
	// The first layer lies before the first activation.
	name := a.seq[best.at[0]].Name
	for i := range a.kinds {
		if i < best.at[0] && a.kinds[i] == kindUnknown && a.seq[i].Name == name {
			a.imply(i)
		}
	}
}

// findCores groups attention kernels into one core per layer.
func (a *assigner) findCores(s span) []core {
	var out []core
	for i := s.lo; i < s.hi; i++ {
		k := a.kinds[i]
		if k != kindCore && k != kindLinear && k != kindConv {
			continue
		}
		linear := k != kindCore
		if n := len(out); n > 0 && !a.separate(out[n-1], i, linear) {
			out[n-1].hi = i + 1
			if !linear {
				out[n-1].linear = false
			}
		} else {
			out = append(out, core{span: span{i, i + 1}, linear: linear})
		}
	}
	for j := range out {
		c := &out[j]
		end := s.hi
		if j+1 < len(out) {
			end = out[j+1].lo
		}
		// Merges of split attention belong to the core.
		for c.hi < end && a.kinds[c.hi] == kindAux && a.class(c.hi).Stage == Attention && a.class(c.hi).Op == "combine" {
			c.hi++
		}
		begin := s.lo
		if j > 0 {
			begin = out[j-1].hi
		}
		c.mla = a.isMLA(begin, *c)
	}
	return out
}

func (a *assigner) isMLA(begin int, c core) bool {
	for i := c.lo; i < c.hi; i++ {
		if op := a.class(i).Op; a.kinds[i] == kindCore && (op == "mla" || op == "mla-prefill") {
			return true
		}
	}
	for i := begin; i < c.lo; i++ {
		if a.kinds[i] == kindKV && a.class(i).Op == "concat_and_cache" {
			return true
		}
	}
	return false
}

// separate says whether kernel i begins a new layer's core.
func (a *assigner) separate(c core, i int, linear bool) bool {
	gemms, norms := 0, 0
	for j := c.hi; j < i; j++ {
		switch a.kinds[j] {
		case kindAct:
			// The gate of a mixer's output, unless GEMMs came before.
			if gemms > 0 {
				return true
			}
		case kindMoE, kindMoEGemm, kindRouter, kindEmbed:
			return true
		case kindKV:
			if !linear && gemms > 0 {
				return true
			}
		case kindNorm:
			norms++
		case kindGemm:
			gemms++
		}
	}
	if c.linear && linear {
		if a.kinds[c.hi-1] == kindConv && a.kinds[i] != kindConv {
			return false // state-space mixers project between convolution and scan
		}
		return gemms > 0
	}
	return gemms >= 3 || norms > 0 && gemms > 0
}
