package export

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/stepscope/stepscope/internal/proftest"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

const ms = 1_000_000

func sample(t *testing.T) *step.Analysis {
	b := proftest.NewBuilder(100 * ms)
	b.Range("before the capture", -5*ms, -4*ms)
	for i := range int64(4) {
		at := 10 * ms * i
		b.Range("execute_context_0(0)_generation_8(8)", at, at+2*ms)
		b.Range("inner", at+100, at+ms)
		b.Copy(profile.CopyHtoD, profile.MemPinned, profile.MemDevice, 64, at+ms, at+ms+1000, b.Call("cudaMemcpyAsync_v3020", at, at+1000))
		graph := b.Call("cudaGraphLaunch_v10000", at+2000, at+9000)
		for k := range int64(5) {
			// Branches of a graph overlap on one stream.
			b.KernelConfig("flash_fwd_kernel", at+2*ms+k*100_000, at+2*ms+k*100_000+150_000, graph, profile.LaunchConfig{Grid: [3]int32{int32(k), 1, 1}}, uint64(1)<<32|uint64(k))
		}
		b.Launch("<script>alert(1)</script>", at+10_000, at+4*ms, at+4*ms)
	}
	p := b.Build(t)
	p.Counters = []profile.Counter{{Device: 0, Name: "DRAM Read", Unit: "percent", Times: []int64{-10, 0, 10, 20}, Values: []int64{5, 5, 5, 7}}}
	return step.Analyze(p, step.Options{})
}

// decoded is what a reader of the trace sees.
type decoded struct {
	begins, ends, instants, counters, flows, flowEnds, tracks int
	names                                                     map[uint64]string
	used                                                      map[uint64]int // slices by name id
	openByTrack                                               map[uint64][]uint64
	lastByTrack                                               map[uint64]uint64
}

func decode(t *testing.T, data []byte) *decoded {
	t.Helper()
	d := &decoded{names: map[uint64]string{}, used: map[uint64]int{}, openByTrack: map[uint64][]uint64{}, lastByTrack: map[uint64]uint64{}}
	each(t, data, func(n protowire.Number, v uint64, packet []byte) {
		var ts uint64
		each(t, packet, func(n protowire.Number, v uint64, body []byte) {
			switch n {
			case pktTimestamp:
				ts = v
			case pktTrack:
				d.tracks++
			case pktInterned:
				each(t, body, func(n protowire.Number, _ uint64, entry []byte) {
					if n != internName {
						return
					}
					var id uint64
					each(t, entry, func(n protowire.Number, v uint64, s []byte) {
						if n == internedIID {
							id = v
						} else {
							d.names[id] = string(s)
						}
					})
				})
			case pktTrackEvent:
				d.event(t, ts, body)
			}
		})
	})
	return d
}

func (d *decoded) event(t *testing.T, ts uint64, body []byte) {
	var kind, track, name uint64
	each(t, body, func(n protowire.Number, v uint64, _ []byte) {
		switch n {
		case eventType:
			kind = v
		case eventTrack:
			track = v
		case eventNameIID:
			name = v
		case eventFlow:
			d.flows++
		case eventFlowEnd:
			d.flowEnds++
		}
	})
	if kind != typeCounter && ts < d.lastByTrack[track] {
		t.Fatalf("track %d goes back in time", track)
	}
	d.lastByTrack[track] = ts
	switch kind {
	case typeBegin:
		d.begins++
		d.used[name]++
		d.openByTrack[track] = append(d.openByTrack[track], name)
	case typeEnd:
		d.ends++
		open := d.openByTrack[track]
		if len(open) == 0 {
			t.Fatalf("track %d ends a slice that never began", track)
		}
		d.openByTrack[track] = open[:len(open)-1]
	case typeInstant:
		d.instants++
	case typeCounter:
		d.counters++
	}
}

func each(t *testing.T, b []byte, f func(n protowire.Number, v uint64, body []byte)) {
	t.Helper()
	for len(b) > 0 {
		n, kind, k := protowire.ConsumeTag(b)
		if k < 0 {
			t.Fatal(protowire.ParseError(k))
		}
		b = b[k:]
		var v uint64
		var body []byte
		switch kind {
		case protowire.VarintType:
			v, k = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			v, k = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			body, k = protowire.ConsumeBytes(b)
		default:
			t.Fatalf("wire type %d", kind)
		}
		if k < 0 {
			t.Fatal(protowire.ParseError(k))
		}
		b = b[k:]
		f(n, v, body)
	}
}

func TestPerfettoHoldsTheProfile(t *testing.T) {
	a := sample(t)
	var out, again bytes.Buffer
	counts, err := Perfetto(&out, a)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Perfetto(&again, a); err != nil || !bytes.Equal(out.Bytes(), again.Bytes()) {
		t.Errorf("two exports differ (%v)", err)
	}
	d := decode(t, out.Bytes())
	p := a.P
	device := p.Kernels.Len() + p.Copies.Len() + p.Memsets.Len() + p.GraphTraces.Len()
	want := device + p.Calls.Len() + p.Ranges.Len() + len(a.Steps) + len(a.Lifecycle)
	if d.begins != want || d.ends != want || counts.Slices != want {
		t.Errorf("%d begins, %d ends, %d counted, want %d", d.begins, d.ends, counts.Slices, want)
	}
	for track, open := range d.openByTrack {
		if len(open) > 0 {
			t.Errorf("track %d leaves %d slices open", track, len(open))
		}
	}
	kernels := 0
	for id, n := range d.used {
		if d.names[id] == "flash_fwd_kernel" {
			kernels = n
		}
	}
	if kernels != 20 {
		t.Errorf("%d kernels named flash_fwd_kernel, want 20", kernels)
	}
	// One flow for each call that launched something: a copy, a graph and a kernel per step.
	if d.flows != 12 || d.flowEnds != 12 {
		t.Errorf("%d flows begin, %d end", d.flows, d.flowEnds)
	}
	// Two changes of the metric, its last sample, and the batch of four steps.
	if d.counters != 2+4 || d.tracks != counts.Tracks {
		t.Errorf("%d counter values, %d tracks of %d", d.counters, d.tracks, counts.Tracks)
	}
}
