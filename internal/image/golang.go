package image

import (
	"debug/elf"
	"errors"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/internal/unwind"
	"github.com/gatedso/bt/internal/unwind/cfi"
	"github.com/gatedso/bt/internal/unwind/gopcln"
)

// pclntabSections are the names that .gopclntab goes by; the second one in
// position-independent programs until Go 1.25.
var pclntabSections = [...]string{".gopclntab", ".data.rel.ro.gopclntab"}

// goTab returns the image's pcln table, nil if it is no Go program.
func (im *Image) goTab() *gopcln.Table {
	im.goOnce.Do(func() {
		guard.Read(func() error { im.findGoTab(); return nil })
	})
	return im.goTable
}

// findGoTab sets goTable.
func (im *Image) findGoTab() {
	for _, name := range pclntabSections {
		if s, ok := im.Section(name); ok {
			im.goTable, im.goAddr = im.openGoTab(s.Data), s.Addr
			return
		}
	}
	if _, ok := im.Section(".shstrtab"); ok && !im.fromGo() {
		return
	}
	// The section headers are gone, or a C compiler has linked the program
	// and made one section of many: look through the read-only data.
	for _, s := range im.Segments() {
		if s.Flags&elf.PF_X != 0 {
			continue
		}
		data := im.Bytes(s.Vaddr, int(s.Filesz))
		if off, ok := gopcln.Find(data, im.Order); ok {
			im.goTable, im.goAddr = im.openGoTab(data[off:]), s.Vaddr+uint64(off)
			return
		}
	}
}

// fromGo reports whether Go's linker has had a part in the image.
func (im *Image) fromGo() bool {
	_, id := im.Section(".note.go.buildid")
	_, info := im.Section(".go.buildinfo")
	return id || info
}

func (im *Image) openGoTab(data []byte) *gopcln.Table {
	t, err := gopcln.New(data, 0)
	if !errors.Is(err, gopcln.ErrNoText) {
		return t
	}
	a := im.Arch()
	for _, s := range im.Segments() {
		if a == nil || s.Flags&elf.PF_X == 0 {
			continue
		}
		if text, ok := gopcln.LocateText(data, im.Bytes(s.Vaddr, int(s.Filesz)), s.Vaddr, a.Go.Exit); ok {
			t, _ := gopcln.New(data, text)
			return t
		}
	}
	return nil
}

// GoFunc names a link-time address by Go's pcln table.
func (im *Image) GoFunc(link uint64) (name string, start uint64, ok bool) {
	t := im.goTab()
	if t == nil { // as in most files: the guard would be most of the time
		return "", 0, false
	}
	guard.Read(func() error {
		f, found := t.Func(link)
		if !found || link >= f.CodeEnd() {
			return nil
		}
		name, start, ok = f.Name(), f.Entry, true
		return nil
	})
	return name, start, ok
}

// GoFuncID returns abi.FuncID of the function at a link-time address, 0 for none.
func (im *Image) GoFuncID(link uint64) (id uint8) {
	guard.Read(func() error {
		if t := im.goTab(); t != nil {
			if f, ok := t.Func(link); ok {
				id = f.ID()
			}
		}
		return nil
	})
	return id
}

// GoEntries returns where functions of that name begin by Go's pcln table, at
// link-time addresses, and where they end: a few at most, for the ABI tells some
// apart.
func (im *Image) GoEntries(name string) (spans [][2]uint64) {
	guard.Read(func() error {
		t := im.goTab()
		if t == nil {
			return nil
		}
		for _, entry := range t.Named(name) {
			if f, ok := t.Func(entry); ok && f.Entry == entry {
				spans = append(spans, [2]uint64{entry, f.CodeEnd()})
			}
		}
		return nil
	})
	return spans
}

// goRow makes a row from Go's pcln table. It knows where Go's own .debug_frame
// is silent: which functions are outermost, and which switch stacks. It reports
// false where other tables are to be asked; known without a row, there is none.
func (im *Image) goRow(pc uint64, exact bool) (row *cfi.Row, how unwind.How, known bool) {
	t := im.goTab()
	if t == nil {
		return nil, 0, false
	}
	f, ok := t.Func(pc)
	if !ok {
		return nil, 0, false
	}
	a := im.Arch()
	delta, ok := f.SPDelta(pc)
	if a == nil || !ok {
		return nil, 0, false
	}
	if a.Entry.Return.InReg && !exact && delta == 0 && f.Kind() == gopcln.Normal &&
		(a.Go.Restarts == nil || !a.Go.Restarts(im.Code(pc+1, a.MaxCall), pc+1, f.Entry)) {
		return nil, 0, true // it has saved the return address by itself
	}
	b := goRows{arch: a, delta: delta, row: &cfi.Row{Func: f.Entry, FuncEnd: f.End, Start: pc, End: pc + 1, RA: uint8(a.PC)}}
	how = unwind.HowGo
	if exact && a.Go.Unframed != nil {
		b.unframed = a.Go.Unframed(im.Code(pc, 8))
	}
	switch f.Kind() {
	case gopcln.Top:
		b.outermost()
	case gopcln.Clone, gopcln.Leave, gopcln.More:
		if exact {
			b.bySP(delta)
			break
		}
		b.outermost()
		switch f.Kind() {
		case gopcln.Leave:
			how = unwind.HowGoLeft
		case gopcln.More:
			how = unwind.HowGoGrows
		}
	case gopcln.Cgo:
		switch {
		case !exact:
			b.bySP(delta)
			how = unwind.HowGoCgo
		case delta == 0 || !a.Go.FramePointer || a.Entry.Return.InReg:
			b.bySP(delta)
		default:
			b.byFP()
		}
	case gopcln.Callback:
		b.bySP(delta)
		how = unwind.HowGoCallback
	case gopcln.Entry:
		return nil, unwind.HowGoEntry, true
	case gopcln.Sigreturn:
		// A trampoline, known by its code. Go's .debug_frame takes it
		// for a function like any other.
		return nil, 0, true
	case gopcln.Injected:
		b.injected(delta)
		how = unwind.HowInjected
	case gopcln.Switch:
		switch {
		case exact && delta == 0, b.unframed:
			b.bySP(delta)
		case a.Go.FramePointer:
			b.byFP()
			how = unwind.HowGoSwitch
		} // else: without a rule there is no caller
	case gopcln.VDSO:
		how = b.vdso(exact)
	default:
		b.bySP(delta)
	}
	return b.row, how, true
}

