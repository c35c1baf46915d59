package kernel

// usualHead returns the most frequent number of GEMMs before a core, 0 if
// there is none.
func (a *assigner) usualHead(segs []segment) int {
	counts := map[int]int{}
	best := 0
	for i := range segs {
		n := len(a.gemms(segs[i].boundary, segs[i].hi))
		counts[n]++
	}
	for n, c := range counts {
		if n > 0 && (c > counts[best] || best == 0 || c == counts[best] && n > best) {
			best = n
		}
	}
	return best
}

// prologue assigns what precedes the first core of a pass and sets where its
// first layer begins.
func (a *assigner) prologue(s *segment, c core, usual int, pass int16) {
	if s.ffn {
		a.mark(s.lo, s.boundary, regionBefore)
		a.ffnRoles(s)
		for _, g := range s.outs {
			a.role(g, RoleO, Low)
		}
		a.head(s.boundary, c)
		return
	}
	gemms := a.gemms(s.lo, s.hi)
	if usual == 0 || usual > len(gemms) {
		usual = len(gemms)
		if pass > 0 && !c.mla && usual > 1 {
			// A draft model joins embedding and hidden state first.
			if norm := a.last(s.lo, gemms[usual-1], kindNorm); norm > gemms[0] {
				usual = 0
				for _, g := range gemms {
					if g > norm {
						usual++
					}
				}
			}
		}
	}
	first := s.hi
	for i, g := range gemms {
		if i < len(gemms)-usual {
			if pass > 0 {
				a.role(g, RoleDraftIn, Medium)
			} else {
				a.out[g].Confidence = Low
			}
		} else if g < first {
			first = g
		}
	}
	s.boundary = first
	if norm := a.last(s.lo, first, kindNorm, kindEmbed, kindGemm); norm >= 0 {
		s.boundary = norm + 1
		if a.kinds[norm] == kindNorm {
			s.boundary = norm
		}
	}
	a.mark(s.lo, s.boundary, regionBefore)
	a.head(s.boundary, c)
}

// head assigns the GEMMs between a layer's beginning and its core.
func (a *assigner) head(lo int, c core) {
	gemms := a.gemms(lo, c.lo)
	a.mark(lo, c.lo, regionQKV)
	if len(gemms) == 0 {
		return
	}
	a.mark(gemms[len(gemms)-1]+1, c.lo, regionRope)
	conf := High
	if a.kinds[lo] != kindNorm && a.last(lo, gemms[0], kindNorm, kindEmbed) < 0 && (lo == 0 || a.kinds[lo-1] != kindEmbed) {
		conf = Medium
	}
	inner := a.next(gemms[0], c.lo, kindNorm)
	for i, g := range gemms {
		r := RoleQKV
		switch {
		case c.linear:
			r = RoleLinearIn
		case c.mla && (inner >= 0 && g > inner || inner < 0 && i > 0):
			r = RoleMLAQB
		case c.mla:
			r = RoleMLAQKVA
		}
		a.role(g, r, conf)
	}
}

// coreGemms assigns GEMMs between the kernels of one core: latent attention
// expands keys and values of earlier chunks there, state-space mixers project
// their step sizes.
func (a *assigner) coreGemms(c core) {
	for _, g := range a.gemms(c.lo, c.hi) {
		switch {
		case c.mla:
			a.role(g, RoleMLAQB, Medium)
		case c.linear:
			a.role(g, RoleLinearIn, Medium)
		default:
			a.out[g].Confidence = Low
		}
	}
}

// tail assigns the rest of a layer after its core.
func (a *assigner) tail(s *segment, c core) {
	a.mark(s.lo, s.boundary, regionEnd)
	for i, g := range s.outs {
		switch {
		case c.linear:
			a.role(g, RoleLinearOut, s.conf)
		case c.mla && i+1 < len(s.outs):
			a.role(g, RoleMLAVB, s.conf)
		default:
			a.role(g, RoleO, s.conf)
		}
	}
	out := s.lo
	if n := len(s.outs); n > 0 {
		out = s.outs[n-1]
	}
	a.mark(s.lo, out, regionAttnOut)
	if s.ffn {
		a.mark(out+1, min(s.ffnLo, s.boundary), regionPost)
		a.ffnRoles(s)
		for i := range s.more {
			a.ffnRoles(&s.more[i])
		}
	}
}

