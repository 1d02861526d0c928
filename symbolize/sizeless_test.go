//go:build unix

package symbolize_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/testelf"
	"github.com/gatedso/bt/internal/testenv"
	"github.com/gatedso/bt/symbolize"
)

// A symbol without a size names what its instructions can reach, whatever table
// it is from. The functions behind it have lost their symbols.
func TestSizelessReach(t *testing.T) {
	text := make([]byte, 0x100)
	copy(text, []byte{0x74, 0x10, 0xc3})        // je to 0x12; ret
	copy(text[0x12:], []byte{0x90, 0xc3})       // nop; ret
	copy(text[0x20:], []byte{0x90, 0xc3})       // another function
	copy(text[0x40:], []byte{0xff, 0xe0, 0, 0}) // jmp *%rax: anything may be its own
	copy(text[0x80:], []byte{0x90, 0x90, 0xc3}) // sized
	want := map[uint64]string{
		0x1000: "f+0", 0x1002: "f+2", 0x1003: "+0", 0x1012: "f+12", 0x1013: "f+13", 0x1014: "+0",
		0x1020: "+0", 0x1021: "+0", 0x1040: "g+0", 0x1048: "g+8", 0x1080: "h+0", 0x108f: "h+f",
	}
	for _, dynamic := range []bool{false, true} {
		lib := library(0, len(text))
		lib.Sections[0].Data = text
		syms := []testelf.Symbol{sym("f", 0x1000, 0), sym("g", 0x1040, 0), sym("h", 0x1080, 0x10)}
		if dynamic {
			lib.DynSyms = syms
		} else {
			lib.Symbols = syms
		}
		path := write(t, t.TempDir(), "lib.so", lib.Bytes())
		checkSizeless(t, path, want)
	}
}

// checkSizeless names addresses of a library in all ways.
func checkSizeless(t *testing.T, path string, want map[uint64]string) {
	t.Helper()
	src := &source{files: map[string]string{"/lib.so": path}}
	for _, prepare := range []bool{false, true} {
		s, _ := newSymbolizer(t, fmt.Sprintf("%x-%x r-xp 00000000 00:01 12 /lib.so\n", libAt, libAt+0x10000), src, symbolize.Options{Gate: live})
		if prepare {
			var queries []query
			for off := range want {
				queries = append(queries, query{Addr: libAt + off, Exact: true})
			}
			s.Prepare(queries)
		}
		for off, name := range want {
			n := s.Name(libAt+off, true)
			all := s.NameAll([]uint64{libAt + off}, true)
			if got := fmt.Sprintf("%s+%x", n.Symbol, n.Offset); got != name || all[0].Symbol != n.Symbol || all[0].Offset != n.Offset {
				t.Errorf("prepared %v: %#x is %s, in a batch %s+%x, want %s", prepare, off, got, all[0].Symbol, all[0].Offset, name)
			}
		}
	}
}

// assembly has an exported function without a size, whose code could be of any
// length, then a local one; each with call frame information of its own.
const assembly = `
	.text
	.globl exported
exported:
	.cfi_startproc
	mov table(%rip),%rax
	jmp *%rax
	.cfi_endproc
	nop
	nop
local:
	.cfi_startproc
	nop
	ret
	.cfi_endproc
behind:
	nop
	ret
	.globl plain
plain:
	nop
	ret
lost:
	nop
	ret
	.data
table:	.quad 0
	.section .note.GNU-stack,"",@progbits
`

// Call frame information tells where functions begin and end that have lost their
// symbols. Every address of the stripped library is named as in the whole one, or
// not at all.
func TestSizelessStripped(t *testing.T) {
	gcc, strip := testenv.Need(t, "gcc", "gcc"), testenv.Need(t, "strip", "binutils")
	dir := t.TempDir()
	source := write(t, dir, "lib.s", []byte(assembly))
	whole := filepath.Join(dir, "lib.so")
	if out, err := exec.Command(gcc, "-shared", "-nostdlib", "-o", whole, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, how := range []string{"--strip-all", "--discard-all"} {
		stripped := filepath.Join(dir, "stripped.so")
		if out, err := exec.Command(strip, how, "-o", stripped, whole).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		counts := compareNames(t, whole, stripped)
		if counts["wrong"] > 0 || counts["exported"] != 9 || counts["plain"] != 2 {
			t.Errorf("%s: %v", how, counts)
		}
	}
}

// compareNames names each byte of a library's .text by its symbols and by those
// of the stripped one, and counts the names that are right, and the wrong ones.
func compareNames(t *testing.T, whole, stripped string) map[string]int {
	t.Helper()
	var ims [2]*image.Image
	for i, path := range []string{whole, stripped} {
		im, err := elfsym.OpenPath(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { im.Close() })
		ims[i] = image.NewImage(im)
	}
	s := &namer{Symbolizer: symbolize.NewForImage(symbolize.Options{})}
	text, _ := ims[0].Section(".text")
	counts := make(map[string]int)
	for addr := text.Addr; addr < text.Addr+text.Size; addr++ {
		want, got := s.Image(ims[0], addr, true), s.Image(ims[1], addr, true)
		switch {
		case got.Symbol == "":
		case want.Symbol != "" && got.Offset == want.Offset: // or an alias
			counts[got.Symbol]++
		default:
			counts["wrong"]++
			t.Logf("%#x is %s+%#x, not %s+%#x", addr, want.Symbol, want.Offset, got.Symbol, got.Offset)
		}
	}
	return counts
}

// A libc without sizes on its assembly functions: all of musl, as a library of
// which only the exported symbols are left, names nothing wrongly.
func TestSizelessMusl(t *testing.T) {
	const archive = "/usr/lib/x86_64-linux-musl/libc.a"
	gcc, strip := testenv.Need(t, "gcc", "gcc"), testenv.Need(t, "strip", "binutils")
	if _, err := os.Stat(archive); err != nil {
		testenv.Skip(t, "%v: apt-get install musl-dev", err)
	}
	whole, stripped := filepath.Join(t.TempDir(), "libc.so"), filepath.Join(t.TempDir(), "libc.so")
	cmd := exec.Command(gcc, "-shared", "-nostdlib", "-o", whole, "-Wl,--whole-archive", archive, "-Wl,--no-whole-archive", "-lgcc")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := exec.Command(strip, "-o", stripped, whole).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	counts := compareNames(t, whole, stripped)
	if counts["wrong"] > 0 || counts["memset"] < 50 || len(counts) < 500 {
		t.Errorf("%d wrong names, %d bytes of memset, %d functions", counts["wrong"], counts["memset"], len(counts))
	}
}
