package nsys

import (
	"hash/maphash"

	"github.com/stepscope/stepscope/profile"
)

// interner hands out small ids for keys in the order of their first appearance. A table is read with interners of its
// own, so that tables can be read at the same time and the result does not depend on which one is faster; the ids are
// translated into those of the profile afterwards, table by table.
type interner[K comparable] struct {
	ids  map[K]int32
	keys []K
	last K
	id   int32
}

func newInterner[K comparable]() *interner[K] { return &interner[K]{ids: map[K]int32{}, id: -1} }

// of returns the id of k. Rows repeat their neighbour's key more often than not.
func (n *interner[K]) of(k K) int32 {
	if n.id >= 0 && k == n.last {
		return n.id
	}
	id, ok := n.ids[k]
	if !ok {
		id = int32(len(n.keys))
		n.keys = append(n.keys, k)
		n.ids[k] = id
	}
	n.last, n.id = k, id
	return id
}

// final returns what make turns each key into, in the order of their ids.
func final[K comparable, V any](keys []K, make_ func(K) V) []V {
	to := make([]V, len(keys))
	for i, k := range keys {
		to[i] = make_(k)
	}
	return to
}

// remap translates col from interner ids to what each key became.
func remap[K comparable](n *interner[K], col []int32, to func(K) int32) {
	apply(col, final(n.keys, to))
}

// apply replaces each id of col by its translation; negative ids stay.
func apply(col, to []int32) {
	for i, v := range col {
		if v >= 0 {
			col[i] = to[v]
		}
	}
}

// configs interns launch shapes with a small direct-mapped cache in front of the map: hashing sixty bytes a row would
// cost more than decoding the row.
type configs struct {
	interner[profile.LaunchConfig]
	cache [1024]struct {
		key profile.LaunchConfig
		id  int32
	}
}

func newConfigs() *configs {
	c := &configs{interner: interner[profile.LaunchConfig]{ids: map[profile.LaunchConfig]int32{}, id: -1}}
	for i := range c.cache {
		c.cache[i].id = -1
	}
	return c
}

func (c *configs) of(k *profile.LaunchConfig) int32 {
	h := uint32(k.Grid[0])*2654435761 ^ uint32(k.Grid[1])*40503 ^ uint32(k.Grid[2])*97 ^ uint32(k.Block[0])*31 ^ uint32(k.Registers)*131 ^ uint32(k.DynamicShared)
	e := &c.cache[(h^h>>15)&1023]
	if e.id >= 0 && e.key == *k {
		return e.id
	}
	e.key = *k
	e.id = c.interner.of(*k)
	return e.id
}

// label is a name as a row has it: written out, or by its id in StringIds.
type label struct {
	text string
	id   int64 // noString if the name is written out
}

// noString is no id of StringIds: nsys counts from 0.
const noString = int64(-1)

// denseIDs bounds the ids that are looked up in a slice.
const denseIDs = 1 << 20

// labels interns names. Texts are hashed in place and copied when they are new.
type labels struct {
	keys   []label
	dense  []int32 // by StringIds id: index into keys + 1
	sparse map[int64]int32
	seed   maphash.Seed
	slots  []labelSlot // open addressing, a power of two, at most half full
	texts  int
}

type labelSlot struct {
	hash uint32
	at   int32 // index into keys + 1, 0 = free
}

func newLabels() *labels {
	return &labels{sparse: map[int64]int32{}, seed: maphash.MakeSeed(), slots: make([]labelSlot, 256)}
}

// byID returns the label of a StringIds id.
func (l *labels) byID(id int64) int32 {
	if uint64(id) < uint64(len(l.dense)) && l.dense[id] != 0 {
		return l.dense[id] - 1
	}
	return l.newID(id)
}

func (l *labels) newID(id int64) int32 {
	if at, ok := l.sparse[id]; ok {
		return at
	}
	at := int32(len(l.keys))
	l.keys = append(l.keys, label{id: id})
	if id < 0 || id >= denseIDs {
		l.sparse[id] = at
		return at
	}
	for int64(len(l.dense)) <= id {
		l.dense = append(l.dense, 0)
	}
	l.dense[id] = at + 1
	return at
}

// byText returns the label of a text.
func (l *labels) byText(b []byte) int32 {
	hash := uint32(maphash.Bytes(l.seed, b))
	mask := uint32(len(l.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		s := l.slots[i]
		if s.at == 0 {
			return l.newText(hash, string(b))
		}
		if s.hash == hash && l.keys[s.at-1].text == string(b) {
			return s.at - 1
		}
	}
}

func (l *labels) newText(hash uint32, text string) int32 {
	if l.texts++; l.texts*2 > len(l.slots) {
		old := l.slots
		l.slots = make([]labelSlot, len(old)*2)
		for _, s := range old {
			if s.at != 0 {
				l.place(s)
			}
		}
	}
	l.keys = append(l.keys, label{text: text, id: noString})
	l.place(labelSlot{hash, int32(len(l.keys))})
	return int32(len(l.keys)) - 1
}

func (l *labels) place(s labelSlot) {
	mask := uint32(len(l.slots) - 1)
	i := s.hash & mask
	for l.slots[i].at != 0 {
		i = (i + 1) & mask
	}
	l.slots[i] = s
}

// need adds the StringIds that the labels refer to.
func (l *labels) need(ids map[int64]bool) {
	for _, k := range l.keys {
		if k.id != noString {
			ids[k.id] = true
		}
	}
}
