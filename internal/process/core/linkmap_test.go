package core

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatedso/bt/internal/testcore"
)

// memoryImage builds the bytes of a 64-bit image: header, program headers.
func memoryImage(phdrs ...phdr) []byte {
	le := binary.LittleEndian
	b := make([]byte, 64+56*len(phdrs))
	copy(b, "\x7fELF\x02\x01\x01")
	le.PutUint64(b[32:], 64)
	le.PutUint16(b[54:], 56)
	le.PutUint16(b[56:], uint16(len(phdrs)))
	for i, p := range phdrs {
		at := b[64+56*i:]
		le.PutUint32(at, uint32(p.typ))
		le.PutUint64(at[8:], p.off)
		le.PutUint64(at[16:], p.vaddr)
		le.PutUint64(at[32:], p.filesz)
		le.PutUint64(at[40:], p.memsz)
	}
	return b
}

const (
	progAt   = 0x555500000000
	libAt    = progAt + 0x2000
	linkerAt = progAt + 0x3000
)

// linked is a dynamically linked process without NT_FILE, all of whose memory
// is one mapping: the program at its start, a library at 0x2000, the dynamic
// linker at 0x3000.
func linked() *testcore.Core {
	mem := make([]byte, 0x4000)
	le := binary.LittleEndian
	words := func(at int, w ...uint64) {
		for i, v := range w {
			le.PutUint64(mem[at+8*i:], v)
		}
	}
	copy(mem, memoryImage(
		phdr{typ: elf.PT_INTERP, off: 0x300, vaddr: 0x300, filesz: 16},
		phdr{typ: elf.PT_LOAD, off: 0, vaddr: 0, filesz: 0x800, memsz: 0x800},
		phdr{typ: elf.PT_LOAD, off: 0x1000, vaddr: 0x1000, filesz: 0x100, memsz: 0x1000},
		phdr{typ: elf.PT_DYNAMIC, off: 0x1000, vaddr: 0x1000, filesz: 0x100}))
	copy(mem[0x300:], "/lib/ld.so\x00")
	words(0x1000, 1, 0x10, uint64(elf.DT_DEBUG), progAt+0x1100, 0, 0)
	words(0x1100, 1, progAt+0x1200)
	words(0x1200, progAt, progAt+0x400, progAt+0x1000, progAt+0x1300, 0) // the program: no name
	words(0x1300, libAt, progAt+0x1500, libAt+0x200, progAt+0x1400, progAt+0x1200)
	words(0x1400, linkerAt, progAt+0x300, linkerAt+0x200, progAt+0x1300, 0) // round in a circle
	copy(mem[0x1500:], "/lib/libone.so\x00")
	copy(mem[0x1600:], "./prog\x00")
	lib := memoryImage(
		phdr{typ: elf.PT_LOAD, off: 0, vaddr: 0, filesz: 0x400, memsz: 0x400},
		phdr{typ: elf.PT_DYNAMIC, off: 0x200, vaddr: 0x200, filesz: 0x100})
	copy(mem[0x2000:], lib)
	copy(mem[0x3000:], lib)
	c := &testcore.Core{Loads: []testcore.Load{{Addr: progAt, Data: mem, Flags: elf.PF_R | elf.PF_W}}}
	c.Notes = []testcore.Note{
		c.AMD64(1, 11, progAt+0x10, progAt+0x3ff0),
		c.Auxv(atPhdr, progAt+64, atPhnum, 4, atPhent, 56, atBase, linkerAt, atExecfn, progAt+0x1600, atEntry, progAt+0x700),
	}
	return c
}

func found(t *testing.T, f *File, open func(string, bool) (string, []byte)) string {
	t.Helper()
	f.FindFiles(open)
	var b strings.Builder
	for _, m := range f.Files {
		b.WriteString(strings.Join([]string{hex(m.Start), hex(m.End), hex(m.Offset), m.Path}, " ") + "\n")
	}
	return b.String()
}

func hex(v uint64) string {
	const digits = "0123456789abcdef"
	if v < 16 {
		return digits[v : v+1]
	}
	return hex(v/16) + digits[v%16:v%16+1]
}

const wantFound = `555500000000 555500001000 0 /cwd/prog
555500001000 555500002000 1000 /cwd/prog
555500002000 555500003000 0 /lib/libone.so
555500003000 555500004000 0 /lib/ld.so
`

// noFiles is a machine without the files.
func noFiles(name string, _ bool) (string, []byte) {
	return strings.Replace(name, "./", "/cwd/", 1), nil
}

func TestFindFiles(t *testing.T) {
	f, err := New(linked().Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantFound, found(t, f, noFiles)); diff != "" {
		t.Error(diff)
	}
	if f.Program() != "/cwd/prog" {
		t.Errorf("program %q", f.Program())
	}
}

// Headers that the core does not hold are those of the files, if these are the
// ones.
func TestFindFilesByFiles(t *testing.T) {
	c := linked()
	mem := c.Loads[0].Data
	files := map[string][]byte{
		"./prog":         bytes.Clone(mem[:0x400]),
		"/lib/libone.so": bytes.Clone(mem[0x2000:0x2400]),
		"/lib/ld.so":     bytes.Clone(mem[0x3000:0x3400]),
	}
	binary.LittleEndian.PutUint64(files["./prog"][24:], 0x700) // e_entry
	clear(mem[:0x400])
	clear(mem[0x2000:])
	open := func(name string, program bool) (string, []byte) {
		path, _ := noFiles(name, program)
		return path, files[name]
	}
	data := c.Bytes()
	f, err := New(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantFound, found(t, f, open)); diff != "" {
		t.Error(diff)
	}

	// Another library of that name, then another program.
	binary.LittleEndian.PutUint64(files["/lib/libone.so"][64+56+16:], 0x208)
	f, _ = New(data)
	if got, want := found(t, f, open), strings.Replace(wantFound, "555500002000 555500003000 0 /lib/libone.so\n", "", 1); got != want {
		t.Error(cmp.Diff(want, got))
	}
	binary.LittleEndian.PutUint64(files["./prog"][24:], 0x708)
	f, _ = New(data)
	if got := found(t, f, open); got != "" {
		t.Error(got)
	}
}

// With the note, it is the note that counts.
func TestFindFilesNote(t *testing.T) {
	c := linked()
	c.Notes = append(c.Notes, c.Files(testcore.Mapped{Start: progAt, End: progAt + 0x1000, Path: "/note"}))
	f, err := New(c.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if got := found(t, f, noFiles); got != "555500000000 555500001000 0 /note\n" {
		t.Error(got)
	}
}
