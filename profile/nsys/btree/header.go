package btree

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The 100-byte file header, https://sqlite.org/fileformat2.html section 1.3.
const (
	headerSize = 100
	magic      = "SQLite format 3\x00"
)

// lockByte is the offset whose page SQLite never uses (section 1.4).
const lockByte = 1 << 30

// IsDatabase reports whether a file that begins with prefix claims to be a SQLite database.
func IsDatabase(prefix []byte) bool { return bytes.HasPrefix(prefix, []byte(magic)) }

// header is what the walk over pages needs to know about the file.
type header struct {
	pageSize int
	usable   int // page size without the reserved tail
	pages    uint32
	utf8     bool
}

// readHeader checks the header against the size of the file. refuse says why the fast path cannot read it.
func readHeader(r io.ReaderAt, size int64) (h header, refuse string, err error) {
	var b [headerSize]byte
	n, err := r.ReadAt(b[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return h, "", cause(err)
	}
	if size == 0 {
		return h, "", fmt.Errorf("%w: the file is empty", ErrNotDatabase)
	}
	if !IsDatabase(b[:n]) {
		return h, "", ErrNotDatabase
	}
	if n < headerSize {
		return h, "", fmt.Errorf("%w: the file ends inside its header", ErrCorrupt)
	}
	h.pageSize = int(binary.BigEndian.Uint16(b[16:]))
	if h.pageSize == 1 {
		h.pageSize = 1 << 16
	}
	if h.pageSize < 512 || h.pageSize > 1<<16 || h.pageSize&(h.pageSize-1) != 0 {
		return h, "", fmt.Errorf("%w: page size %d in the header", ErrCorrupt, h.pageSize)
	}
	h.usable = h.pageSize - int(b[20])
	if h.usable < 480 {
		return h, "", fmt.Errorf("%w: %d of %d bytes of each page reserved", ErrCorrupt, b[20], h.pageSize)
	}
	filePages := size / int64(h.pageSize)
	if filePages > 0xfffffffe {
		return h, "", fmt.Errorf("%w: more than 2^32 pages", ErrCorrupt)
	}
	h.pages = uint32(filePages)
	// The page count in the header counts only if the last writer knew about the field.
	inHeader := binary.BigEndian.Uint32(b[28:])
	if inHeader != 0 && bytes.Equal(b[24:28], b[92:96]) {
		if int64(inHeader) > filePages {
			return h, "", fmt.Errorf("%w: the file is cut short: its header promises %d bytes, %d are there (export or copy it again)",
				ErrCorrupt, int64(inHeader)*int64(h.pageSize), size)
		}
		h.pages = inHeader
	}
	encoding := binary.BigEndian.Uint32(b[56:])
	h.utf8 = encoding <= 1 // 0 in a database without any table
	schemaFormat := binary.BigEndian.Uint32(b[44:])
	switch {
	case !h.utf8:
		refuse = "text is not UTF-8"
	case b[20] != 0:
		refuse = "pages have reserved bytes"
	case size%int64(h.pageSize) != 0:
		refuse = "the file size is no multiple of the page size"
	case b[18] > 2 || b[19] > 2:
		refuse = "unknown file format version"
	case schemaFormat > 4:
		refuse = "unknown schema format"
	case b[21] != 64 || b[22] != 32 || b[23] != 32:
		refuse = "unusual payload fractions"
	}
	return h, refuse, nil
}
