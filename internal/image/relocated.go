package image

import (
	"debug/elf"
	"encoding/binary"

	"github.com/gatedso/bt/elfsym"
)

// Tags of PT_DYNAMIC entries that hold an address and lead to the symbols.
var addressTags = map[uint64]bool{
	uint64(elf.DT_HASH):     true,
	uint64(elf.DT_STRTAB):   true,
	uint64(elf.DT_SYMTAB):   true,
	uint64(elf.DT_GNU_HASH): true,
}

// unrelocate undoes in data, an image as it is in memory, what glibc's dynamic
// linker does to PT_DYNAMIC: it adds the load bias to the addresses in it
// (elf/get-dynamic-info.h, ADJUST_DYN_INFO). base is where the image's first
// byte is mapped. It reports whether it changed anything.
func unrelocate(data []byte, im *elfsym.Image, base uint64) (changed bool) {
	loads := im.Segments()
	if len(loads) == 0 {
		return false
	}
	bias := base - (loads[0].Vaddr - loads[0].Off)
	var end uint64
	for _, s := range loads {
		end = max(end, s.Vaddr+s.Memsz)
	}
	off, size := dynamic(data, im)
	word := 8
	if im.Class == elf.ELFCLASS32 {
		word = 4
	}
	get := func(at uint64) uint64 {
		if word == 4 {
			return uint64(im.Order.Uint32(data[at:]))
		}
		return im.Order.Uint64(data[at:])
	}
	for at := off; at+2*uint64(word) <= off+size; at += 2 * uint64(word) {
		tag, val := get(at), get(at+uint64(word))
		if tag == uint64(elf.DT_NULL) {
			break
		}
		if !addressTags[tag] || bias == 0 || val < bias || val-bias >= end {
			continue
		}
		changed = true
		if word == 4 {
			im.Order.PutUint32(data[at+4:], uint32(val-bias))
		} else {
			im.Order.PutUint64(data[at+8:], val-bias)
		}
	}
	return changed
}

// dynamic returns the file offset and the size in bytes of PT_DYNAMIC, clipped
// to data (gABI, "Program Header").
func dynamic(data []byte, im *elfsym.Image) (off, size uint64) {
	var phoff uint64
	var entsize, num int
	var order binary.ByteOrder = im.Order
	is64 := im.Class == elf.ELFCLASS64
	if is64 {
		phoff, entsize, num = order.Uint64(data[32:]), int(order.Uint16(data[54:])), int(order.Uint16(data[56:]))
	} else {
		phoff, entsize, num = uint64(order.Uint32(data[28:])), int(order.Uint16(data[42:])), int(order.Uint16(data[44:]))
	}
	for i := range num {
		at := phoff + uint64(i)*uint64(entsize)
		if at > uint64(len(data)) || uint64(len(data))-at < 56 {
			return 0, 0
		}
		ph := data[at:]
		if elf.ProgType(order.Uint32(ph)) != elf.PT_DYNAMIC {
			continue
		}
		if is64 {
			off, size = order.Uint64(ph[8:]), order.Uint64(ph[32:])
		} else {
			off, size = uint64(order.Uint32(ph[4:])), uint64(order.Uint32(ph[16:]))
		}
		if off > uint64(len(data)) {
			return 0, 0
		}
		return off, min(size, uint64(len(data))-off)
	}
	return 0, 0
}
