package step

import (
	"math"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
)

// groupEngines joins ranks that ran the same sequence of steps at the same time into one engine, and picks the rank
// that stands for it. Data-parallel engines stay apart: their batches differ, or the names of their processes do, or they
// do not communicate.
func (a *Analysis) groupEngines() {
	next := int32(0)
	for i := range a.Ranks {
		r := &a.Ranks[i]
		r.Engine = profile.None
		if len(r.Steps) == 0 {
			continue
		}
		for j := range i {
			if x := &a.Ranks[j]; x.Engine0 {
				if offset, ok := a.sameEngine(x, r); ok {
					r.Engine, r.Offset = x.Engine, offset
					break
				}
			}
		}
		if r.Engine == profile.None {
			r.Engine, r.Engine0 = next, true
			next++
		}
	}
}

// fewestShared is how many steps two ranks must have run together to be told to be of one engine.
const fewestShared = 2

// sameEngine reports whether two ranks ran one engine's steps, and which step of x is the first of y.
func (a *Analysis) sameEngine(x, y *Rank) (offset int, ok bool) {
	if x.Source != y.Source {
		return 0, false
	}
	if a.talks(x) == silent || a.talks(y) == silent || a.namedApart(x, y) {
		return 0, false
	}
	// Where one rank was recorded for longer, time says where the other joins in. Every decode step of a steady load has
	// the same batch, so among the offsets at which batches agree it is the one at which the starts do.
	first := a.Steps[y.Steps[0]].GPU.Start
	from := sort.Search(len(x.Steps), func(i int) bool { return a.Steps[x.Steps[i]].GPU.Start >= first })
	if from == 0 {
		first = a.Steps[x.Steps[0]].GPU.Start
		from = -sort.Search(len(y.Steps), func(i int) bool { return a.Steps[y.Steps[i]].GPU.Start >= first })
	}
	least := int64(math.MaxInt64)
	for o := from - 2; o <= from+2; o++ {
		if apart, same := a.sameSteps(x, y, o); same && apart < least {
			offset, ok, least = o, true, apart
		}
	}
	return offset, ok
}

// sameSteps compares the steps that both ranks ran if y's first is step offset of x: the same batch at nearly every
// position, and starts that differ by less than a step. What is outside the common window says nothing, but nearly all
// of the shorter rank must be inside. apart is the mean distance of the starts.
func (a *Analysis) sameSteps(x, y *Rank, offset int) (apart int64, ok bool) {
	from, to := max(0, -offset), min(len(y.Steps), len(x.Steps)-offset)
	n := to - from
	if n < fewestShared || n*2 < min(len(x.Steps), len(y.Steps)) {
		return 0, false
	}
	same, sum := 0, int64(0)
	for j := from; j < to; j++ {
		s, t := &a.Steps[x.Steps[j+offset]], &a.Steps[y.Steps[j]]
		d := s.GPU.Start - t.GPU.Start
		d = max(d, -d)
		sum += d
		if s.Batch == t.Batch && d < max(s.Wall(), t.Wall(), 1) {
			same++
		}
	}
	return sum / int64(n), same*10 >= n*9
}

// talk is whether a rank exchanges data with others, as those of one engine do.
type talk uint8

const (
	unseen talk = iota // kernels of a CUDA graph that was recorded as a whole are not seen
	silent
	talks
)

func (a *Analysis) talks(r *Rank) talk {
	out := silent
	for _, o := range r.Ops {
		switch o.Kind() {
		case OpGraph:
			out = unseen
		case OpKernel:
			if a.Classes[a.P.Kernels.Func[o.Index()]].Stage == kernel.Collective {
				return talks
			}
		}
	}
	return out
}

// vLLM names its processes VLLM::EngineCore_DP<n> (one GPU, or no work of its own) and VLLM::Worker_DP<n>_PP<n>_TP<n>,
// each part only where there are several; nsys keeps 15 bytes of a name.
const (
	coreTitle   = "VLLM::EngineCor"
	workerTitle = "VLLM::Worker"
)

var replica = regexp.MustCompile(`^VLLM::Worker_DP(\d+)`)

// namedApart reports whether the names of two ranks' processes show that they are of different engines: an engine core
// that works itself has one GPU. Data-parallel ones may exchange tokens of experts all the same.
func (a *Analysis) namedApart(x, y *Rank) bool {
	if x.Process == y.Process || x.Process == profile.None || y.Process == profile.None {
		return false
	}
	m, n := a.P.Processes[x.Process].Name, a.P.Processes[y.Process].Name
	if strings.HasPrefix(m, coreTitle) || strings.HasPrefix(n, coreTitle) {
		return true
	}
	if strings.HasPrefix(m, workerTitle) && strings.HasPrefix(n, workerTitle) {
		d, e := replica.FindStringSubmatch(m), replica.FindStringSubmatch(n)
		return d != nil && e != nil && d[1] != e[1]
	}
	return false
}

