package diagnose

import (
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
