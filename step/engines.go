package step

import (
	"math"
	"regexp"
	"sort"
	"strings"

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
	if tx, ty := a.talks(x), a.talks(y); tx == silent || ty == silent || a.namedApart(x, y, tx == talks && ty == talks) {
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

// namedApart reports whether the names of two ranks' processes show that they are of different engines. An engine core
// works alone; where two of them talk, a name may have been recorded before the process took its own.
func (a *Analysis) namedApart(x, y *Rank, talk bool) bool {
	if x.Process == y.Process || x.Process == profile.None || y.Process == profile.None {
		return false
	}
	m, n := a.P.Processes[x.Process].Name, a.P.Processes[y.Process].Name
	if strings.HasPrefix(m, coreTitle) || strings.HasPrefix(n, coreTitle) {
		return !talk
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
