package kineto

import (
	"fmt"
	"slices"

	"github.com/stepscope/stepscope/profile"
)

// joiner appends profiles to one, with their ids moved.
type joiner struct {
	out    *profile.Profile
	b      *profile.Builder
	events uint64 // of the files before
}

// add appends the rows of f, shifted by shift ns. k is the number of the file.
func (j *joiner) add(f *file, k, shift int64) {
	p, out := f.p, j.out
	str := make([]profile.StringID, p.Strings.Len())
	for i := range str {
		str[i] = out.Strings.ID(p.Strings.At(profile.StringID(i)))
	}
	process, thread := int32(len(out.Processes)), int32(len(out.Threads))
	out.Processes = append(out.Processes, p.Processes...)
	for _, t := range p.Threads {
		t.Process += process
		out.Threads = append(out.Threads, t)
	}
	device := j.devices(p)
	queue := make([]int32, len(p.Queues))
	for i, q := range p.Queues {
		if q.Process != profile.None {
			q.Process += process
		}
		q.Device = device[q.Device]
		queue[i] = j.b.Queue(q)
	}
	fn := make([]int32, len(p.Funcs))
	for i, v := range p.Funcs {
		fn[i] = j.b.Func(profile.Func{Name: str[v.Name], Short: str[v.Short], Mangled: str[v.Mangled]})
	}
	config := make([]int32, len(p.Configs))
	for i, v := range p.Configs {
		config[i] = j.b.Config(v)
	}
	rows := func(r profile.Rows, n int) profile.Rows {
		o := make(profile.Rows, n)
		for i := range o {
			o[i] = uint32(uint64(r.At(i)) + j.events)
		}
		return o
	}
	{
		a, s := &out.Kernels, &p.Kernels
		a.Start, a.Dur = appendShifted(a.Start, s.Start, shift), append(a.Dur, s.Dur...)
		a.Func, a.Config = appendIDs(a.Func, s.Func, fn), appendIDs(a.Config, s.Config, config)
		a.Queue = appendIDs(a.Queue, s.Queue, queue)
		a.Correlation, a.GraphNode = append(a.Correlation, s.Correlation...), append(a.GraphNode, s.GraphNode...)
		a.Row = append(a.Row, rows(s.Row, s.Len())...)
	}
	{
		a, s := &out.Copies, &p.Copies
		a.Start, a.Dur = appendShifted(a.Start, s.Start, shift), append(a.Dur, s.Dur...)
		a.Bytes, a.Kind = append(a.Bytes, s.Bytes...), append(a.Kind, s.Kind...)
		a.Src, a.Dst = append(a.Src, s.Src...), append(a.Dst, s.Dst...)
		a.Queue = appendIDs(a.Queue, s.Queue, queue)
		a.Correlation, a.GraphNode = append(a.Correlation, s.Correlation...), append(a.GraphNode, s.GraphNode...)
		a.Row = append(a.Row, rows(s.Row, s.Len())...)
	}
	{
		a, s := &out.Memsets, &p.Memsets
		a.Start, a.Dur = appendShifted(a.Start, s.Start, shift), append(a.Dur, s.Dur...)
		a.Bytes, a.Mem = append(a.Bytes, s.Bytes...), append(a.Mem, s.Mem...)
		a.Queue = appendIDs(a.Queue, s.Queue, queue)
		a.Correlation, a.GraphNode = append(a.Correlation, s.Correlation...), append(a.GraphNode, s.GraphNode...)
		a.Row = append(a.Row, rows(s.Row, s.Len())...)
	}
	{
		a, s := &out.Calls, &p.Calls
		a.Start, a.Dur = appendShifted(a.Start, s.Start, shift), append(a.Dur, s.Dur...)
		a.Name, a.Thread = appendNames(a.Name, s.Name, str), appendOffset(a.Thread, s.Thread, thread)
		a.Correlation, a.Result = append(a.Correlation, s.Correlation...), append(a.Result, s.Result...)
		a.Class = append(a.Class, s.Class...)
		a.External = appendExternal(a.External, s.External, k)
		a.Row = append(a.Row, rows(s.Row, s.Len())...)
	}
	{
		a, s := &out.Syncs, &p.Syncs
		a.Start, a.Dur = appendShifted(a.Start, s.Start, shift), append(a.Dur, s.Dur...)
		a.Kind, a.Queue = append(a.Kind, s.Kind...), appendIDs(a.Queue, s.Queue, queue)
		a.Correlation = append(a.Correlation, s.Correlation...)
		a.Row = append(a.Row, rows(s.Row, s.Len())...)
	}
	{
		a, s := &out.Ranges, &p.Ranges
		a.Start, a.Dur = appendShifted(a.Start, s.Start, shift), append(a.Dur, s.Dur...)
		a.Text, a.Thread = appendNames(a.Text, s.Text, str), appendOffset(a.Thread, s.Thread, thread)
		a.Domain, a.Kind = append(a.Domain, s.Domain...), append(a.Kind, s.Kind...)
		a.Row = append(a.Row, rows(s.Row, s.Len())...)
	}
	{
		a, s := &out.Ops, &p.Ops
		a.Start, a.Dur = appendShifted(a.Start, s.Start, shift), append(a.Dur, s.Dur...)
		a.Name, a.Thread = appendNames(a.Name, s.Name, str), appendOffset(a.Thread, s.Thread, thread)
		a.External = appendExternal(a.External, s.External, k)
		a.Dims, a.Types = appendNames(a.Dims, s.Dims, str), appendNames(a.Types, s.Types, str)
		a.Row = append(a.Row, rows(s.Row, s.Len())...)
	}
	for _, t := range [][2]*profile.Spans{{&out.Overheads, &p.Overheads}, {&out.Frames, &p.Frames}} {
		a, s := t[0], t[1]
		a.Start, a.Dur = appendShifted(a.Start, s.Start, shift), append(a.Dur, s.Dur...)
		a.Name, a.Thread = appendNames(a.Name, s.Name, str), appendOffset(a.Thread, s.Thread, thread)
		a.Row = append(a.Row, rows(s.Row, s.Len())...)
	}
	{
		a, s := &out.MemEvents, &p.MemEvents
		a.Start, a.Bytes = appendShifted(a.Start, s.Start, shift), append(a.Bytes, s.Bytes...)
		a.Address, a.Mem, a.Free = append(a.Address, s.Address...), append(a.Mem, s.Mem...), append(a.Free, s.Free...)
		a.Process, a.Device = appendOffset(a.Process, s.Process, process), appendIDs(a.Device, s.Device, device)
		a.Name, a.PoolBytes = appendNames(a.Name, s.Name, str), append(a.PoolBytes, s.PoolBytes...)
		a.Row = append(a.Row, rows(s.Row, s.Len())...)
	}
	j.events += uint64(f.events)
}