// ffnRoles assigns the GEMMs of an FFN, dense or mixture of experts.
func (a *assigner) ffnRoles(s *segment) {
	if !s.moe {
		for _, g := range s.ins {
			a.role(g, RoleGateUp, s.conf)
		}
		for _, g := range s.downs {
			a.role(g, RoleDown, s.conf)
		}
		if len(s.ins) > 0 && len(s.downs) > 0 {
			a.mark(s.ins[0], s.downs[len(s.downs)-1], regionFFN)
		}
		return
	}
	end := s.ffnLo
	for i := s.ffnLo; i < s.boundary; i++ {
		switch a.kinds[i] {
		case kindMoE, kindMoEGemm, kindRouter, kindAct, kindGemm:
			end = i + 1
		}
		if a.class(i).Op == "all-to-all" {
			end = i + 1
		}
	}
	a.mark(s.ffnLo, s.boundary, regionMoE)
	a.expertRoles(s.ffnLo, end, s.conf)
	a.sharedRoles(s.ffnLo, end, min(s.conf, Medium))
}

// expertRoles pairs the expert GEMMs: one before the activation, one after.
// Kernels with the activation fused in alternate.
func (a *assigner) expertRoles(lo, hi int, conf Confidence) {
	var experts []int
	for i := lo; i < hi; i++ {
		if a.kinds[i] == kindRouter {
			a.role(i, RoleRouter, High)
		}
		if a.kinds[i] == kindMoEGemm {
			experts = append(experts, i)
		}
	}
	if len(experts) == 1 {
		a.role(experts[0], RoleExperts, conf)
		return
	}
	up := true
	for i, g := range experts {
		if i > 0 {
			act := false
			for j := experts[i-1] + 1; j < g; j++ {
				act = act || a.kinds[j] == kindAct || a.kinds[j] == kindMoE && a.class(j).Op == "activation"
			}
			// After an activation the second GEMM; after that the first of the next chunk.
			up = !up && !act
		}
		if up {
			a.role(g, RoleExpertGateUp, conf)
		} else {
			a.role(g, RoleExpertDown, conf)
		}
	}
}

// sharedRoles assigns the dense GEMMs of a MoE block: the router and the
// shared experts. Routing follows the router; an activation follows the first
// GEMM of the shared experts and precedes the second.
func (a *assigner) sharedRoles(lo, hi int, conf Confidence) {
	gemms := a.gemms(lo, hi)
	structural := func(i, step int) kind {
		for j := i + step; j >= lo && j < hi; j += step {
			switch k := a.kinds[j]; k {
			case kindGemm, kindMoEGemm, kindRouter, kindMoE, kindAct, kindSample:
				if k == kindMoE && a.class(j).Op == "activation" {
					return kindAct
				}
				return k
			}
		}
		return kindAux
	}
	routed := a.next(lo, hi, kindRouter) >= 0
	up, down := RoleSharedGateUp, RoleSharedDown
	dispatch, combine := a.exchange(lo, hi)
	if dispatch == hi && a.next(lo, hi, kindMoEGemm) < 0 {
		// No grouped GEMM: the experts run one after the other.
		up, down, conf = RoleExpertGateUp, RoleExpertDown, Low
	}
	opened := -1 // first GEMM of shared experts whose second is still to come
	for _, g := range gemms {
		before, after := structural(g, -1), structural(g, +1)
		switch {
		case g > dispatch && g < combine && before == kindAct:
			a.role(g, RoleExpertDown, conf)
		case g > dispatch && g < combine:
			a.role(g, RoleExpertGateUp, conf)
		case opened >= 0 && a.next(opened, g, kindAct) >= 0:
			a.role(g, down, conf)
			opened = -1
		case (after == kindMoE || after == kindSample || after == kindMoEGemm || dispatch < hi && g < dispatch && after == kindGemm) && !routed:
			a.role(g, RoleRouter, conf+1)
			routed = true
		case after == kindAct || after == kindGemm:
			a.role(g, up, conf)
			if opened < 0 {
				opened = g
			}
		default:
			a.out[g].Stage = MoE
			a.out[g].Confidence = Low
		}
	}
	// Router and first shared GEMM may stand side by side, before the shared
	// experts' activation or, on concurrent streams, before the routing. The
	// router has few columns, so it is the shorter one.
	for i := 1; i < len(gemms); i++ {
		x, y := gemms[i-1], gemms[i]
		if structural(x, +1) != kindGemm || a.out[x].Role != up {
			continue
		}
		switch a.out[y].Role {
		case RoleRouter:
			if !a.hasRole(gemms[i+1:], down) {
				continue
			}
		case up:
			if routed {
				continue
			}
		default:
			continue
		}
		if a.seq[y].Dur < a.seq[x].Dur {
			x, y = y, x
		}
		a.role(x, RoleRouter, conf)
		a.role(y, up, conf)
		return
	}
}

