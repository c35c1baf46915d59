package btree

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Page types, https://sqlite.org/fileformat2.html section 1.6.
const (
	interiorTable = 0x05
	leafTable     = 0x0d
)

// maxDepth is SQLite's own bound on the depth of a b-tree.
const maxDepth = 20

// refuse reports that the structure is not what the fast path reads: damaged, or unknown to it.
func refuse(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, errRefused)...)
}

// walker finds the pages of a table.
type walker struct {
	file   io.ReaderAt
	header header
}

// legal reports whether SQLite can have put content on the page.
func (w *walker) legal(page uint32) bool {
	return page >= 2 && page <= w.header.pages && int64(page) != lockByte/int64(w.header.pageSize)+1
}

// mostCells is SQLite's bound on the cells of a page.
func (w *walker) mostCells() int { return (w.header.pageSize - 8) / 6 }

// read fills buf with whole pages from page on.
func (w *walker) read(page uint32, buf []byte) error {
	_, err := w.file.ReadAt(buf, int64(page-1)*int64(w.header.pageSize))
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: page %d is past the end of the file", ErrCorrupt, page)
	}
	return err
}

// leaves returns the leaf pages of the table with that root in the order of rowid, and an upper bound of its rows. All
// leaves of a b-tree are equally deep, so only the pages above them are read.
func (w *walker) leaves(ctx context.Context, root uint32) ([]uint32, int64, error) {
	depth, first, err := w.firstLeaf(root)
	if err != nil {
		return nil, 0, err
	}
	if depth == 0 {
		return []uint32{root}, int64(w.mostCells()), nil
	}
	t := treeWalk{walker: w, depth: depth, page: make([]byte, w.header.pageSize*(depth+1))}
	if err := t.descend(ctx, root, 0); err != nil {
		return nil, 0, err
	}
	rows, err := w.rowBound(first, t.leaves)
	return t.leaves, rows, err
}

// firstLeaf follows the left-most pointers down and returns the number of interior levels and the leaf.
func (w *walker) firstLeaf(root uint32) (depth int, page uint32, err error) {
	buf := make([]byte, w.header.pageSize)
	for page = root; depth < maxDepth; depth++ {
		if !w.legal(page) {
			return 0, 0, refuse("page number %d", page)
		}
		if err := w.read(page, buf); err != nil {
			return 0, 0, err
		}
		switch buf[0] {
		case leafTable:
			return depth, page, nil
		case interiorTable:
			child, err := w.child(buf, 0)
			if err != nil {
				return 0, 0, refuse("page %d: %w", page, err)
			}
			page = child
		default:
			return 0, 0, refuse("page %d has type %d", page, buf[0])
		}
	}
	return 0, 0, refuse("b-tree deeper than %d", maxDepth)
}

var errCellPointer = errors.New("cell pointer out of bounds")

// child returns pointer i of an interior page; the one after the last cell is the right-most.
func (w *walker) child(page []byte, i int) (uint32, error) {
	n := int(binary.BigEndian.Uint16(page[3:]))
	if n == 0 || n > w.mostCells() || 12+2*n > w.header.usable {
		return 0, errCellPointer
	}
	if i == n {
		return binary.BigEndian.Uint32(page[8:]), nil
	}
	at := int(binary.BigEndian.Uint16(page[12+2*i:]))
	if at < 12+2*n || at > w.header.usable-5 {
		return 0, errCellPointer
	}
	if _, k := varint(page[at+4 : w.header.usable]); k == 0 {
		return 0, errCellPointer
	}
	return binary.BigEndian.Uint32(page[at:]), nil
}

