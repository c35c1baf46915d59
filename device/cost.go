package device

import "math"

// Batch is what one step processes. Zero counts mean "none"; a context length that the capture does not record is 0
// together with a non-zero sequence count, and [StepCost] then says that the cost is a lower bound.
type Batch struct {
	PrefillSeqs     int64 // requests whose prompt is processed in this step
	PrefillTokens   int64 // prompt tokens scheduled in this step
	PrefillKVTokens int64 // sum over those requests of the context length at the end of the step (cached + scheduled)
	PrefillSqSk     int64 // sum over those requests of scheduled x context, where the engine records it
	PrefillSqSq     int64 // sum over those requests of scheduled squared, where the engine records it

	DecodeSeqs     int64 // requests that generate
	DecodeTokens   int64 // tokens scheduled for them; 0 means one each (more with speculative decoding)
	DecodeKVTokens int64 // sum over those requests of the context length

	// SampledTokens is the number of rows that lm_head computes. 0 means one for every request of the step, an upper
	// bound: prompts that are not finished in this step are not sampled.
	SampledTokens int64
}

// Tokens is the number of tokens scheduled.
func (b Batch) Tokens() int64 { return b.PrefillTokens + b.decodeTokens() }

func (b Batch) decodeTokens() int64 {
	if b.DecodeTokens > 0 {
		return b.DecodeTokens
	}
	return b.DecodeSeqs
}

func (b Batch) sampled() int64 {
	if b.SampledTokens > 0 {
		return b.SampledTokens
	}
	return b.decodeTokens() + b.PrefillSeqs
}

// Part is the work of one stage of a step on one GPU. Stage ids are those of the step budget.
type Part struct {
	Stage       string  `json:"stage"`
	FLOPs       float64 `json:"flops"`
	WeightBytes float64 `json:"weight_bytes"`
	KVBytes     float64 `json:"kv_bytes"`
	Activations float64 `json:"activation_bytes"` // tensors between kernels; they may stay in L2
	Arithmetic  DType   `json:"arithmetic"`       // type of the operations, empty where they do not matter
	Storage     DType   `json:"storage"`          // type of the weights, empty where there are none
}

// Work is the part as a roofline: weights and cache bytes must move, activations are left out because those of a decode
// step fit in L2.
func (p Part) Work() Roofline { return Roofline{FLOPs: p.FLOPs, Bytes: p.WeightBytes + p.KVBytes} }

// Cost is what one step must move and do on one GPU.
type Cost struct {
	WeightBytes     float64  `json:"weight_bytes"`      // every weight of the step once
	KVReadBytes     float64  `json:"kv_read_bytes"`     // cache of the batch
	KVWriteBytes    float64  `json:"kv_write_bytes"`    // cache of the new tokens
	ActivationBytes float64  `json:"activation_bytes"`  // tensors between kernels, an upper bound on what leaves L2
	CollectiveBytes float64  `json:"collective_bytes"`  // payload of the tensor-parallel all-reduces, 0 with TP 1
	ExpertsTouched  float64  `json:"experts_touched"`   // expected distinct experts per MoE layer, 0 without MoE
	Parts           []Part   `json:"parts"`             // by stage, in model order
	LowerBound      bool     `json:"lower_bound"`       // true when context lengths were not recorded
	Missing         []string `json:"missing,omitempty"` // what was not recorded
}

// MustMove is the traffic that no kernel can avoid: weights once, cache read and written. Bytes.
func (c Cost) MustMove() float64 { return c.WeightBytes + c.KVReadBytes + c.KVWriteBytes }

// Total is MustMove plus the activations, as if none of them stayed in L2. Bytes.
func (c Cost) Total() float64 { return c.MustMove() + c.ActivationBytes }

// FLOPs is the sum over all parts.
func (c Cost) FLOPs() float64 {
	f := 0.0
	for _, p := range c.Parts {
		f += p.FLOPs
	}
	return f
}

// Part returns the work of a stage.
func (c Cost) Part(stage string) (Part, bool) {
	for _, p := range c.Parts {
		if p.Stage == stage {
			return p, true
		}
	}
	return Part{}, false
}

// Work is the whole step as one roofline, over the bytes that must move.
func (c Cost) Work() Roofline { return Roofline{FLOPs: c.FLOPs(), Bytes: c.MustMove()} }

// IdealNs is the least time of the step on a GPU: the sum over stages of the larger of memory and compute time, because
// stages run one after the other. act is the type of the activations. It reports false when the sheet lacks a peak that
// is needed.
func (c Cost) IdealNs(s Sheet, act DType) (float64, bool) {
	if s.Bandwidth <= 0 {
		return 0, false
	}
	total := 0.0
	for _, p := range c.Parts {
		b := p.Work().Bound(s, p.Storage.Arithmetic(act, s))
		if p.FLOPs > 0 && b.Limit == UnknownLimit {
			return 0, false
		}
		total += b.IdealNs
	}
	return total, true
}

