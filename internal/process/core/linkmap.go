package core

import (
	"bytes"
	"debug/elf"
	"path"
)

// Bounds of what is followed in memory, which may hold anything.
const (
	maxImages  = 4096    // entries of the dynamic linker's list
	maxHeaders = 4 << 10 // bytes of program headers
	maxDynamic = 1024    // entries of PT_DYNAMIC
	maxName    = 4096    // bytes of a path
	maxLookup  = 64      // segments below PT_DYNAMIC in which its image may begin
)

// image is an ELF image in memory.
type image struct {
	base    uint64 // where its first byte is mapped
	bias    uint64
	loads   []phdr
	dynamic uint64 // address of PT_DYNAMIC, 0 if there is none
	interp  uint64 // address of PT_INTERP
}

// imageAt reads the image whose first byte is at addr.
func (f *File) imageAt(addr uint64) (im image, ok bool) {
	page := make([]byte, maxHeaders)
	n, _ := f.ReadMemory(addr, page)
	h, ok := f.imageHeader(page[:n])
	if !ok || h.phoff > uint64(n) {
		return im, false
	}
	return f.image(&h, page[h.phoff:n], addr)
}

// imageHeader reads the ELF header of an image of the core's own kind.
func (f *File) imageHeader(b []byte) (h header, ok bool) {
	if len(b) < maxEhdr || string(b[:4]) != elf.ELFMAG || elf.Class(b[elf.EI_CLASS]) != f.Class {
		return h, false
	}
	h = header{class: f.Class, order: f.Order}
	if f.Class == elf.ELFCLASS64 {
		h.entry = f.Order.Uint64(b[24:])
		h.phoff, h.phsize, h.phnum = f.Order.Uint64(b[32:]), int(f.Order.Uint16(b[54:])), int(f.Order.Uint16(b[56:]))
	} else {
		h.entry = uint64(f.Order.Uint32(b[24:]))
		h.phoff, h.phsize, h.phnum = uint64(f.Order.Uint32(b[28:])), int(f.Order.Uint16(b[42:])), int(f.Order.Uint16(b[44:]))
	}
	return h, h.phsize >= h.minPhsize()
}

// image reads the program headers of the image at base.
func (f *File) image(h *header, table []byte, base uint64) (im image, ok bool) {
	im.base = base
	var dynamic, interp *phdr
	for i := 0; i < h.phnum && len(table) >= h.phsize; i++ {
		p := h.phdr(table)
		table = table[h.phsize:]
		switch p.typ {
		case elf.PT_LOAD:
			if len(im.loads) == 0 {
				im.bias = base - (p.vaddr - p.off)
			}
			im.loads = append(im.loads, p)
		case elf.PT_DYNAMIC:
			dynamic = &p
		case elf.PT_INTERP:
			interp = &p
		}
	}
	if dynamic != nil {
		im.dynamic = f.mask(dynamic.vaddr + im.bias)
	}
	if interp != nil {
		im.interp = f.mask(interp.vaddr + im.bias)
	}
	return im, len(im.loads) > 0
}

// mask cuts an address to the core's word.
func (f *File) mask(addr uint64) uint64 {
	if f.Class == elf.ELFCLASS32 {
		return addr & (1<<32 - 1)
	}
	return addr
}

// pointer reads word i of the structure at addr.
func (f *File) pointer(addr, i uint64) (uint64, bool) {
	var b [8]byte
	w := uint64(f.PtrSize())
	if n, _ := f.ReadMemory(f.mask(addr+i*w), b[:w]); n < int(w) {
		return 0, false
	}
	if w == 4 {
		return uint64(f.Order.Uint32(b[:])), true
	}
	return f.Order.Uint64(b[:]), true
}

// text reads the string at addr, "" if it cannot be read.
func (f *File) text(addr uint64) string {
	if addr == 0 {
		return ""
	}
	b := make([]byte, maxName)
	n, _ := f.ReadMemory(addr, b)
	if i := bytes.IndexByte(b[:n], 0); i >= 0 {
		return string(b[:i])
	}
	return ""
}

// ExecFile is the path that the program was started by, as given to execve;
// empty if the core does not tell.
func (f *File) ExecFile() string { return f.text(f.Auxv[atExecfn]) }

// Program is the path of the program as Files has it; empty if unknown.
func (f *File) Program() string {
	for _, typ := range []uint64{atPhdr, atEntry} {
		if m := f.fileAt(f.Auxv[typ]); m != nil {
			return m.Path
		}
	}
	// Without auxiliary vector: the file of the command's name.
	for i := range f.Files {
		if base := path.Base(f.Files[i].Path); f.Comm != "" && base[:min(len(base), 15)] == f.Comm {
			return f.Files[i].Path
		}
	}
	return ""
}

// FindFiles makes up for an NT_FILE note, which qemu and old kernels do not
// write: the auxiliary vector leads to the program, this to the list of what the
// dynamic linker has loaded. With the note it does nothing. It must be called,
// if at all, before other methods.
//
// Where the core does not hold an image's headers they are read from the file:
// open gives the beginning of the file that was mapped by this name, and the
// absolute path to list it by.
func (f *File) FindFiles(open func(name string, program bool) (path string, head []byte)) {
	if f.Files != nil {
		return
	}
	path, head := open(f.ExecFile(), true)
	prog, ok := f.programImage(head)
	if !ok {
		return
	}
	f.addImage(path, &prog)
	linker := f.Auxv[atBase]
	for _, l := range f.linkMap(&prog) {
		path, head := open(l.name, false)
		im, ok := f.imageOf(l.bias, l.dynamic)
		if !ok {
			im, ok = f.imageInFile(head, l.bias)
			ok = ok && im.dynamic == l.dynamic
		}
		if ok && im.base != f.Auxv[atSysinfoEhdr] {
			f.addImage(path, &im)
		}
		if im.base == linker {
			linker = 0
		}
	}
	if linker != 0 {
		// It has not come to list itself yet, or its name lies in the
		// program's PT_INTERP, which the core does not hold.
		name := f.text(prog.interp)
		if off := prog.interp - prog.base; name == "" && off < uint64(len(head)) {
			name = cString(head[off:])
		}
		if name != "" {
			path, head := open(name, false)
			im, ok := f.imageAt(linker)
			if h, isELF := f.imageHeader(head); !ok && isELF && h.phoff <= uint64(len(head)) {
				im, ok = f.image(&h, head[h.phoff:], linker)
			}
			if ok {
				f.addImage(path, &im)
			}
		}
	}
	f.sortFiles()
}

