package bench

import (
	"encoding/json"
	"maps"
)

// features are the parts of a request that not every server accepts. The preflight
// takes away what this one refuses.
type features struct {
	ids        bool // prompts of token ids
	ignoreEOS  bool
	usage      bool // stream_options.include_usage
	continuous bool // stream_options.continuous_usage_stats
	newLen     bool // max_completion_tokens instead of max_tokens
}

// body encodes a request.
func (r *runner) body(p prompt, outputLen int) ([]byte, error) {
	m := map[string]any{"model": r.model, "stream": true, "temperature": 0}
	if r.cfg.API == Chat {
		m["messages"] = p.messages
		if len(p.messages) == 0 {
			m["messages"] = []message{{"user", p.text}}
		}
	} else if p.ids != nil {
		m["prompt"] = p.ids
	} else {
		m["prompt"] = p.text
	}
	if r.has.newLen {
		m["max_completion_tokens"] = outputLen
	} else {
		m["max_tokens"] = outputLen
	}
	if r.has.ignoreEOS {
		m["ignore_eos"] = true
	}
	if r.has.usage {
		o := map[string]any{"include_usage": true}
		if r.has.continuous {
			o["continuous_usage_stats"] = true
		}
		m["stream_options"] = o
	}
	maps.Copy(m, r.cfg.Extra)
	return json.Marshal(m)
}
