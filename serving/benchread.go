package serving

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
)

// ReadBench reads a benchmark result of any known format. Where the file holds
// several (JSON lines of --append-result, a GuideLLM sweep) it is the last one,
// with a warning that says so; [ReadBenches] gives all.
func ReadBench(file string, r io.Reader) (*Bench, error) {
	all, err := ReadBenches(file, r)
	if err != nil {
		return nil, err
	}
	b := all[len(all)-1]
	if len(all) > 1 {
		b.Warnings = append(b.Warnings, Warning{
			ID:     "several-results",
			Text:   fmt.Sprintf("the file holds %d benchmark results; this is the last one", len(all)),
			Source: b.Source,
		})
	}
	return b, nil
}

// ReadBenches reads all benchmark results of a file, in order. The format is
// found from the keys: vllm bench serve, latency and throughput, SGLang's
// bench_serving, GuideLLM, AIPerf (summary or records), each as one JSON
// object, a JSON array or JSON lines, plain or gzip. Per-request details are
// kept up to 500,000 requests and 8 Mi samples a distribution; texts never.
func ReadBenches(file string, r io.Reader) ([]*Bench, error) {
	br, err := openText(file, r, maxJSONBytes)
	if err != nil {
		return nil, err
	}
	j := newJSONReader(file, br)
	var (
		out     []*Bench
		records aiperfRecords
		cut     error
	)
	one := func(line int) error {
		rec, err := j.record(line)
		if err != nil {
			return err
		}
		if records.add(rec) {
			return nil
		}
		bs, err := rec.benches()
		out = append(out, bs...)
		return err
	}
	for {
		tok, err := j.dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			if err = j.fail("", err); len(out) == 0 && records.n == 0 && !errors.Is(err, errCut) && !errors.Is(err, errTooLarge) {
				return nil, unrecognised(file, j.line(), "want JSON of a benchmark result (%s)", knownBenches)
			}
			cut = err
			break
		}
		line := j.line()
		switch tok {
		case json.Delim('{'):
			err = one(line)
		case json.Delim('['):
			err = j.array("", func() error {
				line := j.line()
				ok, err := j.open("", '{')
				if err == nil && !ok {
					err = unrecognised(file, line, "want an array of benchmark results")
				}
				if err != nil {
					return err
				}
				return one(line)
			})
		default:
			return nil, unrecognised(file, line, "want JSON of a benchmark result (%s)", knownBenches)
		}
		if err != nil {
			cut = err
			break
		}
	}
	if b := records.bench(file); b != nil {
		out = append(out, b)
	}
	switch {
	case cut != nil && (len(out) == 0 || !errors.Is(cut, errCut)):
		return nil, cut
	case cut != nil:
		last := out[len(out)-1]
		last.Warnings = append(last.Warnings, Warning{ID: "truncated", Text: "the file was cut after this result: " + cut.Error(), Source: last.Source})
	case len(out) == 0:
		return nil, unrecognised(file, 0, "empty: want JSON of a benchmark result (%s)", knownBenches)
	}
	if j.cut {
		last := out[len(out)-1]
		last.Warnings = append(last.Warnings, Warning{ID: "truncated", Text: "nested values beyond the reader's budget were skipped", Source: Source{File: file}})
	}
	for _, b := range out {
		b.plausible()
	}
	return out, nil
}

const knownBenches = "vllm bench serve, latency or throughput; sglang.bench_serving; GuideLLM; AIPerf"

// benchRecord is one top-level object: small values as trees, long arrays as
// columns.
type benchRecord struct {
	file   string
	line   int
	f      map[string]*node
	cols   map[string][]float64 // NaN for null
	itls   [][]float64          // seconds
	hasITL bool
	failed []bool
	errs   map[string]int64
	guide  []*Bench
	warns  []Warning
}

// benchColumns are the long arrays of numbers that results are known to have.
var benchColumns = map[string]bool{
	"ttfts": true, "input_lens": true, "output_lens": true, "start_times": true, "latencies": true,
	"server_queue_times": true, "server_ttfts": true, "queue_times": true,
}

// privateKeys are texts, which are not kept, and bulk that is not needed.
func privateKeys(key string) bool {
	switch key {
	case "generated_texts", "generated_text", "prompt", "prompts", "output", "reasoning_output", "request_args", "tool_calls",
		"pdf", "text", "messages", "content", "payload", "trace_data", "telemetry_stats", "telemetry_data", "timeslices":
		return true
	}
	return false
}

// record reads one top-level object whose '{' was read.
func (j *jsonReader) record(line int) (*benchRecord, error) {
	rec := &benchRecord{file: j.file, line: line, f: map[string]*node{}, cols: map[string][]float64{}, errs: map[string]int64{}}
	err := j.object("", func(key string) error {
		switch {
		case privateKeys(key):
			return j.skip(key)
		case key == "benchmarks":
			return j.guideLLM(rec)
		case benchColumns[key]:
			col, err := j.column(key)
			if _, dup := rec.cols[key]; !dup {
				rec.cols[key] = col
			}
			return err
		case key == "itls":
			return j.itls(rec)
		case key == "errors":
			return j.errors(rec)
		case len(rec.f) >= maxKeys:
			j.cut = true
			return j.skip(key)
		}
		n, err := j.tree(key, privateKeys)
		if old, dup := rec.f[key]; dup {
			rec.warns = append(rec.warns, Warning{ID: "duplicate-key", Text: fmt.Sprintf("key %q occurs twice; the first value counts", clip(key, 80)), Source: rec.src(key)})
			n = old
		}
		rec.f[key] = n
		return err
	})
	return rec, err
}

