package x86

import "testing"

// TestFrameOfV8 stops at each instruction of a function.
func TestFrameOfV8(t *testing.T) {
	function := [][]byte{
		{0x48, 0x8b, 0x59, 0xf8},       // mov rbx,[rcx-8]
		{0xf6, 0x43, 0x3f, 0x01},       // test byte [rbx+63],1
		{0x0f, 0x85, 0, 0, 0, 0},       // jnz
		{0x55},                         // push rbp
		{0x48, 0x89, 0xe5},             // mov rbp,rsp
		{0x56},                         // push rsi
		{0x48, 0x83, 0xec, 0x20},       // sub rsp,32
		{0x48, 0x8b, 0xe5},             // mov rsp,rbp
		{0x5d},                         // pop rbp
		{0x48, 0x83, 0xf9, 0x03},       // cmp rcx,3
		{0x7f, 0x03},                   // jg
		{0xc2, 0x18, 0x00},             // ret 24
		{0x41, 0x5a},                   // pop r10
		{0x48, 0x8d, 0x64, 0xcc, 0x08}, // lea rsp,[rsp+rcx*8+8]
		{0x41, 0x52},                   // push r10
		{0xc3},                         // ret
	}
	var code []byte
	for i, instruction := range function {
		want := i >= 5 && i <= 8 // before the pop
		if got := EntersV8(code, 128) && !LeavesV8(code); got != want {
			t.Errorf("before instruction %d: %v", i, got)
		}
		code = append(code, instruction...)
	}
	if EntersV8(code, 16) {
		t.Error("the frame is made within 16 bytes")
	}
}
