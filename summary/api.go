package summary

import (
	"cmp"

	"github.com/stepscope/stepscope/profile"
)

// apiName strips the version of four digits that CUDA's runtime API appends to a call's name: cudaLaunchKernel_v7000.
// Versions of five digits stay (cudaGraphLaunch_v10000), as nsys leaves them.
func apiName(s string) string {
	i := len(s) - len("_v7000")
	if i <= 0 || s[i:i+2] != "_v" {
		return s
	}
	for _, c := range []byte(s[i+2:]) {
		if c < '0' || c > '9' {
			return s
		}
	}
	return s[:i]
}

// named groups rows by name: ids[i] is the group of row i.
func named(p *profile.Profile, name []profile.StringID, label func(string) string) (ids []int32, labels []string) {
	x := newKeyIndex[string]()
	ofString := map[profile.StringID]int32{}
	ids = make([]int32, len(name))
	var prev profile.StringID
	prevID := int32(-1)
	for i, s := range name {
		if prevID < 0 || s != prev {
			id, ok := ofString[s]
			if !ok {
				id = x.of(label(p.Strings.At(s)))
				ofString[s] = id
			}
			prev, prevID = s, id
		}
		ids[i] = prevID
	}
	return ids, x.keys
}

func callSum(dur []int64, ids []int32, labels []string) *Table {
	values := partition(ids, len(labels), func(i int) int64 { return dur[i] })
	groups := summarise(values, func(a, b int32) int { return cmp.Compare(labels[a], labels[b]) })
	return timeTable("Num Calls", groups, []Column{{Name: "Name"}}, func(k int32, v []Value) []Value {
		return append(v, Str(labels[k]))
	})
}

func apiSum(p *profile.Profile, _ options) *Table {
	ids, labels := named(p, p.Calls.Name, apiName)
	return callSum(p.Calls.Dur, ids, labels)
}

// osCallSum leaves out the markers without name and duration that nsys keeps among the calls.
func osCallSum(p *profile.Profile, _ options) *Table {
	ids, labels := named(p, p.OSCalls.Name, func(s string) string { return s })
	for i, id := range ids {
		if p.OSCalls.Dur[i] == 0 && labels[id] == "[Unknown]" {
			ids[i] = -1
		}
	}
	return callSum(p.OSCalls.Dur, ids, labels)
}

func apiTrace(p *profile.Profile, _ options) *Table {
	t := &Table{Columns: []Column{
		{Name: "Start", Unit: "ns", Kind: Integer}, {Name: "Duration", Unit: "ns", Kind: Integer}, {Name: "Name"},
		{Name: "Result", Kind: Integer}, {Name: "CorrID", Kind: Integer}, {Name: "Pid", Kind: Integer},
		{Name: "Tid", Kind: Integer}, {Name: "T-Pri", Kind: Integer}, {Name: "Thread Name"},
	}}
	c := &p.Calls
	return t.fill(c.Len(), func(i int, v []Value) []Value {
		th := &p.Threads[c.Thread[i]]
		name := Null
		if th.Name != "" {
			name = Str(th.Name)
		}
		return append(v, Int(c.Start[i]), Int(c.Dur[i]), Str(apiName(p.Strings.At(c.Name[i]))), Int(int64(c.Result[i])),
			Int(int64(c.Correlation[i])), Int(p.Processes[th.Process].PID), Int(th.TID), Null, name)
	})
}
