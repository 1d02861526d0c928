package x86

import (
	"slices"
	"testing"

	"github.com/gatedso/bt/internal/arch"
)

// Code as HotSpot compiles it: no register but %rbp is the caller's, and a
// function begins with a probe of the stack far below.
func TestCompiledJava(t *testing.T) {
	prologue := []byte{0x89, 0x84, 0x24, 0, 0xc0, 0xfe, 0xff, 0x55, 0x48, 0x83, 0xec, 0x50} // mov %eax,-0x14000(%rsp); push %rbp; sub $0x50,%rsp
	body := []byte{0x31, 0xdb, 0x45, 0x31, 0xe4, 0xff, 0xc3}                                // xor %ebx,%ebx; xor %r12d,%r12d; inc %ebx
	leave := []byte{0x48, 0x83, 0xc4, 0x50, 0x5d, 0xc3}                                     // add $0x50,%rsp; pop %rbp; ret
	loop := []byte{0xeb, 0xfc}                                                              // jmp to itself, near enough
	call := []byte{0xe8, 0, 1, 0, 0, 0x0f, 0x0b}                                            // call; ud2
	join := func(parts ...[]byte) (all []byte) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	rsp, rbp, rbx := AMD64.DWARF[sp], AMD64.DWARF[bp], AMD64.DWARF[bx]
	for _, tt := range []struct {
		name   string
		code   []byte
		pc     int
		called bool
		offset int64 // of the CFA from the stack pointer; 0: not known
	}{
		{"returns", join(prologue, body, leave), len(prologue), false, 0x60},
		{"returns, no start in sight", join(body, leave), 0, false, 0x60},
		{"never returns", join(prologue, body, loop), len(prologue) + 2, false, 0x60},
		{"never returns, called", join(prologue, body, call), len(prologue) + len(body) + 5, true, 0x60},
		{"never returns, behind the probe", join(prologue, body, loop), 8, false, 0x10},
		{"never returns, no start in sight", join(body, loop), 2, false, 0},
		{"a store near by is no probe", join([]byte{0x89, 0x84, 0x24, 0xf8, 0xff, 0xff, 0xff, 0x55}, body, loop), 10, false, 0},
		{"loses the frame pointer", join(body, []byte{0x31, 0xed, 0xc3}), 0, false, 0},
		{"returns do not agree", join([]byte{0x31, 0xdb, 0x74, 6}, leave, []byte{0x5d, 0xc3}), 0, false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, ok := AMD64.Ahead(tt.code, tt.pc, tt.called)
			if !ok || tt.offset == 0 {
				if ok != (tt.offset != 0) {
					t.Fatalf("%+v %v", l, ok)
				}
				return
			}
			if l.Base != rsp || l.Offset != tt.offset {
				t.Errorf("CFA %d%+d, want %#x", l.Base, l.Offset, tt.offset)
			}
			saved := map[arch.Reg]int64{}
			for _, s := range l.Saved {
				saved[s.Reg] = s.Offset
			}
			if saved[rbp] != -16 {
				t.Errorf("the caller's frame pointer lies at %d", saved[rbp])
			}
			if tt.name == "returns" && saved[rbx] != arch.NoOffset {
				t.Errorf("the caller's rbx lies at %d, but it is lost", saved[rbx])
			}
		})
	}
}

// HotSpot's interpreter takes the return address off the frame, then drops the
// frame and what the caller had pushed in one, and jumps. A return that is reached
// by as many calls, of code behind it, is another function's.
func TestInterpreterReturns(t *testing.T) {
	leave := []byte{
		0x48, 0x83, 0xec, 0x10, // sub $0x10,%rsp
		0xe8, 0, 1, 0, 0, // call
		0x4c, 0x8b, 0x5d, 0xf8, // mov -0x8(%rbp),%r11
		0xc9,             // leave
		0x5f,             // pop %rdi
		0x4c, 0x89, 0xdc, // mov %r11,%rsp
	}
	jump := []byte{0xff, 0xe7}              // jmp *%rdi
	elsewhere := []byte{0xff, 0xe0}         // jmp *%rax
	other := []byte{0x41, 0x5c, 0x5d, 0xc3} // pop %r12; pop %rbp; ret
	ret := []byte{0xc3}                     // on a stack of unknown depth
	rbp := AMD64.DWARF[bp]
	for _, tt := range []struct {
		name  string
		code  []byte
		found bool
	}{
		{"jumps to its return address", slices.Concat(leave, jump), true},
		{"and other code follows", slices.Concat(leave, jump, other), true},
		{"jumps elsewhere", slices.Concat(leave, elsewhere), false},
		{"returns on a stack that is not known", slices.Concat(leave, ret), false},
		{"moves the stack without a return address", slices.Concat([]byte{0x4c, 0x89, 0xdc}, jump), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, ok := AMD64.Ahead(tt.code, 0, true)
			if ok != tt.found {
				t.Fatalf("found %v, %+v", ok, l)
			}
			if !ok {
				return
			}
			if l.Base != rbp || l.Offset != 16 {
				t.Errorf("CFA %d%+d, want %d+16", l.Base, l.Offset, rbp)
			}
			if !slices.Contains(l.Saved, arch.SavedReg{Reg: rbp, Offset: -16}) {
				t.Errorf("saved %+v lacks the frame pointer at -16", l.Saved)
			}
		})
	}
}
