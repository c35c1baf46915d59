package web

import (
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/step"
)

// Category is one colour of a lane: what a span is.
type Category struct {
	ID    string `json:"id"`
	Label string `json:"label"`
	Color string `json:"color"`           // "#RRGGBB", the same on light and dark
	Hatch bool   `json:"hatch,omitempty"` // drawn with a texture beside its colour: GPU idleness
}

// Ids of the category sets; a lane names one, and the tags of its spans index it.
const (
	setPart      = "part"      // step.Part: GPU work by stage, GPU idleness by cause
	setPhase     = "phase"     // step.Phase
	setLifecycle = "lifecycle" // phases of the server's life
	setAPI       = "api"       // kernel.APIKind
	setRange     = "range"     // annotations, operators, Python frames
	setHost      = "host"      // other host time
	setRequest   = "request"   // parts of a request
	setCurve     = "curve"
)

// Colours of GPU work are cool, those of idleness warm and hatched. The sets were spread apart for normal sight and for
// protanopia, deuteranopia and tritanopia together; TestPalette holds them to that.
var stageColors = [kernel.NumStages]string{
	kernel.Other: "#ABBFBE", kernel.Embedding: "#DEBF65", kernel.Norm: "#7370B6", kernel.Rope: "#A5E6CA",
	kernel.QKV: "#2A9FEF", kernel.Attention: "#00714F", kernel.KVWrite: "#77BC95", kernel.OProj: "#A6CAFF",
	kernel.MLP: "#407BFD", kernel.MoE: "#295AB5", kernel.Activation: "#CCB5D7", kernel.Quant: "#304596",
	kernel.LMHead: "#302E56", kernel.Sampling: "#53007F", kernel.Collective: "#A0A43E", kernel.Copy: "#5D6171",
	kernel.Bookkeeping: "#BEC0AF", kernel.Gemm: "#889DCA", kernel.LinearAttn: "#304938",
}

var partCategories = map[step.Part]Category{
	step.Graph:            {Label: "CUDA graph (kernels not recorded)", Color: "#5D7D99"},
	step.CopyHtoDPinned:   {Label: "copy to GPU, pinned", Color: "#56B4E9"},
	step.CopyHtoDPageable: {Label: "copy to GPU, pageable", Color: "#D55E00"},
	step.CopyDtoHPinned:   {Label: "copy to host, pinned", Color: "#009E73"},
	step.CopyDtoHPageable: {Label: "copy to host, pageable", Color: "#C2477F"},
	step.CopyDtoD:         {Label: "copy within the GPU", Color: "#5D6171"},
	step.CopyPeer:         {Label: "copy between GPUs", Color: "#A0A43E"},
	step.CopyOther:        {Label: "copy, other", Color: "#8FA3A8"},
	step.Memset:           {Label: "memory fill", Color: "#BEC0AF"},
	step.IdleLaunch:       {Label: "idle: waits for the next launch", Color: "#CB398E"},
	step.IdleSync:         {Label: "idle: host in a synchronising call", Color: "#F4BC00"},
	step.IdleScheduler:    {Label: "idle: between steps (scheduler, output)", Color: "#F76700"},
	step.IdleCopy:         {Label: "idle: host in a blocking copy", Color: "#E891C2"},
	step.IdlePeer:         {Label: "idle: waits for another rank", Color: "#7A5816"},
	step.IdleRequests:     {Label: "idle: no request to run", Color: "#D5DDEB"},
	step.IdleDispatch:     {Label: "idle: switching to enqueued work", Color: "#A39994"},
	step.IdleProfiler:     {Label: "idle: profiler held the host", Color: "#6E3216"},
	step.IdleUnknown:      {Label: "idle: cause not recorded", Color: "#414A4E"},
}

var stageLabels = map[kernel.Stage]string{
	kernel.QKV: "QKV projection", kernel.OProj: "output projection", kernel.MLP: "MLP", kernel.MoE: "MoE",
	kernel.LMHead: "LM head", kernel.KVWrite: "KV write", kernel.Gemm: "GEMM of unknown role", kernel.LinearAttn: "linear attention",
	kernel.Copy: "copy kernels", kernel.Other: "other kernels", kernel.Quant: "quantisation", kernel.Rope: "rotary encoding",
}

