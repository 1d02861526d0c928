package x86

import "bytes"

// What V8's compilers begin and end a function with (codegen/x64/macro-assembler-x64.cc).
var (
	enterFrame  = []byte{0x55, 0x48, 0x89, 0xe5} // push rbp; mov rbp,rsp
	leaveFrames = [][]byte{                      // leave is one byte, which others contain: V8 does not use it
		{0x48, 0x8b, 0xe5, 0x5d}, // mov rsp,rbp; pop rbp
		{0x48, 0x89, 0xec, 0x5d}, // the same
	}
)

// exitBytes is more than V8's code has from the end of its frame to its return.
const exitBytes = 32

// EntersV8 reports whether code makes its frame within its first bytes.
func EntersV8(code []byte, within int) bool {
	return bytes.Contains(code[:min(len(code), within)], enterFrame)
}

// LeavesV8 reports whether the end of code may have left its frame.
func LeavesV8(code []byte) bool {
	last := code[max(0, len(code)-exitBytes):]
	for _, leave := range leaveFrames {
		if bytes.Contains(last, leave) {
			return true
		}
	}
	return false
}
