package knob

import (
	"fmt"
	"strings"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/step"
)

// Options that keep weights in host memory, by mechanism: by bytes per GPU, read in place or copied before use, and by
// groups of layers, copied ahead of them.
const (
	offloadBytes  = "--cpu-offload-gb"
	offloadGroups = "--offload-group-size"
	offloadWay    = "--offload-backend"
	fetchAhead    = "--offload-prefetch-step"
)

// dependents are options that mean nothing without another one, or that the engine refuses without it: they go with it.
// vLLM does not start with --offload-backend prefetch and no groups.
var dependents = map[string][]string{
	offloadBytes:  {"--cpu-offload-params"},
	offloadGroups: {"--offload-num-in-group", fetchAhead, "--offload-params", offloadWay},
}

// transferBound: keep weights and cache on the GPU.
func (a *adviser) transferBound() {
	a.decided[offloadBytes], a.decided[offloadGroups] = true, true
	bytes, copied := a.c.OffloadedWeights()
	name := a.offloader()
	if held := a.c.CopiesHeldPerStep(); held > 0 {
		copies := a.c.PerStep(&a.c.Typical, step.CopyHtoDPinned, step.CopyHtoDPageable, step.CopyDtoHPinned, step.CopyDtoHPageable)
		a.dropProcessors(a.without(float64(held)/1e6, float64(a.c.Busy(&a.c.Typical).Median-copies)/1e6),
			"a copy to or from pageable host memory inside the step makes the host wait for it and for all work before it. If it is needed, copy less, to pinned memory, without waiting (non_blocking=True), and read a step later.",
			"the processor is what copies: no other code of the step is custom")
	}
	switch {
	case name == "":
		switch w := a.c.InPlace(); {
		case !a.untold(offloadBytes):
		case copied:
			a.look(offloadBytes, fmt.Sprintf("Look for --cpu-offload-gb and --offload-group-size among the server's options: every step copies %s of weights from host memory.", inGiB(bytes)),
				"the server's options are not known")
		case w.Layers > 0:
			a.look(offloadBytes, fmt.Sprintf("Look for --cpu-offload-gb among the server's options: the weights of %d layers are in host memory.", w.Layers),
				"the server's options are not known")
		}
		return
	case !copied && name == offloadGroups && a.c.InPlace().Layers == 0:
		return // what is copied are no weights
	case !copied:
		if bytes = int64(a.c.HostBytes()); bytes == 0 {
			gib, _ := a.Settings.Float(offloadBytes)
			bytes = int64(gib * (1 << 30))
		}
	}
	if name == offloadGroups {
		a.decided[offloadWay] = true // groups are fetched by copies already
	}
	lost := float64(a.c.PerStep(&a.c.Typical, step.CopyHtoDPinned, step.CopyHtoDPageable, step.IdleCopy) + a.c.InPlace().PerStep)
	if a.dropOffload(name, float64(bytes), lost) {
		// Nothing has to be made smaller or spread wider.
		a.decided["--quantization"], a.decided["--tensor-parallel-size"] = true, true
		return
	}
	a.stayOffloaded(name, float64(bytes))
}

// offloader returns the option by which weights are in host memory, "" where none is set. Groups win where both are set,
// unless the backend says otherwise.
func (a *adviser) offloader() string {
	positive := func(n string) bool { v, ok := a.Settings.Float(n); return ok && v > 0 }
	way, _ := a.Settings.Value(offloadWay)
	switch bytes, groups := positive(offloadBytes), positive(offloadGroups); {
	case groups && (!bytes || !strings.EqualFold(way, "uva")):
		return offloadGroups
	case bytes:
		return offloadBytes
	}
	return ""
}

