package align

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stepscope/stepscope/internal/proftest"
	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/step"
)

const ms = 1_000_000

// steps builds an engine whose decode batches are the given sizes, 10 ms a step.
func steps(t *testing.T, sizes ...int) *step.Analysis {
	b := proftest.NewBuilder(int64(len(sizes)+1) * 10 * ms)
	b.P.SessionStartUnixNs = 1_000_000 * ms
	for i, n := range sizes {
		at := int64(i) * 10 * ms
		b.Range(fmt.Sprintf("execute_context_0(0)_generation_%d(%d)", n, n), at, at+ms)
		b.Launch("flash_fwd_kernel", at+1000, at+2000, at+8*ms)
	}
	return step.Analyze(b.Build(t), step.Options{})
}

func iterations(sizes ...int) *serving.Log {
	l := &serving.Log{}
	for i, n := range sizes {
		l.Iterations = append(l.Iterations, serving.Iteration{AtNS: int64(i) * 10 * ms, Index: int64(i), DecodeRequests: int64(n), DecodeTokens: int64(n)})
	}
	return l
}

func TestIterationsMatchByComposition(t *testing.T) {
	a := steps(t, 4, 5, 6, 6, 7)
	al := Align(a, &serving.Run{Log: iterations(1, 2, 3, 4, 5, 6, 6, 7, 8)})
	if al.MatchedIterations != 5 || al.Iteration[0] != 3 || al.Iteration[4] != 7 {
		t.Errorf("matched %d: %v %v", al.MatchedIterations, al.Iteration, al.Notes)
	}
}

func TestEqualPlacesNeedTheClock(t *testing.T) {
	a := steps(t, 8, 8, 8, 8, 8)
	run := &serving.Run{Log: iterations(8, 8, 8, 8, 8, 8, 8, 8, 8, 8)}
	if al := Align(a, run); al.MatchedIterations != 0 {
		t.Errorf("matched %d steps although every place is alike: %v", al.MatchedIterations, al.Notes)
	}
	run.LogStart = serving.NewFact(a.P.SessionStartUnixNs-20*ms, serving.Source{})
	if al := Align(a, run); al.MatchedIterations != 5 || al.Iteration[0] == -1 {
		t.Errorf("with the clock: %v %v", al.Iteration, al.Notes)
	}
}

func TestOtherRunDoesNotMatch(t *testing.T) {
	al := Align(steps(t, 4, 5, 6, 6, 7, 9), &serving.Run{Log: iterations(16, 16, 16, 17, 16, 16, 4)})
	if al.MatchedIterations != 0 || !strings.Contains(strings.Join(al.Notes, " "), "do not match") {
		t.Errorf("%v %v", al.Iteration, al.Notes)
	}
}

func TestRequestsByWallClock(t *testing.T) {
	a := steps(t, 1, 1, 1)
	base := a.P.SessionStartUnixNs
	run := &serving.Run{Trace: &serving.Trace{Requests: []serving.Request{
		{ID: "a", Clock: serving.ClockUnix, StartNS: base + 5*ms, QueueNS: 6 * ms, TTFTNS: 10 * ms, E2ENS: 20 * ms},
		{ID: "before", Clock: serving.ClockUnix, StartNS: base - 500*ms, QueueNS: 0, TTFTNS: ms, E2ENS: 2 * ms},
	}}}
	al := Align(a, run)
	if len(al.Requests) != 1 || *al.Requests[0].ScheduledNs != 11*ms || *al.Requests[0].EndNs != 25*ms || al.RequestErrNs <= 0 {
		t.Fatalf("%+v %v", al.Requests, al.Notes)
	}
	for i, want := range []int{0, 1, 1} {
		if got := len(al.At(&a.Steps[i])); got != want {
			t.Errorf("step %d: %d requests, want %d", i, got, want)
		}
	}
}

func TestNothingGiven(t *testing.T) {
	if al := Align(steps(t, 1, 2, 3), nil); len(al.Notes) == 0 || al.RequestErrNs != -1 {
		t.Errorf("%+v", al)
	}
}

// Counting by stretches gives what comparing every offset with every step gives, unknown tokens included.
func TestAlikeCountsEveryOffset(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := func(name string, least int64) []composition {
			return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) composition {
				tokens := rapid.Int64Range(least, 1)
				return composition{rapid.Int64Range(0, 1).Draw(t, "prefill"), tokens.Draw(t, "tokens"), rapid.Int64Range(1, 2).Draw(t, "decode"), tokens.Draw(t, "tokens")}
			}), 0, 30).Draw(t, name)
		}
		ran, logged := list("ran", -1), list("logged", 0)
		counts := alike(ran, logged)
		for off := -len(ran) + 1; off < len(logged); off++ {
			want := 0
			for k := range ran {
				if i := off + k; i >= 0 && i < len(logged) && ran[k].equal(logged[i]) {
					want++
				}
			}
			if got := counts[off+len(ran)-1]; got != want {
				t.Fatalf("offset %d: %d steps are alike, want %d", off, got, want)
			}
		}
	})
}

// Without steps, or with iterations that scheduled nothing, there is nothing to match, whatever the clocks say.
func TestNothingToMatch(t *testing.T) {
	for _, a := range []*step.Analysis{steps(t), steps(t, 4, 4, 4)} {
		sizes := []int{1, 2, 3}
		if len(a.Primary) > 0 {
			sizes = []int{0, 0, 0}
		}
		run := &serving.Run{Log: iterations(sizes...), LogStart: serving.NewFact(a.P.SessionStartUnixNs, serving.Source{})}
		if al := Align(a, run); al.MatchedIterations != 0 || !strings.Contains(strings.Join(al.Notes, " "), "do not match") {
			t.Errorf("%d steps: %+v", len(a.Primary), al)
		}
	}
}
