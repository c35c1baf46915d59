package kineto

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/stepscope/stepscope/internal/packed"
	"github.com/stepscope/stepscope/internal/proftest"
)

// synthetic writes a trace in Kineto's layout with n launches: per launch an operator with shapes, a call, the two
// flow events and a kernel, as an eager vLLM step has them.
func synthetic(n int) []byte {
	names := []string{
		"void cutlass::device_kernel<flash::enable_sm90<flash::FlashAttnFwdSm90<flash::CollectiveMainloopFwdSm90<2, cute::tuple<cute::C<1>, cute::C<1>, cute::C<1> >, 128, cutlass::bfloat16_t, float, cutlass::arch::Sm90, true> > > >(flash::Params)",
		"nvjet_tst_64x8_64x16_4x1_v_bz_TNT",
		"triton_red_fused__to_copy_add_mean_mul_pow_rsqrt_0",
		"void vllm::reshape_and_cache_flash_kernel<__nv_bfloat16, __nv_bfloat16, (vllm::Fp8KVCacheDataType)0>(__nv_bfloat16 const*)",
	}
	var w bytes.Buffer
	w.WriteString("\n  {\n    \"schemaVersion\": 1,\n    \"deviceProperties\": [\n    {\n      \"id\": 0, \"name\": \"NVIDIA H100 80GB HBM3\", \"totalGlobalMem\": 85017493504,\n      \"numSms\": 132\n    }\n    ],\n  \"displayTimeUnit\": \"ms\",\n  \"baseTimeNanoseconds\": 1790857026000000000,\n  \"traceEvents\": [\n")
	us := func(ns int) string { return fmt.Sprintf("%d.%03d", 4646525630000+ns/1000, ns%1000) }
	for i := range n {
		t, id := 17123*i, i+10
		fmt.Fprintf(&w, "  {\n    \"ph\": \"X\", \"cat\": \"cpu_op\", \"name\": \"aten::mm\", \"pid\": 8630, \"tid\": 8630,\n    \"ts\": %s, \"dur\": 12.345,\n    \"args\": {\n      \"External id\": %d,\"Record function id\": 0, \"Concrete Inputs\": [\"\", \"\"], \"Input type\": [\"c10::BFloat16\", \"c10::BFloat16\"], \"Input Strides\": [[4096, 1], [1, 4096]], \"Input Dims\": [[32, 4096], [4096, %d]], \"Ev Idx\": %d\n    }\n  },\n",
			us(t), id, 1024*(i%4+1), i)
		fmt.Fprintf(&w, "  {\n    \"ph\": \"X\", \"cat\": \"cuda_runtime\", \"name\": \"cudaLaunchKernel\", \"pid\": 8630, \"tid\": 8630,\n    \"ts\": %s, \"dur\": 5.210,\n    \"args\": {\n      \"External id\": %d, \"cbid\": 211, \"correlation\": %d\n    }\n  },\n",
			us(t+3000), id, id)
		fmt.Fprintf(&w, "  {\n    \"ph\": \"s\", \"id\": %d, \"pid\": 8630, \"tid\": 8630, \"ts\": %s,\n    \"cat\": \"ac2g\", \"name\": \"ac2g\"\n  },\n", id, us(t+3000))
		fmt.Fprintf(&w, "  {\n    \"ph\": \"X\", \"cat\": \"kernel\", \"name\": %q, \"pid\": 0, \"tid\": 7,\n    \"ts\": %s, \"dur\": 8.001,\n    \"args\": {\n      \"External id\": %d, \"queued\": 0, \"device\": 0, \"context\": 1,\n      \"stream\": 7, \"correlation\": %d,\n      \"registers per thread\": 168,\n      \"shared memory\": 114816,\n      \"blocks per SM\": 0.727273,\n      \"warps per SM\": 8.727273,\n      \"grid\": [96, 1, 1],\n      \"block\": [384, 1, 1],\n      \"est. achieved occupancy %%\": 14\n    }\n  },\n",
			names[i%len(names)], us(t+9000), id, id)
		fmt.Fprintf(&w, "  {\n    \"ph\": \"f\", \"id\": %d, \"pid\": 0, \"tid\": 7, \"ts\": %s,\n    \"cat\": \"ac2g\", \"name\": \"ac2g\", \"bp\": \"e\"\n  },\n", id, us(t+9000))
	}
	fmt.Fprintf(&w, "  {\n    \"ph\": \"X\", \"cat\": \"Trace\", \"ts\": %s, \"dur\": %d.000,\n    \"pid\": \"Spans\", \"tid\": \"PyTorch Profiler\",\n    \"name\": \"PyTorch Profiler (0)\",\n    \"args\": {\n      \"Op count\": 0\n    }\n  }\n  ],\n  \"traceName\": \"trace.json\"\n}", us(0), 18*n)
	return w.Bytes()
}

