package btree

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

var errRecord = errors.New("record contradicts itself")

// slotOf hashes a record header. Wrong guesses cost time only, as headers are compared.
func slotOf(h []byte) int {
	const k = 0x9e3779b97f4a7c15
	x := uint64(len(h))
	if len(h) >= 8 {
		for i := 0; i+8 < len(h); i += 8 {
			x = bits.RotateLeft64((x^binary.LittleEndian.Uint64(h[i:]))*k, 29)
		}
		x = (x ^ binary.LittleEndian.Uint64(h[len(h)-8:])) * k
	} else {
		for _, c := range h {
			x = (x ^ uint64(c)) * k
		}
	}
	return int(x >> 54)
}

// learn decodes a record header into s. body is where the values begin.
func (d *decoder) learn(s *shape, header []byte, body int) error {
	s.header = append(s.header[:0], header...)
	s.fields, s.texts, s.seen = s.fields[:0], s.texts[:0], s.seen[:0]
	s.adjust = false
	s.used = d.first - 1
	for _, t := range d.targets {
		s.fields = append(s.fields, field{kind: Null})
		s.adjust = s.adjust || t.rowid
	}
	values := 0
	size := uint64(body)
	for h := header; len(h) > 0; values++ {
		serial, n := varint(h)
		if n == 0 || serial == 10 || serial == 11 || serial > 2*maxValue+13 {
			return errRecord
		}
		h = h[n:]
		start := size
		length, kind := content(serial)
		size += length
		if size > maxValue {
			return errRecord
		}
		for i := range d.targets {
			t := &d.targets[i]
			if t.column != values {
				continue
			}
			f := &s.fields[i]
			f.kind = kind
			switch kind {
			case Int, Real:
				if length == 0 {
					f.plus = int64(serial - 8)
				} else {
					f.end, f.shift, f.mask = int32(size), uint8(64-8*length), -1
				}
				s.adjust = s.adjust || kind == Real || t.real
			case Text, Blob:
				if t.text {
					s.texts = append(s.texts, textField{int32(i), int32(start), int32(size)})
				}
			}
		}
	}
	for i := range d.targets {
		if t := &d.targets[i]; t.column >= values && t.hasElse {
			return errors.New("row older than a column with a default value")
		}
		// Aliases and REAL values may turn into another kind: adjust adds the bit.
		seen := uint8(1) << s.fields[i].kind
		if t := &d.targets[i]; s.adjust && (t.rowid || t.real || s.fields[i].kind == Real) {
			seen = 0
		}
		s.seen = append(s.seen, seen)
	}
	s.size = int(size)
	return nil
}

// content returns the length and kind of a value of that serial type, https://sqlite.org/fileformat2.html section 2.1.
func content(serial uint64) (uint64, Kind) {
	switch {
	case serial == 0:
		return 0, Null
	case serial <= 4:
		return serial, Int
	case serial == 5:
		return 6, Int
	case serial == 6:
		return 8, Int
	case serial == 7:
		return 8, Real
	case serial <= 9:
		return 0, Int
	case serial%2 == 0:
		return (serial - 12) / 2, Blob
	}
	return (serial - 13) / 2, Text
}
