package core

import (
	"debug/elf"

	"github.com/gatedso/bt/internal/arch"
)

// abi returns what is known of the core's machine.
func (h *header) abi() arch.Machine { return arch.MachineOf(h.machine, h.class, h.flags) }

func (f *File) abi() arch.Machine { return arch.MachineOf(f.Machine, f.Class, f.Flags) }

// MachineName names the CPU and ABI of the core for people.
func (f *File) MachineName() string { return f.abi().Name }

// PtrSize is the size in bytes of the process's addresses.
func (f *File) PtrSize() int {
	if f.Class == elf.ELFCLASS32 {
		return 4
	}
	return 8
}
