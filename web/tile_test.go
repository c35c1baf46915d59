package web

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stepscope/stepscope/internal/proftest"
	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
	"github.com/stepscope/stepscope/web/internal/synth"
)

// The decoder below follows docs/tile-format.md and shares nothing with the encoder.

type tileSpan struct {
	at         int
	start, dur int64 // start from the tile's start
	tag        uint8
	name       string
}

type tileBin struct {
	starts uint64
	share  map[uint8]uint8
}

type tileRow struct {
	spans []tileSpan
	bins  map[int]tileBin
}

type tileLane struct {
	rows   []tileRow
	curve  bool
	before float32
	points map[int][3]float32
}

var errTile = errors.New("broken tile")

func decodeTiles(data []byte) (level, index uint64, lanes map[uint64]tileLane, err error) {
	r := bytes.NewReader(data)
	magic := make([]byte, 5)
	if _, err = io.ReadFull(r, magic); err != nil || string(magic) != "SSTL\x01" {
		return 0, 0, nil, errTile
	}
	u := func() (v uint64) {
		if err == nil {
			v, err = binary.ReadUvarint(r)
		}
		return v
	}
	level, index = u(), u()
	lanes = map[uint64]tileLane{}
	for n := u(); n > 0 && err == nil; n-- {
		lane, size := u(), u()
		if size > uint64(r.Len()) {
			return 0, 0, nil, errTile
		}
		body := make([]byte, size)
		if _, err = io.ReadFull(r, body); err != nil {
			return 0, 0, nil, err
		}
		l, e := decodeLane(body)
		if e != nil {
			return 0, 0, nil, e
		}
		lanes[lane] = l
	}
	if r.Len() != 0 {
		return 0, 0, nil, errTile
	}
	return level, index, lanes, err
}

func decodeLane(body []byte) (l tileLane, err error) {
	r := bytes.NewReader(body)
	u := func() (v uint64) {
		if err == nil {
			v, err = binary.ReadUvarint(r)
		}
		return v
	}
	b := func() (v byte) {
		if err == nil {
			v, err = r.ReadByte()
		}
		return v
	}
	f := func() float32 {
		var v [4]byte
		for i := range v {
			v[i] = b()
		}
		return math.Float32frombits(binary.LittleEndian.Uint32(v[:]))
	}
	if l.curve = b() == 1; l.curve {
		l.before, l.points = f(), map[int][3]float32{}
		bin := -1
		for n := u(); n > 0 && err == nil; n-- {
			bin += 1 + int(u())
			l.points[bin] = [3]float32{f(), f(), f()}
		}
		return l, err
	}
	var names [][]uint64
	for n := u(); n > 0 && err == nil; n-- {
		row := tileRow{bins: map[int]tileBin{}}
		var refs []uint64
		at, end := -1, int64(0)
		for k := u(); k > 0 && err == nil; k-- {
			at += 1 + int(u())
			d, e := binary.ReadVarint(r)
			err = errors.Join(err, e)
			s := tileSpan{at: at, start: end + d, dur: int64(u()), tag: b()}
			end = s.start + s.dur
			refs = append(refs, u())
			row.spans = append(row.spans, s)
		}
		bin := -1
		for k := u(); k > 0 && err == nil; k-- {
			bin += 1 + int(u())
			x := tileBin{starts: u(), share: map[uint8]uint8{}}
			for c := b(); c > 0; c-- {
				tag := b()
				x.share[tag] = b()
			}
			row.bins[bin] = x
		}
		l.rows, names = append(l.rows, row), append(names, refs)
	}
	var texts []string
	for n := u(); n > 0 && err == nil; n-- {
		u()
		size := u()
		if size > uint64(r.Len()) {
			return l, errTile
		}
		text := make([]byte, size)
		_, e := io.ReadFull(r, text)
		err = errors.Join(err, e)
		texts = append(texts, string(text))
	}
	for i, refs := range names {
		for k, ref := range refs {
			if ref >= uint64(len(texts)) {
				return l, errTile
			}
			l.rows[i].spans[k].name = texts[ref]
		}
	}
	if r.Len() != 0 {
		return l, errTile
	}
	return l, err
}

