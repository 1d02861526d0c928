//go:build linux

package steptest

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/all"
)

// tracee is a program that this thread traces. All its methods must be called
// by the thread that started it.
type tracee struct {
	pid  int
	arch *arch.Arch
	mem  stackMemory

	words [64]uint64 // the register set, and how much of it there is
	size  int
	regs  arch.Regs
	pc    uint64
	sp    uint64
}

// startTracee runs a program up to its first instruction. It dies with the
// calling thread.
func startTracee(path string) (*tracee, error) {
	p, err := os.StartProcess(path, []string{path}, &os.ProcAttr{
		Env:   []string{"LC_ALL=C"},
		Files: []*os.File{nil, nil, os.Stderr},
		Sys:   &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return nil, err
	}
	t := &tracee{pid: p.Pid}
	p.Release()
	if _, err := t.wait(); err != nil {
		return nil, err
	}
	if err := unix.PtraceSetOptions(t.pid, unix.PTRACE_O_EXITKILL); err != nil {
		t.kill()
		return nil, err
	}
	if t.mem.file, err = os.Open(fmt.Sprintf("/proc/%d/mem", t.pid)); err != nil {
		t.kill()
		return nil, err
	}
	t.mem.pid = t.pid
	return t, t.readRegs()
}

// kill ends the program, if it still runs.
func (t *tracee) kill() {
	unix.Kill(t.pid, unix.SIGKILL)
	for {
		var ws unix.WaitStatus
		_, err := unix.Wait4(t.pid, &ws, unix.WALL, nil)
		if err != unix.EINTR && (err != nil || ws.Exited() || ws.Signaled()) {
			break
		}
	}
	t.mem.file.Close()
}

// wait waits for the program to stop and returns the signal that stopped it.
func (t *tracee) wait() (unix.Signal, error) {
	for {
		var ws unix.WaitStatus
		_, err := unix.Wait4(t.pid, &ws, unix.WALL, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, err
		case ws.Stopped():
			return ws.StopSignal(), nil
		default:
			return 0, fmt.Errorf("the program ended: exit status %d, signal %v", ws.ExitStatus(), ws.Signal())
		}
	}
}

func ptrace(req, pid int, addr, data uintptr) error {
	_, _, e := unix.Syscall6(unix.SYS_PTRACE, uintptr(req), uintptr(pid), addr, data, 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

const ntPRStatus = 1 // the register set, for PTRACE_GETREGSET

func (t *tracee) readRegs() error {
	iov := unix.Iovec{Base: (*byte)(unsafe.Pointer(&t.words)), Len: uint64(unsafe.Sizeof(t.words))}
	_, _, e := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GETREGSET, uintptr(t.pid), ntPRStatus, uintptr(unsafe.Pointer(&iov)), 0, 0)
	if e != 0 {
		return fmt.Errorf("PTRACE_GETREGSET: %w", e)
	}
	t.size = int(iov.Len)
	b := unsafe.Slice((*byte)(unsafe.Pointer(&t.words)), t.size)
	for _, a := range all.List() {
		if regs, ok := a.DecodeRegset(b); ok {
			t.arch, t.regs = a, regs
			t.pc, _ = regs.Get(a.PC)
			t.sp, _ = regs.Get(a.SP)
			t.mem.stopped(t.sp)
			return nil
		}
	}
	return fmt.Errorf("a register set of %d bytes", t.size)
}

// step runs one instruction. Where a signal comes first, sig is that signal
// and the signal is delivered: the program is before the first instruction of
// the handler, or has run one instruction if it has none.
func (t *tracee) step() (sig unix.Signal, err error) {
	if ends := exclusive(t); len(ends) > 0 {
		return 0, t.runToOne(ends)
	}
	for {
		if err := ptrace(unix.PTRACE_SINGLESTEP, t.pid, 0, uintptr(sig)); err != nil {
			return 0, fmt.Errorf("PTRACE_SINGLESTEP: %w", err)
		}
		s, err := t.wait()
		if err != nil {
			return 0, err
		}
		if s == unix.SIGTRAP {
			return sig, t.readRegs()
		}
		sig = s
	}
}

// runTo runs the program to the instruction at pc.
func (t *tracee) runTo(pc uint64) error { return t.runToOne([]uint64{pc}) }

// runToOne runs the program to the first that it reaches of the instructions at pcs.
func (t *tracee) runToOne(pcs []uint64) error {
	old := make([][]byte, len(pcs))
	for i, pc := range pcs {
		old[i] = make([]byte, len(breakpoint))
		if _, err := unix.PtracePeekText(t.pid, uintptr(pc), old[i]); err != nil {
			return fmt.Errorf("setting a breakpoint at %x: %w", pc, err)
		}
	}
	for _, pc := range pcs {
		if _, err := unix.PtracePokeText(t.pid, uintptr(pc), breakpoint); err != nil {
			return fmt.Errorf("setting a breakpoint at %x: %w", pc, err)
		}
	}
	if err := unix.PtraceCont(t.pid, 0); err != nil {
		return err
	}
	sig, err := t.wait()
	if err != nil {
		return err
	}
	if err := t.readRegs(); err != nil {
		return err
	}
	pc := t.pc - uint64(t.arch.Traps.Breakpoint)
	if sig != unix.SIGTRAP || !slices.Contains(pcs, pc) {
		return fmt.Errorf("running to %x: stopped at %x by %v", pcs, t.pc, sig)
	}
	for i, pc := range pcs {
		if _, err := unix.PtracePokeText(t.pid, uintptr(pc), old[i]); err != nil {
			return err
		}
	}
	if pc != t.pc {
		if err := t.setPC(pc); err != nil {
			return err
		}
	}
	return t.readRegs()
}

// auxv reads a value that the kernel gave to the program.
func (t *tracee) auxv(key uint64) (uint64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/auxv", t.pid))
	if err != nil {
		return 0, err
	}
	word := func(b []byte) uint64 {
		if t.arch.PtrSize == 4 {
			return uint64(binary.LittleEndian.Uint32(b))
		}
		return binary.LittleEndian.Uint64(b)
	}
	for n := t.arch.PtrSize; len(b) >= 2*n; b = b[2*n:] {
		if word(b) == key {
			return word(b[n:]), nil
		}
	}
	return 0, fmt.Errorf("auxv: no entry %d", key)
}

// stackMemory reads the memory of a stopped program. What lies near the stack
// pointer is read once per stop.
type stackMemory struct {
	pid  int
	file *os.File
	at   uint64
	buf  []byte
	near [4096]byte
}

// stopped forgets what was read at an earlier stop.
func (m *stackMemory) stopped(sp uint64) {
	m.at, m.buf = sp-256, m.near[:]
	n, _ := m.file.ReadAt(m.buf, int64(m.at))
	m.buf = m.buf[:n]
}

// Word implements unwind.Memory.
func (m *stackMemory) Word(addr uint64, size int) (uint64, bool) {
	var b [8]byte
	if off := addr - m.at; off < uint64(len(m.buf)) && uint64(len(m.buf))-off >= uint64(size) {
		copy(b[:size], m.buf[off:])
	} else if n, _ := m.file.ReadAt(b[:size], int64(addr)); n != size {
		return 0, false
	}
	return binary.LittleEndian.Uint64(b[:]), true
}

// code reads up to 16 bytes of code.
func (m *stackMemory) code(pc uint64) []byte {
	b := make([]byte, 16)
	n, _ := m.file.ReadAt(b, int64(pc))
	return b[:n]
}
