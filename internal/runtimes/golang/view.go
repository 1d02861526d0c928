//go:build linux

package golang

import (
	"encoding/binary"

	"github.com/gatedso/bt/internal/unwind"
)

// maxGoStack bounds a goroutine's stack (runtime.maxstackceiling).
const maxGoStack = 2 << 30

// view reads the fields of a structure's bytes. A field that is not there is zero.
type view struct {
	b   []byte
	lay *layout
}

// word reads a word, a pointer for example.
func (v view) word(off int) uint64 {
	if off < 0 || off+v.lay.word > len(v.b) {
		return 0
	}
	if v.lay.word == 4 {
		return uint64(binary.LittleEndian.Uint32(v.b[off:]))
	}
	return binary.LittleEndian.Uint64(v.b[off:])
}

// wide reads 64 bits.
func (v view) wide(off int) uint64 {
	if off < 0 || off+8 > len(v.b) {
		return 0
	}
	return binary.LittleEndian.Uint64(v.b[off:])
}

// half reads 32 bits.
func (v view) half(off int) uint32 {
	if off < 0 || off+4 > len(v.b) {
		return 0
	}
	return binary.LittleEndian.Uint32(v.b[off:])
}

// byte reads 8 bits.
func (v view) byte(off int) byte {
	if off < 0 || off >= len(v.b) {
		return 0
	}
	return v.b[off]
}

// bounds returns the bounds of a g's stack.
func (v view) bounds() (lo, hi uint64) {
	return v.word(gStackLo * v.lay.word), v.word(gStackHi * v.lay.word)
}

// status returns a g's status, and whether the collector looks at its stack.
func (v view) status() (status uint32, scan bool) {
	s := v.half(v.lay.gStatus)
	return s &^ statusScan, s&statusScan != 0
}

// plausible reports whether the bytes can be those of a g at addr.
func (v view) plausible(addr uint64) bool {
	lo, hi := v.bounds()
	status, _ := v.status()
	self := v.word(v.lay.gSchedG)
	return lo <= hi && hi-lo <= maxGoStack && addr%uint64(v.lay.word) == 0 &&
		(self == addr || self == 0) && int(status) < len(statuses) && v.wide(v.lay.gID) < 1<<62
}

// piece is a piece of memory, and all that a walk of one goroutine's stack needs most
// of the time.
type piece struct {
	start uint64
	data  []byte
	rest  unwind.Memory // asked for what is not in data
}

// Word implements unwind.Memory.
func (p *piece) Word(addr uint64, size int) (uint64, bool) {
	if off := addr - p.start; off < uint64(len(p.data)) && uint64(len(p.data))-off >= uint64(size) {
		return unwind.Word(p.data[off:], size)
	}
	return p.rest.Word(addr, size)
}
