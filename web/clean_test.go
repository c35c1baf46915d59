package web

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestClean(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""}, {"plain", "plain"}, {"<b>&amp;", "<b>&amp;"}, {"a\nb\tc", "a b c"}, {"\u202egnp", "\ufffdgnp"}, {"x\x00y", "x\ufffdy"},
		{"\xffa", "\ufffda"}, {"zero\u200bwidth", "zero\ufffdwidth"}, {"é – µ", "é – µ"}, {"\ufffd", "\ufffd"},
	} {
		if got := clean(c.in, 100); got != c.want {
			t.Errorf("clean(%q) = %q, want %q", c.in, got, c.want)
		}
	}
	if got := clean(strings.Repeat("ü", 100), 20); len(got) > 20+len("…") || !strings.HasSuffix(got, "…") {
		t.Errorf("a long name becomes %q", got)
	}
}

func FuzzClean(f *testing.F) {
	f.Add("void f<(anonymous namespace)::g>(int)")
	f.Add("\u202e\xff\x00")
	f.Fuzz(func(t *testing.T, s string) {
		got := clean(s, 64)
		if !utf8.ValidString(got) || len(got) > 64+len("…") {
			t.Fatalf("%q", got)
		}
		for _, r := range got {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
				t.Fatalf("%q holds %U", got, r)
			}
		}
	})
}
