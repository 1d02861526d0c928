package core

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// widen makes a pipe hold more, as far as it may: of a large core most is read
// only to be skipped, and each time that the pipe runs empty costs a switch to
// the writer and back.
func widen(r io.Reader) {
	if f, ok := r.(*os.File); ok {
		unix.FcntlInt(f.Fd(), unix.F_SETPIPE_SZ, 1<<20)
	}
}
