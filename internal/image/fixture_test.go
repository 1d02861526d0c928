package image_test

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/procfs"
	"github.com/gatedso/bt/internal/testelf"
	"github.com/gatedso/bt/maps"
)

// libOf is a library with its text on the second page, linked at base.
func libOf(class elf.Class, base uint64, id string) testelf.File {
	f := testelf.File{
		Class: class, Base: base,
		Sections: []testelf.Section{
			{Name: ".text", Flags: testelf.TextFlags, Addr: base + 0x1000, Data: make([]byte, 0x100)},
		},
		Symbols: []testelf.Symbol{
			{Name: "first", Value: base + 0x1000, Size: 0x40, Type: elf.STT_FUNC, Bind: elf.STB_GLOBAL, Section: ".text"},
			{Name: "second", Value: base + 0x1040, Size: 0x40, Type: elf.STT_FUNC, Bind: elf.STB_GLOBAL, Section: ".text"},
		},
		Segments: []testelf.Segment{
			{Type: elf.PT_LOAD, Flags: elf.PF_R, Off: 0, Vaddr: base, Filesz: 0x1000, Align: 0x1000},
			{Type: elf.PT_LOAD, Flags: elf.PF_R | elf.PF_X, Off: 0x1000, Vaddr: base + 0x1000, Filesz: 0x1000, Align: 0x1000},
			{Type: elf.PT_LOAD, Flags: elf.PF_R | elf.PF_W, Off: 0x2000, Vaddr: base + 0x3000, Filesz: 0x1000, Align: 0x1000},
		},
	}
	if class == elf.ELFCLASS32 {
		f.Machine = elf.EM_386
	}
	if base != 0 {
		f.Type = elf.ET_EXEC
	}
	if id != "" {
		// In the first page, where linkers put it.
		note := binary.LittleEndian.AppendUint32(nil, 4)
		note = binary.LittleEndian.AppendUint32(note, uint32(len(id)))
		note = binary.LittleEndian.AppendUint32(note, 3) // NT_GNU_BUILD_ID
		note = append(append(note, "GNU\x00"...), id...)
		f.Sections = append(f.Sections, testelf.Section{Name: ".note.gnu.build-id", Type: elf.SHT_NOTE, Flags: elf.SHF_ALLOC, Addr: base + 0x400, Data: note})
		f.Segments = append(f.Segments, testelf.Segment{Type: elf.PT_NOTE, Flags: elf.PF_R, Off: 0x400, Vaddr: base + 0x400, Filesz: uint64(len(note)), Align: 4})
	}
	return f
}

// padded is data filled up to n bytes.
func padded(data []byte, n int) []byte {
	if len(data) < n {
		data = append(data, make([]byte, n-len(data))...)
	}
	return data
}

// write puts a file into the test's directory.
func write(t testing.TB, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func parse(t testing.TB, format string, args ...any) *maps.Map {
	t.Helper()
	m, err := maps.Parse(fmt.Appendf(nil, format, args...))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// source is an address space made by hand.
type source struct {
	files map[string]string // path in the maps: path of the file
	other map[string]bool   // paths behind which it is not certain that the mapped file lies
	ids   map[string][]byte
	mem   []memory
	opens int
}

type memory struct {
	addr uint64
	b    []byte
}

func (s *source) OpenMapping(m *maps.Mapping) (*os.File, string, bool, error) {
	s.opens++
	path, ok := s.files[m.Path]
	if !ok {
		return nil, "", false, fmt.Errorf("%s: %w", m.Path, os.ErrNotExist)
	}
	f, err := procfs.Open(path)
	return f, "test", !s.other[m.Path], err
}

func (s *source) ReadMemory(addr uint64, b []byte) (int, error) {
	for _, m := range s.mem {
		if d := addr - m.addr; d < uint64(len(m.b)) {
			return copy(b, m.b[d:]), nil
		}
	}
	return 0, errors.New("no such memory")
}

func (s *source) BuildID(m *maps.Mapping) []byte { return s.ids[m.Path] }

// load maps an image's segments into memory as libOf lays them out.
func (s *source) load(data []byte, addr uint64) {
	data = padded(data, 0x3000)
	for _, p := range [][2]uint64{{0, 0}, {0x1000, 0x1000}, {0x2000, 0x3000}} {
		s.mem = append(s.mem, memory{addr + p[1], append([]byte{}, data[p[0]:p[0]+0x1000]...)})
	}
}

// libMaps are the lines of a library that libOf made and that is loaded at addr.
func libMaps(addr uint64, path string, inode int) string {
	return fmt.Sprintf("%x-%x r--p 00000000 08:01 %d %s\n%x-%x r-xp 00001000 08:01 %d %s\n%x-%x rw-p 00002000 08:01 %d %s\n",
		addr, addr+0x1000, inode, path, addr+0x1000, addr+0x2000, inode, path, addr+0x3000, addr+0x4000, inode, path)
}

func symbolAt(p image.Place, addr uint64) string {
	if p.Image == nil {
		return ""
	}
	s, ok := p.Image.Lookup(p.Link(addr))
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s+%x", s.Name, p.Link(addr)-s.Value)
}
