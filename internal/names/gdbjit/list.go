// Package gdbjit reads what a program tells debuggers of the code that it has
// compiled: the JIT interface of GDB (GDB manual, "JIT Compilation Interface"),
// which LLVM, QEMU, wasmtime, Julia and others serve. The symbol
// __jit_debug_descriptor leads to a list of ELF images in memory, each with the
// symbols, and mostly the call frame information, of some code.
//
// All of it is the target's memory and may lie: the list is as long as its limits
// at most, and so is what is kept of an image.
package gdbjit

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Descriptor is the name of the symbol at which the list begins.
const Descriptor = "__jit_debug_descriptor"

// Limits of one process: entries of the list, bytes of one image, and of all.
const (
	maxEntries = 1 << 14
	maxImage   = 64 << 20
	maxBytes   = 512 << 20
)

// Memory is the memory of a target.
type Memory struct {
	// Read reads memory at addr and returns how many bytes it got.
	Read    func(addr uint64, b []byte) int
	PtrSize int // 4 or 8
	Order   binary.ByteOrder
}

// Entry is one image of the list: where it lies in memory, and its size in bytes.
type Entry struct{ Addr, Size uint64 }

// List reads the list that begins with the descriptor at addr. With an error it
// returns the entries before the place where the list breaks.
//
//	struct jit_descriptor { uint32_t version, action_flag; struct jit_code_entry *relevant, *first; };
//	struct jit_code_entry { struct jit_code_entry *next, *prev; const char *symfile_addr; uint64_t symfile_size; };
func (m *Memory) List(addr uint64) ([]Entry, error) {
	head := make([]byte, 8+2*m.PtrSize)
	if m.Read(addr, head) < len(head) {
		return nil, fmt.Errorf("%s at %#x cannot be read", Descriptor, addr)
	}
	if v := m.Order.Uint32(head); v != 1 {
		if v == 0 && m.word(head[8+m.PtrSize:]) == 0 {
			return nil, nil // not used yet
		}
		return nil, fmt.Errorf("%s has version %d, not 1", Descriptor, v)
	}
	var list []Entry
	seen := make(map[uint64]bool)
	// A 64-bit integer is aligned to 4 bytes on 32-bit x86, which leaves no gap.
	entry := make([]byte, 3*m.PtrSize+8)
	sizeAt := 3 * m.PtrSize
	for at := m.word(head[8+m.PtrSize:]); at != 0; at = m.word(entry) {
		if seen[at] {
			return list, errors.New("the list of JIT-compiled images is a loop")
		}
		if len(list) == maxEntries {
			return list, fmt.Errorf("more than %d JIT-compiled images", maxEntries)
		}
		seen[at] = true
		if m.Read(at, entry) < len(entry) {
			return list, fmt.Errorf("the entry at %#x in the list of JIT-compiled images cannot be read", at)
		}
		list = append(list, Entry{m.word(entry[2*m.PtrSize:]), m.Order.Uint64(entry[sizeAt:])})
	}
	return list, nil
}

func (m *Memory) word(b []byte) uint64 {
	if m.PtrSize == 4 {
		return uint64(m.Order.Uint32(b))
	}
	return m.Order.Uint64(b)
}
