// Package render prints what bt found. The text form is a contract: a frame's
// first two fields are its address and <symbol+0xoffset>, and every line that
// is no frame starts with '#'.
package render

import (
	"encoding/binary"
	"encoding/hex"
	"path"
	"strconv"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/symbolize"
)

// Options says what a frame's line shows.
type Options struct {
	PtrSize int // bytes of an address: 4 prints 8 digits, all else 16
	Raw     bool
	Module  bool
	BuildID bool
	Color   bool
}

// The colours of a terminal, chosen to be legible on light and dark grounds.
const (
	dim   = "\x1b[2m"
	green = "\x1b[32m"
	reset = "\x1b[0m"
)

// AppendAddr appends addr as bt prints addresses.
func (o *Options) AppendAddr(dst []byte, addr uint64) []byte {
	if o.PtrSize != 4 || addr >= 1<<32 {
		dst = binary.BigEndian.AppendUint64(dst, hex8(uint32(addr>>32)))
	}
	return binary.BigEndian.AppendUint64(dst, hex8(uint32(addr)))
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

// AppendFrame appends one frame's line.
func (o *Options) AppendFrame(dst []byte, addr uint64, n *symbolize.Name) []byte {
	dst = o.AppendAddr(dst, addr)
	if o.Raw || n == nil {
		return append(dst, '\n')
	}
	switch {
	case n.Symbol != "":
		dst = append(dst, " <"...)
		if o.Color {
			dst = append(dst, green...)
		}
		dst = append(dst, n.Symbol...)
		if o.Color {
			dst = append(dst, reset...)
		}
		dst = append(dst, "+0x"...)
		dst = strconv.AppendUint(dst, n.Offset, 16)
		dst = append(dst, '>')
		if o.Module && n.Module != nil {
			dst = append(dst, ' ')
			dst = append(dst, escape.Name(n.Module.Path)...)
		}
	case o.Module && n.Module != nil:
		dst = append(dst, " ("...)
		dst = append(dst, escape.Name(path.Base(n.Module.Path))...)
		dst = append(dst, "+0x"...)
		dst = strconv.AppendUint(dst, n.ModOff, 16)
		dst = append(dst, ')')
	}
	if o.BuildID && n.Module != nil {
		if id := n.Module.MappedBuildID(); id != nil {
			dst = append(dst, " ["...)
			dst = hex.AppendEncode(dst, id)
			dst = append(dst, ']')
		}
	}
	return append(dst, '\n')
}

// AppendComment appends a line that is no frame.
func (o *Options) AppendComment(dst []byte, text string) []byte {
	if o.Color {
		dst = append(dst, dim...)
	}
	dst = append(dst, "# "...)
	dst = append(dst, text...)
	if o.Color {
		dst = append(dst, reset...)
	}
	return append(dst, '\n')
}
