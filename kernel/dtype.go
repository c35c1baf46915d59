package kernel

import (
	"regexp"
	"strings"
	"sync"
)

// typeWord finds names of element types. In alternatives that begin alike the
// longer one comes first.
var typeWord = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`bfloat16|bf16|float_e[45]m[32]|e4m3|e5m2|float8|fp8|e2m1|nvfp4|mxfp4|fp4|tf32|float16|__half|\bhalf|fp16|f16|int8|\bs8|\bi8|i8816|fp32|f32|\bfloat\b|double|f64|fp64|[_\d]sgemm|[_\d]hgemm|h16816gemm|h884|s1688gemm|i16832`)
})

var typeNames = map[string]string{
	"bfloat16": "bf16", "bf16": "bf16", "float_e4m3": "fp8", "float_e5m2": "fp8", "e4m3": "fp8", "e5m2": "fp8",
	"float8": "fp8", "fp8": "fp8", "e2m1": "fp4", "nvfp4": "fp4", "mxfp4": "fp4", "fp4": "fp4", "tf32": "tf32",
	"float16": "f16", "__half": "f16", "half": "f16", "fp16": "f16", "f16": "f16",
	"int8": "int8", "s8": "int8", "i8": "int8", "i8816": "int8", "i16832": "int8",
	"fp32": "f32", "f32": "f32", "float": "f32", "double": "f64", "f64": "f64", "fp64": "f64",
	"h16816gemm": "f16", "h884": "f16", "s1688gemm": "tf32",
}

// dtype reads the operand type from a lower-case name. For most libraries the
// first type named is that of the first operand; the exceptions have their own
// functions. It returns "" if the name does not tell.
func dtype(lower string, c Class) string {
	switch {
	case c.Family == "nvjet":
		return nvjetType(lower)
	case c.Family == "tensile":
		return tensileType(lower)
	case c.Family == "cuda" || c.Stage == Bookkeeping || c.Op == "split-k-reduce":
		return ""
	}
	if c.Gemm && (strings.HasPrefix(lower, "bmm_") || strings.HasPrefix(lower, "gemm_")) {
		// TensorRT-LLM generated kernels name the output type first.
		if _, rest, ok := strings.Cut(lower[len("bmm_"):], "_"); ok {
			lower = rest
		}
	}
	// An enumeration of vLLM's that says nothing about the operands.
	lower = strings.ReplaceAll(lower, "fp8kvcachedatatype", "")
	if c.Gemm && strings.Contains(lower, "tf32") {
		return "tf32"
	}
	m := typeWord().FindString(lower)
	if t, ok := typeNames[m]; ok {
		return t
	}
	switch {
	case strings.HasSuffix(m, "sgemm"):
		return "f32"
	case strings.HasSuffix(m, "hgemm"):
		return "f16"
	}
	return ""
}

// nvjetType reads the type letters of cuBLAS's nvjet kernels, in cuBLAS's own
// notation: nvjet_sm90_tst_... multiplies bf16 (t), accumulates in f32 (s) and
// stores bf16.
func nvjetType(lower string) string {
	for _, field := range strings.Split(lower, "_")[1:] {
		if strings.HasPrefix(field, "sm") && len(field) > 2 && field[2] >= '0' && field[2] <= '9' {
			continue
		}
		if field == "" {
			return ""
		}
		switch field[0] {
		case 't':
			return "bf16"
		case 'h':
			return "f16"
		case 'q', 'r':
			return "fp8"
		case 'o':
			return "fp4"
		case 's':
			return "f32"
		case 'd':
			return "f64"
		case 'b', 'i':
			return "int8"
		}
		return ""
	}
	return ""
}

// tensileType reads the type field that follows the index fields of a Tensile
// name: Cijk_Alik_Bljk_BBS_BH_... has bf16 operands.
func tensileType(lower string) string {
	fields := strings.Split(lower, "_")
	for i := 0; i+1 < len(fields); i++ {
		if len(fields[i]) != 4 || fields[i][0] != 'b' || !strings.ContainsRune("ijkl", rune(fields[i][1])) {
			continue
		}
		f := fields[i+1]
		switch {
		case strings.HasPrefix(f, "f8"), strings.HasPrefix(f, "b8"):
			return "fp8"
		case strings.HasPrefix(f, "f4"):
			return "fp4"
		case strings.HasPrefix(f, "i8"), strings.HasPrefix(f, "4xi8"):
			return "int8"
		case strings.HasPrefix(f, "x"):
			return "tf32"
		case strings.HasPrefix(f, "b"):
			return "bf16"
		case strings.HasPrefix(f, "h"):
			return "f16"
		case strings.HasPrefix(f, "s"):
			return "f32"
		case strings.HasPrefix(f, "d"):
			return "f64"
		}
		return ""
	}
	return ""
}
