package serving

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"sort"
	"strconv"
	"strings"
)

// ReadTrace reads OpenTelemetry spans from a file: OTLP JSON (one document or
// JSON lines, as the collector's file exporter writes) or OTLP protobuf
// (TracesData or ExportTraceServiceRequest, single, or framed by a 4-byte
// big-endian or a varint length), plain or gzip. It keeps finished requests
// (gen_ai.* attributes, up to 500,000) and the engine's start-up spans; other
// spans are counted. Attribute texts are not kept.
func ReadTrace(file string, r io.Reader) (*Trace, error) {
	br, err := openText(file, r, maxSpanBytes)
	if err != nil {
		return nil, err
	}
	t := &traceReader{t: &Trace{File: file}, services: map[string]bool{}}
	first, err := firstByte(br)
	switch {
	case errors.Is(err, io.EOF):
		return nil, unrecognised(file, 0, "empty: want OpenTelemetry spans (OTLP JSON or protobuf)")
	case err != nil:
		return nil, fmt.Errorf("reading %s: %w", file, err)
	case first == '{':
		err = t.json(br)
	case first == '[' || first == '<':
		return nil, unrecognised(file, 1, "want OTLP JSON ({\"resourceSpans\": ...}) or protobuf")
	default:
		err = t.protobuf(br)
	}
	if err != nil {
		return nil, err
	}
	return t.finish(), nil
}

// firstByte is the first byte that is no white space; the reader stays at it
// unless the input is protobuf, which starts with its first byte.
func firstByte(br *bufio.Reader) (byte, error) {
	for n := 1; ; n++ {
		b, err := br.Peek(n)
		if len(b) < n {
			if err == nil || errors.Is(err, bufio.ErrBufferFull) {
				err = io.EOF
			}
			if n > 1 && errors.Is(err, io.EOF) {
				return b[0], nil
			}
			return 0, err
		}
		switch c := b[n-1]; c {
		case ' ', '\t', '\r', '\n':
			// 0x0a is also the first byte of a protobuf message: only a
			// following brace tells JSON.
		case '{':
			if head, _ := br.Peek(125); n == 2 && b[0] == '\n' && plausible(head) {
				return b[0], nil // field 1 with 123 bytes
			}
			_, err := br.Discard(n - 1)
			return c, err
		default:
			if n == 1 {
				return c, nil
			}
			return b[0], nil
		}
	}
}

type traceReader struct {
	t        *Trace
	services map[string]bool
	lost     int64
}

// spanRecord is what is taken from a span of either encoding.
type spanRecord struct {
	name       string
	id         string
	start, end uint64
	line       int
	request    bool
	r          Request
}

// latencyAttributes are seconds.
var latencyAttributes = map[string]func(*Request) *int64{
	"gen_ai.latency.time_in_queue":           func(r *Request) *int64 { return &r.QueueNS },
	"gen_ai.latency.time_to_first_token":     func(r *Request) *int64 { return &r.TTFTNS },
	"gen_ai.latency.e2e":                     func(r *Request) *int64 { return &r.E2ENS },
	"gen_ai.latency.time_in_model_prefill":   func(r *Request) *int64 { return &r.PrefillNS },
	"gen_ai.latency.time_in_model_decode":    func(r *Request) *int64 { return &r.DecodeNS },
	"gen_ai.latency.time_in_model_inference": func(r *Request) *int64 { return &r.InferenceNS },
}

var tokenAttributes = map[string]func(*Request) *int64{
	"gen_ai.usage.prompt_tokens":     func(r *Request) *int64 { return &r.PromptTokens },
	"gen_ai.usage.input_tokens":      func(r *Request) *int64 { return &r.PromptTokens },
	"gen_ai.usage.completion_tokens": func(r *Request) *int64 { return &r.OutputTokens },
	"gen_ai.usage.output_tokens":     func(r *Request) *int64 { return &r.OutputTokens },
}

