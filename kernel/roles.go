package kernel

import "fmt"

// AssignRoles places the kernels of one step.
//
// seq holds the kernels of one step on one stream (or of one graph launch) in
// execution order; memcpy and memset nodes may be among them. The result has
// one Assignment per kernel.
//
// Method. Attention and linear-attention kernels are the cores of layers.
// Between two cores lies the rest of a layer and the beginning of the next:
//
//	core | o-proj  norm  gate_up  activation  down | norm  qkv  rope  kv-write | core
//
// The activation (or the MoE kernels) and the norms around it cut this stretch
// into its parts, and each GEMM gets the role of its part. Separate q, k and v
// or gate and up GEMMs, quantisation, split-K reductions, LoRA, all-reduces,
// sandwich norms, query and key norms, and copies may lie between without
// disturbing it. The GEMMs before the first core and after the last are
// handled alike; what follows the final norm is the vocabulary projection.
// Kernels whose name tells little (a fused pointwise kernel without operation
// names, a fill, a cast) get the stage of the part they lie in.
//
// A step may hold several passes, for example a draft model after the main
// one: sampling, or an embedding lookup, between two cores separates them.
//
// Dur is used only to choose among several candidates: for the vocabulary
// projection, for an attention kernel of unknown name, and between a router and
// the shared expert beside it. When it is wrong:
// steps cut at arbitrary points, kernels of concurrent streams mixed into one
// sequence, and models whose block order differs from the above (parallel
// attention and MLP) give fewer roles or roles of low confidence.
func AssignRoles(seq []Launch) Roles {
	a := &assigner{
		seq:    seq,
		kinds:  make([]kind, len(seq)),
		region: make([]region, len(seq)),
		out:    make([]Assignment, len(seq)),
	}
	for i := range seq {
		c := a.class(i)
		a.kinds[i] = kindOf(c)
		a.out[i] = Assignment{Stage: c.Stage, Confidence: c.Confidence, Layer: -1}
	}
	a.implyCores()
	passes := a.splitPasses()
	var best Pattern
	for p, span := range passes {
		pat := a.assignPass(span, int16(min(p, 1<<15-1)), p+1 < len(passes))
		if pat.LayerCount > best.LayerCount || p == 0 {
			best = pat
		}
	}
	a.restage()
	a.inherit()
	best.Passes = len(passes)
	if best.LayerCount == 0 && best.Why == "" {
		best.Why = "no attention kernel found"
	}
	return Roles{Kernels: a.out, Pattern: best}
}

// kind is what a kernel means to the structure of a step.
type kind uint8

const (
	kindAux     kind = iota // follows its neighbours
	kindGemm                // dense GEMM
	kindReduce              // split-K reduction or LoRA: belongs to the GEMM before it
	kindMoEGemm             // expert GEMM
	kindRouter              // router GEMM known by name
	kindMoE                 // other MoE kernel
	kindAct                 // activation
	kindNorm                // norm, also fused with an all-reduce
	kindCore                // attention proper
	kindLinear              // linear-attention or state-space kernel
	kindConv                // its leading convolution
	kindKV                  // KV cache write
	kindRope                // rotary embedding
	kindSample              // sampling
	kindEmbed               // embedding lookup, surely
	kindUnknown             // unrecognised
)

func kindOf(c *Class) kind {
	switch c.Stage {
	case Gemm:
		switch {
		case c.Gemm:
			return kindGemm
		case c.Op == "split-k-reduce" || c.Op == "lora":
			return kindReduce
		}
	case MoE:
		switch {
		case c.Op == "router":
			return kindRouter
		case c.Gemm:
			return kindMoEGemm
		}
		return kindMoE
	case Activation:
		return kindAct
	case Norm:
		if c.Op == "qk_norm" || c.Op == "qk_norm_rope" {
			return kindRope
		}
		return kindNorm
	case Collective:
		if c.Op == "allreduce-norm" {
			return kindNorm
		}
	case Attention:
		switch c.Op {
		case "combine", "metadata", "indexer":
			return kindAux
		}
		return kindCore
	case LinearAttn:
		if c.Op == "conv" {
			return kindConv
		}
		return kindLinear
	case KVWrite:
		if c.Op != "gather" && c.Op != "zero" {
			return kindKV
		}
	case Rope:
		return kindRope
	case Sampling:
		return kindSample
	case Embedding:
		if c.Confidence == High {
			return kindEmbed
		}
	case Other:
		return kindUnknown
	}
	return kindAux
}

// region is the part of the step that a kernel lies in.
type region uint8

const (
	regionNone    region = iota
	regionBefore         // before the first layer
	regionQKV            // from the layer's first norm to its last qkv GEMM
	regionRope           // between qkv and the core
	regionCore           // the core and its merges
	regionAttnOut        // between the core and the output projection
	regionPost           // between the output projection and the first FFN GEMM
	regionFFN            // between the first and the last FFN GEMM, dense
	regionMoE            // the MoE block
	regionEnd            // after the last FFN GEMM, to the end of the layer
	regionFinal          // after the last layer, to the vocabulary projection
	regionLogits         // after it, to the last sampling kernel
	regionAfter          // after sampling
)

// span is a half-open range of kernel indices.
type span struct{ lo, hi int }

// core is one layer's token mixer.
type core struct {
	span
	linear bool
	mla    bool
}

type assigner struct {
	seq    []Launch
	kinds  []kind
	region []region
	out    []Assignment
}

var unknownClass = Class{}

func (a *assigner) class(i int) *Class {
	if c := a.seq[i].Class; c != nil {
		return c
	}
	return &unknownClass
}

// next returns the first index in [from, hi) of one of the kinds, or -1.
func (a *assigner) next(from, hi int, kinds ...kind) int {
	for i := from; i < hi; i++ {
		for _, k := range kinds {
			if a.kinds[i] == k {
				return i
			}
		}
	}
	return -1
}

