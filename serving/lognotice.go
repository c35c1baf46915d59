package serving

import (
	"bytes"
	"strings"
)

// noticeRules put a warning or error into a category by a part of its text,
// first match first.
var noticeRules = []struct{ part, category string }{
	{"JIT compilation during inference", NoticeJIT},
	{"autotuning during inference", NoticeJIT},
	{"Using default MoE config", NoticeMoEConfig},
	{"Using MoE kernel config with down_moe=False. Performance might be sub-optimal", NoticeMoEConfig},
	{"Unknown vLLM environment variable", NoticeUnknownEnv},
	{"is preempted by", NoticePreemption},
	{"No available memory for the cache blocks", NoticeNoKVMemory},
	{"than the maximum number of tokens that can be stored in KV cache", NoticeNoKVMemory},
	{"KV cache is needed, which is larger than", NoticeNoKVMemory},
	{"on startup is less than desired GPU memory utilization", NoticeNoKVMemory},
	{"Not enough memory. Please try to increase --mem-fraction-static", NoticeNoKVMemory},
	{"OutOfMemoryError", NoticeOOM},
	{"CUDA out of memory", NoticeOOM},
	{"HIP out of memory", NoticeOOM},
	{"CUDA error: out of memory", NoticeOOM},
	{"precluded higher-priority backend", NoticeBackend},
	{"KV cache pool is full", NoticeKVPressure},
	{"Retract requests", NoticeKVPressure},
	{"Decode out of memory happened", NoticeKVPressure},
	{"EngineDeadError", NoticeEngineDead},
	{"EngineCore encountered a fatal error", NoticeEngineDead},
	{"EngineCore encountered an issue", NoticeEngineDead},
	{"Engine core proc", NoticeEngineDead},
	{"No available shared memory broadcast block found", NoticeTimeout},
	{"TimeoutError", NoticeTimeout},
	{"timed out", NoticeTimeout},
	{"Profiler with mode", NoticeProfilerOn},
	{"Torch Profiler is enabled", NoticeProfilerOn},
	{"Enforce eager set", NoticeEager},
	{"recompile_limit", NoticeRecompilation},
}

// bareNotices are the parts that count even where the line has no level:
// SGLang's records and the last line of a traceback.
var bareNotices = [][]byte{
	[]byte("OutOfMemoryError"), []byte("out of memory"), []byte("No available memory for the cache blocks"),
	[]byte("KV cache pool is full"), []byte("Not enough memory. Please try"), []byte("No available shared memory broadcast"),
	[]byte("maximum number of tokens that can be stored in KV cache"), []byte("KV cache is needed, which is larger than"),
}

func noticeWithoutLevel(b []byte) bool {
	if len(b) > 4096 {
		b = b[:4096]
	}
	for _, p := range bareNotices {
		if bytes.Contains(b, p) {
			return true
		}
	}
	return false
}

var levelNames = map[byte]string{'W': "WARNING", 'E': "ERROR", 'C': "CRITICAL"}

// notice files a warning or error; repeated texts (numbers aside) are counted.
func (l *logReader) notice(level byte, msg []byte, m message) {
	text := strings.TrimSpace(string(clipBytes(msg, 4*maxText)))
	if text == "" || traceback(msg, text) {
		return
	}
	category := NoticeOther
	for _, r := range noticeRules {
		if strings.Contains(text, r.part) {
			category = r.category
			break
		}
	}
	if level == 0 {
		level = 'W'
		if category == NoticeOOM || category == NoticeNoKVMemory {
			level = 'E'
		}
	}
	if l.starts == 0 && !l.recognised {
		// Warnings may precede the first line that tells the server.
		l.recognised = strings.Contains(text, "vllm") || strings.Contains(text, "sglang")
	}
	l.effects(text, m)
	key := string(level) + noDigits(clip(text, 200))
	log := l.log
	i, seen := l.notices[key]
	if !seen {
		if len(log.Notices) >= maxNotices {
			return
		}
		i = len(log.Notices)
		l.notices[key] = i
		log.Notices = append(log.Notices, Notice{Category: category, Level: levelNames[level], FirstNS: m.at, Source: l.src(m, ""),
			Text: clip(mask(cutPrompt(text)), maxText)})
	}
	n := &log.Notices[i]
	n.N++
	n.LastNS = m.at
	n.Serving = n.Serving || l.mark.ready.known && !l.mark.shutdown.known
}

// effects takes the settings that the engine changes while it warns.
func (l *logReader) effects(text string, m message) {
	e := &l.log.Engine
	if i := strings.Index(text, "setting cudagraph_mode="); i >= 0 {
		word := text[i+len("setting cudagraph_mode="):]
		if k := strings.IndexAny(word, " ,;"); k >= 0 {
			word = word[:k]
		}
		if mode := strings.TrimRight(pyEnum(word), "."); mode != "" && mode == strings.ToUpper(mode) {
			e.CudagraphMode = NewFact(mode, l.src(m, "setting cudagraph_mode="))
		}
	}
	switch {
	case strings.HasPrefix(text, "Enforce eager set"):
		setOnce(&e.EnforceEager, true, l.src(m, "Enforce eager set"))
	case strings.HasPrefix(text, "Model Runner V2 requires"):
		e.V2Runner = NewFact(false, l.src(m, "Model Runner V2 requires"))
	}
}

// traceback reports lines of a stack trace, which say nothing alone.
func traceback(raw []byte, text string) bool {
	return bytes.HasPrefix(raw, []byte("  ")) || strings.HasPrefix(text, "Traceback (") || strings.Trim(text, "^~ ") == "" ||
		strings.HasPrefix(text, "During handling of the above") || strings.HasPrefix(text, "The above exception was")
}

func noDigits(s string) string {
	var b strings.Builder
	digit := false
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= '0' && c <= '9' {
			if !digit {
				b.WriteByte('#')
			}
			digit = true
		} else {
			b.WriteByte(c)
			digit = false
		}
	}
	return b.String()
}

func setOnce[T any](f *Fact[T], v T, src Source) {
	if !f.Known {
		*f = NewFact(v, src)
	}
}
