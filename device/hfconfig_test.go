package device

import (
	"errors"
	"strings"
	"testing"
)

// configs are the public configurations of the families, cut to the fields that matter and to those that once misled.
var configs = []struct{ model, json string }{
	{"llama-3.1-8b", `{"architectures":["LlamaForCausalLM"],"attention_bias":false,"hidden_size":4096,"intermediate_size":14336,"model_type":"llama","num_attention_heads":32,"num_hidden_layers":32,"num_key_value_heads":8,"rope_scaling":{"factor":8.0,"rope_type":"llama3"},"tie_word_embeddings":false,"torch_dtype":"bfloat16","vocab_size":128256}`},
	{"llama-3.2-1b", `{"architectures":["LlamaForCausalLM"],"attention_bias":false,"head_dim":64,"hidden_size":2048,"intermediate_size":8192,"model_type":"llama","num_attention_heads":32,"num_hidden_layers":16,"num_key_value_heads":8,"tie_word_embeddings":true,"torch_dtype":"bfloat16","vocab_size":128256}`},
	{"llama-4-scout-17b-16e", `{"architectures":["Llama4ForConditionalGeneration"],"model_type":"llama4","tie_word_embeddings":false,"text_config":{"attention_bias":false,"attention_chunk_size":8192,"head_dim":128,"hidden_size":5120,"interleave_moe_layer_step":1,"intermediate_size":8192,"intermediate_size_mlp":16384,"model_type":"llama4_text","no_rope_layers":[],"num_attention_heads":40,"num_experts_per_tok":1,"num_hidden_layers":48,"num_key_value_heads":8,"num_local_experts":16,"use_qk_norm":true,"vocab_size":202048}}`},
	{"llama-4-maverick-17b-128e", `{"architectures":["Llama4ForConditionalGeneration"],"model_type":"llama4","text_config":{"attention_bias":false,"attention_chunk_size":8192,"head_dim":128,"hidden_size":5120,"interleave_moe_layer_step":2,"intermediate_size":8192,"intermediate_size_mlp":16384,"model_type":"llama4_text","no_rope_layers":[1,1,1,0,1,1,1,0,1,1,1,0,1,1,1,0,1,1,1,0,1,1,1,0,1,1,1,0,1,1,1,0,1,1,1,0,1,1,1,0,1,1,1,0,1,1,1,0],"num_attention_heads":40,"num_experts_per_tok":1,"num_hidden_layers":48,"num_key_value_heads":8,"num_local_experts":128,"use_qk_norm":false,"vocab_size":202048}}`},
	{"llama-2-7b", `{"architectures":["LlamaForCausalLM"],"hidden_size":4096,"intermediate_size":11008,"model_type":"llama","num_attention_heads":32,"num_hidden_layers":32,"num_key_value_heads":32,"rope_scaling":null,"tie_word_embeddings":false,"torch_dtype":"float16","vocab_size":32000}`},
	{"mistral-7b-v0.1", `{"architectures":["MistralForCausalLM"],"hidden_size":4096,"intermediate_size":14336,"model_type":"mistral","num_attention_heads":32,"num_hidden_layers":32,"num_key_value_heads":8,"sliding_window":4096,"tie_word_embeddings":false,"torch_dtype":"bfloat16","vocab_size":32000}`},
	{"mistral-7b-v0.3", `{"architectures":["MistralForCausalLM"],"hidden_size":4096,"intermediate_size":14336,"model_type":"mistral","num_attention_heads":32,"num_hidden_layers":32,"num_key_value_heads":8,"sliding_window":null,"tie_word_embeddings":false,"torch_dtype":"bfloat16","vocab_size":32768}`},
	{"qwen2.5-7b", `{"architectures":["Qwen2ForCausalLM"],"hidden_size":3584,"intermediate_size":18944,"max_window_layers":28,"model_type":"qwen2","num_attention_heads":28,"num_hidden_layers":28,"num_key_value_heads":4,"sliding_window":131072,"tie_word_embeddings":false,"torch_dtype":"bfloat16","use_sliding_window":false,"vocab_size":152064}`},
	{"qwen3-8b", `{"architectures":["Qwen3ForCausalLM"],"attention_bias":false,"head_dim":128,"hidden_size":4096,"intermediate_size":12288,"max_window_layers":36,"model_type":"qwen3","num_attention_heads":32,"num_hidden_layers":36,"num_key_value_heads":8,"sliding_window":null,"tie_word_embeddings":false,"torch_dtype":"bfloat16","use_sliding_window":false,"vocab_size":151936}`},
	{"qwen3-30b-a3b", `{"architectures":["Qwen3MoeForCausalLM"],"attention_bias":false,"decoder_sparse_step":1,"head_dim":128,"hidden_size":2048,"intermediate_size":6144,"mlp_only_layers":[],"model_type":"qwen3_moe","moe_intermediate_size":768,"num_attention_heads":32,"num_experts":128,"num_experts_per_tok":8,"num_hidden_layers":48,"num_key_value_heads":4,"sliding_window":null,"tie_word_embeddings":false,"torch_dtype":"bfloat16","vocab_size":151936}`},
	{"qwen3-next-80b-a3b", `{"architectures":["Qwen3NextForCausalLM"],"decoder_sparse_step":1,"full_attention_interval":4,"head_dim":256,"hidden_size":2048,"intermediate_size":5120,"linear_conv_kernel_dim":4,"linear_key_head_dim":128,"linear_num_key_heads":16,"linear_num_value_heads":32,"linear_value_head_dim":128,"mlp_only_layers":[],"model_type":"qwen3_next","moe_intermediate_size":512,"num_attention_heads":16,"num_experts":512,"num_experts_per_tok":10,"num_hidden_layers":48,"num_key_value_heads":2,"shared_expert_intermediate_size":512,"tie_word_embeddings":false,"torch_dtype":"bfloat16","vocab_size":151936}`},
	{"qwen1.5-moe-a2.7b", `{"architectures":["Qwen2MoeForCausalLM"],"decoder_sparse_step":1,"hidden_size":2048,"intermediate_size":5632,"max_window_layers":21,"model_type":"qwen2_moe","moe_intermediate_size":1408,"num_attention_heads":16,"num_experts":60,"num_experts_per_tok":4,"num_hidden_layers":24,"num_key_value_heads":16,"shared_expert_intermediate_size":5632,"sliding_window":32768,"tie_word_embeddings":false,"torch_dtype":"bfloat16","use_sliding_window":false,"vocab_size":151936}`},
	{"mixtral-8x7b-v0.1", `{"architectures":["MixtralForCausalLM"],"hidden_size":4096,"intermediate_size":14336,"model_type":"mixtral","num_attention_heads":32,"num_experts_per_tok":2,"num_hidden_layers":32,"num_key_value_heads":8,"num_local_experts":8,"sliding_window":null,"tie_word_embeddings":false,"torch_dtype":"bfloat16","vocab_size":32000}`},
	{"deepseek-v3", `{"architectures":["DeepseekV3ForCausalLM"],"attention_bias":false,"first_k_dense_replace":3,"hidden_size":7168,"intermediate_size":18432,"kv_lora_rank":512,"model_type":"deepseek_v3","moe_intermediate_size":2048,"moe_layer_freq":1,"n_routed_experts":256,"n_shared_experts":1,"num_attention_heads":128,"num_experts_per_tok":8,"num_hidden_layers":61,"num_key_value_heads":128,"q_lora_rank":1536,"qk_nope_head_dim":128,"qk_rope_head_dim":64,"quantization_config":{"activation_scheme":"dynamic","fmt":"e4m3","quant_method":"fp8","weight_block_size":[128,128]},"tie_word_embeddings":false,"torch_dtype":"bfloat16","v_head_dim":128,"vocab_size":129280}`},
	{"deepseek-v2-lite", `{"architectures":["DeepseekV2ForCausalLM"],"attention_bias":false,"first_k_dense_replace":1,"hidden_size":2048,"intermediate_size":10944,"kv_lora_rank":512,"model_type":"deepseek_v2","moe_intermediate_size":1408,"moe_layer_freq":1,"n_routed_experts":64,"n_shared_experts":2,"num_attention_heads":16,"num_experts_per_tok":6,"num_hidden_layers":27,"num_key_value_heads":16,"q_lora_rank":null,"qk_nope_head_dim":128,"qk_rope_head_dim":64,"tie_word_embeddings":false,"torch_dtype":"bfloat16","v_head_dim":128,"vocab_size":102400}`},
	{"gpt-oss-20b", `{"architectures":["GptOssForCausalLM"],"attention_bias":true,"experts_per_token":4,"head_dim":64,"hidden_size":2880,"intermediate_size":2880,"layer_types":["sliding_attention","full_attention","sliding_attention","full_attention","sliding_attention","full_attention","sliding_attention","full_attention","sliding_attention","full_attention","sliding_attention","full_attention","sliding_attention","full_attention","sliding_attention","full_attention","sliding_attention","full_attention","sliding_attention","full_attention","sliding_attention","full_attention","sliding_attention","full_attention"],"model_type":"gpt_oss","num_attention_heads":64,"num_experts_per_tok":4,"num_hidden_layers":24,"num_key_value_heads":8,"num_local_experts":32,"quantization_config":{"modules_to_not_convert":["model.layers.*.self_attn","model.layers.*.mlp.router","model.embed_tokens","lm_head"],"quant_method":"mxfp4"},"sliding_window":128,"tie_word_embeddings":false,"vocab_size":201088}`},
	{"gemma-2-9b", `{"architectures":["Gemma2ForCausalLM"],"attention_bias":false,"head_dim":256,"hidden_size":3584,"intermediate_size":14336,"model_type":"gemma2","num_attention_heads":16,"num_hidden_layers":42,"num_key_value_heads":8,"sliding_window":4096,"sliding_window_size":4096,"torch_dtype":"bfloat16","vocab_size":256000}`},
	{"gemma-3-4b", `{"architectures":["Gemma3ForConditionalGeneration"],"model_type":"gemma3","text_config":{"hidden_size":2560,"intermediate_size":10240,"model_type":"gemma3_text","num_hidden_layers":34,"rope_scaling":{"factor":8.0,"rope_type":"linear"},"sliding_window":1024},"torch_dtype":"bfloat16","vision_config":{"hidden_size":1152,"num_attention_heads":16,"num_hidden_layers":27,"intermediate_size":4304}}`},
	{"gemma-3-27b", `{"architectures":["Gemma3ForConditionalGeneration"],"model_type":"gemma3","text_config":{"head_dim":128,"hidden_size":5376,"intermediate_size":21504,"model_type":"gemma3_text","num_attention_heads":32,"num_hidden_layers":62,"num_key_value_heads":16,"query_pre_attn_scalar":168,"sliding_window":1024},"torch_dtype":"bfloat16"}`},
	{"gemma-3-1b", `{"architectures":["Gemma3ForCausalLM"],"attention_bias":false,"head_dim":256,"hidden_size":1152,"intermediate_size":6912,"model_type":"gemma3_text","num_attention_heads":4,"num_hidden_layers":26,"num_key_value_heads":1,"sliding_window":512,"sliding_window_pattern":6,"torch_dtype":"bfloat16","vocab_size":262144}`},
	{"phi-3-mini-4k", `{"architectures":["Phi3ForCausalLM"],"hidden_size":3072,"intermediate_size":8192,"model_type":"phi3","num_attention_heads":32,"num_hidden_layers":32,"num_key_value_heads":32,"sliding_window":null,"tie_word_embeddings":false,"torch_dtype":"bfloat16","vocab_size":32064}`},
	{"phi-4", `{"architectures":["Phi3ForCausalLM"],"attention_bias":false,"hidden_size":5120,"intermediate_size":17920,"model_type":"phi3","num_attention_heads":40,"num_hidden_layers":40,"num_key_value_heads":10,"sliding_window":null,"tie_word_embeddings":false,"torch_dtype":"bfloat16","vocab_size":100352}`},
	{"glm-4.5-air", `{"architectures":["Glm4MoeForCausalLM"],"attention_bias":true,"first_k_dense_replace":1,"head_dim":128,"hidden_size":4096,"intermediate_size":10944,"model_type":"glm4_moe","moe_intermediate_size":1408,"n_routed_experts":128,"n_shared_experts":1,"num_attention_heads":96,"num_experts_per_tok":8,"num_hidden_layers":46,"num_key_value_heads":8,"tie_word_embeddings":false,"torch_dtype":"bfloat16","use_qk_norm":false,"vocab_size":151552}`},
	{"opt-125m", `{"architectures":["OPTForCausalLM"],"ffn_dim":3072,"hidden_size":768,"model_type":"opt","num_attention_heads":12,"num_hidden_layers":12,"torch_dtype":"float16","vocab_size":50272}`},
}

