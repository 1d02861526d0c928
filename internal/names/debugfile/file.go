package debugfile

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/guard"
)

// fileID tells files apart, and versions of a file that is written to.
type fileID struct {
	dev, ino    uint64
	size, mtime int64 // bytes, nanoseconds
}

// file is what is known of a file that a search came across. It is opened, and
// its CRC computed, once.
type file struct {
	openOnce sync.Once
	im       *elfsym.Image
	openErr  error

	crcOnce sync.Once
	crc     uint32
	crcErr  error
}

// file returns the entry for id.
func (f *Finder) file(id fileID) *file {
	f = f.shared()
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.files[id]
	if e == nil {
		if f.files == nil {
			f.files = make(map[fileID]*file)
		}
		e = new(file)
		f.files[id] = e
	}
	return e
}

func (e *file) open(f *os.File) (*elfsym.Image, error) {
	e.openOnce.Do(func() { e.im, e.openErr = elfsym.Open(f, f.Name()) })
	return e.im, e.openErr
}

// maxCRC bounds, in bytes, the file that is read to compute its CRC.
const maxCRC = 8 << 30

// checksum returns the CRC of the whole file, which is read piece by piece.
func (e *file) checksum(f *os.File) (uint32, error) {
	e.crcOnce.Do(func() {
		h := crc32.NewIEEE()
		n, err := io.CopyBuffer(h, io.NewSectionReader(f, 0, maxCRC+1), make([]byte, 64<<10))
		if err == nil && n > maxCRC {
			err = errors.New("too large to compute the CRC of")
		}
		e.crc, e.crcErr = h.Sum32(), err
	})
	return e.crc, e.crcErr
}

// helps checks that a file is of the image's kind and adds something to it.
func (s *search) helps(im *elfsym.Image) error {
	switch {
	case im.Machine != s.im.Machine || im.Class != s.im.Class || im.Order != s.im.Order:
		return fmt.Errorf("%s: for another machine (%v, %v)", im.Name, im.Machine, im.Class)
	case s.info && !HasInfo(im):
		return fmt.Errorf("%s: has no .debug_info", im.Name)
	case !s.info && (im.NumSymbols() == 0 || im.TableOf(0) != ".symtab"): // a .symtab's symbols come first
		return fmt.Errorf("%s: has no .symtab", im.Name)
	case sameBytes(im, s.im):
		return fmt.Errorf("%s: is the same file as the image", im.Name)
	}
	return nil
}

// sameBytes finds a debuglink that leads back to the image, by whatever name,
// link or copy.
func sameBytes(a, b *elfsym.Image) (same bool) {
	guard.Read(func() error {
		same = bytes.Equal(a.Data(), b.Data())
		return nil
	})
	return same
}

// sameID accepts a file by its build ID.
func (s *search) sameID(e *file, _ *os.File) error {
	if id := e.im.BuildID(); !bytes.Equal(id, s.id) {
		return fmt.Errorf("%s: build ID is %x, not %x", e.im.Name, id, s.id)
	}
	return nil
}

// linkedTo accepts the file that the debuglink means.
func (s *search) linkedTo(e *file, f *os.File) error {
	if id := e.im.BuildID(); len(id) != 0 && len(s.id) != 0 {
		return s.sameID(e, f)
	}
	crc, err := e.checksum(f)
	if err != nil {
		return fmt.Errorf("%s: %w", e.im.Name, err)
	}
	if crc != s.link.CRC {
		return fmt.Errorf("%s: CRC is %08x, not %08x", e.im.Name, crc, s.link.CRC)
	}
	return nil
}

// identify returns the identity of an open file.
func identify(f *os.File) (fileID, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fileID{}, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return fileID{uint64(st.Dev), st.Ino, st.Size, st.Mtim.Nano()}, nil
}
