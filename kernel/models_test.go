package kernel

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// model is a step written as kernels and the place each must get: "stage" or
// "stage/role". Lines between "repeat N" and "end" occur N times, and N layers
// are expected in total unless layers says otherwise.
type model struct {
	name   string
	layers int
	passes int
	step   string
}

// names abbreviates kernel names in the steps below; they are spelled as in
// profiles of the engines.
var names = map[string]string{
	"embed":      "void at::native::(anonymous namespace)::indexSelectLargeIndex<c10::BFloat16, long, unsigned int, 2, 2, -2, true>(at::cuda::detail::TensorInfo<c10::BFloat16, unsigned int>)",
	"rms":        "void vllm::rms_norm_kernel<c10::BFloat16, 8, 2, true>(T1 *, const T1 *, long)",
	"addrms":     "std::enable_if<(8>0)&&vllm::_typeConvert<c10::BFloat16>::exists, void>::type vllm::fused_add_rms_norm_kernel<c10::BFloat16, 8, true>(c10::BFloat16*)",
	"addrmsfi":   "void flashinfer::norm::FusedAddRMSNormKernel<8u, __nv_bfloat16>(__nv_bfloat16*, __nv_bfloat16*)",
	"ln":         "void at::native::(anonymous namespace)::vectorized_layer_norm_kernel<c10::BFloat16, float, false>(int, float)",
	"nvjet":      "nvjet_sm90_tst_64x8_64x16_4x1_v_bz_TNT",
	"nvjetk":     "nvjet_sm90_tst_64x8_64x16_2x1_v_bz_splitK_TNT",
	"splitk":     "void cublasLt::splitKreduce_kernel<32, 16, int, float, __nv_bfloat16, float, __nv_bfloat16, false>(cublasLt::cublasSplitKParams<float>)",
	"ampere":     "ampere_bf16_s16816gemm_bf16_64x64_ldg8_relu_f2f_stages_64x5_tn",
	"cijk":       "Cijk_Alik_Bljk_BBS_BH_Bias_HA_S_SAV_UserArgs_MT256x256x64_MI16x16x1_SN",
	"cutlassfp8": "void cutlass::device_kernel<vllm::cutlass_3x_gemm_sm90_fp8<cutlass::float_e4m3_t, cutlass::bfloat16_t, vllm::c3x::ScaledEpilogue> >(T1::Params)",
	"deepgemm":   "void deep_gemm::sm90_fp8_gemm_1d2d_impl<(cute::UMMA::Major)0, 0u, 7168u, 1536u, 1u, 64u, 128u>(float*, int*)",
	"marlin":     "void marlin::Marlin<c10::BFloat16, 1125899907892224l, 256, 1, 8, 8, true>(int4 const*, int4 const*, int4*)",
	"rope":       "void vllm::rotary_embedding_kernel<c10::BFloat16, c10::BFloat16, true>(const long *, T1 *, T1 *)",
	"ropefi":     "void flashinfer::BatchQKApplyRotaryPosIdsCosSinCacheEnhancedKernel<false, 128u>(RopeParams)",
	"kv":         "void vllm::reshape_and_cache_flash_kernel<__nv_bfloat16, __nv_bfloat16, (vllm::Fp8KVCacheDataType)0>(__nv_bfloat16 const*)",
	"kvsgl":      "store_kvcache_kernel",
	"mlakv":      "void vllm::concat_and_cache_mla_kernel<__nv_bfloat16, __nv_bfloat16, (vllm::Fp8KVCacheDataType)0>(__nv_bfloat16 const*)",
	"fa3":        "void cutlass::device_kernel<flash::enable_sm90_or_later<flash::FlashAttnFwdSm90<flash::CollectiveMainloopFwdSm90<2, cute::tuple<cute::C<1> > > > > >(T1::Params)",
	"fa3comb":    "void cutlass::device_kernel<flash::FlashAttnFwdCombine<cute::tuple<cute::C<8>, cute::C<128>>, 5, 256, 1, false, true, cutlass::bfloat16_t, float, cutlass::arch::Sm90>>(T1::Params)",
	"fa2":        "void flash_fwd_splitkv_kernel<Flash_fwd_kernel_traits<128, 64, 128, 4, false, false, cutlass::bfloat16_t>, true>(Flash_fwd_params)",
	"fa2comb":    "void flash_fwd_splitkv_combine_kernel<Flash_fwd_kernel_traits<128, 64, 128, 4>, 4, 5, true>(Flash_fwd_params)",
	"fidecode":   "void flashinfer::BatchDecodeWithPagedKVCacheKernel<(flashinfer::PosEncodingMode)0, 2u, 1u, 8u, 16u, 1u, 8u, flashinfer::DefaultAttention<false> >(flashinfer::Params)",
	"fimerge":    "void flashinfer::PersistentVariableLengthMergeStatesKernel<8u, 16u, 8u, 4u, __nv_bfloat16>(__nv_bfloat16*)",
	"unified":    "kernel_unified_attention_3d",
	"segments":   "reduce_segments",
	"xqa":        "kernel_mha",
	"flashmla":   "void sm90::decode::dense::flash_fwd_splitkv_mla_kernel<cutlass::bfloat16_t>(DenseAttnDecodeParams)",
	"mlacomb":    "void flash_fwd_mla_combine_kernel<cutlass::bfloat16_t, float, long, 512, 4>(Params)",
	"gathermla":  "void vllm::gather_and_maybe_dequant_cache<__nv_bfloat16, __nv_bfloat16, (vllm::Fp8KVCacheDataType)0>(__nv_bfloat16 const*)",
	"mergest":    "void vllm::merge_attn_states_kernel<__nv_bfloat16, 128u>(__nv_bfloat16*, float*)",
	"silu":       "void vllm::act_and_mul_kernel<c10::BFloat16, &(vllm::silu_kernel<c10::BFloat16>), true>(c10::BFloat16*)",
	"gelu":       "void vllm::act_and_mul_kernel<c10::BFloat16, &(vllm::gelu_tanh_kernel<c10::BFloat16>), true>(c10::BFloat16*)",
	"relu":       "void at::native::vectorized_elementwise_kernel<4, at::native::(anonymous namespace)::launch_clamp_scalar(at::TensorIteratorBase&, c10::Scalar, c10::Scalar, at::native::detail::ClampLimits)::{lambda()#1}::operator()() const::relu>(int)",
	"add":        "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<c10::BFloat16>, std::array<char*, 3ul> >(int, at::native::CUDAFunctor_add<c10::BFloat16>)",
	"sigmul":     "triton_poi_fused_mul_sigmoid_view_3",
	"quant":      "void vllm::scaled_fp8_quant_kernel<c10::BFloat16, c10::Float8_e4m3fn>(c10::Float8_e4m3fn*, c10::BFloat16 const*)",
	"groupquant": "void per_token_group_quant_8bit_kernel<c10::BFloat16, __nv_fp8_e4m3, true, float>(void const*)",
	"ar":         "void vllm::cross_device_reduce_1stage<__nv_bfloat16, 2>(vllm::RankData*, vllm::RankSignals, vllm::Signal*)",
	"arnorm":     "void flashinfer::trtllm_allreduce_fusion::allreduce_fusion_kernel_oneshot_lamport<(flashinfer::trtllm_allreduce_fusion::AllReduceFusionPattern)1, __nv_bfloat16, 8, true>(flashinfer::AllReduceFusionParams)",
	"nccl":       "ncclDevKernel_AllGather_RING_LL(ncclDevKernelArgsStorage<4096ul>)",
	"topksm":     "void vllm::moe::topkGating<8, 128, 4, 16, 32, int, __nv_bfloat16, (vllm::moe::ScoringFunc)0>(__nv_bfloat16 const*)",
	"grouptopk":  "void vllm::moe::grouped_topk_fused_kernel<float, float, int, (vllm::moe::ScoringFunc)1>(float*, float*)",
	"align":      "void vllm::moe::moe_align_block_size_kernel<int>(int const*, int*, int*, int*)",
	"fusedmoe":   "fused_moe_kernel",
	"moesum":     "void vllm::moe::moe_sum_kernel<c10::BFloat16, 8>(c10::BFloat16*, c10::BFloat16 const*, int)",
	"ogs":        "_matmul_ogs_NNT_bf16xbf16xmxfp4_16x256x128x1_swiglu",
	"ogs2":       "_matmul_ogs_NNT_bf16xbf16xmxfp4_16x128x128x1",
	"routingtri": "_topk_forward",
	"combrout":   "_combined_routing_compute",
	"conv":       "_causal_conv1d_update_kernel",
	"gdn":        "fused_recurrent_gated_delta_rule_packed_decode_kernel",
	"ssd":        "_selective_scan_update_kernel",
	"gatednorm":  "layer_norm_fwd_kernel",
	"ssdnorm":    "_layer_norm_fwd_1pass_kernel",
	"gather":     "void at::native::vectorized_gather_kernel<16, long>(char*, char*, long*, int, long, long, long, long, bool)",
	"cast":       "void at::native::unrolled_elementwise_kernel<at::native::direct_copy_kernel_cuda(at::TensorIteratorBase&)::{lambda()#3}, std::array<char*, 2ul>, 4>(int)",
	"argmax":     "void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float, at::native::ArgMaxOps<float>, unsigned int, long, 4, 4> >(at::native::ReduceOp<float>)",
	"gumbel":     "_gumbel_sample_kernel",
	"reject":     "rejection_greedy_sample_kernel",
	"slots":      "_compute_slot_mappings_kernel",
	"fill":       "void at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<int>, std::array<char*, 1ul> >(int, at::native::FillFunctor<int>)",
	"memset":     "[CUDA memset]",
	"cat":        "void at::native::(anonymous namespace)::CatArrayBatchedCopy<at::native::(anonymous namespace)::OpaqueType<2u>, unsigned int, 3, 64, 64>(char*)",
	"lorashrink": "_lora_shrink_kernel",
	"loraexpand": "_lora_expand_kernel",
	"reluk":      "void vllm::activation_kernel<c10::BFloat16, &(vllm::relu_squared_kernel<c10::BFloat16>), true>(c10::BFloat16*)",
	"siluep":     "silu_and_mul_kernel_ep_index",
	"red1":       "triton_red_fused_1",
	"dispatch":   "void deep_ep::internode_ll::dispatch<true, false, 7168>(void*, float*, int*)",
	"combine":    "void deep_ep::internode_ll::combine<false, 7168, 9>(void*, float*, int*)",
	"trtroute":   "void moe::dev::routing::routingDeepSeek::routingMainKernel<moe::dev::routing::routingDeepSeek::KernelParams<float> >(KernelParams)",
	"trtfmha":    "fmhaSm100fKernel_QkvBfloat16OBfloat16H128PagedKvCausalP64VarSeqQ128Kv128PersistentContext",
	"bmm1":       "bmm_E4m3_E4m3E4m3_Fp32_t128x8x128u2_s6_et64x8_m64x8x32_cga1x1x1_16dp256b_TN_transOut_schedS_bN_ldgsts_rgTma_clmp_swiGlu_dynBatch_sm100f",
	"bmm2":       "bmm_Bfloat16_E4m3E4m3_Fp32_t128x8x128u2_s6_et64x8_m64x8x32_cga1x1x1_16dp256b_TN_transOut_schedS_dynBatch_sm100f",
	"poi1":       "triton_poi_fused_1",
	"poi2":       "triton_poi_fused_2",
	"poi3":       "triton_poi_fused_add_view_3",
	"normrow":    "triton_red_fused_fused_add_rms_norm_2",
	"embnorm":    "triton_red_fused__to_copy_embedding_rms_norm_0",
	"siluind":    "triton_poi_fused_mul_silu_slice_1",
	"mystery":    "void acme::superfast_kernel<__nv_bfloat16, 128>(acme::Params)",
	"cublasgelu": "sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x128x64_warpgroupsize1x1x1_bias_gelu_execute_segment_k_off_kernel__5x_cublas",
	"softmaxnat": "void (anonymous namespace)::softmax_warp_forward<float, float, float, 7, false, false>(float*, float const*, int, int, int)",
	"topknat":    "void at::native::sbtopk::gatherTopK<float, unsigned int, 2, false>(at::cuda::detail::TensorInfo<float const, unsigned int>)",
	"grouped":    "void cutlass::device_kernel<cutlass::gemm::kernel::GemmUniversal<cutlass::gemm::GroupProblemShape<cute::tuple<int, int, int> >, cutlass::gemm::collective::CollectiveMma<> > >(T1::Params)",
	"rmsck":      "_ZN7ck_tile6kentryILi256ELi1ENS_13Rmsnorm2dFwdINS_27Rmsnorm2dFwdPipelineOnePassIS2_EE",
	"pa":         "void paged_attention_ll4mi_QKV_mfma16_kernel<__hip_bfloat16, __hip_bfloat16, (vllm::Fp8KVCacheDataType)0, 16, 128, 256, false, 4>(__hip_bfloat16 const*)",
	"pareduce":   "void paged_attention_ll4mi_reduce_kernel<__hip_bfloat16, __hip_bfloat16, 128, 128, 256, 1>(__hip_bfloat16*)",
}

