package web

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/stepscope/stepscope/interval"
)

// Tiles: level L has bins of 1<<L ns, tile I of it covers bins [I*tileBins, (I+1)*tileBins) from the model's origin.
const (
	tileMagic    = "SSTL\x01"
	tileBins     = 512
	maxLevel     = 43 // 512 << 43 ns is 52 days, the longest extent
	maxTileLanes = 512
	// fewSpans is how many spans of a row a tile lists one by one however short they are.
	fewSpans = 192
	// wideBins is the length in bins from which a span is listed although the row is crowded.
	wideBins = 2
)

// tileRequest is one tile of some lanes.
type tileRequest struct {
	level, index int
	lanes        []int
}

var errTileLanes = errors.New("lanes: give numbers and ranges, for example 0-3,7")

// parseTileRequest checks every value: they come from outside.
func (m *Model) parseTileRequest(level, index, lanes string) (tileRequest, error) {
	var r tileRequest
	var err error
	if r.level, err = strconv.Atoi(level); err != nil || r.level < 0 || r.level > maxLevel {
		return r, fmt.Errorf("level %.20q: not 0..%d", level, maxLevel)
	}
	if r.index, err = strconv.Atoi(index); err != nil || r.index < 0 || int64(r.index) > m.extent()>>r.level/tileBins {
		return r, fmt.Errorf("index %.20q: outside the recording", index)
	}
	if len(lanes) > 8*maxTileLanes {
		return r, errTileLanes
	}
	for part := range strings.SplitSeq(lanes, ",") {
		a, b, isRange := strings.Cut(part, "-")
		lo, err := strconv.Atoi(a)
		hi := lo
		if err == nil && isRange {
			hi, err = strconv.Atoi(b)
		}
		if err != nil || lo < 0 || hi < lo || hi >= len(m.lanes) {
			return r, errTileLanes
		}
		if len(r.lanes)+hi-lo+1 > maxTileLanes {
			return r, fmt.Errorf("lanes: more than %d in one request", maxTileLanes)
		}
		for l := lo; l <= hi; l++ {
			r.lanes = append(r.lanes, l)
		}
	}
	return r, nil
}

// tiles encodes r; see docs/tile-format.md.
func (m *Model) tiles(r tileRequest) []byte {
	b := append(make([]byte, 0, 4096), tileMagic...)
	b = binary.AppendUvarint(b, uint64(r.level))
	b = binary.AppendUvarint(b, uint64(r.index))
	b = binary.AppendUvarint(b, uint64(len(r.lanes)))
	width := int64(1) << r.level
	t0 := m.origin + int64(r.index)*tileBins*width
	var body []byte
	for _, l := range r.lanes {
		if c := m.lanes[l].curve; c != nil {
			body = appendCurve(body[:0], c, t0, width)
		} else {
			body = appendSpans(body[:0], m.lanes[l], t0, width)
		}
		b = binary.AppendUvarint(b, uint64(l))
		b = binary.AppendUvarint(b, uint64(len(body)))
		b = append(b, body...)
	}
	return b
}

// tileNames collects the labels of one lane's tile.
type tileNames struct {
	index map[uint32]int
	keys  []uint32
	texts []string
}

func (n *tileNames) of(src source, id uint32) int {
	key, text := src.label(id)
	i, ok := n.index[key]
	if !ok {
		if n.index == nil {
			n.index = map[uint32]int{}
		}
		i = len(n.keys)
		n.index[key] = i
		n.keys, n.texts = append(n.keys, key), append(n.texts, clean(text, maxLabel))
	}
	return i
}

func appendSpans(b []byte, l *lane, t0, width int64) []byte {
	b = append(b, 0)
	b = binary.AppendUvarint(b, uint64(len(l.rows)))
	w := interval.Span{Start: t0, End: t0 + tileBins*width}
	var names tileNames
	var spans, bins []byte
	for _, r := range l.rows {
		spans, bins = spans[:0], bins[:0]
		n, lastID, lastEnd := 0, -1, t0
		add := func(i int) bool {
			s, tag := r.At(i)
			spans = binary.AppendUvarint(spans, uint64(i-lastID-1))
			spans = binary.AppendVarint(spans, s.Start-lastEnd)
			spans = binary.AppendUvarint(spans, uint64(s.End-s.Start))
			spans = append(spans, tag)
			spans = binary.AppendUvarint(spans, uint64(names.of(r.src, r.id(i))))
			n, lastID, lastEnd = n+1, i, s.End
			return true
		}
		used := 0
		if lo, hi := r.mip.Find(w); hi-lo <= fewSpans {
			for i := lo; i < hi; i++ {
				add(i)
			}
		} else {
			r.mip.Long(w, wideBins*width, add)
			last := -1
			r.mip.Bins(t0, width, tileBins, wideBins*width, func(bin interval.Bin) {
				at := len(bins)
				bins = binary.AppendUvarint(bins, uint64(bin.Index-last-1))
				bins = binary.AppendUvarint(bins, uint64(bin.Starts))
				count := len(bins)
				bins = append(bins, 0)
				for tag, ns := range bin.Ns {
					if ns > 0 {
						bins = append(bins, uint8(tag), share(ns, width))
						bins[count]++
					}
				}
				if bin.Starts == 0 && bins[count] == 0 {
					bins = bins[:at]
					return
				}
				last = bin.Index
				used++
			})
		}
		b = binary.AppendUvarint(b, uint64(n))
		b = append(b, spans...)
		b = binary.AppendUvarint(b, uint64(used))
		b = append(b, bins...)
	}
	b = binary.AppendUvarint(b, uint64(len(names.keys)))
	for i, key := range names.keys {
		b = binary.AppendUvarint(b, uint64(key))
		b = binary.AppendUvarint(b, uint64(len(names.texts[i])))
		b = append(b, names.texts[i]...)
	}
	return b
}

// share is ns of width in 255ths, rounded, and at least one: what is there is never drawn as nothing.
func share(ns, width int64) uint8 {
	return uint8(min(255, max(1, (float64(ns)*255)/float64(width)+0.5)))
}

func appendCurve(b []byte, c *curve, t0, width int64) []byte {
	before, points := c.bins(t0, width, tileBins)
	b = append(b, 1)
	f := func(v float64) { b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(v))) }
	f(before)
	b = binary.AppendUvarint(b, uint64(len(points)))
	last := -1
	for _, p := range points {
		b = binary.AppendUvarint(b, uint64(p.bin-last-1))
		f(p.min)
		f(p.mean)
		f(p.max)
		last = p.bin
	}
	return b
}
