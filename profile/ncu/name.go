package ncu

import (
	"strings"

	"github.com/stepscope/stepscope/profile"
)

// Tools print one function in several ways: Nsight Compute and Nsight Systems write "(int)4" and "const float *" where
// Kineto's demangler writes "4" and "float const*". looseName keeps what they agree on: the qualified name and the
// template arguments, without return type, parameters, casts and spaces.
func looseName(name string) string {
	s := strings.TrimSpace(name)
	if strings.HasPrefix(s, "_Z") {
		return profile.BaseName(s)
	}
	s = strings.TrimPrefix(s, "void ")
	s = strings.ReplaceAll(s, "<unnamed>", anonymous)
	s = cutParameters(s)
	s = casts.Replace(s)
	return strings.Map(func(r rune) rune {
		if r == ' ' {
			return -1
		}
		return r
	}, s)
}

const anonymous = "(anonymous namespace)"

var casts = strings.NewReplacer("(bool)0", "false", "(bool)1", "true", "(int)", "", "(unsigned int)", "", "(long)", "",
	"(unsigned long)", "", "(short)", "", "(char)", "", "(signed char)", "", "(unsigned char)", "", "(unsigned short)", "",
	"(long long)", "", "(unsigned long long)", "")

// cutParameters drops the parameter list: what follows the first parenthesis outside template arguments.
func cutParameters(s string) string {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '<':
			depth++
		case '>':
			if i > 0 && s[i-1] != '-' {
				depth = max(0, depth-1)
			}
		case '(':
			if depth > 0 {
				continue
			}
			if strings.HasPrefix(s[i:], anonymous) {
				i += len(anonymous) - 1
				continue
			}
			if i > 0 {
				return s[:i]
			}
		}
	}
	return s
}
