package device

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"sort"
	"strings"
)

// Hints are what a capture itself records about a GPU (for nsys the TARGET_INFO_GPU table). A zero field is one that the
// capture does not record.
type Hints struct {
	SMs          int
	MemoryBytes  int64
	Bandwidth    float64 // bytes per second, theoretical
	ClockHz      float64 // highest clock
	L2Bytes      int64
	ComputeMajor int
	ComputeMinor int
}

// Empty reports whether the capture records nothing.
func (h Hints) Empty() bool { return h == Hints{} }

// MatchKind says how a sheet was found.
type MatchKind string

// ByName: the name alone decided. ByFacts: no usable name, the capture's facts fit exactly one part. NoMatch: unknown.
const (
	ByName  MatchKind = "name"
	ByFacts MatchKind = "facts"
	NoMatch MatchKind = "none"
)

// Match tells how sure a [Lookup] is and what it did.
type Match struct {
	OK          bool      `json:"ok"`
	Kind        MatchKind `json:"kind"`
	Adjusted    []string  `json:"adjusted,omitempty"`    // what the capture's facts changed in the sheet
	Notes       []string  `json:"notes,omitempty"`       // assumptions that a reader should see
	Suggestions []string  `json:"suggestions,omitempty"` // names that were probably meant, best first
}

// Lookup finds the data sheet of a GPU by the name that a driver, a profile or a person gives it ("NVIDIA H100 80GB
// HBM3", "h100 pcie", "AMD Instinct MI300X") and lets the capture's own facts take precedence: bandwidth, memory, L2 and
// SM count are replaced, compute peaks are scaled by SM count and clock when they differ from the sheet's (a MIG slice,
// a cut-down or an overclocked part). With an empty name the facts alone may identify the part.
//
// For an unknown GPU Match.OK is false, Match.Suggestions holds near misses, and the returned sheet carries only what
// the hints say: it has no compute peaks, and a bandwidth only when the capture records one.
func Lookup(name string, h Hints) (Sheet, Match) {
	toks, mig := tokens(name)
	if len(toks) == 0 {
		if s, ok := byFacts(h); ok {
			m := Match{OK: true, Kind: ByFacts, Notes: []string{fmt.Sprintf("no GPU name recorded; SM count and memory fit the %s", s.Name)}}
			return apply(s, h, migProfile{}, &m), m
		}
		return fromHints(name, h), Match{Kind: NoMatch}
	}
	cands := byName(toks)
	if len(cands) == 0 {
		toks, cands = byBareMemory(toks)
	}
	if len(cands) == 0 {
		return fromHints(name, h), Match{Kind: NoMatch, Suggestions: suggest(toks)}
	}
	m := Match{OK: true, Kind: ByName}
	want := h
	if want.MemoryBytes == 0 && mig.name == "" {
		want.MemoryBytes = memoryToken(toks)
	}
	best := cands[0]
	for _, c := range cands[1:] {
		if better(c, best, want) {
			best = c
		}
	}
	if len(cands) > 1 && h.Empty() && want.MemoryBytes == 0 {
		m.Notes = append(m.Notes, fmt.Sprintf("%q names several parts; taken as %s", strings.TrimSpace(name), best.sheet.Name))
	}
	if h.ComputeMajor > 0 && best.sheet.ComputeMajor > 0 &&
		(h.ComputeMajor != best.sheet.ComputeMajor || h.ComputeMinor != best.sheet.ComputeMinor) {
		m.Notes = append(m.Notes, fmt.Sprintf("the capture says compute capability %d.%d, the sheet of %s says %d.%d",
			h.ComputeMajor, h.ComputeMinor, best.sheet.Name, best.sheet.ComputeMajor, best.sheet.ComputeMinor))
	}
	return apply(best.sheet, h, mig, &m), m
}

var (
	reSplit  = regexp.MustCompile(`[^a-z0-9.]+`)
	reRTX    = regexp.MustCompile(`^rtx([0-9]{4})(ti|super|d)?$`)
	reGeF    = regexp.MustCompile(`^([345]0[5-9]0)(ti|super)?$`)
	reMemory = regexp.MustCompile(`^([0-9]{1,3})g[bi]?b?$`)
	reIgnore = regexp.MustCompile(`^([0-9]{1,3}gb|hbm[0-9]e?|gddr[0-9]x?|sxm[0-9]?|pcie|gpu|graphics|card|tensor|core|` +
		`edition|generation|oam|vf|accelerator|[0-9]\.[0-9])$`)
)

