package device

// SupportKind says how a GPU runs a number format.
type SupportKind string

// Native: tensor cores compute in the format. Storage: the format saves bytes only, kernels widen it before computing.
// Unsupported: engines refuse it. Unknown: the sheet does not say what the GPU is.
const (
	Native      SupportKind = "native"
	Storage     SupportKind = "storage"
	Unsupported SupportKind = "unsupported"
	Unknown     SupportKind = "unknown"
)

// Support is how a GPU runs a number format, with the reason in words.
type Support struct {
	Kind SupportKind `json:"kind"`
	Note string      `json:"note,omitempty"`
}

// known reports whether the GPU's generation is known, so that a capability can be told at all.
func (s Sheet) known() bool { return s.ComputeMajor > 0 || s.Vendor == "AMD" }

// amdFP8 reports whether it is an AMD GPU with FP8 arithmetic.
func (s Sheet) amdFP8() bool {
	return s.Vendor == "AMD" && (s.Architecture == "gfx942" || s.Architecture == "gfx950")
}

// BF16 says whether bfloat16 runs on tensor cores (compute capability 8.0 and later; all CDNA parts).
func (s Sheet) BF16() Support {
	switch {
	case !s.known():
		return Support{Unknown, "the GPU is not known"}
	case s.Vendor == "AMD" || s.ComputeCapability() >= 80:
		return Support{Kind: Native}
	}
	return Support{Unsupported, "bfloat16 needs compute capability 8.0; use float16"}
}

// FP8 says how 8-bit floating-point weights run. On compute capability 7.5 to 8.6 vLLM loads them through its Marlin
// kernels as weight-only (W8A16): half of the weight bytes, no faster arithmetic.
func (s Sheet) FP8() Support {
	cc := s.ComputeCapability()
	switch {
	case !s.known():
		return Support{Unknown, "the GPU is not known"}
	case s.amdFP8():
		return Support{Kind: Native}
	case s.Vendor == "AMD":
		return Support{Unsupported, "FP8 needs gfx942 (MI300) or later"}
	case cc >= 89:
		return Support{Kind: Native}
	case cc >= 75:
		return Support{Storage, "weight-only through Marlin kernels (W8A16): half of the weight bytes, no faster arithmetic"}
	}
	return Support{Unsupported, "FP8 weights need compute capability 7.5 (weight-only) or 8.9 (arithmetic)"}
}

// FP4 says how 4-bit floating-point weights run: native on Blackwell (10.0 and later) and gfx950, elsewhere as storage
// from compute capability 8.0.
func (s Sheet) FP4() Support {
	cc := s.ComputeCapability()
	switch {
	case !s.known():
		return Support{Unknown, "the GPU is not known"}
	case s.Architecture == "gfx950" || (s.Vendor != "AMD" && cc >= 100):
		return Support{Kind: Native}
	case s.Vendor != "AMD" && cc >= 80:
		return Support{Storage, "weight-only: 4-bit weights are widened before the GEMM"}
	}
	return Support{Unsupported, "FP4 weights need compute capability 8.0 (weight-only) or 10.0 (arithmetic)"}
}

// FP8KVCache says whether a key-value cache in FP8 is a sound choice: from compute capability 8.9 (and gfx942) the
// attention kernels convert in hardware; before that only some backends store FP8 and conversion costs time.
func (s Sheet) FP8KVCache() Support {
	cc := s.ComputeCapability()
	switch {
	case !s.known():
		return Support{Unknown, "the GPU is not known"}
	case s.amdFP8(), s.Vendor != "AMD" && cc >= 89:
		return Support{Kind: Native}
	case s.Vendor != "AMD" && cc >= 80:
		return Support{Storage, "stored as FP8 by some attention backends only, converted in software"}
	}
	return Support{Kind: Unsupported, Note: "an FP8 key-value cache needs compute capability 8.9 or gfx942"}
}

// SupportsFP8 reports whether tensor cores compute in FP8 (compute capability 8.9 and later, gfx942 and later).
func (s Sheet) SupportsFP8() bool { return s.FP8().Kind == Native }

// SupportsBF16 reports whether bfloat16 runs on tensor cores.
func (s Sheet) SupportsBF16() bool { return s.BF16().Kind == Native }

// SupportsFP4 reports whether tensor cores compute in FP4.
func (s Sheet) SupportsFP4() bool { return s.FP4().Kind == Native }
