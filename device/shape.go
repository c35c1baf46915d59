package device

import (
	"errors"
	"fmt"
	"math"
)

// Shape is the architecture of a decoder-only transformer as far as bytes and operations of a step depend on it. All
// counts are those of the whole model; TP and PP say how a deployment splits it, and every per-GPU figure derived from a
// Shape divides accordingly.
type Shape struct {
	Name         string `json:"name,omitempty"`
	Architecture string `json:"architecture,omitempty"` // LlamaForCausalLM ...

	Layers        int  `json:"layers"`
	Hidden        int  `json:"hidden"`
	Heads         int  `json:"heads"`
	KVHeads       int  `json:"kv_heads"`
	HeadDim       int  `json:"head_dim"`
	Intermediate  int  `json:"intermediate"` // of the dense MLP; 0 when every layer is MoE
	Vocab         int  `json:"vocab"`
	Tied          bool `json:"tied"`      // lm_head shares the embedding matrix
	PlainMLP      bool `json:"plain_mlp"` // two matrices (OPT, GPT-2) instead of the gated three
	QKVBias       bool `json:"qkv_bias,omitempty"`
	OBias         bool `json:"o_bias,omitempty"`
	QKNorm        bool `json:"qk_norm,omitempty"`
	QGate         bool `json:"q_gate,omitempty"`          // attention output gate: q_proj is twice as wide (Qwen3-Next)
	Sinks         bool `json:"sinks,omitempty"`           // one attention sink per head (gpt-oss)
	NormsPerLayer int  `json:"norms_per_layer,omitempty"` // vectors of Hidden per layer; 0 means 2

	// Mixture of experts.
	Experts         int  `json:"experts,omitempty"`
	ExpertsPerToken int  `json:"experts_per_token,omitempty"`
	MoEIntermediate int  `json:"moe_intermediate,omitempty"`
	MoELayers       int  `json:"moe_layers,omitempty"`     // layers whose MLP is MoE
	SharedExperts   int  `json:"shared_experts,omitempty"` // always-on experts of SharedWidth each
	SharedWidth     int  `json:"shared_width,omitempty"`   // 0 means MoEIntermediate
	SharedGate      bool `json:"shared_gate,omitempty"`    // a sigmoid gate vector on the shared expert (Qwen2-MoE, Qwen3-Next)

	RouterBias bool `json:"router_bias,omitempty"` // a correction bias per expert in the router (DeepSeek V3)
	ExpertBias bool `json:"expert_bias,omitempty"` // router and experts have biases (gpt-oss)
	// Multi-head latent attention (DeepSeek); KVLoRARank > 0 marks it.
	QLoRARank  int `json:"q_lora_rank,omitempty"`
	KVLoRARank int `json:"kv_lora_rank,omitempty"`
	QKNopeDim  int `json:"qk_nope_dim,omitempty"`
	QKRopeDim  int `json:"qk_rope_dim,omitempty"`
	VHeadDim   int `json:"v_head_dim,omitempty"`

	// Layers with other attention.
	SlidingWindow         int `json:"sliding_window,omitempty"` // tokens
	SlidingLayers         int `json:"sliding_layers,omitempty"` // layers limited to the window
	LinearAttentionLayers int `json:"linear_attention_layers,omitempty"`
	LinearKeyHeads        int `json:"linear_key_heads,omitempty"`
	LinearValueHeads      int `json:"linear_value_heads,omitempty"`
	LinearKeyDim          int `json:"linear_key_dim,omitempty"`
	LinearValueDim        int `json:"linear_value_dim,omitempty"`
	LinearConvKernel      int `json:"linear_conv_kernel,omitempty"`

	// Number formats. An empty format means BF16 for DType, and "same as DType" for the others.
	DType       DType  `json:"dtype,omitempty"`        // activations, embedding, norms, lm_head
	WeightDType DType  `json:"weight_dtype,omitempty"` // linear layers inside the blocks
	ExpertDType DType  `json:"expert_dtype,omitempty"` // experts, where they differ (gpt-oss)
	KVDType     DType  `json:"kv_dtype,omitempty"`     // key-value cache
	Quant       string `json:"quant,omitempty"`        // the checkpoint's quantisation method, as its config names it

	TP int `json:"tp,omitempty"` // tensor parallel size; 0 means 1
	PP int `json:"pp,omitempty"` // pipeline parallel size; 0 means 1
	// HeadElsewhere: the GPU at hand is of a pipeline's stage without the head, which only the last one has.
	HeadElsewhere bool `json:"head_elsewhere,omitempty"`
}

