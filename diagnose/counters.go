package diagnose

import (
	"fmt"
	"strings"

	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

// Names of sampled counters by GPU generation and version of the profiler. A name matches by its beginning, in lower
// case, and only where the values are in per cent of the peak.
var (
	dramReads    = []string{"dram read bandwidth", "dram read throughput", "dram bandwidth / read"}
	dramWrites   = []string{"dram write bandwidth", "dram write throughput", "dram bandwidth / write"}
	tensorActive = []string{"tensor active", "sm instructions / tensor active"}
)

// Limits of the check of the model against counters.
const (
	checkSamples  = 20   // fewer samples in the steps are no mean
	checkPerStep  = 4    // samples that a step must hold, so that the edges of steps do not matter
	checkCoverage = 0.7  // part of the steps' wall that samples must stand for
	checkWithin   = 0.20 // difference, of the larger value, up to which model and counter agree
	checkPoints   = 2.0  // difference in points of peak that is never a disagreement
)

// LimitCheck is a counter beside what the model of a step says that it must show, both over the steps' wall.
type LimitCheck struct {
	Phase    string   `json:"phase"`
	Counter  string   `json:"counter"`                    // as the capture names it
	Measured float64  `json:"measured_percent"`           // of peak
	Model    *float64 `json:"model_percent,omitempty"`    // of peak; absent = not computable
	AtLeast  bool     `json:"model_is_at_least"`          // the model counts only what must happen, so more is no contradiction
	Agrees   *bool    `json:"agrees,omitempty"`           // absent where there is no model
	Samples  int      `json:"samples"`                    // inside the steps
	EveryNs  int64    `json:"sampled_every_ns,omitempty"` // mean distance of samples
}

// text is the sentence that reports show.
func (k *LimitCheck) text() string {
	s := fmt.Sprintf("Counters over %s steps: %s %.1f %% of peak", k.Phase, counterWords(k.Counter), k.Measured)
	if k.Agrees == nil {
		return s + ", with no model of the step to compare with."
	}
	says, result := "says", "they agree within a fifth."
	if k.AtLeast {
		says, result = "needs at least", "they agree."
	}
	if !*k.Agrees {
		result = "they disagree by more than a fifth, so what the model says is in doubt."
	}
	return s + fmt.Sprintf(" where the model %s %.1f %%: %s", says, *k.Model, result)
}

// counterWords drops the unit that profilers put behind a name.
func counterWords(name string) string {
	name, _, _ = strings.Cut(name, " [")
	return name
}

// checkLimits holds the model of decode and prefill steps against the GPU's own counters, where they are recorded and
// sampled often enough.
func (c *Context) checkLimits() {
	if len(c.P.Counters) == 0 || len(c.A.Primary) == 0 {
		return
	}
	var why string
	add := func(phase string, g *Group, names []string, atLeast bool, model func(*PhaseLimit) float64) {
		m, reason := c.measure(g, names)
		if m == nil {
			if why == "" {
				why = reason
			}
			return
		}
		m.Phase, m.AtLeast = phase, atLeast
		for i := range c.Limits.Phases {
			p := &c.Limits.Phases[i]
			if p.Phase != phase || model(p) < 0 {
				continue
			}
			// The model's shares are of the time that the GPU is busy; counters run on while it is idle.
			v := 100 * model(p) * ratio(g.Budget.Busy(), g.Wall)
			if phase == "decode" && !atLeast && p.KVFrom == kvLeftOut {
				m.AtLeast = true
			}
			off := v - m.Measured
			if !m.AtLeast {
				off = max(off, -off)
			}
			ok := off <= checkPoints || off <= checkWithin*max(v, m.Measured)
			m.Model, m.Agrees = &v, &ok
		}
		c.Limits.Checks = append(c.Limits.Checks, *m)
	}
	mbu, mfu := func(p *PhaseLimit) float64 { return p.MBU }, func(p *PhaseLimit) float64 { return p.MFU }
	if g := &c.Typical; len(g.Steps) > 0 && c.A.Steps[g.Steps[0]].Phase == step.Decode {
		add("decode", g, dramReads, false, mbu)
		// Tiles of a GEMM are padded to more rows than a small batch has, so the pipes do more than the model needs.
		add("decode", g, tensorActive, true, mfu)
	}
	if big := c.largestPrefill(); len(big.Steps) > 0 {
		add("prefill", &big, tensorActive, true, mfu)
	}
	var texts []string
	for i := range c.Limits.Checks {
		texts = append(texts, c.Limits.Checks[i].text())
	}
	if c.Limits.Checked = strings.Join(texts, " "); c.Limits.Checked == "" && why != "" {
		c.Limits.Checked = "Not checked against GPU metrics: " + why + "."
	}
}

// measure averages a counter over the walls of a group's steps on one device; nil and a reason when it cannot.
func (c *Context) measure(g *Group, names []string) (*LimitCheck, string) {
	if len(g.Steps) == 0 {
		return nil, ""
	}
	rank := c.A.Steps[g.Steps[0]].Rank
	n := c.counter(c.A.Ranks[rank].Device, names)
	if n == nil || len(n.Times) < 2 {
		return nil, fmt.Sprintf("no counter of %s among them", names[0])
	}
	var sum float64
	var wall int64
	count, at, steps := 0, 0, 0
	for _, s := range g.Steps {
		if c.A.Steps[s].Rank != rank {
			continue
		}
		w := c.A.Steps[s].GPU
		wall += w.Dur()
		steps++
		for at < len(n.Times) && n.Times[at] < w.Start {
			at++
		}
		for ; at < len(n.Times) && n.Times[at] < w.End; at++ {
			sum += float64(n.Values[at])
			count++
		}
	}
	every := (n.Times[len(n.Times)-1] - n.Times[0]) / int64(len(n.Times)-1)
	switch {
	case every*checkPerStep*int64(steps) > wall:
		return nil, fmt.Sprintf("they are sampled every %.1f ms, too coarsely for steps of %.1f ms", ms(every), ms(wall/int64(steps)))
	case count < checkSamples:
		return nil, fmt.Sprintf("only %s in the steps", counted(count, "sample lies", "samples lie"))
	case float64(count)*float64(every) < checkCoverage*float64(wall):
		return nil, fmt.Sprintf("samples cover %s of the steps", percent(float64(count)*float64(every)/float64(wall)))
	}
	return &LimitCheck{Counter: n.Name, Measured: sum / float64(count), Samples: count, EveryNs: every}, ""
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// counter returns the first counter of a device with one of the names, nil if it has none. A counter of an unknown device
// belongs to the only one there is.
func (c *Context) counter(device int32, names []string) *profile.Counter {
	for i := range c.P.Counters {
		n := &c.P.Counters[i]
		if n.Unit != "percent" || n.Device != device && (n.Device != profile.None || len(c.P.Devices) > 1) {
			continue
		}
		for _, name := range names {
			if strings.HasPrefix(strings.ToLower(n.Name), name) {
				return n
			}
		}
	}
	return nil
}

// measuredDRAM is the evidence of the counters on the bandwidth of typical decode steps.
func (c *Context) measuredDRAM() []Evidence {
	var out []Evidence
	for i := range c.Limits.Checks {
		k := &c.Limits.Checks[i]
		if k.Phase != "decode" || !isCounter(k, dramReads) {
			continue
		}
		out = append(out, Evidence{"DRAM reads measured over the typical steps", k.Measured, "% of peak", "GPU metrics"})
		if w, _ := c.measure(&c.Typical, dramWrites); w != nil {
			out = append(out, Evidence{"DRAM writes measured over the typical steps", w.Measured, "% of peak", "GPU metrics"})
		}
		if k.Model != nil {
			out = append(out, Evidence{"bandwidth that the model's bytes mean over the same wall", *k.Model, "% of peak", "MBU x busy share"})
		}
	}
	return out
}

func isCounter(k *LimitCheck, names []string) bool {
	for _, n := range names {
		if strings.HasPrefix(strings.ToLower(k.Counter), n) {
			return true
		}
	}
	return false
}

// measuredReads returns the measured share of peak bandwidth that typical decode steps read at while the GPU is busy.
func (c *Context) measuredReads() (float64, bool) {
	for i := range c.Limits.Checks {
		k := &c.Limits.Checks[i]
		if busy := ratio(c.Typical.Budget.Busy(), c.Typical.Wall); k.Phase == "decode" && isCounter(k, dramReads) && busy > 0 {
			return k.Measured / 100 / busy, true
		}
	}
	return 0, false
}

// modelled lists the findings that rest on the model of a phase's steps.
var modelled = map[string]string{MemoryBandwidth: "decode", AttentionKVBound: "decode", ComputeBound: "prefill"}

// doubt lowers the confidence of a finding that rests on a model which the counters contradict, and says so.
func (c *Context) doubt(f *Finding) {
	for i := range c.Limits.Checks {
		k := &c.Limits.Checks[i]
		if k.Agrees == nil || *k.Agrees || modelled[f.ID] != k.Phase || f.Confidence == perhaps {
			continue
		}
		f.Confidence = map[string]string{sure: likely, likely: perhaps}[f.Confidence]
		f.Evidence = append(f.Evidence, Evidence{fmt.Sprintf("confidence lowered: the model says %.1f %% of peak, but %s is", *k.Model, counterWords(k.Counter)),
			k.Measured, "% of peak", "GPU metrics"})
	}
}