// startupSpans are the names of the engine's start-up, by prefix.
var startupSpans = []string{
	"Init device", "Load model", "Load weights", "Compile graph", "Inductor compilation", "Capture model", "Allocate KV cache",
	"Warmup", "EngineCoreProc init", "Worker init", "Python Imports", "APIServer", "Dynamo", "Profile",
}

func newSpan(line int) *spanRecord {
	return &spanRecord{line: line, r: Request{StartNS: NotRecorded, E2ENS: NotRecorded, QueueNS: NotRecorded, TTFTNS: NotRecorded,
		PrefillNS: NotRecorded, DecodeNS: NotRecorded, InferenceNS: NotRecorded, PromptTokens: NotRecorded, OutputTokens: NotRecorded}}
}

// attribute takes a number or text attribute that has a meaning here.
func (s *spanRecord) attribute(key string, num float64, text string) {
	if of := latencyAttributes[key]; of != nil {
		*of(&s.r) = secondsNS(num)
		s.request = true
		return
	}
	if of := tokenAttributes[key]; of != nil {
		*of(&s.r) = count(num)
		return
	}
	switch key {
	case "gen_ai.request.id":
		s.r.ID = clip(text, 100)
	case "gen_ai.response.model", "gen_ai.request.model":
		if s.r.Model == "" {
			s.r.Model = clip(mask(text), maxText)
		}
	}
}

// add files a finished span.
func (t *traceReader) add(s *spanRecord) {
	t.t.Spans++
	src := Source{File: t.t.File, Line: s.line, Field: clip(s.name, 80)}
	start, end := int64(NotRecorded), int64(NotRecorded)
	if s.start > 0 && s.start <= math.MaxInt64 {
		start = int64(s.start)
	}
	if s.end >= s.start && s.end <= math.MaxInt64 && s.end > 0 {
		end = int64(s.end)
	}
	if s.request || s.name == "llm_request" {
		if len(t.t.Requests) >= maxRequests {
			t.lost++
			return
		}
		r := s.r
		r.StartNS, r.Source = start, src
		if start != NotRecorded {
			r.Clock = ClockUnix
		}
		if r.ID == "" {
			r.ID = s.id
		}
		if r.E2ENS == NotRecorded && start >= 0 && end >= start {
			r.E2ENS = end - start
		}
		t.t.Requests = append(t.t.Requests, r)
		return
	}
	for _, p := range startupSpans {
		if strings.HasPrefix(s.name, p) && len(t.t.Startup) < 100_000 {
			sp := Span{Name: clip(s.name, 80), StartNS: start, DurNS: NotRecorded, Source: src}
			if start >= 0 && end >= start {
				sp.DurNS = end - start
			}
			t.t.Startup = append(t.t.Startup, sp)
			return
		}
	}
	t.t.Other++
}

func (t *traceReader) service(name string) {
	if name != "" && len(t.services) < 100 {
		t.services[clip(mask(name), 80)] = true
	}
}

func (t *traceReader) finish() *Trace {
	sortRequests(t.t.Requests)
	sort.SliceStable(t.t.Startup, func(i, k int) bool {
		a, b := t.t.Startup[i], t.t.Startup[k]
		if a.StartNS != b.StartNS {
			return a.StartNS < b.StartNS
		}
		if a.DurNS != b.DurNS {
			return a.DurNS > b.DurNS
		}
		return a.Name < b.Name
	})
	t.t.Service = sortedKeys(t.services)
	if t.lost > 0 {
		t.warn("truncated", fmt.Sprintf("%d requests beyond the first %d were left out", t.lost, maxRequests))
	}
	return t.t
}

func (t *traceReader) warn(id, text string) {
	t.t.Warnings = append(t.t.Warnings, Warning{ID: id, Text: text, Source: Source{File: t.t.File}})
}

