package step

import (
	"regexp"
	"strconv"
	"strings"
)

// Phase is what a step did.
type Phase uint8

// Phases of a step. Empty is a step that scheduled no token (a drain of asynchronous scheduling, a dummy run).
const (
	Unknown Phase = iota
	Prefill
	Decode
	Mixed
	Empty
)

var phaseNames = [...]string{"unknown", "prefill", "decode", "mixed", "empty"}

// String returns the stable lower-case id.
func (p Phase) String() string { return phaseNames[p] }

// MarshalText returns the stable id.
func (p Phase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Batch is what one step scheduled. Counts are -1 where the marker does not say them.
type Batch struct {
	PrefillRequests int64 `json:"prefill_requests"`
	PrefillTokens   int64 `json:"prefill_tokens"`
	DecodeRequests  int64 `json:"decode_requests"`
	DecodeTokens    int64 `json:"decode_tokens"`
	// PrefillKV and DecodeKV are the summed sequence lengths (tokens in the KV cache that attention reads).
	PrefillKV int64 `json:"prefill_kv_tokens"`
	DecodeKV  int64 `json:"decode_kv_tokens"`
}

// NotRecorded is the Batch of a step whose marker says nothing.
var NotRecorded = Batch{-1, -1, -1, -1, -1, -1}

// Tokens returns the scheduled tokens, -1 where not recorded.
func (b Batch) Tokens() int64 {
	if b.PrefillTokens < 0 || b.DecodeTokens < 0 {
		return -1
	}
	return b.PrefillTokens + b.DecodeTokens
}

// Requests returns the scheduled requests, -1 where not recorded.
func (b Batch) Requests() int64 {
	if b.PrefillRequests < 0 || b.DecodeRequests < 0 {
		return -1
	}
	return b.PrefillRequests + b.DecodeRequests
}

// Phase derives the phase.
func (b Batch) Phase() Phase {
	switch {
	case b.PrefillRequests < 0 || b.DecodeRequests < 0:
		return Unknown
	case b.PrefillRequests == 0 && b.DecodeRequests == 0:
		return Empty
	case b.PrefillRequests == 0:
		return Decode
	case b.DecodeRequests == 0:
		return Prefill
	}
	return Mixed
}

// The marker texts that engines print, by version; see docs/architecture.md.
var (
	// vLLM 0.14 to 0.33, plain and with detailed_trace_annotation.
	reExecute = regexp.MustCompile(`^execute_(?:(\d+)_)?context_(\d+)\((?:sq)?(\d+)(?:sk(\d+)sqsq(\d+)sqsk(\d+))?\)` +
		`_generation_(\d+)\((?:sq)?(\d+)(?:sk(\d+)sqsq(\d+)sqsk(\d+))?\)$`)
	// A variant with the sum of squares behind the tokens.
	reExecuteSquares = regexp.MustCompile(`^execute_context_(\d+)\((\d+)_(\d+)\)_generation_(\d+)\((\d+)(?:_(\d+))?\)$`)
	// vLLM 0.12 and 0.13: new and cached requests, no tokens.
	reExecuteNew = regexp.MustCompile(`^execute_new_(\d+)_cached_(\d+)$`)
	// SGLang.
	reSGLang = regexp.MustCompile(`^step\[(\w+) bs=(\d+)(?: toks=(\d+))?\]$`)
	// Graph capture and warm-up scopes: not serving.
	reCapture = regexp.MustCompile(`^capture_\d+_\w+$`)
)

// ParseMarker reads the text of an engine's step marker. ok is false when text is none.
func ParseMarker(text string) (b Batch, engine string, ok bool) {
	if len(text) > 256 {
		return NotRecorded, "", false
	}
	switch {
	case strings.HasPrefix(text, "execute_"):
		if m := reExecute.FindStringSubmatch(text); m != nil {
			b = Batch{num(m[2]), num(m[3]), num(m[7]), num(m[8]), opt(m[4]), opt(m[9])}
			return b, "vLLM", true
		}
		if m := reExecuteSquares.FindStringSubmatch(text); m != nil {
			return Batch{num(m[1]), num(m[2]), num(m[4]), num(m[5]), -1, -1}, "vLLM", true
		}
		if m := reExecuteNew.FindStringSubmatch(text); m != nil {
			// "new" requests run their first chunk; "cached" ones may still be in a later prefill chunk, so the split
			// into phases is only certain when there is no cached request or no new one.
			return Batch{num(m[1]), -1, num(m[2]), -1, -1, -1}, "vLLM", true
		}
	case strings.HasPrefix(text, "step["):
		if m := reSGLang.FindStringSubmatch(text); m != nil {
			n, toks := num(m[2]), opt(m[3])
			switch m[1] {
			case "DECODE", "TARGET_VERIFY", "IDLE":
				if m[1] == "IDLE" {
					return Batch{0, 0, 0, 0, -1, -1}, "SGLang", true
				}
				if toks < 0 && m[1] == "DECODE" {
					toks = n
				}
				return Batch{0, 0, n, toks, -1, -1}, "SGLang", true
			case "EXTEND", "DRAFT_EXTEND", "SPLIT_PREFILL":
				return Batch{n, toks, 0, 0, -1, -1}, "SGLang", true
			case "MIXED":
				// One count for both kinds: the composition is not recorded.
				return Batch{-1, -1, -1, -1, -1, -1}, "SGLang", true
			}
			return NotRecorded, "SGLang", true
		}
	}
	return NotRecorded, "", false
}

// IsCaptureMarker reports whether text names a graph-capture scope, which is not serving.
func IsCaptureMarker(text string) bool { return len(text) < 128 && reCapture.MatchString(text) }

func num(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return -1
	}
	return n
}

func opt(s string) int64 {
	if s == "" {
		return -1
	}
	return num(s)
}
