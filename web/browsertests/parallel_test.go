package browsertests

import (
	"testing"

	"github.com/stepscope/stepscope/web/internal/synth"
)

func TestParallel(t *testing.T) {
	prof, run := synth.Parallel(2, 40)
	if err := prof.CheckValid(); err != nil {
		t.Fatal(err)
	}
	p := open(t, serve(t, model(prof, run)), desktop)
	p.shot("open")
	p.keys("n")
	p.settled()
	p.shot("finding")
	p.clean()
	prof, run = synth.Parallel(8, 40)
	q := open(t, serve(t, model(prof, run)), desktop)
	q.shot("eight")
	q.clean()
}
