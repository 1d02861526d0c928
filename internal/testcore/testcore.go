// Package testcore writes ELF core files for tests: of any class, byte order and
// machine, of any size without taking it in memory, in the layouts of different
// writers. Nonsense in a Core panics, as only tests use it.
package testcore

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io"
	"os"
)

// Core is a core file. The zero Class, Order and Machine are those of x86-64.
type Core struct {
	Class   elf.Class
	Order   binary.ByteOrder
	Machine elf.Machine
	Flags   uint32 // e_flags

	Notes []Note // in their order
	Loads []Load

	NotesLast bool // the notes stand behind the memory, as gdb writes them
	// Xnum counts the program headers in a section header, as where there
	// are too many for e_phnum.
	Xnum bool
}

// Note is one note; the Name is "CORE" if empty.
type Note struct {
	Name string
	Type uint32
	Desc []byte
}

// Types of notes (include/uapi/linux/elf.h).
const (
	PRStatus = 1
	FPRegset = 2
	PRPSInfo = 3
	Auxv     = 6
	Siginfo  = 0x53494749
	File     = 0x46494c45
)

// Load is a mapping. The file holds Data, and zeros up to Filesz.
type Load struct {
	Addr   uint64
	Memsz  uint64 // 0: what the file holds
	Filesz uint64 // 0: len(Data)
	Data   []byte
	Flags  elf.ProgFlag
}

func (c *Core) defaults() {
	if c.Class == elf.ELFCLASSNONE {
		c.Class = elf.ELFCLASS64
	}
	if c.Order == nil {
		c.Order = binary.LittleEndian
	}
	if c.Machine == elf.EM_NONE {
		c.Machine = elf.EM_X86_64
	}
	for i := range c.Loads {
		l := &c.Loads[i]
		l.Filesz = max(l.Filesz, uint64(len(l.Data)))
		l.Memsz = max(l.Memsz, l.Filesz)
	}
}

func (c *Core) is64() bool { return c.Class == elf.ELFCLASS64 }

// part is bytes of the file, and zeros behind them.
type part struct {
	data []byte
	size uint64
}

const page = 4096

func roundUp(n uint64) uint64 { return (n + page - 1) &^ (page - 1) }

// parts lays the file out.
func (c *Core) parts() []part {
	c.defaults()
	ehsize, phsize := uint64(64), uint64(56)
	if !c.is64() {
		ehsize, phsize = 52, 32
	}
	notes := c.notes()
	var body []part
	headers := ehsize + phsize*uint64(1+len(c.Loads))
	off := headers
	noteOff := off
	if !c.NotesLast {
		off += uint64(len(notes))
	}
	start := roundUp(off)
	loadOff := make([]uint64, len(c.Loads))
	off = start
	for i, l := range c.Loads {
		loadOff[i] = off
		size := roundUp(l.Filesz)
		body = append(body, part{l.Data, size})
		off += size
	}
	if c.NotesLast {
		noteOff = off
		body = append(body, part{notes, uint64(len(notes))})
		off += uint64(len(notes))
	}
	var head bytes.Buffer
	count := 1 + len(c.Loads)
	shoff, phnum := uint64(0), count
	if c.Xnum {
		shoff, phnum = off, 0xffff
		body = append(body, c.section0(count))
	}
	c.header(&head, ehsize, phsize, phnum, shoff)
	c.phdr(&head, elf.PT_NOTE, 0, noteOff, 0, uint64(len(notes)), 0)
	for i, l := range c.Loads {
		c.phdr(&head, elf.PT_LOAD, l.Flags, loadOff[i], l.Addr, l.Filesz, l.Memsz)
	}
	if !c.NotesLast {
		head.Write(notes)
	}
	return append([]part{{head.Bytes(), start}}, body...)
}

func (c *Core) put(w *bytes.Buffer, v any) { binary.Write(w, c.Order, v) }

func (c *Core) word(w *bytes.Buffer, v uint64) {
	if c.is64() {
		c.put(w, v)
	} else {
		c.put(w, uint32(v))
	}
}

func (c *Core) header(w *bytes.Buffer, ehsize, phsize uint64, phnum int, shoff uint64) {
	data := elf.ELFDATA2LSB
	if c.Order.Uint16([]byte{0, 1}) == 1 {
		data = elf.ELFDATA2MSB
	}
	w.WriteString(elf.ELFMAG)
	w.Write([]byte{byte(c.Class), byte(data), 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	c.put(w, uint16(elf.ET_CORE))
	c.put(w, uint16(c.Machine))
	c.put(w, uint32(1))
	c.word(w, 0)
	c.word(w, ehsize)
	c.word(w, shoff)
	c.put(w, c.Flags)
	sections := uint16(0)
	if shoff != 0 {
		sections = 1
	}
	for _, v := range []uint16{uint16(ehsize), uint16(phsize), uint16(phnum), 64, sections, 0} {
		c.put(w, v)
	}
}

func (c *Core) phdr(w *bytes.Buffer, typ elf.ProgType, flags elf.ProgFlag, off, addr, filesz, memsz uint64) {
	c.put(w, uint32(typ))
	if c.is64() {
		c.put(w, uint32(flags))
	}
	for _, v := range []uint64{off, addr, 0, filesz, memsz} {
		c.word(w, v)
	}
	if !c.is64() {
		c.put(w, uint32(flags))
	}
	c.word(w, page)
}

// section0 is the section header that counts the program headers.
func (c *Core) section0(count int) part {
	var w bytes.Buffer
	c.put(&w, uint32(0))
	c.put(&w, uint32(0))
	for range 4 {
		c.word(&w, 0) // flags, addr, offset, size
	}
	c.put(&w, uint32(0))
	c.put(&w, uint32(count))
	c.word(&w, 0)
	c.word(&w, 0)
	return part{w.Bytes(), uint64(w.Len())}
}

func (c *Core) notes() []byte {
	var w bytes.Buffer
	pad := func() {
		for w.Len()%4 != 0 {
			w.WriteByte(0)
		}
	}
	for _, n := range c.Notes {
		name := n.Name
		if name == "" {
			name = "CORE"
		}
		c.put(&w, uint32(len(name)+1))
		c.put(&w, uint32(len(n.Desc)))
		c.put(&w, n.Type)
		w.WriteString(name + "\x00")
		pad()
		w.Write(n.Desc)
		pad()
	}
	return w.Bytes()
}

// Reader returns the file as a stream.
func (c *Core) Reader() io.Reader {
	var list []io.Reader
	for _, p := range c.parts() {
		list = append(list, bytes.NewReader(p.data), io.LimitReader(zeros{}, int64(p.size)-int64(len(p.data))))
	}
	return io.MultiReader(list...)
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// Bytes returns the file.
func (c *Core) Bytes() []byte {
	b, err := io.ReadAll(c.Reader())
	if err != nil {
		panic(err)
	}
	return b
}

// WriteFile writes the file, with holes for the zeros.
func (c *Core) WriteFile(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var off int64
	for _, p := range c.parts() {
		if _, err := f.WriteAt(p.data, off); err != nil {
			return err
		}
		off += int64(p.size)
	}
	return f.Truncate(off)
}
