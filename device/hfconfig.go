package device

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// ErrConfig marks a model configuration that is not one, or not of a model that this package can describe.
var ErrConfig = errors.New("not a usable model config.json")

// hfConfig is the union of the fields that Hugging Face configurations of decoder models use. Numbers are floats on the
// wire in a few of them, hence number.
type hfConfig struct {
	Architectures []string `json:"architectures"`
	ModelType     string   `json:"model_type"`
	TorchDType    string   `json:"torch_dtype"`
	DType         string   `json:"dtype"`

	Layers       number `json:"num_hidden_layers"`
	LayersAlt    number `json:"n_layer"`
	Hidden       number `json:"hidden_size"`
	HiddenAlt    number `json:"n_embd"`
	Heads        number `json:"num_attention_heads"`
	HeadsAlt     number `json:"n_head"`
	KVHeads      number `json:"num_key_value_heads"`
	HeadDim      number `json:"head_dim"`
	Intermediate number `json:"intermediate_size"`
	FFNDim       number `json:"ffn_dim"`
	NInner       number `json:"n_inner"`
	Vocab        number `json:"vocab_size"`
	Tied         *bool  `json:"tie_word_embeddings"`
	AttnBias     *bool  `json:"attention_bias"`
	QKNorm       *bool  `json:"use_qk_norm"`

	Experts          number          `json:"num_experts"`
	LocalExperts     number          `json:"num_local_experts"`
	RoutedExperts    number          `json:"n_routed_experts"`
	PerToken         number          `json:"num_experts_per_tok"`
	PerTokenAlt      number          `json:"experts_per_token"`
	MoEIntermediate  number          `json:"moe_intermediate_size"`
	SharedExperts    number          `json:"n_shared_experts"`
	SharedWidth      number          `json:"shared_expert_intermediate_size"`
	FirstDense       number          `json:"first_k_dense_replace"`
	MoEFreq          json.RawMessage `json:"moe_layer_freq"`
	SparseStep       number          `json:"decoder_sparse_step"`
	MLPOnly          []number        `json:"mlp_only_layers"`
	InterleaveMoE    number          `json:"interleave_moe_layer_step"`
	IntermediateMLP  number          `json:"intermediate_size_mlp"`
	MoELayersIndices []number        `json:"moe_layers"`

	QLoRA  number `json:"q_lora_rank"`
	KVLoRA number `json:"kv_lora_rank"`
	QKNope number `json:"qk_nope_head_dim"`
	QKRope number `json:"qk_rope_head_dim"`
	VHead  number `json:"v_head_dim"`

	Window        number   `json:"sliding_window"`
	UseWindow     *bool    `json:"use_sliding_window"`
	WindowPattern number   `json:"sliding_window_pattern"`
	MaxWindow     number   `json:"max_window_layers"`
	Chunk         number   `json:"attention_chunk_size"`
	RopeLayers    []number `json:"no_rope_layers"`         // 1: rotary and chunked, 0: neither (Llama 4)
	NoRopeEvery   number   `json:"no_rope_layer_interval"` // every n-th layer is one without
	LayerTypes    []string `json:"layer_types"`
	FullInterval  number   `json:"full_attention_interval"`
	LinearKeyHead number   `json:"linear_num_key_heads"`
	LinearValHead number   `json:"linear_num_value_heads"`
	LinearKeyDim  number   `json:"linear_key_head_dim"`
	LinearValDim  number   `json:"linear_value_head_dim"`
	LinearConv    number   `json:"linear_conv_kernel_dim"`

	Quant       *hfQuant `json:"quantization_config"`
	Compression *hfQuant `json:"compression_config"`

	TextConfig     json.RawMessage `json:"text_config"`
	LanguageConfig json.RawMessage `json:"language_config"`
	LLMConfig      json.RawMessage `json:"llm_config"`
	ThinkerConfig  json.RawMessage `json:"thinker_config"`
}

