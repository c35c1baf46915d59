package device

import "math"

// Limit names the resource that bounds work at best.
type Limit string

// MemoryLimit: the bytes take longer than the operations. ComputeLimit: the other way round. UnknownLimit: the sheet
// lacks a peak.
const (
	MemoryLimit  Limit = "memory"
	ComputeLimit Limit = "compute"
	UnknownLimit Limit = "unknown"
)

// Roofline is a piece of work: operations (a multiply-add counts as two) and the bytes that must cross the memory bus.
type Roofline struct {
	FLOPs float64 `json:"flops"`
	Bytes float64 `json:"bytes"`
}

// Add returns the sum of two pieces of work.
func (r Roofline) Add(o Roofline) Roofline { return Roofline{r.FLOPs + o.FLOPs, r.Bytes + o.Bytes} }

// Intensity is the arithmetic intensity in operations per byte; +Inf without bytes.
func (r Roofline) Intensity() float64 {
	if r.Bytes <= 0 {
		if r.FLOPs <= 0 {
			return 0
		}
		return math.Inf(1)
	}
	return r.FLOPs / r.Bytes
}

// Ridge is the intensity in operations per byte above which work in d is compute-bound. It reports false when the sheet
// lacks the peak or the bandwidth.
func (s Sheet) Ridge(d DType) (float64, bool) {
	p, ok := s.Peak(d)
	if !ok || s.Bandwidth <= 0 {
		return 0, false
	}
	return p / s.Bandwidth, true
}

// Bound is what a GPU allows for a piece of work at best. Times are in nanoseconds; a time of 0 means that the sheet
// cannot tell it or that there is nothing to do.
type Bound struct {
	Limit     Limit   `json:"limit"`
	MemoryNs  float64 `json:"memory_ns"`  // bytes / bandwidth
	ComputeNs float64 `json:"compute_ns"` // operations / peak
	IdealNs   float64 `json:"ideal_ns"`   // the larger of the two
	Intensity float64 `json:"intensity"`  // operations per byte
	Ridge     float64 `json:"ridge"`      // operations per byte at which the two are equal
	Type      DType   `json:"type"`       // whose peak was used
	work      Roofline
	bandwidth float64
	peak      float64
}

// Bound returns the bound of the work on a GPU with arithmetic in d. With only the bandwidth known the memory time is
// still given and Limit is unknown.
func (r Roofline) Bound(s Sheet, d DType) Bound {
	b := Bound{Limit: UnknownLimit, Intensity: r.Intensity(), Type: d, work: r}
	if s.Bandwidth > 0 {
		b.bandwidth = s.Bandwidth
		b.MemoryNs = r.Bytes / s.Bandwidth * 1e9
	}
	if p, ok := s.Peak(d); ok {
		b.peak = p
		b.ComputeNs = r.FLOPs / p * 1e9
	}
	b.IdealNs = math.Max(b.MemoryNs, b.ComputeNs)
	if b.peak > 0 && b.bandwidth > 0 {
		b.Ridge = b.peak / b.bandwidth
		b.Limit = MemoryLimit
		if b.ComputeNs > b.MemoryNs {
			b.Limit = ComputeLimit
		}
	}
	return b
}

// MBU is the memory bandwidth utilisation of the work when it took ns nanoseconds: bytes that must move / (time x peak
// bandwidth). It reports false when bandwidth or time is not known.
func (b Bound) MBU(ns float64) (float64, bool) {
	if b.bandwidth <= 0 || ns <= 0 {
		return 0, false
	}
	return b.work.Bytes / (ns * 1e-9 * b.bandwidth), true
}

// MFU is the compute utilisation of the work when it took ns nanoseconds: operations / (time x dense peak of b.Type). It
// reports false when peak or time is not known.
func (b Bound) MFU(ns float64) (float64, bool) {
	if b.peak <= 0 || ns <= 0 {
		return 0, false
	}
	return b.work.FLOPs / (ns * 1e-9 * b.peak), true
}
