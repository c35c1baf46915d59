package serving

import (
	"math"
	"strconv"
)

// Metrics is one snapshot of a server's /metrics.
type Metrics struct {
	File       string   `json:"file"`
	EngineName string   `json:"engine"` // "vllm", "sglang" or "" if neither
	Models     []string `json:"models,omitempty"`
	Engines    []string `json:"engines,omitempty"`

	// StartTimeS is process_start_time_seconds of the API server: it tells
	// two snapshots of one process from those of two.
	StartTimeS Fact[float64] `json:"start_time_s,omitzero"`
	// Engine holds what cache_config_info and similar gauges tell.
	Engine EngineInfo `json:"engine_info"`

	Warnings []Warning `json:"warnings,omitempty"`

	families map[string]*family // by canonical name
}

const (
	kindCounter   = 'c'
	kindGauge     = 'g'
	kindHistogram = 'h'
)

type family struct {
	name   string // as scraped
	kind   byte
	line   int // first line of the family
	series []series
}

type series struct {
	labels  []Label
	key     string  // labels as text, the order of series
	value   float64 // count of a histogram
	sum     float64
	buckets []Bucket // cumulative, as scraped
}

func formatFloat(v float64) string {
	if math.IsInf(v, 1) {
		return "+Inf"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}
