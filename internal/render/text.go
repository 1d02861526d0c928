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

	Source    bool // file:line:column
	Inlines   bool // inlined calls as lines of their own
	Basenames bool // only the last part of source paths
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

// AppendFrame appends one frame's line, after those of the calls that are inlined
// there.
func (o *Options) AppendFrame(dst []byte, addr uint64, n *symbolize.Name) []byte {
	if o.Raw || n == nil {
		return append(o.AppendAddr(dst, addr), '\n')
	}
	if o.Inlines && n.Where != nil {
		dst = o.appendInlined(dst, addr, n.Where.Inlined)
	}
	dst = o.AppendAddr(dst, addr)
	switch {
	case n.Symbol != "":
		dst = append(dst, " <"...)
		dst = o.appendName(dst, n.Symbol)
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
	if o.Source && n.Where != nil {
		w := n.Where
		if !o.Inlines && len(w.Inlined) > 0 {
			// Without the lines of its inlined calls the address is where it is.
			in := &w.Inlined[0]
			dst = o.appendSource(dst, in.File, in.Line, in.Column)
		} else {
			dst = o.appendSource(dst, w.File, w.Line, w.Column)
		}
	}
	return append(dst, '\n')
}

// appendInlined appends the lines of inlined calls.
func (o *Options) appendInlined(dst []byte, addr uint64, calls []symbolize.Inlined) []byte {
	for i := range calls {
		c := &calls[i]
		dst = o.AppendAddr(dst, addr)
		name := c.Symbol
		if name == "" {
			name = "?"
		}
		dst = append(dst, " <"...)
		dst = o.appendName(dst, name)
		dst = append(dst, '>')
		dst = o.appendSource(dst, c.File, c.Line, c.Column)
		dst = append(dst, " (inlined)\n"...)
	}
	return dst
}

func (o *Options) appendName(dst []byte, name string) []byte {
	if !o.Color {
		return append(dst, name...)
	}
	dst = append(dst, green...)
	dst = append(dst, name...)
	return append(dst, reset...)
}

// appendSource appends a place in the source, if it is known.
func (o *Options) appendSource(dst []byte, file string, line, column uint32) []byte {
	if file == "" {
		return dst
	}
	if o.Basenames {
		file = path.Base(file)
	}
	dst = append(dst, ' ')
	dst = append(dst, file...)
	if line == 0 {
		return append(dst, ":?"...)
	}
	dst = append(dst, ':')
	dst = strconv.AppendUint(dst, uint64(line), 10)
	if column != 0 {
		dst = append(dst, ':')
		dst = strconv.AppendUint(dst, uint64(column), 10)
	}
	return dst
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
