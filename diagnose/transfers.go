package diagnose

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/step"
)

// Sizes that tell what a copy carries. A step's inputs (token ids, positions, block tables) and outputs (sampled ids)
// are small; a KV block of one layer is tens to hundreds of kilobytes; a layer's weights are megabytes.
const (
	batchCopyMax  = 64 << 10
	weightCopyMin = 4 << 20
)

// transferFacts sums the copies by direction and memory kind. Exposed time is what copies own in the steps' budget.
func (c *Context) transferFacts() []TransferFacts {
	p := c.P
	var out []TransferFacts
	type agg struct {
		TransferFacts
		big, mid int
	}
	by := map[step.Part]*agg{}
	for i := range p.Copies.Start {
		part := c.A.PartOf(step.NewOp(step.OpCopy, i))
		a := by[part]
		if a == nil {
			a = &agg{TransferFacts: TransferFacts{Part: part.String()}}
			by[part] = a
		}
		a.Count++
		a.Bytes += p.Copies.Bytes[i]
		a.Ns += p.Copies.Dur[i]
		a.Largest = max(a.Largest, p.Copies.Bytes[i])
		switch b := p.Copies.Bytes[i]; {
		case b >= weightCopyMin:
			a.big++
		case b > batchCopyMax:
			a.mid++
		}
	}
	for _, part := range step.Parts() {
		a := by[part]
		if a == nil {
			continue
		}
		a.ExposedNs = c.Budget[part]
		if a.Ns > 0 {
			a.GBs = float64(a.Bytes) / float64(a.Ns)
		}
		a.Purpose = purpose(part, a.big, a.mid, a.Count)
		out = append(out, a.TransferFacts)
	}
	if out == nil {
		out = []TransferFacts{}
	}
	return out
}

func purpose(part step.Part, big, mid, n int) string {
	switch {
	case big*2 > n && (part == step.CopyHtoDPinned || part == step.CopyHtoDPageable):
		return "weights"
	case big > 0 || mid*2 > n:
		return "kv-cache or large tensors"
	case part == step.CopyHtoDPinned || part == step.CopyHtoDPageable:
		return "batch inputs"
	case part == step.CopyDtoHPinned || part == step.CopyDtoHPageable:
		return "outputs"
	}
	return "inside the device"
}

// copiesIn lists the copies of the given parts that ran inside steps: count, bytes, time, and the largest one's row.
func (c *Context) copiesIn(parts ...step.Part) (n int, bytes, ns, row int64) {
	var largest int64
	in := interval.Span{}
	for _, i := range c.A.Primary {
		s := c.A.Steps[i].GPU
		if in.Empty() {
			in = s
		}
		in.End = max(in.End, s.End)
	}
	p := c.P
	for i := range p.Copies.Start {
		part := c.A.PartOf(step.NewOp(step.OpCopy, i))
		for _, w := range parts {
			if part == w && in.Contains(p.Copies.Start[i]) {
				n++
				bytes += p.Copies.Bytes[i]
				ns += p.Copies.Dur[i]
				if p.Copies.Bytes[i] > largest {
					largest, row = p.Copies.Bytes[i], p.Copies.Row.At(i)
				}
			}
		}
	}
	return n, bytes, ns, row
}

// offloadedSpread is how far the copied bytes of a step may be from the median where they are the same weights each time: a
// layer that is fetched ahead may count for the step before.
const offloadedSpread = 0.3

// OffloadedWeights returns the bytes of weights that each step copies from host memory to one GPU: large copies that are
// the same in every step, whatever its batch. Each offloaded byte is copied once a step, so it is also what lives in host
// memory. ok is false where no step shows such copies; those of a KV cache come with requests and not with steps.
func (c *Context) OffloadedWeights() (bytes int64, ok bool) { return c.offloaded, c.offloaded > 0 }