// vendorWords say nothing about the part.
var vendorWords = map[string]bool{"nvidia": true, "geforce": true, "amd": true, "instinct": true, "tesla": true,
	"quadro": true, "radeon": true, "corporation": true, "r": true, "tm": true, "mig": true}

// tokens splits a GPU name into lower-case words without vendor names. The second result is the MIG profile in the name.
func tokens(name string) (toks []string, mig migProfile) {
	parts := reSplit.Split(strings.ToLower(name), -1)
	for i := 0; i < len(parts); i++ {
		p := strings.Trim(parts[i], ".")
		switch {
		case p == "" || vendorWords[p] || mig.name != "" && migExtras[p]:
			continue
		case i+1 < len(parts) && (parts[i+1] == "gb" || parts[i+1] == "gib") && strings.Trim(p, "0123456789") == "":
			p += "gb"
			i++
		}
		if m, ok := parseMIG(p); ok {
			mig = m
			continue
		}
		if m := reMemory.FindStringSubmatch(p); m != nil {
			p = m[1] + "gb"
		}
		if m := reRTX.FindStringSubmatch(p); m != nil {
			toks = append(toks, "rtx", m[1])
			if m[2] != "" {
				toks = append(toks, m[2])
			}
			continue
		}
		if m := reGeF.FindStringSubmatch(p); m != nil {
			if len(toks) == 0 || toks[len(toks)-1] != "rtx" {
				toks = append(toks, "rtx")
			}
			toks = append(toks, m[1])
			if m[2] != "" {
				toks = append(toks, m[2])
			}
			continue
		}
		toks = append(toks, p)
	}
	return toks, mig
}

func memoryToken(toks []string) int64 {
	for _, t := range toks {
		if m := reMemory.FindStringSubmatch(t); m != nil {
			var gib int64
			if _, err := fmt.Sscanf(m[1], "%d", &gib); err == nil {
				return gib << 30
			}
		}
	}
	return 0
}

type candidate struct {
	sheet Sheet
	score int // tokens of the name that the pattern covers
	order int // position of the pattern in the row: 0 is the part's own name
}

// byName returns the sheets whose pattern covers most of the name, provided that the rest of the name says nothing else.
func byName(toks []string) []candidate {
	has := make(map[string]bool, len(toks))
	for _, t := range toks {
		has[t] = true
	}
	var out []candidate
	for _, s := range sheets() {
		var best candidate
		for i, pat := range s.match {
			words := strings.Fields(pat)
			covered := make(map[string]bool, len(words))
			ok := true
			for _, w := range words {
				ok = ok && has[w]
				covered[w] = true
			}
			for _, t := range toks {
				ok = ok && (covered[t] || reIgnore.MatchString(t))
			}
			if ok && len(words) > best.score {
				best = candidate{s, len(words), i}
			}
		}
		if best.score > 0 {
			out = append(out, best)
		}
	}
	top := 0
	for _, c := range out {
		top = max(top, c.score)
	}
	kept := out[:0]
	for _, c := range out {
		if c.score == top {
			kept = append(kept, c)
		}
	}
	return kept
}

// byBareMemory reads the number at the end of a name as its memory in GiB, as in "A100-80", and returns the parts that have as much.
// The words are those that were asked when there is none.
func byBareMemory(toks []string) ([]string, []candidate) {
	last := len(toks) - 1
	if last < 1 || len(toks[last]) > 3 || strings.Trim(toks[last], "0123456789") != "" {
		return toks, nil
	}
	with := append(slices.Clone(toks[:last]), toks[last]+"gb")
	want := memoryToken(with)
	fit := slices.DeleteFunc(byName(with), func(c candidate) bool { return c.sheet.MemoryBytes != want })
	if len(fit) == 0 {
		return toks, nil
	}
	return with, fit
}

// better reports whether a fits the wanted facts better than b.
func better(a, b candidate, h Hints) bool {
	if da, db := misfit(a.sheet, h), misfit(b.sheet, h); math.Abs(da-db) > 1e-9 {
		return da < db
	}
	if a.order != b.order {
		return a.order < b.order
	}
	return a.sheet.MemoryBytes > b.sheet.MemoryBytes
}

