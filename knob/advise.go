package knob

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/stepscope/stepscope/device"
	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/step"
)

// maxFromCatalogue is how many of them may come from the catalogue's ranking alone, without a number.
const maxFromCatalogue = 1

// maxAdvice is how many changes one finding proposes: one to try first, and what to try next.
const maxAdvice = 3

// Situation is what advice needs to know beside the evidence: the engine and how it runs now.
type Situation struct {
	Engine   Engine   // name and version; without a version only names that every inspected version has are advised
	Settings Settings // as far as known
	GPUs     int      // per engine; 0 = unknown
	GPUName  string
	GPUMem   int64

	// Given is the engine that the user names. The server's own evidence is believed first; where that is of another server,
	// the user's word is what is left.
	Given Engine
}

// Advise fills the advice of a diagnosis. It never names an option that the engine's version lacks, a value that is set
// already, or one that the GPU cannot use; and each advice has a predicted number or says why it has none.
func Advise(d *diagnose.Diagnosis, c *diagnose.Context, s Situation) {
	s = s.of(c)
	a := &adviser{Situation: s, c: c}
	seen := map[string]bool{}
	take := func(f *diagnose.Finding, most int) {
		for _, v := range a.out {
			// The same change under two findings is told once, where it matters most.
			if v.Predicted != nil && perToken[v.Predicted.Metric] && c.Pipelined() {
				v.Predicted, v.Unpredicted = nil, "in a pipeline a token takes several steps, and how many batches are under way the capture does not tell"
			}
			if key := v.Flag + "=" + v.To + v.Knob; !seen[key] && len(f.Advice) < most {
				seen[key] = true
				f.Advice = append(f.Advice, v)
			}
		}
	}
	// What can be computed comes first for every finding; the catalogue's rankings fill what is left.
	decided := make([]map[string]bool, len(d.Findings))
	unread := map[string]bool{} // changes of the newest inspected version that are named already
	for i := range d.Findings {
		f := &d.Findings[i]
		// Context needs no advice: only alarms do.
		if f.Caused != "" || f.ID == diagnose.CaptureQuality || f.Severity == diagnose.Info {
			continue
		}
		a.out, a.finding, a.decided = nil, f, map[string]bool{}
		decided[i] = a.decided
		if propose := proposals[f.ID]; propose != nil && s.Engine.Name == VLLM {
			propose(a)
		}
		take(f, maxAdvice)
	}
	for i := range d.Findings {
		if f := &d.Findings[i]; decided[i] != nil && len(f.Advice) < maxAdvice {
			a.out, a.finding, a.decided = nil, f, decided[i]
			a.fromCatalogue()
			take(f, min(maxAdvice, len(f.Advice)+maxFromCatalogue))
			if len(f.Advice) == 0 && s.Engine.newer() {
				f.Advice = a.unread(unread)
			}
		}
	}
}

// perToken are the metrics that are predicted from the time of one step.
var perToken = map[string]bool{"itl_ms": true, "tpot_ms": true}

// unread answers a finding of a version that is newer than every inspected one: what the newest of these would be advised,
// named as theirs, since nothing tells which options the newer one has. told are the changes that another finding names.
func (a *adviser) unread(told map[string]bool) []diagnose.Advice {
	newest := Inspected[len(Inspected)-1]
	old := &adviser{Situation: a.Situation, c: a.c, finding: a.finding, decided: map[string]bool{}}
	old.Engine.Version = newest
	if propose := proposals[a.finding.ID]; propose != nil {
		propose(old)
	}
	old.fromCatalogue()
	i := slices.IndexFunc(old.out, func(v diagnose.Advice) bool { return v.Flag != "" })
	if i < 0 {
		return nil
	}
	v := old.out[i]
	change := "set " + v.Flag
	if v.To == "not set" {
		change = "drop " + v.Flag
		if _, set := a.Settings.Value(v.Flag); set {
			change += ", which is set on this server"
		}
	}
	out := diagnose.Advice{Knob: v.Knob, Unpredicted: "which options this version has is not known",
		Text: fmt.Sprintf("No option is advised, as vLLM %s is newer than the versions that were looked at (newest: %s).", a.Engine.Version, newest)}
	if told[change] {
		out.Knob = "engine version"
	} else {
		told[change] = true
		out.Text += " There the first thing to try is to " + change + "."
	}
	return []diagnose.Advice{out}
}

