package core

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"testing"

	"github.com/gatedso/bt/internal/testcore"
)

// use reads all of a File that must never fail.
func use(t *testing.T, f *File) {
	t.Helper()
	f.FindFiles(func(name string, program bool) (string, []byte) { return "/" + name, []byte(elf.ELFMAG) })
	m := f.Maps()
	f.Program()
	mem := f.Memory(nil)
	for i := range f.Threads {
		mem.Word(f.Threads[i].SP, 8)
	}
	for i := range m.Entries {
		f.ReadMemory(m.Entries[i].End-1, make([]byte, 16))
	}
}

// FuzzCore: whatever a file holds, reading it ends, and the two ways of reading
// it agree on the threads. The seeds lead to program headers of every kind.
func FuzzCore(f *testing.F) {
	c := small()
	for i := range c.Loads {
		c.Loads[i].Memsz, c.Loads[i].Filesz = 0x1000, 0x10
	}
	f.Add(c.Bytes())
	c.NotesLast, c.Xnum = true, true
	f.Add(c.Bytes())
	c = small()
	c.Class, c.Machine, c.Order = elf.ELFCLASS32, elf.EM_PPC, binary.BigEndian
	f.Add(c.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := New(data)
		s, serr := Stream(bytes.NewReader(data), StreamOptions{MaxMemory: 1 << 16})
		if err == nil {
			use(t, file)
		}
		if serr == nil {
			use(t, s)
			kept := 0
			for _, p := range s.mem {
				kept += len(p.data)
			}
			if kept > 1<<16 {
				t.Errorf("%d bytes are kept", kept)
			}
		}
	})
}

// FuzzNotes: notes of any machine.
func FuzzNotes(f *testing.F) {
	c := small()
	for _, n := range c.Notes {
		one := testcore.Core{Notes: []testcore.Note{n}}
		data := one.Bytes()
		f.Add(data[120:min(len(data), 120+64+len(n.Desc))], uint16(elf.EM_X86_64), true, false)
		f.Add(data[120:min(len(data), 120+64+len(n.Desc))], uint16(elf.EM_MIPS), false, true)
	}
	f.Fuzz(func(t *testing.T, data []byte, machine uint16, is64, big bool) {
		h := header{class: elf.ELFCLASS32, order: binary.LittleEndian, machine: elf.Machine(machine)}
		if is64 {
			h.class = elf.ELFCLASS64
		}
		if big {
			h.order = binary.BigEndian
		}
		mapped := newFile(&h)
		whole := mapped.notes(&h, data)
		mapped.finish()
		use(t, mapped)

		streamed := newFile(&h)
		in := &input{r: bytes.NewReader(data), limit: ^uint64(0)}
		// A stream asks for room, so that huge notes are left out.
		got := in.notes(streamed, &h, &phdr{filesz: uint64(len(data))}, 1<<20)
		streamed.finish()
		if len(data) < 1<<18 && (whole != got || len(mapped.Threads) != len(streamed.Threads)) {
			t.Errorf("mapped: whole %v, %d threads; as a stream: %v, %d", whole, len(mapped.Threads), got, len(streamed.Threads))
		}
	})
}

// FuzzLinkMap: memory of any contents, with no NT_FILE note.
func FuzzLinkMap(f *testing.F) {
	f.Add(linked().Loads[0].Data)
	f.Fuzz(func(t *testing.T, data []byte) {
		c := linked()
		c.Loads[0].Data = data[:min(len(data), 0x4000)]
		file, err := New(c.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		use(t, file)
		if len(file.Files) > 4*maxImages*maxHeaders/56 {
			t.Errorf("%d files", len(file.Files))
		}
	})
}
