package diagnose

import (
	"testing"

	"github.com/stepscope/stepscope/device"
	"github.com/stepscope/stepscope/serving"
)

func TestMatmul(t *testing.T) {
	for _, c := range []struct {
		name, dims string
		want       gemmDims
		ok         bool
	}{
		{"aten::mm", "[[32,4096],[4096,128256]]", gemmDims{32, 4096, 128256}, true},
		{"aten::linear", "[[2,16,4096],[6144,4096],[]]", gemmDims{32, 4096, 6144}, true},
		{"aten::addmm", "[[6144],[32,4096],[4096,6144],[],[]]", gemmDims{32, 4096, 6144}, true},
		{"aten::mm", "[[32,4096],[4097,8]]", gemmDims{}, false},
		{"aten::mm", "[[32,4096]]", gemmDims{}, false},
		{"aten::mm", "not json", gemmDims{}, false},
		{"aten::add", "[[32,4096],[4096,8]]", gemmDims{}, false},
	} {
		if got, ok := matmul(c.name, c.dims); got != c.want || ok != c.ok {
			t.Errorf("%s %s: %v %v", c.name, c.dims, got, ok)
		}
	}
}

// The operators of a rank show its part of the model.
func TestWholeModel(t *testing.T) {
	src := serving.Source{File: "server.log", Line: 1}
	rank := device.Shape{Layers: 16, Hidden: 4096, Heads: 32, KVHeads: 8, HeadDim: 64, Intermediate: 7168, Vocab: 64128}
	var c Context
	if got := c.wholeModel(rank); got != rank {
		t.Errorf("one GPU: %+v", got)
	}
	c.Engine.TensorParallel, c.Engine.PipelineParallel = serving.NewFact(int64(2), src), serving.NewFact(int64(2), src)
	want := device.Shape{Layers: 32, Hidden: 4096, Heads: 64, KVHeads: 16, HeadDim: 64, Intermediate: 14336, Vocab: 128256, TP: 2, PP: 2}
	if got := c.wholeModel(rank); got != want {
		t.Errorf("TP 2, PP 2: %+v", got)
	}
}
