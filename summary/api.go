package summary

import (
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

// callSum summarises calls by recorded name; equal sums keep the order of the string table. label prints a name: names
// that differ only in what it strips stay apart.
func callSum(p *profile.Profile, dur []int64, name []profile.StringID, label func(string) string) *Table {
	ids := make([]int32, len(name))
	for i, s := range name {
		ids[i] = int32(s)
	}
	groups := summarise(partition(ids, p.Strings.Len(), func(i int) int64 { return dur[i] }), nil)
	return timeTable("Num Calls", groups, []Column{{Name: "Name"}}, func(k int32, v []Value) []Value {
		return append(v, Str(label(p.Strings.At(profile.StringID(k)))))
	})
}

func apiSum(p *profile.Profile, _ options) *Table {
	return callSum(p, p.Calls.Dur, p.Calls.Name, apiName)
}

func osCallSum(p *profile.Profile, _ options) *Table {
	return callSum(p, p.OSCalls.Dur, p.OSCalls.Name, func(s string) string { return s })
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
		name, priority := Null, Null
		if th.Name != "" {
			name = Str(th.Name)
		}
		if th.HasPriority {
			priority = Int(th.Priority)
		}
		return append(v, Int(c.Start[i]), Int(c.Dur[i]), Str(apiName(p.Strings.At(c.Name[i]))), Int(int64(c.Result[i])),
			Int(int64(c.Correlation[i])), Int(p.Processes[th.Process].PID), Int(th.TID), priority, name)
	})
}