// programImage finds the program by the address of its program headers. head is
// the beginning of the file that may be it.
func (f *File) programImage(head []byte) (im image, ok bool) {
	at := f.Auxv[atPhdr]
	if at == 0 {
		return im, false
	}
	// They follow the ELF header in all that linkers make.
	size := uint64(64)
	if f.Class == elf.ELFCLASS32 {
		size = 52
	}
	if im, ok = f.imageAt(f.mask(at - size)); ok {
		return im, true
	}
	h := header{class: f.Class, order: f.Order, phsize: int(f.Auxv[atPhent]), phnum: int(f.Auxv[atPhnum])}
	if h.phsize >= h.minPhsize() && h.phsize <= maxHeaders {
		table := make([]byte, maxHeaders)
		n, _ := f.ReadMemory(at, table)
		if im, ok = f.image(&h, table[:n], f.mask(at-size)); ok {
			return im, true
		}
	}
	h, ok = f.imageHeader(head)
	if !ok || h.phoff > uint64(len(head)) || uint64(h.phnum) != f.Auxv[atPhnum] {
		return im, false
	}
	im, ok = f.image(&h, head[h.phoff:], f.mask(at-h.phoff))
	return im, ok && f.mask(im.bias+h.entry) == f.Auxv[atEntry]
}

// imageInFile reads the headers of the file that begins with head and was
// loaded with this bias.
func (f *File) imageInFile(head []byte, bias uint64) (im image, ok bool) {
	h, ok := f.imageHeader(head)
	if !ok || h.phoff > uint64(len(head)) {
		return im, false
	}
	if im, ok = f.image(&h, head[h.phoff:], 0); !ok {
		return im, false
	}
	// There it counts from 0: move it.
	return f.image(&h, head[h.phoff:], f.mask(bias-im.bias))
}

// loaded is an entry of the dynamic linker's list.
type loaded struct {
	bias, dynamic uint64
	name          string
}

// linkMap follows the dynamic linker's list (struct r_debug and struct
// link_map, <link.h>), but for the program, its first entry.
func (f *File) linkMap(prog *image) (list []loaded) {
	at, ok := f.rDebug(prog)
	if !ok {
		return nil
	}
	at, _ = f.pointer(at, 1) // r_map
	seen := make(map[uint64]bool)
	for first := true; at != 0 && !seen[at] && len(seen) < maxImages; first = false {
		seen[at] = true
		bias, ok1 := f.pointer(at, 0)
		name, ok2 := f.pointer(at, 1)
		dynamic, ok3 := f.pointer(at, 2)
		if !ok1 || !ok2 || !ok3 {
			return list
		}
		if path := f.text(name); !first && path != "" {
			list = append(list, loaded{bias, dynamic, path})
		}
		at, _ = f.pointer(at, 3) // l_next
	}
	return list
}

// imageOf finds the image with this load bias and this PT_DYNAMIC.
func (f *File) imageOf(bias, dynamic uint64) (image, bool) {
	if im, ok := f.imageAt(bias); ok && im.dynamic == dynamic {
		return im, true
	}
	// One that is linked high, as prelink leaves them.
	i := f.segmentIndex(dynamic)
	for j := i; j >= 0 && j > i-maxLookup; j-- {
		if im, ok := f.imageAt(f.Segments[j].Start); ok && im.dynamic == dynamic {
			return im, true
		}
	}
	return image{}, false
}

// rDebug finds struct r_debug by the program's PT_DYNAMIC.
func (f *File) rDebug(prog *image) (uint64, bool) {
	if prog.dynamic == 0 {
		return 0, false
	}
	abi := f.abi()
	for i := range uint64(maxDynamic) {
		tag, ok1 := f.pointer(prog.dynamic, 2*i)
		val, ok2 := f.pointer(prog.dynamic, 2*i+1)
		if !ok1 || !ok2 || tag == 0 {
			return 0, false
		}
		switch {
		case tag == uint64(elf.DT_DEBUG) && val != 0:
			return val, true
		case tag == abi.RldMap:
			return f.pointer(val, 0)
		case tag == abi.RldMapRel:
			return f.pointer(f.mask(prog.dynamic+2*i*uint64(f.PtrSize())+val), 0)
		}
	}
	return 0, false
}

// addImage lists the parts of an image that are mapped from its file.
func (f *File) addImage(path string, im *image) {
	page := f.Auxv[atPagesz]
	if page == 0 || page&(page-1) != 0 {
		page = 4096
	}
	for _, p := range im.loads {
		if p.filesz == 0 {
			continue
		}
		start := f.mask(p.vaddr + im.bias)
		end := (start + p.filesz + page - 1) &^ (page - 1)
		if start &^= page - 1; start < end {
			f.Files = append(f.Files, FileMapping{Start: start, End: end, Offset: p.off &^ (page - 1), Path: path})
		}
	}
}
