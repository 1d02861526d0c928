//go:build linux

package steptest

import (
	"encoding/binary"
	"errors"
)

var breakpoint = []byte{0, 0, 0x20, 0xd4} // brk #0

// setPC is never needed: after a breakpoint the pc is at it.
func (t *tracee) setPC(uint64) error { return errors.ErrUnsupported }

// exclusive tells where the program leaves the sequence of instructions from a load
// exclusive to its store, if it is at such a load: stepped through one by one, the
// store would never succeed.
func exclusive(t *tracee) []uint64 {
	const load, store = 1 << 22, 0
	kind := func(pc uint64) (w uint32, k uint32, ok bool) {
		w = binary.LittleEndian.Uint32(t.mem.code(pc))
		return w, w & load, w>>24&0x3f == 8 && w>>23&1 == 0 && (w>>21&1 == 0 || w>>31 == 1)
	}
	if _, k, ok := kind(t.pc); !ok || k != load {
		return nil
	}
	var ends []uint64
	for pc := t.pc + 4; pc < t.pc+16*4; pc += 4 {
		w, k, ok := kind(pc)
		if ok && k == store {
			return append(ends, pc+4)
		}
		if w>>24 == 0x54 || w>>25&0x3f == 0x1a { // b.cond, cbz, cbnz
			ends = append(ends, pc+uint64(int64(int32(w<<8)>>13)*4))
		}
	}
	return nil
}

const (
	pac = " -mbranch-protection=standard"
	// pacLeaf signs in all functions, with the other key.
	pacLeaf = " -mbranch-protection=pac-ret+leaf+b-key"
	noFP    = " -fomit-frame-pointer"
)

// ehReturn bounds the steps in which the unwinder of libgcc has left its own stack for
// that of the function that catches.
var ehReturn = allowance{"_Unwind_", 8, 8, "the stack pointer is that of the target already"}

// jumpsAway bounds the steps in glibc's longjmp and siglongjmp whose rows find the return
// address in the jmp_buf, where it is not as it was: the pointer guard is in it.
var jumpsAway = allowance{"longjmp", 0, 60, "the return address is in the jmp_buf, mangled"}

// jumpedAway are the same where the stack pointer is that of the target already. A
// stripped C library has no name for that function.
var jumpedAway = allowance{"/libc.so.6:", 0, 24, "the return address is in the jmp_buf, mangled"}

// variants are the ways to compile testdata/steps.c.
var variants = allowAll([]variant{
	{name: "O0", flags: "-O0" + lazy, short: true},
	{name: "O2", flags: "-O2" + now, short: true},
	{name: "O2-pac", flags: "-O2" + now + pac, short: true},
	{name: "O2-pac-leaf", flags: "-O2 -static" + pacLeaf},
	{name: "Os-nopie", flags: "-Os -fno-pie -no-pie" + now},
	{name: "O2-nofp", flags: "-O2" + noFP + now},
	{name: "O2-fp", flags: "-O2" + fp + now},
	{name: "O2-static", flags: "-O2 -static"},
	{name: "O2-static-pie", flags: "-O2 -static-pie" + pac},
	{name: "O2-protect", flags: "-O2 -static" + protect},
	{name: "O2-stripped", flags: "-O2" + now, strip: true},
	{name: "O3", flags: "-O3 -static"},

	{name: "O0-nocfi", flags: "-O0" + noCFI + now},
	{name: "O1-nocfi", flags: "-O1" + noCFI + now, short: true},
	{name: "O2-nocfi", flags: "-O2" + noCFI + now, short: true},
	{name: "O2-nocfi-pac", flags: "-O2" + noCFI + pac + now},
	{name: "O2-nocfi-pac-leaf-nofp", flags: "-O2" + noCFI + pacLeaf + noFP + now},
	{name: "O2-nocfi-nofp", flags: "-O2" + noCFI + noFP + now},
	{name: "O2-nocfi-static-protect", flags: "-O2 -static" + noCFI + protect},
	{name: "Os-nocfi", flags: "-Os" + noCFI + now},
	{name: "O2-nocfi-fp-stripped", flags: "-O2" + noCFI + fp + now, strip: true, allow: []allowance{onlyFP}},

	{name: "musl-O2", cc: "musl-gcc", flags: "-O2", allow: []allowance{muslJump, muslSet, muslLibc}},
	{name: "musl-O2-static", cc: "musl-gcc", flags: "-O2 -static", allow: []allowance{muslJump, muslSet}},

	{name: "cxx-O2", cc: "g++", src: "exceptions.cc", flags: "-O2" + now, allow: []allowance{ehReturn}},
	{name: "cxx-O0-static-pac", cc: "g++", src: "exceptions.cc", flags: "-O0 -static" + pac, allow: []allowance{ehReturn}},
}, jumpsAway, jumpedAway)

// allowAll allows the same in all variants of list.
func allowAll(list []variant, a ...allowance) []variant {
	for i := range list {
		list[i].allow = append(list[i].allow, a...)
	}
	return list
}
