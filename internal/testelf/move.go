package testelf

import (
	"bytes"
	"encoding/binary"
)

// Move returns a little-endian ELF64 file at other addresses, as prelink does
// with a library, as far as the headers go: delta is added to the addresses of
// its segments and its sections. Symbol tables stay as they are.
func Move(data []byte, delta uint64) []byte {
	le := binary.LittleEndian
	data = bytes.Clone(data)
	add := func(off uint64) { le.PutUint64(data[off:], le.Uint64(data[off:])+delta) }
	// Elf64_Ehdr: e_phoff, e_shoff at 32; e_phentsize, e_phnum, e_shentsize,
	// e_shnum at 54.
	phoff, shoff := le.Uint64(data[32:]), le.Uint64(data[40:])
	for i := range uint64(le.Uint16(data[56:])) {
		ph := phoff + i*uint64(le.Uint16(data[54:]))
		if le.Uint32(data[ph:]) == 0x6474e551 { // PT_GNU_STACK has no address
			continue
		}
		add(ph + 16) // p_vaddr
		add(ph + 24) // p_paddr
	}
	for i := range uint64(le.Uint16(data[60:])) {
		sh := shoff + i*uint64(le.Uint16(data[58:]))
		const alloc = 2
		if le.Uint64(data[sh+8:])&alloc != 0 { // sh_flags
			add(sh + 16) // sh_addr
		}
	}
	return data
}
