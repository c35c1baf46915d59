package ncu

import (
	"regexp"
	"strings"

	"github.com/stepscope/stepscope/profile"
)

// looseName keeps of a function's name what tools agree on: the plain name and the template arguments in their loose
// spelling, lambdas as Kineto spells them.
func looseName(name string) string {
	base, args := profile.SplitName(name)
	if args == "" {
		return base
	}
	return base + profile.LooseArguments(lambda.ReplaceAllString(args, `{$1#$2}`))
}

var lambda = regexp.MustCompile(`\[(lambda\([^\]]*?\)) \(instance (\d+)\)\]`)

// rangeOf finds the name of an NVTX range in the columns that --nvtx adds: "<domain>:NAME:PL_Type:PL_Value:CLR_Type:Color:
// Msg_Type:Msg". The name may hold colons, so it ends where type and value of a payload and a colour follow.
var rangeOf = regexp.MustCompile(`:(?:none|U?INT\d*|FLOAT|DOUBLE|[A-Z_0-9]+):[^:]*:(?:none|A?RGB):`)

// ranges reads the push/pop ranges around a launch, the outermost first.
func ranges(column string) []string {
	var out []string
	parts := strings.Split(column, `"`)
	for i := 1; i < len(parts); i += 2 { // what stands in quotes
		_, s, ok := strings.Cut(parts[i], ":")
		if !ok {
			continue
		}
		if at := rangeOf.FindStringIndex(s); at != nil {
			s = s[:at[0]]
		}
		if s != "" {
			out = append(out, strings.ToValidUTF8(s, "\uFFFD"))
		}
	}
	return out
}