type hfQuant struct {
	Method  string             `json:"quant_method"`
	Algo    string             `json:"quant_algo"`
	Bits    number             `json:"bits"`
	WBits   number             `json:"w_bit"`
	LoadIn4 bool               `json:"load_in_4bit"`
	LoadIn8 bool               `json:"load_in_8bit"`
	Format  string             `json:"format"`
	Groups  map[string]hfGroup `json:"config_groups"`
	Ignore  []string           `json:"ignore"`
	NotConv []string           `json:"modules_to_not_convert"`
}

type hfGroup struct {
	Targets []string `json:"targets"`
	Weights *struct {
		Bits number `json:"num_bits"`
		Type string `json:"type"`
	} `json:"weights"`
}

// number reads an integer that may be written as a float, null or a list (then its first element).
type number int

func (n *number) UnmarshalJSON(b []byte) error {
	b = bytes.TrimSpace(b)
	if len(b) > 0 && b[0] == '[' {
		var list []number
		if err := json.Unmarshal(b, &list); err != nil {
			return err
		}
		if len(list) > 0 {
			*n = list[0]
		}
		return nil
	}
	var f *float64
	if err := json.Unmarshal(b, &f); err != nil {
		return fmt.Errorf("want a number, have %.20s", b)
	}
	if f == nil {
		return nil
	}
	if math.Abs(*f) > 1<<31 || math.IsNaN(*f) {
		return fmt.Errorf("number %g is out of range", *f)
	}
	*n = number(*f)
	return nil
}

func first(ns ...number) int {
	for _, n := range ns {
		if n != 0 {
			return int(n)
		}
	}
	return 0
}

// maxConfigBytes bounds a config.json; real ones are a few kilobytes, with long skip lists some hundred.
const maxConfigBytes = 16 << 20

