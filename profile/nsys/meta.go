package nsys

import (
	"context"
	"fmt"
	"strings"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/profile/nsys/btree"
)

// each reads a small table row by row: ints and texts in the order asked for, 0 and "" where the table lacks a column or
// the value is of another kind. Errors of small tables are not fatal: what they would say is then not recorded.
func (r *reader) each(ctx context.Context, table string, ints, texts []string, row func(n []int64, s []string)) {
	if !r.src.has(table) {
		return
	}
	var want []btree.Want
	atInt, atText := make([]int, len(ints)), make([]int, len(texts))
	for i, c := range ints {
		atInt[i] = -1
		if r.src.hasColumn(table, c) {
			atInt[i] = len(want)
			want = append(want, btree.Want{Name: c})
		}
	}
	for i, c := range texts {
		atText[i] = -1
		if r.src.hasColumn(table, c) {
			atText[i] = len(want)
			want = append(want, btree.Want{Name: c, Text: true})
		}
	}
	if len(want) == 0 {
		return
	}
	type record struct {
		n []int64
		s []string
	}
	var rows []record
	err := r.src.scan(ctx, table, want, func(int64) { rows = nil }, func(b *btree.Batch) error {
		for i := range b.Len {
			rec := record{make([]int64, len(ints)), make([]string, len(texts))}
			for k, c := range atInt {
				if c >= 0 && b.Cols[c].Kinds[i] == btree.Int {
					rec.n[k] = b.Cols[c].Ints[i]
				}
			}
			for k, c := range atText {
				if c >= 0 && b.Cols[c].Kinds[i] == btree.Text {
					rec.s[k] = string(b.Cols[c].Text[i])
				}
			}
			rows = append(rows, rec)
		}
		return nil
	})
	if err != nil {
		r.drop(table, "the table cannot be read")
		return
	}
	for _, rec := range rows {
		row(rec.n, rec.s)
	}
}

// readMeta reads what rows refer to: strings, versions, capture options, devices, bounds. Of the capture's metadata only
// the keys named here are looked at: the table also holds the environment and the command line.
func (r *reader) readMeta(ctx context.Context) error {
	if err := r.readStrings(ctx); err != nil {
		return err
	}
	p := r.p
	for _, table := range []string{tabMetaOld, tabMetaExp} {
		r.each(ctx, table, nil, []string{"name", "value"}, func(_ []int64, s []string) {
			switch s[0] {
			case "EXPORT_PRODUCT_VERSION":
				p.Producer = "Nsight Systems " + trimVersion(s[1])
			case "EXPORT_SCHEMA_VERSION":
				p.Schema = s[1]
			case "DERIVED_FROM", "DERIVED_WINDOW_NS":
				p.Capture.Derived = "a third party"
			}
		})
	}
	r.each(ctx, tabMetaCap, nil, []string{"name", "value"}, func(_ []int64, s []string) {
		switch {
		case strings.HasSuffix(s[0], "CUDA_GRAPH_TRACE_OPTIONS:MODE"):
			p.Capture.GraphTrace = strings.ToLower(s[1])
		case s[0] == "CAPTURE_EVENT_TYPE":
			if len(s[1]) < 40 {
				if p.Capture.Trace != "" {
					p.Capture.Trace += ","
				}
				p.Capture.Trace += s[1]
			}
		}
	})
	r.each(ctx, tabGPU, []string{"id", "smCount", "memoryBandwidth", "totalMemory", "clockRate", "l2CacheSize", "computeMajor", "computeMinor",
		"maxWarpsPerSm", "maxShmemPerSm", "maxRegistersPerSm"}, []string{"name", "uuid", "chipName"}, func(n []int64, s []string) {
		r.b.AddDevice(profile.Device{ID: n[0], Name: s[0], UUID: s[1], Chip: s[2], SMs: int32(n[1]), BandwidthBps: n[2], MemoryBytes: n[3], ClockHz: n[4],
			L2Bytes: n[5], ComputeMajor: int32(n[6]), ComputeMinor: int32(n[7]), MaxWarpsPerSM: int32(n[8]), SharedMemPerSM: n[9], RegistersPerSM: n[10]})
	})
	r.gpuOf = map[[2]int64]int64{}
	for _, table := range []string{tabCudaDevOl, tabCudaDev} {
		if !r.src.has(table) || !r.src.hasColumn(table, "gpuId") || !r.src.hasColumn(table, "cudaId") {
			continue
		}
		r.each(ctx, table, []string{"gpuId", "cudaId", "pid"}, nil, func(n []int64, _ []string) {
			r.gpuOf[[2]int64{n[2] & 0xffffff, n[1]}] = n[0]
		})
	}
	r.each(ctx, tabSession, []string{"utcEpochNs"}, nil, func(n []int64, _ []string) { p.SessionStartUnixNs = n[0] })
	r.each(ctx, tabAnalysis, []string{"duration"}, nil, func(n []int64, _ []string) {
		if n[0] > 0 && n[0] <= profile.MaxTime {
			p.Window = interval.Span{End: max(p.Window.End, n[0])}
		}
	})
	return ctx.Err()
}

