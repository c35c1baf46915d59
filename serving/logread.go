package serving

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
	"time"
)

// ReadLog reads the log of vLLM 0.8 to 0.33 or SGLang, as printed, with
// colours, progress bars, process prefixes and the time stamps that
// containers, journals and log collectors put in front. Where the log holds
// several starts of the server it describes the last one; notices of the
// earlier ones stay. Lines beyond 1 MiB are cut, series end at 2^20 rows.
// Prompts of request logging are not kept.
func ReadLog(file string, r io.Reader) (*Log, error) {
	br, err := openText(file, r, maxLogBytes)
	if err != nil {
		return nil, err
	}
	l := &logReader{log: &Log{File: file, RequestsReceived: NotRecorded, EndNS: NotRecorded}, last: NotRecorded, first: NotRecorded, notices: map[string]int{}}
	if err := l.read(br); err != nil {
		return nil, err
	}
	if !l.recognised {
		return nil, unrecognised(file, 0, "no record of a vLLM or SGLang server in %d lines: want what the server prints (vllm serve ... 2>&1 | tee server.log)", l.log.Lines)
	}
	l.finish()
	return l.log, nil
}

type logReader struct {
	log   *Log
	clock logClock

	first, last int64 // clock ns of the first and the latest stamp
	prefixed    bool  // stamps are taken from the collector's prefix
	decided     bool
	zone        *time.Location // of the prefix, if it says so

	recognised bool
	mark       logMarks
	phases     []workerPhase
	notices    map[string]int // key -> index in log.Notices
	lost       int            // rows beyond maxRows
	cutLines   int
	starts     int
	stepped    int64 // largest step back of the clock
}

// logMarks are moments of the last start, in AtNS.
type logMarks struct {
	args, engine, loaded, compiled, profiled, kv, graphs, inited, ready, shutdown moment
	argsProc                                                                      string
}

type moment struct {
	at    int64
	known bool
	line  int
}

func (l *logReader) read(br *bufio.Reader) error {
	var line []byte
	for {
		line = line[:0]
		cut := false
		for {
			part, err := br.ReadSlice('\n')
			if room := maxLineBytes - len(line); len(part) > room {
				part, cut = part[:room], true
			}
			line = append(line, part...)
			if err == nil {
				break
			}
			if errors.Is(err, bufio.ErrBufferFull) {
				continue
			}
			if errors.Is(err, io.EOF) {
				if len(line) > 0 {
					l.log.Lines++
					l.line(line)
				}
				return nil
			}
			return fmt.Errorf("reading %s:%d: %w", l.log.File, l.log.Lines+1, err)
		}
		if cut {
			l.cutLines++
		}
		l.log.Lines++
		l.line(line)
	}
}

// line splits what a terminal would show as several lines.
func (l *logReader) line(b []byte) {
	b = bytes.TrimRight(stripTerminal(b), "\n ")
	for len(b) > 0 {
		part := b
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			part, b = b[:i], b[i+1:]
		} else {
			b = nil
		}
		if len(part) > 0 {
			l.records(part)
		}
	}
}

// records finds the records of one line; two writers can share a line.
func (l *logReader) records(b []byte) {
	prefixNS, zone, hasPrefix := collectorPrefix(b)
	rec, start, end, ok := l.clock.nextRecord(b, 0)
	if !ok {
		l.bare(b)
		return
	}
	if !l.decided && rec.ns != NotRecorded {
		l.decided = true
		if l.prefixed = hasPrefix && start > 0; l.prefixed {
			l.zone = zone
			l.clock.text, l.clock.hasYear = string(b[:19]), true
		}
	}
	if l.prefixed {
		rec.ns = NotRecorded
		if hasPrefix {
			rec.ns = prefixNS
		}
	}
	for {
		next := logRecord{}
		more := false
		if !bytes.HasPrefix(rec.msg, []byte("Received request")) {
			var nextStart, nextEnd int
			if next, nextStart, nextEnd, more = l.clock.nextRecord(b, end); more {
				msgEnd := nextStart
				if next.proc != "" {
					if i := bytes.LastIndexByte(b[end:nextStart], '('); i >= 0 {
						msgEnd = end + i
					}
				}
				rec.msg = b[end:msgEnd]
				if l.prefixed {
					next.ns = rec.ns
				}
				end = nextEnd
			}
		}
		l.record(rec)
		if !more {
			return
		}
		rec = next
	}
}

