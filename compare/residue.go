package compare

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/stepscope/stepscope/serving"
)

// A Difference is a circumstance in which the two runs differ.
type Difference struct {
	Group  Circumstance `json:"group"`
	Name   string       `json:"name"`
	Before string       `json:"before"`
	After  string       `json:"after"`
	// Matters is false where the difference cannot move what is compared, or follows from another one.
	Matters bool   `json:"matters"`
	Text    string `json:"text,omitempty"`
}

// absent is how a setting that was not given is shown.
const absent = "not set"

// harmless are options of the server that cannot move its speed: where it listens, what it is called, what it logs, and
// that a profiler may be started.
func harmless(name string) bool {
	switch name {
	case "--host", "--port", "--served-model-name", "--api-key", "--uds", "--root-path", "--seed", "--download-dir", "--api-server-count":
		return name != "--api-server-count"
	}
	for _, p := range []string{"--profiler-config", "--uvicorn-", "--ssl-", "--cors-", "--allowed-", "--disable-log", "--enable-log", "--no-enable-log", "--log-"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	switch name {
	case "HF_HOME", "HF_HUB_OFFLINE", "VLLM_NO_USAGE_STATS", "DO_NOT_TRACK", "VLLM_LOGGING_LEVEL", "VLLM_CACHE_ROOT", "VLLM_TORCH_PROFILER_DIR":
		return true
	}
	return false
}

// ordered lists circumstances as reports show them.
var ordered = []Circumstance{OfSettings, OfHardware, OfSoftware, OfModel, OfLoad, OfCapture, OfEngine}

// residue lists everything known that differs between the sides.
func (c *comparer) residue() {
	var out []Difference
	unknown := map[string]bool{}
	bothSettings := c.before.Settings != nil && c.after.Settings != nil
	if bothSettings {
		out = append(out, settingDifferences(c.before.Settings, c.after.Settings)...)
	}
	b, a := factsOf(c.before), factsOf(c.after)
	keys := make([]factKey, 0, len(b)+len(a))
	for k := range b {
		keys = append(keys, k)
	}
	for k := range a {
		if _, ok := b[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(x, y factKey) int {
		return cmp.Or(cmp.Compare(slices.Index(ordered, x.group), slices.Index(ordered, y.group)), cmp.Compare(x.name, y.name))
	})
	for _, k := range keys {
		x, okB := b[k]
		y, okA := a[k]
		switch {
		case !okB || !okA:
			unknown[string(k.group)+": "+k.name] = true
		case x != y:
			d := Difference{Group: k.group, Name: k.name, Before: x, After: y, Matters: true}
			if k.group == OfEngine {
				d.Matters = !bothSettings
				if bothSettings {
					d.Text = "follows from the settings, the model or the hardware"
				}
			}
			out = append(out, d)
		}
	}
	recorded := len(out)
	if c.batches != nil {
		out = append(out, *c.batches)
	}
	slices.SortStableFunc(out, func(x, y Difference) int {
		return cmp.Compare(slices.Index(ordered, x.Group), slices.Index(ordered, y.Group))
	})
	c.out.Residue = out
	for k := range unknown {
		c.out.Unknown = append(c.out.Unknown, k)
	}
	slices.Sort(c.out.Unknown)

	changed := map[Circumstance][]string{}
	for _, d := range out {
		if d.Matters && d.Group != OfEngine && d.Group != OfCapture {
			changed[d.Group] = append(changed[d.Group], d.Name)
		}
	}
	if k := changed[OfSettings]; len(k) > 1 {
		c.warn("several-knobs", "%d settings differ (%s): a change cannot be put down to one of them", len(k), strings.Join(k, ", "))
	}
	for _, g := range []Circumstance{OfHardware, OfSoftware, OfModel} {
		if k := changed[g]; len(k) > 0 && (len(changed[OfSettings]) > 0 || g == OfHardware) {
			c.warn("also-differs", "the runs also differ in %s: %s", g, strings.Join(k, ", "))
		}
	}
	switch {
	case bothSettings && len(c.before.Settings)+len(c.after.Settings) == 0:
		c.warn("no-options", "no options on either side: both servers ran with the defaults of their version")
	case !bothSettings && recorded == 0:
		c.warn("settings-not-known", "the servers' settings are not recorded on both sides: what was changed is not known")
	}
}

func settingDifferences(b, a []Setting) []Difference {
	values := func(s []Setting) map[string]string {
		m := map[string]string{}
		for _, x := range s {
			m[x.Name] = x.Value
		}
		return m
	}
	vb, va := values(b), values(a)
	var names []string
	for n := range vb {
		names = append(names, n)
	}
	for n := range va {
		if _, ok := vb[n]; !ok {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	var out []Difference
	for _, n := range names {
		if parent(n, names) {
			continue // told field by field
		}
		x, okB := vb[n]
		y, okA := va[n]
		if okB && okA && x == y {
			continue
		}
		if !okB {
			x = absent
		}
		if !okA {
			y = absent
		}
		d := Difference{Group: OfSettings, Name: n, Before: x, After: y, Matters: !harmless(n)}
		if !d.Matters {
			d.Text = "does not move the speed"
		}
		out = append(out, d)
	}
	return out
}

// parent reports whether fields of the option are among the names too.
func parent(name string, names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, name+".") })
}

type factKey struct {
	group Circumstance
	name  string
}

// factsOf collects the circumstances of a side from everything that it has.
func factsOf(s *side) map[factKey]string {
	out := map[factKey]string{}
	put := func(g Circumstance, name, v string) {
		if v != "" {
			out[factKey{g, name}] = v
		}
	}
	if d := s.p; d != nil {
		put(OfCapture, "recorded by", d.producer)
		put(OfCapture, "CUDA graph granularity", d.granularity)
		put(OfCapture, "traced", d.traced)
		put(OfHardware, "GPU", counted(d.gpus))
		put(OfCapture, "steps found by", d.source.String())
	}
	if s.Run != nil {
		engineFacts(&s.Run.Engine, put)
		if b := s.bench(); b != nil {
			for _, l := range loadFacts(b) {
				put(OfLoad, l.name, l.value)
			}
		}
	}
	for _, f := range s.Facts {
		put(f.Group, f.Name, f.Value)
	}
	return out
}

// counted joins equal names: "2 x NVIDIA H100".
func counted(names []string) string {
	var parts []string
	for i := 0; i < len(names); {
		n := i
		for n < len(names) && names[n] == names[i] {
			n++
		}
		parts = append(parts, fmt.Sprintf("%d x %s", n-i, names[i]))
		i = n
	}
	return strings.Join(parts, ", ")
}

func engineFacts(e *serving.EngineInfo, put func(Circumstance, string, string)) {
	if e.Name.Known {
		put(OfSoftware, "engine", strings.TrimSpace(e.Name.Value+" "+e.Version.Or("")))
	}
	put(OfModel, "model", e.Model.Or(""))
	put(OfModel, "architecture", e.Arch.Or(""))
	text := func(name string, f serving.Fact[string]) {
		if f.Known {
			put(OfEngine, name, f.Value)
		}
	}
	num := func(name string, f serving.Fact[int64]) {
		if f.Known {
			put(OfEngine, name, strconv.FormatInt(f.Value, 10))
		}
	}
	flag := func(name string, f serving.Fact[bool]) {
		if f.Known {
			put(OfEngine, name, strconv.FormatBool(f.Value))
		}
	}
	text("dtype", e.DType)
	text("quantization", e.Quantization)
	text("KV cache dtype", e.KVCacheDType)
	text("load format", e.LoadFormat)
	text("attention backend", e.AttentionBackend)
	text("MoE backend", e.MoEBackend)
	text("compilation mode", e.CompilationMode)
	text("CUDA graph mode", e.CudagraphMode)
	text("speculative decoding", e.SpecDecode)
	num("FlashAttention version", e.FlashAttentionVersion)
	num("max model length", e.MaxModelLen)
	num("max number of sequences", e.MaxNumSeqs)
	num("max batched tokens", e.MaxNumBatchedTokens)
	num("block size", e.BlockSize)
	num("tensor parallel", e.TensorParallel)
	num("pipeline parallel", e.PipelineParallel)
	num("data parallel", e.DataParallel)
	flag("asynchronous scheduling", e.AsyncScheduling)
	flag("eager", e.EnforceEager)
	flag("chunked prefill", e.ChunkedPrefill)
	flag("prefix caching", e.PrefixCaching)
	flag("V2 runner", e.V2Runner)
	flag("custom all-reduce", e.CustomAllReduce)
	flag("FlashInfer sampler", e.FlashInferSampler)
	flag("expert parallel", e.ExpertParallel)
	if e.GPUMemoryUtilization.Known {
		put(OfEngine, "GPU memory utilisation", strconv.FormatFloat(e.GPUMemoryUtilization.Value, 'g', -1, 64))
	}
}

type loadFact struct {
	name, value string
	decides     bool // a difference makes the numbers of the two bursts different quantities
}

// loadFacts describe the load of a benchmark result: what was asked for, where it says so, and the mean lengths that came
// out of it otherwise.
func loadFacts(b *serving.Bench) []loadFact {
	var out []loadFact
	add := func(name, v string, decides bool) { out = append(out, loadFact{name, v, decides}) }
	if b.MaxConcurrency.Known {
		add("clients", strconv.FormatInt(b.MaxConcurrency.Value, 10), true)
	}
	if b.RequestRate.Known {
		v := "all at once"
		if !math.IsInf(b.RequestRate.Value, 1) {
			v = strconv.FormatFloat(b.RequestRate.Value, 'g', 6, 64) + "/s"
		}
		add("request rate", v, true)
	}
	if b.NumPrompts.Known {
		add("requests", strconv.FormatInt(b.NumPrompts.Value, 10), unlimited(b))
	}
	if b.InputLen.Known && b.InputLen.Value > 0 {
		add("input tokens asked for", strconv.FormatInt(b.InputLen.Value, 10), true)
	}
	if b.OutputLen.Known && b.OutputLen.Value > 0 {
		add("output tokens asked for", strconv.FormatInt(b.OutputLen.Value, 10), true)
	}
	if b.Kind != "" {
		add("load generator", string(b.Kind), false)
	}
	return out
}

// lengthTolerance is how far the mean lengths of two bursts may be apart.
const lengthTolerance = 0.05

// loadDifferences says in which ways two bursts are different loads.
func loadDifferences(before, after *side) []string {
	b, a := before.bench(), after.bench()
	var out []string
	fb := map[string]loadFact{}
	for _, f := range loadFacts(b) {
		fb[f.name] = f
	}
	for _, f := range loadFacts(a) {
		if o, ok := fb[f.name]; ok && f.decides && o.value != f.value {
			out = append(out, fmt.Sprintf("%s %s and %s", f.name, o.value, f.value))
		}
	}
	mean := func(total serving.Fact[int64], n serving.Fact[int64]) float64 {
		if !total.Known || !n.Known || n.Value == 0 {
			return 0
		}
		return float64(total.Value) / float64(n.Value)
	}
	for _, l := range []struct {
		name string
		x, y float64
	}{
		{"mean input tokens", mean(b.InputTokens, b.Completed), mean(a.InputTokens, a.Completed)},
		{"mean output tokens", mean(b.OutputTokens, b.Completed), mean(a.OutputTokens, a.Completed)},
	} {
		if l.x > 0 && l.y > 0 && math.Abs(l.y/l.x-1) > lengthTolerance && !slices.ContainsFunc(out, func(s string) bool { return strings.HasPrefix(s, l.name[len("mean "):]) }) {
			out = append(out, fmt.Sprintf("%s %.0f and %.0f", l.name, l.x, l.y))
		}
	}
	return out
}
