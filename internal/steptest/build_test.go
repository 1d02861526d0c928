//go:build linux

package steptest

import (
	"debug/elf"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/testenv"
)

// allowance bounds the steps at which a stack may be short, or even wrong.
type allowance struct {
	in           string // a function on the stack; empty means anywhere
	wrong, short int
	why          string
}

// Where the best that can be had is not the whole stack.
var (
	noStart = allowance{"", 0, 40, "nothing tells where the functions begin"}
	// Before a frame is set up and behind it the frame pointer is the caller's,
	// whose own frame is then missed.
	onlyFP   = allowance{"", 260, 20, "nothing describes the code but its frame pointer"}
	stdcall  = allowance{"conventions", 10, 110, "nothing tells that a callee takes its arguments off the stack"}
	cold     = allowance{"jump_table.cold", 0, 4, "a function's cold part, which begins in the middle of its frame"}
	muslLibc = allowance{"/libc.so", 0, 200, "where musl is stripped, nothing tells where its functions begin"}
	muslJump = allowance{"longjmp", 0, 4, "the stack pointer is that of the target already"}
	muslSet  = allowance{"sigsetjmp", 0, 60, "the return address is in the jmp_buf"}
)

// variant is one way to compile a program.
type variant struct {
	name  string
	cc    string // default gcc
	src   string // default steps.c
	flags string
	strip bool
	short bool // also with -short
	full  bool // only with BT_FULL=1
	allow []allowance
}

const (
	noCFI   = " -fno-asynchronous-unwind-tables -fno-unwind-tables -fno-exceptions"
	fp      = " -fno-omit-frame-pointer"
	lazy    = " -Wl,-z,lazy"
	now     = " -Wl,-z,now"
	cet     = " -fcf-protection=full"
	protect = " -fstack-protector-all -fstack-clash-protection"
)

var variantsX86 = []variant{
	{name: "O0", flags: "-O0" + lazy, short: true},
	{name: "O2", flags: "-O2" + now + " -fcf-protection=none", short: true},
	{name: "O2-cet", full: true, flags: "-O2" + lazy + cet + protect},
	{name: "O2-static", flags: "-O2 -static"},
	{name: "Os-nopie-noplt", full: true, flags: "-Os -fno-plt -no-pie"},
	{name: "O2-fp", full: true, flags: "-O2" + fp + now},
	{name: "O2-stripped", flags: "-O2" + now, strip: true, allow: []allowance{noStart}},
	{name: "O0-nocfi", full: true, flags: "-O0" + noCFI + now},
	{name: "O2-nocfi", flags: "-O2" + noCFI + lazy, short: true, allow: []allowance{cold}},
	{name: "O2-nocfi-cet-static", flags: "-O2 -static" + noCFI + cet + protect, allow: []allowance{cold}},
	{name: "O2-nocfi-fp", full: true, flags: "-O2" + noCFI + fp + now},
	{name: "O2-nocfi-fp-stripped", flags: "-O2" + noCFI + fp + now, strip: true, allow: []allowance{onlyFP}},
	{name: "Os-nocfi", full: true, flags: "-Os" + noCFI + now},

	{name: "m32-O0", full: true, flags: "-m32 -O0" + now},
	{name: "m32-O2", flags: "-m32 -O2" + lazy + cet, short: true},
	{name: "m32-O2-static", flags: "-m32 -O2 -static" + protect},
	{name: "m32-Os-nopie", full: true, flags: "-m32 -Os -no-pie -fno-pie" + now},
	{name: "m32-O0-nocfi", full: true, flags: "-m32 -O0" + noCFI + now},
	{name: "m32-O2-nocfi", flags: "-m32 -O2" + noCFI + lazy, short: true, allow: []allowance{cold, stdcall}},
	{name: "m32-O2-nocfi-fp", full: true, flags: "-m32 -O2" + noCFI + fp + now},
	{name: "m32-Os-nocfi", full: true, flags: "-m32 -Os" + noCFI + now},

	{name: "musl-O2", cc: "musl-gcc", flags: "-O2", allow: []allowance{muslJump, muslSet, muslLibc}},
	{name: "musl-O2-static", full: true, cc: "musl-gcc", flags: "-O2 -static", allow: []allowance{muslJump, muslSet}},
}

// build compiles a variant and returns its path and the link-time addresses of
// main and of the entry point.
func build(t *testing.T, v variant) (path string, main, entry uint64) {
	t.Helper()
	cc := v.cc
	if cc == "" {
		cc = "gcc"
	}
	src := v.src
	if src == "" {
		src = "steps.c"
	}
	path = filepath.Join(t.TempDir(), "steps")
	testenv.Compile(t, path, cc, append(strings.Fields("-g0 -w "+v.flags), "testdata/"+src)...)
	main, entry, err := mainOf(path)
	if err != nil {
		t.Fatal(err)
	}
	if v.strip {
		if out, err := exec.Command(testenv.Need(t, "strip", "binutils"), path).CombinedOutput(); err != nil {
			t.Fatalf("strip: %v\n%s", err, out)
		}
	}
	return path, main, entry
}

func mainOf(path string) (main, entry uint64, err error) {
	f, err := elf.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	syms, err := f.Symbols()
	if err != nil {
		return 0, 0, err
	}
	for _, s := range syms {
		if s.Name == "main" {
			return s.Value, f.Entry, nil
		}
	}
	return 0, 0, fmt.Errorf("%s: no main", path)
}
