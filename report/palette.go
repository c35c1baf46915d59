package report

import (
	"fmt"
	"strings"

	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/step"
)

// swatch is the colour of a category in the HTML report, the same on light and dark. Idle parts are hatched as well, so
// that they are told from GPU work without colour.
type swatch struct {
	Label string
	Fill  string // "#RRGGBB"
	Hatch bool
}

// partSwatches are the colours of package web's timeline, so that both views of a capture read alike: GPU work is cool,
// idleness warm and hatched, spread apart for normal sight and for the three colour deficiencies.
var partSwatches = map[string]swatch{
	stagePart(kernel.Other): {"other kernels", "#ABBFBE", false}, stagePart(kernel.Embedding): {"embedding", "#DEBF65", false},
	stagePart(kernel.Norm): {"norm", "#7370B6", false}, stagePart(kernel.Rope): {"rotary encoding", "#A5E6CA", false},
	stagePart(kernel.QKV): {"QKV projection", "#2A9FEF", false}, stagePart(kernel.Attention): {"attention", "#00714F", false},
	stagePart(kernel.KVWrite): {"KV write", "#77BC95", false}, stagePart(kernel.OProj): {"output projection", "#A6CAFF", false},
	stagePart(kernel.MLP): {"MLP", "#407BFD", false}, stagePart(kernel.MoE): {"MoE", "#295AB5", false},
	stagePart(kernel.Activation): {"activation", "#CCB5D7", false}, stagePart(kernel.Quant): {"quantisation", "#304596", false},
	stagePart(kernel.LMHead): {"LM head", "#302E56", false}, stagePart(kernel.Sampling): {"sampling", "#53007F", false},
	stagePart(kernel.Collective): {"collective", "#A0A43E", false}, stagePart(kernel.Copy): {"copy kernels", "#5D6171", false},
	stagePart(kernel.Bookkeeping): {"bookkeeping", "#BEC0AF", false}, stagePart(kernel.Gemm): {"GEMM of unknown role", "#889DCA", false},
	stagePart(kernel.LinearAttn): {"linear attention", "#304938", false},

	step.Graph.String():            {"CUDA graph (kernels not recorded)", "#5D7D99", false},
	step.CopyHtoDPinned.String():   {"copy to GPU, pinned", "#56B4E9", false},
	step.CopyHtoDPageable.String(): {"copy to GPU, pageable", "#D55E00", false},
	step.CopyDtoHPinned.String():   {"copy to host, pinned", "#009E73", false},
	step.CopyDtoHPageable.String(): {"copy to host, pageable", "#C2477F", false},
	step.CopyDtoD.String():         {"copy within the GPU", "#5D6171", false},
	step.CopyPeer.String():         {"copy between GPUs", "#A0A43E", false},
	step.CopyOther.String():        {"copy, other", "#8FA3A8", false},
	step.Memset.String():           {"memory fill", "#BEC0AF", false},
	step.IdleLaunch.String():       {"idle: waits for the next launch", "#CB398E", true},
	step.IdleSync.String():         {"idle: host in a synchronising call", "#F4BC00", true},
	step.IdleScheduler.String():    {"idle: between steps (scheduler, output)", "#F76700", true},
	step.IdleCopy.String():         {"idle: host in a blocking copy", "#E891C2", true},
	step.IdlePeer.String():         {"idle: waits for another rank", "#7A5816", true},
	step.IdleRequests.String():     {"idle: no request to run", "#D5DDEB", true},
	step.IdleDispatch.String():     {"idle: switching to enqueued work", "#A39994", true},
	step.IdleProfiler.String():     {"idle: profiler held the host", "#6E3216", true},
	step.IdleUnknown.String():      {"idle: cause not recorded", "#414A4E", true},

	outsideSteps: {"GPU work outside steps", "#C4C9CF", false},
}

// outsideSteps stands for device work that belongs to no step; it is no part of a budget.
const outsideSteps = "outside"

func stagePart(s kernel.Stage) string { return step.Part(s).String() }

var phaseSwatches = map[string]swatch{
	"unknown": {"phase not recorded", "#8FA3A8", false}, "prefill": {"prefill", "#E08A00", false}, "decode": {"decode", "#407BFD", false},
	"mixed": {"mixed", "#7B2C8F", false}, "empty": {"no tokens", "#D5DDEB", true},
}

var lifecycleSwatches = map[string]swatch{
	step.PhaseStart: {"start-up", "#8FA3A8", false}, step.PhaseLoad: {"load", "#2A9FEF", false}, step.PhaseCompile: {"compile", "#53007F", false},
	step.PhaseGraphCapture: {"graph capture", "#C9A227", false}, step.PhaseWarmUp: {"warm-up", "#F08A5D", false},
	step.PhaseServing: {"serving", "#00714F", false}, step.PhaseWaiting: {"waiting", "#D5DDEB", true},
}

// swatchOf returns the swatch of an id; what the table lacks (a later version's part) is neutral and keeps its id as label.
func swatchOf(table map[string]swatch, id string) swatch {
	if s, ok := table[id]; ok {
		return s
	}
	return swatch{id, "#5D6171", strings.HasPrefix(id, "idle.")}
}

// ink is the text colour that reads best on a fill.
func ink(fill string) string {
	var r, g, b uint8
	if _, err := fmt.Sscanf(fill, "#%02x%02x%02x", &r, &g, &b); err != nil {
		return "#000"
	}
	// Rec. 709 luma on gamma-encoded values is enough to choose between two inks.
	if 0.2126*float64(r)+0.7152*float64(g)+0.0722*float64(b) > 140 {
		return "#000"
	}
	return "#fff"
}
