package serving

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

const spansJSON = `{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"vllm-server"}}]},"scopeSpans":[{"scope":{"name":"vllm"},"spans":[
 {"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"llm_request","kind":2,"startTimeUnixNano":"1764000000000000123","endTimeUnixNano":"1764000002500000123",
  "attributes":[{"key":"gen_ai.request.id","value":{"stringValue":"cmpl-1"}},{"key":"gen_ai.response.model","value":{"stringValue":"m"}},{"key":"gen_ai.usage.prompt_tokens","value":{"intValue":"512"}},
   {"key":"gen_ai.usage.completion_tokens","value":{"intValue":128}},{"key":"gen_ai.latency.time_in_queue","value":{"doubleValue":0.25}},{"key":"gen_ai.latency.time_to_first_token","value":{"doubleValue":0.5}},
   {"key":"gen_ai.latency.e2e","value":{"doubleValue":2.4}},{"key":"gen_ai.latency.time_in_model_decode","value":{"doubleValue":1.9}},{"key":"gen_ai.prompt","value":{"stringValue":"private"}}]},
 {"spanId":"aa","name":"Load model","startTimeUnixNano":"1763990000000000000","endTimeUnixNano":"1763990002000000000"},
 {"name":"Warmup (GPU)","startTimeUnixNano":"1763990003000000000","endTimeUnixNano":"0"},
 {"name":"GET /health","startTimeUnixNano":"1","endTimeUnixNano":"2"}]}]}]}`

// spansProto is the same in protobuf.
func spansProto() *tracepb.TracesData {
	str := func(k, v string) *commonpb.KeyValue {
		return &commonpb.KeyValue{Key: k, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: v}}}
	}
	num := func(k string, v int64) *commonpb.KeyValue {
		return &commonpb.KeyValue{Key: k, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: v}}}
	}
	dbl := func(k string, v float64) *commonpb.KeyValue {
		return &commonpb.KeyValue{Key: k, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: v}}}
	}
	return &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{str("service.name", "vllm-server")}},
		ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{
			{TraceId: make([]byte, 16), SpanId: []byte{1, 2}, Name: "llm_request", StartTimeUnixNano: 1764000000000000123, EndTimeUnixNano: 1764000002500000123,
				Attributes: []*commonpb.KeyValue{str("gen_ai.request.id", "cmpl-1"), str("gen_ai.response.model", "m"), num("gen_ai.usage.prompt_tokens", 512), num("gen_ai.usage.completion_tokens", 128),
					dbl("gen_ai.latency.time_in_queue", 0.25), dbl("gen_ai.latency.time_to_first_token", 0.5), dbl("gen_ai.latency.e2e", 2.4), dbl("gen_ai.latency.time_in_model_decode", 1.9)}},
			{Name: "Load model", StartTimeUnixNano: 1763990000000000000, EndTimeUnixNano: 1763990002000000000},
			{Name: "Warmup (GPU)", StartTimeUnixNano: 1763990003000000000},
			{Name: "GET /health", StartTimeUnixNano: 1, EndTimeUnixNano: 2},
		}}},
	}}}
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTraceEncodings(t *testing.T) {
	raw := marshal(t, spansProto())
	framed := binary.BigEndian.AppendUint32(nil, uint32(len(raw)))
	framed = append(framed, raw...)
	want := Request{ID: "cmpl-1", Model: "m", Clock: ClockUnix, StartNS: 1764000000000000123, E2ENS: 2.4e9, QueueNS: 250e6, TTFTNS: 500e6, PrefillNS: -1, DecodeNS: 1.9e9, InferenceNS: -1, PromptTokens: 512, OutputTokens: 128}
	for name, c := range map[string]struct {
		data  []byte
		times int
	}{
		"json":             {[]byte(spansJSON), 1},
		"json lines":       {[]byte(strings.ReplaceAll(spansJSON, "\n", "") + "\n" + strings.ReplaceAll(spansJSON, "\n", "") + "\n"), 2},
		"json after space": {[]byte("\n \t" + spansJSON), 1},
		"snake case":       {[]byte(strings.NewReplacer("resourceSpans", "resource_spans", "scopeSpans", "scope_spans", "startTimeUnixNano", "start_time_unix_nano", "endTimeUnixNano", "end_time_unix_nano").Replace(spansJSON)), 1},
		"protobuf":         {raw, 1},
		"big-endian":       {append(append([]byte(nil), framed...), framed...), 2},
		"varint":           {protowire.AppendBytes(protowire.AppendBytes(nil, raw), raw), 2},
	} {
		t.Run(name, func(t *testing.T) {
			tr, err := ReadTrace("spans", bytes.NewReader(c.data))
			if err != nil {
				t.Fatal(err)
			}
			if len(tr.Requests) != c.times || len(tr.Startup) != 2*c.times || tr.Other != int64(c.times) || tr.Spans != int64(4*c.times) || len(tr.Warnings) > 0 {
				t.Fatalf("%+v", tr)
			}
			got := tr.Requests[0]
			got.Source = Source{}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			load, warm := tr.Startup[0], tr.Startup[len(tr.Startup)-1]
			if load.Name != "Load model" || load.DurNS != 2e9 || warm.DurNS != NotRecorded || !reflect.DeepEqual(tr.Service, []string{"vllm-server"}) {
				t.Errorf("startup %+v, service %v", tr.Startup, tr.Service)
			}
		})
	}
}

