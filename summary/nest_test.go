package summary

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	"github.com/stepscope/stepscope/profile"
)

// around lists the ranges of call c's thread that contain it, the slow and plain way.
func around(p *profile.Profile, c int, open int64) []int32 {
	var out []int32
	for i := range p.Ranges.Len() {
		r := int32(i)
		if p.Ranges.Thread[i] != p.Calls.Thread[c] || !sameThread(&p.Ranges, r) {
			continue
		}
		if p.Ranges.Start[i] <= p.Calls.Start[c] && rangeEnd(&p.Ranges, r, open) >= p.Calls.End(c) {
			out = append(out, r)
		}
	}
	return out
}

func TestNestsAreLaminar(t *testing.T) {
	for seed := range uint64(50) {
		p := random(t, seed)
		r, open := &p.Ranges, openEnd(&p.Ranges, isRange)
		n := 0
		for _, x := range forest(p, open) {
			n += len(x.ranges)
			for pos, i := range x.ranges {
				up := x.parent[pos]
				if int(up) >= pos {
					t.Fatal("a parent comes after its child")
				}
				if up != profile.None && (r.Start[x.ranges[up]] > r.Start[i] || rangeEnd(r, x.ranges[up], open) < rangeEnd(r, i, open)) {
					t.Fatalf("range %d is not inside its parent", i)
				}
				if r.Thread[i] != x.thread || r.Kind[i] != x.kind {
					t.Fatalf("range %d is in a nest of another thread or kind", i)
				}
			}
		}
		if n != r.Len() {
			t.Fatalf("%d of %d ranges in nests", n, r.Len())
		}
	}
}

func TestInnermostAgainstPlainSearch(t *testing.T) {
	for seed := range uint64(50) {
		p := random(t, seed)
		open := openEnd(&p.Ranges, isRange)
		got := innermost(p)
		for c := range p.Calls.Len() {
			all := around(p, c, open)
			if len(all) == 0 {
				if got[c] != profile.None {
					t.Fatalf("seed %d call %d: got range %d, want none", seed, c, got[c])
				}
				continue
			}
			closest := func(a, b int32) int {
				return cmp.Or(cmp.Compare(p.Ranges.Start[b], p.Ranges.Start[a]), cmp.Compare(rangeEnd(&p.Ranges, a, open), rangeEnd(&p.Ranges, b, open)))
			}
			want := slices.MinFunc(all, closest)
			if got[c] == profile.None || closest(got[c], want) != 0 {
				t.Fatalf("seed %d call %d: got range %d, want %d", seed, c, got[c], want)
			}
		}
	}
}

func TestProjectAgainstPlainSearch(t *testing.T) {
	for seed := range uint64(50) {
		p := random(t, seed)
		open := openEnd(&p.Ranges, isRange)
		want := make([]work, p.Ranges.Len())
		for c := range p.Calls.Len() {
			var w work
			for _, tab := range []struct {
				start, dur []int64
				call       []int32
			}{{p.Kernels.Start, p.Kernels.Dur, p.Kernels.Call}, {p.Copies.Start, p.Copies.Dur, p.Copies.Call},
				{p.Memsets.Start, p.Memsets.Dur, p.Memsets.Call}} {
				for i, of := range tab.call {
					if of != int32(c) {
						continue
					}
					if w.ops == 0 {
						w = work{1, tab.start[i], tab.start[i] + tab.dur[i]}
					}
					w.first, w.last = min(w.first, tab.start[i]), max(w.last, tab.start[i]+tab.dur[i])
				}
			}
			for _, r := range around(p, c, open) {
				if w.ops == 0 {
					continue
				}
				if want[r].ops == 0 {
					want[r].first, want[r].last = w.first, w.last
				}
				want[r].ops++
				want[r].first, want[r].last = min(want[r].first, w.first), max(want[r].last, w.last)
			}
		}
		if got := project(p, forest(p, open), open); !slices.Equal(got, want) {
			for i := range got {
				if got[i] != want[i] {
					t.Fatalf("seed %d range %d: got %+v, want %+v", seed, i, got[i], want[i])
				}
			}
		}
	}
}

func TestRangeKernelsAgainstPlainSearch(t *testing.T) {
	for seed := range uint64(50) {
		p := random(t, seed)
		open := openEnd(&p.Ranges, isRange)
		type line struct {
			rng, style string
			thread     int32
			kernel     string
		}
		durs := map[line][]int64{}
		kernels := map[line]map[int]bool{}
		inst := map[line]map[int32]bool{}
		names := newRangeNames(p)
		add := func(l line, k int) {
			durs[l] = append(durs[l], p.Kernels.Dur[k])
			if kernels[l] == nil {
				kernels[l] = map[int]bool{}
			}
			kernels[l][k] = true
		}
		for k, c := range p.Kernels.Call {
			all := around(p, int(c), open)
			if len(all) == 0 {
				add(line{thread: p.Calls.Thread[c], kernel: p.FuncName(k)}, k)
			}
			for _, r := range all {
				l := line{names.label(names.of[r]), styles[p.Ranges.Kind[r]], p.Calls.Thread[c], p.FuncName(k)}
				add(l, k)
				if inst[l] == nil {
					inst[l] = map[int32]bool{}
				}
				inst[l][r] = true
			}
		}
		got := rows(t, p, "nvtx_kern_sum")
		if len(got) != len(durs) {
			t.Fatalf("seed %d: %d lines, want %d", seed, len(got), len(durs))
		}
		want := map[string]bool{}
		for l, d := range durs {
			n := len(inst[l])
			s := describe(d)
			want[fmt.Sprintf("%s %s %d %d %d %d %.1f %d %d %s", l.rng, l.style, p.Threads[l.thread].TID, n, len(kernels[l]), s.sum, s.med, s.min,
				s.max, l.kernel)] = true
		}
		for _, g := range got {
			if k := fmt.Sprintf("%s %s %s %s %s %s %s %s %s %s", g[0], g[1], g[3], g[4], g[5], g[6], g[8], g[9], g[10], g[12]); !want[k] {
				t.Fatalf("seed %d: unexpected line %s", seed, k)
			}
		}
	}
}

func TestTreeAgainstPlainSearch(t *testing.T) {
	for seed := range uint64(50) {
		p := random(t, seed)
		r := &p.Ranges
		open := openEnd(r, isRange)
		got := treeOf(p, open, func(i int32) bool { return sameThread(r, i) })
		dur := func(i int32) int64 { return rangeEnd(r, i, open) - r.Start[i] }
		children := make([]int32, r.Len())
		for i := range int32(r.Len()) {
			// The shortest range of the thread around i; of two with the same times the first is outside.
			best := profile.None
			for j := range int32(r.Len()) {
				if j == i || r.Thread[j] != r.Thread[i] || r.Start[j] > r.Start[i] || rangeEnd(r, j, open) < rangeEnd(r, i, open) ||
					dur(j) == dur(i) && j > i {
					continue
				}
				if best == profile.None || dur(j) < dur(best) {
					best = j
				}
			}
			up := got.parent[i]
			if (up == profile.None) != (best == profile.None) || up != profile.None && dur(up) != dur(best) {
				t.Fatalf("seed %d range %d: parent %d, want %d", seed, i, up, best)
			}
			level := int32(0)
			if up != profile.None {
				level = got.level[up] + 1
				children[up]++
			}
			if got.level[i] != level {
				t.Fatalf("seed %d range %d: level %d, want %d", seed, i, got.level[i], level)
			}
		}
		if !slices.Equal(children, got.children) {
			t.Fatalf("seed %d: numbers of children differ", seed)
		}
	}
}
