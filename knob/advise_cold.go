package knob

import "github.com/stepscope/stepscope/diagnose"

// coldStart: what a first use costs is paid before traffic comes. Options that shorten the start of the server, or that give
// up what is slow to make, answer another question.
func (a *adviser) coldStart() {
	for _, n := range []string{"--enforce-eager", "--load-format", "--safetensors-load-strategy", "VLLM_CACHE_ROOT", "VLLM_DISABLE_COMPILE_CACHE"} {
		a.decided[n] = true
	}
	a.out = append(a.out, diagnose.Advice{Knob: "warm-up requests",
		Text:        "Send requests of the shapes that will be served (prompt lengths, batch sizes, sampling settings) before traffic comes, and before measuring: code that is loaded or compiled at first use is then there.",
		Unpredicted: "how often it happens again depends on the load"})
}