// of returns the situation as far as it is the capture's own: step markers name the engine, and settings of another server
// say nothing about this one.
func (s Situation) of(c *diagnose.Context) Situation {
	name := strings.ToLower(c.A.Engine)
	if c.Foreign() != "" || name != "" && s.Engine.Name != "" && s.Engine.Name != name {
		s.Settings, s.Engine, s.GPUs = Settings{}, Engine{Name: name}, 1
		if g := s.Given; g.Name != "" && (name == "" || g.Name == name) {
			s.Engine = g
		}
	}
	if s.Engine.Name == "" {
		s.Engine.Name = cmp.Or(name, VLLM)
	}
	return s
}

// adviser collects the advice of one finding.
type adviser struct {
	Situation
	c       *diagnose.Context
	finding *diagnose.Finding
	out     []diagnose.Advice
	decided map[string]bool // options that a proposal looked at and rejected for a reason
}

// proposals are the changes whose conditions and gains can be computed from the evidence, by finding.
var proposals map[string]func(*adviser)

func init() { //nolint:gochecknoinits // breaks the cycle between the table and the functions that read it
	proposals = map[string]func(*adviser){
		diagnose.HostLaunchBound:     (*adviser).launchBound,
		diagnose.HostStepGap:         (*adviser).stepGap,
		diagnose.MemoryBandwidth:     (*adviser).weightsBound,
		diagnose.ComputeBound:        (*adviser).prefillBound,
		diagnose.AttentionKVBound:    (*adviser).cacheBound,
		diagnose.PrefillInterference: (*adviser).interference,
		diagnose.PrefillChunkLimited: (*adviser).chunkLimited,
		diagnose.QueueLimited:        (*adviser).queueLimited,
		diagnose.KVCacheLimited:      (*adviser).kvLimited,
		diagnose.Underloaded:         (*adviser).underloaded,
		diagnose.TransferBound:       (*adviser).transferBound,
		diagnose.SamplingBound:       (*adviser).samplingBound,
		diagnose.SyncStall:           (*adviser).syncStall,
		diagnose.CollectiveBound:     (*adviser).collectiveBound,
		diagnose.ColdStart:           (*adviser).coldStart,
		diagnose.MemoryGrowth:        (*adviser).memoryGrowth,
	}
}

// change describes one proposal before it is checked.
type change struct {
	name    string   // option or variable
	to      string   // value; "" for a switch that is turned on
	drop    bool     // remove the option, or negate it
	also    []string // further options that are dropped with it
	from    string   // shown instead of the setting in force
	text    string
	predict *diagnose.Prediction
	why     string // why there is no prediction
	needs   string
	shown   bool   // the capture shows that it is not in force
	only    string // what must hold of the server for the change to be one, where nothing tells
}

// propose adds a change if the engine has it, the GPU can use it and it is not in force already.
func (a *adviser) propose(ch change) bool {
	e, described := find(ch.name, a.Engine.Name)
	if !AvailableName(ch.name, a.Engine).Safe() {
		return false
	}
	cur := a.current(ch.name)
	if described && !ch.drop {
		if ch.to != "" && len(e.Values) > 0 && !ValueAvailable(e, ch.to, a.Engine).Safe() {
			return false
		}
		if fit := Fits(e, ch.to, a.c.Sheet, a.GPUs); !fit.OK {
			if !fit.Unknown {
				return false
			}
			ch.needs = join(ch.needs, fit.Reason)
		}
	}
	want := ch.to
	if want == "" {
		want = "true"
	}
	if !ch.drop && ch.from == "" && cur.Known && (strings.EqualFold(cur.Value, want) || e.Kind == Env && want == "1" && cur.Value == "true") {
		return false
	}
	if !ch.drop && !ch.shown && ch.from == "" && ch.only == "" && a.untold(ch.name) {
		ch.only = ch.name + " is not set already (the server's options are not known)"
	}
	// The default says nothing here: the evidence shows that the option is in force.
	if ch.drop && cur.Known && cur.Value == "false" && (cur.Reason == "set" || cur.Reason == fromServer) {
		return false
	}
	v := diagnose.Advice{Knob: strings.TrimLeft(ch.name, "-"), Text: ch.text, From: ch.from, To: want,
		Predicted: ch.predict, Unpredicted: ch.why, Requires: join(ch.only, join(ch.needs, strings.Join(a.required(e), "; "))), Risk: riskText(e.Risk)}
	switch {
	case v.Predicted != nil:
		v.Unpredicted = ""
	case v.Unpredicted == "":
		v.Unpredicted = noNumber
	}
	if v.Predicted != nil && ch.only != "" {
		p := *v.Predicted
		condition, _, _ := strings.Cut(ch.only, " (")
		p.Assumption = "if " + condition + "; " + p.Assumption
		v.Predicted = &p
	}
	if v.From == "" && cur.Known && !a.untold(ch.name) {
		v.From = cur.Value
	}
	switch {
	case ch.drop:
		v.To, v.Flag = "not set", ch.name
		left := a.Settings.Without(ch.name)
		for _, n := range ch.also {
			left = left.Without(n)
		}
		v.Command = a.command(left, "vllm serve MODEL ... # without "+ch.name)
		if v.From == "" {
			v.From = "set"
		}
	case !strings.HasPrefix(ch.name, "-"):
		v.Flag = ch.name + "=" + ch.to
		v.Command = a.command(a.Settings.With(ch.name, want), v.Flag+" vllm serve MODEL ...")
	default:
		v.Flag = ch.name
		if ch.to != "" {
			v.Flag += " " + ch.to
		}
		v.Command = a.command(a.Settings.With(ch.name, want), "vllm serve MODEL ... "+v.Flag)
	}
	a.out = append(a.out, v)
	return true
}

