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
	case im.NumSymbols() == 0 || im.TableOf(0) != ".symtab": // a .symtab's symbols come first
		return fmt.Errorf("%s: has no .symtab", im.Name)
	case sameBytes(im, s.im):
		return fmt.Errorf("%s: is the same file as the image", im.Name)
	}
	return nil
}

// sameBytes finds a debuglink that leads back to the image, by whatever name,
// link or copy.
func sameBytes(a, b *elfsym.Image) (same bool) {
	elfsym.Protect(func() error {
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

// identify returns the identity of an open file, which must be a regular one.
func identify(f *os.File) (fileID, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fileID{}, fmt.Errorf("%s: %w", f.Name(), err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return fileID{}, fmt.Errorf("%s: not a regular file", f.Name())
	}
	return fileID{uint64(st.Dev), st.Ino, st.Size, st.Mtim.Nano()}, nil
}

// openFlags do not wait for the other end of a pipe, nor make a terminal the
// controlling one.
const openFlags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC | unix.O_NOCTTY

func openRegular(path string) (*os.File, error) {
	fd, err := unix.Open(path, openFlags, 0)
	return regular(fd, err, path)
}

// regular makes a File of a descriptor from open(2), whose path is for messages.
func regular(fd int, err error, path string) (*os.File, error) {
	if err != nil {
		return nil, notThere(&os.PathError{Op: "open", Path: path, Err: err})
	}
	// NewFile looks at O_NONBLOCK and would hand the file to the poller.
	unix.SetNonblock(fd, false)
	f := os.NewFile(uintptr(fd), path)
	if _, err := identify(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// notThere makes ENOTDIR (a component of the path is a file) and ENAMETOOLONG
// what they mean to a search: there is no such file.
func notThere(err *os.PathError) error {
	if err.Err == unix.ENOTDIR || err.Err == unix.ENAMETOOLONG {
		err.Err = unix.ENOENT
	}
	return err
}
