package serving

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// ReadMetrics reads one snapshot of /metrics in Prometheus or OpenMetrics text,
// plain or gzip, up to 64 MiB. Names are those of vLLM 0.8 to 0.33 and SGLang;
// other families are kept too. "_created" series are dropped: they are moments,
// not measurements. A last line without its newline may have been cut inside a
// number, so it is dropped with a warning.
func ReadMetrics(file string, r io.Reader) (*Metrics, error) {
	br, err := openText(file, r, maxMetricsBytes)
	if err != nil {
		return nil, err
	}
	m := &Metrics{File: file, families: map[string]*family{}}
	text, firstLine, err := m.prepare(br)
	if err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	parsed, err := parser.TextToMetricFamilies(text)
	if err != nil {
		var pe expfmt.ParseError
		if errors.As(err, &pe) {
			return nil, malformed(file, pe.Line, "%s", clip(pe.Msg, maxText))
		}
		return nil, malformed(file, 0, "%v", err)
	}
	for _, name := range sortedKeys(parsed) {
		m.add(parsed[name], firstLine[name])
	}
	if len(m.families) == 0 {
		return nil, unrecognised(file, 0, "no metric in it: want the text of GET /metrics")
	}
	m.identify()
	return m, nil
}

// prepare copies the text without what the parser does not take (carriage
// returns, HTTP headers, exemplars) and notes the first line of each family.
func (m *Metrics) prepare(br *bufio.Reader) (*bytes.Buffer, map[string]int, error) {
	var text bytes.Buffer
	first := map[string]int{}
	headers := false
	for n := 1; ; n++ {
		line, err := br.ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, nil, fmt.Errorf("reading %s:%d: %w", m.File, n, err)
		}
		if err != nil && line != "" && !strings.HasPrefix(line, "#") {
			m.Warnings = append(m.Warnings, Warning{ID: "truncated", Source: Source{File: m.File, Line: n},
				Text: "the last line has no newline and may be cut; it was left out"})
			line = ""
		}
		done := err != nil
		line = strings.TrimRight(line, "\r\n")
		if n == 1 {
			if c := strings.TrimSpace(line); c != "" && strings.ContainsRune("<{[", rune(c[0])) {
				return nil, nil, unrecognised(m.File, 1, "%s: want the text of GET /metrics", clip(c, 80))
			}
			headers = strings.HasPrefix(line, "HTTP/")
		}
		switch {
		case headers:
			headers = line != ""
			line = ""
		case strings.HasPrefix(line, "#"):
			if f := strings.Fields(line); len(f) >= 3 && (f[1] == "TYPE" || f[1] == "HELP") {
				if _, seen := first[f[2]]; !seen {
					first[f[2]] = n
				}
			}
		case line != "":
			if i := strings.Index(line, " # {"); i > 0 && strings.Count(line[:i], `"`)%2 == 0 {
				line = line[:i] // exemplar
			}
			name := line
			if i := strings.IndexAny(line, "{ \t"); i >= 0 {
				name = line[:i]
			}
			if _, seen := first[name]; !seen {
				first[name] = n
			}
		}
		text.WriteString(line)
		text.WriteByte('\n')
		if done {
			return &text, first, nil
		}
	}
}

// canonical is the name by which families of all versions are compared:
// without "_total" for counters and without the prefix of Ray's registry.
func canonical(name string, counter bool) string {
	name = strings.TrimPrefix(name, "ray_")
	for _, engine := range []string{"vllm", "sglang"} {
		if rest, ok := strings.CutPrefix(name, engine+"_"); ok {
			name = engine + ":" + rest
		}
	}
	if counter {
		name = strings.TrimSuffix(name, "_total")
	}
	return name
}

func (m *Metrics) add(mf *dto.MetricFamily, line int) {
	name := mf.GetName()
	if strings.HasSuffix(name, "_created") {
		return
	}
	f := &family{name: name, line: line}
	counter := false
	switch mf.GetType() {
	case dto.MetricType_COUNTER:
		counter, f.kind = true, kindCounter
	case dto.MetricType_GAUGE:
		f.kind = kindGauge
	case dto.MetricType_HISTOGRAM:
		f.kind = kindHistogram
	case dto.MetricType_UNTYPED:
		// OpenMetrics names the family without _total, so its samples come
		// untyped here.
		if counter = strings.HasSuffix(name, "_total"); counter {
			f.kind = kindCounter
		} else {
			f.kind = kindGauge
		}
	default:
		return // summaries: nothing here needs them
	}
	for _, pm := range mf.GetMetric() {
		s := series{}
		for _, l := range pm.GetLabel() {
			s.labels = append(s.labels, Label{l.GetName(), l.GetValue()})
		}
		sort.Slice(s.labels, func(i, k int) bool { return s.labels[i].Name < s.labels[k].Name })
		s.key = labelKey(s.labels)
		switch {
		case f.kind == kindHistogram:
			if !s.histogram(pm.GetHistogram()) {
				m.Warnings = append(m.Warnings, Warning{ID: "broken-histogram", Source: Source{File: m.File, Line: line, Field: name},
					Text: "buckets are not cumulative or counts are not numbers; the series was left out"})
				continue
			}
		case pm.GetCounter() != nil:
			s.value = pm.GetCounter().GetValue()
		case pm.GetGauge() != nil:
			s.value = pm.GetGauge().GetValue()
		default:
			s.value = pm.GetUntyped().GetValue()
		}
		f.series = append(f.series, s)
	}
	sort.SliceStable(f.series, func(i, k int) bool { return f.series[i].key < f.series[k].key })
	for i := len(f.series) - 1; i > 0; i-- {
		if f.series[i].key == f.series[i-1].key {
			m.Warnings = append(m.Warnings, Warning{ID: "duplicate-series", Source: Source{File: m.File, Line: line, Field: name},
				Text: "series {" + clip(f.series[i].key, maxText) + "} occurs twice; the first value counts"})
			f.series = append(f.series[:i], f.series[i+1:]...)
		}
	}
	if len(f.series) == 0 {
		return
	}
	key := canonical(name, counter)
	if old := m.families[key]; old == nil {
		m.families[key] = f
	}
}

