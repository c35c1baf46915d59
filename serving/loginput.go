package serving

import (
	"bytes"
	"time"
)

// logRecord is one log record of a line.
type logRecord struct {
	proc  string // "EngineCore pid=2786", "" if the line has no prefix
	level byte   // 'D', 'I', 'W', 'E', 'C'; 0 if none is printed
	ns    int64  // of the log's clock; NotRecorded without a stamp
	msg   []byte
}

// stripTerminal removes ANSI escapes in place and turns the carriage returns
// of progress bars into line breaks.
func stripTerminal(b []byte) []byte {
	if bytes.IndexByte(b, 0x1b) < 0 && bytes.IndexByte(b, '\r') < 0 {
		return b
	}
	out := b[:0]
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '\r':
			out = append(out, '\n')
		case 0x1b:
			if i+1 >= len(b) {
				break
			}
			i++
			switch b[i] {
			case '[': // CSI: parameters, then one final byte
				for i++; i < len(b) && (b[i] < 0x40 || b[i] > 0x7e); i++ {
				}
			case ']': // OSC: to BEL or ESC backslash
				for i++; i < len(b) && b[i] != 0x07 && b[i] != 0x1b; i++ {
				}
			}
		default:
			out = append(out, b[i])
		}
	}
	return out
}

var levelWords = []struct {
	word  string
	level byte
}{{"INFO", 'I'}, {"WARNING", 'W'}, {"ERROR", 'E'}, {"DEBUG", 'D'}, {"CRITICAL", 'C'}}