var models = []model{
	{name: "Qwen3 eager, query and key norms, separate rope", layers: 4, step: `
embed embedding
repeat 4
addrms norm
nvjet qkv/qkv
rms norm
rms norm
rope rope
kv kv-write
fa3 attention
fa3comb attention
nvjet o-proj/o
addrms norm
nvjet mlp/gate_up
silu activation
nvjetk mlp/down
splitk mlp/down
end
addrms norm
gather copy
nvjet lm-head/lm_head
cast sampling
gumbel sampling
argmax sampling`},
	{name: "separate q, k, v, gate and up projections", layers: 3, step: `
embed embedding
repeat 3
rms norm
ampere qkv/qkv
ampere qkv/qkv
ampere qkv/qkv
rope rope
kv kv-write
fa2 attention
fa2comb attention
ampere o-proj/o
add norm
rms norm
ampere mlp/gate_up
ampere mlp/gate_up
silu activation
ampere mlp/down
add norm
end
rms norm
ampere lm-head/lm_head
argmax sampling`},
	{name: "tensor parallel with all-reduces and split logits", layers: 4, step: `
embed embedding
ar collective
repeat 4
addrms norm
nvjet qkv/qkv
rope rope
kv kv-write
fa3 attention
nvjetk o-proj/o
splitk o-proj/o
ar collective
addrms norm
nvjet mlp/gate_up
silu activation
nvjet mlp/down
ar collective
end
addrms norm
nvjet lm-head/lm_head
nccl collective
gumbel sampling`},
	{name: "all-reduce fused with the norm", layers: 4, step: `
embed embedding
rms norm
nvjet qkv/qkv
rope rope
kv kv-write
fa3 attention
nvjet o-proj/o
repeat 3
arnorm collective
nvjet mlp/gate_up
silu activation
nvjet mlp/down
arnorm collective
nvjet qkv/qkv
rope rope
kv kv-write
fa3 attention
nvjet o-proj/o
end
arnorm collective
nvjet mlp/gate_up
silu activation
nvjet mlp/down
arnorm collective
nvjet lm-head/lm_head
argmax sampling`},
	{name: "fp8 with a quantisation kernel before every GEMM", layers: 4, step: `
embed embedding
repeat 4
rms norm
quant quant
cutlassfp8 qkv/qkv
rope rope
kv kv-write
fa3 attention
quant quant
cutlassfp8 o-proj/o
addrms norm
quant quant
cutlassfp8 mlp/gate_up
silu activation
quant quant
cutlassfp8 mlp/down
end
addrms norm
nvjet lm-head/lm_head
gumbel sampling`},
	{name: "torch.compile with nameless pointwise kernels", layers: 4, step: `
embnorm embedding
nvjet qkv/qkv
poi1 rope
kv kv-write
fa3 attention
nvjet o-proj/o
normrow norm
nvjet mlp/gate_up
siluind activation
nvjet mlp/down
repeat 3
normrow norm
nvjet qkv/qkv
poi2 rope
kv kv-write
fa3 attention
nvjet o-proj/o
normrow norm
nvjet mlp/gate_up
siluind activation
nvjet mlp/down
end
normrow norm
nvjet lm-head/lm_head
gumbel sampling`},
	{name: "activation of unknown name", layers: 3, step: `
embed embedding
repeat 3
rms norm
nvjet qkv/qkv
rope rope
kv kv-write
fa3 attention
nvjet o-proj/o
rms norm
nvjet mlp/gate_up
poi3 activation
nvjet mlp/down
end
rms norm
nvjet lm-head/lm_head
argmax sampling`},
	{name: "activation fused into the GEMM", layers: 3, step: `
embed embedding
repeat 3
ln norm
ampere qkv/qkv
kv kv-write
fa2 attention
ampere o-proj/o
ln norm
cublasgelu mlp/gate_up
ampere mlp/down
end
ln norm
ampere lm-head/lm_head
argmax sampling`},
	{name: "attention of unknown name", layers: 4, step: `
embed embedding
repeat 4
rms norm
nvjet qkv/qkv
rope rope
kv kv-write
mystery attention
nvjet o-proj/o
rms norm
nvjet mlp/gate_up
silu activation
nvjet mlp/down
end
rms norm
nvjet lm-head/lm_head
argmax sampling`},
	{name: "attention of unknown name that writes the cache itself", layers: 4, step: `
embed embedding
repeat 4
rms norm
nvjet qkv/qkv
mystery attention
nvjet o-proj/o
rms norm
nvjet mlp/gate_up
silu activation
nvjet mlp/down
end
rms norm
nvjet lm-head/lm_head
argmax sampling`},
	{name: "Gemma: sandwich norms and GELU", layers: 3, step: `
embed embedding
repeat 3
rms norm
nvjet qkv/qkv
rope rope
kv kv-write
fa3 attention
nvjet o-proj/o
rms norm
addrms norm
nvjet mlp/gate_up
gelu activation
nvjet mlp/down
rms norm
end
addrms norm
nvjet lm-head/lm_head
argmax sampling`},
	{name: "Mixtral and Qwen3-MoE, Triton experts", layers: 4, step: `
embed embedding
repeat 4
addrms norm
nvjet qkv/qkv
rope rope
kv kv-write
fa3 attention
nvjet o-proj/o
addrms norm
nvjet moe/router
topksm moe
align moe
fusedmoe moe/expert_gate_up
silu activation
fusedmoe moe/expert_down
moesum moe
end
addrms norm
nvjet lm-head/lm_head
gumbel sampling`},
	{name: "gpt-oss: matmul_ogs experts, Triton attention", layers: 4, step: `
embed embedding
repeat 4
rms norm
nvjet qkv/qkv
rope rope
kv kv-write
unified attention
segments attention
nvjet o-proj/o
rms norm
nvjet moe/router
routingtri moe
combrout moe
ogs moe/expert_gate_up
ogs2 moe/expert_down
end
rms norm
nvjet lm-head/lm_head
argmax sampling`},
	{name: "native routing with softmax, top-k", layers: 4, step: `
embed embedding
repeat 4
rms norm
nvjet qkv/qkv
rope rope
kv kv-write
fa3 attention
nvjet o-proj/o
rms norm
nvjet moe/router
softmaxnat moe
topknat moe
align moe
grouped moe/expert_gate_up
silu activation
grouped moe/expert_down
moesum moe
end
rms norm
nvjet lm-head/lm_head
softmaxnat sampling
argmax sampling`},
	{name: "DeepSeek: latent attention, first layers dense, shared experts, DeepGEMM", layers: 5, step: `
embed embedding
repeat 2
addrms norm
groupquant quant
deepgemm qkv/mla_qkv_a
rms norm
rms norm
groupquant quant
deepgemm qkv/mla_q_b
rope rope
mlakv kv-write
nvjet qkv/mla_q_b
flashmla attention
mlacomb attention
nvjet o-proj/mla_v_b
groupquant quant
deepgemm o-proj/o
addrms norm
groupquant quant
deepgemm mlp/gate_up
silu activation
groupquant quant
deepgemm mlp/down
end
repeat 3
addrms norm
groupquant quant
deepgemm qkv/mla_qkv_a
rms norm
rms norm
groupquant quant
deepgemm qkv/mla_q_b
rope rope
mlakv kv-write
nvjet qkv/mla_q_b
flashmla attention
mlacomb attention
nvjet o-proj/mla_v_b
groupquant quant
deepgemm o-proj/o
addrms norm
nvjet moe/router
groupquant quant
deepgemm mlp/shared_gate_up
silu activation
groupquant quant
deepgemm mlp/shared_down
grouptopk moe
align moe
grouped moe/expert_gate_up
silu activation
grouped moe/expert_down
moesum moe
add moe
end
addrms norm
nvjet lm-head/lm_head
gumbel sampling`},
	{name: "DeepSeek prefill with earlier chunks", layers: 3, step: `
embed embedding
repeat 3
addrms norm
nvjet qkv/mla_qkv_a
rms norm
rms norm
nvjet qkv/mla_q_b
rope rope
mlakv kv-write
nvjet qkv/mla_q_b
cat copy
fa3 attention
gathermla kv-write
nvjet qkv/mla_q_b
cat copy
fa3 attention
mergest attention
nvjet o-proj/o
addrms norm
nvjet moe/router
grouptopk moe
align moe
grouped moe/expert_gate_up
silu activation
grouped moe/expert_down
moesum moe
nvjet mlp/shared_gate_up
silu activation
nvjet mlp/shared_down
add moe
end
addrms norm
nvjet lm-head/lm_head
gumbel sampling`},
	{name: "hybrid of gated delta net and gated attention, MoE", layers: 8, step: `
embed embedding
repeat 2
addrms norm
nvjet qkv/linear_in
nvjet qkv/linear_in
conv linear-attn
gdn linear-attn
gatednorm norm
nvjet o-proj/linear_out
addrms norm
nvjet moe/router
topksm moe
align moe
fusedmoe moe/expert_gate_up
silu activation
fusedmoe moe/expert_down
moesum moe
addrms norm
nvjet qkv/linear_in
nvjet qkv/linear_in
conv linear-attn
gdn linear-attn
gatednorm norm
nvjet o-proj/linear_out
addrms norm
nvjet moe/router
topksm moe
align moe
fusedmoe moe/expert_gate_up
silu activation
fusedmoe moe/expert_down
moesum moe
addrms norm
nvjet qkv/linear_in
nvjet qkv/linear_in
conv linear-attn
gdn linear-attn
gatednorm norm
nvjet o-proj/linear_out
addrms norm
nvjet moe/router
topksm moe
align moe
fusedmoe moe/expert_gate_up
silu activation
fusedmoe moe/expert_down
moesum moe
addrms norm
nvjet qkv/qkv
rms norm
rms norm
rope rope
kv kv-write
fa3 attention
sigmul activation
nvjet o-proj/o
addrms norm
nvjet moe/router
topksm moe
align moe
fusedmoe moe/expert_gate_up
silu activation
fusedmoe moe/expert_down
moesum moe
end
addrms norm
nvjet lm-head/lm_head
gumbel sampling`},
	{name: "state-space model without FFN", layers: 4, step: `
embed embedding
repeat 4
addrms norm
nvjet qkv/linear_in
conv linear-attn
ssd linear-attn
ssdnorm linear-attn
nvjet o-proj/linear_out
end
addrms norm
nvjet lm-head/lm_head
argmax sampling`},
	{name: "OPT: LayerNorm and ReLU", layers: 3, step: `
embed embedding
embed embedding
add bookkeeping
repeat 3
ln norm
ampere qkv/qkv
kv kv-write
fa2 attention
ampere o-proj/o
add norm
ln norm
ampere mlp/gate_up
relu activation
ampere mlp/down
add norm
end
ln norm
ampere lm-head/lm_head
argmax sampling`},
	{name: "SGLang with FlashInfer", layers: 4, step: `
embed embedding
repeat 4
addrmsfi norm
nvjet qkv/qkv
ropefi rope
kvsgl kv-write
fidecode attention
fimerge attention
nvjet o-proj/o
addrmsfi norm
nvjet mlp/gate_up
silu activation
nvjet mlp/down
end
addrmsfi norm
nvjet lm-head/lm_head
argmax sampling`},
	{name: "ROCm", layers: 4, step: `
embed embedding
repeat 4
rmsck norm
cijk qkv/qkv
rope rope
kv kv-write
pa attention
pareduce attention
cijk o-proj/o
rmsck norm
cijk mlp/gate_up
silu activation
cijk mlp/down
end
rmsck norm
cijk lm-head/lm_head
argmax sampling`},
	{name: "4-bit weights with LoRA", layers: 3, step: `
embed embedding
repeat 3
addrms norm
marlin qkv/qkv
lorashrink qkv/qkv
loraexpand qkv/qkv
rope rope
kv kv-write
fa2 attention
marlin o-proj/o
lorashrink o-proj/o
loraexpand o-proj/o
addrms norm
marlin mlp/gate_up
lorashrink mlp/gate_up
loraexpand mlp/gate_up
silu activation
marlin mlp/down
lorashrink mlp/down
loraexpand mlp/down
end
addrms norm
ampere lm-head/lm_head
argmax sampling`},
	{name: "speculative decoding with an EAGLE draft", layers: 4, passes: 3, step: `
slots bookkeeping
embed embedding
repeat 4
addrms norm
nvjet qkv/qkv
rope rope
kv kv-write
fa3 attention
nvjet o-proj/o
addrms norm
nvjet mlp/gate_up
silu activation
nvjet mlp/down
end
addrms norm
nvjet lm-head/lm_head
argmax sampling
reject sampling
slots bookkeeping
embed embedding
cat copy
nvjet gemm/draft_in
addrms norm
nvjet qkv/qkv
rope rope
kv kv-write
fa3 attention
nvjet o-proj/o
addrms norm
nvjet mlp/gate_up
silu activation
nvjet mlp/down
addrms norm
nvjet lm-head/lm_head
argmax sampling
embed embedding
cat copy
nvjet gemm/draft_in
addrms norm
nvjet qkv/qkv
rope rope
kv kv-write
fa3 attention
nvjet o-proj/o
addrms norm
nvjet mlp/gate_up
silu activation
nvjet mlp/down
addrms norm
nvjet lm-head/lm_head
argmax sampling`},
	{name: "decoder with self and cross attention", layers: 3, step: `
embed embedding
repeat 3
ln norm
ampere qkv/qkv
kv kv-write
fa2 attention
ampere o-proj/o
ln norm
ampere qkv/qkv
fa2 attention
ampere o-proj/o
ln norm
ampere mlp/gate_up
gelu activation
ampere mlp/down
end
ln norm
ampere lm-head/lm_head
argmax sampling`},
	{name: "pipeline rank without vocabulary projection", layers: 3, step: `
repeat 3
addrms norm
nvjet qkv/qkv
rope rope
kv kv-write
fa3 attention
nvjet o-proj/o
addrms norm
nvjet mlp/gate_up
silu activation
nvjet mlp/down
end`},
	{name: "step that begins within a layer", layers: 3, step: `
nvjet o-proj/o
addrms norm
nvjet mlp/gate_up
silu activation
nvjet mlp/down
repeat 3
addrms norm
nvjet qkv/qkv
rope rope
kv kv-write
fa3 attention
nvjet o-proj/o
addrms norm
nvjet mlp/gate_up
silu activation
nvjet mlp/down
end
addrms norm
nvjet lm-head/lm_head
gumbel sampling`},
	{name: "parallel attention and MLP", layers: 3, step: `
embed embedding
repeat 3
ln norm
nvjet qkv/qkv
rope rope
kv kv-write
fa3 attention
nvjet o-proj/o
nvjet mlp/gate_up
silu activation
nvjet mlp/down
add norm
end
ln norm
nvjet lm-head/lm_head
argmax sampling`},
	{name: "norms without names", layers: 4, step: `
embed embedding
repeat 4
red1 norm
nvjet qkv/qkv
poi1 rope
kv kv-write
fa3 attention
nvjet o-proj/o
red1 norm
nvjet mlp/gate_up
siluind activation
nvjet mlp/down
end
red1 norm
nvjet lm-head/lm_head
argmax sampling`},
	{name: "vision encoder with projector before the model", layers: 3, passes: 2, step: `
repeat 2
ln norm
nvjet qkv/qkv
fa2 attention
nvjet o-proj/o
ln norm
nvjet mlp/gate_up
gelu activation
nvjet mlp/down
end
ln norm
nvjet mlp/gate_up
gelu activation
nvjet mlp/down
embed embedding
repeat 3
rms norm
nvjet qkv/qkv
rope rope
kv kv-write
fa3 attention
nvjet o-proj/o
rms norm
nvjet mlp/gate_up
silu activation
nvjet mlp/down
end
rms norm
nvjet lm-head/lm_head
argmax sampling`},
	{name: "blocks of state space, MLP and attention", layers: 6, step: `
embed embedding
repeat 3
rms norm
nvjet qkv/linear_in
conv linear-attn
ssd linear-attn
gatednorm norm
nvjet o-proj/linear_out
rms norm
nvjet mlp/gate_up
reluk activation
nvjet mlp/down
rms norm
nvjet mlp/gate_up
reluk activation
nvjet mlp/down
rms norm
nvjet qkv/qkv
kv kv-write
fa3 attention
nvjet o-proj/o
end
rms norm
nvjet lm-head/lm_head
argmax sampling`},
	{name: "expert parallel with DeepEP and FlashInfer experts", layers: 3, step: `
embed embedding
repeat 3
addrms norm
nvjet qkv/qkv
rope rope
kv kv-write
trtfmha attention
nvjet o-proj/o
addrms norm
nvjet moe/router
trtroute moe
dispatch collective
bmm1 moe/expert_gate_up
bmm2 moe/expert_down
combine collective
end
addrms norm
nvjet lm-head/lm_head
gumbel sampling`},
	{name: "native routing, experts one by one", layers: 4, step: `
embed embedding
repeat 4
rms norm
nvjet qkv/qkv
rope rope
kv kv-write
fa3 attention
nvjet o-proj/o
rms norm
nvjet moe/router
softmaxnat moe
topknat moe
nvjet moe/expert_gate_up
silu activation
nvjet moe/expert_down
nvjet moe/expert_gate_up
silu activation
nvjet moe/expert_down
add moe
end
rms norm
nvjet lm-head/lm_head
argmax sampling`},
	{name: "rotation by table lookup in every layer", layers: 4, step: `
embed embedding
repeat 4
rms norm
nvjet qkv/qkv
embed rope
embed rope
add rope
kv kv-write
fa3 attention
nvjet o-proj/o
rms norm
nvjet mlp/gate_up
silu activation
nvjet mlp/down
end
rms norm
nvjet lm-head/lm_head
argmax sampling`},
	{name: "expert parallel, experts by dense GEMM kernels, topk of unknown name", layers: 3, step: `
embed embedding
repeat 3
addrms norm
deepgemm qkv/qkv
rope rope
kv kv-write
fa3 attention
deepgemm o-proj/o
addrms norm
nvjet moe/router
splitk moe/router
add moe
dispatch collective
deepgemm moe/expert_gate_up
siluep activation
deepgemm moe/expert_down
combine collective
groupquant quant
deepgemm mlp/shared_gate_up
silu activation
deepgemm mlp/shared_down
add moe
end
addrms norm
nvjet lm-head/lm_head
gumbel sampling`},
	{name: "one layer only", layers: 1, step: `
embed embedding
rms norm
nvjet qkv/qkv
rope rope
kv kv-write
fa3 attention
nvjet o-proj/o
addrms norm
nvjet mlp/gate_up
silu activation
nvjet mlp/down
addrms norm
nvjet lm-head/lm_head
gumbel sampling`},
	{name: "fills and memsets between", layers: 3, step: `
fill bookkeeping
embed embedding
repeat 3
rms norm
memset bookkeeping
nvjet qkv/qkv
rope rope
kv kv-write
fa3 attention
fill attention
memset bookkeeping
nvjet o-proj/o
addrms norm
nvjet mlp/gate_up
silu activation
nvjet mlp/down
end
addrms norm
nvjet lm-head/lm_head
gumbel sampling
fill bookkeeping`},
	{name: "graph traced as a whole: only the logits are kernels", layers: 0, step: `
slots bookkeeping
gather copy
nvjet lm-head/lm_head
cast sampling
gumbel sampling
fill bookkeeping`},
	{name: "GEMMs without any anchor", layers: 0, step: `
nvjet gemm
nvjet gemm
nvjet gemm
nvjet gemm`},
}

