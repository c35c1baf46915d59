package knob

import "strings"

// profilingOptions are options that only serve a capture, of any engine; a field of one goes with it.
var profilingOptions = map[string]bool{"--profiler-config": true, "--enable-layerwise-nvtx-tracing": true, "--enable-layerwise-nvtx-marker": true, "--enable-profile-cuda-graph": true}

// profilingVariables are the prefixes of variables that only serve a capture.
var profilingVariables = []string{"VLLM_TORCH_PROFILER_", "VLLM_TORCH_CUDA_PROFILE", "VLLM_NVTX_SCOPES_FOR_PROFILING", "VLLM_CUSTOM_SCOPES_FOR_PROFILING",
	"SGLANG_TORCH_PROFILER_", "SGLANG_PROFILE_"}

// Profiling lists the options and variables that are set only for a capture, sorted as Names sorts.
func (s Settings) Profiling() []string {
	var out []string
	for _, n := range s.Names() {
		base, _, _ := strings.Cut(n, ".")
		is := profilingOptions[base]
		for _, p := range profilingVariables {
			is = is || strings.HasPrefix(n, p)
		}
		if is {
			out = append(out, n)
		}
	}
	return out
}

// Serving returns the settings of the same server when nobody records it: without the options and variables that only
// serve a capture, and without nsys in front of the command.
func (s Settings) Serving() Settings {
	out := s.clone()
	for _, n := range s.Profiling() {
		out = out.Without(n)
	}
	if c := out.command; c != nil {
		c.prefix = withoutNsys(c.prefix)
	}
	return out
}

// withoutNsys cuts "nsys profile" or "nsys launch" with its options out of the words in front of a server's arguments.
// Every option of both takes a value, behind "=" or as the next word.
func withoutNsys(words []string) []string {
	for i := range words {
		if words[i][strings.LastIndexByte(words[i], '/')+1:] != "nsys" || i+1 == len(words) || words[i+1] != "profile" && words[i+1] != "launch" {
			continue
		}
		j := i + 2
		for j < len(words) && isOption(words[j]) {
			if short := !strings.HasPrefix(words[j], "--"); short && len(words[j]) > 2 || !short && strings.Contains(words[j], "=") {
				j++
				continue
			}
			j += 2
		}
		if j >= len(words) {
			return words // the options are not understood
		}
		return append(words[:i:i], words[j:]...)
	}
	return words
}
