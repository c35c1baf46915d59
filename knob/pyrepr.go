package knob

import (
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// ErrRepr marks a text that is not what Python prints for a value.
var ErrRepr = errors.New("not a Python value")

// pyValue is a value as Python prints it. Exactly one of the fields says what it is.
type pyValue struct {
	kind  pyKind
	text  string // string, number, or the words of an object that only has a repr
	list  []pyValue
	keys  []string // of a dictionary or the fields of an object, in order
	items map[string]pyValue
}

type pyKind int

const (
	pyNone pyKind = iota
	pyBool
	pyNumber
	pyString
	pyList
	pyDict
	pyObject // Name(field=value, ...)
	pyOpaque // <Enum.MEMBER: 3>, torch.bfloat16, a bare word
)

// maxReprDepth bounds nesting, so that hostile input cannot exhaust the stack.
const maxReprDepth = 64

type pyParser struct {
	s     string
	i     int
	depth int
}

// parseRepr reads one Python value at the start of s and returns what follows it.
func parseRepr(s string) (pyValue, string, error) {
	p := &pyParser{s: s}
	v, err := p.value()
	if err != nil {
		return pyValue{}, "", err
	}
	return v, p.s[p.i:], nil
}

func (p *pyParser) errorf(format string, args ...any) error {
	return fmt.Errorf("%w at offset %d: %s", ErrRepr, p.i, fmt.Sprintf(format, args...))
}

func (p *pyParser) space() {
	for p.i < len(p.s) && strings.IndexByte(" \t\r\n", p.s[p.i]) >= 0 {
		p.i++
	}
}

func (p *pyParser) peek() byte {
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

func (p *pyParser) value() (pyValue, error) {
	if p.depth++; p.depth > maxReprDepth {
		return pyValue{}, p.errorf("nested too deeply")
	}
	defer func() { p.depth-- }()
	p.space()
	switch c := p.peek(); {
	case p.i >= len(p.s):
		return pyValue{}, p.errorf("the text ends inside a value")
	case c == '{':
		return p.dict()
	case c == '[' || c == '(':
		return p.sequence(c)
	case c == '\'' || c == '"':
		t, err := p.str()
		return pyValue{kind: pyString, text: t}, err
	case c == '<':
		return p.angle()
	case c == '-' || c == '+' || c == '.' || c >= '0' && c <= '9':
		return p.number()
	case isWord(c):
		return p.word()
	default:
		return pyValue{}, p.errorf("unexpected %q", c)
	}
}

func isWord(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80
}

func (p *pyParser) dict() (pyValue, error) {
	v := pyValue{kind: pyDict, items: map[string]pyValue{}}
	p.i++
	for {
		p.space()
		if p.peek() == '}' {
			p.i++
			return v, nil
		}
		k, err := p.value()
		if err != nil {
			return v, err
		}
		p.space()
		if p.peek() != ':' {
			// A set prints like a dictionary without values.
			if p.peek() == ',' || p.peek() == '}' {
				v.kind = pyList
				v.list = append(v.list, k)
				if p.peek() == ',' {
					p.i++
				}
				continue
			}
			return v, p.errorf("want ':' after a key")
		}
		p.i++
		item, err := p.value()
		if err != nil {
			return v, err
		}
		key := k.plain()
		if _, ok := v.items[key]; !ok {
			v.keys = append(v.keys, key)
		}
		v.items[key] = item
		p.space()
		switch p.peek() {
		case ',':
			p.i++
		case '}':
		default:
			return v, p.errorf("want ',' or '}'")
		}
	}
}

func (p *pyParser) sequence(open byte) (pyValue, error) {
	closing := byte(']')
	if open == '(' {
		closing = ')'
	}
	v := pyValue{kind: pyList}
	p.i++
	for {
		p.space()
		if p.peek() == closing {
			p.i++
			return v, nil
		}
		item, err := p.value()
		if err != nil {
			return v, err
		}
		v.list = append(v.list, item)
		p.space()
		switch p.peek() {
		case ',':
			p.i++
		case closing:
		default:
			return v, p.errorf("want ',' or %q", closing)
		}
	}
}

func (p *pyParser) str() (string, error) {
	quote := p.s[p.i]
	start := p.i
	var b strings.Builder
	for p.i++; p.i < len(p.s); p.i++ {
		c := p.s[p.i]
		switch {
		case c == quote:
			p.i++
			return b.String(), nil
		case c == '\\' && p.i+1 < len(p.s):
			p.i++
			switch e := p.s[p.i]; e {
			case 'n':
				b.WriteByte('\n')
			case 't':
				b.WriteByte('\t')
			case 'r':
				b.WriteByte('\r')
			case 'x', 'u', 'U':
				n := map[byte]int{'x': 2, 'u': 4, 'U': 8}[e]
				if p.i+n < len(p.s) {
					if r, err := strconv.ParseUint(p.s[p.i+1:p.i+1+n], 16, 32); err == nil {
						b.WriteRune(rune(r))
						p.i += n
						continue
					}
				}
				return "", p.errorf("bad escape")
			default:
				b.WriteByte(e)
			}
		default:
			b.WriteByte(c)
		}
	}
	p.i = start
	return "", p.errorf("the string is not closed")
}

// angle reads <...>, which Python prints for enumerations and for objects without a better form.
func (p *pyParser) angle() (pyValue, error) {
	start := p.i
	depth := 0
	for ; p.i < len(p.s); p.i++ {
		switch p.s[p.i] {
		case '<':
			depth++
		case '>':
			if depth--; depth == 0 {
				p.i++
				return pyValue{kind: pyOpaque, text: enumMember(p.s[start:p.i])}, nil
			}
		case '\'', '"':
			if _, err := p.str(); err != nil {
				return pyValue{}, err
			}
			p.i--
		}
	}
	p.i = start
	return pyValue{}, p.errorf("'<' is not closed")
}

// enumMember turns <CUDAGraphMode.FULL: 2> into FULL; other texts stay.
func enumMember(s string) string {
	in := strings.Trim(s, "<>")
	head, _, ok := strings.Cut(in, ":")
	if !ok || strings.ContainsAny(head, " ") {
		return s
	}
	if i := strings.LastIndexByte(head, '.'); i >= 0 {
		return head[i+1:]
	}
	return s
}

func (p *pyParser) number() (pyValue, error) {
	start := p.i
	for p.i < len(p.s) && (isWord(p.s[p.i]) || strings.IndexByte("+-.", p.s[p.i]) >= 0) {
		p.i++
	}
	t := p.s[start:p.i]
	if _, err := strconv.ParseFloat(strings.ReplaceAll(t, "_", ""), 64); err != nil {
		return pyValue{kind: pyOpaque, text: t}, nil
	}
	return pyValue{kind: pyNumber, text: t}, nil
}

func (p *pyParser) word() (pyValue, error) {
	start := p.i
	for p.i < len(p.s) && (isWord(p.s[p.i]) || p.s[p.i] == '.') {
		p.i++
	}
	t := p.s[start:p.i]
	switch t {
	case "None":
		return pyValue{kind: pyNone}, nil
	case "True", "False":
		return pyValue{kind: pyBool, text: strings.ToLower(t)}, nil
	}
	switch p.peek() {
	case '\'', '"': // b'..', r'..'
		if len(t) <= 2 {
			s, err := p.str()
			return pyValue{kind: pyString, text: s}, err
		}
	case '(':
		p.i++
		v := pyValue{kind: pyObject, text: t, items: map[string]pyValue{}}
		return v, p.fields(&v, ')')
	}
	return pyValue{kind: pyOpaque, text: t}, nil
}

// fields reads name=value, ... up to the closing byte (0: the end of the text).
func (p *pyParser) fields(v *pyValue, closing byte) error {
	for {
		p.space()
		if closing != 0 && p.peek() == closing {
			p.i++
			return nil
		}
		if p.i >= len(p.s) {
			if closing == 0 {
				return nil
			}
			return p.errorf("want %q", closing)
		}
		start := p.i
		for p.i < len(p.s) && isWord(p.s[p.i]) {
			p.i++
		}
		key := p.s[start:p.i]
		p.space()
		if key == "" || p.peek() != '=' {
			p.i = start
			item, err := p.value()
			if err != nil {
				return err
			}
			v.list = append(v.list, item)
		} else {
			p.i++
			item, err := p.value()
			if err != nil {
				return err
			}
			if _, ok := v.items[key]; !ok {
				v.keys = append(v.keys, key)
			}
			v.items[key] = item
		}
		p.space()
		switch {
		case p.peek() == ',':
			p.i++
		case closing != 0 && p.peek() == closing, closing == 0 && p.i >= len(p.s):
		default:
			return p.errorf("want ','")
		}
	}
}

// plain is the value as a setting: true, 4096, FULL, or JSON for lists and dictionaries.
func (v pyValue) plain() string {
	switch v.kind {
	case pyNone:
		return ""
	case pyList, pyDict, pyObject:
		b, err := json.Marshal(v.json())
		if err != nil {
			return ""
		}
		return string(b)
	default:
		return v.text
	}
}

// json is the value in the form that encoding/json writes; None inside dictionaries is dropped.
func (v pyValue) json() any {
	switch v.kind {
	case pyNone:
		return nil
	case pyBool:
		return v.text == "true"
	case pyNumber:
		if n := json.Number(v.text); json.Valid([]byte(v.text)) {
			return n
		}
		return v.text
	case pyList:
		out := make([]any, 0, len(v.list))
		for _, x := range v.list {
			out = append(out, x.json())
		}
		return out
	case pyDict, pyObject:
		if v.kind == pyObject && len(v.keys) == 0 {
			if len(v.list) == 1 {
				return v.list[0].json() // PosixPath('/x')
			}
			return v.text
		}
		out := map[string]any{}
		for _, k := range v.sortedKeys() {
			if x := v.items[k]; x.kind != pyNone {
				out[k] = x.json()
			}
		}
		return out
	default:
		return v.text
	}
}

func (v pyValue) sortedKeys() []string {
	keys := append([]string(nil), v.keys...)
	sort.Strings(keys)
	return keys
}
