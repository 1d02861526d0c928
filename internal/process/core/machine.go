package core

import (
	"debug/elf"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/all"
)

// gregs says where in a machine's elf_gregset_t pc and sp lie, in words of size
// bytes.
type gregs struct {
	size   int
	pc, sp int
	mask   uint64 // of the pc, where some of its bits are no address; else 0
}

// Where pc and sp lie, by machine: indices into elf_gregset_t, from the kernel
// file named, or from the structure that its arch/*/include/asm/elf.h copies.
var (
	gregs32 = map[elf.Machine]gregs{
		elf.EM_386:   {4, 12, 15, 0},          // x86/include/asm/user32.h
		elf.EM_ARM:   {4, 15, 13, 0},          // arm/include/uapi/asm/ptrace.h
		elf.EM_PPC:   {4, 32, 1, 0},           // powerpc/include/uapi/asm/ptrace.h
		elf.EM_S390:  {4, 1, 17, 0x7fff_ffff}, // s390/include/uapi/asm/ptrace.h
		elf.EM_RISCV: {4, 0, 2, 0},            // riscv/include/uapi/asm/ptrace.h
		elf.EM_MIPS:  {4, 40, 35, 0},          // mips/include/uapi/asm/reg.h, MIPS32_EF_*
		elf.EM_SPARC: {4, 1, 18, 0},           // sparc/include/asm/elf_32.h
		elf.EM_68K:   {4, 18, 15, 0},          // m68k/include/asm/elf.h
		elf.EM_SH:    {4, 16, 15, 0},          // sh/include/uapi/asm/ptrace_32.h

		elf.EM_PARISC:    {4, 40, 30, ^uint64(3)}, // parisc/include/asm/elf.h; the low bits are the privilege
		elf.EM_OPENRISC:  {4, 32, 1, 0},           // openrisc/include/uapi/asm/ptrace.h
		elf.EM_LOONGARCH: {4, 33, 3, 0},           // loongarch/include/uapi/asm/reg.h
	}
	gregs64 = map[elf.Machine]gregs{
		elf.EM_X86_64:    {8, 16, 19, 0}, // x86/include/asm/user_64.h
		elf.EM_AARCH64:   {8, 32, 31, 0}, // arm64/include/uapi/asm/ptrace.h
		elf.EM_PPC64:     {8, 32, 1, 0},  // powerpc/include/uapi/asm/ptrace.h
		elf.EM_S390:      {8, 1, 17, 0},  // s390/include/uapi/asm/ptrace.h
		elf.EM_RISCV:     {8, 0, 2, 0},   // riscv/include/uapi/asm/ptrace.h
		elf.EM_MIPS:      {8, 34, 29, 0}, // mips/include/uapi/asm/reg.h, MIPS64_EF_*
		elf.EM_SPARCV9:   {8, 33, 14, 0}, // sparc/include/asm/elf_64.h
		elf.EM_LOONGARCH: {8, 33, 3, 0},  // loongarch/include/uapi/asm/reg.h
		elf.EM_ALPHA:     {8, 31, 30, 0}, // alpha/kernel/process.c, dump_elf_thread
	}
)

// efMipsABI2 is the e_flags bit of MIPS's n32 ABI: 64-bit registers in 32-bit
// files.
const efMipsABI2 = 0x20

// layout is how a machine's kernel lays out its notes.
type layout struct {
	arch *arch.Arch // nil where bt does not unwind the CPU
	regs gregs      // size 0 where the register set is not known
	pid  int        // offset of pr_pid in struct elf_prstatus
	set  int        // offset of pr_reg
}

// layoutOf returns the layout of struct elf_prstatus (include/linux/elfcore.h):
// three ints, a short, two longs, four pid_t, four timevals of two longs each,
// and the register set.
func (h *header) layoutOf() (l layout) {
	l.pid, l.set = 32, 112
	l.regs = gregs64[h.machine]
	if h.class == elf.ELFCLASS32 {
		l.pid, l.set = 24, 72
		l.regs = gregs32[h.machine]
	}
	switch {
	case h.class == elf.ELFCLASS32 && h.machine == elf.EM_X86_64: // x32
		l.regs = gregs64[h.machine]
	case h.class == elf.ELFCLASS32 && h.machine == elf.EM_MIPS && h.flags&efMipsABI2 != 0:
		l.regs = gregs64[h.machine]
	case h.machine == elf.EM_68K: // whose ABI aligns to 2 bytes
		l.pid, l.set = 22, 70
	}
	if a := all.ForMachine(uint16(h.machine)); a != nil && a.PtrSize == h.word() {
		l.arch = a
	}
	return l
}

// PtrSize is the size in bytes of the process's addresses.
func (f *File) PtrSize() int {
	if f.Class == elf.ELFCLASS32 {
		return 4
	}
	return 8
}

// MachineName names the CPU and ABI of the core for people.
func (f *File) MachineName() string {
	if f.Machine == elf.EM_X86_64 && f.Class == elf.ELFCLASS32 {
		return "x32"
	}
	if name, ok := machineNames[f.Machine]; ok {
		return name
	}
	return f.Machine.String()
}

var machineNames = map[elf.Machine]string{
	elf.EM_X86_64:    "x86-64",
	elf.EM_386:       "i386",
	elf.EM_AARCH64:   "AArch64",
	elf.EM_ARM:       "ARM",
	elf.EM_PPC64:     "ppc64",
	elf.EM_PPC:       "ppc",
	elf.EM_S390:      "s390x",
	elf.EM_RISCV:     "RISC-V",
	elf.EM_MIPS:      "MIPS",
	elf.EM_LOONGARCH: "LoongArch",
	elf.EM_SPARC:     "SPARC",
	elf.EM_SPARCV9:   "SPARC",
	elf.EM_ALPHA:     "Alpha",
}
