package profile

import "unsafe"

// StringID is an index into Strings; 0 is the empty string.
type StringID uint32

// Strings is an append-only table of distinct strings. The zero value is ready for use. It is not safe for concurrent
// writes; concurrent reads are.
type Strings struct {
	values []string
	index  map[string]StringID
}

// Len returns the number of strings, the empty one included once anything was added.
func (s *Strings) Len() int { return max(1, len(s.values)) }

// At returns the string of id, "" for an id out of range.
func (s *Strings) At(id StringID) string {
	if int(id) >= len(s.values) {
		return ""
	}
	return s.values[id]
}

// ID returns the id of v and adds v if it is new.
func (s *Strings) ID(v string) StringID {
	if v == "" {
		s.init()
		return 0
	}
	s.init()
	if id, ok := s.index[v]; ok {
		return id
	}
	id := StringID(len(s.values))
	s.values = append(s.values, v)
	s.index[v] = id
	return id
}

// BytesID is ID for a byte slice; it copies b only when it is new.
func (s *Strings) BytesID(b []byte) StringID {
	if len(b) == 0 {
		s.init()
		return 0
	}
	s.init()
	if id, ok := s.index[unsafe.String(&b[0], len(b))]; ok {
		return id
	}
	return s.ID(string(b))
}

func (s *Strings) init() {
	if s.index == nil {
		s.values = append(s.values, "")
		s.index = map[string]StringID{}
	}
}
