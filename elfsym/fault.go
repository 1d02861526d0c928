package elfsym

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// ErrFault is the error for a mapped file of which a part cannot be read any
// more: somebody truncated it, or the disk or the network failed.
var ErrFault = errors.New("file cannot be read any more (truncated while in use, or an I/O error)")

// Protect runs fn and turns a memory fault in it into ErrFault. Use it around
// code that reads slices of a mapped Image (Bytes, Section, NameBytes):
// a file that shrinks while it is mapped raises SIGBUS, which would end the
// program. A call costs about 20 ns, so let fn do the whole of the work.
func Protect(fn func() error) (err error) {
	// The setting belongs to the goroutine, hence the restore.
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if p := recover(); p != nil {
			if !isFault(p) {
				panic(p)
			}
			err = ErrFault
		}
	}()
	return fn()
}

// isFault reports whether a recovered value is a memory fault at an address
// outside of Go's own memory; package runtime documents the Addr method.
func isFault(p any) bool {
	_, ok := p.(interface{ Addr() uintptr })
	return ok
}

// guard runs fn, which reads the image, and lets no panic out: a fault becomes
// ErrFault and any other panic an error, because a file must not be able to end
// the program.
func (im *Image) guard(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if panicky {
				panic(p)
			}
			err = fmt.Errorf("malformed ELF file: %v", p)
		}
	}()
	if im.mapped {
		return Protect(fn)
	}
	return fn()
}

// panicky lets a panic that is no fault through: tests and fuzzing set it, so
// that guard does not hide mistakes of this package from them.
var panicky bool