// expand turns a model's step into launches and the places wanted.
func (m model) expand(t testing.TB) ([]Launch, []string, []string) {
	t.Helper()
	var lines, block []string
	count := 0
	for _, l := range strings.Split(strings.TrimSpace(m.step), "\n") {
		l = strings.TrimSpace(l)
		switch {
		case strings.HasPrefix(l, "repeat "):
			if _, err := fmt.Sscanf(l, "repeat %d", &count); err != nil {
				t.Fatalf("%s: %q: %v", m.name, l, err)
			}
			block = nil
		case l == "end":
			for range count {
				lines = append(lines, block...)
			}
			count = 0
		case count > 0:
			block = append(block, l)
		default:
			lines = append(lines, l)
		}
	}
	ids := map[string]uint32{}
	classes := map[string]*Class{}
	var seq []Launch
	var want, kernels []string
	for _, l := range lines {
		short, place, ok := strings.Cut(l, " ")
		full := names[short]
		if !ok || full == "" {
			t.Fatalf("%s: no kernel %q", m.name, l)
		}
		if classes[short] == nil {
			c := Classify(full)
			classes[short] = &c
			ids[short] = uint32(len(ids) + 1)
		}
		seq = append(seq, Launch{Name: ids[short], Class: classes[short], Grid: [3]int32{1, 1, 1}, Block: [3]int32{128, 1, 1}, Dur: 1000})
		want = append(want, place)
		kernels = append(kernels, short)
	}
	return seq, want, kernels
}