// column reads an array of numbers; other elements become NaN.
func (j *jsonReader) column(key string) ([]float64, error) {
	ok, err := j.open(key, '[')
	if err != nil || !ok {
		return nil, err
	}
	var col []float64
	return col, j.array(key, func() error {
		v, err := j.number(key)
		if len(col) < maxSamples {
			col = append(col, v)
		} else {
			j.cut = true
		}
		return err
	})
}

// number reads one value; what is not a finite number is NaN.
func (j *jsonReader) number(path string) (float64, error) {
	tok, err := j.dec.Token()
	if err != nil {
		return 0, j.fail(path, err)
	}
	switch t := tok.(type) {
	case json.Delim:
		return math.NaN(), j.rest(path)
	case json.Number:
		if v, err := t.Float64(); err == nil {
			return v, nil
		}
	}
	return math.NaN(), nil
}

func (j *jsonReader) itls(rec *benchRecord) error {
	ok, err := j.open("itls", '[')
	if err != nil || !ok {
		return err
	}
	rec.hasITL = true
	total := 0
	return j.array("itls", func() error {
		ok, err := j.open("itls", '[')
		if err != nil {
			return err
		}
		var row []float64
		if ok {
			err = j.array("itls", func() error {
				v, err := j.number("itls")
				if total < maxSamples {
					row = append(row, v)
					total++
				} else {
					j.cut = true
				}
				return err
			})
		}
		rec.itls = append(rec.itls, row)
		return err
	})
}

// errors reads the error text of each request ("" where it succeeded). The
// texts are counted by their last line, which names the exception.
func (j *jsonReader) errors(rec *benchRecord) error {
	ok, err := j.open("errors", '[')
	if err != nil || !ok {
		return err
	}
	return j.array("errors", func() error {
		tok, err := j.dec.Token()
		if err != nil {
			return j.fail("errors", err)
		}
		text, isText := tok.(string)
		if d, ok := tok.(json.Delim); ok && (d == '{' || d == '[') {
			if err := j.rest("errors"); err != nil {
				return err
			}
		}
		bad := isText && text != ""
		if len(rec.failed) < maxRequests {
			rec.failed = append(rec.failed, bad)
		}
		if bad {
			lines := strings.Split(strings.TrimSpace(text), "\n")
			key := clip(mask(lines[len(lines)-1]), 200)
			if _, seen := rec.errs[key]; seen || len(rec.errs) < 100 {
				rec.errs[key]++
			}
		}
		return nil
	})
}

// benches turns the record into results of its format.
func (rec *benchRecord) benches() ([]*Bench, error) {
	switch {
	case rec.guide != nil:
		version := rec.f["metadata"].field("guidellm_version")
		for _, b := range rec.guide {
			if version != nil && version.kind == 's' {
				b.Producer = NewFact("guidellm "+version.str, rec.src("metadata.guidellm_version"))
			}
		}
		return rec.guide, nil
	case rec.isAIPerf():
		return []*Bench{rec.aiperf()}, nil
	case rec.isNumber("avg_latency"):
		return []*Bench{rec.latency()}, nil
	case rec.isNumber("elapsed_time") && (rec.isNumber("requests_per_second") || rec.isNumber("num_requests")):
		return []*Bench{rec.throughput()}, nil
	case rec.isServe():
		return []*Bench{rec.serve()}, nil
	}
	return nil, unrecognised(rec.file, rec.line, "no benchmark result among the keys (%s); known are %s", rec.someKeys(), knownBenches)
}

func (rec *benchRecord) someKeys() string {
	keys := (&node{kind: 'o', fields: rec.f}).keys()
	if len(keys) == 0 {
		return "none"
	}
	if len(keys) > 6 {
		keys = append(keys[:6:6], "...")
	}
	return clip(strings.Join(keys, ", "), 200)
}

func (rec *benchRecord) src(field string) Source {
	return Source{File: rec.file, Line: rec.line, Field: field}
}

func (rec *benchRecord) isNumber(key string) bool { return rec.f[key].isNumber() }

// num is the first of keys that holds a number. Negative values, which some
// tools write for "none", are not recorded.
func (rec *benchRecord) num(keys ...string) Fact[float64] {
	for _, k := range keys {
		if n := rec.f[k]; n.isNumber() && n.num >= 0 {
			return NewFact(n.num, rec.src(k))
		}
	}
	return Fact[float64]{}
}

func (rec *benchRecord) int(keys ...string) Fact[int64] {
	f := rec.num(keys...)
	return toInt(f)
}

// toInt rounds; values beyond int64 are not recorded.
func toInt(f Fact[float64]) Fact[int64] {
	if !f.Known || math.IsNaN(f.Value) || math.Abs(f.Value) > 1<<62 {
		return Fact[int64]{}
	}
	return NewFact(int64(math.Round(f.Value)), f.Source)
}

func (rec *benchRecord) text(keys ...string) Fact[string] {
	for _, k := range keys {
		if n := rec.f[k]; n != nil && n.kind == 's' && n.str != "" {
			return NewFact(clip(mask(n.str), maxText), rec.src(k))
		}
	}
	return Fact[string]{}
}
