// Package arch holds everything that bt knows of a CPU. Nothing outside of it and
// of the folders below it names a CPU; a test holds the rest of bt to that.
//
// An *Arch describes a CPU whose stacks bt unwinds; each is one folder
// (arch/amd64, arch/i386), and arch/all lists them. What is known of the others,
// too, is data: MachineOf for their core files and symbol tables, GateOf for their
// gate DSOs, and arch/plt for the stubs that call into shared libraries.
//
// # A new CPU
//
// What to write down, and from where. Every item can be shown to be right by a test
// against the kernel, a compiler or a debugger before the next one is begun.
//
//  1. Its line in the table of MachineOf: where pc and sp lie in the kernel's
//     elf_gregset_t; what ELF's supplement for the CPU says of symbols. Threads,
//     pcs and names of live processes and cores work from then on.
//  2. Its gate in gates.go, and, where its kernel runs programs of other ABIs, the
//     small programs in gateprogram.go.
//  3. Its PLT stubs and relocation types in arch/plt.
//  4. A folder with its Arch, and its line in arch/all. First the DWARF numbers of
//     the registers, by the psABI, and DecodeRegset; TLSBase or TLSEntry.
//  5. Entry and Chain: where a call leaves the return address, on the stack or in a
//     link register, what the CFA is then, and what the frame pointer points at.
//     RedZone. StripPAC, where return addresses are signed, ReturnBits, where they
//     say more than the address. Code that has call frame information is unwound
//     from then on. Cores that qemu's user mode writes show it, on any machine.
//  6. Trampolines: what a signal handler returns to, and the kernel's signal frame.
//     arch/internal/sigtest compares with real ones.
//  7. Syscalls, and Traps: what the pc and the address are after a fault, and what
//     the CPU refuses beside bad addresses. Programs that die in every way tell it,
//     on a kernel of the CPU; their cores hold what ptrace gives.
//  8. AfterCall. Frames that no table describes are believed only where a call
//     instruction precedes the return address.
//  9. Go: whether its functions keep frame pointers, and which register is g.
//  10. Analyze, Edge and Ahead, for code that has no call frame information; they
//     are checked against the rows of code that has it, for every instruction.
//  11. Disassemble, for the message of a program that crashed; GNU objdump says the
//     same of every instruction of libc.
package arch