// Shared returns, for every rank of an engine in the order of Ranks, the steps that all of them ran: the same
// position is the same step.
func (a *Analysis) Shared(engine int32) (ranks []int32, steps [][]int32) {
	from, to := math.MinInt, math.MaxInt
	for i := range a.Ranks {
		if r := &a.Ranks[i]; r.Engine == engine {
			ranks = append(ranks, int32(i))
			from, to = max(from, r.Offset), min(to, r.Offset+len(r.Steps))
		}
	}
	for _, i := range ranks {
		r := &a.Ranks[i]
		if from >= to {
			steps = append(steps, nil)
			continue
		}
		steps = append(steps, r.Steps[from-r.Offset:to-r.Offset])
	}
	return ranks, steps
}

// fewestLayers is the number of layers from which on collectives tell a pipeline from tensor parallelism, which has one or
// two in each.
const fewestLayers = 8

// findPipelines finds the engines whose ranks hand a step's activations on to one another: they exchange, but not in every
// layer. Where a graph was recorded as a whole that is not seen.
func (a *Analysis) findPipelines() {
	if a.Pattern.LayerCount < fewestLayers {
		return
	}
	for i := range a.Ranks {
		if !a.Ranks[i].Engine0 {
			continue
		}
		ranks, steps := a.Shared(a.Ranks[i].Engine)
		if len(ranks) < 2 || a.talks(&a.Ranks[i]) != talks {
			continue
		}
		if n, _ := a.inCollectives(&a.Ranks[i], steps[slices.Index(ranks, int32(i))]); n >= a.Pattern.LayerCount*len(steps[0]) {
			continue
		}
		work := make([][]interval.Span, len(ranks))
		for k, r := range ranks {
			work[k] = a.computing(&a.Ranks[r])
		}
		for k, r := range ranks {
			var others []interval.Span
			for j := range ranks {
				if j != k {
					others = append(others, work[j]...)
				}
			}
			a.Ranks[r].Pipeline, a.Ranks[r].peers = true, interval.Union(others)
		}
	}
}

// computing lists what a rank's GPU did but for collectives and copies.
func (a *Analysis) computing(r *Rank) []interval.Span {
	var out []interval.Span
	for _, o := range r.Ops {
		if k := o.Kind(); k == OpGraph || k == OpKernel && a.Classes[a.P.Kernels.Func[o.Index()]].Stage != kernel.Collective {
			out = append(out, a.span(o))
		}
	}
	return out
}

// waitShare is the part of the wall from which on a rank's waiting in collectives makes another one stand for the engine.
const waitShare = 0.05

// chooseLeads lets the rank that the others wait for stand for its engine: its budget shows what the engine waits for, and
// those of the others that they wait. Where no rank waits much it is the first.
func (a *Analysis) chooseLeads() {
	for i := range a.Ranks {
		first := &a.Ranks[i]
		if !first.Engine0 {
			continue
		}
		ranks, steps := a.Shared(first.Engine)
		if len(ranks) < 2 || len(steps[0]) < fewestShared {
			continue
		}
		lead := 0
		spent := make([]int64, len(ranks))
		var wall int64
		for k, r := range ranks {
			_, spent[k] = a.inCollectives(&a.Ranks[r], steps[k])
			if spent[k] < spent[lead] {
				lead = k
			}
		}
		for _, s := range steps[0] {
			wall += a.Steps[s].Wall()
		}
		for k, r := range ranks {
			a.Ranks[r].Waits = spent[k] - spent[lead]
		}
		if float64(first.Waits) <= waitShare*float64(wall) {
			continue
		}
		by := a.Ranks[ranks[lead]].Offset
		for _, r := range ranks {
			a.Ranks[r].Offset -= by
		}
		first.Engine0, a.Ranks[ranks[lead]].Engine0 = false, true
	}
}

// inCollectives counts and sums a rank's collective kernels in some of its steps.
func (a *Analysis) inCollectives(r *Rank, steps []int32) (n int, ns int64) {
	in := map[int32]bool{}
	for _, s := range steps {
		in[s] = true
	}
	for j, o := range r.Ops {
		if o.Kind() == OpKernel && in[r.OpStep[j]] && a.Classes[a.P.Kernels.Func[o.Index()]].Stage == kernel.Collective {
			n++
			ns += a.P.Kernels.Dur[o.Index()]
		}
	}
	return n, ns
}
