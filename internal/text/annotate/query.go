package annotate

import (
	"bytes"
	"debug/elf"
	"strings"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/stack"
)

// query is what a text says of an address. Its slices are parts of the text.
type query struct {
	addr    uint64 // run-time address
	hasAddr bool
	exact   bool // no return address
	named   bool // the text names it already: leave it

	// Where the text says which file the address is in:
	module []byte // the file's path or last name; nil: it does not say
	loose  bool   // module has more in front, up to a blank or a slash
	place  place
	off    uint64 // as place says
	symbol []byte // placeSymbol
	id     []byte // build ID in hexadecimal, nil if it is not given

	mapStart, mapSize uint64 // placeFile, placeMapping: the mapping

	probe      bool // find is to tell whether it is a signal trampoline
	trampoline bool // it is; set by find
}

// place is what an offset counts from.
type place uint8

const (
	placeNone    place = iota
	placeLink          // it is a link-time address
	placeBase          // the page of the file's first segment
	placeSymbol        // a symbol
	placeFile          // the start of the file
	placeMapping       // the start of the mapping of an executable segment
	placePerf          // the start of the file, unless off is the run-time address
)

// means reports whether the text can mean the file at path.
func (q *query) means(path string) bool {
	rest, ok := bytes.CutSuffix(q.module, []byte(path[strings.LastIndexByte(path, '/')+1:]))
	return ok && (len(rest) == 0 || rest[len(rest)-1] == '/' || q.loose && isBlank(rest[len(rest)-1]))
}

// lookup is the address by which the name is found.
func (q *query) lookup(addr uint64) uint64 {
	if q.exact {
		return addr
	}
	return addr - 1
}

// link returns the link-time address in im that q means.
func (q *query) link(im *elfsym.Image) (link uint64, ok bool) {
	if len(q.id) > 0 && !sameID(q.id, im.BuildID()) {
		return 0, false
	}
	segs := im.Segments()
	switch q.place {
	case placeNone:
		if !q.hasAddr || im.Type != elf.ET_EXEC {
			return 0, false
		}
		link = q.addr
	case placeLink:
		link = q.off
	case placeBase:
		base := ^uint64(0)
		for _, s := range segs {
			base = min(base, s.Vaddr)
		}
		link = q.off + base&^(minPage-1)
	case placeSymbol:
		start, ok := symbolValue(im, q.symbol)
		if !ok {
			return 0, false
		}
		link = start + q.off
	case placePerf:
		if link, ok = fileOffset(segs, q.off); !ok {
			return 0, false
		}
	case placeFile, placeMapping:
		if link, ok = q.inMapping(segs); !ok {
			return 0, false
		}
	}
	if im.Class == elf.ELFCLASS32 {
		link &= 1<<32 - 1
	}
	return link, executable(segs, q.lookup(link))
}

// minPage is the smallest page size of any Linux machine.
const minPage = 4096

// inMapping finds the executable segment that fills the mapping.
func (q *query) inMapping(segs []elfsym.Segment) (link uint64, ok bool) {
	for _, s := range segs {
		if s.Flags&elf.PF_X == 0 || s.Filesz == 0 {
			continue
		}
		for _, page := range []uint64{minPage, 16 << 10, 64 << 10} {
			start := s.Off &^ (page - 1)
			if (s.Off+s.Filesz+page-1)&^(page-1)-start != q.mapSize {
				continue
			}
			in := q.addr - q.mapStart
			if q.place == placeFile && q.off != start+in {
				continue
			}
			return start + in - s.Off + s.Vaddr, true
		}
	}
	return 0, false
}

// fileOffset returns the link-time address of an offset in the file.
func fileOffset(segs []elfsym.Segment, off uint64) (link uint64, ok bool) {
	for _, s := range segs {
		if s.Flags&elf.PF_X != 0 && off-s.Off < s.Filesz {
			return off - s.Off + s.Vaddr, true
		}
	}
	return 0, false
}

// executable reports whether a link-time address lies in an executable segment.
func executable(segs []elfsym.Segment, link uint64) bool {
	for _, s := range segs {
		if s.Flags&elf.PF_X != 0 && link-s.Vaddr < s.Memsz {
			return true
		}
	}
	return false
}

// symbolValue finds a symbol by its name, in one pass over the symbol tables.
// It finds none where several places have that name.
func symbolValue(im *elfsym.Image, name []byte) (value uint64, ok bool) {
	guard.Read(func() error {
		for ref := range im.NumSymbols() {
			if string(im.NameBytes(elfsym.Ref(ref))) != string(name) {
				continue
			}
			s, found := im.Symbol(elfsym.Ref(ref))
			if !found || s.Value == 0 || s.Type == elf.STT_TLS {
				continue
			}
			if ok && s.Value != value {
				ok = false
				break
			}
			value, ok = s.Value, true
		}
		return nil
	})
	return value, ok
}

// sameID compares a build ID with its hexadecimal text.
func sameID(text, id []byte) bool {
	if len(id) == 0 || len(text) != 2*len(id) {
		return false
	}
	for i, b := range id {
		if !isHex(text[2*i]) || !isHex(text[2*i+1]) || hexValue(text[2*i])<<4|hexValue(text[2*i+1]) != b {
			return false
		}
	}
	return true
}

// choose names an address, which is link in im, by name, which takes whether it
// is exact. A return address does not lie at the start of a function, but for
// that of a signal trampoline, which the kernel and not a call has put there,
// and the frame that the signal interrupted.
func (q *query) choose(w *worker, im *image.Image, link uint64, name func(exact bool) *stack.Frame) *stack.Frame {
	if q.exact && !q.probe {
		return name(true)
	}
	at := name(true)
	n := at.Function()
	starts := n != nil && n.Symbol != "" && n.Offset == 0
	q.trampoline = starts && trampolineName(n.Symbol) || trampolineCode(im, link)
	if q.exact || q.trampoline || starts && w != nil && w.afterSignal() {
		return at
	}
	return name(false)
}

// trampolineName reports whether a symbol is code that signal handlers return
// to.
func trampolineName(symbol string) bool {
	switch symbol {
	case "__restore_rt", "__restore", "__kernel_rt_sigreturn", "__kernel_sigreturn", "__vdso_rt_sigreturn", "sigreturn":
		return true
	}
	return false
}

// trampolineCode reports the same of the code at link: a libc without symbols
// has no name for it.
func trampolineCode(im *image.Image, link uint64) (found bool) {
	if im == nil || im.Arch() == nil {
		return false
	}
	guard.Read(func() error {
		for _, t := range im.Arch().Trampolines {
			found = found || bytes.Equal(im.Bytes(link, len(t.Code)), t.Code)
		}
		return nil
	})
	return found
}
