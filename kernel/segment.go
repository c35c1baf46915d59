package kernel

// segment is the stretch between two cores: the tail of one layer and the head
// of the next.
type segment struct {
	span
	ffn      bool      // has an FFN
	moe      bool      // which is a mixture of experts
	outs     []int     // GEMMs between the core and the FFN: output projections
	ins      []int     // dense FFN GEMMs before the activation; all dense FFN GEMMs of a MoE block
	downs    []int     // dense FFN GEMMs after the activation
	ffnLo    int       // first kernel of the FFN
	boundary int       // first kernel of the next layer, or of what follows the last
	more     []segment // further FFNs behind the first, before the next core
	conf     Confidence
}

// cut finds the parts of a segment. prev says that a core precedes it, next
// that one follows.
func (a *assigner) cut(sp span, prev, next bool) segment {
	s := segment{span: sp, ffnLo: sp.hi, boundary: sp.lo, conf: High}
	if !prev {
		// What precedes the first core has no output projection.
		if a.next(sp.lo, sp.hi, kindAct, kindMoEGemm) < 0 {
			return s
		}
	}
	from := sp.lo
	if prev {
		// An activation before any GEMM gates the mixer's output.
		from = a.next(sp.lo, sp.hi, kindGemm, kindMoE, kindMoEGemm, kindRouter)
		if from < 0 {
			s.boundary = a.boundaryAfter(sp.lo, sp.hi)
			return s
		}
	}
	end := sp.hi
	if !next {
		// Sampling kernels that look like routing lie behind the last layer.
		if i := a.samplingStart(sp); i >= 0 {
			end = i
		}
	}
	first := a.next(from, end, kindAct, kindMoE, kindMoEGemm, kindRouter)
	last := a.last(from, end, kindAct, kindMoE, kindMoEGemm, kindRouter)
	if first < 0 {
		a.cutByNorms(&s, end, prev, next)
		return s
	}
	a.cutFFN(&s, first, last, end, prev, next)
	a.cutMore(&s, end, next)
	return s
}

// cutFFN cuts the first FFN of a segment, whose first anchor is given. last is
// the last anchor of all.
func (a *assigner) cutFFN(s *segment, first, last, end int, prev, next bool) {
	s.ffn = true
	for i := first; i <= last; i++ {
		switch a.kinds[i] {
		case kindMoE, kindMoEGemm, kindRouter:
			s.moe = true
		}
	}
	for i := s.lo; i < last && !s.moe; i++ {
		s.moe = a.class(i).Op == "all-to-all" // tokens sent to experts elsewhere
	}
	// Softmax or top-k between the GEMMs of an FFN is routing.
	if a.next(a.next(s.lo, last, kindGemm)+1, last, kindSample) >= 0 {
		s.moe = true
	}
	if !s.moe {
		// A dense FFN ends with the norm behind its last GEMM.
		if g := a.next(first, end, kindGemm); g >= 0 {
			if norm := a.next(g, last, kindNorm); norm >= 0 {
				last = a.last(first, norm, kindAct)
			}
		}
	}
	a.cutBefore(s, first, prev)
	a.cutAfter(s, last, end, next)
}

// cutMore finds further dense FFNs before the next core: blocks without a
// mixer of their own, and projectors behind an encoder.
func (a *assigner) cutMore(s *segment, end int, next bool) {
	for {
		first := a.next(s.boundary, end, kindAct)
		if first < 0 || s.moe {
			return
		}
		m := segment{span: span{s.boundary, s.hi}, ffnLo: s.hi, conf: Medium}
		a.cutFFN(&m, first, a.last(first, end, kindAct), end, false, next)
		// Otherwise it is an activation within the next mixer's input.
		if len(m.ins) == 0 || len(m.downs) == 0 || m.boundary <= s.boundary || next && a.next(m.boundary, end, kindGemm) < 0 {
			return
		}
		s.more = append(s.more, m)
		s.boundary = m.boundary
	}
}

// samplingStart returns the first sampling kernel after the last GEMM of a
// final segment, or -1.
func (a *assigner) samplingStart(sp span) int {
	g := a.last(sp.lo, sp.hi, kindGemm, kindMoEGemm)
	if g < 0 {
		return -1
	}
	return a.next(g, sp.hi, kindSample)
}