func misfit(s Sheet, h Hints) float64 {
	d := 0.0
	if h.MemoryBytes > 0 && s.MemoryBytes > 0 {
		d += math.Abs(math.Log(float64(h.MemoryBytes) / float64(s.MemoryBytes)))
	}
	if h.SMs > 0 && s.SMs > 0 {
		d += math.Abs(math.Log(float64(h.SMs) / float64(s.SMs)))
	}
	if h.Bandwidth > 0 && s.Bandwidth > 0 {
		d += math.Abs(math.Log(h.Bandwidth / s.Bandwidth))
	}
	return d
}

// byFacts identifies a part by its facts alone. It needs SM count and memory size, and answers only when all parts that
// fit have the same peaks and bandwidth.
func byFacts(h Hints) (Sheet, bool) {
	if h.SMs <= 0 || h.MemoryBytes <= 0 {
		return Sheet{}, false
	}
	var fit []Sheet
	for _, s := range sheets() {
		ratio := float64(h.MemoryBytes) / float64(s.MemoryBytes)
		switch {
		case s.SMs != h.SMs || ratio < 0.90 || ratio > 1.02:
		case h.Bandwidth > 0 && math.Abs(h.Bandwidth/s.Bandwidth-1) > 0.045: // a B200 reports 7.67 TB/s, the sheet says 8
		case h.ClockHz > 0 && s.BoostHz > 0 && math.Abs(h.ClockHz/s.BoostHz-1) > 0.05:
		case h.ComputeMajor > 0 && (h.ComputeMajor != s.ComputeMajor || h.ComputeMinor != s.ComputeMinor):
		default:
			fit = append(fit, s)
		}
	}
	if len(fit) == 0 {
		return Sheet{}, false
	}
	for _, s := range fit[1:] {
		if s.Bandwidth != fit[0].Bandwidth || s.peaks[FP16] != fit[0].peaks[FP16] {
			return Sheet{}, false
		}
	}
	return fit[0], true
}

// fromHints is the sheet of an unknown GPU: the capture's facts and nothing else.
func fromHints(name string, h Hints) Sheet {
	s := Sheet{Name: strings.TrimSpace(name), SMs: h.SMs, MemoryBytes: h.MemoryBytes, Bandwidth: h.Bandwidth,
		BoostHz: h.ClockHz, PeakHz: h.ClockHz, L2Bytes: h.L2Bytes, ComputeMajor: h.ComputeMajor, ComputeMinor: h.ComputeMinor}
	if h.ComputeMajor > 0 {
		s.Vendor = "NVIDIA"
	}
	return s
}

// plausible reports whether a figure of the capture, relative to the sheet's, can be of the same part: beyond that it is a
// fault of the recording or a mistaken unit, and a peak in proportion to it would be nonsense.
func plausible(ratio, lo, hi float64) bool { return ratio >= lo && ratio <= hi }

// smTolerance and clockTolerance are differences that a sheet may have without being another part: vendors round clocks,
// and a few parts ship with one or two units more or less than announced.
const (
	smTolerance    = 0.04
	clockTolerance = 0.03
)

// apply lets the capture's facts replace the sheet's.
func apply(s Sheet, h Hints, mig migProfile, m *Match) Sheet {
	if mig.name == "" && unnamedSlice(s, h) {
		mig.name = "of the capture"
		m.Notes = append(m.Notes, fmt.Sprintf("%d SMs and %.1f GiB of memory are those of a MIG device of this GPU", h.SMs, float64(h.MemoryBytes)/(1<<30)))
	}
	if mig.name != "" {
		s = mig.sliced(s, h, m)
	} else {
		s = applyBoard(s, h, m)
	}
	if h.ClockHz > 0 && s.BoostHz > 0 && !plausible(h.ClockHz/s.BoostHz, 0.4, 1.5) {
		m.Notes = append(m.Notes, fmt.Sprintf("the capture's highest clock of %g MHz is not taken: the sheet says %.0f MHz", h.ClockHz/1e6, s.BoostHz/1e6))
	} else if h.ClockHz > 0 && s.BoostHz > 0 {
		// Vendors state tensor peaks at a clock below the highest one, so anything between the two is the sheet's.
		ref := math.Min(math.Max(h.ClockHz, math.Min(s.PeakHz, s.BoostHz)), math.Max(s.PeakHz, s.BoostHz))
		if math.Abs(h.ClockHz/ref-1) > clockTolerance {
			s = s.scaled(h.ClockHz / ref)
			m.Adjusted = append(m.Adjusted, fmt.Sprintf("compute peaks: the capture's highest clock is %.0f MHz, the sheet's %.0f MHz", h.ClockHz/1e6, ref/1e6))
		}
		s.BoostHz = h.ClockHz
	}
	if h.ComputeMajor > 0 {
		s.ComputeMajor, s.ComputeMinor = h.ComputeMajor, h.ComputeMinor
	}
	return s
}