// dropOffload proposes to keep all weights on the GPU, unless they do not fit there. bytes are in host memory now, and lost
// is the time that reading them adds to a typical step, ns.
func (a *adviser) dropOffload(name string, bytes, lost float64) bool {
	fits, room := a.room(bytes)
	if fits == fails {
		return false
	}
	v, _ := a.Settings.Value(name)
	ch := change{name: name, drop: true, from: v, predict: a.withoutCopies(lost), why: "what the typical step loses by it is not seen"}
	names := []string{name}
	for _, n := range append([]string{offloadGroups, offloadBytes}, append(dependents[offloadGroups], dependents[offloadBytes]...)...) {
		if _, set := a.Settings.Value(n); set && n != name {
			ch.also = append(ch.also, n)
			names = append(names, n)
		}
	}
	ch.text = fmt.Sprintf("Drop %s: %s of weights live in host memory and cross the link in every step", strings.Join(names, ", "), inGiB(int64(bytes)))
	if fits == holds {
		ch.text += ", and the GPU has room for them: " + room + "."
	} else {
		ch.text += "."
		ch.needs = join(room, "the weights fit into the GPU's memory, if need be quantised")
	}
	return a.propose(ch)
}

// withoutCopies predicts the token gap without copies of weights and without reading them in place: what is left is the
// GPU's other work or the host's, whichever takes longer.
func (a *adviser) withoutCopies(lost float64) *diagnose.Prediction {
	c := a.c
	before, from := a.itl()
	copies := float64(c.PerStep(&c.Typical, step.CopyHtoDPinned, step.CopyHtoDPageable))
	work := (float64(c.Busy(&c.Typical).Median) - copies - float64(c.InPlace().PerStep)) / 1e6
	if lost <= 0 || work <= 0 || work >= before {
		return nil
	}
	after := max(work, before-lost/1e6)
	what := "the exposed copies of a step"
	if c.InPlace().Layers > 0 {
		what = "a step's reads of weights over the link"
	}
	how := fmt.Sprintf("%s; %s (%.2f ms) vanish, and what is left is at least the GPU's other work (%.2f ms)", from, what, lost/1e6, work)
	high := 1.2 * after
	if host, ok := a.hostTime(); ok && host/1e6 > after {
		// The host works ahead while the GPU waits for copies, and sets the pace without them.
		after = min(before, max(after, host*a.stretch()/1e6))
		high = max(1.2*after, host/1e6)
		how += fmt.Sprintf(" or the host's (%.2f ms)", host*a.stretch()/1e6)
	}
	return prediction("itl_ms", "ms", before, after, 0.95*work, min(before, high), "%s", how)
}

// room tells whether the GPU holds so many bytes more than now, with enough KV cache left for a request of the longest
// length and for the batch that runs; what words it.
func (a *adviser) room(bytes float64) (v verdict, what string) {
	const gib = 1 << 30
	e := a.c.Engine
	perToken := 0.0
	_, fixed := a.Settings.Value("--num-gpu-blocks-override")
	if s, ok := a.c.ModelShape(); ok {
		perToken = s.KVBytesPerToken()
	} else if e.KVCacheGiB.Known && e.KVCacheTokens.Known && e.KVCacheTokens.Value > 0 && !fixed {
		perToken = e.KVCacheGiB.Value * gib / float64(e.KVCacheTokens.Value)
	}
	tokens := float64(e.MaxModelLen.Or(0))
	if in, out, ok := a.lengths(); ok {
		tokens = max(tokens, float64(max(a.c.Batch(), 1))*(in+out))
	}
	if fixed {
		tokens = max(tokens, float64(e.KVCacheTokens.Or(0))) // it asks for that much, whatever there is
	}
	need := tokens * perToken
	switch {
	case e.KVCacheGiB.Known && e.KVCacheGiB.Value > 0:
		now := e.KVCacheGiB.Value
		left := now - bytes/gib
		what = fmt.Sprintf("the KV cache shrinks from %.1f to %.1f GiB (by %.0f %%)", now, left, 100*bytes/gib/now)
		switch {
		case left <= 0 || left*gib < need:
			return fails, fmt.Sprintf("of %.1f GiB of KV cache", now)
		case need > 0 || left > 0.5*now:
			return holds, what
		}
		return cannotTell, what
	case e.WeightsGiB.Known && e.GPUMemoryUtilization.Known && a.GPUMem > 0:
		limit := e.GPUMemoryUtilization.Value * float64(a.GPUMem)
		all := e.WeightsGiB.Value*gib + bytes
		// What activations and graphs take is not known here: a tenth is more than it was on any server measured.
		switch left := 0.9*limit - all; {
		case all >= limit:
			return fails, ""
		case left > 0 && need > 0 && left >= need:
			return holds, fmt.Sprintf("%.1f GiB of weights of the %.1f GiB that the server may take", all/gib, limit/gib)
		}
	}
	return cannotTell, ""
}

