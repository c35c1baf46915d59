package profile

// Select keeps the rows at the given indices, in the order given; nil keeps all as they are.
func (t *Kernels) Select(rows []int32) {
	t.Start, t.Dur, t.Func, t.Config = Permute(t.Start, rows), Permute(t.Dur, rows), Permute(t.Func, rows), Permute(t.Config, rows)
	t.Queue, t.Correlation, t.Call = Permute(t.Queue, rows), Permute(t.Correlation, rows), Permute(t.Call, rows)
	t.GraphNode, t.Row = Permute(t.GraphNode, rows), rowsOf(t.Row, rows)
}

// Select keeps the rows at the given indices, in the order given; nil keeps all as they are.
func (t *Copies) Select(rows []int32) {
	t.Start, t.Dur, t.Bytes, t.Kind = Permute(t.Start, rows), Permute(t.Dur, rows), Permute(t.Bytes, rows), Permute(t.Kind, rows)
	t.Src, t.Dst, t.Queue = Permute(t.Src, rows), Permute(t.Dst, rows), Permute(t.Queue, rows)
	t.Correlation, t.Call = Permute(t.Correlation, rows), Permute(t.Call, rows)
	t.GraphNode, t.Row = Permute(t.GraphNode, rows), rowsOf(t.Row, rows)
}

// Select keeps the rows at the given indices, in the order given; nil keeps all as they are.
func (t *Memsets) Select(rows []int32) {
	t.Start, t.Dur, t.Bytes, t.Mem = Permute(t.Start, rows), Permute(t.Dur, rows), Permute(t.Bytes, rows), Permute(t.Mem, rows)
	t.Queue, t.Correlation, t.Call = Permute(t.Queue, rows), Permute(t.Correlation, rows), Permute(t.Call, rows)
	t.GraphNode, t.Row = Permute(t.GraphNode, rows), rowsOf(t.Row, rows)
}

// Select keeps the rows at the given indices, in the order given; nil keeps all as they are.
func (t *Calls) Select(rows []int32) {
	t.Start, t.Dur, t.Name, t.Thread = Permute(t.Start, rows), Permute(t.Dur, rows), Permute(t.Name, rows), Permute(t.Thread, rows)
	t.Correlation, t.Result = Permute(t.Correlation, rows), Permute(t.Result, rows)
	t.Class, t.External, t.Row = Permute(t.Class, rows), Permute(t.External, rows), rowsOf(t.Row, rows)
}

// Select keeps the rows at the given indices, in the order given; nil keeps all as they are.
func (t *Syncs) Select(rows []int32) {
	t.Start, t.Dur, t.Kind, t.Queue = Permute(t.Start, rows), Permute(t.Dur, rows), Permute(t.Kind, rows), Permute(t.Queue, rows)
	t.Correlation, t.Call, t.Row = Permute(t.Correlation, rows), Permute(t.Call, rows), rowsOf(t.Row, rows)
}

// Select keeps the rows at the given indices, in the order given; nil keeps all as they are.
func (t *Ranges) Select(rows []int32) {
	if rows != nil && len(t.EndThread) > 0 {
		moved := make(map[int32]int32, len(t.EndThread))
		for i, j := range rows {
			if end, ok := t.EndThread[j]; ok {
				moved[int32(i)] = end
			}
		}
		t.EndThread = moved
	}
	t.Start, t.Dur, t.Text, t.Thread = Permute(t.Start, rows), Permute(t.Dur, rows), Permute(t.Text, rows), Permute(t.Thread, rows)
	t.Domain, t.Kind, t.Row = Permute(t.Domain, rows), Permute(t.Kind, rows), rowsOf(t.Row, rows)
}

// Select keeps the rows at the given indices, in the order given; nil keeps all as they are.
func (t *Ops) Select(rows []int32) {
	t.Start, t.Dur, t.Name, t.Thread = Permute(t.Start, rows), Permute(t.Dur, rows), Permute(t.Name, rows), Permute(t.Thread, rows)
	t.External, t.Dims, t.Types, t.Row = Permute(t.External, rows), Permute(t.Dims, rows), Permute(t.Types, rows), rowsOf(t.Row, rows)
}

// Select keeps the rows at the given indices, in the order given; nil keeps all as they are.
func (t *Spans) Select(rows []int32) {
	t.Start, t.Dur, t.Name = Permute(t.Start, rows), Permute(t.Dur, rows), Permute(t.Name, rows)
	t.Thread, t.Row = Permute(t.Thread, rows), rowsOf(t.Row, rows)
}

// Select keeps the rows at the given indices, in the order given; nil keeps all as they are.
func (t *GraphTraces) Select(rows []int32) {
	t.Start, t.Dur, t.Queue, t.Correlation = Permute(t.Start, rows), Permute(t.Dur, rows), Permute(t.Queue, rows), Permute(t.Correlation, rows)
	t.Call, t.Graph, t.Exec, t.Row = Permute(t.Call, rows), Permute(t.Graph, rows), Permute(t.Exec, rows), rowsOf(t.Row, rows)
}

// Select keeps the rows at the given indices, in the order given; nil keeps all as they are.
func (t *GraphEvents) Select(rows []int32) {
	t.Start, t.Dur, t.Kind, t.Thread = Permute(t.Start, rows), Permute(t.Dur, rows), Permute(t.Kind, rows), Permute(t.Thread, rows)
	t.Graph, t.Node, t.Original, t.Row = Permute(t.Graph, rows), Permute(t.Node, rows), Permute(t.Original, rows), rowsOf(t.Row, rows)
}

// Select keeps the rows at the given indices, in the order given; nil keeps all as they are.
func (t *MemEvents) Select(rows []int32) {
	t.Start, t.Bytes, t.Address, t.Mem = Permute(t.Start, rows), Permute(t.Bytes, rows), Permute(t.Address, rows), Permute(t.Mem, rows)
	t.Free, t.Process, t.Device, t.Name = Permute(t.Free, rows), Permute(t.Process, rows), Permute(t.Device, rows), Permute(t.Name, rows)
	t.PoolBytes, t.Row = Permute(t.PoolBytes, rows), rowsOf(t.Row, rows)
}
