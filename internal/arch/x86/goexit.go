package x86

import "encoding/binary"

// GoExit implements arch.GoFrames.Exit: nop; call; nop.
func GoExit(distance uint64) []byte {
	const callEnd = 6
	code := binary.LittleEndian.AppendUint32([]byte{0x90, 0xe8}, uint32(distance)-callEnd)
	return append(code, 0x90)
}
