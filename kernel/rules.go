package kernel

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"
)

//go:embed rules.txt
var rulesText string

//go:embed families.txt
var familiesText string

//go:embed inductor.txt
var inductorText string

// text is a name prepared for matching.
type text struct {
	lower  string // normalised, lower case
	words  string // see words
	starts *starts
}

func newText(norm string) text {
	t := text{lower: strings.ToLower(norm), words: words(norm)}
	t.index()
	return t
}

func (t *text) index() {
	t.starts = new(starts)
	for i := 0; i+3 < len(t.words); i++ {
		if t.words[i] == ' ' {
			t.starts.add(t.words[i+1 : i+4])
		}
	}
}

// starts is the set of the first three characters of every word of a text, the
// space behind a short word included. Almost every phrase of the tables fails
// on it, which spares searching the text for hundreds of phrases.
type starts [37*37*37/64 + 1]uint64

func (s *starts) add(w string) {
	k := startKey(w)
	s[k/64] |= 1 << (k % 64)
}

func (s *starts) has(k int32) bool { return s[k/64]>>(k%64)&1 != 0 }

// startKey numbers three characters out of [ a-z0-9].
func startKey(w string) int32 {
	k := int32(0)
	for i := range 3 {
		c := w[i]
		switch {
		case c >= 'a' && c <= 'z':
			k = k*37 + int32(c-'a') + 1
		case c >= '0' && c <= '9':
			k = k*37 + int32(c-'0') + 27
		default:
			k *= 37
		}
	}
	return k
}

// rule is one row of a table.
type rule struct {
	stage      Stage
	op         string
	family     string // "" = look in families
	confidence Confidence
	gemm       bool
	patterns   []pattern
}

func (r *rule) match(t text) bool {
	for i := range r.patterns {
		if r.patterns[i].match(t) {
			return true
		}
	}
	return false
}

// pattern is a conjunction of terms.
type pattern []term

func (p pattern) match(t text) bool {
	for i := range p {
		if p[i].match(t) == p[i].negated {
			return false
		}
	}
	return true
}

// term matches either the start of the lower-case name, the whole of it, or
// pieces in sequence within the words.
type term struct {
	negated bool
	prefix  string
	exact   string
	pieces  []string
	start   int32 // startKey of the first piece's first word, -1 = unknown
}

func (m *term) match(t text) bool {
	switch {
	case m.prefix != "":
		return strings.HasPrefix(t.lower, m.prefix)
	case m.exact != "":
		return t.lower == m.exact
	}
	if m.start >= 0 && !t.starts.has(m.start) {
		return false
	}
	rest := t.words
	for _, piece := range m.pieces {
		i := strings.Index(rest, piece)
		if i < 0 {
			return false
		}
		rest = rest[i+len(piece):]
		// A word boundary that ended this piece may begin the next one.
		if strings.HasSuffix(piece, " ") {
			rest = " " + rest
		}
	}
	return true
}

// tables are the parsed rule files.
type tables struct {
	rules    []rule
	inductor []rule
	families []rule
}

// loaded parses the embedded tables once. They are part of the program: a
// malformed one is a programming error that every test finds.
var loaded = sync.OnceValue(func() *tables {
	t := &tables{}
	var err error
	if t.rules, err = parseRules(rulesText, 5); err != nil {
		panic("rules.txt: " + err.Error())
	}
	if t.inductor, err = parseRules(inductorText, 3); err != nil {
		panic("inductor.txt: " + err.Error())
	}
	if t.families, err = parseRules(familiesText, 2); err != nil {
		panic("families.txt: " + err.Error())
	}
	return t
})

// parseRules reads a table with the given number of columns: 5 (stage, op,
// family, confidence, patterns), 3 (stage, op, patterns) or 2 (family,
// patterns).
func parseRules(data string, columns int) ([]rule, error) {
	var out []rule
	line := 0
	for row := range strings.Lines(data) {
		line++
		row = strings.TrimSpace(row)
		if row == "" || row[0] == '#' {
			continue
		}
		fields := strings.SplitN(row, "|", columns)
		if len(fields) != columns {
			return nil, fmt.Errorf("line %d: %d columns, want %d", line, len(fields), columns)
		}
		for i := range fields {
			fields[i] = strings.TrimSpace(fields[i])
		}
		r := rule{confidence: High}
		if columns == 2 {
			r.family = fields[0]
		} else {
			stage, star := strings.CutSuffix(fields[0], "*")
			r.gemm = star
			if err := r.stage.UnmarshalText([]byte(stage)); err != nil {
				return nil, fmt.Errorf("line %d: %w", line, err)
			}
			r.op = fields[1]
		}
		if columns == 5 {
			if fields[2] != "-" {
				r.family = fields[2]
			}
			if err := r.confidence.UnmarshalText([]byte(fields[3])); err != nil {
				return nil, fmt.Errorf("line %d: %w", line, err)
			}
		}
		for _, alternative := range strings.Split(fields[columns-1], ",") {
			p, err := parsePattern(alternative)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", line, err)
			}
			r.patterns = append(r.patterns, p)
		}
		out = append(out, r)
	}
	return out, nil
}

func parsePattern(s string) (pattern, error) {
	var p pattern
	for _, part := range strings.Split(s, "&") {
		part = strings.TrimSpace(part)
		var m term
		part, m.negated = strings.CutPrefix(part, "!")
		switch {
		case part == "" || part == "*":
			return nil, fmt.Errorf("empty pattern in %q", s)
		case part[0] == '^':
			m.prefix = part[1:]
		case part[0] == '=':
			m.exact = part[1:]
		default:
			for i, piece := range strings.Split(" "+part+" ", "*") {
				// A star at an end takes the word boundary with it.
				if piece == " " && (i == 0 || strings.HasSuffix(part, "*")) {
					continue
				}
				if piece != "" {
					m.pieces = append(m.pieces, piece)
				}
			}
			m.start = -1
			if first := m.pieces[0]; len(first) > 3 && first[0] == ' ' {
				m.start = startKey(first[1:4])
			}
		}
		p = append(p, m)
	}
	return p, nil
}
