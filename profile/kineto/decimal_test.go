package kineto

import (
	"math/big"
	"strings"
	"testing"
)

func TestMicros(t *testing.T) {
	for _, c := range []struct {
		in    string
		ns    int64
		state numState
	}{
		{"0", 0, numOK},
		{"-0", 0, numOK},
		{"1", 1000, numOK},
		{"4646525630918.261", 4646525630918261, numOK},
		{"1712195495519689.047", 1712195495519689047, numOK}, // float64 would lose the 47
		{"0.5", 500, numOK},
		{".5", 500, numOK},
		{"5.", 5000, numOK},
		{"+7", 7000, numOK},
		{"007.100", 7100, numOK},
		{"1.0004", 1000, numOK},
		{"1.0005", 1001, numOK},
		{"-1.0005", -1001, numOK},
		{"1.99949999", 1999, numOK},
		{"4646526234769.6099999", 4646526234769610, numOK},
		{"1e3", 1000000, numOK},
		{"1.5E+2", 150000, numOK},
		{"1234567e-6", 1235, numOK},
		{"5e-4", 1, numOK},
		{"4e-4", 0, numOK},
		{"5e-5", 0, numOK},
		{"0e999999999999", 0, numOK},
		{"0.000e5", 0, numOK},
		{"1e-999999999999", 0, numOK},
		{"18446744073709551.615", 0, numOverflow}, // -1 ns printed as an unsigned number
		{"99999999999999999999999", 0, numOverflow},
		{"1e300", 0, numOverflow},
		{"-1e300", 0, numOverflow},
		{"2305843009213693.951", 2305843009213693951, numOK},
		{"2305843009213693.952", 0, numOverflow},
		{"", 0, numInvalid},
		{"-", 0, numInvalid},
		{".", 0, numInvalid},
		{"1.2.3", 0, numInvalid},
		{"1e", 0, numInvalid},
		{"1e+", 0, numInvalid},
		{"0x10", 0, numInvalid},
		{"NaN", 0, numInvalid},
		{"1 ", 0, numInvalid},
	} {
		ns, state := micros([]byte(c.in))
		if ns != c.ns || state != c.state {
			t.Errorf("micros(%q) = %d, %d; want %d, %d", c.in, ns, state, c.ns, c.state)
		}
	}
}

func TestInteger(t *testing.T) {
	for _, c := range []struct {
		in string
		n  int64
		ok bool
	}{
		{"0", 0, true}, {"-12", -12, true}, {"28.0", 28, true}, {"2.9e1", 29, true}, {"1e3", 1000, true},
		{"9223372036854775807", 9223372036854775807, true}, {"9223372036854775808", 0, false},
		{"-", 0, false}, {"", 0, false}, {"abc", 0, false}, {"1e99", 0, false},
	} {
		n, ok := integer([]byte(c.in))
		if n != c.n || ok != c.ok {
			t.Errorf("integer(%q) = %d, %v; want %d, %v", c.in, n, ok, c.n, c.ok)
		}
	}
	if u, ok := unsigned([]byte("18446744073709551615")); !ok || u != 1<<64-1 {
		t.Errorf("unsigned(max) = %d, %v", u, ok)
	}
	if u, ok := unsigned([]byte("-1")); !ok || u != 1<<64-1 {
		t.Errorf("unsigned(-1) = %d, %v", u, ok)
	}
}

// FuzzMicros compares the decimal reader with exact rationals.
func FuzzMicros(f *testing.F) {
	for _, s := range []string{"0", "1712195495519689.047", "-1.0005", "1e-4", "12345678901234567890", "1.5e3", "0.00049999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 40 || strings.ContainsAny(s, "xXpP_/oObBiInN") {
			return // big.Rat's own notations
		}
		if i := strings.IndexAny(s, "eE"); i >= 0 && len(s)-i > 5 {
			return // big.Rat would compute a huge power
		}
		ns, state := micros([]byte(s))
		r, ok := new(big.Rat).SetString(s)
		if !ok {
			if state == numOK && !strings.ContainsAny(s, "0123456789") {
				t.Fatalf("micros(%q) = %d, but it is no number", s, ns)
			}
			return
		}
		if state == numInvalid {
			t.Fatalf("micros(%q) is refused", s)
		}
		r.Mul(r, big.NewRat(1000, 1))
		neg := r.Sign() < 0
		r.Abs(r)
		r.Add(r, big.NewRat(1, 2))
		want := new(big.Int).Quo(r.Num(), r.Denom())
		if want.Cmp(big.NewInt(maxNs)) > 0 {
			if state != numOverflow {
				t.Fatalf("micros(%q) = %d, want an overflow", s, ns)
			}
			return
		}
		if neg {
			want.Neg(want)
		}
		if state != numOK || want.Int64() != ns {
			t.Fatalf("micros(%q) = %d, %d; want %s", s, ns, state, want)
		}
	})
}
