//go:build unix

package symbolize_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/testelf"
	"github.com/gatedso/bt/stack"
	"github.com/gatedso/bt/symbolize"
)

// nameOf asks for the name that a symbol is shown by.
func nameOf(t testing.TB, raw string, d symbolize.Demangle) string {
	t.Helper()
	s, im := open(t, library(0, 64, sym(raw, 0x1000, 16)), d)
	n := s.Image(im, 0x1000, true)
	if n.Symbol == "" || n.Miss != "" {
		t.Fatalf("%.60q: %+v", raw, n)
	}
	// What is remembered is the same.
	if again := s.Image(im, 0x1000, true); again != n {
		t.Fatalf("%.60q: %+v, then %+v", raw, n, again)
	}
	return n.Symbol
}

func TestDemangle(t *testing.T) {
	for _, tt := range []struct{ raw, full, short string }{
		{"main", "main", "main"},
		{"_Z", "_Z", "_Z"},
		{"_Z1fIJidEEvDpT_", "void f<int, double>(int, double)", "f<int, double>"},
		{"_RINvC1a1bTmmEE", "a::b::<(u32, u32)>", "a::b::<(u32, u32)>"},
		{"_Zfoo", "_Zfoo", "_Zfoo"}, // not mangled after all
		{"_ZN3foo3barEi", "foo::bar(int)", "foo::bar"},
		{"_ZNSt6vectorIiSaIiEE9push_backEOi", "std::vector<int, std::allocator<int> >::push_back(int&&)", "std::vector<int, std::allocator<int> >::push_back"},
		{"_ZN3foo3barEi.cold", "foo::bar(int) [clone .cold]", "foo::bar [clone .cold]"},
		{"_ZN3foo3barEi.isra.0.part.1", "foo::bar(int) [clone .isra.0] [clone .part.1]", "foo::bar [clone .isra.0] [clone .part.1]"},
		{"_RNvC6_123foo3bar.cold", "123foo::bar [clone .cold]", "123foo::bar [clone .cold]"},
		{"_RNvC6_123foo3bar.llvm.13220050566636175324.warm", "123foo::bar [clone .warm]", "123foo::bar [clone .warm]"},
		{"_RNvC6_123foo3bar.0.llvm.13220050566636175324", "123foo::bar [clone .0]", "123foo::bar [clone .0]"},
		{"_RNvC6_123foo3bar.ODD", "123foo::bar", "123foo::bar"},
		{"_ZN4demo8_private17h0123456789abcdefE.cold", "demo::_private [clone .cold]", "demo::_private [clone .cold]"},
		{"_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE.cold", "core::fmt::Write::write_fmt [clone .cold]", "core::fmt::Write::write_fmt [clone .cold]"},
		{"_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE.llvm.123", "core::fmt::Write::write_fmt", "core::fmt::Write::write_fmt"},
		{"_RNvC6_123foo3bar", "123foo::bar", "123foo::bar"},
		{"_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE", "core::fmt::Write::write_fmt", "core::fmt::Write::write_fmt"},
		{"_GLOBAL__sub_I_foo", "_GLOBAL__sub_I_foo", "_GLOBAL__sub_I_foo"},
		{"_GLOBAL__I_foo.cc", "global constructors keyed to _I_foo.cc", "global constructors keyed to _I_foo.cc"},
		{"runtime.mcall", "runtime.mcall", "runtime.mcall"},
		{"runtime.goexit.abi0", "runtime.goexit.abi0", "runtime.goexit.abi0"},
		{"f.part.0", "f.part.0", "f.part.0"},
		{"f.cold", "f.cold", "f.cold"},
		{"memcpy@@GLIBC_2.14", "memcpy", "memcpy"},
		{"memcpy@GLIBC_2.2.5", "memcpy", "memcpy"},
	} {
		raw, _, _ := strings.Cut(tt.raw, "@")
		for d, want := range map[symbolize.Demangle]string{symbolize.Full: tt.full, symbolize.Short: tt.short, symbolize.None: raw} {
			if got := nameOf(t, tt.raw, d); got != want {
				t.Errorf("%s, %d: %q, want %q", tt.raw, d, got, want)
			}
		}
	}
}

