package nsys

import (
	"slices"
	"unsafe"

	"github.com/stepscope/stepscope/profile"
)

// sorter brings the columns of large tables into the order of time: exports need not be sorted, and a second copy of ten
// million rows would not fit beside the first. So it works column by column through one buffer, which it keeps.
type sorter struct {
	perm, spare []int32
	column      []uint64
}

// sort prepares the reordering of a table by its start times, stably. It returns nil if there is nothing to do. The result
// is valid until the next call.
func (s *sorter) sort(start []int64) *reordering {
	if slices.IsSorted(start) {
		return nil
	}
	n := len(start)
	s.perm = slices.Grow(s.perm[:0], n)[:n]
	for i := range s.perm {
		s.perm[i] = int32(i)
	}
	if !insertionSort(s.perm, start, 8*n) {
		s.radixSort(start)
	}
	s.column = slices.Grow(s.column[:0], n)[:n]
	return &reordering{perm: s.perm, buffer: s.column}
}

// insertionSort sorts perm if that takes no more than most moves: exports are often sorted but for neighbours.
func insertionSort(perm []int32, start []int64, most int) bool {
	for i := 1; i < len(perm); i++ {
		p, j := perm[i], i
		for ; j > 0 && start[perm[j-1]] > start[p]; j-- {
			perm[j] = perm[j-1]
			if most--; most < 0 {
				perm[j-1] = p
				return false
			}
		}
		perm[j] = p
	}
	return true
}

// radixSort sorts perm from the identity, digit by digit.
func (s *sorter) radixSort(start []int64) {
	n := len(start)
	s.spare = slices.Grow(s.spare[:0], n)[:n]
	for i := range s.perm {
		s.perm[i] = int32(i)
	}
	low, high := slices.Min(start), slices.Max(start)
	span := uint64(high) - uint64(low)
	const bits = 11
	var count [1 << bits]int32
	for shift := uint(0); shift < 64 && span>>shift != 0; shift += bits {
		clear(count[:])
		for _, v := range start {
			count[(uint64(v)-uint64(low))>>shift&(1<<bits-1)]++
		}
		sum := int32(0)
		for d, c := range count {
			count[d], sum = sum, sum+c
		}
		for _, i := range s.perm {
			d := (uint64(start[i]) - uint64(low)) >> shift & (1<<bits - 1)
			s.spare[count[d]] = i
			count[d]++
		}
		s.perm, s.spare = s.spare, s.perm
	}
}

// reordering moves the value of row perm[i] to row i.
type reordering struct {
	perm   []int32
	buffer []uint64
}

// number is what columns are made of: up to eight bytes without pointers.
type number interface {
	~int64 | ~uint64 | ~int32 | ~uint32 | ~uint8
}

// reorder applies r to a column in place. A nil r leaves it alone.
func reorder[T number](r *reordering, col []T) {
	if r == nil || len(col) == 0 {
		return
	}
	old := unsafe.Slice((*T)(unsafe.Pointer(&r.buffer[0])), len(col))
	copy(old, col)
	for i, from := range r.perm {
		col[i] = old[from]
	}
}

// rows spells the rows out if they have to move.
func (r *reordering) rows(rows profile.Rows, n int) profile.Rows {
	if r == nil {
		return rows
	}
	rows = explicit(rows, n)
	reorder(r, rows)
	return rows
}
