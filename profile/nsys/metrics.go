package nsys

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/profile/nsys/btree"
)

// metricKey joins GPU_METRICS with its names: both ids are needed. The type also names the GPU, in its low byte.
type metricKey struct{ typeID, metricID int64 }

// metricTable collects GPU_METRICS: a row for each metric of each sample. All metrics of a type are sampled together, so
// their times are kept once.
type metricTable struct {
	*tally
	cols   columns
	keys   *interner[metricKey]
	series []series
	clocks map[int64]*clock // by type
}

// clock is the list of sample times of one type.
type clock struct{ times []int64 }

// series are the samples of one metric. own is nil as long as its times are the first ones of the clock.
type series struct {
	clock  *clock
	own    []int64
	values []int64
}

func loadMetrics(ctx context.Context, r *reader) (part, error) {
	cols, missing := pick(r.src, tabMetrics)
	if missing != "" {
		return r.unusable(tabMetrics, missing), nil
	}
	var t *metricTable
	err := r.src.scan(ctx, tabMetrics, cols.want, func(rows int64) {
		t = &metricTable{tally: newTally(tabMetrics, rows), cols: cols, keys: newInterner[metricKey](), clocks: map[int64]*clock{}}
	}, func(b *btree.Batch) error { return t.batch(b) })
	if err != nil {
		return part{}, err
	}
	names := r.metricNames(ctx)
	return part{tally: t.tally, merge: func(r *reader) { t.merge(r, names) }}, nil
}

func (t *metricTable) batch(b *btree.Batch) error {
	c := &t.cols
	when, value := c.vec(b, "timestamp"), c.vec(b, "value")
	types, metrics := c.ints(b, "typeId", 0), c.ints(b, "metricId", 0)
	for i := range b.Len {
		if _, ok := t.dur(times{when, when}, i); !ok {
			continue
		}
		if value.Kinds[i] != btree.Int {
			t.dropped[dropNoValue]++
			continue
		}
		k := t.keys.of(metricKey{types[i], metrics[i]})
		if int(k) == len(t.series) {
			if t.clocks[types[i]] == nil {
				t.clocks[types[i]] = &clock{}
			}
			t.series = append(t.series, series{clock: t.clocks[types[i]]})
		}
		t.series[k].add(when.Ints[i], value.Ints[i])
	}
	return nil
}

func (s *series) add(at, value int64) {
	n := len(s.values)
	s.values = append(s.values, value)
	switch {
	case s.own != nil:
		s.own = append(s.own, at)
	case n == len(s.clock.times):
		s.clock.times = append(s.clock.times, at)
	case s.clock.times[n] != at:
		s.own = append(append(make([]int64, 0, 2*n+16), s.clock.times[:n]...), at)
	}
}

func (t *metricTable) merge(r *reader, names map[metricKey]string) {
	order := make([]int, len(t.series))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(x, y int) int {
		a, b := t.keys.keys[x], t.keys.keys[y]
		return cmp.Or(cmp.Compare(a.typeID, b.typeID), cmp.Compare(a.metricID, b.metricID))
	})
	for _, i := range order {
		k, s := t.keys.keys[i], t.series[i]
		at := s.own
		if at == nil {
			at = s.clock.times[:len(s.values):len(s.values)]
		}
		if perm := profile.Order(at); perm != nil {
			at, s.values = profile.Permute(at, perm), profile.Permute(s.values, perm)
		}
		name := names[k]
		r.p.Counters = append(r.p.Counters, profile.Counter{
			Device: r.physicalDevice(k.typeID & 0xff), Name: name, Unit: metricUnit(name, s.values), Times: at, Values: s.values,
		})
	}
}

// metricUnit reads the unit off the metric's name. Clocks have been seen in Hz although their name says MHz: no clock
// reaches 100,000 MHz.
func metricUnit(name string, values []int64) string {
	switch {
	case strings.Contains(name, "%"):
		return "percent"
	case strings.Contains(name, "[MHz]") && slices.ContainsFunc(values, func(v int64) bool { return v > 100_000 }):
		return "hz"
	case strings.Contains(name, "[MHz]"):
		return "mhz"
	}
	return "count"
}

func (r *reader) metricNames(ctx context.Context) map[metricKey]string {
	out := map[metricKey]string{}
	r.each(ctx, tabMetricIn, []string{"typeId", "metricId"}, []string{"metricName"}, func(n []int64, s []string) {
		out[metricKey{n[0], n[1]}] = s[0]
	})
	return out
}
