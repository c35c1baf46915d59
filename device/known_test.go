package device

import "testing"

// The parameter counts are those that the hub publishes for the checkpoints (safetensors metadata), so they check the
// shape arithmetic independently.
func TestKnownModelsHavePublishedParameterCounts(t *testing.T) {
	for _, k := range knownModels() {
		if err := k.Shape.CheckValid(); err != nil {
			t.Errorf("%s: %v", k.Names[0], err)
		}
		if k.Params == 0 {
			continue
		}
		if got := k.Shape.Params().Total(); got != k.Params {
			t.Errorf("%s: %d parameters, published %d (off by %d)", k.Names[0], got, k.Params, got-k.Params)
		}
	}
}