// cutBefore divides what precedes the FFN's first anchor into output
// projection and first FFN GEMMs.
func (a *assigner) cutBefore(s *segment, first int, prev bool) {
	norm := a.last(s.lo, first, kindNorm)
	if prev && norm >= 0 && a.next(s.lo, norm, kindGemm) < 0 {
		norm = -1 // a norm of the mixer's output
	}
	before := a.gemms(s.lo, first)
	if norm >= 0 {
		s.ffnLo = norm + 1
		for _, g := range before {
			if g < norm {
				s.outs = append(s.outs, g)
			} else {
				s.ins = append(s.ins, g)
			}
		}
	} else {
		s.conf = Medium
		n := 0
		if prev && len(before) > 1 || prev && s.moe {
			n = min(1, len(before))
		}
		s.outs, s.ins = before[:n], before[n:]
		s.ffnLo = first
		if len(s.ins) > 0 {
			s.ffnLo = s.ins[0]
		}
	}
	if !prev {
		// A step that begins within a layer, or a projector before the model.
		s.conf = min(s.conf, Medium)
	}
	if len(s.ins) == 0 && !s.moe {
		s.conf = Low
	}
}

// cutAfter divides what follows the FFN's last anchor into its last GEMMs and
// the next layer.
func (a *assigner) cutAfter(s *segment, last, end int, next bool) {
	between := a.gemms(s.ffnLo, last+1)
	for _, g := range between {
		if len(s.ins) == 0 || g > s.ins[len(s.ins)-1] {
			if !s.moe {
				s.downs = append(s.downs, g)
			} else {
				s.ins = append(s.ins, g)
			}
		}
	}
	after := a.gemms(last+1, end)
	from := last + 1
	if a.kinds[last] == kindAct && len(after) > 0 {
		// At least one GEMM takes the activation's output.
		from = after[0] + 1
	}
	norm := a.next(from, end, kindNorm)
	stop := norm
	if norm < 0 {
		s.conf = min(s.conf, Medium)
		stop = a.skipFollowers(from, end)
	}
	for _, g := range after {
		if g >= stop {
			break
		}
		if s.moe {
			s.ins = append(s.ins, g)
		} else {
			s.downs = append(s.downs, g)
		}
	}
	if len(s.downs) == 0 && !s.moe {
		s.conf = Low
	}
	s.boundary = stop
	if norm >= 0 {
		s.boundary = a.boundaryAfter(norm, end)
	}
}

// boundaryAfter returns the index at which the next layer begins: the last of
// the norms that precede the next GEMM. Without a GEMM it is the first.
func (a *assigner) boundaryAfter(from, hi int) int {
	norm := a.next(from, hi, kindNorm)
	if norm < 0 {
		return hi
	}
	g := a.next(norm, hi, kindGemm)
	if g < 0 {
		return norm
	}
	return a.last(norm, g, kindNorm)
}

// skipFollowers passes over the kernels that complete the GEMM before them.
func (a *assigner) skipFollowers(from, hi int) int {
	for from < hi && (a.kinds[from] == kindReduce || a.kinds[from] == kindMoE || a.class(from).Stage == Collective) {
		from++
	}
	return from
}

// cutByNorms divides a segment without activation by its norms: an activation
// fused into a GEMM or of unknown name, or a layer without FFN.
func (a *assigner) cutByNorms(s *segment, end int, prev, next bool) {
	var sections [][]int
	var starts []int
	fresh := true
	norm := s.lo
	for i := s.lo; i < end; i++ {
		switch a.kinds[i] {
		case kindNorm:
			fresh = true
			norm = i
		case kindGemm:
			if fresh {
				sections = append(sections, nil)
				starts = append(starts, norm)
				fresh = false
			}
			n := len(sections) - 1
			sections[n] = append(sections[n], i)
		}
	}
	s.conf = Medium
	s.boundary = a.boundaryAfter(s.lo, end)
	switch {
	case len(sections) >= 3 || !next && len(sections) == 2 && len(sections[1]) >= 2:
		s.outs = sections[0]
		s.ffn = true
		ffn := sections[1]
		s.ffnLo = ffn[0]
		if len(ffn) > 1 {
			s.ins, s.downs = ffn[:len(ffn)-1], ffn[len(ffn)-1:]
		} else {
			s.ins = ffn
			s.conf = Low
		}
		s.boundary = a.boundaryAfter(ffn[len(ffn)-1], end)
		if len(sections) > 2 && next {
			s.boundary = starts[2]
		}
	case len(sections) == 2:
		s.outs = sections[0]
		s.boundary = starts[1]
	case len(sections) == 1:
		a.cutByCount(s, sections[0], end, next)
	}
}

// cutByCount is the last resort: no activation, no norms between the GEMMs.
func (a *assigner) cutByCount(s *segment, gemms []int, end int, next bool) {
	s.conf = Low
	want := len(gemms)
	if !next {
		// As if the next layer's qkv were there.
		want++
	}
	switch want {
	case 2:
		s.outs = gemms[:1]
	case 4, 5:
		s.ffn = true
		s.outs = gemms[:1]
		s.ins = gemms[1 : want-2]
		s.downs = gemms[want-2 : want-1]
		s.ffnLo = s.ins[0]
	default:
		s.boundary = end
		return
	}
	done := s.outs
	if s.ffn {
		done = s.downs
	}
	s.boundary = a.skipFollowers(done[0]+1, end)
}
