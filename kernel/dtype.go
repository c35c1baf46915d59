package kernel

import "strings"

// elementType is one spelling of an element type within a lower-case name.
type elementType struct {
	word, dtype string
	whole       bool // only as a whole identifier: "float", not "floatx"
}

// elementTypes by first character. Of spellings that begin alike the longer
// one comes first.
var elementTypes = [256][]elementType{
	'b': {{"bfloat16", "bf16", false}, {"bf16", "bf16", false}},
	'd': {{"double", "f64", true}},
	'e': {{"e4m3", "fp8", false}, {"e5m2", "fp8", false}, {"e2m1", "fp4", false}},
	'f': {
		{"float_e4m3", "fp8", false}, {"float_e5m2", "fp8", false}, {"float_e2m1", "fp4", false}, {"float16", "f16", false}, {"float8", "fp8", false},
		{"fp16", "f16", false}, {"fp32", "f32", false}, {"fp64", "f64", false}, {"fp4", "fp4", false}, {"fp8", "fp8", false},
		{"f16", "f16", false}, {"f32", "f32", false}, {"f64", "f64", false}, {"float", "f32", true},
	},
	'h': {{"h16816gemm", "f16", false}, {"h884", "f16", false}, {"half", "f16", false}, {"hgemm", "f16", false}},
	'i': {{"int8", "int8", false}, {"i8i8", "int8", false}, {"i8816", "int8", false}, {"i16832", "int8", false}},
	'm': {{"mxfp4", "fp4", false}},
	'n': {{"nvfp4", "fp4", false}},
	's': {{"s8s8", "int8", false}, {"s1688gemm", "tf32", false}, {"sgemm", "f32", false}},
	't': {{"tf32", "tf32", false}},
}

// firstType returns the type of the first spelling in a name, or "".
func firstType(lower string) string {
	for i := 0; i < len(lower); i++ {
		for _, e := range elementTypes[lower[i]] {
			if !strings.HasPrefix(lower[i:], e.word) {
				continue
			}
			end := i + len(e.word)
			if e.whole && (i > 0 && identifierByte(lower[i-1]) || end < len(lower) && identifierByte(lower[end])) {
				continue
			}
			return e.dtype
		}
	}
	return ""
}

func identifierByte(c byte) bool { return identifierStart(c) || c >= '0' && c <= '9' }

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
		if f := strings.SplitN(lower, "_", 3); len(f) == 3 {
			lower = f[2]
		}
	}
	lower = beforeParameters(lower)
	// An enumeration of vLLM's that says nothing about the operands.
	lower = strings.ReplaceAll(lower, "fp8kvcachedatatype", "")
	if c.Gemm && strings.Contains(lower, "tf32") {
		return "tf32"
	}
	return firstType(lower)
}

// beforeParameters cuts the function's parameter list off: its types are those
// of any argument. Template arguments stay.
func beforeParameters(lower string) string {
	if i := strings.LastIndex(lower, ">("); i >= 0 {
		return lower[:i]
	}
	if i := strings.IndexByte(lower, '('); i > 0 && !strings.Contains(lower[:i], "<") {
		return lower[:i]
	}
	return lower
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