func parts() []Category {
	out := make([]Category, step.NumParts)
	for s, color := range stageColors {
		label, ok := stageLabels[kernel.Stage(s)]
		if !ok {
			label = kernel.Stage(s).String()
		}
		out[s] = Category{ID: step.Part(s).String(), Label: label, Color: color}
	}
	for p, c := range partCategories {
		c.ID, c.Hatch = p.String(), p.Idle()
		out[p] = c
	}
	return out
}

// Lifecycle categories, in the order of a server's life.
var lifecycleCategories = []Category{
	{"start-up", "start-up", "#8FA3A8", false}, {"load", "load", "#2A9FEF", false}, {"compile", "compile", "#53007F", false},
	{"graph-capture", "graph capture", "#C9A227", false}, {"warm-up", "warm-up", "#F08A5D", false},
	{"serving", "serving", "#00714F", false}, {"waiting", "waiting", "#D5DDEB", true}, {"other", "other", "#5D6171", false},
}

func lifecycleTag(phase string) uint8 {
	for i, c := range lifecycleCategories {
		if c.ID == phase {
			return uint8(i)
		}
	}
	return uint8(len(lifecycleCategories) - 1)
}

var phaseCategories = []Category{
	step.Unknown: {"unknown", "phase not recorded", "#8FA3A8", false}, step.Prefill: {"prefill", "prefill", "#E08A00", false},
	step.Decode: {"decode", "decode", "#407BFD", false}, step.Mixed: {"mixed", "mixed", "#7B2C8F", false},
	step.Empty: {"empty", "no tokens", "#D5DDEB", true},
}

// API categories by kernel.APIKind: the library of a call is its lane.
var apiColors = []string{
	kernel.APIOther: "#ABBFBE", kernel.APILaunch: "#2A9FEF", kernel.APIGraphLaunch: "#295AB5", kernel.APIMemcpy: "#E08A00",
	kernel.APIMemset: "#DEBF65", kernel.APISyncEvent: "#F4BC00", kernel.APISyncStream: "#D9A600", kernel.APISyncDevice: "#B98D00",
	kernel.APIAlloc: "#CB398E", kernel.APIFree: "#E891C2", kernel.APIQuery: "#BEC0AF", kernel.APIEvent: "#889DCA",
	kernel.APIModuleLoad: "#53007F", kernel.APIHostFunc: "#7370B6", kernel.APIGraphBuild: "#5D7D99", kernel.APIProfiler: "#6E3216",
	kernel.APICollective: "#A0A43E", kernel.APILibrary: "#00714F",
}

var rangeCategories = []Category{
	{"marker", "engine step marker", "#407BFD", false},
	{"tint-1", "annotations, one tint per text", "#A6CAFF", false}, {"tint-2", "annotation", "#CCB5D7", false},
	{"tint-3", "annotation", "#A5E6CA", false}, {"tint-4", "annotation", "#DEBF65", false},
	{"tint-5", "annotation", "#BEC0AF", false}, {"tint-6", "annotation", "#77BC95", false},
}

const numTints = 6

// tint gives texts that differ only in numbers the same colour.
func tint(text string) uint8 {
	h := uint32(2166136261)
	for i := range len(text) {
		if c := text[i]; c < '0' || c > '9' {
			h = (h ^ uint32(c)) * 16777619
		}
	}
	return 1 + uint8(h%numTints)
}

// Tags of setHost.
const (
	hostOS = iota
	hostProfiler
)

var hostCategories = []Category{
	{"os", "operating system call", "#8FA3A8", false}, {"profiler", "profiler overhead", "#6E3216", false},
}

// Tags of setRequest.
const (
	requestQueue = iota
	requestPrefill
	requestDecode
	requestRunning
)

var requestCategories = []Category{
	{"queue", "queued", "#F4BC00", true}, {"prefill", "prefill to first token", "#E08A00", false},
	{"decode", "decode", "#407BFD", false}, {"running", "in the server", "#889DCA", false},
}

// categories returns every set.
func categories() map[string][]Category {
	api := make([]Category, len(apiColors))
	for i, c := range apiColors {
		id := kernel.APIKind(i).String()
		api[i] = Category{ID: id, Label: id, Color: c}
	}
	return map[string][]Category{
		setPart: parts(), setPhase: phaseCategories, setLifecycle: lifecycleCategories, setAPI: api, setRange: rangeCategories,
		setHost: hostCategories, setRequest: requestCategories, setCurve: {{"curve", "value", "#2A9FEF", false}},
	}
}
