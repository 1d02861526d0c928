package elfsym

import "github.com/gatedso/bt/internal/guard"

// ErrFault is the error for a mapped file of which a part cannot be read any
// more: someone truncated it, or the disk or the network failed.
var ErrFault = guard.ErrFault

// Protect runs fn and turns a memory fault in it into ErrFault. Use it around
// code that reads slices of a mapped Image (Bytes, Data, Section, NameBytes):
// a file that shrinks while it is mapped raises SIGBUS, which would end the
// program. A call costs about 20 ns, so let fn do the whole of the work.
func Protect(fn func() error) error { return guard.Read(fn) }
