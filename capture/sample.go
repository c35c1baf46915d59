package capture

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stepscope/stepscope/compare"
)

// SamplesSchema is the version of samples.json.
const SamplesSchema = "stepscope.samples/1"

// sampleEvery is the interval of GPU and process samples.
const sampleEvery = 500 * time.Millisecond

// Samples is what was observed beside a run, in columns of equal length; times are ns from Start. A value that was not
// read is null.
type Samples struct {
	Schema     string           `json:"schema"`
	Start      time.Time        `json:"start"`
	IntervalMs int64            `json:"interval_ms"`
	GPU        GPUSamples       `json:"gpu"`
	Process    []ProcessSamples `json:"process"`
	Stages     []StageTime      `json:"stages"`
	Notes      []string         `json:"notes,omitempty"`
}

// GPUSamples are readings of nvidia-smi, one row a GPU and moment.
type GPUSamples struct {
	TimeNs      []int64    `json:"time_ns"`
	GPU         []int      `json:"gpu"`
	Util        []*float64 `json:"utilisation_percent"` // share of time with a kernel
	MemUtil     []*float64 `json:"memory_utilisation_percent"`
	MemoryMiB   []*float64 `json:"memory_used_mib"`
	PowerW      []*float64 `json:"power_w"`
	SMClockMHz  []*float64 `json:"sm_clock_mhz"`
	MemClockMHz []*float64 `json:"memory_clock_mhz"`
	TempC       []*float64 `json:"temperature_c"`
}

// columns lists the readings in the order of smiFields, which has the GPU's number before them.
func (g *GPUSamples) columns() []*[]*float64 {
	return []*[]*float64{&g.Util, &g.MemUtil, &g.MemoryMiB, &g.PowerW, &g.SMClockMHz, &g.MemClockMHz, &g.TempC}
}

// ProcessSamples are the processes of one name: CPU time in cores, resident memory (pages shared between processes count
// for each), and how many there were.
type ProcessSamples struct {
	Name     string    `json:"name"`
	TimeNs   []int64   `json:"time_ns"`
	Cores    []float64 `json:"cores"`
	RSSBytes []int64   `json:"rss_bytes"`
	Count    []int     `json:"count"`
}

// StageTime is when a stage ran, ns from Start.
type StageTime struct {
	Stage   Stage `json:"stage"`
	StartNs int64 `json:"start_ns"`
	DurNs   int64 `json:"dur_ns"`
}

// smiFields are asked of nvidia-smi in this order.
var smiFields = []string{"index", "utilization.gpu", "utilization.memory", "memory.used", "power.draw", "clocks.sm", "clocks.mem", "temperature.gpu"}

// A Sampler observes the GPUs and the processes of a server until it is finished.
type Sampler struct {
	mu     sync.Mutex
	s      Samples
	byName map[string]int
	start  time.Time
	cancel context.CancelFunc
	wg     sync.WaitGroup
	child  *child
	last   map[int]processInfo
	lastAt time.Time
	open   *StageTime
}

// StartSampler begins to read nvidia-smi ("" = not there) at once; processes are read as soon as Follow has named a server.
func StartSampler(ctx context.Context, smi string) *Sampler {
	ctx, cancel := context.WithCancel(ctx)
	now := time.Now()
	p := &Sampler{start: now, cancel: cancel, byName: map[string]int{}}
	p.s = Samples{Schema: SamplesSchema, Start: now.UTC().Truncate(time.Millisecond), IntervalMs: sampleEvery.Milliseconds(), Process: []ProcessSamples{}, Stages: []StageTime{}}
	if smi != "" {
		p.wg.Add(1)
		go func() {
			defer p.wg.Done()
			p.readGPUs(ctx, smi)
		}()
	} else {
		p.s.Notes = append(p.s.Notes, "nvidia-smi was not found: no GPU samples")
	}
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		p.readProcesses(ctx)
	}()
	return p
}

// Follow names the server whose processes are to be read.
func (p *Sampler) Follow(s *Server) {
	p.mu.Lock()
	p.child = s.child
	p.mu.Unlock()
}

// Mark marks the beginning of a stage and the end of the one before; "" only ends it.
func (p *Sampler) Mark(s Stage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Since(p.start).Nanoseconds()
	if p.open != nil {
		p.open.DurNs = now - p.open.StartNs
		p.s.Stages = append(p.s.Stages, *p.open)
		p.open = nil
	}
	if s != "" {
		p.open = &StageTime{Stage: s, StartNs: now}
	}
}

