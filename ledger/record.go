package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Schema names the format of records and payloads.
const Schema = "stepscope.ledger/1"

// zeroSum is the predecessor of the first record.
var zeroSum = strings.Repeat("0", 64)

// A Record is an entry as stored.
type Record struct {
	Seq   int64  // 1, 2, 3, ...
	Prev  string // Sum of the record before, 64 zeros for the first
	Sum   string // SHA-256 in hex, see encodeLine
	Entry Entry
	Raw   []byte // the payload as stored
}

// The fixed parts of a line. Its layout is fixed to the byte so that the checksum
// needs no canonical JSON:
//
//	{"seq":SEQ,"prev":"PREV","sum":"SUM","payload":PAYLOAD}\n
const (
	partSeq     = `{"seq":`
	partPrev    = `,"prev":"`
	partSum     = `","sum":"`
	partPayload = `","payload":`
	partEnd     = `}`
)

// maxLine bounds a line: the payload and the fixed parts.
const maxLine = maxPayload + 256

// encodeLine returns the line of a record, newline included, and its checksum.
func encodeLine(seq int64, prev string, payload []byte) ([]byte, string) {
	sum := checksum(seq, prev, payload)
	var b bytes.Buffer
	b.Grow(len(payload) + 256)
	b.WriteString(partSeq)
	b.WriteString(strconv.FormatInt(seq, 10))
	b.WriteString(partPrev)
	b.WriteString(prev)
	b.WriteString(partSum)
	b.WriteString(sum)
	b.WriteString(partPayload)
	b.Write(payload)
	b.WriteString(partEnd)
	b.WriteByte('\n')
	return b.Bytes(), sum
}

// checksum is SHA-256 of "stepscope.ledger/1\n", SEQ "\n", PREV "\n" and PAYLOAD.
func checksum(seq int64, prev string, payload []byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%d\n%s\n", Schema, seq, prev)
	h.Write(payload)
	return hex.EncodeToString(h.Sum(nil))
}

var (
	errLayout   = errors.New("not a ledger record")
	errChecksum = errors.New("checksum does not match")
	errPayload  = errors.New("payload is not an entry")
)

// decodeLine parses a line without its newline. It does not look at the chain.
func decodeLine(line []byte) (Record, error) {
	rest, ok := bytes.CutPrefix(line, []byte(partSeq))
	if !ok {
		return Record{}, errLayout
	}
	digits, rest, ok := bytes.Cut(rest, []byte(partPrev))
	if !ok {
		return Record{}, errLayout
	}
	seq, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil || seq < 1 || strconv.FormatInt(seq, 10) != string(digits) {
		return Record{}, errLayout
	}
	const hexLen = 64
	if len(rest) < hexLen+len(partSum)+hexLen+len(partPayload)+len(partEnd) {
		return Record{}, errLayout
	}
	prev, rest := string(rest[:hexLen]), rest[hexLen:]
	if rest, ok = bytes.CutPrefix(rest, []byte(partSum)); !ok {
		return Record{}, errLayout
	}
	sum, rest := string(rest[:hexLen]), rest[hexLen:]
	if rest, ok = bytes.CutPrefix(rest, []byte(partPayload)); !ok {
		return Record{}, errLayout
	}
	payload, ok := bytes.CutSuffix(rest, []byte(partEnd))
	if !ok || !isSum(prev) || !isSum(sum) {
		return Record{}, errLayout
	}
	if checksum(seq, prev, payload) != sum {
		return Record{}, errChecksum
	}
	r := Record{Seq: seq, Prev: prev, Sum: sum, Raw: bytes.Clone(payload)}
	if err := json.Unmarshal(payload, &r.Entry); err != nil {
		return Record{}, fmt.Errorf("%w: %w", errPayload, err)
	}
	return r, nil
}

// isSum reports whether s is 64 lower-case hexadecimal digits.
func isSum(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

// marshal encodes without HTML escapes: the file is read by people too.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
