package vdso

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNoABI is the error for an ABI whose programs the kernel does not run.
var ErrNoABI = errors.New("the kernel runs no such programs")

// ForABI gets the image of an ABI: bt's own, or that of a small program of that
// ABI which it starts, or, where this fails, the one installed with the kernel.
func ForABI(abi ABI) (*Image, error) {
	own, ownErr := Own()
	if ownErr == nil && own.ABI() == abi {
		return own, nil
	}
	h := helperFor(runtime.GOARCH, abi)
	if h == nil {
		if ownErr != nil {
			return nil, ownErr
		}
		return nil, fmt.Errorf("the %s gate image: %w: this is %s", abi, ErrNoABI, runtime.GOARCH)
	}
	im, err := h.image()
	if err == nil {
		return im, nil
	}
	if im := installed(abi, h.machine); im != nil {
		return im, nil
	}
	if errors.Is(err, syscall.ENOEXEC) {
		return nil, fmt.Errorf("the %s gate image: %w: that takes %s", abi, ErrNoABI, h.config)
	}
	return nil, fmt.Errorf("the %s gate image: %w", abi, err)
}

// helper is a program that does nothing but exist: the kernel maps its ABI's
// image into it.
type helper struct {
	class   elf.Class
	machine elf.Machine
	flags   uint32
	base    uint32
	code    []byte
	config  string // what the kernel needs to run it
}

// The programs: write(1, sp, 1) to say that they are up, read(0, sp, 1), which
// ends when bt does, and exit(0).
var helpers = map[string]map[ABI]*helper{
	"amd64": {
		ABI32: {
			class: elf.ELFCLASS32, machine: elf.EM_386, base: 0x08048000,
			config: "CONFIG_IA32_EMULATION, or ia32_emulation=on at boot",
			code: []byte{
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
		ABIX32: {
			class: elf.ELFCLASS32, machine: elf.EM_X86_64, base: 0x08048000,
			config: "CONFIG_X86_X32_ABI",
			code: []byte{
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
	},
	"arm64": {
		ABI32: {
			class: elf.ELFCLASS32, machine: elf.EM_ARM, base: 0x10000,
			flags:  0x05000000, // EF_ARM_EABI_VER5
			config: "CONFIG_COMPAT, and a CPU that runs AArch32",
			code: []byte{
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
	},
}

// Native reports whether processes on this machine can have gate images for a
// machine: bt's own, or one of the other ABIs'.
func Native(machine elf.Machine) bool {
	if own, err := Own(); err == nil && own.Machine == machine {
		return true
	}
	for _, h := range helpers[runtime.GOARCH] {
		if h.machine == machine {
			return true
		}
	}
	return false
}

func helperFor(goarch string, abi ABI) *helper { return helpers[goarch][abi] }

const (
	header32Size = 52
	prog32Size   = 32
)

// file assembles the program: the ELF header, two program headers, the code.
func (h *helper) file() []byte {
	const codeOff = header32Size + 2*prog32Size
	size := uint32(codeOff + len(h.code))
	head := elf.Header32{
		Type: uint16(elf.ET_EXEC), Machine: uint16(h.machine), Version: uint32(elf.EV_CURRENT),
		Entry: h.base + codeOff, Phoff: header32Size, Flags: h.flags,
		Ehsize: header32Size, Phentsize: prog32Size, Phnum: 2,
	}
	copy(head.Ident[:], elf.ELFMAG)
	head.Ident[elf.EI_CLASS] = byte(h.class)
	head.Ident[elf.EI_DATA] = byte(elf.ELFDATA2LSB)
	head.Ident[elf.EI_VERSION] = byte(elf.EV_CURRENT)
	progs := []elf.Prog32{
		{Type: uint32(elf.PT_LOAD), Vaddr: h.base, Paddr: h.base, Filesz: size, Memsz: size,
			Flags: uint32(elf.PF_R | elf.PF_X), Align: 0x1000},
		{Type: uint32(elf.PT_GNU_STACK), Flags: uint32(elf.PF_R | elf.PF_W)},
	}
	b, _ := binary.Append(nil, binary.LittleEndian, head) // fixed-size values: no error
	b, _ = binary.Append(b, binary.LittleEndian, progs)
	return append(b, h.code...)
}

// helperTimeout is how long a program may take to say that it is up.
const helperTimeout = 10 * time.Second

// image starts the program, reads its image, and ends it.
func (h *helper) image() (*Image, error) {
	path, done, err := executable(h.file())
	if err != nil {
		return nil, err
	}
	defer done()
	cmd := exec.Command(path)
	cmd.Args = []string{"bt-gate-helper"}
	cmd.Env = []string{}
	hold, err := cmd.StdinPipe() // open as long as bt lives
	if err != nil {
		return nil, err
	}
	up, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer up.Close()
	cmd.Stdout = w
	err = cmd.Start()
	w.Close()
	if err != nil {
		return nil, fmt.Errorf("starting a program of that ABI: %w", err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	defer hold.Close()
	up.SetReadDeadline(time.Now().Add(helperTimeout))
	if _, err := up.Read(make([]byte, 1)); err != nil {
		return nil, fmt.Errorf("a program of that ABI does not run: %w", err)
	}
	return FromProcess(procFiles(filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid))), "a program of that ABI")
}

// executable puts a program where it can be started from: in memory, or, where
// the system forbids that (sysctl vm.memfd_noexec), in a temporary file.
func executable(file []byte) (path string, done func(), err error) {
	fd, err := unix.MemfdCreate("bt-gate-helper", unix.MFD_CLOEXEC|unix.MFD_EXEC)
	if err == unix.EINVAL { // before Linux 6.3
		fd, err = unix.MemfdCreate("bt-gate-helper", unix.MFD_CLOEXEC)
	}
	var f *os.File
	if err == nil {
		f = os.NewFile(uintptr(fd), "bt-gate-helper")
		path, done = fmt.Sprintf("/proc/self/fd/%d", fd), func() { f.Close() }
	} else {
		if f, err = os.CreateTemp("", "bt-gate-helper"); err != nil {
			return "", nil, err
		}
		path, done = f.Name(), func() { os.Remove(f.Name()) }
	}
	if _, err = f.Write(file); err == nil && f.Name() == path {
		// An executable that is open for writing cannot be started.
		err = errors.Join(f.Chmod(0o700), f.Close())
	}
	if err != nil {
		done()
		return "", nil, err
	}
	return path, done, nil
}

// installedNames are the names of an ABI's image below /lib/modules, by the
// kernel's versions (arch/*/entry/vdso/Makefile, vdso_install).
var installedNames = map[ABI][]string{
	ABI64:  {"vdso64.so", "vdso.so"},
	ABI32:  {"vdso32.so", "vdso32-sysenter.so", "vdso32-int80.so"},
	ABIX32: {"vdsox32.so"},
}

// installed reads the image that was installed with the running kernel, nil
// where there is none.
func installed(abi ABI, machine elf.Machine) *Image {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return nil
	}
	for _, name := range installedNames[abi] {
		path := filepath.Join("/lib/modules", unix.ByteSliceToString(u.Release[:]), "vdso", name)
		if im, err := ReadFile(path); err == nil && im.ABI() == abi && im.Machine == machine {
			return im
		}
	}
	return nil
}