// A name is shown by what a terminal shows, and no two names alike.
func TestHostileNames(t *testing.T) {
	for raw, want := range map[string]string{
		"a\x1b[31mb":     `a\x1b[31mb`,
		"a\nb":           `a\x0ab`,
		"a\rb\tc":        `a\x0db\x09c`,
		"a\x7fb":         `a\x7fb`,
		"a\u0085b":       `a\xc2\x85b`, // C1: next line
		"a\u009b31mb":    `a\xc2\x9b31mb`,
		"a\x9b31mb":      `a\x9b31mb`, // C1 as a bare byte
		"a\xffb":         `a\xffb`,
		"a\xe2\x80b":     `a\xe2\x80b`,
		"a\u202eb":       `a\xe2\x80\xaeb`, // right-to-left override
		"a\u2066b\u2069": `a\xe2\x81\xa6b\xe2\x81\xa9`,
		"a\u2028b":       `a\xe2\x80\xa8b`,
		"a\u061cb":       `a\xd8\x9cb`, // Arabic letter mark
		"a\u200fb":       `a\xe2\x80\x8fb`,
		`a\x1bb`:         `a\\x1bb`,
		`\`:              `\\`,
		"größe":          "größe",
		"名前":             "名前",
		"a b<c>":         "a b<c>",
		"\ufffd":         "\ufffd", // the real one, not an error
	} {
		for _, d := range []symbolize.Demangle{symbolize.Full, symbolize.None} {
			if got := escape.Name(nameOf(t, raw, d)); got != want {
				t.Errorf("%q: %q, want %q", raw, got, want)
			}
		}
	}
	// Where a mangled name carries them.
	if got := escape.Name(nameOf(t, "_ZN5a\x1b[0m3barEv", symbolize.Full)); strings.Contains(got, "\x1b") {
		t.Errorf("%q", got)
	}
}

// A few bytes of a mangled name can stand for gigabytes: such a name is shown
// as it is, or in part, but bounded in work and length.
func TestExplodingNames(t *testing.T) {
	chain := func(open, close string, n int) string { return strings.Repeat(open, n) + close }
	// Each substitution stands for twice the one before.
	double := func(n int) string {
		b, ref := "_Z1fIi", "1b"
		for i := range n {
			b += "1aI" + ref + ref + "E"
			ref = "S" + base36(i+1) + "_"
		}
		return b + "Evv"
	}
	// Function types of the one before, twice.
	funcs := func(n int) string {
		var b strings.Builder
		b.WriteString("_Z1fPFvvE")
		for i := range n {
			s := "S_"
			if i > 0 {
				s = "S" + base36(i-1) + "_"
			}
			fmt.Fprintf(&b, "PF%s%sE", s, s)
		}
		return b.String()
	}
	for name, raw := range map[string]string{
		"pointers":             "_Z1f" + chain("P", "i", 10_000),
		"references":           "_Z1fIi" + chain("S_", "E", 4000),
		"nested templates":     "_Z1f" + chain("1aI", "i"+strings.Repeat("E", 3000), 3000),
		"nested functions":     "_Z1f" + chain("PF", "v"+strings.Repeat("vE", 3000), 3000),
		"nested names":         "_ZN" + chain("1a", "Ev", 5000),
		"doubling templates":   double(60),
		"doubling templates 2": double(400),
		"doubling functions":   funcs(60),
		"doubling functions 2": funcs(400),
		"nested expressions":   "_Z1fI" + chain("Xng", "Li1E"+strings.Repeat("E", 2000), 2000) + "Evv",
		"template parameters":  "_Z1fI" + chain("i", "E", 3000) + "v" + chain("T_", "", 3000),
		"packs":                "_Z1fIJ" + chain("i", "EEv", 1600) + chain("DpT_", "", 1600),
		"a pack":               "_Z1fIJ" + chain("i", "EEv", 8000) + "DpT_",
		"packs in expressions": "_Z1fIJ" + chain("i", "EEDTcl1g", 1500) + chain("spT_", "EEv", 1500),
		"constructors":         "_ZN1a" + chain("C1", "Ev", 4000),
		"qualifiers":           "_Z1f" + chain("VKr", "i", 1500),
		"local names":          "_ZZ" + chain("Z", "1fvE1a"+strings.Repeat("E1a", 700), 700),
		"rust":                 "_RN" + chain("vN", "C1a"+strings.Repeat("1b", 3000), 3000),
		"rust, back":           "_RINvC1a1b" + chain("TB2_", "uE", 2000),
		"rust, doubling":       rustDoubling(60),
		"longer than any":      "_ZN" + chain("9abcdefghi", "Ev", 20_000),
		"long and plain":       chain("x", "", 100_000),
	} {
		t.Run(name, func(t *testing.T) {
			for _, d := range []symbolize.Demangle{symbolize.Full, symbolize.Short} {
				if got := nameOf(t, raw, d); len(got) > max(1<<16, len(raw)) {
					t.Errorf("%d bytes of %d", len(got), len(raw))
				}
			}
		})
	}
}

// The demangler panics on some names that no compiler makes.
func TestPanickingNames(t *testing.T) {
	for _, raw := range []string{
		"_ZNFcvUlvE_B3foonxplRC2TnspTySaT1_S0_Th1_nwDaon1aTv0_nspT_S2_NUlvE_spSsS1_sZO.coldWQLi5ELb1EQclS3_d_Tv0_ndsS0_DacvEEEEEEEEv",
		"_ZZNFcvcB3foo1aQJ1bspFXcvPcvPPclDF16_DTS_LZS2_1bDF16_NspRODTd_DasZS0_d_L1aTv0_nEEEEv",
	} {
		if got := nameOf(t, raw, symbolize.Full); got != raw {
			t.Errorf("%q", got)
		}
	}
}

// base36 is a sequence number of a substitution.
func base36(n int) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	if n < 36 {
		return digits[n : n+1]
	}
	return base36(n/36) + digits[n%36:n%36+1]
}

// rustDoubling is a name of tuples, each of which holds the one before twice,
// by references back to it.
func rustDoubling(n int) string {
	b := "_RINvC1a1b"
	at := len(b) - len("_R")
	b += "TmmE"
	for range n {
		ref := "B" + base62(at)
		at = len(b) - len("_R")
		b += "T" + ref + ref + "E"
	}
	return b + "E"
}

func base62(n int) string {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	if n == 0 {
		return "_"
	}
	s := "_"
	for n--; ; n /= 62 {
		s = digits[n%62:n%62+1] + s
		if n < 62 {
			return s
		}
	}
}

// Names that are shown otherwise than they are in the file fill many blocks of
// memory; every one is found again, by any number of goroutines.
func TestNamesAtOnce(t *testing.T) {
	const n = 12_000
	long := strings.Repeat("x", 150)
	var syms []testelf.Symbol
	want := make([]string, n)
	for i := range n {
		name := fmt.Sprintf("%s%06d", long, i)
		switch i % 3 {
		case 0:
			syms = append(syms, sym(fmt.Sprintf("_ZN3lib%d%sEv", len(name), name), uint64(0x1000+16*i), 16))
			want[i] = "lib::" + name + "()"
		case 1:
			syms = append(syms, sym(name+"\n", uint64(0x1000+16*i), 16))
			want[i] = name + "\n"
		default:
			syms = append(syms, sym(name, uint64(0x1000+16*i), 16))
			want[i] = name
		}
	}
	s, im := open(t, library(0, 16*n, syms...), symbolize.Full)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for k := range n {
				i := k
				if g%2 == 1 {
					i = n - 1 - k
				}
				link := uint64(0x1000 + 16*i + k%16)
				name := s.Image(im, link, true)
				if name.Symbol != want[i] || name.Offset != uint64(k%16) {
					t.Errorf("%x: %s, want %s", link, show(name), want[i])
					return
				}
				if k%64 == 0 {
					links := []uint64{link + 1<<20, link + 1, link}
					if names := s.ImageAll(im, links, true); names[2] != name || names[0].Miss != stack.NoSymbol {
						t.Errorf("%x: %+v", links, names)
					}
				}
			}
		})
	}
	wg.Wait()
	// Once a name is known it costs no allocation.
	frames := make([]stack.Frame, 30)
	allocs := testing.AllocsPerRun(100, func() {
		for i := range frames {
			frames[i].PC, frames[i].Exact = uint64(0x1000+16*i), true
		}
		s.InImage(im, frames)
	})
	if allocs > 0 {
		t.Errorf("%v allocations for 30 names", allocs)
	}
}

// A function whose name is empty, at an offset of the string table that is not
// 0, names nothing: the same for few and many addresses, prepared or not.
func TestEmptyNames(t *testing.T) {
	data := library(0, 0x2000, sym("zz", 0x1000, 16), sym("named", 0x1010, 0x1000)).Bytes()
	data = bytes.Replace(data, []byte("\x00zz\x00"), []byte("\x00\x00z\x00"), 1)
	src := &source{files: map[string]string{"/x": write(t, t.TempDir(), "x", data)}}
	for _, addresses := range []int{1, 300} {
		s, _ := newSymbolizer(t, "7f0000000000-7f0000100000 r-xp 00000000 08:01 1 /x\n", src, symbolize.Options{Gate: live})
		for i := range addresses {
			if n := s.Name(libAt+0x1010+uint64(i), true); n.Symbol != "named" {
				t.Fatalf("%+v", n)
			}
		}
		byName := s.Name(libAt+0x1004, true)
		s.Prepare([]query{{Addr: libAt + 0x1004, Exact: true}})
		prepared := s.Name(libAt+0x1004, true)
		if byName != prepared || byName.Symbol != "" || byName.Miss != stack.NoSymbol {
			t.Errorf("%+v, prepared %+v", byName, prepared)
		}
	}
}
