package compare

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/stat"
	"github.com/stepscope/stepscope/step"
)

// batchTolerance is how far the requests of the typical step may be apart before rates are those of two loads: a rate of
// tokens follows the batch.
const batchTolerance = 0.05

// contextTolerance is how far the tokens that a step's attention reads may be apart before the time of steps of equal
// batch says something about the load: attention is a quarter of a step or less.
const contextTolerance = 0.10

// footing is what keeps two runs from being compared, as far as it is known; empty where nothing does.
type footing struct {
	model   string // the two models
	load    string // in which ways the loads differ
	lengths bool   // the loads have sequences of other lengths
	batch   string // the loads are not known and the batches differ
	prefill string // the same of prefill steps alone
}

// limited reports whether only a part of the metrics, or none, is judged.
func (f *footing) limited() bool { return f.model != "" || f.load != "" || f.batch != "" }

// stand finds out on what footing the two runs are.
func (c *comparer) stand() {
	f := &c.footing
	b, a := modelOf(c.before), modelOf(c.after)
	if b != "" && a != "" && !sameModel(b, a) && !sameShape(c.before, c.after) {
		f.model = modelName(b) + " and " + modelName(a)
		if modelName(b) == modelName(a) {
			f.model = b + " and " + a
		}
	}
	burst := false
	if c.before.bench() != nil && c.after.bench() != nil {
		diff := loadDifferences(c.before, c.after)
		f.load = strings.Join(diff, ", ")
		f.lengths = slices.ContainsFunc(diff, func(s string) bool { return strings.Contains(s, "tokens") })
		burst = true
	}
	if burst || !c.hasSteps() {
		return // of bursts that are not known to differ, another batch is what the server made
	}
	decode := func(s *step.Step) (float64, bool) {
		return float64(s.Batch.DecodeRequests), s.Phase == step.Decode && s.Batch.DecodeRequests > 0
	}
	prefill := func(s *step.Step) (float64, bool) {
		return float64(s.Batch.PrefillTokens), s.Batch.PrefillTokens >= minPrefill
	}
	apart := func(of func(*step.Step) (float64, bool)) (x, y float64, ok bool) {
		x, y = meanBatch(c.before.p, of), meanBatch(c.after.p, of)
		return x, y, x > 0 && y > 0 && math.Max(x, y)/math.Min(x, y) > 1+batchTolerance
	}
	if x, y, ok := apart(decode); ok {
		f.batch = fmt.Sprintf("decode steps of %s and %s requests", rounded(x), rounded(y))
		c.batches = &Difference{Group: OfLoad, Name: "requests per decode step", Before: rounded(x), After: rounded(y), Matters: true, Text: "mean, from the profiles"}
	} else if common, before, after := matchSteps(c.before.p, c.after.p); len(common) == 0 && len(before) > 0 && len(after) > 0 {
		f.batch = before[0].Label + " and " + after[0].Label
		c.batches = &Difference{Group: OfLoad, Name: "batch with the most time", Before: before[0].Label, After: after[0].Label, Matters: true, Text: "from the profiles"}
	}
	if x, y, ok := apart(prefill); ok {
		f.prefill = fmt.Sprintf("prefill of %s and %s tokens a step", rounded(x), rounded(y))
	}
}

func rounded(v float64) string { return strconv.FormatFloat(math.Round(10*v)/10, 'f', -1, 64) }

// meanBatch is the mean over the steady steps that of keeps, 0 when there is none.
func meanBatch(d *Digest, of func(*step.Step) (float64, bool)) float64 {
	var sum, n float64
	for i := range d.steps {
		if s := &d.steps[i]; steady(s) {
			if v, ok := of(s); ok {
				sum += v
				n++
			}
		}
	}
	if n == 0 {
		return 0
	}
	return sum / n
}

// burstMemory are sizes of which the load decides, other than those of the server's start.
var burstMemory = []string{"gpu_memory_peak_gib", "host_memory_peak_gib", "gpu_memory_growth_gib"}

var attentionPart = step.Part(kernel.Attention).String()

