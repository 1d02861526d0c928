package gate

import "slices"

// Entry is a fixed entry point of the vsyscall page.
type Entry struct {
	Addr, Size uint64
	Name       string
}

// vsyscalls are the entry points of the page at ffffffffff600000, whose place
// is ABI. Each is `mov $nr,%rax; syscall; ret`, padded with int3
// (arch/x86/entry/vsyscall/vsyscall_emu_64.S).
var vsyscalls = [...]Entry{
	{0xffffffffff600000, vsyscallSize, "gettimeofday"},
	{0xffffffffff600400, vsyscallSize, "time"},
	{0xffffffffff600800, vsyscallSize, "getcpu"},
}

// vsyscallSize is the size in bytes of an entry point's code.
const vsyscallSize = 7 + 2 + 1

// Vsyscall names an address in the vsyscall page.
func Vsyscall(addr uint64) (name string, start uint64, ok bool) {
	for _, e := range vsyscalls {
		if addr-e.Addr < vsyscallSize {
			return e.Name, e.Addr, true
		}
	}
	return "", 0, false
}

// Vsyscalls lists the entry points of the vsyscall page.
func Vsyscalls() []Entry { return slices.Clone(vsyscalls[:]) }
