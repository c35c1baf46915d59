package diagnose_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/internal/captest"
)

// What is written as JSON can be read back, as try does with the diagnosis that it is given.
func TestJSONRoundTrip(t *testing.T) {
	for _, name := range captest.Names(t) {
		first, err := json.Marshal(captest.Diagnose(t, name, captest.Options{}).Diagnosis)
		if err != nil {
			t.Fatal(err)
		}
		var d diagnose.Diagnosis
		if err := json.Unmarshal(first, &d); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if second, err := json.Marshal(&d); err != nil || !bytes.Equal(first, second) {
			t.Errorf("%s: comes back as something else (%v)", name, err)
		}
	}
	var s diagnose.Severity
	if err := s.UnmarshalText([]byte("terrible")); err == nil {
		t.Error("an unknown severity is read")
	}
}
