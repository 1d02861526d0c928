package render

import (
	"encoding/binary"
	"math/bits"
	"strconv"
)

// Addr is AppendAddr as a string.
func Addr(addr uint64, wordSize int) string { return string(AppendAddr(nil, addr, wordSize)) }

// AppendAddr appends addr as bt prints addresses: 8 digits where wordSize is 4 and
// they are enough, else 16.
func AppendAddr(dst []byte, addr uint64, wordSize int) []byte {
	if wordSize != 4 || addr >= 1<<32 {
		dst = binary.BigEndian.AppendUint64(dst, hex8(uint32(addr>>32)))
	}
	return binary.BigEndian.AppendUint64(dst, hex8(uint32(addr)))
}

// AppendHex appends v in hexadecimal, without leading zeros.
func AppendHex(dst []byte, v uint64) []byte {
	if v >= 1<<32 {
		return strconv.AppendUint(dst, v, 16)
	}
	digits := (bits.Len64(v|1) + 3) / 4
	end := len(dst) + digits
	return binary.BigEndian.AppendUint64(dst, hex8(uint32(v))<<(64-8*digits))[:end]
}

// hex8 returns the eight hexadecimal digits of v, the first one in the highest
// byte. It makes them side by side, one in each byte.
func hex8(v uint32) uint64 {
	const each = 0x0101010101010101
	x := uint64(v)
	x = (x | x<<16) & 0x0000ffff0000ffff
	x = (x | x<<8) & 0x00ff00ff00ff00ff
	x = (x | x<<4) & 0x0f0f0f0f0f0f0f0f
	letters := (x + 6*each) >> 4 & each // 1 where the digit is above 9
	return x + '0'*each + letters*('a'-'0'-10)
}
