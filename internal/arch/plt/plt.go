// Package plt decodes the stubs of the procedure linkage table, by which code calls
// functions of shared libraries. It is apart from what the unwinder knows of a CPU
// so that package elfsym, which anybody may import, brings along no code analysis.
package plt

import "debug/elf"

const (
	// Align divides the offset of every stub in its section.
	Align = 8
	// MaxSize is the size in bytes of the largest stub.
	MaxSize = 24
)

// Stub is what a stub does: it jumps through a slot of the global offset table, or
// it hands the number of a relocation to the table's common part. One of a lazy
// table does the second where the slot has not been filled in yet.
type Stub struct {
	Size     uint32 // in bytes, with its padding; a multiple of Align
	Slotted  bool   // it jumps through a slot
	Relative bool   // Slot is relative to the global offset table
	Slot     uint64 // link-time address of the slot, or relative
	Indexed  bool   // it hands over an index
	Index    uint64 // of a relocation in DT_JMPREL
	Common   uint64 // link-time address of the common part, where not Slotted
}

// CPU is how stubs look on a machine, and the types of the relocations that fill
// the slots they jump through.
type CPU struct {
	machine elf.Machine
	decode  func(code []byte, addr uint64) (Stub, bool)

	JumpSlot, GlobDat, IRelative uint32
}

var cpus = [...]CPU{
	{elf.EM_X86_64, stubAMD64, uint32(elf.R_X86_64_JMP_SLOT), uint32(elf.R_X86_64_GLOB_DAT), uint32(elf.R_X86_64_IRELATIVE)},
	{elf.EM_386, stubI386, uint32(elf.R_386_JMP_SLOT), uint32(elf.R_386_GLOB_DAT), uint32(elf.R_386_IRELATIVE)},
	{elf.EM_AARCH64, stubARM64, uint32(elf.R_AARCH64_JUMP_SLOT), uint32(elf.R_AARCH64_GLOB_DAT), uint32(elf.R_AARCH64_IRELATIVE)},
}

// For returns the CPU of an ELF machine, nil where its stubs are not known.
func For(machine elf.Machine) *CPU {
	for i := range cpus {
		if cpus[i].machine == machine {
			return &cpus[i]
		}
	}
	return nil
}

// Decode decodes the stub at the start of code, which lies at addr. Padding at the
// end of the section may be missing. The addresses may be wider than the CPU's.
func (c *CPU) Decode(code []byte, addr uint64) (Stub, bool) {
	s, ok := c.decode(code, addr)
	s.Size = (s.Size + Align - 1) &^ (Align - 1)
	return s, ok
}
