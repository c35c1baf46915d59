package kernel

import (
	"encoding/json"
	"testing"
)

func TestStages(t *testing.T) {
	want := []string{
		"embedding", "norm", "rope", "qkv", "attention", "kv-write", "o-proj", "mlp", "moe", "activation",
		"quant", "lm-head", "sampling", "collective", "copy", "bookkeeping", "gemm", "linear-attn", "other",
	}
	all := Stages()
	if len(all) != len(want) || len(all) != NumStages {
		t.Fatalf("%d stages, %d values, want %d", len(all), NumStages, len(want))
	}
	seen := map[Stage]bool{}
	for i, s := range all {
		if s.String() != want[i] {
			t.Errorf("stage %d is %s, want %s", i, s, want[i])
		}
		if seen[s] {
			t.Errorf("%s occurs twice", s)
		}
		seen[s] = true
		data, err := json.Marshal(s)
		if err != nil || string(data) != `"`+want[i]+`"` {
			t.Errorf("json of %s: %s, %v", s, data, err)
		}
		var back Stage
		if err := json.Unmarshal(data, &back); err != nil || back != s {
			t.Errorf("%s read back as %s, %v", s, back, err)
		}
	}
}

func TestEnums(t *testing.T) {
	if _, err := Stage(200).MarshalText(); err == nil {
		t.Error("stage 200 encodes")
	}
	if got := Stage(200).String(); got != "stage(200)" {
		t.Errorf("String = %q", got)
	}
	var s Stage
	if err := s.UnmarshalText([]byte("nonsense")); err == nil {
		t.Error("nonsense decodes as a stage")
	}
	for r := Role(0); int(r) < numRoles; r++ {
		var back Role
		if err := back.UnmarshalText([]byte(r.String())); err != nil || back != r {
			t.Errorf("role %d: %q reads back as %d, %v", r, r, back, err)
		}
		if st := r.Stage(); (st == Gemm) != (r == NoRole || r == RoleDraftIn) {
			t.Errorf("role %s has stage %s", r, st)
		}
	}
	for k := APIKind(0); int(k) < numAPIKinds; k++ {
		var back APIKind
		if err := back.UnmarshalText([]byte(k.String())); err != nil || back != k {
			t.Errorf("api kind %d: %q reads back as %d, %v", k, k, back, err)
		}
	}
	if Other != 0 || None != 0 || NoRole != 0 || APIOther != 0 {
		t.Error("zero values must claim nothing")
	}
}
