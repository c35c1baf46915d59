package kernel

import (
	"strings"
	"testing"
)

// TestClassify: names as engines and tools print them. want is
// "stage family dtype op", "-" for an empty field, "g:" before the stage for a
// GEMM.
func TestClassify(t *testing.T) {
	tests := []struct{ name, want string }{
		// memory operations in Kineto and nsys spelling
		{"Memcpy HtoD (Pinned -> Device)", "copy cuda - memcpy-htod"},
		{"[CUDA memcpy Device-to-Host]", "copy cuda - memcpy-dtoh"},
		{"Memcpy DtoD (Device -> Device)", "copy cuda - memcpy-dtod"},
		{"Memset (Device)", "bookkeeping cuda - memset"},
		{"[CUDA memset]", "bookkeeping cuda - memset"},

		// vLLM CUDA kernels
		{"void vllm::rms_norm_kernel<c10::BFloat16, (int)8, (int)2, (bool)1>(T1 *, const T1 *, long)", "norm vllm bf16 rms_norm"},
		{"std::enable_if<T2>(int)0&&vllm::_typeConvert<T1>::exists, void>::type vllm::fused_add_rms_norm_kernel<c10::Half, (int)8, (bool)1>(T1 *, long)", "norm vllm f16 rms_norm"},
		{"void vllm::rms_norm_static_fp8_quant_kernel<c10::BFloat16, c10::Float8_e4m3fn, 8>(c10::Float8_e4m3fn*)", "norm vllm fp8 rms_norm_quant"},
		{"void vllm::rms_norm_dynamic_per_token_quant_kernel<c10::BFloat16, c10::Float8_e4m3fn, true>(c10::Float8_e4m3fn*)", "norm vllm bf16 rms_norm_quant"},
		{"void vllm::rotary_embedding_kernel<c10::BFloat16, true>(long const*, c10::BFloat16*)", "rope vllm bf16 rope"},
		{"void vllm::reshape_and_cache_flash_kernel<__nv_bfloat16, unsigned char, (vllm::Fp8KVCacheDataType)1>(__nv_bfloat16 const*)", "kv-write vllm bf16 reshape_and_cache"},
		{"void vllm::reshape_and_cache_kernel<unsigned short, unsigned short, (vllm::Fp8KVCacheDataType)0>(unsigned short const*)", "kv-write vllm - reshape_and_cache"},
		{"void vllm::concat_and_cache_mla_kernel<__nv_bfloat16, __nv_bfloat16, (vllm::Fp8KVCacheDataType)0>(__nv_bfloat16 const*)", "kv-write vllm bf16 concat_and_cache"},
		{"void vllm::act_and_mul_kernel<c10::BFloat16, &(vllm::silu_kernel<c10::BFloat16>), true>(c10::BFloat16*)", "activation vllm bf16 silu_mul"},
		{"void vllm::act_and_mul_kernel<c10::Half, &(vllm::gelu_tanh_kernel<c10::Half>), true>(c10::Half*)", "activation vllm f16 gelu_mul"},
		{"void vllm::act_and_mul_quant_kernel<c10::BFloat16, &(vllm::silu_kernel<c10::BFloat16>), c10::Float8_e4m3fn>(c10::Float8_e4m3fn*)", "activation vllm bf16 act_mul_quant"},
		{"void vllm::cross_device_reduce_2stage<__nv_bfloat16, 8>(vllm::RankData*, vllm::RankSignals)", "collective custom-allreduce bf16 allreduce"},
		{"void vllm::scaled_fp8_quant_kernel_strided_dynamic<c10::BFloat16, c10::Float8_e4m3fn>(c10::Float8_e4m3fn*)", "quant vllm fp8 fp8_int8"},
		{"void vllm::static_scaled_int8_quant_kernel<c10::BFloat16, float>(c10::BFloat16 const*)", "quant vllm int8 fp8_int8"},
		{"void vllm::cvt_fp16_to_fp4<__nv_bfloat16, false>(int, int)", "quant vllm f16 fp4"},
		{"void vllm::paged_attention_v2_kernel<unsigned short, unsigned short, 128, 16, 128>(float*)", "attention vllm - paged"},
		{"void vllm::paged_attention_v2_reduce_kernel<unsigned short, 128, 128, 512>(unsigned short*)", "attention vllm - combine"},
		{"void vllm::merge_attn_states_kernel<__nv_bfloat16, 128u>(__nv_bfloat16*)", "attention vllm bf16 combine"},
		{"void vllm::gather_and_maybe_dequant_cache<__nv_bfloat16, __nv_bfloat16>(__nv_bfloat16 const*)", "kv-write vllm bf16 gather"},
		{"void vllm::apply_repetition_penalties_kernel<float>(float*, bool const*)", "sampling vllm f32 penalties"},
		{"void vllm::moe::topkGating<8, 128, 4, 16, 32, int, __nv_bfloat16>(__nv_bfloat16 const*)", "moe vllm bf16 topk"},
		{"void vllm::moe::topkGatingSoftmax<4, 32, 4, 16, int>(float const*, bool const*, float*)", "moe vllm - topk"},
		{"void vllm::moe::moe_align_block_size_kernel<int>(int const*, int*)", "moe vllm - permute"},
		{"void vllm::moe::count_and_sort_expert_tokens_kernel<int>(int const*)", "moe vllm - permute"},
		{"void vllm::moe::moe_sum_kernel<c10::BFloat16, 8>(c10::BFloat16*)", "moe vllm bf16 combine"},
		{"void vllm::moe::grouped_topk_fused_kernel<float, float, int, (vllm::moe::ScoringFunc)1>(float*)", "moe vllm f32 topk"},
		{"void marlin_moe_wna16::Marlin<c10::BFloat16, 1125899906909960l, 256, 1, 8, 8>(int4 const*)", "g:moe marlin bf16 experts"},
		{"void marlin::Marlin<c10::Half, 1125899907892224l, 256, 1, 8, 8, true>(int4 const*)", "g:gemm marlin f16 w4a16"},
		{"void vllm::selective_scan_fwd_kernel<Selective_Scan_fwd_kernel_traits<64, 16>>(SSMParamsBase)", "linear-attn vllm - ssm"},

		// vLLM Triton kernels
		{"kernel_unified_attention_2d", "attention triton - unified"},
		{"kernel_unified_attention", "attention triton - unified"},
		{"reduce_segments", "attention triton - combine"},
		{"_fwd_grouped_kernel_stage1", "attention triton - triton"},
		{"_fwd_kernel_stage2", "attention triton - combine"},
		{"fused_moe_kernel", "g:moe triton - experts"},
		{"fused_moe_kernel_gptq_awq", "g:moe triton - experts"},
		{"_matmul_ogs_NNT_bf16xbf16xmxfp4_16x256x128x1_swiglu", "g:moe triton bf16 experts"},
		{"_topk_forward", "moe triton - topk"},
		{"_combined_routing_compute", "moe triton - permute"},
		{"_per_token_group_quant_fp8", "quant triton fp8 fp8_int8"},
		{"_w8a8_block_fp8_matmul", "g:gemm triton fp8 fp8-block"},
		{"scaled_mm_kernel", "g:gemm triton - fp8-block"},
		{"_lora_shrink_kernel", "gemm triton - lora"},
		{"fused_recurrent_gated_delta_rule_fwd_kernel", "linear-attn triton - gdn"},
		{"chunk_gated_delta_rule_fwd_kernel_h_blockdim64", "linear-attn triton - gdn"},
		{"chunk_fwd_kernel_o", "linear-attn triton - gdn"},
		{"_causal_conv1d_update_kernel", "linear-attn triton - conv"},
		{"_chunk_scan_fwd_kernel", "linear-attn triton - ssm"},
		{"_selective_scan_update_kernel", "linear-attn triton - ssm"},
		{"_gumbel_sample_kernel", "sampling triton - gumbel"},
		{"_topk_topp_kernel", "sampling triton - topk_topp"},
		{"_temperature_kernel", "sampling triton - logits"},
		{"_bias_kernel", "sampling triton - logits"},
		{"_penalties_kernel", "sampling triton - penalties"},
		{"rejection_greedy_sample_kernel", "sampling triton - rejection"},
		{"eagle_prepare_inputs_padded_kernel", "bookkeeping triton - draft-prep"},
		{"apply_grammar_bitmask_inplace_triton_kernel", "sampling triton - bitmask"},
		{"_prepare_pos_seq_lens_kernel", "bookkeeping triton - v2-runner"},
		{"_prepare_rope_positions_kernel", "bookkeeping triton - v2-runner"},
		{"_post_update_kernel", "bookkeeping triton - v2-runner"},

		// attention libraries
		{"void cutlass::device_kernel<flash::enable_sm90_or_later<flash::FlashAttnFwdSm90<flash::CollectiveMainloopFwdSm90<(int)2, cute::tuple<cute::C<(int)64>>, (int)128, cutlass::float_e4m3_t, float, cutlass::arch::Sm90> > > >(T1::Params)", "attention flash-attn3 fp8 flash"},
		{"void cutlass::device_kernel<flash::FlashAttnFwdCombine<cute::tuple<cute::C<(int)8>>, (int)5, (int)256, (int)1, (bool)0, (bool)1, cutlass::bfloat16_t, float, cutlass::arch::Sm90>>(T1::Params)", "attention flash-attn3 bf16 combine"},
		{"void flash::prepare_varlen_num_blocks_kernel<1, false>(int, int, int)", "attention flash-attn3 - metadata"},
		{"void flash_fwd_splitkv_kernel<Flash_fwd_kernel_traits<128, 64, 128, 4, false, false, cutlass::half_t>, true>(Flash_fwd_params)", "attention flash-attn2 f16 flash-splitkv"},
		{"void pytorch_flash::flash_fwd_kernel<pytorch_flash::Flash_fwd_kernel_traits<64, 128, 128, 4, false, false, cutlass::half_t> >(pytorch_flash::Flash_fwd_params)", "attention flash-attn2 f16 flash"},
		{"kernel_cutlass_kernel_flash_attncuteflash_fwd_sm100FlashAttentionForwardSm100_object_at__tensorptrbf16gmem", "attention flash-attn4 bf16 flash"},
		{"void flashinfer::BatchDecodeWithPagedKVCacheKernel<(flashinfer::PosEncodingMode)0, 2u, 1u, 8u, 16u, 1u, 8u>(flashinfer::Params)", "attention flashinfer - decode"},
		{"void flashinfer::BatchPrefillWithPagedKVCacheKernel<flashinfer::KernelTraits<(flashinfer::MaskMode)1, 128u, 2u, 8u, 8u, 8u, 4u, 1u, __nv_bfloat16> >(flashinfer::PagedParams)", "attention flashinfer bf16 prefill"},
		{"void flashinfer::BatchDecodeWithPagedKVCacheKernelMLA<2u, 16u, 2u, 8u, 16u, 1u>(flashinfer::Params)", "attention flashinfer - mla"},
		{"void flashinfer::PersistentVariableLengthMergeStatesKernel<8u, 16u, 8u, 4u, __nv_bfloat16>(__nv_bfloat16*)", "attention flashinfer bf16 combine"},
		{"void flashinfer::norm::FusedAddRMSNormKernel<8u, __nv_bfloat16>(__nv_bfloat16*)", "norm flashinfer bf16 rms_norm"},
		{"void flashinfer::BatchQKApplyRotaryPosIdsCosSinCacheEnhancedKernel<false, 128u, 8u, 16u, __nv_bfloat16>(__nv_bfloat16*)", "rope flashinfer bf16 rope"},
		{"void flashinfer::activation::act_and_mul_kernel<__nv_bfloat16, &(silu(float const&))>(__nv_bfloat16*)", "activation flashinfer bf16 silu_mul"},
		{"void flashinfer::sampling::TopKTopPSamplingFromProbKernel<1024u, (cub::BlockScanAlgorithm)1, (cub::BlockReduceAlgorithm)1, 4u, true, float, int>(float*)", "sampling flashinfer f32 topk_topp"},
		{"void flashinfer::sampling::RadixTopKMaskLogitsKernel<float, int>(float*)", "sampling flashinfer f32 topk_topp"},
		{"void flashinfer::trtllm_allreduce_fusion::allreduce_fusion_kernel_oneshot_lamport<(flashinfer::trtllm_allreduce_fusion::AllReduceFusionPattern)1, __nv_bfloat16, 8, true>(flashinfer::trtllm_allreduce_fusion::AllReduceFusionParams<__nv_bfloat16>)", "collective flashinfer bf16 allreduce-norm"},
		{"fmhaSm100fKernel_QkvBfloat16OBfloat16H128PagedKvCausalP64VarSeqQ128Kv128PersistentContext", "attention trtllm bf16 fmha"},
		{"fmhaSm100aKernel_QkvE4m3OBfloat16HQk576HV512HVPerCta256PagedKvDenseP32MultiCtasKvVarSeqQ16Kv128StaticSwapsAbForGen", "attention trtllm fp8 fmha"},
		{"void sm90::decode::dense::flash_fwd_splitkv_mla_kernel<cutlass::bfloat16_t>(DenseAttnDecodeParams)", "attention flashmla bf16 mla"},
		{"void cutlass::device_kernel<cutlass::fmha::kernel::Sm100FmhaMlaKernelTmaWarpspecialized<cute::tuple<int, int>, cutlass::bfloat16_t> >(T1::Params)", "attention cutlass bf16 mla"},
		{"triton_tem_fused_flex_attention_0", "attention inductor - flex"},
		{"cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_knob_3_64x64x128_cga1x1x1_kernel0_0", "attention cudnn f16 sdpa"},
		{"fmha_cutlassF_bf16_aligned_64x128_rf_sm80(PyTorchMemEffAttention::AttentionKernel<cutlass::bfloat16_t>::Params)", "attention cutlass bf16 sdpa"},

		// GEMM libraries
		{"nvjet_sm90_tst_128x8_64x12_2x1_v_bz_TNT", "g:gemm nvjet bf16 gemm"},
		{"nvjet_hsh_192x192_64x4_2x1_v_bz_coopB_bias_TNN", "g:gemm nvjet f16 gemm"},
		{"nvjet_sm100_qqtst_128x256_128x6_2x1_2cta_v_bz_TNT", "g:gemm nvjet fp8 gemm"},
		{"sm80_xmma_gemm_f32f32_f32f32_f32_tn_n_tilesize32x32x8_stage3_warpsize1x2x1_ffma_aligna4_alignc4_execute_kernel__5x_cublas", "g:gemm cublas f32 gemm"},
		{"sm80_xmma_gemm_f32f32_tf32f32_f32_tn_n_tilesize128x128x16_stage4_kernel__5x_cublas", "g:gemm cublas tf32 gemm"},
		{"sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x128x64_warpgroupsize1x1x1_bias_gelu_execute_segment_k_off_kernel__5x_cublas", "g:gemm cublas bf16 gemm"},
		{"ampere_bf16_s16816gemm_bf16_64x64_sliced1x2_ldg8_relu_f2f_stages_64x5_tn", "g:gemm cublas bf16 gemm"},
		{"ampere_sgemm_128x64_tn", "g:gemm cublas f32 gemm"},
		{"ampere_fp16_s16816gemm_fp16_128x128_ldg8_f2f_stages_32x5_tn", "g:gemm cublas f16 gemm"},
		{"turing_fp16_s1688gemm_fp16_128x64_ldg8_f2f_tn", "g:gemm cublas f16 gemm"},
		{"void cublasLt::splitKreduce_kernel<32, 16, int, __nv_bfloat16, __nv_bfloat16, float>(cublasLt::cublasSplitKParams<float>)", "gemm cublas - split-k-reduce"},
		{"void gemv2T_kernel_val<int, int, __nv_bfloat16, __nv_bfloat16, __nv_bfloat16, float, 128, 16, 4, 4, false>(cublasGemvParamsEx<int>)", "g:gemm cublas-gemv bf16 gemv"},
		{"void gemvx::kernel<int, int, __nv_bfloat16, __nv_bfloat16, __nv_bfloat16, float, false, true, true, false, 7>(cublasGemvParamsEx<int>)", "g:gemm cublas-gemv bf16 gemv"},
		{"void dot_kernel<float, 128, 0, cublasDotParams<cublasGemvTensor<float const>, cublasGemvTensor<float> > >(cublasDotParams<>)", "g:gemm - f32 gemv"},
		{"void cutlass::Kernel2<cutlass_80_tensorop_bf16_s16816gemm_relu_bf16_64x64_64x6_tn_align8>(cutlass_80_tensorop_bf16_s16816gemm_relu_bf16_64x64_64x6_tn_align8::Params)", "g:gemm cutlass bf16 gemm"},
		{"void cutlass::device_kernel<vllm::cutlass_3x_gemm_sm90_fp8<cutlass::float_e4m3_t, cutlass::bfloat16_t, vllm::c3x::ScaledEpilogue>>(T1::Params)", "g:gemm cutlass fp8 gemm"},
		{"void cutlass::device_kernel<vllm::enable_sm90_or_later<cutlass::gemm::kernel::GemmUniversal<cute::tuple<int, int, int, int>, cutlass::gemm::collective::CollectiveMma<cutlass::gemm::MainloopSm90TmaGmmaWarpSpecialized<4>, int8_t> > > >(T1::Params)", "g:gemm cutlass int8 gemm"},
		{"void cutlass::device_kernel<cutlass::gemm::kernel::GemmUniversal<cutlass::gemm::GroupProblemShape<cute::tuple<int, int, int> >, cutlass::gemm::collective::CollectiveMma<cutlass::gemm::MainloopSm90ArrayTmaGmmaWarpSpecialized<4>, cutlass::float_e4m3_t> > >(T1::Params)", "g:moe cutlass fp8 experts"},
		{"void deep_gemm::sm90_fp8_gemm_1d2d_impl<(cute::UMMA::Major)0, 0u, 7168u, 1536u, 1u, 64u, 128u>(float*)", "g:gemm deep-gemm fp8 fp8-block"},
		{"void deep_gemm::transpose_fp32<512u, 64u, 56u>(float const*, float*, unsigned int)", "quant - f32 scale-layout"},
		{"bmm_E4m3_E4m3E4m3_Fp32_t128x8x128u2_s6_et64x8_m64x8x32_cga1x1x1_16dp256b_TN_transOut_schedS_bN_ldgsts_rgTma_clmp_swiGlu_dynBatch_sm100f", "g:moe - fp8 experts"},
		{"bmm_Bfloat16_E2m1E2m1_Fp32_t128x16x256u2_s7_et128x16_m128x16x64_cga1x1x1_16dp32b_TN_schedS_dynBatch_sm100f", "g:moe - fp4 experts"},
		{"gemm_Bfloat16_E4m3E4m3_Fp32_t128x64x128_s4_et128x64_sm100a", "g:gemm trtllm fp8 gemm"},
		{"Cijk_Alik_Bljk_BBS_BH_Bias_HA_S_SAV_UserArgs_MT256x256x64_MI16x16x1_SN", "g:gemm tensile bf16 gemm"},
		{"Cijk_Alik_Bljk_HHS_BH_MT64x64x32_MI16x16x16x1_SN", "g:gemm tensile f16 gemm"},
		{"Cijk_Alik_Bljk_F8BS_BH_Bias_HA_S_SABV_MT128x128x128_MI16x16x1_SN.kd", "g:gemm tensile fp8 gemm"},
		{"void wvSplitK_hf_sml_<__hip_bfloat16, 64, 2, 16, 8, 2, 1>(int, int, __hip_bfloat16 const*)", "g:gemm - bf16 gemv"},
		{"void ck_tile::kentry<256, 1, ck_tile::FmhaFwdKernel<ck_tile::BlockFmhaPipelineQRKSVSAsync<>, ck_tile::bf16_t> >(ck_tile::FmhaFwdKernel<>::Kargs)", "attention ck bf16 fmha"},
		{"triton_tem_fused_addmm_3", "g:gemm inductor - matmul"},

		{"void deep_gemm::sm100_fp8_fp4_gemm_1d1d_impl<(cute::UMMA::Major)0, (cute::UMMA::Major)0, 128u, 128u, 0u, (deep_gemm::GemmType)0, false, cutlass::float_e4m3_t, cutlass::float_e4m3_t, cutlass::bfloat16_t>(int*, unsigned int)", "g:gemm deep-gemm fp8 fp8-block"},
		{"void deep_gemm::sm100_fp8_fp4_gemm_1d1d_impl<(cute::UMMA::Major)0, (cute::UMMA::Major)0, 32u, 32u, 0u, 768u, 6144u, (deep_gemm::GemmType)2, false, cutlass::float_e4m3_t, cutlass::float_e4m3_t, cutlass::bfloat16_t>(int*, unsigned int)", "g:moe deep-gemm fp8 experts"},
		{"cutlass3x_sm100_simt_sgemm_f32_f32_f32_f32_f32_128x128x16_1x1x1_3_tnn_align1_bias_f32_relu", "g:gemm cutlass f32 gemm"},
		{"void cutlass::Kernel2<cutlass_80_simt_sgemm_64x64_8x5_tn_align1>(cutlass_80_simt_sgemm_64x64_8x5_tn_align1::Params)", "g:gemm cutlass f32 gemm"},
		{"_ZN7cutlass13device_kernelINS_4gemm6kernel13GemmUniversalIN4cute5tupleIJiiiiEEENS1_10collective13CollectiveMmaINS1_35MainloopSm100TmaUmmaWarpSpecializedILi17ELi2ELi4EEENS_12float_e4m3_tENS5_IJlEE", "g:gemm cutlass fp8 gemm"},
		{"kernel_cutlass_kernel_flashinfergemmkernelsdense_blockscaled_gemm_sm100Sm100BlockScaledPersistentDenseGemmKernel_object_at__TiledMMA_ThrLayoutVMNK11110000_0", "g:gemm cutlass - gemm"},
		{"kernel_cutlass_kernel_flashinfernormkernelsfused_add_rmsnormFusedAddRMSNormKernel_object_at__tensorptrbf16gmemalign128o409640961_0", "norm flashinfer bf16 rms_norm"},
		{"void flashinfer::trtllm_dsv3_router_gemm::router_gemm_kernel<__nv_bfloat16, float, 128, 8, 16, 256, 7168>(float*, __nv_bfloat16 const*)", "g:moe flashinfer bf16 router"},
		{"void fused_a_gemm_kernel<1, 2112, 7168, 16, 16, 256, 12>(__nv_bfloat16*, __nv_bfloat16 const*)", "g:gemm trtllm - gemm"},
		{"bmm_E4m3_E4m3E4m3_Fp32_BtokBfloat16_t128x8x256u2_s6_et128x8_m128x8x32_c1x1x1_rM_TN_transOut_schPd2x1x2x3_bN_tma_tmaSf_rgTma_clmp_swiGlu_dynB_sm100f", "g:moe - fp8 experts"},
		{"void moe::dev::finalize::finalizeKernelVecLoad<moe::dev::finalize::KernelParams<cutlass::bfloat16_t, cutlass::bfloat16_t, 4, true> >(KernelParams)", "moe cutlass bf16 combine"},
		{"void moe_align_block_size_small_batch_expert_kernel<int, 256>(int const*, int*)", "moe - - permute"},
		{"void (anonymous namespace)::all_reduce_two_shot_kernel<__nv_bfloat16, 8u, true>(host::distributed::AllReduceData const*)", "collective symm-mem bf16 allreduce"},
		{"void (anonymous namespace)::fused_qknorm_warp<128, 1, __nv_bfloat16>(QKNormParams)", "norm - bf16 qk_norm"},
		{"void (anonymous namespace)::act_and_mul_kernel<__nv_bfloat16, ((anonymous namespace)::ActivationKind)0, true, false>((anonymous namespace)::ActivationParams)", "activation - bf16 act"},
		{"void (anonymous namespace)::fast_hadamard_transform_kernel<(anonymous namespace)::FastHadamardKernelTraits<16, 7, __nv_bfloat16> >(HadamardParamsBase)", "quant - bf16 fp8_int8"},
		{"void flashinfer::mla::BatchMLAPagedAttentionKernel<flashinfer::mla::KernelTraits<true, 2u, true, 512u, 64u, 64u, 64u, __nv_bfloat16> >(flashinfer::MLAParams)", "attention flashinfer bf16 mla"},
		{"void sm100::decode::head64::flash_fwd_splitkv_mla_fp8_sparse_kernel<sm100::decode::head64::KernelTemplate<(ModelType)1> >(KernelTemplate)", "attention flashmla fp8 mla"},
		{"_fwd_kernel", "attention triton - triton"},
		{"_state_passing_fwd_kernel", "linear-attn triton - ssm"},
		{"_bmm_chunk_fwd_kernel", "linear-attn triton - ssm"},
		{"rmsnorm_split_col_kernel", "norm triton - rms_norm"},
		{"silu_and_mul_kernel_ep_index", "activation triton - silu_mul"},
		{"triton_red_fused__to_copy_add_mean_mul_pow_rsqrt_sub_0", "norm inductor - rms_norm"},
		{"triton_poi_fused_mul_rocm_unquantized_gemm_silu_slice_0", "activation inductor - silu_mul"},

		// TensorRT-LLM
		{"kernel_mha", "attention trtllm - mha"},
		{"void tensorrt_llm::kernels::applyBiasRopeUpdateKVCacheV2<__nv_bfloat16, __nv_bfloat16, 128>(tensorrt_llm::kernels::QKVPreprocessingParams<__nv_bfloat16>)", "attention trtllm bf16 mha"},
		{"void tensorrt_llm::kernels::generalRmsNorm<__nv_bfloat16>(__nv_bfloat16*)", "norm trtllm bf16 rms_norm"},
		{"void tensorrt_llm::kernels::oneShotAllReduceKernel<__nv_bfloat16, 8, true>(tensorrt_llm::kernels::AllReduceParams)", "collective symm-mem bf16 allreduce"},
		{"void moe::dev::routing::routingDeepSeek::routingMainKernel<moe::dev::routing::routingDeepSeek::KernelParams<float> >(KernelParams)", "moe - f32 topk"},
		{"void tensorrt_llm::kernels::cutlass_kernels::expandInputRowsKernel<__nv_bfloat16>(__nv_bfloat16 const*)", "moe trtllm bf16 permute"},
		{"void tensorrt_llm::kernels::cutlass_kernels::finalizeMoeRoutingKernel<__nv_bfloat16, __nv_bfloat16>(__nv_bfloat16 const*)", "moe trtllm bf16 combine"},
		{"void tensorrt_llm::kernels::cutlass_kernels::doActivationKernel<__nv_bfloat16, __nv_bfloat16>(__nv_bfloat16*)", "moe trtllm bf16 activation"},

		// communication
		{"ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<(unsigned long)4096>)", "collective nccl bf16 allreduce"},
		{"ncclDevKernel_AllGather_RING_LL(ncclDevKernelArgsStorage<4096ul>)", "collective nccl - all-gather"},
		{"ncclDevKernel_ReduceScatter_Sum_f32_RING_LL(ncclDevKernelArgsStorage<4096ul>)", "collective nccl f32 reduce-scatter"},
		{"ncclDevKernel_SendRecv(ncclDevKernelArgsStorage<4096ul>)", "collective nccl - send-recv"},
		{"ncclKernel_AllReduce_RING_LL_Sum_half(ncclDevComm*, unsigned long, ncclWork*)", "collective nccl f16 allreduce"},
		{"void deep_ep::internode_ll::dispatch<true, false, 7168>(void*, float*, int*)", "collective deepep - all-to-all"},
		{"void multimem_all_reduce_kernel<c10::BFloat16, 16>(c10::BFloat16*)", "collective symm-mem bf16 allreduce"},

		// PyTorch
		{"void at::native::vectorized_elementwise_kernel<(int)4, at::native::FillFunctor<int>, std::array<char *, (unsigned long)1>>(int, T2, T3)", "bookkeeping aten - fill"},
		{"void at::native::<unnamed>::indexSelectSmallIndex<c10::BFloat16, long, unsigned int, (int)2, (int)2, (int)-2>(at::cuda::detail::TensorInfo<T1, T3>)", "embedding aten bf16 embedding"},
		{"void at::native::reduce_kernel<(int)512, (int)1, at::native::ReduceOp<float, at::native::ArgMaxOps<float>, unsigned int, long, (int)4, (int)4>>(T3)", "sampling aten f32 argmax"},
		{"void at::native::(anonymous namespace)::cunn_SoftMaxForward<4, float, float, float, at::native::(anonymous namespace)::SoftMaxForwardEpilogue>(float*)", "sampling aten f32 softmax"},
		{"void at_cuda_detail::cub::DeviceSegmentedRadixSortKernel<at_cuda_detail::cub::DeviceRadixSortPolicy<float, long>::Policy900, false, false, float, long>(float const*)", "sampling cub f32 sort"},
		{"void at::native::sbtopk::gatherTopK<float, unsigned int, 2, false>(at::cuda::detail::TensorInfo<float const, unsigned int>)", "sampling aten f32 topk"},
		{"void at::native::(anonymous namespace)::distribution_elementwise_grid_stride_kernel<float, 4, at::native::templates::cuda::exponential_kernel<>>(long)", "sampling aten f32 rng"},
		{"void at::native::(anonymous namespace)::CatArrayBatchedCopy<at::native::(anonymous namespace)::OpaqueType<2u>, unsigned int, 3, 64, 64>(char*)", "copy aten - cat"},
		{"void at::native::elementwise_kernel<128, 4, at::native::gpu_kernel_impl_nocast<at::native::CUDAFunctor_add<float> > >(int)", "other aten f32 elementwise"},

		// torch.compile
		{"triton_red_fused_fused_add_rms_norm_0", "norm inductor - rms_norm"},
		{"triton_per_fused__to_copy_add_mean_mul_pow_rsqrt_2", "norm inductor - rms_norm"},
		{"triton_red_fused__to_copy_embedding_rms_norm_0", "embedding inductor - embedding"},
		{"triton_poi_fused_mul_silu_slice_1", "activation inductor - silu_mul"},
		{"triton_red_fused__to_copy_abs_clamp_cutlass_scaled_mm_div_max_mul_reciprocal_silu_slice_unsqueeze_2", "activation inductor - silu_mul"},
		{"triton_red_fused__to_copy_abs_clamp_cutlass_scaled_mm_div_max_mul_reciprocal_unsqueeze_view_0", "quant inductor - fp8_int8"},
		{"triton_red_fused__to_copy_abs_clamp_cutlass_scaled_mm_div_fused_add_rms_norm_max_mul_reciprocal_unsqueeze_1", "norm inductor - rms_norm"},
		{"triton_poi_fused_cat_index_select_mul_neg_split_1", "rope inductor - rope"},
		{"triton_poi_fused_3", "other inductor - pointwise"},
		{"triton_red_fused_2", "other inductor - reduction"},

		// mangled
		{"_ZN4vllm15rms_norm_kernelIN3c108BFloat16ELi8ELi2ELb1EEEvPT_PKS3_lllllS6_fii", "norm vllm bf16 rms_norm"},
		{"_ZN7ck_tile6kentryILi256ELi1ENS_13Rmsnorm2dFwdINS_27Rmsnorm2dFwdPipelineOnePassIS2_EEEEEEvT1_", "norm ck - rms_norm"},
		{"_Z22elementwise_kernel_copyILi4EEvv", "other aten - elementwise"},

		// nothing to go by
		{"", "other other - -"},
		{"main_kernel", "other triton - -"},
		{"void acme::superfast<int>(int)", "other other - -"},
	}
	for _, tt := range tests {
		c := Classify(tt.name)
		var b strings.Builder
		if c.Gemm {
			b.WriteString("g:")
		}
		b.WriteString(c.Stage.String())
		want := strings.Fields(tt.want)
		for i, f := range []string{c.Family, c.DType, c.Op} {
			if f == "" || i == 0 && want[1] == "-" {
				f = "-"
			}
			b.WriteString(" " + f)
		}
		if b.String() != tt.want {
			t.Errorf("%.120s\n  got  %s\n  want %s", tt.name, b.String(), tt.want)
		}
	}
}

