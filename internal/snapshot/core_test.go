//go:build linux

package snapshot

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/internal/process/core"
	"github.com/gatedso/bt/internal/testcore"
	"github.com/gatedso/bt/internal/testelf"
	"github.com/gatedso/bt/internal/unwind"
	"github.com/gatedso/bt/maps"
)

const progAt = 0x400000

// elfFile is an ELF file with one build ID, in its first page as linkers put
// it, and 8 KiB of text; id 0 has none.
func elfFile(id byte) []byte {
	f := testelf.File{
		Base:     progAt,
		Sections: []testelf.Section{{Name: ".text", Flags: testelf.TextFlags, Addr: progAt + 0x1000, Data: bytes.Repeat([]byte{id}, 0x2000)}},
		Symbols:  []testelf.Symbol{{Name: "main", Value: progAt + 0x1000, Size: 0x2000, Type: elf.STT_FUNC, Section: ".text"}},
	}
	note := append([]byte{4, 0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0, 'G', 'N', 'U', 0}, id, id, id, id)
	if id == 0 || id == withoutID {
		note[8] = 77 // of another type
	}
	f.Sections = append(f.Sections, testelf.Section{Name: ".note.gnu.build-id", Type: elf.SHT_NOTE, Flags: elf.SHF_ALLOC, Addr: progAt + 0x400, Data: note})
	f.Segments = []testelf.Segment{{Type: elf.PT_NOTE, Off: 0x400, Vaddr: progAt + 0x400, Filesz: uint64(len(note))}}
	return f.Bytes()
}

// withoutID is another file without build ID.
const withoutID = 3

// coreOf is the core of a process that maps the file at path, of which it holds
// the first page.
func coreOf(t *testing.T, path string, image []byte) *core.File {
	t.Helper()
	size := (uint64(len(image)) + 0xfff) &^ 0xfff
	c := &testcore.Core{Loads: []testcore.Load{
		{Addr: progAt, Memsz: size, Data: image[:0x1000], Flags: elf.PF_R | elf.PF_X},
		{Addr: 0x7ffe0000, Filesz: 0x1000, Flags: elf.PF_R | elf.PF_W},
	}}
	c.Notes = []testcore.Note{
		c.AMD64(7, 11, progAt+0x1010, 0x7ffe0100),
		c.Auxv(3, progAt+64),
		c.Files(testcore.Mapped{Start: progAt, End: progAt + size, Path: path}),
	}
	f, err := core.New(c.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Which file stands for a mapping, and whether memory is read from it.
func TestCoreSource(t *testing.T) {
	for _, tt := range []struct {
		name           string
		mapped         byte // build ID of what was mapped; 0: none
		path, sys, exe byte // of the files that stand there; 0xff: there is none
		want           string
		memory, warned bool
	}{
		{name: "in place", mapped: 1, path: 1, sys: 0xff, exe: 0xff, want: "path", memory: true},
		{name: "another by now", mapped: 1, path: 2, sys: 0xff, exe: 0xff},
		{name: "gone", mapped: 1, path: 0xff, sys: 0xff, exe: 0xff},
		{name: "sysroot", mapped: 1, path: 2, sys: 1, exe: 0xff, want: "sysroot", memory: true},
		{name: "sysroot first", mapped: 1, path: 1, sys: 1, exe: 0xff, want: "sysroot", memory: true},
		{name: "another in sysroot", mapped: 1, path: 1, sys: 2, exe: 0xff, want: "path", memory: true},
		{name: "named", mapped: 1, path: 2, sys: 2, exe: 1, want: "exe", memory: true},
		{name: "named wrongly", mapped: 1, path: 1, sys: 0xff, exe: 2, want: "path", memory: true, warned: true},
		// Without build ID the first page must do, and memory is not vouched for.
		{name: "no build ID", mapped: 0, path: 0, sys: 0xff, exe: 0xff, want: "path"},
		{name: "no build ID, another", mapped: 0, path: withoutID, sys: 0xff, exe: 0xff},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			put := func(path string, id byte) string {
				if id == 0xff {
					return ""
				}
				os.MkdirAll(filepath.Dir(path), 0o755)
				if err := os.WriteFile(path, elfFile(id), 0o644); err != nil {
					t.Fatal(err)
				}
				return path
			}
			path := filepath.Join(dir, "prog")
			put(path, tt.path)
			put(filepath.Join(dir, "root", path), tt.sys)
			files := CoreFiles{Sysroot: filepath.Join(dir, "root"), Exe: put(filepath.Join(dir, "exe"), tt.exe)}
			var warned []string
			files.Warn = func(format string, args ...any) { warned = append(warned, format) }
			if tt.sys == 0xff {
				files.Sysroot = ""
			}
			src := NewCoreSource(coreOf(t, path, elfFile(tt.mapped)), files)
			defer src.Close()
			if src.Program() != path {
				t.Errorf("the program is %q", src.Program())
			}
			m := src.Maps.Find(progAt)
			f, via, same, err := src.OpenMapping(m)
			if via != tt.want || same != (tt.want != "") || (err == nil) != same {
				t.Errorf("%q, %v, %v; want %q", via, same, err, tt.want)
			}
			if f != nil {
				f.Close()
			}
			if (len(warned) > 0) != tt.warned {
				t.Errorf("warnings: %q", warned)
			}
			b := make([]byte, 0x200)
			n, err := src.ReadMemory(progAt+0xf00, b)
			switch {
			case tt.memory && (err != nil || n != len(b) || b[0x1ff] != tt.mapped):
				t.Errorf("memory of the file: %d bytes, %v, % x", n, err, b[0x1f0:])
			case !tt.memory && (err == nil || n != 0x100):
				t.Errorf("memory of a file that is not proven: %d bytes, %v", n, err)
			}
		})
	}
}

