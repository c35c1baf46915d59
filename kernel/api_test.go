package kernel

import "testing"

func TestStripAPIVersion(t *testing.T) {
	tests := []struct{ name, want string }{
		{"cudaLaunchKernel_v7000", "cudaLaunchKernel"},
		{"cudaLaunchKernelExC_v11060", "cudaLaunchKernelExC"},
		{"cudaLaunchKernel_ptsz_v7000", "cudaLaunchKernel"},
		{"cudaGraphLaunch_v10000", "cudaGraphLaunch"},
		{"cuMemcpyHtoDAsync_v2", "cuMemcpyHtoDAsync"},
		{"cuMemcpyHtoDAsync_v2_ptsz", "cuMemcpyHtoDAsync"},
		{"cuLaunchKernelEx", "cuLaunchKernelEx"},
		{"nvtx_v", "nvtx_v"},
		{"_v12", "_v12"},
		{"_ptsz", "_ptsz"},
		{"", ""},
	}
	for _, tt := range tests {
		if got := StripAPIVersion(tt.name); got != tt.want {
			t.Errorf("StripAPIVersion(%q) = %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestKindOf(t *testing.T) {
	tests := []struct {
		name    string
		library string
		kind    APIKind
	}{
		// all calls of the H100 profiles
		{"cudaLaunchKernel_v7000", "runtime", APILaunch},
		{"cudaLaunchKernelExC_v11060", "runtime", APILaunch},
		{"cuLaunchKernel", "driver", APILaunch},
		{"cuLaunchKernelEx", "driver", APILaunch},
		{"cudaGraphLaunch_v10000", "runtime", APIGraphLaunch},
		{"cudaMemcpyAsync_v3020", "runtime", APIMemcpy},
		{"cudaMemsetAsync_v3020", "runtime", APIMemset},
		{"cudaEventSynchronize_v3020", "runtime", APISyncEvent},
		{"cudaEventQuery_v3020", "runtime", APIQuery},
		{"cudaEventRecordWithFlags_v11010", "runtime", APIEvent},
		{"cudaEventCreateWithFlags_v3020", "runtime", APIEvent},
		{"cudaEventDestroy_v3020", "runtime", APIEvent},
		{"cudaStreamWaitEvent_v3020", "runtime", APIEvent},
		{"cudaStreamIsCapturing_v10000", "runtime", APIQuery},
		{"cudaHostAlloc_v3020", "runtime", APIAlloc},
		{"cuKernelGetAttribute", "driver", APIQuery},
		{"cuKernelGetName", "driver", APIQuery},
		{"cuKernelSetAttribute", "driver", APIOther},
		{"cuLibraryGetKernel", "driver", APIQuery},
		{"cuLibraryLoadData", "driver", APIModuleLoad},
		{"cuProfilerStart", "driver", APIProfiler},
		{"cuTensorMapEncodeTiled", "driver", APIOther},

		{"cudaStreamSynchronize_v3020", "runtime", APISyncStream},
		{"cudaDeviceSynchronize_v3020", "runtime", APISyncDevice},
		{"cuStreamSynchronize", "driver", APISyncStream},
		{"cuCtxSynchronize", "driver", APISyncDevice},
		{"cudaMalloc_v3020", "runtime", APIAlloc},
		{"cudaMallocAsync_v11020", "runtime", APIAlloc},
		{"cuMemAlloc_v2", "driver", APIAlloc},
		{"cuMemCreate", "driver", APIAlloc},
		{"cudaFree_v3020", "runtime", APIFree},
		{"cudaFreeHost_v3020", "runtime", APIFree},
		{"cuMemFree_v2", "driver", APIFree},
		{"cudaLaunchHostFunc_v10000", "runtime", APIHostFunc},
		{"cudaLaunchCooperativeKernel_v9000", "runtime", APILaunch},
		{"cudaGraphInstantiate_v12000", "runtime", APIGraphBuild},
		{"cudaStreamBeginCapture_v10000", "runtime", APIGraphBuild},
		{"cuModuleLoadData", "driver", APIModuleLoad},
		{"cuMemcpyDtoHAsync_v2", "driver", APIMemcpy},
		{"cuMemsetD32Async", "driver", APIMemset},
		{"cudaMemGetInfo_v3020", "runtime", APIQuery},
		{"cudaGetDevice_v3020", "runtime", APIQuery},
		{"hipLaunchKernel", "hip", APILaunch},
		{"hipExtModuleLaunchKernel", "hip", APILaunch},
		{"hipModuleLaunchKernel", "hip", APILaunch},
		{"hipGraphLaunch", "hip", APIGraphLaunch},
		{"hipMemcpyWithStream", "hip", APIMemcpy},
		{"hipStreamSynchronize", "hip", APISyncStream},
		{"hipEventSynchronize", "hip", APISyncEvent},
		{"hipHostMalloc", "hip", APIAlloc},
		{"cublasLtMatmul", "cublas", APILibrary},
		{"cublasGemmEx", "cublas", APILibrary},
		{"cudnnBackendExecute", "cudnn", APILibrary},
		{"ncclAllReduce", "nccl", APICollective},
		{"ncclGroupStart", "nccl", APIOther},
		{"nvshmemx_barrier_all_on_stream", "nvshmem", APICollective},
		{"pthread_mutex_lock", "other", APIOther},
		{"custom", "other", APIOther},
		{"", "other", APIOther},
	}
	for _, tt := range tests {
		if got := Library(tt.name); got != tt.library {
			t.Errorf("Library(%q) = %q, want %q", tt.name, got, tt.library)
		}
		if got := KindOf(tt.name); got != tt.kind {
			t.Errorf("KindOf(%q) = %s, want %s", tt.name, got, tt.kind)
		}
	}
}

func TestBoundaryOf(t *testing.T) {
	tests := []struct {
		name string
		want Boundary
	}{
		{"_prepare_pos_seq_lens_kernel", StepStart},
		{"_compute_slot_mappings_kernel", StepStart},
		{"_gumbel_sample_kernel", StepEnd},
		{"_post_update_kernel", StepEnd},
		{"void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float, at::native::ArgMaxOps<float>, unsigned int, long, 4, 4> >(int)", StepEnd},
		{"void flashinfer::sampling::TopKTopPSamplingFromProbKernel<1024u>(float*)", StepEnd},
		{"_prepare_prefill_inputs_kernel", NoBoundary},
		{"void vllm::rms_norm_kernel<c10::BFloat16>()", NoBoundary},
		{"", NoBoundary},
	}
	for _, tt := range tests {
		if got := BoundaryOf(tt.name); got != tt.want {
			t.Errorf("BoundaryOf(%q) = %s, want %s", tt.name, got, tt.want)
		}
		if got := IsStepBoundary(tt.name); got != (tt.want != NoBoundary) {
			t.Errorf("IsStepBoundary(%q) = %t", tt.name, got)
		}
	}
}
