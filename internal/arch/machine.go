package arch

import (
	"debug/elf"
	"runtime"
)

// Machine is what is known of an ABI that an ELF file can be of, whether bt
// unwinds its stacks or not: what it takes to read its core files and its symbol
// tables, and to name it.
type Machine struct {
	ELF   elf.Machine
	Class elf.Class
	Name  string // for people: "x86-64"; debug/elf's where there is no better one
	Host  string // GOARCH of a 64-bit kernel's programs, or of the only ABI
	Flag  uint32 // of e_flags: the ABI of files that have it set; 0 for any

	Regset   Regset
	PRStatus PRStatus
	// SwappedSiginfo: si_errno and si_code of siginfo_t have changed places.
	SwappedSiginfo bool
	// Vsyscall is set where kernels map the page of that name, at VsyscallStart.
	Vsyscall bool

	// RldMap and RldMapRel are the tags of PT_DYNAMIC by which an executable
	// whose PT_DYNAMIC cannot be written to leads to struct r_debug: the address
	// of a pointer to it, absolute, or relative to the tag's own entry. They are
	// 0 where DT_DEBUG does.
	RldMap, RldMapRel uint64

	// MappingSymbols: local symbols $a, $d, $t, $x and such tell code from data.
	MappingSymbols bool
	// FuncLowBit: bit 0 of a function symbol's value is no part of its address.
	FuncLowBit bool
	// WideHash: the words of DT_HASH have 8 bytes.
	WideHash bool
	// Descriptors: a function symbol's value is the address of a descriptor in
	// .opd, if there is such a section.
	Descriptors bool
}

// Regset says where pc and sp lie in elf_gregset_t, the general registers of a
// core file, as indices of words.
type Regset struct {
	Word   int // bytes in one word; 0 where the register set is not known
	PC, SP int
	PCMask uint64 // the bits of the pc that are address, where not all are; else 0
}

// PRStatus says where struct elf_prstatus (include/linux/elfcore.h) has what, in
// bytes: three ints, a short, two longs, four pid_t, four timevals of two longs
// each, and the register set.
type PRStatus struct {
	PID    int // pr_pid
	Regset int // pr_reg
}

// Tags of PT_DYNAMIC for MIPS (elf/dl-debug.c of glibc).
const (
	dtMIPSRldMap    = 0x70000016
	dtMIPSRldMapRel = 0x70000035
)

// efMIPSABI2 is the e_flags bit of MIPS's n32 ABI: 64-bit registers in 32-bit
// files.
const efMIPSABI2 = 0x20