// stayOffloaded is for weights that the GPU has no room for: fewer bytes, more GPUs, or copies further ahead where the bus
// has time left.
func (a *adviser) stayOffloaded(name string, bytes float64) {
	c := a.c
	a.decided["--quantization"] = true
	if bits := c.WeightBits(); bits == 0 || bits >= 16 {
		text := "Quantise the linear layers to 8-bit floating point when loading: half of the bytes that cross the bus."
		if w := c.Engine.WeightsGiB; w.Known {
			// The vocabulary's weights keep their width.
			if fits, _ := a.room(0.55*(w.Value*(1<<30)+bytes) - w.Value*(1<<30)); fits == holds {
				text += " All weights then fit into the GPU's memory: drop the offload options with it."
			}
		}
		a.propose(change{name: "--quantization", to: "fp8", shown: bits >= 16, text: text,
			why: "how much of the copies is left beside the faster kernels is not known"})
	}
	if a.GPUs > 0 {
		a.decided["--tensor-parallel-size"] = true
		a.look("--tensor-parallel-size", fmt.Sprintf("Spread the model over %d GPUs, if they are at hand: the weights do not fit into the memory of %d with a KV cache for this load.", 2*a.GPUs, a.GPUs),
			"what the collectives cost there is not recorded")
	}
	if name != offloadGroups {
		return
	}
	a.decided[fetchAhead] = true
	work := float64(c.Busy(&c.Typical).Median - c.PerStep(&c.Typical, step.CopyHtoDPinned, step.CopyHtoDPageable))
	copying := a.copyTime()
	lost := float64(c.PerStep(&c.Typical, step.CopyHtoDPinned, step.CopyHtoDPageable, step.IdleCopy))
	ahead, ok := a.currentInt(fetchAhead)
	if !ok || copying <= 0 || copying > work || lost <= 0 {
		return // the bus is busy for longer than the kernels: no copy can start early enough
	}
	before, from := a.itl()
	a.propose(change{name: fetchAhead, to: fmt.Sprint(ahead + 1),
		text: fmt.Sprintf("Fetch offloaded weights %d layers ahead: the copies of a step (%.2f ms) fit beside its kernels (%.2f ms).", ahead+1, copying/1e6, work/1e6),
		predict: prediction("itl_ms", "ms", before, max(work/1e6, before-0.5*lost/1e6), max(work/1e6, before-lost/1e6), before,
			"%s; half of the exposed copies (%.2f ms) hide behind kernels", from, lost/1e6),
		why: "the step's parts do not add up"})
}

// copyTime returns the time of one step's copies from the host, hidden or not, ns.
func (a *adviser) copyTime() float64 {
	var ns, steps int64
	p := a.c.P
	for _, i := range a.c.Typical.Steps {
		s := &a.c.A.Steps[i]
		r := &a.c.A.Ranks[s.Rank]
		steps++
		for j := max(s.FirstOp, 0); j <= s.LastOp; j++ {
			o := r.Ops[j]
			if o.Kind() != step.OpCopy || r.OpStep[j] != i {
				continue
			}
			if part := a.c.A.PartOf(o); part == step.CopyHtoDPinned || part == step.CopyHtoDPageable {
				ns += p.Copies.Dur[o.Index()]
			}
		}
	}
	if steps == 0 {
		return 0
	}
	return float64(ns) / float64(steps)
}

func inGiB(bytes int64) string { return fmt.Sprintf("%.2f GiB", float64(bytes)/(1<<30)) }
