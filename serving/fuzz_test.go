package serving

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// checkError demands what every reader promises of its errors.
func checkError(t *testing.T, err error) {
	t.Helper()
	if !strings.Contains(err.Error(), "input.file") {
		t.Errorf("the error does not name the file: %v", err)
	}
}

// checkJSON demands that a result encodes, and twice the same.
func checkJSON(t *testing.T, a, b any) {
	t.Helper()
	x, err := json.Marshal(a)
	if err != nil {
		t.Fatalf("result does not encode: %v", err)
	}
	y, err := json.Marshal(b)
	if err != nil || !bytes.Equal(x, y) {
		t.Fatalf("the same input gives two results:\n%s\n%s", x, y)
	}
}

func FuzzReadBench(f *testing.F) {
	for _, s := range []string{serveResult, `{"avg_latency":1,"percentiles":{"50":1}}`, `[{"elapsed_time":1,"num_requests":2}]`, `{"completed":1,"duration":NaN,"ttfts":[0.1],"itls":[[0.1]],"errors":["x"],"output_lens":[2]}`,
		`{"benchmarks":[{"metrics":{"request_latency":{"successful":{"mean":1,"percentiles":{"p999":2}}}},"requests":{"successful":[{"request_latency":1}]}}]}`,
		`{"request_count":{"unit":"requests","avg":1},"request_latency":{"unit":"ms","avg":2},"input_config":{"a":{"concurrency":3,"models":{"items":[{"name":"m"}]}}}}`,
		`{"metadata":{"request_start_ns":1,"request_end_ns":2},"metrics":{"request_latency":{"value":1,"unit":"ms"}}}`, "{}", "[", "\xef\xbb\xbf{}", "\x1f\x8b"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := ReadBenches("input.file", bytes.NewReader(data))
		if err != nil {
			checkError(t, err)
			return
		}
		if len(a) == 0 {
			t.Fatal("no result and no error")
		}
		b, _ := ReadBenches("input.file", bytes.NewReader(data))
		checkJSON(t, a, b)
		for _, x := range a {
			for _, d := range []Distribution{x.TTFT, x.TPOT, x.ITL, x.E2E, x.Queue} {
				for _, p := range d.Percentiles {
					if p.P < 0 || p.P > 100 {
						t.Fatalf("percentile %v", p.P)
					}
				}
				d.Percentile(95)
			}
		}
	})
}

func FuzzReadMetrics(f *testing.F) {
	f.Add([]byte("# TYPE vllm:a_total counter\nvllm:a_total{engine=\"0\"} 1\n"), []byte("# TYPE vllm:a_total counter\nvllm:a_total{engine=\"0\"} 2\n"))
	f.Add([]byte(hist("vllm:iteration_tokens_total", "2", "3", "1", "1", "+Inf", "2")), []byte(hist("iteration_tokens_total", "4", "NaN", "1", "1", "+Inf", "4")))
	f.Add([]byte("# TYPE sglang:token_usage gauge\nsglang:token_usage NaN\n"), []byte("# TYPE sglang:token_usage gauge\nsglang:token_usage +Inf\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\n\r\nvllm:x_total 1 # {a=\"b\"} 1\n# EOF"), []byte("<"))
	f.Fuzz(func(t *testing.T, before, after []byte) {
		b, err := ReadMetrics("input.file", bytes.NewReader(before))
		if err != nil {
			checkError(t, err)
			return
		}
		a, err := ReadMetrics("input.file", bytes.NewReader(after))
		if err != nil {
			checkError(t, err)
			return
		}
		checkJSON(t, a, a)
		d, err := Diff(b, a)
		if err != nil {
			checkError(t, err)
			return
		}
		again, _ := Diff(b, a)
		checkJSON(t, d, again)
		for _, h := range append(d.Histograms, d.TTFT, d.TokensPerStep) {
			h.Quantile(0.5)
			for _, k := range h.Buckets {
				if k.N < 0 {
					t.Fatalf("negative bucket in %+v", h)
				}
			}
		}
		for _, c := range d.Counters {
			if c.Delta < 0 {
				t.Fatalf("negative delta in %+v", c)
			}
		}
	})
}

func FuzzReadLog(f *testing.F) {
	for _, s := range []string{start085, sglangLog, "INFO 11-24 06:40:51 [l.py:1] " + statText, "\x1b[32mINFO\x1b[0m 11-24 06:40:51 [l.py:1] Iteration(1): 2 context requests",
		"2026-11-24T06:40:51.5+01:00 INFO 11-24 05:40:51 [l.py:1] x\rERROR 12-31 23:59:59 [l.py:1] CUDA out of memory", "INFO 11-24 06:00:00 [a.py:1] non-default args: {'a': <B.C: 1>, 'd': \"e\"}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := ReadLog("input.file", bytes.NewReader(data))
		if err != nil {
			checkError(t, err)
			return
		}
		b, _ := ReadLog("input.file", bytes.NewReader(data))
		checkJSON(t, a, b)
		for _, p := range a.Phases {
			if p.AtNS < NotRecorded || p.DurNS < NotRecorded || p.Workers < 1 {
				t.Fatalf("phase %+v", p)
			}
		}
		for _, s := range a.Stats {
			if s.AtNS < NotRecorded || s.KVUsage < NotRecorded || s.Line < 1 {
				t.Fatalf("stat line %+v", s)
			}
		}
	})
}

func FuzzReadTrace(f *testing.F) {
	raw := marshal(f, spansProto())
	f.Add([]byte(spansJSON))
	f.Add(raw)
	f.Add(append([]byte{0, 0, 0, byte(len(raw))}, raw...))
	f.Add([]byte("\n{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := ReadTrace("input.file", bytes.NewReader(data))
		if err != nil {
			checkError(t, err)
			return
		}
		b, _ := ReadTrace("input.file", bytes.NewReader(data))
		checkJSON(t, []any{a, a.Requests}, []any{b, b.Requests})
		if a.Spans != int64(len(a.Requests)+len(a.Startup))+a.Other {
			t.Fatalf("spans are lost: %+v", a)
		}
	})
}

func FuzzMask(f *testing.F) {
	f.Add("--api-key x 'api_key': ['a'] hf_abcdefghijklmnopqrst http://a:b@c")
	f.Fuzz(func(t *testing.T, s string) {
		if strings.Contains(mask("--api-key "+"verysecret "+s), "verysecret") {
			t.Errorf("secret kept: %q", s)
		}
	})
}
