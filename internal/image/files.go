package image

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/procfs"
	"github.com/gatedso/bt/maps"
)

// Files is the source of an address space of which only the maps were saved:
// its files are taken by their paths.
type Files struct {
	Maps    *maps.Map
	Sysroot string            // the root directory of every path, if not empty
	IDs     map[string][]byte // build IDs by path, where they were saved with the maps
}

// OpenMapping implements Source. There is nothing to compare a file with but a
// saved build ID; a file that was deleted already when the maps were saved is
// used only with one. A file that is really called "x (deleted)" is taken for the
// mapped one where no x is there, or where it has the inode number of the maps.
func (f *Files) OpenMapping(m *maps.Mapping) (*os.File, string, bool, error) {
	if file := f.openSoCalled(m); file != nil {
		return file, "path", true, nil
	}
	file, err := procfs.In(f.Sysroot, m.Path)
	if err != nil {
		return nil, "", false, err
	}
	return file, "path", !m.Deleted, nil
}

// openSoCalled opens the file of m whose own name ends in " (deleted)"; nil where
// there is none.
func (f *Files) openSoCalled(m *maps.Mapping) *os.File {
	if !m.Deleted {
		return nil
	}
	file, err := procfs.In(f.Sysroot, m.Path+" (deleted)")
	if err != nil {
		return nil
	}
	id, err := idOf(file)
	if err == nil && id.ino != m.Inode {
		var other *os.File
		if other, err = procfs.In(f.Sysroot, m.Path); err == nil {
			other.Close()
			err = os.ErrExist
		} else if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
	}
	if err != nil {
		file.Close()
		return nil
	}
	return file
}

// FileBuildID reads a file's build ID, nil if it has none or is no ELF file.
func FileBuildID(f *os.File) []byte {
	im, err := elfsym.Open(f, f.Name())
	if err != nil {
		return nil
	}
	defer im.Close()
	return bytes.Clone(im.BuildID())
}

// BuildID implements Source.
func (f *Files) BuildID(m *maps.Mapping) []byte { return f.IDs[m.Path] }

var errNoMemory = errors.New("there is no process to read memory from")

// ReadMemory implements Source. The one memory that can be had without a
// process is the vDSO's, when bt's own is the same build: the kernel maps the
// same image into every process of a kind.
func (f *Files) ReadMemory(addr uint64, b []byte) (int, error) {
	e := f.Maps.Find(addr)
	if e == nil || f.Maps.GateOf(e) != maps.VDSO {
		return 0, errNoMemory
	}
	own, id := ownVDSO()
	if want := f.IDs[e.Path]; want == nil || !bytes.Equal(id, want) || addr-e.Start >= uint64(len(own)) {
		return 0, errNoMemory
	}
	return copy(b, own[addr-e.Start:]), nil
}

// ownVDSO returns bt's own vDSO image and its build ID.
var ownVDSO = sync.OnceValues(func() (image, id []byte) {
	m, err := ReadMaps("/proc/self/maps")
	if err != nil {
		return nil, nil
	}
	for _, e := range m.Gates() {
		if m.GateOf(e) != maps.VDSO {
			continue
		}
		mem, err := os.Open("/proc/self/mem")
		if err != nil {
			return nil, nil
		}
		defer mem.Close()
		image = make([]byte, e.End-e.Start)
		n, _ := mem.ReadAt(image, int64(e.Start))
		image = image[:n]
		if im, err := elfsym.New(image, e.Path); err == nil {
			return image, im.BuildID()
		}
	}
	return nil, nil
})

// ReadMaps reads and parses a maps file.
func ReadMaps(path string) (*maps.Map, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m, err := maps.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}