// checkSchema walks the tree of the schema, which SQLite reads whole before it answers anything. In a sound tree no page
// has two parents; one that has makes a small file take any time to read.
func (w *walker) checkSchema(ctx context.Context) error {
	seen := map[uint32]bool{1: true}
	buf := make([]byte, w.header.pageSize)
	for next := []uint32{1}; len(next) > 0; {
		page := next[len(next)-1]
		next = next[:len(next)-1]
		if err := errors.Join(ctx.Err(), w.read(page, buf)); err != nil {
			return err
		}
		at := 0
		if page == 1 {
			at = headerSize
		}
		if buf[at] != interiorTable {
			continue
		}
		// Whatever else is wrong is left to SQLite.
		cells := int(binary.BigEndian.Uint16(buf[at+3:]))
		children := []uint32{binary.BigEndian.Uint32(buf[at+8:])}
		for i := 0; i < cells && at+14+2*i <= len(buf); i++ {
			if p := int(binary.BigEndian.Uint16(buf[at+12+2*i:])); p+4 <= len(buf) {
				children = append(children, binary.BigEndian.Uint32(buf[p:]))
			}
		}
		for _, child := range children {
			if !w.legal(child) {
				continue
			}
			if seen[child] {
				return fmt.Errorf("%w: page %d of the schema has two parents", ErrCorrupt, child)
			}
			seen[child] = true
			next = append(next, child)
		}
	}
	return nil
}

// treeWalk collects leaves. No tree has more pages than the file, which ends a walk over pages that point in circles.
type treeWalk struct {
	*walker
	depth  int
	page   []byte // one buffer a level
	read   uint32
	leaves []uint32
}

func (t *treeWalk) descend(ctx context.Context, page uint32, level int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	size := t.header.pageSize
	buf := t.page[level*size : (level+1)*size]
	if err := t.walker.read(page, buf); err != nil {
		return err
	}
	if buf[0] != interiorTable {
		return refuse("page %d has type %d at level %d of %d", page, buf[0], level, t.depth)
	}
	n := int(binary.BigEndian.Uint16(buf[3:]))
	for i := range n + 1 {
		child, err := t.child(buf, i)
		if err != nil {
			return refuse("page %d: %w", page, err)
		}
		if t.read++; !t.legal(child) || t.read > t.header.pages {
			return refuse("page %d points to page %d", page, child)
		}
		if level+1 == t.depth {
			t.leaves = append(t.leaves, child)
		} else if err := t.descend(ctx, child, level+1); err != nil {
			return err
		}
	}
	return nil
}

// rowBound bounds the number of rows by the distance of the first and last rowid, and by what the leaves can hold.
func (w *walker) rowBound(first uint32, leaves []uint32) (int64, error) {
	most := int64(len(leaves)) * int64(w.mostCells())
	low, err := w.edgeRowid(first, false)
	if err != nil {
		return 0, err
	}
	high, err := w.edgeRowid(leaves[len(leaves)-1], true)
	if err != nil {
		return 0, err
	}
	if span := uint64(high) - uint64(low); high >= low && span < uint64(most) {
		return int64(span) + 1, nil
	}
	return most, nil
}

// edgeRowid returns the first or last rowid of a leaf.
func (w *walker) edgeRowid(page uint32, last bool) (int64, error) {
	buf := make([]byte, w.header.pageSize)
	if err := w.read(page, buf); err != nil {
		return 0, err
	}
	buf = buf[:w.header.usable]
	n := int(binary.BigEndian.Uint16(buf[3:]))
	if buf[0] != leafTable || n == 0 || 8+2*n > len(buf) {
		return 0, refuse("page %d is no filled leaf", page)
	}
	i := 0
	if last {
		i = n - 1
	}
	at := int(binary.BigEndian.Uint16(buf[8+2*i:]))
	if at >= len(buf) {
		return 0, refuse("page %d: %w", page, errCellPointer)
	}
	_, k := varint(buf[at:])
	rowid, m := varint(buf[at+k:])
	if k == 0 || m == 0 {
		return 0, refuse("page %d: cell %d cut short", page, i)
	}
	return int64(rowid), nil
}

// varint decodes SQLite's variable-length integer: seven bits a byte, high first, the ninth byte whole. The length is 0
// if b ends inside it.
func varint(b []byte) (uint64, int) {
	var v uint64
	for i, c := range b {
		if i == 8 {
			return v<<8 | uint64(c), 9
		}
		v = v<<7 | uint64(c&0x7f)
		if c < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}