func TestSynthetic(t *testing.T) {
	text := synthetic(1000)
	if !agree(t, text, Options{}) {
		t.Fatal("encoding/json does not take the generated trace")
	}
	p, err := Read("t.json", bytes.NewReader(text), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if p.Kernels.Len() != 1000 || sum(p.Kernels.Dur) != 8_001_000 || p.Calls.Len() != 1000 || p.Ops.Len() != 1000 {
		t.Errorf("%d kernels of %d ns, %d calls, %d operators", p.Kernels.Len(), sum(p.Kernels.Dur), p.Calls.Len(), p.Ops.Len())
	}
}

// traceText returns the capture's text, or a generated trace of its size.
func traceText(b *testing.B, capture bool) []byte {
	if !capture {
		return synthetic(30_000)
	}
	return packed.Gunzip(b, filepath.Join(proftest.SharedCapture(b, "base8b-kineto-A"), "trace.json.gz"))
}

// repeated is a document whose events are those of text, times over: a trace of any size from a small one. The copies
// overlap in time, which changes no cost.
func repeated(text []byte, times int) io.Reader {
	at := bytes.Index(text, []byte(`"traceEvents": [`)) + len(`"traceEvents": [`)
	end := bytes.LastIndexByte(text, ']')
	parts := []io.Reader{bytes.NewReader(text[:at])}
	for i := range times {
		if i > 0 {
			parts = append(parts, bytes.NewReader([]byte(",")))
		}
		parts = append(parts, bytes.NewReader(text[at:end]))
	}
	return io.MultiReader(append(parts, bytes.NewReader(text[end:]))...)
}

// BenchmarkRead reads traces of some 33 MB, plain and gzipped; MB/s count uncompressed text. Goal: 200 MB per CPU
// second with gzip.
func BenchmarkRead(b *testing.B) {
	for _, capture := range []bool{false, true} {
		name := "synthetic"
		if capture {
			name = "vllm"
		}
		for _, packed := range []bool{false, true} {
			form := "plain"
			if packed {
				form = "gzip"
			}
			b.Run(name+"/"+form, func(b *testing.B) {
				text := traceText(b, capture)
				in := text
				if packed {
					var w bytes.Buffer
					z := gzip.NewWriter(&w)
					_, _ = z.Write(text)
					_ = z.Close()
					in = w.Bytes()
				}
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := Read("t.json", bytes.NewReader(in), Options{}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkReadLarge reads 20 copies of a trace as one document and reports the memory that the Profile keeps.
func BenchmarkReadLarge(b *testing.B) {
	text := traceText(b, false)
	const times = 20
	b.SetBytes(int64(len(text)) * times)
	events, kept := 0, uint64(0)
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		p, err := Read("t.json", repeated(text, times), Options{})
		if err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		events, kept = p.Kernels.Len()+p.Calls.Len()+p.Ops.Len(), after.HeapAlloc-before.HeapAlloc
		runtime.KeepAlive(p)
	}
	b.ReportMetric(float64(kept)/float64(events), "B/event")
	b.ReportMetric(float64(events)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkEncodingJSON decodes the same fields of the same traces with encoding/json, an event at a time.
func BenchmarkEncodingJSON(b *testing.B) {
	text := traceText(b, false)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		dec := json.NewDecoder(bytes.NewReader(text))
		for {
			tok, err := dec.Token()
			if err != nil {
				b.Fatal(err)
			}
			if tok == "traceEvents" {
				break
			}
		}
		if _, err := dec.Token(); err != nil {
			b.Fatal(err)
		}
		n := 0
		for dec.More() {
			var e struct {
				Ph   string          `json:"ph"`
				Cat  string          `json:"cat"`
				Name string          `json:"name"`
				Ts   json.Number     `json:"ts"`
				Dur  json.Number     `json:"dur"`
				Pid  json.RawMessage `json:"pid"`
				Tid  json.RawMessage `json:"tid"`
				Args struct {
					Correlation uint32  `json:"correlation"`
					Stream      int64   `json:"stream"`
					Device      int64   `json:"device"`
					External    int64   `json:"External id"`
					Grid, Block []int32 `json:"-"`
				} `json:"args"`
			}
			if err := dec.Decode(&e); err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n == 0 {
			b.Fatal("no events")
		}
	}
}