// required returns what an entry requires, without what is only said of older GPUs than this one.
func (a *adviser) required(e Entry) []string {
	var out []string
	for _, r := range e.Requires {
		var major, minor int
		if n, _ := fmt.Sscanf(r, "below compute capability %d.%d", &major, &minor); n == 2 && a.c.Sheet.ComputeCapability() >= 10*major+minor {
			continue
		}
		out = append(out, r)
	}
	return out
}

// untold tells whether nothing says what an option is set to: no command line, no log, no metrics. The version's default is
// then no more than likely.
func (a *adviser) untold(name string) bool {
	return a.Settings.Empty() && a.current(name).Reason != fromServer
}

// look adds advice to look at a setting that nothing tells: it names the option, and has no number and no command.
func (a *adviser) look(option, text, why string) {
	a.out = append(a.out, diagnose.Advice{Knob: strings.TrimLeft(option, "-"), Text: text, Unpredicted: why})
}

// fromServer is the reason of a value that the server itself said.
const fromServer = "server log"

// client adds advice that concerns the load and no option of the engine.
func (a *adviser) client(text, from, to string, p *diagnose.Prediction, why string) {
	if p == nil && why == "" {
		why = noNumber
	}
	a.out = append(a.out, diagnose.Advice{Knob: "client concurrency", Text: text, From: from, To: to, Predicted: p, Unpredicted: why})
}

// command is the server's command with a change made: as it serves, since what was set for the capture alone would slow it.
func (a *adviser) command(s Settings, unknown string) string {
	if a.Settings.command == nil {
		return unknown
	}
	return s.Serving().String()
}

// current returns the value in force, as far as known: the settings, else the server's own evidence, else the default.
func (a *adviser) current(name string) KnownDefault {
	e := a.c.Engine
	boolean := func(known, v bool) (KnownDefault, bool) {
		return KnownDefault{strconv.FormatBool(v), true, fromServer}, known
	}
	if _, ok := a.Settings.Value(name); !ok {
		var k KnownDefault
		got := false
		switch name {
		case "--async-scheduling":
			k, got = boolean(e.AsyncScheduling.Known, e.AsyncScheduling.Value)
		case "--enforce-eager":
			k, got = boolean(e.EnforceEager.Known, e.EnforceEager.Value)
		case "--enable-prefix-caching":
			k, got = boolean(e.PrefixCaching.Known, e.PrefixCaching.Value)
		case "--max-num-batched-tokens":
			k, got = KnownDefault{strconv.FormatInt(e.MaxNumBatchedTokens.Value, 10), true, fromServer}, e.MaxNumBatchedTokens.Known
		case "--max-num-seqs":
			k, got = KnownDefault{strconv.FormatInt(e.MaxNumSeqs.Value, 10), true, fromServer}, e.MaxNumSeqs.Known
		case "--quantization":
			k, got = KnownDefault{e.Quantization.Value, true, fromServer}, e.Quantization.Known
		case "--kv-cache-dtype":
			k, got = KnownDefault{e.KVCacheDType.Value, true, fromServer}, e.KVCacheDType.Known
		case "--gpu-memory-utilization":
			k, got = KnownDefault{trimFloat(e.GPUMemoryUtilization.Value), true, fromServer}, e.GPUMemoryUtilization.Known
		}
		if got {
			return k
		}
	}
	return a.Settings.Effective(name, a.Engine, a.GPUMem, a.GPUName)
}

func (a *adviser) currentInt(name string) (int64, bool) {
	k := a.current(name)
	n, err := strconv.ParseInt(k.Value, 10, 64)
	return n, k.Known && err == nil
}

