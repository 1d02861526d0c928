// Package vdso gets the gate DSO's images from the running kernel: the ELF
// images, one per ABI, that it maps into every process as [vdso].
package vdso

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/maps"
)

// ABI is one of the ABIs that a kernel serves: each has an image of its own.
type ABI = arch.ABI

// ABIs lists all of them.
func ABIs() []ABI { return arch.ABIs() }

// Of returns the ABI that an ELF file is for.
func Of(im *elfsym.Image) ABI { return arch.ABIOf(im.Machine, im.Class) }

// Image is the gate image of one process.
type Image struct {
	*elfsym.Image        // of File
	Start, End    uint64 // where the process has it mapped; 0 for one from a file
	// File is the image as an ELF file: what is mapped, without the padding
	// up to the page's end.
	File []byte
	// From says where it was read: "process 123", or a file's path.
	From string
}

// ABI returns the ABI that the image is for.
func (im *Image) ABI() ABI { return Of(im.Image) }

// Process is what it takes to read a process's image.
type Process interface {
	Maps() ([]byte, error)
	ReadMemory(addr uint64, b []byte) (int, error)
}

// ErrNone is the error for a process that has no [vdso].
var ErrNone = errors.New("has no [vdso]")

// maxSize bounds the size of an image in bytes; those of today have 4 to 24 KiB.
const maxSize = 1 << 20

// FromProcess reads the image that p maps. from names the process in messages.
func FromProcess(p Process, from string) (*Image, error) {
	text, err := p.Maps()
	if err != nil {
		return nil, err
	}
	m, err := maps.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	for _, e := range m.Gates() {
		if m.GateOf(e) != maps.VDSO {
			continue
		}
		if e.End-e.Start > maxSize {
			return nil, fmt.Errorf("%s: its [vdso] is too large: %d bytes", from, e.End-e.Start)
		}
		data := make([]byte, e.End-e.Start)
		n, err := p.ReadMemory(e.Start, data)
		if n < len(data) {
			if err == nil {
				err = io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("%s: reading its [vdso]: %w", from, err)
		}
		im, err := New(data, from)
		if err != nil {
			return nil, err
		}
		im.Start, im.End = e.Start, e.End
		return im, nil
	}
	return nil, fmt.Errorf("%s %w: the kernel was booted with vdso=0, or has none for this ABI", from, ErrNone)
}

// New takes in the bytes of a mapped image, which it may change.
func New(data []byte, from string) (*Image, error) {
	data, err := trim(data)
	if err != nil {
		return nil, fmt.Errorf("%s: its [vdso] is no ELF image: %w", from, err)
	}
	im, err := elfsym.New(data, from)
	if err != nil {
		return nil, err
	}
	return &Image{Image: im, File: data, From: from}, nil
}

// Own reads the image in bt itself: the one of bt's own ABI.
func Own() (*Image, error) {
	return FromProcess(procFiles("/proc/self"), "bt itself")
}

// procFiles reads a process through the files in its directory of procfs.
type procFiles string

func (dir procFiles) Maps() ([]byte, error) { return os.ReadFile(filepath.Join(string(dir), "maps")) }

func (dir procFiles) ReadMemory(addr uint64, b []byte) (int, error) {
	f, err := os.Open(filepath.Join(string(dir), "mem"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.ReadAt(b, int64(addr))
}
