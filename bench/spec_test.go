package bench

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/internal/fakeopenai"
)

func TestSpecDecode(t *testing.T) {
	s := fakeopenai.New(t, fakeopenai.Config{TokensPerChunk: 3, SpecDecode: true})
	res := run(t, s, Config{Requests: 4, Concurrency: 2, OutputLen: 12})
	d := res.SpecDecode
	if d == nil || d.Drafts != 4*4 || d.DraftTokens != 32 || d.AcceptedTokens != 32 || d.AcceptanceLength() != 3 || !slices.Equal(d.PerPosition, []float64{1, 1}) {
		t.Errorf("%+v", d)
	}
	var b bytes.Buffer
	if err := res.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var o map[string]any
	if err := json.Unmarshal(b.Bytes(), &o); err != nil || o["spec_decode_acceptance_rate"] != 100.0 || o["spec_decode_acceptance_length"] != 3.0 {
		t.Errorf("%v %v", err, o["spec_decode_acceptance_rate"])
	}
	if res := run(t, fakeopenai.New(t, fakeopenai.Config{}), Config{Requests: 1, OutputLen: 1}); res.SpecDecode != nil {
		t.Errorf("%+v without speculative decoding", res.SpecDecode)
	}
}

func TestReadSpec(t *testing.T) {
	c := readSpec(strings.NewReader(`# HELP vllm:spec_decode_num_drafts_total x
vllm:spec_decode_num_drafts_total{engine="0",model_name="a } b"} 10.0
vllm:spec_decode_num_drafts_total{engine="1"} 5.0 1700000000
vllm:spec_decode_num_draft_tokens_total 30
vllm:spec_decode_num_drafts_created{engine="0"} 1.7e9
vllm:spec_decode_num_accepted_tokens_total{engine="0"} oops
vllm:spec_decode_num_accepted_tokens_per_pos_total{engine="0",position="1"} 2
vllm:spec_decode_num_accepted_tokens_per_pos_total{engine="0",position="-4"} 2
`))
	if c == nil || c.drafts != 15 || c.draftTokens != 30 || c.accepted != 0 || len(c.perPosition) != 1 || c.perPosition[1] != 2 {
		t.Errorf("%+v", c)
	}
	if c := readSpec(strings.NewReader("vllm:num_requests_running 1\n")); c != nil {
		t.Errorf("%+v", c)
	}
	if d := specDelta(&specCounters{drafts: 10}, &specCounters{drafts: 3}); d != nil {
		t.Errorf("a restarted server: %+v", d)
	}
}

func FuzzReadSpec(f *testing.F) {
	f.Add("vllm:spec_decode_num_drafts_total{a=\"}\"} 1\nvllm:spec_decode_num_ }\n")
	f.Fuzz(func(t *testing.T, s string) { readSpec(strings.NewReader(s)) })
}
