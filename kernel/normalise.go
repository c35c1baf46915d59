package kernel

import (
	"strings"
	"unicode/utf8"
)

// maxName is how much of a name is looked at. The longest kernel names seen
// (CUTLASS templates) have some 8 kB, with everything that tells the stage in
// the first one.
const maxName = 4096

// Normalise brings the spellings of one kernel in different tools together:
// it drops a leading return type "void ", the "(int)4" and "(bool)1" casts of
// Nsight Systems, prints its <unnamed> as (anonymous namespace), turns a
// mangled name into its identifiers, drops ROCm's ".kd" suffix and replaces
// control characters and invalid UTF-8 by "?". Names beyond 4096 bytes are cut.
func Normalise(name string) string {
	name = cutName(strings.TrimSpace(name))
	name = cleanText(name)
	name = strings.TrimSuffix(name, ".kd")
	if strings.HasPrefix(name, "_Z") {
		if ids := mangledIdentifiers(name); ids != "" {
			return ids
		}
	}
	name = strings.TrimPrefix(name, "void ")
	if strings.Contains(name, "<unnamed>") {
		name = strings.ReplaceAll(name, "<unnamed>", "(anonymous namespace)")
	}
	return dropCasts(name)
}

func cutName(name string) string {
	if len(name) <= maxName {
		return name
	}
	cut := maxName
	for cut > maxName-utf8.UTFMax && !utf8.RuneStart(name[cut]) {
		cut--
	}
	return name[:cut]
}

func cleanText(name string) string {
	dirty := false
	for i := 0; i < len(name); i++ {
		if c := name[i]; c < 0x20 || c >= 0x7f {
			dirty = true
			break
		}
	}
	if !dirty {
		return name
	}
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r == utf8.RuneError {
			return '?'
		}
		return r
	}, name)
}

// casts are the C-style casts that Nsight Systems prints before template
// arguments.
var casts = strings.NewReplacer(
	"(int)", "", "(unsigned int)", "", "(long)", "", "(unsigned long)", "", "(short)", "",
	"(unsigned short)", "", "(signed char)", "", "(unsigned char)", "", "(char)", "",
	"(long long)", "", "(unsigned long long)", "",
	"(bool)0", "false", "(bool)1", "true",
)

func dropCasts(name string) string {
	// Only inside template arguments: "kernel(int)" is a parameter list.
	lt := strings.IndexByte(name, '<')
	if lt < 0 || !strings.Contains(name[lt:], "(") {
		return name
	}
	gt := strings.LastIndexByte(name, '>')
	if gt < lt {
		return name
	}
	return name[:lt] + casts.Replace(name[lt:gt]) + name[gt:]
}

// mangledIdentifiers lists the identifiers of an Itanium-mangled name, joined
// by "::". It is no demangler: identifiers are what the rules need.
func mangledIdentifiers(name string) string {
	var out strings.Builder
	for i := 2; i < len(name); {
		c := name[i]
		if c < '1' || c > '9' {
			i++
			continue
		}
		// A literal such as Li4E or Lb1E is a template value, not a length.
		if i >= 2 && name[i-2] == 'L' && name[i-1] >= 'a' && name[i-1] <= 'z' {
			for i < len(name) && name[i] >= '0' && name[i] <= '9' {
				i++
			}
			continue
		}
		n := 0
		j := i
		for j < len(name) && name[j] >= '0' && name[j] <= '9' && n < maxName {
			n = n*10 + int(name[j]-'0')
			j++
		}
		if n == 0 || n > len(name)-j || !identifierStart(name[j]) {
			i = j
			continue
		}
		id := name[j : j+n]
		i = j + n
		if id == "_GLOBAL__N_1" {
			id = "(anonymous namespace)"
		}
		if out.Len() > 0 {
			out.WriteString("::")
		}
		out.WriteString(id)
	}
	return out.String()
}

func identifierStart(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// compounds keeps words whole that the humps would tear apart.
var compounds = strings.NewReplacer(
	"MoE", "_moe_", "topK", "_topk_", "TopK", "_topk_", "TopP", "_topp_", "MinP", "_min_p_", "RoPE", "_rope_",
	"splitKreduce", "_splitk_reduce_", "splitK", "_splitk_", "SplitK", "_splitk_", "split_k_", "_splitk_",
	"BFloat16", "bfloat16", "KVCache", "_kv_cache_", "FlashMLA", "_flashmla_", "MLA", "_mla_",
	"DeepSeek", "_deepseek_", "top_k_", "_topk_", "top_p_", "_topp_",
)

// words splits a name into lower-case words separated and surrounded by
// single spaces. Everything but letters and digits separates, and so do the
// humps of CamelCase: "RMSNormKernel" is " rms norm kernel ". Digits stay with
// what precedes them, "fp8" and "sm90" are words.
func words(name string) string {
	name = compounds.Replace(name)
	out := make([]byte, 1, len(name)+len(name)/4+2)
	out[0] = ' '
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z':
			out = append(out, c)
		case c >= 'A' && c <= 'Z':
			// The hump of "RMSNorm" ends before its last capital.
			prevLower := i > 0 && name[i-1] >= 'a' && name[i-1] <= 'z'
			prevUpper := i > 0 && (name[i-1] >= 'A' && name[i-1] <= 'Z' || name[i-1] >= '0' && name[i-1] <= '9')
			nextLower := i+1 < len(name) && name[i+1] >= 'a' && name[i+1] <= 'z'
			if (prevLower || prevUpper && nextLower) && out[len(out)-1] != ' ' {
				out = append(out, ' ')
			}
			out = append(out, c+'a'-'A')
		case c >= '0' && c <= '9':
			out = append(out, c)
		default:
			if out[len(out)-1] != ' ' {
				out = append(out, ' ')
			}
		}
	}
	if out[len(out)-1] != ' ' {
		out = append(out, ' ')
	}
	return string(out)
}
