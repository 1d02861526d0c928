package testenv

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
)

// No32Bit is why a test of 32-bit programs is skipped. It is no missing tool:
// `make e2e` runs the same test on a kernel that can.
const No32Bit = "this kernel runs no 32-bit programs"

// Kernel32 reports whether this kernel runs 32-bit x86 programs. It starts one
// that exits at once. A kernel without CONFIG_IA32_EMULATION, or booted with
// ia32_emulation=0, does not know the format (ENOEXEC). The error is for a
// program that could not be tried.
var Kernel32 = sync.OnceValues(func() (bool, error) {
	if runtime.GOARCH != "amd64" || runtime.GOOS != "linux" {
		return false, nil // an emulator may run it, but nobody can trace it there
	}
	fd, err := memfd("kernel32")
	if err != nil {
		return false, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "kernel32")
	defer f.Close()
	if _, err := f.Write(exits32()); err != nil {
		return false, err
	}
	err = exec.Command(fmt.Sprintf("/proc/self/fd/%d", fd)).Run()
	if errors.Is(err, syscall.ENOEXEC) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("starting a 32-bit program: %w", err)
	}
	return true, nil
})

// exits32 is an ELF file for i386 that exits with status 0.
func exits32() []byte {
	code := []byte{
		0x31, 0xdb, // xor %ebx, %ebx
		0xb8, 1, 0, 0, 0, // mov $SYS_exit, %eax
		0xcd, 0x80, // int $0x80
	}
	const base, start = 0x08048000, 52 + 32 // behind the two headers
	size := uint32(start + len(code))
	head := elf.Header32{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS32), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(elf.EM_386), Version: uint32(elf.EV_CURRENT),
		Entry: base + start, Phoff: 52, Ehsize: 52, Phentsize: 32, Phnum: 1,
	}
	load := elf.Prog32{
		Type: uint32(elf.PT_LOAD), Vaddr: base, Paddr: base, Filesz: size, Memsz: size,
		Flags: uint32(elf.PF_R | elf.PF_X), Align: 0x1000,
	}
	var b bytes.Buffer
	for _, part := range []any{head, load, code} {
		binary.Write(&b, binary.LittleEndian, part) // of fixed size, to memory: no error
	}
	return b.Bytes()
}

// needKernel32 skips t where the kernel runs no 32-bit programs, also when
// Strict. The test's program is built by now: with BT_BUILD_ONLY=1 it goes no
// further on any kernel.
func needKernel32(t testing.TB) {
	t.Helper()
	if os.Getenv("BT_BUILD_ONLY") == "1" {
		t.Skip("BT_BUILD_ONLY=1: the programs are built")
	}
	ok, err := Kernel32()
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		t.Skip(No32Bit)
	}
}
