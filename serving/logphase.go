package serving

import (
	"sort"
	"strings"
)

// workerPhase is a phase as one process stated it.
type workerPhase struct {
	Phase
	proc string
	seq  int // how many of this id the process stated before
}

// stated adds a phase that ended at m and took seconds.
func (l *logReader) stated(id string, m message, seconds float64, field string) {
	if len(l.phases) >= 10_000 {
		l.lost++
		return
	}
	dur := secondsNS(seconds)
	if dur == NotRecorded {
		return
	}
	at := int64(NotRecorded)
	if m.at != NotRecorded {
		at = max(m.at-dur, 0)
	}
	seq := 0
	for _, p := range l.phases {
		if p.ID == id && p.proc == m.proc {
			seq++
		}
	}
	l.phases = append(l.phases, workerPhase{Phase{ID: id, AtNS: at, DurNS: dur, Stated: true, Workers: 1, Source: l.src(m, field)}, m.proc, seq})
}

// mergedPhases joins the same phase of several workers to its hull and adds
// the phases that lie between moments.
func (l *logReader) mergedPhases() []Phase {
	type key struct {
		id  string
		seq int
	}
	merged := map[key]*Phase{}
	var out []*Phase
	for _, p := range l.phases {
		k := key{p.ID, p.seq}
		m := merged[k]
		if m == nil {
			c := p.Phase
			merged[k] = &c
			out = append(out, &c)
			continue
		}
		m.Workers++
		if m.AtNS < 0 || p.AtNS < 0 {
			m.DurNS = max(m.DurNS, p.DurNS)
			continue
		}
		end := max(m.AtNS+m.DurNS, p.AtNS+p.DurNS)
		m.AtNS = min(m.AtNS, p.AtNS)
		m.DurNS = end - m.AtNS
	}
	k := &l.mark
	between := func(id string, from, to moment) {
		if from.known && to.known && from.at >= 0 && to.at >= from.at {
			out = append(out, &Phase{ID: id, AtNS: from.at, DurNS: to.at - from.at, Workers: 1, Source: Source{File: l.log.File, Line: to.line}})
		}
	}
	point := func(id string, at moment) {
		if at.known {
			out = append(out, &Phase{ID: id, AtNS: at.at, Workers: 1, Source: Source{File: l.log.File, Line: at.line}})
		}
	}
	// The start is the log's first stamp, unless this is a later start.
	begin := moment{0, l.starts == 0 && k.engine.at != NotRecorded, 1}
	if l.starts > 0 {
		begin = k.args
	}
	between(PhaseStart, begin, k.engine)
	sized := latest(latest(k.profiled, k.compiled), k.loaded)
	between(PhaseKVSizing, sized, k.kv)
	if k.graphs.known {
		between(PhaseWarmUp, k.graphs, k.inited)
	} else {
		between(PhaseWarmUp, k.kv, k.inited)
	}
	between(PhaseAPIStart, k.inited, k.ready)
	point(PhaseReady, k.ready)
	point(PhaseShutdown, k.shutdown)
	sort.SliceStable(out, func(i, k int) bool {
		if out[i].AtNS != out[k].AtNS {
			return out[i].AtNS < out[k].AtNS
		}
		if out[i].DurNS != out[k].DurNS {
			return out[i].DurNS > out[k].DurNS
		}
		return out[i].ID < out[k].ID
	})
	phases := make([]Phase, len(out))
	for i, p := range out {
		phases[i] = *p
	}
	return phases
}

func latest(a, b moment) moment {
	if !b.known || a.known && a.at >= b.at {
		return a
	}
	return b
}

// set moves a moment to m; the last of several workers counts.
func (mo *moment) set(m message) { *mo = moment{m.at, true, m.line} }

// setFirst moves a moment to m unless it is known already.
func (mo *moment) setFirst(m message) {
	if !mo.known {
		mo.set(m)
	}
}

// numberAfter reads the number that follows word; thousands separators are
// skipped.
func numberAfter(text, word string) (float64, bool) {
	i := strings.Index(text, word)
	if i < 0 {
		return 0, false
	}
	v, n := leadingNumber(strings.TrimLeft(text[i+len(word):], " "))
	return v, n > 0
}
