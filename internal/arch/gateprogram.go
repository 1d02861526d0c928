package arch

import (
	"debug/elf"
	"runtime"
	"slices"
)

// ABI is one of the ABIs that a kernel serves: each has a gate image of its own.
type ABI string

const (
	ABI64  ABI = "64"  // the CPU's 64-bit ABI
	ABI32  ABI = "32"  // its 32-bit ABI
	ABIX32 ABI = "x32" // x86-64 with 32-bit pointers
)

// ABIs lists all of them.
func ABIs() []ABI { return []ABI{ABI64, ABI32, ABIX32} }

// GateFiles are the names of the ABI's gate image below /lib/modules, by the
// kernel's versions (arch/*/entry/vdso/Makefile, vdso_install).
func (a ABI) GateFiles() []string {
	switch a {
	case ABI64:
		return []string{"vdso64.so", "vdso.so"}
	case ABI32:
		return []string{"vdso32.so", "vdso32-sysenter.so", "vdso32-int80.so"}
	case ABIX32:
		return []string{"vdsox32.so"}
	}
	return nil
}

// ABIOf returns the ABI of an ELF file's machine and class.
func ABIOf(machine elf.Machine, class elf.Class) ABI {
	switch {
	case class == elf.ELFCLASS64:
		return ABI64
	case machine == elf.EM_X86_64:
		return ABIX32
	}
	return ABI32
}

// GateProgram is a program that does nothing but exist, so that the kernel maps
// the gate image of its ABI into it: it writes a byte to its standard output to
// say that it is up, and ends when a read of its standard input does.
type GateProgram struct {
	ABI     ABI
	Host    string // GOARCH of the kernels that run it beside their own programs
	Class   elf.Class
	Machine elf.Machine
	Flags   uint32 // e_flags
	Base    uint32 // the address that it is loaded at
	Code    []byte // position-independent
	Config  string // what the kernel needs to run it, for people
}

// GatePrograms lists them all.
func GatePrograms() []GateProgram { return slices.Clone(gatePrograms[:]) }

// HostGatePrograms lists those that the kernel of bt's own CPU may run.
func HostGatePrograms() []GateProgram {
	return slices.DeleteFunc(GatePrograms(), func(p GateProgram) bool { return p.Host != runtime.GOARCH })
}

// Each is write(1, sp, 1); read(0, sp, 1); exit(0).
var gatePrograms = [...]GateProgram{
	{
		ABI: ABI32, Host: "amd64",
		Class: elf.ELFCLASS32, Machine: elf.EM_386, Base: 0x08048000,
		Config: "CONFIG_IA32_EMULATION, or ia32_emulation=on at boot",
		Code: []byte{
			0xbb, 1, 0, 0, 0, // mov $1, %ebx
			0x89, 0xe1, // mov %esp, %ecx
			0xba, 1, 0, 0, 0, // mov $1, %edx
			0xb8, 4, 0, 0, 0, // mov $SYS_write, %eax
			0xcd, 0x80, // int $0x80
			0x31, 0xdb, // xor %ebx, %ebx
			0xb8, 3, 0, 0, 0, // mov $SYS_read, %eax
			0xcd, 0x80, // int $0x80
			0x31, 0xdb, // xor %ebx, %ebx
			0xb8, 1, 0, 0, 0, // mov $SYS_exit, %eax
			0xcd, 0x80, // int $0x80
		},
	},
	{
		ABI: ABIX32, Host: "amd64",
		Class: elf.ELFCLASS32, Machine: elf.EM_X86_64, Base: 0x08048000,
		Config: "CONFIG_X86_X32_ABI",
		Code: []byte{
			0xbf, 1, 0, 0, 0, // mov $1, %edi
			0x89, 0xe6, // mov %esp, %esi
			0xba, 1, 0, 0, 0, // mov $1, %edx
			0xb8, 1, 0, 0, 0x40, // mov $__X32_SYSCALL_BIT+SYS_write, %eax
			0x0f, 0x05, // syscall
			0x31, 0xff, // xor %edi, %edi
			0xb8, 0, 0, 0, 0x40, // mov $__X32_SYSCALL_BIT+SYS_read, %eax
			0x0f, 0x05, // syscall
			0x31, 0xff, // xor %edi, %edi
			0xb8, 60, 0, 0, 0x40, // mov $__X32_SYSCALL_BIT+SYS_exit, %eax
			0x0f, 0x05, // syscall
		},
	},
	{
		ABI: ABI32, Host: "arm64",
		Class: elf.ELFCLASS32, Machine: elf.EM_ARM, Base: 0x10000,
		Flags:  0x05000000, // EF_ARM_EABI_VER5
		Config: "CONFIG_COMPAT, and a CPU that runs AArch32",
		Code: []byte{
			0x01, 0x00, 0xa0, 0xe3, // mov r0, #1
			0x0d, 0x10, 0xa0, 0xe1, // mov r1, sp
			0x01, 0x20, 0xa0, 0xe3, // mov r2, #1
			0x04, 0x70, 0xa0, 0xe3, // mov r7, #SYS_write
			0x00, 0x00, 0x00, 0xef, // svc #0
			0x00, 0x00, 0xa0, 0xe3, // mov r0, #0
			0x03, 0x70, 0xa0, 0xe3, // mov r7, #SYS_read
			0x00, 0x00, 0x00, 0xef, // svc #0
			0x00, 0x00, 0xa0, 0xe3, // mov r0, #0
			0x01, 0x70, 0xa0, 0xe3, // mov r7, #SYS_exit
			0x00, 0x00, 0x00, 0xef, // svc #0
		},
	},
}
