package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// progressDelay keeps short work silent: a bar that flashes by helps nobody.
const progressDelay = 700 * time.Millisecond

// progressBar shows long work on a terminal's stderr; elsewhere it does nothing. Its methods may be called from any
// goroutine.
type progressBar struct {
	mu    sync.Mutex
	on    bool
	start time.Time
	pool  *mpb.Progress
	bar   *mpb.Bar
	stage string
}

func (e *env) progress() *progressBar {
	b := &progressBar{on: terminal(e.stderr), start: time.Now()}
	if b.on {
		b.pool = mpb.New(mpb.WithOutput(e.stderr), mpb.WithWidth(60))
	}
	return b
}

// update tells the stage and how much of it is done; total 0 means that it is not known.
func (b *progressBar) update(stage string, done, total int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.on || time.Since(b.start) < progressDelay {
		return
	}
	if stage != b.stage {
		if b.bar != nil {
			b.bar.Abort(true)
		}
		b.stage = stage
		b.bar = b.pool.AddBar(max(total, 1), mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(decor.Name(fmt.Sprintf("%-28s", stage))), mpb.AppendDecorators(decor.Percentage()))
	}
	if total > 0 {
		b.bar.SetTotal(total, false)
		b.bar.SetCurrent(min(done, total-1))
	}
}

func (b *progressBar) done() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.on {
		return
	}
	if b.bar != nil {
		b.bar.Abort(true)
	}
	b.pool.Wait()
	b.on = false
}
