package x86

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/arch"
	"github.com/google/go-cmp/cmp"
)

func TestAnalyze(t *testing.T) {
	const (
		rbx, rbp, rsp, r10, r11 = 3, 6, 7, 10, 11
		ecx, ebx, esp, ebp      = 1, 3, 4, 5
		lost                    = arch.NoOffset
	)
	sp := func(n int64, saved ...arch.SavedReg) *arch.Layout {
		return &arch.Layout{Base: rsp, Offset: n, Saved: saved}
	}
	type want map[int]*arch.Layout // by offset; nil: not known
	for _, c := range []struct {
		name string
		mode *Mode
		code string
		want want
	}{
		{
			"frame pointer", &AMD64,
			"f30f1efa 55 4889e5 53 4881ec00010000 4881c400010000 5b c9 c3",
			want{
				0: sp(8), 4: sp(8), 5: sp(16, arch.SavedReg{Reg: rbp, Offset: -16}),
				9:  sp(24, arch.SavedReg{Reg: rbx, Offset: -24}, arch.SavedReg{Reg: rbp, Offset: -16}),
				2:  sp(8), // inside of an instruction
				25: sp(8),
				26: nil, // behind the end
			},
		},
		{
			"a call and what is behind it", &AMD64,
			"50 e8 00010000 0f1f00 31c0", // push %rax; call; nop; xor %eax, %eax
			want{1: sp(16), 2: sp(16), 5: sp(16), 9: nil},
		},
		{
			"saved by mov", &AMD64,
			"48895c24f0 4883ec18 31db 488b5c2408 4883c418 c3",
			want{
				5:  sp(8, arch.SavedReg{Reg: rbx, Offset: -24}),
				11: sp(32, arch.SavedReg{Reg: rbx, Offset: -24}),
				16: sp(32, arch.SavedReg{Reg: rbx, Offset: -24}),
				20: sp(8),
			},
		},
		{
			"changed and not saved", &AMD64,
			"31db c3",
			want{2: sp(8, arch.SavedReg{Reg: rbx, Offset: lost})},
		},
		{
			// lea -0x3000(%rsp), %r11; 1: sub $0x1000, %rsp; cmp %r11, %rsp; jne 1b
			"stack probes", &AMD64,
			"4c8d9c2400d0ffff 4881ec00100000 4c39dc 75f4 4881c400300000 c3",
			want{
				8:  {Base: r11, Offset: 0x3008},
				15: {Base: r11, Offset: 0x3008},
				20: sp(0x3008),
				27: sp(8),
			},
		},
		{
			"jump table", &AMD64,
			"50 ffe0 0f1f00 31c0 58 c3",
			want{6: sp(16), 8: sp(16), 9: sp(8)},
		},
		{
			"return address popped", &AMD64,
			"5a 0f05 52 c3", // pop %rdx; syscall; push %rdx; ret, as vfork does
			want{1: nil, 3: nil, 4: sp(8)},
		},
		{
			"another stack", &AMD64,
			"4889fc c3",
			want{3: nil},
		},
		{
			// lea 8(%rsp), %r10; and $-32, %rsp; push -8(%r10); push %rbp;
			// mov %rsp, %rbp; push %r10; call; pop %r10; pop %rbp;
			// lea -8(%r10), %rsp; ret
			"aligned stack", &AMD64,
			"4c8d542408 4883e4e0 41ff72f8 55 4889e5 4152 e800010000 415a 5d 498d62f8 c3",
			want{
				9: {Base: r10},
				20: {Base: rsp, Indirect: true,
					Frame: rbp, InFrame: []arch.SavedReg{{Reg: rbp, Offset: 0}}},
				31: sp(8),
			},
		},
		{
			// push %ebx; call 1f; 1: pop %ebx; sub $8, %esp; …
			"reading the pc", &I386,
			"53 e800000000 5b 83ec08 83c408 5b c3",
			want{
				6:  {Base: esp, Offset: 12, Saved: []arch.SavedReg{{Reg: ebx, Offset: -8}}},
				7:  {Base: esp, Offset: 8, Saved: []arch.SavedReg{{Reg: ebx, Offset: -8}}},
				14: {Base: esp, Offset: 4},
			},
		},
		{
			// main: lea 4(%esp), %ecx; and $-16, %esp; push -4(%ecx);
			// push %ebp; mov %esp, %ebp; push %ecx; call thunk; add $n, %ebx
			"main", &I386,
			"8d4c2404 83e4f0 ff71fc 55 89e5 51 e800010000 81c300100000 89c8 8b4dfc c9 8d61fc c3",
			want{
				7: {Base: ecx},
				// In the call of the PC thunk: ecx is not changed by it.
				19: {Base: ecx, Saved: []arch.SavedReg{{Reg: ebx, Offset: lost}},
					Frame: ebp, InFrame: []arch.SavedReg{{Reg: ebp, Offset: 0}}},
				25: {Base: ecx, Saved: []arch.SavedReg{{Reg: ebx, Offset: lost}},
					Frame: ebp, InFrame: []arch.SavedReg{{Reg: ebp, Offset: 0}}},
				34: {Base: esp, Offset: 4, Saved: []arch.SavedReg{{Reg: ebx, Offset: lost}}},
			},
		},
		{
			// A call that takes its argument off the stack.
			"structure returned", &I386,
			"83ec1c 83ec0c 50 e800010000 83c40c 83c41c c3",
			want{
				7:  {Base: esp, Offset: 48},
				12: {Base: esp, Offset: 44},
				15: {Base: esp, Offset: 32},
			},
		},
	} {
		code, err := hex.DecodeString(strings.ReplaceAll(c.code, " ", ""))
		if err != nil {
			t.Fatal(c.name, err)
		}
		for off, want := range c.want {
			got, ok := c.mode.Analyze(code, 0x1000, 0x1000+uint64(off))
			switch {
			case want == nil:
				if ok {
					t.Errorf("%s, offset %d: %+v, want none", c.name, off, got)
				}
			case !ok:
				t.Errorf("%s, offset %d: none, want %+v", c.name, off, *want)
			default:
				want.Return = arch.Return{Offset: -int64(c.mode.PtrSize)}
				if d := cmp.Diff(*want, got); d != "" {
					t.Errorf("%s, offset %d:\n%s", c.name, off, d)
				}
			}
		}
	}
}
