package cfi

import (
	"encoding/binary"
	"math/bits"
)

// reader takes numbers off data. After a read beyond the end it is failed and
// gives zeros; off then stays where the read began.
type reader struct {
	data   []byte
	off    int
	big    bool
	failed bool
}

// maxLEB bounds the bytes of one LEB128 number: 10 hold 64 bits, and some
// linkers pad the number they patch. Without a bound, hostile input could make
// every read as long as the section.
const maxLEB = 16

func (r *reader) fail() uint64 {
	r.failed = true
	return 0
}

func (r *reader) u8() byte {
	if r.off >= len(r.data) {
		r.failed = true
		return 0
	}
	b := r.data[r.off]
	r.off++
	return b
}

// uint reads an unsigned number of 1, 2, 4 or 8 bytes.
func (r *reader) uint(size int) uint64 {
	if len(r.data)-r.off < size {
		return r.fail()
	}
	v := word(r.data[r.off:], size, r.big)
	r.off += size
	return v
}

// u32 is uint(4), the most frequent one, without its detours.
func (r *reader) u32() uint64 {
	if len(r.data)-r.off < 4 {
		return r.fail()
	}
	v := binary.LittleEndian.Uint32(r.data[r.off:])
	if r.big {
		v = bits.ReverseBytes32(v)
	}
	r.off += 4
	return uint64(v)
}

// word decodes the first size bytes of b, which must be there.
func word(b []byte, size int, big bool) uint64 {
	switch size {
	case 1:
		return uint64(b[0])
	case 2:
		if big {
			return uint64(binary.BigEndian.Uint16(b))
		}
		return uint64(binary.LittleEndian.Uint16(b))
	case 4:
		if big {
			return uint64(binary.BigEndian.Uint32(b))
		}
		return uint64(binary.LittleEndian.Uint32(b))
	default:
		if big {
			return binary.BigEndian.Uint64(b)
		}
		return binary.LittleEndian.Uint64(b)
	}
}

// signExtend widens a signed number of size bytes.
func signExtend(v uint64, size int) uint64 {
	shift := 64 - 8*uint(size)
	return uint64(int64(v<<shift) >> shift)
}

func (r *reader) uleb() uint64 {
	if r.off < len(r.data) && r.data[r.off] < 0x80 {
		r.off++
		return uint64(r.data[r.off-1])
	}
	v, _ := r.leb()
	return v
}

func (r *reader) sleb() int64 {
	if r.off < len(r.data) && r.data[r.off] < 0x80 {
		r.off++
		return int64(int8(r.data[r.off-1]<<1)) >> 1
	}
	v, bits := r.leb()
	if bits < 64 {
		v = uint64(int64(v<<(64-bits)) >> (64 - bits))
	}
	return int64(v)
}

// leb reads a LEB128 number and tells how many bits of it were written. Bits
// beyond the 64th are dropped.
func (r *reader) leb() (v uint64, bits uint) {
	for i := 0; i < maxLEB && r.off+i < len(r.data); i++ {
		b := r.data[r.off+i]
		if bits < 64 {
			v |= uint64(b&0x7f) << bits
		}
		bits += 7
		if b < 0x80 {
			r.off += i + 1
			return v, bits
		}
	}
	return r.fail(), 64
}

// block reads a length as ULEB128 and skips that many bytes, which it returns.
func (r *reader) block() []byte {
	start := r.off
	n := r.uleb()
	if r.failed || n > uint64(len(r.data)-r.off) {
		r.off = start
		r.failed = true
		return nil
	}
	b := r.data[r.off : r.off+int(n) : r.off+int(n)]
	r.off += int(n)
	return b
}

// Pointer encodings, LSB Core "DWARF Exception Header Encoding". The low four
// bits are the format, the next three what the value is relative to.
const (
	peAbsptr = 0x00
	peUleb   = 0x01
	peUdata2 = 0x02
	peUdata4 = 0x03
	peUdata8 = 0x04
	peSigned = 0x08
	peSleb   = 0x09
	peSdata2 = 0x0a
	peSdata4 = 0x0b
	peSdata8 = 0x0c

	pePcrel   = 0x10
	peTextrel = 0x20
	peDatarel = 0x30
	peFuncrel = 0x40
	peAligned = 0x50

	peIndirect = 0x80
	peOmit     = 0xff
)

// fixedSize returns the bytes that a pointer format takes, or 0 when that is
// not fixed or the format does not exist.
func fixedSize(enc byte, ptrSize int) int {
	switch enc & 0x0f {
	case peAbsptr, peSigned:
		return ptrSize
	case peUdata2, peSdata2:
		return 2
	case peUdata4, peSdata4:
		return 4
	case peUdata8, peSdata8:
		return 8
	}
	return 0
}

// value reads a number in the format of a pointer encoding, relative to nothing.
func (r *reader) value(enc byte, ptrSize int) uint64 {
	switch enc & 0x0f {
	case peUleb:
		return r.uleb()
	case peSleb:
		return uint64(r.sleb())
	}
	size := fixedSize(enc, ptrSize)
	if size == 0 {
		return r.fail()
	}
	v := r.uint(size)
	if enc&peSigned != 0 {
		v = signExtend(v, size)
	}
	return v
}

// bases are the addresses that encoded pointers may be relative to.
type bases struct {
	section, text, data, function uint64

	readWord func(addr uint64, size int) (uint64, bool)
}

// pointer reads an encoded pointer. Indirect ones are dereferenced through
// b.readWord; without it the read fails.
func (r *reader) pointer(enc byte, ptrSize int, b *bases) uint64 {
	start := r.off
	mask := addrMask(ptrSize)
	if enc&0x7f == peAligned {
		n := uint64(ptrSize)
		pad := -(b.section + uint64(r.off)) & (n - 1)
		if pad > uint64(len(r.data)-r.off) {
			return r.fail()
		}
		r.off += int(pad)
	}
	v := r.value(enc, ptrSize)
	switch enc & 0x70 {
	case 0, peAligned:
	case pePcrel:
		v += b.section + uint64(start)
	case peTextrel:
		v += b.text
	case peDatarel:
		v += b.data
	case peFuncrel:
		v += b.function
	default:
		return r.fail()
	}
	v &= mask
	if enc&peIndirect != 0 && !r.failed {
		if b.readWord == nil {
			return r.fail()
		}
		w, ok := b.readWord(v, ptrSize)
		if !ok {
			return r.fail()
		}
		v = w & mask
	}
	return v
}

// skipPointer passes over an encoded pointer that nobody needs.
func (r *reader) skipPointer(enc byte, ptrSize int, b *bases) {
	if enc != peOmit {
		r.pointer(enc&^peIndirect, ptrSize, b)
	}
}

// addrSize is the size of addresses that a caller's ptrSize stands for.
func addrSize(ptrSize int) int {
	if ptrSize == 4 {
		return 4
	}
	return 8
}

func addrMask(ptrSize int) uint64 {
	if ptrSize >= 8 {
		return ^uint64(0)
	}
	return 1<<(8*uint(ptrSize)) - 1
}