// Finish stops sampling and returns what was seen.
func (p *Sampler) Finish() *Samples {
	p.Mark("")
	p.cancel()
	p.wg.Wait()
	slices.SortFunc(p.s.Process, func(a, b ProcessSamples) int { return cmp.Compare(a.Name, b.Name) })
	return &p.s
}

// readGPUs runs nvidia-smi in its looping mode, which keeps the driver open: a start of it a sample would cost a core.
func (p *Sampler) readGPUs(ctx context.Context, smi string) {
	cmd := exec.CommandContext(ctx, smi, "--query-gpu="+strings.Join(smiFields, ","), "--format=csv,noheader,nounits", "-lms", strconv.FormatInt(sampleEvery.Milliseconds(), 10))
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.WaitDelay = time.Second
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		p.note("nvidia-smi did not start: " + cause(err).Error())
		return
	}
	in := bufio.NewScanner(out)
	for in.Scan() {
		p.addGPU(time.Since(p.start).Nanoseconds(), in.Text())
	}
	if err := cmd.Wait(); err != nil && ctx.Err() == nil {
		p.note("nvidia-smi ended early: " + err.Error())
	}
}

func (p *Sampler) note(text string) {
	p.mu.Lock()
	p.s.Notes = append(p.s.Notes, text)
	p.mu.Unlock()
}

