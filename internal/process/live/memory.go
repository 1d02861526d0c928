//go:build linux

package live

import (
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/procfs"
)

// ReadMemory reads the process's memory at addr into b while the process runs
// and returns how many bytes it got: fewer than len(b), with an error, where
// memory ends or cannot be read.
func (p *Process) ReadMemory(addr uint64, b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	n := 0
	err := p.through(func(dir procfs.Dir, tid int) (err error) {
		if !p.foreign {
			n, err = readv(tid, addr, b)
			// The number may have been another process's by then.
			var st unix.Stat_t
			if e := unix.Fstatat(int(dir), "task/"+strconv.Itoa(tid), &st, 0); e != nil {
				n = 0
				return unix.ESRCH
			}
			if err == nil || err == unix.EFAULT {
				return err
			}
		}
		// Refused by a filter or unknown to the kernel.
		fd, err := dir.Open("mem", unix.O_RDONLY)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		n, err = pread(fd, addr, b)
		return err
	})
	switch {
	case err == nil:
		return n, nil
	case gone(err):
		return 0, p.exited(err)
	case denied(err), exhausted(err):
		return 0, p.failed("reading the memory", err)
	}
	return n, &MemoryError{Addr: addr + uint64(n), Err: err}
}

// MemoryError says at which address a read failed.
type MemoryError struct {
	Addr uint64
	Err  error
}

func (e *MemoryError) Error() string {
	return "memory at 0x" + strconv.FormatUint(e.Addr, 16) + " cannot be read: " + e.Err.Error()
}

func (e *MemoryError) Unwrap() error { return e.Err }

// remote is a struct iovec whose base is an address in the target.
type remote struct {
	base uint64
	len  uint64
}

// readv reads len(b) bytes at addr, as far as memory reaches.
func readv(tid int, addr uint64, b []byte) (int, error) {
	n := 0
	for n < len(b) {
		r := remote{addr + uint64(n), uint64(len(b) - n)}
		k, errno := processVMReadv(tid, b[n:], unsafe.Slice(&r, 1))
		if errno != 0 {
			return n, errno
		}
		if k <= 0 {
			return n, unix.EFAULT
		}
		n += k
	}
	return n, nil
}

// processVMReadv fills b with the memory that iov describes, one piece after
// the other. The count ends inside, or before, the piece that failed.
func processVMReadv(tid int, b []byte, iov []remote) (int, unix.Errno) {
	local := unix.Iovec{Base: &b[0]}
	local.SetLen(len(b))
	n, _, errno := unix.Syscall6(unix.SYS_PROCESS_VM_READV, uintptr(tid),
		uintptr(unsafe.Pointer(&local)), 1, uintptr(unsafe.Pointer(&iov[0])), uintptr(len(iov)), 0)
	return int(n), errno
}

// pread reads from a /proc/TID/mem.
func pread(fd int, addr uint64, b []byte) (int, error) {
	n := 0
	for n < len(b) {
		// The offset is the address, in full: one above 1<<63 (vsyscall)
		// is a negative offset, which this file takes.
		k, _, errno := unix.Syscall6(unix.SYS_PREAD64, uintptr(fd), uintptr(unsafe.Pointer(&b[n])),
			uintptr(len(b)-n), uintptr(addr+uint64(n)), 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return n, errno
		}
		if k == 0 {
			return n, unix.EFAULT
		}
		n += int(k)
	}
	return n, nil
}
