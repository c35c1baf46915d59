package profile

import "testing"

func TestBaseName(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"triton_poi_fused_0", "triton_poi_fused_0"},
		{"_apply_write_kernel", "_apply_write_kernel"},
		{"nvjet_tst_64x8_64x16_4x1_v_bz_TNT", "nvjet_tst_64x8_64x16_4x1_v_bz_TNT"},
		{"ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)", "ncclDevKernel_AllReduce_Sum_bf16_RING_LL"},
		{"void cutlass::device_kernel<flash::enable_sm90<flash::FlashAttnFwdSm90<A, B> > >(T1::Params)", "device_kernel"},
		{"void vllm::reshape_and_cache_flash_kernel<__nv_bfloat16, (vllm::Fp8KVCacheDataType)0>(const T1 *)", "reshape_and_cache_flash_kernel"},
		{"void (anonymous namespace)::elementwise_kernel_with_index<int, f(c10::Scalar const&)::{lambda()#1}::operator()() const::{lambda(long)#1}>(int, f)", "elementwise_kernel_with_index"},
		{"void at::native::<unnamed>::CatArrayBatchedCopy<at::native::OpaqueType<2>, int, 4>(T1*)", "CatArrayBatchedCopy"},
		{"std::enable_if<!(false), void>::type internal::gemvx::kernel<int, int, (A)7>(P)", "kernel"},
		{"void foo<&bar::operator()>(int)", "foo"},
		{"A::operator()(int)", "operator()"},
		{"auto f<int>(int)->decltype(g())", "f"},
		{"_ZN4vllm15rms_norm_kernelIN3c108BFloat16EEEvPT_", "rms_norm_kernel"},
		{"_Z6kernelPf", "kernel"},
		{"_Z", "_Z"},
		{"_ZN99999999999999999999a", "_ZN99999999999999999999a"},
		{"Cijk_Ailk_Bljk_BBS_BH_Bias_MT64x32.kd", "Cijk_Ailk_Bljk_BBS_BH_Bias_MT64x32"},
		{"std::enable_if<T2>0&&vllm::_typeConvert<T1>::exists, void>::type vllm::fused_add_rms_norm_kernel<c10::BFloat16, 8, 1>(T1 *, long)", "fused_add_rms_norm_kernel"},
		{"std::enable_if<T2>(int)0&&vllm::_typeConvert<T1>::exists, void>::type vllm::fused_add_rms_norm_kernel<c10::BFloat16, (int)8, (bool)1>(T1 *)", "fused_add_rms_norm_kernel"},
		{"void at::unrolled_elementwise_kernel<at::copy(at::TensorIteratorBase &)::[lambda() (instance 3)]::operator ()() const::[lambda(long) (instance 1)], std::array<char *, 2>, 4>(int, T1)", "unrolled_elementwise_kernel"},
		{"void cutlass::device_kernel<flash::enable_sm90<flash::FlashAttnFwdSm90<flash::Coll", "device_kernel"},
		{"broken<", "broken"},
		{"broken(", "broken"},
		{"((((", "(((("},
	} {
		if got := BaseName(c.in); got != c.want {
			t.Errorf("BaseName(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestSplitName(t *testing.T) {
	for _, c := range []struct{ in, base, args string }{
		{"void a::b<4, F<int> >(int, F<int>)", "b", "<4, F<int> >"},
		{"b<1>", "b", "<1>"},
		{"void k(int)", "k", ""},
		{"plain", "plain", ""},
		{"", "", ""},
	} {
		if base, args := SplitName(c.in); base != c.base || args != c.args {
			t.Errorf("SplitName(%q) = %q, %q; want %q, %q", c.in, base, args, c.base, c.args)
		}
	}
}

func FuzzBaseName(f *testing.F) {
	f.Add("void a::b<c>(d)")
	f.Add("_ZN1a1bIiEEvv")
	f.Fuzz(func(t *testing.T, s string) {
		if got := BaseName(s); len(got) > len(s) {
			t.Errorf("BaseName(%q) grew to %q", s, got)
		}
	})
}
