//go:build linux

package hostile

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"math/rand/v2"
	"regexp"
	"strings"
)

// A field is a number in a file that a reader relies on.
type field struct{ at, size int }

// fields finds the fields of an input that are worth a lie.
type fields func(data []byte) []field

// mutate makes a damaged input of an intact one: of each four changes two are lies
// in fields, where there are any, one a change of bytes anywhere, one a change of
// length.
func mutate(data []byte, find fields, r *rand.Rand) []byte {
	b := bytes.Clone(data)
	for range 1 + r.IntN(4) {
		if len(b) == 0 {
			break
		}
		switch what := r.IntN(4); {
		case what < 2 && find != nil:
			if list := find(b); len(list) > 0 {
				lie(b, list[r.IntN(len(list))], r)
				break
			}
			fallthrough
		case what < 3:
			scribble(b, r)
		default:
			b = resize(b, r)
		}
	}
	return b
}

// lie writes a number that a careless reader stumbles over.
func lie(b []byte, f field, r *rand.Rand) {
	if f.at < 0 || f.size <= 0 || f.at+f.size > len(b) {
		return
	}
	var word [8]byte
	copy(word[:], b[f.at:f.at+f.size])
	old := binary.LittleEndian.Uint64(word[:])
	size := uint64(len(b))
	choices := []uint64{
		0, 1, 2, 0x7f, 0x80, 0xff, 0xffff, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, 1<<63 - 1, 1 << 63, ^uint64(0), ^uint64(0) - 0xfff,
		old + 1, old - 1, old * 2, old / 2, -old, old ^ 1<<r.IntN(64),
		size, size - 1, size + 1, size / 2, size - uint64(f.at), r.Uint64(), r.Uint64N(size),
	}
	binary.LittleEndian.PutUint64(word[:], choices[r.IntN(len(choices))])
	copy(b[f.at:f.at+f.size], word[:])
}

func scribble(b []byte, r *rand.Rand) {
	at := r.IntN(len(b))
	n := min(len(b)-at, 1+r.IntN(1<<r.IntN(8)))
	switch r.IntN(4) {
	case 0:
		b[at] ^= 1 << r.IntN(8)
	case 1:
		for i := range n {
			b[at+i] = byte(r.Uint32())
		}
	case 2: // the same again from elsewhere
		copy(b[at:at+n], b[r.IntN(len(b)):])
	case 3:
		fill := []byte{0, 0xff, '\n', 0x1b, 0x80, '0'}[r.IntN(6)]
		for i := range n {
			b[at+i] = fill
		}
	}
}

func resize(b []byte, r *rand.Rand) []byte {
	at, n := r.IntN(len(b)), 1+r.IntN(min(len(b), 4096))
	switch r.IntN(3) {
	case 0: // cut off
		return b[:at]
	case 1: // left out
		return append(b[:at:at], b[min(len(b), at+n):]...)
	}
	again := bytes.Clone(b[at:min(len(b), at+n)])
	return append(append(b[:at:at], again...), b[at:]...)
}

// elfFields are the header, the tables of segments and sections, the headers of
// notes, and the first words of every section: sizes and counts stand there.
func elfFields(b []byte) (list []field) {
	add := func(at uint64, sizes ...int) {
		for _, n := range sizes {
			if at > uint64(len(b)) {
				return
			}
			list = append(list, field{int(at), n})
			at += uint64(n)
		}
	}
	if len(b) < 64 || b[4] != byte(elf.ELFCLASS64) {
		return nil
	}
	add(16, 2, 2, 4, 8, 8, 8, 4, 2, 2, 2, 2, 2, 2)
	le := binary.LittleEndian
	each := func(off uint64, size, num int, sizes ...int) {
		for i := range uint64(num) {
			add(off+i*uint64(size), sizes...)
		}
	}
	phoff, shoff := le.Uint64(b[32:]), le.Uint64(b[40:])
	phnum, shnum := int(le.Uint16(b[56:])), int(le.Uint16(b[60:]))
	each(phoff, 56, phnum, 4, 4, 8, 8, 8, 8, 8, 8)
	each(shoff, 64, shnum, 4, 4, 8, 8, 8, 8, 4, 4, 8, 8)
	for i := range uint64(shnum) {
		at := shoff + i*64
		if at > uint64(len(b)) || uint64(len(b))-at < 64 {
			break
		}
		if typ := elf.SectionType(le.Uint32(b[at+4:])); typ != elf.SHT_NOBITS {
			add(le.Uint64(b[at+24:]), 4, 4, 2, 1, 1, 4, 8, 8)
		}
	}
	for i := range uint64(phnum) {
		at := phoff + i*56
		if at > uint64(len(b)) || uint64(len(b))-at < 56 {
			break
		}
		if elf.ProgType(le.Uint32(b[at:])) == elf.PT_NOTE {
			list = append(list, noteFields(b, le.Uint64(b[at+8:]), le.Uint64(b[at+32:]))...)
		}
	}
	return list
}

// dwarfFields are all that the debug sections hold, in parts of one, two, four and eight
// bytes.
func dwarfFields(b []byte) (list []field) {
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	const parts = 1000 // of each section
	for _, s := range f.Sections {
		if !strings.HasPrefix(s.Name, ".debug_") || s.Type == elf.SHT_NOBITS || s.Offset > uint64(len(b)) {
			continue
		}
		size := min(s.FileSize, uint64(len(b))-s.Offset)
		for i := range min(parts, size) {
			// Some all over the section, and all of its first bytes.
			at := i
			if i >= parts/4 {
				at = i * (size / min(parts, size))
			}
			list = append(list, field{int(s.Offset + at), 1 << (i * 7 % 4)})
		}
	}
	return list
}

func noteFields(b []byte, off, size uint64) (list []field) {
	le := binary.LittleEndian
	for end := off + size; off+12 <= min(end, uint64(len(b))) && off+12 > off && len(list) < 2000; {
		name, desc := uint64(le.Uint32(b[off:])), uint64(le.Uint32(b[off+4:]))
		for i := range 3 {
			list = append(list, field{int(off) + 4*i, 4})
		}
		off += 12 + (name+3)&^3
		for i := uint64(0); i < min(desc, 32); i += 8 {
			list = append(list, field{int(off + i), 8})
		}
		off += (desc + 3) &^ 3
	}
	return list
}

// jitdumpFields are the header and the heads of the records (perf's
// jitdump-specification.txt).
func jitdumpFields(b []byte) (list []field) {
	for at := 0; at < min(len(b), 40); at += 4 {
		list = append(list, field{at, 4})
	}
	for at := 40; at+16 <= len(b) && len(list) < 1000; {
		for i := 0; i < 56; i += 4 {
			list = append(list, field{at + i, 4})
		}
		n := int(binary.LittleEndian.Uint32(b[at+4:]))
		if n < 16 {
			break
		}
		at += n
	}
	return list
}

var number = regexp.MustCompile(`[0-9a-f]{2,16}`)

// textFields are the numbers in text. What is written there is bytes, no digits.
func textFields(b []byte) (list []field) {
	for _, m := range number.FindAllIndex(b, 4000) {
		list = append(list, field{m[0], min(m[1]-m[0], 8)})
	}
	return list
}