func labelKey(labels []Label) string {
	var b strings.Builder
	for i, l := range labels {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(l.Name)
		b.WriteByte('=')
		b.WriteString(strconv.Quote(l.Value))
	}
	return b.String()
}

// histogram takes the buckets and reports whether they make sense. A missing
// sum becomes NaN, so that no mean is made of it.
func (s *series) histogram(h *dto.Histogram) bool {
	s.value, s.sum = math.NaN(), math.NaN()
	switch {
	case h.SampleCountFloat != nil:
		s.value = h.GetSampleCountFloat()
	case h.SampleCount != nil:
		s.value = float64(h.GetSampleCount())
	}
	if h.SampleSum != nil {
		s.sum = h.GetSampleSum()
	}
	prev, upper := 0.0, math.Inf(-1)
	for i, b := range h.GetBucket() {
		n := float64(b.GetCumulativeCount())
		if b.CumulativeCountFloat != nil {
			n = b.GetCumulativeCountFloat()
		}
		if first := i == 0 && !math.IsNaN(b.GetUpperBound()); !first && !(b.GetUpperBound() > upper) || !(n >= prev) || math.IsInf(n, 1) {
			return false
		}
		prev, upper = n, b.GetUpperBound()
		s.buckets = append(s.buckets, Bucket{Upper: Bound(upper), N: n})
	}
	if !math.IsInf(upper, 1) {
		if !(s.value >= prev) {
			return false
		}
		s.buckets = append(s.buckets, Bucket{Upper: Bound(math.Inf(1)), N: s.value})
	}
	if math.IsNaN(s.value) {
		s.value = s.buckets[len(s.buckets)-1].N
	}
	return s.value == s.buckets[len(s.buckets)-1].N
}

func (s *series) label(name string) string {
	for _, l := range s.labels {
		if l.Name == name {
			return l.Value
		}
	}
	return ""
}

// identify finds the engine, its models and ranks, and its settings.
func (m *Metrics) identify() {
	models, engines := map[string]bool{}, map[string]bool{}
	for name, f := range m.families {
		engine, _, ok := strings.Cut(name, ":")
		if !ok || engine != "vllm" && engine != "sglang" {
			continue
		}
		if m.EngineName == "" || engine < m.EngineName {
			m.EngineName = engine
		}
		for _, s := range f.series {
			if v := s.label("model_name"); v != "" {
				models[v] = true
			}
			for _, l := range []string{"engine", "dp_rank"} {
				if v := s.label(l); v != "" {
					engines[v] = true
				}
			}
		}
	}
	m.Models, m.Engines = sortedKeys(models), sortedKeys(engines)
	if f := m.families["process_start_time_seconds"]; f != nil && len(f.series) == 1 && f.series[0].value > 0 {
		m.StartTimeS = NewFact(f.series[0].value, m.src(f))
	}
	m.settings()
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func (m *Metrics) src(f *family) Source { return Source{File: m.File, Line: f.line, Field: f.name} }

// settings reads the labels of cache_config_info and SGLang's pool size.
func (m *Metrics) settings() {
	e := &m.Engine
	if m.EngineName == "" {
		return
	}
	src := Source{File: m.File}
	e.Name = NewFact(m.EngineName, src)
	if len(m.Models) == 1 {
		e.ServedModelName = NewFact(m.Models[0], Source{File: m.File, Field: "model_name"})
	}
	if f := m.families["vllm:cache_config_info"]; f != nil {
		s := f.series[0]
		at := func(label string) (string, Source) {
			src := m.src(f)
			src.Field += "{" + label + "}"
			v := s.label(label)
			if v == "None" {
				v = ""
			}
			return v, src
		}
		setInt := func(to *Fact[int64], label string) {
			v, src := at(label)
			if n, err := strconv.ParseInt(v, 10, 64); err == nil && n > 0 {
				*to = NewFact(n, src)
			}
		}
		setFloat := func(to *Fact[float64], label string) {
			v, src := at(label)
			if n, err := strconv.ParseFloat(v, 64); err == nil && n > 0 && !math.IsInf(n, 0) {
				*to = NewFact(n, src)
			}
		}
		setInt(&e.BlockSize, "block_size")
		setInt(&e.KVCacheBlocks, "num_gpu_blocks")
		setInt(&e.KVCacheTokens, "kv_cache_size_tokens")
		setFloat(&e.MaxConcurrency, "kv_cache_max_concurrency")
		setFloat(&e.GPUMemoryUtilization, "gpu_memory_utilization")
		if v, src := at("cache_dtype"); v != "" {
			e.KVCacheDType = NewFact(v, src)
		}
		if v, src := at("enable_prefix_caching"); v == "True" || v == "False" {
			e.PrefixCaching = NewFact(v == "True", src)
		}
	}
	if f := m.families["sglang:max_total_num_tokens"]; f != nil && f.series[0].value > 0 {
		e.KVCacheTokens = toInt(NewFact(f.series[0].value, m.src(f)))
	}
}
