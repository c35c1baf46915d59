package compare

import (
	"regexp"
	"strings"

	"github.com/stepscope/stepscope/profile"
)

// looseName keeps of a device function's name what profilers agree on: the plain name and the template arguments without
// namespaces, casts, const, suffixes of numbers and spaces, with 1 and 0 for true and false.
func looseName(name string) string {
	base, args := profile.SplitName(name)
	if args == "" {
		return base
	}
	for _, s := range spellings {
		args = s.re.ReplaceAllString(args, s.with)
	}
	return base + args
}

// spellings are applied in order.
var spellings = []struct {
	re   *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\[lambda\([^\]]*?\) \(instance (\d+)\)\]|\{lambda\([^}]*?\)#(\d+)\}`), `lambda$1$2`},
	{regexp.MustCompile(`\(anonymous namespace\)::|<unnamed>::`), ``},
	{regexp.MustCompile(`\((?:unsigned |signed |long )*[A-Za-z_][\w:]*\)(-?\d)`), `$1`},
	{regexp.MustCompile(`\bconst\b`), ``},
	{regexp.MustCompile(`\bvoid\b `), ``},
	{regexp.MustCompile(`\btrue\b`), `1`},
	{regexp.MustCompile(`\bfalse\b`), `0`},
	{regexp.MustCompile(`\b(\d+)(?:ull|ul|ll|u|l)\b`), `$1`},
	{regexp.MustCompile(`\b[A-Za-z_]\w*::`), ``},
	{regexp.MustCompile(`\s+`), ``},
}

var identifier = regexp.MustCompile(`[A-Za-z_]\w*`)

// template names the function template: the plain name and the first two names among its arguments, which tell apart what
// a wrapper such as cutlass::device_kernel runs.
func template(name string) string {
	base, args := profile.SplitName(looseName(name))
	ids := identifier.FindAllString(args, 2)
	return base + "<" + strings.Join(ids, "<")
}
