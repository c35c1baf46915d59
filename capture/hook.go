package capture

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/stepscope/stepscope/knob"
)

// hook is how an engine is told to start and stop a profiler while it serves.
type hook struct {
	config    map[string]any // fields of --profiler-config to set
	env       []string       // variables to add to its environment
	startBody string         // of POST /start_profile
	note      string
}

// hookFor returns the hook of an engine's version. dir is an absolute folder for traces of the torch profiler.
//
// vLLM: --profiler-config from 0.13 on, VLLM_TORCH_CUDA_PROFILE in 0.12, VLLM_TORCH_PROFILER_DIR before 0.13. SGLang: the
// body of the request chooses (documented by its project; not tried here).
func hookFor(p Profiler, eng knob.Engine, dir string) (hook, error) {
	switch eng.Name {
	case knob.VLLM:
		return vllmHook(p, eng, dir)
	case knob.SGLang:
		return sglangHook(p, dir), nil
	}
	return hook{}, &Failure{Stage: Checking, Kind: ErrNoHook, Text: fmt.Sprintf("no way is known to start a profiler in %s while it serves; profile it by hand, or use --profiler none", orUnknown(eng.Name))}
}

func orUnknown(s string) string {
	if s == "" {
		return "this server"
	}
	return s
}

func vllmHook(p Profiler, eng knob.Engine, dir string) (hook, error) {
	var h hook
	old := eng.Before("0.13.0")
	if eng.Version == "" {
		h.note = "the version of vLLM is not known: its options of 0.13 and newer are used"
	}
	if p == Nsys {
		// A forked engine process inherits CUDA and tracing state half made; spawn starts it clean.
		h.env = append(h.env, "VLLM_WORKER_MULTIPROC_METHOD=spawn")
		switch {
		case !old:
			h.config = map[string]any{"profiler": "cuda"}
		case eng.AtLeast("0.12.0"):
			h.env = append(h.env, "VLLM_TORCH_CUDA_PROFILE=1")
		default:
			return hook{}, &Failure{Stage: Checking, Kind: ErrNoHook, Text: fmt.Sprintf("%s cannot open a capture range (vLLM 0.12 and newer can): use --profiler torch, or profile it by hand", eng)}
		}
		return h, nil
	}
	if old {
		h.env = append(h.env, "VLLM_TORCH_PROFILER_DIR="+dir, "VLLM_TORCH_PROFILER_RECORD_SHAPES=1", "VLLM_TORCH_PROFILER_WITH_STACK=0")
		return h, nil
	}
	h.config = map[string]any{"profiler": "torch", "torch_profiler_dir": dir, "torch_profiler_with_stack": false, "torch_profiler_record_shapes": true, "ignore_frontend": true}
	if eng.AtLeast("0.28.0") {
		h.config["detailed_trace_annotation"] = true
	}
	return h, nil
}

// apply adds the hook's options to a server's settings. Fields of --profiler-config that the user set and the hook does not
// stay.
func (h hook) apply(s knob.Settings) (knob.Settings, error) {
	const option = "--profiler-config"
	if h.config == nil {
		return s, nil
	}
	fields := map[string]any{}
	for _, n := range s.Names() {
		field, ok := strings.CutPrefix(n, option+".")
		if !ok || strings.Contains(field, ".") {
			continue
		}
		v, _ := s.Value(n)
		if json.Unmarshal([]byte(v), new(any)) == nil {
			fields[field] = json.RawMessage(v)
		} else {
			fields[field] = v
		}
		s = s.Without(n)
	}
	maps.Copy(fields, h.config)
	b, err := json.Marshal(fields)
	if err != nil {
		return s, fmt.Errorf("making %s: %w", option, err)
	}
	return s.Without(option).With(option, string(b)), nil
}

func sglangHook(p Profiler, dir string) hook {
	if p == Nsys {
		return hook{startBody: `{"activities":["CUDA_PROFILER"]}`}
	}
	b, _ := json.Marshal(map[string]any{"activities": []string{"CPU", "GPU"}, "output_dir": dir, "record_shapes": true, "with_stack": false})
	return hook{startBody: string(b), env: []string{"SGLANG_TORCH_PROFILER_DIR=" + dir}}
}
