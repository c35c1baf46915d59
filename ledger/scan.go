package ledger

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// A Problem is something wrong with a ledger.
type Problem struct {
	Kind   ProblemKind `json:"kind"`
	Line   int         `json:"line,omitempty"`   // from 1
	Offset int64       `json:"offset,omitempty"` // of the line's first byte
	Text   string      `json:"text"`
	// Repaired is the id of the later repair entry that has dealt with it.
	Repaired string `json:"repaired,omitempty"`
}

func (p Problem) String() string {
	if p.Line == 0 {
		return p.Text
	}
	return fmt.Sprintf("line %d (byte %d): %s", p.Line, p.Offset, p.Text)
}

// Blocks reports whether writers refuse because of it until it is accepted.
func (p Problem) Blocks() bool {
	switch p.Kind {
	case TornTail, ArtefactMissing, ArtefactChanged, ArtefactPartial:
		return false
	}
	return p.Repaired == ""
}

// ProblemKind is a stable name.
type ProblemKind string

// Kinds of problems. Only a torn tail is the normal trace of a killed writer.
const (
	TornTail        ProblemKind = "torn-tail"         // an unacknowledged record at the end, incomplete
	BadLine         ProblemKind = "bad-line"          // a line that is no record
	BadChecksum     ProblemKind = "bad-checksum"      // a record whose bytes changed
	BrokenChain     ProblemKind = "broken-chain"      // a record that does not follow the one before
	MissingTail     ProblemKind = "missing-tail"      // acknowledged records that are gone
	ArtefactMissing ProblemKind = "artefact-missing"  // a record names bytes that are not there
	ArtefactChanged ProblemKind = "artefact-changed"  // bytes that no longer have their name's checksum
	ArtefactPartial ProblemKind = "artefact-leftover" // a temporary file of a killed writer; harmless
)

// A scan is what reading the records file found.
type scan struct {
	records  []Record
	problems []Problem
	size     int64  // of the file
	good     int64  // where the bytes that may be cut off begin; size when there are none
	seq      int64  // of the last whole record
	last     string // its checksum
	inner    bool   // damage, not yet repaired, elsewhere than behind the last whole record
	tail     bool   // bytes behind the last whole record
	closed   bool   // those bytes end in a newline
}

// scanFile reads every line. It fails only when reading does.
func scanFile(f file, name string) (*scan, error) {
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	s := &scan{size: size, last: zeroSum}
	r := bufio.NewReaderSize(io.NewSectionReader(f, 0, size), 64<<10)
	var off int64
	bad := 0 // bad lines since the last whole record
	var pending []Problem
	for n := 1; ; n++ {
		line, length, closed, err := readLine(r)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("reading %s: line %d: %w", name, n, err)
		}
		if length == 0 {
			break
		}
		rec, p := s.check(line, closed)
		if p != nil {
			p.Line, p.Offset = n, off
		}
		off += length
		if p != nil && rec == nil {
			bad++
			s.closed = closed
			pending = append(pending, *p)
			continue
		}
		if bad > 0 { // a whole record follows: these were no torn tail
			s.inner, bad = true, 0
			s.problems, pending = append(s.problems, pending...), nil
		}
		if p != nil {
			s.inner = true
			s.problems = append(s.problems, *p)
		}
		if rec.Entry.Kind == KindRepair {
			for i := range s.problems {
				if s.problems[i].Repaired == "" {
					s.problems[i].Repaired = rec.Entry.ID
				}
			}
			s.inner = false
		}
		s.records = append(s.records, *rec)
		s.seq, s.last, s.good = rec.Seq, rec.Sum, off
	}
	if bad > 0 {
		s.tail = true
		if bad > 1 {
			s.inner = true
		}
		s.problems = append(s.problems, pending...)
	} else {
		s.good = size
	}
	return s, nil
}

// check decodes a line and holds it against the record before. A record that is
// whole but does not follow gives both a record and a problem.
func (s *scan) check(line []byte, closed bool) (*Record, *Problem) {
	if !closed {
		// Even if the record looks complete, its newline was never written, so it
		// was never acknowledged.
		return nil, &Problem{Kind: TornTail, Text: fmt.Sprintf("%d bytes of a record that was never finished", len(line))}
	}
	rec, err := decodeLine(line)
	switch {
	case errors.Is(err, errChecksum):
		return nil, &Problem{Kind: BadChecksum, Text: err.Error()}
	case err != nil:
		return nil, &Problem{Kind: BadLine, Text: err.Error()}
	case rec.Seq != s.seq+1 || rec.Prev != s.last:
		return &rec, &Problem{Kind: BrokenChain, Text: fmt.Sprintf("record %d does not follow record %d", rec.Seq, s.seq)}
	}
	return &rec, nil
}

// addHead holds the scan against the head file. Records behind the head are fine:
// their writer died between the record and the head. Without a head, a ledger
// without a whole record has acknowledged nothing; of any other ledger (one that was
// copied without its head, say) nothing can be said.
func (s *scan) addHead(h head, ok bool) {
	if !ok && len(s.records) > 0 {
		return
	}
	switch {
	case h.Seq > s.seq:
		s.problems = append(s.problems, Problem{Kind: MissingTail,
			Text: fmt.Sprintf("record %d was acknowledged, but the last whole one is %d", h.Seq, s.seq)})
		s.inner = true
	default:
		for _, r := range s.records {
			if r.Seq == h.Seq && r.Sum != h.Sum {
				s.problems = append(s.problems, Problem{Kind: BrokenChain,
					Text: fmt.Sprintf("record %d is not the one that was acknowledged", h.Seq)})
				s.inner = true
				return
			}
		}
		// A closed but wrong last line is torn (a machine that lost power may have
		// written the end of a record and not its middle) only when the head vouches
		// that nothing behind the last whole record was acknowledged.
		if s.tail && s.closed && h.Seq == s.seq && !s.inner {
			p := &s.problems[len(s.problems)-1]
			p.Kind, p.Text = TornTail, p.Text+" in a record that was never acknowledged"
		}
	}
}

// damaged reports whether something other than an unacknowledged tail is wrong.
func (s *scan) damaged() bool {
	for _, p := range s.open() {
		if p.Kind != TornTail {
			return true
		}
	}
	return s.inner
}

// open returns the problems that no repair entry has dealt with.
func (s *scan) open() []Problem {
	var out []Problem
	for _, p := range s.problems {
		if p.Repaired == "" {
			out = append(out, p)
		}
	}
	return out
}

// readLine returns the next line without its newline, its length in the file and
// whether it had a newline. A line over maxLine is cut, which makes it a bad one,
// but counted in full.
func readLine(r *bufio.Reader) (line []byte, length int64, closed bool, err error) {
	for {
		part, err := r.ReadSlice('\n')
		length += int64(len(part))
		if room := maxLine - len(line); room > 0 {
			line = append(line, part[:min(room, len(part))]...)
		}
		switch {
		case err == nil:
			if n := len(line); n > 0 && line[n-1] == '\n' {
				line = line[:n-1]
			}
			return line, length, true, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return line, length, false, err
		}
	}
}