func TestTraceShortProtobuf(t *testing.T) {
	// A first field of 123 bytes reads "\n{": it is protobuf all the same.
	for n := 1; n < 200; n++ {
		data := marshal(t, &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{{Name: strings.Repeat("x", n)}}}}}}})
		tr, err := ReadTrace("spans", bytes.NewReader(data))
		if err != nil || tr.Spans != 1 {
			t.Fatalf("name of %d bytes (%q): %v", n, data[:2], err)
		}
	}
}

func TestTraceTruncated(t *testing.T) {
	raw := marshal(t, spansProto())
	two := append(append([]byte(nil), raw...), raw...)
	for name, data := range map[string][]byte{
		"protobuf":   two[:len(two)-5],
		"varint":     protowire.AppendBytes(protowire.AppendBytes(nil, raw), raw)[:len(two)-5],
		"json lines": []byte(strings.ReplaceAll(spansJSON, "\n", "") + "\n" + spansJSON[:300]),
	} {
		t.Run(name, func(t *testing.T) {
			tr, err := ReadTrace("spans", bytes.NewReader(data))
			if err != nil || len(tr.Requests) != 1 || !reflect.DeepEqual(ids(tr.Warnings), []string{"truncated"}) {
				t.Errorf("%+v %v", tr, err)
			}
		})
	}
}

func TestTraceMalformed(t *testing.T) {
	raw := marshal(t, spansProto())
	for name, c := range map[string]struct {
		data string
		is   error
		want string
	}{
		"empty":           {"", ErrUnrecognised, "empty"},
		"white space":     {" \n ", ErrUnrecognised, "spans"},
		"other json":      {`{"traceEvents": []}`, ErrUnrecognised, "without resourceSpans"},
		"array":           {`[{"resourceSpans": []}]`, ErrUnrecognised, "want OTLP JSON"},
		"html":            {"<html>", ErrUnrecognised, "want OTLP JSON"},
		"text":            {"hello world", ErrUnrecognised, "neither"},
		"cut json":        {spansJSON[:100], ErrMalformed, "the file ends inside"},
		"trailing comma":  {`{"resourceSpans": [],}`, ErrMalformed, "spans:1"},
		"cut protobuf":    {string(raw[:len(raw)/2]), ErrUnrecognised, "neither"},
		"zstd":            {"\x28\xb5\x2f\xfdxxxx", ErrUnrecognised, "zstd -d"},
		"second not otlp": {spansJSON + "\n7", ErrUnrecognised, "spans:"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadTrace("spans", strings.NewReader(c.data))
			if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want %v and %q", err, c.is, c.want)
			}
		})
	}
}

func TestTraceOddSpans(t *testing.T) {
	tr, err := ReadTrace("spans", strings.NewReader(`{"resourceSpans":[{"scopeSpans":[{"spans":[
 {"name":"llm_request","startTimeUnixNano":"5","endTimeUnixNano":"3"},
 {"name":"llm_request","startTimeUnixNano":"99999999999999999999999","endTimeUnixNano":"x","attributes":[{"key":"gen_ai.latency.e2e","value":{"doubleValue":-1}},{"key":1},{"value":{}},7]},
 {"name":7,"attributes":{}}, 8, "x"]}, 9]}, null]}`))
	if err != nil {
		t.Fatal(err)
	}
	if tr.Spans != 3 || len(tr.Requests) != 2 {
		t.Fatalf("%+v", tr)
	}
	for _, r := range tr.Requests {
		if r.E2ENS != NotRecorded {
			t.Errorf("a span that ends before it starts has a latency: %+v", r)
		}
	}
}

// Texts of spans that were dealt with cost no budget: the last of many spans is
// read like the first.
func TestTraceTextBudget(t *testing.T) {
	span := `{"name":"llm_request","startTimeUnixNano":"1764000000000000000","endTimeUnixNano":"1764000001000000000","attributes":[{"key":"gen_ai.prompt","value":{"stringValue":"` +
		strings.Repeat("x", maxArgs) + `"}}]}`
	const n = maxTreeText/maxArgs + 10
	parts := []io.Reader{strings.NewReader(`{"resourceSpans":[{"scopeSpans":[{"spans":[` + span)}
	for range n - 1 {
		parts = append(parts, strings.NewReader(","+span))
	}
	parts = append(parts, strings.NewReader(`]}]}]}`))
	tr, err := ReadTrace("spans.json", io.MultiReader(parts...))
	if err != nil {
		t.Fatal(err)
	}
	if len(tr.Requests) != n {
		t.Fatalf("%d requests, want %d", len(tr.Requests), n)
	}
	for i, r := range tr.Requests {
		if r.E2ENS != 1e9 {
			t.Fatalf("request %d of %d takes %d ns, want 1e9", i, n, r.E2ENS)
		}
	}
}
