package kineto

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/stepscope/stepscope/profile"
)

// identities interns processes, threads, devices and queues. "pid" and "tid" mean a process and a thread for host
// events, a device and a stream for device events; the caller knows which by category.
//
// A scope is one traced process's name space. A file has one, unless a tool merged the files of several ranks into it:
// SGLang's merger turns pid 0 into "[TP01] 0".
type identities struct {
	p        *profile.Profile
	scopes   []scope
	byLabel  map[string]int32
	pids     map[string]processKey // by source text
	threads  map[threadKey]int32
	queues   map[queueKey]int32
	keys     []queueKey // of P.Queues
	devices  map[deviceKey]int32
	deviceOf []deviceKey // of P.Devices

	lastThread  threadKey
	lastThreadI int32
	lastQueue   queueKey
	lastQueueI  int32
	lastPid     []byte
	lastPidKey  processKey

	names  map[processKey]string // process_name
	labels map[processKey]string // process_labels: "CPU", "GPU 0"
	titles map[threadKey]string  // thread_name
}

type scope struct {
	label     string // "" = the file itself
	processes map[int64]int32
}

type processKey struct {
	scope int32
	pid   int64
}

type threadKey struct {
	scope    int32
	pid, tid int64
}

type deviceKey struct {
	scope  int32
	device int64
}

type queueKey struct {
	scope                   int32
	device, context, stream int64
}

func newIdentities(p *profile.Profile) *identities {
	return &identities{
		p:           p,
		scopes:      []scope{{processes: map[int64]int32{}}},
		byLabel:     map[string]int32{"": 0},
		pids:        map[string]processKey{},
		threads:     map[threadKey]int32{},
		queues:      map[queueKey]int32{},
		devices:     map[deviceKey]int32{},
		lastThreadI: profile.None,
		lastQueueI:  profile.None,
		names:       map[processKey]string{},
		labels:      map[processKey]string{},
		titles:      map[threadKey]string{},
	}
}

// pid reads a pid: a number, a quoted number, "[label] number" of a merged file, or any other text, which gets a
// number below -1 of its own.
func (d *identities) pid(t text) (scope int32, pid int64) {
	if t.kind == kindNumber {
		if n, ok := integer(t.raw); ok {
			return 0, n
		}
	}
	if t.kind != kindNumber && t.kind != kindString {
		return 0, 0
	}
	if d.lastPid != nil && bytes.Equal(t.raw, d.lastPid) {
		return d.lastPidKey.scope, d.lastPidKey.pid
	}
	ref, ok := d.pids[string(t.raw)]
	if !ok {
		ref = d.newPid(string(t.plain()))
		d.pids[string(t.raw)] = ref
	}
	d.lastPid, d.lastPidKey = append(d.lastPid[:0], t.raw...), ref
	return ref.scope, ref.pid
}

func (d *identities) newPid(s string) processKey {
	if n, ok := integer([]byte(s)); ok {
		return processKey{0, n}
	}
	var in int32
	if strings.HasPrefix(s, "[") {
		if label, rest, ok := strings.Cut(s[1:], "] "); ok {
			in = d.scope(label)
			if n, ok := integer([]byte(rest)); ok {
				return processKey{in, n}
			}
			s = rest
		}
	}
	ref := processKey{in, -2 - int64(len(d.pids))}
	d.names[ref] = s
	return ref
}

func (d *identities) scope(label string) int32 {
	i, ok := d.byLabel[label]
	if !ok {
		i = int32(len(d.scopes))
		d.scopes = append(d.scopes, scope{label: label, processes: map[int64]int32{}})
		d.byLabel[label] = i
	}
	return i
}

// tidOf reads a tid: a number, or the number at the end of a text ("stream 7" in traces of 2021).
func tidOf(t text) int64 {
	if n, ok := t.int(); ok {
		return n
	}
	s := t.plain()
	e := len(s)
	for e > 0 && s[e-1]-'0' <= 9 {
		e--
	}
	n, _ := integer(s[e:])
	return n
}

// threadKey reads the thread of a host event; it is also the track on which begin and end events nest.
func (d *identities) threadKey(ev *event) threadKey {
	in, pid := d.pid(ev.pid)
	return threadKey{in, pid, tidOf(ev.tid)}
}

// thread interns the thread of a host event.
func (d *identities) thread(ev *event) int32 {
	k := d.threadKey(ev)
	if k == d.lastThread && d.lastThreadI != profile.None {
		return d.lastThreadI
	}
	i, ok := d.threads[k]
	if !ok {
		i = int32(len(d.p.Threads))
		d.p.Threads = append(d.p.Threads, profile.Thread{Process: d.process(k.scope, k.pid), TID: k.tid})
		d.threads[k] = i
	}
	d.lastThread, d.lastThreadI = k, i
	return i
}

func (d *identities) process(in int32, pid int64) int32 {
	m := d.scopes[in].processes
	i, ok := m[pid]
	if !ok {
		i = int32(len(d.p.Processes))
		d.p.Processes = append(d.p.Processes, profile.Process{PID: pid, Rank: profile.None})
		m[pid] = i
	}
	return i
}

