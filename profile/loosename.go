package profile

import "regexp"

// Tools print one function in several ways. One and the same kernel is
//
//	at::vectorized_elementwise_kernel<4, at::FillFunctor<int>, std::array<char *, 1>>            Nsight Compute
//	at::native::vectorized_elementwise_kernel<(int)4, at::native::FillFunctor<int>, ...>         Nsight Systems
//	at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<int>, std::array<char*, 1ul> >   Kineto

// LooseArguments keeps of template arguments what tools agree on: it drops namespaces, casts, const, suffixes of numbers
// and spaces, and writes 1 and 0 for true and false. Lambdas stay as they are spelled.
func LooseArguments(args string) string {
	for _, s := range spellings {
		args = s.re.ReplaceAllString(args, s.with)
	}
	return args
}

// spellings are applied in order.
var spellings = []struct {
	re   *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\(anonymous namespace\)::|<unnamed>::`), ``},
	{regexp.MustCompile(`\((?:unsigned |signed |long )*[A-Za-z_][\w:]*\)(-?\d)`), `$1`},
	{regexp.MustCompile(`\bconst\b`), ``},
	{regexp.MustCompile(`\btrue\b`), `1`},
	{regexp.MustCompile(`\bfalse\b`), `0`},
	{regexp.MustCompile(`\b(\d+)(?:ull|ul|ll|u|l)\b`), `$1`},
	{regexp.MustCompile(`\b[A-Za-z_]\w*::`), ``},
	{regexp.MustCompile(`\s+`), ``},
}
