package diagnose

import "testing"

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