// ErrShape marks a Shape that describes no model.
var ErrShape = errors.New("model shape is not usable")

// The bounds of every field, so that products stay far below 2^63 and no nonsense passes.
const (
	maxLayers = 1 << 10
	maxWidth  = 1 << 20
	maxVocab  = 1 << 24
	maxExpert = 1 << 14
)

// CheckValid reports what makes the shape unusable, nil when nothing does.
func (s Shape) CheckValid() error {
	type f struct {
		name      string
		v, lo, hi int
	}
	for _, x := range []f{
		{"layers", s.Layers, 1, maxLayers}, {"hidden", s.Hidden, 1, maxWidth}, {"heads", s.Heads, 1, maxWidth},
		{"kv_heads", s.KVHeads, 1, maxWidth}, {"head_dim", s.HeadDim, 1, maxWidth}, {"intermediate", s.Intermediate, 0, maxWidth},
		{"vocab", s.Vocab, 1, maxVocab}, {"experts", s.Experts, 0, maxExpert}, {"experts_per_token", s.ExpertsPerToken, 0, maxExpert},
		{"moe_intermediate", s.MoEIntermediate, 0, maxWidth}, {"moe_layers", s.MoELayers, 0, maxLayers},
		{"shared_experts", s.SharedExperts, 0, maxExpert}, {"shared_width", s.SharedWidth, 0, maxWidth},
		{"q_lora_rank", s.QLoRARank, 0, maxWidth}, {"kv_lora_rank", s.KVLoRARank, 0, maxWidth},
		{"qk_nope_dim", s.QKNopeDim, 0, maxWidth}, {"qk_rope_dim", s.QKRopeDim, 0, maxWidth}, {"v_head_dim", s.VHeadDim, 0, maxWidth},
		{"sliding_window", s.SlidingWindow, 0, math.MaxInt32}, {"sliding_layers", s.SlidingLayers, 0, maxLayers},
		{"linear_attention_layers", s.LinearAttentionLayers, 0, maxLayers}, {"linear_key_heads", s.LinearKeyHeads, 0, maxWidth},
		{"linear_value_heads", s.LinearValueHeads, 0, maxWidth}, {"linear_key_dim", s.LinearKeyDim, 0, maxWidth},
		{"linear_value_dim", s.LinearValueDim, 0, maxWidth}, {"linear_conv_kernel", s.LinearConvKernel, 0, maxWidth},
		{"norms_per_layer", s.NormsPerLayer, 0, 16}, {"tp", s.TP, 0, 1 << 12}, {"pp", s.PP, 0, maxLayers},
	} {
		if x.v < x.lo || x.v > x.hi {
			return fmt.Errorf("%w: %s is %d, want %d..%d", ErrShape, x.name, x.v, x.lo, x.hi)
		}
	}
	switch {
	case s.KVHeads > s.Heads:
		return fmt.Errorf("%w: %d key-value heads for %d heads", ErrShape, s.KVHeads, s.Heads)
	case s.MoELayers > s.Layers || s.LinearAttentionLayers > s.Layers || s.SlidingLayers > s.Layers:
		return fmt.Errorf("%w: more special layers than %d layers", ErrShape, s.Layers)
	case s.MoELayers > 0 && (s.Experts == 0 || s.ExpertsPerToken == 0 || s.MoEIntermediate == 0):
		return fmt.Errorf("%w: MoE layers without experts", ErrShape)
	case s.ExpertsPerToken > s.Experts:
		return fmt.Errorf("%w: %d of %d experts per token", ErrShape, s.ExpertsPerToken, s.Experts)
	case s.MoELayers < s.Layers && s.Intermediate == 0:
		return fmt.Errorf("%w: dense layers without an intermediate size", ErrShape)
	case s.LinearAttentionLayers > 0 && (s.LinearKeyHeads == 0 || s.LinearValueHeads == 0 || s.LinearKeyDim == 0 || s.LinearValueDim == 0):
		return fmt.Errorf("%w: linear attention layers without their head sizes", ErrShape)
	case s.KVLoRARank > 0 && (s.QKRopeDim == 0 || s.QKNopeDim == 0 || s.VHeadDim == 0):
		return fmt.Errorf("%w: latent attention without its head sizes", ErrShape)
	}
	return nil
}

// IsMoE reports whether any layer routes to experts.
func (s Shape) IsMoE() bool { return s.MoELayers > 0 }

