package device

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// Sheet is the data sheet of one GPU as the driver shows it: one device, not a board or a node. A zero field is one that
// the vendor does not state.
type Sheet struct {
	Name         string  `json:"name"`
	Vendor       string  `json:"vendor"`
	Architecture string  `json:"architecture"` // volta, turing, ampere, ada, hopper, blackwell, gfx942 ...
	ComputeMajor int     `json:"compute_major,omitempty"`
	ComputeMinor int     `json:"compute_minor,omitempty"`
	SMs          int     `json:"sms"`            // streaming multiprocessors; compute units on AMD
	MemoryBytes  int64   `json:"memory_bytes"`   // capacity
	MemoryType   string  `json:"memory_type"`    // HBM3, GDDR6X ...
	Bandwidth    float64 `json:"bandwidth_b_s"`  // theoretical memory bandwidth, bytes per second
	L2Bytes      int64   `json:"l2_bytes"`       // last-level cache before memory, without AMD's Infinity Cache
	BoostHz      float64 `json:"boost_hz"`       // highest clock that the driver reports
	PeakHz       float64 `json:"peak_hz"`        // clock behind the vendor's tensor peaks, where it differs from BoostHz
	TDPWatts     float64 `json:"tdp_w"`          // board power limit
	PCIeGen      int     `json:"pcie_gen"`       // host link generation
	PCIeLanes    int     `json:"pcie_lanes"`     // host link width
	PCIe         float64 `json:"pcie_b_s"`       // host link, bytes per second per direction; NVLink-C2C where a Grace CPU is the host
	Link         float64 `json:"nvlink_b_s"`     // NVLink or Infinity Fabric to peers, bytes per second per direction, all links
	Source       string  `json:"source"`         // vendor document
	Note         string  `json:"note,omitempty"` // what a reader should know about the figures

	peaks map[DType]float64
	match []string
	mig   map[string]int // SM count by compute slices, where the vendor's MIG listing is known
}

// Peak returns the dense peak for arithmetic in d, in operations per second (a multiply-add counts as two). For storage
// formats without arithmetic of their own it returns false; use [DType.Arithmetic] first.
func (s Sheet) Peak(d DType) (float64, bool) {
	if d == MXFP4 || d == NVFP4 {
		d = FP4
	}
	p, ok := s.peaks[d]
	return p, ok && p > 0
}

// Peaks lists the types that have a peak, in a fixed order from wide to narrow.
func (s Sheet) Peaks() []DType {
	var out []DType
	for _, d := range []DType{FP32, TF32, FP16, BF16, FP8, INT8, FP4} {
		if p := s.peaks[d]; p > 0 {
			out = append(out, d)
		}
	}
	return out
}

// ComputeCapability is major*10+minor (90 for Hopper), 0 where the vendor has no such number.
func (s Sheet) ComputeCapability() int { return s.ComputeMajor*10 + s.ComputeMinor }

// pcieGBs is the payload rate per lane and direction after line coding, in GB/s, by generation.
var pcieGBs = map[int]float64{3: 0.985, 4: 1.969, 5: 3.938, 6: 7.563}

type sheetRow struct {
	Name      string             `json:"name"`
	Match     []string           `json:"match"`
	Vendor    string             `json:"vendor"`
	Arch      string             `json:"arch"`
	CC        string             `json:"cc"`
	SMs       int                `json:"sms"`
	MemoryGiB float64            `json:"memory_gib"`
	Memory    string             `json:"memory"`
	Bandwidth float64            `json:"bandwidth_gb_s"`
	L2MiB     float64            `json:"l2_mib"`
	BoostMHz  float64            `json:"boost_mhz"`
	PeakMHz   float64            `json:"peak_mhz"`
	TDP       float64            `json:"tdp_w"`
	PCIe      string             `json:"pcie"`
	Host      *float64           `json:"host_gb_s"` // where the host is not reached over PCIe; 0 where its rate per GPU is not known
	Link      float64            `json:"link_gb_s"`
	TFLOPS    map[string]float64 `json:"tflops"`
	MIG       map[string]int     `json:"mig_sms"` // "1g+" is the one-slice profile with two memory slices
	Source    string             `json:"source"`
	Note      string             `json:"note"`
}

//go:embed sheets.json
var sheetsJSON []byte

// sheets parses the embedded table once. The table is part of the program, so a fault in it is a programming error and
// the tests parse it.
var sheets = sync.OnceValue(func() []Sheet {
	out, err := parseSheets(sheetsJSON)
	if err != nil {
		panic("device: embedded sheets.json: " + err.Error())
	}
	return out
})

func parseSheets(data []byte) ([]Sheet, error) {
	var rows []sheetRow
	if err := json.Unmarshal(data, &rows); err != nil {
		return nil, err
	}
	out := make([]Sheet, 0, len(rows))
	for _, r := range rows {
		s := Sheet{
			Name: r.Name, Vendor: r.Vendor, Architecture: r.Arch, SMs: r.SMs,
			MemoryBytes: int64(r.MemoryGiB * (1 << 30)), MemoryType: r.Memory, Bandwidth: r.Bandwidth * 1e9,
			L2Bytes: int64(r.L2MiB * (1 << 20)), BoostHz: r.BoostMHz * 1e6, PeakHz: r.PeakMHz * 1e6, TDPWatts: r.TDP,
			Link: r.Link * 1e9, Source: r.Source, Note: r.Note, match: r.Match, mig: r.MIG, peaks: make(map[DType]float64, len(r.TFLOPS)),
		}
		if s.PeakHz == 0 {
			s.PeakHz = s.BoostHz
		}
		for k, v := range r.TFLOPS {
			d, ok := ParseDType(k)
			if !ok {
				return nil, fmt.Errorf("%s: unknown type %q", r.Name, k)
			}
			s.peaks[d] = v * 1e12
		}
		if r.CC != "" {
			major, minor, _ := strings.Cut(r.CC, ".")
			var err1, err2 error
			s.ComputeMajor, err1 = strconv.Atoi(major)
			s.ComputeMinor, err2 = strconv.Atoi(minor)
			if err1 != nil || err2 != nil {
				return nil, fmt.Errorf("%s: compute capability %q", r.Name, r.CC)
			}
		}
		gen, lanes, _ := strings.Cut(r.PCIe, "x")
		g, err1 := strconv.Atoi(gen)
		l, err2 := strconv.Atoi(lanes)
		if err1 != nil || err2 != nil {
			return nil, fmt.Errorf("%s: pcie %q", r.Name, r.PCIe)
		}
		s.PCIeGen, s.PCIeLanes, s.PCIe = g, l, pcieGBs[g]*float64(l)*1e9
		if r.Host != nil {
			s.PCIe = *r.Host * 1e9
		}
		out = append(out, s)
	}
	return out, nil
}

// Sheets returns all embedded data sheets, in table order. The slice is the caller's.
func Sheets() []Sheet { return append([]Sheet(nil), sheets()...) }
