package device

import "strings"

// DType is a number format of weights, of the key-value cache or of tensor-core arithmetic.
type DType string

// The formats that data sheets and checkpoints name. INT4, MXFP4 and NVFP4 are storage formats of weights: their
// arithmetic runs in another type (see [DType.Arithmetic]).
const (
	FP32  DType = "fp32"
	TF32  DType = "tf32"
	FP16  DType = "fp16"
	BF16  DType = "bf16"
	FP8   DType = "fp8"
	INT8  DType = "int8"
	FP4   DType = "fp4"
	INT4  DType = "int4"
	MXFP4 DType = "mxfp4"
	NVFP4 DType = "nvfp4"
)

// Bits returns the storage of one element in bits, with the scales of block formats shared out over the block: MXFP4
// has one 8-bit scale per 32 elements, NVFP4 one per 16, INT4 is counted with a 16-bit scale and a 4-bit zero point per
// 128 elements (the usual AWQ and GPTQ group). It is 0 for an unknown type.
func (d DType) Bits() float64 {
	switch d {
	case FP32, TF32:
		return 32
	case FP16, BF16:
		return 16
	case FP8, INT8:
		return 8
	case FP4:
		return 4
	case MXFP4:
		return 4 + 8.0/32
	case NVFP4:
		return 4 + 8.0/16
	case INT4:
		return 4 + 20.0/128
	}
	return 0
}

// Bytes returns Bits/8.
func (d DType) Bytes() float64 { return d.Bits() / 8 }

// Arithmetic returns the type whose peak bounds a GEMM that stores its weights as d and its activations in act, on a
// GPU with the given sheet: the native type where the tensor cores have it, else act, because the kernel then widens the
// weights first (weight-only quantisation). Without weights (d empty) it is act too.
func (d DType) Arithmetic(act DType, s Sheet) DType {
	native := d
	switch d {
	case MXFP4, NVFP4:
		native = FP4
	case INT4, "":
		return act
	}
	if native == act {
		return act
	}
	if native == FP8 && s.FP8().Kind != Native {
		return act
	}
	if native == FP4 && s.FP4().Kind != Native {
		return act
	}
	if _, ok := s.Peak(native); !ok {
		return act
	}
	return native
}

// ParseDType reads the spellings that engines, frameworks and checkpoints use ("bfloat16", "torch.half", "fp8_e4m3",
// "float8_e4m3fn"). It reports false for "auto" and for what it does not know.
func ParseDType(s string) (DType, bool) {
	s = strings.TrimPrefix(strings.ToLower(strings.TrimSpace(s)), "torch.")
	switch s {
	case "fp32", "float32", "float":
		return FP32, true
	case "tf32":
		return TF32, true
	case "fp16", "float16", "half", "f16":
		return FP16, true
	case "bf16", "bfloat16":
		return BF16, true
	case "int8", "int8_per_token_head":
		return INT8, true
	case "int4", "int4_per_token_head", "w4a16":
		return INT4, true
	case "fp4":
		return FP4, true
	case "mxfp4":
		return MXFP4, true
	case "nvfp4":
		return NVFP4, true
	}
	if strings.HasPrefix(s, "fp8") || strings.HasPrefix(s, "float8") {
		return FP8, true
	}
	return "", false
}
