package gate

import "github.com/gatedso/bt/internal/arch"

// Vsyscall names an address in the page [vsyscall].
func Vsyscall(addr uint64) (name string, start uint64, ok bool) {
	v, ok := arch.VsyscallAt(addr)
	return v.Name, v.Addr, ok
}

// Vsyscalls lists the entry points of that page.
func Vsyscalls() []arch.Vsyscall { return arch.Vsyscalls() }