// IsMLA reports whether attention is multi-head latent.
func (s Shape) IsMLA() bool { return s.KVLoRARank > 0 }

func (s Shape) tp() float64 { return math.Max(1, float64(s.TP)) }
func (s Shape) pp() float64 { return math.Max(1, float64(s.PP)) }

// ActivationDType is the type of activations, embedding, norms and lm_head.
func (s Shape) ActivationDType() DType {
	if s.DType == "" {
		return BF16
	}
	return s.DType
}

// LinearDType is the storage type of the linear layers inside the blocks.
func (s Shape) LinearDType() DType {
	if s.WeightDType == "" {
		return s.ActivationDType()
	}
	return s.WeightDType
}

// MoEDType is the storage type of the experts.
func (s Shape) MoEDType() DType {
	if s.ExpertDType == "" {
		return s.LinearDType()
	}
	return s.ExpertDType
}

// CacheDType is the storage type of the key-value cache.
func (s Shape) CacheDType() DType {
	if s.KVDType == "" {
		return s.ActivationDType()
	}
	return s.KVDType
}

// attentionLayers are the layers with a key-value cache.
func (s Shape) attentionLayers() int { return s.Layers - s.LinearAttentionLayers }

// denseLayers are the layers with a dense MLP.
func (s Shape) denseLayers() int { return s.Layers - s.MoELayers }

func (s Shape) mlpMatrices() float64 {
	if s.PlainMLP {
		return 2
	}
	return 3
}

func (s Shape) normsPerLayer() int64 {
	if s.NormsPerLayer > 0 {
		return int64(s.NormsPerLayer)
	}
	return 2
}

func (s Shape) sharedWidth() float64 {
	if s.SharedWidth > 0 {
		return float64(s.SharedWidth)
	}
	return float64(s.MoEIntermediate)
}

// Params counts parameters of the whole model by role, without splitting over GPUs.
type Params struct {
	Embedding  int64 `json:"embedding"`
	QKV        int64 `json:"qkv"`
	OProj      int64 `json:"o_proj"`
	MLP        int64 `json:"mlp"`         // dense MLPs
	Experts    int64 `json:"experts"`     // routed experts, all of them
	Shared     int64 `json:"shared"`      // shared experts
	Router     int64 `json:"router"`      // expert gates
	LinearAttn int64 `json:"linear_attn"` // projections of linear-attention layers
	Norm       int64 `json:"norm"`        // norms and biases
	LMHead     int64 `json:"lm_head"`     // 0 when tied: the embedding matrix serves
}

// Total is the number of parameters of the checkpoint; a tied head is counted once.
func (p Params) Total() int64 {
	return p.Embedding + p.QKV + p.OProj + p.MLP + p.Experts + p.Shared + p.Router + p.LinearAttn + p.Norm + p.LMHead
}

// Linear is the part that block quantisation shrinks: projections, MLPs and experts.
func (p Params) Linear() int64 { return p.QKV + p.OProj + p.MLP + p.Experts + p.Shared + p.LinearAttn }

// perLayerQKV and perLayerO count one attention layer's projections.
func (s Shape) perLayerQKV() int64 {
	h, n := int64(s.Hidden), int64(s.Heads)
	if s.IsMLA() {
		qk := int64(s.QKNopeDim + s.QKRopeDim)
		q := h * n * qk
		if s.QLoRARank > 0 {
			q = h*int64(s.QLoRARank) + int64(s.QLoRARank)*n*qk
		}
		return q + h*int64(s.KVLoRARank+s.QKRopeDim) + int64(s.KVLoRARank)*n*int64(s.QKNopeDim+s.VHeadDim)
	}
	q := n * int64(s.HeadDim)
	if s.QGate {
		q *= 2
	}
	return h * (q + 2*int64(s.KVHeads)*int64(s.HeadDim))
}

func (s Shape) perLayerO() int64 {
	d := int64(s.HeadDim)
	if s.IsMLA() {
		d = int64(s.VHeadDim)
	}
	return int64(s.Heads) * d * int64(s.Hidden)
}

// perLayerLinear counts the projections of one linear-attention (gated delta) layer.
func (s Shape) perLayerLinear() int64 {
	h := int64(s.Hidden)
	k, v := int64(s.LinearKeyHeads*s.LinearKeyDim), int64(s.LinearValueHeads)*int64(s.LinearValueDim)
	in := h*(2*k+2*v) + h*2*int64(s.LinearValueHeads)
	conv := (2*k + v) * int64(s.LinearConvKernel)
	return in + conv + v*h + 2*int64(s.LinearValueHeads) + int64(s.LinearValueDim)
}

