package arch

import "debug/elf"

// FrameReloc tells how wide in bytes the field of a relocation is, and whether its
// value is relative to its own address: for the relocations that compilers use in
// call frame information (the psABIs, "Relocation Types"); width is 0 for others.
func FrameReloc(machine elf.Machine, kind uint32) (width int, relative bool) {
	switch machine {
	case elf.EM_X86_64:
		switch elf.R_X86_64(kind) {
		case elf.R_X86_64_64:
			return 8, false
		case elf.R_X86_64_PC64:
			return 8, true
		case elf.R_X86_64_32, elf.R_X86_64_32S:
			return 4, false
		case elf.R_X86_64_PC32:
			return 4, true
		}
	case elf.EM_386:
		switch elf.R_386(kind) {
		case elf.R_386_32:
			return 4, false
		case elf.R_386_PC32:
			return 4, true
		}
	case elf.EM_AARCH64:
		switch elf.R_AARCH64(kind) {
		case elf.R_AARCH64_ABS64:
			return 8, false
		case elf.R_AARCH64_PREL64:
			return 8, true
		case elf.R_AARCH64_ABS32:
			return 4, false
		case elf.R_AARCH64_PREL32:
			return 4, true
		}
	}
	return 0, false
}
