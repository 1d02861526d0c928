package arch

import "slices"

// The page [vsyscall] of x86-64 lies in the kernel's half of the addresses, but is
// the processes' own (arch/x86/include/uapi/asm/vsyscall.h).
const (
	VsyscallStart = 0xffffffffff600000
	VsyscallEnd   = VsyscallStart + 0x1000
)

// Vsyscall is an entry point of that page.
type Vsyscall struct {
	Addr, Size uint64
	Name       string
}

// vsyscallSize is the size in bytes of an entry point's code:
// `mov $nr,%rax; syscall; ret`. int3 follows.
const vsyscallSize = 7 + 2 + 1

// vsyscalls are the entry points (arch/x86/entry/vsyscall/vsyscall_emu_64.S),
// whose places are ABI.
var vsyscalls = [...]Vsyscall{
	{VsyscallStart, vsyscallSize, "gettimeofday"},
	{VsyscallStart + 0x400, vsyscallSize, "time"},
	{VsyscallStart + 0x800, vsyscallSize, "getcpu"},
}

// Vsyscalls lists the entry points of the page.
func Vsyscalls() []Vsyscall { return slices.Clone(vsyscalls[:]) }

// VsyscallAt returns the entry point whose code covers addr.
func VsyscallAt(addr uint64) (v Vsyscall, ok bool) {
	for _, v := range vsyscalls {
		if addr-v.Addr < v.Size {
			return v, true
		}
	}
	return Vsyscall{}, false
}