// addGPU adds one line of nvidia-smi; fields that the GPU does not report ("[N/A]") are not recorded.
func (p *Sampler) addGPU(at int64, line string) {
	f := strings.Split(line, ",")
	if len(f) != len(smiFields) {
		return
	}
	id, err := strconv.Atoi(strings.TrimSpace(f[0]))
	if err != nil {
		return
	}
	num := func(i int) *float64 {
		v, err := strconv.ParseFloat(strings.TrimSpace(f[i]), 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
		return &v
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	g := &p.s.GPU
	g.TimeNs, g.GPU = append(g.TimeNs, at), append(g.GPU, id)
	for i, c := range g.columns() {
		*c = append(*c, num(i+1))
	}
}

func (p *Sampler) readProcesses(ctx context.Context) {
	t := time.NewTicker(sampleEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		p.mu.Lock()
		c := p.child
		p.mu.Unlock()
		if c != nil {
			p.addProcesses(time.Now(), c.members())
		}
	}
}

// addProcesses adds one look at the processes, summed by name: CPU time since the look before.
func (p *Sampler) addProcesses(now time.Time, members []processInfo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := map[int]processInfo{}
	type sum struct {
		ticks uint64
		rss   int64
		n     int
	}
	sums := map[string]*sum{}
	for _, m := range members {
		seen[m.pid] = m
		s := sums[m.name]
		if s == nil {
			s = &sum{}
			sums[m.name] = s
		}
		s.n++
		s.rss += m.rssPages * int64(os.Getpagesize())
		if o, ok := p.last[m.pid]; ok && o.start == m.start && m.cpuTicks >= o.cpuTicks {
			s.ticks += m.cpuTicks - o.cpuTicks
		}
	}
	first, since := p.last == nil, now.Sub(p.lastAt).Seconds()
	p.last, p.lastAt = seen, now
	if first || since <= 0 {
		return
	}
	for name, s := range sums {
		i, ok := p.byName[name]
		if !ok {
			i = len(p.s.Process)
			p.byName[name] = i
			p.s.Process = append(p.s.Process, ProcessSamples{Name: name})
		}
		r := &p.s.Process[i]
		r.TimeNs = append(r.TimeNs, now.Sub(p.start).Nanoseconds())
		r.Cores = append(r.Cores, float64(s.ticks)/clockTicks/since)
		r.RSSBytes = append(r.RSSBytes, s.rss)
		r.Count = append(r.Count, s.n)
	}
}

// ReadSamples reads samples.json.
func ReadSamples(r io.Reader) (*Samples, error) {
	var s Samples
	if err := json.NewDecoder(io.LimitReader(r, 256<<20)).Decode(&s); err != nil {
		return nil, err
	}
	if s.Schema != SamplesSchema {
		return nil, errors.New("not samples of schema " + SamplesSchema)
	}
	n := len(s.GPU.TimeNs)
	for _, c := range s.GPU.columns() {
		if len(*c) != n {
			return nil, errors.New("columns of gpu differ in length")
		}
	}
	if len(s.GPU.GPU) != n {
		return nil, errors.New("columns of gpu differ in length")
	}
	for _, p := range s.Process {
		if len(p.Cores) != len(p.TimeNs) || len(p.RSSBytes) != len(p.TimeNs) || len(p.Count) != len(p.TimeNs) {
			return nil, errors.New("columns of process " + p.Name + " differ in length")
		}
	}
	return &s, nil
}

// serverMemoryMiB is the growth of used memory since the first sample from which on a GPU counts as the server's.
const serverMemoryMiB = 256

// GPUs lists the GPUs that the server used: those whose memory grew after the first sample, or all where none did.
func (s *Samples) GPUs() []int {
	first, peak := map[int]float64{}, map[int]float64{}
	var all []int
	for i, id := range s.GPU.GPU {
		if !slices.Contains(all, id) {
			all = append(all, id)
		}
		if m := s.GPU.MemoryMiB[i]; m != nil {
			if _, ok := first[id]; !ok {
				first[id] = *m
			}
			peak[id] = max(peak[id], *m)
		}
	}
	slices.Sort(all)
	var used []int
	for _, id := range all {
		if peak[id]-first[id] >= serverMemoryMiB {
			used = append(used, id)
		}
	}
	if used == nil {
		return all
	}
	return used
}

// Usage sums the samples of a stage up for a comparison, nil when nothing was sampled in it.
func (s *Samples) Usage(stage Stage) *compare.Usage {
	var from, to int64 = -1, -1
	for _, t := range s.Stages {
		if t.Stage == stage {
			if from < 0 {
				from = t.StartNs
			}
			to = t.StartNs + t.DurNs
		}
	}
	if from < 0 {
		return nil
	}
	u := &compare.Usage{}
	s.gpuUsage(u, from, to)
	s.processUsage(u, from, to)
	if len(u.GPUMemBytes) > 1 {
		g := u.GPUMemBytes[len(u.GPUMemBytes)-1] - u.GPUMemBytes[0]
		u.MemGrowBytes = &g
	}
	if len(u.CPUCores)+len(u.GPUUtil)+len(u.GPUMemBytes)+len(u.PowerW) == 0 {
		return nil
	}
	return u
}

func (s *Samples) gpuUsage(u *compare.Usage, from, to int64) {
	used := s.GPUs()
	// nvidia-smi prints the GPUs of one moment one after the other: a row of the first GPU opens a moment.
	type moment struct{ util, mem, power, clock []float64 }
	var moments []moment
	for i, id := range s.GPU.GPU {
		if t := s.GPU.TimeNs[i]; t < from || t > to || !slices.Contains(used, id) {
			continue
		}
		if id == used[0] || len(moments) == 0 {
			moments = append(moments, moment{})
		}
		m := &moments[len(moments)-1]
		for _, c := range []struct {
			to *[]float64
			v  *float64
		}{{&m.util, s.GPU.Util[i]}, {&m.mem, s.GPU.MemoryMiB[i]}, {&m.power, s.GPU.PowerW[i]}, {&m.clock, s.GPU.SMClockMHz[i]}} {
			if c.v != nil {
				*c.to = append(*c.to, *c.v)
			}
		}
	}
	for _, m := range moments {
		if len(m.util) == len(used) {
			u.GPUUtil = append(u.GPUUtil, sum(m.util)/float64(len(used))/100)
		}
		if len(m.mem) == len(used) {
			u.GPUMemBytes = append(u.GPUMemBytes, sum(m.mem)*(1<<20))
		}
		if len(m.power) == len(used) {
			u.PowerW = append(u.PowerW, sum(m.power))
		}
		if len(m.clock) == len(used) {
			u.ClockMHz = append(u.ClockMHz, sum(m.clock)/float64(len(used)))
		}
	}
}

func (s *Samples) processUsage(u *compare.Usage, from, to int64) {
	cores, rss := map[int64]float64{}, map[int64]float64{}
	for _, p := range s.Process {
		if strings.HasPrefix(strings.ToLower(p.Name), "nsys") {
			continue // the profiler's own
		}
		for i, t := range p.TimeNs {
			if t >= from && t <= to {
				cores[t] += p.Cores[i]
				rss[t] += float64(p.RSSBytes[i])
			}
		}
	}
	for _, t := range slices.Sorted(maps.Keys(cores)) {
		u.CPUCores = append(u.CPUCores, cores[t])
		u.HostBytes = append(u.HostBytes, rss[t])
	}
}

func sum(v []float64) (s float64) {
	for _, x := range v {
		s += x
	}
	return s
}
