package compare

import (
	"regexp"
	"strings"

	"github.com/stepscope/stepscope/profile"
)

// looseName keeps of a device function's name what profilers agree on: the plain name and the template arguments in their
// loose spelling, with lambdas by their number.
func looseName(name string) string {
	base, args := profile.SplitName(name)
	if args == "" {
		return base
	}
	return base + profile.LooseArguments(returnType.ReplaceAllString(lambda.ReplaceAllString(args, `lambda$1$2`), ``))
}

var (
	lambda     = regexp.MustCompile(`\[lambda\([^\]]*?\) \(instance (\d+)\)\]|\{lambda\([^}]*?\)#(\d+)\}`)
	returnType = regexp.MustCompile(`\bvoid\b `)
)

var identifier = regexp.MustCompile(`[A-Za-z_]\w*`)

// template names the function template: the plain name and the first two names among its arguments, which tell apart what
// a wrapper such as cutlass::device_kernel runs.
func template(name string) string {
	base, args := profile.SplitName(looseName(name))
	ids := identifier.FindAllString(args, 2)
	return base + "<" + strings.Join(ids, "<")
}