// devices appends the devices that p used and returns their new indices. A front end's trace lists devices that it
// never used; other files bring those.
func (j *joiner) devices(p *profile.Profile) []int32 {
	used := make([]bool, len(p.Devices))
	for _, q := range p.Queues {
		used[q.Device] = true
	}
	for _, d := range p.MemEvents.Device {
		if d != profile.None {
			used[d] = true
		}
	}
	index := make([]int32, len(p.Devices))
	for i, d := range p.Devices {
		index[i] = profile.None
		if used[i] {
			index[i] = int32(len(j.out.Devices))
			j.out.Devices = append(j.out.Devices, d)
		}
	}
	return index
}

func appendShifted(to, from []int64, shift int64) []int64 {
	to = slices.Grow(to, len(from))
	for _, v := range from {
		to = append(to, v+shift)
	}
	return to
}

func appendIDs(to, from, index []int32) []int32 {
	to = slices.Grow(to, len(from))
	for _, v := range from {
		if v != profile.None {
			v = index[v]
		}
		to = append(to, v)
	}
	return to
}

func appendOffset(to, from []int32, offset int32) []int32 {
	to = slices.Grow(to, len(from))
	for _, v := range from {
		if v != profile.None {
			v += offset
		}
		to = append(to, v)
	}
	return to
}

func appendNames(to, from, index []profile.StringID) []profile.StringID {
	to = slices.Grow(to, len(from))
	for _, v := range from {
		to = append(to, index[v])
	}
	return to
}

// appendExternal puts the number of the file above the ids, which repeat from file to file.
func appendExternal(to, from []int64, k int64) []int64 {
	to = slices.Grow(to, len(from))
	for _, v := range from {
		if v != 0 {
			v |= k << externalBits
		}
		to = append(to, v)
	}
	return to
}

// describe says how the files were laid together and passes their messages on.
func describe(out *profile.Profile, files []*file, renumbered int) {
	type key struct {
		sev          profile.Severity
		source, text string
	}
	seen := map[key]int{}
	in := map[key]int{}
	for _, f := range files {
		for _, d := range f.p.Diagnostics {
			k := key{d.Severity, d.Source, d.Text}
			if i, ok := seen[k]; ok {
				out.Diagnostics[i].Count += d.Count
				in[k]++
				continue
			}
			seen[k], in[k] = len(out.Diagnostics), 1
			out.Diagnostics = append(out.Diagnostics, d)
			if d.Severity > profile.Info {
				out.Diagnostics[seen[k]].Text = f.name + ": " + d.Text
			}
		}
	}
	for k, i := range seen {
		if in[k] > 1 {
			out.Diagnostics[i].Text = fmt.Sprintf("%s (in %d files)", k.text, in[k])
		}
	}
	note := func(sev profile.Severity, n int64, format string, args ...any) {
		out.Diagnostics = append(out.Diagnostics, profile.Diagnostic{Severity: sev, Source: "reader", Text: fmt.Sprintf(format, args...), Count: n})
	}
	note(profile.Info, int64(len(files)), "traces merged, aligned by their wall-clock times: exact for processes of one host; "+
		"between hosts as exact as their clocks agree")
	if renumbered > 0 {
		note(profile.Info, int64(renumbered), "processes call different devices by one number; these devices have another number here")
	}
	ranks := map[int32]bool{}
	world, producer := int64(0), out.Producer
	for _, f := range files {
		if f.p.Kernels.Len() > 0 {
			ranks[f.rank()] = true
		}
		world = max(world, f.world)
		if f.p.Producer != producer {
			note(profile.Warning, 0, "%s was recorded by %s", f.name, f.p.Producer)
		}
	}
	if int64(len(ranks)) < world {
		note(profile.Warning, world-int64(len(ranks)), "the job has %d ranks, traces of %d are here; the others are not recorded", world, len(ranks))
	}
	// What one rank has is recorded; a missing window is a fault of its file and stays.
	for _, m := range files[0].p.NotRecorded {
		if m.What != profile.WhatWindow && !slices.ContainsFunc(files, func(f *file) bool { return !f.p.Lacks(m.What) }) {
			out.NotRecorded = append(out.NotRecorded, m)
		}
	}
	for _, f := range files {
		i := slices.IndexFunc(f.p.NotRecorded, func(m profile.Missing) bool { return m.What == profile.WhatWindow })
		if i >= 0 {
			m := f.p.NotRecorded[i]
			m.Text = f.name + ": " + m.Text
			out.NotRecorded = append(out.NotRecorded, m)
			break
		}
	}
	if len(out.Devices) == 0 && len(files) > 0 {
		out.Devices = append(out.Devices, files[0].p.Devices...)
	}
}
