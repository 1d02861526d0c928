package image

import (
	"debug/elf"
	"math"

	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/internal/unwind/gopcln"
)

// GoFrames appends the functions at a link-time address of a Go program to dst,
// the innermost first, by Go's own tables, which stripped programs have as well.
// The bytes in it are the image's.
func (im *Image) GoFrames(dst []gopcln.Frame, link uint64) []gopcln.Frame {
	guard.Read(func() error {
		if l := im.goLines(); l != nil {
			dst = l.Frames(dst, link)
		}
		return nil
	})
	return dst
}

func (im *Image) goLines() *gopcln.Lines {
	im.goLinesOnce.Do(func() {
		t := im.goTab()
		if t == nil {
			return
		}
		im.goLineTable, _ = t.Lines(im.goTrees(t))
	})
	return im.goLineTable
}

// moduledata begins with the address of pclntab; the address of go:func.* is
// among its first words, at a place that changes from version to version.
const moduledataWords = 64

// goTrees returns the bytes from go:func.* on, which moduledata leads to.
func (im *Image) goTrees(t *gopcln.Table) (trees []byte) {
	tried := make(map[uint64]bool)
	try := func(addr uint64) bool {
		if addr == 0 || tried[addr] {
			return false
		}
		tried[addr] = true
		if b := im.Bytes(addr, math.MaxInt); t.HoldsTrees(b) {
			trees = b
			return true
		}
		return false
	}
	size := im.PtrSize()
	for _, s := range im.Segments() {
		if s.Flags&elf.PF_X != 0 {
			continue
		}
		data := im.Bytes(s.Vaddr, math.MaxInt)
		for at := 0; at+size <= len(data); at += size {
			if im.word(data[at:]) != im.goAddr {
				continue
			}
			for i := 1; i < moduledataWords && at+(i+1)*size <= len(data); i++ {
				if try(im.word(data[at+i*size:])) {
					return trees
				}
			}
		}
	}
	im.relocatedModuledata(try)
	return trees
}

// relocatedModuledata calls try for the words of moduledata in a program that is
// position-independent: they are in its relocations.
func (im *Image) relocatedModuledata(try func(addr uint64) bool) {
	s, ok := im.Section(".rela.dyn")
	const size = 24 // Elf64_Rela
	if !ok || im.Class != elf.ELFCLASS64 {
		return
	}
	start := uint64(0)
	for at := 0; at+size <= len(s.Data); at += size {
		offset, addend := im.Order.Uint64(s.Data[at:]), im.Order.Uint64(s.Data[at+16:])
		switch {
		case addend == im.goAddr:
			start = offset
		case start != 0 && offset-start < moduledataWords*8:
			if try(addend) {
				return
			}
		}
	}
}

func (im *Image) word(b []byte) uint64 {
	if im.PtrSize() == 4 {
		return uint64(im.Order.Uint32(b))
	}
	return im.Order.Uint64(b)
}