// applyBoard is the part of apply that a whole board takes: its SM count, memory, cache and bandwidth.
func applyBoard(s Sheet, h Hints, m *Match) Sheet {
	full := s
	if h.SMs > 0 && s.SMs > 0 && math.Abs(float64(h.SMs)/float64(s.SMs)-1) > smTolerance {
		m.Adjusted = append(m.Adjusted, fmt.Sprintf("compute peaks: the capture has %d SMs, the sheet %d", h.SMs, s.SMs))
		s = s.withUnits(h.SMs)
	}
	if h.SMs > 0 {
		s.SMs = h.SMs
	}
	if h.MemoryBytes > 0 {
		s.MemoryBytes = h.MemoryBytes
	}
	if h.L2Bytes > 0 {
		s.L2Bytes = h.L2Bytes
	}
	least := 0.5
	if h.SMs > 0 && h.SMs != full.SMs {
		least = 0.1 // another cut of the part may have a narrower bus
	}
	switch {
	case h.Bandwidth <= 0:
	case !plausible(h.Bandwidth/full.Bandwidth, least, 1.3):
		m.Notes = append(m.Notes, fmt.Sprintf("the capture's memory bandwidth of %g GB/s is not taken: the sheet says %.0f GB/s", h.Bandwidth/1e9, full.Bandwidth/1e9))
	default:
		if math.Abs(h.Bandwidth/s.Bandwidth-1) > 0.02 {
			m.Adjusted = append(m.Adjusted, fmt.Sprintf("bandwidth: the capture says %.1f GB/s, the sheet %.1f GB/s", h.Bandwidth/1e9, s.Bandwidth/1e9))
		}
		s.Bandwidth = h.Bandwidth
	}
	return s
}

// suggest returns up to four part names that share words with the asked one, or where none does are a small edit away: who asks for
// an "RTX 6000" means one of several, and no RTX 3060.
func suggest(toks []string) []string {
	type scored struct {
		name string
		d    float64
	}
	asked := strings.Join(toks, " ")
	limit := math.Max(2, float64(len(asked))/3)
	best, sharing := map[string]float64{}, map[string]bool{}
	for _, s := range sheets() {
		for _, p := range s.match {
			d := float64(distance(asked, p))
			shared := false
			for _, w := range strings.Fields(p) {
				for _, t := range toks {
					if w == t && w != "rtx" && w != "ada" && !reIgnore.MatchString(t) {
						d -= 3
						shared = true
					}
				}
			}
			if old, ok := best[s.Name]; (shared || d <= limit) && (!ok || d < old) {
				best[s.Name] = d
			}
			sharing[s.Name] = sharing[s.Name] || shared
		}
	}
	anyShares := slices.Contains(slices.Collect(maps.Values(sharing)), true)
	var all []scored
	for n, d := range best {
		if anyShares && !sharing[n] {
			continue
		}
		all = append(all, scored{n, d})
	}
	sort.Slice(all, func(i, j int) bool {
		if all[i].d != all[j].d {
			return all[i].d < all[j].d
		}
		return all[i].name < all[j].name
	})
	var out []string
	for i := 0; i < len(all) && i < 4; i++ {
		out = append(out, all[i].name)
	}
	return out
}

// distance is the Levenshtein distance of two short strings.
func distance(a, b string) int {
	prev := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diag := prev[0]
		prev[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diag
			if a[i-1] != b[j-1] {
				cost++
			}
			diag = prev[j]
			prev[j] = min(cost, prev[j]+1, prev[j-1]+1)
		}
	}
	return prev[len(b)]
}
