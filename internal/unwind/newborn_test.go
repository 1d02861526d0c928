package unwind_test

import (
	"testing"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/amd64"
	"github.com/gatedso/bt/internal/unwind"
)

// A thread behind clone that has just come to life has one frame; its parent, at
// the same instruction, has all.
func TestNewborn(t *testing.T) {
	// sub $8,%rsp; syscall; test %rax,%rax; je 1f; add $8,%rsp; ret; 1:
	parent := []byte{0x48, 0x83, 0xec, 0x08, 0x0f, 0x05, 0x48, 0x85, 0xc0, 0x74, 0x05, 0x48, 0x83, 0xc4, 0x08, 0xc3}
	endless := []byte{0xff, 0xd2, 0x89, 0xc7, 0x0f, 0x05, 0xf4} // call *%rdx; mov %eax,%edi; syscall; hlt
	at := uint64(codeF + 6)
	for _, tt := range []struct {
		name  string
		child *fakeFunc
		rax   uint64
		born  bool
	}{
		{"a row says that the stack begins there", &fakeFunc{text: calls(16), row: outermost(a64), how: unwind.HowCFI}, 0, true},
		{"it never returns", &fakeFunc{text: endless}, 0, true},
		{"it returns", &fakeFunc{text: append(endless[:6:6], 0xc3)}, 0, false},
		{"a row of the middle", &fakeFunc{text: calls(16), row: byReg(a64, a64.SP, 16), how: unwind.HowCFI}, 0, false},
		{"the parent", &fakeFunc{text: endless}, 1234, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c fakeCode
			pad := make([]byte, 16)
			c.add(&fakeFunc{start: codeF - 16, text: pad})
			c.add(&fakeFunc{start: codeF, text: parent, symbol: true})
			tt.child.start = codeF + uint64(len(parent))
			c.add(tt.child)
			c.fn(codeH, outermost(a64))
			mem := newMem(stack, 0x100)
			mem.put(stack+8, 8, codeH+5)
			s := unwind.New(a64, &c).Walk(unwind.Start{Regs: regs(map[arch.Reg]uint64{
				a64.PC: at, a64.SP: stack, amd64.RAX: tt.rax,
			})}, mem)
			if tt.born {
				check(t, s, unwind.EndOutermost, 0, at)
			} else {
				check(t, s, unwind.EndOutermost, 0, at, codeH+5)
			}
		})
	}
}
