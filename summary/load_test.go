package summary

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/stepscope/stepscope/demo"
	"github.com/stepscope/stepscope/internal/proftest"
	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/profile"
)

func openCapture(t testing.TB, name string) *profile.Profile {
	t.Helper()
	files := demo.FS() // in every clone; the other captures lie beside the repository
	if name != demo.Name {
		files = os.DirFS(proftest.SharedCapture(t, name))
	}
	in, err := files.Open("profile.sqlite.zst")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	z, err := zstd.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	file := filepath.Join(t.TempDir(), "profile.sqlite")
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, z); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return loadSQLite(t, file)
}

func loadSQLite(t testing.TB, file string) *profile.Profile {
	conn, err := sqlite.OpenConn("file:"+file+"?immutable=1", sqlite.OpenReadOnly|sqlite.OpenURI)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p := &profile.Profile{Source: filepath.Base(file)}
	b := profile.NewBuilder(p)
	strs := map[int64]profile.StringID{}
	tables := map[string]bool{}
	each := func(table, q string, f func(s *sqlite.Stmt)) {
		if table != "" && !tables[table] {
			return
		}
		if err := sqlitex.Execute(conn, q, &sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error { f(s); return nil }}); err != nil {
			t.Fatal(q, err)
		}
	}
	each("", "select name from sqlite_master where type='table'", func(s *sqlite.Stmt) { tables[s.ColumnText(0)] = true })
	each("StringIds", "select id, value from StringIds", func(s *sqlite.Stmt) { strs[s.ColumnInt64(0)] = p.Strings.ID(s.ColumnText(1)) })
	each("ANALYSIS_DETAILS", "select duration from ANALYSIS_DETAILS", func(s *sqlite.Stmt) { p.Window = interval.Span{End: s.ColumnInt64(0)} })
	each("TARGET_INFO_GPU", "select id, name, memoryBandwidth from TARGET_INFO_GPU", func(s *sqlite.Stmt) {
		b.AddDevice(profile.Device{ID: s.ColumnInt64(0), Name: s.ColumnText(1), BandwidthBps: s.ColumnInt64(2)})
	})
	pid := func(g int64) int64 { return g >> 24 & 0xffffff }
	tid := func(g int64) int32 { return b.Thread(pid(g), g&0xffffff) }
	each("ThreadNames", "select nameId, globalTid from ThreadNames", func(s *sqlite.Stmt) {
		p.Threads[tid(s.ColumnInt64(1))].Name = p.Strings.At(strs[s.ColumnInt64(0)])
	})
	queue := func(s *sqlite.Stmt) int32 {
		return b.Queue(profile.Queue{Process: b.Process(pid(s.GetInt64("globalPid"))), Device: b.Device(s.GetInt64("deviceId")),
			Context: s.GetInt64("contextId"), GreenCtx: s.GetInt64("greenContextId"), Stream: s.GetInt64("streamId")})
	}
	each("CUPTI_ACTIVITY_KIND_KERNEL", "select * from CUPTI_ACTIVITY_KIND_KERNEL", func(s *sqlite.Stmt) {
		k := &p.Kernels
		i32 := func(c string) int32 { return int32(s.GetInt64(c)) }
		k.Start = append(k.Start, s.GetInt64("start"))
		k.Dur = append(k.Dur, s.GetInt64("end")-s.GetInt64("start"))
		k.Func = append(k.Func, b.Func(profile.Func{Name: strs[s.GetInt64("demangledName")], Short: strs[s.GetInt64("shortName")], Mangled: strs[s.GetInt64("mangledName")]}))
		k.Config = append(k.Config, b.Config(profile.LaunchConfig{Grid: [3]int32{i32("gridX"), i32("gridY"), i32("gridZ")},
			Block: [3]int32{i32("blockX"), i32("blockY"), i32("blockZ")}, Registers: i32("registersPerThread"),
			StaticShared: i32("staticSharedMemory"), DynamicShared: i32("dynamicSharedMemory")}))
		k.Queue = append(k.Queue, queue(s))
		k.Correlation = append(k.Correlation, uint32(s.GetInt64("correlationId")))
		k.GraphNode = append(k.GraphNode, uint64(s.GetInt64("graphNodeId")))
	})
	each("CUPTI_ACTIVITY_KIND_MEMCPY", "select * from CUPTI_ACTIVITY_KIND_MEMCPY", func(s *sqlite.Stmt) {
		m := &p.Copies
		m.Start = append(m.Start, s.GetInt64("start"))
		m.Dur = append(m.Dur, s.GetInt64("end")-s.GetInt64("start"))
		m.Bytes = append(m.Bytes, s.GetInt64("bytes"))
		m.Kind = append(m.Kind, profile.CopyKind(s.GetInt64("copyKind")))
		m.Src = append(m.Src, profile.MemKind(s.GetInt64("srcKind")))
		m.Dst = append(m.Dst, profile.MemKind(s.GetInt64("dstKind")))
		m.Queue = append(m.Queue, queue(s))
		m.Correlation = append(m.Correlation, uint32(s.GetInt64("correlationId")))
		m.GraphNode = append(m.GraphNode, uint64(s.GetInt64("graphNodeId")))
	})
	each("CUPTI_ACTIVITY_KIND_MEMSET", "select * from CUPTI_ACTIVITY_KIND_MEMSET", func(s *sqlite.Stmt) {
		m := &p.Memsets
		m.Start = append(m.Start, s.GetInt64("start"))
		m.Dur = append(m.Dur, s.GetInt64("end")-s.GetInt64("start"))
		m.Bytes = append(m.Bytes, s.GetInt64("bytes"))
		m.Mem = append(m.Mem, profile.MemKind(s.GetInt64("memKind")))
		m.Queue = append(m.Queue, queue(s))
		m.Correlation = append(m.Correlation, uint32(s.GetInt64("correlationId")))
		m.GraphNode = append(m.GraphNode, uint64(s.GetInt64("graphNodeId")))
	})
	each("CUPTI_ACTIVITY_KIND_GRAPH_TRACE", "select * from CUPTI_ACTIVITY_KIND_GRAPH_TRACE", func(s *sqlite.Stmt) {
		m := &p.GraphTraces
		m.Start = append(m.Start, s.GetInt64("start"))
		m.Dur = append(m.Dur, s.GetInt64("end")-s.GetInt64("start"))
		m.Queue = append(m.Queue, queue(s))
		m.Correlation = append(m.Correlation, uint32(s.GetInt64("correlationId")))
		m.Graph = append(m.Graph, s.GetInt64("graphId"))
		m.Exec = append(m.Exec, s.GetInt64("graphExecId"))
	})
	each("CUPTI_ACTIVITY_KIND_RUNTIME", "select * from CUPTI_ACTIVITY_KIND_RUNTIME", func(s *sqlite.Stmt) {
		c := &p.Calls
		c.Start = append(c.Start, s.GetInt64("start"))
		c.Dur = append(c.Dur, s.GetInt64("end")-s.GetInt64("start"))
		c.Name = append(c.Name, strs[s.GetInt64("nameId")])
		c.Thread = append(c.Thread, tid(s.GetInt64("globalTid")))
		c.Correlation = append(c.Correlation, uint32(s.GetInt64("correlationId")))
		c.Result = append(c.Result, int32(s.GetInt64("returnValue")))
		c.Class = append(c.Class, profile.CallClass(s.GetInt64("eventClass")))
	})
	each("OSRT_API", "select * from OSRT_API", func(s *sqlite.Stmt) {
		c := &p.OSCalls
		c.Start = append(c.Start, s.GetInt64("start"))
		c.Dur = append(c.Dur, s.GetInt64("end")-s.GetInt64("start"))
		c.Name = append(c.Name, strs[s.GetInt64("nameId")])
		c.Thread = append(c.Thread, tid(s.GetInt64("globalTid")))
	})
	each("NVTX_EVENTS", "select start,end,eventType,text,textId,globalTid,domainId,rowid,endGlobalTid from NVTX_EVENTS", func(s *sqlite.Stmt) {
		r := &p.Ranges
		dom := b.Domain(pid(s.ColumnInt64(5)), s.ColumnInt64(6))
		typ := s.ColumnInt64(2)
		if typ == 75 {
			p.Domains[dom].Name = s.ColumnText(3)
			return
		}
		if typ != 59 && typ != 60 {
			return
		}
		text := strs[s.ColumnInt64(4)]
		if s.ColumnType(3) != sqlite.TypeNull {
			text = p.Strings.ID(s.ColumnText(3))
		}
		if s.ColumnInt64(6) == 0 {
			dom = profile.None
		}
		d := profile.Open
		if s.ColumnType(1) != sqlite.TypeNull {
			d = s.ColumnInt64(1) - s.ColumnInt64(0)
		}
		r.Start = append(r.Start, s.ColumnInt64(0))
		r.Dur = append(r.Dur, d)
		r.Text = append(r.Text, text)
		r.Thread = append(r.Thread, tid(s.ColumnInt64(5)))
		r.Domain = append(r.Domain, dom)
		r.Kind = append(r.Kind, profile.RangeKind(typ-59))
		r.Row = append(r.Row, uint32(s.ColumnInt64(7)))
		if g := s.ColumnInt64(8); g != 0 {
			if r.EndThread == nil {
				r.EndThread = map[int32]int32{}
			}
			r.EndThread[int32(r.Len()-1)] = tid(g)
		}
	})
	if tables["GPU_METRICS"] {
		index := map[[2]int64]int{}
		each("TARGET_INFO_GPU_METRICS", "select typeId, metricId, metricName from TARGET_INFO_GPU_METRICS", func(s *sqlite.Stmt) {
			index[[2]int64{s.ColumnInt64(0), s.ColumnInt64(1)}] = len(p.Counters)
			p.Counters = append(p.Counters, profile.Counter{Device: b.Device(s.ColumnInt64(0) & 0xff), Name: s.ColumnText(2)})
		})
		each("GPU_METRICS", "select timestamp, typeId, metricId, value from GPU_METRICS", func(s *sqlite.Stmt) {
			c := &p.Counters[index[[2]int64{s.ColumnInt64(1), s.ColumnInt64(2)}]]
			c.Times, c.Values = append(c.Times, s.ColumnInt64(0)), append(c.Values, s.ColumnInt64(3))
		})
	}
	n := func(c *[]int32, l int) { *c = make([]int32, l) }
	n(&p.Kernels.Call, p.Kernels.Len())
	n(&p.Copies.Call, p.Copies.Len())
	n(&p.Memsets.Call, p.Memsets.Len())
	n(&p.GraphTraces.Call, p.GraphTraces.Len())
	p.Sort()
	p.Join()
	if err := p.CheckValid(); err != nil {
		t.Fatal(err)
	}
	return p
}