// trimVersion drops trailing zero parts: 2025.3.2.0 is known as 2025.3.2.
func trimVersion(v string) string {
	if f := strings.Split(v, "."); len(f) == 4 && f[3] == "0" {
		return strings.Join(f[:3], ".")
	}
	return v
}

func (r *reader) readStrings(ctx context.Context) error {
	if !r.src.has(tabStrings) {
		return nil
	}
	for _, c := range []string{"id", "value"} {
		if !r.src.hasColumn(tabStrings, c) {
			return fmt.Errorf("reading %s: %w: table StringIds has no column %s", r.name, profile.ErrMalformed, c)
		}
	}
	type entry struct {
		id int64
		v  profile.StringID
	}
	var list []entry
	err := r.src.scan(ctx, tabStrings, []btree.Want{{Name: "id"}, {Name: "value", Text: true}}, func(int64) { list = nil }, func(b *btree.Batch) error {
		for i := range b.Len {
			if b.Cols[0].Kinds[i] == btree.Int && (b.Cols[1].Kinds[i] == btree.Text || b.Cols[1].Kinds[i] == btree.Blob) {
				list = append(list, entry{b.Cols[0].Ints[i], r.p.Strings.BytesID(b.Cols[1].Text[i])})
			}
		}
		return nil
	})
	for _, e := range list {
		r.strings.set(e.id, e.v)
	}
	return err
}

// readNames names processes and the threads that did something.
func (r *reader) readNames(ctx context.Context) error {
	seen := map[int64]int32{}
	for i, p := range r.p.Processes {
		seen[p.PID] = int32(i)
	}
	r.each(ctx, tabProcess, []string{"globalPid", "pid"}, []string{"name"}, func(n []int64, s []string) {
		if i, ok := seen[pidOf(n[0])]; ok && s[0] != "" {
			r.p.Processes[i].Name = s[0]
		}
	})
	threads := map[[2]int64]int32{}
	for i, t := range r.p.Threads {
		threads[[2]int64{r.p.Processes[t.Process].PID, t.TID}] = int32(i)
	}
	r.each(ctx, tabThread, []string{"nameId", "globalTid"}, nil, func(n []int64, _ []string) {
		if i, ok := threads[[2]int64{pidOf(n[1]), tidOf(n[1])}]; ok && r.p.Threads[i].Name == "" {
			r.p.Threads[i].Name = r.p.Strings.At(r.strings.get(n[0]))
		}
	})
	return ctx.Err()
}

// readDiagnostics keeps the profiler's own warnings and errors. Those about a process that never touched the GPU ("No CUDA
// events collected" in the API server) are expected and left out.
func (r *reader) readDiagnostics(ctx context.Context) error {
	onGPU := map[int64]bool{}
	for _, q := range r.p.Queues {
		onGPU[r.p.Processes[q.Process].PID] = true
	}
	type key struct {
		sev  profile.Severity
		text string
	}
	count := map[key]int64{}
	var order []key
	r.each(ctx, tabDiag, []string{"severity", "globalPid"}, []string{"text"}, func(n []int64, s []string) {
		if n[0] < 2 {
			return
		}
		if pid := pidOf(n[1]); len(onGPU) > 0 && n[1] > 0 && !onGPU[pid] {
			return
		}
		k := key{profile.Warning, s[0]}
		if n[0] > 2 {
			k.sev = profile.Error
		}
		if count[k] == 0 {
			order = append(order, k)
		}
		count[k]++
	})
	for _, k := range order {
		r.p.Diagnostics = append(r.p.Diagnostics, profile.Diagnostic{Severity: k.sev, Source: "profiler", Text: k.text, Count: count[k]})
	}
	return ctx.Err()
}
