package knob

import (
	"fmt"
	"strings"

	"github.com/stepscope/stepscope/diagnose"
)

// customCode are options that bring the user's own code into the engine's steps, the most likely to keep tensors first.
var customCode = []struct{ name, what string }{
	{"--logits-processors", "the custom logits processor"},
	{"--worker-extension-cls", "the worker's extension"},
	{"--worker-cls", "the custom worker"},
}

// memoryGrowth: leave out what is not the engine's own where memory leaks. No option of the engine ends a leak, and less
// memory for the cache only lets it last longer; other growth has too many reasons for one answer.
func (a *adviser) memoryGrowth() {
	for _, x := range customCode {
		a.decided[x.name] = true
	}
	if len(a.c.Leaks()) == 0 || a.finding.Severity < diagnose.High {
		return
	}
	for _, x := range customCode {
		v, set := a.Settings.Shown(x.name)
		if !set || v == "" || strings.EqualFold(v, "auto") {
			continue
		}
		a.propose(change{name: x.name, drop: true,
			text: fmt.Sprintf("Run without %s (%s) and record again: steps keep device memory, and code that holds on to a tensor of every step does just that. If the memory stays level then, let that code copy to the host or drop what it kept.", x.what, v),
			why:  "it is about how long the server lives, not how fast it is"})
	}
	if len(a.out) == 0 && a.untold(customCode[0].name) {
		a.look(customCode[0].name, "Look for custom code in the engine (--logits-processors, --worker-extension-cls, plugins) and record again without it: steps keep device memory, and code that holds on to a tensor of every step does just that.",
			"the server's options are not known")
	}
	if v, ok := a.Settings.Value("VLLM_PLUGINS"); ok && v != "" {
		a.look("VLLM_PLUGINS", "Set VLLM_PLUGINS to nothing, so that no plugin is loaded, and record again: steps keep device memory.",
			"it is about how long the server lives, not how fast it is")
	}
}