// Memory that a process could have written to is not its file's.
func TestCoreSourceWritable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "prog")
	if err := os.WriteFile(path, elfFile(1), 0o644); err != nil {
		t.Fatal(err)
	}
	src := NewCoreSource(coreOf(t, path, elfFile(1)), CoreFiles{})
	defer src.Close()
	src.Maps.Find(progAt).Perm |= maps.Write
	if n, err := src.ReadMemory(progAt+0x1000, make([]byte, 8)); n != 0 || err == nil {
		t.Errorf("%d, %v", n, err)
	}
}

// A function of the caller's stands for all paths, and is trusted as little.
func TestCoreSourceOpen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "prog")
	for name, id := range map[string]byte{"prog": 1, "same": 1, "other": 2} {
		if err := os.WriteFile(filepath.Join(dir, name), elfFile(id), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"same": "link", "other": "", "nothing": ""} {
		src := NewCoreSource(coreOf(t, path, elfFile(1)), CoreFiles{Exe: path, Open: func(m *maps.Mapping) (*os.File, string, error) {
			if m.Path != path || m.Start != progAt {
				t.Errorf("%+v", m)
			}
			f, err := os.Open(filepath.Join(dir, name))
			return f, "link", err
		}})
		f, via, same, err := src.OpenMapping(src.Maps.Find(progAt))
		if via != want || same != (want != "") || (err == nil) != same {
			t.Errorf("%s: %q, %v, %v", name, via, same, err)
		}
		if f != nil {
			f.Close()
		}
		if n, _ := src.ReadMemory(progAt+0x1000, make([]byte, 8)); (n == 8) != same {
			t.Errorf("%s: %d bytes", name, n)
		}
		src.Close()
	}
}

func TestCoreThreads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "prog")
	src := NewCoreSource(coreOf(t, path, elfFile(1)), CoreFiles{})
	defer src.Close()
	s := Core(src, Options{TIDs: []int{7, 8}, Cache: new(image.Cache)})
	defer s.Close()
	if len(s.Threads) != 1 || s.Threads[0].TID != 7 || len(s.Gone) != 1 || s.Gone[0] != 8 {
		t.Fatalf("%+v", s)
	}
	if fr := s.Threads[0].Stack.Frames; len(fr) == 0 || fr[0].PC != progAt+0x1010 || !fr[0].Exact {
		t.Errorf("%+v", fr)
	}
	d, ok := src.Death()
	if !ok || d.Signo != 11 || d.PID != 7 || d.Info != nil {
		t.Errorf("%+v, %v", d, ok)
	}
}