// collectorPrefix reads the stamp that docker, Kubernetes or a log collector
// puts before the line.
func collectorPrefix(b []byte) (ns int64, zone *time.Location, ok bool) {
	if len(b) < 19 || b[0] != '2' {
		return 0, nil, false
	}
	ns, rest, ok := fullDate(b, b[10])
	if !ok || b[10] != 'T' && b[10] != ' ' {
		return 0, nil, false
	}
	if len(rest) > 0 && rest[0] == 'Z' {
		return ns, time.UTC, true
	}
	if len(rest) >= 6 && (rest[0] == '+' || rest[0] == '-') && rest[3] == ':' {
		h, m := two(rest[1:]), two(rest[4:])
		if h >= 0 && h < 24 && m >= 0 && m < 60 {
			off := h*3600 + m*60
			if rest[0] == '-' {
				off = -off
			}
			return ns, time.FixedZone("", off), true
		}
	}
	return ns, nil, true
}

// at is AtNS of a clock value; the latest stamp where the record has none.
func (l *logReader) at(ns int64) int64 {
	if ns == NotRecorded {
		if l.last == NotRecorded {
			return NotRecorded
		}
		return max(l.last-l.first, 0)
	}
	if l.first == NotRecorded {
		l.first = ns
	}
	if l.last != NotRecorded && ns < l.last {
		// Processes write out of order by a second or two; more is a clock
		// that was set back.
		l.stepped = max(l.stepped, l.last-ns)
	}
	l.last = ns
	at := max(ns-l.first, 0)
	l.log.EndNS = max(l.log.EndNS, at)
	return at
}

// message is what a record handler sees.
type message struct {
	text string
	proc string
	at   int64
	line int
}

func (l *logReader) src(m message, field string) Source {
	return Source{File: l.log.File, Line: m.line, Field: field}
}

func (l *logReader) record(rec logRecord) {
	at := l.at(rec.ns)
	msg := rec.msg
	// "Engine 000: " precedes periodic lines; rank is kept.
	rank := NotRecorded
	if bytes.HasPrefix(msg, []byte("Engine ")) {
		n, i := 0, 7
		for i < len(msg) && msg[i] >= '0' && msg[i] <= '9' && i < 15 {
			n = n*10 + int(msg[i]-'0')
			i++
		}
		if i > 7 && i+1 < len(msg) && msg[i] == ':' && msg[i+1] == ' ' {
			rank, msg = n, msg[i+2:]
		}
	}
	m := message{proc: rec.proc, at: at, line: int(l.log.Lines)}
	if len(msg) > 0 {
		for _, a := range anchors[msg[0]] {
			if bytes.HasPrefix(msg, []byte(a.prefix)) {
				m.text = string(msg)
				l.recognised = l.recognised || !a.weak
				a.do(l, m, rank)
				break
			}
		}
	}
	switch {
	case rec.level == 'W' || rec.level == 'E' || rec.level == 'C':
		l.notice(rec.level, msg, m)
	case noticeWithoutLevel(msg):
		l.notice(0, msg, m)
	}
}

// bare handles lines without a record: uvicorn's, the rest of a traceback, and
// the banner's last line in some terminals.
func (l *logReader) bare(b []byte) {
	m := message{at: l.at(NotRecorded), line: int(l.log.Lines)}
	switch {
	case bytes.Contains(b, []byte("Application startup complete")):
		m.text = string(clipBytes(b, maxText))
		l.ready(m)
	case bytes.Contains(b, []byte("INFO:     Shutting down")):
		l.mark.shutdown.setFirst(m)
	case bytes.Contains(b, []byte("server_args=ServerArgs(")):
		m.text = string(b)
		l.recognised = true
		l.sglangArgs(m)
	case noticeWithoutLevel(b):
		l.notice('E', b, m)
	}
}

