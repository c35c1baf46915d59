package ncu

import (
	"regexp"
	"strings"

	"github.com/stepscope/stepscope/profile"
)

// Tools print one function in several ways. One and the same kernel is
//
//	at::vectorized_elementwise_kernel<4, at::FillFunctor<int>, std::array<char *, 1>>            Nsight Compute
//	at::native::vectorized_elementwise_kernel<(int)4, at::native::FillFunctor<int>, ...>         Nsight Systems
//	at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<int>, std::array<char*, 1ul> >   Kineto
//
// looseName keeps what they agree on: the plain name and the template arguments without namespaces, casts, const,
// suffixes of numbers and spaces, with 1 and 0 for true and false.
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
	{regexp.MustCompile(`\[(lambda\([^\]]*?\)) \(instance (\d+)\)\]`), `{$1#$2}`},
	{regexp.MustCompile(`\(anonymous namespace\)::|<unnamed>::`), ``},
	{regexp.MustCompile(`\((?:unsigned |signed |long )*[A-Za-z_][\w:]*\)(-?\d)`), `$1`},
	{regexp.MustCompile(`\bconst\b`), ``},
	{regexp.MustCompile(`\btrue\b`), `1`},
	{regexp.MustCompile(`\bfalse\b`), `0`},
	{regexp.MustCompile(`\b(\d+)(?:ull|ul|ll|u|l)\b`), `$1`},
	{regexp.MustCompile(`\b[A-Za-z_]\w*::`), ``},
	{regexp.MustCompile(`\s+`), ``},
}

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
