package device

import "strings"

// WithQuantization returns the shape as an engine serves it with the given quantisation method, as named by vLLM's or
// SGLang's --quantization option or by the log. It reports false for methods whose storage it does not know
// ("compressed-tensors", "quark", "torchao" and "online" say nothing of the bits). An empty method, "none" and "auto" leave the
// shape as it is, and so does a method that the checkpoint's own configuration states already.
func (s Shape) WithQuantization(method string) (Shape, bool) {
	m := strings.ToLower(strings.TrimSpace(method))
	if m == s.Quant && m != "" {
		return s, true
	}
	switch m {
	case "", "none", "auto", "null":
		return s, true
	case "fp8", "fp8_per_tensor", "fp8_per_block", "fp8_per_channel", "fbgemm_fp8", "modelopt", "modelopt_fp8", "ptpc_fp8", "w8a8_fp8", "mxfp8", "modelopt_mxfp8":
		s.WeightDType, s.ExpertDType = FP8, ""
	case "w8a8_int8":
		s.WeightDType, s.ExpertDType = INT8, ""
	case "experts_int8", "int8_per_channel_weight_only": // vLLM narrows the experts only; a dense model stays as it is
		if s.IsMoE() {
			s.ExpertDType = INT8
		}
	case "awq", "awq_marlin", "auto_awq", "gptq", "gptq_marlin", "auto_gptq", "moe_wna16", "inc", "auto-round", "bitsandbytes":
		// Four bits is what these are published with; an 8-bit GPTQ checkpoint says so in its configuration.
		if s.WeightDType == INT8 || s.WeightDType == INT4 {
			break
		}
		s.WeightDType, s.ExpertDType = INT4, ""
	case "modelopt_fp4", "nvfp4":
		s.WeightDType, s.ExpertDType = NVFP4, ""
	case "nvfp4_per_token": // of the experts only
		if s.IsMoE() {
			s.ExpertDType = NVFP4
		}
	case "mxfp4", "gpt_oss_mxfp4":
		if !s.IsMoE() {
			return s, false
		}
		s.ExpertDType = MXFP4
	default:
		return s, false
	}
	s.Quant = m
	return s, true
}

// WithKVCacheDType returns the shape with the key-value cache stored as an engine's --kv-cache-dtype says. "auto" and an
// empty text mean the activations' type. It reports false for types whose storage it does not know.
func (s Shape) WithKVCacheDType(v string) (Shape, bool) {
	v = strings.ToLower(strings.TrimSpace(v))
	if v == "" || v == "auto" {
		s.KVDType = ""
		return s, true
	}
	d, ok := ParseDType(v)
	if !ok {
		return s, false
	}
	s.KVDType = d
	return s, true
}

// LoadedBytes is what one GPU holds in weights after loading, the input embedding included: the figure that an engine
// logs ("Model loading took 14.96 GiB"), up to padding and buffers. Of a pipeline's stages the first holds the embedding and
// the last the head, which are of one size. Bytes.
func (s Shape) LoadedBytes() float64 {
	w := s.WeightBytes()
	if s.PP > 1 && s.HeadElsewhere || s.PP <= 1 && !s.Tied {
		w += float64(s.Vocab) * float64(s.Hidden) * s.ActivationDType().Bytes() / s.tp()
	}
	return w
}
