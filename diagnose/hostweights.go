package diagnose

import (
	"slices"

	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/step"
)

// HostWeights is what a decode step loses where the GPU reads the weights of some layers in place from the host's memory,
// through the link and without a copy, as --cpu-offload-gb does.
type HostWeights struct {
	Layers  int   // whose GEMMs are slower by slowLayer than the same GEMMs of other layers
	Of      int   // layers
	PerStep int64 // ns that these GEMMs take longer in a step than the same ones elsewhere, mean
	Ns      int64 // the same over the decode steps
	Row     int64 // of the slowest of these GEMMs
	Longest int64 // its time, ns
	Usual   int64 // what the same GEMM takes in other layers, ns
}

// slowLayer is how many times longer a GEMM must take in one layer than the same GEMM in others. A host link is 15 to 60
// times slower than the GPU's memory; caches, clocks and neighbours make 1.5.
const slowLayer = 5

// gemm is a kind of GEMM that layers share: kernels of one function, launch shape and role do the same work.
type gemm struct {
	stage kernel.Stage
	fn    int32
	conf  int32
}

// hostWeights compares each GEMM over the model's layers. Without layers that differ by far it finds nothing: where all
// layers are in host memory, the same GEMMs are equally slow everywhere.
func (c *Context) hostWeights() {
	type sum struct {
		ns  int64
		n   int64
		max int64
		row int64
	}
	by := map[gemm]map[int16]*sum{}
	k := &c.P.Kernels
	steps := 0
	for _, i := range c.Decode.Steps {
		s := &c.A.Steps[i]
		r := &c.A.Ranks[s.Rank]
		steps++
		for j := s.FirstOp; j <= s.LastOp; j++ {
			o := r.Ops[j]
			if o.Kind() != step.OpKernel || r.OpStep[j] != i {
				continue
			}
			x := o.Index()
			if c.A.Layer[x] < 0 || !slices.Contains(LinearStages, step.Part(c.A.Stage[x])) {
				continue
			}
			key := gemm{c.A.Stage[x], k.Func[x], k.Config[x]}
			layers := by[key]
			if layers == nil {
				layers = map[int16]*sum{}
				by[key] = layers
			}
			l := layers[c.A.Layer[x]]
			if l == nil {
				l = &sum{}
				layers[c.A.Layer[x]] = l
			}
			l.ns += k.Dur[x]
			l.n++
			if k.Dur[x] > l.max {
				l.max, l.row = k.Dur[x], k.Row.At(x)
			}
		}
	}
	if steps < fewestSteps {
		return
	}
	var h HostWeights
	slow, all := map[int16]int{}, map[int16]int{}
	for _, layers := range by {
		var means []int64
		for _, l := range layers {
			means = append(means, l.ns/l.n)
		}
		if len(means) < 4 {
			continue
		}
		slices.Sort(means)
		usual := means[len(means)/8] // most layers may be on the host
		for at, l := range layers {
			all[at]++
			if l.ns/l.n < slowLayer*usual {
				continue
			}
			slow[at]++
			h.Ns += l.ns - l.n*usual
			if l.max > h.Longest || l.max == h.Longest && l.row < h.Row {
				h.Longest, h.Row, h.Usual = l.max, l.row, usual
			}
		}
	}
	// A layer on the host is slow in most of its GEMMs; one kind of GEMM that is slow somewhere has another reason.
	for at, n := range slow {
		if 2*n >= all[at] {
			h.Layers++
		}
	}
	if h.Layers == 0 {
		return
	}
	h.Of, h.PerStep = len(all), h.Ns/int64(steps)
	c.inPlace = h
}

// InPlace returns what weights that are read in place from host memory cost; its Layers is 0 where none are seen.
func (c *Context) InPlace() HostWeights { return c.inPlace }