func (a *assigner) hasRole(kernels []int, r Role) bool {
	for _, k := range kernels {
		if a.out[k].Role == r {
			return true
		}
	}
	return false
}

// exchange returns the first and the last all-to-all of a MoE block, which send
// tokens to their experts and back: GEMMs between them are the experts'. Both
// are hi if there is no such pair.
func (a *assigner) exchange(lo, hi int) (dispatch, combine int) {
	dispatch, combine = hi, hi
	for i := lo; i < hi; i++ {
		if a.class(i).Op == "all-to-all" {
			if dispatch == hi {
				dispatch = i
			}
			combine = i
		}
	}
	if combine == dispatch || a.next(dispatch, combine, kindGemm) < 0 {
		return hi, hi
	}
	return dispatch, combine
}

// epilogue assigns what follows the last layer of a pass: final norm,
// vocabulary projection, sampling.
func (a *assigner) epilogue(s *segment, more bool) {
	lo := s.boundary
	sample := a.next(lo, s.hi, kindSample)
	a.mark(lo, s.hi, regionFinal)
	gemms := a.gemms(lo, s.hi)
	if sample >= 0 {
		gemms = a.gemms(lo, sample)
	}
	head := -1
	for _, g := range gemms {
		if head < 0 || a.seq[g].Dur >= a.seq[head].Dur {
			head = g
		}
	}
	if head >= 0 && (sample >= 0 || !more) {
		conf := High
		if sample < 0 || len(gemms) > 1 || s.conf < Medium {
			conf = Medium
		}
		a.role(head, RoleLMHead, conf)
		// Prompt logits are computed by a second call of the same kernel.
		for _, g := range gemms {
			if g != head && a.seq[g].Name == a.seq[head].Name {
				a.role(g, RoleLMHead, Medium)
			}
		}
	}
	if head >= 0 {
		a.logits(head, s.hi)
	} else {
		a.logits(lo-1, s.hi)
	}
}

// logits marks the regions after the vocabulary projection.
func (a *assigner) logits(head, hi int) {
	last := a.last(head+1, hi, kindSample)
	if last < 0 {
		last = head
	}
	a.mark(head+1, last+1, regionLogits)
	a.mark(last+1, hi, regionAfter)
}

// coreless handles a stretch without layers: with CUDA graphs traced as a
// whole, only the vocabulary projection and sampling are seen as kernels.
func (a *assigner) coreless(s span, more bool) {
	a.mark(s.lo, s.hi, regionBefore)
	gemms := a.gemms(s.lo, s.hi)
	sample := a.next(s.lo, s.hi, kindSample)
	if len(gemms) == 1 && sample > gemms[0] && !more && a.next(gemms[0], sample, kindAct, kindMoE, kindNorm) < 0 {
		a.role(gemms[0], RoleLMHead, Medium)
		// Right before it the rows of the tokens to sample are gathered.
		for i := gemms[0] - 1; i >= s.lo && i >= gemms[0]-2; i-- {
			if a.class(i).Stage == Embedding {
				a.region[i] = regionFinal
			}
		}
		a.logits(gemms[0], s.hi)
		return
	}
	for _, g := range gemms {
		a.out[g].Confidence = Low
	}
	if len(gemms) == 0 && sample >= 0 {
		a.logits(sample-1, s.hi)
	}
}

func (a *assigner) whyNoLayers(s span) string {
	switch {
	case s.hi == s.lo:
		return "no kernels"
	case a.next(s.lo, s.hi, kindGemm, kindMoEGemm) < 0:
		return "no attention and no GEMM kernels"
	default:
		return "no attention kernel recognised, so no layers"
	}
}
