package image_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/testelf"
)

// stripped is a library of which only what PT_DYNAMIC leads to is left: the
// dynamic section and what it points to lie in the writable segment.
func stripped(class elf.Class, hash testelf.Hash) testelf.File {
	f := libOf(class, 0, "lib")
	f.DynSyms, f.Symbols = f.Symbols, nil
	f.Hash = hash
	f.NoSectionHeaders = true
	// One segment and one mapping: the file is as the writer lays it out.
	f.Segments = nil
	f.Sections = f.Sections[:1]
	f.BuildID = []byte("lib")
	return f
}

// relocated is data as glibc's dynamic linker leaves it in memory: with the
// load bias added to the addresses in PT_DYNAMIC.
func relocated(t *testing.T, data []byte, bias uint64) []byte {
	t.Helper()
	data = bytes.Clone(data)
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	for _, p := range f.Progs {
		if p.Type != elf.PT_DYNAMIC {
			continue
		}
		word := uint64(8)
		get := func(at uint64) uint64 { return binary.LittleEndian.Uint64(data[at:]) }
		put := func(at, v uint64) { binary.LittleEndian.PutUint64(data[at:], v) }
		if f.Class == elf.ELFCLASS32 {
			word = 4
			get = func(at uint64) uint64 { return uint64(binary.LittleEndian.Uint32(data[at:])) }
			put = func(at, v uint64) { binary.LittleEndian.PutUint32(data[at:], uint32(v)) }
		}
		for at := p.Off; at < p.Off+p.Filesz; at += 2 * word {
			switch elf.DynTag(get(at)) {
			case elf.DT_SYMTAB, elf.DT_STRTAB, elf.DT_HASH, elf.DT_GNU_HASH:
				put(at+word, get(at+word)+bias)
				changed++
			}
		}
	}
	if changed < 2 {
		t.Fatalf("%d addresses in PT_DYNAMIC", changed)
	}
	return data
}

// An image that only the memory holds, before and after relocation.
func TestImageFromMemory(t *testing.T) {
	for _, class := range []elf.Class{elf.ELFCLASS64, elf.ELFCLASS32} {
		for _, hash := range []testelf.Hash{testelf.SysVHash, testelf.GNUHash} {
			for _, moved := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v/%d/%v", class, hash, moved), func(t *testing.T) {
					at := uint64(0x40000000)
					if class == elf.ELFCLASS64 {
						at = libAt
					}
					data := stripped(class, hash).Bytes()
					if moved {
						data = relocated(t, data, at)
					}
					data = padded(data, 0x2000)
					src := &source{mem: []memory{{at, data}}}
					s := image.NewSpace(parse(t, "%x-%x r-xp 00000000 08:01 12 /lib/lib.so (deleted)\n", at, at+0x2000), src, new(image.Cache))
					p := s.Locate(at + 0x1044)
					if got := symbolAt(p, at+0x1044); got != "second+4" || p.Bias != at {
						t.Errorf("%q, bias %x: %v", got, p.Bias, p.Err)
					}
					if id := p.Module.MappedBuildID(); string(id) != "lib" {
						t.Errorf("build ID %q", id)
					}
				})
			}
		}
	}
}

// A library that is loaded twice (dlmopen) is one module. What is read from
// memory must be all of one copy.
func TestTwoCopiesInMemory(t *testing.T) {
	const second = libAt + 0x100000
	data := padded(stripped(elf.ELFCLASS64, testelf.GNUHash).Bytes(), 0x2000)
	src := &source{mem: []memory{{libAt, relocated(t, data, libAt)}, {second, relocated(t, data, second)}}}
	line := "%x-%x r-xp 00000000 08:01 12 /lib/lib.so (deleted)\n"
	s := image.NewSpace(parse(t, line+line, uint64(libAt), uint64(libAt+0x2000), uint64(second), uint64(second+0x2000)), src, new(image.Cache))
	for _, at := range []uint64{libAt, second} {
		p := s.Locate(at + 0x1044)
		if got := symbolAt(p, at+0x1044); got != "second+4" || p.Bias != at {
			t.Errorf("at %x: %q, bias %x: %v", at, got, p.Bias, p.Err)
		}
	}
}

// Hostile images in memory: whatever the bytes are, there is an end to it.
func FuzzMemoryImage(f *testing.F) {
	for _, class := range []elf.Class{elf.ELFCLASS64, elf.ELFCLASS32} {
		f.Add(padded(stripped(class, testelf.GNUHash).Bytes(), 0x2000))
		f.Add(stripped(class, testelf.SysVHash).Bytes()[:0x200])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		src := &source{mem: []memory{{libAt, data}}}
		end := libAt + uint64(len(data)+0xfff)&^0xfff
		if end == libAt {
			return
		}
		s := image.NewSpace(parse(t, "%x-%x r-xp 00000000 00:00 0 [vdso]\n"+
			"%x-%x r-xp 00000000 08:01 12 /lib/lib.so (deleted)\n",
			uint64(libAt), end, uint64(libAt+1<<20), end+1<<20), src, new(image.Cache))
		src.mem = append(src.mem, memory{libAt + 1<<20, data})
		for _, base := range []uint64{libAt, libAt + 1<<20} {
			for off := uint64(0); off < 0x2000; off += 0x40 {
				p := s.Locate(base + off)
				symbolAt(p, base+off)
				s.Row(base+off, true)
				s.FuncStart(base + off)
				if p.Image != nil {
					p.Image.GoFunc(p.Link(base + off))
				}
			}
			if m := s.Locate(base).Module; m != nil {
				m.MappedBuildID()
			}
		}
	})
}
