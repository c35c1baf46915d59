package capture_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stepscope/stepscope/capture"
)

// What lies beside a profile comes from strangers: reading it never panics.
func FuzzSidecar(f *testing.F) {
	f.Add(`{"schema":"stepscope.capture/1","files":[{"name":"bench.json","sha256":"00"}],"gpus":[{"driver":"580"}],"startup_s":3}`,
		`{"schema":"stepscope.samples/1","gpu":{"time_ns":[1,2],"gpu":[0,1],"utilisation_percent":[1,null],"memory_utilisation_percent":[1,1],"memory_used_mib":[1,2],"power_w":[1,1],"sm_clock_mhz":[1,1],"memory_clock_mhz":[1,1],"temperature_c":[1,1]},"process":[{"name":"x","time_ns":[1],"cores":[1],"rss_bytes":[1],"count":[1]}],"stages":[{"stage":"measure","start_ns":0,"dur_ns":5}]}`)
	f.Add(`{}`, `{"schema":"stepscope.samples/1"}`)
	f.Add(`{"schema":"stepscope.capture/1"`, `[]`)
	f.Fuzz(func(t *testing.T, manifest, samples string) {
		fsys := fstest.MapFS{capture.ManifestName: {Data: []byte(manifest)}, capture.SamplesName: {Data: []byte(samples)}}
		m, _, err := capture.Sidecar(fsys)
		if err == nil && m != nil {
			m.Facts()
			m.Verify(fsys)
		}
		if s, err := capture.ReadSamples(strings.NewReader(samples)); err == nil {
			s.GPUs()
			for _, st := range []capture.Stage{capture.Measuring, capture.Profiling} {
				s.Usage(st)
			}
		}
	})
}