// last returns the last index in [lo, before) of one of the kinds, or -1.
func (a *assigner) last(lo, before int, kinds ...kind) int {
	for i := before - 1; i >= lo; i-- {
		for _, k := range kinds {
			if a.kinds[i] == k {
				return i
			}
		}
	}
	return -1
}

// gemms lists the dense GEMMs of [lo, hi).
func (a *assigner) gemms(lo, hi int) []int {
	var out []int
	for i := lo; i < hi; i++ {
		if a.kinds[i] == kindGemm {
			out = append(out, i)
		}
	}
	return out
}

func (a *assigner) role(i int, r Role, c Confidence) {
	a.out[i].Role = r
	a.out[i].Stage = r.Stage()
	a.out[i].Confidence = c
}

func (a *assigner) mark(lo, hi int, r region) {
	for i := max(lo, 0); i < hi; i++ {
		a.region[i] = r
	}
}

// assignPass assigns the kernels of one pass and describes its pattern. more
// says that another pass follows.
func (a *assigner) assignPass(s span, p int16, more bool) Pattern {
	for i := s.lo; i < s.hi; i++ {
		a.out[i].Pass = p
	}
	cores := a.findCores(s)
	if len(cores) == 0 {
		a.coreless(s, more)
		return Pattern{Why: a.whyNoLayers(s)}
	}
	n := len(cores)
	segs := make([]segment, n+1)
	for j := range segs {
		sp := s
		if j > 0 {
			sp.lo = cores[j-1].hi
		}
		if j < n {
			sp.hi = cores[j].lo
		}
		segs[j] = a.cut(sp, j > 0, j < n)
	}
	heads := a.usualHead(segs[1:n])
	a.prologue(&segs[0], cores[0], heads, p)
	for j, c := range cores {
		a.mark(c.lo, c.hi, regionCore)
		a.coreGemms(c)
		a.tail(&segs[j+1], c)
		if j+1 < n {
			a.head(segs[j+1].boundary, cores[j+1])
		}
	}
	a.epilogue(&segs[n], more)
	a.layers(segs, cores)
	return a.describe(segs, cores)
}

// layers numbers the layers. Layer j reaches from its own boundary to the next.
func (a *assigner) layers(segs []segment, cores []core) {
	div := 1
	if pairedCores(segs, cores) {
		div = 2
	}
	for j := range cores {
		for i := segs[j].boundary; i < segs[j+1].boundary; i++ {
			a.out[i].Layer = int32(j / div)
		}
	}
}

// pairedCores recognises decoder layers with two attentions (self and cross):
// every other core has no FFN behind it.
func pairedCores(segs []segment, cores []core) bool {
	if len(cores) < 4 || len(cores)%2 != 0 {
		return false
	}
	for j, c := range cores {
		if c.linear || segs[j+1].ffn != (j%2 == 1) {
			return false
		}
	}
	return true
}

// describe summarises how regular the layers of a pass are.
func (a *assigner) describe(segs []segment, cores []core) Pattern {
	n := len(cores)
	if pairedCores(segs, cores) {
		n /= 2
	}
	type layer struct{ kernels, gemms, roles int }
	layers := make([]layer, n)
	sig := make([][]byte, n)
	for i := segs[0].boundary; i < segs[len(segs)-1].boundary; i++ {
		l := a.out[i].Layer
		if l < 0 {
			continue
		}
		layers[l].kernels++
		switch a.kinds[i] {
		case kindGemm, kindMoEGemm, kindRouter:
			layers[l].gemms++
			if a.out[i].Role != NoRole {
				layers[l].roles++
			}
			sig[l] = append(sig[l], byte(a.out[i].Role))
		}
	}
	signatures := map[string]int{}
	for _, s := range sig {
		signatures[string(s)]++
	}
	counts := map[int]int{}
	regular, complete, gemms := 0, 0, 0
	for i, l := range layers {
		counts[l.kernels]++
		gemms += l.gemms
		if signatures[string(sig[i])] > 1 || n == 1 {
			regular++
		}
		if l.gemms > 0 && l.roles == l.gemms {
			complete++
		}
	}
	p := Pattern{LayerCount: n}
	for k, c := range counts { // the outcome does not depend on the order
		if best := counts[p.PeriodKernels]; c > best || c == best && k > p.PeriodKernels {
			p.PeriodKernels = k
		}
	}
	switch {
	case gemms == 0:
		p.Confidence = Low
		p.Why = fmt.Sprintf("%d attention kernels but no GEMM between them", n)
	case n > 1 && regular*10 >= n*9 && complete*10 >= n*9:
		p.Confidence = High
		p.Why = fmt.Sprintf("%d of %d layers have the same order of GEMMs as another and all their roles", regular, n)
	case regular*2 >= n && complete*2 >= n:
		p.Confidence = Medium
		p.Why = fmt.Sprintf("%d of %d layers are alike, %d have all their GEMMs' roles", regular, n, complete)
	default:
		p.Confidence = Low
		p.Why = fmt.Sprintf("only %d of %d layers are alike, %d have all their GEMMs' roles", regular, n, complete)
	}
	if n >= 4 {
		a.doubt(span{segs[0].boundary, segs[len(segs)-1].boundary}, signatures, sig)
	}
	return p
}

// doubt lowers the confidence of roles in layers that look like no other.
func (a *assigner) doubt(s span, signatures map[string]int, sig [][]byte) {
	for i := s.lo; i < s.hi; i++ {
		o := &a.out[i]
		if o.Layer >= 0 && o.Role != NoRole && signatures[string(sig[o.Layer])] == 1 {
			o.Confidence = min(o.Confidence, Medium)
		}
	}
}
