//go:build unix

package symbolize_test

import (
	"testing"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/symbolize"
)

// Versions are told where they are asked for, demangled or not, whether an
// address is named by itself or prepared with others.
func TestVersions(t *testing.T) {
	data := library(0, 0x2000,
		sym("memcpy@@GLIBC_2.14", 0x1000, 16), sym("memcpy@GLIBC_2.2.5", 0x1010, 16),
		sym("_ZN3foo3barEi@@V_1", 0x1020, 16), sym("plain", 0x1030, 16), sym("evil@V\x1b[m", 0x1040, 16)).Bytes()
	src := &source{files: map[string]string{"/x": write(t, t.TempDir(), "x", data)}}
	for _, tt := range []struct {
		addr               uint64
		with, raw, without string
	}{
		{0x1000, "memcpy@@GLIBC_2.14", "memcpy@@GLIBC_2.14", "memcpy"},
		{0x1010, "memcpy@GLIBC_2.2.5", "memcpy@GLIBC_2.2.5", "memcpy"},
		{0x1020, "foo::bar(int)@@V_1", "_ZN3foo3barEi@@V_1", "foo::bar(int)"},
		{0x1030, "plain", "plain", "plain"},
		{0x1040, "evil@V\x1b[m", "evil@V\x1b[m", "evil"},
	} {
		for _, o := range []struct {
			symbolize.Options
			want string
		}{
			{symbolize.Options{Versions: true}, tt.with},
			{symbolize.Options{Versions: true, Demangle: symbolize.None}, tt.raw},
			{symbolize.Options{}, tt.without},
		} {
			s, _ := newSymbolizer(t, "7f0000000000-7f0000100000 r-xp 00000000 08:01 1 /x\n", src, o.Options)
			addr := libAt + tt.addr + 3
			one := s.Name(addr, true)
			s.Prepare([]query{{Addr: addr, Exact: true}})
			if prepared := s.Name(addr, true); one != prepared || one.Symbol+one.Version != o.want || one.Offset != 3 {
				t.Errorf("%+v, prepared %+v, want %s", one, prepared, o.want)
			}
		}
	}
}

// A dynamic symbol's version is in a table of its own, as libc has them.
func TestVersionsOfLibc(t *testing.T) {
	im, err := elfsym.OpenPath("/lib/x86_64-linux-gnu/libc.so.6")
	if err != nil {
		t.Skip(err)
	}
	img := image.NewImage(im)
	with, without := &namer{Symbolizer: symbolize.NewForImage(symbolize.Options{Versions: true})}, &namer{Symbolizer: symbolize.NewForImage(symbolize.Options{})}
	for s := range im.Named {
		if s.Name != "kill" {
			continue
		}
		if n := without.Image(img, s.Value+2, true); n.Symbol != "kill" {
			t.Errorf("%+v", n)
		}
		if n := with.Image(img, s.Value+2, true); n.Symbol+n.Version != "kill@@GLIBC_2.2.5" || n.Offset != 2 {
			t.Errorf("%+v", n)
		}
		return
	}
	t.Error("libc has no kill")
}