// MFU is the compute utilisation of a step that took ns nanoseconds: the time its operations would take at the dense
// peak of each part's type, over ns. It reports false when a peak is missing.
func (c Cost) MFU(s Sheet, act DType, ns float64) (float64, bool) {
	if ns <= 0 {
		return 0, false
	}
	t := 0.0
	for _, p := range c.Parts {
		if p.FLOPs == 0 {
			continue
		}
		peak, ok := s.Peak(p.Storage.Arithmetic(act, s))
		if !ok {
			return 0, false
		}
		t += p.FLOPs / peak * 1e9
	}
	return t / ns, true
}

// MBU is the memory bandwidth utilisation of a step that took ns nanoseconds: bytes that must move / (time x peak
// bandwidth).
func (c Cost) MBU(s Sheet, ns float64) (float64, bool) {
	if ns <= 0 || s.Bandwidth <= 0 {
		return 0, false
	}
	return c.MustMove() / (ns * 1e-9 * s.Bandwidth), true
}

// ExpectedExperts is the expected number of distinct experts that n tokens touch when each picks k of e at random:
// e x (1 - (1 - k/e)^n). Real routing is skewed, so this is the upper end.
func ExpectedExperts(e, k int, n float64) float64 {
	if e <= 0 || k <= 0 || n <= 0 {
		return 0
	}
	return float64(e) * (1 - math.Pow(1-math.Min(1, float64(k)/float64(e)), n))
}

// StepCost returns what one step over the batch must move and do on one GPU (of TP x PP). Weights count once per step
// however many tokens there are; of a MoE layer only the expected number of distinct experts counts; lm_head computes
// only sampled rows but its matrix is read whole; the input embedding is a gather of the step's rows. The last pipeline
// stage is meant, the one with lm_head.
func (s Shape) StepCost(b Batch) Cost {
	var c Cost
	act, lin, moe := s.ActivationDType(), s.LinearDType(), s.MoEDType()
	tp, pp := s.tp(), s.pp()
	layers, att := float64(s.Layers)/pp, float64(s.attentionLayers())/pp
	moeLayers, dense := float64(s.MoELayers)/pp, float64(s.denseLayers())/pp
	linear := float64(s.LinearAttentionLayers) / pp
	n, h, ab := float64(b.Tokens()), float64(s.Hidden), act.Bytes()
	sampled := float64(b.sampled())
	if n == 0 {
		return c
	}
	seqs := float64(b.PrefillSeqs + b.DecodeSeqs)

	add := func(p Part) {
		if p.FLOPs != 0 || p.WeightBytes != 0 || p.KVBytes != 0 || p.Activations != 0 {
			c.Parts = append(c.Parts, p)
		}
	}
	add(Part{Stage: "embedding", Activations: 2 * n * h * ab})
	params := s.Params()
	// Norm vectors and biases are replicated; each norm reads the hidden state and the residual and writes both.
	add(Part{Stage: "norm", WeightBytes: float64(params.Norm) * ab / pp, Activations: (layers*float64(s.normsPerLayer()) + 1) * n * h * 4 * ab})

	qkv := float64(s.perLayerQKV()) * att
	width := float64(s.Heads*s.HeadDim) / tp
	kvWidth := math.Max(float64(s.KVHeads)/tp, 1) * float64(s.HeadDim)
	if s.IsMLA() {
		width = float64(s.Heads*(s.QKNopeDim+s.QKRopeDim)) / tp
		kvWidth = float64(s.KVLoRARank + s.QKRopeDim)
	}
	add(Part{Stage: "qkv", FLOPs: 2 * qkv * n / tp, WeightBytes: qkv * lin.Bytes() / tp, Activations: att * n * (h + width + 2*kvWidth) * ab, Arithmetic: act, Storage: lin})

	flops, read, missing := s.attention(b)
	c.Missing = missing
	c.LowerBound = len(missing) > 0
	c.KVReadBytes = read * att
	add(Part{Stage: "attention", FLOPs: flops * att / tp, KVBytes: c.KVReadBytes, Activations: att * n * 2 * width * ab, Arithmetic: act})
	c.KVWriteBytes = att * n * s.kvBytesPerLayer()
	add(Part{Stage: "kv-write", KVBytes: c.KVWriteBytes, Activations: att * n * 2 * kvWidth * ab})
	o := float64(s.perLayerO()) * att
	add(Part{Stage: "o-proj", FLOPs: 2 * o * n / tp, WeightBytes: o * lin.Bytes() / tp, Activations: att * n * (width + h) * ab, Arithmetic: act, Storage: lin})
	if linear > 0 {
		w := float64(s.perLayerLinear()) * linear
		state := s.StateBytesPerSequence() * seqs
		// Per token and value head: decay, outer-product update and read-out of a key x value state.
		upd := 6 * float64(s.LinearValueHeads) * float64(s.LinearKeyDim) * float64(s.LinearValueDim) * n * linear
		c.KVReadBytes += state
		c.KVWriteBytes += state
		add(Part{Stage: "linear-attn", FLOPs: (2*w*n + upd) / tp, WeightBytes: w * lin.Bytes() / tp, KVBytes: 2 * state, Arithmetic: act, Storage: lin})
	}
	if dense > 0 && s.Intermediate > 0 {
		w := dense * s.mlpMatrices() * h * float64(s.Intermediate)
		i := float64(s.Intermediate) / tp
		add(Part{Stage: "mlp", FLOPs: 2 * w * n / tp, WeightBytes: w * lin.Bytes() / tp, Activations: dense * n * (2*h + s.mlpMatrices()*i) * ab, Arithmetic: act, Storage: lin})
		add(Part{Stage: "activation", Activations: dense * n * s.mlpMatrices() * i * ab})
	}
	if moeLayers > 0 {
		c.ExpertsTouched = ExpectedExperts(s.Experts, s.ExpertsPerToken, n)
		one := 3 * h * float64(s.MoEIntermediate)
		shared := float64(s.SharedExperts) * 3 * h * s.sharedWidth()
		router := float64(s.Experts) * h
		k := float64(s.ExpertsPerToken)
		add(Part{Stage: "moe",
			FLOPs:       moeLayers * 2 * n * ((k*one+shared)/tp + router),
			WeightBytes: moeLayers * (c.ExpertsTouched*one*moe.Bytes()/tp + shared*lin.Bytes()/tp + router*ab),
			Activations: moeLayers * n * k * (2*h + 4*float64(s.MoEIntermediate)/tp) * ab, Arithmetic: act, Storage: moe})
	}
	head := float64(s.Vocab) * h / tp
	if s.HeadElsewhere {
		head, sampled = 0, 0
	}
	add(Part{Stage: "lm-head", FLOPs: 2 * head * sampled, WeightBytes: head * ab, Activations: sampled * (h*ab + float64(s.Vocab)/tp*4), Arithmetic: act, Storage: act})
	if tp > 1 {
		c.CollectiveBytes = 2 * layers * n * h * ab
	}
	for _, p := range c.Parts {
		c.WeightBytes += p.WeightBytes
		c.ActivationBytes += p.Activations
	}
	return c
}

