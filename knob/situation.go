package knob

import (
	"fmt"

	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/serving"
)

// SituationOf collects what the capture and the server's evidence say about the engine and how it runs: the GPU from the
// device table, version and settings from the log, and settings from the command line, which says most where both are
// there. run may be nil.
func SituationOf(devices []profile.Device, run *serving.Run) Situation {
	s := Situation{Engine: Engine{Name: VLLM}, GPUs: 1}
	for _, d := range devices {
		if d.Name != "" {
			s.GPUName, s.GPUMem = d.Name, d.MemoryBytes
			break
		}
	}
	if run == nil {
		return s
	}
	e := run.Engine
	s.Engine = Engine{Name: e.Name.Or(VLLM), Version: e.Version.Or("")}
	if a := e.NonDefaultArgs; a.Known {
		if set, err := ParseNonDefaultArgs(a.Value); err == nil {
			s.Settings = set
		}
	}
	if c := run.Command; c.Known {
		if set, err := ParseCommandFor(c.Value, s.Engine); err == nil {
			s.Settings = set
		}
	}
	if tp := e.TensorParallel; tp.Known && tp.Value > 0 {
		s.GPUs = int(tp.Value)
	}
	return s
}

// Complete adds to the facts about an engine what its settings say and its log does not print: vLLM logs no default of
// max-num-seqs.
func (s Situation) Complete(e *serving.EngineInfo) {
	if !e.MaxNumSeqs.Known {
		d := s.Settings.Effective("--max-num-seqs", s.Engine, s.GPUMem, s.GPUName)
		var n int64
		if _, err := fmt.Sscan(d.Value, &n); d.Known && err == nil {
			e.MaxNumSeqs = serving.NewFact(n, serving.Source{Field: "--max-num-seqs, " + d.Reason})
		}
	}
	if v, ok := s.Settings.Bool("--enforce-eager"); ok && !e.EnforceEager.Known {
		e.EnforceEager = serving.NewFact(v, serving.Source{Field: "--enforce-eager"})
	}
	if v, ok := s.Settings.Bool("--async-scheduling"); ok && !e.AsyncScheduling.Known {
		e.AsyncScheduling = serving.NewFact(v, serving.Source{Field: "--async-scheduling"})
	}
	if s.Settings.Model != "" && !e.Model.Known {
		e.Model = serving.NewFact(s.Settings.Model, serving.Source{Field: "command line"})
	}
}
