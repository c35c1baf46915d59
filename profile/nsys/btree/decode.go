package btree

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
)

// windowBytes is what one ReadAt asks for: with the batch it fits a second-level cache.
const windowBytes = 256 << 10

// decoder turns the leaf pages of one part into batches.
type decoder struct {
	*walker
	table   *Table
	cols    []Want
	targets []target
	deliver func(*Batch) error

	batch  *Batch
	first  uint64 // stamp of the first row of the batch: shapes stamped earlier have not been seen in it
	stamp  uint64
	outer  int    // bytes that the batch holds outside of the window
	window []byte // pages being decoded
	long   []byte // the current row, if it overflows its page
	shapes [shapeSlots]shape
}

// target is where a column of the record goes.
type target struct {
	column  int // position in the record
	text    bool
	real    bool
	rowid   bool
	hasElse bool
}

// shape is how the rows with one record header are laid out. Rows of a table share few headers, so a header is decoded
// once and then only compared.
type shape struct {
	header []byte
	size   int // of the whole record
	fields []field
	texts  []textField
	seen   []uint8 // kinds by wanted column, as bits
	adjust bool    // some value is not what its bytes say, see decoder.adjust
	used   uint64
}

// field takes a value out of a record: the eight bytes up to end hold it in their low part.
type field struct {
	end   int32
	shift uint8 // bits of those eight bytes that belong to other values
	kind  Kind
	mask  int64 // 0 for values that are not in the record's body
	plus  int64
}

type textField struct{ col, start, end int32 }

const shapeSlots = 1 << 10

func newDecoder(w *walker, t *Table, cols []Want, deliver func(*Batch) error) *decoder {
	d := &decoder{walker: w, table: t, cols: cols, deliver: deliver, batch: newBatch(cols), stamp: 1, first: 1}
	for _, c := range cols {
		at := t.position[fold(c.Name)]
		k := t.Columns[at]
		d.targets = append(d.targets, target{at, c.Text, k.real, k.rowid, k.hasValue})
	}
	return d
}

// pages decodes leaves. Neighbours in the file are read together, over gaps of a few pages that belong to others.
func (d *decoder) pages(ctx context.Context, leaves []uint32, isRoot bool) error {
	const gap = 4
	size := d.header.pageSize
	most := max(1, windowBytes/size)
	d.window = make([]byte, most*size)
	for len(leaves) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		first, n := leaves[0], 1
		for n < len(leaves) && leaves[n] > leaves[n-1] && leaves[n]-leaves[n-1] <= gap && int(leaves[n]-first) < most {
			n++
		}
		pages := int(leaves[n-1]-first) + 1
		if err := d.read(first, d.window[:pages*size]); err != nil {
			return err
		}
		for _, page := range leaves[:n] {
			at := int(page-first) * size
			// Loads of eight bytes reach back to before a value, never past the page.
			if err := d.leaf(d.window[at:at+d.header.usable:at+d.header.usable], page, isRoot); err != nil {
				return err
			}
		}
		// Texts point into the window.
		if err := d.flush(); err != nil {
			return err
		}
		leaves = leaves[n:]
	}
	return nil
}

func (d *decoder) flush() error {
	b := d.batch
	if b.Len == 0 {
		return nil
	}
	err := d.deliver(b)
	b.reset()
	d.outer = 0
	d.stamp++
	d.first = d.stamp
	return err
}

// leaf decodes one page, cut to its usable bytes.
func (d *decoder) leaf(page []byte, number uint32, isRoot bool) error {
	cells := int(binary.BigEndian.Uint16(page[3:]))
	body := 8 + 2*cells
	if page[0] != leafTable || cells > d.mostCells() || body > len(page) || cells == 0 && !isRoot {
		return refuse("page %d is no filled leaf", number)
	}
	local := len(page) - 35 // the longest record that a leaf holds whole
	for i := range cells {
		at := int(binary.BigEndian.Uint16(page[8+2*i:]))
		if at < body || at > len(page)-4 {
			return refuse("page %d: %w", number, errCellPointer)
		}
		var payload, rowid uint64
		if c := page[at]; c < 0x80 {
			payload = uint64(c)
			at++
		} else if c1 := page[at+1]; c1 < 0x80 {
			payload = uint64(c&0x7f)<<7 | uint64(c1)
			at += 2
		} else {
			v, n := varint(page[at:])
			if n == 0 {
				return refuse("page %d: cell %d cut short", number, i)
			}
			payload = v
			at += n
		}
		v, n := varint(page[at:])
		if n == 0 {
			return refuse("page %d: cell %d cut short", number, i)
		}
		rowid = v
		at += n
		if d.batch.Len == batchRows || d.outer > arenaSize {
			if err := d.flush(); err != nil {
				return err
			}
		}
		rec := page
		if payload <= uint64(local) {
			if at+int(payload) > len(page) {
				return refuse("page %d: cell %d ends past the page", number, i)
			}
		} else {
			var err error
			if rec, err = d.overflow(page, at, payload); err != nil {
				return err
			}
			at = 8
		}
		if err := d.row(rec, at, int(payload), int64(rowid)); err != nil {
			return refuse("page %d: cell %d: %w", number, i, err)
		}
	}
	return nil
}