// fromCatalogue adds what the catalogue ranks for the finding and no proposal covered, without numbers: a condition that
// the evidence cannot decide is stated.
func (a *adviser) fromCatalogue() {
	a.decideFromEvidence()
	for _, e := range ForFinding(a.finding.ID, a.Engine) {
		ans, _ := e.Answer(a.finding.ID)
		if e.Kind != Flag && e.Kind != Env || slices.ContainsFunc(a.finding.Advice, func(v diagnose.Advice) bool { return v.Knob == strings.TrimLeft(e.Name, "-") }) {
			continue
		}
		judged := a.judge(e.Name, ans.When)
		if e.MoE && !a.moe() || a.decided[e.Name] || judged == fails {
			continue
		}
		ch := change{name: e.Name, why: "the gain depends on what the capture does not show"}
		if judged == cannotTell {
			ch.needs = ans.When
		}
		switch ans.Action {
		case Drop:
			if _, set := a.Settings.Value(e.Name); !set {
				continue
			}
			ch.drop = true
		case Set:
			if !e.Switch() {
				if ans.To == "" || strings.ContainsAny(ans.To, " ") {
					continue // a value that words must find is no command
				}
				if _, set := a.Settings.Value(e.Name); set {
					continue // somebody chose another value; which one is better is not known here
				}
				ch.to = ans.To
			}
		default:
			continue // raising or lowering needs a number that a proposal computes
		}
		ch.text = e.Does
		a.propose(ch)
	}
}

// decideFromEvidence rules out catalogue entries whose condition the evidence shows to be false.
func (a *adviser) decideFromEvidence() {
	e := a.c.Engine
	if e.V2Runner.Known {
		a.decided["VLLM_USE_V2_MODEL_RUNNER"] = true
	}
	if eager, ok := a.c.Eager(); e.CudagraphMode.Known || ok && !eager {
		a.decided["--compilation-config.cudagraph_mode"] = true
	}
	if have := a.finding.Advice; len(have) > 0 && have[0].Knob == "enforce-eager" {
		// One knob first: the others are about graphs too, or matter only once they are on.
		for _, n := range []string{"--compilation-config.cudagraph_mode", "--speculative-config", "--optimization-level"} {
			a.decided[n] = true
		}
	}
}

// moe reports whether the model has experts: by its shape, else by the kernels.
func (a *adviser) moe() bool {
	s, ok := a.c.ModelShape()
	return ok && s.IsMoE() || a.c.Budget[step.Part(kernel.MoE)] > 0
}

func riskText(r Risk) string {
	var out []string
	for _, p := range []struct{ kind, text string }{{"accuracy", r.Accuracy}, {"memory", r.Memory}, {"latency", r.Latency}} {
		if p.text != "" {
			out = append(out, p.kind+": "+p.text)
		}
	}
	return strings.Join(out, "; ")
}

func join(a, b string) string {
	switch {
	case a == "":
		return b
	case b == "" || strings.Contains(a, b):
		return a
	}
	return a + "; " + b
}

func trimFloat(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// noNumber stands for a prediction whose terms do not fit together, as where the benchmark's step is shorter than a part of
// the capture's.
const noNumber = "what was measured does not add up to a number"

// prediction orders low and high and rounds to three decimals, which is finer than any measurement here. It is nil where the
// terms give no time or rate at all.
func prediction(metric, unit string, before, after, low, high float64, assumption string, args ...any) *diagnose.Prediction {
	if low > high {
		low, high = high, low
	}
	r := func(v float64) float64 { return float64(int64(v*1000+0.5)) / 1000 }
	if !(r(before) > 0 && r(after) > 0 && high < math.MaxInt64/1000) {
		return nil
	}
	low = max(low, after/2)
	return &diagnose.Prediction{Metric: metric, Unit: unit, Before: r(before), After: r(after), Low: r(low), High: r(high),
		Assumption: fmt.Sprintf(assumption, args...)}
}

// itl returns the inter-token latency before a change: the benchmark's median, else the capture's median step. ms.
func (a *adviser) itl() (before float64, from string) {
	if b := a.c.Bench(); b != nil {
		if m := b.ITL.Percentile(50); m.Known && m.Value > 0 {
			return m.Value, "benchmark median"
		}
	}
	from = "capture's median step"
	if a.c.Run != nil && a.c.Run.Bench != nil && a.c.Bench() == nil {
		from += " (the benchmark is left out: the capture contradicts it)"
	}
	return float64(a.c.Period(&a.c.Typical).Median) / 1e6, from
}

// stretch is what host time of the capture must be multiplied with to be host time without the profiler. Tracing only
// adds time: where the benchmark was slower than the capture, the host's speed wandered between the two, and the faster
// pace is the one that the machine can do.
func (a *adviser) stretch() float64 {
	if d := a.c.Distortion; d > 1 {
		return 1 / d
	}
	return 1
}

func native8(s device.Sheet) bool { return s.FP8().Kind == device.Native }