// checkTile holds one tile of all lanes against every span.
func checkTile(t *testing.T, m *Model, level, index int) {
	t.Helper()
	all := make([]int, len(m.lanes))
	for i := range all {
		all[i] = i
	}
	gotLevel, gotIndex, lanes, err := decodeTiles(m.tiles(tileRequest{level, index, all}))
	if err != nil || gotLevel != uint64(level) || gotIndex != uint64(index) || len(lanes) != len(all) {
		t.Fatalf("tile %d/%d: %v, level %d, index %d, %d lanes", level, index, err, gotLevel, gotIndex, len(lanes))
	}
	width := int64(1) << level
	t0 := m.origin + int64(index)*tileBins*width
	w := interval.Span{Start: t0, End: t0 + tileBins*width}
	for n, l := range m.lanes {
		got := lanes[uint64(n)]
		if got.curve != (l.curve != nil) {
			t.Fatalf("%s: curve %v", l.key, got.curve)
		}
		for ri, r := range l.rows {
			listed := map[int]bool{}
			for _, s := range got.rows[ri].spans {
				want, tag := r.At(s.at)
				if want.Start-t0 != s.start || want.Dur() != s.dur || tag != s.tag {
					t.Fatalf("%s row %d, tile %d/%d: span %d is %+v, want %v from %d", l.key, ri, level, index, s.at, s, want, t0)
				}
				if _, text := r.src.label(r.id(s.at)); s.name != clean(text, maxLabel) {
					t.Fatalf("%s: name %q, want %q", l.key, s.name, text)
				}
				listed[s.at] = true
			}
			ns := map[int]map[uint8]int64{}
			starts := map[int]uint64{}
			for i := range r.n {
				s, tag := r.At(i)
				if listed[i] || !touches(s, w) {
					continue
				}
				if s.Dur() >= wideBins*width {
					t.Fatalf("%s row %d, tile %d/%d: wide span %v is not listed", l.key, ri, level, index, s)
				}
				for b := max(0, (s.Start-t0)/width); b < tileBins; b++ {
					bin := interval.Span{Start: t0 + b*width, End: t0 + (b+1)*width}
					if bin.Start >= s.End && bin.Start > s.Start {
						break
					}
					if d := s.Clip(bin).Dur(); d > 0 {
						if ns[int(b)] == nil {
							ns[int(b)] = map[uint8]int64{}
						}
						ns[int(b)][tag] += d
					}
					if bin.Contains(s.Start) {
						starts[int(b)]++
					}
				}
			}
			for b := range tileBins {
				x := got.rows[ri].bins[b]
				if x.starts != starts[b] || len(x.share) != len(ns[b]) {
					t.Fatalf("%s row %d, tile %d/%d, bin %d: %+v, want %d starts, %v", l.key, ri, level, index, b, x, starts[b], ns[b])
				}
				for tag, d := range ns[b] {
					if want := share(d, width); x.share[tag] != want {
						t.Fatalf("%s bin %d tag %d: share %d, want %d", l.key, b, tag, x.share[tag], want)
					}
				}
			}
		}
	}
}

func touches(s, w interval.Span) bool {
	return s.Overlaps(w) || s.Empty() && w.Contains(s.Start)
}

func TestTilesAgainstEverySpan(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, name := range proftest.Captures(t) {
		t.Run(name, func(t *testing.T) {
			m := load(t, name)
			for range 12 {
				level := r.IntN(26)
				checkTile(t, m, level, int(r.Int64N(m.extent()>>level/tileBins+1)))
			}
			top := 0
			for m.extent()>>top >= tileBins {
				top++
			}
			checkTile(t, m, top, 0) // everything in one tile
		})
	}
	t.Run("generated", func(t *testing.T) {
		m := NewModel(step.Analyze(synth.Profile(synth.Size{Kernels: 20_000, Calls: 34_000, Ranges: 97_000}), step.Options{}), nil, nil)
		for level := 8; level < 28; level += 2 {
			checkTile(t, m, level, int(m.extent()/2>>level/tileBins))
		}
	})
}

// TestTilesAreBounded asks for tiles where the most happens.
func TestTilesAreBounded(t *testing.T) {
	m := NewModel(step.Analyze(synth.Profile(synth.Size{Kernels: 60_000, Calls: 100_000, Ranges: 300_000}), step.Options{}), nil, nil)
	for n, l := range m.lanes {
		for level := 0; level < 32; level++ {
			if size := len(m.tiles(tileRequest{level, int(m.extent() / 2 >> level / tileBins), []int{n}})); size > 40<<10*max(1, len(l.rows)) {
				t.Errorf("lane %s, level %d: %d bytes", l.key, level, size)
			}
		}
	}
}

func TestParseTileRequest(t *testing.T) {
	m := NewModel(step.Analyze(synth.Profile(synth.Size{Kernels: 2000, Calls: 3000, Ranges: 5000}), step.Options{}), nil, nil)
	last := len(m.lanes) - 1
	for _, ok := range []string{"0", "0-1,3", fmt.Sprintf("0-%d", last)} {
		if _, err := m.parseTileRequest("10", "0", ok); err != nil {
			t.Errorf("%s: %v", ok, err)
		}
	}
	for _, bad := range [][3]string{
		{"", "0", "0"}, {"-1", "0", "0"}, {"44", "0", "0"}, {"10", "-1", "0"}, {"10", "99999999", "0"}, {"10", "0", ""}, {"10", "0", "x"}, {"10", "0", "-1"},
		{"10", "0", "1-0"}, {"10", "0", fmt.Sprint(last + 1)}, {"10", "0", "0,,1"}, {"10", "0", "0-99999999999999999999"}, {"9223372036854775808", "0", "0"},
	} {
		if _, err := m.parseTileRequest(bad[0], bad[1], bad[2]); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
	many := "0"
	for range maxTileLanes {
		many += ",0"
	}
	if _, err := m.parseTileRequest("10", "0", many); err == nil {
		t.Error("too many lanes pass")
	}
}

func FuzzTileRequest(f *testing.F) {
	b := proftest.NewBuilder(1e9)
	b.Launch("k", 100, 7000, 20000)
	b.Range("r", 0, -1)
	b.P.Counters = append(b.P.Counters, profile.Counter{Device: 0, Name: "c", Unit: "percent", Times: []int64{5, 900}, Values: []int64{1, 99}})
	m := NewModel(step.Analyze(b.Build(f), step.Options{}), nil, nil)
	f.Add("0", "0", "0")
	f.Add("43", "0", "0-2,1")
	f.Add("20", "1", "2-1")
	f.Fuzz(func(t *testing.T, level, index, lanes string) {
		r, err := m.parseTileRequest(level, index, lanes)
		if err != nil {
			return
		}
		_, _, got, err := decodeTiles(m.tiles(r))
		if err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
		for _, l := range r.lanes {
			if _, ok := got[uint64(l)]; !ok {
				t.Fatalf("lane %d is not in the answer", l)
			}
		}
	})
}
