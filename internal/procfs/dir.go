//go:build linux

package procfs

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Dir is the descriptor of an open directory of procfs: /proc/PID, or one below
// it. It stands for one process or thread, whatever becomes of the number: what
// is looked up in it fails once that is gone.
type Dir int

// OpenDir opens a directory. The caller closes it.
func OpenDir(path string) (Dir, error) {
	return Dir(unix.AT_FDCWD).Dir(path, unix.O_PATH)
}

// OpenPID opens the directory of the process or thread with that number, which
// works for every thread although only processes are listed. proc is where
// procfs is mounted. The caller closes it.
func OpenPID(proc string, pid int) (Dir, error) {
	return OpenDir(proc + "/" + strconv.Itoa(pid))
}

// Dir opens the directory called name, with O_PATH or O_RDONLY. The caller
// closes it.
func (d Dir) Dir(name string, flags int) (Dir, error) {
	fd, err := d.Open(name, flags|unix.O_DIRECTORY)
	return Dir(fd), err
}

// Close closes the directory.
func (d Dir) Close() error { return unix.Close(int(d)) }

// Open opens the file called name. The links of procfs lead to where they
// point. O_CLOEXEC is added to the flags; the error is an errno.
func (d Dir) Open(name string, flags int) (fd int, err error) { return openat(int(d), name, flags) }

// MapFile is the name, in the directory of a process, of the kernel's own link
// to the file that is mapped from start to end. Opening it takes
// CAP_CHECKPOINT_RESTORE.
func MapFile(start, end uint64) string {
	return "map_files/" + strconv.FormatUint(start, 16) + "-" + strconv.FormatUint(end, 16)
}

// Readlink returns where the link called name points, as the kernel writes it,
// or "" if that cannot be read.
func (d Dir) Readlink(name string) string {
	b := make([]byte, unix.PathMax+64)
	n, err := unix.Readlinkat(int(d), name, b)
	if err != nil {
		return ""
	}
	return string(b[:n])
}

// Root opens the root directory of the process. The caller closes it.
func (d Dir) Root() (*Root, error) {
	fd, err := d.Open("root", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	return &Root{fd: fd}, nil
}

// maxSmall bounds the files of procfs that are read whole, the maps excepted.
const maxSmall = 1 << 20

// Read returns what the file called name holds, up to 1 MiB of it.
func (d Dir) Read(name string) ([]byte, error) { return d.ReadUpTo(name, 2048, maxSmall) }

// ReadUpTo returns what the file called name holds, up to about limit bytes.
// size is how many it most likely holds. The error is an *os.PathError.
func (d Dir) ReadUpTo(name string, size, limit int) ([]byte, error) {
	fd, err := d.Open(name, unix.O_RDONLY)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	b := make([]byte, size)
	n := 0
	for {
		if n == len(b) {
			if len(b) >= limit {
				return b[:n], nil
			}
			b = append(b, make([]byte, len(b))...)
		}
		k, err := unix.Read(fd, b[n:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return b[:n], &os.PathError{Op: "read", Path: name, Err: err}
		}
		if k <= 0 {
			return b[:n], nil
		}
		n += k
	}
}

// Comm returns the name of a thread, as it is: it may hold any character. name
// is "comm", or "task/TID/comm".
func (d Dir) Comm(name string) (string, error) {
	b, err := d.ReadUpTo(name, 64, maxSmall)
	return strings.TrimSuffix(string(b), "\n"), err
}

// maxArgs bounds the command line that is read.
const maxArgs = 4096

// Cmdline returns the arguments of the process, of 4 KiB of them at most: it may
// have overwritten them. There are none once its leader has exited.
func (d Dir) Cmdline() ([]string, error) {
	b, err := d.ReadUpTo("cmdline", maxArgs, maxArgs)
	if err != nil || len(b) == 0 {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00"), nil
}

func openat(dir int, name string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, flags|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}
