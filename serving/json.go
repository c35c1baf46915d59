package serving

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
)

// jsonReader walks JSON values of any size without keeping what nobody asks
// for, and knows the line it is at. Python's NaN and Infinity are read as null.
type jsonReader struct {
	file  string
	dec   *json.Decoder
	lines *lineCounter
	nodes int // left for trees
	text  int // bytes left for strings of trees
	cut   bool
}

const (
	maxNodes    = 1 << 20 // of all trees of one file
	maxTreeText = 64 << 20
	maxDepth    = 64   // of trees
	maxNest     = 5000 // of values that are skipped
	maxKeys     = 4096 // of one object in a tree
)

func newJSONReader(file string, r io.Reader) *jsonReader {
	lc := &lineCounter{r: &pythonJSON{r: r}}
	dec := json.NewDecoder(lc)
	dec.UseNumber()
	return &jsonReader{file: file, dec: dec, lines: lc, nodes: maxNodes, text: maxTreeText}
}

// line is the line of the next unread byte.
func (j *jsonReader) line() int { return j.lines.at(j.dec.InputOffset()) }

// fail turns an error of the decoder into one with file, line and path.
func (j *jsonReader) fail(path string, err error) error {
	offset := j.dec.InputOffset()
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) && syntax.Offset > offset {
		offset = syntax.Offset
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errCut
	}
	if errors.Is(err, errTooLarge) {
		return fmt.Errorf("reading %s: %w", j.file, errTooLarge)
	}
	if path != "" {
		path = "field " + path + ": "
	}
	if errors.Is(err, errCut) {
		return fmt.Errorf("reading %s:%d: %w: %s%w", j.file, j.lines.at(offset), ErrMalformed, path, errCut)
	}
	return malformed(j.file, j.lines.at(offset), "%s%v", path, err)
}

var errCut = errors.New("the file ends inside a value; it was cut, write it again or copy it whole")

// node is a small JSON value that is kept: a tree with a budget.
type node struct {
	kind   byte   // 'o' object, 'a' array, 's' string, 'n' number, 'b' bool, '0' null
	str    string // text of a string, literal of a number
	num    float64
	bool   bool
	fields map[string]*node
	items  []*node
}

func (n *node) field(names ...string) *node {
	for _, name := range names {
		if n == nil || n.kind != 'o' {
			return nil
		}
		n = n.fields[name]
	}
	return n
}

func (n *node) isNumber() bool { return n != nil && n.kind == 'n' }

func (n *node) keys() []string {
	if n == nil {
		return nil
	}
	return sortedKeys(n.fields)
}

// object calls visit for each key of the object whose '{' was read. visit must
// consume the value.
func (j *jsonReader) object(path string, visit func(key string) error) error {
	for j.dec.More() {
		tok, err := j.dec.Token()
		if err != nil {
			return j.fail(path, err)
		}
		key, ok := tok.(string)
		if !ok {
			return j.fail(path, fmt.Errorf("want a key, have %v", tok))
		}
		if err := visit(key); err != nil {
			return err
		}
	}
	if _, err := j.dec.Token(); err != nil {
		return j.fail(path, err)
	}
	return nil
}

// array calls visit for each element of the array whose '[' was read.
func (j *jsonReader) array(path string, visit func() error) error {
	for j.dec.More() {
		if err := visit(); err != nil {
			return err
		}
	}
	if _, err := j.dec.Token(); err != nil {
		return j.fail(path, err)
	}
	return nil
}

// open reads the next token and reports whether it opens want ('{' or '[').
// Anything else is consumed.
func (j *jsonReader) open(path string, want json.Delim) (bool, error) {
	tok, err := j.dec.Token()
	if err != nil {
		return false, j.fail(path, err)
	}
	d, ok := tok.(json.Delim)
	if !ok {
		return false, nil
	}
	if d == want {
		return true, nil
	}
	return false, j.rest(path)
}

// rest consumes an object or array whose opening token was read.
func (j *jsonReader) rest(path string) error {
	for depth := 1; depth > 0; {
		tok, err := j.dec.Token()
		if err != nil {
			return j.fail(path, err)
		}
		if d, ok := tok.(json.Delim); ok {
			switch d {
			case '{', '[':
				if depth++; depth > maxNest {
					return j.fail(path, errors.New("values are nested too deeply"))
				}
			default:
				depth--
			}
		}
	}
	return nil
}

// skip consumes the next value.
func (j *jsonReader) skip(path string) error {
	tok, err := j.dec.Token()
	if err != nil {
		return j.fail(path, err)
	}
	if _, ok := tok.(json.Delim); ok {
		return j.rest(path)
	}
	return nil
}

// tree reads the next value whole, except for the keys that drop names and
// whatever exceeds the budget.
func (j *jsonReader) tree(path string, drop func(key string) bool) (*node, error) {
	return j.subtree(path, drop, 0)
}

// passing is tree for a value that is dropped at once: it costs no budget.
func (j *jsonReader) passing(path string, drop func(key string) bool) (*node, error) {
	nodes, text := j.nodes, j.text
	n, err := j.tree(path, drop)
	j.nodes, j.text = nodes, text
	return n, err
}