// overflow joins the parts of a record that does not fit its page, after eight bytes of nothing.
func (d *decoder) overflow(page []byte, at int, payload uint64) ([]byte, error) {
	usable := d.header.usable
	if payload > maxValue || payload > uint64(d.header.pages)*uint64(d.header.pageSize) {
		return nil, refuse("a record of %d bytes", payload)
	}
	least := (usable-12)*32/255 - 23
	here := least + (int(payload)-least)%(usable-4)
	if here > usable-35 {
		here = least
	}
	if at+here+4 > len(page) {
		return nil, refuse("a record that ends past its page")
	}
	rec := make([]byte, 8, 8+payload)
	rec = append(rec, page[at:at+here]...)
	next := binary.BigEndian.Uint32(page[at+here:])
	buf := d.overflowPage()
	for len(rec) < cap(rec) {
		if !d.legal(next) {
			return nil, refuse("overflow page %d", next)
		}
		if err := d.read(next, buf); err != nil {
			return nil, err
		}
		next = binary.BigEndian.Uint32(buf)
		rec = append(rec, buf[4:min(usable, 4+cap(rec)-len(rec))]...)
	}
	d.outer += len(rec)
	return rec, nil
}

func (d *decoder) overflowPage() []byte {
	if d.long == nil {
		d.long = make([]byte, d.header.pageSize)
	}
	return d.long
}

// row decodes the record of size bytes at buf[at:] into the batch.
func (d *decoder) row(buf []byte, at, size int, rowid int64) error {
	rec := buf[at : at+size]
	if size == 0 {
		return errRecord
	}
	head, from := int(rec[0]), 1
	if head >= 0x80 {
		v, n := varint(rec)
		if n == 0 || v > uint64(size) {
			return errRecord
		}
		head, from = int(v), n
	}
	if head < from || head > size {
		return errRecord
	}
	header := rec[from:head]
	s := &d.shapes[slotOf(header)]
	if !bytes.Equal(s.header, header) || s.used == 0 {
		if err := d.learn(s, header, head); err != nil {
			s.used = 0
			return err
		}
	}
	if s.size != size {
		return errRecord
	}
	b := d.batch
	if s.used < d.first {
		s.used = d.stamp
		for i, k := range s.seen {
			b.Cols[i].Seen |= k
		}
	}
	n := b.Len
	b.Rowid[n] = rowid
	to := n
	for i := range s.fields {
		f := &s.fields[i]
		e := at + int(f.end)
		v := int64(binary.BigEndian.Uint64(buf[e-8:e])) << (f.shift & 63) >> (f.shift & 63)
		b.ints[to] = v&f.mask + f.plus
		b.kinds[to] = f.kind
		to += batchRows
	}
	for _, t := range s.texts {
		lo, hi := at+int(t.start), at+int(t.end)
		b.Cols[t.col].Text[n] = buf[lo:hi:hi]
	}
	if s.adjust {
		d.adjust(n, rowid)
	}
	b.Len++
	return nil
}

// adjust corrects what the bytes of a record do not say: aliases of the rowid, integers that stand for REAL values, and
// the NaN that SQLite reads as NULL.
func (d *decoder) adjust(n int, rowid int64) {
	for i := range d.targets {
		t, v := &d.targets[i], &d.batch.Cols[i]
		switch {
		case t.rowid:
			v.Kinds[n], v.Ints[n] = Int, rowid
		case t.real && v.Kinds[n] == Int:
			v.Kinds[n], v.Ints[n] = Real, int64(math.Float64bits(float64(v.Ints[n])))
		case v.Kinds[n] == Real && math.IsNaN(math.Float64frombits(uint64(v.Ints[n]))):
			v.Kinds[n], v.Ints[n] = Null, 0
		}
		v.Seen |= 1 << v.Kinds[n]
	}
}