// Params counts the parameters of the model.
func (s Shape) Params() Params {
	h := int64(s.Hidden)
	att, moe, dense := int64(s.attentionLayers()), int64(s.MoELayers), int64(s.denseLayers())
	p := Params{
		Embedding:  int64(s.Vocab) * h,
		QKV:        att * s.perLayerQKV(),
		OProj:      att * s.perLayerO(),
		MLP:        dense * int64(s.mlpMatrices()) * h * int64(s.Intermediate),
		Experts:    moe * int64(s.Experts) * 3 * h * int64(s.MoEIntermediate),
		Shared:     moe * int64(s.SharedExperts) * 3 * h * int64(s.sharedWidth()),
		Router:     moe * int64(s.Experts) * h,
		LinearAttn: int64(s.LinearAttentionLayers) * s.perLayerLinear(),
	}
	p.Norm = int64(s.Layers)*s.normsPerLayer()*h + h
	if s.QKNorm {
		p.Norm += att * 2 * int64(s.HeadDim)
	}
	if s.IsMLA() {
		p.Norm += att * int64(s.KVLoRARank+s.QLoRARank)
	}
	if s.QKVBias {
		p.Norm += att * int64(s.Heads+2*s.KVHeads) * int64(s.HeadDim)
	}
	if s.OBias {
		p.Norm += att * h
	}
	if s.SharedGate {
		p.Norm += moe * h
	}
	if s.RouterBias {
		p.Norm += moe * int64(s.Experts)
	}
	if s.Sinks {
		p.Norm += att * int64(s.Heads)
	}
	if s.ExpertBias {
		p.Norm += moe * int64(s.Experts) // router
		p.Experts += moe * int64(s.Experts) * (2*int64(s.MoEIntermediate) + h)
	}
	if !s.Tied {
		p.LMHead = int64(s.Vocab) * h
	}
	return p
}

// KVBytesPerToken is the key-value cache that one token occupies on one GPU, in bytes. Key-value heads are replicated
// when there are fewer of them than tensor-parallel ranks; latent attention keeps one copy on every rank.
func (s Shape) KVBytesPerToken() float64 {
	return float64(s.attentionLayers()) / s.pp() * s.kvBytesPerLayer()
}

func (s Shape) kvBytesPerLayer() float64 {
	b := s.CacheDType().Bytes()
	if s.IsMLA() {
		if s.CacheDType() == FP8 {
			// 512 one-byte latents with four 32-bit scales, and the rotary part in 16 bits (vLLM's fp8_ds_mla layout
			// for a rank of 512).
			return float64(s.KVLoRARank) + float64(s.KVLoRARank)/128*4 + float64(s.QKRopeDim)*2
		}
		return float64(s.KVLoRARank+s.QKRopeDim) * b
	}
	heads := math.Max(1, float64(s.KVHeads)/s.tp())
	return 2 * heads * float64(s.HeadDim) * b
}

// StateBytesPerSequence is the recurrent state that linear-attention layers keep per sequence on one GPU, in bytes: it
// is read and written at every step whatever the context length. The recurrent state is kept in 32 bits.
func (s Shape) StateBytesPerSequence() float64 {
	if s.LinearAttentionLayers == 0 {
		return 0
	}
	state := float64(s.LinearValueHeads) * float64(s.LinearKeyDim) * float64(s.LinearValueDim) * 4
	conv := float64(2*s.LinearKeyHeads*s.LinearKeyDim+s.LinearValueHeads*s.LinearValueDim) * float64(s.LinearConvKernel) * s.ActivationDType().Bytes()
	return float64(s.LinearAttentionLayers) / s.pp() * (state + conv) / s.tp()
}

// WeightBytes is what one GPU holds in weights, in bytes, without the input embedding unless it serves as the head,
// and without the head on a stage that lacks it.
func (s Shape) WeightBytes() float64 {
	p := s.Params()
	lin := float64(p.Linear()-p.Experts) * s.LinearDType().Bytes()
	exp := float64(p.Experts) * s.MoEDType().Bytes()
	act := s.ActivationDType().Bytes()
	head := float64(s.Vocab) * float64(s.Hidden) * act
	if s.HeadElsewhere {
		head = 0
	}
	return (lin+exp)/s.tp()/s.pp() + float64(p.Norm+p.Router)*act/s.pp() + head/s.tp()
}