func TestHFConfigAgreesWithTable(t *testing.T) {
	for _, c := range configs {
		got, err := ParseHFConfig([]byte(c.json))
		if err != nil {
			t.Errorf("%s: %v", c.model, err)
			continue
		}
		k, ok := knownExact(c.model)
		if !ok {
			t.Errorf("%s: not in the table", c.model)
			continue
		}
		want := k.Shape
		got.DType = ""
		if got != want {
			t.Errorf("%s:\n got %+v\nwant %+v", c.model, got, want)
		}
	}
}

func TestHFConfigQuantisation(t *testing.T) {
	base := `{"model_type":"llama","hidden_size":4096,"intermediate_size":14336,"num_attention_heads":32,"num_hidden_layers":32,"num_key_value_heads":8,"vocab_size":128256,"torch_dtype":"bfloat16","quantization_config":`
	for _, c := range []struct {
		quant string
		want  DType
	}{
		{`{"quant_method":"fp8"}`, FP8},
		{`{"quant_method":"compressed-tensors","format":"float-quantized","config_groups":{"group_0":{"targets":["Linear"],"weights":{"num_bits":8,"type":"float"}}},"ignore":["lm_head"]}`, FP8},
		{`{"quant_method":"compressed-tensors","format":"pack-quantized","config_groups":{"group_0":{"weights":{"num_bits":4,"type":"int","group_size":128}}}}`, INT4},
		{`{"quant_method":"compressed-tensors","config_groups":{"group_0":{"weights":{"num_bits":8,"type":"int"}}}}`, INT8},
		{`{"quant_method":"compressed-tensors","format":"nvfp4-pack-quantized","config_groups":{"group_0":{"weights":{"num_bits":4,"type":"float","group_size":16}}}}`, NVFP4},
		{`{"quant_method":"awq","bits":4,"group_size":128,"version":"gemm"}`, INT4},
		{`{"quant_method":"gptq","bits":8}`, INT8},
		{`{"quant_method":"modelopt","quant_algo":"FP8"}`, FP8},
		{`{"quant_method":"modelopt","quant_algo":"NVFP4"}`, NVFP4},
		{`{"quant_method":"bitsandbytes","load_in_4bit":true}`, INT4},
		{`null`, ""},
	} {
		s, err := ParseHFConfig([]byte(base + c.quant + "}"))
		if err != nil || s.WeightDType != c.want {
			t.Errorf("%s: %q, %v; want %q", c.quant, s.WeightDType, err, c.want)
		}
	}
	if _, err := ParseHFConfig([]byte(base + `{"quant_method":"aqlm"}}`)); !errors.Is(err, ErrConfig) {
		t.Errorf("an unknown method was accepted: %v", err)
	}
}

func TestHFConfigRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"empty":           ``,
		"not an object":   `[1,2]`,
		"no fields":       `{}`,
		"negative":        `{"hidden_size":-1,"num_hidden_layers":2,"num_attention_heads":2,"vocab_size":10,"intermediate_size":4}`,
		"huge":            `{"hidden_size":1e300,"num_hidden_layers":2}`,
		"zero heads":      `{"hidden_size":64,"num_hidden_layers":2,"num_attention_heads":0,"vocab_size":10,"intermediate_size":4}`,
		"encoder":         `{"model_type":"bert","hidden_size":768,"num_hidden_layers":12,"num_attention_heads":12,"vocab_size":30522,"intermediate_size":3072}`,
		"mamba":           `{"model_type":"mamba2","hidden_size":768,"num_hidden_layers":12,"vocab_size":30522}`,
		"text wrong type": `{"text_config":3}`,
		"layer type":      `{"hidden_size":64,"num_hidden_layers":1,"num_attention_heads":2,"vocab_size":10,"intermediate_size":4,"layer_types":["mamba"]}`,
		"experts of none": `{"hidden_size":64,"num_hidden_layers":1,"num_attention_heads":2,"vocab_size":10,"intermediate_size":4,"num_experts":2,"num_experts_per_tok":3}`,
	} {
		if s, err := ParseHFConfig([]byte(in)); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: accepted as %+v (%v)", name, s, err)
		}
	}
}

func FuzzParseHFConfig(f *testing.F) {
	for _, c := range configs {
		f.Add([]byte(c.json))
	}
	f.Add([]byte(`{"text_config":{"text_config":{"text_config":{"text_config":{}}}}}`))
	f.Add([]byte(strings.Repeat("[", 100)))
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := ParseHFConfig(in)
		if err != nil {
			return
		}
		if err := s.CheckValid(); err != nil {
			t.Fatalf("accepted an invalid shape: %v", err)
		}
		c := s.StepCost(Batch{PrefillSeqs: 3, PrefillTokens: 100, PrefillKVTokens: 300, DecodeSeqs: 7, DecodeKVTokens: 900})
		if !(c.MustMove() > 0) || !(c.FLOPs() > 0) {
			t.Fatalf("cost of a valid shape: %+v", c)
		}
		for _, p := range c.Parts {
			if p.FLOPs < 0 || p.WeightBytes < 0 || p.KVBytes < 0 || p.Activations < 0 {
				t.Fatalf("negative part %+v", p)
			}
		}
	})
}
