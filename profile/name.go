package profile

import "strings"

// BaseName returns the plain name of a device function: without return type, namespaces, template arguments and
// parameters, as Nsight Systems' short name and Nsight Compute's "function" name have it. A name that it cannot take
// apart comes back as it is; an Itanium-mangled one gives the last identifier of its nested name.
//
//	void at::native::vectorized_elementwise_kernel<4, F>(int, F)  ->  vectorized_elementwise_kernel
func BaseName(name string) string {
	s := strings.TrimSpace(name)
	s = strings.TrimSuffix(s, " [clone .kd]")
	s = strings.TrimSuffix(s, ".kd")
	if strings.HasPrefix(s, "_Z") {
		if id := mangledBase(s); id != "" {
			return id
		}
		return s
	}
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
				if strings.HasPrefix(s[i:], "()(") && strings.HasSuffix(s[start:i], "operator") {
					end = i + 2
					break scan
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
