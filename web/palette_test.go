package web

import (
	"fmt"
	"math"
	"strconv"
	"testing"

	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/step"
)

// sight turns linear RGB into what an eye sees: matrices of Machado, Oliveira and Fernandes (2009) at full severity.
var sight = map[string][3][3]float64{
	"normal":       {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}},
	"protanopia":   {{0.152286, 1.052583, -0.204868}, {0.114503, 0.786281, 0.099216}, {-0.003882, -0.048116, 1.051998}},
	"deuteranopia": {{0.367322, 0.860646, -0.227968}, {0.280085, 0.672501, 0.047413}, {-0.011820, 0.042940, 0.968881}},
	"tritanopia":   {{1.255528, -0.076749, -0.178779}, {-0.078411, 0.930809, 0.147602}, {0.004733, 0.691367, 0.303900}},
}

// lab is a colour as it is seen, in CIE L*a*b* (D65).
func lab(t testing.TB, hex string, eye [3][3]float64) [3]float64 {
	t.Helper()
	v, err := strconv.ParseUint(hex[1:], 16, 32)
	if err != nil || len(hex) != 7 {
		t.Fatalf("colour %q", hex)
	}
	var lin, seen [3]float64
	for i := range lin {
		c := float64(v>>(16-8*i)&255) / 255
		if c <= 0.04045 {
			lin[i] = c / 12.92
		} else {
			lin[i] = math.Pow((c+0.055)/1.055, 2.4)
		}
	}
	for i := range seen {
		seen[i] = min(1, max(0, eye[i][0]*lin[0]+eye[i][1]*lin[1]+eye[i][2]*lin[2]))
	}
	f := func(x float64) float64 {
		if x > 0.008856 {
			return math.Cbrt(x)
		}
		return 7.787*x + 16.0/116
	}
	x := f((0.4124564*seen[0] + 0.3575761*seen[1] + 0.1804375*seen[2]) / 0.95047)
	y := f(0.2126729*seen[0] + 0.7151522*seen[1] + 0.0721750*seen[2])
	z := f((0.0193339*seen[0] + 0.1191920*seen[1] + 0.9503041*seen[2]) / 1.08883)
	return [3]float64{116*y - 16, 500 * (x - y), 200 * (y - z)}
}

// distance is the colour difference CIE76; 2.3 is just noticeable.
func distance(a, b [3]float64) float64 {
	return math.Sqrt(math.Pow(a[0]-b[0], 2) + math.Pow(a[1]-b[1], 2) + math.Pow(a[2]-b[2], 2))
}

// TestPalette holds the colours that stand side by side on one lane apart, for every kind of sight.
func TestPalette(t *testing.T) {
	mainStages := []kernel.Stage{kernel.Attention, kernel.KVWrite, kernel.MLP, kernel.MoE, kernel.QKV, kernel.Norm, kernel.Sampling,
		kernel.Collective, kernel.LMHead, kernel.Copy, kernel.OProj, kernel.Gemm}
	mainIdle := []step.Part{step.IdleLaunch, step.IdleSync, step.IdleScheduler, step.IdleCopy, step.IdleRequests, step.IdleUnknown, step.IdlePeer}
	all := parts()
	apart := func(what string, set []Category, least float64) {
		for eye, matrix := range sight {
			for i, a := range set {
				for _, b := range set[i+1:] {
					if d := distance(lab(t, a.Color, matrix), lab(t, b.Color, matrix)); d < least {
						t.Errorf("%s, %s: %s and %s differ by %.1f, %.0f wanted", what, eye, a.ID, b.ID, d, least)
					}
				}
			}
		}
	}
	var stages, idle, shown []Category
	for _, s := range mainStages {
		stages = append(stages, all[s])
	}
	for _, p := range mainIdle {
		idle = append(idle, all[p])
	}
	shown = append(append(shown, stages...), idle[:3]...)
	apart("main stages", stages, 10)
	apart("main idle causes", idle, 13)
	apart("stages and idle causes", shown, 10)
	apart("all stages", all[:kernel.NumStages], 7)
	apart("copies", all[step.CopyHtoDPinned:step.IdleLaunch], 7)
	apart("phases", phaseCategories, 12)
	apart("lifecycle", lifecycleCategories, 8)
	apart("requests", requestCategories, 12)
}

func TestCategoriesAreComplete(t *testing.T) {
	for set, list := range categories() {
		ids := map[string]bool{}
		for i, c := range list {
			if c.ID == "" || c.Label == "" || len(c.Color) != 7 {
				t.Errorf("%s %d: %+v", set, i, c)
			}
			if ids[c.ID] {
				t.Errorf("%s: %s twice", set, c.ID)
			}
			ids[c.ID] = true
		}
	}
	for p := range step.NumParts {
		c := parts()[p]
		if c.ID != step.Part(p).String() || c.Hatch != step.Part(p).Idle() {
			t.Errorf("part %s: %+v", step.Part(p), c)
		}
	}
	if n := len(categories()[setAPI]); fmt.Sprint(kernel.APIKind(n)) != fmt.Sprintf("api kind(%d)", n) {
		t.Errorf("%d API categories, and there are more kinds", n)
	}
}
