package diagnose_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/internal/captest"
	"github.com/stepscope/stepscope/profile"
)

// Launches whose work the profiler dropped, and clocks that do not agree, are told.
func TestLostWorkAndSkew(t *testing.T) {
	// drop takes away the kernels of every n-th graph launch.
	drop := func(n int) func(*profile.Profile) {
		return func(p *profile.Profile) {
			gone, seen := map[int32]bool{}, 0
			for i := range p.Calls.Name {
				if strings.HasPrefix(p.CallName(i), "cudaGraphLaunch") {
					if seen++; seen%n == 0 {
						gone[int32(i)] = true
					}
				}
			}
			captest.KeepKernels(p, func(i int) bool { return !gone[p.Kernels.Call[i]] })
		}
	}
	skew := func(ns int64) func(*profile.Profile) {
		return func(p *profile.Profile) {
			p.Kernels.Start = slices.Clone(p.Kernels.Start)
			for i := range p.Kernels.Start {
				p.Kernels.Start[i] -= ns
			}
		}
	}
	for _, c := range []struct {
		name, capture, note string
		edit                func(*profile.Profile)
	}{
		{"as it is", "base1b-S", "", nil},
		{"every second graph", "base1b-S", "lost-work", drop(2)},
		{"two graphs", "base1b-S", "", drop(25)},
		{"skewed", "base1b-S", "clock-skew", skew(400_000)},
		{"a little early", "base1b-S", "", skew(1_000)},
	} {
		r := captest.Diagnose(t, c.capture, captest.Options{Edit: c.edit})
		for _, note := range []string{"lost-work", "clock-skew"} {
			if has(r, note) != (note == c.note) {
				t.Errorf("%s: %s %v", c.name, note, has(r, note))
			}
		}
	}
	for _, name := range captest.Names(t) {
		if r := captest.Diagnose(t, name, captest.Options{}); has(r, "lost-work") || has(r, "clock-skew") {
			t.Errorf("%s: %+v", name, r.Diagnosis.Profile.Quality)
		}
	}
}
