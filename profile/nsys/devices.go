package nsys

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/stepscope/stepscope/profile"
)

// devices translates what rows call a device into cards. Rows hold the CUDA ordinal of their process, which
// CUDA_VISIBLE_DEVICES changes: ordinal 0 of two processes can be two cards, and one card can have two ordinals.
type devices struct {
	described bool                     // the export describes its GPUs
	cards     map[int64]profile.Device // by the GPU's id on the machine
	cardOf    map[[2]int64]int64       // (pid, ordinal) -> GPU id
	index     map[int64]int32          // GPU id -> index in Profile.Devices
	ordinals  map[int32]map[int64]bool // by that index: what rows call it
	gpuIDs    []int64                  // by that index
}

// readDevices reads the properties of the machine's GPUs and which process calls them what.
func (r *reader) readDevices(ctx context.Context) {
	d := &r.devices
	*d = devices{cards: map[int64]profile.Device{}, cardOf: map[[2]int64]int64{}, index: map[int64]int32{}, ordinals: map[int32]map[int64]bool{}}
	r.each(ctx, tabGPU, []string{"id", "smCount", "memoryBandwidth", "totalMemory", "clockRate", "l2CacheSize", "computeMajor", "computeMinor",
		"maxWarpsPerSm", "maxShmemPerSm", "maxRegistersPerSm", "maxShmemPerBlockOptin"}, []string{"name", "uuid", "chipName"}, func(n []int64, s []string) {
		if n[0] == noValue {
			return
		}
		d.cards[n[0]] = profile.Device{
			Name: s[0], UUID: s[1], Chip: s[2], SMs: narrow(positive(n[1])), BandwidthBps: positive(n[2]), MemoryBytes: positive(n[3]),
			ClockHz: positive(n[4]), L2Bytes: positive(n[5]), ComputeMajor: narrow(positive(n[6])), ComputeMinor: narrow(positive(n[7])),
			MaxWarpsPerSM: narrow(positive(n[8])), SharedMemPerSM: positive(n[9]), RegistersPerSM: positive(n[10]), SharedMemOptin: positive(n[11]),
		}
	})
	if len(d.cards) == 0 {
		r.readGPUInfo(ctx)
	}
	d.described = len(d.cards) > 0
	for _, table := range []string{tabCudaDevOld, tabCudaDev} {
		r.each(ctx, table, []string{"gpuId", "cudaId", "pid"}, nil, func(n []int64, _ []string) {
			if n[0] != noValue && n[1] != noValue && n[2] != noValue {
				d.cardOf[[2]int64{n[2] & 0xffffff, n[1]}] = n[0]
			}
		})
	}
}

// readGPUInfo takes the properties from the JSON text that newer versions keep with the system's description. Nothing
// else of that table is looked at: it also names the host and its addresses.
func (r *reader) readGPUInfo(ctx context.Context) {
	r.each(ctx, tabSystemEnv, nil, []string{"name", "value"}, func(_ []int64, s []string) {
		if s[0] != "GpuInfo" {
			return
		}
		var info struct {
			Gpus []struct {
				ID                                                      int64 `json:"Id"`
				Name, Uuid, ChipName                                    string
				SmCount, ComputeMajor, ComputeMinor, MaxWarpsPerSm      int32
				L2CacheSize, ClockRate                                  int64
				MaxShmemPerSm, MaxRegistersPerSm, MaxShmemPerBlockOptin int64
				TotalMemory, MemoryBandwidth                            json.RawMessage // a number in quotes
			}
		}
		if json.Unmarshal([]byte(s[1]), &info) != nil {
			return
		}
		for _, g := range info.Gpus {
			r.devices.cards[g.ID] = profile.Device{
				Name: g.Name, UUID: g.Uuid, Chip: g.ChipName, SMs: max(0, g.SmCount), BandwidthBps: unquoted(g.MemoryBandwidth),
				MemoryBytes: unquoted(g.TotalMemory), ClockHz: positive(g.ClockRate), L2Bytes: positive(g.L2CacheSize),
				ComputeMajor: g.ComputeMajor, ComputeMinor: g.ComputeMinor, MaxWarpsPerSM: g.MaxWarpsPerSm,
				SharedMemPerSM: positive(g.MaxShmemPerSm), RegistersPerSM: positive(g.MaxRegistersPerSm), SharedMemOptin: positive(g.MaxShmemPerBlockOptin),
			}
		}
	})
}

// unquoted returns a JSON number that may stand in quotes, 0 for anything else.
func unquoted(raw json.RawMessage) int64 {
	s := string(raw)
	if u, err := strconv.Unquote(s); err == nil {
		s = u
	}
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return positive(v)
}

// device returns the index of the device that a process calls ordinal.
func (r *reader) device(pid, ordinal int64) int32 {
	card, ok := r.devices.cardOf[[2]int64{pid, ordinal}]
	if !ok {
		card = ordinal
	}
	i := r.physicalDevice(card)
	if r.devices.ordinals[i] == nil {
		r.devices.ordinals[i] = map[int64]bool{}
	}
	r.devices.ordinals[i][ordinal] = true
	return i
}

// physicalDevice returns the index of the card with that id on the machine. Only cards that something was recorded on
// get one: a server uses one of eight, and the other seven are not idle but foreign.
func (r *reader) physicalDevice(card int64) int32 {
	d := &r.devices
	i, ok := d.index[card]
	if !ok {
		i = int32(len(r.p.Devices))
		dev, described := d.cards[card]
		dev.ID, dev.NotInDeviceList = card, !described
		r.p.Devices = append(r.p.Devices, dev)
		d.index[card] = i
		d.gpuIDs = append(d.gpuIDs, card)
	}
	return i
}

// numberDevices gives devices the numbers that rows use, as nsys prints them, unless two cards share one or one card has
// several: then the machine's numbers tell them apart. It brings the devices into the order of their numbers. A capture
// without any device work lists the machine's GPUs.
func (r *reader) numberDevices() {
	p, d := r.p, &r.devices
	if len(p.Devices) == 0 {
		for card := range d.cards {
			r.physicalDevice(card)
		}
	}
	ids, taken, unique := make([]int64, len(p.Devices)), map[int64]bool{}, true
	for i := range p.Devices {
		ids[i] = d.gpuIDs[i]
		for ordinal := range d.ordinals[int32(i)] {
			ids[i] = ordinal
		}
		unique = unique && len(d.ordinals[int32(i)]) <= 1 && !taken[ids[i]]
		taken[ids[i]] = true
	}
	if unique {
		for i := range ids {
			p.Devices[i].ID = ids[i]
		}
	}
	order := make([]int32, len(p.Devices))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int { return cmp.Compare(p.Devices[a].ID, p.Devices[b].ID) })
	sorted, place := make([]profile.Device, len(order)), make([]int32, len(order))
	for to, from := range order {
		sorted[to], place[from] = p.Devices[from], int32(to)
	}
	p.Devices = sorted
	for i := range p.Queues {
		p.Queues[i].Device = place[p.Queues[i].Device]
	}
	for i := range p.Counters {
		p.Counters[i].Device = place[p.Counters[i].Device]
	}
	apply(p.MemEvents.Device, place)
}