// vdso is the row of a function that calls the vDSO on the system stack.
func (b *goRows) vdso(exact bool) unwind.How {
	switch {
	case b.unframed:
		b.bySP(b.delta)
	case b.arch.Go.FramePointer:
		b.byFP()
		return unwind.HowGoSwitch
	case exact:
		b.bySP(b.delta)
	default:
		b.cfa(b.arch.FP, b.delta+b.arch.Entry.Offset)
	}
	return unwind.HowGo
}

// goRows writes the few rules that Go's frames take.
type goRows struct {
	arch  *arch.Arch
	row   *cfi.Row
	delta int64 // of the stack pointer since the function's entry
	// unframed: the frame pointer is the caller's still, or again.
	unframed bool
}

func (b *goRows) outermost() {
	b.cfa(b.arch.SP, b.arch.Entry.Offset)
	b.row.Regs[b.row.RA] = cfi.Rule{Kind: cfi.Undefined}
}

// cfa says where the CFA is, and where, relative to that, the return address: with a
// link register it is at the bottom of the frame, once there is one.
func (b *goRows) cfa(reg arch.Reg, off int64) {
	b.row.CFA = cfi.Rule{Kind: cfi.Register, Reg: uint8(reg), N: off}
	ret := b.arch.Entry.Return
	switch {
	case !ret.InReg:
		b.row.Regs[b.row.RA] = cfi.Rule{Kind: cfi.Offset, N: ret.Offset}
	case b.delta == 0:
		b.row.Regs[b.row.RA] = cfi.Rule{Kind: cfi.Register, Reg: uint8(ret.Reg)}
		b.row.Regs[ret.Reg] = cfi.Rule{Kind: cfi.Undefined}
	default:
		b.row.Regs[b.row.RA] = cfi.Rule{Kind: cfi.Offset, N: -b.delta}
		b.row.Regs[ret.Reg] = cfi.Rule{Kind: cfi.Undefined}
	}
}

// saved says that the caller's frame pointer lies below the return address, if
// Go keeps one.
func (b *goRows) saved() {
	ra := b.row.Regs[b.row.RA]
	if b.arch.Go.FramePointer && ra.Kind == cfi.Offset && !b.unframed {
		b.row.Regs[b.arch.FP] = cfi.Rule{Kind: cfi.Offset, N: ra.N - int64(b.arch.PtrSize)}
	}
}

func (b *goRows) bySP(delta int64) {
	b.cfa(b.arch.SP, delta+b.arch.Entry.Offset)
	if delta >= int64(b.arch.PtrSize) {
		b.saved()
	}
}

func (b *goRows) byFP() {
	off := b.arch.Chain.Offset
	if b.arch.Entry.Return.InReg {
		off = int64(b.arch.PtrSize) + b.delta // it points below the return address
	}
	b.cfa(b.arch.Chain.Base, off)
	b.saved()
}

// injected is for a function that a signal handler has made the interrupted one call:
// on a CPU with a link register it has saved that, as the caller may be a leaf.
func (b *goRows) injected(delta int64) {
	b.bySP(delta)
	size := b.arch.Go.Injected
	if size == 0 {
		return
	}
	b.row.CFA.N += size
	for _, r := range []arch.Reg{arch.Reg(b.row.RA), b.arch.FP} {
		if b.row.Regs[r].Kind == cfi.Offset {
			b.row.Regs[r].N -= size
		}
	}
	b.row.Regs[b.arch.Entry.Return.Reg] = cfi.Rule{Kind: cfi.Offset, N: -size}
}

// ReadCode copies code at a link-time address into b and returns how much there was.
func (im *Image) ReadCode(link uint64, b []byte) (n int) {
	guard.Read(func() error {
		n = copy(b, im.Code(link, len(b)))
		return nil
	})
	return n
}