// place reads where a device event ran. The args say it; pid and tid stand in for them.
func (d *identities) place(ev *event) (device, stream, context int64) {
	device, ok := ev.device.int()
	if !ok {
		if device, ok = ev.inDevice.int(); !ok {
			if _, device = d.pid(ev.pid); device < 0 {
				device = 0
			}
		}
	}
	stream, ok = ev.stream.int()
	if !ok {
		stream = tidOf(ev.tid)
	}
	if stream == 1<<32-1 { // CUPTI's "no stream", printed unsigned
		stream = -1
	}
	if context, ok = ev.context.int(); !ok {
		context, _ = ev.inContext.int()
	}
	return device, stream, context
}

// queue interns the queue of a device event. Its process is set by finish.
func (b *builder) queue(ev *event) int32 {
	d := b.ids
	in, _ := d.pid(ev.pid)
	k := queueKey{scope: in}
	k.device, k.stream, k.context = d.place(ev)
	if k == d.lastQueue && d.lastQueueI != profile.None {
		return d.lastQueueI
	}
	i, ok := d.queues[k]
	if !ok {
		i = int32(len(d.p.Queues))
		d.p.Queues = append(d.p.Queues, profile.Queue{
			Process: profile.None, Device: d.device(deviceKey{in, k.device}),
			Context: k.context, GreenCtx: -1, Stream: k.stream,
		})
		d.queues[k] = i
		d.keys = append(d.keys, k)
	}
	d.lastQueue, d.lastQueueI = k, i
	return i
}

func (d *identities) device(k deviceKey) int32 {
	i, ok := d.devices[k]
	if !ok {
		i = int32(len(d.p.Devices))
		d.p.Devices = append(d.p.Devices, profile.Device{ID: k.device, NotInDeviceList: true})
		d.devices[k] = i
		d.deviceOf = append(d.deviceOf, k)
	}
	return i
}

// metadata reads the names of processes and threads.
func (b *builder) metadata(ev *event) {
	d := b.ids
	if !ev.hasArgs {
		return
	}
	in, pid := d.pid(ev.pid)
	switch string(ev.name.plain()) {
	case "process_name":
		if ev.argName.kind == kindString {
			d.names[processKey{in, pid}] = strings.TrimSpace(string(ev.argName.plain()))
		}
	case "process_labels":
		if ev.labels.kind == kindString {
			d.labels[processKey{in, pid}] = string(ev.labels.plain())
		}
	case "thread_name":
		if ev.argName.kind == kindString {
			d.titles[d.threadKey(ev)] = string(ev.argName.plain())
		}
	}
}

// threadTitle takes the name out of "thread 8630 (VLLM::EngineCor)".
func threadTitle(s string) string {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "thread ") && strings.HasSuffix(s, ")") {
		if _, in, ok := strings.Cut(s, "("); ok {
			return strings.TrimSuffix(in, ")")
		}
	}
	if rest, ok := strings.CutPrefix(s, "thread "); ok {
		if _, err := strconv.ParseInt(rest, 10, 64); err == nil {
			return ""
		}
	}
	return s
}

// rankOfLabel reads the rank of a merged file's label where it is one: "TP03".
func rankOfLabel(label string) (int32, bool) {
	rest, ok := strings.CutPrefix(label, "TP")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(rest, 10, 16)
	return int32(n), err == nil
}

// instant reads what has no duration: the profiler's marks of its window, and memory events.
func (b *builder) instant(ev *event) {
	name := ev.name.plain()
	memory := string(name) == "[memory]"
	if !memory && !bytes.HasPrefix(name, []byte("Iteration Start")) {
		return
	}
	ts, st := micros(ev.ts.number())
	if st != numOK {
		b.count.noTime++
		return
	}
	if !memory {
		b.start.add(ts, ts)
		return
	}
	n, ok := ev.memBytes.int()
	if !ok {
		return
	}
	v := &b.p.MemEvents
	in, pid := b.ids.pid(ev.pid)
	addr, _ := unsigned(ev.addr.number())
	kind, device := profile.MemUnknown, profile.None
	if id, onGPU := memoryDevice(ev); onGPU {
		kind, device = profile.MemDevice, b.ids.device(deviceKey{in, id})
	}
	pool := int64(-1)
	if r, ok := ev.reserved.int(); ok && r >= 0 {
		pool = r
	}
	v.Start = append(v.Start, ts)
	v.Bytes, v.Free = append(v.Bytes, max(n, -n)), append(v.Free, n < 0)
	v.Address = append(v.Address, addr)
	v.Mem, v.Device = append(v.Mem, kind), append(v.Device, device)
	v.Process = append(v.Process, b.ids.process(in, pid))
	v.Name = append(v.Name, 0)
	v.PoolBytes = append(v.PoolBytes, pool)
	v.Row = append(v.Row, b.ordinal)
	b.hull.add(ts, ts)
	b.kept++
}

// memoryDevice tells device memory from host memory: c10's DeviceType 1 is CUDA (and ROCm), 0 the CPU.
func memoryDevice(ev *event) (id int64, onGPU bool) {
	id, ok := ev.memoryDevice.int()
	if !ok || id < 0 {
		return 0, false
	}
	if t, ok := ev.deviceType.int(); ok && t == 0 || string(ev.deviceType.plain()) == "CPU" {
		return 0, false
	}
	return id, true
}

// sortedKeys returns the keys of m in order.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
