package compare

// Thresholds are the named numbers that verdicts rest on. Each has a reason; a caller may change any.
type Thresholds struct {
	// Alpha is the level of a test, after correction for the number of metrics in a group (Holm).
	Alpha float64 `json:"alpha"`

	// UtilisationMoved is by how much GPU utilisation must move, in percentage points of wall, to be called moved, and
	// UtilisationLarge to be called a large move. The workflow's own numbers.
	UtilisationMoved float64 `json:"utilisation_moved"`
	UtilisationLarge float64 `json:"utilisation_large"`
	// LatencyFactor is the factor in latency, or in throughput, that counts even where no test is possible. The workflow's
	// own number.
	LatencyFactor float64 `json:"latency_factor"`

	// NoiseGPU and NoiseHost are the shares by which GPU time and host time of one and the same server differ between two
	// starts. Measured on an H100 with vLLM 0.24: 1-2 % for a GPU-bound model, 10-25 % for a host-bound one.
	NoiseGPU  float64 `json:"noise_gpu"`
	NoiseHost float64 `json:"noise_host"`
	// NoiseBench, NoiseTTFT and NoiseTail are the same for a burst of requests where no capture says how much of the time is
	// the host's: throughput and median latencies, time to first token, and tail percentiles.
	NoiseBench float64 `json:"noise_bench"`
	NoiseTTFT  float64 `json:"noise_ttft"`
	NoiseTail  float64 `json:"noise_tail"`

	// ShareOfStep is the smallest change of a part or a kernel that counts, as a share of the step's wall.
	ShareOfStep float64 `json:"share_of_step"`
	// Exact is the smallest relative change of a reading that does not vary, such as the size of the KV cache.
	Exact float64 `json:"exact"`
	// Repeats is the smallest effect that counts when runs were repeated, so that the test itself sees how runs vary.
	Repeats float64 `json:"repeats"`
}

// Defaults returns the documented thresholds.
func Defaults() Thresholds {
	return Thresholds{
		Alpha:            0.05,
		UtilisationMoved: 0.10,
		UtilisationLarge: 0.20,
		LatencyFactor:    2,
		NoiseGPU:         0.03,
		NoiseHost:        0.25,
		NoiseBench:       0.05,
		NoiseTTFT:        0.15,
		NoiseTail:        0.25,
		ShareOfStep:      0.005,
		Exact:            0.01,
		Repeats:          0.02,
	}
}

// fill replaces zero fields by the defaults.
func (t Thresholds) fill() Thresholds {
	d := Defaults()
	for _, f := range []struct{ to, def *float64 }{
		{&t.Alpha, &d.Alpha}, {&t.UtilisationMoved, &d.UtilisationMoved}, {&t.UtilisationLarge, &d.UtilisationLarge},
		{&t.LatencyFactor, &d.LatencyFactor}, {&t.NoiseGPU, &d.NoiseGPU}, {&t.NoiseHost, &d.NoiseHost},
		{&t.NoiseBench, &d.NoiseBench}, {&t.NoiseTTFT, &d.NoiseTTFT}, {&t.NoiseTail, &d.NoiseTail},
		{&t.ShareOfStep, &d.ShareOfStep}, {&t.Exact, &d.Exact}, {&t.Repeats, &d.Repeats},
	} {
		if *f.to == 0 {
			*f.to = *f.def
		}
	}
	return t
}
