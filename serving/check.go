package serving

import (
	"fmt"
	"math"
	"path"
	"reflect"
	"strings"
	"time"
)

// mergeEngine fills Engine from the log, then the metrics, then the benchmark:
// the first source that knows a setting gives it.
func (r *Run) mergeEngine() {
	var sources []EngineInfo
	if r.Log != nil {
		sources = append(sources, r.Log.Engine)
	}
	for _, m := range []*Metrics{r.After, r.Before} {
		if m != nil {
			sources = append(sources, m.Engine)
		}
	}
	for _, b := range []*Bench{r.Bench, r.BenchDuringCapture} {
		if b != nil {
			sources = append(sources, b.Engine)
		}
	}
	to := reflect.ValueOf(&r.Engine).Elem()
	for _, s := range sources {
		from := reflect.ValueOf(s)
		for i := range to.NumField() {
			if !to.Field(i).FieldByName("Known").Bool() {
				to.Field(i).Set(from.Field(i))
			}
		}
	}
}

// check adds the warnings about inputs that disagree.
func (r *Run) check() {
	r.checkCounts()
	r.checkModels()
	r.checkEngines()
	r.checkTrace()
	r.alignLog()
}

// checkCounts compares what the client and the server counted. The server may
// have served a few more: warm-up and readiness requests.
func (r *Run) checkCounts() {
	if r.Bench == nil || r.Delta == nil {
		return
	}
	compare := func(id, what string, client Fact[int64], server Fact[float64]) {
		if !client.Known || !server.Known || client.Value == 0 {
			return
		}
		c, s := float64(client.Value), server.Value
		switch {
		case s < 0.99*c:
			r.warn(id, server.Source, fmt.Sprintf("the client counted %.0f %s, the server %.0f between the snapshots: the metrics do not cover the benchmark, or are of another run", c, what, s))
		case s > 1.05*c && s-c > 2:
			r.warn(id, server.Source, fmt.Sprintf("the server counted %.0f %s between the snapshots, the client %.0f: there was other load, or the snapshots cover more than the benchmark", s, what, c))
		}
	}
	compare("requests-differ", "requests", r.Bench.Completed, r.Delta.Requests)
	compare("output-tokens-differ", "output tokens", r.Bench.OutputTokens, r.Delta.OutputTokens)
}

// checkModels compares model names: the benchmark may name the model by path
// and the metrics by its served name, so a pair matches if the log joins them.
func (r *Run) checkModels() {
	if r.Log != nil && r.After != nil && len(r.After.Models) > 0 && r.Log.Engine.ServedModelName.Known {
		served := r.Log.Engine.ServedModelName
		found := false
		for _, m := range r.After.Models {
			found = found || sameModel(m, served.Value) || sameModel(m, r.Log.Engine.Model.Value)
		}
		if !found {
			r.warn("models-differ", served.Source, fmt.Sprintf("the log serves %q, the metrics are of %s", served.Value, quoted(r.After.Models)))
		}
	}
	if r.Bench == nil || !r.Bench.Model.Known {
		return
	}
	var names []string
	add := func(n string) {
		if n != "" {
			names = append(names, n)
		}
	}
	if r.After != nil {
		names = append(names, r.After.Models...)
	}
	if r.Log != nil {
		add(r.Log.Engine.Model.Value)
		add(r.Log.Engine.ServedModelName.Value)
	}
	// Without the log, a served name says nothing about a path.
	if len(names) == 0 || r.Log == nil && strings.Contains(r.Bench.Model.Value, "/") {
		return
	}
	for _, n := range names {
		if sameModel(n, r.Bench.Model.Value) {
			return
		}
	}
	r.warn("models-differ", r.Bench.Model.Source, fmt.Sprintf("the benchmark is of %q, the server of %s", r.Bench.Model.Value, quoted(names)))
}

// sameModel compares names and, for paths, their last element.
func sameModel(a, b string) bool {
	return a != "" && b != "" && (a == b || strings.EqualFold(path.Base(strings.TrimRight(a, "/")), path.Base(strings.TrimRight(b, "/"))))
}

