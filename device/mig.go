package device

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
)

// migProfile is the MIG profile in a device name: "3g.40gb", or "1c.3g.40gb" for a compute instance inside one.
type migProfile struct {
	name     string
	compute  int   // compute slices that the device may use: those of the compute instance, else of the GPU instance
	instance int   // compute slices of the GPU instance, which owns the memory
	memory   int64 // bytes, as the name rounds them; 0 where the profile was not named
}

var reMIG = regexp.MustCompile(`^(?:([1-7])c\.)?([1-7])g\.([0-9]{1,3})gb$`)

// migExtras are what a profile's name may carry behind it: media engines or graphics, which do not matter to serving.
var migExtras = map[string]bool{"me": true, "gfx": true, "me.all": true, "all": true}

func parseMIG(word string) (migProfile, bool) {
	f := reMIG.FindStringSubmatch(word)
	if f == nil {
		return migProfile{}, false
	}
	m := migProfile{name: word, instance: int(f[2][0] - '0')}
	m.compute = m.instance
	if f[1] != "" {
		m.compute = min(m.instance, int(f[1][0]-'0'))
	}
	gib, err := strconv.ParseInt(f[3], 10, 64)
	m.memory = gib << 30
	return m, err == nil && gib > 0
}

// units is the number of streaming multiprocessors that the profile has on the GPU of the sheet, 0 where it is not known.
// It is no simple share of the whole: a slice is a number of whole processor clusters, and some of the GPU stays unused.
func (m migProfile) units(s Sheet) int {
	key := strconv.Itoa(m.compute) + "g"
	if m.compute == 1 && m.instance == 1 && m.eighths(s, m.memory) == 2 {
		if n := s.mig["1g+"]; n > 0 { // the one-slice profile with twice the memory
			return n
		}
	}
	return s.mig[key]
}

// eighths is the share of the memory system that a slice of so many bytes owns. Bandwidth goes with it: a GPU instance
// owns whole memory slices, and all GPUs with MIG have eight of them or four.
func (m migProfile) eighths(s Sheet, bytes int64) float64 {
	return math.Min(8, math.Max(1, math.Round(8*float64(bytes)/float64(s.MemoryBytes))))
}

// sliced cuts the sheet of a whole GPU down to a MIG device. The capture's own SM count and memory size lead; where the
// profiler lists the whole GPU behind the device, or nothing, the profile in the name does. A profile whose SM count is
// not known leaves no compute peaks.
func (m migProfile) sliced(full Sheet, h Hints, match *Match) Sheet {
	s := full
	known := m.units(full)
	switch {
	case h.SMs > 0 && h.SMs < full.SMs:
		s = s.withUnits(h.SMs)
		match.Adjusted = append(match.Adjusted, fmt.Sprintf("compute peaks: the MIG device has %d of %d SMs", h.SMs, full.SMs))
	case known == 0:
		s.SMs, s.peaks = 0, nil
		match.Notes = append(match.Notes, fmt.Sprintf("compute peaks are not known: the capture does not say how many SMs the MIG profile %s has on this GPU", m.name))
	case known != full.SMs:
		s = s.withUnits(known)
		match.Adjusted = append(match.Adjusted, fmt.Sprintf("compute peaks: the MIG profile %s has %d of %d SMs", m.name, known, full.SMs))
	}
	s.MemoryBytes = m.memory
	if h.MemoryBytes > 0 && (m.memory == 0 || h.MemoryBytes <= m.memory+m.memory/8) {
		s.MemoryBytes = h.MemoryBytes
	}
	if h.Bandwidth > 0 && plausible(h.Bandwidth/full.Bandwidth, 0.05, 1.3) {
		s.Bandwidth = h.Bandwidth
	}
	e := m.eighths(full, s.MemoryBytes)
	if e < 8 && s.Bandwidth > 0.9*full.Bandwidth { // the bus of the whole GPU, which the slice does not have
		s.Bandwidth *= e / 8
		match.Adjusted = append(match.Adjusted, fmt.Sprintf("bandwidth: the MIG device owns %g/8 of the memory system", e))
	}
	if s.L2Bytes = h.L2Bytes; h.L2Bytes == 0 && e == 8 {
		s.L2Bytes = full.L2Bytes
	}
	s.Link = 0 // a MIG device has no peer-to-peer
	return s
}

// unnamedSlice reports whether a GPU without a MIG profile in its name can only be a slice: the SM count is that of a
// profile, and the memory is far less than the board's.
func unnamedSlice(s Sheet, h Hints) bool {
	if h.SMs <= 0 || h.SMs >= s.SMs || h.MemoryBytes <= 0 || float64(h.MemoryBytes) > 0.8*float64(s.MemoryBytes) {
		return false
	}
	for _, n := range s.mig {
		if n == h.SMs {
			return true
		}
	}
	return false
}

// withUnits returns the sheet with another SM count and peaks in proportion.
func (s Sheet) withUnits(n int) Sheet {
	s = s.scaled(float64(n) / float64(s.SMs))
	s.SMs = n
	return s
}

// scaled returns the sheet with all compute peaks multiplied.
func (s Sheet) scaled(by float64) Sheet {
	if by == 1 {
		return s
	}
	peaks := make(map[DType]float64, len(s.peaks))
	for d, p := range s.peaks {
		peaks[d] = p * by
	}
	s.peaks = peaks
	return s
}