// machines lists the ABIs; one with a Flag stands before those without. The
// indices of registers are from the kernel file named, or from the structure that
// its arch/*/include/asm/elf.h copies.
var machines = [...]Machine{
	{ELF: elf.EM_X86_64, Class: elf.ELFCLASS64, Name: "x86-64", Host: "amd64", Vsyscall: true,
		Regset: Regset{8, 16, 19, 0}}, // x86/include/asm/user_64.h
	{ELF: elf.EM_X86_64, Class: elf.ELFCLASS32, Name: "x32", Vsyscall: true,
		Regset: Regset{8, 16, 19, 0}},
	{ELF: elf.EM_386, Class: elf.ELFCLASS32, Name: "i386", Host: "386",
		Regset: Regset{4, 12, 15, 0}}, // x86/include/asm/user32.h
	{ELF: elf.EM_AARCH64, Class: elf.ELFCLASS64, Name: "AArch64", Host: "arm64", MappingSymbols: true,
		Regset: Regset{8, 32, 31, 0}}, // arm64/include/uapi/asm/ptrace.h
	{ELF: elf.EM_AARCH64, Class: elf.ELFCLASS32, Name: "AArch64", MappingSymbols: true},
	{ELF: elf.EM_ARM, Class: elf.ELFCLASS32, Name: "ARM", Host: "arm", MappingSymbols: true, FuncLowBit: true,
		Regset: Regset{4, 15, 13, 0}}, // arm/include/uapi/asm/ptrace.h
	{ELF: elf.EM_PPC64, Class: elf.ELFCLASS64, Name: "ppc64", Host: "ppc64le", Descriptors: true,
		Regset: Regset{8, 32, 1, 0}}, // powerpc/include/uapi/asm/ptrace.h
	{ELF: elf.EM_PPC, Class: elf.ELFCLASS32, Name: "ppc",
		Regset: Regset{4, 32, 1, 0}}, // powerpc/include/uapi/asm/ptrace.h
	{ELF: elf.EM_S390, Class: elf.ELFCLASS64, Name: "s390x", Host: "s390x", WideHash: true,
		Regset: Regset{8, 1, 17, 0}}, // s390/include/uapi/asm/ptrace.h
	{ELF: elf.EM_S390, Class: elf.ELFCLASS32, Name: "s390x",
		Regset: Regset{4, 1, 17, 0x7fff_ffff}}, // s390/include/uapi/asm/ptrace.h
	{ELF: elf.EM_RISCV, Class: elf.ELFCLASS64, Name: "RISC-V", Host: "riscv64", MappingSymbols: true,
		Regset: Regset{8, 0, 2, 0}}, // riscv/include/uapi/asm/ptrace.h
	{ELF: elf.EM_RISCV, Class: elf.ELFCLASS32, Name: "RISC-V", MappingSymbols: true,
		Regset: Regset{4, 0, 2, 0}}, // riscv/include/uapi/asm/ptrace.h
	{ELF: elf.EM_MIPS, Class: elf.ELFCLASS64, Name: "MIPS", Host: "mips64le",
		SwappedSiginfo: true, RldMap: dtMIPSRldMap, RldMapRel: dtMIPSRldMapRel, // mips/include/uapi/asm/siginfo.h
		Regset: Regset{8, 34, 29, 0}}, // mips/include/uapi/asm/reg.h, MIPS64_EF_*
	{ELF: elf.EM_MIPS, Class: elf.ELFCLASS32, Name: "MIPS", Flag: efMIPSABI2,
		SwappedSiginfo: true, RldMap: dtMIPSRldMap, RldMapRel: dtMIPSRldMapRel,
		Regset: Regset{8, 34, 29, 0}}, // mips/include/uapi/asm/reg.h, MIPS64_EF_*
	{ELF: elf.EM_MIPS, Class: elf.ELFCLASS32, Name: "MIPS", Host: "mipsle",
		SwappedSiginfo: true, RldMap: dtMIPSRldMap, RldMapRel: dtMIPSRldMapRel,
		Regset: Regset{4, 40, 35, 0}}, // mips/include/uapi/asm/reg.h, MIPS32_EF_*
	{ELF: elf.EM_LOONGARCH, Class: elf.ELFCLASS64, Name: "LoongArch", Host: "loong64",
		Regset: Regset{8, 33, 3, 0}}, // loongarch/include/uapi/asm/reg.h
	{ELF: elf.EM_LOONGARCH, Class: elf.ELFCLASS32, Name: "LoongArch",
		Regset: Regset{4, 33, 3, 0}}, // loongarch/include/uapi/asm/reg.h
	{ELF: elf.EM_SPARCV9, Class: elf.ELFCLASS64, Name: "SPARC",
		Regset: Regset{8, 33, 14, 0}}, // sparc/include/asm/elf_64.h
	{ELF: elf.EM_SPARC, Class: elf.ELFCLASS32, Name: "SPARC",
		Regset: Regset{4, 1, 18, 0}}, // sparc/include/asm/elf_32.h
	{ELF: elf.EM_ALPHA, Class: elf.ELFCLASS64, Name: "Alpha", WideHash: true,
		Regset: Regset{8, 31, 30, 0}}, // alpha/kernel/process.c, dump_elf_thread
	{ELF: elf.EM_ALPHA_STD, Class: elf.ELFCLASS64, Name: "Alpha", WideHash: true},
	{ELF: elf.EM_68K, Class: elf.ELFCLASS32,
		PRStatus: PRStatus{22, 70},      // its ABI aligns to 2 bytes
		Regset:   Regset{4, 18, 15, 0}}, // m68k/include/asm/elf.h
	{ELF: elf.EM_SH, Class: elf.ELFCLASS32,
		Regset: Regset{4, 16, 15, 0}}, // sh/include/uapi/asm/ptrace_32.h
	{ELF: elf.EM_PARISC, Class: elf.ELFCLASS32,
		Regset: Regset{4, 40, 30, ^uint64(3)}}, // parisc/include/asm/elf.h; the low bits are the privilege
	{ELF: elf.EM_OPENRISC, Class: elf.ELFCLASS32,
		Regset: Regset{4, 32, 1, 0}}, // openrisc/include/uapi/asm/ptrace.h
}

// MachineOf returns what is known of the ABI that an ELF file's header names. Of
// one that is not known it is the name that debug/elf has, and what all machines
// of a class have in common.
func MachineOf(machine elf.Machine, class elf.Class, flags uint32) Machine {
	out := Machine{Name: machine.String()}
	for i := range machines {
		m := &machines[i]
		if m.ELF == machine && m.Class == class && flags&m.Flag == m.Flag {
			out = *m
			break
		}
		if m.ELF == machine && m.Name != "" {
			out.Name = m.Name
		}
	}
	out.ELF, out.Class = machine, class
	if out.Name == "" {
		out.Name = machine.String()
	}
	switch {
	case out.PRStatus != PRStatus{}:
	case class == elf.ELFCLASS32:
		out.PRStatus = PRStatus{24, 72}
	default:
		out.PRStatus = PRStatus{32, 112}
	}
	return out
}

// HostName names the CPU that bt itself is built for.
func HostName() string {
	for i := range machines {
		if machines[i].Host == runtime.GOARCH {
			return machines[i].Name
		}
	}
	return runtime.GOARCH
}