// json reads one or more OTLP JSON documents.
func (t *traceReader) json(br *bufio.Reader) error {
	j := newJSONReader(t.t.File, br)
	known, docs := false, 0
	for {
		tok, err := j.dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		line := j.line()
		if err == nil && tok != json.Delim('{') {
			return unrecognised(t.t.File, line, "want OTLP JSON: an object with resourceSpans")
		}
		if err != nil {
			err = j.fail("", err)
		} else {
			err = j.object("", func(key string) error {
				if key != "resourceSpans" && key != "resource_spans" {
					return j.skip(key)
				}
				known = true
				return t.list(j, key, t.jsonResource)
			})
		}
		if err != nil {
			if errors.Is(err, errCut) && (docs > 0 || t.t.Spans > 0) {
				t.warn("truncated", "the file was cut: "+err.Error())
				break
			}
			return err
		}
		docs++
	}
	if !known {
		return unrecognised(t.t.File, 1, "JSON without resourceSpans: want OTLP JSON spans")
	}
	return nil
}

// list visits the objects of an array.
func (t *traceReader) list(j *jsonReader, path string, visit func(j *jsonReader, path string) error) error {
	ok, err := j.open(path, '[')
	if err != nil || !ok {
		return err
	}
	return j.array(path, func() error {
		ok, err := j.open(path, '{')
		if err != nil || !ok {
			return err
		}
		return visit(j, path)
	})
}

func (t *traceReader) jsonResource(j *jsonReader, path string) error {
	return j.object(path, func(key string) error {
		switch key {
		case "resource":
			n, err := j.passing(joinPath(path, key), nil)
			for _, a := range n.field("attributes").list() {
				if k, v := a.field("key"), a.field("value", "stringValue"); k != nil && k.str == "service.name" && v != nil {
					t.service(v.str)
				}
			}
			return err
		case "scopeSpans", "scope_spans", "instrumentationLibrarySpans":
			return t.list(j, key, func(j *jsonReader, path string) error {
				return j.object(path, func(key string) error {
					if key != "spans" {
						return j.skip(key)
					}
					return t.list(j, key, t.jsonSpan)
				})
			})
		}
		return j.skip(key)
	})
}

func (t *traceReader) jsonSpan(j *jsonReader, path string) error {
	s := newSpan(j.line())
	err := j.object(path, func(key string) error {
		switch key {
		case "name", "spanId", "span_id", "startTimeUnixNano", "start_time_unix_nano", "endTimeUnixNano", "end_time_unix_nano", "attributes":
		default:
			return j.skip(key)
		}
		n, err := j.passing(joinPath(path, key), nil)
		if err != nil {
			return err
		}
		switch key {
		case "name":
			s.name = n.str
		case "spanId", "span_id":
			s.id = clip(n.str, 40)
		case "startTimeUnixNano", "start_time_unix_nano":
			s.start, _ = strconv.ParseUint(n.str, 10, 64)
		case "endTimeUnixNano", "end_time_unix_nano":
			s.end, _ = strconv.ParseUint(n.str, 10, 64)
		case "attributes":
			for _, a := range n.list() {
				k, v := a.field("key"), a.field("value")
				if k == nil || k.kind != 's' || v == nil {
					continue
				}
				num, text := math.NaN(), ""
				for _, name := range []string{"doubleValue", "double_value", "intValue", "int_value"} {
					if x := v.field(name); x != nil && (x.kind == 'n' || x.kind == 's') {
						if f, err := strconv.ParseFloat(x.str, 64); err == nil {
							num = f
						}
					}
				}
				for _, name := range []string{"stringValue", "string_value"} {
					if x := v.field(name); x != nil && x.kind == 's' {
						text = x.str
					}
				}
				s.attribute(k.str, num, text)
			}
		}
		return nil
	})
	if err == nil {
		t.add(s)
	}
	return err
}

func hexID(b []byte) string { return hex.EncodeToString(b[:min(len(b), 16)]) }