// ParseHFConfig reads a Hugging Face config.json of a decoder model (Llama, Mistral, Mixtral, Qwen2, Qwen3 and their MoE
// and Next variants, DeepSeek V2 and V3, gpt-oss, Gemma 2 and 3, Phi-3, GLM-4, OPT and models of the same fields). The
// text part of a multimodal configuration is taken. Unknown layer kinds (Mamba) and encoder models are refused, because
// their cost would be wrong.
func ParseHFConfig(data []byte) (Shape, error) {
	if len(data) > maxConfigBytes {
		return Shape{}, fmt.Errorf("%w: %d bytes is too large", ErrConfig, len(data))
	}
	var top hfConfig
	if err := json.Unmarshal(data, &top); err != nil {
		return Shape{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	c, err := top.text(0)
	if err != nil {
		return Shape{}, err
	}
	return c.shape()
}

// text descends into the text part of a multimodal configuration, which inherits what only the outer part states.
func (c hfConfig) text(depth int) (hfConfig, error) {
	for _, raw := range []json.RawMessage{c.TextConfig, c.LanguageConfig, c.LLMConfig, c.ThinkerConfig} {
		if len(raw) == 0 || string(raw) == "null" || depth > 3 {
			continue
		}
		var in hfConfig
		if err := json.Unmarshal(raw, &in); err != nil {
			return hfConfig{}, fmt.Errorf("%w: text part: %w", ErrConfig, err)
		}
		if len(in.Architectures) == 0 {
			in.Architectures = c.Architectures
		}
		if in.TorchDType == "" && in.DType == "" {
			in.TorchDType, in.DType = c.TorchDType, c.DType
		}
		if in.Tied == nil {
			in.Tied = c.Tied
		}
		if in.Quant == nil && in.Compression == nil {
			in.Quant, in.Compression = c.Quant, c.Compression
		}
		if in.ModelType == "" {
			in.ModelType = c.ModelType
		}
		return in.text(depth + 1)
	}
	return c, nil
}

// tiedByDefault are the model types whose configuration class ties the head when the file does not say.
var tiedByDefault = map[string]bool{"gemma": true, "gemma2": true, "gemma3": true, "gemma3_text": true, "gemma3n_text": true,
	"opt": true, "gpt2": true, "falcon": true, "bloom": true, "cohere": true, "cohere2": true}

// unsupportedTypes begin the model types whose layers this package does not describe.
var unsupportedTypes = []string{"mamba", "jamba", "bamba", "zamba", "nemotron_h", "falcon_h1", "granitemoehybrid", "plamo2",
	"rwkv", "bert", "t5", "whisper", "clip", "vit", "bart", "minimax", "gemma3n", "lfm2", "kimi_linear", "deepseek_v4"}

func (c hfConfig) shape() (Shape, error) {
	mt := strings.ToLower(c.ModelType)
	for _, u := range unsupportedTypes {
		if strings.HasPrefix(mt, u) {
			return Shape{}, fmt.Errorf("%w: model type %q has layers that are not described", ErrConfig, c.ModelType)
		}
	}
	s := Shape{
		Layers: first(c.Layers, c.LayersAlt), Hidden: first(c.Hidden, c.HiddenAlt), Heads: first(c.Heads, c.HeadsAlt),
		KVHeads: int(c.KVHeads), HeadDim: int(c.HeadDim), Intermediate: first(c.Intermediate, c.FFNDim, c.NInner),
		Vocab: int(c.Vocab), Tied: tiedByDefault[mt],
	}
	if len(c.Architectures) > 0 {
		s.Architecture = c.Architectures[0]
	}
	if c.Tied != nil {
		s.Tied = *c.Tied
	}
	if strings.HasPrefix(mt, "gemma3") {
		// The published files leave out what equals the class defaults.
		s.Heads, s.KVHeads, s.HeadDim = or(s.Heads, 8), or(s.KVHeads, 4), or(s.HeadDim, 256)
		s.Vocab = or(s.Vocab, 262208)
	}
	if s.KVHeads == 0 {
		s.KVHeads = s.Heads
	}
	if s.HeadDim == 0 && s.Heads > 0 {
		s.HeadDim = s.Hidden / s.Heads
	}
	switch mt {
	case "opt", "gpt2", "bloom", "falcon":
		s.PlainMLP = true
		if s.Intermediate == 0 {
			s.Intermediate = 4 * s.Hidden
		}
	case "gemma2", "gemma3", "gemma3_text", "glm4":
		s.NormsPerLayer = 4
	case "qwen2", "qwen2_moe", "qwen2_vl", "qwen2_5_vl", "qwen2_5_vl_text", "qwen2_vl_text":
		s.QKVBias = true
	}
	if c.AttnBias != nil && *c.AttnBias {
		s.QKVBias = true
		s.OBias = mt != "glm4_moe"
	}
	// The norm of Llama 4 has no weights.
	s.QKNorm = strings.HasPrefix(mt, "qwen3") || strings.HasPrefix(mt, "gemma3") || (c.QKNorm != nil && *c.QKNorm && !strings.HasPrefix(mt, "llama4"))
	s.QGate = strings.HasPrefix(mt, "qwen3_next") || strings.HasPrefix(mt, "qwen3_5")
	s.RouterBias = strings.HasPrefix(mt, "deepseek_v3") || mt == "kimi_k2" || mt == "glm4_moe"
	s.ExpertBias, s.Sinks = mt == "gpt_oss", mt == "gpt_oss"
	c.latent(&s)
	if err := c.experts(&s, mt); err != nil {
		return Shape{}, err
	}
	if err := c.layerKinds(&s, mt); err != nil {
		return Shape{}, err
	}
	if err := c.dtypes(&s); err != nil {
		return Shape{}, err
	}
	if err := s.CheckValid(); err != nil {
		return Shape{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return s, nil
}

func or(v, def int) int {
	if v != 0 {
		return v
	}
	return def
}

func (c hfConfig) latent(s *Shape) {
	if c.KVLoRA <= 0 {
		return
	}
	s.QLoRARank, s.KVLoRARank = int(c.QLoRA), int(c.KVLoRA)
	s.QKNopeDim, s.QKRopeDim, s.VHeadDim = int(c.QKNope), int(c.QKRope), int(c.VHead)
	s.KVHeads, s.HeadDim = s.Heads, s.QKNopeDim+s.QKRopeDim
}

func (c hfConfig) experts(s *Shape, mt string) error {
	s.Experts = first(c.RoutedExperts, c.Experts, c.LocalExperts)
	s.ExpertsPerToken = first(c.PerToken, c.PerTokenAlt)
	if s.Experts == 0 {
		s.ExpertsPerToken = 0
		return nil
	}
	s.MoEIntermediate = first(c.MoEIntermediate, c.Intermediate)
	moe := s.Layers
	switch {
	case len(c.MoELayersIndices) > 0:
		moe = len(c.MoELayersIndices)
		s.Intermediate = first(c.IntermediateMLP, c.Intermediate)
	case c.InterleaveMoE > 0:
		moe = s.Layers / int(c.InterleaveMoE)
		s.Intermediate = first(c.IntermediateMLP, c.Intermediate)
	case c.FirstDense > 0:
		moe = s.Layers - int(c.FirstDense)
	case len(c.MLPOnly) > 0 || c.SparseStep > 1:
		moe = 0
		only := map[int]bool{}
		for _, l := range c.MLPOnly {
			only[int(l)] = true
		}
		step := max(1, int(c.SparseStep))
		for l := 0; l < min(s.Layers, maxLayers); l++ {
			if !only[l] && (l+1)%step == 0 {
				moe++
			}
		}
	}
	if len(c.MoEFreq) > 0 && string(c.MoEFreq) != "null" {
		var list []number
		var one number
		switch {
		case json.Unmarshal(c.MoEFreq, &list) == nil && len(list) > 0:
			moe = 0
			for _, f := range list {
				if f != 0 {
					moe++
				}
			}
		case json.Unmarshal(c.MoEFreq, &one) == nil && one > 1:
			return fmt.Errorf("%w: moe_layer_freq %d is not described", ErrConfig, one)
		}
	}
	if moe < 0 || moe > s.Layers {
		return fmt.Errorf("%w: %d MoE layers of %d", ErrConfig, moe, s.Layers)
	}
	s.MoELayers = moe
	if moe == s.Layers {
		s.Intermediate = 0
	}
	s.SharedExperts = int(c.SharedExperts)
	if c.SharedWidth > 0 {
		s.SharedExperts, s.SharedWidth = 1, int(c.SharedWidth)
		s.SharedGate = strings.HasPrefix(mt, "qwen2_moe") || strings.HasPrefix(mt, "qwen3_next") || strings.HasPrefix(mt, "qwen3_5_moe")
	}
	if strings.HasPrefix(mt, "llama4") {
		s.SharedExperts = 1
	}
	return nil
}

func (c hfConfig) layerKinds(s *Shape, mt string) error {
	s.LinearKeyHeads, s.LinearValueHeads = int(c.LinearKeyHead), int(c.LinearValHead)
	s.LinearKeyDim, s.LinearValueDim, s.LinearConvKernel = int(c.LinearKeyDim), int(c.LinearValDim), int(c.LinearConv)
	window := int(c.Window)
	if c.UseWindow != nil && !*c.UseWindow {
		window = 0
	}
	llama4 := strings.HasPrefix(mt, "llama4")
	if llama4 {
		// A chunk bounds what a token attends to as a window does.
		window = int(c.Chunk)
	}
	if len(c.LayerTypes) > 0 && len(c.LayerTypes) <= maxLayers {
		for _, k := range c.LayerTypes[:min(len(c.LayerTypes), max(0, s.Layers))] {
			switch k {
			case "full_attention", "attention", "":
			case "sliding_attention", "chunked_attention":
				s.SlidingLayers++
			case "linear_attention":
				s.LinearAttentionLayers++
			default:
				return fmt.Errorf("%w: layer type %.40q is not described", ErrConfig, k)
			}
		}
		if window == 0 {
			s.SlidingLayers = 0
		}
		s.SlidingWindow = window
	} else {
		switch {
		case strings.HasPrefix(mt, "qwen3_next"), strings.HasPrefix(mt, "qwen3_5"):
			s.LinearAttentionLayers = s.Layers - s.Layers/or(int(c.FullInterval), 4)
		case llama4:
			if window > 0 {
				s.SlidingWindow, s.SlidingLayers = window, s.Layers-s.Layers/or(int(c.NoRopeEvery), 4)
			}
			if window > 0 && len(c.RopeLayers) == s.Layers {
				s.SlidingLayers = 0
				for _, l := range c.RopeLayers {
					if l != 0 {
						s.SlidingLayers++
					}
				}
			}
		case mt == "gemma2":
			s.SlidingWindow = or(window, 4096)
			s.SlidingLayers = (s.Layers + 1) / 2
		case strings.HasPrefix(mt, "gemma3"):
			s.SlidingWindow = or(window, 4096)
			if p := or(int(c.WindowPattern), 6); p > 0 {
				s.SlidingLayers = s.Layers - s.Layers/p
			}
		case mt == "gpt_oss":
			s.SlidingWindow = or(window, 128)
			s.SlidingLayers = (s.Layers + 1) / 2
		case strings.HasPrefix(mt, "qwen2"), strings.HasPrefix(mt, "qwen3"):
			if window > 0 && c.UseWindow != nil {
				s.SlidingWindow = window
				s.SlidingLayers = max(0, s.Layers-int(c.MaxWindow))
			}
		case window > 0 && window < 1<<20:
			s.SlidingWindow, s.SlidingLayers = window, s.Layers
		}
	}
	if s.LinearAttentionLayers == 0 {
		s.LinearKeyHeads, s.LinearValueHeads, s.LinearKeyDim, s.LinearValueDim, s.LinearConvKernel = 0, 0, 0, 0, 0
	}
	return nil
}

func (c hfConfig) dtypes(s *Shape) error {
	dt := c.DType
	if dt == "" {
		dt = c.TorchDType
	}
	if d, ok := ParseDType(dt); ok {
		// FP32 checkpoints are served in 16 bits unless told otherwise.
		if d == FP32 {
			d = FP16
		}
		s.DType = d
	}
	q := c.Quant
	if q == nil {
		q = c.Compression
	}
	if q == nil {
		return nil
	}
	s.Quant = strings.ToLower(q.Method)
	d, err := q.dtype()
	if err != nil {
		return err
	}
	if s.Quant == "mxfp4" {
		s.ExpertDType = d // gpt-oss keeps everything but its experts in 16 bits
		return nil
	}
	s.WeightDType = d
	return nil
}

func (q *hfQuant) dtype() (DType, error) {
	m := strings.ToLower(q.Method)
	algo := strings.ToUpper(q.Algo)
	bits := first(q.Bits, q.WBits)
	switch {
	case m == "fp8" || m == "fbgemm_fp8" || strings.HasPrefix(algo, "FP8"):
		return FP8, nil
	case strings.Contains(algo, "NVFP4"):
		return NVFP4, nil
	case strings.Contains(algo, "W4A16") || strings.Contains(algo, "W4A8"):
		return INT4, nil
	case m == "mxfp4":
		return MXFP4, nil
	case m == "awq" || m == "gptq" || m == "auto-round" || m == "autoround" || m == "inc" || m == "awq_marlin" || m == "gptq_marlin":
		if bits == 8 {
			return INT8, nil
		}
		if bits != 0 && bits != 4 {
			return "", fmt.Errorf("%w: %s with %d bits is not described", ErrConfig, m, bits)
		}
		return INT4, nil
	case m == "bitsandbytes":
		if q.LoadIn8 && !q.LoadIn4 {
			return INT8, nil
		}
		return INT4, nil
	case m == "experts_int8":
		return INT8, nil
	case m == "compressed-tensors" || len(q.Groups) > 0:
		return q.groups()
	}
	return "", fmt.Errorf("%w: quantisation method %.40q is not described", ErrConfig, q.Method)
}

func (q *hfQuant) groups() (DType, error) {
	for _, n := range slices.Sorted(maps.Keys(q.Groups)) {
		w := q.Groups[n].Weights
		if w == nil {
			continue
		}
		switch {
		case w.Type == "float" && w.Bits == 8:
			return FP8, nil
		case w.Type == "float" && w.Bits == 4:
			if strings.HasPrefix(q.Format, "mxfp4") {
				return MXFP4, nil
			}
			return NVFP4, nil
		case w.Type == "int" && w.Bits == 8:
			return INT8, nil
		case w.Type == "int" && w.Bits == 4:
			return INT4, nil
		}
	}
	return "", fmt.Errorf("%w: compressed-tensors without a described weight format", ErrConfig)
}
