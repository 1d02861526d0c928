//go:build unix

package guard

import (
	"os"
	"slices"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Map maps the first size bytes of f for reading; f may be closed afterwards.
// The bytes are to be read within Read only. The caller must Unmap them.
func Map(f *os.File, size int) ([]byte, error) {
	b, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return nil, err
	}
	ranges.mu.Lock()
	defer ranges.mu.Unlock()
	ranges.list = append(ranges.list, rangeOf(b))
	return b, nil
}

// Unmap ends the use of bytes that Map returned, all of them.
func Unmap(b []byte) error {
	// Before the kernel can give the addresses to another mapping.
	ranges.mu.Lock()
	if i := slices.Index(ranges.list, rangeOf(b)); i >= 0 {
		ranges.list = slices.Delete(ranges.list, i, i+1)
	}
	ranges.mu.Unlock()
	return unix.Munmap(b)
}

// Discard gives back the memory that the pages of b, which Map returned, take in
// this process. What is read again is mapped again.
func Discard(b []byte) {
	unix.Madvise(b, unix.MADV_DONTNEED) // to save memory, no more
}

// addresses is the range of a mapping.
type addresses struct{ start, end uintptr }

// ranges are the mappings of this process that can fault. Only faults ask.
var ranges struct {
	mu   sync.Mutex
	list []addresses
}

func rangeOf(b []byte) addresses {
	start := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	return addresses{start, start + uintptr(len(b))}
}

// isFault reports whether a recovered value is a fault on bytes that Map
// returned. A fault elsewhere, as on bytes that were unmapped, is a mistake.
func isFault(p any) bool {
	// Documented in package runtime/debug, at SetPanicOnFault.
	f, ok := p.(interface{ Addr() uintptr })
	if !ok {
		return false
	}
	at := f.Addr()
	ranges.mu.Lock()
	defer ranges.mu.Unlock()
	return slices.ContainsFunc(ranges.list, func(r addresses) bool { return at >= r.start && at < r.end })
}
