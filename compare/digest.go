package compare

import (
	"math"
	"slices"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

// A Digest is what a comparison needs of a profile: a twentieth of its size. It holds no reference to the profile, so a
// caller who compares two large captures makes the digest of one, lets the capture go, and reads the other.
type Digest struct {
	steps   []step.Step // those that stand for the server's work, in order of time
	wall    int64
	budget  step.Budget
	source  step.Source
	window  int64
	devices []deviceUse
	calls   []callSeries
	kernels int

	producer, granularity, traced string
	gpus                          []string // names, one a device in use
}

// deviceUse is what one device did between its first and last operation.
type deviceUse struct {
	id         int32
	busy, wall int64
	bins       []float64 // busy share of equal stretches
}

// utilisationBins is the number of stretches that the use of a device is told in.
const utilisationBins = 16

// callSeries are the calls of one device function with one launch shape on one device in one stage, in order of time.
type callSeries struct {
	name, template string
	grid, block    [3]int32
	device         int32
	stage          kernel.Stage
	start          []int64
	dur            []uint32 // ns, at most 4.3 s
	step           []int32  // index into steps, -1 = in none of them
}

// NewDigest makes the digest of an analysed profile.
func NewDigest(a *step.Analysis) *Digest {
	p := a.P
	d := &Digest{wall: a.Wall, budget: a.Budget, source: a.Source(), window: p.Window.Dur(), producer: p.Producer, traced: p.Capture.Trace, kernels: p.Kernels.Len()}
	switch {
	case a.Budget[step.Graph] > 0:
		d.granularity = "graph"
	default:
		d.granularity = p.Capture.GraphTrace
	}
	primary := make([]int32, len(a.Steps)) // position among d.steps
	for i := range primary {
		primary[i] = -1
	}
	d.steps = make([]step.Step, len(a.Primary))
	for pos, i := range a.Primary {
		d.steps[pos], primary[i] = a.Steps[i], int32(pos)
	}
	d.readDevices(a)
	d.readCalls(a, primary)
	return d
}

func (d *Digest) readDevices(a *step.Analysis) {
	var ids []int32
	for id := range a.Busy {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		set := a.Busy[id]
		w := set.Bounds()
		u := deviceUse{id: id, busy: set.Total(), wall: w.Dur()}
		if w.Dur() >= utilisationBins {
			for i := range int64(utilisationBins) {
				part := interval.Span{Start: w.Start + w.Dur()*i/utilisationBins, End: w.Start + w.Dur()*(i+1)/utilisationBins}
				u.bins = append(u.bins, float64(interval.Busy(set, part))/float64(part.Dur()))
			}
		}
		d.devices = append(d.devices, u)
		if n := int(id); u.busy > 0 && n >= 0 && n < len(a.P.Devices) && a.P.Devices[n].Name != "" {
			d.gpus = append(d.gpus, a.P.Devices[n].Name)
		}
	}
	slices.Sort(d.gpus)
}

func (d *Digest) readCalls(a *step.Analysis, primary []int32) {
	type key struct {
		fn, config, device int32
		stage              kernel.Stage
	}
	k := &a.P.Kernels
	names := make([]string, len(a.P.Funcs))
	templates := make([]string, len(a.P.Funcs))
	for i, f := range a.P.Funcs {
		names[i] = kernel.Normalise(a.P.Strings.At(f.Name))
		templates[i] = template(names[i])
	}
	index := map[key]int{}
	count := []int{}
	of := make([]int32, k.Len())
	for i := range k.Start { // first how many, so that no column grows
		id := key{k.Func[i], k.Config[i], a.P.Queues[k.Queue[i]].Device, a.Stage[i]}
		n, ok := index[id]
		if !ok {
			n = len(d.calls)
			index[id] = n
			c := a.P.Configs[id.config]
			d.calls = append(d.calls, callSeries{name: names[id.fn], template: templates[id.fn], grid: c.Grid, block: c.Block, device: id.device, stage: id.stage})
			count = append(count, 0)
		}
		count[n]++
		of[i] = int32(n)
	}
	for i := range d.calls {
		c := &d.calls[i]
		c.start, c.dur, c.step = make([]int64, 0, count[i]), make([]uint32, 0, count[i]), make([]int32, 0, count[i])
	}
	owner := a.StepOfKernel()
	for i := range k.Start {
		c := &d.calls[of[i]]
		at := int32(-1)
		if s := owner[i]; s != profile.None {
			at = primary[s]
		}
		c.start, c.dur, c.step = append(c.start, k.Start[i]), append(c.dur, uint32(min(k.Dur[i], math.MaxUint32))), append(c.step, at)
	}
}

// busyShare is GPU busy over the wall of the steps, or over the time between first and last device operation of a capture
// without steps.
func (d *Digest) busyShare() float64 {
	if d.wall > 0 {
		return float64(d.budget.Busy()) / float64(d.wall)
	}
	var busy, wall int64
	for _, u := range d.devices {
		busy += u.busy
		wall += u.wall
	}
	if wall == 0 {
		return 0
	}
	return float64(busy) / float64(wall)
}

// trusted reports whether the steps are the engine's and no guess from gaps.
func (d *Digest) trusted() bool {
	return d != nil && d.source != step.NoSteps && d.source != step.ByGaps
}