// levelAt reads a level word at b[i:].
func levelAt(b []byte, i int) (level byte, after int) {
	switch b[i] {
	case 'I', 'W', 'E', 'D', 'C':
	default:
		return 0, i
	}
	if i > 0 && (isWord(b[i-1])) {
		return 0, i
	}
	for _, l := range levelWords {
		end := i + len(l.word)
		if end < len(b) && b[end] == ' ' && string(b[i:end]) == l.word {
			return l.level, end + 1
		}
	}
	return 0, i
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// nextRecord finds the next record of a line at or after from. It knows
//
//	(Proc pid=1) INFO 11-24 06:11:28 [file.py:7] text     vLLM
//	INFO 01-23 06:33:37 file.py:396] text                 vLLM before 0.8
//	INFO [file.py:7] text                                 vLLM, stamps stripped
//	[2026-05-15 08:39:36 TP0] [WARNING file.py:7: ]text   SGLang
//
// with anything before it (container, journal and process prefixes). end is
// where the search for a further record may go on.
func (c *logClock) nextRecord(b []byte, from int) (rec logRecord, start, end int, ok bool) {
	for i := from; i < len(b); i++ {
		switch b[i] {
		case 'I', 'W', 'E', 'D', 'C':
			level, at := levelAt(b, i)
			if level == 0 {
				continue
			}
			ns, rest, stamped := c.monthDay(b[at:])
			msg, hasFile := afterFile(rest)
			if !stamped && !hasFile {
				continue
			}
			rec = logRecord{level: level, ns: ns, msg: msg}
			if !stamped {
				rec.ns = NotRecorded
			}
		case '[':
			ns, rest, stamped := c.bracketDate(b[i+1:])
			if !stamped {
				continue
			}
			rec = logRecord{ns: ns, msg: rest}
			if len(rest) > 0 {
				if level, at := levelAt(rest, 0); level != 0 {
					rec.level = level
					rec.msg, _ = afterFile(rest[at:])
				}
			}
		default:
			continue
		}
		rec.proc = processBefore(b[from:i])
		return rec, i, len(b) - len(rec.msg), true
	}
	return logRecord{}, 0, 0, false
}

// afterFile skips "[file.py:12] ", "file.py:12] " or "file.py:12: ".
func afterFile(b []byte) ([]byte, bool) {
	i := bytes.Index(b[:min(len(b), 120)], []byte(".py:"))
	if i < 0 || bytes.IndexByte(b[:i], ' ') >= 0 {
		return b, false
	}
	k := i + 4
	for k < len(b) && b[k] >= '0' && b[k] <= '9' {
		k++
	}
	if k < len(b) && (b[k] == ']' || b[k] == ':') {
		k++
		if k < len(b) && b[k] == ' ' {
			k++
		}
		return b[k:], true
	}
	return b, false
}

// processBefore reads "(EngineCore pid=123)" or "(VllmWorker rank=1 pid=7)"
// near the end of what precedes a record.
func processBefore(b []byte) string {
	if len(b) > 160 {
		b = b[len(b)-160:]
	}
	i := bytes.LastIndex(b, []byte("pid="))
	if i < 0 {
		return ""
	}
	open, end := bytes.LastIndexByte(b[:i], '('), i+4
	for end < len(b) && b[end] >= '0' && b[end] <= '9' {
		end++
	}
	if open < 0 {
		return ""
	}
	return string(b[open+1 : end])
}

// logClock turns the stamps of a log into ns of one clock. vLLM prints neither
// year nor fraction; a log that passes New Year goes on counting.
type logClock struct {
	lastText [14]byte
	lastNS   int64
	year     int // added for stamps without a year
	month    int // of the last stamp without a year
	hasYear  bool
	text     string // first stamp as printed
}

// monthDay reads "MM-DD HH:MM:SS " with an optional fraction.
func (c *logClock) monthDay(b []byte) (ns int64, rest []byte, ok bool) {
	if len(b) < 14 || b[2] != '-' || b[5] != ' ' || b[8] != ':' || b[11] != ':' {
		return 0, b, false
	}
	rest = b[14:]
	frac := int64(0)
	if len(rest) > 0 && (rest[0] == '.' || rest[0] == ',') {
		frac, rest = fraction(rest)
	}
	if len(rest) > 0 && rest[0] == ' ' {
		rest = rest[1:]
	}
	if string(b[:14]) == string(c.lastText[:]) {
		return c.lastNS + frac, rest, true
	}
	month, day, h, m, s := two(b[0:]), two(b[3:]), two(b[6:]), two(b[9:]), two(b[12:])
	if !isDate(month, day, h, m, s) {
		return 0, b, false
	}
	switch {
	case c.month == 12 && month == 1:
		c.year++
	case c.month == 1 && month == 12 && c.year > 0:
		c.year-- // a late line of the old year
	}
	c.month = month
	t := time.Date(2000+c.year, time.Month(month), day, h, m, s, 0, time.UTC)
	copy(c.lastText[:], b[:14])
	c.lastNS = t.UnixNano()
	if c.text == "" {
		c.text = string(b[:14])
	}
	return c.lastNS + frac, rest, true
}

// bracketDate reads "YYYY-MM-DD HH:MM:SS[.frac][ TP0 ...]] ".
func (c *logClock) bracketDate(b []byte) (ns int64, rest []byte, ok bool) {
	ns, rest, ok = fullDate(b, ' ')
	if !ok {
		return 0, b, false
	}
	close := bytes.IndexByte(rest[:min(len(rest), 60)], ']')
	if close < 0 {
		return 0, b, false
	}
	if c.text == "" {
		c.text, c.hasYear = string(b[:19]), true
	}
	rest = rest[close+1:]
	if len(rest) > 0 && rest[0] == ' ' {
		rest = rest[1:]
	}
	return ns, rest, true
}

// fullDate reads "YYYY-MM-DD?HH:MM:SS[.frac]" as UTC.
func fullDate(b []byte, sep byte) (ns int64, rest []byte, ok bool) {
	if len(b) < 19 || b[4] != '-' || b[7] != '-' || b[10] != sep || b[13] != ':' || b[16] != ':' {
		return 0, b, false
	}
	year := two(b)*100 + two(b[2:])
	month, day, h, m, s := two(b[5:]), two(b[8:]), two(b[11:]), two(b[14:]), two(b[17:])
	if two(b) < 0 || two(b[2:]) < 0 || year < 2000 || year > 2200 || !isDate(month, day, h, m, s) {
		return 0, b, false
	}
	rest = b[19:]
	frac := int64(0)
	if len(rest) > 1 && (rest[0] == '.' || rest[0] == ',') {
		frac, rest = fraction(rest)
	}
	return time.Date(year, time.Month(month), day, h, m, s, 0, time.UTC).UnixNano() + frac, rest, true
}

// isDate checks the ranges of what two has read; second 60 is a leap second.
func isDate(month, day, h, m, s int) bool {
	return month >= 1 && month <= 12 && day >= 1 && day <= 31 && h >= 0 && h <= 23 && m >= 0 && m <= 59 && s >= 0 && s <= 60
}

// two reads two digits; -1 if they are not.
func two(b []byte) int {
	if len(b) < 2 || b[0] < '0' || b[0] > '9' || b[1] < '0' || b[1] > '9' {
		return -1
	}
	return int(b[0]-'0')*10 + int(b[1]-'0')
}

// fraction reads ".123456789" in ns.
func fraction(b []byte) (int64, []byte) {
	ns, scale, i := int64(0), int64(100_000_000), 1
	for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
		ns += int64(b[i]-'0') * scale
		scale /= 10
	}
	return ns, b[i:]
}
