package gate

// A fixed entry point of the vsyscall page.
type entry struct {
	addr uint64
	name string
}

// vsyscalls are the entry points of the page at ffffffffff600000, whose place
// is ABI. Each is `mov $nr,%rax; syscall; ret`, padded with int3
// (arch/x86/entry/vsyscall/vsyscall_emu_64.S).
var vsyscalls = [...]entry{
	{0xffffffffff600000, "gettimeofday"},
	{0xffffffffff600400, "time"},
	{0xffffffffff600800, "getcpu"},
}

// vsyscallSize is the size in bytes of an entry point's code.
const vsyscallSize = 7 + 2 + 1

// Vsyscall names an address in the vsyscall page.
func Vsyscall(addr uint64) (name string, start uint64, ok bool) {
	for _, e := range vsyscalls {
		if addr-e.addr < vsyscallSize {
			return e.name, e.addr, true
		}
	}
	return "", 0, false
}