func TestModels(t *testing.T) {
	for _, m := range models {
		t.Run(m.name, func(t *testing.T) {
			seq, want, kernels := m.expand(t)
			got := AssignRoles(seq)
			for i, k := range got.Kernels {
				place := k.Stage.String()
				if k.Role != NoRole {
					place += "/" + k.Role.String()
				}
				if place != want[i] {
					t.Errorf("kernel %d %s (layer %d, %s): %s, want %s", i, kernels[i], k.Layer, k.Confidence, place, want[i])
				}
			}
			if got.Pattern.LayerCount != m.layers {
				t.Errorf("%d layers, want %d (%s)", got.Pattern.LayerCount, m.layers, got.Pattern.Why)
			}
			if p := max(m.passes, 1); got.Pattern.Passes != p {
				t.Errorf("%d passes, want %d", got.Pattern.Passes, p)
			}
		})
	}
}

// TestLayers checks where layers begin and end: the norm that closes a block
// belongs to it, the norm that opens the next one to the next.
func TestLayers(t *testing.T) {
	tests := []struct{ step, want string }{
		{"embed embedding\nrepeat 2\nrms x\nnvjet x\nrope x\nkv x\nfa3 x\nnvjet x\nar x\naddrms x\nnvjet x\nsilu x\nnvjetk x\nsplitk x\nar x\nend\naddrms x\ngather x\nnvjet x\nargmax x",
			"-" + "0000000000000" + "1111111111111" + "----"},
		// sandwich norms: the second of two is the next layer's
		{"embed embedding\nrepeat 2\nrms x\nnvjet x\nrope x\nkv x\nfa3 x\nnvjet x\nrms x\naddrms x\nnvjet x\ngelu x\nnvjet x\nrms x\nend\naddrms x\nnvjet x\nargmax x",
			"-" + "000000000000" + "111111111111" + "---"},
		// two attentions in one decoder layer
		{"embed embedding\nrepeat 3\nln x\nampere x\nfa2 x\nampere x\nln x\nampere x\nfa2 x\nampere x\nln x\nampere x\ngelu x\nampere x\nend\nln x\nampere x\nargmax x",
			"-" + "000000000000" + "111111111111" + "222222222222" + "---"},
	}
	for _, tt := range tests {
		seq, _, _ := model{name: "layers", step: tt.step}.expand(t)
		var b strings.Builder
		for _, k := range AssignRoles(seq).Kernels {
			if k.Layer < 0 {
				b.WriteByte('-')
			} else {
				fmt.Fprint(&b, k.Layer)
			}
		}
		if b.String() != tt.want {
			t.Errorf("layers\n got %s\nwant %s", b.String(), tt.want)
		}
	}
}

func sortedNames() []string {
	return slices.Sorted(maps.Keys(names))
}