func TestSpellings(t *testing.T) {
	// The same kernel in nsys, Kineto and mangled spelling.
	tests := [][]string{
		{
			"void vllm::act_and_mul_kernel<c10::BFloat16, &vllm::silu_kernel<c10::BFloat16>, (bool)1>(T1 *, const T1 *, int)",
			"void vllm::act_and_mul_kernel<c10::BFloat16, &(c10::BFloat16 vllm::silu_kernel<c10::BFloat16>(c10::BFloat16 const&)), true>(c10::BFloat16*, c10::BFloat16 const*, int)",
			"_ZN4vllm18act_and_mul_kernelIN3c108BFloat16EXadL_ZNS_11silu_kernelIS2_EET_RKS4_EELb1EEEvPS4_PS5_i",
		},
		{
			"void <unnamed>::elementwise_kernel_with_index<int, at::native::arange_cuda_out(const c10::Scalar &)>(T1)",
			"void (anonymous namespace)::elementwise_kernel_with_index<int, at::native::arange_cuda_out(c10::Scalar const&)>(int)",
		},
	}
	for _, tt := range tests {
		first := Classify(tt[0])
		for _, n := range tt[1:] {
			if c := Classify(n); c != first {
				t.Errorf("%q: %+v\n%q: %+v", tt[0], first, n, c)
			}
		}
	}
}

func TestNormalise(t *testing.T) {
	tests := []struct{ name, want string }{
		{"void a::b<(int)4, (bool)1>(int)", "a::b<4, true>(int)"},
		{"void a::<unnamed>::b<(bool)0>()", "a::(anonymous namespace)::b<false>()"},
		{"kernel(int)", "kernel(int)"},
		{"Cijk_Alik.kd", "Cijk_Alik"},
		{"a\x00b\nc\xff", "a?b?c?"},
		{"_ZN4vllm5hellov", "vllm::hello"},
		{"_Z99999999999999999999abc", "_Z99999999999999999999abc"},
		{"_Z", "_Z"},
		{"  void x ", "x"},
	}
	for _, tt := range tests {
		if got := Normalise(tt.name); got != tt.want {
			t.Errorf("Normalise(%q) = %q, want %q", tt.name, got, tt.want)
		}
	}
	if n := Normalise(strings.Repeat("ä", 5000)); len(n) > maxName {
		t.Errorf("%d bytes left of a long name", len(n))
	}
}