// A CPU that bt does not unwind.
func TestCoreForeign(t *testing.T) {
	c := testcore.Core{Machine: elf.EM_PPC64, Order: binary.BigEndian}
	c.Notes = []testcore.Note{c.Thread(testcore.Thread{TID: 3, Signal: 19, Words: 48, Regs: map[int]uint64{32: 0x1234, 1: 0x5678}}, 32, 112)}
	f, err := core.New(c.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	src := NewCoreSource(f, CoreFiles{})
	st := Core(src, Options{Cache: new(image.Cache)}).Threads[0]
	if len(st.Stack.Frames) != 1 || st.Stack.Frames[0].PC != 0x1234 || st.Stack.Frames[0].SP != 0x5678 ||
		st.Stack.End != unwind.EndNoRegister || st.Machine != "ppc64" {
		t.Errorf("%+v", st)
	}
	if _, ok := src.Death(); ok {
		t.Error("SIGSTOP kills")
	}
}

// FuzzCore: a core that holds anything, down to the stacks.
func FuzzCore(f *testing.F) {
	c := &testcore.Core{Loads: []testcore.Load{
		{Addr: progAt, Memsz: 0x4000, Data: elfFile(1)[:0x1000], Flags: elf.PF_R | elf.PF_X},
		{Addr: 0x600000, Data: bytes.Repeat([]byte{0x55, 0x48, 0x89, 0xe5, 0xe8, 0, 0, 0, 0, 0xc3}, 40), Flags: elf.PF_R | elf.PF_X},
		{Addr: 0x7ffe0000, Data: bytes.Repeat([]byte{5, 0, 0x60, 0, 0, 0, 0, 0}, 64), Flags: elf.PF_R | elf.PF_W},
	}}
	c.Notes = []testcore.Note{
		c.AMD64(7, 11, 0x600005, 0x7ffe0010),
		c.Process(7, "fuzz", "fuzz"),
		c.Auxv(3, progAt+64, 33, 0x600000),
		c.Files(testcore.Mapped{Start: progAt, End: progAt + 0x4000, Path: "/nonexistent/prog"}),
	}
	f.Add(c.Bytes())
	c.Notes = c.Notes[:3]
	f.Add(c.Bytes())
	c.Machine, c.Class = elf.EM_386, elf.ELFCLASS32
	f.Add(c.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := core.New(data)
		if err != nil || len(file.Threads) > 10 {
			return
		}
		for _, m := range file.Files {
			if !strings.HasPrefix(m.Path, "/nonexistent/") {
				return // not a file of this machine
			}
		}
		src := NewCoreSource(file, CoreFiles{Sysroot: "/nonexistent"})
		defer src.Close()
		s := Core(src, Options{MaxFrames: 100, Cache: new(image.Cache)})
		defer s.Close()
		src.Death()
		for _, th := range s.Threads {
			if len(th.Stack.Frames) > 100 {
				t.Errorf("%d frames", len(th.Stack.Frames))
			}
		}
	})
}

// Parts are the whole, whatever their size.
func TestCoreParts(t *testing.T) {
	c := &testcore.Core{Loads: []testcore.Load{{Addr: 0x7ffe0000, Filesz: 0x1000, Flags: elf.PF_R | elf.PF_W}}}
	for tid := range 5 {
		c.Notes = append(c.Notes, c.AMD64(7+tid, 11, uint64(0x1000+tid), 0x7ffe0100))
	}
	f, err := core.New(c.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	src := NewCoreSource(f, CoreFiles{})
	defer src.Close()
	for _, tids := range [][]int{nil, {9, 7}, {1}} {
		o := Options{TIDs: tids, Cache: new(image.Cache)}
		whole := Core(src, o)
		for _, n := range []int{1, 2, 5, 6} {
			var got []process.Unwound
			parts := 0
			for s := range CoreParts(src, o, n) {
				if len(s.Threads) > n || len(s.Gone) != len(whole.Gone) {
					t.Errorf("%d threads in a part of %d, gone %v", len(s.Threads), n, s.Gone)
				}
				got = append(got, s.Threads...)
				parts++
			}
			same := func(a, b process.Unwound) bool { return a.TID == b.TID && len(a.Stack.Frames) == len(b.Stack.Frames) }
			if !slices.EqualFunc(got, whole.Threads, same) || parts != max(1, (len(got)+n-1)/n) {
				t.Errorf("threads %v in parts of %d: %d threads in %d parts, want %d", tids, n, len(got), parts, len(whole.Threads))
			}
		}
		whole.Close()
	}
}