// attention returns operations of one full-attention layer over all heads of the model (the caller divides by TP), the
// cache bytes that one layer reads on one GPU, averaged over windowed and full layers, and what was not recorded.
func (s Shape) attention(b Batch) (flops, readBytes float64, missing []string) {
	layers := float64(s.attentionLayers())
	if layers == 0 {
		return 0, 0, nil
	}
	window := 0.0
	if s.SlidingLayers > 0 && s.SlidingWindow > 0 {
		window = math.Min(1, float64(s.SlidingLayers)/layers)
	}
	mix := func(full, windowed float64) float64 { return (1-window)*full + window*windowed }
	w := float64(s.SlidingWindow)

	pairOps := 4 * float64(s.Heads*s.HeadDim) // q.k and p.v, a multiply-add each
	prefillOps := pairOps
	if s.IsMLA() {
		pairOps = 2 * float64(s.Heads) * float64(2*s.KVLoRARank+s.QKRopeDim) // absorbed form
		prefillOps = 2 * float64(s.Heads) * float64(s.QKNopeDim+s.QKRopeDim+s.VHeadDim)
	}
	kv := s.kvBytesPerLayer()
	if b.DecodeSeqs > 0 {
		if b.DecodeKVTokens <= 0 {
			missing = append(missing, "context lengths of decoding requests")
		} else {
			total, seqs := float64(b.DecodeKVTokens), float64(b.DecodeSeqs)
			tokens := mix(total, seqs*math.Min(total/seqs, w))
			perSeq := float64(b.decodeTokens()) / seqs
			flops += pairOps * tokens * perSeq
			readBytes += tokens * kv
		}
	}
	if b.PrefillTokens > 0 {
		seqs := math.Max(1, float64(b.PrefillSeqs))
		q, total := float64(b.PrefillTokens), float64(b.PrefillKVTokens)
		if total < q {
			if total <= 0 {
				missing = append(missing, "context lengths of prefilling requests")
			}
			total = q // at least the tokens of the chunk itself
		}
		pairs := q*total/seqs - q*q/seqs/2 + q/2
		if b.PrefillSqSk > 0 && b.PrefillSqSq > 0 {
			pairs = float64(b.PrefillSqSk) - float64(b.PrefillSqSq)/2 + q/2
		}
		windowed := math.Min(pairs, q*w)
		flops += prefillOps * mix(pairs, windowed)
		readBytes += mix(total, math.Min(total, q+seqs*w)) * kv
	}
	return flops, readBytes, missing
}