func clipBytes(b []byte, n int) []byte { return b[:min(len(b), n)] }

// started begins a new life of the server when an earlier one is over.
func (l *logReader) started(m message) {
	again := l.mark.ready.known || l.mark.shutdown.known || l.mark.args.known && l.mark.argsProc != m.proc
	if !again {
		return
	}
	l.starts++
	log := l.log
	*log = Log{File: log.File, Lines: log.Lines, EndNS: log.EndNS, Notices: log.Notices, RequestsReceived: NotRecorded}
	l.mark = logMarks{}
	l.phases = nil
	l.lost = 0
}

func (l *logReader) ready(m message) {
	l.recognised = true
	l.mark.ready.setFirst(m)
}

// finish orders what was read.
func (l *logReader) finish() {
	log := l.log
	if l.first != NotRecorded {
		log.Start = LogStart{Known: true, HasYear: l.clock.hasYear, Text: l.clock.text, t: time.Unix(0, l.first).UTC(), zone: l.zone}
	}
	log.Phases = l.mergedPhases()
	warn := func(id, text string) {
		log.Warnings = append(log.Warnings, Warning{ID: id, Text: text, Source: Source{File: log.File}})
	}
	if l.starts > 0 {
		warn("several-starts", fmt.Sprintf("the log holds %d starts of the server; settings, phases and series are of the last", l.starts+1))
	}
	if l.cutLines > 0 {
		warn("long-lines", fmt.Sprintf("%d lines are longer than %d bytes and were cut", l.cutLines, maxLineBytes))
	}
	if l.lost > 0 {
		warn("truncated", fmt.Sprintf("%d rows beyond the first %d of a series were left out", l.lost, maxRows))
	}
	if l.stepped > 60e9 {
		warn("clock-step", fmt.Sprintf("time stamps go back by up to %d s: moments and durations between stamps are unsure", l.stepped/1e9))
	}
	sort.SliceStable(log.Notices, func(i, k int) bool { return log.Notices[i].Source.Line < log.Notices[k].Source.Line })
}

// Wall is the wall-clock time of a moment of the log. A log without a year
// takes the year that brings it closest to near, and loc (nil: UTC) is the
// zone of the server's clock unless the log names one. It is the zero time
// when the log has no stamps.
func (l *Log) Wall(atNS int64, near time.Time, loc *time.Location) time.Time {
	if !l.Start.Known || atNS < 0 {
		return time.Time{}
	}
	if l.Start.zone != nil {
		loc = l.Start.zone
	}
	if loc == nil {
		loc = time.UTC
	}
	in := func(year int) time.Time {
		t := l.Start.t
		return time.Date(year, t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), loc).Add(time.Duration(atNS))
	}
	if l.Start.HasYear {
		return in(l.Start.t.Year())
	}
	best := in(near.Year())
	for _, year := range []int{near.Year() - 1, near.Year() + 1} {
		if t := in(year); t.Sub(near).Abs() < best.Sub(near).Abs() {
			best = t
		}
	}
	return best
}

// FirstNotice is the first notice of a category, nil if there is none.
func (l *Log) FirstNotice(category string) *Notice {
	for i := range l.Notices {
		if l.Notices[i].Category == category {
			return &l.Notices[i]
		}
	}
	return nil
}

// Phase is the first phase with that id, nil if there is none.
func (l *Log) Phase(id string) *Phase {
	for i := range l.Phases {
		if l.Phases[i].ID == id {
			return &l.Phases[i]
		}
	}
	return nil
}

// cutPrompt drops what follows a prompt in a message.
func cutPrompt(s string) string {
	for _, word := range []string{"prompt:", "prompt=", "prompt_token_ids", "'prompt'", `"prompt"`, "messages="} {
		if i := strings.Index(s, word); i >= 0 {
			s = s[:i] + "..."
		}
	}
	return s
}
