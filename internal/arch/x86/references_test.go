package x86

import (
	"slices"
	"testing"
)

// The instructions are as gcc and Go assemble them.
func TestReferences(t *testing.T) {
	for _, tt := range []struct {
		name string
		mode *Mode
		code []byte
		want []uint64
	}{
		{"mov rax, [rip+0x10]", &AMD64, []byte{0x48, 0x8b, 0x05, 0x10, 0, 0, 0}, []uint64{0x1017}},
		{"lea rdi, [rip-0x10]", &AMD64, []byte{0x48, 0x8d, 0x3d, 0xf0, 0xff, 0xff, 0xff}, []uint64{0xff7}},
		{"cmp dword [rip+8], 0", &AMD64, []byte{0x83, 0x3d, 8, 0, 0, 0, 0}, []uint64{0x100f}},
		{"mov rax, [rax+0x10]", &AMD64, []byte{0x48, 0x8b, 0x40, 0x10}, nil},
		{"mov rax, fs:[-8]", &AMD64, []byte{0x64, 0x48, 0x8b, 0x04, 0x25, 0xf8, 0xff, 0xff, 0xff}, nil},
		{"mov rax, [rsp+0x10]", &AMD64, []byte{0x48, 0x8b, 0x44, 0x24, 0x10}, nil},
		{"call, mov [rip+4], rax", &AMD64, []byte{0xe8, 0, 0, 0, 0, 0x48, 0x89, 0x05, 4, 0, 0, 0}, []uint64{0x1010}},
		{"cut short", &AMD64, []byte{0x48, 0x8b, 0x05, 0x10, 0}, nil},
		{"mov eax, [0x12345678]", &I386, []byte{0xa1, 0x78, 0x56, 0x34, 0x12}, []uint64{0x12345678}},
		{"mov ecx, [0x81223344]", &I386, []byte{0x8b, 0x0d, 0x44, 0x33, 0x22, 0x81}, []uint64{0x81223344}},
		{"call; mov eax, [ebx+0x10]", &I386, []byte{0xe8, 0, 0, 0, 0, 0x8b, 0x83, 0x10, 0, 0, 0}, []uint64{0x1015}},
		{"call; mov eax, [ebx-0x1010]", &I386, []byte{0xe8, 0, 0, 0, 0, 0x8b, 0x83, 0xf0, 0xef, 0xff, 0xff}, []uint64{0xfffffff5}},
		{"mov eax, [ebx+0x10]", &I386, []byte{0x8b, 0x83, 0x10, 0, 0, 0}, nil},
		{"call; mov eax, [ebp+8]", &I386, []byte{0xe8, 0, 0, 0, 0, 0x8b, 0x45, 8}, nil},
	} {
		if got := tt.mode.References(tt.code, 0x1000); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %x, want %x", tt.name, got, tt.want)
		}
	}
	many := make([]byte, 0, 7*(maxReferences+10))
	for range maxReferences + 10 {
		many = append(many, 0x48, 0x8b, 0x05, 0x10, 0, 0, 0)
	}
	if n := len(AMD64.References(many, 0)); n != maxReferences {
		t.Errorf("%d references", n)
	}
}