// findOffloaded computes OffloadedWeights: it looks at every operation of the steps.
func (c *Context) findOffloaded() (bytes int64, ok bool) {
	var per []int64
	var large, all int64
	for _, i := range c.A.Primary {
		s := &c.A.Steps[i]
		if s.Open || s.FirstOp < 0 {
			continue
		}
		var n int64
		r := &c.A.Ranks[s.Rank]
		for j := s.FirstOp; j <= s.LastOp; j++ {
			o := r.Ops[j]
			if o.Kind() != step.OpCopy || r.OpStep[j] != i {
				continue
			}
			if part := c.A.PartOf(o); part != step.CopyHtoDPinned && part != step.CopyHtoDPageable {
				continue
			}
			switch b := c.P.Copies.Bytes[o.Index()]; {
			case b >= weightCopyMin:
				large += b
				fallthrough
			case b > batchCopyMax:
				n += b
			}
		}
		per = append(per, n)
		all += n
	}
	q := quantiles(per)
	if q.N < fewestSteps || q.Median <= 0 || 2*large < all {
		return 0, false
	}
	if spread := offloadedSpread * float64(q.Median); float64(q.Median-q.P10) > spread || float64(q.P90-q.Median) > spread {
		return 0, false
	}
	// The mean is free of which step a layer counts for; the median of what the first and the last steps lack.
	if mean := float64(all) / float64(q.N); math.Abs(mean-float64(q.Median)) < 0.02*float64(q.Median) {
		return int64(mean + 0.5), true
	}
	return q.Median, true
}

// reOffload finds the bytes per GPU that a command line or the log's list of settings keeps in host memory, in GiB.
var reOffload = regexp.MustCompile(`cpu[-_]offload[-_]gb['"]?[:=\s]+([0-9.]+)`)

// offloadAsked returns how much of the weights the server was told to keep in host memory, in GiB, and whether it was told
// at all: groups of layers have no size of their own.
func (c *Context) offloadAsked() (gib float64, asked bool) {
	if c.Run == nil || c.engineWhy != "" {
		return 0, false
	}
	text := c.Run.Command.Or("") + " " + c.Engine.NonDefaultArgs.Or("")
	if m := reOffload.FindStringSubmatch(text); m != nil {
		if v, err := strconv.ParseFloat(m[1], 64); err == nil && v > 0 {
			return v, true
		}
	}
	return 0, strings.Contains(strings.ReplaceAll(text, "-", "_"), "offload_group_size")
}

// loadedGap decides on weights that are fewer on the GPU than the model has: where each step copies as many bytes as are
// missing, or the server was told to keep as many in host memory, the shape holds and how says so. why words the gap where
// it stays open.
func (c *Context) loadedGap(want, loaded, tolerance float64) (how, why string) {
	bytes, copied := c.OffloadedWeights()
	copies := float64(bytes) / (1 << 30)
	gib, asked := c.offloadAsked()
	switch {
	case copied && math.Abs(loaded+copies-want) <= tolerance:
		return fmt.Sprintf("%.2f GiB of weights copied from host memory in every step", copies), ""
	case copied:
		return "", fmt.Sprintf(", and steps copy %.2f GiB of weights from host memory each, which does not make up for it", copies)
	case gib > 0 && math.Abs(loaded+gib-want) <= tolerance:
		return fmt.Sprintf("%.2f GiB of weights in host memory as set", gib), ""
	case asked && loaded < want:
		return "", ": the rest is offloaded, and neither copies nor settings tell how much that is"
	}
	return "", ""
}

// HostBytes returns the bytes of the model's weights that are in host memory and cross the link in every step: what steps
// copy, else what the loaded weights lack of the model's; 0 where all are on the GPU.
func (c *Context) HostBytes() float64 {
	if bytes, ok := c.OffloadedWeights(); ok {
		return float64(bytes)
	}
	if _, asked := c.offloadAsked(); !asked || !c.HasShape || !c.Engine.WeightsGiB.Known {
		return 0
	}
	want := c.shape.LoadedBytes()
	gap := want - c.Engine.WeightsGiB.Value*(1<<30)
	if gap <= weightsTolerance*want+0.1*(1<<30) {
		return 0
	}
	return gap
}
