package web

import (
	"cmp"
	"fmt"
	"strconv"
)

// ModelSchema is the version of the document that api/model answers.
const ModelSchema = "stepscope.timeline/1"

// modelJSON is everything that the front end needs before it asks for tiles. Times are ns from the origin.
type modelJSON struct {
	Schema   string   `json:"schema"`
	Source   string   `json:"source"`
	Format   string   `json:"format"`
	Producer string   `json:"producer,omitempty"`
	Verdict  string   `json:"verdict,omitempty"`
	GPUs     []string `json:"gpus"`
	// Origin is the capture's time at 0; UnixNs the wall clock then. Both as text: they exceed a browser's exact numbers.
	Origin   string                `json:"origin_ns"`
	UnixNs   string                `json:"unix_ns,omitempty"`
	Extent   int64                 `json:"extent_ns"`
	Home     [2]int64              `json:"home_ns"` // start and duration of the recording's window
	TileBins int                   `json:"tile_bins"`
	MaxLevel int                   `json:"max_level"`
	Sets     map[string][]Category `json:"sets"`
	Groups   []groupJSON           `json:"groups"`
	Lanes    []laneJSON            `json:"lanes"`
	Findings []finding             `json:"findings"`
	Legend   []Table               `json:"legend"`
	Life     []lifeChip            `json:"life"`
	Quality  []noteJSON            `json:"quality"`
	Missing  []noteJSON            `json:"not_recorded"`
	Notes    []string              `json:"notes"`
	Counts   map[string]int        `json:"counts"`
}

type groupJSON struct {
	Key   string `json:"key"`
	Title string `json:"title"`
	Hint  string `json:"hint,omitempty"`
	Open  bool   `json:"open"`
	Lanes []int  `json:"lanes"`
}

type laneJSON struct {
	Key    string  `json:"key"`
	Title  string  `json:"title"`
	Hint   string  `json:"hint,omitempty"`
	Set    string  `json:"set"`
	Rows   int     `json:"rows"`
	Height int     `json:"height"`
	Count  int     `json:"count"`
	Hidden int     `json:"hidden,omitempty"`
	Open   bool    `json:"open"`
	Search int     `json:"search"` // kind whose keys the labels have: 0 kernel, 1 annotation, 2 operator, 3 API call, -1 none
	Curve  bool    `json:"curve,omitempty"`
	Unit   string  `json:"unit,omitempty"`
	Max    float64 `json:"max,omitempty"`
	Hold   bool    `json:"hold,omitempty"`
	Every  int64   `json:"interval_ns,omitempty"` // of samples
	Role   string  `json:"role,omitempty"`
}

type noteJSON struct {
	Text   string `json:"text"`
	Remedy string `json:"remedy,omitempty"`
	Grade  string `json:"severity,omitempty"`
}

var roleNames = map[laneRole]string{roleSteps: "steps", roleBudget: "budget", roleIdle: "idle", roleStream: "stream", roleLifecycle: "lifecycle"}

// gpuNames lists the GPUs that worked; those of one kind in one entry.
func (m *Model) gpuNames() []string {
	out := []string{}
	var kinds []string
	count := map[string]int{}
	for i := range m.p.Devices {
		if _, used := m.a.Busy[int32(i)]; !used {
			continue
		}
		out = append(out, clean(m.deviceName(int32(i)), maxLabel))
		kind := cmp.Or(m.p.Devices[i].Name, "GPU")
		if count[kind]++; count[kind] == 1 {
			kinds = append(kinds, kind)
		}
	}
	if len(out) < 2 {
		return out
	}
	for i, k := range kinds {
		kinds[i] = clean(fmt.Sprintf("%d × %s", count[k], k), maxLabel)
	}
	return kinds
}

func (m *Model) json() *modelJSON {
	p := m.p
	home := m.home()
	j := &modelJSON{
		Schema: ModelSchema, Source: clean(p.Source, maxName), Format: clean(p.Format, maxLabel), Producer: clean(p.Producer, maxLabel),
		Origin: strconv.FormatInt(m.origin, 10), Extent: m.extent(), Home: [2]int64{home.Start - m.origin, home.Dur()},
		TileBins: tileBins, MaxLevel: maxLevel, Sets: m.sets, Groups: []groupJSON{}, Lanes: []laneJSON{}, Findings: m.findings,
		Legend: []Table{}, Life: m.life, Quality: []noteJSON{}, Missing: []noteJSON{}, Notes: []string{},
		Counts: map[string]int{"kernels": p.Kernels.Len(), "api_calls": p.Calls.Len(), "annotations": p.Ranges.Len(), "steps": len(m.a.Primary),
			"copies": p.Copies.Len(), "os_calls": p.OSCalls.Len()},
	}
	if m.life == nil {
		j.Life = []lifeChip{}
	}
	if p.SessionStartUnixNs != 0 {
		j.UnixNs = strconv.FormatInt(p.SessionStartUnixNs+m.origin, 10)
	}
	j.GPUs = m.gpuNames()
	for _, g := range m.groups {
		j.Groups = append(j.Groups, groupJSON{clean(g.key, maxLabel), clean(g.title, maxLabel), clean(g.hint, maxLabel), g.open, []int{}})
	}
	for n, l := range m.lanes {
		g := &j.Groups[m.groupOf[n]]
		g.Lanes = append(g.Lanes, n)
		x := laneJSON{Key: clean(l.key, maxLabel), Title: clean(l.title, maxLabel), Hint: clean(l.hint, maxLabel), Set: l.set, Rows: len(l.rows),
			Height: l.height, Count: l.count, Hidden: l.hidden, Open: l.open, Search: -1, Role: roleNames[l.role]}
		switch l.role {
		case roleStream, roleCollectives:
			x.Search = int(searchKernels)
		case roleRanges:
			x.Search = int(searchRanges)
		case roleOps:
			x.Search = int(searchOps)
		case roleCalls:
			x.Search = int(searchCalls)
		}
		if l.curve != nil {
			x.Rows, x.Curve, x.Unit, x.Max, x.Hold, x.Every = 1, true, l.curve.unit, l.curve.max, l.curve.hold, l.curve.interval
		}
		j.Lanes = append(j.Lanes, x)
	}
	if d := m.d; d != nil {
		j.Verdict = clean(d.Verdict, maxName)
		for _, q := range d.Profile.Quality {
			j.Quality = append(j.Quality, noteJSON{clean(q.Text, maxName), clean(q.Remedy, maxName), q.Severity})
		}
	}
	for _, x := range p.NotRecorded {
		j.Missing = append(j.Missing, noteJSON{Text: clean(x.Text, maxName), Remedy: clean(x.Remedy, maxName)})
	}
	for _, n := range m.notes {
		j.Notes = append(j.Notes, clean(n, maxName))
	}
	for _, l := range m.lanes {
		if l.hidden > 0 {
			j.Notes = append(j.Notes, clean(fmt.Sprintf("%s: %d events lie deeper than %d rows and are not drawn", l.title, l.hidden, len(l.rows)), maxName))
		}
	}
	if m.a.Wall > 0 {
		j.Legend = append(j.Legend, m.budgetTable("Time of all steps", &m.a.Budget))
	}
	return j
}
