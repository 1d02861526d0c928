package x86

import (
	"encoding/hex"
	"slices"
	"testing"

	"github.com/gatedso/bt/internal/arch"
)

func TestDisassemble(t *testing.T) {
	var regs arch.Regs
	for i := range 8 {
		regs.Set(arch.Reg(i), 0x1000*uint64(i+1)) // rax 1000 rdx 2000 rcx 3000 …
	}
	const pc = 0x400000
	for _, tt := range []struct {
		mode  *Mode
		code  string
		text  string
		size  int
		width int
		addrs []uint64
	}{
		{&AMD64, "8b00ffff", "mov (%rax),%eax", 2, 4, []uint64{0x1000}},
		{&AMD64, "c70000000000", "movl $0x0,(%rax)", 6, 4, []uint64{0x1000}},
		{&AMD64, "8b44c810", "mov 0x10(%rax,%rcx,8),%eax", 4, 4, []uint64{0x1010 + 8*0x3000}},
		{&AMD64, "488b0510000000", "mov 0x10(%rip),%rax", 7, 8, []uint64{pc + 7 + 0x10}},
		{&AMD64, "64488b042528000000", "mov %fs:0x28,%rax", 9, 8, nil},
		{&AMD64, "678b00", "mov (%eax),%eax", 3, 4, []uint64{0x1000}},
		{&AMD64, "488d00", "lea (%rax),%rax", 3, 0, nil},
		{&AMD64, "ff10", "callq *(%rax)", 2, 8, []uint64{0x1000}},
		{&AMD64, "e800000000", "callq 0x400005", 5, 0, nil},
		{&AMD64, "f3a4", "rep movsb %ds:(%rsi),%es:(%rdi)", 2, 0, []uint64{0x6000, 0x5000}},
		{&AMD64, "0f0b", "ud2", 2, 0, nil},
		{&AMD64, "cc", "int3", 1, 0, nil},
		{&AMD64, "f7f1", "div %ecx", 2, 0, nil},
		{&AMD64, "0f2900", "movaps %xmm0,(%rax)", 3, 16, []uint64{0x1000}},
		{&AMD64, "c5fe6f00", "vmovdqu (%rax),%ymm0", 4, 32, []uint64{0x1000}},
		// What x86asm writes otherwise than objdump.
		{&AMD64, "c704250000000001000000", "movl $0x1,0x0", 11, 4, []uint64{0}},
		{&AMD64, "8b042500000000", "mov 0x0,%eax", 7, 4, []uint64{0}},
		{&AMD64, "ff142500000000", "callq *0x0", 7, 8, []uint64{0}},
		{&AMD64, "ff242500000000", "jmpq *0x0", 7, 8, []uint64{0}},
		{&AMD64, "658b042500000000", "mov %gs:0x0,%eax", 8, 4, nil},
		{&AMD64, "a10000000000000000", "mov 0x0,%eax", 9, 4, []uint64{0}},
		{&AMD64, "c60544ecffff78", "movb $0x78,-0x13bc(%rip)", 7, 1, []uint64{pc + 7 - 0x13bc}},
		{&AMD64, "4889042500ffffff", "mov %rax,0xffffffffffffff00", 8, 8, []uint64{0xffffffffffffff00}},
		{&AMD64, "8b80f0ffffff", "mov -0x10(%rax),%eax", 6, 4, []uint64{0xff0}},
		{&AMD64, "a10000008000000000", "mov 0x80000000,%eax", 9, 4, []uint64{0x80000000}},
		{&I386, "a100000000", "mov 0x0,%eax", 5, 4, []uint64{0}},
		{&I386, "c7050000000001000000", "movl $0x1,0x0", 10, 4, []uint64{0}},
		// What x86asm reads wrongly.
		{&AMD64, "c5f877c3", "vzeroupper", 3, 0, nil},
		{&AMD64, "f30f1efa55", "endbr64", 4, 0, nil},
		{&I386, "f30f1efb55", "endbr32", 4, 0, nil},
		{&I386, "8b00", "mov (%eax),%eax", 2, 4, []uint64{0x1000}},
		{&I386, "8b4424fc", "mov -0x4(%esp),%eax", 4, 4, []uint64{0x5000 - 4}},
		{&I386, "48", "dec %eax", 1, 0, nil},
		{&I386, "8b80f0ffffff", "mov -0x10(%eax),%eax", 6, 4, []uint64{0xff0}},
		{&AMD64, "06", "", 0, 0, nil},
		{&AMD64, "8b", "", 0, 0, nil},
		{&AMD64, "", "", 0, 0, nil},
	} {
		code, _ := hex.DecodeString(tt.code)
		got, ok := tt.mode.Disassemble(code, pc, &regs)
		if !ok && tt.text == "" {
			continue
		}
		if ok != (tt.text != "") || got.Text != tt.text || got.Size != tt.size || got.Width != tt.width || !slices.Equal(got.Addrs, tt.addrs) {
			t.Errorf("%s: %+v, %v; want %q, %d bytes, width %d, addresses %x", tt.code, got, ok, tt.text, tt.size, tt.width, tt.addrs)
		}
	}
}

func FuzzDisassemble(f *testing.F) {
	f.Add(true, []byte("\xc5\xf8\x77\xc3"))
	f.Add(false, []byte("\x8b\x44\x24\xfc"))
	f.Add(true, []byte("\x62\xf1\x7c\x48\x10\x00"))
	f.Fuzz(func(t *testing.T, wide bool, code []byte) {
		var regs arch.Regs
		got, ok := modes(wide).Disassemble(code, 0x1000, &regs)
		if ok && (got.Text == "" || got.Size <= 0 || got.Size > min(len(code), 15)) {
			t.Fatalf("% x: %+v", code, got)
		}
	})
}
