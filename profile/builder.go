package profile

// Builder interns the entities that event rows name, so that readers append small ids. The zero value with a Profile is
// ready; it is not safe for concurrent use.
type Builder struct {
	P *Profile

	processes map[int64]int32
	threads   map[[2]int64]int32
	devices   map[int64]int32
	queues    map[Queue]int32
	funcs     map[Func]int32
	configs   map[LaunchConfig]int32
	domains   map[[2]int64]int32
}

// NewBuilder returns a Builder that fills p.
func NewBuilder(p *Profile) *Builder {
	return &Builder{
		P:         p,
		processes: map[int64]int32{},
		threads:   map[[2]int64]int32{},
		devices:   map[int64]int32{},
		queues:    map[Queue]int32{},
		funcs:     map[Func]int32{},
		configs:   map[LaunchConfig]int32{},
		domains:   map[[2]int64]int32{},
	}
}

// Process returns the index of the process with this pid.
func (b *Builder) Process(pid int64) int32 {
	i, ok := b.processes[pid]
	if !ok {
		i = int32(len(b.P.Processes))
		b.P.Processes = append(b.P.Processes, Process{PID: pid, Rank: None})
		b.processes[pid] = i
	}
	return i
}

// Thread returns the index of thread tid of process pid.
func (b *Builder) Thread(pid, tid int64) int32 {
	k := [2]int64{pid, tid}
	i, ok := b.threads[k]
	if !ok {
		i = int32(len(b.P.Threads))
		b.P.Threads = append(b.P.Threads, Thread{Process: b.Process(pid), TID: tid})
		b.threads[k] = i
	}
	return i
}

// Device returns the index of the device with this id, adding one without properties if it is new.
func (b *Builder) Device(id int64) int32 {
	i, ok := b.devices[id]
	if !ok {
		i = int32(len(b.P.Devices))
		b.P.Devices = append(b.P.Devices, Device{ID: id, NotInDeviceList: true})
		b.devices[id] = i
	}
	return i
}

// AddDevice registers d under its ID. A second device of the same ID replaces the properties of the first.
func (b *Builder) AddDevice(d Device) int32 {
	i := b.Device(d.ID)
	b.P.Devices[i] = d
	return i
}

// Queue returns the index of q.
func (b *Builder) Queue(q Queue) int32 {
	i, ok := b.queues[q]
	if !ok {
		i = int32(len(b.P.Queues))
		b.P.Queues = append(b.P.Queues, q)
		b.queues[q] = i
	}
	return i
}

// Func returns the index of f.
func (b *Builder) Func(f Func) int32 {
	i, ok := b.funcs[f]
	if !ok {
		i = int32(len(b.P.Funcs))
		b.P.Funcs = append(b.P.Funcs, f)
		b.funcs[f] = i
	}
	return i
}

// Config returns the index of c.
func (b *Builder) Config(c LaunchConfig) int32 {
	i, ok := b.configs[c]
	if !ok {
		i = int32(len(b.P.Configs))
		b.P.Configs = append(b.P.Configs, c)
		b.configs[c] = i
	}
	return i
}

// Domain returns the index of the domain id of process pid; its name may be set later.
func (b *Builder) Domain(pid, id int64) int32 {
	k := [2]int64{pid, id}
	i, ok := b.domains[k]
	if !ok {
		i = int32(len(b.P.Domains))
		b.P.Domains = append(b.P.Domains, Domain{Process: b.Process(pid), ID: id})
		b.domains[k] = i
	}
	return i
}
