package nsys

import (
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

// remap translates col from interner ids to what final makes of each key.
func remap[K comparable](n *interner[K], col []int32, final func(K) int32) {
	to := make([]int32, len(n.keys))
	for i, k := range n.keys {
		to[i] = final(k)
	}
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

// texts interns byte strings.
type texts struct {
	ids  map[string]int32
	keys []string
	last string
	id   int32
}

func newTexts() *texts { return &texts{ids: map[string]int32{}, id: -1} }

func (t *texts) of(b []byte) int32 {
	if t.id >= 0 && string(b) == t.last {
		return t.id
	}
	id, ok := t.ids[string(b)]
	if !ok {
		id = int32(len(t.keys))
		s := string(b)
		t.keys = append(t.keys, s)
		t.ids[s] = id
	}
	t.last, t.id = t.keys[id], id
	return id
}

// stringIDs maps StringIds.id to the profile's string ids: a slice where ids are small, as nsys makes them.
type stringIDs struct {
	dense  []profile.StringID
	sparse map[int64]profile.StringID
}

const denseStrings = 1 << 22

func (s *stringIDs) set(id int64, v profile.StringID) {
	if id >= 0 && id < denseStrings {
		for int64(len(s.dense)) <= id {
			s.dense = append(s.dense, 0)
		}
		s.dense[id] = v
		return
	}
	if s.sparse == nil {
		s.sparse = map[int64]profile.StringID{}
	}
	s.sparse[id] = v
}

func (s *stringIDs) get(id int64) profile.StringID {
	if uint64(id) < uint64(len(s.dense)) {
		return s.dense[id]
	}
	return s.sparse[id]
}
