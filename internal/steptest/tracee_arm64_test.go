//go:build linux

package steptest

import (
	"encoding/binary"
	"errors"
)

var breakpoint = []byte{0, 0, 0x20, 0xd4} // brk #0

// setPC is never needed: after a breakpoint the pc is at it.
func (t *tracee) setPC(uint64) error { return errors.ErrUnsupported }

// exclusive tells where the program leaves the sequence of instructions from a load
// exclusive to its store, if it is at such a load: stepped through one by one, the
// store would never succeed.
func exclusive(t *tracee) []uint64 {
	const load, store = 1 << 22, 0
	kind := func(pc uint64) (w uint32, k uint32, ok bool) {
		w = binary.LittleEndian.Uint32(t.mem.code(pc))
		return w, w & load, w>>24&0x3f == 8 && w>>23&1 == 0 && (w>>21&1 == 0 || w>>31 == 1)
	}
	if _, k, ok := kind(t.pc); !ok || k != load {
		return nil
	}
	var ends []uint64
	for pc := t.pc + 4; pc < t.pc+16*4; pc += 4 {
		w, k, ok := kind(pc)
		if ok && k == store {
			return append(ends, pc+4)
		}
		if w>>24 == 0x54 || w>>25&0x3f == 0x1a { // b.cond, cbz, cbnz
			ends = append(ends, pc+uint64(int64(int32(w<<8)>>13)*4))
		}
	}
	return nil
}

// variants are the ways to compile testdata/steps.c.
var variants = variantsARM64