func (j *jsonReader) subtree(path string, drop func(string) bool, depth int) (*node, error) {
	tok, err := j.dec.Token()
	if err != nil {
		return nil, j.fail(path, err)
	}
	j.nodes--
	switch t := tok.(type) {
	case json.Delim:
		if depth >= maxDepth || j.nodes <= 0 {
			j.cut = true
			return &node{kind: '0'}, j.rest(path)
		}
		if t == '{' {
			n := &node{kind: 'o', fields: map[string]*node{}}
			return n, j.object(path, func(key string) error {
				if drop != nil && drop(key) || len(n.fields) >= maxKeys {
					return j.skip(path + "." + key)
				}
				c, err := j.subtree(joinPath(path, key), drop, depth+1)
				n.fields[key] = c
				return err
			})
		}
		n := &node{kind: 'a'}
		return n, j.array(path, func() error {
			c, err := j.subtree(path+"[]", drop, depth+1)
			if j.nodes > 0 {
				n.items = append(n.items, c)
			} else {
				j.cut = true
			}
			return err
		})
	case string:
		s := clip(t, maxArgs)
		if j.text -= len(s); j.text < 0 {
			j.cut = true
			s = ""
		}
		return &node{kind: 's', str: strings.Clone(s)}, nil
	case json.Number:
		v, err := t.Float64()
		if err != nil {
			return &node{kind: '0'}, nil // outside float64: not a usable number
		}
		return &node{kind: 'n', num: v, str: t.String()}, nil
	case bool:
		return &node{kind: 'b', bool: t}, nil
	}
	return &node{kind: '0'}, nil
}

func joinPath(path, key string) string {
	key = clip(key, 80)
	if path == "" {
		return key
	}
	return path + "." + key
}

// lineCounter counts lines in what was read, so that an offset near the end of
// it has a line.
type lineCounter struct {
	r     io.Reader
	pos   int64
	total int
	last  []int64 // offsets of the latest newlines, oldest first
}

func (l *lineCounter) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	for i, c := range p[:n] {
		if c == '\n' {
			l.total++
			l.last = append(l.last, l.pos+int64(i))
		}
	}
	const keep = 64 << 10
	if len(l.last) > 2*keep {
		l.last = append(l.last[:0], l.last[len(l.last)-keep:]...)
	}
	l.pos += int64(n)
	return n, err
}

// at is the 1-based line of offset.
func (l *lineCounter) at(offset int64) int {
	after := len(l.last) - sort.Search(len(l.last), func(i int) bool { return l.last[i] >= offset })
	return l.total - after + 1
}

// pythonJSON makes JSON of what Python's json module writes: the bare words NaN,
// Infinity and -Infinity become null. It also cuts strings longer than
// maxJSONToken, so that no token is large, and refuses such numbers.
type pythonJSON struct {
	r        io.Reader
	buf      []byte // read, not yet decided
	pending  []byte // decided, not yet returned
	inString bool
	escaped  bool // behind a backslash
	hex      int  // digits of \u still to come
	cut      bool // the string is too long
	token    int  // bytes of the current string or bare word
	err      error
}

func (p *pythonJSON) Read(out []byte) (int, error) {
	for len(p.pending) == 0 {
		if p.err != nil && len(p.buf) == 0 {
			return 0, p.err
		}
		p.fill()
	}
	n := copy(out, p.pending)
	p.pending = p.pending[n:]
	return n, nil
}

var pythonWords = []string{"-Infinity", "Infinity", "NaN"}

// fill reads a block and moves what is decided into pending; a block's last
// bytes wait when they may be the beginning of a word.
func (p *pythonJSON) fill() {
	if p.err == nil {
		chunk := make([]byte, 64<<10)
		n, err := p.r.Read(chunk)
		p.buf = append(p.buf, chunk[:n]...)
		p.err = err
	}
	out := make([]byte, 0, len(p.buf)+8)
	b := p.buf
	for len(b) > 0 {
		c := b[0]
		if p.inString {
			if p.stringByte(c) {
				out = append(out, c)
			}
			b = b[1:]
			continue
		}
		p.token++
		switch c {
		case ' ', '\t', '\r', '\n', ',', ':', '{', '}', '[', ']':
			p.token = 0
		case '"':
			p.inString, p.token = true, 0
		case 'N', 'I', '-':
			word, wait := pythonWord(b, p.err == nil)
			if wait {
				p.buf = append([]byte(nil), b...)
				p.token--
				p.pending = out
				return
			}
			if word > 0 {
				out = append(out, "null"...)
				b = b[word:]
				continue
			}
		}
		if p.token > maxJSONToken {
			p.err = errors.New("a number or word is longer than 1 MiB")
			b = nil
			break
		}
		out = append(out, c)
		b = b[1:]
	}
	p.buf = nil
	p.pending = out
}

// stringByte follows a string and reports whether the byte stays. The cut is
// never inside an escape.
func (p *pythonJSON) stringByte(c byte) bool {
	p.token++
	switch {
	case p.escaped:
		p.escaped = false
		if c == 'u' {
			p.hex = 4
		}
	case c == '"':
		p.inString, p.cut, p.hex, p.token = false, false, 0, 0
		return true
	case p.hex > 0 && c != '\\':
		p.hex--
	default:
		p.hex, p.escaped = 0, c == '\\'
		p.cut = p.cut || p.token > maxJSONToken
	}
	return !p.cut
}

// pythonWord is the length of the word that b begins with, 0 if none; wait
// means that more bytes must be seen.
func pythonWord(b []byte, more bool) (n int, wait bool) {
	for _, w := range pythonWords {
		if len(b) >= len(w) {
			if string(b[:len(w)]) == w {
				return len(w), false
			}
		} else if more && strings.HasPrefix(w, string(b)) {
			return 0, true
		}
	}
	return 0, false
}
