package profile

// Builder interns the entities that event rows name, so that readers append small ids. NewBuilder makes one; it is not
// safe for concurrent use.
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

// intern returns the index of key k, and makes its entry in list if it is new.
func intern[K comparable, V any](ids map[K]int32, list *[]V, k K, make func() V) int32 {
	i, ok := ids[k]
	if !ok {
		v := make() // may grow the list, when an entry needs another one
		i = int32(len(*list))
		*list = append(*list, v)
		ids[k] = i
	}
	return i
}

// itself is the entry of a key that is the entry.
func itself[V any](v V) func() V { return func() V { return v } }

// Process returns the index of the process with this pid.
func (b *Builder) Process(pid int64) int32 {
	return intern(b.processes, &b.P.Processes, pid, func() Process { return Process{PID: pid, Rank: None} })
}

// Thread returns the index of thread tid of process pid.
func (b *Builder) Thread(pid, tid int64) int32 {
	return intern(b.threads, &b.P.Threads, [2]int64{pid, tid}, func() Thread { return Thread{Process: b.Process(pid), TID: tid} })
}

// Device returns the index of the device with this id, adding one without properties if it is new.
func (b *Builder) Device(id int64) int32 {
	return intern(b.devices, &b.P.Devices, id, func() Device { return Device{ID: id, NotInDeviceList: true} })
}

// AddDevice registers d under its ID. A second device of the same ID replaces the properties of the first.
func (b *Builder) AddDevice(d Device) int32 {
	i := b.Device(d.ID)
	b.P.Devices[i] = d
	return i
}

// Queue returns the index of q.
func (b *Builder) Queue(q Queue) int32 { return intern(b.queues, &b.P.Queues, q, itself(q)) }

// Func returns the index of f.
func (b *Builder) Func(f Func) int32 { return intern(b.funcs, &b.P.Funcs, f, itself(f)) }

// Config returns the index of c.
func (b *Builder) Config(c LaunchConfig) int32 { return intern(b.configs, &b.P.Configs, c, itself(c)) }

// Domain returns the index of the domain id of process pid; its name may be set later.
func (b *Builder) Domain(pid, id int64) int32 {
	return intern(b.domains, &b.P.Domains, [2]int64{pid, id}, func() Domain { return Domain{Process: b.Process(pid), ID: id} })
}
