package vdso

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/arch"
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
	for _, h := range arch.HostGatePrograms() {
		if h.ABI != abi {
			continue
		}
		im, err := helper(h).image()
		if err == nil {
			return im, nil
		}
		if im := installed(abi, h.Machine); im != nil {
			return im, nil
		}
		if errors.Is(err, syscall.ENOEXEC) {
			return nil, fmt.Errorf("the %s gate image: %w: that takes %s", abi, ErrNoABI, h.Config)
		}
		return nil, fmt.Errorf("the %s gate image: %w", abi, err)
	}
	if ownErr != nil {
		return nil, ownErr
	}
	return nil, fmt.Errorf("the %s gate image: %w: this is %s", abi, ErrNoABI, arch.HostName())
}

// helper is a program that exists so that the kernel maps its ABI's image into it.
type helper arch.GateProgram

// Native reports whether processes on this machine can have gate images for a
// machine: bt's own, or one of the other ABIs'.
func Native(machine elf.Machine) bool {
	if own, err := Own(); err == nil && own.Machine == machine {
		return true
	}
	for _, h := range arch.HostGatePrograms() {
		if h.Machine == machine {
			return true
		}
	}
	return false
}

const (
	header32Size = 52
	prog32Size   = 32
)

// file assembles the program: the ELF header, two program headers, the code.
func (h helper) file() []byte {
	const codeOff = header32Size + 2*prog32Size
	size := uint32(codeOff + len(h.Code))
	head := elf.Header32{
		Type: uint16(elf.ET_EXEC), Machine: uint16(h.Machine), Version: uint32(elf.EV_CURRENT),
		Entry: h.Base + codeOff, Phoff: header32Size, Flags: h.Flags,
		Ehsize: header32Size, Phentsize: prog32Size, Phnum: 2,
	}
	copy(head.Ident[:], elf.ELFMAG)
	head.Ident[elf.EI_CLASS] = byte(h.Class)
	head.Ident[elf.EI_DATA] = byte(elf.ELFDATA2LSB)
	head.Ident[elf.EI_VERSION] = byte(elf.EV_CURRENT)
	progs := []elf.Prog32{
		{Type: uint32(elf.PT_LOAD), Vaddr: h.Base, Paddr: h.Base, Filesz: size, Memsz: size,
			Flags: uint32(elf.PF_R | elf.PF_X), Align: 0x1000},
		{Type: uint32(elf.PT_GNU_STACK), Flags: uint32(elf.PF_R | elf.PF_W)},
	}
	b, _ := binary.Append(nil, binary.LittleEndian, head) // fixed-size values: no error
	b, _ = binary.Append(b, binary.LittleEndian, progs)
	return append(b, h.Code...)
}

// helperTimeout is how long a program may take to say that it is up.
const helperTimeout = 10 * time.Second

// image starts the program, reads its image, and ends it.
func (h helper) image() (*Image, error) {
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
	fd, err := memfd("bt-gate-helper")
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

// installed reads the image that was installed with the running kernel, nil
// where there is none.
func installed(abi ABI, machine elf.Machine) *Image {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return nil
	}
	for _, name := range abi.GateFiles() {
		path := filepath.Join("/lib/modules", unix.ByteSliceToString(u.Release[:]), "vdso", name)
		if im, err := ReadFile(path); err == nil && im.ABI() == abi && im.Machine == machine {
			return im
		}
	}
	return nil
}
