package arch

import (
	"debug/elf"
	"slices"
)

// Gate is what is known of the gate DSO of one ABI of an architecture: which
// symbols its image has, and which of these are the code that a signal handler
// returns to. It is not to be changed.
type Gate struct {
	Arch    string // as the kernel's arch/ has it, and the ABI where there are several
	Machine elf.Machine
	Class   elf.Class
	File    string // the kernel file that lists the symbols
	Version string // of the symbols, "" where that is not known

	// Trampolines are the symbols of the code that returns from a signal
	// handler; empty where libc or the stack has that code.
	Trampolines []string
	// From is the kernel file that has the trampolines' code.
	From string
	// Entries are the symbols that programs call.
	Entries []string
}

// Gates lists the gate DSOs of Linux.
func Gates() []*Gate {
	list := make([]*Gate, len(gates))
	for i := range gates {
		list[i] = &gates[i]
	}
	return list
}

// GateOf returns the gate of an ELF file's machine and class, nil for one that is
// not known.
func GateOf(machine elf.Machine, class elf.Class) *Gate {
	for i := range gates {
		if g := &gates[i]; g.Machine == machine && g.Class == class {
			return g
		}
	}
	return nil
}

// IsTrampoline reports whether name is a symbol of the code that a signal
// handler returns to.
func (g *Gate) IsTrampoline(name string) bool {
	return g != nil && slices.Contains(g.Trampolines, name)
}