// withhold takes the verdicts back from what the footing does not allow to be compared. The values stay.
func (c *comparer) withhold() {
	f := &c.footing
	for i := range c.out.Metrics {
		m := &c.out.Metrics[i]
		rate := m.Group == Server || m.Group == Work || m.Group == Utilisation || m.Group == CPU
		switch {
		case f.model != "":
			m.withhold("a different model: " + f.model)
		case f.load != "" && (rate || m.Group == Benchmark || m.Group == Memory && slices.Contains(burstMemory, m.Name)):
			m.withhold("the load differs: " + f.load)
		case f.batch != "" && rate:
			m.withhold("the batch differs: " + f.batch)
		case f.prefill != "" && m.Group == Work && m.Name == "prefill_tokens_per_s":
			m.withhold("the batch differs: " + f.prefill)
		}
	}
	for i := range c.out.Compositions {
		k := &c.out.Compositions[i]
		context := f.model == "" && f.load != "" && c.contextDiffers(k)
		const why = "the load differs: attention reads sequences of other lengths"
		for j := range k.Metrics {
			if m := &k.Metrics[j]; f.model != "" {
				m.withhold("a different model: " + f.model)
			} else if context && (m.Name == "step_ms" || m.Name == "gpu_busy_ms") {
				m.withhold(why)
			}
		}
		for j := range k.Parts {
			if m := &k.Parts[j]; f.model != "" {
				m.withhold("a different model: " + f.model)
			} else if context && m.Name == attentionPart+"_ms" {
				m.withhold(why)
			}
		}
	}
	context := f.load != "" && (len(c.out.Compositions) == 0 && f.lengths || len(c.out.Compositions) > 0 && c.contextDiffers(&c.out.Compositions[0]))
	for i := range c.out.Kernels {
		k := &c.out.Kernels[i]
		switch {
		case k.Metric == nil:
		case f.model != "":
			k.Metric.withhold("a different model: " + f.model)
		case context && strings.Contains(k.Stage, kernel.Attention.String()):
			k.Metric.withhold("the load differs: attention reads sequences of other lengths")
		}
	}
	notes := c.out.Warnings
	c.out.Warnings = []stat.Warning{} // these come first
	switch {
	case f.model != "":
		c.warn("model-differs", "the models differ (%s): nothing about the server is concluded from the numbers", f.model)
	case f.load != "":
		c.warn("load-differs", "the two bursts are different loads (%s): what depends on the load cannot be compared: benchmark, server counters, rates, utilisation, processor and energy", f.load)
	case f.batch != "":
		c.warn("batch-differs", "the loads are not known to be equal and the batches differ (%s): rates and utilisation cannot be compared", f.batch)
	}
	c.out.Warnings = append(c.out.Warnings, notes...)
}

// withhold takes a metric's verdict back.
func (m *Metric) withhold(why string) {
	m.Verdict, m.Basis, m.Reason = stat.Unclear, ByNoFooting, why
	m.Change, m.ChangeLo, m.ChangeHi, m.P, m.Method = nil, nil, nil, nil, ""
}

// contextDiffers reports whether attention reads another amount of context in the steps of a batch: by what the steps
// record, else by the lengths of the loads.
func (c *comparer) contextDiffers(m *Composition) bool {
	kv := func(d *Digest, steps []int32) float64 {
		var sum float64
		for _, i := range steps {
			b := d.steps[i].Batch
			if b.DecodeKV < 0 || b.PrefillKV < 0 || b.DecodeKV+b.PrefillKV == 0 {
				return 0
			}
			sum += float64(b.DecodeKV + b.PrefillKV)
		}
		return sum / float64(max(len(steps), 1))
	}
	x, y := kv(c.before.p, m.before), kv(c.after.p, m.after)
	if x > 0 && y > 0 {
		return math.Max(x, y)/math.Min(x, y) > 1+contextTolerance
	}
	return c.footing.lengths
}

// modelOf is the model that a side's server ran, by its own word or its command, "" = not known.
func modelOf(s *side) string {
	if m := factsOf(s)[factKey{OfModel, "model"}]; m != "" {
		return m
	}
	for _, o := range s.Settings {
		if o.Name == "--model" {
			return o.Value
		}
	}
	return ""
}

// modelName is the last part of a model's name or path; of a snapshot in the hub's cache, the name of its repository.
func modelName(m string) string {
	parts := strings.FieldsFunc(m, func(r rune) bool { return r == '/' || r == '\\' })
	for _, p := range parts {
		if rest, ok := strings.CutPrefix(p, "models--"); ok {
			return rest[strings.LastIndex(rest, "--")+1:]
		}
	}
	if len(parts) == 0 {
		return m
	}
	return parts[len(parts)-1]
}

var (
	nameParts = regexp.MustCompile(`[a-z0-9]+(\.\d+)?`)
	// quantised are the words by which checkpoints of one model in other number formats are named.
	quantised = regexp.MustCompile(`^(fp\d+|bf16|nvfp4|mxfp4|mxfp8|int\d+|\d+bit|w\d+a\d+|awq|gptq|gguf|bnb|bitsandbytes|quantized|quantised|quant|dynamic|block|marlin|autoround|q\d+|static|kv)$`)
)

// sameModel reports whether two names are of one model, in whichever folder and number format: a quantised checkpoint is a
// change to the server, another model is another job.
func sameModel(x, y string) bool {
	words := func(m string) []string {
		return slices.DeleteFunc(nameParts.FindAllString(strings.ToLower(modelName(m)), -1), quantised.MatchString)
	}
	return x == y || slices.Equal(words(x), words(y))
}

// sameShape reports whether the engines built networks of one architecture and size: their speed can be compared,
// whatever the weights are called.
func sameShape(before, after *side) bool {
	if before.Run == nil || after.Run == nil {
		return false
	}
	b, a := &before.Run.Engine, &after.Run.Engine
	return b.Arch.Known && a.Arch.Known && b.Arch.Value == a.Arch.Value && b.WeightsGiB.Known && a.WeightsGiB.Known &&
		b.WeightsGiB.Value > 0 && math.Abs(a.WeightsGiB.Value/b.WeightsGiB.Value-1) < Defaults().Exact
}

// unlimited reports whether all requests are sent at once without a limit on the clients: their number is the load then.
func unlimited(b *serving.Bench) bool {
	return !b.MaxConcurrency.Known && b.RequestRate.Known && math.IsInf(b.RequestRate.Value, 1)
}