func quoted(names []string) string {
	out := make([]string, 0, len(names))
	seen := map[string]bool{}
	for _, n := range names {
		if !seen[n] {
			seen[n] = true
			out = append(out, fmt.Sprintf("%q", n))
		}
	}
	return strings.Join(out, ", ")
}

// checkEngines compares what the log and the other inputs say of the engine.
func (r *Run) checkEngines() {
	if r.Log == nil {
		return
	}
	log := r.Log.Engine
	if r.After != nil {
		m := r.After.Engine
		if log.Name.Known && m.Name.Known && log.Name.Value != m.Name.Value {
			r.warn("engines-differ", m.Name.Source, fmt.Sprintf("the log is of %s, the metrics are of %s", log.Name.Value, m.Name.Value))
		}
		if a, b := log.KVCacheTokens, m.KVCacheTokens; a.Known && b.Known && relative(float64(a.Value), float64(b.Value)) > 0.01 {
			r.warn("kv-size-differs", b.Source, fmt.Sprintf("the KV cache has %d tokens in the log and %d in the metrics: they may be of two servers", a.Value, b.Value))
		}
	}
	if r.Bench != nil {
		if a, b := log.Version, r.Bench.Engine.Version; a.Known && b.Known && a.Value != b.Value {
			r.warn("versions-differ", b.Source, fmt.Sprintf("the log is of version %s, the benchmark's server had %s", a.Value, b.Value))
		}
	}
}

func relative(a, b float64) float64 { return math.Abs(a-b) / math.Max(math.Abs(a), math.Abs(b)) }

func (r *Run) checkTrace() {
	if r.Trace == nil || r.Bench == nil || !r.Bench.Completed.Known || len(r.Trace.Requests) == 0 {
		return
	}
	if n := int64(len(r.Trace.Requests)); n < r.Bench.Completed.Value {
		r.warn("spans-missing", Source{File: r.Trace.File}, fmt.Sprintf("spans of %d requests for %d that the client completed: sampled, cut, or of another run", n, r.Bench.Completed.Value))
	}
}

// alignLog finds the wall clock of the log from the start time of the server's
// process in the metrics. The log prints local time without zone and, for
// vLLM, without year; the process starts before the first line, by the time
// its imports take. Zones are multiples of 15 minutes, so the offset is the one
// that leaves the shortest such time.
func (r *Run) alignLog() {
	if r.Log == nil || !r.Log.Start.Known {
		return
	}
	src := Source{File: r.Log.File, Field: "time stamps"}
	if r.Log.Start.HasYear && r.Log.Start.zone != nil {
		r.LogStart = NewFact(r.Log.Wall(0, time.Time{}, nil).UnixNano(), src)
		return
	}
	var started Fact[float64]
	for _, m := range []*Metrics{r.Before, r.After} {
		if m != nil && m.StartTimeS.Known && !started.Known {
			started = m.StartTimeS
		}
	}
	if !started.Known || started.Value > 1e10 {
		return
	}
	process := time.Unix(0, int64(started.Value*1e9)).UTC()
	first := r.Log.Wall(0, process, time.UTC)
	const quarter = 15 * time.Minute
	late := first.Sub(process)
	zone := time.Duration(math.Floor(float64(late+5*time.Second)/float64(quarter))) * quarter
	late -= zone
	// A log that begins in the middle of the server's life cannot be aligned.
	if zone < -14*time.Hour || zone > 14*time.Hour || late > 2*time.Minute || r.Log.Phase(PhaseStart) == nil {
		r.warn("log-not-aligned", src, fmt.Sprintf("the log's first line (%s) does not fit the start of the server's process (%s UTC): the log is cut, or of another start", r.Log.Start.Text, process.Format("01-02 15:04:05")))
		return
	}
	src.Field = "time stamps, process_start_time_seconds"
	r.LogStart = NewFact(first.Add(-zone).UnixNano(), src)
}
