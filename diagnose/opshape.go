package diagnose

import (
	"encoding/json"
	"fmt"

	"github.com/stepscope/stepscope/device"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
)

// gemmDims is the size of a matrix product: M rows times K, K times N.
type gemmDims struct{ m, k, n int64 }

// opShape derives the model's shape from the operator shapes that a PyTorch trace recorded: the launch of each GEMM leads
// to its operator, its role says which projection it is, and the projections' sizes are the model. It needs every
// projection of a layer and the head, so it holds for eager and piecewise steps; kernels that a CUDA graph replays have
// no operator. Only products of heads and head size matter for bytes and operations; the head size itself is assumed.
func (c *Context) opShape() (s device.Shape, note string, ok bool) {
	p := c.P
	if p.Ops.Len() == 0 || p.Calls.External == nil || c.A.Pattern.LayerCount == 0 {
		return s, "", false
	}
	op := map[int64]int32{} // external id -> operator; the innermost one comes last
	for i, e := range p.Ops.External {
		if e != 0 {
			op[e] = int32(i)
		}
	}
	dims := map[kernel.Role]gemmDims{}
	for i, role := range c.A.Role {
		if role == kernel.NoRole {
			continue
		}
		if _, have := dims[role]; have {
			continue
		}
		call := p.Kernels.Call[i]
		if call == profile.None {
			continue
		}
		o, found := op[p.Calls.External[call]]
		if !found {
			continue
		}
		if d, fine := matmul(p.Strings.At(p.Ops.Name[o]), p.Strings.At(p.Ops.Dims[o])); fine {
			dims[role] = d
		}
	}
	qkv, q := dims[kernel.RoleQKV]
	o, hasO := dims[kernel.RoleO]
	up, hasUp := dims[kernel.RoleGateUp]
	down, hasDown := dims[kernel.RoleDown]
	head, hasHead := dims[kernel.RoleLMHead]
	if !q || !hasO || !hasUp || !hasDown || !hasHead {
		return s, "", false
	}
	const headDim = 64 // divides the head size of every common model
	kv := qkv.n - o.k
	switch {
	case qkv.k != up.k || qkv.k != head.k || o.n != qkv.k || down.n != qkv.k: // one hidden size
		return s, "", false
	case kv <= 0 || kv%(2*headDim) != 0 || o.k%headDim != 0 || up.n%down.k != 0:
		return s, "", false
	}
	s = device.Shape{Layers: c.A.Pattern.LayerCount, Hidden: int(qkv.k), Heads: int(o.k / headDim), KVHeads: int(kv / (2 * headDim)), HeadDim: headDim,
		Intermediate: int(down.k), Vocab: int(head.n), PlainMLP: up.n == down.k}
	return s, fmt.Sprintf("operator shapes of the trace: %d layers, hidden %d, intermediate %d, vocabulary %d", s.Layers, s.Hidden, s.Intermediate, s.Vocab), true
}

// matmul reads the two matrices of a matrix-product operator.
func matmul(name, text string) (gemmDims, bool) {
	var shapes []json.RawMessage
	if len(text) > 4096 || json.Unmarshal([]byte(text), &shapes) != nil {
		return gemmDims{}, false
	}
	at, transposed := 0, false
	switch name {
	case "aten::mm", "aten::matmul", "aten::_scaled_mm":
	case "aten::addmm":
		at = 1
	case "aten::linear":
		transposed = true
	default:
		return gemmDims{}, false
	}
	if len(shapes) < at+2 {
		return gemmDims{}, false
	}
	var a, b []int64
	if json.Unmarshal(shapes[at], &a) != nil || json.Unmarshal(shapes[at+1], &b) != nil || len(a) < 2 || len(b) != 2 {
		return gemmDims{}, false
	}
	d := gemmDims{m: 1, k: a[len(a)-1], n: b[1]}
	for _, v := range a[:len(a)-1] {
		d.m *= v
	}
	inner := b[0]
	if transposed {
		d.n, inner = b[0], b[1]
	}
	if d.m <= 0 || d.k <= 0 || d.n <= 0 || inner != d.k {
		return gemmDims{}, false
	}
	return d, true
}
