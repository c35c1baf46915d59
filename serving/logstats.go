package serving

import (
	"math"
	"strconv"
	"strings"
)

// leadingNumber reads a number at the start of s, with thousands separators,
// and how many bytes it took; 0 bytes if there is none.
func leadingNumber(s string) (float64, int) {
	i, clean := 0, make([]byte, 0, 24)
	for ; i < len(s) && len(clean) < 40; i++ {
		c := s[i]
		if c == ',' && i > 0 && i+3 < len(s) && isDigit(s[i+1]) && isDigit(s[i+2]) && isDigit(s[i+3]) && (i+4 >= len(s) || !isDigit(s[i+4])) {
			continue
		}
		if !isDigit(c) && c != '.' && !(c == '-' && i == 0) && !((c == 'e' || c == 'E') && i > 0) && !((c == '+' || c == '-') && i > 0 && (s[i-1] == 'e' || s[i-1] == 'E')) {
			break
		}
		clean = append(clean, c)
	}
	for len(clean) > 0 {
		if v, err := strconv.ParseFloat(string(clean), 64); err == nil {
			return v, i
		}
		// "0.0." or "5e": drop what does not belong to the number.
		clean = clean[:len(clean)-1]
		i--
	}
	return 0, 0
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// pairs calls visit for each "key: value" of a comma-separated line. A part
// without a key is another value of the key before (lists).
func pairs(text string, visit func(key, value string)) {
	key := ""
	for len(text) > 0 {
		part := text
		if i := strings.Index(text, ", "); i >= 0 {
			part, text = text[:i], text[i+2:]
		} else {
			text = ""
		}
		if i := strings.Index(part, ": "); i >= 0 {
			key, part = strings.TrimSpace(part[:i]), part[i+2:]
		}
		visit(key, strings.TrimSpace(part))
	}
}

// amount is a non-negative number at the start of a value, else NotRecorded
// ("nan" of an interval without events).
func amount(value string) float64 {
	v, n := leadingNumber(value)
	if n == 0 || v < 0 {
		return NotRecorded
	}
	return v
}

func percent(value string) float64 {
	v := amount(value)
	if v < 0 {
		return v
	}
	return hundredth(v)
}

// hundredth is v/100 to eight places: 92.1 % is 0.921, not 0.9209999999999999.
func hundredth(v float64) float64 { return math.Round(v*1e6) / 1e8 }

// keep adds a row to a series of at most most rows; what is beyond is counted.
func keep[T any](l *logReader, rows *[]T, row T, most int) {
	if len(*rows) >= most {
		l.lost++
		return
	}
	*rows = append(*rows, row)
}

// statLine reads "Avg prompt throughput: ..." of all versions.
func (l *logReader) statLine(m message, rank int) {
	s := StatLine{AtNS: m.at, Engine: rank, PromptRate: NotRecorded, OutputRate: NotRecorded, Running: NotRecorded, Waiting: NotRecorded,
		Deferred: NotRecorded, Preemptions: NotRecorded, KVUsage: NotRecorded, PrefixHitRate: NotRecorded, Line: m.line}
	pairs(m.text, func(key, value string) {
		switch key {
		case "Avg prompt throughput":
			s.PromptRate = amount(value)
		case "Avg generation throughput":
			s.OutputRate = amount(value)
		case "Running":
			s.Running = count(amount(value))
		case "Waiting", "Pending":
			s.Waiting = count(amount(value))
		case "Deferred":
			s.Deferred = count(amount(value))
		case "Preemptions":
			s.Preemptions = count(amount(value))
		case "GPU KV cache usage":
			s.KVUsage = percent(value)
		case "Prefix cache hit rate":
			s.PrefixHitRate = percent(value)
		}
	})
	keep(l, &l.log.Stats, s, maxRows)
}

// prefixLine is the V0 engine's separate line "Prefix cache hit rate: GPU: x%".
func (l *logReader) prefixLine(m message, _ int) {
	v, ok := numberAfter(m.text, "GPU: ")
	if n := len(l.log.Stats); ok && n > 0 && l.log.Stats[n-1].PrefixHitRate == NotRecorded && v >= 0 {
		l.log.Stats[n-1].PrefixHitRate = hundredth(v)
	}
}

func (l *logReader) specLine(m message, _ int) {
	s := SpecLine{AtNS: m.at, AcceptanceLength: NotRecorded, AcceptedRate: NotRecorded, DraftedRate: NotRecorded, Accepted: NotRecorded,
		Drafted: NotRecorded, AcceptanceRate: NotRecorded, Line: m.line}
	pairs(strings.TrimPrefix(m.text, "SpecDecoding metrics: "), func(key, value string) {
		switch key {
		case "Mean acceptance length":
			s.AcceptanceLength = amount(value)
		case "Accepted throughput":
			s.AcceptedRate = amount(value)
		case "Drafted throughput":
			s.DraftedRate = amount(value)
		case "Accepted":
			s.Accepted = count(amount(value))
		case "Drafted":
			s.Drafted = count(amount(value))
		case "Avg Draft acceptance rate", "Draft acceptance rate":
			s.AcceptanceRate = percent(value)
		case "Per-position acceptance rate":
			if v := amount(value); v >= 0 && len(s.PerPosition) < 64 {
				s.PerPosition = append(s.PerPosition, v)
			}
		}
	})
	keep(l, &l.log.SpecDecode, s, maxSpecRows)
}

// iteration reads "Iteration(17): 9 context requests, ..." of 0.14 and later.
func (l *logReader) iteration(m message, rank int) {
	it := Iteration{AtNS: m.at, Engine: rank, Index: NotRecorded, PrefillRequests: NotRecorded, PrefillTokens: NotRecorded,
		DecodeRequests: NotRecorded, DecodeTokens: NotRecorded, ElapsedNS: NotRecorded, KVUsage: NotRecorded, Line: m.line}
	rest := strings.TrimPrefix(m.text, "Iteration(")
	i := strings.IndexByte(rest, ')')
	if i < 0 {
		return
	}
	it.Index = count(amount(rest[:i]))
	rest = strings.TrimPrefix(strings.TrimPrefix(rest[i+1:], ":"), " ")
	it.Dummy = strings.Contains(rest, "(dummy)")
	if it.Engine == NotRecorded {
		it.Engine = rankOf(m.proc)
	}
	pairs(rest, func(key, value string) {
		switch {
		case key == "iteration elapsed time" && it.ElapsedNS == NotRecorded:
			if v := amount(value); v >= 0 {
				it.ElapsedNS = secondsNS(v / 1000)
			}
			return
		case key == "GPU KV cache usage" && it.KVUsage == NotRecorded:
			it.KVUsage = percent(value)
			return
		}
		v, n := leadingNumber(value)
		if n == 0 || v < 0 {
			return
		}
		what := strings.TrimSpace(value[n:])
		switch {
		case strings.HasPrefix(what, "context requests"):
			it.PrefillRequests = count(v)
		case strings.HasPrefix(what, "context tokens"):
			it.PrefillTokens = count(v)
		case strings.HasPrefix(what, "generation requests"):
			it.DecodeRequests = count(v)
		case strings.HasPrefix(what, "generation tokens"):
			it.DecodeTokens = count(v)
		}
	})
	keep(l, &l.log.Iterations, it, maxRows)
}

// rankOf is n of "EngineCore_DPn pid=...".
func rankOf(proc string) int {
	if i := strings.Index(proc, "_DP"); i >= 0 {
		if v, n := leadingNumber(proc[i+3:]); n > 0 && v >= 0 && v < 1e6 {
			return int(v)
		}
	}
	return NotRecorded
}

// batch reads SGLang's "Prefill batch" and "Decode batch" lines.
func (l *logReader) batch(m message, _ int) {
	b := BatchLine{AtNS: m.at, Prefill: strings.HasPrefix(m.text, "Prefill"), NewRequests: NotRecorded, NewTokens: NotRecorded,
		CachedTokens: NotRecorded, Running: NotRecorded, Queued: NotRecorded, Tokens: NotRecorded, KVUsage: NotRecorded,
		Rate: NotRecorded, AcceptLen: NotRecorded, CUDAGraph: NotRecorded, Line: m.line}
	_, text, _ := strings.Cut(m.text, "batch")
	if i := strings.IndexByte(text, '#'); i >= 0 {
		text = text[i:]
	}
	pairs(text, func(key, value string) {
		switch key {
		case "#new-seq":
			b.NewRequests = count(amount(value))
		case "#new-token":
			b.NewTokens = count(amount(value))
		case "#cached-token":
			b.CachedTokens = count(amount(value))
		case "#running-req":
			b.Running = count(amount(value))
		case "#queue-req":
			b.Queued = count(amount(value))
		case "#token", "#full token":
			b.Tokens = count(amount(value))
		case "token usage", "full token usage":
			b.KVUsage = amount(value)
		case "gen throughput (token/s)", "input throughput (token/s)":
			b.Rate = amount(value)
		case "accept len":
			b.AcceptLen = amount(value)
		case "cuda graph", "cpu graph", "npu graph":
			if v, ok := pyBool(value); ok {
				b.CUDAGraph = 0
				if v {
					b.CUDAGraph = 1
				}
			}
		}
	})
	keep(l, &l.log.Batches, b, maxRows)
}
