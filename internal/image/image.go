// Package image turns the mappings of an address space into modules: the ELF
// images behind them, each opened once, with its symbols, its call frame
// information and the load bias of every mapping.
package image

import (
	"bytes"
	"debug/elf"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/all"
	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/internal/unwind"
	"github.com/gatedso/bt/internal/unwind/cfi"
	"github.com/gatedso/bt/internal/unwind/gopcln"
)

// Image is one ELF image with what the unwinder reads of it. Its parts are
// parsed on first use. It is safe for concurrent use.
type Image struct {
	*elfsym.Image

	ehOnce, debugOnce, goOnce sync.Once
	eh, debug                 *cfi.Table
	goTable                   *gopcln.Table
	goAddr                    uint64 // of pclntab

	goLinesOnce sync.Once
	goLineTable *gopcln.Lines

	prepared, debugMade atomic.Bool

	holes bool // from memory, of which a part could not be read
}

// NewImage adds what the unwinder reads to an opened image.
func NewImage(im *elfsym.Image) *Image { return &Image{Image: im} }

var errNotParsed = errors.New("not parsed yet")

// PtrSize is the size in bytes of the image's addresses.
func (im *Image) PtrSize() int {
	if im.Class == elf.ELFCLASS32 {
		return 4
	}
	return 8
}

// prepare parses what Row needs, so that Row need not, but for .debug_frame:
// that can be large and compressed, and .eh_frame is nearly always enough.
func (im *Image) prepare() {
	guard.Read(func() error {
		im.goTab()
		im.ehTable().Prepare()
		return nil
	})
	im.prepared.Store(true)
}

// Row finds the frame row for a link-time pc, nil where there is none. exact is
// false when pc was reached by a return address. The row is the caller's, its
// expressions are copies.
func (im *Image) Row(pc uint64, exact bool) (row *cfi.Row, how unwind.How, err error) {
	return im.find(pc, exact, false)
}

// find is Row; with parsed set it finds only what was parsed before.
func (im *Image) find(pc uint64, exact, parsed bool) (row *cfi.Row, how unwind.How, err error) {
	if parsed && !im.prepared.Load() {
		return nil, 0, errNotParsed
	}
	err = guard.Read(func() (err error) {
		row, how, err = im.row(pc, exact, parsed)
		if row != nil {
			for i, e := range row.Exprs {
				row.Exprs[i] = bytes.Clone(e)
			}
		}
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return row, how, nil
}

// row is find for a caller that reads mapped bytes in guard.Read.
func (im *Image) row(pc uint64, exact, parsed bool) (row *cfi.Row, how unwind.How, err error) {
	if row, how, known := im.goRow(pc, exact); known {
		return row, how, nil
	}
	row = new(cfi.Row)
	if err = im.ehTable().Row(pc, row); err == nil {
		return row, unwind.HowCFI, nil
	}
	if !parsed || im.debugMade.Load() {
		if derr := im.debugTable().Row(pc, row); derr == nil {
			im.debugMade.Store(true)
			return row, unwind.HowCFI, nil
		}
	}
	if im.inEntry(pc) {
		// No one called the entry point; without a table to say so.
		row := &cfi.Row{Func: im.Entry, CFA: cfi.Rule{Kind: cfi.Register}}
		if a := im.Arch(); a != nil {
			row.CFA.Reg, row.RA = uint8(a.SP), uint8(a.PC)
			row.Regs[row.RA].Kind = cfi.Undefined
			return row, unwind.HowCFI, nil
		}
	}
	return nil, 0, err
}

func (im *Image) inEntry(pc uint64) bool {
	if im.Entry == 0 || pc < im.Entry {
		return false
	}
	if pc == im.Entry {
		return true
	}
	start, ok := im.FuncStart(pc)
	return ok && start == im.Entry || pc-im.Entry < maxStart && im.isDynamicLinker()
}

// maxStart is how long the assembly is with which glibc's dynamic linker begins, and
// which nothing describes: _start and _dl_start_user (RTLD_START in sysdeps/*/dl-machine.h).
// What comes behind it is described.
const maxStart = 128

// isDynamicLinker reports whether the image is glibc's dynamic linker: debuggers look for
// this in it.
func (im *Image) isDynamicLinker() bool {
	_, ok := im.Exported("_r_debug")
	return ok
}

func (im *Image) ehTable() *cfi.Table {
	im.ehOnce.Do(func() {
		c := cfi.Config{PtrSize: im.PtrSize(), Order: im.Order}
		im.eh = cfi.New(c) // should a fault end what follows
		if addr, data, ok := im.EhFrameHdr(); ok {
			c.EhFrameHdr = cfi.Section{Addr: addr, Data: data}
		}
		if s, ok := im.Section(".eh_frame"); ok {
			c.EhFrame = cfi.Section{Addr: s.Addr, Data: s.Data}
		} else if c.EhFrameHdr.Data != nil {
			if addr, err := cfi.EhFrameAddr(c.EhFrameHdr, c.PtrSize, c.Order); err == nil {
				c.EhFrame = cfi.Section{Addr: addr, Data: im.rest(addr)}
			}
		}
		if s, ok := im.Section(".got.plt"); ok {
			c.DataBase = s.Addr
		} else if s, ok := im.Section(".got"); ok {
			c.DataBase = s.Addr
		}
		if s, ok := im.Section(".text"); ok {
			c.TextBase = s.Addr
		}
		im.eh = cfi.New(c)
	})
	return im.eh
}

// rest is the image's bytes from addr to the end of its segment.
func (im *Image) rest(addr uint64) []byte {
	for _, s := range im.Segments() {
		if addr-s.Vaddr < s.Filesz {
			return im.Bytes(addr, int(s.Filesz-(addr-s.Vaddr)))
		}
	}
	return nil
}

func (im *Image) debugTable() *cfi.Table {
	im.debugOnce.Do(func() {
		c := cfi.Config{PtrSize: im.PtrSize(), Order: im.Order}
		if s, ok := im.Section(".debug_frame"); ok {
			c.DebugFrame = cfi.Section{Addr: s.Addr, Data: s.Data}
		}
		im.debug = cfi.New(c)
	})
	return im.debug
}

// Arch is the CPU that the image is for, nil when bt does not unwind it.
func (im *Image) Arch() *arch.Arch { return all.For(im.Machine, im.Class) }
