package diagnose

import (
	"fmt"

	"github.com/stepscope/stepscope/step"
)

var transferBound = Rule{
	ID: TransferBound, Title: "Copies between host and device hold up the steps",
	Measures: "Exposed host-device copies, host threads blocked in copies (what steps would be shorter by if the launching " +
		"thread did not wait for them before the step's last launch), and what GEMMs that read their weights in place from " +
		"host memory take longer than the same ones of other layers, as a share of the steps' wall, from 5 % on; bytes, rate, " +
		"direction and kind of host memory. Where the capture shows neither and the server keeps weights on the host, their " +
		"bytes over the link's peak, from half of a step on.",
	Wrong: "Step inputs and outputs are copies too: microseconds each. Copies that overlap kernels cost nothing here. Large copies " +
		"that are the same in every step are taken for offloaded weights.",
	Fix:   "No weight or KV offload on the critical path where the GPU has room for it, pinned buffers, fewer and larger copies.",
	Needs: "Copies.", Source: "step budget, gpu.copy-*; memory kinds as CUPTI records them (0 is pageable)",
	Check: func(c *Context) ([]Finding, string) {
		parts := append([]step.Part{step.IdleCopy}, copyParts...)
		share := c.All.Part(parts...)
		inPlace := ratio(c.inPlace.Ns, c.Wall)
		// A copy that the host waits for costs its own time and what the host then is behind by.
		held, steps, calls := c.heldGain((*hold).copies)
		waited := ratio(held, c.Wall) > share
		share = max(share, ratio(held, c.Wall))
		if least := c.unseenReads(); least > 0 && share+inPlace < ratio(least*int64(len(c.Decode.Steps)), c.Wall) {
			return []Finding{c.unseenFinding(least)}, ""
		}
		if share+inPlace < 0.05 {
			return nil, ""
		}
		if inPlace > share {
			return []Finding{c.inPlaceFinding(share + inPlace)}, ""
		}
		n, bytes, ns, row := c.copiesIn(copyParts...)
		f := finding(share, sure, "Copies between host and device take %s of the time on the critical path: %.2f GB in %d copies.",
			percent(share), float64(bytes)/1e9, n)
		if waited {
			f = finding(share, likely, "The launching thread waits for copies between host and device inside steps, %s a step: host and GPU work in turn (idle.launch and idle.scheduler in the budget), for up to %s of the time.",
				times(calls, max(1, steps)), percent(share))
			g := c.typicalOrWarm()
			f.Evidence = []Evidence{{"waiting for copies inside the step, per typical step", ms(c.heldPerStep(g, (*hold).copies)), "ms", c.rowsOf(g)}}
			f.Evidence = append(f.Evidence, c.heldCalls((*hold).copies)...)
		}
		f.Evidence = append(f.Evidence, Evidence{"exposed copies per step", ms(c.perStep(&c.All, parts...)), "ms", c.rowsOf(&c.All)})
		if ns > 0 {
			f.Evidence = append(f.Evidence, Evidence{"rate while copying", float64(bytes) / float64(ns), "GB/s", fmt.Sprintf("largest in memcpy row %d", row)})
		}
		if c.SheetMatch.OK && c.Sheet.PCIe > 0 {
			f.Evidence = append(f.Evidence, Evidence{"host link peak", c.Sheet.PCIe / 1e9, "GB/s", c.Sheet.Name + ", per direction"})
		}
		if pn, pb, _, prow := c.copiesIn(step.CopyHtoDPageable, step.CopyDtoHPageable); pn > 0 {
			f.Evidence = append(f.Evidence, Evidence{fmt.Sprintf("of it from or to pageable memory, %d copies", pn), float64(pb) / 1e9, "GB", fmt.Sprintf("largest in memcpy row %d", prow)})
		}
		if bytes, ok := c.OffloadedWeights(); ok {
			f.Evidence = append(f.Evidence, Evidence{"weights copied from host memory in every step", float64(bytes) / 1e9, "GB", c.rowsOf(&c.All)})
		}
		for _, t := range c.transferFacts() {
			if t.ExposedNs > 0 && (t.Purpose == "weights" || t.Purpose == "kv-cache or large tensors") {
				f.Evidence = append(f.Evidence, Evidence{t.Part + " by size of the copies: " + t.Purpose, float64(t.Bytes) / 1e9, "GB", fmt.Sprintf("%d copies", t.Count)})
			}
		}
		return []Finding{f}, ""
	},
}

// inPlaceFinding words weights that the GPU reads from host memory without a copy.
func (c *Context) inPlaceFinding(share float64) Finding {
	w := c.inPlace
	f := finding(share, likely, "The weights of %d of %d layers are read over the link from host memory, without a copy: their GEMMs take %.2f ms of a step longer than the same ones of other layers.",
		w.Layers, w.Of, ms(w.PerStep))
	if _, asked := c.offloadAsked(); asked {
		f.Confidence = sure // the server was told to
	}
	rows := c.rowsOf(&c.Decode)
	f.Evidence = []Evidence{
		{"time lost to it per decode step", ms(w.PerStep), "ms", rows},
		{"the slowest of these GEMMs", ms(w.Longest), "ms", fmt.Sprintf("kernel row %d", w.Row)},
		{"the same GEMM in other layers", ms(w.Usual), "ms", rows},
	}
	if bytes := c.HostBytes(); bytes > 0 && c.Engine.WeightsGiB.Known {
		f.Evidence = append(f.Evidence, Evidence{"weights that the loaded ones lack of the model's", bytes / 1e9, "GB", c.Engine.WeightsGiB.Source.String()},
			Evidence{"rate at which they are read", bytes / float64(w.PerStep), "GB/s", rows})
	}
	if c.SheetMatch.OK && c.Sheet.PCIe > 0 {
		f.Evidence = append(f.Evidence, Evidence{"host link peak", c.Sheet.PCIe / 1e9, "GB/s", c.Sheet.Name + ", per direction"})
	}
	return f
}

// unseenReads returns the least time that a decode step spends reading weights from host memory, where the server keeps
// some there and the capture shows neither copies of them nor the layers that read them, ns: CUDA graphs that are recorded
// as a whole, or a host that holds all layers. It is 0 where that is less than half of the step, which other causes may fill.
func (c *Context) unseenReads() int64 {
	if _, copied := c.OffloadedWeights(); copied || c.inPlace.Layers > 0 || !c.SheetMatch.OK || c.Sheet.PCIe <= 0 {
		return 0
	}
	least := int64(c.HostBytes() / c.Sheet.PCIe * 1e9)
	period := c.Period(&c.Decode).Median
	if 2*least < period || len(c.Decode.Steps) < fewestSteps {
		return 0
	}
	if least > period {
		return 0 // the weights of a faster server: what is known of them is not about this one
	}
	return least
}

// unseenFinding words what unseenReads found.
func (c *Context) unseenFinding(least int64) Finding {
	f := finding(ratio(least*int64(len(c.Decode.Steps)), c.Wall), likely,
		"The server keeps %.2f GB of weights in host memory, and a decode step takes %.2f ms, of which reading them takes at least %.2f ms.",
		c.HostBytes()/1e9, ms(c.Period(&c.Decode).Median), ms(least))
	f.Evidence = []Evidence{
		{"weights that the loaded ones lack of the model's", c.HostBytes() / 1e9, "GB", c.Engine.WeightsGiB.Source.String()},
		{"step period, median", ms(c.Period(&c.Decode).Median), "ms", c.rowsOf(&c.Decode)},
		{"host link peak", c.Sheet.PCIe / 1e9, "GB/s", c.Sheet.Name + ", per direction"},
	}
	return f
}
