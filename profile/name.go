package profile

import "strings"

// BaseName returns the plain name of a device function: without return type, namespaces, template arguments and
// parameters, as Nsight Systems' short name and Nsight Compute's "function" name have it. A name that it cannot take
// apart comes back as it is; an Itanium-mangled one gives the last identifier of its nested name.
//
//	void at::native::vectorized_elementwise_kernel<4, F>(int, F)  ->  vectorized_elementwise_kernel
func BaseName(name string) string {
	base, _ := SplitName(name)
	return base
}

// SplitName returns the plain name of a device function and the text of its template arguments with their brackets,
// "" where it has none or they cannot be told.
func SplitName(name string) (base, args string) {
	s := strings.TrimSpace(name)
	s = strings.TrimSuffix(s, " [clone .kd]")
	s = strings.TrimSuffix(s, ".kd")
	if strings.HasPrefix(s, "_Z") {
		if id := mangledBase(s); id != "" {
			return id, ""
		}
		return s, ""
	}
	if base, args, ok := splitBackward(s); ok {
		return base, args
	}
	return splitForward(s), ""
}

// splitBackward takes the name apart from its end: parameters, template arguments, identifier. Brackets of what comes
// before need not balance: "std::enable_if<T2>0&&X<T1>::exists, void>::type ns::f<T>(T1 *)".
func splitBackward(s string) (base, args string, ok bool) {
	end := len(s)
	if i := strings.LastIndex(s, ")->"); i >= 0 {
		end = i + 1
	}
	end = len(strings.TrimSuffix(s[:end], " const"))
	if end > 0 && s[end-1] == ')' {
		if end = openingBracket(s[:end], '(', ')'); end < 0 {
			return "", "", false
		}
		if strings.HasSuffix(s[:end], "operator()") {
			return "operator()", "", true
		}
	}
	from := end
	if end > 0 && s[end-1] == '>' {
		if from = openingBracket(s[:end], '<', '>'); from < 0 {
			return "", "", false
		}
	}
	start := from
	for start > 0 && identifierByte(s[start-1]) {
		start--
	}
	if start == from || start > 0 && s[start-1] != ':' && s[start-1] != ' ' && s[start-1] != '*' && s[start-1] != '&' {
		return "", "", false
	}
	if strings.Count(s[:start], "<") > strings.Count(s[:start], ">")-strings.Count(s[:start], "->") {
		return "", "", false // cut off inside template arguments
	}
	return s[start:from], s[from:end], true
}

// openingBracket returns the index of the bracket that the last byte of s closes, -1 if there is none.
func openingBracket(s string, open, closing byte) int {
	depth := 0
	for i := len(s) - 1; i >= 0; i-- {
		switch s[i] {
		case closing:
			if closing == '>' && i > 0 && s[i-1] == '-' {
				continue
			}
			depth++
		case open:
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

func identifierByte(c byte) bool {
	return c == '_' || c == '$' || c == '.' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// splitForward reads a name that is cut off or that has brackets of other meanings from its beginning.
func splitForward(s string) string {
	end, start := len(s), 0
	depth := 0
scan:
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '<', '{', '[':
			if depth == 0 && s[i] == '<' && i > start {
				if operatorAt(s, i) {
					continue
				}
				// Template arguments of this component: what follows decides whether it was the last one.
				if end == len(s) {
					end = i
				}
			}
			depth++
		case '>':
			if i > 0 && s[i-1] == '-' || depth == 0 {
				continue
			}
			depth--
		case '}', ']':
			depth = max(0, depth-1)
		case '(':
			if depth == 0 {
				if strings.HasPrefix(s[i:], "(anonymous namespace)") {
					i += len("(anonymous namespace)") - 1
					continue
				}
				if end == len(s) {
					end = i
				}
				break scan
			}
			depth++
		case ')':
			depth = max(0, depth-1)
		case ' ', ':':
			if depth == 0 && !strings.HasSuffix(s[start:i], "operator") {
				start, end = i+1, len(s)
			}
		}
	}
	if start >= end {
		return s
	}
	return s[start:end]
}

func operatorAt(s string, i int) bool { return strings.HasSuffix(s[:i], "operator") }

// mangledBase returns the last identifier of the name part of an Itanium-mangled function.
func mangledBase(s string) string {
	i := 2
	nested := i < len(s) && s[i] == 'N'
	if nested {
		i++
	}
	last := ""
	for i < len(s) {
		switch c := s[i]; {
		case c == 'K' || c == 'V' || c == 'r' || c == 'L':
			i++ // qualifiers, and the mark of a function with internal linkage
		case c == 'S' && i+1 < len(s) && s[i+1] == 't':
			i += 2 // std::
		case c >= '1' && c <= '9':
			n := 0
			for i < len(s) && s[i] >= '0' && s[i] <= '9' && n < len(s) {
				n = n*10 + int(s[i]-'0')
				i++
			}
			if n > len(s)-i {
				return last
			}
			last = s[i : i+n]
			i += n
			if !nested {
				return last
			}
		default:
			// 'I' opens template arguments: of the function when 'E' closes the nested name right after them, of an
			// enclosing class otherwise, whose member is not looked for.
			return last
		}
	}
	return last
}
