package btree_test

import (
	"context"
	"encoding/binary"
	"os"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/internal/proftest/scale"
	"github.com/stepscope/stepscope/profile/nsys/btree"
)

// sums adds up every wanted column, the least that a reader can do with a value.
type sums struct{ parts [][]int64 }

func (s *sums) Begin(parts int, _ int64) {
	s.parts = make([][]int64, parts)
	for i := range s.parts {
		s.parts[i] = make([]int64, 64)
	}
}

func (s *sums) Batch(part int, b *btree.Batch) error {
	total := s.parts[part]
	total[63] += int64(b.Len)
	for i := range b.Cols {
		v := &b.Cols[i]
		var t int64
		for _, x := range v.Ints[:b.Len] {
			t += x
		}
		total[i] += t
		if v.Text != nil && v.Seen>>btree.Text != 0 {
			for r, x := range v.Text[:b.Len] {
				if v.Kinds[r] == btree.Text {
					total[62] += int64(len(x))
				}
			}
		}
	}
	return nil
}

func (s *sums) total() (t [64]int64) {
	for _, p := range s.parts {
		for i, v := range p {
			t[i] += v
		}
	}
	return t
}

var scans = []struct {
	name, table string
	cols        []btree.Want
}{
	{"kernels", "CUPTI_ACTIVITY_KIND_KERNEL", wants("start end deviceId contextId streamId correlationId globalPid demangledName shortName mangledName gridX gridY gridZ blockX blockY blockZ registersPerThread staticSharedMemory dynamicSharedMemory graphNodeId")},
	{"calls", "CUPTI_ACTIVITY_KIND_RUNTIME", wants("start end eventClass globalTid correlationId nameId returnValue")},
	{"ranges", "NVTX_EVENTS", wants("start end eventType text+ globalTid endGlobalTid textId domainId")},
}

func wants(names string) (w []btree.Want) {
	for _, n := range strings.Fields(names) {
		name, text := strings.CutSuffix(n, "+")
		w = append(w, btree.Want{Name: name, Text: text})
	}
	return w
}

// BenchmarkScan reads the big tables of a scaled capture with one goroutine, with the fast path and with the library.
// "bare" is the yardstick: a loop over the pages of the table that decodes the record of every cell and keeps nothing,
// without a check. The fast path must stay within twice its time.
func BenchmarkScan(b *testing.B) {
	path, _ := scale.Capture(b, "eager1b-G", scale.Target{Kernels: 120_000, Calls: 200_000, Ranges: 600_000})
	for _, s := range scans {
		b.Run(s.name+"/bare", func(b *testing.B) {
			pages, err := btree.LeavesOf(path, s.table)
			if err != nil {
				b.Fatal(err)
			}
			rows := bare(b, path, pages)
			b.ResetTimer()
			for range b.N {
				bare(b, path, pages)
			}
			b.ReportMetric(float64(rows*int64(b.N))/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
		for name, opts := range map[string]btree.Options{"fast": {}, "library": {LibraryOnly: true}} {
			b.Run(s.name+"/"+name, func(b *testing.B) {
				d, err := btree.Open(context.Background(), path, opts)
				if err != nil {
					b.Fatal(err)
				}
				defer d.Close()
				var rows int64
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					var got sums
					info, err := d.Read(context.Background(), s.table, s.cols, 1, &got)
					if err != nil {
						b.Fatal(err)
					}
					if info.Fast == opts.LibraryOnly {
						b.Fatalf("fast path: %+v", info)
					}
					rows += got.total()[63]
				}
				b.ReportMetric(float64(rows)/b.Elapsed().Seconds()/1e6, "Mrows/s")
			})
		}
	}
}

// bare decodes every record of a table's pages, front to back.
func bare(b *testing.B, path string, pages []uint32) (rows int64) {
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	const size = 4096
	buf := make([]byte, 64*size)
	var sum int64
	for i := 0; i < len(pages); {
		n := 1
		for i+n < len(pages) && pages[i+n] == pages[i]+uint32(n) && n < 64 {
			n++
		}
		if _, err := f.ReadAt(buf[:n*size], int64(pages[i]-1)*size); err != nil {
			b.Fatal(err)
		}
		for j := range n {
			page := buf[j*size : (j+1)*size]
			cells := int(binary.BigEndian.Uint16(page[3:]))
			for c := range cells {
				at := int(binary.BigEndian.Uint16(page[8+2*c:]))
				for page[at] >= 0x80 {
					at++
				}
				at++
				for page[at] >= 0x80 {
					at++
				}
				at++
				sum += record(page, at)
				rows++
			}
		}
		i += n
	}
	sink += sum
	return rows
}

var sink int64

// record decodes all values of one record.
func record(page []byte, at int) (sum int64) {
	head := at + int(page[at])
	body := head
	for h := at + 1; h < head; {
		t := int(page[h])
		h++
		if t >= 0x80 {
			t = (t&0x7f)<<7 | int(page[h])
			h++
		}
		n := 0
		switch {
		case t == 0:
		case t <= 4:
			n = t
		case t == 5:
			n = 6
		case t <= 7:
			n = 8
		case t <= 9:
			sum += int64(t - 8)
		default:
			n = (t - 12) / 2
			sum += int64(n)
			body += n
			continue
		}
		var v int64
		if n > 0 {
			v = int64(int8(page[body]))
			for i := 1; i < n; i++ {
				v = v<<8 | int64(page[body+i])
			}
		}
		sum += v
		body += n
	}
	return sum
}
